//! What one connection was promised to be pushed, and how much of it is on the way: a window, and conversations in turn.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::delivery::entry::Joined;
use super::delivery::queue::{Membership, Stint};
use retaind_protocol::limits::PUSH_MESSAGES_PER_CONVERSATION_MAX;

/// What a connection was promised to be pushed, and how much of it is on the way.
pub(crate) struct Subscriber {
    pub(crate) device: i64,
    pub(crate) close: CancellationToken,
    pub(crate) wake: Notify,
    state: Mutex<State>,
}

/// What a subscriber hears of a conversation.
pub(crate) enum Change {
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

    pub(crate) fn conversations(&self) -> Vec<i64> {
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

    pub(crate) fn hear(&self, event: Change) {
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
