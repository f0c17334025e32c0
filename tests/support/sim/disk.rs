//! A disk in memory with what a real one may do: calls that fail with nothing, half or all of them done; power that is
//! lost at any call; and then, of all that was not synced, any part in any order, in sectors, names included.
//!
//! Two faces, one disk: [`SimDisk`] is the bot's [`Disk`]; [`super::vfs`] puts SQLite on it. So one count of calls, one fate
//! and one loss of power is that of message files, attachments and state together.
//!
//! Stricter than most real file systems: a synced file whose directory was not synced may have no name; a failed sync forgets
//! what it did not write and later ones do not bring it back; changes of names survive in any subset.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::trace;
use retaind::bot::disk::{Disk, DiskCall, DiskError, DiskFile, DiskReader, renewed};

/// What survives of a write wholly or not at all.
const SECTOR_BYTES: usize = 512;

/// A call of the disk, whoever makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// A file is created or opened.
    Open,
    /// SQLite reads; the bot opens a file for reading.
    Read,
    /// The bot reads on in a file that it has open.
    ReadOn,
    /// Bytes are written.
    Write,
    /// A file is synced.
    Sync,
    /// A file is cut.
    Cut,
    /// A name or length is looked for.
    Look,
    /// A file gets another name.
    Rename,
    /// A name is removed.
    Remove,
    /// A directory is synced.
    SyncNames,
    /// A directory is listed.
    List,
}

impl Call {
    /// The ways in which it fails: with how much done, and what the system says.
    pub fn errors(self) -> &'static [(Much, io::ErrorKind)] {
        use io::ErrorKind::{Other, PermissionDenied, StorageFull};
        match self {
            Self::Read | Self::Look | Self::List => &[(Much::Nothing, Other)],
            Self::ReadOn => &[(Much::Nothing, Other), (Much::Half, Other)],
            Self::Open => &[
                (Much::Nothing, Other),
                (Much::Nothing, StorageFull),
                (Much::Nothing, PermissionDenied),
                (Much::All, Other),
            ],
            Self::Write => {
                &[(Much::Nothing, Other), (Much::Half, Other), (Much::Half, StorageFull), (Much::All, Other)]
            }
            Self::Sync | Self::SyncNames => &[(Much::Nothing, Other), (Much::Half, Other), (Much::All, Other)],
            Self::Cut | Self::Rename | Self::Remove => &[(Much::Nothing, Other), (Much::All, Other)],
        }
    }
}

/// How much of a call is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Much {
    Nothing,
    Half,
    All,
}

/// How a call ends otherwise than well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// With an error.
    Error(Much, io::ErrorKind),
    /// With the power: this one and all later calls fail until [`SimDisk::lose_power`] or [`SimDisk::go_on`].
    Off(Much),
}

/// Decides about each call, by its number (1 = the first) and kind.
pub type Fate = Box<dyn FnMut(u64, Call) -> Option<Harm> + Send>;

/// What a bot that was built wrongly leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// It does not sync message files and attachments.
    NoSync,
    /// It takes the first half of a write for all of it.
    ShortWrites,
    /// It does not sync directories.
    NoSyncOfNames,
    /// It does not have SQLite sync.
    NoSyncOfState,
}

/// The disk. Clones share it.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<Sim>>);

#[derive(Default)]
pub(super) struct Sim {
    files: Vec<Content>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names that are not synced: old name, new name, file.
    changes: Vec<(Option<PathBuf>, Option<PathBuf>, usize)>,
    calls: u64,
    fate: Option<Fate>,
    off: bool,
    broken: Option<Broken>,
    /// Files that another one was renamed over: the bot never does.
    overwritten: Vec<PathBuf>,
    /// Bytes that fit; `None`: any number.
    room: Option<u64>,
    /// Of SQLite's connections; goes with the process.
    pub(super) locks: HashMap<usize, super::vfs::Locks>,
}

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// Since the last sync.
    changes: Vec<Change>,
}

enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Cut(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => write_at(to, *offset, bytes),
            Self::Cut(length) => to.truncate(*length),
        }
    }
}

fn write_at(to: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if to.len() < end {
        to.resize(end, 0);
    }
    to[offset..end].copy_from_slice(bytes);
}

impl Content {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.bytes);
        self.changes.push(change);
    }

    fn sync(&mut self) {
        for change in self.changes.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// What is there when the power comes back.
    fn lose_power(&mut self, dice: &mut dyn FnMut() -> u64) {
        for change in std::mem::take(&mut self.changes) {
            match change {
                Change::Cut(_) if dice().is_multiple_of(2) => {}
                cut @ Change::Cut(_) => cut.apply(&mut self.durable),
                Change::Write { offset, bytes } => match dice() % 4 {
                    0 => {}
                    1 => write_at(&mut self.durable, offset, &bytes),
                    // longer, and nothing in it
                    2 if offset >= self.durable.len() => write_at(&mut self.durable, offset, &vec![0; bytes.len()]),
                    _ => {
                        let mut at = offset;
                        for sector in pieces(offset, &bytes) {
                            if dice().is_multiple_of(2) {
                                write_at(&mut self.durable, at, sector);
                            }
                            at += sector.len();
                        }
                    }
                },
            }
        }
        self.bytes.clone_from(&self.durable);
    }
}

/// `bytes` at `offset`, cut where sectors end.
fn pieces(offset: usize, bytes: &[u8]) -> Vec<&[u8]> {
    let (first, rest) = bytes.split_at(bytes.len().min(SECTOR_BYTES - offset % SECTOR_BYTES));
    std::iter::once(first).chain(rest.chunks(SECTOR_BYTES)).collect()
}

fn power_off() -> io::Error {
    io::Error::other("the power is off")
}

impl SimDisk {
    pub(super) fn sim(&self) -> MutexGuard<'_, Sim> {
        self.0.lock().unwrap()
    }

    /// Who decides about the calls from now on; `None`: all goes well.
    pub fn set_fate(&self, fate: Option<Fate>) {
        self.sim().fate = fate;
    }

    /// Works for a bot that was built wrongly.
    pub fn break_bot(&self, broken: Broken) {
        self.sim().broken = Some(broken);
    }

    /// Only so many more bytes fit; `None`: any number.
    pub fn set_room(&self, room: Option<u64>) {
        self.sim().room = room;
    }

    /// Files that another one was renamed over.
    pub fn overwritten(&self) -> Vec<PathBuf> {
        self.sim().overwritten.clone()
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.sim().calls
    }

    /// Nothing gets through any more, as for a process that is killed.
    pub fn stop(&self) {
        self.sim().off = true;
    }

    /// Is it so?
    pub fn is_off(&self) -> bool {
        self.sim().off
    }

    /// The process starts again, on a machine that was on all the time.
    pub fn go_on(&self) {
        let mut sim = self.sim();
        sim.off = false;
        sim.locks.clear();
    }

    /// The machine starts again: what was not synced is there in part, as `dice` decides.
    pub fn lose_power(&self, dice: &mut dyn FnMut() -> u64) {
        let mut sim = self.sim();
        let mut changes = std::mem::take(&mut sim.changes);
        while !changes.is_empty() {
            let (old, new, file) = changes.remove(usize::try_from(dice()).unwrap_or(0) % changes.len());
            if dice().is_multiple_of(2) {
                continue;
            }
            old.map(|old| sim.durable_names.remove(&old));
            new.map(|new| sim.durable_names.insert(new, file));
        }
        sim.names = sim.durable_names.clone();
        for content in &mut sim.files {
            content.lose_power(dice);
        }
        // what nobody can find any more is not there
        let named: std::collections::HashSet<usize> = sim.names.values().copied().collect();
        for (number, content) in sim.files.iter_mut().enumerate() {
            if !named.contains(&number) {
                *content = Content::default();
            }
        }
        sim.off = false;
        sim.locks.clear();
    }

    /// All files and their content.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let sim = self.sim();
        sim.names.iter().map(|(name, file)| (name.clone(), sim.files[*file].bytes.clone())).collect()
    }

    /// One file, as a program reads it.
    pub fn content(&self, path: &Path) -> Result<Option<Vec<u8>>, io::Error> {
        self.call(Call::Read, |sim, _| Ok(sim.find(path).map(|file| sim.files[file].bytes.clone())))
    }

    /// Puts a file there, durably.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut sim = self.sim();
        let file = sim.files.len();
        sim.files.push(Content { durable: bytes.clone(), bytes, changes: Vec::new() });
        sim.names.insert(path.to_path_buf(), file);
        sim.durable_names.insert(path.to_path_buf(), file);
    }

    /// Flips one bit of a file at rest, whose content is synced: no call of anybody's notices. Otherwise says `false`.
    pub fn flip(&self, path: &Path, bit: u64) -> bool {
        let mut sim = self.sim();
        let Some(file) = sim.find(path) else { return false };
        let Content { bytes, durable, changes } = &mut sim.files[file];
        if bytes.is_empty() || !changes.is_empty() || bytes != durable {
            return false;
        }
        let at = usize::try_from(bit / 8).unwrap() % bytes.len();
        for copy in [bytes, durable] {
            copy[at] ^= 1 << (bit % 8);
        }
        true
    }

    /// One call: `act` does as much of it as it is told.
    pub(super) fn call<T>(
        &self,
        call: Call,
        act: impl FnOnce(&mut Sim, Much) -> Result<T, io::Error>,
    ) -> Result<T, io::Error> {
        let mut sim = self.sim();
        if sim.off {
            return Err(power_off());
        }
        sim.calls += 1;
        let number = sim.calls;
        let harm = sim.fate.as_mut().and_then(|fate| fate(number, call));
        if harm.is_some() {
            trace(&format!("call {number}: {call:?}: {harm:?}"));
        }
        let (much, error) = match harm {
            None => return act(&mut sim, Much::All),
            Some(Harm::Error(much, kind)) => (much, kind.into()),
            Some(Harm::Off(much)) => {
                let done = if much == Much::Nothing { None } else { Some(act(&mut sim, much)) };
                drop(done);
                sim.off = true;
                return Err(power_off());
            }
        };
        // a sync that fails does something even so: it forgets
        if much != Much::Nothing || call == Call::Sync {
            act(&mut sim, much)?;
        }
        Err(error)
    }
}

impl Sim {
    pub(super) fn find(&self, path: &Path) -> Option<usize> {
        self.names.get(path).copied()
    }

    pub(super) fn create(&mut self, path: &Path) -> usize {
        let file = self.files.len();
        self.files.push(Content::default());
        self.names.insert(path.to_path_buf(), file);
        self.changes.push((None, Some(path.to_path_buf()), file));
        file
    }

    pub(super) fn length(&self, file: usize) -> usize {
        self.files[file].bytes.len()
    }

    pub(super) fn read(&self, file: usize, offset: usize, into: &mut [u8]) -> usize {
        let bytes = &self.files[file].bytes;
        let from = &bytes[offset.min(bytes.len())..];
        let length = from.len().min(into.len());
        into[..length].copy_from_slice(&from[..length]);
        length
    }

    /// `offset`: `None` = at the end.
    pub(super) fn write(
        &mut self,
        file: usize,
        offset: Option<usize>,
        bytes: &[u8],
        much: Much,
    ) -> Result<(), io::Error> {
        let content = &mut self.files[file];
        let offset = offset.unwrap_or(content.bytes.len());
        let mut much = match much {
            Much::Nothing => 0,
            Much::Half => bytes.len() / 2,
            Much::All => bytes.len(),
        };
        let mut full = false;
        let more = u64::try_from((offset + much).saturating_sub(content.bytes.len())).unwrap_or(u64::MAX);
        if let Some(room) = &mut self.room {
            if more > *room {
                full = true;
                much = much.saturating_sub(usize::try_from(more - *room).unwrap_or(usize::MAX));
                *room = 0;
            } else {
                *room -= more;
            }
        }
        if much > 0 {
            content.change(Change::Write { offset, bytes: bytes[..much].to_vec() });
        }
        if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    pub(super) fn cut(&mut self, file: usize, length: usize) {
        self.files[file].change(Change::Cut(length));
    }

    pub(super) fn sync(&mut self, file: usize, much: Much) {
        let content = &mut self.files[file];
        match much {
            Much::All => content.sync(),
            Much::Half => {
                let rest = content.changes.split_off(content.changes.len() / 2);
                content.sync();
                // gone for good, though readers still see it
                drop(rest);
            }
            Much::Nothing => content.changes.clear(),
        }
    }

    pub(super) fn remove(&mut self, path: &Path) -> Option<usize> {
        let file = self.names.remove(path)?;
        self.changes.push((Some(path.to_path_buf()), None, file));
        Some(file)
    }

    pub(super) fn sync_names(&mut self, directory: &Path, much: Much) {
        let here = |name: &Option<PathBuf>| name.as_deref().and_then(Path::parent) == Some(directory);
        let (mut synced, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.changes).into_iter().partition(|(old, new, _)| here(old) || here(new));
        let kept = match much {
            Much::Nothing => synced.split_off(0),
            Much::Half => synced.split_off(synced.len() / 2),
            Much::All => Vec::new(),
        };
        for (old, new, file) in synced {
            old.map(|old| self.durable_names.remove(&old));
            new.map(|new| self.durable_names.insert(new, file));
        }
        self.changes = kept.into_iter().chain(rest).collect();
    }

    pub(super) fn state_is_synced(&self) -> bool {
        self.broken != Some(Broken::NoSyncOfState)
    }
}

struct SimFile {
    disk: SimDisk,
    file: usize,
    path: PathBuf,
}

impl SimDisk {
    fn named<T>(
        &self,
        call: (Call, DiskCall),
        path: &Path,
        act: impl FnOnce(&mut Sim, Much) -> Result<T, io::Error>,
    ) -> Result<T, DiskError> {
        self.call(call.0, act).map_err(|error| DiskError::new(call.1, path, error))
    }

    fn file(&self, file: usize, path: &Path) -> Box<dyn DiskFile> {
        Box::new(SimFile { disk: self.clone(), file, path: path.to_path_buf() })
    }
}

impl Disk for SimDisk {
    fn create_new(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        let file = self.named((Call::Open, DiskCall::CreateNew), path, |sim, _| match sim.find(path) {
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
            None => Ok(sim.create(path)),
        })?;
        Ok(self.file(file, path))
    }
    fn open_append(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        let file = self.named((Call::Open, DiskCall::OpenAppend), path, |sim, _| {
            sim.find(path).ok_or_else(|| io::ErrorKind::NotFound.into())
        })?;
        Ok(self.file(file, path))
    }
    fn open_read(&self, path: &Path) -> Result<Box<dyn DiskReader>, DiskError> {
        let file = self.named((Call::Read, DiskCall::OpenRead), path, |sim, _| {
            sim.find(path).ok_or_else(|| io::ErrorKind::NotFound.into())
        })?;
        Ok(Box::new(SimFile { disk: self.clone(), file, path: path.to_path_buf() }))
    }
    fn len(&self, path: &Path) -> Result<Option<u64>, DiskError> {
        self.named((Call::Look, DiskCall::Len), path, |sim, _| {
            Ok(sim.find(path).map(|file| u64::try_from(sim.length(file)).unwrap()))
        })
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.named((Call::Rename, DiskCall::Rename), from, |sim, _| {
            let file = sim.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            if sim.names.contains_key(to) {
                sim.overwritten.push(to.to_path_buf());
            }
            sim.names.insert(to.to_path_buf(), file);
            sim.changes.push((Some(from.to_path_buf()), Some(to.to_path_buf()), file));
            Ok(())
        })
    }
    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        self.named((Call::Remove, DiskCall::Remove), path, |sim, _| {
            sim.remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }
    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.named((Call::SyncNames, DiskCall::SyncDir), dir, |sim, much| {
            if sim.broken != Some(Broken::NoSyncOfNames) {
                sim.sync_names(dir, much);
            }
            Ok(())
        })
    }
    fn list(&self, dir: &Path, each: &mut dyn FnMut(&OsStr)) -> Result<(), DiskError> {
        let names = self.named((Call::List, DiskCall::List), dir, |sim, _| {
            let here = sim.names.keys().filter(|name| name.parent() == Some(dir));
            Ok(here.filter_map(|name| name.file_name().map(OsStr::to_owned)).collect::<Vec<_>>())
        })?;
        names.iter().for_each(|name| each(name));
        Ok(())
    }
    fn free_bytes(&self, _: &Path) -> Result<u64, DiskError> {
        Ok(self.sim().room.unwrap_or(u64::MAX))
    }
    fn renew(&self, path: &Path) -> Result<(), DiskError> {
        let failed = |error| DiskError::new(DiskCall::Renew, path, error);
        let Some(bytes) = self.content(path).map_err(failed)? else { return Ok(()) };
        let copy = renewed(path);
        let file = self.call(Call::Open, |sim, _| {
            sim.remove(&copy);
            Ok(sim.create(&copy))
        });
        let file = file.map_err(failed)?;
        self.call(Call::Write, |sim, much| sim.write(file, None, &bytes, much)).map_err(failed)?;
        let sync = |sim: &mut Sim, much| {
            sim.sync(file, much);
            Ok(())
        };
        self.call(Call::Sync, sync).map_err(failed)?;
        let rename = |sim: &mut Sim, _| {
            sim.names.remove(&copy);
            sim.names.insert(path.to_path_buf(), file);
            sim.changes.push((Some(copy.clone()), Some(path.to_path_buf()), file));
            Ok(())
        };
        self.call(Call::Rename, rename).map_err(failed)?;
        self.sync_dir(path.parent().unwrap())
    }
    /// Every directory is there.
    fn make_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.named((Call::SyncNames, DiskCall::MakeDir), dir, |_, _| Ok(()))
    }
}

impl DiskReader for SimFile {
    fn length(&mut self) -> Result<u64, DiskError> {
        self.disk.named((Call::ReadOn, DiskCall::Len), &self.path, |sim, _| {
            Ok(u64::try_from(sim.length(self.file)).unwrap())
        })
    }
    fn read_at(&mut self, offset: u64, most: usize, into: &mut Vec<u8>) -> Result<usize, DiskError> {
        self.disk.named((Call::ReadOn, DiskCall::Read), &self.path, |sim, much| {
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            let left = sim.length(self.file).saturating_sub(offset).min(most);
            let mut bytes = vec![0; if much == Much::All { left } else { left / 2 }];
            sim.read(self.file, offset, &mut bytes);
            into.extend_from_slice(&bytes);
            Ok(left)
        })
    }
}

impl DiskFile for SimFile {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.disk.named((Call::Write, DiskCall::WriteAll), &self.path, |sim, much| {
            let much = if sim.broken == Some(Broken::ShortWrites) { Much::Half } else { much };
            sim.write(self.file, None, bytes, much)
        })
    }
    fn sync_data(&mut self) -> Result<(), DiskError> {
        self.disk.named((Call::Sync, DiskCall::SyncData), &self.path, |sim, much| {
            if sim.broken != Some(Broken::NoSync) {
                sim.sync(self.file, much);
            }
            Ok(())
        })
    }
    fn set_len(&mut self, length: u64) -> Result<(), DiskError> {
        self.disk.named((Call::Cut, DiskCall::SetLen), &self.path, |sim, _| {
            sim.cut(self.file, usize::try_from(length).unwrap());
            Ok(())
        })
    }
}
