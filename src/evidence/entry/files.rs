//! Entries about files: one was sealed, some are stored.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::words::words;
use super::{Count, form};
use crate::tree::Hash;

words! {
    /// Why a file was sealed.
    SealedBy {
        /// It was full.
        Size = "size",
        /// It was old enough.
        Time = "time",
        /// The bot stopped.
        Stop = "stop",
        /// An operator asked for it.
        Signal = "signal",
        /// It had as many files or conversations as one entry holds.
        Limit = "limit",
        /// The bot found it unsealed after a crash.
        Recovery = "recovery",
    }
}

/// A message file was sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: Count,
    /// Its length, unencrypted.
    pub bytes: Count,
    /// Its lines.
    pub records: Count,
    /// Of its bytes, unencrypted.
    #[serde(with = "form::hex")]
    pub sha256: Hash,
    /// Of the tree over its lines, each without its line feed.
    #[serde(with = "form::hex")]
    pub records_root: Hash,
    /// Why it was sealed.
    pub sealed_by: SealedBy,
    /// Earliest reception of its records by the bot.
    #[serde(with = "form::time_or_none", default, skip_serializing_if = "Option::is_none")]
    pub first_received: Option<Timestamp>,
    /// Latest reception.
    #[serde(with = "form::time_or_none", default, skip_serializing_if = "Option::is_none")]
    pub last_received: Option<Timestamp>,
    /// Earliest acceptance by the network.
    #[serde(with = "form::time_or_none", default, skip_serializing_if = "Option::is_none")]
    pub first_accepted: Option<Timestamp>,
    /// Latest acceptance.
    #[serde(with = "form::time_or_none", default, skip_serializing_if = "Option::is_none")]
    pub last_accepted: Option<Timestamp>,
    /// Records by `msgtype`.
    pub types: BTreeMap<String, Count>,
    /// Records of messages that the bot could not read.
    pub unreadable: Count,
    /// Messages that the network did not deliver.
    pub holes: Count,
    /// Attachments that could not be fetched.
    pub files_missing: Count,
    /// Sorted by id.
    pub conversations: Vec<ConversationRange>,
    /// What its records refer to, sorted by name.
    pub files: Vec<FileRef>,
}

/// What a segment has of one conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationRange {
    /// `vgroupid`.
    pub id: String,
    /// Least `seq`.
    pub first: Count,
    /// Greatest `seq`.
    pub last: Count,
    /// Records.
    pub records: Count,
    /// First and last `seq` of what the network did not deliver.
    pub holes: Vec<[Count; 2]>,
}

words! {
    /// What a file beside the records is.
    FileKind {
        /// A file that was sent.
        Attachment = "attachment",
        /// What could not be decrypted, as it came.
        Ciphertext = "ciphertext",
    }
}

/// A file that a record refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRef {
    /// Its name, or SHA-256 of its name in 64 hexadecimal digits.
    pub name: String,
    /// Its length, unencrypted.
    pub bytes: Count,
    /// Of its bytes, unencrypted.
    #[serde(with = "form::hex")]
    pub sha256: Hash,
    /// What it is.
    pub kind: FileKind,
    /// `vgroupid` of its record.
    pub conversation: String,
    /// Of its record.
    pub seq: Count,
}

/// Objects are stored. At most 1,000.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Sorted by name.
    pub objects: Vec<Object>,
}

words! {
    /// How an object is encrypted.
    Encryption {
        /// Not at all.
        None = "none",
        /// By the second version of the S3 encryption client's format.
        S3ecV2 = "s3ec-v2",
        /// By the third.
        S3ecV3 = "s3ec-v3",
    }
}

/// An object that is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Name of the file.
    pub name: String,
    /// Length of the stored bytes.
    pub bytes: Count,
    /// Of the stored bytes.
    #[serde(with = "form::hex")]
    pub sha256: Hash,
    /// Of the unencrypted bytes.
    #[serde(with = "form::hex_or_none", default, skip_serializing_if = "Option::is_none")]
    pub plain_sha256: Option<Hash>,
    /// How it is encrypted.
    pub encryption: Encryption,
    /// Where it is. Empty in a directory.
    pub bucket: String,
    /// Where in the bucket it is.
    pub key: String,
    /// The version that was written, where the bucket has versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its Object Lock as it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Lock>,
    /// When it was stored, by the bot's clock.
    #[serde(with = "form::time")]
    pub stored_at: Timestamp,
}

/// Object Lock of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// `GOVERNANCE` or `COMPLIANCE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Until then it cannot be deleted.
    #[serde(with = "form::time_or_none", default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Whether a legal hold is on it.
    pub hold: bool,
}
