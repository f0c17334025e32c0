//! The archive's formats: records, names of attachments, the encryption envelope.
//!
//! Pure: values come in, bytes and values go out. No clock, no file, no network, no AWS. What the bot writes and what a
//! reader of the archive expects is decided here, once, for both.
#![forbid(unsafe_code)]
#![warn(
    clippy::wildcard_enum_match_arm,
    clippy::let_underscore_must_use,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unreachable_pub
)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::as_conversions))]

pub mod data_key;
pub mod encrypt;
pub mod names;
pub mod record;
