//! What devices and network share: pure values, no disk, no clock, no sockets.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests may do what clippy.toml reserves"))]
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
