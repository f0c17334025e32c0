//! What every room stands on: what to do about an error, the wall clock, limits and their counts, pauses between tries.
//!
//! Nothing here depends on a file, a network or a message.
#![forbid(unsafe_code)]

pub mod clock;
pub mod fault;
pub mod limit;
pub mod pause;
pub mod places;
