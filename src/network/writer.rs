//! The one thread that changes the database, and the network's group commit.
//!
//! Requests wait in a bounded channel. All that wait are executed in one transaction, each in a savepoint of its own, so
//! that a refused one undoes nothing but itself; one `COMMIT` (one fsync) makes them durable; only then are answers and
//! pushes sent. The busier the network, the more requests share an fsync.
//!
//! If the database fails (disk full), the whole batch is undone and answered `Unavailable`, and the cache of groups,
//! which may have run ahead, is emptied. At a crash nothing was answered that is not on disk.

use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::Shared;
use super::clock::Moment;
use super::delivery::accept::{Accept, Proposed};
use super::delivery::blobs::{self, BlobId};
use super::delivery::decide;
use super::delivery::entry::Effects;
use super::delivery::groups::{Ciphertext, Groups, Handshake};
use super::delivery::purge::Purge;
use super::delivery::rows::Rows;
use super::directory::accounts::{self, Claim};
use super::directory::key_packages::{self, Checked};
use super::directory::{DeviceRow, Policy};
use super::error::{ChangeError, NetworkError, Refusal};
use retaind_protocol::wire::{Accepted, Answer, BlobCreated, ClaimedKeyPackages, Cursor, Done};

/// Requests that may wait; the senders of more wait themselves.
const JOBS_WAITING_MAX: usize = 2048;
/// Requests and payload bytes in one transaction: bounds how long the first one waits for the last.
const BATCH_JOBS_MAX: usize = 512;
const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What is to be changed.
pub(crate) enum Change {
    Register { claim: Claim, suite: u16, signature_key: Vec<u8> },
    PublishKeyPackages { device: DeviceRow, one_time: Vec<Checked>, last_resort: Option<Checked> },
    ClaimKeyPackages { device: DeviceRow, users: Vec<String>, suite: u16 },
    Create { device: DeviceRow, send_id: Vec<u8>, group_info: Vec<u8>, commit: Box<Handshake>, welcome: Vec<u8> },
    Handshake { device: DeviceRow, send_id: Vec<u8>, handshake: Box<Handshake>, welcome: Vec<u8> },
    Application { device: DeviceRow, send_id: Vec<u8>, message: Ciphertext },
    Acknowledge { device: DeviceRow, cursors: Vec<Cursor> },
    BlobCreate { device: DeviceRow, blob: BlobId, size: u64 },
    BlobFinish { device: DeviceRow, blob: BlobId },
    ProposeBots { conversations: Vec<i64> },
    Purge,
    SetPassword { device: DeviceRow, hash: String },
}

impl Change {
    fn device(&self) -> Option<&DeviceRow> {
        match self {
            Self::PublishKeyPackages { device, .. }
            | Self::ClaimKeyPackages { device, .. }
            | Self::Create { device, .. }
            | Self::Handshake { device, .. }
            | Self::Application { device, .. }
            | Self::Acknowledge { device, .. }
            | Self::BlobCreate { device, .. }
            | Self::BlobFinish { device, .. }
            | Self::SetPassword { device, .. } => Some(device),
            Self::Register { .. } | Self::ProposeBots { .. } | Self::Purge => None,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Create { group_info, commit, welcome, .. } => group_info.len() + commit.bytes.len() + welcome.len(),
            Self::Handshake { handshake, welcome, .. } => handshake.bytes.len() + welcome.len(),
            Self::Application { message, .. } => message.bytes.len(),
            Self::Register { .. }
            | Self::PublishKeyPackages { .. }
            | Self::ClaimKeyPackages { .. }
            | Self::Acknowledge { .. }
            | Self::BlobCreate { .. }
            | Self::BlobFinish { .. }
            | Self::ProposeBots { .. }
            | Self::SetPassword { .. }
            | Self::Purge => 0,
        }
    }
}

/// What came of it.
pub(crate) enum Outcome {
    Answer(Answer),
    Registered { device: DeviceRow, credential: Vec<u8> },
    Proposed(Proposed),
    Purged(usize),
}

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
    connection: Connection,
    shared: std::sync::Arc<Shared>,
) -> Result<(Writer, JoinHandle<()>), NetworkError> {
    let (sender, receiver) = mpsc::channel(JOBS_WAITING_MAX);
    let mut state =
        State { connection, shared, policy: Policy::default(), groups: Groups::new(), purge: Purge::default() };
    state.policy = Policy::load(&state.connection)?;
    let thread = thread::Builder::new()
        .name("network-writer".into())
        .spawn(move || state.run(receiver))
        .map_err(NetworkError::Listen)?;
    Ok((Writer(sender), thread))
}

struct State {
    connection: Connection,
    shared: std::sync::Arc<Shared>,
    policy: Policy,
    groups: Groups,
    purge: Purge,
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
        match self.transaction(changes) {
            Ok((outcomes, effects)) => {
                // connections learn what moved before they learn that their own request was done
                self.shared.hub.publish(&effects);
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    reply(outcome);
                }
            }
            Err(error) => {
                tracing::error!(%error, "the network's database failed: nothing of this batch was changed");
                if !self.connection.is_autocommit()
                    && let Err(error) = self.connection.execute_batch("ROLLBACK")
                {
                    tracing::error!(%error, "the network's database does not roll back");
                }
                self.groups.clear();
                for reply in replies {
                    reply(Err(Refusal::unavailable()));
                }
            }
        }
    }

    fn transaction(
        &mut self,
        changes: Vec<Change>,
    ) -> Result<(Vec<Result<Outcome, Refusal>>, Effects), rusqlite::Error> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        if Policy::version(&self.connection)? != self.policy.version {
            self.policy = Policy::load(&self.connection)?;
        }
        let mut outcomes = Vec::with_capacity(changes.len());
        let mut effects = Effects::default();
        for change in changes {
            self.connection.prepare_cached("SAVEPOINT change")?.execute([])?;
            let mark = effects.mark();
            match self.apply(change, &mut effects) {
                Ok(outcome) => {
                    self.groups.keep();
                    outcomes.push(Ok(outcome));
                }
                Err(ChangeError::Refused(refusal)) => {
                    self.groups.undo();
                    effects.undo(mark);
                    self.connection.prepare_cached("ROLLBACK TO change")?.execute([])?;
                    outcomes.push(Err(refusal));
                }
                Err(ChangeError::Broken(error)) => return Err(error),
            }
            self.connection.prepare_cached("RELEASE change")?.execute([])?;
        }
        self.connection.execute_batch("COMMIT")?;
        Ok((outcomes, effects))
    }

    fn apply(&mut self, change: Change, effects: &mut Effects) -> Result<Outcome, ChangeError> {
        if let Some(device) = change.device() {
            decide::active(&self.policy, device)?;
        }
        let (connection, keys, now) = (&self.connection, &self.shared.keys, Moment::now());
        let rows = Rows(connection);
        let mut accept = Accept { rows, keys, policy: &self.policy, groups: &mut self.groups, effects, now };
        let accepted = |seq| Outcome::Answer(Answer::Accepted(Accepted { seq }));
        let done = || Outcome::Answer(Answer::Done(Done {}));
        match change {
            Change::Register { claim, suite, signature_key } => {
                let (device, credential) = accounts::register(connection, keys, &claim, suite, &signature_key, now)?;
                self.policy = Policy::load(connection)?;
                Ok(Outcome::Registered { device, credential })
            }
            Change::PublishKeyPackages { device, one_time, last_resort } => {
                key_packages::publish(connection, &device, &one_time, last_resort.as_ref(), now)?;
                Ok(done())
            }
            Change::ClaimKeyPackages { device, users, suite } => {
                let packages = key_packages::claim(connection, device.row, &users, suite, now)?;
                Ok(Outcome::Answer(Answer::ClaimedKeyPackages(ClaimedKeyPackages { packages })))
            }
            Change::Create { device, send_id, group_info, commit, welcome } => {
                accept.create(&device, &send_id, &group_info, *commit, &welcome).map(accepted)
            }
            Change::Handshake { device, send_id, handshake, welcome } => {
                accept.handshake(&device, &send_id, *handshake, &welcome).map(accepted)
            }
            Change::Application { device, send_id, message } => {
                accept.application(&device, &send_id, &message).map(accepted)
            }
            Change::Acknowledge { device, cursors } => {
                for conversation in accept.acknowledge(&device, &cursors)? {
                    self.purge.due(conversation);
                }
                Ok(done())
            }
            Change::BlobCreate { device, blob, size } => {
                blobs::create(connection, device.row, &blob, size, now)?;
                Ok(Outcome::Answer(Answer::BlobCreated(BlobCreated { blob: blob.as_bytes().to_vec() })))
            }
            Change::BlobFinish { device, blob } => {
                blobs::mark_finished(connection, device.row, &blob)?;
                Ok(done())
            }
            Change::ProposeBots { conversations } => {
                let mut proposed = Proposed::Complete;
                for conversation in conversations {
                    if accept.propose_bots(conversation)? == Proposed::NoKeyPackage {
                        proposed = Proposed::NoKeyPackage;
                    }
                }
                Ok(Outcome::Proposed(proposed))
            }
            Change::SetPassword { device, hash } => {
                accounts::change_password(connection, &device.user, &hash)?;
                Ok(done())
            }
            Change::Purge => Ok(Outcome::Purged(self.purge.step(connection)?)),
        }
    }
}
