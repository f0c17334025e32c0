//! Events: what an operator is told by SNS, and always by the log.
//!
//! [`Events::raise`] logs an event (its only line in the log) and puts it into a bounded queue ([`queue`]); a task of its
//! own tells it ([`sender`]). Raising never waits and never fails, from any thread, whatever SNS does. Without a topic
//! events are only logged.
//!
//! At a crash what was not told is lost to SNS; the log has it. At a clean stop [`Sending::finish`] tells what fits into
//! its time, `Shutting down` last.
//!
//! Not here: SNS itself ([`retaind_aws::sns`]), and who decides that something is an event.

mod flood;
mod notification;
mod outlet;
mod queue;
mod sender;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use self::flood::SUMMED_UP_AFTER;
pub use self::queue::WINDOW;
pub use self::sender::{Notification, Publish, Sender, Sending};
pub use self::table::{Event, MESSAGE_CHARS_MAX, Row, Severity};

use tokio::time::Instant;

use self::flood::{End, Floods};
use self::outlet::Outlet;
use self::queue::Pending;
use super::origin::{Image, Origin, PRODUCT, UNKNOWN};

/// Where events are raised. Cheap to clone.
#[derive(Clone)]
pub struct Events(Arc<Inner>);

struct Inner {
    origin: Arc<Origin>,
    now_micros: Box<dyn Fn() -> i64 + Send + Sync>,
    outlet: Option<Outlet>,
    floods: Floods,
}

impl Events {
    /// Events that are told; nothing is before [`Sender::start`]. `now_micros`: microseconds since 1970, UTC.
    pub fn new(origin: Arc<Origin>, now_micros: impl Fn() -> i64 + Send + Sync + 'static) -> (Self, Sender) {
        let inner = Inner {
            origin,
            now_micros: Box::new(now_micros),
            outlet: Some(Outlet::default()),
            floods: Floods::default(),
        };
        let events = Self(Arc::new(inner));
        (events.clone(), Sender::new(events))
    }

    /// Events that are only logged.
    pub fn only_logged() -> Self {
        Self::logged_by(Arc::new(Origin::new(UNKNOWN, Image::default(), PRODUCT)))
    }

    /// As [`Events::only_logged`]; metrics may share who reports.
    pub fn logged_by(origin: Arc<Origin>) -> Self {
        Self(Arc::new(Inner { origin, now_micros: Box::new(|| 0), outlet: None, floods: Floods::default() }))
    }

    /// Logs it, and has it told if there is a topic; of many that members cause only the first ones, and then their
    /// number ([`flood`]). Never waits, never fails.
    pub fn raise(&self, event: Event) {
        let now = Instant::now();
        if event == Event::ShuttingDown {
            self.0.floods.sum_up(now, End::Now).into_iter().for_each(|event| self.tell(event));
        }
        if event.is_of_members() {
            let (Row { code, message, .. }, place) = (event.row(), event.place());
            let (conversation, seq) = place.unzip();
            tracing::debug!(event = code, conversation = conversation.map(tracing::field::display), seq, "{message}");
        }
        self.0.floods.admit(event, now).into_iter().for_each(|event| self.tell(event));
    }

    /// Raises the numbers of what has been counted for long enough. To be called now and then.
    pub fn sum_up(&self) {
        self.0.floods.sum_up(Instant::now(), End::NotYet).into_iter().for_each(|event| self.tell(event));
    }

    fn tell(&self, event: Event) {
        log(&event);
        let Some(outlet) = &self.0.outlet else { return };
        let is_last = event == Event::ShuttingDown;
        let event = Pending::new(event, self.now_micros());
        if is_last {
            outlet.put_last(event);
        } else {
            outlet.put(event);
        }
    }

    /// Who reports.
    pub fn origin(&self) -> &Arc<Origin> {
        &self.0.origin
    }

    fn now_micros(&self) -> i64 {
        (self.0.now_micros)()
    }

    fn outlet(&self) -> Option<&Outlet> {
        self.0.outlet.as_ref()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("waiting", &self.0.outlet.as_ref().map(Outlet::len)).finish_non_exhaustive()
    }
}

fn log(event: &Event) {
    let Row { code, severity, message } = event.row();
    let (conversation, seq) = event.place().unzip();
    let conversation = conversation.map(tracing::field::display);
    let newest = event.newest();
    match severity {
        Severity::Normal => tracing::info!(event = code, conversation, seq, newest, "{message}"),
        Severity::Critical => tracing::error!(event = code, conversation, seq, "{message}"),
    }
}
