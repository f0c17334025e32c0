//! What a device keeps on disk: its identity, key packages, one state a conversation, all sealed by the vault.
//!
//! One SQLite file (WAL, every commit synced). Changes go through [`Store::transaction`] only, so that what belongs
//! together is stored together. The bot keeps its own tables in the same file for that reason: MLS state, cursor, segment
//! and ship queue of a batch are one transaction.
//!
//! In clear are only ids of conversations, cursors and sizes; keys, names and rosters are sealed, each to its row.
//!
//! **Damage.** A sealed value with one other bit does not open. What is in clear and decides what counts as archived has a
//! [`guard`] beside it: a cursor that the disk has changed would acknowledge what nobody has. A file gets its name only with
//! something in it, so that an empty one is a damaged one, and never taken for a new state. SQLite itself notices some of
//! what else may happen to its pages.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use prost::Message;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params};
use thiserror::Error;
use zeroize::Zeroizing;

use super::mls::{KeyPackages, NewKeyPackage, NotRead, StoredSession};
use retaind_protocol::endpoint::Endpoint;
use retaind_protocol::ids::ConversationId;
use retaind_state::schema::{self, SchemaError, Step};
use retaind_state::vault::{Vault, VaultError, VaultHeader};

/// The versions of a state file, see [`retaind_state::schema`]. The tables that the bot keeps beside these share the file's version:
/// a step that changes those asks whether they are there, as a client's file has none; new ones are made as they are now.
pub const STEPS: &[Step] = &[|connection| connection.execute_batch(SCHEMA)];
/// Prepared statements kept.
const STATEMENTS_CACHED: usize = 64;

/// Why the state could not be read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// SQLite's word.
    #[error("state `{path}` cannot be {operation}, is the disk full or the file damaged?")]
    Sqlite {
        /// `made`, `opened`, `read` or `written`.
        operation: &'static str,
        /// The file.
        path: String,
        /// SQLite's word.
        #[source]
        source: rusqlite::Error,
    },
    /// Somebody else's, or on a file system that is read-only.
    #[error(
        "state `{path}` may not be read and written: give it to the user that runs the bot (with its `-wal` and `-shm`), and mount \
         its file system writable"
    )]
    Denied {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Of a newer version, or of an older one that cannot be brought up.
    #[error("state cannot be used")]
    Schema(#[from] SchemaError),
    /// The password is wrong, or what it opens was altered.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A row does not decode.
    #[error("state holds a row that does not decode: {0}")]
    Malformed(&'static str),
    /// A row is not what was written.
    #[error(
        "state is damaged: a row of `{0}` is not as it was written, by a fault of the disk or of the memory; nothing was \
         acknowledged or changed on its word; restore the newest copy of the state directory, or begin anew as another device \
         with an empty one"
    )]
    Damaged(&'static str),
    /// There is nothing in the file.
    #[error(
        "state `{path}` is empty: it was cut, or the disk lost what it had confirmed; restore the state directory from a copy, or \
         remove the file to begin anew as another device"
    )]
    Empty {
        /// The file.
        path: String,
    },
    /// A new file could not be made.
    #[error("state `{path}` cannot be made, is the disk full?")]
    NotMade {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl StoreError {
    /// Is it that the password does not open the state?
    pub fn is_wrong_password(&self) -> bool {
        matches!(self, Self::Vault(VaultError::Password))
    }

    /// Must something be put right first? Otherwise starting again may help.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Denied { .. } | Self::Empty { .. } => true,
            Self::Schema(error) => error.is_configuration(),
            Self::Vault(_) => self.is_wrong_password(),
            Self::Sqlite { .. } | Self::Malformed(_) | Self::Damaged(_) | Self::NotMade { .. } => false,
        }
    }
}

/// Who the device is and which network it belongs to.
#[derive(Clone, PartialEq, Message)]
pub struct StoredIdentity {
    /// `host:port` of the network.
    #[prost(string, tag = "1")]
    pub address: String,
    /// TLS name of the network.
    #[prost(string, tag = "2")]
    pub server_name: String,
    /// DER certificate of the authority that vouches for that name.
    #[prost(bytes = "vec", tag = "3")]
    pub ca_der: Vec<u8>,
    /// Name of the network.
    #[prost(string, tag = "4")]
    pub network_id: String,
    /// The network's authentication key.
    #[prost(bytes = "vec", tag = "5")]
    pub authentication_key: Vec<u8>,
    /// MLS cipher suite.
    #[prost(uint32, tag = "6")]
    pub cipher_suite: u32,
    /// Encoded [`SignedCredential`](retaind_protocol::credential::SignedCredential); empty until registered.
    #[prost(bytes = "vec", tag = "7")]
    pub credential: Vec<u8>,
}

impl StoredIdentity {
    /// Where the network is.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { address: self.address.clone(), server_name: self.server_name.clone(), ca_der: self.ca_der.clone() }
    }
}

/// The key with which a registration was begun: asked again with it, the network gives the same device, not another.
#[derive(Clone, PartialEq, Message)]
pub struct StoredBeginning {
    /// Name of the network.
    #[prost(string, tag = "1")]
    pub network_id: String,
    /// MLS cipher suite of the key.
    #[prost(uint32, tag = "2")]
    pub cipher_suite: u32,
    /// Public part of the key.
    #[prost(bytes = "vec", tag = "3")]
    pub public_key: Vec<u8>,
    /// SHA-256 of what was to open the door: another invite is another registration.
    #[prost(bytes = "vec", tag = "4")]
    pub claim: Vec<u8>,
}

/// Rows of `meta` that hold what opens the state; the others are sealed.
const VAULT: &str = "vault";
/// Opens it as well, while the password is being changed.
const NEXT_VAULT: &str = "next_vault";
/// Sealed: what opens [`NEXT_VAULT`].
const NEXT_PASSWORD: &str = "next_password";
/// There as long as the first password is to be replaced.
const PROVISIONAL: &str = "provisional";

/// How long the first password of a state is to open it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seal {
    /// Until somebody changes it.
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

/// A device's state file.
pub struct Store {
    connection: Connection,
    vault: Arc<Vault>,
    path: String,
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS key_package (reference BLOB PRIMARY KEY, secret BLOB NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS session (
        conversation TEXT PRIMARY KEY, cursor INTEGER NOT NULL, guard BLOB NOT NULL, secrets BLOB) STRICT;
    CREATE TABLE IF NOT EXISTS tree (conversation TEXT PRIMARY KEY, tree BLOB NOT NULL) STRICT;
";

// updated where they lie: a replaced row would move to another page, and each commit write more pages
const PUT_SESSION: &str = "INSERT INTO session VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (conversation) DO UPDATE SET cursor=excluded.cursor, guard=excluded.guard, secrets=excluded.secrets";
const PUT_TREE: &str = "INSERT INTO tree VALUES (?1, ?2) ON CONFLICT (conversation) DO UPDATE SET tree=excluded.tree";

impl Store {
    /// Opens the state at `path`; makes it, sealed under `password`, when there is none.
    pub fn open(path: &Path, password: &[u8]) -> Result<Self, StoreError> {
        Self::open_or_make(path, password, Seal::Lasting)
    }

    /// The same; a state that is made here is provisional, until another password takes over.
    pub fn open_or_begin(path: &Path, password: &[u8]) -> Result<Self, StoreError> {
        Self::open_or_make(path, password, Seal::Provisional)
    }

    /// Opens a state whose vault is open already, without a password: nothing of its header is looked at.
    pub fn open_unlocked(path: &Path, vault: Arc<Vault>) -> Result<Self, StoreError> {
        Ok(Self::with(connect(path)?, vault, path.display().to_string()))
    }

    fn open_or_make(path: &Path, password: &[u8], seal: Seal) -> Result<Self, StoreError> {
        let name = path.display().to_string();
        let failed = |operation| {
            let path = name.clone();
            move |source| StoreError::Sqlite { operation, path, source }
        };
        begin_file(path)?;
        let connection = connect(path)?;
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
        Ok(Self::with(connection, Arc::new(vault), name))
    }

    /// A state that lives in memory only: for devices that exist as long as a replay does.
    pub fn in_memory(vault: Arc<Vault>) -> Result<Self, StoreError> {
        let path = "in memory".to_owned();
        let failed = |source| StoreError::Sqlite { operation: "opened", path: "in memory".to_owned(), source };
        let connection = Connection::open_in_memory().map_err(failed)?;
        // what is forgotten gives its memory back
        connection.execute_batch("PRAGMA auto_vacuum=FULL").map_err(failed)?;
        STEPS.iter().try_for_each(|step| step(&connection)).map_err(failed)?;
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
        // a name is read as the first connection read it
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(&self.path, flags).map_err(|e| self.failed("opened", e))?;
        connection
            .execute_batch("PRAGMA synchronous=FULL; PRAGMA busy_timeout=10000; PRAGMA temp_store=MEMORY;")
            .and_then(|()| keep_plans(&connection))
            .map_err(|e| self.failed("opened", e))?;
        Ok(Self::with(connection, self.vault.clone(), self.path.clone()))
    }

    fn failed(&self, operation: &'static str, source: rusqlite::Error) -> StoreError {
        StoreError::Sqlite { operation, path: self.path.clone(), source }
    }

    /// Who this device is, once it is registered.
    #[allow(clippy::type_complexity)]
    pub fn identity(&self) -> Result<Option<(StoredIdentity, Zeroizing<Vec<u8>>)>, StoreError> {
        let (Some(identity), Some(key)) = (self.meta("identity")?, self.meta("signature_key")?) else {
            return Ok(None);
        };
        let identity = StoredIdentity::decode(identity.as_slice()).map_err(|_| StoreError::Malformed("identity"))?;
        Ok(Some((identity, key)))
    }

    /// Stores who this device is.
    pub fn set_identity(&mut self, identity: &StoredIdentity, key: &[u8]) -> Result<(), StoreError> {
        self.transaction(|tx| {
            tx.put_meta("identity", &identity.encode_to_vec())?;
            tx.put_meta("signature_key", key)?;
            tx.execute("DELETE FROM meta WHERE name='beginning'", [])
        })
    }

    /// How a registration was begun that is not known to have ended, with the secret part of the key.
    #[allow(clippy::type_complexity, reason = "a pair of what is stored and its secret, or nothing yet")]
    pub fn beginning(&self) -> Result<Option<(StoredBeginning, Zeroizing<Vec<u8>>)>, StoreError> {
        let (Some(beginning), Some(key)) = (self.meta("beginning")?, self.meta("signature_key")?) else {
            return Ok(None);
        };
        let beginning =
            StoredBeginning::decode(beginning.as_slice()).map_err(|_| StoreError::Malformed("beginning"))?;
        Ok(Some((beginning, key)))
    }

    /// Stores with which key a registration begins, before anybody is asked.
    pub fn set_beginning(&mut self, beginning: &StoredBeginning, key: &[u8]) -> Result<(), StoreError> {
        self.transaction(|tx| {
            tx.put_meta("beginning", &beginning.encode_to_vec())?;
            tx.put_meta("signature_key", key)
        })
    }

    /// Is the password that opens this state still the one that it was begun with, to be replaced?
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

    /// Forgets the password of a state that no device was registered with, and all that it sealed: the next start begins it
    /// anew, with another one.
    pub fn forget_beginning(&mut self) -> Result<(), StoreError> {
        self.transaction(|tx| {
            tx.execute("DELETE FROM meta WHERE NOT EXISTS (SELECT 1 FROM meta WHERE name='identity')", [])
        })
    }

    /// Stores the password that is to take over, so that whatever happens until then is done again with the same one.
    pub fn begin_password(&mut self, password: &str) -> Result<(), StoreError> {
        let header = self.vault.rewrap(password.as_bytes())?.encode();
        self.transaction(|tx| {
            tx.execute("INSERT OR REPLACE INTO meta VALUES (?1, ?2)", params![NEXT_VAULT, header])?;
            tx.put_meta(NEXT_PASSWORD, password.as_bytes())
        })
    }

    /// From now on only the password of [`begin_password`](Self::begin_password) opens the state; without one, the one
    /// that opened it stays.
    pub fn finish_password(&mut self) -> Result<(), StoreError> {
        // what is deleted is overwritten: the old header and the old password would still open a copy
        self.connection.execute_batch("PRAGMA secure_delete=ON;").map_err(|e| self.failed("written", e))?;
        self.transaction::<_, StoreError>(|tx| {
            let next = "UPDATE meta SET value=(SELECT value FROM meta WHERE name=?2)
                        WHERE name=?1 AND EXISTS (SELECT 1 FROM meta WHERE name=?2)";
            tx.execute(next, [VAULT, NEXT_VAULT])?;
            tx.execute("DELETE FROM meta WHERE name IN (?1, ?2, ?3)", [NEXT_VAULT, NEXT_PASSWORD, PROVISIONAL])
        })?;
        // and it does not stay in the log; one that is being read is emptied later
        let emptied = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        emptied.map_err(|e| self.failed("written", e))
    }

    fn meta(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let sealed = self.row("SELECT value FROM meta WHERE name=?1", name, |row| row.get::<_, Vec<u8>>(0))?;
        sealed.map(|sealed| Ok(self.vault.open(&context("meta", name.as_bytes()), &sealed)?)).transpose()
    }

    /// Last processed `seq` of a conversation; `None` when nothing was ever processed.
    pub fn cursor(&self, conversation: &ConversationId) -> Result<Option<u64>, StoreError> {
        let id = conversation.as_str();
        let row = self.row("SELECT cursor, guard FROM session WHERE conversation=?1", id, guarded_cursor)?;
        row.map(|cursor| cursor.of(id)).transpose()
    }

    /// Stored state of a conversation: cursor, secrets, tree.
    #[allow(clippy::type_complexity)]
    pub fn session(
        &self,
        conversation: &ConversationId,
    ) -> Result<Option<(u64, Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>)>, StoreError> {
        let id = conversation.as_str();
        let sql = "SELECT cursor, guard, secrets, tree FROM session JOIN tree USING (conversation)
                   WHERE conversation=?1 AND secrets IS NOT NULL";
        let row =
            self.row(sql, id, |row| Ok((guarded_cursor(row)?, row.get::<_, Vec<u8>>(2)?, row.get::<_, Vec<u8>>(3)?)))?;
        let Some((cursor, secrets, tree)) = row else { return Ok(None) };
        Ok(Some((
            cursor.of(id)?,
            self.vault.open(&context("session", id.as_bytes()), &secrets)?,
            self.vault.open(&context("tree", id.as_bytes()), &tree)?,
        )))
    }

    /// All conversations of which something was processed, with their cursors.
    pub fn conversations(&self) -> Result<Vec<(ConversationId, u64)>, StoreError> {
        let failed = |e| self.failed("read", e);
        let mut statement =
            self.connection.prepare_cached("SELECT cursor, guard, conversation FROM session").map_err(failed)?;
        let rows =
            statement.query_map([], |row| Ok((guarded_cursor(row)?, row.get::<_, String>(2)?))).map_err(failed)?;
        let mut all = Vec::new();
        for row in rows {
            let (cursor, id) = row.map_err(failed)?;
            let cursor = cursor.of(&id)?;
            all.push((id.parse().map_err(|_| StoreError::Malformed("conversation id"))?, cursor));
        }
        Ok(all)
    }

    /// Looks at every guard: what a damaged cursor would have done is found out before anything is done.
    pub fn verify(&self) -> Result<(), StoreError> {
        let failed = |e| self.failed("read", e);
        let mut statement =
            self.connection.prepare("SELECT cursor, guard, conversation FROM session").map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            guarded_cursor(row).map_err(failed)?.of(&row.get::<_, String>(2).map_err(failed)?)?;
        }
        Ok(())
    }

    /// Runs `read` on one snapshot of the state: many look-ups cost hardly more than one.
    pub fn snapshot<R, E: From<StoreError>>(&self, read: impl FnOnce(&Self) -> Result<R, E>) -> Result<R, E> {
        let failed = |e| self.failed("read", e);
        // `DEFERRED`: the snapshot is that of the first look-up
        let snapshot = self.connection.unchecked_transaction().map_err(failed)?;
        let result = read(self)?;
        snapshot.finish().map_err(failed)?;
        Ok(result)
    }

    fn row<T>(
        &self,
        sql: &str,
        key: &str,
        f: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let failed = |e| self.failed("read", e);
        self.connection.prepare_cached(sql).map_err(failed)?.query_row([key], f).optional().map_err(failed)
    }

    /// Rows of tables that a user of this store keeps beside its own.
    pub fn rows<T>(
        &self,
        sql: &str,
        f: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let failed = |e| self.failed("read", e);
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        statement.query_map([], f).and_then(Iterator::collect).map_err(failed)
    }

    /// Adds `schema` to the tables. Each statement must be harmless when repeated.
    pub fn extend(&self, schema: &str) -> Result<(), StoreError> {
        self.connection.execute_batch(&format!("BEGIN IMMEDIATE; {schema} COMMIT;")).map_err(|e| {
            // a failed batch leaves its transaction open
            let _ = self.connection.execute_batch("ROLLBACK");
            self.failed("written", e)
        })
    }

    /// Runs `change`; all it wrote is on stable storage when this returns `Ok`, none of it otherwise.
    pub fn transaction<R, E: From<StoreError>>(
        &mut self,
        change: impl FnOnce(&Writer<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let path = self.path.clone();
        let failed = |source| StoreError::Sqlite { operation: "written", path: path.clone(), source };
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let writer = Writer { tx, vault: &self.vault, path: &path };
        let result = change(&writer)?;
        writer.tx.commit().map_err(failed)?;
        Ok(result)
    }
}

/// A transaction under way.
pub struct Writer<'a> {
    tx: Transaction<'a>,
    vault: &'a Vault,
    path: &'a str,
}

impl Writer<'_> {
    fn failed(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Sqlite { operation: "written", path: self.path.to_owned(), source }
    }

    /// Changes tables, also those that a user of this store keeps beside its own.
    pub fn execute(&self, sql: &str, params: impl rusqlite::Params) -> Result<(), StoreError> {
        let failed = |e| self.failed(e);
        self.tx.prepare_cached(sql).map_err(failed)?.execute(params).map_err(failed)?;
        Ok(())
    }

    fn put_meta(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let sealed = self.vault.seal(&context("meta", name.as_bytes()), value)?;
        self.execute("INSERT OR REPLACE INTO meta VALUES (?1, ?2)", params![name, sealed])
    }

    /// Stores the private part of a key package.
    pub fn put_key_package(&self, package: &NewKeyPackage) -> Result<(), StoreError> {
        let sealed = self.vault.seal(&context("key_package", &package.reference), &package.secret)?;
        self.execute("INSERT OR REPLACE INTO key_package VALUES (?1, ?2)", params![package.reference, sealed])
    }

    /// Stores the state of a conversation as it is after `cursor`; used key packages go.
    pub fn put_session(
        &self,
        conversation: &ConversationId,
        cursor: u64,
        session: &StoredSession,
    ) -> Result<(), StoreError> {
        let id = conversation.as_str();
        let secrets = self.vault.seal(&context("session", id.as_bytes()), &session.secrets)?;
        self.execute(PUT_SESSION, params![id, cursor, guard_of_cursor(id, cursor), Some(secrets)])?;
        if let Some(tree) = &session.tree {
            let tree = self.vault.seal(&context("tree", id.as_bytes()), tree)?;
            self.execute(PUT_TREE, params![id, tree])?;
        }
        for reference in &session.used_key_packages {
            self.execute("DELETE FROM key_package WHERE reference=?1", params![reference])?;
        }
        Ok(())
    }

    /// Forgets the keys of a conversation that this device is no member of (any more), and keeps the cursor.
    pub fn put_cursor(&self, conversation: &ConversationId, cursor: u64) -> Result<(), StoreError> {
        let id = conversation.as_str();
        self.execute(PUT_SESSION, params![id, cursor, guard_of_cursor(id, cursor), None::<Vec<u8>>])?;
        self.execute("DELETE FROM tree WHERE conversation=?1", [id])
    }
}

/// Finds key packages in a store that may be shared.
pub struct StoredKeyPackages(pub Arc<Mutex<Store>>);

impl KeyPackages for StoredKeyPackages {
    fn secret(&self, reference: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, NotRead> {
        let store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sealed: Option<Vec<u8>> = store
            .connection
            .prepare_cached("SELECT secret FROM key_package WHERE reference=?1")
            .and_then(|mut statement| statement.query_row([reference], |row| row.get(0)).optional())
            .map_err(|e| NotRead(store.failed("read", e).into()))?;
        let Some(sealed) = sealed else { return Ok(None) };
        // altered on the disk: there is no such key any more, now or later
        let opened = store.vault.open(&context("key_package", reference), &sealed);
        Ok(opened.inspect_err(|error| tracing::error!(%error, "a key package in the state is damaged")).ok())
    }
}

/// A connection to the file at `path`, of the newest version, every commit synced.
fn connect(path: &Path) -> Result<Connection, StoreError> {
    let failed = |source| StoreError::Sqlite { operation: "opened", path: path.display().to_string(), source };
    refuse_foreign(path)?;
    schema::refuse_newer(path, STEPS)?;
    let mut connection = Connection::open(path).map_err(failed)?;
    private_to_owner(path);
    // temporaries in memory: in a container with a read-only root there is no other place than the state's directory
    connection
        .execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=10000; PRAGMA temp_store=MEMORY;",
        )
        .and_then(|()| keep_plans(&connection))
        .map_err(failed)?;
    schema::bring_up(&mut connection, path, STEPS)?;
    Ok(connection)
}

/// Statements keep the plan that they were prepared with. Otherwise SQLite prepares one again whenever a value is bound
/// that might suit another plan: for every look-up of a session by its id, for nothing.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Binds a sealed value to its table and row.
fn context(table: &str, row: &[u8]) -> Vec<u8> {
    [table.as_bytes(), b"/", row].concat()
}

/// What a row in clear must come to, to notice that disk or memory has changed it. Who writes the file on purpose can
/// write this as well.
pub type Guard = [u8; 8];

/// The guard of a row whose values are written out as `text`.
pub fn guard(text: &str) -> Guard {
    let mut guard = Guard::default();
    guard.iter_mut().zip(digest(&SHA256, text.as_bytes()).as_ref()).for_each(|(byte, hash)| *byte = *hash);
    guard
}

fn guard_of_cursor(conversation: &str, cursor: u64) -> Guard {
    guard(&format!("{conversation} {cursor}"))
}

/// A cursor as it stands in its row.
struct Guarded {
    cursor: u64,
    guard: Guard,
}

impl Guarded {
    /// The cursor, if it is what was written for this conversation.
    fn of(&self, conversation: &str) -> Result<u64, StoreError> {
        if guard_of_cursor(conversation, self.cursor) == self.guard {
            Ok(self.cursor)
        } else {
            Err(StoreError::Damaged("session"))
        }
    }
}

/// Of a row that begins with cursor and guard.
fn guarded_cursor(row: &rusqlite::Row<'_>) -> rusqlite::Result<Guarded> {
    Ok(Guarded { cursor: row.get(0)?, guard: row.get(1)? })
}

/// Makes a file that is not there, under its name only once there is something in it; refuses one in which there is
/// nothing. Killed in between, a `.part` is left, which the next start makes anew.
fn begin_file(path: &Path) -> Result<(), StoreError> {
    let name = || path.display().to_string();
    match std::fs::metadata(path) {
        Ok(found) if found.len() == 0 => return Err(StoreError::Empty { path: name() }),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        // whatever else is wrong with it is told by who opens it
        Ok(_) | Err(_) => return Ok(()),
    }
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let made = |source| StoreError::NotMade { path: name(), source };
    match std::fs::remove_file(part) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(made(error)),
        Ok(()) | Err(_) => {}
    }
    // the change of the mode writes the first page
    Connection::open(part)
        .and_then(|connection| connection.execute_batch("PRAGMA journal_mode=WAL;"))
        .map_err(|source| StoreError::Sqlite { operation: "made", path: name(), source })?;
    private_to_owner(part);
    File::open(part).and_then(|file| file.sync_all()).map_err(made)?;
    std::fs::rename(part, path).map_err(made)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(made)
}

/// SQLite would only say that it cannot open the file. What else may be wrong it says better.
fn refuse_foreign(path: &Path) -> Result<(), StoreError> {
    use rustix::fs::{Access as May, access};
    match access(path, May::READ_OK | May::WRITE_OK).map_err(std::io::Error::from) {
        Err(source) if matches!(source.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
            Err(StoreError::Denied { path: path.display().to_string(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn private_to_owner(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if let Err(error) = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)) {
        tracing::warn!(%error, path = %path.display(), "state cannot be made private to its owner");
    }
}
