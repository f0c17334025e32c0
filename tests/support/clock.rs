//! A clock that a test sets, and that tells how often it was looked at.
#![allow(missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use retaind::core::clock::Clock;
use retaind::report::counters::Counter;

/// Stands still until a test sets it.
#[derive(Default)]
pub struct HandClock {
    now_micros: AtomicI64,
    looks: Counter,
}

impl HandClock {
    pub fn at(now_micros: i64) -> Arc<Self> {
        Arc::new(Self { now_micros: now_micros.into(), looks: Counter::default() })
    }

    pub fn advance(&self, by: Duration) {
        self.now_micros.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    pub fn set_back(&self, by: Duration) {
        self.now_micros.fetch_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Waits until an idle bot has looked once since now, and has done what it does about it: it looks again only then.
    pub async fn was_acted_on(&self) {
        self.looks.reaches(self.looks.get() + 2).await;
    }
}

impl Clock for HandClock {
    fn now_micros(&self) -> i64 {
        // counted before it is read: whoever counts later has read the newer time
        self.looks.add(1);
        self.now_micros.load(Ordering::SeqCst)
    }
}
