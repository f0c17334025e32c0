//! AWS: the only room that knows the SDK.
//!
//! [`Aws`] finds credentials and endpoints as every program on the SDK does (environment, profile, web identity, ECS and EKS
//! containers, IMDSv2; `AWS_ENDPOINT_URL` and its kind, FIPS, dual stack) and makes the clients of the services, each for
//! its region. TLS is rustls with AWS-LC; `AWS_CA_BUNDLE` replaces the system's roots.
//!
//! Invariants: what AWS answers leaves this room as a typed value or as an [`AwsError`], never as a type of the SDK. No
//! call retries without end in here: the caller knows what may be repeated.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests may do what clippy.toml reserves"))]

pub mod cloudwatch;
pub mod error;
pub mod kms;
pub mod permissions;
pub mod probe;
pub mod s3;
pub mod secrets;
pub mod sns;
pub mod sse;

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::service_config::ServiceConfigKey;
use thiserror::Error;

pub use error::{AwsError, Call};

/// Longest time to connect to a service.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time of one try of a small call; uploads set their own.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);
/// Most tries of a small call.
const ATTEMPTS_MAX: u32 = 3;

/// The certificates of `AWS_CA_BUNDLE` cannot be used.
#[derive(Debug, Error)]
#[error("`AWS_CA_BUNDLE` is not a PEM file of certificates: {0}")]
pub struct BundleError(String);

/// Access to AWS: credentials, endpoints, TLS.
#[derive(Clone)]
pub struct Aws {
    base: SdkConfig,
}

impl Aws {
    /// Looks for credentials and settings where every SDK program does; sends no request yet. `ca_bundle`: PEM certificates
    /// that are trusted instead of the system's.
    pub async fn connect(ca_bundle: Option<&[u8]>) -> Result<Self, BundleError> {
        let mut client = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc));
        if let Some(pem) = ca_bundle {
            let store = TrustStore::empty().with_pem_certificate(pem);
            let context = TlsContext::builder().with_trust_store(store).build();
            client = client.tls_context(context.map_err(|error| BundleError(error.to_string()))?);
        }
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .build();
        let base = aws_config::defaults(BehaviorVersion::latest())
            .http_client(client.build_https())
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
            .load()
            .await;
        Ok(Self { base })
    }

    /// With settings that the caller has found: endpoint, credentials, HTTP client.
    pub fn with(base: SdkConfig) -> Self {
        Self { base }
    }

    /// The settings for the clients of this room, which differ in the region only.
    fn in_region(&self, region: &str) -> SdkConfig {
        self.base.to_builder().region(Region::new(region.to_owned())).build()
    }

    /// Is an endpoint set for this service alone (`AWS_ENDPOINT_URL_<SERVICE>`, or in the profile)?
    fn has_own_endpoint(&self, service: &str) -> bool {
        let key =
            ServiceConfigKey::builder().service_id(service).env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
        key.ok().and_then(|key| self.base.service_config()?.load_config(key)).is_some()
    }
}
