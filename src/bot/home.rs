//! The bot's directories: made, tried and locked before anything else.
//!
//! A bot that starts must be able to keep what it receives. So each directory is tried with a small file, written and
//! synced, and what is wrong is one clear error that names the variable.
//!
//! Invariant: a call that fails leaves everything as it was. Directories that it made are removed again; a probe is
//! removed; the running bot's lock and state are not touched.
//!
//! The lock is a `flock` on the state directory itself, not on a file in it: there is nothing to create before it is
//! held, and nothing to clean up after a crash, because the system releases it with the process. `bot.pid` in there only
//! helps the error of a second bot; nothing trusts it.
//!
//! Not here: how much space is left. A bot on a nearly full disk must start, because shipping files frees space.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process;

use thiserror::Error;

use super::disk::{DIRECTORY_MODE, Disk, DiskError};
use retaind_core::fault::{Fault, Faulty};

/// Bytes of the probe: one block of the usual file systems, so that a full disk is noticed.
const PROBE_BYTES: usize = 4096;
/// Holds the process number of the running bot, for the error of a second one.
const PID_FILE: &str = "bot.pid";

/// A directory that the bot needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// What it is for, in the words of errors, for example `messages`.
    pub what: &'static str,
    /// Name of the variable that sets it.
    pub variable: &'static str,
    /// Path of the directory.
    pub path: PathBuf,
}

/// Why the directories are not usable.
#[derive(Debug, Error)]
pub enum HomeError {
    /// Something other than a directory is at the path, or above it.
    #[error(
        "the {} directory `{}` cannot be used: `{}` is not a directory; move it away, or set `{}` to another path",
        directory.what, directory.path.display(), obstacle.display(), directory.variable
    )]
    NotADirectory {
        /// The directory that was to be used.
        directory: Directory,
        /// What is in the way: the same path or one above it.
        obstacle: PathBuf,
    },
    /// It cannot be made, read or written.
    #[error(
        "the {} directory `{}` cannot be written: give it to the user that runs the bot{}, or set `{}` to another path",
        directory.what, directory.path.display(), of_uid(), directory.variable
    )]
    Unwritable {
        /// The directory that was to be used.
        directory: Directory,
        /// The system's error.
        source: io::Error,
    },
    /// The file system is read-only: a container's root, for example, where no volume is mounted.
    #[error(
        "the {} directory `{}` is on a read-only file system: mount a volume there that can be written, or set `{}` to another path",
        directory.what, directory.path.display(), directory.variable
    )]
    ReadOnly {
        /// The directory that was to be used.
        directory: Directory,
        /// The system's error.
        source: io::Error,
    },
    /// The system fails, for a reason other than permissions.
    #[error(
        "the {} directory `{}` cannot be used, does its disk work? if it goes on, set `{}` to a path on another disk",
        directory.what, directory.path.display(), directory.variable
    )]
    Broken {
        /// The directory that was to be used.
        directory: Directory,
        /// The system's error.
        source: io::Error,
    },
    /// No space, or none left for this user.
    #[error(
        "the disk of the {} directory `{}` is full: free some space, or set `{}` to a path on another disk",
        directory.what, directory.path.display(), directory.variable
    )]
    Full {
        /// The directory that was to be used.
        directory: Directory,
        /// The system's error.
        source: io::Error,
    },
    /// Another bot uses the directory.
    #[error(
        "the {} directory `{}` is in use by another bot{}: stop that one, or set `{}` to another path",
        directory.what, directory.path.display(), of_process(*pid), directory.variable
    )]
    InUse {
        /// The directory that was to be used.
        directory: Directory,
        /// Process number of the other bot, if `bot.pid` has it.
        pid: Option<u32>,
    },
}

impl Faulty for HomeError {
    fn fault(&self) -> Fault {
        match self {
            Self::NotADirectory { .. } | Self::Unwritable { .. } | Self::ReadOnly { .. } => Fault::Configuration,
            // these go away without a change here: space is freed, or another bot stops
            Self::Full { .. } | Self::InUse { .. } => Fault::Temporary,
            Self::Broken { .. } => Fault::Temporary,
        }
    }
}

impl HomeError {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the system has more kinds of errors than this list, and gets new ones"
    )]
    fn new(directory: &Directory, source: io::Error) -> Self {
        let directory = directory.clone();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { directory, source },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { directory, source },
            // the last three: errors of `/proc` and the like, where no one may make anything
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidInput => Self::Unwritable { directory, source },
            _ => Self::Broken { directory, source },
        }
    }
}

/// Directories that exist, can be written to, and are this process's alone. Keep it as long as the bot runs.
#[derive(Debug)]
#[must_use = "the state directory is locked only as long as this lives"]
pub struct Home {
    _lock: File,
}

impl Home {
    /// Leaves the lock to the process: a stage that was abandoned may still write when all else has ended.
    pub fn keep_until_exit(self) {
        std::mem::forget(self);
    }
}

/// Makes, tries and locks the bot's directories; `state` is the one that is locked. After an error all is as before.
pub fn prepare(disk: &dyn Disk, state: &Directory, others: &[Directory]) -> Result<Home, HomeError> {
    // first only looks, so that most mistakes change nothing, not even for a moment
    look(state)?;
    others.iter().try_for_each(look)?;
    let mut made = Vec::new();
    let home = make_all(disk, state, others, &mut made);
    if home.is_err() {
        // what cannot be removed again is an empty directory; the first error is the one returned
        for path in made.iter().rev() {
            fs::remove_dir(path).ok();
        }
    }
    home
}

fn make_all(
    disk: &dyn Disk,
    state: &Directory,
    others: &[Directory],
    made: &mut Vec<PathBuf>,
) -> Result<Home, HomeError> {
    make(disk, state, made)?;
    let lock = lock(state)?;
    for directory in others {
        make(disk, directory, made)?;
    }
    let owner = fs::metadata(&state.path).map_err(|source| HomeError::new(state, source))?;
    let owner = format!("{:x}-{:x}", owner.dev(), owner.ino());
    for directory in std::iter::once(state).chain(others) {
        probe(disk, &owner, &directory.path).map_err(|error| HomeError::new(directory, error.source))?;
    }
    // last: nothing fails from here on, so no half-prepared state directory has it
    let pid = process::id().to_string();
    fs::write(state.path.join(PID_FILE), pid).map_err(|source| HomeError::new(state, source))?;
    Ok(Home { _lock: lock })
}

/// Is there a directory, or room for one?
fn look(directory: &Directory) -> Result<(), HomeError> {
    for path in directory.path.ancestors().filter(|path| !path.as_os_str().is_empty()) {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => return Ok(()),
            Ok(_) => {
                return Err(HomeError::NotADirectory { directory: directory.clone(), obstacle: path.to_path_buf() });
            }
            // for a file in the way the system reports this of the paths below it; the file itself comes next
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(source) => return Err(HomeError::new(directory, source)),
        }
    }
    Ok(())
}

/// Makes a directory and those above it; adds what it made to `made`, outermost first.
fn make(disk: &dyn Disk, directory: &Directory, made: &mut Vec<PathBuf>) -> Result<(), HomeError> {
    let missing: Vec<&Path> =
        directory.path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.is_dir()).collect();
    for path in missing.into_iter().rev() {
        match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
            Ok(()) => made.push(path.to_path_buf()),
            // another process made it since we looked; then it is not ours to remove
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(source) => return Err(HomeError::new(directory, source)),
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        disk.sync_dir(parent).map_err(|error| HomeError::new(directory, error.source))?;
    }
    Ok(())
}

fn lock(state: &Directory) -> Result<File, HomeError> {
    let lock = File::open(&state.path).map_err(|source| HomeError::new(state, source))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            let pid = fs::read_to_string(state.path.join(PID_FILE)).ok().and_then(|pid| pid.trim().parse().ok());
            Err(HomeError::InUse { directory: state.clone(), pid })
        }
        Err(TryLockError::Error(source)) => Err(HomeError::new(state, source)),
    }
}

/// Writes and syncs a small file and removes it. Its name is that of the (locked) state directory: the next start removes
/// the probe of a bot that was killed in the middle, and two bots that share a directory do not collide.
fn probe(disk: &dyn Disk, owner: &str, directory: &Path) -> Result<(), DiskError> {
    let path = directory.join(format!(".retaind-probe-{owner}"));
    if disk.len(&path)?.is_some() {
        disk.remove(&path)?;
    }
    let mut file = disk.create_new(&path)?;
    let written = file.write_all(&[0; PROBE_BYTES]).and_then(|()| file.sync_data());
    let removed = disk.remove(&path);
    written.and(removed).and_then(|()| disk.sync_dir(directory))
}

fn of_process(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

/// Number of the user that must own the directory. In a container the number is all that the host understands.
fn of_uid() -> String {
    format!(" (uid `{}`)", rustix::process::geteuid().as_raw())
}

#[cfg(test)]
mod tests;
