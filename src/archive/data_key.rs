//! A data key: KMS makes one for each object, in plaintext and wrapped under the master key.
//!
//! Invariants: a plaintext key exists once in memory, never moves, is wiped when dropped, and can be neither printed nor
//! copied nor serialised. A data key remembers the encryption context that it was wrapped under: another one
//! stored with the object would make it unreadable for ever.

use thiserror::Error;
use zeroize::Zeroizing;

/// Bytes of a data key (AES-256).
pub(crate) const DATA_KEY_BYTES: usize = 32;
/// Largest wrapped key that is accepted. KMS's have about 200 bytes; in base64 this fills two thirds of the 2 KB that
/// S3 allows for an object's metadata.
pub const WRAPPED_BYTES_MAX: usize = 1024;

/// The encryption context of a wrapped key, one pair: authenticated by KMS, and the same at decryption.
pub type Context = (&'static str, &'static str);

/// The bytes are not a data key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DataKeyError {
    /// The plaintext key is not one of AES-256.
    #[error("key in clear has `{bytes}` bytes instead of `{DATA_KEY_BYTES}`")]
    Plain {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The wrapped key is empty, or longer than an object's metadata can hold.
    #[error("wrapped key has `{bytes}` bytes, `1` to `{WRAPPED_BYTES_MAX}` are possible")]
    Wrapped {
        /// Its length in bytes.
        bytes: usize,
    },
}

/// A data key in plaintext.
pub struct PlainKey(Box<Zeroizing<[u8; DATA_KEY_BYTES]>>);

impl PlainKey {
    /// Copies 32 bytes and wipes the original.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Result<Self, DataKeyError> {
        if bytes.len() != DATA_KEY_BYTES {
            return Err(DataKeyError::Plain { bytes: bytes.len() });
        }
        let mut key = Box::new(Zeroizing::new([0u8; DATA_KEY_BYTES]));
        key.copy_from_slice(&bytes);
        Ok(Self(key))
    }

    /// The 32 bytes, to encrypt or derive with at once; not to be kept.
    pub fn expose(&self) -> &[u8; DATA_KEY_BYTES] {
        &self.0
    }
}

/// A data key for one object. Encryption consumes it, so that it is never used for a second one.
#[must_use = "a data key costs a call of KMS"]
pub struct DataKey {
    plain: PlainKey,
    wrapped: Vec<u8>,
    context: Context,
}

impl DataKey {
    /// A key with its wrapped form, wrapped by KMS under `context`.
    pub fn new(plain: PlainKey, wrapped: Vec<u8>, context: Context) -> Result<Self, DataKeyError> {
        if wrapped.is_empty() || wrapped.len() > WRAPPED_BYTES_MAX {
            return Err(DataKeyError::Wrapped { bytes: wrapped.len() });
        }
        Ok(Self { plain, wrapped, context })
    }

    /// The encryption context that it was wrapped under.
    pub fn context(&self) -> Context {
        self.context
    }

    /// The plaintext key, and its wrapped form (KMS's `CiphertextBlob`, which is not secret).
    pub fn into_parts(self) -> (PlainKey, Vec<u8>) {
        (self.plain, self.wrapped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(bytes: usize) -> Result<PlainKey, DataKeyError> {
        PlainKey::new(Zeroizing::new(vec![7; bytes]))
    }

    #[test]
    fn only_thirty_two_bytes_are_a_key_and_only_what_metadata_can_hold_is_its_wrapped_form() {
        for bytes in [0, 16, 31, 33] {
            assert_eq!(plain(bytes).err(), Some(DataKeyError::Plain { bytes }));
        }
        assert_eq!(plain(32).unwrap().expose(), &[7; 32]);
        for bytes in [0, WRAPPED_BYTES_MAX + 1] {
            let key = DataKey::new(plain(32).unwrap(), vec![1; bytes], ("a", "b"));
            assert_eq!(key.err(), Some(DataKeyError::Wrapped { bytes }));
        }
        assert!(DataKey::new(plain(32).unwrap(), vec![1; WRAPPED_BYTES_MAX], ("a", "b")).is_ok());
    }
}
