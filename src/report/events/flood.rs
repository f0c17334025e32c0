//! Floods of one kind of event, where a member can cause as many as it likes: the first of a conversation is told, the others
//! are counted, and told as a number when [`SUMMED_UP_AFTER`] has passed. A conversation that was quiet for so long is told
//! of at once again.
//!
//! What is only counted stands in the log at `debug`, and every message has its record whatever is told of it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::table::Event;
use retaind_protocol::ids::ConversationId;

/// How long the messages of a conversation are only counted.
pub const SUMMED_UP_AFTER: Duration = Duration::from_secs(10 * 60);
/// Conversations of which something was told lately; of more, the one that was told of longest ago is summed up early.
const CONVERSATIONS_MAX: usize = 4096;

/// What was told lately.
#[derive(Debug, Default)]
pub(super) struct Floods(Mutex<HashMap<ConversationId, Told>>);

#[derive(Debug, Clone, Copy)]
struct Told {
    at: Instant,
    more: u64,
}

impl Told {
    fn summary(self, conversation: ConversationId) -> Option<Event> {
        (self.more > 0).then_some(Event::MoreUndecryptable { conversation, count: self.more })
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) >= SUMMED_UP_AFTER
    }
}

impl Floods {
    fn lock(&self) -> MutexGuard<'_, HashMap<ConversationId, Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be told in place of an event: itself, nothing, or itself and what waited for it.
    pub(super) fn admit(&self, event: Event, now: Instant) -> Vec<Event> {
        let Event::Undecryptable { conversation, .. } = event else { return vec![event] };
        let mut told = self.lock();
        let mut tell = Vec::new();
        let full = told.len() >= CONVERSATIONS_MAX;
        match told.get_mut(&conversation) {
            Some(told) if !told.is_over(now) => {
                told.more = told.more.saturating_add(1);
                return tell;
            }
            Some(told) => tell.extend(told.summary(conversation)),
            None if full => {
                let oldest = told.iter().min_by_key(|(_, told)| told.at).map(|(conversation, _)| *conversation);
                tell.extend(oldest.and_then(|oldest| told.remove(&oldest)?.summary(oldest)));
            }
            None => {}
        }
        told.insert(conversation, Told { at: now, more: 0 });
        tell.push(event);
        tell
    }

    /// What has been counted for long enough; at the end, all of it.
    pub(super) fn sum_up(&self, now: Instant, end: End) -> Vec<Event> {
        let mut tell = Vec::new();
        self.lock().retain(|conversation, told| {
            if end == End::NotYet && !told.is_over(now) {
                return true;
            }
            let summary = told.summary(*conversation);
            *told = Told { at: now, more: 0 };
            let goes_on = summary.is_some();
            tell.extend(summary);
            goes_on
        });
        tell
    }
}

/// Does anything come after it?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    NotYet,
    Now,
}

#[cfg(test)]
mod tests {
    use super::*;
    use retaind_protocol::ids::ConversationKind;

    fn unreadable(conversation: u16, seq: u64) -> Event {
        let mut random = [0; 32];
        random[..2].copy_from_slice(&conversation.to_be_bytes());
        let conversation = ConversationId::from_random(ConversationKind::Room, random);
        Event::Undecryptable { conversation, seq, reason: format!("reason {seq}") }
    }

    fn count(events: &[Event]) -> Vec<u64> {
        let more = |event: &Event| if let Event::MoreUndecryptable { count, .. } = event { *count } else { 0 };
        events.iter().map(more).collect()
    }

    #[test]
    fn a_conversation_is_told_of_once_and_then_summed_up() {
        let (floods, start) = (Floods::default(), Instant::now());
        assert_eq!(floods.admit(Event::LoggedIn, start), [Event::LoggedIn]);
        assert_eq!(floods.admit(unreadable(1, 1), start), [unreadable(1, 1)]);
        for seq in 2..10_000 {
            assert_eq!(floods.admit(unreadable(1, seq), start), []);
        }
        assert_eq!(floods.admit(unreadable(2, 1), start), [unreadable(2, 1)]);
        assert_eq!(floods.sum_up(start, End::NotYet), []);
        let later = start + SUMMED_UP_AFTER;
        assert_eq!(count(&floods.sum_up(later, End::NotYet)), [9_998]);
        // it goes on
        assert_eq!(floods.admit(unreadable(1, 10_000), later), []);
        // the other one was quiet
        assert_eq!(floods.admit(unreadable(2, 2), later), [unreadable(2, 2)]);
        assert_eq!(count(&floods.sum_up(later, End::Now)), [1]);
        assert_eq!(floods.sum_up(later, End::Now), []);
    }

    #[test]
    fn what_was_not_summed_up_in_time_is_told_with_the_next_one() {
        let (floods, start) = (Floods::default(), Instant::now());
        for seq in 0..3 {
            floods.admit(unreadable(1, seq), start);
        }
        assert_eq!(count(&floods.admit(unreadable(1, 3), start + SUMMED_UP_AFTER)), [2, 0]);
    }

    #[test]
    fn the_number_of_conversations_is_bounded() {
        let (floods, start) = (Floods::default(), Instant::now());
        for conversation in 0..5_000 {
            let now = start + Duration::from_millis(conversation.into());
            floods.admit(unreadable(conversation, 1), now);
            floods.admit(unreadable(conversation, 2), now);
        }
        assert_eq!(floods.lock().len(), CONVERSATIONS_MAX);
        assert_eq!(floods.sum_up(start, End::Now).len(), CONVERSATIONS_MAX);
    }
}
