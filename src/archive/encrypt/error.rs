//! What can go wrong on the way into the archive, and on the way out of it. No text holds a key or content.

use thiserror::Error;

use super::format::Format;
use super::gcm::GCM_BYTES_MAX;
use retaind_core::fault::{Fault, Faulty};

/// Why an object could not be encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EncryptError {
    /// The system gave no randomness.
    #[error("object could not be encrypted: the system gave no randomness")]
    Randomness,
    /// Longer than one message of AES-GCM can be.
    #[error(
        "object of `{bytes}` bytes is longer than `{GCM_BYTES_MAX}`, the most that the archive's encryption allows; lower \
         `WICKRIO_COMP_FILESIZE`"
    )]
    TooLarge {
        /// Bytes in clear.
        bytes: u64,
    },
    /// Its file is not what it was when its length was taken.
    #[error(
        "object has `{found}` bytes where `{expected}` were said: its file was changed while it was encrypted; nothing of it \
         may be kept"
    )]
    Length {
        /// Bytes that were said.
        expected: u64,
        /// Bytes that came, at least.
        found: u64,
    },
    /// A mistake of the caller: the object could never be opened.
    #[error("data key was asked of KMS with another encryption context than that of format `{format}`")]
    OtherContext {
        /// The object's format.
        format: Format,
    },
    /// Never seen, kept so that nothing is assumed.
    #[error("key of the object could not be derived from its data key")]
    Derivation,
}

impl Faulty for EncryptError {
    /// What the caller may do. After [`Fault::Temporary`] the object is started again, with a new data key.
    fn fault(&self) -> Fault {
        match self {
            Self::Randomness => Fault::Temporary,
            Self::TooLarge { .. } | Self::Length { .. } => Fault::Item,
            Self::OtherContext { .. } | Self::Derivation => Fault::Stop,
        }
    }
}

/// Why an object could not be opened. All of these are for good: the object stays as it is, and its bytes are not used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Nothing says that it is encrypted. Where the archive is encrypted, somebody took it away.
    #[error("object's metadata holds no wrapped key: it is not encrypted, or its metadata was removed")]
    NotEncrypted,
    /// Other values of an envelope are there, the key is not. In a second object it could be exchanged.
    #[error("object's metadata holds no wrapped key: it is in an instruction file, which is not read, or was removed")]
    KeyElsewhere,
    /// Of the encryption client's first version.
    #[error("object is encrypted in format `v1`, which is not read because it does not bind the content to its key")]
    V1,
    /// Which key is right would be a guess.
    #[error("object's metadata holds `{v3}` of format `v3` beside `{other}` of an older one: it was altered")]
    Mixed {
        /// A name.
        v3: &'static str,
        /// A name that must not stand beside it.
        other: &'static str,
    },
    /// Twice the same name.
    #[error("object's metadata holds `{name}` twice: it was altered")]
    Twice {
        /// The name.
        name: &'static str,
    },
    /// A part of the envelope is not there.
    #[error("object's metadata lacks `{name}`")]
    Missing {
        /// The name.
        name: &'static str,
    },
    /// Something that this program does not know.
    #[error(
        "object's metadata `{name}` is not `{known}`, the only value that is read: written by another program, or altered"
    )]
    Unknown {
        /// The name.
        name: &'static str,
        /// What is known.
        known: &'static str,
    },
    /// Not base64, not a number, or of a wrong length.
    #[error("object's metadata `{name}` is not {form}: it was altered")]
    Malformed {
        /// The name.
        name: &'static str,
        /// What it should be.
        form: &'static str,
    },
    /// The object's length is impossible, or not the one in its metadata.
    #[error("object's body of `{found}` bytes was cut or altered: {reason}")]
    BodyLength {
        /// Bytes of the body.
        found: u64,
        /// What it contradicts.
        reason: &'static str,
    },
    /// More or fewer bytes came than the body was said to have.
    #[error("object's body has `{found}` bytes before its tag where `{expected}` belong: cut short, or read wrongly")]
    Length {
        /// Bytes that belong there.
        expected: u64,
        /// Bytes that came, at least.
        found: u64,
    },
    /// The data key is not the one that the object was sealed with.
    #[error("object's data key is not the one that its metadata commits to: key or metadata were exchanged")]
    Commitment,
    /// Never seen, kept so that nothing is assumed.
    #[error("key of the object could not be derived from its data key")]
    Derivation,
    /// What came out must be destroyed.
    #[error("object is not authentic: damaged, altered, or under another key")]
    NotAuthentic,
}
