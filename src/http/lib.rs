//! HTTP/1.1 over a connection, bounded on both sides: a small [`server`] and a small [`client`].
//!
//! Invariant: whatever the other end sends, and however slowly, costs a known amount of memory and time. Each user gives
//! its own limits as constants, with their reasons; nothing here has a default.
//!
//! Deliberately not here: what is asked and answered (health, updates and whoever else uses this room are above it), HTTP/2,
//! compression, cookies, proxies.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests may do what clippy.toml reserves"))]

pub mod client;
pub mod server;
#[cfg(test)]
mod tests;
