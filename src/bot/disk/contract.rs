//! The contract of [`Disk`] as a test: what the bot relies on, asked of the real disk and of every double that stands for it.
//!
//! The unit tests use it as it lies here; the integration tests take the same file in `tests/support/disk.rs`.
//!
//! A promise that is broken panics. An error of the disk that the contract does not call for is returned instead, so that a
//! disk that fails its k-th call can be held to it, too: that error, and no other, must come out.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test, and each crate uses a part"
)]
#![allow(clippy::as_conversions, clippy::arithmetic_side_effects, reason = "a test's own numbers are small")]

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::{Disk, DiskCall, DiskError, DiskFile, DiskReader};

/// More than one buffer of anybody's, and no round number.
const LARGE_BYTES: usize = 300_001;

/// Everything but what is left after a loss of power. `dir` is an empty directory of this disk.
pub(crate) fn holds(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    a_file_is_made_once_and_opened_only_if_it_is_there(disk, dir)?;
    what_is_appended_is_read_back_in_any_pieces(disk, dir)?;
    a_reader_sees_what_comes_later_and_what_is_cut(disk, dir)?;
    open_files_follow_their_renames_and_outlive_their_names(disk, dir)?;
    names_are_listed_as_they_are(disk, dir)?;
    what_is_renewed_is_as_it_was(disk, dir)?;
    a_directory_is_made_once_and_holds_files(disk, dir)?;
    the_disk_is_shared_by_threads(disk, dir)?;
    assert!(disk.free_bytes(dir)? > 0);
    Ok(())
}

/// What is synced is there after a loss of power, for which `lose_power` is called. `dir` is an empty directory of this disk.
pub(crate) fn is_durable(disk: &dyn Disk, dir: &Path, lose_power: &mut dyn FnMut()) -> Result<(), DiskError> {
    let (kept, moved) = (dir.join("kept"), dir.join("moved"));
    let bytes = pattern(LARGE_BYTES);
    let mut file = disk.create_new(&kept)?;
    file.write_all(&bytes)?;
    file.sync_data()?;
    disk.sync_dir(dir)?;
    lose_power();
    assert_eq!(content(disk, &kept)?, bytes);

    disk.rename(&kept, &moved)?;
    let mut file = disk.open_append(&moved)?;
    file.set_len(1000)?;
    file.sync_data()?;
    disk.sync_dir(dir)?;
    lose_power();
    assert_eq!((disk.len(&kept)?, content(disk, &moved)?), (None, bytes[..1000].to_vec()));

    let mut file = disk.open_append(&moved)?;
    file.write_all(b"not synced")?;
    drop(file);
    disk.renew(&moved)?;
    lose_power();
    assert!(content(disk, &moved)?.ends_with(b"not synced"), "what is renewed is durable");

    disk.remove(&moved)?;
    disk.sync_dir(dir)?;
    lose_power();
    assert_eq!(disk.len(&moved)?, None);
    Ok(())
}

/// Bytes that differ from their neighbours.
fn a_directory_is_made_once_and_holds_files(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    let within = dir.join("directory");
    disk.make_dir(&within)?;
    let file = within.join("file of the directory");
    disk.create_new(&file)?.write_all(b"here")?;
    disk.make_dir(&within)?;
    assert_eq!(content(disk, &file)?, b"here", "a directory that is there was made once more");
    disk.remove(&file)
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8 ^ (at / 251) as u8).collect()
}

fn content(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, DiskError> {
    let mut bytes = Vec::new();
    disk.open_read(path)?.read_at(0, usize::MAX, &mut bytes)?;
    Ok(bytes)
}

fn names(disk: &dyn Disk, dir: &Path) -> Result<BTreeSet<String>, DiskError> {
    let mut names = BTreeSet::new();
    disk.list(dir, &mut |name| assert!(names.insert(name.to_str().unwrap().to_owned()), "{name:?} is listed twice"))?;
    Ok(names)
}

/// The call is refused for this reason, and its error says what was called on what.
#[track_caller]
fn refused<T>(result: Result<T, DiskError>, call: DiskCall, path: &Path, why: io::ErrorKind) -> Result<(), DiskError> {
    match result {
        Err(error) if error.source.kind() == why => {
            assert_eq!((error.call, error.path.as_path()), (call, path));
            Ok(())
        }
        Err(other) => Err(other),
        Ok(_) => panic!("{call:?} on `{}` was not refused", path.display()),
    }
}

fn a_file_is_made_once_and_opened_only_if_it_is_there(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    use io::ErrorKind::{AlreadyExists, NotFound};
    let path = dir.join("made");
    assert_eq!(disk.len(&path)?, None);
    refused(disk.open_append(&path), DiskCall::OpenAppend, &path, NotFound)?;
    refused(disk.open_read(&path), DiskCall::OpenRead, &path, NotFound)?;
    refused(disk.remove(&path), DiskCall::Remove, &path, NotFound)?;
    refused(disk.rename(&path, &dir.join("other")), DiskCall::Rename, &path, NotFound)?;
    assert_eq!(disk.len(&path)?, None, "looking for a file has made it");

    disk.create_new(&path)?.write_all(b"first")?;
    refused(disk.create_new(&path), DiskCall::CreateNew, &path, AlreadyExists)?;
    assert_eq!(content(disk, &path)?, b"first", "a file that was there was touched");
    disk.open_append(&path)?.write_all(b", second")?;
    assert_eq!(content(disk, &path)?, b"first, second");
    disk.remove(&path)?;
    assert_eq!(disk.len(&path)?, None);
    disk.create_new(&path)?;
    assert_eq!(disk.len(&path)?, Some(0), "a new file is empty");
    disk.remove(&path)
}

fn what_is_appended_is_read_back_in_any_pieces(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    let path = dir.join("written");
    let bytes = pattern(LARGE_BYTES);
    let mut file = disk.create_new(&path)?;
    let (mut rest, mut size) = (bytes.as_slice(), 1);
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(size.min(rest.len()));
        file.write_all(piece)?;
        (rest, size) = (behind, size * 7);
    }
    file.write_all(&[])?;
    assert_eq!(disk.len(&path)?, Some(LARGE_BYTES as u64));
    assert_eq!(content(disk, &path)?, bytes, "read before it is synced");
    file.sync_data()?;

    let mut reader = disk.open_read(&path)?;
    assert_eq!(reader.length()?, LARGE_BYTES as u64);
    // one behind the other, back, over the end, behind it, nothing
    for (offset, most) in
        [(0, 1), (1, 4096), (4097, 100_000), (17, 3), (200_000, LARGE_BYTES), (LARGE_BYTES, 5), (9, 0)]
    {
        let mut into = b"before".to_vec();
        let expected = &bytes[offset..(offset + most).min(LARGE_BYTES)];
        assert_eq!(reader.read_at(offset as u64, most, &mut into)?, expected.len(), "{most} bytes at {offset}");
        assert_eq!(into.strip_prefix(b"before").unwrap(), expected, "{most} bytes at {offset}");
    }
    assert_eq!(reader.read_at(1 << 40, 1, &mut Vec::new())?, 0);
    // a second reader has a place of its own
    let (mut other, mut into) = (disk.open_read(&path)?, Vec::new());
    other.read_at(1000, 10, &mut into)?;
    reader.read_at(0, 10, &mut into)?;
    other.read_at(1010, 10, &mut into)?;
    assert_eq!(into, [&bytes[1000..1010], &bytes[..10], &bytes[1010..1020]].concat());
    disk.remove(&path)
}

fn a_reader_sees_what_comes_later_and_what_is_cut(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    let path = dir.join("changed");
    let mut file = disk.create_new(&path)?;
    let mut reader = disk.open_read(&path)?;
    assert_eq!((reader.length()?, reader.read_at(0, 10, &mut Vec::new())?), (0, 0));
    file.write_all(b"0123456789")?;
    let mut into = Vec::new();
    assert_eq!((reader.length()?, reader.read_at(0, 100, &mut into)?), (10, 10));
    file.set_len(4)?;
    assert_eq!((disk.len(&path)?, reader.length()?, reader.read_at(4, 1, &mut into)?), (Some(4), 4, 0));
    file.write_all(b"abc")?;
    file.sync_data()?;
    assert_eq!(content(disk, &path)?, b"0123abc", "what comes after a cut stands at the new end");
    file.set_len(7)?;
    assert_eq!(content(disk, &path)?, b"0123abc", "a cut to its own length changes nothing");
    disk.remove(&path)
}

fn open_files_follow_their_renames_and_outlive_their_names(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    let (path, renamed) = (dir.join("old"), dir.join("new"));
    let mut file: Box<dyn DiskFile> = disk.create_new(&path)?;
    file.write_all(b"before")?;
    let mut reader: Box<dyn DiskReader> = disk.open_read(&path)?;
    disk.rename(&path, &renamed)?;
    disk.sync_dir(dir)?;
    assert_eq!((disk.len(&path)?, disk.len(&renamed)?), (None, Some(6)));
    // the old name is free for another file
    disk.create_new(&path)?.write_all(b"another")?;
    file.write_all(b" and after")?;
    file.sync_data()?;
    assert_eq!(content(disk, &path)?, b"another");
    assert_eq!(content(disk, &renamed)?, b"before and after");
    let mut into = Vec::new();
    assert_eq!((reader.length()?, reader.read_at(0, 100, &mut into)?), (16, 16));
    disk.remove(&renamed)?;
    disk.remove(&path)?;
    assert_eq!((reader.length()?, reader.read_at(0, 100, &mut into)?), (16, 16));
    assert_eq!(into, b"before and afterbefore and after");
    Ok(())
}

fn names_are_listed_as_they_are(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    assert_eq!(names(disk, dir)?, BTreeSet::new(), "something is left behind");
    let made: Vec<PathBuf> = [".hidden.part", "a", "a b", "ü🗄"].map(|name| dir.join(name)).into();
    for path in &made {
        disk.create_new(path)?;
    }
    let expected = |from: &[PathBuf]| -> BTreeSet<String> {
        from.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(disk, dir)?, expected(&made));
    disk.remove(&made[0])?;
    assert_eq!(names(disk, dir)?, expected(&made[1..]));
    made[1..].iter().try_for_each(|path| disk.remove(path))
}

fn what_is_renewed_is_as_it_was(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    let path = dir.join("state-wal");
    disk.renew(&path)?;
    assert_eq!(names(disk, dir)?, BTreeSet::new(), "what is not there is not made");
    let bytes = pattern(LARGE_BYTES);
    disk.create_new(&path)?.write_all(&bytes)?;
    disk.renew(&path)?;
    disk.renew(&path)?;
    assert_eq!(names(disk, dir)?.len(), 1, "a copy is left behind");
    assert_eq!(content(disk, &path)?, bytes);
    disk.remove(&path)
}

fn the_disk_is_shared_by_threads(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    let write = |number: u8| {
        let path = dir.join(format!("thread {number}"));
        let mut file = disk.create_new(&path)?;
        for _ in 0..100 {
            file.write_all(&[number; 10])?;
        }
        file.sync_data()?;
        assert_eq!(content(disk, &path)?, [number; 1000]);
        disk.remove(&path)
    };
    std::thread::scope(|scope| {
        let threads = [1, 2, 3].map(|number| scope.spawn(move || write(number)));
        let ended = threads.map(|thread| thread.join().unwrap());
        ended.into_iter().collect()
    })
}
