//! What devices and network share: pure values, no disk, no clock, no sockets.
#![warn(
    clippy::wildcard_enum_match_arm,
    clippy::let_underscore_must_use,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unreachable_pub
)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::as_conversions))]

pub mod attachment;
pub mod content;
pub mod credential;
pub mod endpoint;
mod fields;
pub mod ids;
pub mod limits;
pub mod shape;
pub mod wire;
