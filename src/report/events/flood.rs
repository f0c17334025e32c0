//! Floods of events that members can cause as many of as they like. Of messages that cannot be read the first of a conversation
//! is told, the others are counted, and told as a number when [`SUMMED_UP_AFTER`] has passed. A conversation that was quiet for
//! so long is told of at once again. Of all conversations together [`TOLD_MAX`] events are told in that time; of more, the
//! number of each kind.
//!
//! What is only counted stands in the log at `debug`, and every message has its record whatever is told of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::table::Event;
use retaind_protocol::ids::ConversationId;

/// How long events are only counted.
pub const SUMMED_UP_AFTER: Duration = Duration::from_secs(10 * 60);
/// Events of members that are told one by one within [`SUMMED_UP_AFTER`], and conversations whose messages are summed up each
/// on its own.
const TOLD_MAX: usize = 16;

/// What was told lately.
#[derive(Debug, Default)]
pub(super) struct Floods(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Conversations with messages that cannot be read.
    conversations: HashMap<ConversationId, Told>,
    /// When the present time began, and how many events were told in it.
    spent: Option<(Instant, usize)>,
    /// What was not told in it, by code.
    more: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Clone, Copy)]
struct Told {
    at: Instant,
    more: u64,
}

fn is_over(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) >= SUMMED_UP_AFTER
}

impl Told {
    fn summary(self, conversation: ConversationId) -> Option<Event> {
        (self.more > 0).then_some(Event::MoreUndecryptable { conversation, count: self.more })
    }
}

impl State {
    /// The time is over: what was not told in it.
    fn rest(&mut self) -> Vec<Event> {
        self.spent = None;
        let more = std::mem::take(&mut self.more);
        more.into_iter().map(|(code, count)| Event::MoreOfAKind { code, count }).collect()
    }

    /// May this one be told? If not, it is counted.
    fn spend(&mut self, event: &Event, now: Instant) -> bool {
        let (_, spent) = self.spent.get_or_insert((now, 0));
        if *spent < TOLD_MAX {
            *spent = spent.saturating_add(1);
            return true;
        }
        let more = self.more.entry(event.row().code).or_default();
        *more = more.saturating_add(1);
        false
    }
}

impl Floods {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be told in place of an event: itself, nothing, or itself and what waited for it.
    pub(super) fn admit(&self, event: Event, now: Instant) -> Vec<Event> {
        if !event.is_of_members() {
            return vec![event];
        }
        let mut state = self.lock();
        let mut tell = Vec::new();
        if state.spent.is_some_and(|(since, _)| is_over(since, now)) {
            tell = state.rest();
        }
        let Event::Undecryptable { conversation, .. } = event else {
            if state.spend(&event, now) {
                tell.push(event);
            }
            return tell;
        };
        if let Some(told) = state.conversations.get_mut(&conversation) {
            if !is_over(told.at, now) {
                told.more = told.more.saturating_add(1);
                return tell;
            }
            tell.extend(told.summary(conversation));
            *told = Told { at: now, more: 0 };
            tell.push(event);
        } else if state.spend(&event, now) {
            // one of which there is no room to keep count is told of, and its next ones as well
            if state.conversations.len() < TOLD_MAX {
                state.conversations.insert(conversation, Told { at: now, more: 0 });
            }
            tell.push(event);
        }
        tell
    }

    /// What has been counted for long enough; at the end, all of it.
    pub(super) fn sum_up(&self, now: Instant, end: End) -> Vec<Event> {
        let mut state = self.lock();
        let mut tell = Vec::new();
        state.conversations.retain(|conversation, told| {
            if end == End::NotYet && !is_over(told.at, now) {
                return true;
            }
            let summary = told.summary(*conversation);
            *told = Told { at: now, more: 0 };
            let goes_on = summary.is_some();
            tell.extend(summary);
            goes_on
        });
        if end == End::Now || state.spent.is_some_and(|(since, _)| is_over(since, now)) {
            tell.extend(state.rest());
        }
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
    fn of_many_conversations_a_few_are_told_of_and_the_others_are_a_number_of_each_kind() {
        let (floods, start) = (Floods::default(), Instant::now());
        let lost = |conversation: u16| {
            let Event::Undecryptable { conversation, seq, reason } = unreadable(conversation, 1) else { panic!() };
            Event::ConversationLost { conversation, seq, reason }
        };
        let mut told = 0;
        // ids ignore the upper bits of the number
        for conversation in 0..4_000 {
            let now = start + Duration::from_millis(conversation.into());
            told += floods.admit(unreadable(conversation, 1), now).len();
            told += floods.admit(unreadable(conversation, 2), now).len();
            told += floods.admit(lost(conversation), now).len();
        }
        assert_eq!(told, TOLD_MAX);
        assert!(floods.lock().conversations.len() <= TOLD_MAX);
        assert_eq!(floods.sum_up(start, End::NotYet), []);
        let summed = floods.sum_up(start + SUMMED_UP_AFTER, End::NotYet);
        let kinds: BTreeMap<&str, u64> = summed
            .iter()
            .filter_map(
                |event| if let Event::MoreOfAKind { code, count } = event { Some((*code, *count)) } else { None },
            )
            .collect();
        // each of the first 8 conversations was told of twice, and has a number of its own for its second message
        assert_eq!(kinds, BTreeMap::from([("conversation_lost", 3_992), ("undecryptable_message", 7_984)]));
        assert_eq!(floods.admit(lost(1), start + SUMMED_UP_AFTER), [lost(1)]);
    }
}
