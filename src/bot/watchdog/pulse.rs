//! The pulse of a stage: whether it has something in hand, and whether it makes progress.
//!
//! A stage that waits for work is at rest, however long. One that has work beats at every step; the watchdog looks from
//! time to time whether the beat has changed. So a stage needs no clock, and a beat costs one atomic store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The pulse of one stage, the only one to beat it. Clones are the same pulse.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<AtomicU64>);

/// A pulse as it was at one look: odd while the stage is at work, and different after each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Beat(u64);

impl Pulse {
    /// Beats: the stage has something in hand, or has done one step of it.
    pub fn works(&self) {
        let now = self.0.load(Ordering::Relaxed);
        let steps = if Beat(now).is_at_work() { 2 } else { 1 };
        self.0.store(now.wrapping_add(steps), Ordering::Release);
    }

    /// Rests: the stage has nothing in hand.
    pub fn rests(&self) {
        let now = self.0.load(Ordering::Relaxed);
        if Beat(now).is_at_work() {
            self.0.store(now.wrapping_add(1), Ordering::Release);
        }
    }

    /// The pulse now.
    pub(crate) fn beat(&self) -> Beat {
        Beat(self.0.load(Ordering::Acquire))
    }
}

impl Beat {
    /// Has the stage something in hand?
    pub(crate) fn is_at_work(self) -> bool {
        self.0 & 1 == 1
    }
}
