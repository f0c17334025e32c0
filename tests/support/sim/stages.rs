//! What is between the simulated network and the chunks: the stages of a source, each doing one step when it is told to. The
//! MLS network's are the real ones, wired as its source does it; the model's are the model's.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use retaind::bot::files::Names;
use retaind::bot::source::Chunk;
use retaind::bot::watchdog::{Health, Pulse};
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
use retaind::source_mls::delivery::{Recall, Strict};
use retaind::source_mls::fetch::{self, FETCHES_MAX, Fetcher};
use retaind::source_mls::limits::KEPT_CIPHERTEXT;
use retaind::source_mls::receive::delivered;
use retaind::source_mls::wanted::FileJob;
use retaind::state::StoreError;
use retaind::state::schema::Step;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use super::bot::Ended;
use super::network::{Network, SimBlobs};
use super::recording::Recording;
use crate::support::source_model::{self as model, Intake, Taken};
use crate::support::traffic::Dice;

/// Which source lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The MLS network.
    Mls,
    /// The MLS network, with members who poison conversations.
    Poisoned,
    /// The model of a source.
    Model,
}

impl Kind {
    /// The versions of its state.
    pub fn steps(self) -> &'static [Step] {
        match self {
            Self::Mls | Self::Poisoned => STEPS,
            Self::Model => model::STEPS,
        }
    }

    /// What it receives.
    pub fn recording(self) -> Arc<Recording> {
        match self {
            Self::Mls => Recording::kept(),
            Self::Poisoned => Recording::poisoned(),
            Self::Model => Recording::of_model(),
        }
    }

    /// Is the state whole?
    pub fn check(self, store: &Store) -> Result<(), StoreError> {
        match self {
            Self::Mls | Self::Poisoned => store.verify(),
            Self::Model => Ok(()),
        }
    }

    /// Its stages, from the state alone.
    pub fn stages(self, around: Around) -> Result<Box<dyn Stages>, Ended> {
        Ok(match self {
            Self::Mls | Self::Poisoned => Box::new(MlsStages::new(around)?),
            Self::Model => Box::new(ModelStages::new(&around)?),
        })
    }
}

/// What stages are made of.
pub struct Around {
    pub store: Store,
    pub names: Arc<Names>,
    pub counters: Arc<Counters>,
    pub blobs: Arc<SimBlobs>,
    pub workers: usize,
}

/// A chunk on its way to the commit, and how far it reaches in which conversation.
pub struct Ready {
    pub conversation: ConversationId,
    pub cursor: u64,
    pub chunk: Chunk,
}

impl From<Decrypted> for Ready {
    fn from(decrypted: Decrypted) -> Self {
        let (conversation, cursor) = (decrypted.change.conversation, decrypted.change.cursor);
        Self { conversation, cursor, chunk: decrypted.into() }
    }
}

/// The stages of a source.
pub trait Stages {
    /// A new connection: tells what is safe.
    fn connect(&mut self, network: &mut Network) -> Result<(), Ended>;
    /// Is another connection wanted?
    fn wants_connection(&self) -> bool;
    /// Takes a delivery that came at `received_micros`.
    fn take(&mut self, delivery: Delivery, received_micros: i64) -> Result<(), Ended>;
    /// Is there nothing to do?
    fn is_idle(&self) -> bool;
    /// A worker takes up to `most` of what it has. `false`: it has nothing.
    fn work(&mut self, worker: usize, most: usize) -> Result<bool, Ended>;
    /// What waits longest goes on: to the committer, or to be fetched if there is room.
    fn pass(&mut self, ready: &mut VecDeque<Ready>) -> bool;
    /// One of the fetches comes to its end.
    fn fetch(&mut self, ready: &mut VecDeque<Ready>, runtime: &Runtime, dice: &mut Dice) -> Result<bool, Ended>;
    /// What has become durable since the last time.
    fn due(&mut self) -> Vec<(ConversationId, u64)>;
}

/// The MLS network's.
struct MlsStages {
    store: Store,
    workers: Vec<Worker>,
    inputs: Vec<VecDeque<Input>>,
    outputs: VecDeque<Output>,
    jobs: Vec<FileJob>,
    fetcher: Fetcher<SimBlobs>,
    recall: Recall,
    recalls: u64,
    due: Due,
    /// Keep the channels of the fetcher open.
    _health: watch::Sender<Health>,
    _connection: watch::Sender<Option<Arc<SimBlobs>>>,
}

impl MlsStages {
    fn new(around: Around) -> Result<Self, Ended> {
        let Around { store, names, counters, blobs, workers: most } = around;
        let (identity, key) = store.identity()?.ok_or("no device in the state")?;
        let recall = Recall::default();
        let (owed, due) = Owed::new();
        let neighbours = decrypt::Neighbours {
            owed,
            names: names.clone(),
            counters: counters.clone(),
            events: Events::only_logged(),
            recall: recall.clone(),
            strict: Strict::default(),
        };
        let mut workers = Vec::new();
        for _ in 0..most {
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
        let (connection, connected) = watch::channel(Some(blobs));
        let fetcher = Fetcher {
            names,
            connection: connected,
            chunks: mpsc::channel(1).0,
            workers: Vec::new(),
            counters,
            health: healthy,
            pulse: Pulse::default(),
            pauses: fetch::PAUSES.with(pause::Dice::HIGH),
            kept_bytes_max: KEPT_CIPHERTEXT.value,
        };
        Ok(Self {
            store,
            inputs: workers.iter().map(|_| VecDeque::new()).collect(),
            workers,
            outputs: VecDeque::new(),
            jobs: Vec::new(),
            fetcher,
            recall,
            recalls: 0,
            due,
            _health: health,
            _connection: connection,
        })
    }

    fn inputs_of(&mut self, conversation: &ConversationId) -> &mut VecDeque<Input> {
        let worker = worker_of(conversation, NonZeroUsize::new(self.workers.len()).unwrap());
        &mut self.inputs[worker]
    }
}

impl Stages for MlsStages {
    fn connect(&mut self, network: &mut Network) -> Result<(), Ended> {
        self.recalls = self.recall.asked();
        let safe = Safe::stored(&self.store)?;
        safe.iter().for_each(|(id, seq)| super::trace(&format!("has {} {seq}", &id.to_string()[..6])));
        let lost = safe.not_acknowledged(&network.states())?;
        network.acknowledge(&lost.iter().map(|(id, seq)| (*id, seq)).collect());
        self.inputs.iter_mut().for_each(|inputs| inputs.push_back(Input::Reconnected));
        Ok(())
    }

    fn wants_connection(&self) -> bool {
        self.recall.asked() != self.recalls
    }

    fn take(&mut self, delivery: Delivery, received_micros: i64) -> Result<(), Ended> {
        let delivered = delivered(delivery, received_micros)?;
        self.inputs_of(&delivered.conversation).push_back(Input::Delivered(delivered));
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.inputs.iter().all(VecDeque::is_empty) && self.outputs.is_empty() && self.jobs.is_empty()
    }

    fn work(&mut self, worker: usize, most: usize) -> Result<bool, Ended> {
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

    fn pass(&mut self, ready: &mut VecDeque<Ready>) -> bool {
        match self.outputs.front() {
            None => return false,
            Some(Output::File(_)) if self.jobs.len() >= FETCHES_MAX => return false,
            Some(_) => {}
        }
        match self.outputs.pop_front() {
            Some(Output::Chunk(chunk)) => ready.push_back(chunk.into()),
            Some(Output::File(job)) => self.jobs.push(job),
            None => {}
        }
        true
    }

    fn fetch(&mut self, ready: &mut VecDeque<Ready>, runtime: &Runtime, dice: &mut Dice) -> Result<bool, Ended> {
        if self.jobs.is_empty() {
            return Ok(false);
        }
        let job = self.jobs.swap_remove(usize::try_from(dice.below(self.jobs.len() as u64)).unwrap());
        let conversation = job.chunk.change.conversation;
        let chunk = runtime.block_on(self.fetcher.fill(job))?;
        ready.push_back(chunk.into());
        self.inputs_of(&conversation).push_back(Input::Resume(conversation));
        Ok(true)
    }

    fn due(&mut self) -> Vec<(ConversationId, u64)> {
        self.due.take().iter().map(|(id, seq)| (*id, seq)).collect()
    }
}

/// The model's: it fetches nothing, and has one worker.
struct ModelStages {
    intake: Intake,
    inputs: VecDeque<(Delivery, i64)>,
    outputs: VecDeque<Ready>,
    wants_connection: bool,
    due: mpsc::UnboundedReceiver<(ConversationId, u64)>,
}

impl ModelStages {
    fn new(around: &Around) -> Result<Self, Ended> {
        let (intake, due) = Intake::new(around.store.again(Access::Read)?, around.names.clone())?;
        Ok(Self { intake, inputs: VecDeque::new(), outputs: VecDeque::new(), wants_connection: false, due })
    }
}

impl Stages for ModelStages {
    fn connect(&mut self, network: &mut Network) -> Result<(), Ended> {
        self.wants_connection = false;
        // it comes again, in order
        self.inputs.clear();
        let safe: BTreeMap<ConversationId, u64> = self.intake.committed()?;
        network.acknowledge(&safe);
        Ok(())
    }

    fn wants_connection(&self) -> bool {
        self.wants_connection
    }

    fn take(&mut self, delivery: Delivery, received_micros: i64) -> Result<(), Ended> {
        self.inputs.push_back((delivery, received_micros));
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.inputs.is_empty() && self.outputs.is_empty()
    }

    fn work(&mut self, _: usize, most: usize) -> Result<bool, Ended> {
        let inputs: Vec<(Delivery, i64)> = self.inputs.drain(..self.inputs.len().min(most)).collect();
        for (delivery, received_micros) in &inputs {
            match self.intake.take(delivery, *received_micros)? {
                Taken::New(chunk) => {
                    let conversation = delivery.conversation.parse().unwrap();
                    self.outputs.push_back(Ready { conversation, cursor: delivery.seq, chunk });
                }
                Taken::Known => {}
                Taken::Gap => self.wants_connection = true,
            }
        }
        Ok(!inputs.is_empty())
    }

    fn pass(&mut self, ready: &mut VecDeque<Ready>) -> bool {
        let Some(output) = self.outputs.pop_front() else { return false };
        ready.push_back(output);
        true
    }

    fn fetch(&mut self, _: &mut VecDeque<Ready>, _: &Runtime, _: &mut Dice) -> Result<bool, Ended> {
        Ok(false)
    }

    fn due(&mut self) -> Vec<(ConversationId, u64)> {
        std::iter::from_fn(|| self.due.try_recv().ok()).collect()
    }
}
