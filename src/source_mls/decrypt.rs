//! Decrypts and formats: several workers, each conversation with one of them, in order.
//!
//! A worker takes what is queued (bounded), sorts it by conversation, and for each makes one [`Decrypted`]: lines of
//! records and the MLS state after them. The state is exported at the end of the chunk, so states and records that are
//! committed together belong together even if the worker is already ahead with the next turn.
//!
//! A chunk with files waits until they are safe, and with it its conversation; the others continue.
//!
//! Nothing is skipped: what cannot be read becomes a record that says why, with the ciphertext kept beside it. A message
//! delivered twice is recognised by the conversation's cursor, a missing one by the gap that it leaves. A gap is believed only
//! when it is there on a new connection as well: one that lost or swapped deliveries must not make a hole of a message that
//! the network has.
//!
//! A crash loses everything here; it is made again from what the network still holds. What a worker has in hand is noted in
//! [`crate::hand`]: a delivery that ends the process must not end the archive.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lru::LruCache;
use thiserror::Error;
use tokio::sync::mpsc;

use retaind_archive::record::{RecordBody, RecordError};
use retaind_bot::files::{FilesError, Names};
use retaind_bot::watchdog::Pulse;
use retaind_device::mls::{Engine, EngineError};
use retaind_device::store::{Store, StoreError};
use retaind_protocol::ids::ConversationId;
use retaind_report::counters::Counters;
use retaind_report::events::Events;

mod alone;
mod entry;
mod lost;
mod read;
mod session;
mod turn;

use self::entry::{Entry, Gap};
use self::read::{Read, push};
use self::session::session_change;
pub use self::turn::worker_of;
use self::turn::{Made, Run, gather, is_gap, next_run};
use crate::change::{Decrypted, MlsChange, Owed, Progress, SessionChange};
use crate::delivery::{Delivered, Recall, Strict};
use crate::hand::Hand;
use crate::kept::Kept;
use crate::limits::KEPT_MESSAGES;
use crate::wanted::{FileJob, Message, Refused, WantedFile};

/// Most messages of one turn: enough to share one state over many, few enough to be committed within a second.
const TURN_MESSAGES_MAX: usize = 256;
/// Most ciphertext bytes of one turn.
const TURN_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most sessions that one worker keeps open.
const SESSIONS_OPEN_MAX: usize = 512;
/// How long a session is kept that nobody needs: as long as people take to answer each other.
const IDLE: Duration = Duration::from_secs(30);

/// Why a worker stops. Restart is the recovery.
#[derive(Debug, Error)]
pub enum DecryptError {
    /// The state cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The messages of a conversation panic even where nothing is done but to keep them: a defect.
    #[error("messages of conversation `{conversation}` cannot be kept, recording them panicked")]
    Panicked {
        /// The conversation.
        conversation: ConversationId,
    },
    /// The state could not be read when a Welcome asked for its key: the message is not to blame.
    #[error(
        "the key for a welcome to conversation `{conversation}` cannot be read from the state, does its disk work?"
    )]
    Unread {
        /// The conversation.
        conversation: ConversationId,
        /// The error of MLS.
        source: EngineError,
    },
    /// [`Worker::open`] has not opened the session: a defect, and no message of it may be skipped.
    #[error("conversation `{conversation}` was not opened before its messages were processed")]
    NotOpen {
        /// The conversation.
        conversation: ConversationId,
    },
    /// A ciphertext could not be put beside its record.
    #[error(transparent)]
    Keep(#[from] FilesError),
    /// A record could not be formatted.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Input of a worker.
#[derive(Debug)]
pub enum Input {
    /// A message.
    Delivered(Delivered),
    /// The file that this conversation waited for is safe, and its chunk is on the way.
    Resume(ConversationId),
    /// The connection is new: messages that wait here will be delivered again.
    Reconnected,
    /// Time has passed: what is not needed any more can go.
    Look,
}

/// Output of a worker.
#[derive(Debug)]
pub enum Output {
    /// Ready to be committed.
    Chunk(Decrypted),
    /// To be committed once its files are safe.
    File(FileJob),
}

/// What a worker needs from other stages.
#[derive(Clone)]
pub struct Neighbours {
    /// Where acknowledgements wait.
    pub owed: Owed,
    /// Names for ciphertexts that are kept.
    pub names: Arc<Names>,
    /// Counters for metrics and health.
    pub counters: Arc<Counters>,
    /// Events for operators.
    pub events: Events,
    /// Requests a new connection, for messages that this one has left out.
    pub recall: Recall,
    /// Does the network wait for the bot in every epoch?
    pub strict: Strict,
}

/// One worker.
pub struct Worker {
    engine: Engine,
    store: Arc<Mutex<Store>>,
    entries: LruCache<ConversationId, Entry>,
    progress: Progress,
    owed: Owed,
    turn: u64,
    names: Arc<Names>,
    network_id: Arc<str>,
    counters: Arc<Counters>,
    events: Events,
    recall: Recall,
    strict: Strict,
    hand: Hand,
    kept: Kept,
}

impl Worker {
    /// A worker with its own keys and a store to read from.
    pub fn new(engine: Engine, store: Arc<Mutex<Store>>, neighbours: Neighbours) -> Self {
        let network_id = engine.own().network_id.as_str().into();
        let entries = LruCache::unbounded();
        let Neighbours { owed, names, counters, events, recall, strict } = neighbours;
        let (progress, hand, kept) = (Progress::default(), Hand::none(), Kept::of(KEPT_MESSAGES.value, 0));
        let turn = 0;
        Self {
            engine,
            store,
            entries,
            progress,
            owed,
            turn,
            names,
            network_id,
            counters,
            events,
            recall,
            strict,
            hand,
            kept,
        }
    }

    /// Notes in `hand` what it is about to process, and keeps of lost conversations what `kept` has room for.
    #[must_use]
    pub fn noting(self, hand: Hand, kept: Kept) -> Self {
        Self { hand, kept, ..self }
    }

    /// Works until `inputs` ends, or until the turn in hand is done once it is `stopping`. `outputs` blocks when the next
    /// stage is behind.
    pub fn run(
        mut self,
        inputs: mpsc::Receiver<Input>,
        outputs: &mpsc::Sender<Output>,
        stopping: &AtomicBool,
        pulse: &Pulse,
    ) -> Result<(), DecryptError> {
        let ended = self.work(inputs, outputs, stopping, pulse);
        match &ended {
            // the delivery is to blame: the next start counts it
            Err(DecryptError::Panicked { .. }) => {}
            Ok(()) | Err(_) => self.hand.rest(),
        }
        ended
    }

    fn work(
        &mut self,
        mut inputs: mpsc::Receiver<Input>,
        outputs: &mpsc::Sender<Output>,
        stopping: &AtomicBool,
        pulse: &Pulse,
    ) -> Result<(), DecryptError> {
        // checked before as well as after the wait: the last turn may have taken the wake-up for this one
        while !stopping.load(Ordering::Acquire)
            && let Some(first) = inputs.blocking_recv()
        {
            if stopping.load(Ordering::Acquire) {
                // what is not begun is not acknowledged: it will be delivered again
                return Ok(());
            }
            let turn = gather(first, || inputs.try_recv().ok());
            pulse.works();
            let mut hand_on = |output| {
                pulse.works();
                outputs.blocking_send(output).is_ok()
            };
            if !self.turn(turn, &mut hand_on)? {
                return Ok(());
            }
            pulse.rests();
        }
        Ok(())
    }

    /// One turn: deliveries are sorted by conversation, and each result goes to `hand_on`, which returns
    /// whether the next stage still runs. `false`: it does not.
    pub fn turn(&mut self, inputs: Vec<Input>, hand_on: &mut dyn FnMut(Output) -> bool) -> Result<bool, DecryptError> {
        let mut order: Vec<ConversationId> = Vec::new();
        let mut ready: HashMap<ConversationId, VecDeque<Delivered>> = HashMap::new();
        for input in inputs {
            match input {
                Input::Delivered(delivered) => {
                    let queue = ready.entry(delivered.conversation).or_insert_with(|| {
                        order.push(delivered.conversation);
                        VecDeque::new()
                    });
                    queue.push_back(delivered);
                }
                Input::Resume(conversation) => {
                    let turn = self.turn.saturating_add(1);
                    let waiting = self.entries.get_mut(&conversation).and_then(|entry| {
                        // its file's chunk is on the way to the commit, ahead of all of this turn
                        entry.turn = turn;
                        entry.waiting.take()
                    });
                    if let Some(mut waiting) = waiting.filter(|waiting| !waiting.is_empty()) {
                        let queue = ready.entry(conversation).or_insert_with(|| {
                            order.push(conversation);
                            VecDeque::new()
                        });
                        waiting.append(queue);
                        *queue = waiting;
                    }
                }
                Input::Look => {}
                Input::Reconnected => {
                    let mut dropped = ready.values().map(VecDeque::len).fold(0, usize::saturating_add);
                    for (_, entry) in self.entries.iter_mut() {
                        if entry.gap == Gap::Doubted {
                            entry.gap = Gap::Believed;
                        }
                        if let Some(waiting) = &mut entry.waiting {
                            dropped = dropped.saturating_add(waiting.len());
                            waiting.clear();
                        }
                    }
                    self.settled(dropped);
                    ready.clear();
                    order.clear();
                }
            }
        }
        self.turn = self.turn.saturating_add(1);
        self.open(&order, &ready)?;
        for conversation in order {
            let Some(queue) = ready.remove(&conversation) else { continue };
            if !self.handle(conversation, queue, hand_on)? {
                return Ok(false);
            }
        }
        self.hand.rest();
        self.evict();
        Ok(true)
    }

    fn process(
        &mut self,
        conversation: ConversationId,
        mut queue: VecDeque<Delivered>,
    ) -> Result<Option<Output>, DecryptError> {
        let mut entry = self.entries.pop(&conversation).ok_or(DecryptError::NotOpen { conversation })?;
        entry.used = Instant::now();
        if let Some(waiting) = &mut entry.waiting {
            waiting.append(&mut queue);
            self.entries.put(conversation, entry);
            return Ok(None);
        }
        let (made, session) = self.safely(conversation, &mut entry, queue)?;
        self.settled(made.known);
        if made.is_empty() {
            self.entries.put(conversation, entry);
            return Ok(None);
        }
        entry.turn = self.turn;
        let Made { first: records, wanted, files, deliveries, lost, reports, held, .. } = made;
        let lost = self.kept.admit(lost, &self.counters.refusals);
        let deliveries = u64::try_from(deliveries).unwrap_or(u64::MAX);
        let (cursor, turn, progress, owed) = (entry.cursor, self.turn, self.progress.clone(), self.owed.clone());
        let change = MlsChange { conversation, cursor, lost, session, turn, progress, owed, reports, held };
        let chunk = Decrypted { records, files, deliveries, change };
        let output = if wanted.is_empty() {
            Output::Chunk(chunk)
        } else {
            entry.waiting = Some(VecDeque::new());
            Output::File(FileJob { chunk, wanted })
        };
        self.entries.put(conversation, entry);
        Ok(Some(output))
    }

    /// Reads the queue. Whatever goes wrong with this conversation alone, it is the only one to suffer: what cannot be kept, or
    /// panics, is tried once more without its keys, which records every message with its ciphertext.
    fn safely(
        &self,
        conversation: ConversationId,
        entry: &mut Entry,
        queue: VecDeque<Delivered>,
    ) -> Result<(Made, SessionChange), DecryptError> {
        let (again, cursor, gap) = (queue.clone(), entry.cursor, entry.gap);
        let (lost, broken, reports) = (entry.lost.clone(), entry.broken.clone(), entry.reports);
        let why = match catch_unwind(AssertUnwindSafe(|| self.attempt(entry, queue))) {
            Ok(Err(error)) => return Err(error),
            Ok(Ok(made)) => match session_change(entry) {
                Ok(session) => return Ok((made, session)),
                Err(why) => {
                    for file in &made.files {
                        self.names.give_up(&file.temporary)?;
                    }
                    why
                }
            },
            Err(_) => "processing its messages panicked".to_owned(),
        };
        tracing::debug!(%conversation, why, "a conversation is set apart");
        // nothing of the first try is kept, not even that the conversation was lost in it
        (entry.cursor, entry.gap, entry.lost, entry.reports) = (cursor, gap, lost, reports);
        (entry.session, entry.others) = (None, None);
        entry.broken = entry.lost.is_none().then(|| broken.unwrap_or(why));
        match catch_unwind(AssertUnwindSafe(|| self.attempt(entry, again))) {
            Ok(made) => Ok((made?, SessionChange::None)),
            Err(_) => Err(DecryptError::Panicked { conversation }),
        }
    }

    fn attempt(&self, entry: &mut Entry, mut queue: VecDeque<Delivered>) -> Result<Made, DecryptError> {
        let mut made = Made::default();
        while let Some(run) = next_run(&mut queue, entry) {
            match run {
                Run::Known => made.known = made.known.saturating_add(1),
                Run::One(delivered) => {
                    if is_gap(entry, &delivered) {
                        if entry.gap != Gap::Believed {
                            if entry.gap == Gap::None {
                                entry.gap = Gap::Doubted;
                                self.doubt(entry, &delivered);
                            }
                            made.known = made.known.saturating_add(1);
                            continue;
                        }
                        self.hole(entry, &delivered, made.records())?;
                    }
                    if entry.gap == Gap::Believed {
                        entry.gap = Gap::None;
                    }
                    made.take(std::slice::from_ref(&delivered));
                    entry.cursor = delivered.seq;
                    let read = match entry.broken.take() {
                        Some(why) => self.lose(entry, &delivered, &mut made, why)?,
                        None => self.record(entry, &delivered, &mut made)?,
                    };
                    self.put(&mut made, &delivered, read)?;
                }
                Run::Applications(run) => {
                    let Some(session) = &mut entry.session else { continue };
                    if entry.gap == Gap::Believed {
                        entry.gap = Gap::None;
                    }
                    made.take(&run);
                    let payloads: Vec<&[u8]> = run.iter().map(|delivered| delivered.payload.as_slice()).collect();
                    let received = session.receive_many(&payloads);
                    for (delivered, received) in run.iter().zip(received) {
                        entry.cursor = delivered.seq;
                        let read = self.received(entry, delivered, received, &mut made)?;
                        self.put(&mut made, delivered, read)?;
                    }
                }
            }
        }
        Ok(made)
    }

    /// This many messages are no longer in hand, without a record of this turn.
    fn settled(&self, messages: usize) {
        self.counters.messages_settled.add(u64::try_from(messages).unwrap_or(u64::MAX));
    }

    fn put(&self, made: &mut Made, delivered: &Delivered, read: Read) -> Result<(), DecryptError> {
        match read {
            Read::OwnedBody(context, line) => push(made.records(), &context, line.as_body())?,
            Read::File(context, content) => made.wanted.push(WantedFile::new(context, Message::Content(content))),
            Read::Unreadable(context, reason, plaintext) => {
                self.counters.messages_failed.add(1);
                let Delivered { payload, conversation, seq, received_at_micros, .. } = delivered;
                let kept = self.names.keep_ciphertext(payload, conversation, *seq, *received_at_micros)?;
                made.files.push(kept.clone());
                let refused = Refused { reason, plaintext, kept };
                if refused.file().is_some() {
                    made.wanted.push(WantedFile::new(context, Message::Refused(refused)));
                } else {
                    push(made.records(), &context, RecordBody::Unreadable(refused.as_record()))?;
                }
            }
        }
        Ok(())
    }

    /// Drops sessions that were not used for long; only committed ones, or an old state would come back.
    fn evict(&mut self) {
        let (committed, now) = (self.progress.get(), Instant::now());
        while let Some((_, entry)) = self.entries.peek_lru() {
            let is_old = self.entries.len() > SESSIONS_OPEN_MAX || now.saturating_duration_since(entry.used) > IDLE;
            if !is_old || entry.turn >= committed || entry.waiting.is_some() || entry.gap != Gap::None {
                return;
            }
            self.entries.pop_lru();
        }
    }
}
