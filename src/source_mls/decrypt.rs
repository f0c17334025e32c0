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
//! A crash loses everything here; it is made again from what the network still holds.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use thiserror::Error;
use tokio::sync::mpsc;

use retaind_archive::record::{
    Ciphertext, KeyAction, Record, RecordBody, RecordError, SenderType, Unreadable, handshake_message_id,
};
use retaind_bot::batch::{Context, RecordBuffer, WrittenFile};
use retaind_bot::files::{FilesError, Names};
use retaind_bot::watchdog::Pulse;
use retaind_device::mls::{Engine, EngineError, Membership, Proposed, Received, Session};
use retaind_device::store::{DeviceState as _, Store, StoreError};
use retaind_protocol::content::{Body, Content};
use retaind_protocol::credential::{Identity, Role};
use retaind_protocol::ids::{ConversationId, ConversationKind, UserName};
use retaind_protocol::wire::DeliveryKind;
use retaind_report::counters::Counters;
use retaind_report::events::{Event, Events};

use crate::change::{Decrypted, MlsChange, Owed, Progress, SessionChange};
use crate::delivery::{Delivered, Recall};
use crate::fetch::{FileJob, WantedFile};

/// Most messages of one turn: enough to share one state over many, few enough to be committed within a second.
const TURN_MESSAGES_MAX: usize = 256;
/// Most ciphertext bytes of one turn.
const TURN_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most sessions that one worker keeps open.
const SESSIONS_OPEN_MAX: usize = 8192;

/// Why a worker stops. Restart is the recovery.
#[derive(Debug, Error)]
pub enum DecryptError {
    /// The state cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored session cannot be used.
    #[error("stored MLS state of conversation `{conversation}` cannot be used")]
    Session {
        /// The conversation.
        conversation: ConversationId,
        /// The error of MLS.
        source: EngineError,
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
}

/// Output of a worker.
#[derive(Debug)]
pub enum Output {
    /// Ready to be committed.
    Chunk(Decrypted),
    /// To be committed once its files are safe.
    File(FileJob),
}

struct Entry {
    session: Option<Session>,
    /// Highest `seq` processed; 0: none yet.
    cursor: u64,
    turn: u64,
    waiting: Option<VecDeque<Delivered>>,
    others: Option<Vec<UserName>>,
    gap: Gap,
}

/// The assumption about messages that seem to be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    /// None are missing.
    None,
    /// The connection or the network has lost them: nothing more is taken before a new connection.
    Doubted,
    /// The network does not have them either, unless they come on this connection.
    Believed,
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
}

impl Worker {
    /// A worker with its own keys and a store to read from.
    pub fn new(engine: Engine, store: Arc<Mutex<Store>>, neighbours: Neighbours) -> Self {
        let network_id = engine.own().network_id.as_str().into();
        let entries = LruCache::unbounded();
        let Neighbours { owed, names, counters, events, recall } = neighbours;
        let progress = Progress::default();
        Self { engine, store, entries, progress, owed, turn: 0, names, network_id, counters, events, recall }
    }

    /// Works until `inputs` ends, or until the turn in hand is done once it is `stopping`. `outputs` blocks when the next
    /// stage is behind.
    pub fn run(
        mut self,
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
        self.open(&order)?;
        for conversation in order {
            let Some(queue) = ready.remove(&conversation) else { continue };
            if let Some(output) = self.process(conversation, queue)?
                && !hand_on(output)
            {
                return Ok(false);
            }
        }
        self.evict();
        Ok(true)
    }

    /// Opens the sessions that a turn needs and that are not open, on one snapshot of the state.
    fn open(&mut self, conversations: &[ConversationId]) -> Result<(), DecryptError> {
        let closed: Vec<ConversationId> =
            conversations.iter().filter(|conversation| !self.entries.contains(conversation)).copied().collect();
        if closed.is_empty() {
            return Ok(());
        }
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.snapshot(|store| {
            for conversation in closed {
                let entry = load(&self.engine, store, conversation)?;
                self.entries.put(conversation, entry);
            }
            Ok(())
        })
    }

    fn process(
        &mut self,
        conversation: ConversationId,
        mut queue: VecDeque<Delivered>,
    ) -> Result<Option<Output>, DecryptError> {
        let mut entry = self.entries.pop(&conversation).ok_or(DecryptError::NotOpen { conversation })?;
        if let Some(waiting) = &mut entry.waiting {
            waiting.append(&mut queue);
            self.entries.put(conversation, entry);
            return Ok(None);
        }
        let mut made = Made::default();
        let (mut known, mut deliveries) = (0usize, 0usize);
        while let Some(run) = next_run(&mut queue, &entry) {
            match run {
                Run::Known => known = known.saturating_add(1),
                Run::One(delivered) => {
                    if is_gap(&entry, &delivered) {
                        if entry.gap != Gap::Believed {
                            if entry.gap == Gap::None {
                                entry.gap = Gap::Doubted;
                                self.doubt(&entry, &delivered);
                            }
                            known = known.saturating_add(1);
                            continue;
                        }
                        self.hole(&entry, &delivered, made.records())?;
                    }
                    if entry.gap == Gap::Believed {
                        entry.gap = Gap::None;
                    }
                    deliveries = deliveries.saturating_add(1);
                    entry.cursor = delivered.seq;
                    let read = self.record(&mut entry, &delivered)?;
                    self.put(&mut made, &delivered, read)?;
                }
                Run::Applications(run) => {
                    let Some(session) = &mut entry.session else { continue };
                    if entry.gap == Gap::Believed {
                        entry.gap = Gap::None;
                    }
                    deliveries = deliveries.saturating_add(run.len());
                    let payloads: Vec<&[u8]> = run.iter().map(|delivered| delivered.payload.as_slice()).collect();
                    let received = session.receive_many(&payloads);
                    for (delivered, received) in run.iter().zip(received) {
                        entry.cursor = delivered.seq;
                        let read = self.received(&mut entry, delivered, received);
                        self.put(&mut made, delivered, read)?;
                    }
                }
            }
        }
        self.settled(known);
        if made.is_empty() {
            self.entries.put(conversation, entry);
            return Ok(None);
        }
        let session = match &mut entry.session {
            Some(session) => {
                SessionChange::Stored(session.save().map_err(|source| DecryptError::Session { conversation, source })?)
            }
            None => SessionChange::None,
        };
        entry.turn = self.turn;
        let Made { first: records, wanted, files } = made;
        let deliveries = u64::try_from(deliveries).unwrap_or(u64::MAX);
        let (turn, progress, owed) = (self.turn, self.progress.clone(), self.owed.clone());
        let change = MlsChange { conversation, cursor: entry.cursor, session, turn, progress, owed };
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

    /// This many messages are no longer in hand, without a record of this turn.
    fn settled(&self, messages: usize) {
        self.counters.messages_settled.add(u64::try_from(messages).unwrap_or(u64::MAX));
    }

    fn put(&self, made: &mut Made, delivered: &Delivered, read: Read) -> Result<(), DecryptError> {
        match read {
            Read::OwnedBody(context, line) => push(made.records(), &context, line.as_body())?,
            Read::File(context, content) => {
                made.wanted.push(WantedFile { context, content, after: RecordBuffer::default() });
            }
            Read::Unreadable(context, reason, plaintext) => {
                self.counters.messages_failed.add(1);
                let written = self.names.keep_ciphertext(
                    &delivered.payload,
                    &delivered.conversation,
                    delivered.seq,
                    delivered.received_at_micros,
                )?;
                let ciphertext = Ciphertext { size: written.length, sha256: written.sha256, file: Some(&written.name) };
                let unreadable = Unreadable { reason: &reason, ciphertext, plaintext: plaintext.as_deref() };
                push(made.records(), &context, RecordBody::Unreadable(unreadable))?;
                made.files.push(written);
            }
        }
        Ok(())
    }

    /// Messages between the last one and this one have not come. Only a new delivery shows whether they are lost.
    fn doubt(&self, entry: &Entry, delivered: &Delivered) {
        tracing::warn!(
            conversation = %delivered.conversation, from = entry.cursor.saturating_add(1), seq = delivered.seq,
            "a connection left messages out, they are asked for on a new one"
        );
        self.recall.ask();
    }

    /// Records that messages between the last one and this one never came.
    fn hole(&self, entry: &Entry, delivered: &Delivered, records: &mut RecordBuffer) -> Result<(), RecordError> {
        let (conversation, from) = (delivered.conversation, entry.cursor.saturating_add(1));
        let to = delivered.seq.saturating_sub(1);
        self.events.raise(Event::MessageGap { conversation, from, to });
        let context = self.context(delivered, from);
        push(records, &context, RecordBody::Hole { from_seq: from, to_seq: to })
    }

    /// The context of a record whose sender only the network names.
    fn context(&self, delivered: &Delivered, seq: u64) -> Context {
        Context {
            network_id: self.network_id.clone(),
            sender_network_id: self.network_id.clone(),
            sender: delivered.sender_user.clone(),
            sender_type: SenderType::Normal,
            device: delivered.sender_device,
            receiver: None,
            conversation: delivered.conversation,
            seq,
            received_micros: delivered.received_at_micros,
            message_id: handshake_message_id(&delivered.conversation, seq),
            sent_at_micros: delivered.accepted_at_micros,
        }
    }

    /// The context of a record whose sender MLS has authenticated.
    fn authenticated(&self, delivered: &Delivered, sender: &Identity) -> Context {
        Context {
            sender: Some(sender.user.clone()),
            device: Some(sender.device),
            sender_type: sender.role.into(),
            ..self.context(delivered, delivered.seq)
        }
    }

    fn record(&self, entry: &mut Entry, delivered: &Delivered) -> Result<Read, DecryptError> {
        match delivered.kind {
            DeliveryKind::Welcome => self.join(entry, delivered),
            DeliveryKind::Application | DeliveryKind::Handshake => Ok(self.receive(entry, delivered)),
            DeliveryKind::Unspecified => Ok(self.unreadable(delivered, "delivery of an unknown kind".to_owned())),
        }
    }

    fn unreadable(&self, delivered: &Delivered, reason: String) -> Read {
        let (conversation, seq) = (delivered.conversation, delivered.seq);
        self.events.raise(Event::Undecryptable { conversation, seq, reason: reason.clone() });
        Read::Unreadable(self.context(delivered, delivered.seq), reason, None)
    }

    fn join(&self, entry: &mut Entry, delivered: &Delivered) -> Result<Read, DecryptError> {
        let session = match self.engine.join(&delivered.payload) {
            Ok(session) if *session.conversation() == delivered.conversation => session,
            Ok(_) => return Ok(self.unreadable(delivered, "welcome is of another conversation".to_owned())),
            Err(source) if source.is_of_state() => {
                return Err(DecryptError::Unread { conversation: delivered.conversation, source });
            }
            Err(error) if error.is_unknown_key_package() => {
                let (conversation, seq) = (delivered.conversation, delivered.seq);
                self.events.raise(Event::UnknownFallbackKey { conversation, seq });
                let reason = "welcome to a key package that this device does not hold".to_owned();
                return Ok(Read::Unreadable(self.context(delivered, seq), reason, None));
            }
            Err(error) => return Ok(self.unreadable(delivered, format!("welcome cannot be used: {error}"))),
        };
        let members = match session.members() {
            Ok(members) => members,
            Err(error) => return Ok(self.unreadable(delivered, format!("members cannot be verified: {error}"))),
        };
        let epoch = session.epoch();
        entry.session = Some(session);
        entry.others = None;
        let line = OwnedBody::Joined { members: users(&members), epoch };
        Ok(Read::OwnedBody(self.context(delivered, delivered.seq), line))
    }

    fn receive(&self, entry: &mut Entry, delivered: &Delivered) -> Read {
        let Some(session) = &mut entry.session else {
            return self.unreadable(delivered, "this device has no keys of the conversation".to_owned());
        };
        let received = session.receive(&delivered.payload);
        self.received(entry, delivered, received)
    }

    fn received(&self, entry: &mut Entry, delivered: &Delivered, received: Result<Received, EngineError>) -> Read {
        let received = match received {
            Ok(received) => received,
            Err(error) => return self.unreadable(delivered, format!("message cannot be decrypted: {error}")),
        };
        match received {
            Received::Application { sender, data } => self.application(entry, delivered, &sender, &data),
            Received::Commit { committer, added, removed, own, epoch } => {
                entry.others = None;
                let members = entry.session.as_ref().and_then(|session| session.members().ok());
                let mut members = members.unwrap_or_default();
                if own == Membership::Removed {
                    // the session has ended: it keeps the members from before
                    members.retain(|one| !removed.iter().chain(&added).any(|other| other.device == one.device));
                    members.extend(added.iter().cloned());
                }
                let line = membership(&members, &added, &removed, epoch);
                let context = self.authenticated(delivered, &committer);
                if own == Membership::Removed {
                    tracing::warn!(
                        conversation = %delivered.conversation, by = %committer.user,
                        "the bot was removed from a conversation"
                    );
                    entry.session = None;
                }
                Read::OwnedBody(context, line)
            }
            Received::Proposal { sender, proposal, epoch } => {
                let context = match &sender {
                    Some(sender) => self.authenticated(delivered, sender),
                    None => self.context(delivered, delivered.seq),
                };
                let line = match (sender, proposal) {
                    (Some(sender), Proposed::Remove(gone)) if sender.device == gone.device => {
                        OwnedBody::Left(gone.user)
                    }
                    (None, Proposed::Add(_) | Proposed::Remove(_)) => OwnedBody::Keys(KeyAction::Retention, epoch),
                    _ => OwnedBody::Keys(KeyAction::Proposal, epoch),
                };
                Read::OwnedBody(context, line)
            }
        }
    }

    fn application(&self, entry: &mut Entry, delivered: &Delivered, sender: &Identity, data: &[u8]) -> Read {
        let mut context = self.authenticated(delivered, sender);
        if delivered.conversation.kind() == ConversationKind::Direct {
            if entry.others.is_none() {
                let members = entry.session.as_ref().and_then(|session| session.members().ok());
                entry.others = members.map(|members| users(&members));
            }
            let others = entry.others.as_deref().unwrap_or_default();
            context.receiver = others.iter().find(|user| **user != sender.user).cloned();
        }
        match Content::decode(data) {
            Ok(content) => {
                context.message_id = content.message_id;
                context.sent_at_micros = content.sent_at_micros;
                if let Body::File(_) = content.body {
                    Read::File(context, content)
                } else {
                    Read::OwnedBody(context, OwnedBody::Content(Box::new(content)))
                }
            }
            Err(error) => {
                let reason = format!("content cannot be parsed: {error}");
                let (conversation, seq) = (delivered.conversation, delivered.seq);
                self.events.raise(Event::Undecryptable { conversation, seq, reason: reason.clone() });
                Read::Unreadable(context, reason, Some(data.to_vec()))
            }
        }
    }

    /// Drops sessions that were not used for long; only committed ones, or an old state would come back.
    fn evict(&mut self) {
        let committed = self.progress.get();
        while self.entries.len() > SESSIONS_OPEN_MAX {
            let may_go = self
                .entries
                .peek_lru()
                .is_some_and(|(_, entry)| entry.turn < committed && entry.waiting.is_none() && entry.gap == Gap::None);
            if !may_go {
                return;
            }
            self.entries.pop_lru();
        }
    }
}

/// The inputs of one turn: `first` and what `next` gives, up to a turn's limits.
fn gather(first: Input, mut next: impl FnMut() -> Option<Input>) -> Vec<Input> {
    let (mut messages, mut bytes) = (0usize, 0usize);
    let mut inputs = Vec::new();
    let mut input = Some(first);
    while let Some(one) = input {
        match &one {
            Input::Delivered(delivered) => {
                messages = messages.saturating_add(1);
                bytes = bytes.saturating_add(delivered.payload.len());
            }
            Input::Resume(_) | Input::Reconnected => {}
        }
        inputs.push(one);
        input = if messages < TURN_MESSAGES_MAX && bytes < TURN_BYTES_MAX { next() } else { None };
    }
    inputs
}

/// A conversation as the state has it.
fn load(engine: &Engine, store: &Store, conversation: ConversationId) -> Result<Entry, DecryptError> {
    let (session, cursor) = match store.session(&conversation)? {
        Some((cursor, secrets, tree)) => {
            let session = engine
                .load(&conversation, secrets, &tree)
                .map_err(|source| DecryptError::Session { conversation, source })?;
            (Some(session), cursor)
        }
        None => (None, store.cursor(&conversation)?.unwrap_or(0)),
    };
    Ok(Entry { session, cursor, turn: 0, waiting: None, others: None, gap: Gap::None })
}

/// Are there messages missing between the last one and this one?
fn is_gap(entry: &Entry, delivered: &Delivered) -> bool {
    // messages from before it was added (again) were not meant for the bot
    let rejoined = delivered.kind == DeliveryKind::Welcome && entry.session.is_none();
    delivered.seq > entry.cursor.saturating_add(1) && !rejoined
}

/// The outcome of decrypting one message.
enum Read {
    OwnedBody(Context, OwnedBody),
    File(Context, Content),
    /// With the reason, and the plaintext if there is one.
    Unreadable(Context, String, Option<Vec<u8>>),
}

/// What a turn has made of one conversation so far.
#[derive(Default)]
struct Made {
    first: RecordBuffer,
    wanted: Vec<WantedFile>,
    files: Vec<WrittenFile>,
}

impl Made {
    /// The buffer for the next line.
    fn records(&mut self) -> &mut RecordBuffer {
        match self.wanted.last_mut() {
            Some(wanted) => &mut wanted.after,
            None => &mut self.first,
        }
    }

    fn is_empty(&self) -> bool {
        self.first.is_empty() && self.wanted.is_empty()
    }
}

/// The next messages in a conversation's queue.
enum Run {
    /// A message that was processed before.
    Known,
    /// Any other message.
    One(Delivered),
    /// Consecutive application messages for an open session.
    Applications(Vec<Delivered>),
}

fn next_run(queue: &mut VecDeque<Delivered>, entry: &Entry) -> Option<Run> {
    let first = queue.pop_front()?;
    if first.seq <= entry.cursor {
        return Some(Run::Known);
    }
    let follows =
        |next: &Delivered, seq: u64| next.kind == DeliveryKind::Application && Some(next.seq) == seq.checked_add(1);
    if entry.session.is_none() || !follows(&first, entry.cursor) {
        return Some(Run::One(first));
    }
    let mut seq = first.seq;
    let mut run = vec![first];
    while let Some(next) = queue.pop_front_if(|next| follows(next, seq)) {
        seq = next.seq;
        run.push(next);
    }
    Some(Run::Applications(run))
}

/// An owned [`RecordBody`].
enum OwnedBody {
    Content(Box<Content>),
    Membership { added: Vec<UserName>, deleted: Vec<UserName> },
    Left(UserName),
    Joined { members: Vec<UserName>, epoch: u64 },
    Keys(KeyAction<'static>, u64),
}

impl OwnedBody {
    fn as_body(&self) -> RecordBody<'_> {
        match self {
            Self::Content(content) => RecordBody::Content { content, file: None },
            Self::Membership { added, deleted } => RecordBody::Membership { added, deleted },
            Self::Left(user) => RecordBody::Left { user },
            Self::Joined { members, epoch } => {
                RecordBody::KeyEvent { action: KeyAction::Joined { members }, epoch: *epoch }
            }
            Self::Keys(action, epoch) => RecordBody::KeyEvent { action: *action, epoch: *epoch },
        }
    }
}

fn push(records: &mut RecordBuffer, context: &Context, body: RecordBody<'_>) -> Result<(), RecordError> {
    let record = Record { context: context.as_record(), body };
    records.push(context.received_micros, |out| record.append_line(out))
}

/// Users whose first device was added, and users whose last device was removed.
fn membership(members: &[Identity], added: &[Identity], removed: &[Identity], epoch: u64) -> OwnedBody {
    let devices = |all: &[Identity], user: &UserName| all.iter().filter(|one| one.user == *user).count();
    let mut came = users(added);
    came.retain(|user| devices(members, user) <= devices(added, user) && devices(removed, user) == 0);
    let mut left = users(removed);
    left.retain(|user| devices(members, user) == 0);
    if came.is_empty() && left.is_empty() {
        return OwnedBody::Keys(KeyAction::KeyUpdate, epoch);
    }
    OwnedBody::Membership { added: came, deleted: left }
}

/// Names of users, each once, in order, without bots.
fn users(members: &[Identity]) -> Vec<UserName> {
    let mut users: Vec<UserName> =
        members.iter().filter(|member| member.role != Role::Bot).map(|member| member.user.clone()).collect();
    users.sort_unstable();
    users.dedup();
    users
}

/// The index of the worker of a conversation, below `workers`.
pub fn worker_of(conversation: &ConversationId, workers: NonZeroUsize) -> usize {
    let sum =
        conversation.as_bytes().iter().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    sum.checked_rem(workers.get()).unwrap_or(0)
}
