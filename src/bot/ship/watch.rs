//! What operators hear of shipping: counts, events, and whether it gets on.

use std::sync::Arc;
use std::time::Duration;

use retaind_report::counters::Counters;
use retaind_report::events::{Event, Events};
use retaind_report::status::Shipping;

use super::runner::{News, Watcher};
use super::{ShipError, ShipItem, ShipKind};

/// Counts failures on the way to the destination, and reports each to operators once.
pub(crate) struct ShipWatch {
    pub(crate) counters: Arc<Counters>,
    pub(crate) events: Events,
    /// How long nothing may be stored although files wait.
    pub(crate) stalls_after: Duration,
}

impl Watcher for ShipWatch {
    fn failed(&self, item: &ShipItem, error: &ShipError, news: News) {
        self.counters.s3_post_errors.add(1);
        // a failure that may go away by itself raises no event
        if news == News::First && error.needs_operator() {
            let file = match item.kind {
                ShipKind::Message | ShipKind::Evidence => item.name.clone(),
                ShipKind::File => item.label(),
            };
            self.events.raise(Event::S3Failed { file, error: error.with_sources() });
        }
    }

    fn stored(&self, _: &ShipItem) {}

    fn stalls_after(&self) -> Duration {
        self.stalls_after
    }

    fn stalled(&self, lasted: Duration, why: &str) {
        self.counters.status.ships(Shipping::Stalled);
        self.events.raise(Event::ShipStalled { minutes: lasted.as_secs() / 60, error: why.to_owned() });
    }

    fn flows(&self) {
        self.counters.status.ships(Shipping::Moves);
    }
}
