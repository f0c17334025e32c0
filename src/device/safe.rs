//! What this device has stored, and may therefore acknowledge.
//!
//! The network forgets what a device has acknowledged. So an acknowledgement takes a [`Safe`], and a place gets into one in two
//! ways only: with the proof of the commit that stored it, or by reading what the state holds. Nothing is acknowledged that is
//! only in memory.

use std::collections::BTreeMap;

use retaind_protocol::ids::{ConversationId, IdError};
use retaind_protocol::wire::{Acknowledge, ConversationState, Cursor, Request};
use retaind_state::{Committed, Store, StoreError};

use super::connection::{Connection, ConnectionError};
use super::store::DeviceState;

/// Most cursors in one acknowledgement.
const CURSORS_MAX: usize = 4096;

/// Conversations, each with its highest place that is on stable storage.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Safe(BTreeMap<ConversationId, u64>);

impl Safe {
    /// All places that the state holds.
    pub fn stored(store: &Store) -> Result<Self, StoreError> {
        Ok(Self(store.conversations()?.into_iter().collect()))
    }

    /// One place of one conversation, if the state holds it.
    pub(crate) fn stored_through(store: &Store, conversation: &ConversationId, seq: u64) -> Result<Self, StoreError> {
        let stored = store.cursor(conversation)?.filter(|cursor| *cursor >= seq);
        Ok(Self(stored.map(|_| (*conversation, seq)).into_iter().collect()))
    }

    /// Adds a place stored by the transaction of `proof`.
    pub fn add<T>(&mut self, conversation: ConversationId, seq: u64, _proof: &Committed<T>) {
        let highest = self.0.entry(conversation).or_default();
        *highest = (*highest).max(seq);
    }

    /// Merges `other` into this.
    pub fn append(&mut self, other: Self) {
        for (conversation, seq) in other.0 {
            let highest = self.0.entry(conversation).or_default();
            *highest = (*highest).max(seq);
        }
    }

    /// Is there nothing to acknowledge?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Conversations with their places, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&ConversationId, u64)> {
        self.0.iter().map(|(conversation, seq)| (conversation, *seq))
    }

    /// The acknowledgement of the first [`CURSORS_MAX`] of these.
    pub(crate) fn request(&self) -> Request {
        let cursor =
            |(conversation, seq): (&ConversationId, u64)| Cursor { conversation: conversation.to_string(), seq };
        Request::Acknowledge(Acknowledge { cursors: self.iter().take(CURSORS_MAX).map(cursor).collect() })
    }

    /// What is safe here and not acknowledged `there`: lost acknowledgements. None goes beyond what the network has.
    pub fn not_acknowledged(&self, there: &[ConversationState]) -> Result<Self, IdError> {
        let mut lost = BTreeMap::new();
        for there in there {
            let conversation: ConversationId = there.conversation.parse()?;
            let Some(&cursor) = self.0.get(&conversation) else { continue };
            if there.head_seq < cursor {
                tracing::error!(
                    %conversation, network = there.head_seq, archived = cursor,
                    "network has forgotten messages that are archived: was it restored from an old copy?"
                );
            }
            if there.acknowledged_seq < cursor {
                lost.insert(conversation, cursor.min(there.head_seq));
            }
        }
        Ok(Self(lost))
    }
}

impl Connection {
    /// Acknowledges what is `safe` and takes it out; after an error, what was not acknowledged is still in it.
    pub async fn acknowledge(&self, safe: &mut Safe) -> Result<(), ConnectionError> {
        while !safe.is_empty() {
            self.call_done(safe.request()).await?;
            let next = safe.0.keys().nth(CURSORS_MAX).copied();
            safe.0 = match next {
                Some(next) => safe.0.split_off(&next),
                None => BTreeMap::new(),
            };
        }
        Ok(())
    }
}
