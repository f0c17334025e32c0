//! Rows of delivery in SQLite.

use rusqlite::{OptionalExtension, Row};

use super::store::message_id;
use super::{Rows, as_i64, blobs, purge, queue};
use crate::clock::Moment;
use crate::delivery::blobs::{BlobId, BlobRow, OldBlob, Stored, Upload};
use crate::delivery::entry::{ConversationRow, Entry, SendId, Turnover};
use crate::delivery::queue::{Budget, Membership, Read, Select, Stint, Wanted};
use crate::ledger::{DeliveryBatch, DeliveryView, LedgerError, Purged, SENDS_REMEMBERED};
use retaind_protocol::ids::ConversationId;
use retaind_protocol::wire::ConversationState;

/// Sends are forgotten in steps, not one at a time.
const SENDS_FORGOTTEN_AT_ONCE: i64 = 64;

impl DeliveryView for Rows<'_> {
    fn conversation(&self, id: &ConversationId) -> Result<Option<ConversationRow>, LedgerError> {
        Ok(self
            .0
            .prepare_cached("SELECT id, suite, epoch, head_seq, reported FROM conversations WHERE conversation = ?")?
            .query_row([id.as_str()], conversation_row)
            .optional()?)
    }

    fn conversation_at(&self, row: i64) -> Result<Option<ConversationRow>, LedgerError> {
        Ok(self
            .0
            .prepare_cached("SELECT id, suite, epoch, head_seq, reported FROM conversations WHERE id = ?")?
            .query_row([row], conversation_row)
            .optional()?)
    }

    fn conversations_after(&self, after: i64, most: usize) -> Result<Vec<i64>, LedgerError> {
        let mut statement = self.0.prepare_cached("SELECT id FROM conversations WHERE id > ? ORDER BY id LIMIT ?")?;
        Ok(statement.query_map((after, most), |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    fn lacking(&self, devices: &[i64], after: i64, through: i64) -> Result<(Vec<i64>, Option<i64>), LedgerError> {
        Ok(queue::lacking(&self.0, devices, after, through)?)
    }

    fn is_member(&self, conversation: i64, device: i64) -> Result<bool, LedgerError> {
        Ok(self
            .0
            .prepare_cached(
                "SELECT EXISTS(SELECT 1 FROM members WHERE conversation=? AND device=? AND until_seq IS NULL)",
            )?
            .query_row((conversation, device), |row| row.get(0))?)
    }

    fn tree(&self, conversation: i64) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(self
            .0
            .prepare_cached("SELECT snapshot FROM trees WHERE conversation = ?")?
            .query_row([conversation], |row| row.get(0))
            .optional()?)
    }

    fn sent(&self, device: i64, send_id: SendId) -> Result<Option<u64>, LedgerError> {
        Ok(self
            .0
            .prepare_cached("SELECT seq FROM sends WHERE device = ? AND send_id = ?")?
            .query_row((device, send_id.as_bytes()), |row| row.get(0))
            .optional()?)
    }

    fn memberships(&self, device: i64) -> Result<Vec<Membership>, LedgerError> {
        Ok(queue::memberships(&self.0, device)?)
    }

    fn stints(&self, conversation: i64, device: i64) -> Result<Vec<Stint>, LedgerError> {
        Ok(queue::stints(&self.0, conversation, device)?)
    }

    fn read(&self, wanted: Wanted<'_>, select: Select, budget: Budget) -> Result<Read, LedgerError> {
        Ok(queue::read(&self.0, wanted, select, budget)?)
    }

    fn states(&self, device: i64, after: &str, most: usize) -> Result<Vec<ConversationState>, LedgerError> {
        Ok(queue::states(&self.0, device, after, most)?)
    }

    fn blob(&self, blob: &BlobId) -> Result<Option<BlobRow>, LedgerError> {
        Ok(blobs::find(&self.0, blob)?)
    }

    fn unfinished_blobs(&self, device: i64) -> Result<usize, LedgerError> {
        Ok(blobs::unfinished(&self.0, device)?)
    }

    fn stored(&self, device: i64) -> Result<Stored, LedgerError> {
        Ok(blobs::stored(&self.0, device)?)
    }

    fn old_blobs(
        &self,
        upload: Upload,
        before: Moment,
        after: Option<(Moment, BlobId)>,
        most: usize,
    ) -> Result<Vec<OldBlob>, LedgerError> {
        Ok(blobs::old(&self.0, upload, before, after, most)?)
    }

    fn unretained_since(&self) -> Result<Option<Moment>, LedgerError> {
        Ok(blobs::unretained_since(&self.0)?)
    }
}

impl DeliveryBatch for Rows<'_> {
    fn insert_conversation(&mut self, id: &ConversationId, suite: u16) -> Result<i64, LedgerError> {
        self.0
            .prepare_cached(
                "INSERT INTO conversations(conversation, suite, epoch, head_seq, purged_seq) VALUES(?,?,0,0,0)",
            )?
            .execute((id.as_str(), suite))?;
        Ok(self.0.last_insert_rowid())
    }

    fn append(&mut self, conversation: i64, entry: &Entry<'_>) -> Result<(), LedgerError> {
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
            Some((device, send_id)) => Ok(self.remember(device, send_id, seq)?),
            None => Ok(()),
        }
    }

    fn acknowledge(&mut self, device: i64, cursors: &[(ConversationId, u64)]) -> Result<Vec<i64>, LedgerError> {
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

    fn purge(&mut self, conversations: &[i64], most: usize) -> Result<Purged, LedgerError> {
        Ok(purge::purge(&self.0, conversations, most)?)
    }

    fn insert_blob(&mut self, blob: &BlobId, row: BlobRow, at: Moment) -> Result<(), LedgerError> {
        Ok(blobs::insert(&self.0, blob, row, at)?)
    }

    fn finish_blob(&mut self, blob: &BlobId, device: i64) -> Result<(), LedgerError> {
        self.0
            .prepare_cached("UPDATE blobs SET finished = 1 WHERE blob = ? AND device = ?")?
            .execute((blob.as_bytes(), device))?;
        Ok(())
    }

    fn name_blob(&mut self, blob: &BlobId, sender: i64, conversation: i64, seq: u64) -> Result<(), LedgerError> {
        Ok(blobs::name(&self.0, blob, sender, message_id(conversation, seq))?)
    }

    fn delete_blob(&mut self, blob: &BlobId) -> Result<(), LedgerError> {
        Ok(blobs::delete(&self.0, blob)?)
    }
}

impl Rows<'_> {
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
                .execute((device, n - SENDS_REMEMBERED as i64))?;
        }
        Ok(())
    }
}

fn conversation_row(row: &Row<'_>) -> rusqlite::Result<ConversationRow> {
    Ok(ConversationRow {
        row: row.get(0)?,
        suite: row.get(1)?,
        epoch: row.get(2)?,
        head_seq: row.get(3)?,
        reported: row.get(4)?,
    })
}
