//! Entries about the log and the bot.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::words::words;
use super::{Count, LogId, form};
use crate::tree::Hash;

words! {
    /// Why a log begins.
    GenesisBecause {
        /// The bot had no log.
        FirstStart = "first_start",
        /// The state is gone, and the old log with it.
        StateLost = "state_lost",
        /// The state is older than what was published.
        StateOlder = "state_older",
        /// The archive has another place.
        Moved = "moved",
        /// Files of another program were taken over.
        Imported = "imported",
    }
}

/// The log begins. Number 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// Keys that sign the log, as text of [`Vkey`](crate::key::Vkey).
    pub vkeys: Vec<String>,
    /// The log that ended before.
    pub previous_log: Option<PreviousLog>,
    /// Why it begins.
    pub because: GenesisBecause,
    /// Files that were there already, which no entry vouches for.
    pub segments_before: Vec<FileBefore>,
    /// Variables that decide what is archived, and their values. None is secret.
    pub settings: BTreeMap<String, String>,
}

/// A log that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousLog {
    /// Its id.
    pub log: LogId,
    /// Entries that are known to be in it.
    pub size: Count,
    /// Over them.
    #[serde(with = "form::hex")]
    pub root: Hash,
    /// Its last known note, if it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
}

/// A message file that is older than the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileBefore {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: Count,
    /// Of its bytes.
    #[serde(with = "form::hex")]
    pub sha256: Hash,
}

/// Time has passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// Received in it.
    pub records: Count,
    /// The file that is being written, if it has begun.
    pub open: Option<OpenFile>,
    /// For which the bot was connected, if it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected_seconds: Option<Count>,
    /// That the bot is in.
    pub conversations: Count,
    /// Of the tree over `<vgroupid> <last seq>`, sorted.
    #[serde(with = "form::hex")]
    pub heads_root: Hash,
}

/// A file that is being written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenFile {
    /// Number of its segment.
    pub number: Count,
    /// Written so far.
    pub bytes: Count,
    /// Written so far.
    pub records: Count,
    /// Of what is written so far.
    #[serde(with = "form::hex")]
    pub sha256: Hash,
}

words! {
    /// How a pause began.
    Ended {
        /// The bot was stopped.
        Orderly = "orderly",
        /// The process was killed.
        Killed = "killed",
        /// There is no trace of it.
        Unknown = "unknown",
    }
}

/// The bot was away. First entry after a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// End of the entry before.
    #[serde(with = "form::time")]
    pub from: Timestamp,
    /// The start.
    #[serde(with = "form::time")]
    pub to: Timestamp,
    /// How it began.
    pub ended: Ended,
    /// First `seq` after it by conversation, as far as it is known. No message is lost if the ranges go on with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub first_seq_after: BTreeMap<String, Count>,
}

words! {
    /// What an examiner asks about.
    NoticeCode {
        /// Retention was turned off.
        RetentionOff = "retention_off",
        /// Retention was turned on.
        RetentionOn = "retention_on",
        /// The bot was removed from a conversation.
        RemovedFrom = "removed_from",
        /// The bot's account has a further device.
        DeviceAdded = "device_added",
        /// The bot's password is another.
        PasswordRotated = "password_rotated",
        /// Other settings.
        Settings = "settings",
        /// The clock was set.
        ClockStep = "clock_step",
        /// Evidence that another program wrote was met.
        ChainBroken = "chain_broken",
        /// The disk was full.
        DiskStopped = "disk_stopped",
    }
}

/// Something an examiner would ask about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Which.
    pub code: NoticeCode,
    /// The conversation, the settings, the seconds: what it is about. No content.
    pub about: String,
}

/// Another key signs from here on. Signed by the old and the new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// The new key, as text of [`Vkey`](crate::key::Vkey).
    pub vkey: String,
    /// Why.
    pub reason: String,
    /// By the bot's clock.
    #[serde(with = "form::time")]
    pub valid_from: Timestamp,
}

/// The state came from a backup that is older than what was published. The log ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// What was published.
    pub published: Head,
    /// Entries in the state.
    pub local_size: Count,
}

/// The log ends in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// Before this entry.
    pub head: Head,
}

/// Size and root of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of entries.
    pub size: Count,
    /// Over them.
    #[serde(with = "form::hex")]
    pub root: Hash,
}
