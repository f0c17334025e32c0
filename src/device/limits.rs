//! Limits of a device that its network can meet.

use retaind_core::limit::Limit;

/// All of them, for the table in docs/limits.md and the counters.
pub const LIMITS: &[Limit] = &[NETWORK_ANSWER_SECONDS];

/// From the connection to the network's greeting, and from the log-in to its answer.
pub const NETWORK_ANSWER_SECONDS: Limit = Limit {
    name: "network_answer_seconds",
    value: 20,
    unit: "seconds for the network to take a connection and greet, and as many to answer the log-in",
    why: "a network that accepts and says nothing would keep the bot waiting; it is asked again on another connection",
    variable: None,
};
