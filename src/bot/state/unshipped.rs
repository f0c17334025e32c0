//! A look at the ship queue from outside the bot's process, or beside its stages.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// How long a look at the queue waits for a process that holds the file's lock; readers normally meet none.
const LOOK_TIME: Duration = Duration::from_secs(1);

/// What the ship queue holds that is not stored at its destination yet.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Unshipped {
    /// Number of files, parked ones included.
    pub files: u64,
    /// Their length in bytes.
    pub bytes: u64,
    /// Number of parked files: an operator has to fix something first.
    pub parked: u64,
    /// Path of the file that was queued first; `None`: the queue is empty.
    pub oldest: Option<PathBuf>,
}

/// Reads the ship queue of the state at `path` while the bot may be running.
///
/// Opens a connection for this one look: one that stayed would be the last to close, and as it may only read it would leave
/// what SQLite has in its log there, instead of in the file that operators copy.
pub fn unshipped(path: &Path) -> rusqlite::Result<Unshipped> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(LOOK_TIME)?;
    // one row, its path that of the least id: SQLite takes bare columns from the row of `min`
    let sql = "SELECT min(id), path, count(*), coalesce(sum(length), 0), count(parked) FROM ship
        WHERE id NOT IN (SELECT item FROM ship_stored)";
    connection.query_row(sql, [], |row| {
        Ok(Unshipped {
            files: row.get(2)?,
            bytes: row.get(3)?,
            parked: row.get(4)?,
            oldest: row.get::<_, Option<String>>(1)?.map(PathBuf::from),
        })
    })
}

#[cfg(test)]
mod tests {
    use retaind_state::{Store, StoreError};

    use super::*;
    use crate::ship::ShipKind;
    use crate::state::{enqueue, prepare};

    #[test]
    fn what_is_not_shipped_is_counted_until_it_is_stored_the_oldest_first() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("bot.db");
        unshipped(&path).unwrap_err();
        assert!(!path.exists(), "a look makes no state");
        let mut store =
            Store::open(&path, b"a password for tests", &[|c| c.execute_batch(retaind_state::META)]).unwrap();
        unshipped(&path).unwrap_err();
        prepare(&store).unwrap();
        assert_eq!(unshipped(&path).unwrap(), Unshipped::default());
        let all = store.write::<_, StoreError>(|tx| {
            for (name, length) in [("third", 5), ("first", 7), ("second", 11)] {
                enqueue(tx, ShipKind::File, Path::new("/srv"), name, length, None)?;
            }
            tx.execute("UPDATE ship SET parked='why' WHERE name='second'", [])
        });
        all.unwrap();
        let oldest = |name: &str| Some(Path::new("/srv").join(name));
        let found = unshipped(&path).unwrap();
        assert_eq!(found, Unshipped { files: 3, bytes: 23, parked: 1, oldest: oldest("third") });
        let stored =
            store.write::<_, StoreError>(|tx| tx.execute("INSERT INTO ship_stored SELECT id FROM ship LIMIT 1", []));
        stored.unwrap();
        let found = unshipped(&path).unwrap();
        assert_eq!(found, Unshipped { files: 2, bytes: 18, parked: 1, oldest: oldest("first") });
        drop(store);
        assert!(!home.path().join("bot.db-wal").exists(), "looks have kept the state in pieces");
    }
}
