//! The data path: chunks of a source in, message files and attachments out, each exactly once.
//!
//! [`source`] is the seam to the network, [`commit`] the one commit point, [`segment`] the message files, [`ship`] the way to
//! the destination; [`run`] starts, watches and drains them.
#![forbid(unsafe_code)]
#![warn(
    clippy::wildcard_enum_match_arm,
    clippy::let_underscore_must_use,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unreachable_pub
)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod batch;
pub mod commit;
pub mod disk;
pub mod failure;
pub mod files;
pub mod grace;
pub mod home;
pub mod passwords;
pub mod run;
pub mod segment;
pub mod ship;
pub mod source;
pub mod starts;
pub mod state;
pub mod watchdog;
