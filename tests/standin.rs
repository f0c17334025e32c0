//! What the tests of the delivery to AWS stand on does what it says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use aws_sdk_cloudwatch::types::{Dimension, MetricDatum};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;

use crate::support::aws::moto::{Moto, allow};

#[tokio::test]
async fn an_action_that_is_not_in_the_policy_is_denied() {
    let moto = Moto::start();
    moto.bucket("archive").await;
    let bot = moto.user("bot", &allow(&["s3:PutObject"])).await;
    let s3 = aws_sdk_s3::Client::new(&bot.config());
    s3.put_object().bucket("archive").key("a").body(ByteStream::from_static(b"1")).send().await.unwrap();
    let denied = s3.get_object().bucket("archive").key("a").send().await.unwrap_err();
    assert_eq!(denied.code(), Some("AccessDenied"));
    let kms = aws_sdk_kms::Client::new(&bot.config());
    let key = moto.key().await;
    let denied = kms.generate_data_key().key_id(&key).number_of_bytes(32).send().await.unwrap_err();
    assert_eq!(denied.code(), Some("AccessDeniedException"));
    let cloudwatch = aws_sdk_cloudwatch::Client::new(&bot.config());
    let measure = async || {
        let datum = MetricDatum::builder().metric_name("sent").value(3.0);
        let datum = datum.dimensions(Dimension::builder().name("bot").value("b").build()).build();
        cloudwatch.put_metric_data().namespace("retaind").metric_data(datum).send().await
    };
    assert_eq!(measure().await.unwrap_err().code(), Some("AccessDenied"));
    let sns = aws_sdk_sns::Client::new(&bot.config());
    let topic = moto.topic("events").await;
    let publish = async || sns.publish().topic_arn(&topic.arn).subject("s").message("m").send().await;
    assert_eq!(publish().await.unwrap_err().code(), Some("AccessDenied"));

    moto.set_policy("bot", &allow(&["kms:GenerateDataKey", "cloudwatch:PutMetricData", "sns:Publish"])).await;
    kms.generate_data_key().key_id(&key).number_of_bytes(32).send().await.unwrap();
    publish().await.unwrap();
    measure().await.unwrap();
    measure().await.unwrap();
    assert_eq!(s3.get_object().bucket("archive").key("a").send().await.unwrap_err().code(), Some("AccessDenied"));
    let notice = moto.notice(&topic).await;
    assert_eq!((notice.subject.as_deref(), notice.message.as_str()), (Some("s"), "m"));
    assert_eq!(moto.notices(&topic).await, []);
    let measured = moto.metric("retaind", "sent", &[("bot", "b")]).await.unwrap();
    assert_eq!((measured.sum, measured.samples, measured.maximum), (6.0, 2.0, 3.0));
    assert_eq!(moto.metric("retaind", "sent", &[]).await, None);
}
