//! Blobs: ciphertexts of attachments, one file each under `blobs/`, named by the hex of their id.
//!
//! Who knows the 32 random bytes may read; nobody can list. A blob is written in order into `<id>.part`, in ranges, and
//! becomes `<id>` when it is complete, on stable storage and renamed. Memory is one range. File I/O runs on blocking
//! threads.
//!
//! The part file's length is how far an upload is. It is synced at every [`SYNC_BYTES`]; after a crash the last steps
//! may hold anything, so the network cuts them off at start and the device sends them again.
//!
//! A message names the blobs that its readers need, outside of its ciphertext ([`named`]); when the last message that named a
//! blob was acknowledged by every member and purged, the blob is settled and goes. One that no message named, or that a
//! member does not read, goes when it is old ([`super::expiry`]). The row goes first, then the file: a file without a row
//! is deleted at the next start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;

use crate::agreed;
use crate::clock::Moment;
use crate::directory::DeviceRow;
use crate::error::{ChangeError, NetworkError, Refusal, refuse};
use crate::keys::random;
use crate::ledger::{Batch, View};
use crate::quotas::Quotas;
use retaind_protocol::limits::{ATTACHMENT_BYTES_MAX, BLOB_RANGE_BYTES_MAX, BLOBS_OF_MESSAGE_MAX};
use retaind_protocol::wire::{BlobGet, BlobPut, BlobRange, BlobState, RefusalCode};

/// Attachment with its chunk tags and header.
const BLOB_BYTES_MAX: u64 = ATTACHMENT_BYTES_MAX + ATTACHMENT_BYTES_MAX / 1024 + 64 * 1024;
/// A part file is synced each time it passes a multiple of this.
const SYNC_BYTES: u64 = 8 * 1024 * 1024;
const PART: &str = "part";

/// 32 random bytes that only the network chooses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlobId([u8; 32]);

/// Whoever has an id may read the blob.
impl std::fmt::Debug for BlobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BlobId(..)")
    }
}

impl BlobId {
    pub(crate) fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) fn fresh() -> Result<Self, Refusal> {
        random().map(Self).map_err(|_| Refusal::unavailable())
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        bytes.try_into().map(Self).map_err(|_| Refusal::invalid("a blob id is 32 bytes"))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// How a blob stands in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlobRow {
    pub(crate) device: i64,
    pub(crate) size: u64,
    pub(crate) finished: bool,
}

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upload {
    /// Begun.
    Unfinished,
    /// Complete.
    Finished,
    /// Complete, and the last message that named it is deleted: every member has it.
    Settled,
}

/// Do messages name a blob, and has every retention bot acknowledged them?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    /// No message does, as far as the network was told.
    Nowhere,
    /// Yes, and yes.
    Retained,
    /// A bot has still to read one that does.
    Unretained,
}

/// A blob that was begun some time ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OldBlob {
    pub(crate) blob: BlobId,
    pub(crate) begun_at: Moment,
    pub(crate) named: Named,
}

/// Blobs and the sum of their sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Amount {
    pub(crate) blobs: u64,
    pub(crate) bytes: u64,
}

/// What there is of a device, and of its user with all devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stored {
    pub(crate) device: Amount,
    pub(crate) user: Amount,
}

pub(crate) fn find(view: &dyn View, blob: &BlobId) -> Result<BlobRow, ChangeError> {
    match view.blob(blob)? {
        Some(row) => Ok(row),
        None => refuse(RefusalCode::NotFound, "no such blob"),
    }
}

/// Begins an upload. `free_bytes`: room on the disk.
pub(crate) fn create(
    batch: &mut dyn Batch,
    quotas: &mut Quotas,
    device: &DeviceRow,
    blob: &BlobId,
    size: u64,
    free_bytes: u64,
    now: Moment,
) -> Result<(), ChangeError> {
    if size > BLOB_BYTES_MAX {
        return refuse(RefusalCode::Limit, format!("blob of {size} bytes: at most {BLOB_BYTES_MAX} are allowed"));
    }
    let has = (batch.unfinished_blobs(device.row)?, batch.stored(device.row)?);
    quotas.blob(device, size, has, free_bytes, now)?;
    Ok(batch.insert_blob(blob, BlobRow { device: device.row, size, finished: false }, now)?)
}

/// The blobs that a message names.
pub(crate) fn named(ids: &[Vec<u8>]) -> Result<Vec<BlobId>, Refusal> {
    if ids.len() > BLOBS_OF_MESSAGE_MAX {
        let message = format!("the message names {} blobs, at most {BLOBS_OF_MESSAGE_MAX} are allowed", ids.len());
        return Err(Refusal::new(RefusalCode::Limit, message));
    }
    ids.iter().map(|id| BlobId::parse(id)).collect()
}

/// The folder of blobs.
#[derive(Debug, Clone)]
pub(crate) struct Blobs(PathBuf);

impl Blobs {
    /// Makes the folder, cuts off of unfinished uploads what a crash may have left unwritten, and deletes the files of blobs
    /// that `view` does not know: a crash came between their row and them.
    pub(crate) fn open(folder: PathBuf, view: &dyn View) -> Result<Self, NetworkError> {
        let failed = |action, path: &Path, source| NetworkError::File { action, path: path.into(), source };
        fs::create_dir_all(&folder).map_err(|source| failed("create", &folder, source))?;
        for entry in fs::read_dir(&folder).map_err(|source| failed("read", &folder, source))? {
            let path = entry.map_err(|source| failed("read", &folder, source))?.path();
            if let Some(blob) = blob_of(&path)
                && view.blob(&blob)?.is_none()
            {
                match fs::remove_file(&path) {
                    // a network that has just ended here was still deleting
                    Err(source) if source.kind() != io::ErrorKind::NotFound => {
                        return Err(failed("delete", &path, source));
                    }
                    Ok(()) | Err(_) => {}
                }
            } else if path.extension().is_some_and(|extension| extension == PART) {
                cut(&path).map_err(|source| failed("write", &path, source))?;
            }
        }
        Ok(Self(folder))
    }

    /// Room on its disk; as much as there can be where the system does not say.
    pub(crate) fn free_bytes(&self) -> u64 {
        retaind_core::disk::free_bytes(&self.0).unwrap_or(u64::MAX)
    }

    fn file(&self, blob: &BlobId) -> PathBuf {
        self.0.join(HEXLOWER.encode(blob.as_bytes()))
    }

    fn part(&self, blob: &BlobId) -> PathBuf {
        self.file(blob).with_extension(PART)
    }

    /// Deletes the files of blobs whose rows are gone. Whoever reads one meanwhile reads it to its end.
    pub(crate) fn delete(&self, blobs: &[BlobId]) {
        for blob in blobs {
            for path in [self.file(blob), self.part(blob)] {
                match fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        tracing::warn!(%error, "a blob is not deleted: the next start tries again");
                    }
                    Ok(()) | Err(_) => {}
                }
            }
        }
    }

    /// How far it is.
    pub(crate) fn state(&self, blob: &BlobId, row: BlobRow) -> Result<BlobState, Refusal> {
        let received = if row.finished { row.size } else { self.received(blob).map_err(unavailable)? };
        Ok(BlobState { received, size: row.size, finished: row.finished })
    }

    fn received(&self, blob: &BlobId) -> io::Result<u64> {
        for path in [self.part(blob), self.file(blob)] {
            match fs::metadata(&path) {
                Ok(metadata) => return Ok(metadata.len()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(0)
    }

    /// Appends a range of the device that began the blob.
    pub(crate) fn put(&self, blob: &BlobId, row: BlobRow, put: &BlobPut) -> Result<BlobState, Refusal> {
        let length = put.bytes.len() as u64;
        if put.bytes.len() > BLOB_RANGE_BYTES_MAX {
            let message = format!("range of {length} bytes: at most {BLOB_RANGE_BYTES_MAX} are allowed");
            return Err(Refusal::over(&agreed::BLOB_RANGE, message));
        }
        // renamed already, though a crash kept the database from hearing of it
        if row.finished || self.file(blob).exists() {
            return self.state(blob, row);
        }
        let end = put.offset.saturating_add(length);
        if end > row.size {
            return Err(Refusal::invalid(format!("range ends at {end}, the blob has {} bytes", row.size)));
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.part(blob))
            .map_err(unavailable)?;
        let received = file.metadata().map_err(unavailable)?.len();
        if put.offset != received {
            // the device asks again where it stands and goes on from there
            return Ok(BlobState { received, size: row.size, finished: false });
        }
        let written = file
            .seek(SeekFrom::Start(received))
            .and_then(|_| file.write_all(&put.bytes))
            .and_then(|()| if received / SYNC_BYTES == end / SYNC_BYTES { Ok(()) } else { file.sync_data() });
        if let Err(error) = written {
            // a half-written range is no range
            let _best_effort = file.set_len(received);
            return Err(unavailable(error));
        }
        Ok(BlobState { received: end, size: row.size, finished: false })
    }

    /// Makes a complete blob durable under its name.
    pub(crate) fn finish(&self, blob: &BlobId, row: BlobRow) -> Result<(), Refusal> {
        let received = self.received(blob).map_err(unavailable)?;
        if received != row.size && !(row.size == 0 && received == 0) {
            return Err(Refusal::invalid(format!(
                "the blob has {received} of {} bytes: send the rest first",
                row.size
            )));
        }
        let (part, path) = (self.part(blob), self.file(blob));
        if !part.exists() && path.exists() {
            return Ok(());
        }
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&part)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&part, &path))
            .and_then(|()| File::open(&self.0))
            .and_then(|folder| folder.sync_all())
            .map_err(unavailable)
    }

    /// Reads a range of a finished blob.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "of the many kinds of the system one means that the blob is gone"
    )]
    pub(crate) fn get(&self, blob: &BlobId, row: BlobRow, get: &BlobGet) -> Result<BlobRange, Refusal> {
        if !row.finished {
            return Err(Refusal::new(RefusalCode::NotFound, "the blob is not finished"));
        }
        let length = usize::try_from(get.length).unwrap_or(BLOB_RANGE_BYTES_MAX).min(BLOB_RANGE_BYTES_MAX);
        let left = usize::try_from(row.size.saturating_sub(get.offset)).unwrap_or(BLOB_RANGE_BYTES_MAX);
        let mut bytes = vec![0u8; length.min(left)];
        let read = File::open(self.file(blob)).and_then(|file| file.read_exact_at(&mut bytes, get.offset));
        read.map_err(|error| match error.kind() {
            // deleted or cut off behind the network's back: to ask again would change nothing
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => {
                tracing::error!(%error, "the file of a blob is not what was finished");
                Refusal::new(RefusalCode::NotFound, "the network has lost this blob")
            }
            _ => unavailable(error),
        })?;
        Ok(BlobRange { bytes, size: row.size })
    }
}

/// The blob whose file or part this is.
fn blob_of(path: &Path) -> Option<BlobId> {
    let id = HEXLOWER.decode(path.file_stem()?.as_encoded_bytes()).ok()?;
    BlobId::parse(&id).ok()
}

fn cut(part: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(part)?;
    let length = file.metadata()?.len();
    let sure = (length / SYNC_BYTES).saturating_sub(1).saturating_mul(SYNC_BYTES);
    if length > sure { file.set_len(sure) } else { Ok(()) }
}

fn unavailable(error: io::Error) -> Refusal {
    tracing::error!(%error, "a blob cannot be read or written");
    Refusal::unavailable()
}
