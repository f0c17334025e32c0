//! The network's time: read from the wall clock at the edge, and passed to what decides as a [`Moment`].

use std::time::Duration;

use mls_rs::time::MlsTime;

use retaind_core::clock::{Clock, SystemClock};

/// Microseconds since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(i64);

impl Moment {
    /// The wall clock's.
    pub(crate) fn now() -> Self {
        Self(SystemClock.now_micros())
    }

    /// From microseconds since 1970, as they are stored.
    pub(crate) const fn of_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub(crate) const fn micros(self) -> i64 {
        self.0
    }

    pub(crate) const fn secs(self) -> i64 {
        self.0 / 1_000_000
    }

    /// `time` later; the last moment that there is if that does not fit.
    pub(crate) fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
    }

    /// `time` earlier; the first moment that there is if that does not fit.
    pub(crate) fn before(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
    }

    /// As MLS counts it: seconds, none before 1970.
    pub(crate) fn mls(self) -> MlsTime {
        MlsTime::from(u64::try_from(self.secs()).unwrap_or_default())
    }
}
