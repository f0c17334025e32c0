//! Names of files: those that a bot finds, and those that others give.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use retaind::archive::names::{NAME_BYTES_MAX, attachment_name, clean};
use retaind::bot::disk::{Disk, DiskCall, DiskError, DiskFile};
use retaind::bot::segment::names::Basename;
use retaind::bot::segment::{Place, Policy, SegmentRow, SegmentState, Segments};
use retaind::replay::{Corpus, What};

use super::Fate;

/// Names and lengths, no bytes.
#[derive(Default)]
struct Listed(Mutex<BTreeMap<Vec<u8>, u64>>);

fn name_of(path: &Path) -> Vec<u8> {
    path.file_name().unwrap_or_default().as_bytes().to_vec()
}

struct ListedFile(Arc<Listed>, Vec<u8>);

impl DiskFile for ListedFile {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += bytes.len() as u64;
        Ok(())
    }
    fn sync_data(&mut self) -> Result<(), DiskError> {
        Ok(())
    }
    fn set_len(&mut self, length: u64) -> Result<(), DiskError> {
        self.0.0.lock().unwrap().insert(self.1.clone(), length);
        Ok(())
    }
}

#[derive(Clone, Default)]
struct ListedDisk(Arc<Listed>);

fn not_there(call: DiskCall, path: &Path) -> DiskError {
    DiskError::new(call, path, io::ErrorKind::NotFound.into())
}

impl Disk for ListedDisk {
    fn create_new(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        self.0.0.lock().unwrap().insert(name_of(path), 0);
        self.open_append(path)
    }
    fn open_append(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        Ok(Box::new(ListedFile(self.0.clone(), name_of(path))))
    }
    fn len(&self, path: &Path) -> Result<Option<u64>, DiskError> {
        Ok(self.0.0.lock().unwrap().get(&name_of(path)).copied())
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let mut files = self.0.0.lock().unwrap();
        let length = files.remove(&name_of(from)).ok_or_else(|| not_there(DiskCall::Rename, from))?;
        assert_eq!(files.insert(name_of(to), length), None, "a rename has replaced a file");
        Ok(())
    }
    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        let removed = self.0.0.lock().unwrap().remove(&name_of(path));
        removed.map(drop).ok_or_else(|| not_there(DiskCall::Remove, path))
    }
    fn sync_dir(&self, _: &Path) -> Result<(), DiskError> {
        Ok(())
    }
    fn list(&self, _: &Path, each: &mut dyn FnMut(&OsStr)) -> Result<(), DiskError> {
        let names: Vec<Vec<u8>> = self.0.0.lock().unwrap().keys().cloned().collect();
        names.iter().for_each(|name| each(OsStr::from_bytes(name)));
        Ok(())
    }
    fn free_bytes(&self, _: &Path) -> Result<u64, DiskError> {
        Ok(u64::MAX)
    }
    fn renew(&self, _: &Path) -> Result<(), DiskError> {
        Ok(())
    }
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
            disk.0.0.lock().unwrap().insert(name, u64::from(*length));
        }
    }
    let before = disk.0.0.lock().unwrap().clone();
    let policy = Policy { size_max: 1000, age_max: None, first_number: 0 };
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
    let after = disk.0.0.lock().unwrap().clone();
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
            assert_eq!(*disk.0.0.lock().unwrap(), after);
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
