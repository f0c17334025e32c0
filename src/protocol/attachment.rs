//! Attachments travel encrypted under a key of their own.
#![deny(clippy::arithmetic_side_effects, clippy::as_conversions)]

use aws_lc_rs::rand;
use thiserror::Error;
use zeroize::Zeroizing;

/// Bytes of an attachment's key (AES-256).
pub const ATTACHMENT_KEY_BYTES: usize = 32;

/// Why an attachment could not be sealed or opened.
#[derive(Debug, Error)]
pub enum AttachmentError {
    /// The message holds a key of another length.
    #[error("attachment key has {bytes} bytes, {ATTACHMENT_KEY_BYTES} are needed")]
    Key {
        /// Bytes that were given.
        bytes: usize,
    },
    /// The system gave no randomness.
    #[error("no random key for an attachment could be made: the system gave no randomness")]
    Randomness,
}

/// The AES-256 key of one attachment. Wiped on drop; neither printed, cloned nor serialised.
pub struct AttachmentKey(Box<Zeroizing<[u8; ATTACHMENT_KEY_BYTES]>>);

impl AttachmentKey {
    /// A fresh random key.
    pub fn generate() -> Result<Self, AttachmentError> {
        let mut key = Box::new(Zeroizing::new([0u8; ATTACHMENT_KEY_BYTES]));
        rand::fill(key.as_mut_slice()).map_err(|_| AttachmentError::Randomness)?;
        Ok(Self(key))
    }

    /// The key that a message carries: 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AttachmentError> {
        let mut key = Box::new(Zeroizing::new([0u8; ATTACHMENT_KEY_BYTES]));
        if bytes.len() != ATTACHMENT_KEY_BYTES {
            return Err(AttachmentError::Key { bytes: bytes.len() });
        }
        key.copy_from_slice(bytes);
        Ok(Self(key))
    }

    /// The 32 bytes, to be put into the (end-to-end encrypted) message and nowhere else.
    pub fn expose(&self) -> &[u8; ATTACHMENT_KEY_BYTES] {
        &self.0
    }
}

impl std::fmt::Debug for AttachmentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AttachmentKey(..)")
    }
}
