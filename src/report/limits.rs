//! Limits of what this room answers to callers, and of what it asks.

use retaind_core::limit::Limit;

/// All of them, for the table in docs/limits.md and the counters.
pub const LIMITS: &[Limit] = &[
    HEALTH_CONNECTIONS,
    HEALTH_HEAD_SECONDS,
    HEALTH_CONNECTION_SECONDS,
    HEALTH_HOSTS,
    HEALTH_FILES,
    HEALTH_ANSWER_SECONDS,
    REGISTRY_REQUEST_SECONDS,
    REGISTRY_CHECK_SECONDS,
];

/// Open at the same time before a head has come.
pub(crate) const HEALTH_CONNECTIONS: Limit = Limit {
    name: "health_connections",
    value: 256,
    unit: "connections to the health endpoint without a request, as many with one, and twice as many of this host",
    why: "callers cost memory; the oldest goes, so that a probe gets in",
    variable: None,
};

/// From the connection to the end of the request's head.
pub(crate) const HEALTH_HEAD_SECONDS: Limit = Limit {
    name: "health_head_seconds",
    value: 1,
    unit: "seconds",
    why: "requests that are begun and not ended would keep probes out",
    variable: None,
};

/// From the connection to its end.
pub(crate) const HEALTH_CONNECTION_SECONDS: Limit = Limit {
    name: "health_connection_seconds",
    value: 5,
    unit: "seconds",
    why: "a caller that does not take its answer would keep its place",
    variable: None,
};

/// Names under which the endpoint may be asked, beside addresses and names without a dot.
pub(crate) const HEALTH_HOSTS: Limit = Limit {
    name: "health_hosts",
    value: 16,
    unit: "names in `Host` that are allowed beside addresses and names without a dot",
    why: "a web page could read the figures through a browser (DNS rebinding)",
    variable: Some("RETAIND_HEALTH_NAMES"),
};

/// Descriptors for a connection; the system's limit may be lower.
pub(crate) const HEALTH_FILES: Limit = Limit {
    name: "health_files",
    value: 65_536,
    unit: "descriptors of the process, or what the system allows",
    why: "a connection for which there is no descriptor is taken later",
    variable: None,
};

/// Of `retaind status`.
pub const HEALTH_ANSWER_SECONDS: Limit = Limit {
    name: "health_answer_seconds",
    value: 10,
    unit: "seconds that `retaind status` waits for the endpoint",
    why: "a bot that hangs, or another program at its address, would keep the probe waiting; it is counted by its exit code only",
    variable: None,
};

/// From the look-up of the name to the last byte; each redirect has it again.
pub(crate) const REGISTRY_REQUEST_SECONDS: Limit = Limit {
    name: "registry_request_seconds",
    value: 20,
    unit: "seconds for one request to the image's registry",
    why: "a registry that never ends an answer would hold a connection without end",
    variable: None,
};

/// With all its pages, redirects and tokens.
pub(crate) const REGISTRY_CHECK_SECONDS: Limit = Limit {
    name: "registry_check_seconds",
    value: 120,
    unit: "seconds for one look at the image's registry",
    why: "a registry that leads from page to page would be asked all day",
    variable: None,
};
