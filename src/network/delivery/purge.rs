//! Deleting what every member has acknowledged, a bounded number of rows at a time.
//!
//! A conversation is looked at when something in it was acknowledged; besides, all are visited in turn, so that what a
//! crash interrupted is found again. A membership that ended and is acknowledged to its end is deleted with it.

use std::collections::BTreeSet;

use super::blobs::BlobId;
use super::expiry::Expiry;
use crate::clock::Moment;
use crate::ledger::{Batch, LedgerError};
use crate::limits::Allowances;

/// Messages deleted in one transaction. A step that deleted so many had more to do.
pub(crate) const STEP_MESSAGES: usize = 2048;
/// Conversations looked at in one step because of acknowledgements, and because it is their turn.
const DUE_AT_ONCE: usize = 256;
const TURN_AT_ONCE: usize = 64;
/// More are forgotten: their turn comes.
const DUE_MAX: usize = 65_536;

/// What to look at next.
#[derive(Debug, Default)]
pub(crate) struct Purge {
    due: BTreeSet<i64>,
    turn: i64,
    blobs: Expiry,
}

/// What a step has deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Deleted {
    /// So many messages.
    pub(crate) messages: usize,
    /// Rows of blobs, whose files are to follow.
    pub(crate) blobs: Vec<BlobId>,
}

impl Purge {
    /// Something in this conversation (row) was acknowledged.
    pub(crate) fn due(&mut self, conversation: i64) {
        if self.due.len() < DUE_MAX {
            self.due.insert(conversation);
        }
    }

    /// One bounded step.
    pub(crate) fn step(
        &mut self,
        batch: &mut dyn Batch,
        allowances: &Allowances,
        now: Moment,
    ) -> Result<Deleted, LedgerError> {
        let mut conversations = Vec::new();
        while conversations.len() < DUE_AT_ONCE
            && let Some(conversation) = self.due.pop_first()
        {
            conversations.push(conversation);
        }
        let turn = batch.conversations_after(self.turn, TURN_AT_ONCE)?;
        self.turn = turn.last().copied().unwrap_or(0);
        conversations.extend(turn);
        let purged = batch.purge(&conversations, STEP_MESSAGES)?;
        for conversation in purged.unfinished {
            self.due(conversation);
        }
        let blobs = self.blobs.step(batch, allowances, now)?;
        Ok(Deleted { messages: purged.messages, blobs })
    }
}

/// Messages of one conversation to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// The oldest place that there is.
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Are there more that nobody has to acknowledge?
    pub(crate) more: bool,
}

impl Due {
    pub(crate) fn messages(&self) -> usize {
        usize::try_from(self.last.saturating_sub(self.first)).unwrap_or(usize::MAX).saturating_add(1)
    }
}

/// What to delete of a conversation that is deleted up to `purged`, where every membership has acknowledged up to `acked`.
pub(crate) fn due(purged: u64, acked: u64, most: usize) -> Option<Due> {
    if acked <= purged || most == 0 {
        return None;
    }
    let last = acked.min(purged.saturating_add(u64::try_from(most).unwrap_or(u64::MAX)));
    Some(Due { first: purged.saturating_add(1), last, more: last < acked })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_deleted_that_somebody_has_not_acknowledged() {
        assert_eq!(due(0, 0, 10), None);
        assert_eq!(due(7, 7, 10), None);
        // a member that comes back with an older cursor brings nothing back, and loses nothing
        assert_eq!(due(7, 3, 10), None);
        assert_eq!(due(2, 7, 10), Some(Due { first: 3, last: 7, more: false }));
    }

    #[test]
    fn a_step_ends_where_it_must() {
        let step = due(0, 100, 10).unwrap();
        assert_eq!((step, step.messages()), (Due { first: 1, last: 10, more: true }, 10));
        assert_eq!(due(90, 100, 10), Some(Due { first: 91, last: 100, more: false }));
        assert_eq!(due(0, 100, 0), None);
        assert_eq!(due(u64::MAX - 1, u64::MAX, 10).unwrap().messages(), 1);
    }
}
