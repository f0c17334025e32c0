//! Metrics: a figure that could not be published is said to be missing, and comes later.

use super::{program, room, stops};
use crate::support::Harness;
use crate::support::archive::{acknowledged, say};
use crate::support::aws::cloud::Cloud;
use crate::support::aws::fault::{Fault, On, Times};
use crate::support::program::Program;

/// An agent swallowed what CloudWatch answered, and for weeks there were no figures and no word of it. Here the log
/// names what is refused and by whom, as often as it is, and the figures that were refused are there once they are taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_that_are_refused_are_told_with_the_reason_and_come_once_they_are_taken() {
    for (fault, words) in [
        (Fault::Denied, "`cloudwatch:PutMetricData` on `WickrIO` is not permitted"),
        (Fault::Internal, "metrics are not sent yet"),
        (Fault::SlowDown, "metrics are not sent yet"),
    ] {
        let (harness, cloud) = (Harness::start(), Cloud::start().await);
        let refused = cloud.proxy.trouble(On::service("cloudwatch"), Times::UntilHealed, fault);
        let mut command = program(&harness);
        command.envs(cloud.variables()).env("WICKRIO_METRICS_TYPE", "cloudwatch").env("RETAIND_GRACE_SECONDS", "60");
        let mut bot = Program::start(&mut command);
        bot.says("receives").await;
        let (mut alice, room) = room(&harness).await;
        say(&mut alice, &room, 0..5).await;
        acknowledged(&harness).await;
        // it ends its last interval, and sends it
        bot.signal("TERM");
        bot.says("metrics are not sent yet").await;
        refused.strikes(3).await;
        refused.heal();
        let log = super::ends(bot, 0).await;
        assert!(log.contains(words), "{log}");
        assert!(!log.contains("are dropped"), "{log}");
        let sum = cloud.moto.sum_of("WickrIO", "Messages_Saved").await;
        assert_eq!(sum, 6.0, "{fault:?}: {log}");
        harness.stop().await;
    }
}

/// The same where CloudWatch does not come back in time: the bot ends, and the log says that figures are missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_that_were_never_taken_are_told_at_the_end() {
    let (harness, cloud) = (Harness::start(), Cloud::start().await);
    cloud.proxy.trouble(On::service("cloudwatch"), Times::UntilHealed, Fault::Internal);
    let mut command = program(&harness);
    command.envs(cloud.variables()).env("WICKRIO_METRICS_TYPE", "cloudwatch").env("RETAIND_GRACE_SECONDS", "2");
    let mut bot = Program::start(&mut command);
    bot.says("receives").await;
    let log = stops(bot, 0).await;
    assert!(log.contains("the last metrics were not sent: CloudWatch did not take them in time"), "{log}");
    harness.stop().await;
}
