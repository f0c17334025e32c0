//! Meters: how much of something each device or user may do in a time. Buckets that fill up as time passes, by the ledger's
//! clock.
//!
//! They are kept in memory: a restart fills them all. Their number is bounded; the one that was used longest ago is forgotten,
//! which fills it.

use std::hash::Hash;
use std::num::NonZeroUsize;

use lru::LruCache;

use super::clock::Moment;

/// Buckets of one meter: more devices than a network has active in an hour.
const BUCKETS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(65_535);
const MICROS_AN_HOUR: u128 = 60 * 60 * 1_000_000;

/// So much an hour, of which all may be taken at once.
pub(crate) struct Meter<K> {
    an_hour: u64,
    buckets: LruCache<K, Bucket>,
}

#[derive(Clone, Copy)]
struct Bucket {
    /// In parts of which an hour's microseconds make one unit: nothing is rounded.
    left: u128,
    at: Moment,
}

impl<K: Hash + Eq> Meter<K> {
    pub(crate) fn new(an_hour: u64) -> Self {
        Self { an_hour, buckets: LruCache::new(BUCKETS_MAX) }
    }

    /// Takes `amount`, if there is so much; else nothing.
    pub(crate) fn take(&mut self, key: K, amount: u64, now: Moment) -> bool {
        let full = u128::from(self.an_hour) * MICROS_AN_HOUR;
        let bucket = self.buckets.get_or_insert_mut(key, || Bucket { left: full, at: now });
        let passed = u128::try_from(now.micros().saturating_sub(bucket.at.micros())).unwrap_or(0);
        bucket.left = full.min(bucket.left.saturating_add(passed.saturating_mul(u128::from(self.an_hour))));
        bucket.at = now;
        match bucket.left.checked_sub(u128::from(amount) * MICROS_AN_HOUR) {
            Some(left) => {
                bucket.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn minute(minutes: i64) -> Moment {
        Moment::of_micros(minutes * 60_000_000)
    }

    #[test]
    fn an_hour_s_worth_may_be_taken_at_once_and_comes_back_within_an_hour() {
        let mut meter = Meter::new(60);
        assert!(meter.take("alice", 60, minute(0)));
        assert!(!meter.take("alice", 1, minute(0)));
        assert!(meter.take("bob", 1, minute(0)));
        assert!(meter.take("alice", 1, minute(1)));
        assert!(!meter.take("alice", 1, minute(1)));
        assert!(!meter.take("alice", 61, minute(600)));
        assert!(meter.take("alice", 60, minute(600)));
    }

    #[test]
    fn a_clock_that_is_set_back_gives_nothing() {
        let mut meter = Meter::new(60);
        assert!(meter.take(1, 60, minute(100)));
        assert!(!meter.take(1, 1, minute(0)));
        assert!(meter.take(1, 1, minute(1)));
    }

    #[test]
    fn meters_are_bounded() {
        let mut meter = Meter::new(1);
        for device in 0..70_000 {
            assert!(meter.take(device, 1, minute(0)));
        }
        assert_eq!(meter.buckets.len(), BUCKETS_MAX.get());
        assert!(!meter.take(69_999, 1, minute(0)));
    }
}
