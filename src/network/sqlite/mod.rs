//! The ledger in one SQLite file: the default, which needs no service. [`super::ledger`] has the contract.
//!
//! [`store`] has the tables. A batch is an immediate transaction and its savepoint SQLite's; a view is a read transaction
//! on a connection of its own, which WAL keeps apart from the one writer. Statements are prepared once a connection.
//! This is the only room of the network that knows SQLite.

mod audit;
mod blobs;
mod delivery;
mod directory;
mod purge;
mod queue;
mod reports;
mod store;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::change::Change;
use super::error::NetworkError;
use super::ledger::{Batch, Ledger, LedgerError, LedgerReader, LedgerWriter, View, Work, Writers};

const DATABASE_FILE: &str = "network.sqlite";

/// A database file.
pub(crate) struct Sqlite {
    path: PathBuf,
}

impl Sqlite {
    /// The one in `folder`, made if there is none.
    pub(crate) fn make(folder: &Path) -> Result<Self, NetworkError> {
        let path = folder.join(DATABASE_FILE);
        // secrets are in it: only for the owner, from its first byte
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| NetworkError::File { action: "create", path: path.clone(), source })?;
        Ok(Self { path })
    }

    /// The one that there is in `folder`.
    pub(crate) fn find(folder: &Path) -> Result<Self, NetworkError> {
        let path = folder.join(DATABASE_FILE);
        if path.exists() { Ok(Self { path }) } else { Err(NetworkError::NoNetwork(folder.to_owned())) }
    }
}

impl Ledger for Sqlite {
    fn writer(&self) -> Result<Box<dyn LedgerWriter>, NetworkError> {
        Ok(Box::new(Handle(store::open(&self.path)?)))
    }

    fn reader(&self) -> Result<Box<dyn LedgerReader>, LedgerError> {
        Ok(Box::new(Handle(store::open_reader(&self.path)?)))
    }
}

/// Copies of the database that changes of its schema have left beside it.
fn copies(database: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (database.parent(), database.file_name()) else { return Vec::new() };
    let start = [name.as_encoded_bytes(), b".v"].concat();
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let is_copy = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(&start));
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(is_copy).collect()
}

/// An open connection, to read or to change by.
struct Handle(Connection);

impl LedgerReader for Handle {
    fn view(&mut self) -> Result<Box<dyn View + '_>, LedgerError> {
        Ok(Box::new(Rows(self.0.transaction()?)))
    }
}

impl LedgerWriter for Handle {
    fn begin(&mut self, _coming: &[Change]) -> Result<Box<dyn Batch + '_>, LedgerError> {
        // an earlier batch failed and could not be undone then
        if !self.0.is_autocommit() {
            self.0.execute_batch("ROLLBACK")?;
        }
        Ok(Box::new(Rows(self.0.transaction_with_behavior(TransactionBehavior::Immediate)?)))
    }

    fn shred(&mut self, work: &mut Work<'_>) -> Result<(), NetworkError> {
        // first the copies: that the database itself is done says that all is
        for copy in self.0.path().map(Path::new).map(copies).unwrap_or_default() {
            let mut connection = Handle(store::open_copy(&copy)?);
            let mut batch = connection.begin(&[])?;
            work(&mut *batch)?;
            batch.commit()?;
        }
        self.0.pragma_update(None, "secure_delete", true)?;
        let mut batch = self.begin(&[])?;
        work(&mut *batch)?;
        batch.commit()?;
        // and it does not stay in the log
        self.0.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        self.0.pragma_update(None, "secure_delete", false)?;
        Ok(())
    }

    /// Its directory is locked by the process that serves it.
    fn writers(&self) -> Writers {
        Writers::One
    }
}

/// The rows as one transaction sees and changes them.
struct Rows<'a>(Transaction<'a>);

impl Batch for Rows<'_> {
    fn savepoint(&mut self) -> Result<(), LedgerError> {
        self.execute("SAVEPOINT change")
    }

    fn undo_to_savepoint(&mut self) -> Result<(), LedgerError> {
        self.execute("ROLLBACK TO change")
    }

    fn release_savepoint(&mut self) -> Result<(), LedgerError> {
        self.execute("RELEASE change")
    }

    fn commit(self: Box<Self>) -> Result<(), LedgerError> {
        Ok(self.0.commit()?)
    }

    fn undo(self: Box<Self>) -> Result<(), LedgerError> {
        // SQLite has undone it by itself after some errors: that is no failure
        Ok(self.0.finish()?)
    }
}

impl Rows<'_> {
    fn execute(&self, sql: &str) -> Result<(), LedgerError> {
        self.0.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::new(error)
    }
}

impl From<rusqlite::Error> for NetworkError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

fn as_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
