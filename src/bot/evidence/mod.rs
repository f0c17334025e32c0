//! Evidence: what proves that the archive is complete and unchanged, made as it is written.
//!
//! A log of entries (`retaind_evidence`), numbered without a gap, each signed and chained to the one before it. A sealed message
//! file, a silence, a start and the end of the log each have one. Their heads are signed now and then, and whoever keeps one
//! elsewhere can show that nothing before it was taken away.
//!
//! Invariants:
//! - The entry of a sealed file is in the transaction that seals it: there is neither without the other, whatever crashes.
//! - What an entry says of a file is counted from the bytes that were written to it ([`account`]), not from what was meant to be.
//! - An entry's bytes are in the state before any of them is in a file, and never change: a start that finds them there writes
//!   the same. Ed25519 is deterministic.
//! - Entries are published in their order, here and at the destination.
//! - Each moment from the first entry to the last is covered by one entry.
//!
//! A crash leaves entries in the state that are not files yet; the next start writes them. What it finds under their name is
//! either the same bytes, or the work of another copy of this state: then the log has forked, nothing more is written to it, and
//! a new one begins that names it.
//!
//! Not here: the format, reading and judging (`retaind_evidence`, `retaind_verify`).

mod account;
mod log;
mod publish;
mod start;

use std::path::PathBuf;
use std::time::Duration;

use retaind_evidence::entry::Bot;
use retaind_report::events::Events;
use retaind_state::StoreError;
use thiserror::Error;

use crate::disk::DiskError;

pub(crate) use account::Account;
pub(crate) use log::{Closing, Evidence, Moment};
pub(crate) use start::{Found, end, start};

/// Entries after which a head is signed, whatever the time.
const CHECKPOINT_ENTRIES: u64 = 256;

/// How the archive is proved.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Directory of entries, heads and keys. It exists.
    pub directory: PathBuf,
    /// After how long without an entry one is made; `None`: never.
    pub interval: Option<Duration>,
    /// After how long a head is signed.
    pub checkpoints: Duration,
    /// Name of the key and origin of the heads of a new log; `None`: made of the names of bot and network.
    pub origin: Option<String>,
}

/// Who attests.
pub struct Attestor {
    /// The bot and its device.
    pub bot: Bot,
    /// Where new keys and heads are reported.
    pub events: Events,
}

/// Why nothing more can be attested. The bot ends, as it does when it cannot write records.
#[derive(Debug, Error)]
pub enum EvidenceError {
    /// The state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the evidence.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// What the state holds of the log cannot be read.
    #[error("what the state holds of the evidence is damaged ({0}): restore the state from a copy")]
    Damaged(&'static str),
    /// The operating system gives no random bytes.
    #[error("the system gives no random bytes for the key of the evidence; restart the bot")]
    Random,
    /// Another copy of the state has written to the log.
    #[error(
        "`{}` is there with other content: another copy of this bot's state has continued its evidence; the next start begins a new log", path.display()
    )]
    Forked {
        /// The file.
        path: PathBuf,
    },
}
