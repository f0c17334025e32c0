//! Evidence on the disk: what the state holds of it becomes files, and what lay there before a log began is looked at.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256, digest};
use retaind_evidence::checkpoint::SignedNote;
use retaind_evidence::entry::{Entry, FileBefore, GenesisBecause, LogId, PreviousLog};
use retaind_evidence::names;
use retaind_evidence::tree::Hash;
use retaind_state::{Store, StoreError};
use rusqlite::params;

use super::log::Before;
use super::{Evidence, EvidenceError};
use crate::disk::{Disk, DiskError};
use crate::segment::Place;
use crate::ship::ShipKind;
use crate::state::enqueue_at;

/// Most files that a first entry lists; `ENTRY_BYTES_MAX` has room for them.
const BEFORE_MAX: usize = 10_000;
/// Most earlier logs in a directory that are looked at.
const LOGS_MAX: usize = 1000;
/// Bytes read at a time.
const READ_BYTES: usize = 1024 * 1024;
/// What a file is called until it is whole.
const PART: &str = ".part";

/// A piece of evidence that the state holds and the directory perhaps not yet.
struct Object {
    id: i64,
    name: String,
    content: Vec<u8>,
}

impl Evidence {
    /// Writes what the state holds as files, durably and in order, and queues them for shipping. Harmless when repeated.
    pub(crate) fn publish(&self, store: &mut Store, disk: &dyn Disk) -> Result<(), EvidenceError> {
        let objects = store.rows("SELECT id, name, content FROM evidence_object ORDER BY id", |row| {
            Ok(Object { id: row.get(0)?, name: row.get(1)?, content: row.get(2)? })
        })?;
        if objects.is_empty() {
            return Ok(());
        }
        let mut touched = BTreeSet::new();
        for object in &objects {
            let path = self.path(&object.name);
            put(disk, &path, &object.content)?;
            touched.extend(path.parent().map(Path::to_owned));
        }
        touched.iter().try_for_each(|directory| disk.sync_dir(directory))?;
        store.write::<_, StoreError>(|tx| {
            objects.iter().try_for_each(|object| {
                tx.execute("DELETE FROM evidence_object WHERE id=?1", params![object.id])?;
                let (length, sha256) = (bytes_of(object.content.len()), hash(&object.content));
                enqueue_at(tx, ShipKind::Evidence, &self.path(&object.name), &object.name, length, Some(&sha256))
            })
        })?;
        Ok(())
    }

    /// Makes the directories of this log.
    pub(crate) fn make_directories(&self, disk: &dyn Disk) -> Result<(), DiskError> {
        let at = |name: String| self.path(&name).parent().map(Path::to_owned).unwrap_or_default();
        let log = at(names::entry(self.id(), 0));
        let directories = [log, at(names::checkpoint(self.id(), 0)), at(names::key(&self.vkey().key_id()))];
        directories.iter().try_for_each(|directory| disk.make_dir(directory))
    }

    /// Has another copy of this state written the log's next entry? Only if the state holds nothing that is not published.
    pub(crate) fn is_forked(&self, store: &Store, disk: &dyn Disk) -> Result<bool, EvidenceError> {
        let waiting = store.rows("SELECT count(*) FROM evidence_object", |row| row.get::<_, u64>(0))?;
        let next = self.path(&names::entry(self.id(), self.size()));
        Ok(waiting.iter().all(|waiting| *waiting == 0) && disk.len(&next)?.is_some())
    }

    /// Where a piece of evidence lies on this disk. `name`: as it is called in an archive.
    fn path(&self, name: &str) -> PathBuf {
        let below = name.strip_prefix(names::FOLDER).and_then(|name| name.strip_prefix('/')).unwrap_or(name);
        self.settings.directory.join(below)
    }
}

/// What is there before a log begins. `sealed_here`: whether this state has sealed files.
pub(crate) fn before(
    disk: &dyn Disk,
    evidence: &Path,
    place: &Place,
    sealed_here: bool,
) -> Result<Before, EvidenceError> {
    let mut files = Vec::new();
    disk.list(place.dir(), &mut |name| {
        if let Some(name) = name.to_str()
            && place.is_finished(name)
        {
            files.push(name.to_owned());
        }
    })?;
    files.sort_unstable();
    // the newest: what is older was there for longer, and its evidence lies elsewhere if there is any
    let files = files.split_off(files.len().saturating_sub(BEFORE_MAX));
    let files: Result<Vec<_>, DiskError> = files.into_iter().map(|name| unattested(disk, place, name)).collect();
    let files: Vec<FileBefore> = files?.into_iter().flatten().collect();
    let log = last_log(disk, evidence)?;
    let lost = !sealed_here && (!files.is_empty() || log.is_some());
    let because = if lost { GenesisBecause::StateLost } else { GenesisBecause::FirstStart };
    Ok(Before { files, because, log })
}

fn unattested(disk: &dyn Disk, place: &Place, name: String) -> Result<Option<FileBefore>, DiskError> {
    let path = place.dir().join(&name);
    if disk.len(&path)?.is_none() {
        // shipped meanwhile
        return Ok(None);
    }
    let (mut file, mut context, mut bytes) = (disk.open_read(&path)?, Context::new(&SHA256), 0u64);
    loop {
        let mut piece = Vec::new();
        let read = file.read_at(bytes, READ_BYTES, &mut piece)?;
        context.update(&piece);
        bytes = bytes.saturating_add(bytes_of(read));
        if read < READ_BYTES {
            break;
        }
    }
    let mut sha256 = Hash::default();
    sha256.copy_from_slice(context.finish().as_ref());
    Ok(Some(FileBefore { name, bytes: bytes.into(), sha256 }))
}

/// The log in this directory whose last head is the newest, as far as it can be read.
fn last_log(disk: &dyn Disk, evidence: &Path) -> Result<Option<PreviousLog>, EvidenceError> {
    let mut logs: Vec<LogId> = Vec::new();
    disk.list(evidence, &mut |name| {
        if logs.len() < LOGS_MAX
            && let Some(log) = name.to_str().and_then(|name| name.parse().ok())
        {
            logs.push(log);
        }
    })?;
    let mut newest = None;
    for log in logs {
        let Some((signed_at, previous)) = last_head(disk, &evidence.join(log.to_string()), log)? else { continue };
        if newest.as_ref().is_none_or(|(at, _)| *at < signed_at) {
            newest = Some((signed_at, previous));
        }
    }
    Ok(newest.map(|(_, previous)| previous))
}

/// The greatest head of a log, and when its last entry was made.
fn last_head(
    disk: &dyn Disk,
    directory: &Path,
    log: LogId,
) -> Result<Option<(Option<jiff::Timestamp>, PreviousLog)>, EvidenceError> {
    let heads = directory.join("checkpoint");
    let mut last: Option<String> = None;
    // a directory without one has no heads
    let listed = disk.list(&heads, &mut |name| {
        let name = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        last = last.take().max(name.map(ToOwned::to_owned));
    });
    let (Ok(()), Some(last)) = (listed, last) else { return Ok(None) };
    let note = read(disk, &heads.join(&last))?;
    let Some(note) = note.and_then(|note| String::from_utf8(note).ok()) else { return Ok(None) };
    let Ok(signed) = SignedNote::parse(&note) else { return Ok(None) };
    let (size, root) = (signed.checkpoint.size, signed.checkpoint.root);
    let entry = read(disk, &directory.join(format!("{:012}.json", size.saturating_sub(1))))?;
    let made_at = entry.and_then(|entry| Entry::parse(&entry).ok()).map(|parsed| parsed.entry.made_at);
    Ok(Some((made_at, PreviousLog { log, size: size.into(), root, checkpoint: Some(note) })))
}

/// A small file; `None`: there is none, or it is larger than any evidence.
fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    let limit = retaind_evidence::entry::ENTRY_BYTES_MAX;
    let Some(length) = disk.len(path)? else { return Ok(None) };
    let Some(length) = usize::try_from(length).ok().filter(|length| *length <= limit) else { return Ok(None) };
    let mut content = Vec::new();
    disk.open_read(path)?.read_at(0, length, &mut content)?;
    Ok(Some(content))
}

/// Writes a file under its name, or finds it there as it should be.
fn put(disk: &dyn Disk, path: &Path, content: &[u8]) -> Result<(), EvidenceError> {
    let mut part = path.as_os_str().to_owned();
    part.push(PART);
    let part = PathBuf::from(part);
    if disk.len(&part)?.is_some() {
        // of an interrupted run; after a loss of power the file may have both names
        disk.remove(&part)?;
    }
    if disk.len(path)?.is_some() {
        let same = read(disk, path)?.is_some_and(|found| found == content);
        return if same { Ok(()) } else { Err(EvidenceError::Forked { path: path.to_owned() }) };
    }
    let mut file = disk.create_new(&part)?;
    file.write_all(content)?;
    file.sync_data()?;
    Ok(disk.rename(&part, path)?)
}

fn hash(content: &[u8]) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest(&SHA256, content).as_ref());
    hash
}

fn bytes_of(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
