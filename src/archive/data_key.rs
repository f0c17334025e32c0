//! A data key: what KMS makes for one object, in clear and wrapped under the master key.
//!
//! Invariants: a key in clear exists once in memory, never moves, is wiped when dropped, and can be neither printed nor
//! copied nor serialised. A data key remembers the encryption context that it was wrapped under: who writes another
//! one beside the object makes it unreadable for ever.

use thiserror::Error;
use zeroize::Zeroizing;

/// Bytes of a data key (AES-256).
pub const DATA_KEY_BYTES: usize = 32;
/// Largest wrapped key that is taken. KMS's have about 200 bytes; in base64 this fills two thirds of the 2 KB that
/// S3 allows for an object's metadata.
pub const WRAPPED_BYTES_MAX: usize = 1024;

/// The encryption context of a wrapped key, one pair: authenticated by KMS, and the same at decryption.
pub type Context = (&'static str, &'static str);

/// What came is not a data key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DataKeyError {
    /// Not AES-256.
    #[error("key in clear has `{bytes}` bytes instead of `{DATA_KEY_BYTES}`")]
    Plain {
        /// Bytes that came.
        bytes: usize,
    },
    /// Nothing, or more than an object's metadata can hold.
    #[error("wrapped key has `{bytes}` bytes, `1` to `{WRAPPED_BYTES_MAX}` are possible")]
    Wrapped {
        /// Bytes that came.
        bytes: usize,
    },
}

/// A data key in clear.
pub struct PlainKey(Box<Zeroizing<[u8; DATA_KEY_BYTES]>>);

impl PlainKey {
    /// Takes over 32 bytes; what held them is wiped.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Result<Self, DataKeyError> {
        if bytes.len() != DATA_KEY_BYTES {
            return Err(DataKeyError::Plain { bytes: bytes.len() });
        }
        let mut key = Box::new(Zeroizing::new([0u8; DATA_KEY_BYTES]));
        key.copy_from_slice(&bytes);
        Ok(Self(key))
    }

    /// The 32 bytes, to encrypt or derive with at once and not to be kept.
    pub fn expose(&self) -> &[u8; DATA_KEY_BYTES] {
        &self.0
    }
}

/// A data key for one object. Encryption consumes it, so that it never meets a second one.
#[must_use = "a data key costs a call of KMS"]
pub struct DataKey {
    plain: PlainKey,
    wrapped: Vec<u8>,
    context: Context,
}

impl DataKey {
    /// A key with its wrapped form, as KMS wrapped it under `context`.
    pub fn new(plain: PlainKey, wrapped: Vec<u8>, context: Context) -> Result<Self, DataKeyError> {
        if wrapped.is_empty() || wrapped.len() > WRAPPED_BYTES_MAX {
            return Err(DataKeyError::Wrapped { bytes: wrapped.len() });
        }
        Ok(Self { plain, wrapped, context })
    }

    /// What it was wrapped under.
    pub fn context(&self) -> Context {
        self.context
    }

    /// The key in clear, and its wrapped form (KMS's `CiphertextBlob`, which is no secret).
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
