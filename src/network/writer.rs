//! The one thread that changes the ledger, and the network's group commit.
//!
//! Requests wait in a bounded channel. All that wait are carried out in one batch of the ledger, each so that a refused one
//! undoes nothing but itself; one commit (one fsync) makes them durable; only then are answers and pushes sent. The busier
//! the network, the more requests share an fsync.
//!
//! If the ledger fails (disk full), the whole batch is undone and answered `Unavailable`. At a crash nothing was answered
//! that is not on disk.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use super::Shared;
use super::change::{Change, Outcome};
use super::clock::Moment;
use super::error::{NetworkError, Refusal};
use super::execute::{Executed, Executor};
use super::ledger::LedgerWriter;
use super::quotas::Quotas;
use super::stock::Stocks;
use retaind_task as task;

/// Requests that may wait; the senders of more wait themselves.
const JOBS_WAITING_MAX: usize = 2048;
/// Requests and payload bytes in one transaction: bounds how long the first one waits for the last.
const BATCH_JOBS_MAX: usize = 512;
const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Called once the batch is on stable storage. Must not block.
pub(crate) type Reply = Box<dyn FnOnce(Result<Outcome, Refusal>) + Send>;

struct Job {
    change: Change,
    reply: Reply,
}

/// Hands changes to the writer thread.
#[derive(Clone)]
pub(crate) struct Writer(mpsc::Sender<Job>);

impl Writer {
    /// One that refuses everything.
    pub(crate) fn closed() -> Self {
        Self(mpsc::channel(1).0)
    }

    /// Waits for room, not for the change.
    pub(crate) async fn submit(&self, change: Change, reply: Reply) {
        if let Err(refused) = self.0.send(Job { change, reply }).await {
            (refused.0.reply)(Err(Refusal::unavailable()));
        }
    }

    /// Waits for the change.
    pub(crate) async fn change(&self, change: Change) -> Result<Outcome, Refusal> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let reply = Box::new(move |outcome| {
            // the asker may have gone: the change stands all the same
            let _gone = sender.send(outcome);
        });
        self.submit(change, reply).await;
        receiver.await.unwrap_or_else(|_| Err(Refusal::unavailable()))
    }
}

/// Starts the thread. It ends when every [`Writer`] is gone.
pub(crate) fn start(
    ledger: Box<dyn LedgerWriter>,
    shared: Arc<Shared>,
) -> Result<(Writer, JoinHandle<()>), NetworkError> {
    let (sender, receiver) = mpsc::channel(JOBS_WAITING_MAX);
    let quotas = Quotas::new(shared.allowances.clone(), Arc::clone(&shared.refusals));
    let executor = Executor::new(Moment::now, quotas);
    let state = State { ledger, shared, executor, stocks: Stocks::default() };
    let thread = task::thread("network-writer", move || state.run(receiver)).map_err(NetworkError::Listen)?;
    Ok((Writer(sender), thread))
}

struct State {
    ledger: Box<dyn LedgerWriter>,
    shared: Arc<Shared>,
    executor: Executor,
    stocks: Stocks,
}

impl State {
    fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.blocking_recv() {
            let mut bytes = first.change.bytes();
            let mut batch = vec![first];
            while batch.len() < BATCH_JOBS_MAX
                && bytes < BATCH_BYTES_MAX
                && let Ok(job) = jobs.try_recv()
            {
                bytes = bytes.saturating_add(job.change.bytes());
                batch.push(job);
            }
            self.execute(batch);
        }
    }

    fn execute(&mut self, batch: Vec<Job>) {
        let (changes, replies): (Vec<_>, Vec<_>) = batch.into_iter().map(|job| (job.change, job.reply)).unzip();
        self.executor.has_room(self.shared.blobs.free_bytes());
        match self.executor.execute(&mut *self.ledger, &self.shared.keys, changes) {
            Ok(Executed { outcomes, effects }) => {
                // connections learn what moved before they learn that their own request was done
                self.shared.hub.publish(&effects);
                self.stocks.taken(&effects.taken, &self.shared);
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    reply(outcome);
                }
            }
            Err(error) => {
                tracing::error!(%error, "the network's database failed: nothing of this batch was changed");
                for reply in replies {
                    reply(Err(Refusal::unavailable()));
                }
            }
        }
    }
}
