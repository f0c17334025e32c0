//! What a message can be: the closed, versioned content of an application message.
//!
//! A device encodes a [`Content`], MLS encrypts it, every member of the conversation decodes it, and the bot writes one
//! record of it. [`Body`] has a variant for every row of the record table; its number is [`Body::kind`], the `msgtype`.
//!
//! Invariants:
//! - [`Content::decode`] is the only way in. What it returns can be recorded as it is: names are names, positions are on
//!   the globe, lists are bounded. What it refuses becomes a record with the reason, never a panic.
//! - Nothing is understood by half. A body of an unknown kind or a newer version, and a body that says more than this
//!   version can hold (an unknown, repeated or stray field), is kept whole as [`Body::Unknown`].
//! - What [`Content::encode`] returns decodes: a device cannot send what others would refuse.
//! - No `Debug` output shows text, names or keys: it tells message id and kind.
//!
//! How it grows: a new kind is a new number; a new field of a kind is a new [`CONTENT_VERSION`]. The envelope (see
//! `schema`) never changes. Older devices keep what is newer than they are as [`Body::Unknown`].
//!
//! Not here: who sent it, in which conversation, and in which order. MLS and the network say that, not the content.
#![deny(clippy::arithmetic_side_effects, clippy::as_conversions)]

mod codec;
mod schema;
#[cfg(test)]
mod tests;

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use thiserror::Error;

use super::attachment::AttachmentKey;
use super::ids::{MessageId, UserName};
use super::limits::CONTENT_BYTES_MAX;

/// Newest version of bodies that this program writes and understands.
pub const CONTENT_VERSION: u32 = 1;

/// The numbers of the kinds: `msgtype` in records.
#[allow(missing_docs)]
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
#[allow(missing_docs)]
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
    /// Larger than [`CONTENT_BYTES_MAX`].
    #[error("content has {bytes} bytes, at most {CONTENT_BYTES_MAX} are allowed: send it as a file")]
    TooLarge {
        /// Encoded size.
        bytes: usize,
    },
    /// Not the envelope of `schema`.
    #[error("content is not an envelope of this protocol: {0}")]
    Envelope(&'static str),
    /// The body does not decode as its kind.
    #[error("content of kind `{kind}` does not decode as such")]
    Malformed {
        /// `msgtype` that the envelope names.
        kind: u32,
    },
    /// More list items than [`LIST_ITEMS_MAX`](super::limits::LIST_ITEMS_MAX).
    #[error("content of kind `{kind}` has more than {max} fields and list items", max = codec::FIELDS_MAX)]
    TooManyItems {
        /// `msgtype` that the envelope names.
        kind: u32,
    },
    /// A field holds what it must not hold.
    #[error("content of kind `{kind}` has a field `{field}` that {fault}")]
    Field {
        /// `msgtype` that the envelope names.
        kind: u32,
        /// Field of the schema.
        field: &'static str,
        /// What is wrong with it, as `is not …`.
        fault: &'static str,
    },
}

/// One message, as its sender's device made it.
#[derive(PartialEq)]
pub struct Content {
    /// Chosen at random by the sender.
    pub message_id: MessageId,
    /// The sender's clock, microseconds since 1970 UTC: any value, it is only a claim.
    pub sent_at_micros: i64,
    /// When the message expires, seconds since 1970 UTC: any value.
    pub ttl: Option<i64>,
    /// Burn on read: seconds after reading; 0 = no.
    pub bor: u32,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(PartialEq)]
pub enum Body {
    /// 1000.
    Text(Text),
    /// 3000.
    Verification(Verification),
    /// 4001.
    RoomCreated(RoomState),
    /// 4002: told by a member; the authenticated change is the MLS commit.
    MembersModified(MemberChange),
    /// 4003: the users that left, usually the sender.
    UserLeft(Vec<UserName>),
    /// 4004: new state of the room.
    RoomModified(RoomState),
    /// 4004 with [`changemask::SAVED_ITEMS`]: something happened to a saved item of the room.
    SavedItem(RoomState, Box<SavedItem>),
    /// 4005.
    RoomDeleted,
    /// 4011.
    Deleted(Deletion),
    /// 4012.
    Attributes(Vec<Attribute>),
    /// 4013.
    AttributeSync,
    /// 4014.
    Pinned(Pin),
    /// 6000.
    File(Attachment),
    /// 7000.
    Call(Call),
    /// 8000.
    Location(Position),
    /// 9000 of type `text`.
    EditText(TextEdit),
    /// 9000 of type `location`.
    EditLocation(LiveLocation),
    /// 9100.
    Reaction(Reaction),
    /// 9200.
    ReadReceipt(ReadReceipt),
    /// What this version cannot read, whole.
    Unknown {
        /// `msgtype` that the sender gave it, not 0.
        kind: u32,
        /// Version that the sender gave it, not 0.
        version: u32,
        /// The encoded body.
        bytes: Vec<u8>,
    },
}

/// A text.
#[derive(PartialEq)]
pub struct Text {
    /// As typed, any Unicode.
    pub text: String,
    /// URLs in the text, as the sender's client found them.
    pub links: Vec<String>,
}

/// A step of comparing keys.
#[derive(PartialEq)]
pub struct Verification {
    /// Which step.
    pub step: VerificationStep,
    /// The key that is verified (public).
    pub key: Vec<u8>,
}

/// Steps of comparing keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerificationStep {
    /// Please verify me.
    Request,
    /// Verified, and verify me too.
    ResponseAndRequest,
    /// Verified.
    Accept,
    /// The keys differ.
    Reject,
    /// Not now.
    NotNow,
}

/// State of a room after a change.
#[derive(PartialEq)]
pub struct RoomState {
    /// What changed: bits of [`changemask`].
    pub changemask: u32,
    /// Title.
    pub title: String,
    /// Description.
    pub description: String,
    /// Users that may change the room.
    pub masters: Vec<UserName>,
    /// All users.
    pub members: Vec<UserName>,
    /// Seconds that messages of the room live.
    pub ttl_secs: u64,
    /// Seconds that messages live once read; 0 = no limit.
    pub bor_secs: u32,
}

/// Who came and who went.
#[derive(PartialEq)]
pub struct MemberChange {
    /// Added users.
    pub added: Vec<UserName>,
    /// Removed users.
    pub deleted: Vec<UserName>,
}

/// What happened to a saved item (file vault) of a room.
pub struct SavedItem {
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
    /// Id of the item.
    pub guid: [u8; 16],
    /// Where it is stored.
    pub domain: String,
    /// Its key; never in a record.
    pub key: AttachmentKey,
    /// What was done.
    pub action: SavedItemAction,
    /// To what, such as `file`.
    pub target: String,
    /// Name of the file or folder.
    pub name: String,
    /// Folder that it is in.
    pub path: String,
    /// Who did it.
    pub modified_by: UserName,
    /// When, seconds since 1970 UTC.
    pub modified_at_secs: i64,
}

/// What can be done to a saved item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SavedItemAction {
    Create,
    Upload,
    Save,
    Rename,
    Move,
    Delete,
}

/// A message was deleted or recalled.
#[derive(PartialEq)]
pub struct Deletion {
    /// The message.
    pub target: MessageId,
    /// For whom.
    pub scope: DeletionScope,
}

/// For whom a message is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletionScope {
    /// On the sender's own devices.
    Own,
    /// Recalled for all.
    Everyone,
}

/// A private mark on a message.
#[derive(PartialEq, Clone, Copy)]
pub struct Attribute {
    /// The message.
    pub message: MessageId,
    /// Is it starred now?
    pub starred: bool,
}

/// Was the conversation pinned or unpinned?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// It is pinned now.
    Pinned,
    /// It is no longer pinned.
    Unpinned,
}

/// A file: where its ciphertext is and how to open it.
pub struct Attachment {
    /// Id of the blob on the network. Who knows it may read the ciphertext: never in a record.
    pub blob: [u8; 32],
    /// Key of the blob; never in a record.
    pub key: AttachmentKey,
    /// Plaintext bytes.
    pub size: u64,
    /// SHA-256 of the plaintext.
    pub sha256: [u8; 32],
    /// Name that the sender gave it: hostile until cleaned, at most
    /// [`FILE_NAME_BYTES_MAX`](super::limits::FILE_NAME_BYTES_MAX) bytes.
    pub name: String,
    /// Id of the file.
    pub guid: [u8; 16],
    /// What sort of file the sender's client says it is.
    pub kind: AttachmentKind,
}

/// What sort of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachmentKind {
    /// Nothing special.
    File,
    /// A screenshot.
    Screenshot,
    /// A recorded voice message.
    VoiceMemo {
        /// Its length.
        seconds: u32,
    },
}

/// Something about a call. What is spoken is not a message.
#[derive(PartialEq)]
pub struct Call {
    /// Id of the meeting.
    pub meeting_id: u64,
    /// Version of the calling protocol.
    pub version: u32,
    /// Must clients check that version?
    pub version_check: bool,
    /// What happened.
    pub phase: CallPhase,
}

/// What happened to a call.
#[derive(PartialEq)]
pub enum CallPhase {
    /// It starts.
    Start(CallRoute),
    /// Somebody is invited to it.
    Invite {
        /// Where it is.
        route: CallRoute,
        /// Message of the invitation.
        invite: MessageId,
        /// Message that started the call.
        start: MessageId,
    },
    /// It is over.
    End {
        /// Message that started the call.
        start: MessageId,
        /// How it ended.
        outcome: CallOutcome,
        /// How long it was.
        duration_secs: u64,
    },
}

/// Where a call is, and for whom.
#[derive(PartialEq)]
pub struct CallRoute {
    /// Address over IPv4.
    pub uri: String,
    /// Address over IPv6.
    pub uri_ipv6: String,
    /// Users, not by name.
    pub participants: Vec<UserHash>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// It was held.
    Completed,
    /// Nobody took it.
    Missed,
    /// The caller gave up.
    Cancelled,
}

/// A user without the name: SHA-256 of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserHash(pub [u8; 32]);

impl UserHash {
    /// Of `user`.
    pub fn of(user: &UserName) -> Self {
        Self(sha256(user.as_str().as_bytes()))
    }
}

/// A place on Earth, in degrees: both finite and within ±90 and ±180.
#[derive(Clone, Copy, PartialEq)]
pub struct Position {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
}

/// A corrected text.
#[derive(PartialEq)]
pub struct TextEdit {
    /// The message that is corrected.
    pub original: MessageId,
    /// Its new text.
    pub text: String,
}

/// The sender moved while sharing the location.
#[derive(Clone, Copy, PartialEq)]
pub struct LiveLocation {
    /// Where the sender is now.
    pub position: Position,
    /// Until when it is shared, seconds since 1970 UTC, not negative; `None` = sharing has stopped.
    pub shared_until_secs: Option<i64>,
}

/// A reaction to a message.
#[derive(PartialEq)]
pub struct Reaction {
    /// The message.
    pub original: MessageId,
    /// Usually one emoji.
    pub reaction: String,
    /// Was it put or taken away?
    pub change: ReactionChange,
}

/// Was a reaction put or taken away?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReactionChange {
    /// Put.
    Added,
    /// Taken away.
    Removed,
}

/// The sender has read a message.
#[derive(Clone, Copy, PartialEq)]
pub struct ReadReceipt {
    /// When the message was sent, microseconds since 1970 UTC, not negative.
    pub message_sent_at_micros: i64,
    /// When it was read, seconds since 1970 UTC, not negative.
    pub read_at_secs: i64,
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

impl VerificationStep {
    /// As in records and in the schema.
    pub fn number(self) -> u8 {
        match self {
            Self::Request => 1,
            Self::ResponseAndRequest => 2,
            Self::Accept => 3,
            Self::Reject => 4,
            Self::NotNow => 5,
        }
    }
}

impl CallOutcome {
    /// As in records and in the schema.
    pub fn number(self) -> u8 {
        match self {
            Self::Completed => 1,
            Self::Missed => 2,
            Self::Cancelled => 3,
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

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment").field("size", &self.size).finish_non_exhaustive()
    }
}

impl PartialEq for Attachment {
    fn eq(&self, other: &Self) -> bool {
        let Self { blob, key, size, sha256, name, guid, kind } = self;
        (blob, size, sha256, name, guid, kind)
            == (&other.blob, &other.size, &other.sha256, &other.name, &other.guid, &other.kind)
            && same_key(key, &other.key)
    }
}

impl PartialEq for SavedItem {
    fn eq(&self, other: &Self) -> bool {
        let Self { sha256, guid, domain, key, action, target, name, path, modified_by, modified_at_secs } = self;
        (sha256, guid, domain, action, target)
            == (&other.sha256, &other.guid, &other.domain, &other.action, &other.target)
            && (name, path, modified_by, modified_at_secs)
                == (&other.name, &other.path, &other.modified_by, &other.modified_at_secs)
            && same_key(key, &other.key)
    }
}

fn same_key(a: &AttachmentKey, b: &AttachmentKey) -> bool {
    verify_slices_are_equal(a.expose(), b.expose()).is_ok()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0u8; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}
