//! Why an archive cannot be read.

use std::io;

use retaind_core::fault::{Fault, Faulty};

/// The archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A path that was given.
    #[error("`{path}` cannot be opened: is it the directory or file of an archive?")]
    Open {
        /// It.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file of the archive.
    #[error("`{path}` cannot be read")]
    Read {
        /// It.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// No message file in it.
    #[error("there is no message file in `{path}`: give the directory that the bot's `*.txt` files are in")]
    NoMessages {
        /// What was given.
        path: String,
    },
    /// More files than a place can name.
    #[error("the archive has more than `{limit}` message files: read a part of it at a time")]
    TooManyFiles {
        /// The limit.
        limit: u32,
    },
    /// Standard input's copy.
    #[error("standard input cannot be kept in a temporary file in `{path}`: give a directory with room by `--work`")]
    Spool {
        /// The directory.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// What lies at a place is no longer what was read there.
    #[error("`{path}` has changed while it was read: line `{line}` is another one now")]
    Changed {
        /// The file.
        path: String,
        /// The line.
        line: u64,
    },
}

impl Faulty for SourceError {
    fn fault(&self) -> Fault {
        match self {
            Self::Open { .. } | Self::NoMessages { .. } | Self::TooManyFiles { .. } => Fault::Configuration,
            Self::Read { .. } | Self::Spool { .. } | Self::Changed { .. } => Fault::Temporary,
        }
    }
}
