//! SQLite on a [`SimDisk`]: the one place with unsafe code, because SQLite's interface for file systems is one of C.
//!
//! Registered once a process under [`NAME`]; a file is `file:/sim/<number of a disk>/…?vfs=<NAME>`. It does what SQLite's own
//! file system for Unix does and no more: it syncs the directory with the first sync of a log that it may have made, and promises
//! nothing of the device but that bytes beside a write stay (`POWERSAFE_OVERWRITE`).
//!
//! Locks and the index of the log are shared memory: they belong to the processes, and end with them.
#![allow(unsafe_code, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Mutex, Once};

use rusqlite::ffi;

use super::disk::{Call, SimDisk};

/// The name of this file system.
pub const NAME: &str = "retaind-sim";
const C_NAME: &CStr = c"retaind-sim";
const PATH_BYTES_MAX: c_int = 512;
const SECTOR_BYTES: c_int = 4096;
/// Locks on the index of a log.
const INDEX_LOCKS: usize = 8;
/// SQLite asks for regions of 32 KiB.
const REGION_WORDS: usize = 4096;

static DISKS: Mutex<Option<HashMap<u64, SimDisk>>> = Mutex::new(None);
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A disk that SQLite finds, as long as this lives.
pub struct Mounted {
    number: u64,
    disk: SimDisk,
}

impl Mounted {
    /// Makes `disk` known to SQLite.
    pub fn new(disk: SimDisk) -> Self {
        static REGISTERED: Once = Once::new();
        REGISTERED.call_once(register);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        DISKS.lock().unwrap().get_or_insert_default().insert(number, disk.clone());
        Self { number, disk }
    }

    /// The disk.
    pub fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// Where its files are.
    pub fn root(&self) -> PathBuf {
        PathBuf::from(format!("/sim/{}", self.number))
    }

    /// How SQLite is told to open `name`.
    pub fn database(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("file:{}/{name}?vfs={NAME}", self.root().display()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        DISKS.lock().unwrap().get_or_insert_default().remove(&self.number);
    }
}

fn disk_of(path: &Path) -> Option<SimDisk> {
    let number = path.strip_prefix("/sim").ok()?.iter().next()?.to_str()?.parse().ok()?;
    DISKS.lock().unwrap().as_ref()?.get(&number).cloned()
}

/// Locks on one database file, and the index of its log.
#[derive(Default)]
pub struct Locks {
    shared: u32,
    reserved: Option<u64>,
    exclusive: Option<u64>,
    index_shared: [u32; INDEX_LOCKS],
    index_exclusive: [Option<u64>; INDEX_LOCKS],
    regions: Vec<Box<[u64; REGION_WORDS]>>,
    mapped: u32,
}

/// A file that SQLite has open. Begins as SQLite wants it.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    open: *mut Open,
}

struct Open {
    disk: SimDisk,
    file: usize,
    path: PathBuf,
    /// Whose locks: unique.
    owner: u64,
    level: c_int,
    index_shared: [bool; INDEX_LOCKS],
    mapped: bool,
    syncs_directory: bool,
    goes_when_closed: bool,
}

fn register() {
    // SAFETY: the structure is complete, and it and its name live as long as the process.
    unsafe {
        let vfs = Box::new(ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: c_int::try_from(size_of::<File>()).unwrap(),
            mxPathname: PATH_BYTES_MAX,
            pNext: ptr::null_mut(),
            zName: C_NAME.as_ptr(),
            pAppData: ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_path_name),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: None,
            xGetLastError: None,
            xCurrentTimeInt64: Some(current_time),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        });
        assert_eq!(ffi::sqlite3_initialize(), ffi::SQLITE_OK);
        assert_eq!(ffi::sqlite3_vfs_register(Box::into_raw(vfs), 0), ffi::SQLITE_OK);
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(index_map),
    xShmLock: Some(index_lock),
    xShmBarrier: Some(index_barrier),
    xShmUnmap: Some(index_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// SAFETY: `name` is null or a C string of SQLite's.
unsafe fn path_of(name: *const c_char) -> Option<PathBuf> {
    let name = if name.is_null() { return None } else { unsafe { CStr::from_ptr(name) } };
    Some(PathBuf::from(name.to_str().ok()?))
}

/// SAFETY: `file` was opened by [`open`], and SQLite uses a file in one call at a time.
unsafe fn opened<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Open {
    unsafe { &mut *(*file.cast::<File>()).open }
}

fn code(result: Result<(), io::Error>, otherwise: c_int) -> c_int {
    match result {
        Ok(()) => ffi::SQLITE_OK,
        Err(error) if error.kind() == io::ErrorKind::StorageFull => ffi::SQLITE_FULL,
        Err(_) => otherwise,
    }
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives room for a `File`; its methods must be null when this fails.
    unsafe { (*file).pMethods = ptr::null() };
    // SAFETY: as SQLite promises.
    let Some(path) = (unsafe { path_of(name) }) else { return ffi::SQLITE_CANTOPEN };
    let Some(disk) = disk_of(&path) else { return ffi::SQLITE_CANTOPEN };
    let may_create = flags & ffi::SQLITE_OPEN_CREATE != 0;
    let found = disk.call(Call::Open, |sim, _| match sim.find(&path) {
        Some(file) => Ok(file),
        None if may_create => Ok(sim.create(&path)),
        None => Err(io::ErrorKind::NotFound.into()),
    });
    let Ok(number) = found else { return ffi::SQLITE_CANTOPEN };
    let is_log = flags & (ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL) != 0;
    let open = Box::new(Open {
        disk,
        file: number,
        path,
        owner: NEXT.fetch_add(1, Ordering::Relaxed),
        level: ffi::SQLITE_LOCK_NONE,
        index_shared: [false; INDEX_LOCKS],
        mapped: false,
        syncs_directory: may_create && is_log,
        goes_when_closed: flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0,
    });
    // SAFETY: as above; `close` frees the box.
    unsafe {
        (*file.cast::<File>()).open = Box::into_raw(open);
        (*file).pMethods = &raw const METHODS;
        if !out_flags.is_null() {
            *out_flags = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: the box of `open`, which nobody uses after this.
    unsafe {
        unlock(file, ffi::SQLITE_LOCK_NONE);
        let open = Box::from_raw((*file.cast::<File>()).open);
        (*file).pMethods = ptr::null();
        if open.goes_when_closed {
            let _ = open.disk.call(Call::Remove, |sim, _| Ok(sim.remove(&open.path)));
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    into: *mut c_void,
    length: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite gives `length` bytes of room.
    let (open, into) =
        unsafe { (opened(file), std::slice::from_raw_parts_mut(into.cast::<u8>(), usize::try_from(length).unwrap())) };
    let offset = usize::try_from(offset).unwrap();
    match open.disk.call(Call::Read, |sim, _| Ok(sim.read(open.file, offset, into))) {
        Ok(read) if read == into.len() => ffi::SQLITE_OK,
        Ok(read) => {
            into[read..].fill(0);
            ffi::SQLITE_IOERR_SHORT_READ
        }
        Err(_) => ffi::SQLITE_IOERR_READ,
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    length: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite gives `length` bytes.
    let (open, bytes) =
        unsafe { (opened(file), std::slice::from_raw_parts(bytes.cast::<u8>(), usize::try_from(length).unwrap())) };
    let offset = usize::try_from(offset).unwrap();
    let written = open.disk.call(Call::Write, |sim, much| sim.write(open.file, Some(offset), bytes, much));
    code(written, ffi::SQLITE_IOERR_WRITE)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    // SAFETY: an open file.
    let open = unsafe { opened(file) };
    let cut = open.disk.call(Call::Cut, |sim, _| {
        sim.cut(open.file, usize::try_from(size).unwrap());
        Ok(())
    });
    code(cut, ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: an open file.
    let open = unsafe { opened(file) };
    let mut synced = open.disk.call(Call::Sync, |sim, much| {
        if sim.state_is_synced() {
            sim.sync(open.file, much);
        }
        Ok(())
    });
    if synced.is_ok() && open.syncs_directory {
        synced = sync_directory(&open.disk, &open.path);
        open.syncs_directory = synced.is_err();
    }
    if synced.is_err() {
        super::trace(&format!("sync of {} fails", open.path.display()));
    }
    code(synced, ffi::SQLITE_IOERR_FSYNC)
}

fn sync_directory(disk: &SimDisk, path: &Path) -> Result<(), io::Error> {
    let directory = path.parent().unwrap();
    disk.call(Call::SyncNames, |sim, much| {
        if sim.state_is_synced() {
            sim.sync_names(directory, much);
        }
        Ok(())
    })
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: an open file, and room for the answer.
    let (open, size) = unsafe { (opened(file), &mut *size) };
    let found = open.disk.call(Call::Look, |sim, _| Ok(sim.length(open.file)));
    code(found.map(|length| *size = i64::try_from(length).unwrap()), ffi::SQLITE_IOERR_FSTAT)
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    let open = unsafe { opened(file) };
    if level <= open.level {
        return ffi::SQLITE_OK;
    }
    let mut sim = open.disk.sim();
    let locks = sim.locks.entry(open.file).or_default();
    let others = |holder: Option<u64>| holder.is_some_and(|holder| holder != open.owner);
    if others(locks.exclusive) {
        return ffi::SQLITE_BUSY;
    }
    if open.level == ffi::SQLITE_LOCK_NONE {
        locks.shared += 1;
        open.level = ffi::SQLITE_LOCK_SHARED;
    }
    if level >= ffi::SQLITE_LOCK_RESERVED {
        if others(locks.reserved) {
            return ffi::SQLITE_BUSY;
        }
        locks.reserved = Some(open.owner);
        open.level = ffi::SQLITE_LOCK_RESERVED;
    }
    if level >= ffi::SQLITE_LOCK_EXCLUSIVE {
        if locks.shared > 1 {
            return ffi::SQLITE_BUSY;
        }
        locks.exclusive = Some(open.owner);
        open.level = ffi::SQLITE_LOCK_EXCLUSIVE;
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    let open = unsafe { opened(file) };
    if level >= open.level {
        return ffi::SQLITE_OK;
    }
    let mut sim = open.disk.sim();
    // a machine that was restarted has forgotten all locks
    if let Some(locks) = sim.locks.get_mut(&open.file) {
        locks.reserved = locks.reserved.filter(|holder| *holder != open.owner);
        locks.exclusive = locks.exclusive.filter(|holder| *holder != open.owner);
        if level == ffi::SQLITE_LOCK_NONE {
            locks.shared = locks.shared.saturating_sub(1);
        }
    }
    open.level = level;
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: an open file, and room for the answer.
    let (open, out) = unsafe { (opened(file), &mut *out) };
    let sim = open.disk.sim();
    *out = c_int::from(sim.locks.get(&open.file).is_some_and(|locks| locks.reserved.is_some()));
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(_: *mut ffi::sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    SECTOR_BYTES
}

unsafe extern "C" fn device_characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn index_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    bytes: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: an open file, and room for the answer.
    let (open, out) = unsafe { (opened(file), &mut *out) };
    assert_eq!(usize::try_from(bytes).unwrap(), REGION_WORDS * size_of::<u64>());
    let region = usize::try_from(region).unwrap();
    let mut sim = open.disk.sim();
    let locks = sim.locks.entry(open.file).or_default();
    if !open.mapped {
        open.mapped = true;
        locks.mapped += 1;
    }
    while locks.regions.len() <= region {
        if extend == 0 {
            *out = ptr::null_mut();
            return ffi::SQLITE_OK;
        }
        locks.regions.push(Box::new([0; REGION_WORDS]));
    }
    *out = locks.regions[region].as_mut_ptr().cast();
    ffi::SQLITE_OK
}

unsafe extern "C" fn index_lock(file: *mut ffi::sqlite3_file, offset: c_int, count: c_int, flags: c_int) -> c_int {
    // SAFETY: an open file.
    let open = unsafe { opened(file) };
    let range = usize::try_from(offset).unwrap()..usize::try_from(offset + count).unwrap();
    let mut sim = open.disk.sim();
    let locks = sim.locks.entry(open.file).or_default();
    let exclusive = flags & ffi::SQLITE_SHM_EXCLUSIVE != 0;
    if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        for slot in range {
            if locks.index_exclusive[slot] == Some(open.owner) {
                locks.index_exclusive[slot] = None;
            }
            if std::mem::take(&mut open.index_shared[slot]) {
                locks.index_shared[slot] = locks.index_shared[slot].saturating_sub(1);
            }
        }
        return ffi::SQLITE_OK;
    }
    for slot in range.clone() {
        let other = locks.index_exclusive[slot].is_some_and(|holder| holder != open.owner);
        let readers = locks.index_shared[slot] > u32::from(open.index_shared[slot]);
        if other || (exclusive && readers) {
            return ffi::SQLITE_BUSY;
        }
    }
    for slot in range {
        if exclusive {
            locks.index_exclusive[slot] = Some(open.owner);
        } else if !open.index_shared[slot] {
            open.index_shared[slot] = true;
            locks.index_shared[slot] += 1;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn index_barrier(_: *mut ffi::sqlite3_file) {
    fence(Ordering::SeqCst);
}

unsafe extern "C" fn index_unmap(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: an open file.
    let open = unsafe { opened(file) };
    let mut sim = open.disk.sim();
    if let Some(locks) = sim.locks.get_mut(&open.file)
        && std::mem::take(&mut open.mapped)
    {
        locks.mapped = locks.mapped.saturating_sub(1);
        // the last process that had it
        if locks.mapped == 0 {
            locks.regions.clear();
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, name: *const c_char, sync_names: c_int) -> c_int {
    // SAFETY: as SQLite promises.
    let Some(path) = (unsafe { path_of(name) }) else { return ffi::SQLITE_IOERR_DELETE };
    let Some(disk) = disk_of(&path) else { return ffi::SQLITE_IOERR_DELETE };
    match disk.call(Call::Remove, |sim, _| Ok(sim.remove(&path))) {
        Ok(Some(_)) if sync_names != 0 => code(sync_directory(&disk, &path), ffi::SQLITE_IOERR_DIR_FSYNC),
        Ok(Some(_)) => ffi::SQLITE_OK,
        Ok(None) => ffi::SQLITE_IOERR_DELETE_NOENT,
        Err(_) => ffi::SQLITE_IOERR_DELETE,
    }
}

unsafe extern "C" fn access(_: *mut ffi::sqlite3_vfs, name: *const c_char, _: c_int, out: *mut c_int) -> c_int {
    // SAFETY: as SQLite promises, and room for the answer.
    let (path, out) = unsafe { (path_of(name), &mut *out) };
    let Some((path, disk)) = path.and_then(|path| disk_of(&path).map(|disk| (path, disk))) else {
        return ffi::SQLITE_IOERR_ACCESS;
    };
    // an empty file is none, as for SQLite's own
    let found = disk.call(Call::Look, |sim, _| Ok(sim.find(&path).is_some_and(|file| sim.length(file) > 0)));
    code(found.map(|found| *out = c_int::from(found)), ffi::SQLITE_IOERR_ACCESS)
}

unsafe extern "C" fn full_path_name(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    length: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: a C string, and `length` bytes of room.
    let (name, out) = unsafe {
        (CStr::from_ptr(name), std::slice::from_raw_parts_mut(out.cast::<u8>(), usize::try_from(length).unwrap()))
    };
    let name = name.to_bytes_with_nul();
    if name.len() > out.len() {
        return ffi::SQLITE_CANTOPEN;
    }
    out[..name.len()].copy_from_slice(name);
    ffi::SQLITE_OK
}

/// Never twice the same, and the same in each run: two logs must not look like one.
unsafe extern "C" fn randomness(_: *mut ffi::sqlite3_vfs, length: c_int, out: *mut c_char) -> c_int {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // SAFETY: `length` bytes of room.
    let out = unsafe { std::slice::from_raw_parts_mut(out.cast::<u8>(), usize::try_from(length).unwrap()) };
    for bytes in out.chunks_mut(8) {
        let mixed = COUNT.fetch_add(1, Ordering::Relaxed).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bytes.copy_from_slice(&(mixed ^ (mixed >> 29)).to_le_bytes()[..bytes.len()]);
    }
    length
}

/// Whoever waits for a lock waits for somebody in the same thread: there is nothing to wait for.
unsafe extern "C" fn sleep(_: *mut ffi::sqlite3_vfs, micros: c_int) -> c_int {
    micros
}

unsafe extern "C" fn current_time(_: *mut ffi::sqlite3_vfs, out: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: room for the answer.
    unsafe { *out = 212_000_000_000_000 };
    ffi::SQLITE_OK
}
