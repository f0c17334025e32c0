//! Why the state could not be read or written.

use retaind_core::fault::{Fault, Faulty};
use thiserror::Error;

use crate::schema::SchemaError;
use crate::vault::VaultError;

/// Why the state could not be read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// An error of SQLite.
    #[error("state `{path}` cannot be {operation}, is the disk full or the file damaged?")]
    Sqlite {
        /// `made`, `opened`, `read` or `written`.
        operation: &'static str,
        /// Path of the file.
        path: String,
        /// SQLite's error.
        #[source]
        source: rusqlite::Error,
    },
    /// The file belongs to another user, or its file system is read-only.
    #[error(
        "state `{path}` may not be read and written: give it to the user that runs the bot (with its `-wal` and `-shm`), and mount \
         its file system writable"
    )]
    Denied {
        /// Path of the file.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file has a newer version, or an older one that cannot be brought up.
    #[error("state cannot be used")]
    Schema(#[from] SchemaError),
    /// The password is wrong, or what it opens was altered.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A row does not decode.
    #[error("state holds a row that does not decode: {0}")]
    Malformed(&'static str),
    /// A row is not what was written: its guard does not match.
    #[error(
        "state is damaged: a row of `{0}` is not as it was written, by a fault of the disk or of the memory; nothing was \
         acknowledged or changed on its word; restore the newest copy of the state directory, or start again as another device \
         with an empty one"
    )]
    Damaged(&'static str),
    /// The file is empty.
    #[error(
        "state `{path}` is empty: it was cut, or the disk lost what it had confirmed; restore the state directory from a copy, or \
         remove the file to start again as another device"
    )]
    Empty {
        /// Path of the file.
        path: String,
    },
    /// A new file could not be made.
    #[error("state `{path}` cannot be made, is the disk full?")]
    NotMade {
        /// Path of the file.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
}

impl StoreError {
    /// Does the password not open the state?
    pub fn is_wrong_password(&self) -> bool {
        matches!(self, Self::Vault(VaultError::Password))
    }
}

impl Faulty for StoreError {
    /// The disk, or what it holds, is nothing that this program has got wrong: the next start may fare better.
    fn fault(&self) -> Fault {
        match self {
            Self::Denied { .. } | Self::Empty { .. } => Fault::Configuration,
            Self::Schema(error) => error.fault(),
            Self::Vault(_) if self.is_wrong_password() => Fault::Configuration,
            Self::Vault(_) | Self::Sqlite { .. } | Self::Malformed(_) | Self::Damaged(_) | Self::NotMade { .. } => {
                Fault::Stop
            }
        }
    }
}
