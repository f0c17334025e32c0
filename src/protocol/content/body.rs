//! The parts of a [`Body`](super::Body), one type for each kind.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

use crate::attachment::AttachmentKey;
use crate::ids::{MessageId, UserName};

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
    /// The step.
    pub step: VerificationStep,
    /// The public key that is verified.
    pub key: Vec<u8>,
}

/// Steps of comparing keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerificationStep {
    /// Request to verify.
    Request,
    /// Verified, with a request to verify back.
    ResponseAndRequest,
    /// The other side is verified.
    Accept,
    /// The keys differ.
    Reject,
    /// Postponed: verification is wanted later.
    NotNow,
}

/// State of a room after a change of it.
#[derive(PartialEq)]
pub struct RoomState {
    /// What changed: bits of [`changemask`](super::changemask).
    pub changemask: u32,
    /// Title of the room.
    pub title: String,
    /// Description of the room.
    pub description: String,
    /// Users who may change the room.
    pub masters: Vec<UserName>,
    /// All users in the room.
    pub members: Vec<UserName>,
    /// Lifetime of messages in seconds.
    pub ttl_secs: u64,
    /// Lifetime of messages once read, in seconds; 0 = no limit.
    pub bor_secs: u32,
}

/// Users who were added and removed.
#[derive(PartialEq)]
pub struct MemberChange {
    /// Added users.
    pub added: Vec<UserName>,
    /// Removed users.
    pub deleted: Vec<UserName>,
}

/// A change of a saved item (file vault) of a room.
pub struct SavedItem {
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
    /// Id of the item.
    pub guid: [u8; 16],
    /// Place where it is stored.
    pub domain: String,
    /// Its key; never in a record.
    pub key: AttachmentKey,
    /// The action.
    pub action: SavedItemAction,
    /// Kind of the target, such as `file`.
    pub target: String,
    /// Name of the file or folder.
    pub name: String,
    /// Folder that it is in.
    pub path: String,
    /// User who did it.
    pub modified_by: UserName,
    /// Time of the action, seconds since 1970 UTC.
    pub modified_at_secs: i64,
}

/// Actions on a saved item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it, and the numbers are of the wire")]
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
    /// The deleted message.
    pub target: MessageId,
    /// For whom it is deleted.
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
    /// The starred message.
    pub message: MessageId,
    /// Whether it is starred now.
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
    /// Id of the blob on the network. Its holder may read the ciphertext: never in a record.
    pub blob: [u8; 32],
    /// Key of the blob; never in a record.
    pub key: AttachmentKey,
    /// Length of the plaintext in bytes.
    pub size: u64,
    /// SHA-256 of the plaintext.
    pub sha256: [u8; 32],
    /// Name given by the sender: hostile until cleaned, at most
    /// [`FILE_NAME_BYTES_MAX`](crate::limits::FILE_NAME_BYTES_MAX) bytes.
    pub name: String,
    /// Id of the file.
    pub guid: [u8; 16],
    /// Sort of the file according to the sender's client.
    pub kind: AttachmentKind,
}

/// Sort of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachmentKind {
    /// An ordinary file.
    File,
    /// A screenshot.
    Screenshot,
    /// A recorded voice message.
    VoiceMemo {
        /// Length in seconds.
        seconds: u32,
    },
}

/// An event of a call. What is spoken is not a message.
#[derive(PartialEq)]
pub struct Call {
    /// Id of the meeting.
    pub meeting_id: u64,
    /// Version of the calling protocol.
    pub version: u32,
    /// Whether clients must check that version.
    pub version_check: bool,
    /// The event.
    pub phase: CallPhase,
}

/// Events of a call.
#[derive(PartialEq)]
pub enum CallPhase {
    /// It starts.
    Start(CallRoute),
    /// A user is invited to it.
    Invite {
        /// Address and participants.
        route: CallRoute,
        /// Message of the invitation.
        invite: MessageId,
        /// Message that started the call.
        start: MessageId,
    },
    /// It has ended.
    End {
        /// Message that started the call.
        start: MessageId,
        /// How it ended.
        outcome: CallOutcome,
        /// How long it was.
        duration_secs: u64,
    },
}

/// Address and participants of a call.
#[derive(PartialEq)]
pub struct CallRoute {
    /// Address over IPv4.
    pub uri: String,
    /// Address over IPv6.
    pub uri_ipv6: String,
    /// Participants, by the hashes of their names.
    pub participants: Vec<UserHash>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// It took place.
    Completed,
    /// It was not answered.
    Missed,
    /// The caller cancelled it.
    Cancelled,
}

/// A user as the SHA-256 of the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserHash(pub [u8; 32]);

impl UserHash {
    /// The hash of the name of `user`.
    pub fn of(user: &UserName) -> Self {
        Self(sha256(user.as_str().as_bytes()))
    }
}

/// A place on Earth, in degrees: both finite, within ±90 and ±180.
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
    /// The corrected message.
    pub original: MessageId,
    /// Its new text.
    pub text: String,
}

/// The sender moved while sharing the location.
#[derive(Clone, Copy, PartialEq)]
pub struct LiveLocation {
    /// Present place of the sender.
    pub position: Position,
    /// End of the sharing, seconds since 1970 UTC, not negative; `None` = sharing has stopped.
    pub shared_until_secs: Option<i64>,
}

/// A reaction to a message.
#[derive(PartialEq)]
pub struct Reaction {
    /// The message reacted to.
    pub original: MessageId,
    /// The reaction, usually one emoji.
    pub reaction: String,
    /// Whether it was added or removed.
    pub change: ReactionChange,
}

/// Was a reaction added or removed?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReactionChange {
    /// The sender reacted.
    Added,
    /// The sender took a reaction back.
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

impl VerificationStep {
    /// Its number in records and in the schema.
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
    /// Its number in records and in the schema.
    pub fn number(self) -> u8 {
        match self {
            Self::Completed => 1,
            Self::Missed => 2,
            Self::Cancelled => 3,
        }
    }
}

/// Debug output that shows the type and none of its content.
macro_rules! without_content {
    ($($part:ident)*) => {$(
        impl fmt::Debug for $part {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($part), "(..)"))
            }
        }
    )*};
}

without_content! {
    Text Verification RoomState MemberChange SavedItem Deletion Attribute Call CallPhase CallRoute Position TextEdit
    LiveLocation Reaction ReadReceipt
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
