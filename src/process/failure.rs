//! Why a subcommand failed, and the exit code that says what to do about it.

use std::error::Error;
use std::fmt;

use retaind_core::fault::{Chain, EXIT_CONFIGURATION, EXIT_INTERNAL, EXIT_TEMPORARY, Fault, Faulty, chain};

/// Why a subcommand failed, by what to do about it.
#[derive(Debug)]
pub enum Failure {
    /// Something must be put right first.
    Configuration(Box<dyn Error + Send + Sync>),
    /// It may work later.
    Temporary(Box<dyn Error + Send + Sync>),
    /// A defect.
    Internal(Box<dyn Error + Send + Sync>),
}

impl Failure {
    /// 78.
    pub fn configuration(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Configuration(error.into())
    }

    /// 75.
    pub fn temporary(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Temporary(error.into())
    }

    /// 70.
    pub fn internal(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Internal(error.into())
    }

    /// By what the error itself says is to be done.
    pub fn of(error: impl Faulty + Send + Sync + 'static) -> Self {
        match error.fault() {
            Fault::Temporary | Fault::Item | Fault::Stop => Self::temporary(error),
            Fault::Configuration => Self::configuration(error),
            Fault::Internal => Self::internal(error),
        }
    }

    /// Writes the reason for the end into the log, in the log's own format; nothing where no log was started.
    pub fn log(&self) {
        let (Self::Configuration(error) | Self::Temporary(error) | Self::Internal(error)) = self;
        tracing::error!(code = self.code(), reason = %chain(&**error), "the program ends");
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Configuration(_) => EXIT_CONFIGURATION,
            Self::Temporary(_) => EXIT_TEMPORARY,
            Self::Internal(_) => EXIT_INTERNAL,
        }
    }
}

impl fmt::Display for Failure {
    /// The error and what caused it, each once.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Configuration(error) | Self::Temporary(error) | Self::Internal(error)) = self;
        Chain::in_lines(&**error).fmt(f)
    }
}
