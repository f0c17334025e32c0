//! What the stand-in has been given: objects, messages, metrics.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::types::{Dimension, Statistic};
use serde_json::{Value, json};

use super::moto::{Moto, Topic};

/// Largest object that is held in memory here.
const OBJECT_BYTES_MAX: i64 = 256 << 20;
/// Longest wait of SQS for a message, in seconds; a test that reaches it has failed.
const NOTICE_WAIT_SECONDS: u32 = 20;

/// An object as it lies in its bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Name.
    pub key: String,
    /// Content as stored.
    pub bytes: Vec<u8>,
    /// User metadata, names without `x-amz-meta-`.
    pub metadata: BTreeMap<String, String>,
    /// `GOVERNANCE` or `COMPLIANCE`.
    pub lock_mode: Option<String>,
    /// Until when, in seconds since 1970.
    pub locked_until: Option<i64>,
    /// `ON`: a legal hold.
    pub legal_hold: Option<String>,
    /// Content type.
    pub content_type: Option<String>,
    /// Where there are versions.
    pub version: Option<String>,
}

/// A message that a topic has passed on.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Subject.
    pub subject: Option<String>,
    /// Text.
    pub message: String,
    /// Attributes: name to `{"Type": …, "Value": …}`.
    pub attributes: Value,
}

/// What a metric came to within the last and the coming day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Of all values.
    pub sum: f64,
    /// Number of values.
    pub samples: f64,
    /// Largest value.
    pub maximum: f64,
}

impl Object {
    fn is_evidence(&self) -> bool {
        self.metadata.get("wickrio-type").is_some_and(|kind| kind == "evidence")
    }
}

impl Moto {
    /// All objects of a bucket but the evidence, by name, newest versions only.
    pub async fn objects(&self, bucket: &str) -> Vec<Object> {
        let everything = self.everything(bucket).await;
        everything.into_iter().filter(|object| !object.is_evidence()).collect()
    }

    /// The evidence in a bucket.
    pub async fn evidence(&self, bucket: &str) -> Vec<Object> {
        self.everything(bucket).await.into_iter().filter(Object::is_evidence).collect()
    }

    /// All objects of a bucket, by name, newest versions only.
    pub async fn everything(&self, bucket: &str) -> Vec<Object> {
        let mut keys = Vec::new();
        let mut pages = self.s3().list_objects_v2().bucket(bucket).into_paginator().send();
        while let Some(page) = pages.next().await {
            keys.extend(page.unwrap().contents.unwrap_or_default().into_iter().map(|object| object.key.unwrap()));
        }
        let mut objects = Vec::new();
        for key in keys {
            objects.push(self.object(bucket, &key).await.expect("an object that was listed"));
        }
        objects
    }

    /// One object; `None` if there is none.
    pub async fn object(&self, bucket: &str, key: &str) -> Option<Object> {
        let got = match self.s3().get_object().bucket(bucket).key(key).send().await {
            Ok(got) => got,
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => return None,
            Err(error) => panic!("{error:?}"),
        };
        assert!(got.content_length.unwrap() <= OBJECT_BYTES_MAX, "`{key}` is too large for memory");
        Some(Object {
            key: key.to_owned(),
            metadata: got.metadata.unwrap_or_default().into_iter().collect(),
            lock_mode: got.object_lock_mode.map(|mode| mode.as_str().to_owned()),
            locked_until: got.object_lock_retain_until_date.map(|date| date.secs()),
            legal_hold: got.object_lock_legal_hold_status.map(|hold| hold.as_str().to_owned()),
            content_type: got.content_type,
            version: got.version_id,
            bytes: got.body.collect().await.unwrap().to_vec(),
        })
    }

    /// Names of the objects whose multipart uploads have neither been completed nor aborted.
    pub async fn uploads(&self, bucket: &str) -> Vec<String> {
        let listed = self.s3().list_multipart_uploads().bucket(bucket).send().await.unwrap();
        assert_ne!(listed.is_truncated, Some(true), "more uploads than a test should leave");
        listed.uploads.unwrap_or_default().into_iter().map(|upload| upload.key.unwrap()).collect()
    }

    /// The next message, waited for and taken away.
    pub async fn notice(&self, topic: &Topic) -> Notice {
        self.receive(topic, NOTICE_WAIT_SECONDS).await.expect("a message should have come")
    }

    /// All messages that are there, taken away.
    pub async fn notices(&self, topic: &Topic) -> Vec<Notice> {
        let mut notices = Vec::new();
        while let Some(notice) = self.receive(topic, 0).await {
            notices.push(notice);
        }
        notices
    }

    async fn receive(&self, topic: &Topic, wait_seconds: u32) -> Option<Notice> {
        let wanted = json!({ "QueueUrl": topic.queue_url, "MaxNumberOfMessages": 1, "WaitTimeSeconds": wait_seconds });
        let received = self.sqs("ReceiveMessage", &wanted).await;
        let message = received["Messages"].get(0)?;
        let delete = json!({ "QueueUrl": topic.queue_url, "ReceiptHandle": message["ReceiptHandle"] });
        self.sqs("DeleteMessage", &delete).await;
        let body: Value = serde_json::from_str(message["Body"].as_str().unwrap()).unwrap();
        Some(Notice {
            subject: body["Subject"].as_str().map(str::to_owned),
            message: body["Message"].as_str().unwrap().to_owned(),
            attributes: body["MessageAttributes"].clone(),
        })
    }

    /// The sum of a metric, whatever its dimensions are. 0 if it was never put.
    pub async fn sum_of(&self, namespace: &str, name: &str) -> f64 {
        let cloudwatch = aws_sdk_cloudwatch::Client::new(&self.operator().config());
        let listed = cloudwatch.list_metrics().namespace(namespace).metric_name(name).send().await.unwrap();
        let mut sum = 0.0;
        for metric in listed.metrics.unwrap_or_default() {
            let dimensions = metric.dimensions.unwrap_or_default();
            let dimensions: Vec<_> = dimensions.iter().map(|one| (one.name().unwrap(), one.value().unwrap())).collect();
            sum += self.metric(namespace, name, &dimensions).await.map_or(0.0, |measured| measured.sum);
        }
        sum
    }

    /// A metric's values; `None` if there are none under exactly these dimensions.
    pub async fn metric(&self, namespace: &str, name: &str, dimensions: &[(&str, &str)]) -> Option<Measured> {
        const DAY: Duration = Duration::from_secs(86_400);
        let cloudwatch = aws_sdk_cloudwatch::Client::new(&self.operator().config());
        let dimensions = dimensions.iter().map(|(name, value)| Dimension::builder().name(*name).value(*value).build());
        let statistics = [Statistic::Sum, Statistic::SampleCount, Statistic::Maximum];
        let now = SystemTime::now();
        let answer = cloudwatch
            .get_metric_statistics()
            .namespace(namespace)
            .metric_name(name)
            .set_dimensions(Some(dimensions.collect()))
            .start_time((now - DAY).into())
            .end_time((now + DAY).into())
            .period(60)
            .set_statistics(Some(statistics.to_vec()))
            .send()
            .await
            .unwrap();
        let points = answer.datapoints.unwrap_or_default();
        points.into_iter().fold(None, |before: Option<Measured>, point| {
            let (sum, samples, maximum) = (point.sum.unwrap(), point.sample_count.unwrap(), point.maximum.unwrap());
            Some(match before {
                None => Measured { sum, samples, maximum },
                Some(before) => Measured {
                    sum: before.sum + sum,
                    samples: before.samples + samples,
                    maximum: before.maximum.max(maximum),
                },
            })
        })
    }
}
