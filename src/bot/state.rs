//! The bot's own tables in the state: segments, files and ship queue, in the same file and the same transactions as the
//! tables of its source.

mod unshipped;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER;
use rusqlite::{Row, params};

use super::batch::WrittenFile;
use super::disk::{Disk, DiskError};
use super::segment::{FoundFile, SegmentRow, SegmentState};
use super::ship::{Doubt, LocalCopy, QueueError, ShipError, ShipItem, ShipJob, ShipKind, ShipQueue, Stored, Token};
use retaind_state::{Guard, Store, StoreError, Writer, guard};

pub use self::unshipped::{Unshipped, unshipped};

/// The newest tables. A step of the source's schema ([`Source::schema`](super::source::Source::schema)) changes what an older
/// file has otherwise.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS segment (
        number INTEGER PRIMARY KEY, state TEXT NOT NULL, length INTEGER NOT NULL, records INTEGER NOT NULL,
        chain BLOB NOT NULL, sealed_name TEXT, first_micros INTEGER, last_micros INTEGER, settled INTEGER NOT NULL,
        guard BLOB NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS unsettled_file (
        name TEXT PRIMARY KEY, temporary TEXT NOT NULL, length INTEGER NOT NULL, sha256 BLOB NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS latest_name (one INTEGER PRIMARY KEY CHECK (one = 1), millis INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS ship (
        id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, path TEXT NOT NULL, name TEXT NOT NULL,
        length INTEGER NOT NULL, hash BLOB, parked TEXT) STRICT;
    CREATE TABLE IF NOT EXISTS ship_stored (item INTEGER PRIMARY KEY) STRICT;
    CREATE TABLE IF NOT EXISTS ship_attempt (item INTEGER PRIMARY KEY, token TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS ship_upload (item INTEGER NOT NULL, upload TEXT NOT NULL, PRIMARY KEY (item, upload)) STRICT;
    CREATE TABLE IF NOT EXISTS evidence_object (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, content BLOB NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS evidence_head (conversation TEXT PRIMARY KEY, last INTEGER NOT NULL) STRICT;
";

/// Makes sure that the content of the state's log at `path` is on the disk. Call it before the state is opened, in the only
/// process that may open it.
///
/// A commit whose sync failed ends the bot, and is not acknowledged. But the next start finds it in the log, takes it for
/// committed and builds on it, though the disk may never have got it: then a loss of power would take it, and with it every
/// commit since, the acknowledged ones too.
///
/// On a full disk there is no room for a copy, and the bot must start all the same: shipping frees space.
pub fn renew_log(disk: &dyn Disk, path: &Path) -> Result<(), DiskError> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    match disk.renew(Path::new(&log)) {
        Err(error) if error.is_full() => {
            tracing::warn!(%error, "the log of the state is taken as it is");
            Ok(())
        }
        renewed => renewed,
    }
}

/// Makes the bot's tables where they are missing.
pub fn prepare(store: &Store) -> Result<(), StoreError> {
    store.extend(SCHEMA)
}

/// The segments that recovery needs: the open one, and sealed ones whose names are not settled.
pub fn segments(store: &Store) -> Result<Vec<SegmentRow>, StoreError> {
    // everything that is not certainly sealed and settled, so that no flipped bit hides the open one
    let rows = store.rows("SELECT * FROM segment WHERE settled<>1 OR state<>'sealed' ORDER BY number", |row| {
        Ok((segment_row(row)?, row.get::<_, String>("state")?, row.get::<_, Guard>("guard")?))
    })?;
    let whole = |(row, state, guard): (SegmentRow, String, Guard)| {
        if guard_of_segment(&row, &state) == guard { Ok(row) } else { Err(StoreError::Damaged("segment")) }
    };
    rows.into_iter().map(whole).collect()
}

/// With a length that the disk has changed, recovery would cut off committed records.
fn guard_of_segment(row: &SegmentRow, state: &str) -> Guard {
    let SegmentRow { number, state: _, length, records, chain, sealed_name, first_micros, last_micros, settled } = row;
    let chain = HEXLOWER.encode(chain);
    let (first, last) = (first_micros.unwrap_or(-1), last_micros.unwrap_or(-1));
    let name = sealed_name.as_deref().unwrap_or_default();
    guard(&format!("{number} {state} {length} {records} {chain} {first} {last} {settled} {name}"))
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

/// Stores segments whose files have their final names, and queues the sealed ones for shipping.
pub(crate) fn settle_segments(tx: &Writer<'_>, directory: &Path, rows: &[SegmentRow]) -> Result<(), StoreError> {
    put_segments(tx, rows)?;
    for row in rows.iter().filter(|row| row.state == SegmentState::Sealed) {
        if let Some(name) = &row.sealed_name {
            enqueue(tx, ShipKind::Message, directory, name, row.length, Some(&row.chain))?;
        }
    }
    Ok(())
}

/// Queues files of an earlier bot whose state is gone, as sealed segments are.
pub(crate) fn enqueue_found(tx: &Writer<'_>, directory: &Path, files: &[FoundFile]) -> Result<(), StoreError> {
    files.iter().try_for_each(|file| enqueue(tx, ShipKind::Message, directory, &file.name, file.length, None))
}

/// Stores segments as they are after this transaction.
pub(crate) fn put_segments(tx: &Writer<'_>, rows: &[SegmentRow]) -> Result<(), StoreError> {
    for row in rows {
        let state = match row.state {
            SegmentState::Open => "open",
            SegmentState::Sealed => "sealed",
        };
        tx.execute(
            "INSERT OR REPLACE INTO segment VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                row.number,
                state,
                row.length,
                row.records,
                row.chain,
                row.sealed_name,
                row.first_micros,
                row.last_micros,
                row.settled,
                guard_of_segment(row, state)
            ],
        )?;
    }
    Ok(())
}

/// Files whose names are committed but perhaps not given to them yet.
pub(crate) fn unsettled_files(store: &Store) -> Result<Vec<WrittenFile>, StoreError> {
    store.rows("SELECT name, temporary, length, sha256 FROM unsettled_file", |row| {
        Ok(WrittenFile { name: row.get(0)?, temporary: row.get(1)?, length: row.get(2)?, sha256: row.get(3)? })
    })
}

/// The latest millisecond since 1970 for which an attachment was named; `None`: no attachment was named yet.
pub(crate) fn latest_name_millis(store: &Store) -> Result<Option<i64>, StoreError> {
    Ok(store.rows("SELECT millis FROM latest_name", |row| row.get(0))?.pop())
}

/// Commits the names of these files, none later than `latest_millis`, in this transaction.
pub(crate) fn put_files(tx: &Writer<'_>, files: &[WrittenFile], latest_millis: i64) -> Result<(), StoreError> {
    if !files.is_empty() {
        tx.execute("INSERT OR REPLACE INTO latest_name VALUES (1, ?1)", [latest_millis])?;
    }
    files.iter().try_for_each(|file| {
        let sql = "INSERT INTO unsettled_file (name, temporary, length, sha256) VALUES (?1, ?2, ?3, ?4)";
        tx.execute(sql, params![file.name, file.temporary, file.length, file.sha256])
    })
}

/// These files have their names: queues them for shipping.
pub(crate) fn settle_files(tx: &Writer<'_>, directory: &Path, files: &[WrittenFile]) -> Result<(), StoreError> {
    files.iter().try_for_each(|file| {
        tx.execute("DELETE FROM unsettled_file WHERE name=?1", [&file.name])?;
        enqueue(tx, ShipKind::File, directory, &file.name, file.length, Some(&file.sha256))
    })
}

/// Queues one item for shipping. `hash`: see [`ShipItem::hash`].
pub fn enqueue(
    tx: &Writer<'_>,
    kind: ShipKind,
    directory: &Path,
    name: &str,
    length: u64,
    hash: Option<&[u8; 32]>,
) -> Result<(), StoreError> {
    enqueue_at(tx, kind, &directory.join(name), name, length, hash)
}

/// As [`enqueue`], of a file that is called otherwise at the destination.
pub(crate) fn enqueue_at(
    tx: &Writer<'_>,
    kind: ShipKind,
    path: &Path,
    name: &str,
    length: u64,
    hash: Option<&[u8; 32]>,
) -> Result<(), StoreError> {
    let kind = match kind {
        ShipKind::Message => "message",
        ShipKind::File => "file",
        ShipKind::Evidence => "evidence",
    };
    tx.execute(
        "INSERT INTO ship (kind, path, name, length, hash) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![kind, path.to_string_lossy(), name, length, hash],
    )
}

/// The ship queue, on its own connection.
///
/// `ship` holds what waits; an item of `ship_stored` has a committed proof, and only its local file has yet to be removed;
/// `ship_attempt` and `ship_upload` are the ledger of attempts at the destination that are not known to have ended.
pub struct Queue(Mutex<Store>);

const WAITING: &str = "SELECT id, kind, path, name, length, hash FROM ship
    WHERE parked IS NULL AND id NOT IN (SELECT item FROM ship_stored)
    AND (kind<>'evidence' OR id=(SELECT min(id) FROM ship
        WHERE kind='evidence' AND id NOT IN (SELECT item FROM ship_stored)))";

impl Queue {
    /// Makes parked items due again: each start tries them once more.
    pub fn open(store: Store) -> Result<Self, StoreError> {
        let queue = Self(Mutex::new(store));
        queue.store().write(unpark)?;
        Ok(queue)
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&Writer<'_>) -> Result<(), StoreError>) -> Result<(), QueueError> {
        self.store().write(change).map_err(failed)
    }
}

fn unpark(tx: &Writer<'_>) -> Result<(), StoreError> {
    tx.execute("UPDATE ship SET parked=NULL WHERE parked IS NOT NULL", [])
}

fn ship_item(row: &Row<'_>) -> rusqlite::Result<ShipItem> {
    Ok(ShipItem {
        id: row.get(0)?,
        kind: match row.get::<_, String>(1)?.as_str() {
            "message" => ShipKind::Message,
            "evidence" => ShipKind::Evidence,
            _ => ShipKind::File,
        },
        path: row.get::<_, String>(2)?.into(),
        name: row.get(3)?,
        length: row.get(4)?,
        hash: row.get(5)?,
    })
}

/// Ids as a list for SQL. Numbers only: nothing to quote.
fn listed(ids: &[i64]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn forget(tx: &Writer<'_>, id: i64) -> Result<(), StoreError> {
    tx.execute("DELETE FROM ship WHERE id=?1", [id])?;
    tx.execute("DELETE FROM ship_stored WHERE item=?1", [id])?;
    forget_attempts(tx, id)
}

fn forget_attempts(tx: &Writer<'_>, id: i64) -> Result<(), StoreError> {
    tx.execute("DELETE FROM ship_attempt WHERE item=?1", [id])?;
    tx.execute("DELETE FROM ship_upload WHERE item=?1", [id])
}

impl ShipQueue for Queue {
    fn take(&self, fresh: Vec<Token>, busy: &[i64]) -> Result<Vec<ShipJob>, QueueError> {
        let mut store = self.store();
        let (limit, busy) = (fresh.len(), listed(busy));
        let oldest = format!("{WAITING} AND id NOT IN ({busy}) ORDER BY id LIMIT {limit}");
        let mut items = store.rows(&oldest, ship_item).map_err(failed)?;
        if items.len() == limit && limit > 1 {
            let newest = format!("{WAITING} AND id NOT IN ({busy}) ORDER BY id DESC LIMIT 1");
            let newest = store.rows(&newest, ship_item).map_err(failed)?;
            if newest.first().is_some_and(|newest| !items.contains(newest)) {
                items.pop();
                items.extend(newest);
            }
        }
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let mut taken = Vec::with_capacity(items.len());
        for (item, fresh) in items.into_iter().zip(fresh) {
            let id = item.id;
            let sql = format!("SELECT token FROM ship_attempt WHERE item={id}");
            let earlier = store.rows(&sql, |row| Ok(Token::new(row.get::<_, String>(0)?))).map_err(failed)?;
            let sql = format!("SELECT upload FROM ship_upload WHERE item={id}");
            let uploads = store.rows(&sql, |row| row.get(0)).map_err(failed)?;
            let (token, doubt) = match earlier.into_iter().next() {
                Some(earlier) => (earlier, Doubt::Earlier),
                None => (fresh, Doubt::None),
            };
            taken.push(ShipJob { item, token, doubt, uploads });
        }
        let begun = store.write(|tx| {
            taken.iter().try_for_each(|taken| {
                // a stage that was cut off may get here after its successor has stored the item
                let sql = "INSERT OR IGNORE INTO ship_attempt (item, token) SELECT id, ?2 FROM ship WHERE id=?1
                    AND id NOT IN (SELECT item FROM ship_stored)";
                tx.execute(sql, params![taken.item.id, taken.token.as_str()])
            })
        });
        begun.map_err(failed).map(|()| taken)
    }

    fn done(&self, stored: &[Stored], copy: LocalCopy) -> Result<(), QueueError> {
        self.change(|tx| {
            stored.iter().try_for_each(|stored| {
                forget_attempts(tx, stored.id())?;
                match copy {
                    LocalCopy::Keep => forget(tx, stored.id()),
                    LocalCopy::Remove => tx.execute("INSERT INTO ship_stored (item) VALUES (?1)", [stored.id()]),
                }
            })
        })
    }

    fn removable(&self, limit: usize) -> Result<Vec<ShipItem>, QueueError> {
        let sql = format!(
            "SELECT id, kind, path, name, length, hash FROM ship JOIN ship_stored ON item=id ORDER BY id LIMIT {limit}"
        );
        self.store().rows(&sql, ship_item).map_err(failed)
    }

    fn released(&self, ids: &[i64]) -> Result<(), QueueError> {
        self.change(|tx| ids.iter().try_for_each(|id| forget(tx, *id)))
    }

    fn not_stored(&self, id: i64) -> Result<(), QueueError> {
        self.change(|tx| tx.execute("DELETE FROM ship_attempt WHERE item=?1", [id]))
    }

    fn upload_begun(&self, id: i64, upload: &str) -> Result<(), QueueError> {
        let sql = "INSERT INTO ship_upload (item, upload) SELECT id, ?2 FROM ship WHERE id=?1";
        self.change(|tx| tx.execute(sql, params![id, upload]))
    }

    fn upload_ended(&self, id: i64, upload: &str) -> Result<(), QueueError> {
        self.change(|tx| tx.execute("DELETE FROM ship_upload WHERE item=?1 AND upload=?2", params![id, upload]))
    }

    fn park(&self, id: i64, why: &ShipError) -> Result<(), QueueError> {
        let why = why.to_string();
        self.change(|tx| tx.execute("UPDATE ship SET parked=?1 WHERE id=?2", params![why, id]))
    }

    fn unpark(&self) -> Result<(), QueueError> {
        self.change(unpark)
    }
}

fn failed(error: StoreError) -> QueueError {
    QueueError(Box::new(error))
}
