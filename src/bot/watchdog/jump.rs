//! The clock on the wall against the one that only goes forward: who sets the time shows here.

use std::time::Duration;

use super::{Limits, Verdict};

/// Pure.
#[derive(Debug, Default)]
pub(super) struct Jump {
    /// What the wall showed when the other clock began.
    base_micros: Option<i64>,
}

impl Jump {
    /// `at`: the clock that only goes forward.
    pub fn observe(&mut self, at: Duration, wall_micros: i64, limits: &Limits) -> Option<Verdict> {
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
