//! [`FaultyDisk`] lets the k-th call of any disk fail. A disk that loses power is [`super::sim::disk::SimDisk`].
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use retaind::bot::disk::{Disk, DiskCall, DiskError, DiskFile, DiskReader};

/// What the bot expects of any disk.
#[path = "../../src/bot/disk/contract.rs"]
pub mod contract;

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

    /// The calls so far, with the bytes of writes and those that reads asked for.
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
    fn open_read(&self, path: &Path) -> Result<Box<dyn DiskReader>, DiskError> {
        let inner = self.call(DiskCall::OpenRead, path, 0, |_| self.inner.open_read(path))?;
        Ok(Box::new(FaultyReader { disk: self.clone(), path: path.to_path_buf(), inner }))
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
    fn renew(&self, path: &Path) -> Result<(), DiskError> {
        self.call(DiskCall::Renew, path, 0, |_| self.inner.renew(path))
    }
    fn make_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.call(DiskCall::MakeDir, dir, 0, |_| self.inner.make_dir(dir))
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

struct FaultyReader {
    disk: FaultyDisk,
    path: PathBuf,
    inner: Box<dyn DiskReader>,
}

impl DiskReader for FaultyReader {
    fn length(&mut self) -> Result<u64, DiskError> {
        let Self { disk, path, inner } = self;
        disk.call(DiskCall::Len, path, 0, |_| inner.length())
    }
    fn read_at(&mut self, offset: u64, most: usize, into: &mut Vec<u8>) -> Result<usize, DiskError> {
        let Self { disk, path, inner } = self;
        disk.call(DiskCall::Read, path, most, |_| inner.read_at(offset, most, into))
    }
}
