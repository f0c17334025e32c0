//! AWS as the outlet of events and metrics.

use super::events::{Notification, Publish};
use super::metrics::{Interval, Keep, METRICS, Unit};
use super::origin::Origin;
use retaind_aws::AwsError;
use retaind_aws::cloudwatch::{CloudWatch, Figure, FigureUnit};
use retaind_aws::sns::Sns;

/// The namespace of the published metrics.
pub const NAMESPACE: &str = "WickrIO";
/// `BotType` of every retention bot.
const BOT_TYPE: &str = "compliance";

impl Publish for Sns {
    async fn publish(&self, notification: &Notification) -> Result<(), AwsError> {
        let Notification { id, group, text } = notification;
        Sns::publish(self, text, group, id).await
    }
}

impl Keep for CloudWatch {
    async fn keep(&self, origin: &Origin, intervals: &[Interval]) -> Result<(), AwsError> {
        let dimensions = [
            ("ID", origin.bot()),
            ("Device", origin.device()),
            ("Product", origin.product()),
            ("BotType", BOT_TYPE),
            ("Network", origin.network()),
        ];
        let mut figures = Vec::with_capacity(intervals.len().saturating_mul(METRICS.len()));
        for interval in intervals {
            for (metric, value) in METRICS.iter().zip(interval.values) {
                let unit = match metric.unit {
                    Unit::Count => FigureUnit::Count,
                    Unit::Bytes => FigureUnit::Bytes,
                };
                figures.push(Figure { name: metric.name, unit, value, at_secs: interval.at_secs });
            }
        }
        self.put(&dimensions, &figures).await
    }
}
