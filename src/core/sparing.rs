//! Lines of the log that somebody outside can cause as often as they like: the first of ten minutes are written, the others are
//! counted.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a count lasts.
const INTERVAL: Duration = Duration::from_secs(10 * 60);
/// Lines in it.
const LINES_MAX: u64 = 16;

/// One kind of line, wherever it is written.
#[derive(Debug, Default)]
pub struct Sparing(Mutex<Option<Count>>);

#[derive(Debug, Clone, Copy)]
struct Count {
    since: Instant,
    lines: u64,
}

impl Sparing {
    /// None was written.
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// May the line be written at `now`? `Some`: yes, and so many were left out before it.
    pub fn admits(&self, now: Instant) -> Option<u64> {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, lines) = count.map_or((now, 0), |count| (count.since, count.lines));
        if now.saturating_duration_since(since) >= INTERVAL {
            *count = Some(Count { since: now, lines: 1 });
            return Some(lines.saturating_sub(LINES_MAX));
        }
        *count = Some(Count { since, lines: lines.saturating_add(1) });
        (lines < LINES_MAX).then_some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lines_of_an_interval_are_written_and_the_others_counted() {
        let (sparing, start) = (Sparing::new(), Instant::now());
        let written = (0..100).filter_map(|_| sparing.admits(start)).count();
        assert_eq!(written as u64, LINES_MAX);
        assert_eq!(sparing.admits(start + INTERVAL), Some(100 - LINES_MAX));
        assert_eq!(sparing.admits(start + INTERVAL), Some(0));
        assert_eq!(sparing.admits(start + 3 * INTERVAL), Some(0));
    }
}
