//! What the bot counts. The names are those of the published metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::status::Status;
use retaind_core::limit::Refusals;

/// Counts up.
#[derive(Debug, Default)]
pub struct Counter {
    value: AtomicU64,
    changed: Notify,
}

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.value.fetch_add(n, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// So far.
    pub fn get(&self) -> u64 {
        self.value.load(Ordering::Acquire)
    }

    /// Waits until it is at least `n`.
    pub async fn reaches(&self, n: u64) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // registered before the look, so that no change in between is missed
            changed.as_mut().enable();
            if self.get() >= n {
                return;
            }
            changed.await;
        }
    }
}

/// All counters of one bot.
#[derive(Debug, Default)]
pub struct Counters {
    /// `Messages_Rx`: messages received from the network.
    pub messages_received: Counter,
    /// Of those received: what is on stable storage, what was there before, and what was let go to be delivered again. Not
    /// a metric: the difference to those received is what the bot has in hand.
    pub messages_settled: Counter,
    /// `Messages_Rx_Failed`: messages that could not be read; each is a record.
    pub messages_failed: Counter,
    /// `Messages_Saved`: records on stable storage.
    pub messages_saved: Counter,
    /// `Messages_Saved_Failed`: records that could not be brought to stable storage; they are delivered again.
    pub messages_saved_failed: Counter,
    /// `Files_Saved`: whole attachments on stable storage.
    pub files_saved: Counter,
    /// `Files_Saved_Bytes`.
    pub files_saved_bytes: Counter,
    /// `Files_Saved_Failed`: attachments that are missing or could not be decrypted; each is a record with the reason.
    pub files_failed: Counter,
    /// `Logins`.
    pub logins: Counter,
    /// `Login_Failures`.
    pub login_failures: Counter,
    /// Log-ins whose connection has ended; the others last. Not a metric: `Logins` is made with it.
    pub logins_ended: Counter,
    /// `S3_Post_Errors`: tries to upload a file that failed.
    pub s3_post_errors: Counter,
    /// `Watchdog_Failures`: the network was away for longer than is borne, a stage stalled, or the disk got too full to
    /// take more.
    pub watchdog_failures: Counter,
    /// `Watchdog_Warnings`: the network went away, a stage stood still, the disk got nearly full, or the clock was set.
    pub watchdog_warnings: Counter,
    /// What limits have refused, in the whole process.
    pub refusals: Arc<Refusals>,
    /// Whether it works: no count, but told by the same stages.
    pub status: Status,
}

impl Counters {
    /// Messages received and not yet on stable storage.
    pub(crate) fn messages_in_hand(&self) -> u64 {
        // settled first: what is settled between the two looks counts as in hand, and not as less than nothing
        let settled = self.messages_settled.get();
        self.messages_received.get().saturating_sub(settled)
    }
}
