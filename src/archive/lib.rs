//! The archive's formats: records, names of attachments, the encryption envelope.
//!
//! Pure: values come in, bytes and values go out. No clock, no file, no network, no AWS. What the bot writes and what a
//! reader of the archive expects is decided here, once, for both.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests may do what clippy.toml reserves"))]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::as_conversions))]

pub mod data_key;
pub mod encrypt;
pub mod names;
pub mod record;
