//! The bot's own stages, wired as `bot::run` does it but without threads: each does one step when it is told to.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use retaind::bot::commit::{CommitError, Committer, Directories, Neighbours};
use retaind::bot::disk::Disk;
use retaind::bot::evidence::{Attestor, Settings};
use retaind::bot::files::Names;
use retaind::bot::segment::RotationLimits;
use retaind::bot::ship::runner::{News, Runner, Watcher};
use retaind::bot::ship::{self, Bell, Destination, ShipError, ShipItem};
use retaind::bot::source::Chunk;
use retaind::bot::state::{self, Queue};
use retaind::core::clock::Clock;
use retaind::core::pause;
use retaind::device::store::{Access, Store};
use retaind::evidence::entry;
use retaind::protocol::ids::ConversationId;
use retaind::protocol::wire::Delivery;
use retaind::report::counters::Counters;
use retaind::report::events::Events;
use retaind::state::vault::Vault;
use tokio::runtime::Runtime;

use super::network::{Network, SimBlobs};
use super::stages::{Around, Kind, Ready, Stages};
use crate::support::traffic::Dice;

/// How long the simulated bot ships at a time, in simulated time.
const SHIPPING: Duration = Duration::from_secs(600);

/// Why a bot has ended.
pub type Ended = Box<dyn std::error::Error + Send + Sync>;

/// What a bot is started with.
#[derive(Clone)]
pub struct Setting {
    /// Which source it archives.
    pub kind: Kind,
    /// As SQLite finds it.
    pub state: PathBuf,
    /// As the disk does.
    pub state_file: PathBuf,
    pub vault: Arc<Vault>,
    pub directories: Directories,
    pub evidence: Settings,
    pub policy: RotationLimits,
    pub workers: usize,
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub destination: Arc<dyn Destination>,
    pub blobs: Arc<SimBlobs>,
    pub reports: Arc<Reports>,
}

/// One life of a bot.
pub struct Bot {
    setting: Setting,
    committer: Committer,
    committer_failed: bool,
    stages: Box<dyn Stages>,
    chunks: VecDeque<Ready>,
    queue: Arc<Queue>,
    /// Durable and not acknowledged yet.
    pub pending: BTreeMap<ConversationId, u64>,
}

impl Bot {
    /// Opens the state and recovers, as every start does.
    pub fn start(setting: Setting) -> Result<Self, Ended> {
        state::renew_log(&*setting.disk, &setting.state_file)?;
        let store = Store::open_unlocked(&setting.state, setting.vault.clone(), setting.kind.steps())?;
        state::prepare(&store)?;
        setting.kind.check(&store)?;
        let names = Arc::new(Names::new(setting.disk.clone(), &setting.directories.files));
        let counters = Arc::new(Counters::default());
        let neighbours = Neighbours { ship: Arc::new(Bell::default()), counters: counters.clone() };
        let mut committer = Committer::recover(
            store.again(Access::Write)?,
            setting.disk.clone(),
            setting.directories.clone(),
            setting.policy,
            names.clone(),
            setting.clock.clone(),
            neighbours,
        )?;
        committer.attest(Some(&setting.evidence), attestor())?;
        let queue = Arc::new(Queue::open(store.again(Access::Write)?)?);
        let (blobs, workers) = (setting.blobs.clone(), setting.workers);
        let stages = setting.kind.stages(Around { store, names, counters, blobs, workers })?;
        Ok(Self {
            committer,
            committer_failed: false,
            stages,
            chunks: VecDeque::new(),
            queue,
            pending: BTreeMap::new(),
            setting,
        })
    }

    /// A new connection: tells what is safe, then takes what comes.
    pub fn connect(&mut self, network: &mut Network) -> Result<(), Ended> {
        self.stages.connect(network)?;
        network.connect();
        Ok(())
    }

    /// Does the bot want another connection?
    pub fn wants_connection(&self) -> bool {
        self.stages.wants_connection()
    }

    /// Takes a delivery.
    pub fn take(&mut self, delivery: Delivery) -> Result<(), Ended> {
        self.stages.take(delivery, self.setting.clock.now_micros())
    }

    /// Has anybody anything to do?
    pub fn is_idle(&self) -> bool {
        self.stages.is_idle() && self.chunks.is_empty() && self.pending.is_empty()
    }

    /// A worker takes up to `most` of what it has. `false`: it has nothing.
    pub fn decrypt(&mut self, worker: usize, most: usize) -> Result<bool, Ended> {
        self.stages.work(worker, most)
    }

    /// What waits longest goes on: to the committer, or to be fetched if there is room.
    pub fn pass(&mut self) -> bool {
        self.stages.pass(&mut self.chunks)
    }

    /// One of the fetches comes to its end.
    pub fn fetch(&mut self, runtime: &Runtime, dice: &mut Dice) -> Result<bool, Ended> {
        self.stages.fetch(&mut self.chunks, runtime, dice)
    }

    /// Commits up to `most` of the chunks that are ready.
    pub fn commit(&mut self, most: usize) -> Result<bool, Ended> {
        if self.chunks.is_empty() {
            return Ok(false);
        }
        let batch: Vec<Chunk> = self.chunks.drain(..self.chunks.len().min(most)).map(|ready| ready.chunk).collect();
        self.committer(|committer| committer.commit(batch))?;
        for (conversation, seq) in self.stages.due() {
            let highest = self.pending.entry(conversation).or_default();
            *highest = (*highest).max(seq);
        }
        Ok(true)
    }

    /// The committer's thread ends with its first error.
    fn committer<T>(&mut self, step: impl FnOnce(&mut Committer) -> Result<T, CommitError>) -> Result<T, Ended> {
        if self.committer_failed {
            return Err("the committer has ended".into());
        }
        let done = step(&mut self.committer);
        self.committer_failed = done.is_err();
        Ok(done?)
    }

    /// A bot that was built wrongly: takes what is decrypted for safe.
    pub fn acknowledge_too_early(&mut self) {
        for ready in &self.chunks {
            self.pending.insert(ready.conversation, ready.cursor);
        }
    }

    /// The committer looks at the clock.
    pub fn tick(&mut self) -> Result<(), Ended> {
        self.committer(Committer::tick)
    }

    /// The open file is sealed.
    pub fn rotate(&mut self) -> Result<(), Ended> {
        self.committer(Committer::rotate)
    }

    /// Ships until the queue is empty, or for a time that is long enough for everything but a destination that is away.
    pub fn ship(&self, runtime: &Runtime) -> Result<(), Ended> {
        let bell = Bell::default();
        bell.finish();
        let runner = Runner {
            queue: self.queue.clone(),
            destination: self.setting.destination.clone(),
            disk: self.setting.disk.clone(),
            backoff: ship::PAUSES.with(pause::Dice::HIGH),
            watcher: self.setting.reports.clone(),
        };
        // what takes longer is given up, as by a stop
        let shipped = runtime.block_on(async { tokio::time::timeout(SHIPPING, runner.run(&bell)).await });
        shipped.map_or(Ok(()), |shipped| Ok(shipped.map(drop)?))
    }

    /// As after SIGTERM: what is ready is committed, the rest is given up, the open file is sealed.
    pub fn drain(&mut self) -> Result<(), Ended> {
        while self.pass() {}
        while self.commit(usize::MAX)? {}
        self.committer(Committer::finish)
    }
}

fn attestor() -> Attestor {
    let [name, device, network_id, version] = ["compliance_1_bot", "00", "1", "0.1.0"].map(str::to_owned);
    Attestor { bot: entry::Bot { name, device, network_id, version }, events: Events::only_logged() }
}

/// Files that were reported as damaged, in any life.
#[derive(Default)]
pub struct Reports(Mutex<BTreeSet<PathBuf>>);

impl Reports {
    /// Was it?
    pub fn has(&self, path: &Path) -> bool {
        self.0.lock().unwrap().contains(path)
    }
}

impl Watcher for Reports {
    fn failed(&self, item: &ShipItem, error: &ShipError, _: News) {
        if matches!(error, ShipError::Damaged { .. }) {
            self.0.lock().unwrap().insert(item.path.clone());
        }
    }
    fn stored(&self, _: &ShipItem) {}
}
