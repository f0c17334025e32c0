//! Rows of the audit: failed log-ins, summed up.

use super::LedgerError;
use crate::audit::FailedLogIns;

/// Reading.
pub(crate) trait AuditView {
    /// All that is kept, the newest first.
    fn failed_log_ins(&self) -> Result<Vec<FailedLogIns>, LedgerError>;
}

/// Writing.
pub(crate) trait AuditBatch: AuditView {
    /// Adds these to the rows of the same ten minutes, address and account, and then deletes the oldest ten minutes' rows until
    /// `keep` are left.
    fn note_failed_log_ins(&mut self, rows: &[FailedLogIns], keep: usize) -> Result<(), LedgerError>;
}
