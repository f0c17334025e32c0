//! A world in which everything that a bot touches is simulated: its disk, with the state on it, its clock, its network.
#![allow(dead_code, missing_docs)]

pub mod disk;
pub mod vfs;
