//! What a message can be: the closed, versioned content of an application message.
//!
//! A device encodes a [`Content`], MLS encrypts it, every member of the conversation decodes it, and the bot writes one
//! record of it. [`Body`] has a variant for every row of the record table; its number is [`Body::kind`], the `msgtype`.
//!
//! Invariants:
//! - [`Content::decode`] is the only way in. What it returns can be recorded as it is: names are names, positions are on
//!   the globe, lists are bounded. What it refuses becomes a record with the reason, never a panic.
//! - Nothing is understood partially. A body of an unknown kind or a newer version, and a body that holds more than this
//!   version can hold (an unknown, repeated or stray field), is kept whole as [`Body::Unknown`].
//! - What [`Content::encode`] returns decodes: a device cannot send what others would refuse.
//! - No `Debug` output shows text, names or keys: only message id and kind.
//!
//! How it grows: a new kind is a new number; a new field of a kind is a new [`CONTENT_VERSION`]. The envelope (see
//! `schema`) never changes. Older devices keep what is newer than they are as [`Body::Unknown`].
//!
//! Not here: sender, conversation and order. MLS and the network provide those, not the content.
#![deny(clippy::arithmetic_side_effects, clippy::as_conversions)]

mod announced;
mod body;
mod decode;
mod encode;
mod salvage;
mod schema;
#[cfg(test)]
mod tests;

use std::fmt;

use thiserror::Error;

use super::ids::{MessageId, UserName};
use super::limits::CONTENT_BYTES_MAX;
pub use announced::AnnouncedFile;
pub use body::*;
pub use salvage::{Salvage, salvage, without_keys};

/// Newest version of bodies that this program writes and understands.
pub(crate) const CONTENT_VERSION: u32 = 1;

/// The numbers of the kinds: `msgtype` in records.
#[expect(missing_docs, reason = "the names say it; docs/archive.md has the table")]
pub mod kind {
    pub const TEXT: u32 = 1000;
    pub const VERIFICATION: u32 = 3000;
    pub const ROOM_CREATED: u32 = 4001;
    pub const MEMBERS_MODIFIED: u32 = 4002;
    pub const USER_LEFT: u32 = 4003;
    pub const ROOM_MODIFIED: u32 = 4004;
    pub const ROOM_DELETED: u32 = 4005;
    pub const DELETED: u32 = 4011;
    pub const ATTRIBUTES: u32 = 4012;
    pub const ATTRIBUTE_SYNC: u32 = 4013;
    pub const PINNED: u32 = 4014;
    pub const FILE: u32 = 6000;
    pub const CALL: u32 = 7000;
    pub const LOCATION: u32 = 8000;
    pub const EDIT: u32 = 9000;
    pub const REACTION: u32 = 9100;
    pub const READ_RECEIPT: u32 = 9200;
}

/// Bits of [`RoomState::changemask`].
#[expect(missing_docs, reason = "the names say it; docs/archive.md has the table")]
pub mod changemask {
    pub const MASTERS: u32 = 1;
    pub const TTL: u32 = 2;
    pub const TITLE: u32 = 4;
    pub const DESCRIPTION: u32 = 8;
    pub const MEETING_KEY: u32 = 16;
    pub const BURN_ON_READ: u32 = 32;
    pub const SAVED_ITEMS: u32 = 64;
}

/// Why bytes are not a content, or a content cannot be sent. Never holds what the message says.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ContentError {
    /// The content is larger than [`CONTENT_BYTES_MAX`].
    #[error("content has {bytes} bytes, at most {CONTENT_BYTES_MAX} are allowed: send it as a file")]
    TooLarge {
        /// Encoded size in bytes.
        bytes: usize,
    },
    /// The bytes are not the envelope of `schema`.
    #[error("content is not an envelope of this protocol: {0}")]
    Envelope(&'static str),
    /// The body does not decode as its kind.
    #[error("content of kind `{kind}` does not decode as such")]
    Malformed {
        /// `msgtype` in the envelope.
        kind: u32,
    },
    /// A list has more items than [`LIST_ITEMS_MAX`](super::limits::LIST_ITEMS_MAX).
    #[error("content of kind `{kind}` has more than {max} fields and list items", max = decode::FIELDS_MAX)]
    TooManyItems {
        /// `msgtype` in the envelope.
        kind: u32,
    },
    /// A field has a value that is not allowed.
    #[error("content of kind `{kind}` has a field `{field}` that {fault}")]
    Field {
        /// `msgtype` in the envelope.
        kind: u32,
        /// Name of the field in the schema.
        field: &'static str,
        /// What is wrong with it, as `is not …`.
        fault: &'static str,
    },
}

/// One message, as its sender's device made it.
#[derive(PartialEq)]
pub struct Content {
    /// Random id, chosen by the sender.
    pub message_id: MessageId,
    /// Time of the sender's clock, microseconds since 1970 UTC: any value, it is only a claim.
    pub sent_at_micros: i64,
    /// When the message expires, seconds since 1970 UTC: any value.
    pub ttl: Option<i64>,
    /// Burn on read: seconds after reading; 0 = no.
    pub bor: u32,
    /// The body of the message.
    pub body: Body,
}

impl Content {
    /// Ids of the blobs that it names: what the network has to keep for its readers.
    pub fn blobs(&self) -> Vec<Vec<u8>> {
        if let Body::File(attachment) = &self.body { vec![attachment.blob.to_vec()] } else { Vec::new() }
    }
}

/// The body of a message.
#[derive(PartialEq)]
pub enum Body {
    /// 1000: a text.
    Text(Text),
    /// 3000: a step of comparing keys.
    Verification(Verification),
    /// 4001: a room was created.
    RoomCreated(RoomState),
    /// 4002: users who were added or removed, according to a member; the authenticated change is the MLS commit.
    MembersModified(MemberChange),
    /// 4003: users who left, usually the sender.
    UserLeft(Vec<UserName>),
    /// 4004: new state of the room.
    RoomModified(RoomState),
    /// 4004 with [`changemask::SAVED_ITEMS`]: a saved item of the room was changed.
    SavedItem(RoomState, Box<SavedItem>),
    /// 4005: the room was deleted.
    RoomDeleted,
    /// 4011: a message was deleted or recalled.
    Deleted(Deletion),
    /// 4012: private marks on messages.
    Attributes(Vec<Attribute>),
    /// 4013: private marks were synchronised.
    AttributeSync,
    /// 4014: the conversation was pinned or unpinned.
    Pinned(Pin),
    /// 6000: a file.
    File(Attachment),
    /// 7000: an event of a call.
    Call(Call),
    /// 8000: a place.
    Location(Position),
    /// 9000 of type `text`: a corrected text.
    EditText(TextEdit),
    /// 9000 of type `location`: the sender's new place.
    EditLocation(LiveLocation),
    /// 9100: a reaction.
    Reaction(Reaction),
    /// 9200: a message was read.
    ReadReceipt(ReadReceipt),
    /// A body that this version cannot read, whole.
    Unknown {
        /// `msgtype` given by the sender, not 0.
        kind: u32,
        /// Version given by the sender, not 0.
        version: u32,
        /// The encoded body.
        bytes: Vec<u8>,
    },
}

impl Body {
    /// The `msgtype` number.
    pub fn kind(&self) -> u32 {
        match self {
            Self::Text(_) => kind::TEXT,
            Self::Verification(_) => kind::VERIFICATION,
            Self::RoomCreated(_) => kind::ROOM_CREATED,
            Self::MembersModified(_) => kind::MEMBERS_MODIFIED,
            Self::UserLeft(_) => kind::USER_LEFT,
            Self::RoomModified(_) | Self::SavedItem(..) => kind::ROOM_MODIFIED,
            Self::RoomDeleted => kind::ROOM_DELETED,
            Self::Deleted(_) => kind::DELETED,
            Self::Attributes(_) => kind::ATTRIBUTES,
            Self::AttributeSync => kind::ATTRIBUTE_SYNC,
            Self::Pinned(_) => kind::PINNED,
            Self::File(_) => kind::FILE,
            Self::Call(_) => kind::CALL,
            Self::Location(_) => kind::LOCATION,
            Self::EditText(_) | Self::EditLocation(_) => kind::EDIT,
            Self::Reaction(_) => kind::REACTION,
            Self::ReadReceipt(_) => kind::READ_RECEIPT,
            Self::Unknown { kind, .. } => *kind,
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("message_id", &self.message_id)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({})", self.kind())
    }
}
