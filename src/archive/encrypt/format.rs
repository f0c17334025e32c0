//! The two formats of the Amazon S3 Encryption Client: what they are called, and what is fixed in them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::gcm::IV_BYTES;
use crate::data_key::Context;

/// How an object is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Commits to its key: the default, and what current official clients write and ask for.
    #[default]
    V3,
    /// `kms+context`: for readers that know nothing newer. An object of it can be made to open under two keys.
    V2,
}

/// A text that names no format.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("is none of `v3` and `v2`")]
pub struct UnknownFormat;

impl FromStr for Format {
    type Err = UnknownFormat;

    /// `v3` or `v2`, as in `RETAIND_KMS_FORMAT`.
    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "v3" => Ok(Self::V3),
            "v2" => Ok(Self::V2),
            _ => Err(UnknownFormat),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V3 => "v3",
            Self::V2 => "v2",
        })
    }
}

impl Format {
    /// What KMS must be given with the data key, when it is made and when it is opened. It names the algorithm, so
    /// that metadata changed from one format to the other opens nothing.
    pub fn encryption_context(self) -> Context {
        match self {
            Self::V3 => ("aws:x-amz-cek-alg", V3_SUITE_TEXT),
            Self::V2 => ("aws:x-amz-cek-alg", V2_CONTENT_ALGORITHM),
        }
    }

    /// The context as it stands in the metadata: compact JSON. Spelt out, so that it is the same to the byte for ever.
    pub(super) fn context_json(self) -> &'static str {
        match self {
            Self::V3 => r#"{"aws:x-amz-cek-alg":"115"}"#,
            Self::V2 => r#"{"aws:x-amz-cek-alg":"AES/GCM/NoPadding"}"#,
        }
    }
}

/// Suite 115: AES-256-GCM, HKDF-SHA512, key commitment. Associated data of every object, and begin of each info.
pub(super) const V3_SUITE: [u8; 2] = 115u16.to_be_bytes();
/// The same in metadata and encryption context.
pub(super) const V3_SUITE_TEXT: &str = "115";
/// Suite 115's IV. It may be fixed because the key is derived from a fresh message id.
pub(super) const V3_IV: [u8; IV_BYTES] = [1; IV_BYTES];
/// `kms+context`.
pub(super) const V3_WRAPPING: &str = "12";
/// Bytes of message id and of commitment.
pub(super) const V3_ID_BYTES: usize = 28;

pub(super) const V2_WRAPPING: &str = "kms+context";
pub(super) const V2_CONTENT_ALGORITHM: &str = "AES/GCM/NoPadding";
pub(super) const V2_TAG_BITS: &str = "128";

/// Names of user metadata, without the `x-amz-meta-` that they travel with.
pub(super) mod name {
    /// V3: the suite.
    pub(crate) const SUITE: &str = "x-amz-c";
    /// V3: how the key is wrapped.
    pub(crate) const WRAPPING: &str = "x-amz-w";
    /// V3: the wrapped key.
    pub(crate) const KEY: &str = "x-amz-3";
    /// V3: message id.
    pub(crate) const ID: &str = "x-amz-i";
    /// V3: commitment to the key.
    pub(crate) const COMMITMENT: &str = "x-amz-d";
    /// V3: encryption context.
    pub(crate) const CONTEXT: &str = "x-amz-t";

    /// V2: the wrapped key.
    pub(crate) const V2_KEY: &str = "x-amz-key-v2";
    /// V2: how the key is wrapped.
    pub(crate) const V2_WRAPPING: &str = "x-amz-wrap-alg";
    /// V2: how the content is encrypted.
    pub(crate) const V2_CONTENT: &str = "x-amz-cek-alg";
    /// V2: bits of the tag.
    pub(crate) const V2_TAG: &str = "x-amz-tag-len";
    /// V2: IV.
    pub(crate) const V2_IV: &str = "x-amz-iv";
    /// V2: encryption context.
    pub(crate) const V2_CONTEXT: &str = "x-amz-matdesc";
    /// Bytes in clear; written in V2 only.
    pub(crate) const PLAINTEXT_LEN: &str = "x-amz-unencrypted-content-length";

    /// V1: the wrapped key. Its objects are not authenticated, and not read.
    pub(crate) const V1_KEY: &str = "x-amz-key";
    /// Says that an object is the instruction file of another one.
    pub(crate) const INSTRUCTIONS: &str = "x-amz-crypto-instr-file";
}
