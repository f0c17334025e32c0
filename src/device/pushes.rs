//! What the network has pushed and nobody has taken yet: a queue that is bounded in messages and in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use retaind_protocol::limits::FRAME_BYTES_MAX;
use retaind_protocol::wire::{Delivery, Notice};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::{TryRecvError, TrySendError};

/// Most payload bytes that wait. No device here asks for a window of more than half of it; the network ends a window with one
/// message that no longer fits.
const WAITING_BYTES_MAX: usize = 128 * 1024 * 1024 + FRAME_BYTES_MAX;

/// What the network pushed.
#[derive(Debug)]
pub enum Push {
    /// A message of a conversation.
    Delivery(Delivery),
    /// A notice for all devices.
    Notice(Notice),
}

impl Push {
    fn bytes(&self) -> usize {
        match self {
            Self::Delivery(delivery) => delivery.payload.len(),
            Self::Notice(notice) => notice.text.len(),
        }
    }
}

/// Why a push was not queued.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotQueued {
    /// The network pushed more than the window.
    Full,
    /// Nobody takes pushes any more.
    Closed,
}

/// The connection's end.
pub(crate) struct Pusher {
    queue: mpsc::Sender<Push>,
    waiting: Arc<AtomicUsize>,
}

/// The end of whoever takes them.
#[derive(Debug)]
pub struct Pushes {
    queue: mpsc::Receiver<Push>,
    waiting: Arc<AtomicUsize>,
}

/// A queue for so many pushes.
pub(crate) fn queue(messages: usize) -> (Pusher, Pushes) {
    let (sender, receiver) = mpsc::channel(messages.max(1));
    let waiting = Arc::new(AtomicUsize::new(0));
    (Pusher { queue: sender, waiting: waiting.clone() }, Pushes { queue: receiver, waiting })
}

impl Pusher {
    pub(crate) fn push(&self, push: Push) -> Result<(), NotQueued> {
        let bytes = push.bytes();
        // counted first: it may be taken before this returns
        let waiting = self.waiting.fetch_add(bytes, Ordering::AcqRel);
        if waiting.saturating_add(bytes) > WAITING_BYTES_MAX {
            return Err(NotQueued::Full);
        }
        self.queue.try_send(push).map_err(|error| match error {
            TrySendError::Full(_) => NotQueued::Full,
            TrySendError::Closed(_) => NotQueued::Closed,
        })
    }
}

impl Pushes {
    /// One that is empty and has ended.
    pub fn ended() -> Self {
        queue(1).1
    }

    /// The next one; `None` once the connection has ended and all were taken.
    pub async fn recv(&mut self) -> Option<Push> {
        let push = self.queue.recv().await?;
        self.taken(&push);
        Some(push)
    }

    /// The next one, if it is there.
    pub fn try_recv(&mut self) -> Result<Push, TryRecvError> {
        let push = self.queue.try_recv()?;
        self.taken(&push);
        Ok(push)
    }

    fn taken(&self, push: &Push) {
        self.waiting.fetch_sub(push.bytes(), Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(bytes: usize) -> Push {
        Push::Delivery(Delivery { payload: vec![7; bytes], ..Delivery::default() })
    }

    #[test]
    fn it_is_bounded_in_messages_and_in_bytes_and_what_is_taken_makes_room() {
        let (pusher, mut pushes) = queue(100);
        for _ in 0..9 {
            pusher.push(delivery(FRAME_BYTES_MAX)).unwrap();
        }
        assert!(matches!(pushes.try_recv(), Ok(Push::Delivery(_))));
        pusher.push(delivery(FRAME_BYTES_MAX)).unwrap();
        assert_eq!(pusher.push(delivery(1)), Err(NotQueued::Full));

        let (pusher, pushes) = queue(2);
        pusher.push(delivery(0)).unwrap();
        pusher.push(Push::Notice(Notice::default())).unwrap();
        assert_eq!(pusher.push(delivery(0)), Err(NotQueued::Full));
        drop(pushes);
        assert_eq!(pusher.push(delivery(0)), Err(NotQueued::Closed));
    }
}
