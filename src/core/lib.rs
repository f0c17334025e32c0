//! What every room stands on: what to do about an error, the wall clock, pauses between tries, and named tasks and threads.
//!
//! Nothing here depends on a file, a network or a message.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests may do what clippy.toml reserves"))]

pub mod clock;
pub mod fault;
pub mod pause;
pub mod task;
