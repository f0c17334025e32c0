//! A disk that asks a test before each call: it may look, wait, or refuse; and one that loses power with all that was not synced.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use retaind::bot::disk::{Disk, DiskCall, DiskError, DiskFile, DiskReader, RealDisk};

type Ask = dyn Fn(DiskCall, &Path) -> std::io::Result<()> + Send + Sync;

/// The real disk, which does what `ask` lets it do. Of a rename `ask` hears the old name. Clones share it.
#[derive(Clone)]
pub struct AskedDisk {
    ask: Arc<Ask>,
    free: Arc<dyn Fn(u64) -> u64 + Send + Sync>,
}

impl AskedDisk {
    pub fn new(ask: impl Fn(DiskCall, &Path) -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        Self { ask: Arc::new(ask), free: Arc::new(|free| free) }
    }

    /// The same, with so much room as the test says.
    pub fn with_free(self, free: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self { free: Arc::new(move |_| free()), ..self }
    }

    fn ask(&self, call: DiskCall, path: &Path) -> Result<(), DiskError> {
        (self.ask)(call, path).map_err(|refused| DiskError::new(call, path, refused))
    }

    fn file(&self, path: &Path, inner: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        let inode = fs::metadata(path).unwrap().ino();
        Box::new(AskedFile { disk: self.clone(), path: path.to_path_buf(), inode, inner })
    }
}

impl Disk for AskedDisk {
    fn create_new(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        self.ask(DiskCall::CreateNew, path)?;
        Ok(self.file(path, RealDisk.create_new(path)?))
    }
    fn open_append(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        self.ask(DiskCall::OpenAppend, path)?;
        Ok(self.file(path, RealDisk.open_append(path)?))
    }
    fn open_read(&self, path: &Path) -> Result<Box<dyn DiskReader>, DiskError> {
        self.ask(DiskCall::OpenRead, path)?;
        Ok(Box::new(AskedReader { disk: self.clone(), path: path.to_path_buf(), inner: RealDisk.open_read(path)? }))
    }
    fn len(&self, path: &Path) -> Result<Option<u64>, DiskError> {
        self.ask(DiskCall::Len, path)?;
        RealDisk.len(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.ask(DiskCall::Rename, from)?;
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        self.ask(DiskCall::Remove, path)?;
        RealDisk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.ask(DiskCall::SyncDir, dir)?;
        RealDisk.sync_dir(dir)
    }
    fn list(&self, dir: &Path, each: &mut dyn FnMut(&OsStr)) -> Result<(), DiskError> {
        self.ask(DiskCall::List, dir)?;
        RealDisk.list(dir, each)
    }
    fn free_bytes(&self, dir: &Path) -> Result<u64, DiskError> {
        self.ask(DiskCall::FreeBytes, dir)?;
        Ok((self.free)(RealDisk.free_bytes(dir)?))
    }
    fn renew(&self, path: &Path) -> Result<(), DiskError> {
        self.ask(DiskCall::Renew, path)?;
        RealDisk.renew(path)
    }
    fn make_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.ask(DiskCall::MakeDir, dir)?;
        RealDisk.make_dir(dir)
    }
}

struct AskedFile {
    disk: AskedDisk,
    path: PathBuf,
    inode: u64,
    inner: Box<dyn DiskFile>,
}

impl AskedFile {
    /// Under the name that it has now: an open file follows its renames.
    fn ask(&mut self, call: DiskCall) -> Result<(), DiskError> {
        if fs::metadata(&self.path).map(|file| file.ino()).ok() != Some(self.inode) {
            let directory = self.path.parent().unwrap().to_path_buf();
            let names = names_of(&directory);
            if let Some((name, _)) = names.iter().find(|(_, inode)| **inode == self.inode) {
                self.path = directory.join(name);
            }
        }
        self.disk.ask(call, &self.path)
    }
}

impl DiskFile for AskedFile {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.ask(DiskCall::WriteAll)?;
        self.inner.write_all(bytes)
    }
    fn sync_data(&mut self) -> Result<(), DiskError> {
        self.ask(DiskCall::SyncData)?;
        self.inner.sync_data()
    }
    fn set_len(&mut self, length: u64) -> Result<(), DiskError> {
        self.ask(DiskCall::SetLen)?;
        self.inner.set_len(length)
    }
}

struct AskedReader {
    disk: AskedDisk,
    path: PathBuf,
    inner: Box<dyn DiskReader>,
}

impl DiskReader for AskedReader {
    fn length(&mut self) -> Result<u64, DiskError> {
        self.disk.ask(DiskCall::Len, &self.path)?;
        self.inner.length()
    }
    fn read_at(&mut self, offset: u64, most: usize, into: &mut Vec<u8>) -> Result<usize, DiskError> {
        self.disk.ask(DiskCall::Read, &self.path)?;
        self.inner.read_at(offset, most, into)
    }
}

/// Names and lengths that would survive the worst loss of power: only what was synced.
///
/// A test's disk tells it of each sync as it is carried out, and has it undo everything else once the power is gone. Content
/// that was written past the bot's disk counts as synced.
#[derive(Default)]
pub struct Durable(Mutex<Synced>);

#[derive(Default)]
struct Synced {
    /// Of each directory: names with their inodes.
    names: BTreeMap<PathBuf, BTreeMap<OsString, u64>>,
    /// Of each inode that was written to: bytes.
    lengths: BTreeMap<u64, u64>,
}

fn names_of(directory: &Path) -> BTreeMap<OsString, u64> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name(), entry.metadata().unwrap().ino())).collect()
}

impl Durable {
    /// As things are, in these directories.
    pub fn now(directories: &[PathBuf]) -> Self {
        let durable = Self::default();
        for directory in directories {
            durable.hears(DiskCall::SyncDir, directory);
        }
        durable
    }

    /// This call is about to be carried out.
    pub fn hears(&self, call: DiskCall, path: &Path) {
        let mut synced = self.0.lock().unwrap();
        match call {
            DiskCall::SyncDir => drop(synced.names.insert(path.to_path_buf(), names_of(path))),
            DiskCall::WriteAll => {
                let file = fs::metadata(path).unwrap();
                synced.lengths.entry(file.ino()).or_insert(file.len());
            }
            DiskCall::SyncData => {
                let file = fs::metadata(path).unwrap();
                synced.lengths.insert(file.ino(), file.len());
            }
            _ => {}
        }
    }

    /// Undoes what was not synced.
    pub fn lose_the_rest(&self) {
        let synced = self.0.lock().unwrap();
        for (directory, durable) in &synced.names {
            let there = names_of(directory);
            for (name, inode) in durable.iter().filter(|(name, inode)| there.get(*name) != Some(inode)) {
                // removed ones stay away: the bot removes only what it needs no more
                if let Some((now, _)) = there.iter().find(|(_, other)| *other == inode) {
                    fs::rename(directory.join(now), directory.join(name)).unwrap();
                }
            }
            for (name, inode) in names_of(directory) {
                let path = directory.join(name);
                if !durable.values().any(|durable| *durable == inode) {
                    fs::remove_file(path).unwrap();
                } else if let Some(length) = synced.lengths.get(&inode) {
                    OpenOptions::new().write(true).open(path).unwrap().set_len(*length).unwrap();
                }
            }
        }
    }
}
