//! S3.

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_smithy_types::retry::RetryConfig;
use aws_types::service_config::ServiceConfigKey;

use super::Aws;

/// A client for the buckets of a region. It tries each request once: what may be sent again, and whether the first has
/// perhaps arrived, is decided where uploads are made.
pub(crate) fn client(aws: &Aws, region: &str) -> Client {
    let sdk = aws.in_region(region);
    // names of buckets are no host names of an endpoint that is not AWS's own
    let path_style = endpoint_is_given(&sdk);
    let config = Builder::from(&sdk).retry_config(RetryConfig::disabled()).force_path_style(path_style).build();
    Client::from_conf(config)
}

/// `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_S3`, or the same in the profile.
fn endpoint_is_given(sdk: &SdkConfig) -> bool {
    let of_s3 = || {
        let key = ServiceConfigKey::builder()
            .service_id("S3")
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build()
            .ok()?;
        sdk.service_config()?.load_config(key)
    };
    sdk.endpoint_url().is_some() || of_s3().is_some()
}
