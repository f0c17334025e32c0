//! People as adversaries: strangers on the wire, members with a client of their own, neighbours of the host. Each attack is
//! made in small here, and in full by `cargo run --release --example attack`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

mod connections;
mod deaths;
mod files;
mod limits;
mod lost;
mod members;
mod neighbours;
mod poison;
mod stolen;
mod strangers;
