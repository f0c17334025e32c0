//! What the bot says about itself, set up from the configuration: events to SNS, metrics to CloudWatch, or neither; and whether
//! there are updates.

use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::time::Instant;

use retaind_aws::Aws;
use retaind_aws::cloudwatch::CloudWatch;
use retaind_aws::sns::Sns;
use retaind_config::Config;
use retaind_config::aws::{Metrics as MetricsTo, Updates as UpdatesFrom};
use retaind_core::clock::{Clock, SystemClock};
use retaind_report::counters::Counters;
use retaind_report::events::{Events, Sending};
use retaind_report::metrics::{Measuring, Metrics};
use retaind_report::origin::Origin;
use retaind_report::outlets::NAMESPACE;
use retaind_report::updates::{Asking, Updates};

/// Events and metrics of one bot.
pub(crate) struct Report {
    /// Where the bot raises its events.
    pub events: Events,
    sending: Option<Sending>,
    /// Asks for updates as long as it is here.
    asking: Option<Asking>,
    measuring: Option<Measuring>,
}

impl Report {
    /// Begins to tell what the configuration asks for. Asks AWS nothing yet.
    pub(crate) fn start(config: &Config, aws: Option<&Aws>, counters: Arc<Counters>, runtime: &Runtime) -> Self {
        // what is started below are tasks
        let _tasks = runtime.enter();
        let settings = &config.aws;
        let origin =
            Arc::new(Origin::new(config.account.bot.as_str(), settings.image.clone(), settings.product.as_str()));
        let now = || SystemClock.now_micros();
        let refusals = Arc::clone(&counters.refusals);
        let (events, sending) = match (aws, &settings.topic) {
            (Some(aws), Some(topic)) => {
                let (events, sender) = Events::new(origin.clone(), now);
                (events, Some(sender.start(Sns::new(aws, &topic.region, topic.arn.as_str()))))
            }
            (_, None) | (None, Some(_)) => (Events::logged_by(origin.clone()), None),
        };
        let measuring = match (aws, settings.metrics) {
            (Some(aws), Some(MetricsTo::CloudWatch)) => {
                let store = CloudWatch::new(aws, &settings.region, NAMESPACE);
                Some(Metrics::new(counters, origin, now).start(store))
            }
            (_, None) | (None, Some(_)) => None,
        };
        let updates = match settings.updates {
            UpdatesFrom::On => Updates::of(&settings.image),
            UpdatesFrom::Off | UpdatesFrom::NoImage => None,
        };
        let asking = updates.map(|updates| updates.start(events.clone(), refusals));
        Self { events, sending, asking, measuring }
    }

    /// Tells what is left, until a deadline; what does not fit is in the log.
    pub(crate) async fn finish(self, until: Instant) {
        let Self { sending, measuring, asking, events: _ } = self;
        drop(asking);
        let within = until.saturating_duration_since(Instant::now());
        let events = async {
            if let Some(sending) = sending {
                sending.finish(within).await;
            }
        };
        let metrics = async {
            if let Some(measuring) = measuring {
                measuring.finish(within).await;
            }
        };
        tokio::join!(events, metrics);
    }
}
