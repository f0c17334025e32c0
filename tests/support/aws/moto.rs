//! The stand-in's server and what must be there before a bot comes: buckets, keys, secrets, topics, users.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, VersioningConfiguration,
};
use serde_json::{Value, json};

use super::{Access, REGION, http, python, script};

/// The key that may do anything, whatever is enforced; `policies.py` knows it too.
const OPERATOR: &str = "OPERATOR0OF0STAND0IN";

/// A running stand-in. It keeps everything in memory and ends when this is dropped, or when the test's process ends.
pub struct Moto {
    // its standard input is a pipe of ours: it ends when the pipe does
    server: Child,
    address: String,
}

/// A topic and the queue that gets what is published.
#[derive(Debug, Clone)]
pub struct Topic {
    /// For publishers.
    pub arn: String,
    /// For `Moto::notice`.
    pub queue_url: String,
}

impl Moto {
    /// Starts one: half a second. Nothing is enforced until there is a user.
    pub fn start() -> Self {
        Self::start_on("127.0.0.1")
    }

    /// The same on another address of this host, which containers reach.
    pub fn start_on(ip: &str) -> Self {
        let mut server = Command::new(python("moto"))
            // -B: no compiled files beside the scripts
            .arg("-B")
            .arg(script("standin.py"))
            .arg(ip)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let port: u16 = port.trim().parse().unwrap_or_else(|_| panic!("the stand-in did not start: `{port}`"));
        Self { server, address: format!("{ip}:{port}") }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    /// Access to everything.
    pub fn operator(&self) -> Access {
        Access {
            endpoint: format!("http://{}", self.address),
            key_id: OPERATOR.to_owned(),
            secret: "none".to_owned(),
            region: REGION.to_owned(),
        }
    }

    /// S3 as the operator. It does not check what it gets: moto computes CRC64NVME wrongly.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.operator().config());
        let validation = aws_sdk_s3::config::ResponseChecksumValidation::WhenRequired;
        aws_sdk_s3::Client::from_conf(config.force_path_style(true).response_checksum_validation(validation).build())
    }

    /// A bucket.
    pub async fn bucket(&self, name: &str) {
        self.s3().create_bucket().bucket(name).send().await.unwrap();
    }

    /// A bucket elsewhere.
    pub async fn bucket_in(&self, name: &str, region: &str) {
        let place = BucketLocationConstraint::from(region);
        let place = CreateBucketConfiguration::builder().location_constraint(place).build();
        self.s3().create_bucket().bucket(name).create_bucket_configuration(place).send().await.unwrap();
    }

    /// A bucket in which objects can be locked; its objects have versions.
    pub async fn bucket_with_lock(&self, name: &str) {
        self.s3().create_bucket().bucket(name).object_lock_enabled_for_bucket(true).send().await.unwrap();
        let versions = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        self.s3().put_bucket_versioning().bucket(name).versioning_configuration(versions).send().await.unwrap();
    }

    /// A key that encrypts: its ARN.
    pub async fn key(&self) -> String {
        let kms = aws_sdk_kms::Client::new(&self.operator().config());
        let made = kms.create_key().send().await.unwrap();
        made.key_metadata.unwrap().arn.unwrap()
    }

    /// A secret that holds `value`: its ARN.
    pub async fn secret(&self, name: &str, value: &str) -> String {
        let secrets = aws_sdk_secretsmanager::Client::new(&self.operator().config());
        secrets.create_secret().name(name).secret_string(value).send().await.unwrap().arn.unwrap()
    }

    /// A topic, and a queue that is subscribed to it.
    pub async fn topic(&self, name: &str) -> Topic {
        let sns = aws_sdk_sns::Client::new(&self.operator().config());
        let arn = sns.create_topic().name(name).send().await.unwrap().topic_arn.unwrap();
        let queue = self.sqs("CreateQueue", &json!({ "QueueName": name })).await;
        let queue_url = queue["QueueUrl"].as_str().unwrap().to_owned();
        let wanted = json!({ "QueueUrl": queue_url, "AttributeNames": ["QueueArn"] });
        let queue = self.sqs("GetQueueAttributes", &wanted).await;
        let queue_arn = queue["Attributes"]["QueueArn"].as_str().unwrap();
        sns.subscribe().topic_arn(&arn).protocol("sqs").endpoint(queue_arn).send().await.unwrap();
        Topic { arn, queue_url }
    }

    /// A user who may do what `policy` (an IAM policy document) says: from the first user on, policies are enforced for
    /// everybody but the operator, and so are signatures.
    pub async fn user(&self, name: &str, policy: &Value) -> Access {
        self.iam(&[("Action", "CreateUser"), ("UserName", name)]).await;
        self.set_policy(name, policy).await;
        let made = self.iam(&[("Action", "CreateAccessKey"), ("UserName", name)]).await;
        let element = |tag| http::element(&made, tag).expect(tag).to_owned();
        let access = Access { key_id: element("AccessKeyId"), secret: element("SecretAccessKey"), ..self.operator() };
        let (status, answer) = http::post(&self.address, "/moto-api/reset-auth", &[], "0").await;
        assert!(status.is_success(), "{answer}");
        access
    }

    /// Another policy for a user, at once.
    pub async fn set_policy(&self, name: &str, policy: &Value) {
        let policy = policy.to_string();
        let fields = [("UserName", name), ("PolicyName", "only"), ("PolicyDocument", &policy)];
        self.iam(&[&[("Action", "PutUserPolicy")], fields.as_slice()].concat()).await;
    }

    async fn iam(&self, fields: &[(&str, &str)]) -> String {
        let body = http::form(&[fields, &[("Version", "2010-05-08")]].concat());
        let signed = signed_for("iam");
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", &signed)];
        let (status, answer) = http::post(&self.address, "/", &headers, &body).await;
        assert!(status.is_success(), "{answer}");
        answer
    }

    /// A call of SQS.
    pub(super) async fn sqs(&self, operation: &str, input: &Value) -> Value {
        let target = format!("AmazonSQS.{operation}");
        let signed = signed_for("sqs");
        let headers =
            [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", &target), ("authorization", &signed)];
        let (status, answer) = http::post(&self.address, "/", &headers, &input.to_string()).await;
        assert!(status.is_success(), "{answer}");
        if answer.is_empty() { Value::Null } else { serde_json::from_str(&answer).unwrap() }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // it has ended, or ends now
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The operator's signature, which nobody checks, but which names the service.
fn signed_for(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={OPERATOR}/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"
    )
}

/// A policy that allows exactly these actions, on everything.
pub fn allow(actions: &[&str]) -> Value {
    json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": actions, "Resource": "*" }] })
}
