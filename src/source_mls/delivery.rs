//! What the network delivers, the request to deliver it again, and whether the network waits for the bot.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use retaind_protocol::ids::{ConversationId, DeviceId, UserName};
use retaind_protocol::wire::DeliveryKind;
use tokio::sync::watch;

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
