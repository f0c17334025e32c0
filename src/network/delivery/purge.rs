//! Deleting what every member has acknowledged, a bounded number of rows at a time.
//!
//! A conversation is looked at when something in it was acknowledged; besides, all are visited in turn, so that what a
//! crash interrupted is found again. A membership that ended and is acknowledged to its end is deleted with it.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension};

use crate::store::message_id;

/// Messages deleted in one transaction.
const MESSAGES_AT_ONCE: i64 = 2048;
/// A step that deleted so many had more to do.
pub(crate) const STEP_MESSAGES: usize = 2048;
/// Conversations looked at in one step because of acknowledgements, and because it is their turn.
const DUE_AT_ONCE: usize = 256;
const TURN_AT_ONCE: i64 = 64;
/// More are forgotten: their turn comes.
const DUE_MAX: usize = 65_536;

/// What to look at next.
#[derive(Debug, Default)]
pub(crate) struct Purge {
    due: BTreeSet<i64>,
    turn: i64,
}

impl Purge {
    /// Something in this conversation (row) was acknowledged.
    pub(crate) fn due(&mut self, conversation: i64) {
        if self.due.len() < DUE_MAX {
            self.due.insert(conversation);
        }
    }

    /// One bounded step, inside a transaction of the caller. Returns how many messages were deleted.
    pub(crate) fn step(&mut self, connection: &Connection) -> rusqlite::Result<usize> {
        let mut left = MESSAGES_AT_ONCE;
        let mut conversations = Vec::new();
        while conversations.len() < DUE_AT_ONCE
            && let Some(conversation) = self.due.pop_first()
        {
            conversations.push(conversation);
        }
        let turn: Vec<i64> = connection
            .prepare_cached("SELECT id FROM conversations WHERE id > ? ORDER BY id LIMIT ?")?
            .query_map((self.turn, TURN_AT_ONCE), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        self.turn = turn.last().copied().unwrap_or(0);
        conversations.extend(turn);
        for conversation in conversations {
            if left <= 0 {
                self.due(conversation);
                continue;
            }
            let (deleted, more) = purge_one(connection, conversation, left)?;
            left = left.saturating_sub(deleted);
            if more {
                self.due(conversation);
            }
        }
        Ok(usize::try_from(MESSAGES_AT_ONCE - left).unwrap_or_default())
    }
}

fn purge_one(connection: &Connection, conversation: i64, most: i64) -> rusqlite::Result<(i64, bool)> {
    connection
        .prepare_cached(
            "DELETE FROM members WHERE conversation = ? AND until_seq IS NOT NULL AND acked_seq >= until_seq",
        )?
        .execute([conversation])?;
    let bounds: Option<(i64, i64)> = connection
        .prepare_cached(
            "SELECT purged_seq, coalesce((SELECT min(acked_seq) FROM members WHERE conversation = c.id), head_seq)
             FROM conversations c WHERE id = ?",
        )?
        .query_row([conversation], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((purged, acked)) = bounds.filter(|(purged, acked)| acked > purged) else {
        return Ok((0, false));
    };
    let through = acked.min(purged.saturating_add(most));
    let seq = |value: i64| u64::try_from(value).unwrap_or_default();
    let (first, last) = (message_id(conversation, seq(purged) + 1), message_id(conversation, seq(through)));
    connection.prepare_cached("DELETE FROM messages WHERE id BETWEEN ? AND ?")?.execute((first, last))?;
    connection.prepare_cached("DELETE FROM welcomes WHERE id BETWEEN ? AND ?")?.execute((first, last))?;
    connection
        .prepare_cached("UPDATE conversations SET purged_seq = ? WHERE id = ?")?
        .execute((through, conversation))?;
    Ok((through.saturating_sub(purged), through < acked))
}
