//! Rows of reports in SQLite.

use rusqlite::OptionalExtension;

use super::{Rows, as_i64};
use crate::delivery::report::Standing;
use crate::ledger::{LedgerError, ReportBatch, ReportView};

impl ReportView for Rows<'_> {
    fn standing(&self, conversation: i64, bot: i64) -> Result<Option<Standing>, LedgerError> {
        let sql = "SELECT lost_since, epoch FROM standings WHERE conversation = ? AND bot = ?";
        let found = self
            .0
            .prepare_cached(sql)?
            .query_row((conversation, bot), |row| Ok(Standing { lost_since: row.get(0)?, epoch: row.get(1)? }));
        Ok(found.optional()?)
    }

    fn unread_in(&self, conversation: i64, device: i64) -> Result<Option<u64>, LedgerError> {
        let sql = "SELECT epoch FROM unread WHERE conversation = ? AND device = ?";
        let found = self.0.prepare_cached(sql)?.query_row((conversation, device), |row| row.get(0));
        Ok(found.optional()?)
    }

    fn lost_after(&self, after: i64, most: usize) -> Result<Vec<i64>, LedgerError> {
        let sql = "SELECT DISTINCT conversation FROM standings
                   WHERE lost_since IS NOT NULL AND conversation > ? ORDER BY conversation LIMIT ?";
        let mut statement = self.0.prepare_cached(sql)?;
        Ok(statement.query_map((after, most), |row| row.get(0))?.collect::<Result<_, _>>()?)
    }
}

impl ReportBatch for Rows<'_> {
    fn set_standing(&mut self, conversation: i64, bot: i64, standing: Standing) -> Result<(), LedgerError> {
        let Standing { lost_since, epoch } = standing;
        self.0
            .prepare_cached("INSERT OR REPLACE INTO standings(conversation, bot, lost_since, epoch) VALUES(?,?,?,?)")?
            .execute((conversation, bot, lost_since.map(as_i64), as_i64(epoch)))?;
        self.set_reported(conversation)
    }

    fn set_unread(&mut self, conversation: i64, device: i64, epoch: u64) -> Result<(), LedgerError> {
        self.0
            .prepare_cached("INSERT OR REPLACE INTO unread(conversation, device, epoch) VALUES(?,?,?)")?
            .execute((conversation, device, as_i64(epoch)))?;
        self.set_reported(conversation)
    }
}

impl Rows<'_> {
    fn set_reported(&self, conversation: i64) -> Result<(), LedgerError> {
        self.0.prepare_cached("UPDATE conversations SET reported = 1 WHERE id = ?")?.execute([conversation])?;
        Ok(())
    }
}
