//! The only way in which the bot touches files.
//!
//! Message files, attachments and what is kept of undecryptable messages are evidence: each call that makes them
//! durable, or reads them on their way to where they are kept, may fail, and must be able to fail in a test. So the
//! calls are few, they are a trait, and the trait comes in as a parameter: [`RealDisk`] in the bot; disks that fail the
//! k-th call, damage what they hold or lose power in the tests.
//!
//! Contract of every [`Disk`]:
//! - Bytes written are durable after [`DiskFile::sync_data`] has returned, and not before.
//! - A name (created, renamed, removed) is durable after [`Disk::sync_dir`] of its directory has returned.
//!   Before that, a loss of power keeps any part of such changes, in any order.
//! - A call that failed may have been done wholly, in part, or not at all. After a failed `write_all` or `sync_data`
//!   nothing is known of the file's tail: never try the same call again and go on, but recover from what was committed.
//! - An open file follows its renames, and stays readable when its name is removed or given to another file.
//! - A read gives what was written last, synced or not. It is not evidence by itself: a disk may give other bytes than it
//!   was given, without an error. Who passes them on compares them with what was committed.
//! - After a failed read nothing is known of the bytes that were appended to the caller's; the file is as before, and may
//!   be read again.
//! - What a sync has failed to write may be gone from the disk and still be seen by readers, also by those of a next process.
//!   [`Disk::renew`] writes it again.
//!
//! The tests hold [`RealDisk`] and every double of it to this (`disk/contract.rs`).
//!
//! Not here: meaning. The bot never needs the content of its message files to go on: it reads them only to ship them
//! ([`super::ship`]), and recovery looks at lengths, and evidence
//! ([`super::evidence`]) reads again what the open file holds.
#![deny(clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Only the bot's user may read what it archives; for another mode, make the directory first.
pub(crate) const DIRECTORY_MODE: u32 = 0o700;

/// The calls of a [`Disk`], for errors and for tests that let one of them fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DiskCall {
    /// [`Disk::create_new`]
    CreateNew,
    /// [`Disk::open_append`]
    OpenAppend,
    /// [`Disk::open_read`]
    OpenRead,
    /// [`DiskReader::read_at`]
    Read,
    /// [`DiskFile::write_all`]
    WriteAll,
    /// [`DiskFile::sync_data`]
    SyncData,
    /// [`DiskFile::set_len`]
    SetLen,
    /// [`Disk::len`] and [`DiskReader::length`]
    Len,
    /// [`Disk::rename`]
    Rename,
    /// [`Disk::remove`]
    Remove,
    /// [`Disk::sync_dir`]
    SyncDir,
    /// [`Disk::list`]
    List,
    /// [`Disk::free_bytes`]
    FreeBytes,
    /// [`Disk::renew`]
    Renew,
    /// [`Disk::make_dir`]
    MakeDir,
}

impl fmt::Display for DiskCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CreateNew => "create",
            Self::OpenAppend | Self::OpenRead => "open",
            Self::Read => "read",
            Self::WriteAll => "write",
            Self::SyncData => "sync",
            Self::SetLen => "truncate",
            Self::Len => "find the length of",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::SyncDir => "sync the directory",
            Self::List => "list the directory",
            Self::FreeBytes => "find the free space of",
            Self::Renew => "rewrite",
            Self::MakeDir => "make the directory",
        })
    }
}

/// A call that failed, and on what.
#[derive(Debug, Error)]
#[error("cannot {call} `{}`{}", path.display(), hint(source))]
pub struct DiskError {
    /// The call.
    pub call: DiskCall,
    /// The file or directory; of a rename, the old name.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the system has more kinds of errors than this list, and gets new ones"
)]
fn hint(error: &io::Error) -> &'static str {
    if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) {
        return ": too many files are open; raise the limit (`ulimit -n`)";
    }
    match error.kind() {
        io::ErrorKind::StorageFull => ": the disk is full; free some space",
        io::ErrorKind::QuotaExceeded => ": the disk quota of the bot's user is used up; raise it or free some space",
        io::ErrorKind::ReadOnlyFilesystem => ": the file system is mounted read-only; mount a writable volume there",
        io::ErrorKind::PermissionDenied => ": the bot's user is not permitted to; give it the directory",
        io::ErrorKind::NotADirectory => ": a file stands where a directory is needed; move it away",
        _ => "",
    }
}

impl DiskError {
    /// An error of `call` on `path`.
    pub fn new(call: DiskCall, path: &Path, source: io::Error) -> Self {
        Self { call, path: path.to_path_buf(), source }
    }

    /// Is there no space left (disk or quota)? Then waiting for space helps, and nothing else is wrong.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// A directory tree that the bot may write to. Shared by threads. See the contract above.
pub trait Disk: Send + Sync + 'static {
    /// Creates a file that does not exist, for appending.
    fn create_new(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError>;
    /// Opens a file that exists, for appending.
    fn open_append(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError>;
    /// Opens a file that exists, for reading.
    fn open_read(&self, path: &Path) -> Result<Box<dyn DiskReader>, DiskError>;
    /// Bytes of a file; `None` if there is nothing of that name.
    fn len(&self, path: &Path) -> Result<Option<u64>, DiskError>;
    /// Gives a file another name in the same file system. The caller has made sure that `to` is not taken.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> Result<(), DiskError>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError>;
    /// Calls `each` with every name in a directory, in no order. Memory stays flat however many there are.
    fn list(&self, dir: &Path, each: &mut dyn FnMut(&OsStr)) -> Result<(), DiskError>;
    /// Bytes that the bot's user may still write in the file system of `dir`.
    fn free_bytes(&self, dir: &Path) -> Result<u64, DiskError>;
    /// Makes what a file holds durable, whatever became of earlier writes: into a copy, which then takes its place. Nobody may
    /// have it open. Nothing, if there is none of that name.
    fn renew(&self, path: &Path) -> Result<(), DiskError>;
    /// Makes a directory in one that exists, durably. Nothing, if it is there.
    fn make_dir(&self, dir: &Path) -> Result<(), DiskError>;
}

/// A file open for appending.
pub trait DiskFile: Send {
    /// Appends all of `bytes`.
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), DiskError>;
    /// Makes content and length durable.
    fn sync_data(&mut self) -> Result<(), DiskError>;
    /// Cuts the file to `length` bytes (never longer than it is).
    fn set_len(&mut self, length: u64) -> Result<(), DiskError>;
}

/// A file open for reading: any part of it, in any order, as often as wanted.
pub trait DiskReader: Send {
    /// Bytes of the file, as it is now.
    fn length(&mut self) -> Result<u64, DiskError>;
    /// Appends the file's bytes from `offset` on to `into`: `most` of them, or fewer only because the file ends there.
    /// Returns how many. Room that the caller has reserved in `into` is used.
    fn read_at(&mut self, offset: u64, most: usize, into: &mut Vec<u8>) -> Result<usize, DiskError>;
}

/// The file system of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

struct RealFile {
    path: PathBuf,
    file: File,
}

impl RealFile {
    fn open(call: DiskCall, options: &OpenOptions, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        let file = options.open(path).map_err(|e| DiskError::new(call, path, e))?;
        Ok(Box::new(Self { path: path.to_path_buf(), file }))
    }
}

struct RealReader {
    path: PathBuf,
    file: File,
    /// Where the next read begins without a seek; `None` after an error.
    at: Option<u64>,
}

impl Disk for RealDisk {
    fn create_new(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        RealFile::open(DiskCall::CreateNew, OpenOptions::new().append(true).create_new(true), path)
    }

    fn open_append(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        RealFile::open(DiskCall::OpenAppend, OpenOptions::new().append(true), path)
    }

    fn open_read(&self, path: &Path) -> Result<Box<dyn DiskReader>, DiskError> {
        let file = File::open(path).map_err(|e| DiskError::new(DiskCall::OpenRead, path, e))?;
        Ok(Box::new(RealReader { path: path.to_path_buf(), file, at: Some(0) }))
    }

    fn len(&self, path: &Path) -> Result<Option<u64>, DiskError> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            Ok(_) => {
                let odd = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file; move it away");
                Err(DiskError::new(DiskCall::Len, path, odd))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(DiskError::new(DiskCall::Len, path, e)),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        fs::rename(from, to).map_err(|e| DiskError::new(DiskCall::Rename, from, e))
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        fs::remove_file(path).map_err(|e| DiskError::new(DiskCall::Remove, path, e))
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        File::open(dir).and_then(|d| d.sync_all()).map_err(|e| DiskError::new(DiskCall::SyncDir, dir, e))
    }

    fn list(&self, dir: &Path, each: &mut dyn FnMut(&OsStr)) -> Result<(), DiskError> {
        let failed = |e| DiskError::new(DiskCall::List, dir, e);
        for entry in fs::read_dir(dir).map_err(failed)? {
            each(&entry.map_err(failed)?.file_name());
        }
        Ok(())
    }

    fn free_bytes(&self, dir: &Path) -> Result<u64, DiskError> {
        retaind_core::disk::free_bytes(dir).map_err(|e| DiskError::new(DiskCall::FreeBytes, dir, e))
    }

    fn renew(&self, path: &Path) -> Result<(), DiskError> {
        renew(path).map_err(|e| DiskError::new(DiskCall::Renew, path, e))
    }

    fn make_dir(&self, dir: &Path) -> Result<(), DiskError> {
        let made = match DirBuilder::new().mode(DIRECTORY_MODE).create(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => return Ok(()),
            made => made,
        };
        // a file in a directory whose name is lost is lost
        made.and_then(|()| File::open(above(dir))?.sync_all()).map_err(|e| DiskError::new(DiskCall::MakeDir, dir, e))
    }
}

/// The directory that `path` is in.
fn above(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What a file that is rewritten is called until it takes the old one's place.
pub fn renewed(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".renewed");
    name.into()
}

fn renew(path: &Path) -> io::Result<()> {
    let mut old = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        old => old?,
    };
    let copy = renewed(path);
    // what an earlier start has left is written over
    let mut new = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&copy)?;
    let written = io::copy(&mut old, &mut new).and_then(|_| new.sync_all()).and_then(|()| fs::rename(&copy, path));
    if written.is_err() {
        // half a copy would hold room on a full disk; what cannot be removed the next start writes over
        fs::remove_file(&copy).ok();
    }
    written?;
    File::open(above(path))?.sync_all()
}

impl DiskFile for RealFile {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.file.write_all(bytes).map_err(|e| DiskError::new(DiskCall::WriteAll, &self.path, e))
    }

    fn sync_data(&mut self) -> Result<(), DiskError> {
        self.file.sync_data().map_err(|e| DiskError::new(DiskCall::SyncData, &self.path, e))
    }

    fn set_len(&mut self, length: u64) -> Result<(), DiskError> {
        self.file.set_len(length).map_err(|e| DiskError::new(DiskCall::SetLen, &self.path, e))
    }
}

impl DiskReader for RealReader {
    fn length(&mut self) -> Result<u64, DiskError> {
        self.file.metadata().map(|file| file.len()).map_err(|e| DiskError::new(DiskCall::Len, &self.path, e))
    }

    fn read_at(&mut self, offset: u64, most: usize, into: &mut Vec<u8>) -> Result<usize, DiskError> {
        let failed = |e| DiskError::new(DiskCall::Read, &self.path, e);
        if self.at.take() != Some(offset) {
            self.file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        }
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        // into the room that `into` has: nothing is copied or zeroed before
        let read = (&self.file).take(most).read_to_end(into).map_err(failed)?;
        self.at = offset.checked_add(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}

#[cfg(test)]
pub(crate) mod contract;
