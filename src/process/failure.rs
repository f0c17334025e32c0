//! Why a subcommand failed, and the exit code that says what to do about it.

use std::error::Error;
use std::fmt;

use retaind_core::fault::{Chain, Fault, Faulty, chain};

/// Why a subcommand failed, and what to do about it.
#[derive(Debug)]
pub struct Failure {
    fault: Fault,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// Something must be put right first: 78.
    pub fn configuration(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { fault: Fault::Configuration, error: error.into() }
    }

    /// It may work later: 75.
    pub fn temporary(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { fault: Fault::Temporary, error: error.into() }
    }

    /// A defect: 70.
    pub fn internal(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { fault: Fault::Internal, error: error.into() }
    }

    /// By what the error itself says is to be done.
    pub fn of(error: impl Faulty + Send + Sync + 'static) -> Self {
        Self { fault: error.fault(), error: error.into() }
    }

    /// What to do about it.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// The same to do, with an error that says more.
    #[must_use]
    pub(crate) fn because<E: Error + Send + Sync + 'static>(
        self,
        of: impl FnOnce(Box<dyn Error + Send + Sync>) -> E,
    ) -> Self {
        Self { fault: self.fault, error: of(self.error).into() }
    }

    /// Writes the reason for the end into the log, in the log's own format; nothing where no log was started.
    pub fn log(&self) {
        tracing::error!(code = self.code(), reason = %chain(&*self.error), "the program ends");
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.fault.exit_code()
    }
}

impl fmt::Display for Failure {
    /// The error and what caused it, each once.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Chain::in_lines(&*self.error).fmt(f)
    }
}
