//! How the rest of the bot calls the ship stage: something is in the queue, finish, stop.

use tokio::sync::watch;

/// What the stage is asked for. Shared; every call may come from any thread.
#[derive(Debug)]
pub struct Bell(watch::Sender<Order>);

/// The newest word.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    rings: u64,
    pub(super) until: Until,
}

/// How long the stage works.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Until {
    #[default]
    Told,
    Empty,
    Now,
}

impl Default for Bell {
    fn default() -> Self {
        Self(watch::Sender::new(Order::default()))
    }
}

impl Bell {
    /// Something was put into the queue (its transaction is committed).
    pub fn ring(&self) {
        self.0.send_modify(|order| order.rings = order.rings.wrapping_add(1));
    }

    /// Ship what is in the queue, then return.
    pub fn finish(&self) {
        self.0.send_modify(|order| order.until = order.until.max(Until::Empty));
    }

    /// Give up what is in hand and return; it stays in the queue for the next start.
    pub fn stop(&self) {
        self.0.send_modify(|order| order.until = Until::Now);
    }

    pub(super) fn listen(&self) -> watch::Receiver<Order> {
        self.0.subscribe()
    }
}
