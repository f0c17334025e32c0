//! Rows of the audit in SQLite.

use super::{Rows, as_i64};
use crate::audit::FailedLogIns;
use crate::ledger::{AuditBatch, AuditView, LedgerError};

/// Stands for all others.
const OTHERS: &str = "";

impl AuditView for Rows<'_> {
    fn failed_log_ins(&self) -> Result<Vec<FailedLogIns>, LedgerError> {
        let sql = "SELECT first_at_micros, last_at_micros, address, account, count FROM failed_log_ins
                   ORDER BY period DESC, last_at_micros DESC, address, account";
        let named = |text: String| (text != OTHERS).then_some(text);
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| {
            Ok(FailedLogIns {
                first_micros: row.get(0)?,
                last_micros: row.get(1)?,
                address: named(row.get(2)?),
                account: named(row.get(3)?),
                count: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl AuditBatch for Rows<'_> {
    fn note_failed_log_ins(&mut self, rows: &[FailedLogIns], keep: usize) -> Result<(), LedgerError> {
        let mut statement = self.0.prepare_cached(
            "INSERT INTO failed_log_ins(period, address, account, count, first_at_micros, last_at_micros)
             VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT(period, address, account) DO UPDATE SET
                 count = count + excluded.count,
                 first_at_micros = min(first_at_micros, excluded.first_at_micros),
                 last_at_micros = max(last_at_micros, excluded.last_at_micros)",
        )?;
        for row in rows {
            let FailedLogIns { first_micros, last_micros, address, account, count } = row;
            let (address, account) = (address.as_deref().unwrap_or(OTHERS), account.as_deref().unwrap_or(OTHERS));
            statement.execute((row.period(), address, account, as_i64(*count), first_micros, last_micros))?;
        }
        self.0
            .prepare_cached(
                "DELETE FROM failed_log_ins WHERE (period, address, account) IN
                     (SELECT period, address, account FROM failed_log_ins
                      ORDER BY period DESC, address, account LIMIT -1 OFFSET ?)",
            )?
            .execute([keep])?;
        Ok(())
    }
}
