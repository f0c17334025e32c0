//! Reads an archive that the bot wrote, or the closed bot before it: `ls`, `cat`, `search`, `stats`, and what exports share.
//!
//! The room never writes to an archive and needs no network. Lines are hostile until they are read: their length, their nesting
//! and their types are bounded, a bad line is counted and named by file and line, and no content is in an error. Memory stays
//! flat: files are read in blocks, and what has to be put in order is sorted in an unlinked temporary file.
//!
//! [`source`] finds files and cuts lines, [`record`] gives a line its types, [`membership`] says who was in a conversation,
//! [`filter`] chooses, and [`timeline`] puts edits, reactions and recalls under their message. [`run`] is a subcommand.
//!
//! Not here: S3, evidence (`verify`, `prove`), exports, holds.
#![forbid(unsafe_code)]

pub mod enrich;
pub mod filter;
pub mod membership;
pub mod output;
pub mod people;
pub mod record;
pub mod rows;
pub mod sort;
pub mod source;
pub mod timeline;
pub mod words;

mod cat;
mod command;
mod ls;
mod progress;
mod search;
mod stats;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

pub use self::cat::CatArgs;
pub use self::command::{AttachmentsArgs, Command, Error, Exit, SourceArgs, run};
pub use self::ls::{LsArgs, WhatArgs};
pub use self::output::Terminal;
pub use self::progress::ProgressMode;
pub use self::search::SearchArgs;
pub use self::stats::StatsArgs;
