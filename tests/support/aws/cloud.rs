//! A bucket for a whole bot, with a proxy before it, and the archive as it lies there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use retaind::archive::encrypt::Format;
use retaind::aws::Aws;
use retaind::aws::kms::Kms;
use retaind::aws::s3::Bucket;
use retaind::bot::disk::RealDisk;
use retaind::bot::grace::Grace;
use retaind::bot::run::Shipping;
use retaind::bot::ship::s3::S3Destination;
use retaind::core::pause::Growth;
use serde_json::Value;

use super::moto::{Moto, allow};
use super::proxy::Proxy;
use super::{Access, REGION};

/// The bucket.
pub const BUCKET: &str = "archive";
/// The folder in it.
pub const FOLDER: &str = "evidence/2026";
/// All that the bot may do: put, and tidy up what it has begun.
const ACTIONS: [&str; 4] =
    ["s3:PutObject", "s3:AbortMultipartUpload", "kms:GenerateDataKey", "cloudwatch:PutMetricData"];
/// Long enough for a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Everything that a bot needs of AWS.
pub struct Cloud {
    /// What keeps it.
    pub moto: Moto,
    /// What goes wrong on the way.
    pub proxy: Proxy,
    access: Access,
}

impl Cloud {
    /// With a bucket, and a user of the bot's that may read nothing there.
    pub async fn start() -> Self {
        let moto = Moto::start();
        moto.bucket(BUCKET).await;
        let proxy = Proxy::start(moto.address());
        let access = moto.user("bot", &allow(&ACTIONS)).await.through(&proxy.endpoint());
        Self { moto, proxy, access }
    }

    /// For a bot in this process that waits for nothing long. `key`: ARN of the key under which objects are encrypted.
    pub fn shipping(&self, key: Option<&str>) -> Shipping {
        let aws = Aws::with(self.access.config());
        let bucket = Bucket::new(&aws, REGION, BUCKET, Some(FOLDER), None, TIMEOUT);
        let encryption = key.map(|key| (Kms::new(&aws, REGION, key), Format::V3));
        let pauses = Growth::doubling(Duration::from_millis(5), Duration::from_millis(40));
        let backoff = Growth::doubling(Duration::from_millis(20), Duration::from_millis(100));
        let destination = Arc::new(S3Destination::new(Arc::new(RealDisk), bucket, encryption, pauses));
        Shipping { backoff, grace: Grace::new(TIMEOUT), ..Shipping::to(destination) }
    }

    /// For the program.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let mut all: Vec<_> = self.access.variables().into();
        all.extend([
            ("WICKRIO_S3_BUCKET_NAME", BUCKET.to_owned()),
            ("WICKRIO_S3_FOLDER_NAME", FOLDER.to_owned()),
            ("WICKRIO_S3_REGION", REGION.to_owned()),
        ]);
        all
    }

    /// The same with encryption under this key.
    pub fn variables_with(&self, key: &str) -> Vec<(&'static str, String)> {
        let mut all = self.variables();
        all.extend([("WICKRIO_KMS_MSTRKEY_ARN", key.to_owned()), ("WICKRIO_KMS_REGION", REGION.to_owned())]);
        all
    }

    /// What is in the bucket, by name.
    pub async fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let objects = self.moto.objects(BUCKET).await;
        let name = |key: &str| key.strip_prefix(&format!("{FOLDER}/")).expect("the folder").to_owned();
        objects.into_iter().map(|object| (name(&object.key), object.bytes)).collect()
    }

    /// All records in the bucket, file by file in the order of their numbers. Panics at a torn line.
    pub async fn records(&self) -> Vec<Value> {
        let mut files: Vec<(u64, String)> = Vec::new();
        for (name, bytes) in self.objects().await {
            if let Some(stem) = name.strip_prefix("receivedMessages_").and_then(|name| name.strip_suffix(".txt")) {
                let (_, number) = stem.rsplit_once('_').unwrap();
                files.push((number.parse().unwrap(), String::from_utf8(bytes).unwrap()));
            }
        }
        files.sort();
        let lines = files.iter().flat_map(|(_, text)| text.split_inclusive('\n'));
        lines.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("torn line `{line}`: {e}"))).collect()
    }
}
