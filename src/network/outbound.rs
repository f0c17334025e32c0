//! The way out of a connection: a bounded queue of answers and pushes, and the task that writes them.
//!
//! What waits is bounded by number ([`ANSWERS_WAITING`]) and by bytes: each piece holds its charge ([`super::budget`]) and,
//! if it answers a request, the request's permit until the socket has taken it. Putting something in never waits; a queue that
//! is full belongs to a device that takes nothing, and its connection is ended.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::budget::{Account, Charge};
use super::limits::{ANSWERS_WAITING, WRITE_STALL_SECONDS};
use retaind_core::limit::Refusals;

/// Answers put together for one write.
const WRITE_BYTES: usize = 256 * 1024;
/// What must be taken in time.
const STEP_BYTES: usize = 64 * 1024;
/// Memory of a writer that has nothing to write.
const IDLE_BYTES: usize = 16 * 1024;

/// What a request holds until its answer has been taken.
pub(crate) struct Held {
    pub(crate) permit: OwnedSemaphorePermit,
    pub(crate) charge: Charge,
}

/// Bytes for the socket, and what they hold until they are taken.
pub(crate) struct Outgoing {
    bytes: Bytes,
    held: (Charge, Option<OwnedSemaphorePermit>),
}

/// The connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// The sending half of a connection.
#[derive(Clone)]
pub(crate) struct Outbound {
    sender: mpsc::Sender<Outgoing>,
    account: Arc<Account>,
    cut: CancellationToken,
    refusals: Arc<Refusals>,
}

/// The queue of one connection. `cut` ends it at once.
pub(crate) fn queue(
    account: Arc<Account>,
    cut: CancellationToken,
    refusals: Arc<Refusals>,
) -> (Outbound, mpsc::Receiver<Outgoing>) {
    let (sender, receiver) = mpsc::channel(ANSWERS_WAITING.count());
    (Outbound { sender, account, cut, refusals }, receiver)
}

impl Outbound {
    /// The same queue for another account.
    pub(crate) fn of(&self, account: Arc<Account>) -> Self {
        Self { account, ..self.clone() }
    }

    /// Where it is charged.
    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Puts an answer, or what needs none, on its way. Never waits.
    pub(crate) fn send(&self, bytes: Bytes, held: Option<Held>) -> Result<(), Gone> {
        let (mut charge, permit) = match held {
            Some(Held { permit, charge }) => (charge, Some(permit)),
            None => (self.account.nothing(), None),
        };
        charge.cover(bytes.len());
        charge.shrink_to(bytes.len());
        self.put(Outgoing { bytes, held: (charge, permit) })
    }

    fn put(&self, outgoing: Outgoing) -> Result<(), Gone> {
        match self.sender.try_send(outgoing) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Gone),
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.refusals.count(&ANSWERS_WAITING);
                self.cut.cancel();
                Err(Gone)
            }
        }
    }
}

/// Why nothing more can be written.
#[derive(Debug)]
enum Broken {
    Socket(std::io::Error),
    Stalled,
}

/// Writes what is sent until every sender is gone, the socket breaks, or it takes too little; then `close` ends the connection.
pub(crate) async fn write<W: AsyncWrite + Unpin>(
    mut socket: W,
    mut outgoing: mpsc::Receiver<Outgoing>,
    stall: Duration,
    close: CancellationToken,
    refusals: Arc<Refusals>,
) {
    let mut waiting = Vec::with_capacity(64);
    let mut together = BytesMut::new();
    while outgoing.recv_many(&mut waiting, 64).await > 0 {
        match put_out(&mut socket, &mut waiting, &mut together, stall).await {
            Ok(()) => {}
            Err(Broken::Socket(error)) => {
                tracing::debug!(%error, "a connection ended");
                return close.cancel();
            }
            Err(Broken::Stalled) => {
                tracing::debug!("a connection was closed: its device takes nothing");
                refusals.count(&WRITE_STALL_SECONDS);
                return close.cancel();
            }
        }
        if outgoing.is_empty() && together.capacity() > IDLE_BYTES {
            together = BytesMut::new();
        }
    }
    let _closing = timeout(stall, socket.shutdown()).await;
}

async fn put_out<W: AsyncWrite + Unpin>(
    socket: &mut W,
    waiting: &mut Vec<Outgoing>,
    together: &mut BytesMut,
    stall: Duration,
) -> Result<(), Broken> {
    let mut held = Vec::new();
    for outgoing in waiting.drain(..) {
        let bytes = &outgoing.bytes;
        if together.len().saturating_add(bytes.len()) > WRITE_BYTES && !together.is_empty() {
            put(socket, together, stall).await?;
            together.clear();
            held.clear();
        }
        if bytes.len() >= WRITE_BYTES {
            put(socket, bytes, stall).await?;
        } else {
            together.extend_from_slice(bytes);
            held.push(outgoing.held);
        }
    }
    put(socket, together, stall).await?;
    together.clear();
    in_time(stall, socket.flush()).await
}

async fn put<W: AsyncWrite + Unpin>(socket: &mut W, bytes: &[u8], stall: Duration) -> Result<(), Broken> {
    for step in bytes.chunks(STEP_BYTES) {
        in_time(stall, socket.write_all(step)).await?;
    }
    Ok(())
}

async fn in_time(stall: Duration, work: impl Future<Output = std::io::Result<()>>) -> Result<(), Broken> {
    match timeout(stall, work).await {
        Ok(done) => done.map_err(Broken::Socket),
        Err(_) => Err(Broken::Stalled),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::super::budget::{Budget, Of};
    use super::*;

    const STALL: Duration = Duration::from_secs(20);

    fn outbound() -> (Outbound, mpsc::Receiver<Outgoing>, Arc<Budget>, CancellationToken) {
        let (budget, cut) = (Budget::new(1 << 30, 1 << 30, STALL, Arc::default()), CancellationToken::new());
        let account = budget.open(Of::User, "a", cut.clone());
        let (outbound, outgoing) = queue(account, cut.clone(), Arc::default());
        (outbound, outgoing, budget, cut)
    }

    #[tokio::test]
    async fn everything_is_written_in_order_and_holds_nothing_afterwards() {
        let (outbound, outgoing, budget, close) = outbound();
        let (mut client, server) = tokio::io::duplex(4096);
        let mut expected = Vec::new();
        for size in [1, 300_000, 17, 200_000, 200_000, 5] {
            let piece: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            expected.extend_from_slice(&piece);
            outbound.send(piece.into(), None).unwrap();
        }
        assert_eq!(budget.held(), expected.len());
        drop(outbound);
        let writing = tokio::spawn(write(server, outgoing, STALL, close, Arc::default()));
        let mut read = Vec::new();
        client.read_to_end(&mut read).await.unwrap();
        writing.await.unwrap();
        assert!(read == expected);
        assert_eq!(budget.held(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_device_that_takes_nothing_is_ended_and_one_that_is_slow_is_not() {
        for (pause, ends) in [(STALL * 2, true), (STALL / 2, false)] {
            let (outbound, outgoing, _budget, close) = outbound();
            let refusals = Arc::<Refusals>::default();
            let (mut client, server) = tokio::io::duplex(1024);
            outbound.send(vec![0; 4 * STEP_BYTES].into(), None).unwrap();
            drop(outbound);
            let writing = tokio::spawn(write(server, outgoing, STALL, close.clone(), Arc::clone(&refusals)));
            let mut read = vec![0; STEP_BYTES];
            for _ in 0..4 {
                tokio::time::sleep(pause).await;
                if client.read_exact(&mut read).await.is_err() {
                    break;
                }
            }
            writing.await.unwrap();
            assert_eq!((close.is_cancelled(), refusals.of(&WRITE_STALL_SECONDS)), (ends, u64::from(ends)));
        }
    }

    #[tokio::test]
    async fn a_full_queue_ends_its_connection() {
        let (outbound, _outgoing, budget, cut) = outbound();
        for _ in 0..ANSWERS_WAITING.count() {
            outbound.send(Bytes::from_static(b"notice"), None).unwrap();
        }
        assert!(!cut.is_cancelled());
        assert_eq!(outbound.send(Bytes::from_static(b"notice"), None), Err(Gone));
        assert!(cut.is_cancelled());
        assert_eq!(budget.held(), ANSWERS_WAITING.count() * 6);
    }
}
