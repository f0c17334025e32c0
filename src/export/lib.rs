//! Exports of an archive: what an officer chose, in the form that another platform takes.
//!
//! - **In = out + excluded.** Each record that the filter wants is, for each format, either written or listed with a reason;
//!   otherwise the command fails. [`table`] says what each type becomes in each format, [`ledger`] holds the account.
//! - **Deterministic.** One archive and one query give the same bytes: no clock but `exported_at` of `export.json`, no random
//!   boundary, no order of a hash table.
//! - **Bounded.** A [`slice::Slice`] is one conversation and one local day, cut into parts of a bounded number of events and bytes, and
//!   only the slices that are being filled are held. Attachments are streamed.
//! - **Whole or not there.** Every file appears by a rename, `export.json` as the last one: a directory without it is no export.
//! - **Hostile content.** Texts, names and titles come from senders: each writer escapes for its format, and no path
//!   of an export is made of them.
//!
//! Not here: load files (DAT), XLSX, Parquet, redaction, the check of others' RSMF, resuming, the verdict of a verification.
#![forbid(unsafe_code)]

mod actiance;
mod args;
mod attachment;
mod command;
mod csv;
mod eml;
mod error;
mod html;
mod jsonl;
mod ledger;
mod manifest;
mod output;
mod plan;
mod rsmf;
mod slice;
mod table;
mod transcript;
mod writer;

#[cfg(test)]
mod tests;

pub use self::args::{ExportArgs, Slicing};
pub use self::command::export;
pub use self::error::Error;
pub use self::table::Format;
