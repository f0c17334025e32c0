//! Tries each permission with a call that leaves nothing behind.
//!
//! - `secretsmanager:GetSecretValue`: by reading the secret, which loading the configuration has done already.
//! - `s3:PutObject`: an upload in parts is begun under a name of its own and aborted at once; no object ever exists. With
//!   Object Lock this is repeated for each kind of lock. Where aborting is not permitted (the bot does not need it), the
//!   upload stays: invisible, empty, until a lifecycle rule removes it.
//! - `kms:GenerateDataKey`: a key is made and dropped. KMS keeps nothing of it.
//! - `sns:Publish`, `cloudwatch:PutMetricData`: there is no dry run, so the request is one that the service must refuse for
//!   its parameters, each for two reasons. The service asks IAM first: a refusal of the parameters means permitted.
//!
//! What a probe cannot tell: permissions that depend on the object's very name, and what changes later.

use std::time::SystemTime;

use aws_lc_rs::rand;
use aws_sdk_cloudwatch::types::MetricDatum;
use aws_sdk_kms::types::DataKeySpec;
use aws_sdk_s3::operation::create_multipart_upload::builders::CreateMultipartUploadFluentBuilder;
use aws_sdk_s3::types::{ChecksumAlgorithm, ObjectLockEnabled, ObjectLockLegalHoldStatus, ObjectLockMode};
use aws_smithy_types::DateTime;
use data_encoding::HEXLOWER;

use super::permissions::{self, Permission};
use super::sse::ServerSide;
use super::{Aws, AwsError, Call, s3};

/// Prefix of the names of uploads that are begun and aborted.
pub(crate) const KEY_PREFIX: &str = ".retaind-check-";
/// The namespace of the bot's metrics, which a policy may require.
const NAMESPACE: &str = "WickrIO";
/// A subject that no notification can have: SNS allows fewer than 100 characters.
const SUBJECT_CHARS: usize = 200;
/// Random bytes in the name of an upload.
const NAME_BYTES: usize = 16;

/// One permission that was tried.
#[derive(Debug)]
pub struct Probe {
    /// The action that was tried, and its resource.
    pub call: Call,
    /// The row of the table of permissions.
    pub permission: &'static Permission,
    /// The result of the try.
    pub outcome: Outcome,
}

/// Result of a try.
#[derive(Debug)]
pub enum Outcome {
    /// It is permitted.
    Works,
    /// It is permitted, with a remark.
    WorksBut(String),
    /// It is not permitted, or the try failed otherwise.
    Fails(AwsError),
}

impl Probe {
    /// `permission` on `resource` had this `outcome`.
    pub fn new(permission: &'static Permission, resource: &str, outcome: Outcome) -> Self {
        Self { call: Call::new(permission.action, resource), permission, outcome }
    }
}

/// Where uploads would go.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Name of the bucket, or ARN of an access point.
    pub bucket: &'a str,
    /// Region of the bucket.
    pub region: &'a str,
    /// Key prefix without a trailing slash.
    pub folder: Option<&'a str>,
    /// Encryption by S3.
    pub sse: Option<&'a ServerSide>,
    /// The account that the bucket must belong to.
    pub owner: Option<&'a str>,
}

impl Place<'_> {
    fn key(&self, name: &str) -> String {
        self.folder.map_or_else(|| name.to_owned(), |folder| format!("{folder}/{name}"))
    }

    fn objects(&self) -> String {
        format!("{}/{}", self.bucket, self.key("*"))
    }
}

/// A lock on an object, and the time at which it ends.
#[derive(Debug, Clone, Copy)]
pub enum Lock {
    /// Until that time; principals with the permission can lift it.
    Governance(SystemTime),
    /// Until that time, for everyone.
    Compliance(SystemTime),
    /// Until the hold is released.
    LegalHold,
}

/// May objects be put?
pub async fn put_object(aws: &Aws, place: Place<'_>) -> Probe {
    let outcome = begin_and_abort(aws, place, permissions::PUT_OBJECT.action, |request| request).await;
    Probe::new(&permissions::PUT_OBJECT, &place.objects(), outcome)
}

/// May objects be put with a lock on them?
pub async fn put_locked(aws: &Aws, place: Place<'_>, lock: Lock) -> Probe {
    let permission = match lock {
        Lock::Governance(_) | Lock::Compliance(_) => &permissions::PUT_RETENTION,
        Lock::LegalHold => &permissions::PUT_LEGAL_HOLD,
    };
    let locked = |request: CreateMultipartUploadFluentBuilder| match lock {
        Lock::Governance(until) => {
            request.object_lock_mode(ObjectLockMode::Governance).object_lock_retain_until_date(DateTime::from(until))
        }
        Lock::Compliance(until) => {
            request.object_lock_mode(ObjectLockMode::Compliance).object_lock_retain_until_date(DateTime::from(until))
        }
        Lock::LegalHold => request.object_lock_legal_hold_status(ObjectLockLegalHoldStatus::On),
    };
    let outcome = begin_and_abort(aws, place, permission.action, locked).await;
    Probe::new(permission, &place.objects(), outcome)
}

async fn begin_and_abort(
    aws: &Aws,
    place: Place<'_>,
    action: &'static str,
    change: impl FnOnce(CreateMultipartUploadFluentBuilder) -> CreateMultipartUploadFluentBuilder,
) -> Outcome {
    let client = s3::client(aws, place.region, place.bucket);
    let key = place.key(&name());
    let owner = || place.owner.map(str::to_owned);
    let begin = client
        .create_multipart_upload()
        .bucket(place.bucket)
        .key(&key)
        .set_server_side_encryption(place.sse.map(ServerSide::algorithm))
        .set_ssekms_key_id(place.sse.and_then(ServerSide::key))
        .set_ssekms_encryption_context(place.sse.and_then(ServerSide::context))
        .set_expected_bucket_owner(owner());
    // for an upload that will be locked, S3 requires the checksum algorithm of its parts
    let begun = change(begin.checksum_algorithm(ChecksumAlgorithm::Crc32)).send().await;
    let begun = match begun {
        Ok(begun) => begun,
        Err(error) => {
            return Outcome::Fails(AwsError::of(Call::new(action, place.objects()), "WICKRIO_S3_REGION", &error));
        }
    };
    let Some(id) = begun.upload_id else { return Outcome::WorksBut("S3 gave the upload no id".to_owned()) };
    let abort = client.abort_multipart_upload().bucket(place.bucket).key(&key).upload_id(id);
    match abort.set_expected_bucket_owner(owner()).send().await {
        Ok(_) => Outcome::Works,
        Err(error) => {
            let call = Call::new("s3:AbortMultipartUpload", place.objects());
            let error = AwsError::of(call, "WICKRIO_S3_REGION", &error);
            Outcome::WorksBut(format!(
                "an upload without parts stays at `{key}`, which the rule in `config/iam/lifecycle.json` removes after 7 days: {error}"
            ))
        }
    }
}

/// May S3 encrypt objects under the key of KMS for the bot? As [`put_object`], which asks for it as well: this one says whose
/// permission it is. Decrypting, which S3 does where an upload has several parts, cannot be tried without one.
pub async fn put_encrypted(aws: &Aws, place: Place<'_>) -> Option<Probe> {
    let permission = &permissions::SSE_DATA_KEY;
    let ServerSide::Kms { key, .. } = place.sse? else { return None };
    let outcome = begin_and_abort(aws, place, permission.action, |request| request).await;
    Some(Probe::new(permission, key.as_deref().unwrap_or("alias/aws/s3"), outcome))
}

/// Does the bucket allow locks at all?
pub async fn lock_configuration(aws: &Aws, place: Place<'_>) -> Probe {
    let permission = &permissions::GET_LOCK_CONFIGURATION;
    let call = Call::new(permission.action, place.bucket);
    let ask = s3::client(aws, place.region, place.bucket).get_object_lock_configuration().bucket(place.bucket);
    let answer = ask.set_expected_bucket_owner(place.owner.map(str::to_owned)).send().await;
    let outcome = match answer {
        Ok(answer) => {
            let enabled = answer.object_lock_configuration.and_then(|configuration| configuration.object_lock_enabled);
            match enabled {
                Some(ObjectLockEnabled::Enabled) => Outcome::Works,
                _ => Outcome::Fails(AwsError::Refused {
                    call,
                    code: "ObjectLockConfigurationNotFoundError".to_owned(),
                    message: "Object Lock is not enabled for this bucket".to_owned(),
                }),
            }
        }
        Err(error) => Outcome::Fails(AwsError::of(call, "WICKRIO_S3_REGION", &error)),
    };
    Probe::new(permission, place.bucket, outcome)
}

/// May data keys be made? `context` is the encryption context, which a policy may require.
pub async fn generate_data_key(aws: &Aws, key: &str, region: &str, context: (&str, &str)) -> Probe {
    let permission = &permissions::DATA_KEY;
    let client = aws_sdk_kms::Client::new(&aws.in_region(region));
    let request = client.generate_data_key().key_id(key).key_spec(DataKeySpec::Aes256);
    let outcome = match request.encryption_context(context.0, context.1).send().await {
        Ok(mut answer) => {
            drop(answer.plaintext.take().map(|key| zeroize::Zeroizing::new(key.into_inner())));
            Outcome::Works
        }
        Err(error) => Outcome::Fails(AwsError::of(Call::new(permission.action, key), "WICKRIO_KMS_REGION", &error)),
    };
    Probe::new(permission, key, outcome)
}

/// May events be published?
pub async fn publish(aws: &Aws, topic: &str, region: &str) -> Probe {
    let permission = &permissions::PUBLISH;
    let client = aws_sdk_sns::Client::new(&aws.in_region(region));
    let sent = client
        .publish()
        .topic_arn(topic)
        // too long, and the message is not the JSON that it claims to be
        .subject("x".repeat(SUBJECT_CHARS))
        .message_structure("json")
        .message("retaind-check")
        .send()
        .await;
    let outcome = match sent {
        Ok(_) => Outcome::WorksBut(
            "the topic accepted what should have been refused: subscribers got a test message".to_owned(),
        ),
        Err(error) => {
            refused_is_permitted(AwsError::of(Call::new(permission.action, topic), "WICKRIO_SNS_TOPIC_ARN", &error))
        }
    };
    Probe::new(permission, topic, outcome)
}

/// May metrics be published?
pub async fn put_metric_data(aws: &Aws, region: &str) -> Probe {
    let permission = &permissions::PUT_METRICS;
    let client = aws_sdk_cloudwatch::Client::new(&aws.in_region(region));
    // not a number, and at a time from which CloudWatch accepts nothing any more
    let datum = MetricDatum::builder().metric_name("retaind-check").value(f64::NAN).timestamp(DateTime::from_secs(0));
    let sent = client.put_metric_data().namespace(NAMESPACE).metric_data(datum.build()).send().await;
    let outcome = match sent {
        Ok(_) => Outcome::WorksBut(
            "CloudWatch accepted what should have been refused: there is a metric `retaind-check`".to_owned(),
        ),
        Err(error) => {
            refused_is_permitted(AwsError::of(Call::new(permission.action, NAMESPACE), "AWS_DEFAULT_REGION", &error))
        }
    };
    Probe::new(permission, NAMESPACE, outcome)
}

/// The service checks IAM before the parameters: so their refusal means permitted.
fn refused_is_permitted(error: AwsError) -> Outcome {
    match &error {
        AwsError::Refused { code, .. } if code.starts_with("InvalidParameter") => Outcome::Works,
        AwsError::Refused { .. }
        | AwsError::Denied { .. }
        | AwsError::WrongRegion { .. }
        | AwsError::Missing { .. }
        | AwsError::Credentials { .. }
        | AwsError::Clock { .. }
        | AwsError::Precondition { .. }
        | AwsError::Throttled { .. }
        | AwsError::Away { .. } => Outcome::Fails(error),
    }
}

/// A name that no object has.
fn name() -> String {
    let mut random = [0; NAME_BYTES];
    // without randomness the name still has our prefix: the upload is aborted, never completed
    if rand::fill(&mut random).is_err() {
        random = [0; NAME_BYTES];
    }
    format!("{KEY_PREFIX}{}", HEXLOWER.encode(&random))
}
