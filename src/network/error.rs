//! What can go wrong: for the operator ([`NetworkError`]) and for a device ([`Refusal`]).
//!
//! A device learns what it can act on and nothing of the inside; the inside goes to the log, once.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::ledger::LedgerError;
use retaind_core::fault::{Fault, Faulty};
use retaind_core::limit::Limit;
use retaind_protocol::credential::CredentialError;
use retaind_protocol::ids::{IdError, UserName};
use retaind_protocol::limits::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN};
use retaind_protocol::wire::{RefusalCode, Refused};
use retaind_state::schema::SchemaError;
use retaind_state::vault::VaultError;

/// Why the network cannot start, run or carry out what its operator asked.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// Another process serves this directory.
    #[error("`{}` is in use by another network process: stop that one or choose another directory", .0.display())]
    Locked(PathBuf),
    /// A file or folder cannot be used.
    #[error("cannot {action} `{}`: check that the folder exists, is writable and has space", path.display())]
    File {
        /// `create`, `read`, `write`, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The database refuses.
    #[error("the network's database failed: check free space and rights of its folder")]
    Database(#[from] LedgerError),
    /// The database is of a newer release, or of an older one and cannot be brought up.
    #[error("the network's database cannot be used")]
    Schema(#[from] SchemaError),
    /// The given or made certificate cannot be used.
    #[error("the network's certificate cannot be used: {0}")]
    Certificate(String),
    /// The network's secrets cannot be opened.
    #[error("the network's keys cannot be opened: {0}")]
    Sealed(String),
    /// The vault that they are sealed in refuses.
    #[error("the network's keys cannot be sealed or opened")]
    Vault(#[from] VaultError),
    /// Devices would refuse the given certificate.
    #[error("no device would accept the network's certificate for `{name}`, the name in its invites: {why}")]
    NotAccepted {
        /// The name that devices look for in it.
        name: String,
        /// Why not, and the remedy.
        why: String,
    },
    /// A suite that this build does not know.
    #[error("MLS cipher suite `{0}` is not allowed here: 7 (P-384) and 5 (P-521) are")]
    CipherSuite(u16),
    /// Network id given differs from that of the first start.
    #[error("the network in this directory is called `{theirs}`, not `{ours}`: its name cannot change")]
    NetworkId {
        /// On disk.
        theirs: String,
        /// The name in this start's settings.
        ours: String,
    },
    /// Not a network name.
    #[error("network id `{0}` is not 1 to 64 letters, digits, `-`, `_` or `.`")]
    NetworkName(String),
    /// The directory does not hold a network.
    #[error("`{}` holds no network: start `retaind network serve` there first", .0.display())]
    NoNetwork(PathBuf),
    /// The network has not listened yet, so nobody can be told where it is.
    #[error("the network has not been served yet, so its address is not known: start it once, then invite")]
    NoAddress,
    /// A key cannot be made or used.
    #[error("a key of the network cannot be used")]
    Key(#[from] CredentialError),
    /// A cryptographic operation failed.
    #[error("the crypto library failed at `{0}`")]
    Crypto(&'static str),
    /// A name is not valid.
    #[error("a name is not valid")]
    Name(#[from] IdError),
    /// No such user.
    #[error("no user `{0}` in this network")]
    NoUser(UserName),
    /// No such device.
    #[error("no device `{0}` in this network")]
    NoDevice(String),
    /// The user exists with another role.
    #[error("user `{user}` already exists as `{role}`")]
    UserExists {
        /// The user that exists.
        user: UserName,
        /// As what.
        role: &'static str,
    },
    /// Retention wants a bot.
    #[error("user `{0}` is not a bot: data retention needs bot accounts, see `retaind network bot`")]
    NotABot(UserName),
    /// Too short a password, or too long a one.
    #[error("the password has fewer than {PASSWORD_CHARS_MIN} characters, or more than {PASSWORD_BYTES_MAX} bytes")]
    PasswordLength,
    /// A part of the network ended although nobody asked it to.
    #[error("the network's `{0}` ended unexpectedly: its log says why; restart it")]
    Ended(&'static str),
    /// Listening failed.
    #[error("the network cannot listen")]
    Listen(#[source] io::Error),
}

impl Faulty for NetworkError {
    fn fault(&self) -> Fault {
        match self {
            Self::File { source, .. } if is_denied(source) => Fault::Configuration,
            Self::Locked(_) | Self::File { .. } | Self::Database(_) | Self::Listen(_) | Self::Ended(_) => {
                Fault::Temporary
            }
            Self::Key(_) | Self::Crypto(_) => Fault::Internal,
            Self::Schema(why) if why.fault() != Fault::Configuration => Fault::Temporary,
            Self::Schema(_)
            | Self::Certificate(_)
            | Self::Sealed(_)
            | Self::Vault(_)
            | Self::NotAccepted { .. }
            | Self::CipherSuite(_)
            | Self::NetworkId { .. }
            | Self::NetworkName(_)
            | Self::NoNetwork(_)
            | Self::NoAddress
            | Self::Name(_)
            | Self::NoUser(_)
            | Self::NoDevice(_)
            | Self::UserExists { .. }
            | Self::NotABot(_)
            | Self::PasswordLength => Fault::Configuration,
        }
    }
}

/// Waiting gives nobody a file.
fn is_denied(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// What a device is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: RefusalCode,
    pub(crate) message: String,
    /// What it went beyond, to be counted when it is answered.
    pub(crate) limit: Option<Limit>,
}

impl Refusal {
    pub(crate) fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), limit: None }
    }

    /// Because of this limit.
    pub(crate) fn over(limit: &Limit, message: impl Into<String>) -> Self {
        Self { limit: Some(*limit), ..Self::new(RefusalCode::Limit, message) }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(RefusalCode::Invalid, message)
    }

    pub(crate) fn unavailable() -> Self {
        Self::new(RefusalCode::Unavailable, "the network has trouble of its own, nothing was changed: try again later")
    }

    pub(crate) fn frame(self) -> Refused {
        Refused { code: self.code.into(), message: self.message }
    }
}

/// Why a change did not happen.
#[derive(Debug)]
pub(crate) enum ChangeError {
    /// The device may not or cannot: only its own change is undone.
    Refused(Refusal),
    /// The ledger or the disk: the whole batch is undone.
    Broken(LedgerError),
}

impl From<Refusal> for ChangeError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<LedgerError> for ChangeError {
    fn from(error: LedgerError) -> Self {
        Self::Broken(error)
    }
}

pub(crate) fn refuse_over<T>(limit: &Limit, message: impl Into<String>) -> Result<T, ChangeError> {
    Err(ChangeError::Refused(Refusal::over(limit, message)))
}

pub(crate) fn refuse<T>(code: RefusalCode, message: impl Into<String>) -> Result<T, ChangeError> {
    Err(ChangeError::Refused(Refusal::new(code, message)))
}
