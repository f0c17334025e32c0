//! How long a stop may take: one deadline from the signal on, of which each part has a share.
//!
//! A supervisor kills a container that does not stop in time (`docker stop`: after ten seconds). A bot that is killed loses
//! nothing, but its last events are not sent and operators see a failure. So the whole is bounded, not each part: a part that
//! takes long uses up its own share and never that of those after it.
//!
//! | part | what | until, of the default 8 s |
//! |---|---|---|
//! | work | drain, seal, ship, last acknowledgements | 6 s |
//! | connections | the embedded network disconnects its devices | 6.5 s |
//! | report | last events and metrics | 7.5 s |
//! | end | threads that are left over | 8 s |
//!
//! What does not fit is as safe as after a crash: it is not acknowledged, or it is in the ship queue.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

/// Below the ten seconds after which Docker kills; also the table's default.
const GRACE: Duration = Duration::from_secs(8);
/// What comes after the work gets a quarter of the whole (docs/uploads.md says so),
const AFTER_WORK_PART: u32 = 4;
/// but no more than this: a large bucket takes long, a few events do not.
const AFTER_WORK_MAX: Duration = Duration::from_secs(8);

/// A part of a stop, in the order in which they end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Drain, seal, ship, last acknowledgements.
    Work,
    /// The embedded network disconnects its devices.
    Connections,
    /// Last events and metrics.
    Report,
    /// The whole stop.
    End,
}

/// The time that a stop may take. Clones share the same stop.
#[derive(Debug, Clone)]
pub struct Grace {
    whole: Duration,
    began: Arc<OnceLock<Instant>>,
}

impl Default for Grace {
    fn default() -> Self {
        Self::new(GRACE)
    }
}

impl Grace {
    /// `whole`: from the beginning of the stop to its end.
    pub fn new(whole: Duration) -> Self {
        Self { whole, began: Arc::default() }
    }

    /// Begins the stop, unless it has begun.
    pub fn begin(&self) {
        self.began.get_or_init(Instant::now);
    }

    /// When a part must have ended. Begins the stop, unless it has begun.
    pub fn until(&self, part: Part) -> Instant {
        let began = *self.began.get_or_init(Instant::now);
        began.checked_add(share(self.whole, part)).unwrap_or(began)
    }
}

/// From the beginning of a stop to the end of a part.
fn share(whole: Duration, part: Part) -> Duration {
    let after_work = (whole / AFTER_WORK_PART).min(AFTER_WORK_MAX);
    let left = match part {
        Part::Work => after_work,
        Part::Connections => after_work.mul_f64(0.75),
        Part::Report => after_work.mul_f64(0.25),
        Part::End => Duration::ZERO,
    };
    whole.saturating_sub(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_ends_in_its_order_and_the_last_with_the_whole() {
        let parts = [Part::Work, Part::Connections, Part::Report, Part::End];
        for whole in [1, 2, 8, 60, 3600].map(Duration::from_secs) {
            let ends = parts.map(|part| share(whole, part));
            assert!(ends.is_sorted() && ends[0] >= whole / 2, "{ends:?}");
            assert_eq!(ends[3], whole);
        }
        let default = parts.map(|part| share(GRACE, part).as_millis());
        assert_eq!(default, [6000, 6500, 7500, 8000]);
        assert_eq!(share(Duration::from_secs(3600), Part::Work), Duration::from_secs(3592));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_has_one_beginning() {
        let grace = Grace::new(Duration::from_secs(8));
        let began = Instant::now();
        grace.begin();
        tokio::time::advance(Duration::from_secs(5)).await;
        grace.clone().begin();
        assert_eq!(grace.until(Part::End), began + Duration::from_secs(8));
    }
}
