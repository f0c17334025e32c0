//! The wall clock against the monotonic one: shows when the time was set.

use std::time::Duration;

use super::{Limits, Verdict};

/// State of the conclusions about the clock. Pure.
#[derive(Debug, Default)]
pub(super) struct Jump {
    /// What the wall clock showed when the monotonic one began.
    base_micros: Option<i64>,
}

impl Jump {
    /// `at`: the monotonic clock.
    pub(crate) fn observe(&mut self, at: Duration, wall_micros: i64, limits: &Limits) -> Option<Verdict> {
        let at = i64::try_from(at.as_micros()).unwrap_or(i64::MAX);
        let base = wall_micros.saturating_sub(at);
        let expected_micros = self.base_micros.get_or_insert(base).saturating_add(at);
        if u128::from(wall_micros.abs_diff(expected_micros)) <= limits.clock_jump.as_micros() {
            return None;
        }
        self.base_micros = Some(base);
        Some(Verdict::ClockJumped { expected_micros, wall_micros })
    }
}
