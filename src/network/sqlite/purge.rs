//! Deleting what every member has acknowledged.

use rusqlite::{Connection, OptionalExtension};

use super::blobs;
use super::store::message_id;
use crate::delivery::purge::{Due, due};
use crate::ledger::Purged;

pub(super) fn purge(connection: &Connection, conversations: &[i64], most: usize) -> rusqlite::Result<Purged> {
    let mut purged = Purged::default();
    for conversation in conversations {
        let left = most.saturating_sub(purged.messages);
        if left == 0 {
            purged.unfinished.push(*conversation);
            continue;
        }
        let Some(due) = purge_one(connection, *conversation, left)? else {
            continue;
        };
        purged.messages = purged.messages.saturating_add(due.messages());
        if due.more {
            purged.unfinished.push(*conversation);
        }
    }
    Ok(purged)
}

fn purge_one(connection: &Connection, conversation: i64, most: usize) -> rusqlite::Result<Option<Due>> {
    connection
        .prepare_cached(
            "DELETE FROM members WHERE conversation = ? AND until_seq IS NOT NULL AND acked_seq >= until_seq",
        )?
        .execute([conversation])?;
    let bounds: Option<(u64, u64)> = connection
        .prepare_cached(
            "SELECT purged_seq, coalesce((SELECT min(acked_seq) FROM members WHERE conversation = c.id), head_seq)
             FROM conversations c WHERE id = ?",
        )?
        .query_row([conversation], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some(due) = bounds.and_then(|(purged, acked)| due(purged, acked, most)) else {
        return Ok(None);
    };
    let (first, last) = (message_id(conversation, due.first), message_id(conversation, due.last));
    connection.prepare_cached("DELETE FROM messages WHERE id BETWEEN ? AND ?")?.execute((first, last))?;
    blobs::settle(connection, first, last)?;
    connection.prepare_cached("DELETE FROM welcomes WHERE id BETWEEN ? AND ?")?.execute((first, last))?;
    connection
        .prepare_cached("UPDATE conversations SET purged_seq = ? WHERE id = ?")?
        .execute((due.last, conversation))?;
    Ok(Some(due))
}
