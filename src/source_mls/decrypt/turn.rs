//! One turn of a worker: what is taken together, and what was made of one conversation.

use std::collections::VecDeque;
use std::num::NonZeroUsize;

use retaind_bot::batch::{RecordBuffer, WrittenFile};
use retaind_protocol::ids::ConversationId;
use retaind_protocol::wire::{DeliveryKind, Reported};

use super::entry::Entry;
use super::{Input, TURN_BYTES_MAX, TURN_MESSAGES_MAX};
use crate::change::LostStep;
use crate::delivery::{Delivered, Held};
use crate::wanted::WantedFile;

/// The inputs of one turn: `first` and what `next` gives, up to a turn's limits.
pub(super) fn gather(first: Input, mut next: impl FnMut() -> Option<Input>) -> Vec<Input> {
    let (mut messages, mut bytes) = (0usize, 0usize);
    let mut inputs = Vec::new();
    let mut input = Some(first);
    while let Some(one) = input {
        match &one {
            Input::Delivered(delivered) => {
                messages = messages.saturating_add(1);
                bytes = bytes.saturating_add(delivered.payload.len());
            }
            Input::Resume(_) | Input::Reconnected | Input::Look => {}
        }
        inputs.push(one);
        input = if messages < TURN_MESSAGES_MAX && bytes < TURN_BYTES_MAX { next() } else { None };
    }
    inputs
}

/// Are there messages missing between the last one and this one?
pub(super) fn is_gap(entry: &Entry, delivered: &Delivered) -> bool {
    // messages from before it was added (again) were not meant for the bot
    let rejoined = delivered.kind == DeliveryKind::Welcome && (entry.session.is_none() || entry.lost.is_some());
    delivered.seq > entry.cursor.saturating_add(1) && !rejoined
}

/// What a turn has made of one conversation so far.
#[derive(Default)]
pub(super) struct Made {
    pub(super) first: RecordBuffer,
    pub(super) wanted: Vec<WantedFile>,
    pub(super) files: Vec<WrittenFile>,
    /// Number of deliveries that it accounts for.
    pub(super) deliveries: usize,
    /// Deliveries that were known, or are not taken yet.
    pub(super) known: usize,
    /// What becomes of a conversation that cannot be followed.
    pub(super) lost: Vec<LostStep>,
    /// What the network is told once all of it is durable.
    pub(super) reports: Vec<Reported>,
    /// The memory that its deliveries hold until then.
    pub(super) held: Vec<Held>,
}

impl Made {
    /// The buffer for the next line.
    pub(super) fn records(&mut self) -> &mut RecordBuffer {
        match self.wanted.last_mut() {
            Some(wanted) => &mut wanted.after,
            None => &mut self.first,
        }
    }

    /// These are accounted for.
    pub(super) fn take(&mut self, run: &[Delivered]) {
        self.deliveries = self.deliveries.saturating_add(run.len());
        self.held.extend(run.iter().map(|delivered| delivered.held.clone()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty() && self.wanted.is_empty()
    }
}

/// The next messages in a conversation's queue.
pub(super) enum Run {
    /// A message that was processed before.
    Known,
    /// Any other message.
    One(Delivered),
    /// Consecutive application messages for an open session.
    Applications(Vec<Delivered>),
}

pub(super) fn next_run(queue: &mut VecDeque<Delivered>, entry: &Entry) -> Option<Run> {
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

/// The index of the worker of a conversation, below `workers`.
pub fn worker_of(conversation: &ConversationId, workers: NonZeroUsize) -> usize {
    let sum =
        conversation.as_bytes().iter().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    sum.checked_rem(workers.get()).unwrap_or(0)
}
