//! Versions of a SQLite file, and how a file of an older one is brought to the newest.
//!
//! A schema is a list of [`Step`]s: the n-th makes version n of version n - 1, the first makes a new file. `PRAGMA user_version`
//! says which one a file has. A step that has been released is never changed; a change of the tables is one more step.
//!
//! - **Newer than this program**: refused before anything is changed, with both versions in the error. A file is never
//!   downgraded by an older program.
//! - **Older**: first a copy beside it (`bot.db.v1`, the whole state of version 1 in one file), synced; then all missing steps
//!   and the new version, in one transaction.
//!
//! The copy is made while the write lock of that same transaction is held, so it is exactly what the steps start from, and no
//! other process makes one meanwhile. It is made under another name and renamed to a free one: an earlier copy stays, and one
//! that already exists with the same content is enough, however often a failing step is tried.
//!
//! A crash leaves, before the copy has its name, the old file (and a `.part` that the next start removes); after that
//! the old file and its copy, until the transaction is committed. There is no state in between.
//!
//! The copy serves to find out what a step did, or to undo it before the bot has continued. Once messages were
//! acknowledged after it, it is no state to start from: the bot refuses a state that is older than its message files.
//!
//! Not here: removing copies. They are as secret as the file; operators remove them once they are content with the new version.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use retaind_core::fault::{Fault, Faulty};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use thiserror::Error;

/// Most copies of one version beside a file: more than one means that someone went back to that version.
const COPIES_MAX: u32 = 9;
/// Bytes compared at a time.
const COMPARE_BYTES: u64 = 64 * 1024;
/// How long to wait for another process that holds the file.
const BUSY: Duration = Duration::from_secs(30);

/// Makes one version of the one before it. Runs in a transaction, and must not end it. A file may or may not hold tables that
/// its user keeps beside those of the schema: a step that changes them asks first.
pub type Step = fn(&Connection) -> rusqlite::Result<()>;

/// Why a file cannot be used.
#[derive(Debug, Error)]
pub enum SchemaError {
    /// Written by a newer version.
    #[error(
        "`{}` has schema version `{found}`, this release of retaind knows versions up to `{known}`: run the newer release that \
         wrote it; nothing was changed",
        path.display()
    )]
    Newer {
        /// Path of the file.
        path: PathBuf,
        /// Version of the file.
        found: i64,
        /// Newest version that this program knows.
        known: i64,
    },
    /// An error of SQLite.
    #[error("`{}` cannot be brought from schema version `{from}` to `{to}`, is the disk full or the file damaged? it is as it was", path.display())]
    Step {
        /// Path of the file.
        path: PathBuf,
        /// Version of the file.
        from: i64,
        /// The version wanted.
        to: i64,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// The copy could not be made.
    #[error("`{}` is not brought to a newer schema version, because no copy of it can be made as `{}`: free some space, or give that directory to the bot's user", path.display(), copy.display())]
    Copy {
        /// Path of the file.
        path: PathBuf,
        /// Path of the copy.
        copy: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// There are too many copies.
    #[error("`{}` is not brought to a newer schema version, because there are {COPIES_MAX} copies of version `{found}` beside it: move some away", path.display())]
    Copies {
        /// Path of the file.
        path: PathBuf,
        /// Version of the file.
        found: i64,
    },
}

impl Faulty for SchemaError {
    fn fault(&self) -> Fault {
        match self {
            Self::Newer { .. } | Self::Copies { .. } => Fault::Configuration,
            Self::Step { .. } | Self::Copy { .. } => Fault::Stop,
        }
    }
}

/// Refuses a file that is newer than `steps`; changes nothing. Call it before the file is opened for writing.
pub fn refuse_newer(path: &Path, steps: &[Step]) -> Result<(), SchemaError> {
    // a file that does not exist or cannot be read is reported when it is opened
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let Ok(connection) = Connection::open_with_flags(path, flags) else { return Ok(()) };
    let looked = connection.busy_timeout(BUSY).and_then(|()| version(&connection));
    looked.map_or(Ok(()), |found| check(path, found, steps).map(drop))
}

/// Brings an open file to the newest version.
pub fn bring_up(connection: &mut Connection, path: &Path, steps: &[Step]) -> Result<(), SchemaError> {
    let mut from = 0;
    let known = newest(steps);
    let failed = |from| move |source| SchemaError::Step { path: path.to_owned(), from, to: known, source };
    // most starts find everything done, and take no lock
    if check(path, version(connection).map_err(failed(from))?, steps)?.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed(from))?;
    from = version(&transaction).map_err(failed(from))?;
    let missing = check(path, from, steps)?;
    if from > 0 && !missing.is_empty() {
        let copy = keep_copy(path, from)?;
        tracing::info!(from, to = known, copy = %copy.display(), path = %path.display(), "brings state to a newer schema version");
    }
    missing
        .iter()
        .try_for_each(|step| step(&transaction))
        .and_then(|()| transaction.pragma_update(None, "user_version", known))
        .and_then(|()| transaction.commit())
        .map_err(failed(from))
}

/// Has the file this table? For steps.
pub fn has_table(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    connection.table_exists(None, table)
}

fn newest(steps: &[Step]) -> i64 {
    i64::try_from(steps.len()).unwrap_or(i64::MAX)
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// The steps that a file of version `found` lacks.
fn check<'a>(path: &Path, found: i64, steps: &'a [Step]) -> Result<&'a [Step], SchemaError> {
    let newer = || SchemaError::Newer { path: path.to_owned(), found, known: newest(steps) };
    usize::try_from(found).ok().and_then(|done| steps.get(done..)).ok_or_else(newer)
}

/// Copies the committed content of the file. The caller holds its write lock.
fn keep_copy(path: &Path, found: i64) -> Result<PathBuf, SchemaError> {
    let beside = |end: String| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let part = beside(format!(".v{found}.part"));
    let failed = |source| SchemaError::Copy { path: path.to_owned(), copy: part.clone(), source };
    copy_into(path, &part).map_err(failed)?;
    for number in 1..=COPIES_MAX {
        let copy = if number == 1 { beside(format!(".v{found}")) } else { beside(format!(".v{found}.{number}")) };
        match fs::symlink_metadata(&copy) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(&part, &copy).map_err(failed)?,
            Err(source) => return Err(failed(source)),
            Ok(_) if same(&part, &copy).map_err(failed)? => fs::remove_file(&part).map_err(failed)?,
            Ok(_) => continue,
        }
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
        return Ok(copy);
    }
    fs::remove_file(&part).map_err(failed)?;
    Err(SchemaError::Copies { path: path.to_owned(), found })
}

/// Copies into `part`, replacing what an earlier start has left there.
fn copy_into(path: &Path, part: &Path) -> io::Result<()> {
    match fs::remove_file(part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // private before it has content
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(part)?;
    // a reader beside the transaction sees what was committed before it
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copied = Connection::open_with_flags(path, flags).and_then(|reader| {
        reader.busy_timeout(BUSY)?;
        reader.execute("VACUUM INTO ?1", [part.to_string_lossy()]).map(drop)
    });
    copied.map_err(io::Error::other)?;
    file.sync_all()
}

fn same(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (Vec::new(), Vec::new());
    loop {
        left.clear();
        right.clear();
        one.by_ref().take(COMPARE_BYTES).read_to_end(&mut left)?;
        other.by_ref().take(COMPARE_BYTES).read_to_end(&mut right)?;
        if left != right {
            return Ok(false);
        }
        if left.is_empty() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests;
