//! What a replay has done.

use std::time::Duration;

use super::plan::Redundant;
use retaind_protocol::ids::{ConversationId, MessageId, UserName};

/// Something that the network has accepted.
#[derive(Debug)]
pub struct Sent<'a> {
    /// Room of the corpus.
    pub room: &'a str,
    /// The conversation that it has become.
    pub conversation: ConversationId,
    /// Its place there.
    pub seq: u64,
    /// As logged, microseconds since 1970 UTC.
    pub at_micros: i64,
    /// What it was.
    pub what: SentWhat<'a>,
}

/// What the network has accepted.
#[derive(Debug)]
pub enum SentWhat<'a> {
    /// The conversation's first commit.
    Created {
        /// Who made it.
        user: &'a UserName,
        /// All members, the one who made it and the audience included, the bot not.
        members: &'a [UserName],
    },
    /// The message that names the room (4001).
    RoomCreated {
        /// Who sent it.
        user: &'a UserName,
        /// Its id.
        message: MessageId,
    },
    /// A text.
    Text {
        /// Who sent it.
        user: &'a UserName,
        /// Its id.
        message: MessageId,
        /// What it says.
        text: &'a str,
    },
    /// A change of membership.
    Members {
        /// Who committed it.
        committer: &'a UserName,
        /// Who came.
        added: &'a [UserName],
        /// Who went.
        removed: &'a [UserName],
    },
}

/// One room that was replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomReport {
    /// Its name in the corpus.
    pub room: String,
    /// The conversation that it has become.
    pub conversation: ConversationId,
    /// Members at the start, without audience and bot.
    pub initial: u64,
    /// Texts that were sent.
    pub texts: u64,
    /// Bytes of them (UTF-8).
    pub text_bytes: u64,
    /// Commits that changed the membership, without the first.
    pub commits: u64,
    /// Users added by them.
    pub added: u64,
    /// Users removed by them.
    pub removed: u64,
    /// What the log said too much.
    pub redundant: Redundant,
    /// `seq` of the last thing that was accepted.
    pub last_seq: u64,
}

/// All that was replayed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// In the order in which they ended.
    pub rooms: Vec<RoomReport>,
    /// Devices that were registered.
    pub devices: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl ReplayReport {
    /// Texts of all rooms.
    pub fn texts(&self) -> u64 {
        self.rooms.iter().map(|room| room.texts).sum()
    }

    /// Bytes of texts of all rooms.
    pub(crate) fn text_bytes(&self) -> u64 {
        self.rooms.iter().map(|room| room.text_bytes).sum()
    }

    /// Commits of all rooms, without the first ones.
    pub fn commits(&self) -> u64 {
        self.rooms.iter().map(|room| room.commits).sum()
    }

    /// What the log said too much, in all rooms.
    pub fn redundant(&self) -> Redundant {
        let mut all = Redundant::default();
        for room in &self.rooms {
            all.add(&room.redundant);
        }
        all
    }
}
