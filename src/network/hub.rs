//! Who is connected, and who must hear when a conversation moves.
//!
//! The writer tells the hub what a batch did; the hub marks the conversations of the subscribers concerned and wakes
//! them. It never waits and never reads the disk: [`super::push`] does, at the pace of each connection.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

use super::delivery::entry::{Effects, Joined};
use super::delivery::queue::{Membership, Stint};
use retaind_protocol::limits::PUSH_MESSAGES_PER_CONVERSATION_MAX;

/// Bytes for the socket, and what they occupy until they are written.
pub(crate) struct Outgoing {
    pub(crate) bytes: Bytes,
    #[expect(dead_code, reason = "held until the bytes are written")]
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

/// The sending half of a connection. Unbounded as a channel: what goes in holds a permit of a bounded number.
pub(crate) type Outbound = mpsc::UnboundedSender<Outgoing>;

/// A connection that has logged in.
pub(crate) struct Peer {
    pub(crate) device: i64,
    pub(crate) outbound: Outbound,
    pub(crate) close: CancellationToken,
}

/// All connections and subscriptions.
#[derive(Default)]
pub(crate) struct Hub(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    next: u64,
    peers: HashMap<u64, Arc<Peer>>,
    subscribers: HashMap<i64, Arc<Subscriber>>,
    by_conversation: HashMap<i64, Vec<Arc<Subscriber>>>,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A device has logged in. Returns the connection's number.
    pub(crate) fn connect(&self, peer: Arc<Peer>) -> u64 {
        let mut inner = self.lock();
        inner.next = inner.next.wrapping_add(1);
        let number = inner.next;
        inner.peers.insert(number, peer);
        number
    }

    /// The connection has ended.
    pub(crate) fn disconnect(&self, number: u64, subscriber: Option<&Arc<Subscriber>>) {
        let mut inner = self.lock();
        inner.peers.remove(&number);
        if let Some(subscriber) = subscriber {
            inner.unsubscribe(subscriber);
        }
    }

    /// From now on the subscriber hears of new conversations. An earlier subscription of the device ends.
    pub(crate) fn subscribe(&self, subscriber: &Arc<Subscriber>) {
        let mut inner = self.lock();
        if let Some(earlier) = inner.subscribers.insert(subscriber.device, Arc::clone(subscriber)) {
            inner.unsubscribe(&earlier);
            earlier.close.cancel();
        }
    }

    /// From now on the subscriber hears of these conversations.
    pub(crate) fn listen(&self, subscriber: &Arc<Subscriber>, conversations: impl Iterator<Item = i64>) {
        let mut inner = self.lock();
        for conversation in conversations {
            inner.listen(conversation, subscriber);
        }
    }

    /// The subscriber has all of a conversation that it is no member of any more.
    pub(crate) fn forget(&self, subscriber: &Arc<Subscriber>, conversation: i64) {
        self.lock().forget(conversation, subscriber);
    }

    /// A batch is on stable storage.
    pub(crate) fn publish(&self, effects: &Effects) {
        let mut inner = self.lock();
        for joined in &effects.joined {
            if let Some(subscriber) = inner.subscribers.get(&joined.device).cloned() {
                subscriber.hear(Change::Joined(joined.clone()));
                inner.listen(joined.conversation, &subscriber);
            }
        }
        for (device, conversation, until) in &effects.left {
            if let Some(subscriber) = inner.subscribers.get(device) {
                subscriber.hear(Change::Left(*conversation, *until));
            }
        }
        for (conversation, head) in &effects.moved {
            for subscriber in inner.by_conversation.get(conversation).into_iter().flatten() {
                subscriber.hear(Change::Moved(*conversation, *head));
            }
        }
    }

    /// Sends the same bytes to every device (row) that is connected and for which they are.
    pub(crate) fn broadcast(&self, bytes: &Bytes, to: impl Fn(i64) -> bool) {
        for peer in self.lock().peers.values().filter(|peer| to(peer.device)) {
            // a connection that is just ending needs no notice
            let _ending = peer.outbound.send(Outgoing { bytes: bytes.clone(), permit: None });
        }
    }

    /// Ends the connections of devices that `must_go`.
    pub(crate) fn close(&self, must_go: impl Fn(i64) -> bool) {
        for peer in self.lock().peers.values().filter(|peer| must_go(peer.device)) {
            peer.close.cancel();
        }
    }
}

impl Inner {
    fn listen(&mut self, conversation: i64, subscriber: &Arc<Subscriber>) {
        let listeners = self.by_conversation.entry(conversation).or_default();
        if !listeners.iter().any(|listener| Arc::ptr_eq(listener, subscriber)) {
            listeners.push(Arc::clone(subscriber));
        }
    }

    fn forget(&mut self, conversation: i64, subscriber: &Arc<Subscriber>) {
        if let Some(listeners) = self.by_conversation.get_mut(&conversation) {
            listeners.retain(|listener| !Arc::ptr_eq(listener, subscriber));
            if listeners.is_empty() {
                self.by_conversation.remove(&conversation);
            }
        }
    }

    fn unsubscribe(&mut self, subscriber: &Arc<Subscriber>) {
        if self.subscribers.get(&subscriber.device).is_some_and(|current| Arc::ptr_eq(current, subscriber)) {
            self.subscribers.remove(&subscriber.device);
        }
        for conversation in subscriber.conversations() {
            self.forget(conversation, subscriber);
        }
    }
}

/// What a connection was promised to be pushed, and how much of it is on the way.
pub(crate) struct Subscriber {
    pub(crate) device: i64,
    pub(crate) close: CancellationToken,
    pub(crate) wake: Notify,
    state: Mutex<State>,
}

enum Change {
    Joined(Joined),
    Left(i64, u64),
    Moved(i64, u64),
}

struct State {
    /// What was heard before the database had been read; nothing afterwards.
    early: Option<Vec<Change>>,
    conversations: HashMap<i64, Entry>,
    rows: HashMap<String, i64>,
    /// Conversations with something to push, in turn.
    ready: VecDeque<i64>,
    window_messages: usize,
    window_bytes: u64,
    on_the_way_messages: usize,
    on_the_way_bytes: u64,
}

struct Entry {
    id: Arc<str>,
    stints: VecDeque<Stint>,
    head: u64,
    /// Everything up to here was pushed.
    pushed: u64,
    unacknowledged: VecDeque<(u64, u64)>,
    ready: bool,
}

/// One conversation to read next.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    pub(crate) conversation: i64,
    pub(crate) id: Arc<str>,
    pub(crate) stint: Stint,
    pub(crate) after: u64,
    pub(crate) head: u64,
    pub(crate) messages: usize,
}

impl Entry {
    fn due(&self) -> Option<Stint> {
        if self.unacknowledged.len() >= PUSH_MESSAGES_PER_CONVERSATION_MAX {
            return None;
        }
        let stint = self.stints.iter().find(|stint| stint.until_seq.is_none_or(|until| until > self.pushed))?;
        let last = stint.until_seq.unwrap_or(self.head).min(self.head);
        (last > self.pushed && last >= stint.from_seq).then_some(*stint)
    }
}

impl State {
    fn mark(&mut self, conversation: i64) {
        if let Some(entry) = self.conversations.get_mut(&conversation)
            && !entry.ready
            && entry.due().is_some()
        {
            entry.ready = true;
            self.ready.push_back(conversation);
        }
    }
}

impl State {
    fn enter(&mut self, membership: Membership) {
        let row = membership.conversation;
        let stints: VecDeque<Stint> = membership
            .stints
            .into_iter()
            .filter(|stint| stint.until_seq.is_none_or(|until| until > stint.acked_seq))
            .collect();
        let Some(first) = stints.front() else {
            return;
        };
        let entry = Entry {
            id: membership.id.as_str().into(),
            pushed: first.acked_seq,
            stints,
            head: membership.head_seq,
            unacknowledged: VecDeque::new(),
            ready: false,
        };
        self.rows.insert(membership.id, row);
        self.conversations.insert(row, entry);
        self.mark(row);
    }

    /// Each event may be in the database's answer already: then it changes nothing.
    fn hear(&mut self, event: Change) {
        match event {
            Change::Joined(joined) => {
                let before = joined.from_seq.saturating_sub(1);
                let entry = self.conversations.entry(joined.conversation).or_insert_with(|| Entry {
                    id: joined.id.as_str().into(),
                    stints: VecDeque::new(),
                    head: before,
                    pushed: before,
                    unacknowledged: VecDeque::new(),
                    ready: false,
                });
                if entry.stints.back().is_none_or(|last| last.from_seq < joined.from_seq) {
                    let (from_seq, welcomed) = (joined.from_seq, joined.welcomed);
                    entry.stints.push_back(Stint { from_seq, until_seq: None, acked_seq: before, welcomed });
                }
                self.rows.insert(joined.id, joined.conversation);
            }
            Change::Left(conversation, until) => {
                if let Some(entry) = self.conversations.get_mut(&conversation) {
                    let open = |stint: &&mut Stint| stint.until_seq.is_none() && stint.from_seq < until;
                    if let Some(stint) = entry.stints.iter_mut().find(open) {
                        stint.until_seq = Some(until);
                    }
                }
            }
            Change::Moved(conversation, head) => {
                if let Some(entry) = self.conversations.get_mut(&conversation) {
                    entry.head = entry.head.max(head);
                }
                self.mark(conversation);
            }
        }
    }
}

impl Subscriber {
    pub(crate) fn new(device: i64, close: CancellationToken, window_messages: usize, window_bytes: u64) -> Self {
        Self {
            device,
            close,
            wake: Notify::new(),
            state: Mutex::new(State {
                early: Some(Vec::new()),
                conversations: HashMap::new(),
                rows: HashMap::new(),
                ready: VecDeque::new(),
                window_messages,
                window_bytes,
                on_the_way_messages: 0,
                on_the_way_bytes: 0,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn conversations(&self) -> Vec<i64> {
        self.lock().conversations.keys().copied().collect()
    }

    /// Takes over what the database says, then what was heard while it was read.
    pub(crate) fn load(&self, memberships: Vec<Membership>) {
        let mut state = self.lock();
        for membership in memberships {
            state.enter(membership);
        }
        for event in state.early.take().unwrap_or_default() {
            state.hear(event);
        }
        drop(state);
        self.wake.notify_one();
    }

    fn hear(&self, event: Change) {
        let mut state = self.lock();
        match &mut state.early {
            Some(early) => early.push(event),
            None => state.hear(event),
        }
        drop(state);
        self.wake.notify_one();
    }

    /// The device has everything of a conversation up to `seq`, on stable storage. Returns the conversation if the
    /// device is no member any more and has all of it.
    pub(crate) fn acknowledged(&self, id: &str, seq: u64) -> Option<i64> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let row = *state.rows.get(id)?;
        let entry = state.conversations.get_mut(&row)?;
        while let Some((_, bytes)) = entry.unacknowledged.pop_front_if(|(pushed, _)| *pushed <= seq) {
            state.on_the_way_messages = state.on_the_way_messages.saturating_sub(1);
            state.on_the_way_bytes = state.on_the_way_bytes.saturating_sub(bytes);
        }
        while entry.stints.pop_front_if(|stint| stint.until_seq.is_some_and(|until| until <= seq)).is_some() {}
        // acknowledged without having been pushed here: it was fetched
        entry.pushed = entry.pushed.max(seq.min(entry.head));
        let over = entry.stints.is_empty();
        if over {
            state.conversations.remove(&row);
            state.rows.remove(id);
        } else {
            state.mark(row);
        }
        drop(guard);
        self.wake.notify_one();
        over.then_some(row)
    }

    /// What to read next: conversations in turn, `each_most` messages of each, as far as the window allows.
    pub(crate) fn plan(&self, conversations_most: usize, each_most: usize) -> (Vec<Due>, usize, u64) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let messages = state.window_messages.saturating_sub(state.on_the_way_messages);
        let bytes = state.window_bytes.saturating_sub(state.on_the_way_bytes);
        let mut due = Vec::new();
        if messages == 0 || bytes == 0 {
            return (due, 0, 0);
        }
        while due.len() < conversations_most
            && let Some(conversation) = state.ready.pop_front()
        {
            let Some(entry) = state.conversations.get_mut(&conversation) else {
                continue;
            };
            entry.ready = false;
            if let Some(stint) = entry.due() {
                let room = PUSH_MESSAGES_PER_CONVERSATION_MAX.saturating_sub(entry.unacknowledged.len());
                due.push(Due {
                    conversation,
                    id: Arc::clone(&entry.id),
                    stint,
                    after: entry.pushed,
                    head: entry.head,
                    messages: room.min(each_most),
                });
            }
        }
        (due, messages, bytes)
    }

    /// These were read of a conversation and will be pushed. Returns how many of them are new: what was acknowledged
    /// while it was read is not pushed.
    pub(crate) fn pushed(&self, conversation: i64, through: u64, messages: &[(u64, u64)]) -> Vec<u64> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let mut new = Vec::with_capacity(messages.len());
        if let Some(entry) = state.conversations.get_mut(&conversation) {
            for (seq, bytes) in messages {
                if *seq > entry.pushed {
                    entry.unacknowledged.push_back((*seq, *bytes));
                    state.on_the_way_messages = state.on_the_way_messages.saturating_add(1);
                    state.on_the_way_bytes = state.on_the_way_bytes.saturating_add(*bytes);
                    new.push(*seq);
                }
            }
            entry.pushed = entry.pushed.max(through);
        }
        state.mark(conversation);
        new
    }

    /// A conversation that was planned but not read keeps its turn.
    pub(crate) fn not_read(&self, conversation: i64) {
        let mut state = self.lock();
        if let Some(entry) = state.conversations.get_mut(&conversation)
            && !entry.ready
        {
            entry.ready = true;
            state.ready.push_front(conversation);
        }
    }
}
