//! An MLS device: key store, session, send, receive. The MLS source and `retaind client` both use it.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests may do what clippy.toml reserves"))]

pub mod account;
pub mod blob;
pub mod connection;
pub mod conversations;
mod deferred;
mod error;
pub mod limits;
pub mod mls;
pub mod patience;
pub mod pushes;
pub mod safe;
pub mod store;
