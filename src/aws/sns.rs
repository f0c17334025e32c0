//! SNS: one topic that events go to.

use std::time::Duration;

use aws_sdk_sns::Client;
use aws_smithy_types::timeout::TimeoutConfig;

use super::{Aws, AwsError, Call};

/// The variable that names the topic, and with it the region.
const SETTING: &str = "WICKRIO_SNS_TOPIC_ARN";
/// Longest time of one notification with all tries: one that hangs must not use up the time of a stop.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(30);
/// SNS's limit for group ids.
const GROUP_CHARS_MAX: usize = 128;
/// Suffix of the names of topics that keep order and drop repetitions.
const FIFO: &str = ".fifo";

/// One topic of SNS.
#[derive(Debug, Clone)]
pub struct Sns {
    client: Client,
    topic: String,
}

impl Sns {
    /// `topic`: its ARN, which names its region; `region` is used if the ARN names none.
    pub fn new(aws: &Aws, region: &str, topic: impl Into<String>) -> Self {
        let topic = topic.into();
        let timeouts = TimeoutConfig::builder().operation_timeout(PUBLISH_TIMEOUT).build();
        let config = aws.in_region(region_of(&topic).unwrap_or(region));
        let client = Client::from_conf(aws_sdk_sns::config::Builder::from(&config).timeout_config(timeouts).build());
        Self { client, topic }
    }

    /// Publishes `text` (at most 256 KiB); `sns:Publish`. On a FIFO topic texts of one `group` keep their order, and texts with
    /// the same `id` within five minutes are one message; other topics ignore both.
    pub async fn publish(&self, text: &str, group: &str, id: &str) -> Result<(), AwsError> {
        let mut request = self.client.publish().topic_arn(&self.topic).message(text);
        if self.topic.ends_with(FIFO) {
            let group: String = group.chars().filter(char::is_ascii_graphic).take(GROUP_CHARS_MAX).collect();
            request = request.message_group_id(group).message_deduplication_id(id);
        }
        let call = || Call::new("sns:Publish", &self.topic);
        request.send().await.map(drop).map_err(|error| AwsError::of(call(), SETTING, &error))
    }
}

/// The region in an ARN: its fourth part.
fn region_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(3).filter(|region| !region.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arn_names_the_region() {
        assert_eq!(region_of("arn:aws:sns:eu-west-1:111122223333:bot"), Some("eu-west-1"));
        assert_eq!(region_of("arn:aws:sns::111122223333:bot"), None);
        assert_eq!(region_of("bot"), None);
    }
}
