//! One bucket: put, multi-part, head. Nothing is ever overwritten.
//!
//! Every write carries the SHA-256 of its bytes, so that S3 refuses what the wire has altered, and `If-None-Match: *`, so
//! that it refuses to replace an object. The SDK does not retry in here: whether to repeat after a lost answer is
//! decided where the ledger is, in `retaind_bot::ship`.
//!
//! The payload is not hashed a second time for the signature: its SHA-256 header is signed, which binds it as well.
//!
//! Not here: reading objects, and what their metadata means.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::StalledStreamProtectionConfig;
use aws_sdk_s3::operation::head_object::HeadObjectError;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ObjectLockLegalHoldStatus, ObjectLockMode,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use bytes::Bytes;
use data_encoding::BASE64;

use super::sse::ServerSide;
use super::{Aws, AwsError, Call};
use retaind_core::clock::SystemClock;

/// Most parts of one object, a limit of S3.
pub const PARTS_MAX: u64 = 10_000;
/// Most bytes of one object, a limit of S3.
pub const OBJECT_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024 * 1024;
/// Longest time of one request with a body of a few MiB; a line below half a megabit a second is too slow.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest time of completing an upload: S3 assembles the parts before it answers, which takes minutes for the largest.
const COMPLETE_TIMEOUT: Duration = Duration::from_secs(600);
/// The variable that sets the bucket's region.
const REGION_SETTING: &str = "WICKRIO_S3_REGION";
/// Seconds of a day.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Who may delete a locked object before its time: no one, or principals with a special permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Principals with `s3:BypassGovernanceRetention`.
    Governance,
    /// No one, not even the account's owner.
    Compliance,
}

/// Has the object a legal hold, which has no end date?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegalHold {
    /// Until someone releases it.
    On,
    /// It has none.
    Off,
}

/// How new objects are locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectLock {
    /// Mode, and retention in days from the upload.
    pub retention: Option<(LockMode, u32)>,
    /// Whether objects get a legal hold.
    pub legal_hold: LegalHold,
}

impl ObjectLock {
    fn retention(&self) -> Option<(ObjectLockMode, DateTime)> {
        let (mode, days) = self.retention?;
        let mode = match mode {
            LockMode::Governance => ObjectLockMode::Governance,
            LockMode::Compliance => ObjectLockMode::Compliance,
        };
        let until = SystemClock.now().checked_add(DAY.saturating_mul(days))?;
        Some((mode, DateTime::from(until)))
    }

    fn hold(&self) -> Option<ObjectLockLegalHoldStatus> {
        match self.legal_hold {
            LegalHold::On => Some(ObjectLockLegalHoldStatus::On),
            LegalHold::Off => None,
        }
    }
}

impl fmt::Display for LockMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Governance => "governance",
            Self::Compliance => "compliance",
        })
    }
}

impl fmt::Display for LegalHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Off => "off",
        })
    }
}

/// A client for a region: no retries of its own, path style where the endpoint is a custom one.
pub(super) fn client(aws: &Aws, region: &str, bucket: &str) -> Client {
    client_with(aws, region, bucket, REQUEST_TIMEOUT)
}

fn client_with(aws: &Aws, region: &str, bucket: &str, request_timeout: Duration) -> Client {
    let config = aws.in_region(region);
    let custom = config.endpoint_url().is_some() || aws.has_own_endpoint("s3");
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(request_timeout).build();
    let config = aws_sdk_s3::config::Builder::from(&config)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // an access point has a host of its own everywhere
        .force_path_style(custom && !is_arn(bucket))
        .build();
    Client::from_conf(config)
}

fn is_arn(bucket: &str) -> bool {
    bucket.starts_with("arn:")
}

/// The objects of a bucket, or of an access point, below a prefix, as policies name them.
pub(super) fn objects(bucket: &str, prefix: &str) -> String {
    if is_arn(bucket) { format!("{bucket}/object/{prefix}*") } else { format!("arn:aws:s3:::{bucket}/{prefix}*") }
}

/// An object to be made.
#[derive(Debug, Clone)]
pub struct NewObject {
    /// Key of the object.
    pub key: String,
    /// User metadata, without `x-amz-meta-`; ASCII.
    pub metadata: HashMap<String, String>,
}

/// A part that S3 has stored.
#[derive(Debug, Clone)]
pub struct Part {
    number: i32,
    etag: String,
    sha256: String,
}

/// One bucket in one region.
#[derive(Clone)]
pub struct Bucket {
    client: Client,
    name: String,
    prefix: String,
    lock: Option<ObjectLock>,
    sse: Option<ServerSide>,
    owner: Option<String>,
}

impl Bucket {
    /// `folder`: key prefix without slashes at its ends.
    pub fn new(
        aws: &Aws,
        region: &str,
        name: &str,
        folder: Option<&str>,
        lock: Option<ObjectLock>,
        request_timeout: Duration,
    ) -> Self {
        let prefix = folder.map(|folder| format!("{folder}/")).unwrap_or_default();
        let client = client_with(aws, region, name, request_timeout);
        Self { client, name: name.to_owned(), prefix, lock, sse: None, owner: None }
    }

    /// Asks S3 to encrypt each object.
    #[must_use]
    pub fn encrypted(self, sse: Option<ServerSide>) -> Self {
        Self { sse, ..self }
    }

    /// Only while the bucket belongs to this account: one of the same name that another has made gets nothing.
    #[must_use]
    pub fn owned_by(self, owner: Option<String>) -> Self {
        Self { owner, ..self }
    }

    /// The key of a file of this name.
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn call(&self, action: &'static str) -> Call {
        // not the key: an attachment's name is content
        Call::new(action, objects(&self.name, &self.prefix))
    }

    fn failed<E>(&self, action: &'static str) -> impl Fn(SdkError<E, HttpResponse>) -> AwsError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let call = self.call(action);
        move |error| AwsError::of(call.clone(), REGION_SETTING, &error).without_words()
    }

    /// Stores a small object whole.
    pub async fn put(&self, object: &NewObject, body: Bytes, sha256: &[u8]) -> Result<(), AwsError> {
        let retention = self.lock.as_ref().and_then(ObjectLock::retention);
        let (mode, until) = retention.unzip();
        let sha256 = BASE64.encode(sha256);
        let put = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(&object.key)
            .set_metadata(Some(object.metadata.clone()))
            .if_none_match("*")
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_sha256(&sha256)
            .set_object_lock_mode(mode)
            .set_object_lock_retain_until_date(until)
            .set_object_lock_legal_hold_status(self.lock.as_ref().and_then(ObjectLock::hold))
            .set_server_side_encryption(self.sse.as_ref().map(ServerSide::algorithm))
            .set_ssekms_key_id(self.sse.as_ref().and_then(ServerSide::key))
            .set_ssekms_encryption_context(self.sse.as_ref().and_then(ServerSide::context))
            .set_expected_bucket_owner(self.owner.clone())
            .body(ByteStream::from(body))
            .customize()
            .disable_payload_signing();
        let answer = put.send().await.map_err(self.failed("s3:PutObject"))?;
        self.same_checksum(answer.checksum_sha256(), &sha256)?;
        self.has_etag(answer.e_tag()).map(drop)
    }

    /// Begins a multi-part upload, and returns its id.
    pub async fn begin(&self, object: &NewObject) -> Result<String, AwsError> {
        let (mode, until) = self.lock.as_ref().and_then(ObjectLock::retention).unzip();
        let begin = self
            .client
            .create_multipart_upload()
            .bucket(&self.name)
            .key(&object.key)
            .set_metadata(Some(object.metadata.clone()))
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .set_object_lock_mode(mode)
            .set_object_lock_retain_until_date(until)
            .set_object_lock_legal_hold_status(self.lock.as_ref().and_then(ObjectLock::hold))
            .set_server_side_encryption(self.sse.as_ref().map(ServerSide::algorithm))
            .set_ssekms_key_id(self.sse.as_ref().and_then(ServerSide::key))
            .set_ssekms_encryption_context(self.sse.as_ref().and_then(ServerSide::context))
            .set_expected_bucket_owner(self.owner.clone());
        let answer = begin.send().await.map_err(self.failed("s3:PutObject"))?;
        answer.upload_id.ok_or_else(|| self.odd("an upload without an id was begun"))
    }

    /// Uploads one part; `number` from 1.
    pub async fn part(
        &self,
        key: &str,
        upload: &str,
        number: u32,
        body: Bytes,
        sha256: &[u8],
    ) -> Result<Part, AwsError> {
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        let sha256 = BASE64.encode(sha256);
        let part = self
            .client
            .upload_part()
            .bucket(&self.name)
            .key(key)
            .upload_id(upload)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_sha256(&sha256)
            .set_expected_bucket_owner(self.owner.clone())
            .body(ByteStream::from(body))
            .customize()
            .disable_payload_signing();
        let answer = part.send().await.map_err(self.failed("s3:PutObject"))?;
        self.same_checksum(answer.checksum_sha256(), &sha256)?;
        let etag = self.has_etag(answer.e_tag())?;
        Ok(Part { number, etag, sha256 })
    }

    /// Completes a multi-part upload: the parts, given in any order, become one object.
    pub async fn complete(&self, key: &str, upload: &str, mut parts: Vec<Part>) -> Result<(), AwsError> {
        parts.sort_unstable_by_key(|part| part.number);
        let parts = parts.into_iter().map(|part| {
            CompletedPart::builder().part_number(part.number).e_tag(part.etag).checksum_sha256(part.sha256).build()
        });
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(COMPLETE_TIMEOUT).build();
        let complete = self
            .client
            .complete_multipart_upload()
            .bucket(&self.name)
            .key(key)
            .upload_id(upload)
            .multipart_upload(parts)
            .if_none_match("*")
            .set_expected_bucket_owner(self.owner.clone())
            .customize()
            .config_override(aws_sdk_s3::config::Builder::default().timeout_config(timeouts));
        let answer = complete.send().await.map_err(self.failed("s3:PutObject"))?;
        // an error may come in the body of a 200
        self.has_etag(answer.e_tag()).map(drop)
    }

    /// Aborts a multi-part upload, which deletes its parts.
    pub async fn abort(&self, key: &str, upload: &str) -> Result<(), AwsError> {
        let abort = self.client.abort_multipart_upload().bucket(&self.name).key(key).upload_id(upload);
        let abort = abort.set_expected_bucket_owner(self.owner.clone());
        abort.send().await.map(drop).map_err(self.failed("s3:AbortMultipartUpload"))
    }

    /// User metadata of an object; `None` if it does not exist. Needs `s3:GetObject`, which the bot can do without.
    pub async fn head(&self, key: &str) -> Result<Option<HashMap<String, String>>, AwsError> {
        let head = self.client.head_object().bucket(&self.name).key(key);
        match head.set_expected_bucket_owner(self.owner.clone()).send().await {
            Ok(answer) => Ok(Some(answer.metadata.unwrap_or_default())),
            Err(error) if error.as_service_error().is_some_and(HeadObjectError::is_not_found) => Ok(None),
            Err(error) => Err(self.failed("s3:GetObject")(error)),
        }
    }

    fn has_etag(&self, etag: Option<&str>) -> Result<String, AwsError> {
        etag.map(str::to_owned)
            .ok_or_else(|| self.odd("S3 confirmed, but named no ETag: does a proxy answer in its place?"))
    }

    /// If S3 returns a checksum, it must be that of the bytes sent.
    fn same_checksum(&self, stored: Option<&str>, sent: &str) -> Result<(), AwsError> {
        match stored {
            Some(stored) if stored != sent => Err(self.odd("S3 confirmed other bytes than were sent")),
            _ => Ok(()),
        }
    }

    /// S3's answer is impossible: treated as no answer.
    pub fn odd(&self, message: &str) -> AwsError {
        AwsError::Away { call: self.call("s3:PutObject"), message: message.to_owned() }
    }
}

#[cfg(test)]
mod sent;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_s3_says_of_an_object_is_not_passed_on() {
        let call = Call::new("s3:PutObject", "arn:aws:s3:::bucket/*");
        let words =
            "HTTP 403, AccessDenied: not authorized on resource: \"arn:aws:s3:::bucket/attachment_1_secret plan.pdf\"";
        let error = AwsError::Denied { call: call.clone(), message: words.to_owned() }.without_words();
        assert_eq!(error, AwsError::Denied { call: call.clone(), message: "HTTP 403, AccessDenied".to_owned() });
        let away = AwsError::Away { call, message: "dispatch failure: io error: connection refused".to_owned() };
        assert_eq!(away.clone().without_words(), away);
    }
}
