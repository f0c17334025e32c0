//! An MLS device: key store, session, send, receive. The MLS source and `retaind client` both use it.
#![forbid(unsafe_code)]
#![warn(
    clippy::wildcard_enum_match_arm,
    clippy::let_underscore_must_use,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unreachable_pub
)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod account;
pub mod blob;
pub mod connection;
pub mod conversations;
mod deferred;
pub mod mls;
pub mod patience;
pub mod safe;
pub mod store;
