//! Attachments: fetched, verified, put beside their records.
//!
//! While the network is away the fetch waits, then continues where it was. Missing is only what the network says it does not
//! have, or what is not the file that the message announced; then the record has the reason.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::Duration;

use retaind_archive::record::{FileOutcome, Record, RecordBody, RecordError};
use retaind_bot::batch::{Context, RecordBuffer, WrittenFile};
use retaind_bot::disk::{DiskError, DiskFile};
use retaind_bot::files::{FilesError, Names};
use retaind_bot::source::Chunk;
use retaind_bot::watchdog::{Health, Pulse};
use retaind_core::pause::{Growth, Pause};
use retaind_device::blob::{BlobError, Blobs, download_step};
use retaind_device::connection::Connection;
use retaind_protocol::attachment::{AttachmentError, DecryptingWriter, Decryptor, Verified};
use retaind_protocol::content::{Attachment, Body, Content};
use retaind_protocol::wire::RefusalCode;
use retaind_report::counters::Counters;
use retaind_task as task;
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::change::Decrypted;
use crate::decrypt::{Input, Output, worker_of};

/// Most attachments fetched at the same time.
pub const FETCHES_MAX: usize = 8;
/// How often a block that is not authentic is fetched before the attachment counts as damaged.
const TRIES_MAX: u32 = 3;
/// Pauses after an error of the network, before the same range is asked for again. A conversation waits for its attachment,
/// so the longest one is short.
pub const PAUSES: Growth = Growth::doubling(Duration::from_millis(500), Duration::from_secs(4));
/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 1024 * 1024;

/// Why a file could not be put beside its record. Restart is the recovery.
#[derive(Debug, Error)]
pub enum FetchError {
    /// A call of the disk failed.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The target of a download failed, for a reason other than the disk: a defect.
    #[error("an attachment cannot be written")]
    Write(#[source] io::Error),
    /// A fetch ended without any outcome: a defect.
    #[error("a fetch of an attachment died")]
    Died,
    /// A record could not be formatted.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// A chunk that waits for files.
#[derive(Debug)]
pub struct FileJob {
    /// The chunk, with the records before the first file.
    pub chunk: Decrypted,
    /// The files, in order.
    pub wanted: Vec<WantedFile>,
}

/// A message that announces a file.
#[derive(Debug)]
pub struct WantedFile {
    /// Context of the record.
    pub context: Context,
    /// The message; its body is [`Body::File`].
    pub content: Content,
    /// The records up to the next file.
    pub after: RecordBuffer,
}

/// A file of the bot's [`Disk`](retaind_bot::disk::Disk) as the target of a plaintext.
struct Target(Box<dyn DiskFile>);

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The error of a [`Target`].
fn of_disk(error: io::Error) -> FetchError {
    match error.downcast::<DiskError>() {
        Ok(error) => FilesError::Disk(error).into(),
        Err(error) => FetchError::Write(error),
    }
}

/// Fetches files for chunks, several at once; passes everything else on in order.
pub struct Fetcher<B = Connection> {
    /// Gives out names of files.
    pub names: Arc<Names>,
    /// The present connection.
    pub connection: watch::Receiver<Option<Arc<B>>>,
    /// Channel to the committer.
    pub chunks: mpsc::Sender<Chunk>,
    /// Channels back to the workers.
    pub workers: Vec<mpsc::Sender<Input>>,
    /// Counters for metrics and health.
    pub counters: Arc<Counters>,
    /// The watchdog's opinion: whether there is space for files.
    pub health: watch::Receiver<Health>,
    /// Pulse of handing on chunks; downloads do not count, they may take any time.
    pub pulse: Pulse,
    /// How long to wait after an error of the network: [`PAUSES`].
    pub pauses: Growth,
}

impl<B: Blobs> Fetcher<B> {
    /// Runs until `outputs` ends (then files still being fetched are abandoned: they are not acknowledged).
    pub async fn run(self, mut outputs: mpsc::Receiver<Output>) -> Result<(), FetchError> {
        let this = Arc::new(self);
        let free = Arc::new(Semaphore::new(FETCHES_MAX));
        let mut fetches = tokio::task::JoinSet::new();
        loop {
            let output = tokio::select! {
                Some(done) = fetches.join_next(), if !fetches.is_empty() => {
                    // its conversation would wait for ever, unnoticed
                    done.unwrap_or(Err(FetchError::Died))?;
                    continue;
                }
                output = outputs.recv() => output,
            };
            match output {
                Some(Output::Chunk(chunk)) => {
                    this.pulse.works();
                    if this.chunks.send(chunk.into()).await.is_err() {
                        return Ok(());
                    }
                    this.pulse.rests();
                }
                Some(Output::File(job)) => {
                    let (this, free) = (this.clone(), free.clone());
                    task::spawn_in(&mut fetches, "fetch", async move {
                        let _turn = free.acquire().await;
                        this.fetch(job).await
                    });
                }
                None => {
                    fetches.abort_all();
                    return Ok(());
                }
            }
        }
    }

    async fn fetch(&self, job: FileJob) -> Result<(), FetchError> {
        let conversation = job.chunk.change.conversation;
        let chunk = self.fill(job).await?;
        let workers = std::num::NonZeroUsize::new(self.workers.len()).unwrap_or(std::num::NonZeroUsize::MIN);
        // the chunk first: the conversation may continue only after it
        if self.chunks.send(chunk.into()).await.is_ok()
            && let Some(worker) = self.workers.get(worker_of(&conversation, workers))
        {
            // a worker that has ended is stopping
            worker.send(Input::Resume(conversation)).await.ok();
        }
        Ok(())
    }

    /// The chunk with all the files that it waited for, each safe under a temporary name or recorded as missing.
    pub async fn fill(&self, job: FileJob) -> Result<Decrypted, FetchError> {
        let FileJob { mut chunk, wanted } = job;
        for WantedFile { context, content, after } in wanted {
            if let Body::File(attachment) = &content.body {
                let outcome = self.download(attachment, &context).await?;
                let file = match &outcome {
                    Outcome::Saved(written, verified) => FileOutcome::Saved {
                        local_name: written.name.clone(),
                        sha256: *verified.sha256(),
                        size: verified.plaintext_size(),
                    },
                    Outcome::Missing(reason) => FileOutcome::Missing { reason: reason.clone() },
                };
                let body = RecordBody::Content { content: &content, file: Some(&file) };
                let record = Record { context: context.as_record(), body };
                chunk.records.push(context.received_micros, |out| record.append_line(out))?;
                match outcome {
                    Outcome::Saved(written, _) => chunk.files.push(written),
                    Outcome::Missing(_) => self.counters.files_failed.add(1),
                }
            }
            chunk.records.append(after);
        }
        Ok(chunk)
    }

    async fn download(&self, attachment: &Attachment, context: &Context) -> Result<Outcome, FetchError> {
        let decryptor = match Decryptor::new(&attachment.key, attachment.size) {
            Ok(decryptor) => decryptor,
            Err(error) => return Ok(Outcome::Missing(error.to_string())),
        };
        let (temporary, file) = self.names.temporary()?;
        let mut writer = DecryptingWriter::new(BufWriter::with_capacity(WRITE_BYTES, Target(file)), decryptor);
        let finished = match self.read_all(attachment, &mut writer).await? {
            Ok(()) => writer.finish(&attachment.sha256).map_err(|error| error.to_string()),
            Err(reason) => Err(reason),
        };
        let (mut target, verified) = match finished {
            Ok(finished) => finished,
            Err(reason) => {
                tracing::error!(conversation = %context.conversation, seq = context.seq, reason, "attachment is missing");
                self.names.give_up(&temporary)?;
                return Ok(Outcome::Missing(reason));
            }
        };
        let sync = task::blocking("fetch", move || {
            target.flush().map_err(of_disk)?;
            Ok(target.get_mut().0.sync_data().map_err(FilesError::Disk)?)
        });
        sync.await.unwrap_or(Err(FetchError::Died))?;
        let name = self.names.attachment(context.received_micros, &attachment.name)?;
        let length = verified.plaintext_size();
        let sha256 = *verified.sha256();
        Ok(Outcome::Saved(WrittenFile { temporary, name, length, sha256 }, verified))
    }

    /// Outer error: this disk. Inner error: why the file will never come.
    async fn read_all<W: Write>(
        &self,
        attachment: &Attachment,
        writer: &mut DecryptingWriter<W>,
    ) -> Result<Result<(), String>, FetchError> {
        let mut connection = self.connection.clone();
        let mut health = self.health.clone();
        let mut tries = 0u32;
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
            match download_step(&*current, &attachment.blob, writer).await {
                Ok(true) => pause.reset(),
                Ok(false) => return Ok(Ok(())),
                Err(error) if error.is_missing() => {
                    return Ok(Err("network does not have the attachment".to_owned()));
                }
                Err(BlobError::Attachment(AttachmentError::Write(source))) => {
                    return Err(of_disk(source));
                }
                Err(BlobError::Attachment(error)) => {
                    tries = tries.saturating_add(1);
                    if tries >= TRIES_MAX {
                        return Ok(Err(error.to_string()));
                    }
                }
                // an id that no blob can have: permanent, as the network says
                Err(BlobError::Connection(error)) if error.refusal() == Some(RefusalCode::Invalid) => {
                    return Ok(Err(error.to_string()));
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

enum Outcome {
    Saved(WrittenFile, Verified),
    Missing(String),
}
