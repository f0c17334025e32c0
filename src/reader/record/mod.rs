//! A typed view of a line. It reads what either bot writes and keeps the line itself, byte for byte.
//!
//! A line is refused, never guessed at, if it is not UTF-8, not one JSON object, nested deeper than the JSON reader goes, has a
//! known field twice or of another type, or lacks what makes its type. An unknown `msgtype` is no fault: it is [`Body::Unknown`].

mod body;
mod kind;
mod line;
mod take;
mod time;

#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};

pub use self::body::{
    Body, Call, Change, Edit, File, Kept, KeyVerification, Position, Room, SavedItem, Scope, Star, State, Text,
    Unreadable,
};
pub use self::kind::{KINDS, Kind};
use self::line::Line;
pub use self::line::Scalar;

/// A claimed time that is further from the network's than this is marked.
pub const BACKDATED_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// Which clock a time is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Clock {
    /// When the network accepted it; when the bot received it, where that is not recorded
    #[default]
    Accepted,
    /// When the bot received it
    Received,
    /// When it was sent, as the sender claims
    Sent,
}

/// Direct, group or room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum ConversationKind {
    /// Two users
    Direct,
    /// Several users, without a title
    Group,
    /// Several users, with a title
    Room,
}

impl ConversationKind {
    /// By the first character of a `vgroupid`.
    pub fn of(conversation: &str) -> Self {
        match conversation.as_bytes().first() {
            Some(b'S') => Self::Room,
            Some(b'G') => Self::Group,
            _ => Self::Direct,
        }
    }

    /// `direct`, `group`, `room`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Group => "group",
            Self::Room => "room",
        }
    }
}

/// A record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The line without its line feed.
    pub raw: String,
    /// `msgtype`.
    pub msgtype: u32,
    /// `vgroupid`.
    pub conversation: String,
    /// Place in the conversation; none in lines of the closed bot.
    pub seq: Option<u64>,
    /// `message_id`, or `id` in older lines of the closed bot; empty if it has none.
    pub message_id: String,
    /// Who sent it; empty if that is the network itself.
    pub sender: String,
    /// The other user of a direct conversation.
    pub receiver: Option<String>,
    /// `normal` or `guest`.
    pub sender_type: String,
    /// Device that sent it, in hex.
    pub device: Option<String>,
    /// Network of the bot.
    pub network_id: Option<String>,
    /// Network of the sender.
    pub sender_network_id: Option<String>,
    /// When the network accepted it.
    pub accepted: Option<Timestamp>,
    /// When the bot received it.
    pub received: Option<Timestamp>,
    /// When it was sent, as its sender claims.
    pub sent: Option<Timestamp>,
    /// `msg_ts` as it is: a receipt names its message by it.
    pub msg_ts: Option<Timestamp>,
    /// Burn on read: seconds or a date.
    pub bor: Option<Scalar>,
    /// When the message expires: a date in either form, as it is.
    pub ttl: Option<Scalar>,
    /// When the message expires.
    pub expires: Option<Timestamp>,
    /// What it is about.
    pub body: Body,
}

/// Why a line is not a record. It never holds content of the line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// More bytes than a line has.
    #[error("line is longer than `{limit}` bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// Other bytes.
    #[error("line is not UTF-8 from its byte `{at}` on")]
    NotUtf8 {
        /// Where, counted from 0.
        at: usize,
    },
    /// Not JSON, or not of the types that records have.
    #[error("line is not a record: {what} at its byte `{at}`")]
    NotARecord {
        /// Which of the kinds of mistakes.
        what: &'static str,
        /// Column, counted from 1.
        at: usize,
    },
    /// The object that makes its type is not there.
    #[error("record of type `{msgtype}` has no `{field}`")]
    NoField {
        /// `msgtype`.
        msgtype: u32,
        /// Which.
        field: &'static str,
    },
}

impl Record {
    /// Reads a line without its line feed.
    pub fn parse(bytes: &[u8]) -> Result<Self, LineFault> {
        let text = std::str::from_utf8(bytes).map_err(|error| LineFault::NotUtf8 { at: error.valid_up_to() })?;
        let text = text.strip_suffix('\r').unwrap_or(text);
        let mut line: Line = serde_json::from_str(text).map_err(|error| LineFault::NotARecord {
            // the reader's own text may quote the line
            what: match error.classify() {
                serde_json::error::Category::Data => "a field is missing, twice, or of another type",
                serde_json::error::Category::Eof => "it ends too early",
                serde_json::error::Category::Syntax | serde_json::error::Category::Io => "not JSON",
            },
            at: error.column(),
        })?;
        let sender = line.sender.take().unwrap_or_default();
        let msgtype = line.msgtype;
        let body = Body::take(&mut line, &sender).map_err(|field| LineFault::NoField { msgtype, field })?;
        let msg_ts = line.msg_ts.as_ref().and_then(|value| time::decimal(&value.text()));
        let shown = || line.time_iso.as_deref().and_then(time::iso).or_else(|| time::minutes(line.time.as_deref()?));
        let claim = line.sent_iso.as_deref().and_then(time::iso);
        // a line with the claim in a field of its own has the network's time in the published ones
        let published_is_accepted = claim.is_some();
        let published = msg_ts.or_else(shown);
        let accepted = line.accepted_iso.as_deref().and_then(time::iso);
        let expiry = line.ttl_iso.clone().or_else(|| line.ttl.as_ref().map(Scalar::text));
        Ok(Self {
            raw: text.to_owned(),
            msgtype,
            conversation: line.vgroupid,
            seq: line.seq,
            message_id: line.message_id.or(line.id).unwrap_or_default(),
            sender,
            receiver: line.receiver,
            sender_type: line.sender_type.unwrap_or_default(),
            device: line.device.filter(|device| !device.is_empty()),
            network_id: line.network_id,
            sender_network_id: line.sender_network_id,
            accepted: accepted.or(if published_is_accepted { published } else { None }),
            received: line.received_iso.as_deref().and_then(time::iso),
            sent: claim.or(published),
            msg_ts,
            bor: line.bor,
            ttl: line.ttl,
            expires: expiry.and_then(|text| time::iso(&text).or_else(|| time::minutes(&text))),
            body,
        })
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.body.kind()
    }

    /// Direct, group or room.
    pub fn conversation_kind(&self) -> ConversationKind {
        ConversationKind::of(&self.conversation)
    }

    /// Its time by one clock, or by the best one that it has.
    pub fn at(&self, clock: Clock) -> Option<Timestamp> {
        match clock {
            Clock::Accepted => self.accepted.or(self.received).or(self.sent),
            Clock::Received => self.received.or(self.accepted).or(self.sent),
            Clock::Sent => self.sent,
        }
    }

    /// Does its claimed time differ from the network's or the bot's by more than [`BACKDATED_AFTER`]?
    pub fn is_backdated(&self) -> bool {
        let Some((claim, seen)) = self.sent.zip(self.accepted.or(self.received)) else { return false };
        claim.duration_since(seen).abs() > BACKDATED_AFTER
    }

    /// Is it from a guest?
    pub fn is_guest(&self) -> bool {
        self.sender_type == "guest"
    }

    /// The file that it announces, if any.
    pub fn file(&self) -> Option<&File> {
        match &self.body {
            Body::File(file) => Some(file),
            Body::Unreadable(unreadable) => unreadable.file.as_ref(),
            Body::Text(_)
            | Body::KeyVerification(_)
            | Body::Create(_)
            | Body::Members { .. }
            | Body::Left(_)
            | Body::Modify(_)
            | Body::SavedItem(..)
            | Body::DeleteRoom
            | Body::Deletion { .. }
            | Body::Stars(_)
            | Body::StarSync
            | Body::Pin(_)
            | Body::State(_)
            | Body::Call(_)
            | Body::Location(_)
            | Body::Edit(_)
            | Body::LiveLocation { .. }
            | Body::Reaction { .. }
            | Body::Read { .. }
            | Body::Hole { .. }
            | Body::Unknown => None,
        }
    }

    /// Participants of a call, by the SHA-256 of their names in hex.
    pub fn call_participants(&self) -> Option<&[String]> {
        if let Body::Call(call) = &self.body { Some(&call.participants) } else { None }
    }

    /// `message_id`s of the messages that it changes: edits, reactions, deletions, stars. Receipts name theirs by time only.
    pub fn targets(&self) -> Vec<&str> {
        match &self.body {
            Body::Edit(edit) => edit.target.as_deref().into_iter().collect(),
            Body::Reaction { target, .. } | Body::Deletion { target, .. } => vec![target],
            Body::Stars(stars) => stars.iter().map(|star| star.target.as_str()).collect(),
            Body::Text(_)
            | Body::KeyVerification(_)
            | Body::Create(_)
            | Body::Members { .. }
            | Body::Left(_)
            | Body::Modify(_)
            | Body::SavedItem(..)
            | Body::DeleteRoom
            | Body::StarSync
            | Body::Pin(_)
            | Body::State(_)
            | Body::File(_)
            | Body::Call(_)
            | Body::Location(_)
            | Body::LiveLocation { .. }
            | Body::Read { .. }
            | Body::Unreadable(_)
            | Body::Hole { .. }
            | Body::Unknown => Vec::new(),
        }
    }

    /// Users that it names besides sender and receiver.
    pub fn mentioned(&self) -> Vec<&str> {
        fn all<'a>(lists: &[&'a [String]]) -> Vec<&'a str> {
            lists.iter().flat_map(|list| list.iter().map(String::as_str)).collect()
        }
        match &self.body {
            Body::Create(room) | Body::Modify(room) => all(&[&room.masters, &room.members]),
            Body::SavedItem(room, item) => {
                let mut users = all(&[&room.masters, &room.members]);
                users.push(&item.user);
                users
            }
            Body::Members { added, removed } => all(&[added, removed]),
            Body::Left(users) => all(&[users]),
            Body::State(state) => all(&[&state.members]),
            Body::File(file) => file.uploaded_by.as_deref().into_iter().collect(),
            Body::Text(_)
            | Body::KeyVerification(_)
            | Body::DeleteRoom
            | Body::Deletion { .. }
            | Body::Stars(_)
            | Body::StarSync
            | Body::Pin(_)
            | Body::Call(_)
            | Body::Location(_)
            | Body::Edit(_)
            | Body::LiveLocation { .. }
            | Body::Reaction { .. }
            | Body::Read { .. }
            | Body::Unreadable(_)
            | Body::Hole { .. }
            | Body::Unknown => Vec::new(),
        }
    }
}
