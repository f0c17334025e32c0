//! What the bot says about itself: counters, events, metrics, health and the log.
//!
//! Invariant: reporting never stands in the way of the data path. [`events::Events::raise`] and
//! [`counters::Counter::add`] return at once whatever AWS does; what AWS does not take is kept, within limits, and what
//! the limits cost is counted and told.
//!
//! What waits to be told is in memory only: a killed bot has written it to its log, and nowhere else.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests may do what clippy.toml reserves"))]

pub mod counters;
pub mod events;
pub mod health;
mod limits;
pub mod logs;
pub mod metrics;
pub mod origin;
pub mod outlets;
pub mod status;
pub mod updates;

pub use self::limits::{HEALTH_ANSWER_SECONDS, LIMITS};
