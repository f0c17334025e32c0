//! The time of day, as a parameter: a test can set it back.
//!
//! Invariant: this is the only place where the process asks for the wall clock, so that whoever doubts a time has one place to
//! look at. How long something takes is measured with a clock that only goes forward (`Instant`), which is not here.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time of day.
pub trait Clock: Send + Sync {
    /// Microseconds since 1970, UTC.
    fn now_micros(&self) -> i64;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl SystemClock {
    /// Now, for whoever compares it with the times of files or passes it on as a time.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn now(self) -> SystemTime {
        SystemTime::now()
    }
}

impl Clock for SystemClock {
    fn now_micros(&self) -> i64 {
        match self.now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, i64::wrapping_neg),
        }
    }
}
