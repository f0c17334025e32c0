//! The AWS part of a configuration, typed so that only what fits together can be said: a key belongs to an upload, a
//! region to its bucket, days to a lock.
//!
//! Read in two steps. [`access`] is what must be right before Secrets Manager can be asked; [`read`] is everything else,
//! from the environment and the secret together. What is missing is told only when the secret has been read, because it
//! may stand there.

pub(crate) mod parse;
mod sse;

use std::fmt;
use std::path::PathBuf;

use crate::mistake::{Invalid, Warning};
use crate::reader::Reader;
use crate::variable::{Fallback, Variable, variables};
pub use retaind_archive::encrypt::Format;
pub use retaind_aws::s3::{LegalHold, LockMode};
pub use retaind_aws::sse::ServerSide;
pub use retaind_report::origin::Image;

variables! {
    AWS_REGION: "AWS_REGION", Fallback::Nothing, Public,
        "region of the AWS services other than S3 and KMS; comes before `AWS_DEFAULT_REGION`, as in every AWS SDK";
    AWS_DEFAULT_REGION: "AWS_DEFAULT_REGION", Fallback::Text("us-east-1"), Public,
        "the same, where `AWS_REGION` is not set";
    CA_BUNDLE: "AWS_CA_BUNDLE", Fallback::Nothing, Public,
        "PEM file with the certificates that AWS's endpoints are checked against instead of the system's";
    AWS_SECRET_NAME: "AWS_SECRET_NAME", Fallback::Nothing, Public,
        "name or ARN of the secret that holds further settings";
    AWS_SECRET_REGION: "AWS_SECRET_REGION", Fallback::Derived("the region in the secret's ARN, else `AWS_REGION`, else `AWS_DEFAULT_REGION`"), Public,
        "region of the secret";
    S3_BUCKET: "WICKRIO_S3_BUCKET_NAME", Fallback::Nothing, Public,
        "bucket that message files and attachments are uploaded to, or ARN of an access point";
    S3_REGION: "WICKRIO_S3_REGION", Fallback::Nothing, Public,
        "region of the bucket; required with a bucket";
    S3_FOLDER: "WICKRIO_S3_FOLDER_NAME", Fallback::Nothing, Public,
        "key prefix in the bucket, with or without a trailing slash";
    S3_OWNER: "RETAIND_S3_BUCKET_OWNER", Fallback::Nothing, Public,
        "account that the bucket must belong to, 12 digits: one of the same name that another account has made gets nothing";
    S3_SSE: "RETAIND_S3_SSE", Fallback::Nothing, Public,
        "`s3` or `kms`: ask S3 to encrypt each object (SSE-S3, SSE-KMS), for buckets whose policy demands the header; `kms` with a key of your own also needs `kms:GenerateDataKey` and `kms:Decrypt`";
    S3_SSE_KEY: "RETAIND_S3_SSE_KEY", Fallback::Derived("the account's key for S3"), Public,
        "ARN, id or alias of the KMS key for `RETAIND_S3_SSE=kms`";
    S3_SSE_CONTEXT: "RETAIND_S3_SSE_CONTEXT", Fallback::Nothing, Public,
        "encryption context for `RETAIND_S3_SSE=kms`: `name=value`, several with commas";
    KMS_KEY: "WICKRIO_KMS_MSTRKEY_ARN", Fallback::Nothing, Public,
        "KMS key for encryption before upload";
    KMS_REGION: "WICKRIO_KMS_REGION", Fallback::Derived("the region in the key's ARN"), Public,
        "region of the KMS key";
    KMS_FORMAT: "RETAIND_KMS_FORMAT", Fallback::Text("v3"), Public,
        "format of encrypted objects: `v3`, which commits to the key and is what current Amazon S3 Encryption Clients write, or `v2`, which older ones read";
    LOCK_MODE: "RETAIND_OBJECT_LOCK_MODE", Fallback::Nothing, Public,
        "`governance` or `compliance`: lock every uploaded object for `RETAIND_OBJECT_LOCK_DAYS`; also needs `s3:PutObjectRetention` and `s3:GetBucketObjectLockConfiguration`";
    LOCK_DAYS: "RETAIND_OBJECT_LOCK_DAYS", Fallback::Nothing, Public,
        "days for which an uploaded object is locked; required with `RETAIND_OBJECT_LOCK_MODE`";
    LEGAL_HOLD: "RETAIND_OBJECT_LOCK_LEGAL_HOLD", Fallback::Text("off"), Public,
        "`on` or `off`: put a legal hold on every uploaded object; also needs `s3:PutObjectLegalHold` and `s3:GetBucketObjectLockConfiguration`";
    SNS_TOPIC: "WICKRIO_SNS_TOPIC_ARN", Fallback::Nothing, Public,
        "SNS topic for events";
    METRICS: "WICKRIO_METRICS_TYPE", Fallback::Nothing, Public,
        "`cloudwatch`: publish metrics every 60 s";
    PRODUCT: "RETAIND_PRODUCT", Fallback::Text("WickrPro_Production"), Public,
        "dimension `Product` of the metrics";
    IMAGE: "RETAIND_IMAGE", Fallback::Derived("`retaind:<version>`"), Public,
        "container image that the bot runs in, such as `wickr/bot-compliance-cloud:5.116`; events name it";
    UPDATES: "RETAIND_UPDATES", Fallback::Text("on"), Public,
        "`on` or `off`: ask the registry of `RETAIND_IMAGE`, at the start and daily, whether there are newer versions; never where that is unset or its tag is no version";
}

/// Everything that the bot does with AWS. Each `Option` is a feature that is on or off.
#[derive(Debug)]
pub struct Aws {
    /// Of Secrets Manager and CloudWatch.
    pub region: String,
    /// What `AWS_REGION` says of it.
    first_region: Option<String>,
    /// Whom to trust instead of the system's certificates.
    pub ca_bundle: Option<Bundle>,
    /// The secret that part of this configuration came from.
    pub secret: Option<SecretPlace>,
    /// Where sealed files and attachments are uploaded to.
    pub upload: Option<Upload>,
    /// Where events go.
    pub topic: Option<Topic>,
    /// Where metrics go.
    pub metrics: Option<Metrics>,
    /// The metrics' dimension `Product`.
    pub product: String,
    /// What events say of the image that the bot runs in.
    pub image: Image,
    /// Whether its registry is asked for newer versions.
    pub updates: Updates,
}

/// Whether a registry is asked for newer versions of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Updates {
    /// It is.
    On,
    /// `RETAIND_UPDATES=off`.
    Off,
    /// No image was named whose registry could be asked.
    NoImage,
}

/// Certificates that AWS's endpoints are checked against.
#[derive(Debug)]
pub struct Bundle {
    /// Where they were read from.
    pub file: PathBuf,
    /// Themselves, PEM; at least one.
    pub pem: Vec<u8>,
}

/// Where the secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretPlace {
    /// Name or ARN.
    pub name: String,
    /// Its region.
    pub region: String,
}

/// Uploads to S3.
#[derive(Debug)]
pub struct Upload {
    /// Name of the bucket, or ARN of an access point.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// Key prefix without a trailing slash.
    pub folder: Option<String>,
    /// Encryption before upload.
    pub key: Option<Key>,
    /// Object Lock.
    pub lock: Lock,
    /// Encryption by S3.
    pub sse: Option<ServerSide>,
    /// The account that the bucket must belong to.
    pub owner: Option<String>,
}

/// Encryption before upload.
#[derive(Debug)]
pub struct Key {
    /// ARN of the KMS key.
    pub arn: String,
    /// Its region.
    pub region: String,
    /// Format of the encrypted objects.
    pub format: Format,
}

/// What is said to S3 Object Lock with every object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// Until when nobody can delete it.
    pub retention: Option<Retention>,
    /// Whether nobody can delete it until the hold is lifted.
    pub legal_hold: LegalHold,
}

/// A lock that ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Who can lift it.
    pub mode: LockMode,
    /// Days from the upload.
    pub days: u32,
}

/// An SNS topic.
#[derive(Debug)]
pub struct Topic {
    /// Its ARN.
    pub arn: String,
    /// The ARN's region.
    pub region: String,
}

/// Where metrics go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metrics {
    /// To CloudWatch, every 60 s.
    CloudWatch,
}

/// What is needed to ask Secrets Manager.
pub(crate) struct Access {
    first_region: Option<String>,
    region: Option<String>,
    bundle: Option<Bundle>,
    secret: Option<SecretPlace>,
}

impl Access {
    /// The secret, if one is named and everything that leads to it is right.
    pub(crate) fn secret<'a>(&'a self, r: &Reader) -> Option<(&'a SecretPlace, Option<&'a [u8]>)> {
        let bundle = match (&self.bundle, r.origins.given(&CA_BUNDLE)) {
            (None, Some(_)) => return None,
            (bundle, _) => bundle.as_ref().map(|bundle| bundle.pem.as_slice()),
        };
        Some((self.secret.as_ref()?, bundle))
    }
}

/// Reads what leads to the secret.
pub(crate) fn access(r: &mut Reader) -> Access {
    let (first_region, region) = region(r);
    let bundle = r.optional(&CA_BUNDLE, parse::bundle);
    let name = r.optional(&AWS_SECRET_NAME, parse::secret_name);
    let secret_region = region_beside_arn(r, &AWS_SECRET_REGION, &AWS_SECRET_NAME, name.as_deref());
    // a mistaken one is not replaced by the default: a secret of the same name may be there
    let secret_region = match r.origins.given(&AWS_SECRET_REGION) {
        Some(_) => secret_region,
        None => region.clone(),
    };
    r.needs(&AWS_SECRET_REGION, &AWS_SECRET_NAME, "it is the region of that secret");
    let secret = name.zip(secret_region).map(|(name, region)| SecretPlace { name, region });
    Access { first_region, region, bundle, secret }
}

/// What `AWS_REGION` says, and the region in force: that one, as in every SDK, or `AWS_DEFAULT_REGION`.
fn region(r: &mut Reader) -> (Option<String>, Option<String>) {
    let first = r.optional(&AWS_REGION, parse::region);
    let default = r.read(&AWS_DEFAULT_REGION, parse::region);
    if r.origins.given(&AWS_REGION).is_none() {
        return (None, default);
    }
    if let Some(at) = r.origins.given(&AWS_DEFAULT_REGION).filter(|_| first != default).cloned() {
        r.warnings.push(Warning::NoEffect { at, why: "`AWS_REGION` comes before it, as in every AWS SDK" });
    }
    if first != default {
        r.origins.follow(&AWS_DEFAULT_REGION, &AWS_REGION);
    }
    (first.clone(), first)
}

/// Reads the rest. Whatever is not there has left a mistake.
pub(crate) fn read(r: &mut Reader, access: Access) -> Option<Aws> {
    let upload = upload(r);
    let topic = r.optional(&SNS_TOPIC, parse::sns_topic);
    let metrics = r.optional(&METRICS, parse::metrics);
    let product = r.read(&PRODUCT, parse::dimension);
    let image = r.read_or(&IMAGE, Some(Image::default()), parse::image);
    let updates = r.read(&UPDATES, parse::updates);
    let updates = match (updates?, r.origins.given(&IMAGE)) {
        (Updates::On | Updates::NoImage, None) => Updates::NoImage,
        (updates, _) => updates,
    };
    Some(Aws {
        updates,
        region: access.region?,
        first_region: access.first_region,
        ca_bundle: access.bundle,
        secret: access.secret,
        upload,
        topic,
        metrics,
        product: product?,
        image: image?,
    })
}

fn upload(r: &mut Reader) -> Option<Upload> {
    let bucket = r.optional(&S3_BUCKET, parse::bucket);
    let region = region_beside_arn(r, &S3_REGION, &S3_BUCKET, bucket.as_deref());
    let folder = r.optional(&S3_FOLDER, parse::folder);
    let owner = r.optional(&S3_OWNER, parse::account);
    let sse = sse::read(r);
    let arn = r.optional(&KMS_KEY, parse::kms_key);
    let key_region = region_beside_arn(r, &KMS_REGION, &KMS_KEY, arn.as_deref());
    let format = r.read(&KMS_FORMAT, parse::kms_format);
    let mode = r.optional(&LOCK_MODE, parse::lock_mode);
    let days = r.optional(&LOCK_DAYS, parse::lock_days);
    let legal_hold = r.read(&LEGAL_HOLD, parse::legal_hold);

    let nowhere = "without a bucket nothing is uploaded";
    r.needs(&S3_BUCKET, &S3_REGION, "a bucket is in one region");
    r.needs(&S3_REGION, &S3_BUCKET, nowhere);
    r.needs(&S3_FOLDER, &S3_BUCKET, nowhere);
    r.needs(&S3_OWNER, &S3_BUCKET, nowhere);
    r.needs(&S3_SSE, &S3_BUCKET, nowhere);
    r.needs(&KMS_KEY, &S3_BUCKET, "encryption happens on the way to S3");
    r.needs(&KMS_REGION, &KMS_KEY, "it is the region of that key");
    r.needs(&LOCK_MODE, &LOCK_DAYS, "a lock ends some day");
    r.needs(&LOCK_DAYS, &LOCK_MODE, "who can lift the lock has to be said");
    r.needs(&LOCK_MODE, &S3_BUCKET, nowhere);
    if legal_hold == Some(LegalHold::On) {
        r.needs(&LEGAL_HOLD, &S3_BUCKET, nowhere);
    }

    let key = arn.zip(key_region).zip(format).map(|((arn, region), format)| Key { arn, region, format });
    let retention = mode.zip(days).map(|(mode, days)| Retention { mode, days });
    let lock = Lock { retention, legal_hold: legal_hold? };
    Some(Upload { bucket: bucket?, region: region?, folder, key, lock, sse, owner })
}

/// The region of something that may be named by its ARN: the ARN's, which a region beside it must not contradict.
fn region_beside_arn(
    r: &mut Reader,
    variable: &'static Variable,
    of: &'static Variable,
    name: Option<&str>,
) -> Option<String> {
    let arn = name.and_then(parse::region_of_arn);
    let given = r.optional(variable, |text| {
        let region = parse::region(text)?;
        match arn {
            Some(arn) if arn != region => Err(Invalid::RegionOfArn { arn: arn.to_owned() }),
            _ => Ok(region),
        }
    });
    if r.origins.given(variable).is_none() && arn.is_some() {
        r.origins.follow(variable, of);
        return arn.map(str::to_owned);
    }
    given
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CloudWatch => f.write_str("cloudwatch"),
        }
    }
}

pub(crate) fn value(aws: &Aws, name: &str) -> Option<String> {
    let (secret, upload) = (aws.secret.as_ref(), aws.upload.as_ref());
    let key = upload.and_then(|upload| upload.key.as_ref());
    let retention = upload.and_then(|upload| upload.lock.retention);
    match name {
        "AWS_REGION" => aws.first_region.clone(),
        "AWS_DEFAULT_REGION" => Some(aws.region.clone()),
        "AWS_CA_BUNDLE" => Some(aws.ca_bundle.as_ref()?.file.display().to_string()),
        "AWS_SECRET_NAME" => Some(secret?.name.clone()),
        "AWS_SECRET_REGION" => Some(secret?.region.clone()),
        "WICKRIO_S3_BUCKET_NAME" => Some(upload?.bucket.clone()),
        "WICKRIO_S3_REGION" => Some(upload?.region.clone()),
        "WICKRIO_S3_FOLDER_NAME" => upload?.folder.clone(),
        "RETAIND_S3_BUCKET_OWNER" => upload?.owner.clone(),
        "RETAIND_S3_SSE" | "RETAIND_S3_SSE_KEY" | "RETAIND_S3_SSE_CONTEXT" => sse::value(upload?.sse.as_ref()?, name),
        "WICKRIO_KMS_MSTRKEY_ARN" => Some(key?.arn.clone()),
        "WICKRIO_KMS_REGION" => Some(key?.region.clone()),
        "RETAIND_KMS_FORMAT" => Some(key?.format.to_string()),
        "RETAIND_OBJECT_LOCK_MODE" => Some(retention?.mode.to_string()),
        "RETAIND_OBJECT_LOCK_DAYS" => Some(retention?.days.to_string()),
        "RETAIND_OBJECT_LOCK_LEGAL_HOLD" => Some(upload?.lock.legal_hold.to_string()),
        "WICKRIO_SNS_TOPIC_ARN" => Some(aws.topic.as_ref()?.arn.clone()),
        "WICKRIO_METRICS_TYPE" => Some(aws.metrics?.to_string()),
        "RETAIND_PRODUCT" => aws.metrics.map(|_| aws.product.clone()),
        "RETAIND_IMAGE" => Some(aws.image.to_string()),
        "RETAIND_UPDATES" => match aws.updates {
            Updates::On => Some("on".to_owned()),
            Updates::Off => Some("off".to_owned()),
            Updates::NoImage => None,
        },
        _ => None,
    }
}

/// What is set and has no effect, and why.
pub(crate) fn idle(aws: &Aws) -> Vec<(&'static Variable, &'static str)> {
    let mut idle: Vec<(&'static Variable, &'static str)> = Vec::new();
    if aws.upload.as_ref().is_none_or(|upload| upload.key.is_none()) {
        idle.push((&KMS_FORMAT, "nothing is encrypted without `WICKRIO_KMS_MSTRKEY_ARN`"));
    }
    if aws.metrics.is_none() {
        idle.push((&PRODUCT, "no metrics are published without `WICKRIO_METRICS_TYPE`"));
    }
    idle
}
