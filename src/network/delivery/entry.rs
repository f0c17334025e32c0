//! What passes between deciding and storing: the rows that a decision is made on, the [`Entry`] that comes of it, and
//! the [`Effects`] that connections hear of once it is on stable storage.

use crate::clock::Moment;
use crate::directory::key_packages::Use;
use crate::error::Refusal;
use retaind_protocol::ids::ConversationId;
use retaind_protocol::wire::DeliveryKind;

/// A conversation as the ledger has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConversationRow {
    /// Row id: what members and messages refer to.
    pub(crate) row: i64,
    pub(crate) suite: u16,
    pub(crate) epoch: u64,
    /// Place of its newest message.
    pub(crate) head_seq: u64,
    /// Has a retention bot said anything about it?
    pub(crate) reported: bool,
}

/// The sender's own name for a message: the same message sent again has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SendId([u8; 16]);

impl SendId {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        bytes.try_into().map(Self).map_err(|_| Refusal::invalid("`send_id` is not 16 bytes"))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// What is written for one accepted message: all of it, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// One more than the newest place of its conversation.
    pub(crate) seq: u64,
    pub(crate) kind: DeliveryKind,
    pub(crate) accepted_at: Moment,
    pub(crate) payload: &'a [u8],
    /// Device (row) that sent it, and its name for the message. The network's own proposals have neither.
    pub(crate) sender: Option<(i64, SendId)>,
    /// The tracked group after it, encoded, where it changed.
    pub(crate) tree: Option<Vec<u8>>,
    /// Of a commit alone.
    pub(crate) turnover: Option<Turnover<'a>>,
}

/// What a commit does to epoch and membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turnover<'a> {
    /// Of the conversation: those who join are told.
    pub(crate) id: ConversationId,
    pub(crate) epoch: u64,
    /// For those who join; empty if nobody does.
    pub(crate) welcome: &'a [u8],
    pub(crate) joining: Vec<Joining>,
    /// Devices (rows) for which the commit is the last message.
    pub(crate) leaving: Vec<i64>,
}

/// A device that becomes a member with the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Joining {
    pub(crate) device: i64,
    /// Does it get the Welcome in place of the commit?
    pub(crate) welcomed: bool,
}

/// What connections must hear of once the batch is on stable storage.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// Conversation (row) and its newest `seq`.
    pub(crate) moved: Vec<(i64, u64)>,
    /// Devices (rows) that became members.
    pub(crate) joined: Vec<Joined>,
    /// Device and conversation (rows), and the last `seq` that is for the device.
    pub(crate) left: Vec<(i64, i64, u64)>,
    /// Key packages of retention bots that were given out.
    pub(crate) taken: Vec<Taken>,
}

/// A key package of a retention bot was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The bot's device (row).
    pub(crate) device: i64,
    pub(crate) user: String,
    pub(crate) used: Use,
    /// One-time packages that it has left.
    pub(crate) left: u32,
}

/// A device became a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) device: i64,
    pub(crate) conversation: i64,
    pub(crate) id: String,
    pub(crate) from_seq: u64,
    pub(crate) welcomed: bool,
}

/// How much there was of [`Effects`] before a change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    moved: usize,
    joined: usize,
    left: usize,
    taken: usize,
}

impl Effects {
    /// An entry was written in conversation `row`.
    pub(crate) fn record(&mut self, row: i64, entry: &Entry<'_>) {
        self.moved.push((row, entry.seq));
        let Some(turnover) = &entry.turnover else {
            return;
        };
        self.joined.extend(turnover.joining.iter().map(|joining| Joined {
            device: joining.device,
            conversation: row,
            id: turnover.id.as_str().to_owned(),
            from_seq: entry.seq,
            welcomed: joining.welcomed,
        }));
        self.left.extend(turnover.leaving.iter().map(|device| (*device, row, entry.seq)));
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { moved: self.moved.len(), joined: self.joined.len(), left: self.left.len(), taken: self.taken.len() }
    }

    /// Forgets what came after the mark: the change was refused.
    pub(crate) fn undo(&mut self, mark: Mark) {
        self.moved.truncate(mark.moved);
        self.joined.truncate(mark.joined);
        self.left.truncate(mark.left);
        self.taken.truncate(mark.taken);
    }
}
