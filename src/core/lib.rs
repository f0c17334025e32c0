//! What every room needs: what to do about an error.
//!
//! Nothing here depends on a file, a network or a message.
#![forbid(unsafe_code)]

pub mod fault;
