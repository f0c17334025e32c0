//! What a request asks of AWS, as its head and, with forms, its body tell.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use hyper::Method;
use hyper::http::request::Parts;

/// How a service words its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// XML with an `Error` at its top: S3.
    S3,
    /// JSON: KMS, Secrets Manager, SQS.
    Json,
    /// XML with an `ErrorResponse`: SNS, STS, IAM.
    Query,
    /// CBOR: CloudWatch.
    Cbor,
}

/// A request as IAM and the documentation of AWS know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `s3`, `kms`, `sns`, `secretsmanager`, `cloudwatch`, …
    pub service: String,
    /// `PutObject`, `GenerateDataKey`, …
    pub operation: String,
    /// Of S3.
    pub bucket: Option<String>,
    /// Of S3.
    pub key: Option<String>,
    /// Of a multipart upload.
    pub upload: Option<String>,
    /// Of a multipart upload.
    pub part: Option<u32>,
    /// Wording of answers.
    pub style: Style,
}

impl Asked {
    /// `form`: the body of a form.
    pub fn of(head: &Parts, form: Option<&str>) -> Self {
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let signed_for = header("authorization").and_then(|signed| signed.split_once("Credential="));
        let service = signed_for.and_then(|(_, scope)| scope.split('/').nth(3)).unwrap_or("s3");
        let service = if service == "monitoring" { "cloudwatch" } else { service };
        let of = |operation: &str, style| Self {
            service: service.to_owned(),
            operation: operation.to_owned(),
            bucket: None,
            key: None,
            upload: None,
            part: None,
            style,
        };
        if let Some(target) = header("x-amz-target") {
            return of(target.rsplit('.').next().unwrap(), Style::Json);
        }
        if header("smithy-protocol").is_some() {
            return of(head.uri.path().rsplit('/').next().unwrap(), Style::Cbor);
        }
        if service != "s3" {
            let action = form.and_then(|form| form.split('&').find_map(|field| field.strip_prefix("Action=")));
            return of(action.unwrap_or("unknown"), Style::Query);
        }
        s3(head, of("unknown", Style::S3))
    }
}

/// S3 says it with method, path and query. Paths are `/BUCKET/KEY`: SDKs use them with addresses in digits.
fn s3(head: &Parts, mut asked: Asked) -> Asked {
    let (bucket, key) = head.uri.path().trim_start_matches('/').split_once('/').unwrap_or((head.uri.path(), ""));
    let full = |text: &str| Some(unescaped(text)).filter(|text| !text.is_empty());
    asked.bucket = full(bucket.trim_start_matches('/'));
    asked.key = full(key);
    let fields: Vec<(&str, &str)> = head
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .collect::<Vec<_>>()
        .into_iter()
        .map(|field| field.split_once('=').unwrap_or((field, "")))
        .collect();
    let field = |name: &str| fields.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    asked.upload = field("uploadId").and_then(full);
    asked.part = field("partNumber").and_then(|number| number.parse().ok());
    let method = &head.method;
    let is = |wanted: Method| *method == wanted;
    let operation = match (&asked.bucket, &asked.key, &asked.upload) {
        (None, _, _) => "ListBuckets",
        (Some(_), None, _) if is(Method::PUT) => "CreateBucket",
        (Some(_), None, _) if is(Method::HEAD) => "HeadBucket",
        (Some(_), None, _) if field("uploads").is_some() => "ListMultipartUploads",
        (Some(_), None, _) if field("list-type").is_some() => "ListObjectsV2",
        (Some(_), None, _) if field("object-lock").is_some() => "GetObjectLockConfiguration",
        (Some(_), None, _) if field("versioning").is_some() => "GetBucketVersioning",
        (Some(_), None, _) if field("versions").is_some() => "ListObjectVersions",
        (Some(_), None, _) if field("location").is_some() => "GetBucketLocation",
        (Some(_), Some(_), _) if is(Method::POST) && field("uploads").is_some() => "CreateMultipartUpload",
        (Some(_), Some(_), Some(_)) if is(Method::PUT) => "UploadPart",
        (Some(_), Some(_), Some(_)) if is(Method::POST) => "CompleteMultipartUpload",
        (Some(_), Some(_), Some(_)) if is(Method::DELETE) => "AbortMultipartUpload",
        (Some(_), Some(_), Some(_)) if is(Method::GET) => "ListParts",
        (Some(_), Some(_), None) if is(Method::PUT) => "PutObject",
        (Some(_), Some(_), None) if is(Method::GET) => "GetObject",
        (Some(_), Some(_), None) if is(Method::HEAD) => "HeadObject",
        (Some(_), Some(_), None) if is(Method::DELETE) => "DeleteObject",
        _ => "unknown",
    };
    asked.operation = operation.to_owned();
    asked
}

/// `%2F` is `/`.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(decoded) if byte == b'%' => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
