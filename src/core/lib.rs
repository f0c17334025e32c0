//! What every room stands on: what to do about an error.
//!
//! Nothing here knows a file, a network or a message.
#![forbid(unsafe_code)]

pub mod fault;
