//! What a worker knows of one conversation.

use std::collections::VecDeque;
use std::time::Instant;

use retaind_device::mls::Session;
use retaind_protocol::ids::UserName;

use super::lost::Lost;
use crate::delivery::Delivered;

/// A conversation in a worker's hands.
pub(super) struct Entry {
    pub(super) session: Option<Session>,
    pub(super) used: Instant,
    /// Highest `seq` processed; 0: none yet.
    pub(super) cursor: u64,
    pub(super) turn: u64,
    pub(super) waiting: Option<VecDeque<Delivered>>,
    pub(super) others: Option<Vec<UserName>>,
    pub(super) gap: Gap,
    /// It cannot be followed.
    pub(super) lost: Option<Lost>,
    /// It cannot be followed from its next message on, for this reason.
    pub(super) broken: Option<String>,
    /// Is every epoch reported? The network waits for that after it was lost.
    pub(super) reports: bool,
}

impl Default for Entry {
    /// One of which nothing is known.
    fn default() -> Self {
        let (session, waiting, others, lost, broken) = (None, None, None, None, None);
        let (used, gap) = (Instant::now(), Gap::None);
        Self { session, used, cursor: 0, turn: 0, waiting, others, gap, lost, broken, reports: false }
    }
}

impl Entry {
    /// The place before this message.
    pub(super) fn before(&self, seq: u64) -> u64 {
        seq.saturating_sub(1).min(self.cursor)
    }
}

/// The assumption about messages that seem to be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    /// None are missing.
    None,
    /// The connection or the network has lost them: nothing more is taken before a new connection.
    Doubted,
    /// The network does not have them either, unless they come on this connection.
    Believed,
}
