//! A bot's process: configuration → build → application → drain.
//!
//! [`run`](run()) puts the rooms together and takes them down in order. Everything that the process has once (signals, runtime,
//! log, health endpoint, limits, deadline of a stop) is set up here, from the configuration; the rooms below are given what
//! they need and read no setting themselves. What fails is a [`Failure`], which says what to do about it.
//!
//! Not here: arguments and what a subcommand prints. Only the dialogue for a password uses the terminal.
#![forbid(unsafe_code)]

pub mod embedded;
mod evidence;
pub mod failure;
mod health;
pub mod lifecycle;
pub mod limits;
mod log;
mod log_ins;
mod password;
mod prompt;
mod report;
mod run;
pub mod settings;
mod starts;
pub mod upload;

pub use failure::Failure;
pub use run::{STATE_FILE, run, runtime, workers};
