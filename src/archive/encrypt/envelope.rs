//! The reading side's first half: what an object's metadata says about its key, believed as little as possible.
//!
//! Anybody who may write to the bucket may write these values. So: known names only, each once and bounded; one format,
//! never parts of two; one suite and one wrapping a format; an encryption context that is ours to the letter. What KMS is
//! then asked with ([`Envelope::encryption_context`]) is our constant, not the object's text.

use std::collections::BTreeMap;

use data_encoding::BASE64;

use super::error::OpenError;
use super::format::{Format, V2_CONTENT_ALGORITHM, V2_TAG_BITS, V2_WRAPPING, V3_ID_BYTES};
use super::format::{V3_SUITE_TEXT, V3_WRAPPING, name};
use super::gcm::IV_BYTES;
use crate::data_key::{Context, WRAPPED_BYTES_MAX};

/// Longest value: S3 allows 2 KB for all metadata of an object.
const VALUE_BYTES_MAX: usize = 2048;

/// Names that are of format V3 alone, the most telling first.
const V3_NAMES: [&str; 6] = [name::KEY, name::SUITE, name::ID, name::COMMITMENT, name::WRAPPING, name::CONTEXT];
/// Names that are of older formats alone.
const OLDER_NAMES: [&str; 7] =
    [name::V1_KEY, name::V2_KEY, name::V2_IV, name::V2_CONTENT, name::V2_WRAPPING, name::V2_TAG, name::V2_CONTEXT];
/// Names that may stand in any of them.
const COMMON_NAMES: [&str; 2] = [name::PLAINTEXT_LEN, name::INSTRUCTIONS];

/// What the metadata of an encrypted object say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    wrapped: Vec<u8>,
    /// Bytes in clear, where the writer gave them.
    pub(super) plaintext_len: Option<u64>,
    pub(super) parameters: Parameters,
}

/// What a format needs beside the data key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Parameters {
    V3 { id: [u8; V3_ID_BYTES], commitment: [u8; V3_ID_BYTES] },
    V2 { iv: [u8; IV_BYTES] },
}

impl Envelope {
    /// Reads an object's user metadata: names without `x-amz-meta-`, in any case and order; others' are passed over.
    pub fn parse<'m>(metadata: impl IntoIterator<Item = (&'m str, &'m str)>) -> Result<Self, OpenError> {
        let fields = Fields::collect(metadata)?;
        if fields.0.contains_key(name::INSTRUCTIONS) {
            return Err(OpenError::KeyElsewhere);
        }
        let (wrapped, parameters) = match (fields.first_of(&V3_NAMES), fields.first_of(&OLDER_NAMES)) {
            (None, None) => return Err(OpenError::NotEncrypted),
            (Some(v3), Some(other)) => return Err(OpenError::Mixed { v3, other }),
            (Some(name::KEY), None) => fields.v3()?,
            (None, Some(name::V1_KEY)) => return Err(OpenError::V1),
            (None, Some(name::V2_KEY)) => fields.v2()?,
            (Some(_), None) | (None, Some(_)) => return Err(OpenError::KeyElsewhere),
        };
        Ok(Self { wrapped, plaintext_len: fields.plaintext_len()?, parameters })
    }

    /// The object's format.
    pub fn format(&self) -> Format {
        match self.parameters {
            Parameters::V3 { .. } => Format::V3,
            Parameters::V2 { .. } => Format::V2,
        }
    }

    /// The data key as KMS wrapped it, at most [`WRAPPED_BYTES_MAX`] bytes.
    pub fn wrapped_key(&self) -> &[u8] {
        &self.wrapped
    }

    /// What KMS must be given to unwrap it.
    pub fn encryption_context(&self) -> Context {
        self.format().encryption_context()
    }
}

/// The values of known names.
struct Fields<'m>(BTreeMap<&'static str, &'m str>);

impl<'m> Fields<'m> {
    fn collect(metadata: impl IntoIterator<Item = (&'m str, &'m str)>) -> Result<Self, OpenError> {
        let mut fields = BTreeMap::new();
        for (given, value) in metadata {
            let mut known = V3_NAMES.iter().chain(&OLDER_NAMES).chain(&COMMON_NAMES);
            let Some(&name) = known.find(|name| name.eq_ignore_ascii_case(given)) else {
                continue;
            };
            if value.len() > VALUE_BYTES_MAX {
                return Err(OpenError::Malformed { name, form: "a text of at most 2048 bytes" });
            }
            if fields.insert(name, value).is_some() {
                return Err(OpenError::Twice { name });
            }
        }
        Ok(Self(fields))
    }

    fn v3(&self) -> Result<(Vec<u8>, Parameters), OpenError> {
        self.must_be(name::SUITE, V3_SUITE_TEXT)?;
        self.must_be(name::WRAPPING, V3_WRAPPING)?;
        self.must_have_context(name::CONTEXT, Format::V3)?;
        let id = self.array(name::ID, "28 bytes in base64")?;
        let commitment = self.array(name::COMMITMENT, "28 bytes in base64")?;
        Ok((self.wrapped(name::KEY)?, Parameters::V3 { id, commitment }))
    }

    fn v2(&self) -> Result<(Vec<u8>, Parameters), OpenError> {
        self.must_be(name::V2_CONTENT, V2_CONTENT_ALGORITHM)?;
        self.must_be(name::V2_WRAPPING, V2_WRAPPING)?;
        self.must_be(name::V2_TAG, V2_TAG_BITS)?;
        self.must_have_context(name::V2_CONTEXT, Format::V2)?;
        let iv = self.array(name::V2_IV, "12 bytes in base64")?;
        Ok((self.wrapped(name::V2_KEY)?, Parameters::V2 { iv }))
    }

    fn plaintext_len(&self) -> Result<Option<u64>, OpenError> {
        let malformed = |_| OpenError::Malformed { name: name::PLAINTEXT_LEN, form: "a number of bytes" };
        self.0.get(name::PLAINTEXT_LEN).map(|text| text.parse().map_err(malformed)).transpose()
    }

    fn first_of(&self, names: &[&'static str]) -> Option<&'static str> {
        names.iter().copied().find(|name| self.0.contains_key(name))
    }

    fn get(&self, name: &'static str) -> Result<&'m str, OpenError> {
        self.0.get(name).copied().ok_or(OpenError::Missing { name })
    }

    fn must_be(&self, name: &'static str, known: &'static str) -> Result<(), OpenError> {
        if self.get(name)? == known { Ok(()) } else { Err(OpenError::Unknown { name, known }) }
    }

    /// JSON of whatever spacing that says what ours says. (A name given twice counts with its last value: no matter, as
    /// KMS is asked with ours.)
    fn must_have_context(&self, name: &'static str, format: Format) -> Result<(), OpenError> {
        let form = "a JSON object of texts";
        let pairs: BTreeMap<String, String> =
            serde_json::from_str(self.get(name)?).map_err(|_| OpenError::Malformed { name, form })?;
        let (key, value) = format.encryption_context();
        if pairs.len() == 1 && pairs.get(key).is_some_and(|found| found == value) {
            Ok(())
        } else {
            Err(OpenError::Unknown { name, known: format.context_json() })
        }
    }

    /// One encoding only: the decoder alone would also take several, one behind the other.
    fn base64(&self, name: &'static str, form: &'static str) -> Result<Vec<u8>, OpenError> {
        let text = self.get(name)?;
        let bytes = BASE64.decode(text.as_bytes()).ok().filter(|bytes| BASE64.encode(bytes) == text);
        bytes.ok_or(OpenError::Malformed { name, form })
    }

    fn array<const BYTES: usize>(&self, name: &'static str, form: &'static str) -> Result<[u8; BYTES], OpenError> {
        self.base64(name, form)?.try_into().map_err(|_| OpenError::Malformed { name, form })
    }

    fn wrapped(&self, name: &'static str) -> Result<Vec<u8>, OpenError> {
        let form = "a wrapped key of 1 to 1024 bytes in base64";
        let wrapped = self.base64(name, form)?;
        if wrapped.is_empty() || wrapped.len() > WRAPPED_BYTES_MAX {
            return Err(OpenError::Malformed { name, form });
        }
        Ok(wrapped)
    }
}
