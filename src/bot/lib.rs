//! The data path: chunks of a source in, message files and attachments out, each exactly once.
//!
//! [`source`] is the seam to the network, [`commit`] the one commit point, [`segment`] the message files, [`ship`] the way to
//! the destination; [`run`] starts, watches and drains them.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests may do what clippy.toml reserves"))]

pub mod batch;
pub mod commit;
pub mod disk;
pub mod evidence;
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
