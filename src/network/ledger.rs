//! The ledger: where the network keeps its users, devices, conversations and messages. These traits are all that the
//! rest of the network knows of it.
//!
//! [`super::delivery`] and [`super::directory`] decide, on rows; a ledger stores rows and decides nothing. What a change
//! means is therefore written once and is the same on every ledger: [`super::execute`] carries out changes on any of
//! them.
//!
//! # Contract
//! A row is a device's or a conversation's number in this ledger. Every implementation passes the tests in
//! `ledger/contract`.
//!
//! 1. **A batch is one transaction.** [`Batch::commit`] returns when all of it is on stable storage; until then no
//!    other connection sees any of it, and dropping it undoes all of it. Nothing is answered or pushed before that.
//! 2. **A commit that failed has not happened.** An implementation whose commit can end in doubt (a connection that breaks
//!    while it waits for the answer) finds out before it returns.
//! 3. **A savepoint undoes what came after it** and nothing before, so that a refused change takes nothing else with it.
//! 4. **A batch reads what it has written.** From its begin to its end no other batch changes what it has read or
//!    writes the same rows: a `seq` is given once. Writes may be held back until they are read or committed, and rows may
//!    be read ahead: that is what the `coming` of [`LedgerWriter::begin`] is for.
//! 5. **Any error in a batch is the end of it.** All that it has written is undone; only the next batch shows whether the
//!    ledger works again. An error never means that a change is not allowed: that is a refusal, which a ledger does not
//!    know.
//! 6. **A view is of one instant**, and waits for no batch.
//! 7. **Order.** Places of a conversation are 1, 2, 3, … by [`DeliveryBatch::append`], which is only ever called with
//!    the next one. Messages are removed by [`DeliveryBatch::purge`] only, and never before every membership that they
//!    are for has acknowledged them.
//! 8. **Sends are remembered**: at least the last [`SENDS_REMEMBERED`] of each device.
//! 9. **A one-time key package goes out once**, also when several processes take packages.
//! 10. **A change of who may speak, or who must be in a conversation, raises the policy's version** in the same batch, so
//!     that a running network notices it also when another process made it.
//! 11. **A blob is settled when the last message that names it is purged**, and only if its own device named it once:
//!     nobody else can make it go.
//!
//! After a crash of the process or the machine a ledger holds the batches whose commit returned, perhaps one more whole
//! batch, and nothing else.
//!
//! # One process or several
//! A change of the directory may come from another process at any time. Conversations are written by one network unless
//! [`LedgerWriter::writers`] says otherwise: then what was remembered of them is forgotten before each batch.
//!
//! Not here: how the hub of one process learns of another process's batches.
//!
//! Calls block. They come from the writer's thread, from blocking threads of readers, and from the operator's.

use std::error::Error;

use super::change::Change;
use super::error::{ChangeError, NetworkError, Refusal};

mod audit;
#[cfg(test)]
pub(crate) mod contract;
mod delivery;
mod directory;
mod reports;

pub(crate) use self::audit::{AuditBatch, AuditView};
pub(crate) use self::delivery::{DeliveryBatch, DeliveryView, Purged};
pub(crate) use self::directory::{DirectoryBatch, DirectoryView, NewDevice, Origin, SenderRow};
pub(crate) use self::reports::{ReportBatch, ReportView};

/// Sends of a device that are remembered, to answer a repeated one alike. A device must not have more unanswered.
pub(crate) const SENDS_REMEMBERED: usize = 1024;

/// A ledger has failed: disk, connection or file. The text is that of the underlying error.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct LedgerError(Box<dyn Error + Send + Sync>);

impl LedgerError {
    pub(crate) fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// Where a network is kept.
pub(crate) trait Ledger: Send + Sync {
    /// Opens it to be changed; makes it the first time, and brings up one of an earlier release.
    fn writer(&self) -> Result<Box<dyn LedgerWriter>, NetworkError>;

    /// Opens it to be read. It was opened to be changed before.
    fn reader(&self) -> Result<Box<dyn LedgerReader>, LedgerError>;
}

/// A connection to read by.
pub(crate) trait LedgerReader: Send {
    /// What there is at this instant.
    fn view(&mut self) -> Result<Box<dyn View + '_>, LedgerError>;
}

/// A connection to change by.
pub(crate) trait LedgerWriter: LedgerReader {
    /// Waits for the batches of other processes, then starts one. `coming` is what will be changed, as far as it is known.
    fn begin(&mut self, coming: &[Change]) -> Result<Box<dyn Batch + '_>, LedgerError>;

    /// Carries out one batch, after which nothing that it has replaced can be read from what the ledger has written, copies of
    /// its own included. `work` may be called for each of them; what fails leaves some as they were.
    fn shred(&mut self, work: &mut Work<'_>) -> Result<(), NetworkError>;

    /// Who else writes conversations.
    fn writers(&self) -> Writers;
}

/// Changes a batch.
pub(crate) type Work<'a> = dyn FnMut(&mut dyn Batch) -> Result<(), NetworkError> + 'a;

/// Processes that write conversations of one ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writers {
    /// This one alone: what it remembers of them stays true.
    One,
    /// Others, too.
    Several,
}

/// All that can be read, of one instant.
pub(crate) trait View: DirectoryView + DeliveryView + ReportView + AuditView {}

impl<T: DirectoryView + DeliveryView + ReportView + AuditView + ?Sized> View for T {}

/// A transaction that has not ended. Dropped, it is undone.
pub(crate) trait Batch: View + DirectoryBatch + DeliveryBatch + ReportBatch + AuditBatch {
    /// What comes now can be undone on its own. There is one savepoint at a time.
    fn savepoint(&mut self) -> Result<(), LedgerError>;

    /// Undoes what came after the savepoint; the batch goes on.
    fn undo_to_savepoint(&mut self) -> Result<(), LedgerError>;

    /// Keeps what came after the savepoint, as far as the batch is kept.
    fn release_savepoint(&mut self) -> Result<(), LedgerError>;

    /// Puts everything on stable storage.
    fn commit(self: Box<Self>) -> Result<(), LedgerError>;

    /// Undoes everything, and says if that failed. The ledger is as it was even then.
    fn undo(self: Box<Self>) -> Result<(), LedgerError>;
}

/// Carries out one change of a batch: refused, it has done nothing.
pub(crate) fn attempt<T>(
    batch: &mut dyn Batch,
    change: impl FnOnce(&mut dyn Batch) -> Result<T, ChangeError>,
) -> Result<Result<T, Refusal>, LedgerError> {
    batch.savepoint()?;
    let outcome = match change(batch) {
        Ok(value) => Ok(value),
        Err(ChangeError::Refused(refusal)) => {
            batch.undo_to_savepoint()?;
            Err(refusal)
        }
        Err(ChangeError::Broken(error)) => return Err(error),
    };
    batch.release_savepoint()?;
    Ok(outcome)
}
