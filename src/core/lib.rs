//! What every room stands on: what to do about an error, the wall clock, limits and their counts, pauses between tries, room on
//! a disk.
//!
//! Nothing here depends on a network or a message.
#![forbid(unsafe_code)]

pub mod clock;
pub mod disk;
pub mod fault;
pub mod limit;
pub mod pause;
pub mod places;
pub mod sparing;
pub mod text;
