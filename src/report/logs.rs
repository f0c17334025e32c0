//! The log: for operators, of what the bot does and never of what people say.
//!
//! Invariant: no message content, name of a file, password or key is ever a field or part of an event; what is logged
//! are counts, ids and errors, and errors hold no content by the same rule.
//!
//! One line an event, coloured only on a terminal, so that a container's log stays plain text.

use std::io::{self, IsTerminal};

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// Where the log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output: for the bot and the network, whose output is the log.
    Output,
    /// Standard error: for commands that print something else on standard output.
    Error,
}

/// Why there is no log.
#[derive(Debug, Error)]
pub enum LogError {
    /// [`crate::config`] checks filters, so this one came by another way.
    #[error("`{filter}` is not a log filter")]
    Filter {
        /// As given.
        filter: String,
    },
    /// Only one log a process.
    #[error("the log was set up already")]
    Twice,
}

/// Starts the log of this process; `filter` as in [`crate::config::Config::log`].
pub fn start(stream: Stream, filter: &str) -> Result<(), LogError> {
    let (writer, ansi) = match stream {
        Stream::Output => (BoxMakeWriter::new(io::stdout), io::stdout().is_terminal()),
        Stream::Error => (BoxMakeWriter::new(io::stderr), io::stderr().is_terminal()),
    };
    let filter = EnvFilter::try_new(filter).map_err(|_| LogError::Filter { filter: filter.to_owned() })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(ansi).finish();
    tracing::subscriber::set_global_default(log).map_err(|_| LogError::Twice)
}
