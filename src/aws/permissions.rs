//! What the bot must be allowed to do, in one table: feature, IAM action, resource.
//!
//! The policies in `config/iam/`, the table in docs/aws.md and the probes of `retaind check --online` all come from it or are
//! compared with it by tests, so that a new call cannot be made without its line in a policy.

use std::fmt;

/// A part of the bot that an operator turns on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// Settings from Secrets Manager.
    Secrets,
    /// Uploads to S3.
    S3,
    /// Encryption before upload.
    Kms,
    /// Events to SNS.
    Sns,
    /// Metrics to CloudWatch.
    CloudWatch,
    /// S3 Object Lock.
    ObjectLock,
    /// Encryption by S3 under a KMS key.
    ServerSide,
    /// The generated password in the secret.
    StorePassword,
}

impl Feature {
    /// All features.
    pub const ALL: [Self; 8] = [
        Self::Secrets,
        Self::S3,
        Self::Kms,
        Self::Sns,
        Self::CloudWatch,
        Self::ObjectLock,
        Self::ServerSide,
        Self::StorePassword,
    ];

    /// Name of the policy in `config/iam/` that is enough for it.
    pub fn policy(self) -> &'static str {
        match self {
            Self::Secrets => "secrets.json",
            Self::S3 => "s3.json",
            Self::Kms => "kms.json",
            Self::Sns => "sns.json",
            Self::CloudWatch => "cloudwatch.json",
            Self::ObjectLock => "object-lock.json",
            Self::ServerSide => "sse-kms.json",
            Self::StorePassword => "store-password.json",
        }
    }

    /// The permissions that it needs.
    pub fn permissions(self) -> impl Iterator<Item = &'static Permission> {
        PERMISSIONS.iter().copied().filter(move |permission| permission.feature == self)
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secrets => "settings from Secrets Manager",
            Self::S3 => "uploads to S3",
            Self::Kms => "encryption under a KMS key",
            Self::Sns => "events to SNS",
            Self::CloudWatch => "metrics to CloudWatch",
            Self::ObjectLock => "Object Lock",
            Self::ServerSide => "encryption by S3 under a KMS key",
            Self::StorePassword => "the generated password in the secret",
        })
    }
}

/// Whether an action is one that the bot has always needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// One of the guide's five.
    Guide,
    /// Beyond them; only for a feature that is off unless asked for.
    OptIn,
}

/// One action on one kind of resource.
#[derive(Debug)]
pub struct Permission {
    /// The feature that needs it.
    pub feature: Feature,
    /// The statement's `Sid`.
    pub sid: &'static str,
    /// The IAM action.
    pub action: &'static str,
    /// The narrowest resource that AWS allows, with placeholders in capitals.
    pub resource: &'static str,
    /// A condition (`StringEquals`) that narrows it further: key and allowed values.
    pub condition: Option<(&'static str, &'static [&'static str])>,
    /// Whether it is one of the guide's five.
    pub need: Need,
}

/// Reading the secret. Six `?` stand for the characters that Secrets Manager adds to the name in its ARN.
pub static GET_SECRET: Permission = Permission {
    feature: Feature::Secrets,
    sid: "ReadSettings",
    action: "secretsmanager:GetSecretValue",
    resource: "arn:aws:secretsmanager:REGION:ACCOUNT:secret:SECRET-NAME-??????",
    condition: None,
    need: Need::Guide,
};

/// Putting objects, whole or in parts.
pub static PUT_OBJECT: Permission = Permission {
    feature: Feature::S3,
    sid: "Upload",
    action: "s3:PutObject",
    resource: "arn:aws:s3:::BUCKET/FOLDER/*",
    condition: None,
    need: Need::Guide,
};

/// A data key for each object. The condition names the encryption contexts of the two formats.
pub(crate) static DATA_KEY: Permission = Permission {
    feature: Feature::Kms,
    sid: "Encrypt",
    action: "kms:GenerateDataKey",
    resource: "arn:aws:kms:REGION:ACCOUNT:key/KEY-ID",
    condition: Some(("kms:EncryptionContext:aws:x-amz-cek-alg", &["115", "AES/GCM/NoPadding"])),
    need: Need::Guide,
};

/// Publishing events.
pub(crate) static PUBLISH: Permission = Permission {
    feature: Feature::Sns,
    sid: "PublishEvents",
    action: "sns:Publish",
    resource: "arn:aws:sns:REGION:ACCOUNT:TOPIC",
    condition: None,
    need: Need::Guide,
};

/// Publishing metrics. CloudWatch knows no resource here; the namespace is what can be fixed.
pub(crate) static PUT_METRICS: Permission = Permission {
    feature: Feature::CloudWatch,
    sid: "PublishMetrics",
    action: "cloudwatch:PutMetricData",
    resource: "*",
    condition: Some(("cloudwatch:namespace", &["WickrIO"])),
    need: Need::Guide,
};

/// Locking an object while it is put.
pub(crate) static PUT_RETENTION: Permission = Permission {
    feature: Feature::ObjectLock,
    sid: "LockObjects",
    action: "s3:PutObjectRetention",
    resource: "arn:aws:s3:::BUCKET/FOLDER/*",
    condition: None,
    need: Need::OptIn,
};

/// Holding an object while it is put.
pub(crate) static PUT_LEGAL_HOLD: Permission = Permission {
    feature: Feature::ObjectLock,
    sid: "HoldObjects",
    action: "s3:PutObjectLegalHold",
    resource: "arn:aws:s3:::BUCKET/FOLDER/*",
    condition: None,
    need: Need::OptIn,
};

/// Reading whether a bucket allows locks; only `retaind check --online` does.
pub(crate) static GET_LOCK_CONFIGURATION: Permission = Permission {
    feature: Feature::ObjectLock,
    sid: "SeeWhetherTheBucketLocks",
    action: "s3:GetBucketObjectLockConfiguration",
    resource: "arn:aws:s3:::BUCKET",
    condition: None,
    need: Need::OptIn,
};

/// A data key for each object that S3 encrypts; only by way of S3.
pub(crate) static SSE_DATA_KEY: Permission = Permission {
    feature: Feature::ServerSide,
    sid: "EncryptInS3",
    action: "kms:GenerateDataKey",
    resource: "arn:aws:kms:REGION:ACCOUNT:key/KEY-ID",
    condition: Some(("kms:ViaService", &["s3.REGION.amazonaws.com"])),
    need: Need::OptIn,
};

/// What S3 needs to put the parts of an upload together; only by way of S3.
pub(crate) static SSE_DECRYPT: Permission = Permission {
    feature: Feature::ServerSide,
    sid: "JoinPartsInS3",
    action: "kms:Decrypt",
    resource: "arn:aws:kms:REGION:ACCOUNT:key/KEY-ID",
    condition: Some(("kms:ViaService", &["s3.REGION.amazonaws.com"])),
    need: Need::OptIn,
};

/// Storing the generated password in the secret.
pub(crate) static PUT_SECRET: Permission = Permission {
    feature: Feature::StorePassword,
    sid: "StorePassword",
    action: "secretsmanager:PutSecretValue",
    resource: "arn:aws:secretsmanager:REGION:ACCOUNT:secret:SECRET-NAME-??????",
    condition: None,
    need: Need::OptIn,
};

/// All permissions.
pub static PERMISSIONS: [&Permission; 11] = [
    &GET_SECRET,
    &PUT_OBJECT,
    &DATA_KEY,
    &PUBLISH,
    &PUT_METRICS,
    &PUT_RETENTION,
    &PUT_LEGAL_HOLD,
    &GET_LOCK_CONFIGURATION,
    &SSE_DATA_KEY,
    &SSE_DECRYPT,
    &PUT_SECRET,
];
