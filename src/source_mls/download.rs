//! One attachment: from the network onto the disk.
//!
//! First as the message announces it. What is not that is fetched a second time and [salvaged](Salvager): everything that the
//! key opens is kept as a file, whatever size, hash or header the sender has claimed, and the record says both. If anything
//! does not open, all that the network has of it is kept as ciphertext as well. So an honest file is fetched once and written
//! once; a lie costs a second fetch.
//!
//! A crash leaves temporary names, which the next start removes; the message comes again.

use std::io::{self, BufWriter, Write};
use std::ops::Range;

use retaind_archive::record::{FileOutcome, KeptFile};
use retaind_bot::batch::{Context, WrittenFile};
use retaind_bot::disk::{DiskError, DiskFile};
use retaind_bot::files::FilesError;
use retaind_bot::watchdog::Health;
use retaind_core::pause::Pause;
use retaind_device::blob::{BlobError, Blobs};
use retaind_protocol::attachment::{AttachmentError, DecryptingWriter, Decryptor, Opened, Salvager};
use retaind_protocol::content::AnnouncedFile;
use retaind_protocol::limits::BLOB_RANGE_BYTES_MAX;
use retaind_protocol::wire::{BlobRange, RefusalCode};
use retaind_task as task;

use crate::fetch::{FetchError, Fetcher};
use crate::limits::KEPT_CIPHERTEXT;

/// How often a block that is not authentic is fetched before the attachment counts as damaged.
const TRIES_MAX: u32 = 3;
/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 1024 * 1024;

/// What became of an attachment, and the files for it.
pub(crate) struct Fetched {
    pub(crate) outcome: FileOutcome,
    pub(crate) files: Vec<WrittenFile>,
}

impl Fetched {
    fn missing(reason: String) -> Self {
        Self { outcome: FileOutcome::Missing { reason }, files: Vec::new() }
    }
}

/// A file of the bot's [`Disk`](retaind_bot::disk::Disk) as the target of bytes, under a temporary name.
struct Target {
    temporary: String,
    file: BufWriter<Raw>,
}

struct Raw(Box<dyn DiskFile>);

impl Write for Raw {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The error of a [`Target`].
fn of_disk(error: io::Error) -> FetchError {
    match error.downcast::<DiskError>() {
        Ok(error) => FilesError::Disk(error).into(),
        Err(error) => FetchError::Write(error),
    }
}

/// The error of a writer that takes any bytes: the disk's, or a defect.
fn of_writer(error: AttachmentError) -> FetchError {
    if let AttachmentError::Write(error) = error { of_disk(error) } else { FetchError::Cipher(error) }
}

/// Why a first try did not give the file.
enum Failure {
    /// The network does not have it, or not to its end.
    Missing(String),
    /// It is not what the message announces.
    Other(AttachmentError),
}

/// What the network says when it is asked for a range.
enum Answer {
    Range(BlobRange),
    /// It does not have the blob, and never will.
    Missing(String),
}

impl<B: Blobs> Fetcher<B> {
    pub(crate) async fn download(&self, file: &AnnouncedFile, context: &Context) -> Result<Fetched, FetchError> {
        let decryptor = match Decryptor::new(&file.key, file.size) {
            Ok(decryptor) => decryptor,
            // no file is as large as this one claims to be
            Err(_) => return self.salvage(file, context).await,
        };
        let mut writer = DecryptingWriter::new(self.target()?, decryptor);
        match self.read_all(file, &mut writer).await? {
            Ok(()) => {
                let (target, opened) = writer.end().map_err(of_writer)?;
                self.saved(target, opened, file, context).await
            }
            Err(Failure::Missing(reason)) => {
                let (target, opened) = writer.break_off().map_err(of_writer)?;
                let Some(decrypted) = self.part(target, opened, file, context).await? else {
                    tracing::debug!(conversation = %context.conversation, seq = context.seq, reason, "attachment is missing");
                    return Ok(Fetched::missing(reason));
                };
                Ok(undecryptable(reason, None, Some(decrypted)))
            }
            Err(Failure::Other(error)) => {
                let (target, _) = writer.break_off().map_err(of_writer)?;
                self.names.give_up(&target.temporary)?;
                let (conversation, seq) = (context.conversation, context.seq);
                tracing::debug!(%conversation, seq, %error, "attachment is not what its message announces");
                self.salvage(file, context).await
            }
        }
    }

    /// Keeps what there is of a file that is not the announced one.
    async fn salvage(&self, file: &AnnouncedFile, context: &Context) -> Result<Fetched, FetchError> {
        let mut range = match self.range(file, 0..wide(BLOB_RANGE_BYTES_MAX)).await {
            Answer::Range(range) => range,
            Answer::Missing(reason) => return Ok(Fetched::missing(reason)),
        };
        let size = range.size;
        let most = size.min(self.kept_bytes_max);
        let (mut kept, mut length) = (self.target()?, 0u64);
        let mut salvager = Salvager::new(self.target()?, &file.key, size, file.size).map_err(of_writer)?;
        let mut lost = None;
        while !range.bytes.is_empty() && length < most {
            let left = usize::try_from(most.saturating_sub(length)).unwrap_or(usize::MAX);
            let bytes = range.bytes.get(..range.bytes.len().min(left)).unwrap_or_default();
            kept.write_all(bytes).map_err(of_disk)?;
            salvager.write(bytes).map_err(of_writer)?;
            length = length.saturating_add(wide(bytes.len()));
            let end = length.saturating_add(wide(BLOB_RANGE_BYTES_MAX)).min(most);
            if length < end {
                range = match self.range(file, length..end).await {
                    Answer::Range(range) => range,
                    Answer::Missing(reason) => {
                        lost = Some(reason);
                        break;
                    }
                };
            }
        }
        if most < size {
            self.counters.refusals.count(&KEPT_CIPHERTEXT);
        }
        let (target, salvaged) = salvager.finish().map_err(of_writer)?;
        let Some(fault) = salvaged.fault else {
            self.names.give_up(&kept.temporary)?;
            return self.saved(target, salvaged.opened, file, context).await;
        };
        let reason = match lost {
            Some(reason) => format!("{fault}; {reason}"),
            None if most < size => format!("{fault}; of its {size} bytes {most} are kept"),
            None => fault.to_string(),
        };
        let decrypted = self.part(target, salvaged.opened, file, context).await?;
        let name = self.names.blob(context.received_micros, &context.conversation, context.seq);
        let temporary = synced(kept).await?;
        let ciphertext = WrittenFile { temporary, name, length, sha256: salvaged.blob_sha256 };
        Ok(undecryptable(reason, Some(ciphertext), decrypted))
    }

    fn target(&self) -> Result<Target, FetchError> {
        let (temporary, file) = self.names.temporary()?;
        Ok(Target { temporary, file: BufWriter::with_capacity(WRITE_BYTES, Raw(file)) })
    }

    /// A file that is whole, whatever its message says of it.
    async fn saved(
        &self,
        target: Target,
        opened: Opened,
        file: &AnnouncedFile,
        context: &Context,
    ) -> Result<Fetched, FetchError> {
        let target = synced(target).await?;
        let name = self.names.attachment(context.received_micros, &file.name)?;
        let file = WrittenFile { temporary: target, name, length: opened.size(), sha256: *opened.sha256() };
        let (local_name, sha256, size) = (file.name.clone(), file.sha256, file.length);
        Ok(Fetched { outcome: FileOutcome::Saved { local_name, sha256, size }, files: vec![file] })
    }

    /// The beginning of a file that does not open to its end; `None` if there is none.
    async fn part(
        &self,
        target: Target,
        opened: Opened,
        file: &AnnouncedFile,
        context: &Context,
    ) -> Result<Option<WrittenFile>, FetchError> {
        if opened.size() == 0 {
            self.names.give_up(&target.temporary)?;
            return Ok(None);
        }
        let temporary = synced(target).await?;
        let name = self.names.partial(context.received_micros, &file.name)?;
        Ok(Some(WrittenFile { temporary, name, length: opened.size(), sha256: *opened.sha256() }))
    }

    /// Outer error: this disk. Inner error: why this will never be the file.
    async fn read_all(
        &self,
        file: &AnnouncedFile,
        writer: &mut DecryptingWriter<Target>,
    ) -> Result<Result<(), Failure>, FetchError> {
        let mut tries = 0u32;
        // where the file ends, and where the blob does
        let (mut expected, mut found) = (0, 0);
        while let Some(range) = writer.next_range() {
            let end = range.end;
            let taken = match self.range(file, range).await {
                Answer::Missing(reason) => return Ok(Err(Failure::Missing(reason))),
                Answer::Range(range) if range.bytes.is_empty() => {
                    Err(AttachmentError::BlobSize { expected: end, found: range.size })
                }
                Answer::Range(range) => {
                    (expected, found) = (end, range.size);
                    writer.write(&range.bytes)
                }
            };
            match taken {
                Ok(()) => {}
                Err(AttachmentError::Write(source)) => return Err(of_disk(source)),
                Err(error) => {
                    tries = tries.saturating_add(1);
                    if tries >= TRIES_MAX {
                        return Ok(Err(Failure::Other(error)));
                    }
                }
            }
        }
        if found > expected {
            // what comes after the file is evidence as well
            return Ok(Err(Failure::Other(AttachmentError::BlobSize { expected, found })));
        }
        Ok(Ok(()))
    }

    /// A range of the blob, as soon as the network answers and the disk has room for it.
    async fn range(&self, file: &AnnouncedFile, range: Range<u64>) -> Answer {
        let mut connection = self.connection.clone();
        let mut health = self.health.clone();
        let mut pause = Pause::new(self.pauses);
        loop {
            if health.wait_for(Health::takes_deliveries).await.is_err() {
                // the bot is stopping: wait to be aborted
                return std::future::pending().await;
            }
            let Ok(current) = connection.wait_for(Option::is_some).await.map(|current| current.clone()) else {
                // the bot is stopping: wait to be aborted
                return std::future::pending().await;
            };
            let Some(current) = current else { continue };
            match current.range(&file.blob, range.clone()).await {
                Ok(range) => return Answer::Range(range),
                Err(error) if error.is_missing() => {
                    return Answer::Missing("network does not have the attachment".to_owned());
                }
                // an id that no blob can have: permanent, as the network says
                Err(BlobError::Connection(error)) if error.refusal() == Some(RefusalCode::Invalid) => {
                    return Answer::Missing(error.to_string());
                }
                // any other error says nothing about the blob: a record that it is missing could not be undone
                Err(error) => {
                    tracing::warn!(%error, "attachment waits for the network");
                    tokio::time::sleep(pause.grow()).await;
                }
            }
        }
    }
}

fn undecryptable(reason: String, ciphertext: Option<WrittenFile>, decrypted: Option<WrittenFile>) -> Fetched {
    let kept = |file: &WrittenFile| KeptFile { name: file.name.clone(), sha256: file.sha256, size: file.length };
    let outcome = FileOutcome::Undecryptable {
        reason,
        ciphertext: ciphertext.as_ref().map(kept),
        decrypted: decrypted.as_ref().map(kept),
    };
    Fetched { outcome, files: ciphertext.into_iter().chain(decrypted).collect() }
}

/// Makes what was written durable, under its temporary name.
async fn synced(mut target: Target) -> Result<String, FetchError> {
    let sync = task::blocking("fetch", move || {
        target.flush().map_err(of_disk)?;
        target.file.get_mut().0.sync_data().map_err(FilesError::Disk)?;
        Ok(target.temporary)
    });
    sync.await.unwrap_or(Err(FetchError::Died))
}

fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
