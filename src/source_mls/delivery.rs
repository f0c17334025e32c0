//! What the network delivers, the request to deliver it again, and whether the network waits for the bot.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use retaind_protocol::ids::{ConversationId, DeviceId, UserName};
use retaind_protocol::wire::DeliveryKind;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Bytes that one unit of [`Room`] stands for; a delivery holds at least one.
const UNIT_BYTES: usize = 256;

/// Memory for deliveries that the bot has in hand: received, and neither committed nor dropped. Clones share it.
#[derive(Debug, Clone)]
pub struct Room {
    units: Arc<Semaphore>,
    bytes: usize,
}

impl Room {
    /// For so many bytes.
    pub fn of(bytes: usize) -> Self {
        Self { units: Arc::new(Semaphore::new(bytes / UNIT_BYTES)), bytes }
    }

    /// Waits until there is room for a delivery of so many bytes. One that is larger than the whole room has all of it.
    pub async fn take(&self, bytes: usize) -> Held {
        let units = (bytes.min(self.bytes) / UNIT_BYTES).max(1);
        let permit = Arc::clone(&self.units).acquire_many_owned(u32::try_from(units).unwrap_or(u32::MAX)).await;
        // nobody closes it
        Held { _permit: permit.ok().map(Arc::new) }
    }
}

/// The share of the [`Room`] that a delivery holds until it and all its clones are gone.
#[derive(Debug, Clone, Default)]
pub struct Held {
    _permit: Option<Arc<OwnedSemaphorePermit>>,
}

/// A message as it was delivered, its names parsed.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// The conversation.
    pub conversation: ConversationId,
    /// Its `seq`, from 1.
    pub seq: u64,
    /// What `payload` is.
    pub kind: DeliveryKind,
    /// User that the network names as sender, `None` for the network itself; not authenticated.
    pub sender_user: Option<UserName>,
    /// Device that the network names as sender, `None` for the network itself; not authenticated.
    pub sender_device: Option<DeviceId>,
    /// When the network accepted it, microseconds since 1970.
    pub accepted_at_micros: i64,
    /// MLS message.
    pub payload: Vec<u8>,
    /// When the bot received it, microseconds since 1970.
    pub received_at_micros: i64,
    /// The memory that it holds.
    pub held: Held,
}

/// Requests a new connection, on which the network delivers again all that is not acknowledged. Clones request the same one.
#[derive(Debug, Clone)]
pub struct Recall(watch::Sender<u64>);

impl Default for Recall {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Recall {
    /// Requests one. A connection that is just being opened is opened once more.
    pub fn ask(&self) {
        self.0.send_modify(|asked| *asked = asked.wrapping_add(1));
    }

    /// Number of requests so far.
    pub fn asked(&self) -> u64 {
        *self.0.borrow()
    }

    /// Waits for a request after the first `asked`.
    pub async fn again(&self, asked: u64) {
        // this one keeps the channel open
        self.0.subscribe().wait_for(|now| *now != asked).await.ok();
    }
}

/// Does the network accept messages of a new epoch only after the bot has reported it? Clones share the answer.
#[derive(Debug, Clone, Default)]
pub struct Strict(Arc<AtomicBool>);

impl Strict {
    /// As the network says now.
    pub fn set(&self, strict: bool) {
        self.0.store(strict, Ordering::Release);
    }

    /// As it said last.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn room_is_taken_until_the_last_clone_is_gone_and_one_message_always_fits() {
        const WHOLE: usize = 1024 * 1024;
        let room = Room::of(WHOLE);
        let late = |held| tokio::time::timeout(std::time::Duration::from_secs(1), held);
        let half = room.take(WHOLE / 2).await;
        let other = room.take(WHOLE / 2).await;
        late(room.take(0)).await.unwrap_err();
        let again = half.clone();
        drop(half);
        late(room.take(WHOLE / 2)).await.unwrap_err();
        drop(again);
        late(room.take(WHOLE / 2)).await.unwrap();
        drop(other);
        late(room.take(10 * WHOLE)).await.unwrap();
    }
}
