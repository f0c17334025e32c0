//! The network's database: one SQLite file (WAL, `synchronous=FULL`), its schema, and how it is opened.
//!
//! Messages stand once, under `conversation << SEQ_BITS | seq`, so that a conversation's messages lie together and are
//! read as a range. A device's queue is no copy of them but its rows in `members`: from which `seq` on it is a member,
//! until which, and how far it has acknowledged. A device that was removed and added again has two rows.
//!
//! At a crash the WAL is replayed by SQLite: what was answered is there, a batch that was not is not, whole.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::error::NetworkError;
use retaind_state::schema::{self, Step};

/// The versions of the database, see [`schema`].
const STEPS: &[Step] = &[
    |connection| connection.execute_batch(SCHEMA),
    // who gave a bot's account its password; of those that there were nobody knows, and they stay as they are
    |connection| connection.execute_batch("ALTER TABLE users ADD COLUMN initial_password INTEGER NOT NULL DEFAULT 0"),
    |connection| connection.execute_batch(REPORTS),
    // which messages name a blob; of the blobs that there were nobody knows, and they go when they are old
    |connection| connection.execute_batch(BLOBS),
    |connection| connection.execute_batch(FAILED_LOG_INS),
];
/// How long another process (`retaind network invite`) may hold the write lock before we give up.
const BUSY: Duration = Duration::from_secs(30);
/// Bits of a message id that hold `seq`: 68 billion messages in each of 134 million conversations.
pub(super) const SEQ_BITS: u32 = 36;

const SCHEMA: &str = "
CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE senders(suite INTEGER PRIMARY KEY, secret BLOB NOT NULL, identity BLOB NOT NULL);
CREATE TABLE users(
    user TEXT PRIMARY KEY, role INTEGER NOT NULL, suspended INTEGER NOT NULL DEFAULT 0,
    retention INTEGER NOT NULL DEFAULT 0, password TEXT
) WITHOUT ROWID;
CREATE TABLE invites(
    code_hash BLOB PRIMARY KEY, user TEXT NOT NULL, expires_at_micros INTEGER, device INTEGER
) WITHOUT ROWID;
CREATE TABLE devices(
    id INTEGER PRIMARY KEY, device BLOB NOT NULL UNIQUE, user TEXT NOT NULL, suite INTEGER NOT NULL,
    signature_key BLOB NOT NULL UNIQUE, credential BLOB NOT NULL, suspended INTEGER NOT NULL DEFAULT 0,
    registered_at_micros INTEGER NOT NULL
);
CREATE INDEX devices_user ON devices(user);
CREATE TABLE key_packages(
    id INTEGER PRIMARY KEY, device INTEGER NOT NULL, last_resort INTEGER NOT NULL,
    expires_at_secs INTEGER NOT NULL, package BLOB NOT NULL
);
CREATE INDEX key_packages_device ON key_packages(device, last_resort, id);
CREATE TABLE conversations(
    id INTEGER PRIMARY KEY, conversation TEXT NOT NULL UNIQUE, suite INTEGER NOT NULL, epoch INTEGER NOT NULL,
    head_seq INTEGER NOT NULL, purged_seq INTEGER NOT NULL
);
CREATE TABLE trees(conversation INTEGER PRIMARY KEY, snapshot BLOB NOT NULL);
CREATE TABLE members(
    conversation INTEGER NOT NULL, device INTEGER NOT NULL, from_seq INTEGER NOT NULL, welcomed INTEGER NOT NULL,
    acked_seq INTEGER NOT NULL, until_seq INTEGER, PRIMARY KEY(conversation, device, from_seq)
) WITHOUT ROWID;
CREATE INDEX members_device ON members(device, conversation);
CREATE TABLE messages(
    id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, sender INTEGER, accepted_at_micros INTEGER NOT NULL,
    payload BLOB NOT NULL
);
CREATE INDEX handshakes ON messages(id) WHERE kind = 2;
CREATE TABLE welcomes(id INTEGER PRIMARY KEY, payload BLOB NOT NULL);
CREATE TABLE sends(
    device INTEGER NOT NULL, n INTEGER NOT NULL, send_id BLOB NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY(device, n)
) WITHOUT ROWID;
CREATE UNIQUE INDEX sends_id ON sends(device, send_id);
CREATE TABLE blobs(
    blob BLOB PRIMARY KEY, device INTEGER NOT NULL, size INTEGER NOT NULL, finished INTEGER NOT NULL,
    created_at_micros INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX blobs_unfinished ON blobs(device) WHERE finished = 0;
";

/// What retention bots say about their conversations. Most have nothing here, and one column says so.
const REPORTS: &str = "
ALTER TABLE conversations ADD COLUMN reported INTEGER NOT NULL DEFAULT 0;
CREATE TABLE standings(
    conversation INTEGER NOT NULL, bot INTEGER NOT NULL, lost_since INTEGER, epoch INTEGER NOT NULL,
    PRIMARY KEY(conversation, bot)
) WITHOUT ROWID;
CREATE INDEX standings_lost ON standings(conversation) WHERE lost_since IS NOT NULL;
CREATE TABLE unread(
    conversation INTEGER NOT NULL, device INTEGER NOT NULL, epoch INTEGER NOT NULL, PRIMARY KEY(conversation, device)
) WITHOUT ROWID;
";

/// Summed up by ten minutes. An empty address or account stands for all others.
const FAILED_LOG_INS: &str = "
CREATE TABLE failed_log_ins(
    period INTEGER NOT NULL, address TEXT NOT NULL, account TEXT NOT NULL, count INTEGER NOT NULL,
    first_at_micros INTEGER NOT NULL, last_at_micros INTEGER NOT NULL, PRIMARY KEY(period, address, account)
) WITHOUT ROWID;
";

const BLOBS: &str = "
CREATE TABLE blob_names(
    message INTEGER NOT NULL, blob BLOB NOT NULL, PRIMARY KEY(message, blob)
) WITHOUT ROWID;
CREATE INDEX blob_names_blob ON blob_names(blob);
ALTER TABLE blobs ADD COLUMN claimed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE blobs ADD COLUMN settled INTEGER NOT NULL DEFAULT 0;
CREATE INDEX blobs_age ON blobs(finished, settled, created_at_micros);
CREATE TABLE blob_use(device INTEGER PRIMARY KEY, blobs INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO blob_use SELECT device, count(*), sum(size) FROM blobs GROUP BY device;
";

/// Where message `seq` of conversation `row` stands.
pub(crate) fn message_id(conversation: i64, seq: u64) -> i64 {
    (conversation << SEQ_BITS) | i64::try_from(seq).unwrap_or(i64::MAX) & ((1 << SEQ_BITS) - 1)
}

/// The `seq` in a message id.
pub(crate) fn seq_of(id: i64) -> u64 {
    u64::try_from(id & ((1 << SEQ_BITS) - 1)).unwrap_or_default()
}

/// Opens the database for changes and brings its schema up to date.
pub(crate) fn open(path: &Path) -> Result<Connection, NetworkError> {
    schema::refuse_newer(path, STEPS)?;
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    keep_temporaries(&connection)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4000)?;
    connection.pragma_update(None, "cache_size", -32_768)?;
    connection.set_prepared_statement_cache_capacity(128);
    schema::bring_up(&mut connection, path, STEPS)?;
    Ok(connection)
}

/// Opens a copy of an older version, to overwrite what is in it; its schema stays as it is.
pub(crate) fn open_copy(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    // a journal on the disk would hold what is overwritten
    connection.pragma_update(None, "journal_mode", "MEMORY")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "secure_delete", true)?;
    Ok(connection)
}

/// Opens the database for reading only.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "query_only", true)?;
    keep_temporaries(&connection)?;
    connection.pragma_update(None, "cache_size", -8_192)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// What SQLite keeps aside for a statement stays in memory, and is small: in files below `/tmp` a network that may write to
/// nothing but its own directory, as in a container with a read-only root, would fail at the first statement that needs it.
fn keep_temporaries(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.pragma_update(None, "temp_store", "MEMORY")
}

pub(crate) fn meta(connection: &Connection, key: &str) -> Result<Option<Vec<u8>>, rusqlite::Error> {
    connection.prepare_cached("SELECT value FROM meta WHERE key = ?")?.query_row([key], |row| row.get(0)).optional()
}

pub(crate) fn set_meta(connection: &Connection, key: &str, value: &[u8]) -> Result<(), rusqlite::Error> {
    connection.prepare_cached("INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)")?.execute((key, value))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_a_conversation_lie_together_in_order() {
        assert!(message_id(1, u64::from(u32::MAX)) < message_id(2, 1));
        assert!(message_id(7, 1) < message_id(7, 2));
        assert_eq!(seq_of(message_id(134_000_000, 9)), 9);
    }

    #[test]
    fn a_database_of_a_newer_release_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network.sqlite");
        open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let refused = open(&path).unwrap_err();
        assert!(matches!(refused, NetworkError::Schema(schema::SchemaError::Newer { found: 99, known: 5, .. })));
    }
}
