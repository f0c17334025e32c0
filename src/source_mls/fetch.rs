//! Attachments: fetched, verified, put beside their records.
//!
//! While the network is away the fetch waits, then continues where it was. Missing is only what the network says it does not
//! have; then the record has the reason. What the sender claims of the file decides nothing: see [`download`](crate::download).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use retaind_archive::record::{FileOutcome, RecordError};
use retaind_bot::files::{FilesError, Names};
use retaind_bot::source::Chunk;
use retaind_bot::watchdog::{Health, Pulse};
use retaind_core::pause::Growth;
use retaind_device::blob::Blobs;
use retaind_device::connection::Connection;
use retaind_protocol::attachment::AttachmentError;
use retaind_report::counters::Counters;
use retaind_task as task;
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::change::Decrypted;
use crate::decrypt::{Input, Output, worker_of};
use crate::download::Fetched;
use crate::wanted::FileJob;

/// Most attachments fetched at the same time.
pub const FETCHES_MAX: usize = 8;
/// Pauses after an error of the network, before the same range is asked for again. A conversation waits for its attachment,
/// so the longest one is short.
pub const PAUSES: Growth = Growth::doubling(Duration::from_millis(500), Duration::from_secs(4));

/// Why a file could not be put beside its record. Restart is the recovery.
#[derive(Debug, Error)]
pub enum FetchError {
    /// A call of the disk failed.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The target of a download failed, for a reason other than the disk: a defect.
    #[error("an attachment cannot be written")]
    Write(#[source] io::Error),
    /// The cipher failed where it cannot: a defect.
    #[error("an attachment cannot be opened")]
    Cipher(#[source] AttachmentError),
    /// A fetch ended without any outcome: a defect.
    #[error("a fetch of an attachment died")]
    Died,
    /// A record could not be formatted.
    #[error(transparent)]
    Record(#[from] RecordError),
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
    /// Most bytes of ciphertext that are kept of one attachment: [`KEPT_CIPHERTEXT`](crate::limits::KEPT_CIPHERTEXT).
    pub kept_bytes_max: u64,
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
        for wanted in wanted {
            let fetched = match wanted.announced() {
                Some(file) => Some(self.download(&file, &wanted.context).await?),
                None => None,
            };
            wanted.record(fetched.as_ref().map(|fetched| &fetched.outcome), &mut chunk.records)?;
            if let Some(Fetched { outcome, files }) = fetched {
                match outcome {
                    FileOutcome::Saved { .. } => {}
                    FileOutcome::Missing { .. } | FileOutcome::Undecryptable { .. } => {
                        self.counters.files_failed.add(1);
                    }
                }
                chunk.files.extend(files);
            }
            chunk.records.append(wanted.after);
        }
        Ok(chunk)
    }
}
