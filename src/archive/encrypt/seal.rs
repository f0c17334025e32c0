//! The writing side: one data key in, one object's metadata, ciphertext and tag out.

use aws_lc_rs::rand;

use super::cipher::MessageSealer;
use super::derive::Derived;
use super::error::EncryptError;
use super::format::{Format, V2_CONTENT_ALGORITHM, V2_TAG_BITS, V2_WRAPPING, V3_IV, V3_SUITE};
use super::format::{V3_ID_BYTES, V3_SUITE_TEXT, V3_WRAPPING, name};
use super::gcm::{GCM_BYTES_MAX, IV_BYTES, TAG_BYTES};
use crate::data_key::DataKey;

use data_encoding::BASE64;

/// Encrypts one object. Its body is what [`update`](Self::update) leaves in the pieces, then [`finish`](Self::finish)'s tag.
#[must_use]
pub struct Sealer {
    gcm: MessageSealer,
    metadata: Vec<(&'static str, String)>,
    plaintext_len: u64,
    given: u64,
}

impl Sealer {
    /// For an object of `plaintext_len` bytes in clear. The key is used up: a second try of the same object, after
    /// anything of the first has left, takes a second key (or sends the same ciphertext again).
    pub fn new(format: Format, key: DataKey, plaintext_len: u64) -> Result<Self, EncryptError> {
        let mut nonce = Nonce { id: [0; V3_ID_BYTES], iv: [0; IV_BYTES] };
        rand::fill(&mut nonce.id).and_then(|()| rand::fill(&mut nonce.iv)).map_err(|_| EncryptError::Randomness)?;
        Self::with_nonce(format, key, plaintext_len, &nonce)
    }

    /// For known answers in tests; anybody else would risk a nonce used twice.
    pub(super) fn with_nonce(
        format: Format,
        key: DataKey,
        plaintext_len: u64,
        nonce: &Nonce,
    ) -> Result<Self, EncryptError> {
        if plaintext_len > GCM_BYTES_MAX {
            return Err(EncryptError::TooLarge { bytes: plaintext_len });
        }
        if key.context() != format.encryption_context() {
            return Err(EncryptError::OtherContext { format });
        }
        let context = format.context_json().to_owned();
        let (plain, wrapped) = key.into_parts();
        let wrapped = BASE64.encode(&wrapped);
        let (gcm, metadata) = match format {
            Format::V3 => {
                let derived = Derived::new(&plain, &nonce.id).map_err(|_| EncryptError::Derivation)?;
                let metadata = vec![
                    (name::SUITE, V3_SUITE_TEXT.to_owned()),
                    (name::WRAPPING, V3_WRAPPING.to_owned()),
                    (name::KEY, wrapped),
                    (name::ID, BASE64.encode(&nonce.id)),
                    (name::COMMITMENT, BASE64.encode(&derived.commitment)),
                    (name::CONTEXT, context),
                ];
                (MessageSealer::new(&derived.content_key, &V3_IV, &V3_SUITE, plaintext_len), metadata)
            }
            Format::V2 => {
                let metadata = vec![
                    (name::V2_KEY, wrapped),
                    (name::V2_IV, BASE64.encode(&nonce.iv)),
                    (name::V2_CONTEXT, context),
                    (name::V2_WRAPPING, V2_WRAPPING.to_owned()),
                    (name::V2_CONTENT, V2_CONTENT_ALGORITHM.to_owned()),
                    (name::V2_TAG, V2_TAG_BITS.to_owned()),
                    (name::PLAINTEXT_LEN, plaintext_len.to_string()),
                ];
                (MessageSealer::new(plain.expose(), &nonce.iv, &[], plaintext_len), metadata)
            }
        };
        Ok(Self { gcm, metadata, plaintext_len, given: 0 })
    }

    /// User metadata of the object: names without `x-amz-meta-`, ASCII values; about 500 bytes with a key of KMS.
    pub fn metadata(&self) -> Vec<(&'static str, String)> {
        self.metadata.clone()
    }

    /// Encrypts the next piece of the object in place. A piece that goes beyond the object's length is refused
    /// untouched: the file has grown.
    // never inlined: what it leaves on the stack must lie below the caller's frame, for `overwrite_stack`
    #[inline(never)]
    pub fn update(&mut self, piece: &mut [u8]) -> Result<(), EncryptError> {
        let given = self.given.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if given > self.plaintext_len {
            return Err(EncryptError::Length { expected: self.plaintext_len, found: given });
        }
        self.gcm.update(piece).map_err(|_| EncryptError::TooLarge { bytes: given })?;
        self.given = given;
        Ok(())
    }

    /// The tag, with which the body ends. Refused if the object is shorter than was said.
    pub fn finish(self) -> Result<[u8; TAG_BYTES], EncryptError> {
        if self.given != self.plaintext_len {
            return Err(EncryptError::Length { expected: self.plaintext_len, found: self.given });
        }
        Ok(self.gcm.finish())
    }
}

/// What must be fresh for each object: V3's message id, V2's IV.
pub(super) struct Nonce {
    pub(super) id: [u8; V3_ID_BYTES],
    pub(super) iv: [u8; IV_BYTES],
}

/// Bytes of an object's body: ciphertext and tag.
pub fn sealed_len(plaintext_len: u64) -> u64 {
    plaintext_len.saturating_add(TAG_LEN)
}

/// Bytes in clear of an object whose body has `sealed_len` bytes; none if it cannot hold a tag.
pub fn plaintext_len(sealed_len: u64) -> Option<u64> {
    sealed_len.checked_sub(TAG_LEN)
}

const TAG_LEN: u64 = 16;
