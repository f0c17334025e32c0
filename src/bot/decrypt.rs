//! Decrypts and formats: several workers, each conversation with one of them, in order.
//!
//! A worker takes whatever is queued (bounded), sorts it by conversation, and for each makes one [`Chunk`]: lines of
//! records and the MLS state after them. The state is taken out at the end of the chunk, so states and records that are
//! committed together belong together even while the worker is already ahead with the next turn.
//!
//! A message that brings a file ends its chunk, and its conversation waits until the file is safe; the others go on.
//!
//! Nothing is skipped: what cannot be read becomes a record that says why, with the ciphertext kept beside it. A message
//! delivered twice is recognised by the conversation's cursor, a missing one by the gap that it leaves.
//!
//! At a crash everything here is lost and made again from what the network still holds.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use lru::LruCache;
use thiserror::Error;
use tokio::sync::mpsc;

use super::batch::{Chunk, Delivered, RecordBuffer, SessionChange, Turn};
use super::fetch::{FileJob, Names};
use super::record::{KeyAction, RecordBody, RecordContext, SenderType, handshake_message_id};
use crate::device::mls::{Engine, EngineError, Membership, Proposed, Received, Session};
use crate::device::store::{Store, StoreError};
use crate::protocol::content::{Body, Content};
use crate::protocol::credential::{Identity, Role};
use crate::protocol::ids::{ConversationId, ConversationKind, UserName};
use crate::protocol::wire::DeliveryKind;

/// Messages taken in one turn: enough to share one state over many, few enough to be committed within a second.
const TURN_MESSAGES_MAX: usize = 256;
/// Ciphertext bytes taken in one turn.
const TURN_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Sessions that one worker keeps open.
const SESSIONS_OPEN_MAX: usize = 4096;

/// Why a worker stops. Restart is the recovery.
#[derive(Debug, Error)]
pub enum DecryptError {
    /// The state cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored session cannot be used.
    #[error("stored MLS state of conversation `{conversation}` cannot be used: {source}")]
    Session {
        /// Which.
        conversation: ConversationId,
        /// Why.
        source: EngineError,
    },
    /// A ciphertext could not be put beside its record.
    #[error(transparent)]
    Keep(#[from] super::fetch::FetchError),
}

/// What a worker is told.
#[derive(Debug)]
pub enum Input {
    /// A message.
    Delivered(Delivered),
    /// The file that this conversation waited for is safe, its chunk is on the way.
    Resume(ConversationId),
    /// The connection is new: what waits will be delivered again.
    Reconnected,
}

/// What a worker gives.
#[derive(Debug)]
pub enum Output {
    /// Ready to be committed.
    Chunk(Chunk),
    /// To be committed once its file is there.
    File(FileJob),
}

/// How far each worker's chunks are committed, told by the committer.
#[derive(Debug, Default, Clone)]
pub struct Committed(Arc<AtomicU64>);

impl Committed {
    /// All turns up to this one are committed.
    pub fn through(&self, turn: u64) {
        self.0.fetch_max(turn, Ordering::Release);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

struct Entry {
    session: Option<Session>,
    /// 0: nothing processed yet.
    cursor: u64,
    turn: u64,
    waiting: Option<VecDeque<Delivered>>,
    others: Option<Vec<UserName>>,
}

/// One worker.
pub struct Worker {
    index: usize,
    engine: Engine,
    store: Arc<Mutex<Store>>,
    entries: LruCache<ConversationId, Entry>,
    committed: Committed,
    turn: u64,
    names: Arc<Names>,
}

impl Worker {
    /// Worker number `index` with keys of its own and a store to read from.
    pub fn new(
        index: usize,
        engine: Engine,
        store: Arc<Mutex<Store>>,
        committed: Committed,
        names: Arc<Names>,
    ) -> Self {
        Self { index, engine, store, entries: LruCache::unbounded(), committed, turn: 0, names }
    }

    /// Works until `inputs` ends. `outputs` blocks when the next stage is behind.
    pub fn run(
        mut self,
        mut inputs: mpsc::Receiver<Input>,
        outputs: &mpsc::Sender<Output>,
    ) -> Result<(), DecryptError> {
        while let Some(first) = inputs.blocking_recv() {
            let mut taken = 0usize;
            let mut bytes = 0usize;
            let mut order: Vec<ConversationId> = Vec::new();
            let mut ready: HashMap<ConversationId, VecDeque<Delivered>> = HashMap::new();
            let mut next = Some(first);
            while let Some(input) = next {
                match input {
                    Input::Delivered(delivered) => {
                        taken = taken.saturating_add(1);
                        bytes = bytes.saturating_add(delivered.payload.len());
                        let queue = ready.entry(delivered.conversation).or_insert_with(|| {
                            order.push(delivered.conversation);
                            VecDeque::new()
                        });
                        queue.push_back(delivered);
                    }
                    Input::Resume(conversation) => {
                        let waiting =
                            self.entries.get_mut(&conversation).and_then(|entry| entry.waiting.take());
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
                        for (_, entry) in self.entries.iter_mut() {
                            if let Some(waiting) = &mut entry.waiting {
                                waiting.clear();
                            }
                        }
                        ready.clear();
                        order.clear();
                    }
                }
                next = if taken < TURN_MESSAGES_MAX && bytes < TURN_BYTES_MAX {
                    inputs.try_recv().ok()
                } else {
                    None
                };
            }
            self.turn = self.turn.saturating_add(1);
            for conversation in order {
                let Some(queue) = ready.remove(&conversation) else { continue };
                if let Some(output) = self.process(conversation, queue)?
                    && outputs.blocking_send(output).is_err()
                {
                    return Ok(());
                }
            }
            self.evict();
        }
        Ok(())
    }

    fn entry(&mut self, conversation: ConversationId) -> Result<Entry, DecryptError> {
        if let Some(entry) = self.entries.pop(&conversation) {
            return Ok(entry);
        }
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let (session, cursor) = match store.session(&conversation)? {
            Some((cursor, secrets, tree)) => {
                let session = self
                    .engine
                    .load(&conversation, secrets, &tree)
                    .map_err(|source| DecryptError::Session { conversation, source })?;
                (Some(session), cursor)
            }
            None => (None, store.cursor(&conversation)?.unwrap_or(0)),
        };
        Ok(Entry { session, cursor, turn: 0, waiting: None, others: None })
    }

    fn process(
        &mut self,
        conversation: ConversationId,
        mut queue: VecDeque<Delivered>,
    ) -> Result<Option<Output>, DecryptError> {
        let mut entry = self.entry(conversation)?;
        if let Some(waiting) = &mut entry.waiting {
            waiting.append(&mut queue);
            self.entries.put(conversation, entry);
            return Ok(None);
        }
        let mut records = RecordBuffer::default();
        let mut files = Vec::new();
        let mut file = None;
        while let Some(delivered) = queue.pop_front() {
            if delivered.seq <= entry.cursor {
                continue;
            }
            self.hole(&entry, &delivered, &mut records);
            entry.cursor = delivered.seq;
            match self.record(&mut entry, &delivered) {
                Read::Line(context, body) => {
                    records.push(delivered.received_at_micros, |out| context.append_line(&body.as_body(), out));
                }
                Read::File(context, content) => {
                    file = Some((context, content));
                    break;
                }
                Read::Unreadable(context, reason, kind, content) => {
                    let written = self.names.keep_ciphertext(&delivered)?;
                    let body = RecordBody::Unreadable {
                        reason: &reason,
                        kind,
                        size: u64::try_from(delivered.payload.len()).unwrap_or(u64::MAX),
                        sha256: &sha256(&delivered.payload),
                        ciphertextfile: Some(&written.name),
                        content: content.as_deref(),
                    };
                    records.push(delivered.received_at_micros, |out| context.append_line(&body, out));
                    files.push(written);
                }
            }
        }
        if records.is_empty() && file.is_none() {
            self.entries.put(conversation, entry);
            return Ok(None);
        }
        let session = match &mut entry.session {
            Some(session) => SessionChange::Stored(
                session.save().map_err(|source| DecryptError::Session { conversation, source })?,
            ),
            None => SessionChange::None,
        };
        let turn = Turn { worker: self.index, number: self.turn };
        entry.turn = self.turn;
        let chunk = Chunk { conversation, cursor: entry.cursor, records, session, files, turn };
        let output = match file {
            Some((context, content)) => {
                entry.waiting = Some(queue);
                Output::File(FileJob { chunk, context, content })
            }
            None => Output::Chunk(chunk),
        };
        self.entries.put(conversation, entry);
        Ok(Some(output))
    }

    /// Says so when messages between the last one and this one never came.
    fn hole(&self, entry: &Entry, delivered: &Delivered, records: &mut RecordBuffer) {
        let expected = entry.cursor.saturating_add(1);
        // before it was added (again) the bot was not to have the messages
        let rejoined = delivered.kind == DeliveryKind::Welcome && entry.session.is_none();
        if delivered.seq > expected && !rejoined {
            tracing::error!(
                conversation = %delivered.conversation, from = expected, to = delivered.seq.saturating_sub(1),
                "message gap: the network did not deliver these places of the conversation"
            );
            let context = self.context(delivered, expected);
            let body = RecordBody::Hole { from_seq: expected, to_seq: delivered.seq.saturating_sub(1) };
            records.push(delivered.received_at_micros, |out| context.append_line(&body, out));
        }
    }

    /// The context of a record whose sender only the network names.
    fn context(&self, delivered: &Delivered, seq: u64) -> RecordContext {
        let network_id = self.engine.own().network_id.clone();
        RecordContext {
            sender_network_id: network_id.clone(),
            network_id,
            sender: delivered.sender_user.clone(),
            sender_type: SenderType::Normal,
            device: delivered.sender_device.clone(),
            receiver: None,
            conversation: delivered.conversation,
            seq,
            received_micros: delivered.received_at_micros,
            message_id: handshake_message_id(&delivered.conversation, seq),
            sent_at_micros: delivered.accepted_at_micros,
        }
    }

    /// The context of a record whose sender MLS authenticates.
    fn authenticated(&self, delivered: &Delivered, sender: &Identity) -> RecordContext {
        let mut context = self.context(delivered, delivered.seq);
        context.sender_network_id.clone_from(&sender.network_id);
        context.sender = sender.user.to_string();
        context.device = sender.device.to_string();
        context.sender_type = match sender.role {
            Role::Guest => SenderType::Guest,
            Role::Normal | Role::Bot | Role::Network | Role::Unspecified => SenderType::Normal,
        };
        context
    }

    fn record(&self, entry: &mut Entry, delivered: &Delivered) -> Read {
        match delivered.kind {
            DeliveryKind::Welcome => self.join(entry, delivered),
            DeliveryKind::Application | DeliveryKind::Handshake => self.receive(entry, delivered),
            DeliveryKind::Unspecified => self.unreadable(delivered, "delivery of an unknown kind".to_owned()),
        }
    }

    fn unreadable(&self, delivered: &Delivered, reason: String) -> Read {
        tracing::error!(
            conversation = %delivered.conversation, seq = delivered.seq, reason,
            "message cannot be read: it is recorded with its ciphertext"
        );
        Read::Unreadable(self.context(delivered, delivered.seq), reason, None, None)
    }

    fn join(&self, entry: &mut Entry, delivered: &Delivered) -> Read {
        let session = match self.engine.join(&delivered.payload) {
            Ok(session) if *session.conversation() == delivered.conversation => session,
            Ok(_) => return self.unreadable(delivered, "welcome is of another conversation".to_owned()),
            Err(error) if error.is_unknown_key_package() => {
                tracing::error!(
                    conversation = %delivered.conversation,
                    "SERVER SUBMITTED FALLBACK KEY: not an active fallback key known to the client"
                );
                return self.unreadable(delivered, "welcome to a key package that this device does not hold".to_owned());
            }
            Err(error) => return self.unreadable(delivered, format!("welcome cannot be used: {error}")),
        };
        let members = match session.members() {
            Ok(members) => members,
            Err(error) => return self.unreadable(delivered, format!("members cannot be verified: {error}")),
        };
        let epoch = session.epoch();
        entry.session = Some(session);
        entry.others = None;
        Read::Line(
            self.context(delivered, delivered.seq),
            Line::Keys { action: KeyAction::Joined, epoch, members: self.users(&members) },
        )
    }

    fn receive(&self, entry: &mut Entry, delivered: &Delivered) -> Read {
        let Some(session) = &mut entry.session else {
            return self.unreadable(delivered, "this device has no keys of the conversation".to_owned());
        };
        let received = match session.receive(&delivered.payload) {
            Ok(received) => received,
            Err(error) => return self.unreadable(delivered, format!("message cannot be decrypted: {error}")),
        };
        match received {
            Received::Application { sender, data } => self.application(entry, delivered, &sender, &data),
            Received::Commit { committer, added, removed, own, epoch } => {
                entry.others = None;
                let line = self.commit(session, added, removed, epoch);
                let context = self.authenticated(delivered, &committer);
                if own == Membership::Removed {
                    tracing::warn!(
                        conversation = %delivered.conversation, by = %committer.user,
                        "the bot was removed from a conversation"
                    );
                    entry.session = None;
                }
                Read::Line(context, line)
            }
            Received::Proposal { sender, proposal, epoch } => {
                let context = match &sender {
                    Some(sender) => self.authenticated(delivered, sender),
                    None => self.context(delivered, delivered.seq),
                };
                let line = match (sender, proposal) {
                    (Some(sender), Proposed::Remove(gone)) if sender.device == gone.device => Line::Left(gone.user),
                    (None, Proposed::Add(_)) => {
                        Line::Keys { action: KeyAction::Retention, epoch, members: Vec::new() }
                    }
                    _ => Line::Keys { action: KeyAction::Proposal, epoch, members: Vec::new() },
                };
                Read::Line(context, line)
            }
        }
    }

    /// Users that came with their first device, or left with their last one.
    fn commit(&self, session: &Session, added: Vec<Identity>, removed: Vec<Identity>, epoch: u64) -> Line {
        let members = session.members().unwrap_or_default();
        let devices = |user: &UserName| members.iter().filter(|member| member.user == *user).count();
        let of = |all: &[Identity], user: &UserName| all.iter().filter(|one| one.user == *user).count();
        let mut came = self.users(&added);
        came.retain(|user| devices(user) <= of(&added, user) && of(&removed, user) == 0);
        let mut left = self.users(&removed);
        left.retain(|user| devices(user) == 0);
        if came.is_empty() && left.is_empty() {
            return Line::Keys { action: KeyAction::KeyUpdate, epoch, members: Vec::new() };
        }
        Line::Membership { added: came, deleted: left }
    }

    /// Names of users, each once, in order, without the bots.
    fn users(&self, members: &[Identity]) -> Vec<UserName> {
        let mut users: Vec<UserName> =
            members.iter().filter(|member| member.role != Role::Bot).map(|member| member.user.clone()).collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    fn application(&self, entry: &mut Entry, delivered: &Delivered, sender: &Identity, data: &[u8]) -> Read {
        let mut context = self.authenticated(delivered, sender);
        if delivered.conversation.kind() == ConversationKind::Direct {
            if entry.others.is_none() {
                let members = entry.session.as_ref().and_then(|session| session.members().ok());
                entry.others = members.map(|members| self.users(&members));
            }
            let others = entry.others.as_deref().unwrap_or_default();
            context.receiver = others.iter().find(|user| **user != sender.user).map(ToString::to_string);
        }
        match Content::decode(data) {
            Ok(content) => {
                context.message_id = content.message_id;
                context.sent_at_micros = content.sent_at_micros;
                match content.body {
                    Body::Unknown { kind, ref bytes, .. } => {
                        let reason = format!("message of kind {kind} is not known to this version");
                        Read::Unreadable(context, reason, Some(kind), Some(bytes.clone()))
                    }
                    Body::File { .. } => Read::File(context, content),
                    _ => Read::Line(context, Line::Content(Box::new(content))),
                }
            }
            Err(error) => {
                let reason = format!("content cannot be parsed: {error}");
                Read::Unreadable(context, reason, None, Some(data.to_vec()))
            }
        }
    }

    /// Lets go of sessions that were not used for long; only of what is committed, or an old state would come back.
    fn evict(&mut self) {
        let committed = self.committed.get();
        while self.entries.len() > SESSIONS_OPEN_MAX {
            let may_go = self
                .entries
                .peek_lru()
                .is_some_and(|(_, entry)| entry.turn <= committed && entry.waiting.is_none());
            if !may_go {
                return;
            }
            self.entries.pop_lru();
        }
    }
}

/// What a message became.
enum Read {
    Line(RecordContext, Line),
    File(RecordContext, Content),
    Unreadable(RecordContext, String, Option<u32>, Option<Vec<u8>>),
}

/// An owned [`RecordBody`].
enum Line {
    Content(Box<Content>),
    Membership { added: Vec<UserName>, deleted: Vec<UserName> },
    Left(UserName),
    Keys { action: KeyAction, epoch: u64, members: Vec<UserName> },
}

impl Line {
    fn as_body(&self) -> RecordBody<'_> {
        match self {
            Self::Content(content) => RecordBody::Content { content, file: None },
            Self::Membership { added, deleted } => RecordBody::Membership { added, deleted },
            Self::Left(user) => RecordBody::Left { user },
            Self::Keys { action, epoch, members } => {
                RecordBody::KeyEvent { action: *action, epoch: *epoch, members }
            }
        }
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0u8; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// Which of `workers` a conversation belongs to.
pub fn worker_of(conversation: &ConversationId, workers: NonZeroUsize) -> usize {
    let sum = conversation.as_bytes().iter().fold(0usize, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
    });
    sum.checked_rem(workers.get()).unwrap_or(0)
}
