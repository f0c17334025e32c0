//! Metrics: what was counted in each minute, kept until CloudWatch has it.
//!
//! Every [`INTERVAL`] the difference of each counter since the last one becomes an [`Interval`] with its own time, zero
//! values too. Intervals go out in order; one that is not taken waits with those behind it and goes out later *with its own
//! time*, so a graph has no hole where CloudWatch was away. Each count is in exactly one interval.
//!
//! `Logins` is the number of log-ins that were in force in the interval: 1 while a connection lasts, 2 when it was lost and
//! made again, 0 when the bot was logged out throughout. (The guide: "normally 1 for each interval".)
//!
//! An interval may be sent twice, when CloudWatch took it and its answer was lost; its values then count twice there.
//! At a crash the intervals that were not sent are lost, and with them at most a minute of counts while all is well.

mod table;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

pub use self::table::{METRICS, Metric, Unit};

use self::table::Totals;
use super::counters::Counters;
use super::origin::Origin;
use retaind_aws::AwsError;
use retaind_core::fault::{Fault, Faulty as _};
use retaind_core::pause::{Growth, Pause};
use retaind_task as task;

/// How often figures are made.
pub(crate) const INTERVAL: Duration = Duration::from_secs(60);
/// CloudWatch refuses times that lie two weeks back; an hour is left for clocks that differ.
const AGE_SECS_MAX: i64 = 14 * 24 * 3600 - 3600;
/// CloudWatch refuses times that lie two hours ahead; a clock that was set back makes such.
const AHEAD_SECS_MAX: i64 = 3600;
/// Intervals that wait: two weeks, 2.5 MB.
pub(crate) const INTERVALS_MAX: usize = 14 * 24 * 60;
/// Intervals sent at once: 480 values, of the 1,000 (and the 1 MB, at some 600 bytes each) that one request may hold.
pub const INTERVALS_SENT_MAX: usize = 40;
/// First pause while the bot stops and CloudWatch does not answer: there is little time left.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);
const MICROS_PER_SEC: i64 = 1_000_000;

/// The figures of one interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// When it ended, in seconds since 1970, UTC.
    pub at_secs: i64,
    /// In the order of [`METRICS`].
    pub values: [u64; METRICS.len()],
    number: u64,
}

/// Keeps figures.
pub trait Keep: Send + Sync + 'static {
    /// Returns when it has all of them, or none. May be called again with the same after an error.
    fn keep(&self, origin: &Origin, intervals: &[Interval]) -> impl Future<Output = Result<(), AwsError>> + Send;
}

/// Makes intervals and sends them.
pub struct Metrics {
    counters: Arc<Counters>,
    origin: Arc<Origin>,
    now_micros: Box<dyn Fn() -> i64 + Send + Sync>,
    before: Totals,
    kept: VecDeque<Interval>,
    next_number: u64,
    dropped: u64,
}

impl Metrics {
    /// Of these counters. `now_micros`: microseconds since 1970, UTC.
    pub fn new(
        counters: Arc<Counters>,
        origin: Arc<Origin>,
        now_micros: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Self {
        let now_micros = Box::new(now_micros);
        // what was counted before this is in the first interval
        let before = Totals::default();
        Self { counters, origin, now_micros, before, kept: VecDeque::new(), next_number: 0, dropped: 0 }
    }

    /// Begins the first interval.
    pub fn start<K: Keep>(self, store: K) -> Measuring {
        let stop = CancellationToken::new();
        let task = task::spawn("metrics", self.run(store, stop.clone()));
        Measuring { stop, task }
    }

    async fn run<K: Keep>(mut self, store: K, stop: CancellationToken) {
        let mut tick = tokio::time::interval_at(Instant::now() + INTERVAL, INTERVAL);
        // an interval may be late, and is then longer; there are never two at once
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // after a failure the next try is after the next interval
        let mut away = Away::No;
        while !stop.is_cancelled() {
            let batch = match away {
                Away::No => self.batch(),
                Away::Yes => Vec::new(),
            };
            if batch.is_empty() {
                tokio::select! {
                    () = stop.cancelled() => {}
                    _ = tick.tick() => {
                        self.cut();
                        away = Away::No;
                    }
                }
                continue;
            }
            let origin = self.origin.clone();
            let mut sending = std::pin::pin!(store.keep(&origin, &batch));
            let result = loop {
                tokio::select! {
                    biased;
                    result = &mut sending => break result,
                    // also while CloudWatch is slow
                    _ = tick.tick() => self.cut(),
                }
            };
            away = self.settle(&batch, result);
        }
        self.cut();
        let mut pause = Pause::new(Growth::doubling(PAUSE_FIRST, PAUSE_MAX));
        loop {
            let batch = self.batch();
            if batch.is_empty() {
                return;
            }
            let result = store.keep(&self.origin, &batch).await;
            match self.settle(&batch, result) {
                Away::No => pause.reset(),
                Away::Yes => tokio::time::sleep(pause.grow()).await,
            }
        }
    }

    fn now_secs(&self) -> i64 {
        (self.now_micros)().div_euclid(MICROS_PER_SEC)
    }

    /// Ends an interval and begins the next.
    fn cut(&mut self) {
        let totals = Totals::of(&self.counters);
        let interval =
            Interval { at_secs: self.now_secs(), values: totals.since(&self.before), number: self.next_number };
        self.before = totals;
        self.next_number = self.next_number.saturating_add(1);
        if self.kept.len() >= INTERVALS_MAX {
            self.kept.pop_front();
            self.lose(1, "there is no room for more than two weeks");
        }
        self.kept.push_back(interval);
    }

    /// What is to be sent next; empty: nothing.
    fn batch(&mut self) -> Vec<Interval> {
        let now = self.now_secs();
        let accepted = |interval: &Interval| {
            let age = now.saturating_sub(interval.at_secs);
            (-AHEAD_SECS_MAX..=AGE_SECS_MAX).contains(&age)
        };
        let before = self.kept.len();
        self.kept.retain(accepted);
        let lost = before.saturating_sub(self.kept.len());
        if lost > 0 {
            self.lose(lost, "CloudWatch takes none that are two weeks old or lie in the future");
        }
        self.kept.iter().take(INTERVALS_SENT_MAX).copied().collect()
    }

    fn settle(&mut self, batch: &[Interval], result: Result<(), AwsError>) -> Away {
        let Some(last) = batch.last() else { return Away::No };
        let error = match result {
            Ok(()) => None,
            Err(error) => match error.fault() {
                Fault::Temporary | Fault::Configuration if !matches!(error, AwsError::Refused { .. }) => {
                    tracing::warn!(waiting = self.kept.len(), %error, "metrics are not sent yet");
                    return Away::Yes;
                }
                Fault::Temporary | Fault::Configuration | Fault::Item | Fault::Stop | Fault::Internal => Some(error),
            },
        };
        // of these some may have been dropped while they were on their way
        self.kept.retain(|interval| interval.number > last.number);
        if let Some(error) = error {
            // the same figures would be refused each time, and all later ones would wait behind them
            tracing::error!(%error, "metrics are refused for what they are");
            self.lose(batch.len(), "CloudWatch refuses them");
        }
        Away::No
    }

    fn lose(&mut self, intervals: usize, why: &'static str) {
        self.dropped = self.dropped.saturating_add(u64::try_from(intervals).unwrap_or(u64::MAX));
        tracing::warn!(intervals, dropped = self.dropped, why, "intervals of metrics are dropped");
    }
}

/// Is CloudWatch away?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Away {
    No,
    Yes,
}

/// Metrics at work.
#[derive(Debug)]
pub struct Measuring {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Measuring {
    /// Ends the last interval, however short, and sends what waits, but for no longer than `within`.
    pub async fn finish(self, within: Duration) {
        let Self { stop, mut task } = self;
        stop.cancel();
        if tokio::time::timeout(within, &mut task).await.is_err() {
            task.abort();
            tracing::warn!("the last metrics were not sent: CloudWatch did not take them in time");
        }
    }
}
