//! Names of files: those that a bot finds, and those that others give.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use retaind::archive::names::{NAME_BYTES_MAX, attachment_name, clean};
use retaind::bot::disk::{Disk, DiskCall, DiskError, DiskFile, DiskReader};
use retaind::bot::segment::names::Basename;
use retaind::bot::segment::{Place, RotationLimits, SegmentRow, SegmentState, Segments};
use retaind::replay::{Corpus, What};

use super::Fate;

type Content = Arc<Mutex<Vec<u8>>>;

/// Names, in one directory, and bytes: a disk without durability.
#[derive(Clone, Default)]
struct ListedDisk(Arc<Mutex<BTreeMap<Vec<u8>, Content>>>);

fn name_of(path: &Path) -> Vec<u8> {
    path.file_name().unwrap_or_default().as_bytes().to_vec()
}

struct ListedFile(Content);

impl DiskFile for ListedFile {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(())
    }
    fn sync_data(&mut self) -> Result<(), DiskError> {
        Ok(())
    }
    fn set_len(&mut self, length: u64) -> Result<(), DiskError> {
        self.0.lock().unwrap().truncate(length as usize);
        Ok(())
    }
}

impl DiskReader for ListedFile {
    fn length(&mut self) -> Result<u64, DiskError> {
        Ok(self.0.lock().unwrap().len() as u64)
    }
    fn read_at(&mut self, offset: u64, most: usize, into: &mut Vec<u8>) -> Result<usize, DiskError> {
        let bytes = self.0.lock().unwrap();
        let from = &bytes[bytes.len().min(offset as usize)..];
        into.extend_from_slice(&from[..from.len().min(most)]);
        Ok(from.len().min(most))
    }
}

fn not_there(call: DiskCall, path: &Path) -> DiskError {
    DiskError::new(call, path, io::ErrorKind::NotFound.into())
}

impl ListedDisk {
    fn files(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Content>> {
        self.0.lock().unwrap()
    }

    fn open(&self, call: DiskCall, path: &Path) -> Result<Box<ListedFile>, DiskError> {
        let content = self.files().get(&name_of(path)).cloned();
        content.map(|content| Box::new(ListedFile(content))).ok_or_else(|| not_there(call, path))
    }

    fn lengths(&self) -> BTreeMap<Vec<u8>, u64> {
        self.files().iter().map(|(name, content)| (name.clone(), content.lock().unwrap().len() as u64)).collect()
    }
}

impl Disk for ListedDisk {
    fn create_new(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        match self.files().entry(name_of(path)) {
            Entry::Occupied(_) => Err(DiskError::new(DiskCall::CreateNew, path, io::ErrorKind::AlreadyExists.into())),
            Entry::Vacant(free) => Ok(Box::new(ListedFile(free.insert(Content::default()).clone()))),
        }
    }
    fn open_append(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        Ok(self.open(DiskCall::OpenAppend, path)?)
    }
    fn open_read(&self, path: &Path) -> Result<Box<dyn DiskReader>, DiskError> {
        Ok(self.open(DiskCall::OpenRead, path)?)
    }
    fn len(&self, path: &Path) -> Result<Option<u64>, DiskError> {
        Ok(self.files().get(&name_of(path)).map(|content| content.lock().unwrap().len() as u64))
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let mut files = self.files();
        let content = files.remove(&name_of(from)).ok_or_else(|| not_there(DiskCall::Rename, from))?;
        assert!(files.insert(name_of(to), content).is_none(), "a rename has replaced a file");
        Ok(())
    }
    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        let removed = self.files().remove(&name_of(path));
        removed.map(drop).ok_or_else(|| not_there(DiskCall::Remove, path))
    }
    fn sync_dir(&self, _: &Path) -> Result<(), DiskError> {
        Ok(())
    }
    fn list(&self, _: &Path, each: &mut dyn FnMut(&OsStr)) -> Result<(), DiskError> {
        let names: Vec<Vec<u8>> = self.files().keys().cloned().collect();
        names.iter().for_each(|name| each(OsStr::from_bytes(name)));
        Ok(())
    }
    fn free_bytes(&self, _: &Path) -> Result<u64, DiskError> {
        Ok(u64::MAX)
    }
    fn renew(&self, _: &Path) -> Result<(), DiskError> {
        Ok(())
    }
    fn make_dir(&self, _: &Path) -> Result<(), DiskError> {
        Ok(())
    }
}

#[cfg(test)]
#[test]
fn the_listed_disk_keeps_the_contract() {
    crate::support::disk::contract::holds(&ListedDisk::default(), Path::new("/messages")).unwrap();
}

fn lengths(files: &BTreeMap<Vec<u8>, u64>) -> Vec<u64> {
    let mut lengths: Vec<u64> = files.values().copied().filter(|length| *length > 0).collect();
    lengths.sort_unstable();
    lengths
}

/// A directory of files, in lines: a length in one byte, then the name; `$` stands for the base name. The first line is the number
/// of the open segment in digits where there are rows, else empty.
///
/// Without rows nothing is lost: all that held bytes is there, as long as before. Recovery twice is recovery once.
pub fn segment_directory(bytes: &[u8]) -> Fate {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let open = lines.next().and_then(|line| std::str::from_utf8(line).ok()?.parse::<u64>().ok());
    let place = Place { dir: PathBuf::from("/messages"), basename: Basename::new("received_a").unwrap() };
    let disk = ListedDisk::default();
    for line in lines {
        let Some((length, name)) = line.split_first().filter(|(_, name)| !name.is_empty()) else { continue };
        let name: Vec<u8> = name
            .iter()
            .flat_map(|b| if *b == b'$' { &b"received_a"[..] } else { std::slice::from_ref(b) })
            .copied()
            .collect();
        if !name.contains(&b'/') {
            disk.files().insert(name, Arc::new(Mutex::new(vec![0; usize::from(*length)])));
        }
    }
    let before = disk.lengths();
    let policy = RotationLimits { size_max: 1000, age_max: None, first_number: 0 };
    let rows: Vec<SegmentRow> = open
        .map(|number| SegmentRow {
            number,
            state: SegmentState::Open,
            length: 5,
            records: 1,
            chain: [0; 32],
            sealed_name: None,
            first_micros: Some(0),
            last_micros: Some(0),
            settled: true,
        })
        .into_iter()
        .collect();
    let recovery = Segments::recover(Arc::new(disk.clone()), place.clone(), policy, &rows);
    let after = disk.lengths();
    match &recovery {
        Ok(recovery) if rows.is_empty() => {
            assert_eq!(lengths(&after), lengths(&before), "a recovery without rows has lost or cut a file");
            let next = recovery.rows.iter().map(|row| row.number).max().unwrap();
            for found in &recovery.found {
                assert_eq!(after.get(found.name.as_bytes()), Some(&found.length));
                let digits = found.name.trim_end_matches(".txt").rsplit('_').next().unwrap();
                assert!(digits.parse::<u64>().unwrap() < next, "a number will be given twice");
            }
            let again = Segments::recover(Arc::new(disk.clone()), place, policy, &[]).unwrap();
            assert_eq!(again.found, recovery.found);
            assert_eq!(disk.lengths(), after);
        }
        // only the open file may be shorter, and part files may be gone
        Ok(_) => {
            for (name, length) in &before {
                let is_part = name.starts_with(b".received_a.") && name.ends_with(b".part");
                let is_open = name == b"received_a.txt";
                assert!(is_part || is_open || after.get(name) == Some(length));
            }
        }
        Err(_) if rows.is_empty() => {}
        Err(_) => assert_eq!(after, before, "a refused recovery has changed the directory"),
    }
    Fate::of(&recovery.map(drop))
}

/// A name of a file is one harmless component of a path, whatever its sender called it. The first eight bytes are the time.
pub fn file_name(bytes: &[u8]) -> Fate {
    let Some((time, original)) = bytes.split_first_chunk() else { return Fate::Refused };
    let Ok(original) = std::str::from_utf8(original) else { return Fate::Refused };
    let name = attachment_name(i64::from_be_bytes(*time), original);
    assert!(name.len() <= NAME_BYTES_MAX && name.starts_with("attachment_"));
    assert!(!name.contains(|c: char| c.is_control() || "/\\<>:\"|?*\u{202e}\u{2028}\u{2029}".contains(c)));
    assert!(!name.ends_with(['.', ' ']));
    let again = clean(original, 100);
    assert!((1..=100).contains(&again.len()));
    assert_eq!(clean(&again, 100), again, "clean is clean");
    assert!(!["", ".", ".."].contains(&again.as_str()));
    Fate::Taken
}

pub fn conversation_file(bytes: &[u8]) -> Fate {
    let corpus = Corpus::Bytes(bytes.into());
    let Ok(mut rooms) = corpus.rooms() else { return Fate::Refused };
    let mut fate = Fate::Refused;
    loop {
        match rooms.next_room() {
            Ok(Some(room)) => {
                assert!(!room.events.is_empty());
                for event in &room.events {
                    assert!(room.users().contains(&event.user));
                    if let What::Rename(to) = &event.what {
                        assert!(room.users().contains(to));
                    }
                }
                fate = Fate::Taken;
            }
            Ok(None) => return fate,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return Fate::Refused;
            }
        }
    }
}
