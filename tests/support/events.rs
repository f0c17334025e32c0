//! Events that a test hears of, as operators would.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use retaind::aws::AwsError;
use retaind::core::clock::{Clock, SystemClock};
use retaind::report::events::{Events, Notification, Publish, Sending};
use retaind::report::origin::{Image, Origin, PRODUCT};
use serde_json::Value;
use tokio::sync::mpsc;

use super::BOT;

/// No test waits so long unless it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A topic that passes events on to the test.
struct Told(mpsc::UnboundedSender<Value>);

impl Publish for Told {
    async fn publish(&self, notification: &Notification) -> Result<(), AwsError> {
        // the test may have heard enough
        let _ = self.0.send(serde_json::from_str(&notification.text).unwrap());
        Ok(())
    }
}

/// What was told.
pub struct Heard {
    sending: Sending,
    listen: mpsc::UnboundedReceiver<Value>,
}

/// Whose events they are.
pub fn origin() -> Arc<Origin> {
    Arc::new(Origin::new(BOT, Image { name: "wickr/bot-compliance-cloud".into(), tag: "5.116.13.01".into() }, PRODUCT))
}

/// Events of a bot, and what the test hears of them.
pub fn heard() -> (Events, Heard) {
    let (events, sender) = Events::new(origin(), || SystemClock.now_micros());
    let (told, listen) = mpsc::unbounded_channel();
    (events, Heard { sending: sender.start(Told(told)), listen })
}

impl Heard {
    /// The next one.
    pub async fn next(&mut self) -> Value {
        tokio::time::timeout(PATIENCE, self.listen.recv()).await.unwrap().unwrap()
    }

    /// All, once the bot has ended.
    pub async fn all(mut self) -> Vec<Value> {
        assert_eq!(self.sending.finish(PATIENCE).await, 0);
        let mut all = Vec::new();
        while let Ok(event) = self.listen.try_recv() {
            all.push(event);
        }
        all
    }

    /// All of one code, once the bot has ended.
    pub async fn of(self, code: &str) -> Vec<Value> {
        self.all().await.into_iter().filter(|event| event["eventCode"] == code).collect()
    }

    /// The codes of all, once the bot has ended.
    pub async fn codes(self) -> Vec<String> {
        self.all().await.iter().map(|event| event["eventCode"].as_str().unwrap().to_owned()).collect()
    }
}
