//! The rows of delivery that accepting reads and writes.

use rusqlite::{Connection, OptionalExtension, Row};

use super::entry::{ConversationRow, Entry, SendId, Turnover};
use crate::store::message_id;
use retaind_protocol::ids::ConversationId;

/// Sends of a device that are remembered, to answer a repeated one alike. A device must not have more unanswered.
pub(crate) const SENDS_REMEMBERED: i64 = 1024;
/// Sends are forgotten in steps, not one at a time.
const SENDS_FORGOTTEN_AT_ONCE: i64 = 64;

/// Inside the writer's transaction.
pub(crate) struct Rows<'a>(pub(crate) &'a Connection);

impl Rows<'_> {
    /// The place of the message that the device sent under this name, if it is remembered.
    pub(crate) fn sent(&self, device: i64, send_id: SendId) -> rusqlite::Result<Option<u64>> {
        self.0
            .prepare_cached("SELECT seq FROM sends WHERE device = ? AND send_id = ?")?
            .query_row((device, send_id.as_bytes()), |row| row.get(0))
            .optional()
    }

    pub(crate) fn conversation(&self, id: &ConversationId) -> rusqlite::Result<Option<ConversationRow>> {
        self.0
            .prepare_cached("SELECT id, suite, epoch, head_seq FROM conversations WHERE conversation = ?")?
            .query_row([id.as_str()], conversation_row)
            .optional()
    }

    pub(crate) fn conversation_at(&self, row: i64) -> rusqlite::Result<Option<ConversationRow>> {
        self.0
            .prepare_cached("SELECT id, suite, epoch, head_seq FROM conversations WHERE id = ?")?
            .query_row([row], conversation_row)
            .optional()
    }

    pub(crate) fn is_member(&self, conversation: i64, device: i64) -> rusqlite::Result<bool> {
        self.0
            .prepare_cached(
                "SELECT EXISTS(SELECT 1 FROM members WHERE conversation=? AND device=? AND until_seq IS NULL)",
            )?
            .query_row((conversation, device), |row| row.get(0))
    }

    pub(crate) fn tree(&self, conversation: i64) -> rusqlite::Result<Option<Vec<u8>>> {
        self.0
            .prepare_cached("SELECT snapshot FROM trees WHERE conversation = ?")?
            .query_row([conversation], |row| row.get(0))
            .optional()
    }

    pub(crate) fn insert_conversation(&mut self, id: &ConversationId, suite: u16) -> rusqlite::Result<i64> {
        self.0
            .prepare_cached(
                "INSERT INTO conversations(conversation, suite, epoch, head_seq, purged_seq) VALUES(?,?,0,0,0)",
            )?
            .execute((id.as_str(), suite))?;
        Ok(self.0.last_insert_rowid())
    }

    /// Writes all of an entry.
    pub(crate) fn append(&mut self, conversation: i64, entry: &Entry<'_>) -> rusqlite::Result<()> {
        let (seq, kind, at) = (as_i64(entry.seq), i32::from(entry.kind), entry.accepted_at.micros());
        let sender = entry.sender.map(|(device, _)| device);
        self.0
            .prepare_cached("INSERT INTO messages(id, kind, sender, accepted_at_micros, payload) VALUES(?,?,?,?,?)")?
            .execute((message_id(conversation, entry.seq), kind, sender, at, entry.payload))?;
        self.0.prepare_cached("UPDATE conversations SET head_seq = ? WHERE id = ?")?.execute((seq, conversation))?;
        if let Some(turnover) = &entry.turnover {
            self.turn_over(conversation, entry.seq, turnover)?;
        }
        if let Some(tree) = &entry.tree {
            self.0
                .prepare_cached("INSERT OR REPLACE INTO trees(conversation, snapshot) VALUES(?, ?)")?
                .execute((conversation, tree))?;
        }
        match entry.sender {
            Some((device, send_id)) => self.remember(device, send_id, seq),
            None => Ok(()),
        }
    }

    fn turn_over(&mut self, conversation: i64, seq: u64, turnover: &Turnover<'_>) -> rusqlite::Result<()> {
        let before = as_i64(seq.saturating_sub(1));
        let mut join = self.0.prepare_cached(
            "INSERT INTO members(conversation, device, from_seq, welcomed, acked_seq) VALUES(?, ?, ?, ?, ?)",
        )?;
        for joining in &turnover.joining {
            join.execute((conversation, joining.device, as_i64(seq), joining.welcomed, before))?;
        }
        if !turnover.welcome.is_empty() {
            self.0
                .prepare_cached("INSERT INTO welcomes(id, payload) VALUES(?, ?)")?
                .execute((message_id(conversation, seq), turnover.welcome))?;
        }
        let mut leave = self.0.prepare_cached(
            "UPDATE members SET until_seq = ? WHERE conversation = ? AND device = ? AND until_seq IS NULL",
        )?;
        for device in &turnover.leaving {
            leave.execute((as_i64(seq), conversation, device))?;
        }
        self.0
            .prepare_cached("UPDATE conversations SET epoch = ? WHERE id = ?")?
            .execute((as_i64(turnover.epoch), conversation))?;
        Ok(())
    }

    fn remember(&mut self, device: i64, send_id: SendId, seq: i64) -> rusqlite::Result<()> {
        let n: i64 = self
            .0
            .prepare_cached("SELECT coalesce(max(n), 0) + 1 FROM sends WHERE device = ?")?
            .query_row([device], |row| row.get(0))?;
        self.0.prepare_cached("INSERT INTO sends(device, n, send_id, seq) VALUES(?, ?, ?, ?)")?.execute((
            device,
            n,
            send_id.as_bytes(),
            seq,
        ))?;
        if n % SENDS_FORGOTTEN_AT_ONCE == 0 {
            self.0
                .prepare_cached("DELETE FROM sends WHERE device = ? AND n <= ?")?
                .execute((device, n - SENDS_REMEMBERED))?;
        }
        Ok(())
    }

    /// Moves a device's cursors forward; never back, never past what there is for it. Returns the conversations (rows) that
    /// may have something to purge. One that is gone for this device needs no cursor: a repeated acknowledgement is no
    /// mistake.
    pub(crate) fn acknowledge(&mut self, device: i64, cursors: &[(ConversationId, u64)]) -> rusqlite::Result<Vec<i64>> {
        let mut moved = Vec::with_capacity(cursors.len());
        let mut update = self.0.prepare_cached(
            "UPDATE members SET acked_seq = max(acked_seq, min(?1, coalesce(until_seq,
                 (SELECT head_seq FROM conversations WHERE id = ?2))))
             WHERE conversation = ?2 AND device = ?3",
        )?;
        for (id, seq) in cursors {
            if let Some(conversation) = self.conversation(id)? {
                update.execute((as_i64(*seq), conversation.row, device))?;
                moved.push(conversation.row);
            }
        }
        Ok(moved)
    }
}

fn conversation_row(row: &Row<'_>) -> rusqlite::Result<ConversationRow> {
    Ok(ConversationRow { row: row.get(0)?, suite: row.get(1)?, epoch: row.get(2)?, head_seq: row.get(3)? })
}

fn as_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
