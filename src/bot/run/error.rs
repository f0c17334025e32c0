//! Why a bot ended.

use std::error::Error;
use std::fmt;

use retaind_core::fault::{Fault, Faulty};
use retaind_state::StoreError;
use thiserror::Error;

use crate::commit::CommitError;
use crate::disk::DiskError;
use crate::evidence::EvidenceError;
use crate::files::FilesError;
use crate::ship::ShipError;
use crate::source::Trouble;
use crate::watchdog::{Gone, Halt, Stalled};

/// Why the bot ended.
#[derive(Debug, Error)]
pub enum BotError {
    /// The state file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log of the state.
    #[error("the log of the state cannot be made safe (RETAIND_STATE)")]
    Log(#[from] DiskError),
    /// The network that is archived.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Names of files beside the records.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The commit.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The ship stage.
    #[error(transparent)]
    Ship(#[from] ShipError),
    /// A directory of the bot's no longer exists.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// A stage makes no progress.
    #[error(transparent)]
    Stalled(#[from] Stalled),
    /// The grace time was over before everything in hand was safe.
    #[error(
        "stopped as told, but what was in hand was not safe within the grace time: it is not acknowledged and comes again; \
         does the disk answer, or is `RETAIND_GRACE_SECONDS` too short?"
    )]
    CutShort,
    /// A thread could not be started, or died.
    #[error("stage `{0}` could not be started or died")]
    Stage(&'static str),
}

/// An error of the source, whichever source it is.
#[derive(Debug)]
pub struct SourceError(pub Box<dyn Trouble>);

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for SourceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl From<Box<dyn Trouble>> for BotError {
    fn from(trouble: Box<dyn Trouble>) -> Self {
        Self::Source(SourceError(trouble))
    }
}

impl Faulty for BotError {
    fn fault(&self) -> Fault {
        match self {
            Self::Store(error)
            | Self::Commit(CommitError::Store(error) | CommitError::Evidence(EvidenceError::Store(error))) => {
                error.fault()
            }
            Self::Source(error) => error.0.fault(),
            // the disk, or what it holds: full, read-only, gone; the next start tells more
            Self::Commit(_)
            | Self::Files(_)
            | Self::Ship(_)
            | Self::Log(_)
            | Self::Gone(_)
            | Self::Stalled(_)
            | Self::CutShort => Fault::Temporary,
            Self::Stage(_) => Fault::Internal,
        }
    }
}

impl From<Halt> for BotError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Stalled(stalled) => stalled.into(),
            Halt::Gone(gone) => gone.into(),
        }
    }
}
