//! What is sent to S3, and where to: a real SDK client that reaches nobody.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;

use super::*;

/// Keeps the last request: its address and headers.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<(String, BTreeMap<String, String>)>>);

impl HttpConnector for Kept {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let headers = request.headers().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        *self.0.lock().unwrap() = (request.uri().to_owned(), headers);
        HttpConnectorFuture::ready(Err(ConnectorError::user("this client reaches nobody".into())))
    }
}

async fn sent(
    region: &str,
    bucket: &str,
    change: impl FnOnce(Bucket) -> Bucket,
) -> [(String, BTreeMap<String, String>); 2] {
    let kept = Kept::default();
    let connector = SharedHttpConnector::new(kept.clone());
    let mut aws = Aws::connect(None).await.unwrap();
    let keys = Credentials::new("AKIAEXAMPLE", "secret", None, None, "test");
    let base = aws.base.to_builder().http_client(http_client_fn(move |_, _| connector.clone()));
    aws.base = base.credentials_provider(SharedCredentialsProvider::new(keys)).build();
    let bucket = change(Bucket::new(&aws, region, bucket, Some("evidence"), None, REQUEST_TIMEOUT));
    let object = NewObject { key: bucket.key("file.txt"), metadata: HashMap::new() };
    let last = || kept.0.lock().unwrap().clone();
    bucket.put(&object, Bytes::from_static(b"x"), &[0; 32]).await.unwrap_err();
    let put = last();
    bucket.begin(&object).await.unwrap_err();
    [put, last()]
}

/// Small objects and large ones go to this address, signed like that.
async fn goes_to(region: &str, bucket: &str, address: &str, algorithm: &str) {
    for (uri, headers) in sent(region, bucket, |bucket| bucket).await {
        assert!(uri.starts_with(address), "{uri}");
        let signature = headers.get("authorization").unwrap();
        assert!(signature.starts_with(algorithm), "{signature}");
    }
}

#[tokio::test]
async fn access_points_are_addressed_as_each_form_of_their_arn_asks() {
    let access_point = "https://my-ap-123456789012.s3-accesspoint.us-west-2.amazonaws.com/evidence/";
    for (bucket, address) in [
        ("archive-bucket", "https://archive-bucket.s3.us-west-2.amazonaws.com/evidence/"),
        ("arn:aws:s3:us-west-2:123456789012:accesspoint:my-ap", access_point),
        ("arn:aws:s3:us-west-2:123456789012:accesspoint/my-ap", access_point),
    ] {
        goes_to("us-west-2", bucket, address, "AWS4-HMAC-SHA256").await;
    }
}

#[tokio::test]
async fn a_multi_region_access_point_is_signed_for_all_its_regions() {
    let arn = "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap";
    let address = "https://mfzwi23gnjvgw.mrap.accesspoint.s3-global.amazonaws.com/evidence/";
    goes_to("us-east-1", arn, address, "AWS4-ECDSA-P256-SHA256").await;
}

#[tokio::test]
async fn what_is_asked_of_s3_for_an_object_is_sent_with_it_whole_or_in_parts() {
    let context = [("unit".to_owned(), "legal".to_owned())].into();
    let sse = ServerSide::Kms { key: Some("alias/archive".to_owned()), context };
    let change = |bucket: Bucket| bucket.encrypted(Some(sse)).owned_by(Some("111122223333".to_owned()));
    for (_, headers) in sent("us-west-2", "archive-bucket", change).await {
        for (name, value) in [
            ("x-amz-server-side-encryption", "aws:kms"),
            ("x-amz-server-side-encryption-aws-kms-key-id", "alias/archive"),
            ("x-amz-server-side-encryption-context", "eyJ1bml0IjoibGVnYWwifQ=="),
            ("x-amz-expected-bucket-owner", "111122223333"),
        ] {
            assert_eq!(headers.get(name).map(String::as_str), Some(value), "{name}");
        }
    }
    for (_, headers) in sent("us-west-2", "archive-bucket", |bucket| bucket).await {
        assert!(!headers.keys().any(|name| name.contains("encryption") || name.contains("owner")), "{headers:?}");
    }
}
