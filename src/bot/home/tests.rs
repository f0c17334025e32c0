use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsStr;
use std::io::Write;
use std::sync::Mutex;

use super::*;
use crate::disk::{DiskCall, DiskFile, DiskReader, RealDisk, contract};

fn state(root: &Path) -> Directory {
    Directory { what: "state", variable: "RETAIND_STATE", path: root.join("bot/state") }
}

fn others(root: &Path) -> [Directory; 2] {
    [
        Directory { what: "messages", variable: "WICKRIO_COMP_MESGDEST", path: root.join("bot/compliance/messages") },
        Directory {
            what: "attachments",
            variable: "WICKRIO_COMP_FILEDEST",
            path: root.join("bot/compliance/attachments"),
        },
    ]
}

fn prepare_below(root: &Path) -> Result<Home, HomeError> {
    prepare(&RealDisk, &state(root), &others(root))
}

/// Everything below `root`: path → content of files.
fn tree(root: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let content = if path.is_dir() { None } else { Some(fs::read(&path).unwrap()) };
            if content.is_none() {
                pending.push(path.clone());
            }
            found.insert(path, content);
        }
    }
    found
}

/// Fails one call, counted over all kinds, with what the system says of a full or failing disk.
struct FailingDisk {
    calls_left: Mutex<Option<u32>>,
    error: fn() -> io::Error,
}

struct FailingFile<'a> {
    file: Box<dyn DiskFile>,
    disk: &'a FailingDisk,
}

impl FailingDisk {
    fn call(&self, call: DiskCall, path: &Path) -> Result<(), DiskError> {
        let mut left = self.calls_left.lock().unwrap();
        match *left {
            Some(0) => {
                *left = None;
                Err(DiskError::new(call, path, (self.error)()))
            }
            Some(n) => {
                *left = Some(n - 1);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Disk for &'static FailingDisk {
    fn create_new(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        self.call(DiskCall::CreateNew, path)?;
        Ok(Box::new(FailingFile { file: RealDisk.create_new(path)?, disk: self }))
    }
    fn open_append(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        RealDisk.open_append(path)
    }
    fn open_read(&self, path: &Path) -> Result<Box<dyn DiskReader>, DiskError> {
        RealDisk.open_read(path)
    }
    fn len(&self, path: &Path) -> Result<Option<u64>, DiskError> {
        RealDisk.len(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        RealDisk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.call(DiskCall::SyncDir, dir)?;
        RealDisk.sync_dir(dir)
    }
    fn list(&self, dir: &Path, each: &mut dyn FnMut(&OsStr)) -> Result<(), DiskError> {
        RealDisk.list(dir, each)
    }
    fn free_bytes(&self, dir: &Path) -> Result<u64, DiskError> {
        RealDisk.free_bytes(dir)
    }
    fn renew(&self, path: &Path) -> Result<(), DiskError> {
        RealDisk.renew(path)
    }
    fn make_dir(&self, dir: &Path) -> Result<(), DiskError> {
        RealDisk.make_dir(dir)
    }
}

impl DiskFile for FailingFile<'_> {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.disk.call(DiskCall::WriteAll, Path::new("probe"))?;
        self.file.write_all(bytes)
    }
    fn sync_data(&mut self) -> Result<(), DiskError> {
        self.disk.call(DiskCall::SyncData, Path::new("probe"))?;
        self.file.sync_data()
    }
    fn set_len(&mut self, length: u64) -> Result<(), DiskError> {
        self.file.set_len(length)
    }
}

#[test]
fn a_disk_of_which_no_call_fails_keeps_the_contract() {
    let disk: &'static FailingDisk = Box::leak(Box::new(FailingDisk { calls_left: Mutex::new(None), error: full }));
    contract::holds(&disk, tempfile::tempdir().unwrap().path()).unwrap();
}

/// What the system really says of a full disk.
fn full() -> io::Error {
    fs::OpenOptions::new().write(true).open("/dev/full").unwrap().write_all(b"x").unwrap_err()
}

fn broken() -> io::Error {
    rustix::io::Errno::IO.into()
}

fn denied() -> io::Error {
    io::Error::from(io::ErrorKind::PermissionDenied)
}

#[test]
fn directories_are_made_for_the_bots_user_alone_and_left_clean() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let home = prepare_below(root.path()).unwrap();
    for directory in others(root.path()).iter().chain([&state(root.path())]) {
        let mode = fs::metadata(&directory.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{}", directory.path.display());
    }
    let files: Vec<PathBuf> = tree(root.path()).into_iter().filter_map(|(path, file)| file.map(|_| path)).collect();
    assert_eq!(files, [root.path().join("bot/state/bot.pid")], "no probe is left behind");
    drop(home);
    prepare_below(root.path()).map(drop).unwrap();
}

#[test]
fn a_second_bot_on_the_same_state_is_told_whom_it_met_and_touches_nothing() {
    let root = tempfile::tempdir().unwrap();
    let home = prepare_below(root.path()).unwrap();
    let before = tree(root.path());
    let mut elsewhere = others(root.path());
    elsewhere[0].path = root.path().join("second/messages");
    let error = prepare(&RealDisk, &state(root.path()), &elsewhere).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the state directory `{}` is in use by another bot (process {}): stop that one, or set `RETAIND_STATE` to another path",
            state(root.path()).path.display(),
            process::id()
        )
    );
    assert_eq!(error.fault(), Fault::Temporary);
    assert_eq!(tree(root.path()), before);
    drop(home);
    prepare_below(root.path()).map(drop).unwrap();
}

#[test]
fn a_file_in_the_way_is_named_and_nothing_is_made() {
    for (obstacle, what, variable) in [
        ("bot", "state", "RETAIND_STATE"),
        ("bot/state", "state", "RETAIND_STATE"),
        ("bot/compliance", "messages", "WICKRIO_COMP_MESGDEST"),
        ("bot/compliance/attachments", "attachments", "WICKRIO_COMP_FILEDEST"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join(obstacle);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "precious").unwrap();
        let before = tree(root.path());
        let error = prepare_below(root.path()).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with(&format!("the {what} directory `")), "{text}");
        assert!(
            text.ends_with(&format!(
                "`{}` is not a directory; move it away, or set `{variable}` to another path",
                file.display()
            )),
            "{text}"
        );
        assert_eq!(error.fault(), Fault::Configuration);
        assert_eq!(tree(root.path()), before);
    }
}

#[test]
fn a_full_or_failing_disk_is_one_clear_error_at_whichever_call_and_leaves_nothing_behind() {
    let mut failures = 0;
    for call in 0.. {
        for error in [full as fn() -> io::Error, denied, broken] {
            let root = tempfile::tempdir().unwrap();
            let disk: &'static FailingDisk =
                Box::leak(Box::new(FailingDisk { calls_left: Mutex::new(Some(call)), error }));
            let result = prepare(&disk, &state(root.path()), &others(root.path()));
            if disk.calls_left.lock().unwrap().is_some() {
                result.map(drop).unwrap();
                // 5 directories made, then 3 probed by four calls each
                assert_eq!(failures, 3 * (5 + 3 * 4));
                return;
            }
            failures += 1;
            let failed = result.unwrap_err();
            let kind = error().kind();
            let (words, fault) = if kind == io::ErrorKind::StorageFull {
                (" is full: free some space, or set `", Fault::Temporary)
            } else if kind == io::ErrorKind::PermissionDenied {
                (" cannot be written: give it to the user", Fault::Configuration)
            } else {
                // whose directory it is has nothing to do with it
                (" cannot be used, does its disk work? if it goes on, set `", Fault::Temporary)
            };
            assert!(failed.to_string().contains(words), "call {call}: {failed}");
            assert_eq!(failed.fault(), fault);
            assert!(failed.source().is_some());
            assert_eq!(tree(root.path()), BTreeMap::new(), "call {call}");
        }
    }
}

#[test]
fn a_directory_that_the_system_refuses_to_make_is_told() {
    // even root makes nothing in there
    let error = prepare_below(Path::new("/proc/self")).unwrap_err();
    let words =
        "the state directory `/proc/self/bot/state` cannot be written: give it to the user that runs the bot (uid `";
    assert!(error.to_string().starts_with(words), "{error}");
}

#[test]
fn a_read_only_file_system_is_told_apart_from_a_foreign_directory() {
    let error = HomeError::new(&state(Path::new("/tmp")), io::ErrorKind::ReadOnlyFilesystem.into());
    let words = "the state directory `/tmp/bot/state` is on a read-only file system: mount a volume there that can be written, or set `RETAIND_STATE` to another path";
    assert_eq!(error.to_string(), words);
    assert_eq!(error.fault(), Fault::Configuration);
}
