//! Groups as the ledger keeps them, and those that are loaded.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use lru::LruCache;
use mls_rs::external_client::ExternalSnapshot;

use super::Group;
use crate::delivery::entry::ConversationRow;
use crate::error::{ChangeError, Refusal};
use crate::keys::Keys;
use crate::ledger::View;
use retaind_protocol::limits::SESSION_BYTES_MAX;

/// Loaded groups: some kilobytes each, more for large rooms.
const GROUPS_LOADED_MAX: NonZeroUsize = NonZeroUsize::new(512).unwrap();
/// How long one is kept that nobody needs: as long as people take to answer each other.
const IDLE: Duration = Duration::from_secs(30);

struct Loaded {
    group: Group,
    used: Instant,
}

impl Loaded {
    fn now(group: Group) -> Self {
        Self { group, used: Instant::now() }
    }
}

/// The group as the ledger keeps it, if its members can keep it too.
pub(crate) fn encode(group: &Group) -> Result<Vec<u8>, Refusal> {
    let bytes = group.snapshot().to_bytes().map_err(|error| {
        tracing::error!(%error, "the state of a conversation cannot be encoded");
        Refusal::unavailable()
    })?;
    if bytes.len() > SESSION_BYTES_MAX {
        let message = format!(
            "the conversation would have a state of {} bytes: at most {SESSION_BYTES_MAX} are allowed",
            bytes.len()
        );
        return Err(Refusal::over(&crate::agreed::SESSION, message));
    }
    Ok(bytes)
}

fn decode_group(keys: &Keys, conversation: &ConversationRow, tree: Option<Vec<u8>>) -> Result<Group, Refusal> {
    let group = tree.and_then(|bytes| {
        let snapshot = ExternalSnapshot::from_bytes(&bytes).ok()?;
        keys.suite(u32::from(conversation.suite))?.observer.load_group(snapshot).ok()
    });
    group.ok_or_else(|| {
        let ConversationRow { row, suite, .. } = conversation;
        tracing::error!(conversation = row, suite, "the state of a conversation cannot be read");
        Refusal::unavailable()
    })
}

/// Loaded groups by conversation row. What a change put here is kept or undone with it. Emptied whenever a batch was not
/// committed: it may be ahead of the ledger then.
pub(crate) struct Groups {
    loaded: LruCache<i64, Loaded>,
    /// Conversations (rows) that the present change put here.
    fresh: Vec<i64>,
}

impl Groups {
    pub(crate) fn new() -> Self {
        Self { loaded: LruCache::new(GROUPS_LOADED_MAX), fresh: Vec::new() }
    }

    pub(crate) fn clear(&mut self) {
        self.loaded.clear();
        self.fresh.clear();
    }

    /// The group of a conversation, from memory or from its snapshot.
    pub(crate) fn load(
        &mut self,
        rows: &dyn View,
        keys: &Keys,
        conversation: &ConversationRow,
    ) -> Result<&Group, ChangeError> {
        let row = conversation.row;
        if !self.loaded.contains(&row) {
            let group = decode_group(keys, conversation, rows.tree(row)?)?;
            self.loaded.put(row, Loaded::now(group));
        }
        let loaded = self.loaded.get_mut(&row).ok_or_else(Refusal::unavailable)?;
        loaded.used = Instant::now();
        Ok(&loaded.group)
    }

    /// Takes over what the present change has written.
    pub(crate) fn put(&mut self, row: i64, group: Group) {
        self.loaded.put(row, Loaded::now(group));
        self.fresh.push(row);
    }

    /// The present change was accepted. What was not used for long is dropped.
    pub(crate) fn keep(&mut self) {
        self.fresh.clear();
        let now = Instant::now();
        let is_idle = |loaded: &Loaded| now.saturating_duration_since(loaded.used) > IDLE;
        while self.loaded.peek_lru().is_some_and(|(_, loaded)| is_idle(loaded)) {
            self.loaded.pop_lru();
        }
    }

    /// The present change was refused: its groups are loaded again.
    pub(crate) fn undo(&mut self) {
        for row in self.fresh.drain(..) {
            self.loaded.pop(&row);
        }
    }
}
