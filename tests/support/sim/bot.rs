//! The bot's own stages, wired as `bot::run` does it but without threads: each does one step when it is told to.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use retaind::bot::commit::{CommitError, Committer, Directories, Neighbours};
use retaind::bot::disk::Disk;
use retaind::bot::files::Names;
use retaind::bot::segment::Policy;
use retaind::bot::ship::runner::{News, Runner, Watcher};
use retaind::bot::ship::{self, Bell, Destination, ShipError, ShipItem};
use retaind::bot::source::Chunk;
use retaind::bot::state::{self, Queue};
use retaind::bot::watchdog::{Health, Pulse};
use retaind::core::clock::Clock;
use retaind::core::pause;
use retaind::device::mls::Engine;
use retaind::device::safe::Safe;
use retaind::device::store::{Access, DeviceState, STEPS, Store, StoredKeyPackages};
use retaind::protocol::credential::Verifier;
use retaind::protocol::ids::ConversationId;
use retaind::protocol::wire::Delivery;
use retaind::report::counters::Counters;
use retaind::report::events::Events;
use retaind::source_mls::change::{Decrypted, Due, Owed};
use retaind::source_mls::decrypt::{self, Input, Output, Worker, worker_of};
use retaind::source_mls::delivery::Recall;
use retaind::source_mls::fetch::{self, FETCHES_MAX, Fetcher, FileJob};
use retaind::source_mls::receive::delivered;
use retaind::state::vault::Vault;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use super::network::{Network, SimBlobs};
use crate::support::traffic::Dice;

/// How long the simulated bot ships at a time, in simulated time.
const SHIPPING: Duration = Duration::from_secs(600);

/// Why a bot has ended.
pub type Ended = Box<dyn std::error::Error + Send + Sync>;

/// What a bot is started with.
#[derive(Clone)]
pub struct Setting {
    /// As SQLite finds it.
    pub state: PathBuf,
    /// As the disk does.
    pub state_file: PathBuf,
    pub vault: Arc<Vault>,
    pub directories: Directories,
    pub policy: Policy,
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
    store: Arc<Mutex<Store>>,
    committer: Committer,
    committer_failed: bool,
    workers: Vec<Worker>,
    inputs: Vec<VecDeque<Input>>,
    outputs: VecDeque<Output>,
    jobs: Vec<FileJob>,
    chunks: VecDeque<Decrypted>,
    fetcher: Fetcher<SimBlobs>,
    queue: Arc<Queue>,
    recall: Recall,
    recalls: u64,
    /// Durable and not acknowledged yet.
    pub pending: BTreeMap<ConversationId, u64>,
    due: Due,
    /// Keep the channels of the fetcher open.
    _health: watch::Sender<Health>,
    _connection: watch::Sender<Option<Arc<SimBlobs>>>,
}

impl Bot {
    /// Opens the state and recovers, as every start does.
    pub fn start(setting: Setting) -> Result<Self, Ended> {
        state::renew_log(&*setting.disk, &setting.state_file)?;
        let store = Store::open_unlocked(&setting.state, setting.vault.clone(), STEPS)?;
        state::prepare(&store)?;
        store.verify()?;
        let names = Arc::new(Names::new(setting.disk.clone(), &setting.directories.files));
        let counters = Arc::new(Counters::default());
        let neighbours = Neighbours { ship: Arc::new(Bell::default()), counters: counters.clone() };
        let committer = Committer::recover(
            store.again(Access::Write)?,
            setting.disk.clone(),
            setting.directories.clone(),
            setting.policy,
            names.clone(),
            setting.clock.clone(),
            neighbours,
        )?;
        let queue = Arc::new(Queue::open(store.again(Access::Write)?)?);
        let (identity, key) = store.identity()?.ok_or("no device in the state")?;
        let recall = Recall::default();
        let (owed, due) = Owed::new();
        let neighbours = decrypt::Neighbours {
            owed,
            names: names.clone(),
            counters: counters.clone(),
            events: Events::only_logged(),
            recall: recall.clone(),
        };
        let mut workers = Vec::new();
        for _ in 0..setting.workers {
            let reader = Arc::new(Mutex::new(store.again(Access::Read)?));
            let engine = Engine::new(
                u16::try_from(identity.cipher_suite)?,
                &identity.credential,
                &key,
                Verifier::new(&identity.network_id, &identity.authentication_key),
                Arc::new(StoredKeyPackages(reader.clone())),
            )?;
            workers.push(Worker::new(engine, reader, neighbours.clone()));
        }
        let (health, healthy) = watch::channel(Health::default());
        let (connection, connected) = watch::channel(Some(setting.blobs.clone()));
        let fetcher = Fetcher {
            names,
            connection: connected,
            chunks: mpsc::channel(1).0,
            workers: Vec::new(),
            counters,
            health: healthy,
            pulse: Pulse::default(),
            pauses: fetch::PAUSES.with(pause::Dice::HIGH),
        };
        Ok(Self {
            store: Arc::new(Mutex::new(store)),
            committer,
            committer_failed: false,
            inputs: workers.iter().map(|_| VecDeque::new()).collect(),
            workers,
            outputs: VecDeque::new(),
            jobs: Vec::new(),
            chunks: VecDeque::new(),
            fetcher,
            queue,
            recall,
            recalls: 0,
            pending: BTreeMap::new(),
            due,
            setting,
            _health: health,
            _connection: connection,
        })
    }

    /// A new connection: tells what is safe, then takes what comes.
    pub fn connect(&mut self, network: &mut Network) -> Result<(), Ended> {
        self.recalls = self.recall.asked();
        let safe = Safe::stored(&self.store.lock().unwrap())?;
        safe.iter().for_each(|(id, seq)| super::disk::trace(&format!("has {} {seq}", &id.to_string()[..6])));
        let lost = safe.not_acknowledged(&network.states())?;
        network.acknowledge(&lost.iter().map(|(id, seq)| (*id, seq)).collect());
        self.inputs.iter_mut().for_each(|inputs| inputs.push_back(Input::Reconnected));
        network.connect();
        Ok(())
    }

    /// Does the bot want another connection?
    pub fn wants_connection(&self) -> bool {
        self.recall.asked() != self.recalls
    }

    /// Takes a delivery.
    pub fn take(&mut self, delivery: Delivery) -> Result<(), Ended> {
        let delivered = delivered(delivery, self.setting.clock.now_micros())?;
        let worker = worker_of(&delivered.conversation, NonZeroUsize::new(self.workers.len()).unwrap());
        self.inputs[worker].push_back(Input::Delivered(delivered));
        Ok(())
    }

    /// Has anybody anything to do?
    pub fn is_idle(&self) -> bool {
        let empty = self.inputs.iter().all(VecDeque::is_empty) && self.outputs.is_empty();
        empty && self.jobs.is_empty() && self.chunks.is_empty() && self.pending.is_empty()
    }

    /// A worker takes up to `most` of what it has. `false`: it has nothing.
    pub fn decrypt(&mut self, worker: usize, most: usize) -> Result<bool, Ended> {
        let worker = worker % self.workers.len();
        let inputs: Vec<Input> = {
            let queue = &mut self.inputs[worker];
            queue.drain(..queue.len().min(most)).collect()
        };
        if inputs.is_empty() {
            return Ok(false);
        }
        let outputs = &mut self.outputs;
        self.workers[worker].turn(inputs, &mut |output| {
            outputs.push_back(output);
            true
        })?;
        Ok(true)
    }

    /// What waits longest goes on: to the committer, or to be fetched if there is room.
    pub fn pass(&mut self) -> bool {
        match self.outputs.front() {
            None => return false,
            Some(Output::File(_)) if self.jobs.len() >= FETCHES_MAX => return false,
            Some(_) => {}
        }
        match self.outputs.pop_front() {
            Some(Output::Chunk(chunk)) => self.chunks.push_back(chunk),
            Some(Output::File(job)) => self.jobs.push(job),
            None => {}
        }
        true
    }

    /// One of the fetches comes to its end.
    pub fn fetch(&mut self, runtime: &Runtime, dice: &mut Dice) -> Result<bool, Ended> {
        if self.jobs.is_empty() {
            return Ok(false);
        }
        let job = self.jobs.swap_remove(usize::try_from(dice.below(self.jobs.len() as u64)).unwrap());
        let conversation = job.chunk.change.conversation;
        let chunk = runtime.block_on(self.fetcher.fill(job))?;
        self.chunks.push_back(chunk);
        let worker = worker_of(&conversation, NonZeroUsize::new(self.workers.len()).unwrap());
        self.inputs[worker].push_back(Input::Resume(conversation));
        Ok(true)
    }

    /// Commits up to `most` of the chunks that are ready.
    pub fn commit(&mut self, most: usize) -> Result<bool, Ended> {
        if self.chunks.is_empty() {
            return Ok(false);
        }
        let batch: Vec<Chunk> = self.chunks.drain(..self.chunks.len().min(most)).map(Chunk::from).collect();
        self.committer(|committer| committer.commit(batch))?;
        for (conversation, seq) in self.due.take().iter() {
            let highest = self.pending.entry(*conversation).or_default();
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
        for chunk in &self.chunks {
            self.pending.insert(chunk.change.conversation, chunk.change.cursor);
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
        self.rotate()
    }
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
