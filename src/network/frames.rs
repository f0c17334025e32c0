//! Reading frames: four bytes of length, then so many bytes.
//!
//! Memory grows with what has arrived, not with what was announced, and is charged to the connection's account as it grows.
//! A frame that has begun goes on, 64 KiB or its rest within a time, or the connection ends. A connection on which no frame has
//! begun may be silent for as long as it lives.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout_at};

use super::budget::{Account, Charge};
use retaind_core::limit::Limit;

/// Bytes of a frame that must have come when its time is over.
const STEP_BYTES: usize = 64 * 1024;
/// Most that is charged ahead of what has come.
const GROWTH_BYTES: usize = 1024 * 1024;
/// Memory of the reader between frames: not charged.
const IDLE_BYTES: usize = 8 * 1024;
const HEAD_BYTES: usize = 4;

/// Why there is no further frame.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The peer closed the connection, or it broke.
    Closed(Option<io::Error>),
    /// The next frame is larger than is allowed here.
    TooLarge,
    /// A frame did not go on.
    Stalled,
    /// There was no memory for it.
    NoRoom(&'static Limit),
}

/// A frame, and what it holds.
pub(crate) struct Frame {
    pub(crate) bytes: Bytes,
    pub(crate) charge: Charge,
}

/// Reads the frames of one connection.
pub(crate) struct Frames<R> {
    reader: R,
    buffer: BytesMut,
    account: Arc<Account>,
    charge: Charge,
    bytes_max: usize,
    stall: Duration,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// `stall`: for each step of a frame that has begun.
    pub(crate) fn new(reader: R, account: Arc<Account>, bytes_max: usize, stall: Duration) -> Self {
        let charge = account.nothing();
        Self { reader, buffer: BytesMut::new(), account, charge, bytes_max, stall }
    }

    /// The connection has logged in: its own account, and larger frames.
    pub(crate) fn promote(&mut self, account: Arc<Account>, bytes_max: usize) {
        self.charge = account.nothing();
        self.account = account;
        self.bytes_max = bytes_max;
    }

    /// The largest frame that is allowed here.
    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Result<Frame, Ended> {
        let mut step: Option<(Instant, usize)> = None;
        loop {
            let wanted = match self.announced()? {
                Some(length) if self.buffer.len() >= length.saturating_add(HEAD_BYTES) => {
                    return self.take(length).await;
                }
                Some(length) => length.saturating_add(HEAD_BYTES),
                None => HEAD_BYTES,
            };
            self.make_room(wanted).await?;
            if !self.buffer.is_empty() && step.is_none() {
                step = Some((Instant::now() + self.stall, 0));
            }
            let read = self.reader.read_buf(&mut self.buffer);
            let read = match step {
                Some((until, _)) => timeout_at(until, read).await.map_err(|_| Ended::Stalled)?,
                None => read.await,
            };
            let read = read.map_err(|error| Ended::Closed(Some(error)))?;
            if read == 0 {
                return Err(Ended::Closed(None));
            }
            step = match step {
                Some((until, come)) if come.saturating_add(read) < STEP_BYTES => {
                    Some((until, come.saturating_add(read)))
                }
                Some(_) | None => Some((Instant::now() + self.stall, 0)),
            };
        }
    }

    /// The length of the frame that has begun, once it is known.
    fn announced(&self) -> Result<Option<usize>, Ended> {
        let Some(head) = self.buffer.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
        if length > self.bytes_max { Err(Ended::TooLarge) } else { Ok(Some(length)) }
    }

    /// Room for some of what is missing: as much again as has come, up to a step.
    async fn make_room(&mut self, wanted: usize) -> Result<(), Ended> {
        let come = self.buffer.len();
        if self.buffer.capacity() > come {
            return Ok(());
        }
        let room = wanted.saturating_sub(come).min(come).clamp(IDLE_BYTES, GROWTH_BYTES);
        let size = come.saturating_add(room);
        if size > IDLE_BYTES {
            let more = size.saturating_sub(self.charge.bytes());
            self.charge.grow(more).await.map_err(Ended::NoRoom)?;
        }
        self.buffer.reserve(room);
        Ok(())
    }

    async fn take(&mut self, length: usize) -> Result<Frame, Ended> {
        self.buffer.advance(HEAD_BYTES);
        let bytes = self.buffer.split_to(length).freeze();
        if length > IDLE_BYTES {
            // or what comes next would keep the memory of this frame
            self.buffer = BytesMut::from(&*self.buffer);
        }
        let mut charge = std::mem::replace(&mut self.charge, self.account.nothing());
        charge.grow(length.saturating_sub(charge.bytes())).await.map_err(Ended::NoRoom)?;
        charge.shrink_to(length);
        Ok(Frame { bytes, charge })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio_util::sync::CancellationToken;

    use super::super::budget::{Budget, Of};
    use super::*;

    const STALL: Duration = Duration::from_secs(10);
    const MIB: usize = 1024 * 1024;

    fn frames(bytes: usize) -> (tokio::io::DuplexStream, Frames<tokio::io::DuplexStream>, Arc<Budget>) {
        let (client, server) = tokio::io::duplex(64 * 1024);
        let budget = Budget::new(bytes, bytes, STALL, Arc::default());
        let account = budget.open(Of::User, "a", CancellationToken::new());
        (client, Frames::new(server, account, 16 * MIB, STALL), budget)
    }

    async fn send(client: &mut tokio::io::DuplexStream, announced: usize, sent: usize) {
        client.write_all(&u32::try_from(announced).unwrap().to_be_bytes()).await.unwrap();
        client.write_all(&vec![7; sent]).await.unwrap();
    }

    #[tokio::test]
    async fn frames_of_every_size_come_whole_and_in_order() {
        let (mut client, mut frames, budget) = frames(64 * MIB);
        let sizes = [0, 1, 100, 8188, 8189, 100_000, 3, 5 * MIB, 2];
        let sent = tokio::spawn(async move {
            for size in sizes {
                send(&mut client, size, size).await;
            }
            client
        });
        for size in sizes {
            let frame = frames.next().await.unwrap();
            assert_eq!((frame.bytes.len(), frame.charge.bytes()), (size, size));
            assert!(frame.bytes.iter().all(|byte| *byte == 7));
        }
        drop(sent.await.unwrap());
        assert!(matches!(frames.next().await, Err(Ended::Closed(None))));
        assert_eq!(budget.held(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_follows_what_has_come_and_a_frame_that_stops_ends() {
        let (mut client, mut frames, budget) = frames(64 * MIB);
        send(&mut client, 16 * MIB, 60_000).await;
        let began = Instant::now();
        assert!(matches!(frames.next().await, Err(Ended::Stalled)));
        assert_eq!(began.elapsed(), STALL);
        assert!((60_000..=128 * 1024).contains(&budget.held()), "{}", budget.held());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_line_is_borne_and_silence_between_frames_is_no_stall() {
        let (mut client, mut frames, _budget) = frames(64 * MIB);
        let slow = tokio::spawn(async move {
            tokio::time::sleep(STALL * 100).await;
            client.write_all(&u32::try_from(MIB).unwrap().to_be_bytes()).await.unwrap();
            for _ in 0..16 {
                tokio::time::sleep(STALL * 9 / 10).await;
                client.write_all(&[7; STEP_BYTES]).await.unwrap();
            }
            client
        });
        assert_eq!(frames.next().await.unwrap().bytes.len(), MIB);
        slow.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn without_memory_the_frame_is_not_read() {
        let (mut client, mut frames, budget) = frames(MIB);
        let other = budget.open(Of::User, "b", CancellationToken::new());
        let held = other.charge(MIB).await.unwrap();
        send(&mut client, 60_000, 60_000).await;
        assert!(matches!(frames.next().await, Err(Ended::NoRoom(_))));
        drop(held);
        assert!(frames.next().await.is_ok());
    }

    #[tokio::test]
    async fn a_frame_that_is_too_large_is_refused_by_its_head() {
        let (mut client, mut frames, _budget) = frames(64 * MIB);
        send(&mut client, 16 * MIB + 1, 0).await;
        assert!(matches!(frames.next().await, Err(Ended::TooLarge)));
    }
}
