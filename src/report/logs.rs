//! The log: for operators, of what the bot does and never of what people say.
//!
//! Invariant: no message content, name of a file, password or key is ever a field or part of an event; what is logged
//! are counts, ids and errors, and errors hold no content by the same rule.
//!
//! One line an event. Standard output (or error) always has it: as text on a terminal, coloured, and as one JSON object a
//! line ([`json`]) elsewhere, unless a [`Format`] says otherwise. The bot also keeps [`files`], so that the last days can
//! be read where nobody collects the output.

pub mod files;
mod json;

use std::fmt;
use std::io::{self, IsTerminal};

use thiserror::Error;
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Registry};

use self::files::LogFiles;
use self::json::JsonLine;

/// Where the log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output: for the bot and the network, whose output is the log.
    Output,
    /// Standard error: for commands that print something else on standard output.
    Error,
}

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
        })
    }
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
pub fn start(stream: Stream, filter: &str, format: Format, files: Option<LogFiles>) -> Result<(), LogError> {
    let (writer, terminal) = match stream {
        Stream::Output => (BoxMakeWriter::new(io::stdout), io::stdout().is_terminal()),
        Stream::Error => (BoxMakeWriter::new(io::stderr), io::stderr().is_terminal()),
    };
    let filter = EnvFilter::try_new(filter).map_err(|_| LogError::Filter { filter: filter.to_owned() })?;
    let mut layers = vec![layer(Line::of(format, terminal), writer)];
    layers.extend(files.map(|files| layer(Line::of(format, false), files)));
    let log = Registry::default().with(filter).with(layers);
    tracing::subscriber::set_global_default(log).map_err(|_| LogError::Twice)
}

/// How one stream is written.
enum Line {
    Coloured,
    Text,
    Json,
}

impl Line {
    fn of(format: Format, terminal: bool) -> Self {
        match (format, terminal) {
            (Format::Auto | Format::Text, true) => Self::Coloured,
            (Format::Text, false) => Self::Text,
            (Format::Auto, false) | (Format::Json, _) => Self::Json,
        }
    }
}

fn layer<S, W>(line: Line, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match line {
        Line::Coloured => layer.with_ansi(true).boxed(),
        Line::Text => layer.with_ansi(false).boxed(),
        Line::Json => layer.with_ansi(false).event_format(JsonLine).boxed(),
    }
}
