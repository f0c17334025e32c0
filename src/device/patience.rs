//! How long a device tolerates an absent network, and where it looks for it.
//!
//! Every request of a device may be repeated: those that change something carry a `send_id`, the others only read. So
//! after a lost connection the device logs in again and sends *the same bytes* again: if the first answer was lost, the
//! network repeats it; if the request was lost, it is accepted now. Nothing is doubled and nothing is lost, even
//! when the network was killed and started again in between.
//!
//! Not here: a device that is killed. It does not know which requests were in flight, and its user sees no answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use retaind_core::pause::{Growth, Pause};
use retaind_protocol::endpoint::Endpoint;

/// Waits before a lost connection is tried again. A network that restarts is back within some of them.
const WAITS: Growth = Growth::doubling(Duration::from_millis(20), Duration::from_secs(2));

type Whereabouts = Arc<dyn Fn() -> Endpoint + Send + Sync>;

/// What a device does when the network is away. The default is to fail at once.
#[derive(Clone, Default)]
pub struct Patience {
    total: Duration,
    endpoint: Option<Whereabouts>,
}

impl Patience {
    /// Fails at once.
    pub const NONE: Self = Self { total: Duration::ZERO, endpoint: None };

    /// Tries again for `total` after each loss of the connection.
    pub fn lasting(total: Duration) -> Self {
        Self { total, endpoint: None }
    }

    /// Asks `endpoint` before each try for the present address of the network: after a restart it may have another port.
    #[must_use]
    pub fn looking_at(self, endpoint: impl Fn() -> Endpoint + Send + Sync + 'static) -> Self {
        Self { endpoint: Some(Arc::new(endpoint)), ..self }
    }

    /// The present address of the network; `None`: unchanged.
    pub fn endpoint(&self) -> Option<Endpoint> {
        self.endpoint.as_ref().map(|endpoint| endpoint())
    }

    /// A counter of the tries after one loss.
    pub fn tries(&self) -> Tries {
        Tries { until: Instant::now().checked_add(self.total), wait: Pause::new(WAITS) }
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience").field("total", &self.total).finish_non_exhaustive()
    }
}

/// Counts the tries after one loss.
#[derive(Debug)]
pub struct Tries {
    until: Option<Instant>,
    wait: Pause,
}

impl Tries {
    /// Waits before the next try, longer each time; `false` at once when patience has run out.
    pub async fn again(&mut self) -> bool {
        let Some(at) = Instant::now().checked_add(self.wait.grow()) else { return false };
        if self.until.is_some_and(|until| at > until) {
            return false;
        }
        tokio::time::sleep_until(at).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_patience_means_no_second_try() {
        assert!(!Patience::NONE.tries().again().await);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_and_its_tries_are_far_apart() {
        let start = Instant::now();
        let mut tries = Patience::lasting(Duration::from_secs(60)).tries();
        let mut count = 0;
        while tries.again().await {
            count += 1;
        }
        assert!((20..60).contains(&count), "{count}");
        assert!(start.elapsed() <= Duration::from_secs(60));
    }
}
