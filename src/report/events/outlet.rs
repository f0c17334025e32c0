//! Where those who raise events, on any thread, meet the task that tells them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::queue::{Pending, Queue};

/// The queue, and who is to be woken. The lock is held for a few moves in memory, never while anybody waits.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    queue: Mutex<Queue>,
    /// How many events the notification speaks of that is being told.
    in_hand: AtomicU64,
    changed: Notify,
    closing: CancellationToken,
}

impl Outlet {
    /// Takes an event, unless the outlet closes.
    pub(crate) fn put(&self, event: Pending) {
        if !self.is_closing() {
            self.queue().put(event, Instant::now());
            self.changed.notify_one();
        }
    }

    /// Takes an event that comes after all others: what is known of storms is told before it.
    pub(crate) fn put_last(&self, event: Pending) {
        self.queue().close_all_windows();
        self.put(event);
    }

    /// The next event to be told; `None` once the outlet closes and nothing is left. One task asks.
    pub(crate) async fn next(&self, now_micros: impl Fn() -> i64) -> Option<Pending> {
        loop {
            let window = {
                let mut queue = self.queue();
                let closing = self.is_closing();
                if closing {
                    queue.close_all_windows();
                }
                if let Some((event, weight)) = queue.take(Instant::now(), now_micros()) {
                    self.in_hand.store(weight, Ordering::Release);
                    return Some(event);
                }
                if closing {
                    return None;
                }
                queue.next_window()
            };
            let window_ends = async {
                match window {
                    Some(ends) => tokio::time::sleep_until(ends).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = self.closing.cancelled() => {}
                () = window_ends => {}
            }
        }
    }

    /// What [`Outlet::next`] gave is told.
    pub(crate) fn told(&self) {
        self.in_hand.store(0, Ordering::Release);
    }

    /// Events that are not told yet.
    pub(crate) fn len(&self) -> u64 {
        self.queue().len().saturating_add(self.in_hand.load(Ordering::Acquire))
    }

    /// Takes no more events; those that it has are told without pauses.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Waits until it closes.
    pub(crate) async fn closing(&self) {
        self.closing.cancelled().await;
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // a panic between two moves leaves a queue that is whole
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
