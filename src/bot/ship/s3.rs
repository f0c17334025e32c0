//! S3 as the destination: whole objects for small files, parts for large ones, each under a new data key if encrypted.
//!
//! Memory: all lanes share [`BUFFER_BYTES`]; a piece of a file is read, encrypted and hashed off the runtime, and holds
//! its share until S3 has confirmed it. What is sent again after an error are the same bytes.
//!
//! **Damage.** Each file is hashed as it is read ([`Outgoing`]), and compared with what was committed before its last piece
//! leaves: a small one is not sent at all, a large one's upload is aborted. S3 checks the way from there by the checksum of
//! each piece.
//!
//! **412 and lost answers.** Writes never replace an object, so after an answer that was lost the same write is refused.
//! Then the object is ours if its metadata holds the token of one of our attempts; where the bot may not read that
//! (it need not be permitted to), it is ours if the ledger has an attempt whose outcome nobody knows. Otherwise it is a
//! stranger's, and the item is parked.
//!
//! **A crash** leaves an attempt in the ledger and perhaps parts without an object. The next attempt aborts them (where
//! `s3:AbortMultipartUpload` is missing, the bucket's lifecycle rule does) and starts again, with a new data key: changed
//! content never meets a used one.
//!
//! Not here: when to try again after a failure ([`super::runner`]).

mod body;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::body::{Body, Piece, not_encrypted};
use super::header::header_text;
use super::{
    Destination, Doubt, LocalCopy, Outgoing, QueueError, ShipError, ShipItem, ShipJob, ShipKind, ShipQueue, Stored,
    Storing,
};
use crate::disk::Disk;
use retaind_archive::encrypt::cipher::AT_ONCE_BYTES_MAX;
use retaind_archive::encrypt::{Format, Sealer, sealed_len};
use retaind_aws::AwsError;
use retaind_aws::kms::Kms;
use retaind_aws::s3::{Bucket, NewObject, OBJECT_BYTES_MAX, PARTS_MAX, Part};
use retaind_core::fault::Faulty as _;
use retaind_core::pause::{Growth, Pause};
use retaind_task as task;

/// Bytes of file content in memory, over all lanes.
const BUFFER_BYTES: usize = 48 * 1024 * 1024;
/// Unit in which they are shared out.
const BUFFER_UNIT: usize = 64 * 1024;
/// Bytes of a part; larger only where 10,000 of these are not enough.
pub const PART_BYTES: u64 = 8 * 1024 * 1024;
// what is sent in one piece is sealed at once
const _: () = assert!(PART_BYTES == AT_ONCE_BYTES_MAX);
/// Parts of one file on their way at the same time.
const PARTS_AT_ONCE: usize = 4;
/// Tries of one request before the attempt is given up.
const TRIES_MAX: u32 = 5;
/// Our own metadata: whose attempt made the object.
const TOKEN_KEY: &str = "retaind-attempt";

/// Pauses before a piece is tried again within one attempt, which has [`TRIES_MAX`].
pub const PAUSES: Growth = Growth::doubling(Duration::from_millis(500), Duration::from_secs(4));

/// A bucket, and how objects are encrypted on the way there.
pub struct S3Destination {
    disk: Arc<dyn Disk>,
    bucket: Bucket,
    encryption: Option<(Kms, Format)>,
    buffers: Arc<Semaphore>,
    pauses: Growth,
    confirmed: Arc<AtomicU64>,
}

impl S3Destination {
    /// For files on `disk`. With `encryption`, nothing but evidence leaves the host unencrypted.
    pub fn new(disk: Arc<dyn Disk>, bucket: Bucket, encryption: Option<(Kms, Format)>, pauses: Growth) -> Self {
        let buffers = Arc::new(Semaphore::new(BUFFER_BYTES / BUFFER_UNIT));
        Self { disk, bucket, encryption, buffers, pauses, confirmed: Arc::default() }
    }
}

impl Destination for S3Destination {
    fn store<'a>(&'a self, taken: &'a ShipJob, ledger: &'a Arc<dyn ShipQueue>) -> Storing<'a> {
        Box::pin(async move { Attempt { s3: self, taken, ledger }.store().await })
    }

    fn local_copy(&self) -> LocalCopy {
        LocalCopy::Remove
    }

    fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::Relaxed)
    }
}

/// One attempt at one item.
struct Attempt<'a> {
    s3: &'a S3Destination,
    taken: &'a ShipJob,
    ledger: &'a Arc<dyn ShipQueue>,
}

/// Why an attempt failed.
enum Failed {
    /// AWS refused or was not reached; what may have been stored all the same.
    Aws(AwsError, Doubt),
    /// An object of this name is there already; `lost`: an answer of this attempt was lost.
    Exists { lost: bool },
    /// The upload is gone, and an answer was lost: it has become the object, or somebody has aborted it.
    Gone,
    /// The file, the state.
    Own(ShipError),
}

impl From<ShipError> for Failed {
    fn from(error: ShipError) -> Self {
        Self::Own(error)
    }
}

impl Attempt<'_> {
    fn item(&self) -> &ShipItem {
        &self.taken.item
    }

    fn what(&self) -> String {
        self.item().label()
    }

    async fn store(self) -> Result<Stored, ShipError> {
        let key = self.s3.bucket.key(&self.item().name);
        self.abort_leftovers(&key).await?;
        let mut body = Body { file: self.open().await?, sealer: None };
        if let Some((kms, format)) = self.encryption() {
            let data_key = kms.generate_data_key(format.encryption_context()).await;
            // whatever KMS refuses, it refuses for all items
            let data_key = data_key.map_err(|source| self.away(source))?;
            let sealer = Sealer::new(*format, data_key, self.item().length);
            body.sealer = Some(sealer.map_err(|error| not_encrypted(self.item(), &error))?);
        }
        let length = if body.sealer.is_some() { sealed_len(self.item().length) } else { self.item().length };
        if length > OBJECT_BYTES_MAX {
            return Err(ShipError::TooLarge { what: self.what(), length, limit: OBJECT_BYTES_MAX });
        }
        let object = NewObject { key, metadata: self.metadata(&body) };
        let sent = if self.item().length <= PART_BYTES {
            self.put(&object, body).await
        } else {
            self.parts(&object, body).await
        };
        match sent {
            Ok(()) => Ok(Stored::of(self.item())),
            Err(Failed::Exists { lost }) => self.whose(&object.key, lost).await,
            Err(Failed::Gone) => self.became(&object.key).await,
            Err(Failed::Aws(error, doubt)) => Err(self.aws(error, doubt)),
            Err(Failed::Own(error)) => Err(error),
        }
    }

    /// Off the runtime, as all that waits for the disk.
    async fn open(&self) -> Result<Outgoing, ShipError> {
        let (disk, item) = (self.s3.disk.clone(), self.item().clone());
        let opened = task::blocking("ship", move || Outgoing::open(&*disk, &item)).await;
        opened.unwrap_or_else(|error| Err(ShipError::Queue(QueueError(Box::new(error)))))
    }

    /// Evidence holds no content, and is checked by auditors who may not decrypt: it is not encrypted.
    fn encryption(&self) -> Option<&(Kms, Format)> {
        match self.item().kind {
            ShipKind::Message | ShipKind::File => self.s3.encryption.as_ref(),
            ShipKind::Evidence => None,
        }
    }

    fn metadata(&self, body: &Body) -> HashMap<String, String> {
        let item = self.item();
        let kind = match item.kind {
            ShipKind::Message => "message",
            ShipKind::File => "file",
            ShipKind::Evidence => "evidence",
        };
        let directory = item.path.parent().and_then(|parent| parent.file_name()).unwrap_or_default();
        let path = match item.kind {
            ShipKind::Message | ShipKind::File => format!("{}/{}", directory.to_string_lossy(), item.name),
            // its name has the folders
            ShipKind::Evidence => item.name.clone(),
        };
        let mut metadata = HashMap::from([
            ("wickrio-type".to_owned(), kind.to_owned()),
            ("wickrio-file-path".to_owned(), header_text(&path)),
            (TOKEN_KEY.to_owned(), self.taken.token.as_str().to_owned()),
        ]);
        let envelope = body.sealer.iter().flat_map(Sealer::metadata);
        metadata.extend(envelope.map(|(name, value)| (name.to_owned(), value)));
        metadata
    }

    /// What AWS refuses of this object alone is the item's own failure; the rest holds the queue.
    fn aws(&self, source: AwsError, doubt: Doubt) -> ShipError {
        let what = self.what();
        if source.is_of_one_object() {
            return ShipError::Refused { what, source, doubt };
        }
        ShipError::Destination { what, source, doubt }
    }

    /// A failure before anything could be stored.
    fn away(&self, source: AwsError) -> ShipError {
        ShipError::Destination { what: self.what(), source, doubt: Doubt::None }
    }

    /// Sends what makes the object until it is clear what became of it, or patience ends.
    async fn persist<F>(&self, mut send: impl FnMut() -> F) -> Result<(), Failed>
    where
        F: Future<Output = Result<(), AwsError>>,
    {
        let mut lost = false;
        let mut pause = Pause::new(self.s3.pauses);
        let mut tries = 0u32;
        loop {
            tries = tries.saturating_add(1);
            match send().await {
                Ok(()) => return Ok(()),
                Err(AwsError::Precondition { .. }) => return Err(Failed::Exists { lost }),
                Err(AwsError::Missing { .. }) if lost => return Err(Failed::Gone),
                Err(error) => {
                    lost |= error.is_ambiguous();
                    if tries >= TRIES_MAX || !error.is_temporary() {
                        return Err(Failed::Aws(error, if lost { Doubt::Earlier } else { Doubt::None }));
                    }
                    tokio::time::sleep(pause.grow()).await;
                }
            }
        }
    }

    async fn put(&self, object: &NewObject, body: Body) -> Result<(), Failed> {
        let (_, piece) = self.piece(body, self.item().length).await?;
        self.persist(|| self.s3.bucket.put(object, piece.body.clone(), piece.sha256.as_ref())).await
    }

    async fn parts(&self, object: &NewObject, body: Body) -> Result<(), Failed> {
        let key = &object.key;
        let begun = again(self.s3.pauses, || self.s3.bucket.begin(object)).await;
        let upload = begun.map_err(|error| Failed::Aws(error, Doubt::None))?;
        let (id, begun) = (self.item().id, upload.clone());
        self.on_ledger(move |ledger| ledger.upload_begun(id, &begun)).await?;
        let parts = self.send_parts(key, &upload, body).await;
        let completed = match parts {
            Ok(parts) => self.persist(|| self.s3.bucket.complete(key, &upload, parts.clone())).await,
            Err(error) => Err(error),
        };
        match &completed {
            // an upload that may have become the object is not aborted before it is known whose the object is
            Ok(()) | Err(Failed::Exists { lost: true } | Failed::Gone) => {}
            Err(Failed::Aws(_, Doubt::Earlier)) => {}
            Err(Failed::Aws(..) | Failed::Exists { lost: false } | Failed::Own(_)) => self.abort(key, &upload).await?,
        }
        completed
    }

    async fn send_parts(&self, key: &str, upload: &str, mut body: Body) -> Result<Vec<Part>, Failed> {
        let length = self.item().length;
        let part_bytes = PART_BYTES.max(length.div_ceil(PARTS_MAX));
        let mut sending = JoinSet::new();
        let mut parts = Vec::new();
        let mut number = 0u32;
        while body.file.left() > 0 {
            while sending.len() >= PARTS_AT_ONCE {
                parts.push(joined(sending.join_next().await)?);
            }
            let piece;
            (body, piece) = self.piece(body, part_bytes).await?;
            number = number.saturating_add(1);
            let (bucket, key, upload) = (self.s3.bucket.clone(), key.to_owned(), upload.to_owned());
            let (pauses, confirmed) = (self.s3.pauses, self.s3.confirmed.clone());
            task::spawn_in(&mut sending, "ship", async move {
                let sha256 = piece.sha256.as_ref();
                let part = again(pauses, || bucket.part(&key, &upload, number, piece.body.clone(), sha256)).await?;
                confirmed.fetch_add(1, Ordering::Relaxed);
                Ok(part)
            });
        }
        while !sending.is_empty() {
            parts.push(joined(sending.join_next().await)?);
        }
        Ok(parts)
    }

    /// The next bytes of the object, at most `most` of the file's and, with the last of them, the tag.
    async fn piece(&self, mut body: Body, most: u64) -> Result<(Body, Piece), ShipError> {
        let bytes = usize::try_from(body.file.left().min(most)).unwrap_or(BUFFER_BYTES);
        let units = bytes.div_ceil(BUFFER_UNIT).clamp(1, BUFFER_BYTES / BUFFER_UNIT);
        let units = u32::try_from(units).unwrap_or(1);
        let share = self.s3.buffers.clone().acquire_many_owned(units).await;
        let share = share.map_err(|error| QueueError(Box::new(error)))?;
        let made = task::blocking("ship", move || {
            let bytes = body.piece(bytes)?;
            let sha256 = digest(&SHA256, &bytes);
            Ok((body, Piece { body: bytes.into(), sha256, _share: share }))
        });
        made.await.unwrap_or_else(|error| Err(ShipError::Queue(QueueError(Box::new(error)))))
    }

    async fn abort_leftovers(&self, key: &str) -> Result<(), ShipError> {
        for upload in &self.taken.uploads {
            self.abort(key, upload).await?;
        }
        Ok(())
    }

    /// Aborts an upload, or leaves it to the bucket's lifecycle rule where that is not permitted.
    async fn abort(&self, key: &str, upload: &str) -> Result<(), ShipError> {
        match self.s3.bucket.abort(key, upload).await {
            Ok(()) | Err(AwsError::Missing { .. }) => {}
            Err(error) if error.is_temporary() => return Err(self.away(error)),
            Err(error) => {
                tracing::info!(%error, "parts of an unfinished upload stay until the bucket's lifecycle rule")
            }
        }
        let (id, upload) = (self.item().id, upload.to_owned());
        self.on_ledger(move |ledger| ledger.upload_ended(id, &upload)).await
    }

    /// There is an object of this name: is it ours?
    async fn whose(&self, key: &str, lost: bool) -> Result<Stored, ShipError> {
        match self.s3.bucket.head(key).await {
            Ok(Some(metadata)) if metadata.get(TOKEN_KEY).map(String::as_str) == Some(self.taken.token.as_str()) => {
                Ok(Stored::of(self.item()))
            }
            // not permitted to look: what the ledger says counts
            Err(AwsError::Denied { .. }) if lost || self.taken.doubt == Doubt::Earlier => Ok(Stored::of(self.item())),
            Ok(Some(_)) | Err(AwsError::Denied { .. }) => Err(ShipError::Taken { what: self.what() }),
            Ok(None) => {
                let odd = self.s3.bucket.odd("S3 refused to replace an object that is not there");
                Err(self.aws(odd, Doubt::Earlier))
            }
            Err(error) => Err(self.aws(error, Doubt::Earlier)),
        }
    }

    /// The upload is gone: has it become the object? Only the object itself proves it. Where the bot may not look, the next
    /// attempt finds out: it stores the object, or is told that it is there.
    async fn became(&self, key: &str) -> Result<Stored, ShipError> {
        match self.s3.bucket.head(key).await {
            Ok(Some(metadata)) if metadata.get(TOKEN_KEY).map(String::as_str) == Some(self.taken.token.as_str()) => {
                Ok(Stored::of(self.item()))
            }
            Ok(_) | Err(_) => {
                let odd = self.s3.bucket.odd("an upload has ended without an answer; it is started again");
                Err(self.aws(odd, Doubt::Earlier))
            }
        }
    }

    async fn on_ledger(
        &self,
        call: impl FnOnce(&dyn ShipQueue) -> Result<(), QueueError> + Send + 'static,
    ) -> Result<(), ShipError> {
        let ledger = self.ledger.clone();
        let called = task::blocking("ship", move || call(&*ledger)).await;
        Ok(called.unwrap_or_else(|error| Err(QueueError(Box::new(error))))?)
    }
}

/// Tries what may be done twice: begins an upload, or sends a part (the second replaces the first).
async fn again<T, F>(pauses: Growth, mut send: impl FnMut() -> F) -> Result<T, AwsError>
where
    F: Future<Output = Result<T, AwsError>>,
{
    let mut pause = Pause::new(pauses);
    let mut tries = 0u32;
    loop {
        tries = tries.saturating_add(1);
        match send().await {
            Err(error) if tries < TRIES_MAX && error.is_temporary() => {
                tokio::time::sleep(pause.grow()).await;
            }
            result => return result,
        }
    }
}

fn joined(part: Option<Result<Result<Part, AwsError>, tokio::task::JoinError>>) -> Result<Part, Failed> {
    match part {
        Some(Ok(part)) => part.map_err(|error| Failed::Aws(error, Doubt::None)),
        Some(Err(error)) => Err(Failed::Own(ShipError::Queue(QueueError(Box::new(error))))),
        None => Err(Failed::Own(ShipError::Queue(QueueError("a part was lost".into())))),
    }
}
