//! What waits to be told: bounded, in order, storms folded.
//!
//! The first of several equal events (same code, same text) goes into the queue at once and opens a window of
//! [`WINDOW`]. Those that follow within it are only counted; when it closes they go into the queue as one, with their
//! number and the time of the last. As long as the storm lasts, one window follows another. Every event is so told
//! exactly once: the notifications without `occurrences` stand for one each, the others for so many.
//!
//! A storm of *different* texts of one code is folded as well: beyond [`TEXTS_MAX`] in a window they share one text.
//!
//! When the queue is full the oldest normal event is dropped, and a critical one only where there is no other. What is
//! dropped is counted, and told before anything else.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::table::{Event, Row, Severity};

/// Notifications that wait while SNS is slow or away: at most 4 KiB each, so 4 MiB.
pub(crate) const EVENTS_WAITING_MAX: usize = 1024;
/// Within this time equal events are one storm. A person who is told once a minute knows enough.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Different texts of one code that are told in full in one window.
pub(crate) const TEXTS_MAX: usize = 16;
/// The text that the others share.
const MORE: &str = "More events of this kind, each with another text: see the log";

/// An event that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    pub row: Row,
    pub versions: Vec<String>,
    /// Microseconds since 1970, UTC.
    pub at_micros: i64,
    /// `None`: it stands for itself.
    pub occurrences: Option<u64>,
}

impl Pending {
    pub(crate) fn new(event: Event, at_micros: i64) -> Self {
        let row = event.row();
        let versions = if let Event::UpdatesAvailable { versions } = event { versions } else { Vec::new() };
        Self { row, versions, at_micros, occurrences: None }
    }

    fn weight(&self) -> u64 {
        self.occurrences.unwrap_or(1)
    }
}

#[derive(Debug)]
struct Window {
    latest: Pending,
    more: u64,
    ends: Instant,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Pending>,
    /// By their end.
    windows: VecDeque<Window>,
    dropped: u64,
}

impl Queue {
    /// Takes an event, at most by dropping another.
    pub(crate) fn put(&mut self, mut event: Pending, now: Instant) {
        self.close_windows(now);
        if self.fold(&event) {
            return;
        }
        let texts = self.windows.iter().filter(|window| window.latest.row.code == event.row.code).count();
        if texts < TEXTS_MAX {
            self.open(event.clone(), 0, now);
            self.push(event);
            return;
        }
        event.row.message = MORE.to_owned();
        if !self.fold(&event) {
            self.open(event, 1, now);
        }
    }

    /// The next to be told, and how many events it speaks of.
    pub(crate) fn take(&mut self, now: Instant, at_micros: i64) -> Option<(Pending, u64)> {
        self.close_windows(now);
        if self.dropped > 0 {
            let count = std::mem::take(&mut self.dropped);
            return Some((Pending::new(Event::EventsDropped { count }, at_micros), count));
        }
        let event = self.waiting.pop_front()?;
        let weight = event.weight();
        Some((event, weight))
    }

    /// When [`Queue::take`] may have something that it has not now.
    pub(crate) fn next_window(&self) -> Option<Instant> {
        self.windows.front().map(|window| window.ends)
    }

    /// Tells of all storms what is known now; equal events after this are new ones.
    pub(crate) fn close_all_windows(&mut self) {
        for window in std::mem::take(&mut self.windows) {
            self.tell(&window);
        }
    }

    /// Events that are not told yet.
    pub(crate) fn len(&self) -> u64 {
        let waiting = self.waiting.iter().map(Pending::weight);
        let counted = self.windows.iter().map(|window| window.more);
        waiting.chain(counted).fold(self.dropped, u64::saturating_add)
    }

    fn close_windows(&mut self, now: Instant) {
        while let Some(mut window) = self.windows.pop_front_if(|window| window.ends <= now) {
            if window.more > 0 {
                // the storm may go on
                self.tell(&window);
                window.more = 0;
                window.ends = end(now);
                self.windows.push_back(window);
            }
        }
    }

    fn fold(&mut self, event: &Pending) -> bool {
        let same = |window: &&mut Window| {
            let row = &window.latest.row;
            row.code == event.row.code && row.message == event.row.message
        };
        let Some(window) = self.windows.iter_mut().find(same) else { return false };
        window.more = window.more.saturating_add(1);
        window.latest = event.clone();
        true
    }

    fn open(&mut self, latest: Pending, more: u64, now: Instant) {
        self.windows.push_back(Window { latest, more, ends: end(now) });
    }

    fn tell(&mut self, window: &Window) {
        if window.more > 0 {
            self.push(Pending { occurrences: Some(window.more), ..window.latest.clone() });
        }
    }

    fn push(&mut self, event: Pending) {
        if self.waiting.len() >= EVENTS_WAITING_MAX {
            let normal = self.waiting.iter().position(|event| event.row.severity == Severity::Normal);
            let dropped = match (normal, event.row.severity) {
                (Some(oldest), _) => self.waiting.remove(oldest),
                (None, Severity::Critical) => self.waiting.pop_front(),
                (None, Severity::Normal) => {
                    self.dropped = self.dropped.saturating_add(event.weight());
                    return;
                }
            };
            self.dropped = self.dropped.saturating_add(dropped.map_or(0, |dropped| dropped.weight()));
        }
        self.waiting.push_back(event);
    }
}

fn end(now: Instant) -> Instant {
    now.checked_add(WINDOW).unwrap_or(now)
}
