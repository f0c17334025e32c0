//! What proves the archive: an append-only log of signed entries, and the checkpoints over it.
//!
//! Pure: values come in, bytes and values go out. No clock, no file, no network. The bot writes with it and the verifier reads
//! with it, so that both mean the same bytes.
//!
//! Invariants: one meaning has one form (RFC 8785), so an entry that is made again is the same bytes; every signature is over
//! bytes that begin with the format's name, so that a key serves no other use; whatever is read has a limit.
//!
//! Not here: where entries lie, when they are made, and what a set of them says about the archive.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests may do what clippy.toml reserves"))]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::as_conversions))]

pub mod canonical;
pub mod checkpoint;
pub mod entry;
pub mod key;
pub mod names;
pub mod tree;

#[cfg(test)]
mod tests;
