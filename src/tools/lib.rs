//! What helps to try and to test the network and the bot, and is not needed where a bot runs.
//!
//! [`client`] is a device on the command line, [`demo`] shows everything at work in one process, [`replay`] plays recorded
//! conversations through real devices: for the two of them, for tests and for benches.
//!
//! The program has it behind the feature `tools`, which is on by default; the program of the image is built without.
#![forbid(unsafe_code)]

pub mod client;
pub mod demo;
pub mod replay;
