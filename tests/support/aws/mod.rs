//! AWS for tests: a stand-in that keeps what it is sent, a proxy that spoils what passes, and the readers that officers use.
//!
//! ```text
//! bot ──► Proxy (faults, checksums, a record of requests) ──► Moto (S3, KMS, SNS, SQS, Secrets Manager, CloudWatch, IAM)
//!                                                               ▲
//!                      official clients: Python, Ruby, the CLI ─┘
//! ```
//!
//! `tests/setup` installs what runs here. Everything listens on loopback, on ports that the system chooses, and ends with
//! the test, also with one that is killed.

pub mod checksum;
pub mod cloud;
pub mod fault;
pub mod http;
pub mod kept;
pub mod moto;
mod multipart;
pub mod proxy;
pub mod readers;
pub mod request;
mod spool;

use std::path::PathBuf;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;

/// The region of everything, unless a test wants another.
pub const REGION: &str = "us-east-1";
/// The stand-in's only account.
pub const ACCOUNT: &str = "123456789012";

/// Where AWS is, and as whom one comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// `http://127.0.0.1:PORT`.
    pub endpoint: String,
    /// Access key.
    pub key_id: String,
    /// Its secret.
    pub secret: String,
    /// Region.
    pub region: String,
}

impl Access {
    /// The same somewhere else: through a proxy.
    pub fn through(&self, endpoint: &str) -> Self {
        Self { endpoint: endpoint.to_owned(), ..self.clone() }
    }

    /// The environment of a program that uses any SDK. The last ones keep it from asking anything but the endpoint.
    pub fn variables(&self) -> [(&'static str, String); 8] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("AWS_ACCESS_KEY_ID", self.key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.secret.clone()),
            ("AWS_DEFAULT_REGION", self.region.clone()),
            ("AWS_REGION", self.region.clone()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
        ]
    }

    /// For clients of the Rust SDK.
    pub fn config(&self) -> SdkConfig {
        let credentials = Credentials::new(&self.key_id, &self.secret, None, None, "a test");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&self.endpoint)
            .region(Region::new(self.region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build()
    }
}

/// A file of this folder.
fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/support/aws").join(name)
}

/// The interpreter of an environment that `tests/setup` has made.
pub fn python(environment: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/aws").join(environment);
    assert!(directory.join("pins.txt").exists(), "`{}` is not there: run `tests/setup`", directory.display());
    directory.join("bin/python")
}
