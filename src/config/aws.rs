//! The AWS part of a configuration, typed so that only what fits together can be said: a key belongs to an upload, a
//! region to its bucket, days to a lock.
//!
//! Read in two steps. [`access`] is what must be right before Secrets Manager can be asked; [`read`] is everything else,
//! from the environment and the secret together. What is missing is told only when the secret has been read, because it
//! may stand there.

use std::fmt;
use std::path::PathBuf;

use super::env::{self, Origin, Variable};
use super::layer::KEYS;
use super::mistake::{Invalid, Mistake};
use super::{Reader, parse};
pub use retaind_archive::encrypt::Format;
pub use retaind_aws::s3::{LegalHold, LockMode};
pub use retaind_report::origin::Image;

/// Everything that the bot does with AWS. Each `Option` is a feature that is on or off.
#[derive(Debug)]
pub struct Aws {
    /// Of Secrets Manager and CloudWatch.
    pub region: String,
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
pub(super) struct Access {
    region: Option<String>,
    bundle: Option<Bundle>,
    secret: Option<SecretPlace>,
}

impl Access {
    /// The secret, if one is named and everything that leads to it is right.
    pub(super) fn secret<'a>(&'a self, r: &Reader) -> Option<(&'a SecretPlace, Option<&'a [u8]>)> {
        let bundle = match (&self.bundle, r.origins.given(&env::CA_BUNDLE)) {
            (None, Some(_)) => return None,
            (bundle, _) => bundle.as_ref().map(|bundle| bundle.pem.as_slice()),
        };
        Some((self.secret.as_ref()?, bundle))
    }
}

/// Reads what leads to the secret.
pub(super) fn access(r: &mut Reader) -> Access {
    let region = r.read(&env::AWS_REGION, parse::region);
    let bundle = r.optional(&env::CA_BUNDLE, parse::bundle);
    let name = r.optional(&env::AWS_SECRET_NAME, parse::secret_name);
    let secret_region = region_beside_arn(r, &env::AWS_SECRET_REGION, &env::AWS_SECRET_NAME, name.as_deref());
    // a mistaken one is not replaced by the default: a secret of the same name may be there
    let secret_region = match r.origins.given(&env::AWS_SECRET_REGION) {
        Some(_) => secret_region,
        None => region.clone(),
    };
    r.needs(&env::AWS_SECRET_REGION, &env::AWS_SECRET_NAME, "it is the region of that secret");
    let secret = name.zip(secret_region).map(|(name, region)| SecretPlace { name, region });
    Access { region, bundle, secret }
}

/// Reads the rest. Whatever is not there has left a mistake.
pub(super) fn read(r: &mut Reader, access: Access) -> Option<Aws> {
    let upload = upload(r);
    let topic = r.optional(&env::SNS_TOPIC, parse::sns_topic);
    let metrics = r.optional(&env::METRICS, parse::metrics);
    let product = r.read(&env::PRODUCT, parse::dimension);
    let image = r.read_or(&env::IMAGE, Some(Image::default()), parse::image);
    let updates = r.read(&env::UPDATES, parse::updates);
    let updates = match (updates?, r.origins.given(&env::IMAGE)) {
        (Updates::On | Updates::NoImage, None) => Updates::NoImage,
        (updates, _) => updates,
    };
    Some(Aws {
        updates,
        region: access.region?,
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
    let bucket = r.optional(&env::S3_BUCKET, parse::bucket);
    let region = region_beside_arn(r, &env::S3_REGION, &env::S3_BUCKET, bucket.as_deref());
    let folder = r.optional(&env::S3_FOLDER, parse::folder);
    let arn = r.optional(&env::KMS_KEY, parse::kms_key);
    let key_region = region_beside_arn(r, &env::KMS_REGION, &env::KMS_KEY, arn.as_deref());
    let format = r.read(&env::KMS_FORMAT, parse::kms_format);
    let mode = r.optional(&env::LOCK_MODE, parse::lock_mode);
    let days = r.optional(&env::LOCK_DAYS, parse::lock_days);
    let legal_hold = r.read(&env::LEGAL_HOLD, parse::legal_hold);

    let nowhere = "without a bucket nothing is uploaded";
    r.needs(&env::S3_BUCKET, &env::S3_REGION, "a bucket is in one region");
    r.needs(&env::S3_REGION, &env::S3_BUCKET, nowhere);
    r.needs(&env::S3_FOLDER, &env::S3_BUCKET, nowhere);
    r.needs(&env::KMS_KEY, &env::S3_BUCKET, "encryption happens on the way to S3");
    r.needs(&env::KMS_REGION, &env::KMS_KEY, "it is the region of that key");
    r.needs(&env::LOCK_MODE, &env::LOCK_DAYS, "a lock ends some day");
    r.needs(&env::LOCK_DAYS, &env::LOCK_MODE, "who can lift the lock has to be said");
    r.needs(&env::LOCK_MODE, &env::S3_BUCKET, nowhere);
    if legal_hold == Some(LegalHold::On) {
        r.needs(&env::LEGAL_HOLD, &env::S3_BUCKET, nowhere);
    }

    let key = arn.zip(key_region).zip(format).map(|((arn, region), format)| Key { arn, region, format });
    let retention = mode.zip(days).map(|(mode, days)| Retention { mode, days });
    let lock = Lock { retention, legal_hold: legal_hold? };
    Some(Upload { bucket: bucket?, region: region?, folder, key, lock })
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

impl Reader {
    /// `one` is senseless without `other`.
    pub(super) fn needs(&mut self, one: &'static Variable, other: &'static Variable, why: &'static str) {
        let key = KEYS.iter().find(|(_, variable)| variable.name == other.name).map(|(key, _)| *key);
        let key = match self.secret {
            SecretState::None => None,
            SecretState::Read => key,
            // what is missing may stand in it
            SecretState::Unread if key.is_some() => return,
            SecretState::Unread => None,
        };
        if self.settings.names(other) {
            return;
        }
        if let (Some(at), None) = (self.origins.given(one), self.origins.given(other)) {
            self.mistakes.push(Mistake::Needs { at: at.clone(), needs: other.name, key, why });
        }
    }

    /// A secret setting that is written back may not come from anywhere else.
    pub(super) fn must_come_from_secret(&mut self, variable: &'static Variable) {
        match self.origins.given(variable) {
            Some(Origin::Secret { .. } | Origin::Default { .. }) | None => {}
            Some(at @ (Origin::Environment { .. } | Origin::File { .. })) => {
                self.mistakes.push(Mistake::Value { at: at.clone(), value: None, why: Invalid::PasswordBesideSecret });
            }
        }
    }
}

/// Whether a secret is part of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SecretState {
    /// None is named.
    None,
    /// It is.
    Read,
    /// One is named and could not be read.
    Unread,
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CloudWatch => f.write_str("cloudwatch"),
        }
    }
}
