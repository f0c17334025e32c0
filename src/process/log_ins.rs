//! Refused log-ins of the embedded network: many in a short time are an event.
//!
//! The network counts them and knows nothing of events; here the count is looked at from time to time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use retaind_core::limit::Refusals;
use retaind_network::FAILED_LOGINS;
use retaind_report::events::{Event, Events};
use tokio::time::MissedTickBehavior;

/// How often the count is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Looks that make a minute.
const LOOKS_A_MINUTE: usize = 6;

/// The counts of the last minute.
#[derive(Debug, Default)]
struct Minute(VecDeque<u64>);

impl Minute {
    /// How many were refused within a minute, if that is worth an event; then a new minute begins.
    fn burst(&mut self, total: u64) -> Option<u64> {
        let refused = total.saturating_sub(self.0.front().copied().unwrap_or_default());
        self.0.push_back(total);
        if refused >= FAILED_LOGINS.value {
            self.0 = VecDeque::from([total]);
            return Some(refused);
        }
        if self.0.len() > LOOKS_A_MINUTE {
            self.0.pop_front();
        }
        None
    }
}

/// Raises an event for each burst, until it is aborted.
pub(crate) async fn watch(refusals: Arc<Refusals>, events: Events) {
    let mut minute = Minute(VecDeque::from([refusals.of(&FAILED_LOGINS)]));
    let mut ticks = tokio::time::interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(count) = minute.burst(refusals.of(&FAILED_LOGINS)) {
            events.raise(Event::LogInsRefused { count });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_told_once_and_a_few_mistakes_are_not() {
        let mut minute = Minute::default();
        // three a look: never twenty within a minute
        assert!((0..100).all(|look| minute.burst(look * 3).is_none()));
        assert_eq!(minute.burst(300 + 40), Some(58));
        assert_eq!(minute.burst(300 + 40), None);
        assert_eq!(minute.burst(300 + 60), Some(20));
    }
}
