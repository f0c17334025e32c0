//! The network is away: a warning first, then failures, each of which has the connection opened again.

use std::time::Duration;

use super::{Limits, Network, Verdict};

/// State of the conclusions about the network. Pure.
#[derive(Debug, Default)]
pub(super) struct Outage {
    began: Option<Duration>,
    warned: bool,
    failures: u32,
}

impl Outage {
    pub(crate) fn observe(&mut self, now: Duration, network: Network, limits: &Limits, verdicts: &mut Vec<Verdict>) {
        match network {
            Network::Connected => {
                if let Some(began) = self.began.filter(|_| self.warned) {
                    verdicts.push(Verdict::NetworkBack { lasted: now.saturating_sub(began) });
                }
                *self = Self::default();
            }
            Network::Away => {
                let lasted = now.saturating_sub(*self.began.get_or_insert(now));
                if !self.warned && lasted >= limits.network_warns_after {
                    self.warned = true;
                    verdicts.push(Verdict::NetworkAway { lasted });
                }
                let next = limits.network_fails_after.saturating_mul(self.failures.saturating_add(1));
                if lasted >= next {
                    self.failures = self.failures.saturating_add(1);
                    verdicts.push(Verdict::NetworkDown { lasted });
                }
            }
        }
    }

    /// Failures of the present outage; 0 while connected.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }
}
