//! The image on a real Docker engine: the guide's start lines, the ends of containers, and hosts that mistreat them.
//!
//! Each test plays in a world of its own (`support::docker`), with devices that talk to the network in the container as any
//! device does, from outside.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod compose;
mod guide;
mod image;
mod lives;
mod misuse;
mod ports;
