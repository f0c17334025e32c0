//! Why MLS refused.

use mls_rs::error::MlsError;
use retaind_protocol::credential::CredentialError;
use retaind_protocol::ids::IdError;
use retaind_protocol::shape::ShapeError;
use thiserror::Error;

/// Why MLS refused.
#[derive(Debug, Error)]
pub enum EngineError {
    /// An error of the MLS library.
    #[error("MLS: {0}")]
    Mls(MlsError),
    /// Bytes of a stored state or message do not decode.
    #[error("MLS bytes do not decode: {0}")]
    Codec(mls_rs::mls_rs_codec::Error),
    /// A message would unpack to too much, or to nothing.
    #[error("message is not unpacked: {0}")]
    Shape(ShapeError),
    /// A member's credential is not valid.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The group's id is not a conversation id.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The crypto provider does not have the suite.
    #[error("cipher suite {0} is not supported, use 7 (P-384) or 5 (P-521)")]
    Suite(u16),
    /// A message of a kind that does not belong in this part of the protocol.
    #[error("message is {0}, which has no place here")]
    Unexpected(&'static str),
    /// The sender named in the message is not in the tree.
    #[error("sender of the message is not a member")]
    NoSender,
    /// The group does not name the network as external sender.
    #[error("conversation does not name this network as external sender")]
    ExternalSender,
    /// The MLS library panicked. What it was given is not kept; the session is as before.
    #[error("the MLS library panicked, a defect that the log has more of")]
    Panicked,
}

// not by `#[from]`: their texts are part of these errors' own, which stand in records
impl From<MlsError> for EngineError {
    fn from(error: MlsError) -> Self {
        Self::Mls(error)
    }
}

impl From<mls_rs::mls_rs_codec::Error> for EngineError {
    fn from(error: mls_rs::mls_rs_codec::Error) -> Self {
        Self::Codec(error)
    }
}

impl EngineError {
    /// Is this the answer to a Welcome whose key package this device does not hold?
    pub fn is_unknown_key_package(&self) -> bool {
        matches!(self, Self::Mls(MlsError::WelcomeKeyPackageNotFound))
    }

    /// Could this device's own state not be read? Then the message is as good as before, and nothing is known about it.
    pub fn is_of_state(&self) -> bool {
        matches!(self, Self::Mls(MlsError::KeyPackageRepoError(_)))
    }
}

/// Runs what may panic on bytes of a peer: a defect in a library must cost a message, never the process.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    // what `work` changes is discarded after a panic: a message leaves either its whole effect or none
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(Err(EngineError::Panicked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error() {
        assert!(matches!(guarded::<()>(|| panic!("on purpose")), Err(EngineError::Panicked)));
        assert!(matches!(guarded(|| Ok(7)), Ok(7)));
    }
}
