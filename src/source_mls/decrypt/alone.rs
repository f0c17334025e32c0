//! Turns of workers that say what they have in hand ([`crate::hand`]): a conversation's deliveries at once, or a suspect's one by
//! one, alone.

use std::collections::{HashMap, VecDeque};
use std::sync::PoisonError;

use retaind_protocol::ids::ConversationId;

use super::entry::{Entry, Gap};
use super::session::{closed, load};
use super::turn::is_gap;
use super::{DecryptError, Output, Worker};
use crate::delivery::Delivered;
use crate::limits::DEATHS;

/// First and last place in a queue; `None`: it is empty.
fn places(queue: &VecDeque<Delivered>) -> Option<(u64, u64)> {
    let (front, back) = (queue.front()?.seq, queue.back()?.seq);
    Some((front.min(back).max(1), front.max(back).max(1)))
}

impl Worker {
    /// Opens the sessions that a turn needs and that are not open, on one snapshot of the state.
    pub(super) fn open(
        &mut self,
        order: &[ConversationId],
        ready: &HashMap<ConversationId, VecDeque<Delivered>>,
    ) -> Result<(), DecryptError> {
        let is_closed = |conversation: &&ConversationId| {
            !self.entries.contains(conversation) && !self.hand.is_suspect(conversation)
        };
        let closed: Vec<ConversationId> = order.iter().filter(is_closed).copied().collect();
        if closed.is_empty() {
            return Ok(());
        }
        let hands = self.hand.hands();
        let others = hands.among_others();
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.snapshot(|store| {
            for conversation in closed {
                if let Some((first, last)) = ready.get(&conversation).and_then(places) {
                    self.hand.take_to_open(conversation, first, last);
                }
                let entry = load(&self.engine, store, conversation)?;
                self.entries.put(conversation, entry);
            }
            Ok::<_, DecryptError>(())
        })?;
        if others.is_some() {
            self.hand.rest();
        }
        Ok(())
    }

    /// Processes what is ready of a conversation, and hands it on. `false`: the next stage has ended.
    pub(super) fn handle(
        &mut self,
        conversation: ConversationId,
        queue: VecDeque<Delivered>,
        hand_on: &mut dyn FnMut(Output) -> bool,
    ) -> Result<bool, DecryptError> {
        if self.hand.is_suspect(&conversation) {
            for delivered in queue {
                if let Some(output) = self.alone(conversation, delivered)?
                    && !hand_on(output)
                {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        let output = {
            let hands = self.hand.hands();
            let others = hands.among_others();
            if let Some((first, last)) = places(&queue) {
                self.hand.take(conversation, first, last);
            }
            let output = self.process(conversation, queue)?;
            if others.is_some() {
                self.hand.rest();
            }
            output
        };
        Ok(output.is_none_or(hand_on))
    }

    /// Processes one delivery of a suspect conversation, while no other worker has any in hand.
    fn alone(&mut self, conversation: ConversationId, delivered: Delivered) -> Result<Option<Output>, DecryptError> {
        let seq = delivered.seq;
        let hands = self.hand.hands();
        let _alone = hands.alone();
        self.hand.take(conversation, seq.max(1), seq.max(1));
        let condemned = self.hand.condemns(&conversation, seq);
        if !self.entries.contains(&conversation) {
            let entry = {
                let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
                match &condemned {
                    // its keys may be what the process dies of
                    Some(why) => closed(&store, conversation, why.clone())?,
                    None => load(&self.engine, &store, conversation)?,
                }
            };
            self.entries.put(conversation, entry);
        }
        if let Some(why) = condemned
            && let Some(entry) = self.entries.peek_mut(&conversation)
            && set_apart(entry, &delivered, why)
        {
            self.counters.refusals.count(&DEATHS);
        }
        let output = self.process(conversation, VecDeque::from([delivered]))?;
        if let Some(entry) = self.entries.peek(&conversation) {
            self.hand.passed(&conversation, entry.cursor);
        }
        self.hand.rest();
        Ok(output)
    }
}

/// From this delivery on the conversation is lost, and MLS does not see it. `false`: its turn has not come.
fn set_apart(entry: &mut Entry, delivered: &Delivered, why: String) -> bool {
    let comes_again = entry.session.is_some() && is_gap(entry, delivered) && entry.gap != Gap::Believed;
    if entry.waiting.is_some() || delivered.seq <= entry.cursor || comes_again {
        return false;
    }
    (entry.session, entry.others) = (None, None);
    entry.broken.get_or_insert(why);
    true
}
