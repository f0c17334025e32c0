//! What to do about an error: one vocabulary for every room.
//!
//! An error type says what failed, on what, and what may help; [`Faulty::fault`] says who should do what. `Display` of an
//! error never prints its source: [`chain`] prints an error with all that caused it, each once.

use std::error::Error;
use std::fmt;

/// What should be done about an error: by the stage that met it, and in the end by whoever started the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// What failed is away for a while: wait, then do the same again. Nothing is skipped.
    Temporary,
    /// Only this one thing cannot be done: keep it, report it, continue with the others.
    Item,
    /// Continuing could lose or forge evidence: stop. The next start recovers.
    Stop,
    /// Somebody must change something first; the error's text says what. Starting again without that is useless.
    Configuration,
    /// A defect of this program: report it.
    Internal,
}

/// Exit code of what may go away by itself, or is recovered by the next start (`EX_TEMPFAIL`).
pub const EXIT_TEMPORARY: u8 = 75;
/// Exit code of a mistaken configuration or command line (`EX_CONFIG`).
pub const EXIT_CONFIGURATION: u8 = 78;
/// Exit code of what should not happen (`EX_SOFTWARE`).
pub const EXIT_INTERNAL: u8 = 70;

impl Fault {
    /// The exit code of a process that ends by it.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Temporary | Self::Item | Self::Stop => EXIT_TEMPORARY,
            Self::Configuration => EXIT_CONFIGURATION,
            Self::Internal => EXIT_INTERNAL,
        }
    }
}

/// An error that says what to do about it.
pub trait Faulty: Error {
    /// What to do.
    fn fault(&self) -> Fault;

    /// May the same call succeed later without anyone changing anything?
    fn is_temporary(&self) -> bool {
        self.fault() == Fault::Temporary
    }
}

/// The error and all that caused it, each once, in one line.
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> Chain<'a> {
    Chain { error, between: ": " }
}

/// Prints an error with its sources.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a> {
    error: &'a (dyn Error + 'static),
    between: &'static str,
}

impl<'a> Chain<'a> {
    /// A line for each cause, for people at a terminal.
    pub fn in_lines(error: &'a (dyn Error + 'static)) -> Self {
        Self { error, between: "\n  caused by: " }
    }
}

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)?;
        let mut cause = self.error.source();
        while let Some(error) = cause {
            write!(f, "{}{error}", self.between)?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Told(&'static str, Option<Box<Self>>);

    impl fmt::Display for Told {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Told {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|source| source as _)
        }
    }

    #[test]
    fn each_cause_is_printed_once_outermost_first() {
        let error =
            Told("cannot start", Some(Box::new(Told("cannot listen", Some(Box::new(Told("port taken", None)))))));
        assert_eq!(chain(&error).to_string(), "cannot start: cannot listen: port taken");
        assert_eq!(
            Chain::in_lines(&error).to_string(),
            "cannot start\n  caused by: cannot listen\n  caused by: port taken"
        );
        assert_eq!(chain(&Told("alone", None)).to_string(), "alone");
    }

    #[test]
    fn every_fault_has_one_of_three_exit_codes() {
        use Fault::{Configuration, Internal, Item, Stop, Temporary};
        let codes = [Temporary, Item, Stop, Configuration, Internal].map(Fault::exit_code);
        assert_eq!(codes, [75, 75, 75, 78, 70]);
    }
}
