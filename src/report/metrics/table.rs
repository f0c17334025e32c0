//! The twelve published metrics: name, unit, and the counter behind each.

use crate::counters::Counters;

/// What a value is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// A number of bytes.
    Bytes,
}

/// A row of the table.
#[derive(Debug)]
pub struct Metric {
    /// As published; never changes.
    pub name: &'static str,
    /// Of its values.
    pub unit: Unit,
    total: fn(&Counters) -> u64,
}

impl Metric {
    /// What was counted so far.
    pub fn total(&self, counters: &Counters) -> u64 {
        (self.total)(counters)
    }
}

const fn count(name: &'static str, total: fn(&Counters) -> u64) -> Metric {
    Metric { name, unit: Unit::Count, total }
}

/// The table.
pub static METRICS: [Metric; 12] = [
    count("Messages_Rx", |c| c.messages_received.get()),
    count("Messages_Rx_Failed", |c| c.messages_failed.get()),
    count("Messages_Saved", |c| c.messages_saved.get()),
    count("Messages_Saved_Failed", |c| c.messages_saved_failed.get()),
    count("Files_Saved", |c| c.files_saved.get()),
    Metric { name: "Files_Saved_Bytes", unit: Unit::Bytes, total: |c| c.files_saved_bytes.get() },
    count("Files_Saved_Failed", |c| c.files_failed.get()),
    count(LOGINS, |c| c.logins.get()),
    count("Login_Failures", |c| c.login_failures.get()),
    count("S3_Post_Errors", |c| c.s3_post_errors.get()),
    count("Watchdog_Failures", |c| c.watchdog_failures.get()),
    count("Watchdog_Warnings", |c| c.watchdog_warnings.get()),
];

/// The one metric that is not just a difference.
const LOGINS: &str = "Logins";

/// All counters at one moment.
#[derive(Debug, Default)]
pub(super) struct Totals {
    counts: [u64; METRICS.len()],
    /// Log-ins in force.
    logged_in: u64,
}

impl Totals {
    pub(crate) fn of(counters: &Counters) -> Self {
        // ended first: a log-in that ends between the two looks counts as in force, and not as less than none
        let ended = counters.logins_ended.get();
        let counts = METRICS.each_ref().map(|metric| (metric.total)(counters));
        Self { counts, logged_in: counters.logins.get().saturating_sub(ended) }
    }

    /// The values of an interval that began at `before`.
    pub(crate) fn since(&self, before: &Self) -> [u64; METRICS.len()] {
        let mut values = self.counts;
        for ((value, before_), metric) in values.iter_mut().zip(&before.counts).zip(&METRICS) {
            *value = value.saturating_sub(*before_);
            if metric.name == LOGINS {
                // those that were in force when it began, and those that were added
                *value = value.saturating_add(before.logged_in);
            }
        }
        values
    }
}
