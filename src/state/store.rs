//! The file as a store: look-ups, and the transaction as the only way to change it.
//!
//! Changes go through [`Store::transaction`] only, so that what belongs together is stored together. Each room keeps tables of
//! its own here (a source its keys and cursors, the bot its segments and ship queue) and changes them in the same transaction.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params};
use zeroize::Zeroizing;

use crate::error::StoreError;
use crate::file;
use crate::schema::Step;
use crate::vault::{Vault, VaultError, VaultHeader};

/// Prepared statements kept in memory.
const STATEMENTS_CACHED: usize = 64;

/// Name of the row of `meta` that holds the vault's header; rows other than headers are sealed.
const VAULT: &str = "vault";
/// A second header while the password is being changed; it opens the state as well.
const NEXT_VAULT: &str = "next_vault";
/// Sealed: the password that opens [`NEXT_VAULT`].
const NEXT_PASSWORD: &str = "next_password";
/// Exists as long as the first password is to be replaced.
const PROVISIONAL: &str = "provisional";

/// How long the first password of a state opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seal {
    /// Until someone changes it.
    Lasting,
    /// Until the bot has one of its own.
    Provisional,
}

/// What a second connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    Read,
    /// Read and write.
    Write,
}

/// The store's own table: headers of the vault, and sealed values by name. The first step of every schema makes it.
pub const META: &str = "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;";

/// An open state file.
pub struct Store {
    connection: Connection,
    vault: Arc<Vault>,
    path: String,
}

impl Store {
    /// Opens the state at `path`; makes it, sealed under `password`, when there is none.
    pub fn open(path: &Path, password: &[u8], steps: &'static [Step]) -> Result<Self, StoreError> {
        Self::open_or_make(path, password, steps, Seal::Lasting)
    }

    /// As [`open`](Self::open), but a state that is made here is provisional, until another password takes over.
    pub fn open_or_begin(path: &Path, password: &[u8], steps: &'static [Step]) -> Result<Self, StoreError> {
        Self::open_or_make(path, password, steps, Seal::Provisional)
    }

    /// Opens a state with a vault that is open already: needs no password, and does not read the header.
    pub fn open_unlocked(path: &Path, vault: Arc<Vault>, steps: &'static [Step]) -> Result<Self, StoreError> {
        Ok(Self::with(file::connect(path, steps)?, vault, path.display().to_string()))
    }

    fn open_or_make(path: &Path, password: &[u8], steps: &'static [Step], seal: Seal) -> Result<Self, StoreError> {
        let name = path.display().to_string();
        let failed = |operation| {
            let path = name.clone();
            move |source| StoreError::Sqlite { operation, path, source }
        };
        file::begin_file(path)?;
        let connection = file::connect(path, steps)?;
        let header = |name: &str| -> Result<Option<VaultHeader>, StoreError> {
            let header: Option<Vec<u8>> = connection
                .query_row("SELECT value FROM meta WHERE name=?1", [name], |row| row.get(0))
                .optional()
                .map_err(failed("read"))?;
            Ok(header.map(|header| VaultHeader::decode(&header)).transpose()?)
        };
        let vault = match (header(VAULT)?, header(NEXT_VAULT)?) {
            (Some(header), next) => match (Vault::unlock(password, &header), next) {
                // a change of the password is under way: until it is done both open
                (Err(VaultError::Password), Some(next)) => Vault::unlock(password, &next)?,
                (vault, _) => vault?,
            },
            (None, _) => {
                let (vault, header) = Vault::create(password)?;
                let mut rows = vec![(VAULT, header.encode())];
                match seal {
                    Seal::Provisional => rows.push((PROVISIONAL, Vec::new())),
                    Seal::Lasting => {}
                }
                let transaction = connection.unchecked_transaction().map_err(failed("written"))?;
                for (name, value) in rows {
                    let put = transaction.execute("INSERT INTO meta VALUES (?1, ?2)", params![name, value]);
                    put.map_err(failed("written"))?;
                }
                transaction.commit().map_err(failed("written"))?;
                vault
            }
        };
        let mut store = Self::with(connection, Arc::new(vault), name);
        if let Err(error) = store.renew_header(password) {
            tracing::warn!(%error, "the state's password could not be protected better, the next start tries again");
        }
        Ok(store)
    }

    /// A header of an earlier release asks less of who guesses the password: one of today takes its place.
    fn renew_header(&mut self, password: &[u8]) -> Result<(), StoreError> {
        let header = self.row("SELECT value FROM meta WHERE name=?1", VAULT, |row| row.get::<_, Vec<u8>>(0))?;
        let changing = self.row("SELECT 1 FROM meta WHERE name=?1", NEXT_VAULT, |_| Ok(()))?.is_some();
        let Some(header) = header.filter(|_| !changing) else { return Ok(()) };
        if !VaultHeader::decode(&header)?.is_cheap() {
            return Ok(());
        }
        let renewed = self.vault.rewrap(password)?.encode();
        self.replace_for_good(|tx| tx.execute("UPDATE meta SET value=?2 WHERE name=?1", params![VAULT, renewed]))
    }

    /// The vault that its secrets are sealed in.
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// A state that lives in memory only: for the devices of a replay.
    pub fn in_memory(vault: Arc<Vault>, steps: &'static [Step]) -> Result<Self, StoreError> {
        let path = "in memory".to_owned();
        let failed = |source| StoreError::Sqlite { operation: "opened", path: "in memory".to_owned(), source };
        let connection = Connection::open_in_memory().map_err(failed)?;
        // rows that are deleted give their memory back
        connection.execute_batch("PRAGMA auto_vacuum=FULL").map_err(failed)?;
        steps.iter().try_for_each(|step| step(&connection)).map_err(failed)?;
        Ok(Self::with(connection, vault, path))
    }

    fn with(connection: Connection, vault: Arc<Vault>, path: String) -> Self {
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
        Self { connection, vault, path }
    }

    /// Another connection to the same file.
    pub fn again(&self, access: Access) -> Result<Self, StoreError> {
        let flags = match access {
            Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
            Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
        };
        // the path is interpreted as by the first connection, which takes URIs
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(&self.path, flags).map_err(|e| self.failed("opened", e))?;
        connection
            .execute_batch("PRAGMA synchronous=FULL; PRAGMA busy_timeout=10000; PRAGMA temp_store=MEMORY;")
            .and_then(|()| file::keep_plans(&connection))
            .map_err(|e| self.failed("opened", e))?;
        Ok(Self::with(connection, self.vault.clone(), self.path.clone()))
    }

    fn failed(&self, operation: &'static str, source: rusqlite::Error) -> StoreError {
        StoreError::Sqlite { operation, path: self.path.clone(), source }
    }

    /// Is the password that opens this state still its first one, which is to be replaced?
    pub fn is_provisional(&self) -> Result<bool, StoreError> {
        self.row("SELECT 1 FROM meta WHERE name=?1", PROVISIONAL, |_| Ok(())).map(|row| row.is_some())
    }

    /// The password that is about to take over. Until [`finish_password`](Self::finish_password) it and the one before
    /// both open the state.
    pub fn next_password(&self) -> Result<Option<Zeroizing<String>>, StoreError> {
        let Some(bytes) = self.meta(NEXT_PASSWORD)? else { return Ok(None) };
        let text = std::str::from_utf8(&bytes).map_err(|_| StoreError::Malformed("password"))?;
        Ok(Some(Zeroizing::new(text.to_owned())))
    }

    /// Deletes the password of a state that no device was registered with, and all that it sealed: the next start begins it
    /// again, with another password.
    pub fn forget_beginning(&mut self) -> Result<(), StoreError> {
        self.write(|tx| tx.execute("DELETE FROM meta WHERE NOT EXISTS (SELECT 1 FROM meta WHERE name='identity')", []))
    }

    /// Stores the password that is to take over, so that an interrupted change is repeated with the same one.
    pub fn begin_password(&mut self, password: &str) -> Result<(), StoreError> {
        let header = self.vault.rewrap(password.as_bytes())?.encode();
        self.write(|tx| {
            tx.execute("INSERT OR REPLACE INTO meta VALUES (?1, ?2)", params![NEXT_VAULT, header])?;
            tx.put_meta(NEXT_PASSWORD, password.as_bytes())
        })
    }

    /// From now on only the password of [`begin_password`](Self::begin_password) opens the state; if there is none, the one
    /// that opened it stays.
    pub fn finish_password(&mut self) -> Result<(), StoreError> {
        self.replace_for_good(|tx| {
            let next = "UPDATE meta SET value=(SELECT value FROM meta WHERE name=?2)
                        WHERE name=?1 AND EXISTS (SELECT 1 FROM meta WHERE name=?2)";
            tx.execute(next, [VAULT, NEXT_VAULT])?;
            tx.execute("DELETE FROM meta WHERE name IN (?1, ?2, ?3)", [NEXT_VAULT, NEXT_PASSWORD, PROVISIONAL])
        })
    }

    /// What is replaced or deleted is overwritten: an old header and an old password would open a copy.
    fn replace_for_good(&mut self, work: impl FnOnce(&Writer<'_>) -> Result<(), StoreError>) -> Result<(), StoreError> {
        self.connection.execute_batch("PRAGMA secure_delete=ON;").map_err(|e| self.failed("written", e))?;
        self.write::<_, StoreError>(work)?;
        // and it does not stay in the log; a log that is being read is emptied later
        let emptied = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        emptied.map_err(|e| self.failed("written", e))
    }

    /// The sealed value of a row of `meta`.
    pub fn meta(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let sealed = self.row("SELECT value FROM meta WHERE name=?1", name, |row| row.get::<_, Vec<u8>>(0))?;
        sealed.map(|sealed| self.unseal("meta", name.as_bytes(), &sealed)).transpose()
    }

    /// Opens a value that [`Writer::seal`] sealed to this row of this table.
    pub fn unseal(&self, table: &str, row: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        Ok(self.vault.open(&context(table, row), sealed)?)
    }

    /// Runs `read` on one snapshot of the state: many look-ups then cost hardly more than one.
    pub fn snapshot<R, E: From<StoreError>>(&self, read: impl FnOnce(&Self) -> Result<R, E>) -> Result<R, E> {
        let failed = |e| self.failed("read", e);
        // `DEFERRED`: the snapshot is taken by the first look-up
        let snapshot = self.connection.unchecked_transaction().map_err(failed)?;
        let result = read(self)?;
        snapshot.finish().map_err(failed)?;
        Ok(result)
    }

    /// The row that a statement finds by one key, if there is one.
    pub fn row<T>(
        &self,
        sql: &str,
        key: impl rusqlite::ToSql,
        f: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let failed = |e| self.failed("read", e);
        self.connection.prepare_cached(sql).map_err(failed)?.query_row([key], f).optional().map_err(failed)
    }

    /// Rows that a statement finds in the tables of a room.
    pub fn rows<T>(
        &self,
        sql: &str,
        f: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.rows_of(sql, [], f)
    }

    /// Rows that a statement finds by several keys.
    pub fn rows_of<T>(
        &self,
        sql: &str,
        keys: impl rusqlite::Params,
        f: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let failed = |e| self.failed("read", e);
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        statement.query_map(keys, f).and_then(Iterator::collect).map_err(failed)
    }

    /// Adds `schema` to the tables. Every statement must be harmless when repeated.
    pub fn extend(&self, schema: &str) -> Result<(), StoreError> {
        self.connection.execute_batch(&format!("BEGIN IMMEDIATE; {schema} COMMIT;")).map_err(|e| {
            // a failed batch leaves its transaction open
            self.connection.execute_batch("ROLLBACK").ok();
            self.failed("written", e)
        })
    }

    /// Passes each row that a statement finds to `look`, one at a time.
    pub fn each(
        &self,
        sql: &str,
        mut look: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<Result<(), StoreError>>,
    ) -> Result<(), StoreError> {
        let failed = |e| self.failed("read", e);
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            look(row).map_err(failed)??;
        }
        Ok(())
    }

    /// Runs `change`. What it returns comes back as [`Committed`] once all that it wrote is on stable storage; after an error
    /// none of it is written.
    pub fn transaction<R, E: From<StoreError>>(
        &mut self,
        change: impl FnOnce(&Writer<'_>) -> Result<R, E>,
    ) -> Result<Committed<R>, E> {
        let path = self.path.clone();
        let failed = |source| StoreError::Sqlite { operation: "written", path: path.clone(), source };
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let writer = Writer { tx, vault: &self.vault, path: &path };
        let result = change(&writer)?;
        writer.tx.commit().map_err(failed)?;
        Ok(Committed(result))
    }

    /// As [`transaction`](Self::transaction), for callers without a use for the proof.
    pub fn write<R, E: From<StoreError>>(&mut self, change: impl FnOnce(&Writer<'_>) -> Result<R, E>) -> Result<R, E> {
        self.transaction(change).map(Committed::into_inner)
    }
}

/// What a transaction returned, and the proof that it is on stable storage. Only
/// [`Store::transaction`] makes one: a function that takes a `Committed<T>` cannot be called before the commit.
#[derive(Debug)]
#[must_use = "a commit that nothing follows leaves the next start to finish it"]
pub struct Committed<T>(T);

impl<T> Committed<T> {
    /// The proof without the value.
    pub fn proof(&self) -> Committed<()> {
        Committed(())
    }

    /// The value, without the proof.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> std::ops::Deref for Committed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A transaction in progress.
pub struct Writer<'a> {
    tx: Transaction<'a>,
    vault: &'a Vault,
    path: &'a str,
}

impl Writer<'_> {
    fn failed(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Sqlite { operation: "written", path: self.path.to_owned(), source }
    }

    /// Changes the tables of the store or of a room.
    pub fn execute(&self, sql: &str, params: impl rusqlite::Params) -> Result<(), StoreError> {
        let failed = |e| self.failed(e);
        self.tx.prepare_cached(sql).map_err(failed)?.execute(params).map_err(failed)?;
        Ok(())
    }

    /// Passes each row that a statement finds, as it is in this transaction, to `look`.
    pub fn each(
        &self,
        sql: &str,
        mut look: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let failed = |e| self.failed(e);
        let mut statement = self.tx.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            look(row).map_err(failed)?;
        }
        Ok(())
    }

    /// Seals a value to this row of this table.
    pub fn seal(&self, table: &str, row: &[u8], value: &[u8]) -> Result<Vec<u8>, StoreError> {
        Ok(self.vault.seal(&context(table, row), value)?)
    }

    /// Stores a sealed row of `meta`.
    pub fn put_meta(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let sealed = self.seal("meta", name.as_bytes(), value)?;
        self.execute("INSERT OR REPLACE INTO meta VALUES (?1, ?2)", params![name, sealed])
    }
}

/// Binds a sealed value to its table and row.
fn context(table: &str, row: &[u8]) -> Vec<u8> {
    [table.as_bytes(), b"/", row].concat()
}
