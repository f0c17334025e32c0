//! Is the other end of an open connection alive? A host that vanishes does not close its connections.
//!
//! From time to time the network is asked something small. Anything that it sends meanwhile is a sign of life, so that a
//! large attachment on a slow line, which delays the answer, is not taken for a dead connection. A refusal is an answer.

use std::time::Duration;

use retaind_device::connection::{Connection, ConnectionError};
use retaind_protocol::wire::{CountKeyPackages, Request};

use crate::limits::SILENCE_SECONDS;

/// How often the network is asked.
const EVERY: Duration = Duration::from_secs(20);
/// How long it may then be completely silent.
const PATIENCE: Duration = Duration::from_secs(SILENCE_SECONDS.value);

/// When to ask, and how long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// Pause from one answer to the next question.
    pub every: Duration,
    /// Longest silence after a question.
    pub patience: Duration,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { every: EVERY, patience: PATIENCE }
    }
}

impl Heartbeat {
    /// Asks until the other end is dead.
    pub(crate) async fn until_dead(self, connection: &Connection) {
        // the smallest request there is: a count, which changes nothing
        let ask = || connection.call(Request::CountKeyPackages(CountKeyPackages {}));
        self.until_silent(ask, || connection.frames_heard()).await;
    }

    /// As [`until_dead`](Self::until_dead), for anything that can be asked and heard.
    async fn until_silent<T, F>(self, ask: impl Fn() -> F, heard: impl Fn() -> u64)
    where
        F: Future<Output = Result<T, ConnectionError>>,
    {
        loop {
            tokio::time::sleep(self.every).await;
            let mut before = heard();
            let mut asked = std::pin::pin!(ask());
            loop {
                match tokio::time::timeout(self.patience, &mut asked).await {
                    // the receiver finds the end, after what came before it
                    Ok(Err(ConnectionError::Closed)) => std::future::pending().await,
                    Ok(Ok(_) | Err(_)) => break,
                    Err(_) if heard() != before => before = heard(),
                    Err(_) => return,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::Instant;

    use super::*;
    use retaind_protocol::wire::RefusalCode;

    const HEARTBEAT: Heartbeat = Heartbeat { every: Duration::from_secs(20), patience: Duration::from_secs(20) };
    const HOUR: Duration = Duration::from_secs(3600);

    async fn never() -> Result<(), ConnectionError> {
        std::future::pending().await
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_says_nothing_is_dead_after_one_question() {
        let began = Instant::now();
        HEARTBEAT.until_silent(never, || 0).await;
        assert_eq!(began.elapsed(), Duration::from_secs(40));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_dies_after_many_answers_is_noticed() {
        let (began, asked) = (Instant::now(), Cell::new(0));
        let ask = || {
            asked.set(asked.get() + 1);
            let last = asked.get() == 10;
            async move { if last { never().await } else { Ok(()) } }
        };
        HEARTBEAT.until_silent(ask, || 0).await;
        assert_eq!((asked.get(), began.elapsed()), (10, Duration::from_secs(220)));
    }

    #[tokio::test(start_paused = true)]
    async fn answers_refusals_and_anything_else_that_is_heard_are_signs_of_life() {
        let refused = || async {
            Err::<(), _>(ConnectionError::Refused { code: RefusalCode::Unavailable, message: "later".into() })
        };
        tokio::time::timeout(HOUR, HEARTBEAT.until_silent(refused, || 0)).await.unwrap_err();
        let answered = || async { Ok(()) };
        tokio::time::timeout(HOUR, HEARTBEAT.until_silent(answered, || 0)).await.unwrap_err();
        let frames = Cell::new(0);
        let heard = || {
            frames.set(frames.get() + 1);
            frames.get()
        };
        tokio::time::timeout(HOUR, HEARTBEAT.until_silent(never, heard)).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_is_left_to_whoever_receives() {
        let closed = || async { Err::<(), _>(ConnectionError::Closed) };
        tokio::time::timeout(HOUR, HEARTBEAT.until_silent(closed, || 0)).await.unwrap_err();
    }
}
