//! People as adversaries: strangers on the wire, members with a client of their own, neighbours of the host. Each attack is
//! made in small here, and in full by `cargo run --release --example attack`.

mod connections;
mod members;
mod neighbours;
mod poison;
mod strangers;
