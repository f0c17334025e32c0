//! What devices and network share: pure values, no disk, no clock, no sockets.
#![forbid(unsafe_code)]

pub mod attachment;
pub mod content;
pub mod credential;
pub mod endpoint;
mod fields;
pub mod ids;
pub mod limits;
pub mod shape;
pub mod wire;
