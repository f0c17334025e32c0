//! Disks that fail: [`FaultyDisk`] lets the k-th call of any disk fail, [`SimDisk`] loses power.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use retaind::bot::disk::{Disk, DiskCall, DiskError, DiskFile};

/// What has happened of a call that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// Nothing; of a write, the first half.
    Not,
    /// All of it: only the answer was lost.
    Wholly,
}

/// Which call fails, and how.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// 1 = the first.
    pub call: u64,
    pub done: Done,
    pub kind: io::ErrorKind,
}

#[derive(Default)]
struct Plan {
    calls: u64,
    fault: Option<Fault>,
    log: Vec<(DiskCall, usize)>,
}

/// Counts the calls of the disk that it wraps, and lets one fail. Clones share the count.
#[derive(Clone)]
pub struct FaultyDisk {
    inner: Arc<dyn Disk>,
    plan: Arc<Mutex<Plan>>,
}

impl FaultyDisk {
    pub fn new(inner: Arc<dyn Disk>, fault: Option<Fault>) -> Self {
        Self { inner, plan: Arc::new(Mutex::new(Plan { fault, ..Plan::default() })) }
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.plan.lock().unwrap().calls
    }

    /// The calls so far, with the bytes of writes.
    pub fn take_log(&self) -> Vec<(DiskCall, usize)> {
        std::mem::take(&mut self.plan.lock().unwrap().log)
    }

    /// Counts one step that is no call of the disk (a transaction, say): `Some` = it shall fail.
    pub fn step(&self) -> Option<Fault> {
        let mut plan = self.plan.lock().unwrap();
        plan.calls += 1;
        plan.fault.filter(|fault| fault.call == plan.calls)
    }

    fn call<T>(
        &self,
        call: DiskCall,
        path: &Path,
        bytes: usize,
        act: impl FnOnce(Option<Done>) -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        self.plan.lock().unwrap().log.push((call, bytes));
        match self.step() {
            None => act(None),
            Some(fault) => {
                if fault.done == Done::Wholly || call == DiskCall::WriteAll {
                    act(Some(fault.done))?;
                }
                Err(DiskError::new(call, path, fault.kind.into()))
            }
        }
    }

    fn file(&self, path: &Path, inner: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(FaultyFile { disk: self.clone(), path: path.to_path_buf(), inner })
    }
}

impl Disk for FaultyDisk {
    fn create_new(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        let file = self.call(DiskCall::CreateNew, path, 0, |_| self.inner.create_new(path))?;
        Ok(self.file(path, file))
    }
    fn open_append(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        let file = self.call(DiskCall::OpenAppend, path, 0, |_| self.inner.open_append(path))?;
        Ok(self.file(path, file))
    }
    fn len(&self, path: &Path) -> Result<Option<u64>, DiskError> {
        self.call(DiskCall::Len, path, 0, |_| self.inner.len(path))
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.call(DiskCall::Rename, from, 0, |_| self.inner.rename(from, to))
    }
    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        self.call(DiskCall::Remove, path, 0, |_| self.inner.remove(path))
    }
    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.call(DiskCall::SyncDir, dir, 0, |_| self.inner.sync_dir(dir))
    }
    fn list(&self, dir: &Path, each: &mut dyn FnMut(&OsStr)) -> Result<(), DiskError> {
        self.call(DiskCall::List, dir, 0, |_| self.inner.list(dir, each))
    }
    fn free_bytes(&self, dir: &Path) -> Result<u64, DiskError> {
        // not counted: the watchdog looks when it likes, and the k-th call is to be the same one each time
        self.inner.free_bytes(dir)
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    path: PathBuf,
    inner: Box<dyn DiskFile>,
}

impl DiskFile for FaultyFile {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        let Self { disk, path, inner } = self;
        disk.call(DiskCall::WriteAll, path, bytes.len(), |fault| match fault {
            Some(Done::Not) => inner.write_all(&bytes[..bytes.len() / 2]),
            Some(Done::Wholly) | None => inner.write_all(bytes),
        })
    }
    fn sync_data(&mut self) -> Result<(), DiskError> {
        let Self { disk, path, inner } = self;
        disk.call(DiskCall::SyncData, path, 0, |_| inner.sync_data())
    }
    fn set_len(&mut self, length: u64) -> Result<(), DiskError> {
        let Self { disk, path, inner } = self;
        disk.call(DiskCall::SetLen, path, 0, |_| inner.set_len(length))
    }
}

/// A disk in memory with what a real one may do when power is lost: whatever was not synced is there wholly, in part,
/// as zeros, or not at all; names in any order. Clones share the disk.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<Sim>>);

#[derive(Default)]
struct Sim {
    files: Vec<SimContent>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names since the last `sync_dir`: old name, new name, file.
    pending: Vec<(Option<PathBuf>, Option<PathBuf>, usize)>,
}

#[derive(Default)]
struct SimContent {
    bytes: Vec<u8>,
    durable: Vec<u8>,
}

struct SimFile {
    disk: SimDisk,
    file: usize,
}

impl SimDisk {
    /// Loses power and comes back. `dice` gives random numbers.
    pub fn lose_power(&self, dice: &mut dyn FnMut() -> u64) {
        let mut sim = self.0.lock().unwrap();
        let mut pending = std::mem::take(&mut sim.pending);
        while !pending.is_empty() {
            let (old, new, file) = pending.remove(usize::try_from(dice()).unwrap() % pending.len());
            if dice().is_multiple_of(2) {
                continue;
            }
            old.map(|old| sim.durable_names.remove(&old));
            new.map(|new| sim.durable_names.insert(new, file));
        }
        sim.names = sim.durable_names.clone();
        for content in &mut sim.files {
            let SimContent { bytes, durable } = content;
            if bytes.len() > durable.len() {
                let kept = durable.len() + usize::try_from(dice()).unwrap() % (bytes.len() - durable.len() + 1);
                bytes.truncate(kept);
                if dice().is_multiple_of(2) {
                    bytes[durable.len()..].fill(0);
                }
            } else if dice().is_multiple_of(2) {
                bytes.clone_from(durable);
            }
            durable.clone_from(bytes);
        }
    }

    /// All files and their content.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let sim = self.0.lock().unwrap();
        sim.names.iter().map(|(name, file)| (name.clone(), sim.files[*file].bytes.clone())).collect()
    }

    fn missing(call: DiskCall, path: &Path) -> DiskError {
        DiskError::new(call, path, io::ErrorKind::NotFound.into())
    }
}

impl Disk for SimDisk {
    fn create_new(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        let mut sim = self.0.lock().unwrap();
        if sim.names.contains_key(path) {
            return Err(DiskError::new(DiskCall::CreateNew, path, io::ErrorKind::AlreadyExists.into()));
        }
        let file = sim.files.len();
        sim.files.push(SimContent::default());
        sim.names.insert(path.to_path_buf(), file);
        sim.pending.push((None, Some(path.to_path_buf()), file));
        Ok(Box::new(SimFile { disk: self.clone(), file }))
    }
    fn open_append(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        let file = self.0.lock().unwrap().names.get(path).copied();
        let file = file.ok_or_else(|| Self::missing(DiskCall::OpenAppend, path))?;
        Ok(Box::new(SimFile { disk: self.clone(), file }))
    }
    fn len(&self, path: &Path) -> Result<Option<u64>, DiskError> {
        let sim = self.0.lock().unwrap();
        Ok(sim.names.get(path).map(|file| u64::try_from(sim.files[*file].bytes.len()).unwrap()))
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let mut sim = self.0.lock().unwrap();
        let file = sim.names.remove(from).ok_or_else(|| Self::missing(DiskCall::Rename, from))?;
        assert!(!sim.names.contains_key(to), "{} would be overwritten", to.display());
        sim.names.insert(to.to_path_buf(), file);
        sim.pending.push((Some(from.to_path_buf()), Some(to.to_path_buf()), file));
        Ok(())
    }
    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        let mut sim = self.0.lock().unwrap();
        let file = sim.names.remove(path).ok_or_else(|| Self::missing(DiskCall::Remove, path))?;
        sim.pending.push((Some(path.to_path_buf()), None, file));
        Ok(())
    }
    fn sync_dir(&self, _: &Path) -> Result<(), DiskError> {
        let mut sim = self.0.lock().unwrap();
        sim.pending.clear();
        sim.durable_names = sim.names.clone();
        Ok(())
    }
    fn list(&self, _: &Path, each: &mut dyn FnMut(&OsStr)) -> Result<(), DiskError> {
        for name in self.files().keys() {
            each(name.file_name().unwrap());
        }
        Ok(())
    }
    fn free_bytes(&self, _: &Path) -> Result<u64, DiskError> {
        Ok(u64::MAX)
    }
}

impl DiskFile for SimFile {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.disk.0.lock().unwrap().files[self.file].bytes.extend_from_slice(bytes);
        Ok(())
    }
    fn sync_data(&mut self) -> Result<(), DiskError> {
        let content = &mut self.disk.0.lock().unwrap().files[self.file];
        content.durable.clone_from(&content.bytes);
        Ok(())
    }
    fn set_len(&mut self, length: u64) -> Result<(), DiskError> {
        self.disk.0.lock().unwrap().files[self.file].bytes.truncate(usize::try_from(length).unwrap());
        Ok(())
    }
}
