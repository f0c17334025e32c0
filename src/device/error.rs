//! Why a device could not carry out an operation.

use retaind_core::fault::{Fault, Faulty};
use thiserror::Error;

use super::account::AccountError;
use super::connection::ConnectionError;
use super::conversations::TRIES_MAX;
use super::mls::EngineError;
use super::store::StoreError;
use retaind_protocol::content::ContentError;
use retaind_protocol::ids::{ConversationId, IdError, UserName};
use retaind_protocol::wire::RefusalCode;

/// Why a device could not carry out an operation.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// Registration or log-in.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The network.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The local state failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// MLS failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The message cannot be encoded.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A name is not valid.
    #[error(transparent)]
    Id(#[from] IdError),
    /// This device is not a member.
    #[error("this device is not a member of conversation `{0}`")]
    NotMember(ConversationId),
    /// The user is not a member.
    #[error("user `{user}` is not a member of conversation `{conversation}`")]
    NoSuchMember {
        /// The user.
        user: UserName,
        /// The conversation.
        conversation: ConversationId,
    },
    /// Other devices were always faster.
    #[error("conversation `{0}` changed {TRIES_MAX} times while this device tried to send, try again later")]
    Contended(ConversationId),
    /// The system gave no randomness.
    #[error("the system gives no random bytes")]
    Random,
}

impl DeviceError {
    /// The network's refusal, if it is one.
    pub fn refusal(&self) -> Option<RefusalCode> {
        match self {
            Self::Connection(error) | Self::Account(AccountError::Connection(error)) => error.refusal(),
            Self::Account(_)
            | Self::Store(_)
            | Self::Engine(_)
            | Self::Content(_)
            | Self::Id(_)
            | Self::NotMember(_)
            | Self::NoSuchMember { .. }
            | Self::Contended(_)
            | Self::Random => None,
        }
    }
}

impl Faulty for DeviceError {
    fn fault(&self) -> Fault {
        match self {
            Self::Account(error) => error.fault(),
            Self::Connection(error) => error.fault(),
            Self::Contended(_) => Fault::Temporary,
            Self::Store(error) => error.fault(),
            Self::Content(_) | Self::Id(_) | Self::NotMember(_) | Self::NoSuchMember { .. } => Fault::Configuration,
            Self::Engine(_) | Self::Random => Fault::Internal,
        }
    }
}
