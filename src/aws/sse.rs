//! Encryption by S3 itself, as it is asked for with each object.
//!
//! A bucket's default needs none of this. It is for buckets whose policy refuses objects that do not ask. It is no substitute for
//! encryption before upload, which is independent of it: S3 sees what it encrypts.

use std::collections::BTreeMap;

use aws_sdk_s3::types::ServerSideEncryption;
use data_encoding::BASE64;

/// How S3 encrypts an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerSide {
    /// Under keys of S3's (SSE-S3).
    S3,
    /// Under a key of KMS (SSE-KMS).
    Kms {
        /// Its ARN, id or alias; `None`: the account's own for S3.
        key: Option<String>,
        /// What S3 gives KMS along, beside the object's ARN.
        context: BTreeMap<String, String>,
    },
}

impl ServerSide {
    pub(crate) fn algorithm(&self) -> ServerSideEncryption {
        match self {
            Self::S3 => ServerSideEncryption::Aes256,
            Self::Kms { .. } => ServerSideEncryption::AwsKms,
        }
    }

    pub(crate) fn key(&self) -> Option<String> {
        match self {
            Self::S3 => None,
            Self::Kms { key, .. } => key.clone(),
        }
    }

    /// As the header wants it: JSON in Base64.
    pub(crate) fn context(&self) -> Option<String> {
        match self {
            Self::Kms { context, .. } if !context.is_empty() => {
                let text: Vec<String> =
                    context.iter().map(|(name, value)| format!("{}:{}", quoted(name), quoted(value))).collect();
                Some(BASE64.encode(format!("{{{}}}", text.join(",")).as_bytes()))
            }
            Self::Kms { .. } | Self::S3 => None,
        }
    }
}

/// A string of JSON. Whoever made the context allowed no control characters in it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_travels_as_json_in_base64() {
        let context = BTreeMap::from([("unit".to_owned(), "legal \"é\\".to_owned()), ("a".to_owned(), "b".to_owned())]);
        let sse = ServerSide::Kms { key: None, context: context.clone() };
        let json = BASE64.decode(sse.context().unwrap().as_bytes()).unwrap();
        assert_eq!(serde_json::from_slice::<BTreeMap<String, String>>(&json).unwrap(), context);
        assert_eq!(ServerSide::Kms { key: None, context: BTreeMap::new() }.context(), None);
    }
}
