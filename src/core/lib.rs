//! What every room stands on: what to do about an error, the wall clock, and pauses between tries.
//!
//! Nothing here depends on a file, a network or a message.
#![forbid(unsafe_code)]
#![warn(
    clippy::wildcard_enum_match_arm,
    clippy::let_underscore_must_use,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unreachable_pub
)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod clock;
pub mod fault;
pub mod pause;
