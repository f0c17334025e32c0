//! What goes wrong on the way: which requests, how often, and how.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use hyper::http::response;
use hyper::{HeaderMap, Response};
use serde_json::json;
use tokio::sync::watch;

use super::request::{Asked, Style};

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// IAM says no.
    Denied,
    /// The session's token is too old.
    ExpiredToken,
    /// A failure of the service's own.
    Internal,
    /// Throttled: S3's 503 `SlowDown`, and what the other services say.
    SlowDown,
    /// 412: something is there already.
    Precondition,
    /// 301 with the name of the region that the bucket is in.
    OtherRegion(&'static str),
    /// Any other answer: status and code.
    Refused(u16, &'static str),
    /// 200 whose body is an error, as CompleteMultipartUpload can be answered after a long wait.
    ErrorIn200,
    /// The connection is reset when half of the body has come.
    ResetInBody,
    /// No more of the body is read after this many bytes (and what the system buffers), until healed; then all goes on.
    Stall(u64),
    /// Nothing happens until healed; then all goes on.
    Hang,
    /// Carried out, but the connection is reset in place of the answer.
    LoseAnswer,
}

/// Which requests.
#[derive(Debug, Clone, Default)]
pub struct On {
    service: Option<String>,
    operation: Option<String>,
    key: Option<String>,
    part: Option<u32>,
}

impl On {
    /// All.
    pub fn anything() -> Self {
        Self::default()
    }

    /// Those for a service: `s3`, `kms`, `sns`, `secretsmanager`, `cloudwatch`.
    pub fn service(name: &str) -> Self {
        Self { service: Some(name.to_owned()), ..Self::default() }
    }

    /// Those for an operation: `UploadPart`, `GenerateDataKey`.
    pub fn operation(name: &str) -> Self {
        Self { operation: Some(name.to_owned()), ..Self::default() }
    }

    /// And only of this object.
    pub fn key(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }

    /// And only this part of an upload.
    pub fn part(self, part: u32) -> Self {
        Self { part: Some(part), ..self }
    }

    fn is(&self, asked: &Asked) -> bool {
        self.service.as_ref().is_none_or(|service| *service == asked.service)
            && self.operation.as_ref().is_none_or(|operation| *operation == asked.operation)
            && (self.key.is_none() || self.key == asked.key)
            && (self.part.is_none() || self.part == asked.part)
    }
}

/// How often. Every try of an SDK counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// The n-th such request only, from 1.
    Nth(u32),
    /// The first n.
    First(u32),
    /// Every one until healed.
    UntilHealed,
}

/// Something that goes wrong; the test's hold on it.
#[derive(Debug, Clone)]
pub struct Trouble(Arc<Rule>);

#[derive(Debug)]
struct Rule {
    on: On,
    times: Times,
    fault: Fault,
    seen: watch::Sender<u32>,
    struck: watch::Sender<u32>,
    healed: watch::Sender<bool>,
}

impl Trouble {
    pub(super) fn new(on: On, times: Times, fault: Fault) -> Self {
        let (seen, struck, healed) = (watch::Sender::new(0), watch::Sender::new(0), watch::Sender::new(false));
        Self(Arc::new(Rule { on, times, fault, seen, struck, healed }))
    }

    /// It is over, also for those who hang in it.
    pub fn heal(&self) {
        self.0.healed.send_replace(true);
    }

    /// How many requests it has met so far.
    pub fn struck(&self) -> u32 {
        *self.0.struck.borrow()
    }

    /// Waits until it has met this many.
    pub async fn strikes(&self, times: u32) {
        self.0.struck.subscribe().wait_for(|struck| *struck >= times).await.unwrap();
    }

    pub(super) async fn over(&self) {
        self.0.healed.subscribe().wait_for(|healed| *healed).await.unwrap();
    }

    pub(super) fn fault(&self) -> Fault {
        self.0.fault
    }

    /// Counts the request. Does it fail?
    pub(super) fn strikes_at(&self, asked: &Asked) -> bool {
        let Rule { on, times, seen, healed, .. } = &*self.0;
        if *healed.borrow() || !on.is(asked) {
            return false;
        }
        seen.send_modify(|seen| *seen += 1);
        match *times {
            Times::Nth(n) => *seen.borrow() == n,
            Times::First(n) => *seen.borrow() <= n,
            Times::UntilHealed => true,
        }
    }

    /// Tells the test that it has met a request.
    pub(super) fn strike(&self) {
        self.0.struck.send_modify(|struck| *struck += 1);
    }
}

/// Status and code with which a service says it.
pub(super) fn words(fault: Fault, asked: &Asked) -> Option<(u16, &'static str)> {
    let Asked { style, service, .. } = asked;
    Some(match (fault, style) {
        (Fault::Denied, Style::S3 | Style::Cbor) => (403, "AccessDenied"),
        (Fault::Denied, Style::Json) => (400, "AccessDeniedException"),
        (Fault::Denied, Style::Query) if service == "sns" => (403, "AuthorizationError"),
        (Fault::Denied, Style::Query) => (403, "AccessDenied"),
        (Fault::ExpiredToken, Style::S3) => (400, "ExpiredToken"),
        (Fault::ExpiredToken, Style::Json) => (400, "ExpiredTokenException"),
        (Fault::ExpiredToken, Style::Query | Style::Cbor) => (403, "ExpiredToken"),
        (Fault::Internal, Style::S3) => (500, "InternalError"),
        (Fault::Internal, Style::Json) if service == "kms" => (500, "KMSInternalException"),
        (Fault::Internal, Style::Json) => (500, "InternalServiceError"),
        (Fault::Internal, Style::Query) => (500, "InternalError"),
        (Fault::Internal, Style::Cbor) => (500, "InternalServiceFault"),
        (Fault::SlowDown, Style::S3) => (503, "SlowDown"),
        (Fault::SlowDown, Style::Json) => (400, "ThrottlingException"),
        (Fault::SlowDown, Style::Query) if service == "sns" => (429, "Throttled"),
        (Fault::SlowDown, Style::Query | Style::Cbor) => (400, "Throttling"),
        (Fault::Precondition, _) => (412, "PreconditionFailed"),
        (Fault::OtherRegion(_), _) => (301, "PermanentRedirect"),
        (Fault::Refused(status, code), _) => (status, code),
        (Fault::ErrorIn200, _) => (200, "InternalError"),
        (Fault::ResetInBody | Fault::Stall(_) | Fault::Hang | Fault::LoseAnswer, _) => return None,
    })
}

/// An error as the service words it.
pub(super) fn error(style: Style, status: u16, code: &str, message: &str) -> (response::Parts, Vec<u8>) {
    let (content_type, body) = match style {
        Style::S3 => (
            "application/xml",
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
                 <RequestId>0</RequestId></Error>"
            )
            .into_bytes(),
        ),
        Style::Json => {
            ("application/x-amz-json-1.1", json!({ "__type": code, "message": message }).to_string().into_bytes())
        }
        Style::Query => (
            "text/xml",
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
                 <RequestId>0</RequestId></ErrorResponse>"
            )
            .into_bytes(),
        ),
        Style::Cbor => ("application/cbor", cbor(&[("__type", code), ("message", message)])),
    };
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = status.try_into().unwrap();
    head.headers = HeaderMap::from_iter([("content-type".parse().unwrap(), content_type.parse().unwrap())]);
    if style == Style::Cbor {
        head.headers.insert("smithy-protocol", "rpc-v2-cbor".parse().unwrap());
    }
    (head, body)
}

/// A map of texts.
fn cbor(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = vec![0xa0 | u8::try_from(fields.len()).unwrap()];
    for text in fields.iter().flat_map(|(name, value)| [name, value]) {
        bytes.push(0x79);
        bytes.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}
