//! What the bot keeps beside its device's state, in the same file and the same transactions: segments, files, ship queue.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Row, params};

use super::batch::WrittenFile;
use super::segment::{FoundFile, SegmentRow, SegmentState};
use super::ship::{QueueError, ShipError, ShipItem, ShipKind, ShipQueue, Stored};
use crate::device::store::{Store, StoreError, Writer};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS segment (
        number INTEGER PRIMARY KEY, state TEXT NOT NULL, length INTEGER NOT NULL, records INTEGER NOT NULL,
        chain BLOB NOT NULL, sealed_name TEXT, first_micros INTEGER, last_micros INTEGER, settled INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS unsettled_file (
        name TEXT PRIMARY KEY, temporary TEXT NOT NULL, length INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS latest_name (one INTEGER PRIMARY KEY CHECK (one = 1), millis INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS ship (
        id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, path TEXT NOT NULL, name TEXT NOT NULL,
        length INTEGER NOT NULL, parked TEXT) STRICT;
";

/// Makes the bot's tables where they are missing.
pub fn prepare(store: &Store) -> Result<(), StoreError> {
    store.extend(SCHEMA)
}

/// Segments that recovery has to know: the open one, and sealed ones whose names are not settled.
pub fn segments(store: &Store) -> Result<Vec<SegmentRow>, StoreError> {
    store.rows("SELECT * FROM segment WHERE settled=0 OR state='open' ORDER BY number", segment_row)
}

fn segment_row(row: &Row<'_>) -> rusqlite::Result<SegmentRow> {
    Ok(SegmentRow {
        number: row.get("number")?,
        state: match row.get::<_, String>("state")?.as_str() {
            "open" => SegmentState::Open,
            _ => SegmentState::Sealed,
        },
        length: row.get("length")?,
        records: row.get("records")?,
        chain: row.get("chain")?,
        sealed_name: row.get("sealed_name")?,
        first_micros: row.get("first_micros")?,
        last_micros: row.get("last_micros")?,
        settled: row.get("settled")?,
    })
}

/// Stores segments whose files have their names; the sealed ones may be shipped.
pub fn settle_segments(tx: &Writer<'_>, directory: &Path, rows: &[SegmentRow]) -> Result<(), StoreError> {
    put_segments(tx, rows)?;
    for row in rows.iter().filter(|row| row.state == SegmentState::Sealed) {
        if let Some(name) = &row.sealed_name {
            enqueue(tx, ShipKind::Message, directory, name, row.length)?;
        }
    }
    Ok(())
}

/// Files of an earlier bot whose state is gone: may be shipped like sealed segments.
pub fn enqueue_found(tx: &Writer<'_>, directory: &Path, files: &[FoundFile]) -> Result<(), StoreError> {
    files.iter().try_for_each(|file| enqueue(tx, ShipKind::Message, directory, &file.name, file.length))
}

/// Stores segments as they are after this transaction.
pub fn put_segments(tx: &Writer<'_>, rows: &[SegmentRow]) -> Result<(), StoreError> {
    for row in rows {
        let state = match row.state {
            SegmentState::Open => "open",
            SegmentState::Sealed => "sealed",
        };
        tx.execute(
            "INSERT OR REPLACE INTO segment VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                row.number,
                state,
                row.length,
                row.records,
                row.chain,
                row.sealed_name,
                row.first_micros,
                row.last_micros,
                row.settled
            ],
        )?;
    }
    Ok(())
}

/// Files whose names are valid but perhaps not yet theirs.
pub fn unsettled_files(store: &Store) -> Result<Vec<WrittenFile>, StoreError> {
    store.rows("SELECT name, temporary, length FROM unsettled_file", |row| {
        Ok(WrittenFile { name: row.get(0)?, temporary: row.get(1)?, length: row.get(2)? })
    })
}

/// Names of attachments were given up to this millisecond since 1970; `None`: none yet.
pub fn latest_name_millis(store: &Store) -> Result<Option<i64>, StoreError> {
    Ok(store.rows("SELECT millis FROM latest_name", |row| row.get(0))?.pop())
}

/// The names of these files, none later than `latest_millis`, are valid with this transaction.
pub fn put_files(tx: &Writer<'_>, files: &[WrittenFile], latest_millis: i64) -> Result<(), StoreError> {
    if !files.is_empty() {
        tx.execute("INSERT OR REPLACE INTO latest_name VALUES (1, ?1)", [latest_millis])?;
    }
    files.iter().try_for_each(|file| {
        let sql = "INSERT INTO unsettled_file (name, temporary, length) VALUES (?1, ?2, ?3)";
        tx.execute(sql, params![file.name, file.temporary, file.length])
    })
}

/// These files have their names, and may be shipped.
pub fn settle_files(tx: &Writer<'_>, directory: &Path, files: &[WrittenFile]) -> Result<(), StoreError> {
    files.iter().try_for_each(|file| {
        tx.execute("DELETE FROM unsettled_file WHERE name=?1", [&file.name])?;
        enqueue(tx, ShipKind::File, directory, &file.name, file.length)
    })
}

/// Queues something to be shipped.
pub fn enqueue(tx: &Writer<'_>, kind: ShipKind, directory: &Path, name: &str, length: u64) -> Result<(), StoreError> {
    let kind = match kind {
        ShipKind::Message => "message",
        ShipKind::File => "file",
    };
    let path = directory.join(name);
    tx.execute(
        "INSERT INTO ship (kind, path, name, length) VALUES (?1, ?2, ?3, ?4)",
        params![kind, path.to_string_lossy(), name, length],
    )
}

/// The ship queue, on a connection of its own.
pub struct Queue(Mutex<Store>);

impl Queue {
    /// What was parked comes up again: each start tries it once more.
    pub fn open(mut store: Store) -> Result<Self, StoreError> {
        store.transaction(|tx| tx.execute("UPDATE ship SET parked=NULL WHERE parked IS NOT NULL", []))?;
        Ok(Self(Mutex::new(store)))
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ShipQueue for Queue {
    fn next_batch(&self, limit: usize) -> Result<Vec<ShipItem>, QueueError> {
        let sql =
            format!("SELECT id, kind, path, name, length FROM ship WHERE parked IS NULL ORDER BY id LIMIT {limit}");
        let items = self.store().rows(&sql, |row| {
            Ok(ShipItem {
                id: row.get(0)?,
                kind: match row.get::<_, String>(1)?.as_str() {
                    "message" => ShipKind::Message,
                    _ => ShipKind::File,
                },
                path: row.get::<_, String>(2)?.into(),
                name: row.get(3)?,
                length: row.get(4)?,
            })
        });
        items.map_err(failed)
    }

    fn done(&self, stored: Stored) -> Result<(), QueueError> {
        self.store().transaction(|tx| tx.execute("DELETE FROM ship WHERE id=?1", [stored.id()])).map_err(failed)
    }

    fn park(&self, id: i64, why: &ShipError) -> Result<(), QueueError> {
        let why = why.to_string();
        self.store()
            .transaction(|tx| tx.execute("UPDATE ship SET parked=?1 WHERE id=?2", params![why, id]))
            .map_err(failed)
    }
}

fn failed(error: StoreError) -> QueueError {
    QueueError(Box::new(error))
}
