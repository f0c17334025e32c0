//! An MLS device: key store, session, send, receive. The bot and `retaind client` are both devices.
#![forbid(unsafe_code)]

pub mod account;
pub mod blob;
pub mod connection;
pub mod conversations;
mod deferred;
pub mod mls;
pub mod patience;
pub mod safe;
pub mod store;
