//! Limits of the network that the other side need not know: what it refuses, and why. Those that both sides must agree on are
//! in [`retaind_protocol::limits`].

use retaind_core::limit::Limit;

/// All of them, for the table in docs/limits.md and the counters.
pub const LIMITS: &[Limit] = &[CONNECTIONS, STRANGERS];

/// Open at the same time.
pub(crate) const CONNECTIONS: Limit = Limit {
    name: "connections",
    value: 16_384,
    unit: "connections",
    why: "each costs some descriptors' worth of kernel memory and a few tasks",
    variable: None,
};

/// Open at the same time without a log-in.
pub(crate) const STRANGERS: Limit = Limit {
    name: "strangers",
    value: 1024,
    unit: "connections before log-in",
    why: "strangers must not take the places of devices",
    variable: None,
};
