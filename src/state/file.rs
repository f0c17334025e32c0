//! Making, refusing and opening the file.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::error::StoreError;
use crate::schema::{self, Step};

/// Opens the file at `path` and brings it to the newest version. Every commit is synced.
pub(crate) fn connect(path: &Path, steps: &'static [Step]) -> Result<Connection, StoreError> {
    let failed = |source| StoreError::Sqlite { operation: "opened", path: path.display().to_string(), source };
    refuse_foreign(path)?;
    schema::refuse_newer(path, steps)?;
    let mut connection = Connection::open(path).map_err(failed)?;
    private_to_owner(path);
    // temporaries in memory: in a container with a read-only root the only other place is the state's directory
    connection
        .execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=10000; PRAGMA temp_store=MEMORY;",
        )
        .and_then(|()| keep_plans(&connection))
        .map_err(failed)?;
    schema::bring_up(&mut connection, path, steps)?;
    Ok(connection)
}

/// Makes statements keep the plan that they were prepared with. Otherwise SQLite prepares one again whenever a value is bound
/// that might suit another plan: for every look-up of a session by its id, for nothing.
pub(crate) fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Makes a file that does not exist, under its name only once it has content; refuses an empty
/// one. Killed in between, it leaves a `.part`, which the next start makes again.
pub(crate) fn begin_file(path: &Path) -> Result<(), StoreError> {
    let name = || path.display().to_string();
    match std::fs::metadata(path) {
        Ok(found) if found.len() == 0 => return Err(StoreError::Empty { path: name() }),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        // anything else that is wrong with it is reported when it is opened
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

/// Without permission SQLite would only report that it cannot open the file. It explains other errors better.
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
