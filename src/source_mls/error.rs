//! Why the MLS network as a source cannot continue, what to do about it, and which event says so.

use retaind_bot::failure::event_of_state;
use retaind_bot::passwords::{NoRandomness, NotKept};
use retaind_bot::source::{Phase, Trouble};
use retaind_core::fault::{Fault, Faulty};
use retaind_device::account::AccountError;
use retaind_device::connection::ConnectionError;
use retaind_device::store::StoreError;
use retaind_protocol::wire::RefusalCode;
use retaind_report::events::Event;
use thiserror::Error;

use crate::decrypt::DecryptError;
use crate::fetch::FetchError;
use crate::receive::ReceiveError;

/// Why the source ended.
#[derive(Debug, Error)]
pub enum MlsError {
    /// The state failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Registration or log-in failed.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// Receiving failed.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// Decrypting failed.
    #[error(transparent)]
    Decrypt(#[from] DecryptError),
    /// Fetching attachments failed.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The network does not take the password that the configuration gives a new bot.
    #[error("the initial password is not the account's, correct `WICKRIO_BOT_PASSWORD` or the secret's `password`")]
    ConfiguredPassword(#[source] AccountError),
    /// A new password could not be handed over.
    #[error(transparent)]
    NotKept(#[from] NotKept),
    /// The system gave no randomness.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// A thread or task could not be started, or died.
    #[error("stage `{0}` could not be started or died")]
    Stage(&'static str),
    /// The state belongs to another user.
    #[error(
        "state belongs to bot `{theirs}`, not to `{ours}` (WICKRIO_BOT_NAME): use another state directory (RETAIND_STATE)"
    )]
    OtherBot {
        /// User in the state.
        theirs: String,
        /// User in the configuration.
        ours: String,
    },
}

impl MlsError {
    fn event_at_start(&self) -> Option<Event> {
        match self {
            Self::Store(error)
            | Self::Receive(ReceiveError::Store(error))
            | Self::Decrypt(DecryptError::Store(error)) => event_of_state(error),
            Self::Account(error) | Self::Receive(ReceiveError::Account(error)) => at_log_in(error),
            Self::OtherBot { .. } => Some(Event::NewUserOldDatabase),
            Self::ConfiguredPassword(_) => Some(Event::ConfiguredPasswordBad),
            Self::Receive(_)
            | Self::Decrypt(_)
            | Self::Fetch(_)
            | Self::Stage(_)
            | Self::NotKept(_)
            | Self::Random(_) => None,
        }
    }

    fn event_while_running(&self) -> Option<Event> {
        match self {
            Self::Account(AccountError::Connection(error))
            | Self::Receive(ReceiveError::Account(AccountError::Connection(error))) => match error {
                // the network does not distinguish account and device: the reason has its text
                ConnectionError::Refused { code: code @ RefusalCode::Suspended, message } => {
                    Some(Event::AccountSuspended { code: i32::from(*code), reason: message.clone() })
                }
                ConnectionError::Refused { .. }
                | ConnectionError::Unreachable { .. }
                | ConnectionError::Tls { .. }
                | ConnectionError::Endpoint(_)
                | ConnectionError::Closed
                | ConnectionError::Timeout { .. }
                | ConnectionError::Protocol(_) => self.event_at_start(),
            },
            Self::Store(_)
            | Self::Account(_)
            | Self::Receive(_)
            | Self::Decrypt(_)
            | Self::Fetch(_)
            | Self::Stage(_)
            | Self::ConfiguredPassword(_)
            | Self::NotKept(_)
            | Self::Random(_)
            | Self::OtherBot { .. } => self.event_at_start(),
        }
    }
}

impl Faulty for MlsError {
    fn fault(&self) -> Fault {
        match self {
            Self::Store(error)
            | Self::Receive(ReceiveError::Store(error))
            | Self::Decrypt(DecryptError::Store(error)) => error.fault(),
            Self::Account(error) | Self::Receive(ReceiveError::Account(error)) => error.fault(),
            Self::OtherBot { .. } | Self::ConfiguredPassword(_) => Fault::Configuration,
            Self::NotKept(error) => error.fault,
            Self::Random(_) => Fault::Temporary,
            // errors of the disk: full, read-only, gone; the next start reports more
            Self::Fetch(FetchError::Files(_)) | Self::Decrypt(DecryptError::Unread { .. } | DecryptError::Keep(_)) => {
                Fault::Temporary
            }
            Self::Receive(_) | Self::Decrypt(_) | Self::Fetch(_) | Self::Stage(_) => Fault::Internal,
        }
    }
}

impl Trouble for MlsError {
    fn event(&self, phase: Phase) -> Option<Event> {
        match phase {
            Phase::Starting => self.event_at_start(),
            Phase::Running => self.event_while_running(),
        }
    }
}

fn at_log_in(error: &AccountError) -> Option<Event> {
    match error {
        AccountError::Store(error) => event_of_state(error),
        AccountError::OtherNetwork { .. } | AccountError::Registered { .. } => Some(Event::NewUserOldDatabase),
        AccountError::Connection(error) => match error.refusal() {
            Some(RefusalCode::Password) => Some(Event::BadCredentials),
            // with this code the network refuses a device that it does not know
            Some(RefusalCode::Unauthenticated) => Some(Event::UserNotFound),
            Some(RefusalCode::Suspended) => Some(Event::LoginSuspended),
            Some(_) | None => Some(Event::AllLoginsFailed),
        },
        AccountError::Engine(_) | AccountError::Credential(_) | AccountError::NotRegistered | AccountError::NoSuite => {
            Some(Event::AllLoginsFailed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: RefusalCode) -> MlsError {
        let refused = ConnectionError::Refused { code, message: "this device or its user is suspended".into() };
        MlsError::Account(AccountError::Connection(refused))
    }

    #[test]
    fn a_refused_log_in_is_told_by_its_kind() {
        let told = |code| refused(code).event(Phase::Starting);
        assert_eq!(told(RefusalCode::Password), Some(Event::BadCredentials));
        assert_eq!(told(RefusalCode::Unauthenticated), Some(Event::UserNotFound));
        assert_eq!(told(RefusalCode::Suspended), Some(Event::LoginSuspended));
        assert_eq!(told(RefusalCode::Version), Some(Event::AllLoginsFailed));
        let other = MlsError::OtherBot { theirs: "a".into(), ours: "b".into() };
        assert_eq!(other.event(Phase::Starting), Some(Event::NewUserOldDatabase));
    }

    #[test]
    fn a_running_bot_that_is_suspended_says_so_with_the_networks_words() {
        let event = refused(RefusalCode::Suspended).event(Phase::Running);
        let reason = "this device or its user is suspended".to_owned();
        assert_eq!(event, Some(Event::AccountSuspended { code: 8, reason }));
    }
}
