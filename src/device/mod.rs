//! An MLS device: key store, session, send, receive. The bot and `retaind client` are both devices.

pub mod vault;
