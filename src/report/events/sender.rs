//! Tells events to a topic, one after the other, for as long as it takes.
//!
//! A notification that is not taken is tried again, with the same id, before any later one: so order is kept, and a topic
//! that knows ids (FIFO) drops a repetition. Other topics may get one twice, when AWS took it and its answer was lost.
//! No error ends this: a refused permission or a missing topic is put right while the bot runs, and then all that waits
//! is told. The queue in front has a limit, and what that costs is told as well.

use std::future::Future;
use std::time::Duration;

use data_encoding::HEXLOWER;
use tokio::task::JoinHandle;

use super::outlet::Outlet;
use super::queue::Pending;
use super::{Events, notification};
use retaind_aws::AwsError;
use retaind_core::pause::{Growth, Pause};
use retaind_task as task;

/// First pause before a notification is tried again.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Pause while the bot stops: there is little time left.
const PAUSE_CLOSING: Duration = Duration::from_millis(250);

/// An event on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The same when it is tried again; another for every other notification of any bot.
    pub id: String,
    /// Notifications of one group keep their order: the bot's user name.
    pub group: String,
    /// The notification, a JSON object.
    pub text: String,
}

/// A topic.
pub trait Publish: Send + Sync + 'static {
    /// Returns when the topic has it. May be called again with the same notification after an error.
    fn publish(&self, notification: &Notification) -> impl Future<Output = Result<(), AwsError>> + Send;
}

/// The task that tells; made by [`Events::new`].
#[derive(Debug)]
pub struct Sender {
    events: Events,
}

impl Sender {
    pub(super) fn new(events: Events) -> Self {
        Self { events }
    }

    /// Begins to tell.
    pub fn start<P: Publish>(self, topic: P) -> Sending {
        let events = self.events.clone();
        let task = task::spawn("events", async move { self.run(topic).await });
        Sending { events, task }
    }

    async fn run<P: Publish>(self, topic: P) {
        let Some(outlet) = self.events.outlet() else { return };
        let run = run_id(self.events.now_micros());
        let mut number = 0u64;
        let mut pause = Pause::new(Growth::doubling(PAUSE_FIRST, PAUSE_MAX));
        while let Some(event) = outlet.next(|| self.events.now_micros()).await {
            number = number.saturating_add(1);
            self.tell(&topic, &event, format!("{run}-{number}"), outlet, &mut pause).await;
            outlet.told();
        }
    }

    async fn tell<P: Publish>(&self, topic: &P, event: &Pending, id: String, outlet: &Outlet, pause: &mut Pause) {
        let origin = self.events.origin();
        let group = origin.bot().to_owned();
        let mut notification = Notification { id, group, text: notification::text(event, origin) };
        let mut failed = false;
        while let Err(error) = topic.publish(&notification).await {
            failed = true;
            let again_in = pause.grow();
            let waiting = outlet.len();
            tracing::warn!(event = event.row.code, waiting, ?again_in, %error, "event is not told yet");
            if outlet.is_closing() {
                tokio::time::sleep(again_in.min(PAUSE_CLOSING)).await;
            } else {
                tokio::select! {
                    () = outlet.closing() => {}
                    () = tokio::time::sleep(again_in) => {}
                }
            }
            // by now the device may be known
            notification.text = notification::text(event, origin);
        }
        pause.reset();
        if failed {
            tracing::info!(event = event.row.code, waiting = outlet.len(), "events are told again");
        }
    }
}

/// Different in every run of every bot.
fn run_id(now_micros: i64) -> String {
    let mut random = [0u8; 8];
    if aws_lc_rs::rand::fill(&mut random).is_err() {
        random = now_micros.to_be_bytes();
    }
    HEXLOWER.encode(&random)
}

/// A sender at work.
#[derive(Debug)]
pub struct Sending {
    events: Events,
    task: JoinHandle<()>,
}

impl Sending {
    /// Tells what waits, storms included, but for no longer than `within`. Returns how many events were left untold; they
    /// are in the log. Events raised after this are only logged.
    pub async fn finish(self, within: Duration) -> u64 {
        let Self { events, mut task } = self;
        let Some(outlet) = events.outlet() else { return 0 };
        outlet.close();
        if tokio::time::timeout(within, &mut task).await.is_err() {
            task.abort();
        }
        let left = outlet.len();
        if left > 0 {
            tracing::warn!(left, "events were not told before the bot ended: SNS did not take them in time");
        }
        left
    }
}
