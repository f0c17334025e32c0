//! Why a subcommand failed, and the exit code that says what to do about it.

use std::error::Error;
use std::fmt;

/// Exit code of a mistaken configuration or command line (`EX_CONFIG`): starting again without a change is useless.
pub const EXIT_CONFIGURATION: u8 = 78;
/// Exit code of what may go away by itself (`EX_TEMPFAIL`): network or disk.
pub const EXIT_TEMPORARY: u8 = 75;
/// Exit code of what should not happen (`EX_SOFTWARE`): report it.
pub const EXIT_INTERNAL: u8 = 70;

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
        write!(f, "{error}")?;
        let mut cause = error.source();
        while let Some(error) = cause {
            write!(f, "\n  caused by: {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
