//! What the bot says about itself: counters and the log.

pub mod counters;
pub mod logs;
