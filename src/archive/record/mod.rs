//! One message, one line of JSON: the record.
//!
//! [`Record::append_line`] is a pure function of its values; the caller has decrypted the message and read the
//! clock. A record says what was said, by whom, when and where, in the shapes that readers of the message files expect
//! (`msgtype` and an object of its own for each), and has further fields, always: `network_id`, `sender_network_id`,
//! `device`, `seq` and `received_iso`.
//!
//! Invariants:
//! - One object and one `\n` a record, and no other character that a reader may take for the end of a line; keys in
//!   alphabetical order at every level, compact. Text is kept: only `"`, `\`, control characters below U+0020, U+0085,
//!   U+2028 and U+2029 are escaped.
//! - Records have no `Debug`: they reach the segment and nothing else.
//! - Keys of attachments and ids of blobs are never written. There is no field for them.
//! - Nothing is skipped: what cannot be read is a record of `msgtype` 0 with `reason`, a hole in `seq` is one too, and
//!   membership, which MLS authenticates, is recorded as 4002 and 4003. What only concerns keys is our own 4900.
//! - Any `i64` is a time: `msg_ts` is exact, and what is outside the years 1 to 9999 is shown as the nearest moment
//!   inside (see `time`).
//!
//! - What a sender claims of a file is never recorded as a fact: hash and size of a file that is here are the file's, and a
//!   claim that differs is beside them.
//!
//! Not here: names of the files beside the records ([`names`](crate::names)), and what can be decrypted of an attachment: its
//! source finds that out.

mod file;
mod format;
mod line;
mod shapes;
mod time;

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize as _;
use serde_json::Serializer;
use thiserror::Error;

use self::format::OneLine;
use retaind_protocol::content::{Body, Content};
use retaind_protocol::credential::Role;
use retaind_protocol::ids::{ConversationId, DeviceId, MessageId, UserName};

/// `msgtype` of what could not be read or did not come.
pub const MSGTYPE_UNREADABLE: u32 = 0;
/// `msgtype` of commits and proposals that change no membership.
pub const MSGTYPE_KEY_EVENT: u32 = 4900;

const HANDSHAKE_LABEL: &[u8] = b"retaind handshake id v1";

/// A record could not be formatted: a fault of this program, not of the message.
#[derive(Debug, Error)]
#[error("record of message `{seq}` of conversation `{conversation}` could not be formatted")]
pub struct RecordError {
    conversation: ConversationId,
    seq: u64,
    source: serde_json::Error,
}

/// One record to be written.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// What all records have.
    pub context: RecordContext<'a>,
    /// What this one says.
    pub body: RecordBody<'a>,
}

/// Who sent and received, when and where.
#[derive(Clone, Copy)]
pub struct RecordContext<'a> {
    /// Name of the network that the bot is on.
    pub network_id: &'a str,
    /// Name of the sender's network.
    pub sender_network_id: &'a str,
    /// `None` = the network itself, or unknown: recorded as an empty name.
    pub sender: Option<&'a UserName>,
    /// Sort of account of the sender.
    pub sender_type: SenderType,
    /// Device of the sender; `None` is recorded as an empty id.
    pub device: Option<DeviceId>,
    /// The other user of a direct conversation; `None` in rooms and groups.
    pub receiver: Option<&'a UserName>,
    /// The `vgroupid` of the conversation.
    pub conversation: ConversationId,
    /// Place in the conversation, from 1.
    pub seq: u64,
    /// When the bot received it, microseconds since 1970 UTC.
    pub received_micros: i64,
    /// Id of the content, or [`handshake_message_id`].
    pub message_id: MessageId,
    /// Time of the content, or when the network accepted it: microseconds since 1970 UTC.
    pub sent_at_micros: i64,
}

/// Sort of account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderType {
    /// A user of the network.
    Normal,
    /// A guest.
    Guest,
}

impl From<Role> for SenderType {
    fn from(role: Role) -> Self {
        match role {
            Role::Guest => Self::Guest,
            Role::Normal | Role::Bot | Role::Network | Role::Unspecified => Self::Normal,
        }
    }
}

/// What a record says.
#[derive(Clone, Copy)]
pub enum RecordBody<'a> {
    /// An application message.
    Content {
        /// The decrypted content.
        content: &'a Content,
        /// The outcome of its attachment; `None` for all but files (a file is then recorded as missing). A content that is
        /// [unknown](Body::Unknown) may announce one, too.
        file: Option<&'a FileOutcome>,
    },
    /// A commit that changed who is in the conversation.
    Membership {
        /// Users that were not in it before.
        added: &'a [UserName],
        /// Users that are no longer in it.
        deleted: &'a [UserName],
    },
    /// A member proposed to leave.
    Left {
        /// The member.
        user: &'a UserName,
    },
    /// A commit, proposal or Welcome that changed no membership.
    KeyEvent {
        /// The kind of event.
        action: KeyAction<'a>,
        /// Epoch of the conversation after it.
        epoch: u64,
    },
    /// What was delivered could not be decrypted, or its content not be understood.
    Unreadable(Unreadable<'a>),
    /// The same, and a file that it announces was fetched nevertheless.
    UnreadableFile {
        /// The message.
        message: Unreadable<'a>,
        /// The outcome of its attachment.
        file: &'a FileOutcome,
    },
    /// The network left out what it should have delivered; the record has the place of the first.
    Hole {
        /// First missing `seq`.
        from_seq: u64,
        /// Last missing `seq`.
        to_seq: u64,
    },
}

/// The outcome of an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileOutcome {
    /// It is in the archive, whole. Hash and size are the file's; where the sender announced others, the record has both.
    Saved {
        /// Its name in the archive.
        local_name: String,
        /// SHA-256 of the plaintext.
        sha256: [u8; 32],
        /// Bytes of plaintext.
        size: u64,
    },
    /// It is not; size and hash are recorded as the sender announced them.
    Missing {
        /// The reason, for a person.
        reason: String,
    },
    /// It could not be decrypted, or not all of it: what there is of it is in the archive. Size and hash of the file are
    /// recorded as the sender announced them.
    Undecryptable {
        /// The reason, for a person.
        reason: String,
        /// What the network has, all of it; `None` if it lost it meanwhile.
        ciphertext: Option<KeptFile>,
        /// The part that could be decrypted, from the beginning on; `None` if there is none.
        decrypted: Option<KeptFile>,
    },
}

/// A file beside the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptFile {
    /// Its name in the archive.
    pub name: String,
    /// SHA-256 of its content.
    pub sha256: [u8; 32],
    /// Its length in bytes.
    pub size: u64,
}

/// What happened to a conversation's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyAction<'a> {
    /// The bot joined by a Welcome.
    Joined {
        /// Users that it found there.
        members: &'a [UserName],
    },
    /// A commit that only refreshed keys.
    KeyUpdate,
    /// A proposal.
    Proposal,
    /// The network proposed to add or remove a retention bot.
    Retention,
}

/// What is known of a message that cannot be read.
#[derive(Clone, Copy)]
pub struct Unreadable<'a> {
    /// The reason, for a person.
    pub reason: &'a str,
    /// The ciphertext, as delivered.
    pub ciphertext: Ciphertext<'a>,
    /// The plaintext, if decryption is not what failed. The ratchet has moved on, so this is the only copy: it is
    /// recorded whole, but for the keys of attachments.
    pub plaintext: Option<&'a [u8]>,
}

/// Bytes that could not be read.
#[derive(Clone, Copy)]
pub struct Ciphertext<'a> {
    /// Their number.
    pub size: u64,
    /// Their SHA-256.
    pub sha256: [u8; 32],
    /// Name of the file in the archive that holds them.
    pub file: Option<&'a str>,
}

impl Record<'_> {
    /// The record's `msgtype`.
    pub fn msgtype(&self) -> u32 {
        use retaind_protocol::content::kind;
        match &self.body {
            RecordBody::Content { content, .. } if matches!(content.body, Body::Unknown { .. }) => MSGTYPE_UNREADABLE,
            RecordBody::Content { content, .. } => content.body.kind(),
            RecordBody::Membership { .. } => kind::MEMBERS_MODIFIED,
            RecordBody::Left { .. } => kind::USER_LEFT,
            RecordBody::KeyEvent { .. } => MSGTYPE_KEY_EVENT,
            RecordBody::Unreadable(_) | RecordBody::UnreadableFile { .. } | RecordBody::Hole { .. } => {
                MSGTYPE_UNREADABLE
            }
        }
    }

    /// Appends the record to `out`: one JSON object and `\n`.
    ///
    /// # Errors
    /// `out` is then as before.
    pub fn append_line(&self, out: &mut Vec<u8>) -> Result<(), RecordError> {
        let start = out.len();
        let line = shapes::Line::of(self);
        let mut writer = Serializer::with_formatter(&mut *out, OneLine);
        if let Err(source) = line.serialize(&mut writer) {
            out.truncate(start);
            return Err(RecordError { conversation: self.context.conversation, seq: self.context.seq, source });
        }
        out.push(b'\n');
        Ok(())
    }
}

/// The id of a message that has none of its own: the first 16 bytes of SHA-256 over a label, the conversation and the
/// big-endian `seq`. Every reader of the message computes the same id.
pub fn handshake_message_id(conversation: &ConversationId, seq: u64) -> MessageId {
    let hash = digest(&SHA256, &[HANDSHAKE_LABEL, conversation.as_bytes(), &seq.to_be_bytes()].concat());
    let mut id = [0u8; 16];
    for (to, from) in id.iter_mut().zip(hash.as_ref()) {
        *to = *from;
    }
    MessageId::new(id)
}
