//! Notices that nothing gets through, whatever the cause: files wait, and none was stored for a while.
//!
//! Each failure has words of its own, and most go away by themselves. What none of them says is that it has lasted: a store
//! that answers every request with its own error, or never, would be warned of for ever and reported never. So this looks
//! at one fact alone. Pure: the runner asks it, and says what time it is.

use std::time::Duration;

use tokio::time::Instant;

/// How long nothing may be stored, unless somebody says otherwise: `RETAIND_SHIP_STALL_MINUTES`.
pub const STALLS_AFTER: Duration = Duration::from_secs(15 * 60);

/// Does shipping get on?
#[derive(Debug)]
pub(super) struct Stall {
    limit: Duration,
    /// When the last file was stored, or the first one began to wait after that.
    since: Option<Instant>,
    /// What the destination had confirmed then.
    confirmed: u64,
    is_told: bool,
}

/// What there is to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing new.
    None,
    /// Nothing was stored for so long.
    Stalled(Duration),
    /// After that, something was, or nothing waits any more.
    Over,
}

impl Stall {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, since: None, confirmed: 0, is_told: false }
    }

    /// Whether files wait, or are on their way.
    pub(super) fn waits(&mut self, something: bool, now: Instant, confirmed: u64) -> Turn {
        if !something {
            return self.over(None, confirmed);
        }
        if self.since.is_none() {
            (self.since, self.confirmed) = (Some(now), confirmed);
        }
        Turn::None
    }

    /// A file was stored.
    pub(super) fn stored(&mut self, now: Instant, confirmed: u64) -> Turn {
        self.over(Some(now), confirmed)
    }

    /// When to look again.
    pub(super) fn due(&self) -> Option<Instant> {
        let due = self.since?.checked_add(self.limit);
        if self.is_told { None } else { due }
    }

    /// It is due. A large file of which parts arrive gets on.
    pub(super) fn look(&mut self, now: Instant, confirmed: u64) -> Turn {
        let Some(since) = self.since else { return Turn::None };
        let lasted = now.saturating_duration_since(since);
        if self.is_told || lasted < self.limit {
            return Turn::None;
        }
        if confirmed != self.confirmed {
            (self.since, self.confirmed) = (Some(now), confirmed);
            return Turn::None;
        }
        self.is_told = true;
        Turn::Stalled(lasted)
    }

    fn over(&mut self, since: Option<Instant>, confirmed: u64) -> Turn {
        (self.since, self.confirmed) = (since, confirmed);
        if std::mem::take(&mut self.is_told) { Turn::Over } else { Turn::None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn a_stall_is_told_once_and_is_over_with_the_first_file() {
        let (mut stall, at) = (Stall::new(LIMIT), Instant::now());
        assert_eq!((stall.waits(false, at, 0), stall.due()), (Turn::None, None));
        assert_eq!(stall.waits(true, at, 0), Turn::None);
        let later = at + LIMIT;
        assert_eq!(stall.due(), Some(later));
        assert_eq!(stall.waits(true, later, 0), Turn::None);
        assert_eq!(stall.look(later, 0), Turn::Stalled(LIMIT));
        assert_eq!((stall.look(later + LIMIT, 0), stall.due()), (Turn::None, None), "once");
        assert_eq!(stall.stored(later, 0), Turn::Over);
        assert_eq!(stall.due(), Some(later + LIMIT), "others may wait");
        assert_eq!((stall.waits(false, later, 0), stall.due()), (Turn::None, None));
    }

    #[test]
    fn parts_of_a_large_file_are_progress_and_parked_files_wait_for_something_else() {
        let (mut stall, at) = (Stall::new(LIMIT), Instant::now());
        stall.waits(true, at, 5);
        assert_eq!(stall.look(at + LIMIT, 6), Turn::None);
        assert_eq!(stall.due(), Some(at + LIMIT * 2));
        assert_eq!(stall.look(at + LIMIT * 2, 6), Turn::Stalled(LIMIT));
        assert_eq!(stall.waits(false, at + LIMIT * 2, 6), Turn::Over);
    }
}
