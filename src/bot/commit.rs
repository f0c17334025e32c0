//! The one commit point.
//!
//! A batch is whatever chunks are ready. Its lines are appended to the open segment, every touched file and directory is
//! synced, one SQLite transaction holds the source's state, segment rows, file names and the ship queue, then names
//! settle, and only then is a [`Durable`] shown to the source, without which nothing can be acknowledged. Chunks that arrive
//! while a batch is being synced form the next one: under load more chunks share one sync.
//!
//! A failure anywhere ends the bot: what was appended but not committed is cut off at the next start, and the network
//! still has it. Start-up runs the same recovery after a crash, after an error and after a clean stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use retaind_archive::names::is_attachment;
use retaind_evidence::entry::SealedBy;
use retaind_report::counters::Counters;
use retaind_state::{Committed, Store, StoreError};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::batch::WrittenFile;
use crate::disk::{Disk, DiskError};
use crate::evidence::{self, Attestor, Closing, Evidence, EvidenceError, Found, Moment};
use crate::files::{FilesError, Names};
use crate::segment::{Basename, Place, Recovery, RotationLimits, SegmentError, Segments};
use crate::ship::Bell;
use crate::source::Chunk;
use crate::state;
use crate::watchdog::Pulse;
use retaind_core::clock::Clock;

/// Most records of one batch: enough to make a sync cheap for each, few enough for memory.
const BATCH_RECORDS_MAX: usize = 8192;
/// Most bytes of the records of one batch.
const BATCH_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Least time from one batch to the next while messages come in without a pause: what arrives meanwhile shares its syncs.
/// A message that arrives alone does not wait.
const BATCH_EVERY: Duration = Duration::from_millis(8);
/// How often the age of the open file is checked when nothing arrives.
const TICK: Duration = Duration::from_millis(500);

/// Why nothing more can be committed. Restart is the recovery.
#[derive(Debug, Error)]
pub enum CommitError {
    /// Message files.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The state file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A call of the disk on files beside the records.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Names of files beside the records.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// What proves the archive.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
}

/// Proof that a batch is on stable storage: its lines, its files, and the change of each of its chunks. Only the commit makes
/// one, and shows it to those changes.
#[derive(Debug)]
pub struct Durable {
    committed: Committed<()>,
}

impl Durable {
    /// The transaction that holds the batch.
    pub fn committed(&self) -> &Committed<()> {
        &self.committed
    }
}

/// Where message files and attachments are written.
#[derive(Debug, Clone)]
pub struct Directories {
    /// Directory of message files.
    pub messages: PathBuf,
    /// Base name of message files.
    pub basename: Basename,
    /// Directory of attachments.
    pub files: PathBuf,
}

/// The committing stage.
pub struct Committer {
    store: Store,
    disk: Arc<dyn Disk>,
    segments: Segments,
    directories: Directories,
    names: Arc<Names>,
    clock: Arc<dyn Clock>,
    ship: Arc<Bell>,
    counters: Arc<Counters>,
    evidence: Option<Evidence>,
}

/// What the committer needs from other stages.
pub struct Neighbours {
    /// Rung when there is something to ship.
    pub ship: Arc<Bell>,
    /// Counters for metrics and health.
    pub counters: Arc<Counters>,
}

impl Committer {
    /// Recovers: settles what was committed, cuts off what was not. Every start runs this.
    pub fn recover(
        mut store: Store,
        disk: Arc<dyn Disk>,
        directories: Directories,
        policy: RotationLimits,
        names: Arc<Names>,
        clock: Arc<dyn Clock>,
        neighbours: Neighbours,
    ) -> Result<Self, CommitError> {
        if let Some(latest) = state::latest_name_millis(&store)? {
            names.go_on_after(latest);
        }
        let files = state::unsettled_files(&store)?;
        settle_files(&*disk, &directories, &files)?;
        let place = Place { dir: directories.messages.clone(), basename: directories.basename.clone() };
        let recovery = Segments::recover(disk.clone(), place, policy, &state::segments(&store)?)?;
        if recovery.cut_bytes > 0 || recovery.removed_parts > 0 {
            tracing::info!(
                cut_bytes = recovery.cut_bytes,
                parts = recovery.removed_parts,
                "what an interrupted run had written but not committed was cut off; the network delivers it again"
            );
        }
        let recovered = store.transaction::<_, CommitError>(|tx| {
            state::settle_segments(tx, &directories.messages, &recovery.rows)?;
            state::enqueue_found(tx, &directories.messages, &recovery.found)?;
            state::settle_files(tx, &directories.files, &files)?;
            Ok(recovery)
        })?;
        let segments = Recovery::begin(recovered);
        let removed = names.clean()?;
        if removed > 0 {
            tracing::info!(
                removed,
                "unfinished attachments of an interrupted run were removed, they are fetched again"
            );
        }
        let Neighbours { ship, counters } = neighbours;
        Ok(Self { store, disk, segments, directories, names, clock, ship, counters, evidence: None })
    }

    /// From now on everything that is committed is attested; without `settings`, an earlier run's log ends. Called once it is
    /// known who attests, before the first commit.
    pub fn attest(&mut self, settings: Option<&evidence::Settings>, who: Attestor) -> Result<(), CommitError> {
        let (disk, now) = (self.disk.clone(), self.clock.now_micros());
        let Some(settings) = settings else { return Ok(evidence::end(&mut self.store, &*disk, now, who)?) };
        let found = Found { place: self.segments.place(), open: self.segments.open_row(), now };
        let (log, account) = evidence::start(&mut self.store, &*disk, &found, settings, who)?;
        self.segments.attest(account);
        self.evidence = Some(log);
        self.ship.ring();
        Ok(())
    }

    /// Commits chunks until there are no more, then seals the open segment. `rotate` requests a rotation now.
    pub fn run(
        mut self,
        runtime: &Handle,
        mut chunks: mpsc::Receiver<Chunk>,
        mut rotate: mpsc::Receiver<()>,
        pulse: &Pulse,
    ) -> Result<(), CommitError> {
        let mut earlier = Instant::now().checked_sub(BATCH_EVERY);
        loop {
            let event = runtime.block_on(async {
                tokio::select! {
                    biased;
                    Some(()) = rotate.recv() => Input::Rotate,
                    chunk = chunks.recv() => chunk.map_or(Input::End, |chunk| Input::Chunk(Box::new(chunk))),
                    () = tokio::time::sleep(TICK) => Input::Tick,
                }
            });
            pulse.works();
            match event {
                Input::Chunk(first) => {
                    let until = earlier.and_then(|earlier| earlier.checked_add(BATCH_EVERY));
                    let batch = runtime.block_on(gather(*first, &mut chunks, until));
                    earlier = Some(Instant::now());
                    let records = batch.iter().map(|chunk| chunk.records.len()).fold(0, usize::saturating_add);
                    self.commit(batch).inspect_err(|_| {
                        self.counters.messages_saved_failed.add(u64::try_from(records).unwrap_or(u64::MAX));
                    })?;
                }
                Input::Tick => self.tick()?,
                Input::Rotate => self.rotate()?,
                Input::End => return self.finish(),
            }
            pulse.rests();
        }
    }

    /// Rotates when the open file is old enough, also when nothing arrives.
    pub fn tick(&mut self) -> Result<(), CommitError> {
        let now = self.clock.now_micros();
        if self.segments.due(now) {
            self.segments.rotate_because(SealedBy::Time)?;
        } else if !self.evidence.as_ref().is_some_and(|log| log.is_due(now)) {
            return Ok(());
        }
        self.commit_to_open(Vec::new(), now, Closing::No)
    }

    /// Seals the open file durably.
    pub fn rotate(&mut self) -> Result<(), CommitError> {
        self.segments.rotate()?;
        self.commit_to_open(Vec::new(), self.clock.now_micros(), Closing::No)
    }

    /// Seals the open file, durably and for the last time in this run.
    pub fn finish(&mut self) -> Result<(), CommitError> {
        self.segments.rotate_because(SealedBy::Stop)?;
        self.commit_to_open(Vec::new(), self.clock.now_micros(), Closing::Yes)
    }

    /// The commit point: when this returns, all of `batch` is on stable storage and its changes have been notified.
    pub fn commit(&mut self, batch: Vec<Chunk>) -> Result<(), CommitError> {
        // looked at once: the file's age and its entry are of the same moment
        let now = self.clock.now_micros();
        if self.segments.due(now) {
            self.segments.rotate_because(SealedBy::Time)?;
        }
        self.commit_to_open(batch, now, Closing::No)
    }

    fn commit_to_open(&mut self, batch: Vec<Chunk>, now: i64, closing: Closing) -> Result<(), CommitError> {
        let mut records = 0u64;
        for chunk in &batch {
            for (line, received) in chunk.records.iter() {
                self.segments.append(line, received)?;
                records = records.saturating_add(1);
            }
        }
        let files: Vec<WrittenFile> = batch.iter().flat_map(|chunk| chunk.files.clone()).collect();
        if !files.is_empty() {
            self.disk.sync_dir(&self.directories.files)?;
        }
        let synced = self.segments.sync()?;
        let mut attested = false;
        let synced = self.store.transaction::<_, CommitError>(|tx| {
            batch.iter().try_for_each(|chunk| chunk.change.write(tx))?;
            state::put_segments(tx, synced.rows())?;
            state::put_files(tx, &files, self.names.latest_millis())?;
            if let Some(log) = &mut self.evidence {
                let open = self.segments.open_account();
                attested = log.write(tx, &Moment { now, records, sealed: synced.attested(), open, closing })?;
            }
            Ok(synced)
        })?;
        let durable = Durable { committed: synced.proof() };
        let settled = self.segments.settle(&synced)?;
        settle_files(&*self.disk, &self.directories, &files)?;
        if !settled.rows().is_empty() || !files.is_empty() {
            let directories = &self.directories;
            self.store.write::<_, CommitError>(|tx| {
                state::settle_segments(tx, &directories.messages, settled.rows())?;
                Ok(state::settle_files(tx, &directories.files, &files)?)
            })?;
            self.ship.ring();
        }
        if let Some(log) = self.evidence.as_ref().filter(|_| attested) {
            log.publish(&mut self.store, &*self.disk)?;
            log.report()?;
            self.ship.ring();
        }
        // ciphertexts and parts are beside them, and no attachments
        for file in files.iter().filter(|file| is_attachment(&file.name)) {
            self.counters.files_saved.add(1);
            self.counters.files_saved_bytes.add(file.length);
        }
        self.counters.messages_saved.add(records);
        let deliveries = batch.iter().map(|chunk| chunk.deliveries).fold(0, u64::saturating_add);
        self.counters.messages_settled.add(deliveries);
        batch.into_iter().for_each(|chunk| chunk.change.durable(&durable));
        Ok(())
    }
}

enum Input {
    Chunk(Box<Chunk>),
    Tick,
    Rotate,
    End,
}

/// A batch of `first`, the chunks that are ready, and those that arrive before `until`, up to the limits.
async fn gather(first: Chunk, chunks: &mut mpsc::Receiver<Chunk>, until: Option<Instant>) -> Vec<Chunk> {
    let mut records = first.records.len();
    let mut bytes = first.records.bytes();
    let mut batch = vec![first];
    let wait = tokio::time::sleep_until(until.unwrap_or_else(Instant::now).into());
    let mut wait = std::pin::pin!(wait);
    while records < BATCH_RECORDS_MAX && bytes < BATCH_BYTES_MAX {
        let chunk = tokio::select! {
            biased;
            chunk = chunks.recv() => chunk,
            () = &mut wait => None,
        };
        let Some(chunk) = chunk else { break };
        records = records.saturating_add(chunk.records.len());
        bytes = bytes.saturating_add(chunk.records.bytes());
        batch.push(chunk);
    }
    batch
}

/// Gives committed files their names. Harmless when repeated.
fn settle_files(disk: &dyn Disk, directories: &Directories, files: &[WrittenFile]) -> Result<(), DiskError> {
    for file in files {
        let temporary = directories.files.join(&file.temporary);
        let target = directories.files.join(&file.name);
        if disk.len(&temporary)?.is_some() {
            disk.rename(&temporary, &target)?;
        } else if disk.len(&target)?.is_none() {
            // its record is committed, so the file was here and was removed by someone else: logged, and parked by the ship stage
            tracing::error!(file = %file.temporary, "a committed attachment is gone from the attachment directory");
        }
    }
    if !files.is_empty() {
        disk.sync_dir(&directories.files)?;
    }
    Ok(())
}
