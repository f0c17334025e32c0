//! The log: for operators, of what the bot does and never of what people say.
//!
//! Invariant: no message content, name of a file, password or key is ever a field or part of an event; what is logged
//! are counts, ids and errors, and errors hold no content by the same rule.
//!
//! One line an event. Standard output (or error) always has it: as text on a terminal, coloured, and as one JSON object a
//! line ([`json`]) elsewhere, unless a [`Format`] says otherwise. The bot also keeps [`files`], so that the last days can
//! be read where nobody collects the output.
//!
//! Invariant: logging never waits for a stream. A [`queue`] stands in front of each, with a thread of its own, so that a
//! pipe that nobody reads and a disk that hangs stop neither a stage nor the other stream. What a full queue costs is
//! counted ([`dropped`], in `/metrics` and `/readyz`) and is a warning of the log itself, at most one in [`WARN_EVERY`] and one
//! at the end.
//!
//! Every way out of the process calls [`finish`] (the end of `main`, an end that a signal or the grace time forces, a
//! panic), so that the last lines are written: the reason for which it ends is one of them.

pub mod files;
mod json;
pub mod last;
mod queue;

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Registry};

use self::files::LogFiles;
use self::json::JsonLine;
use self::last::LAST_TIME;
use self::queue::{Lost, Outlet, Queue};

/// Least time between two warnings that lines were dropped.
pub(crate) const WARN_EVERY: Duration = Duration::from_secs(10);

/// The log of this process, as tracing's default is the process's.
static LOG: OnceLock<Log> = OnceLock::new();

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
    /// The configuration checks filters, so this one came by another way.
    #[error("`{filter}` is not a log filter")]
    Filter {
        /// As given.
        filter: String,
    },
    /// Only one log a process.
    #[error("the log was set up already")]
    Twice,
}

/// Parts of the program itself; every other part is a crate of its own.
const OF_PROGRAM: [&str; 4] = ["cli", "config", "lifecycle", "replay"];

/// A filter that names parts as operators know them, `retaind::bot`, with the names of their crates, `retaind_bot`.
fn of_rooms(filter: &str) -> String {
    let room = |directive: &str| match directive.trim().strip_prefix("retaind::") {
        Some(part) if !OF_PROGRAM.iter().any(|own| part.starts_with(own)) => format!("retaind_{part}"),
        Some(_) | None => directive.to_owned(),
    };
    filter.split(',').map(room).collect::<Vec<_>>().join(",")
}

/// Starts the log of this process; `filter` as in `RUST_LOG`.
pub fn start(stream: Stream, filter: &str, format: Format, files: Option<LogFiles>) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(of_rooms(filter)).map_err(|_| LogError::Filter { filter: filter.to_owned() })?;
    let mut is_first = false;
    let log = LOG.get_or_init(|| {
        is_first = true;
        let stream = match stream {
            Stream::Output => Queue::start("log output", Standard::new(io::stdout()), warn_of_dropped),
            Stream::Error => Queue::start("log output", Standard::new(io::stderr()), warn_of_dropped),
        };
        let files = files.map(|files| Queue::start("log files", files, warn_of_dropped));
        Log { stream, files, warned: Mutex::default() }
    });
    if !is_first {
        return Err(LogError::Twice);
    }
    let terminal = match stream {
        Stream::Output => io::stdout().is_terminal(),
        Stream::Error => io::stderr().is_terminal(),
    };
    let mut layers = vec![layer(Layout::of(format, terminal), log.stream.clone())];
    layers.extend(log.files.clone().map(|files| layer(Layout::of(format, false), files)));
    let log = Registry::default().with(filter).with(layers);
    tracing::subscriber::set_global_default(log).map_err(|_| LogError::Twice)
}

/// Opens the log file that now has the name, before the lines that follow; nothing without log files.
pub fn reopen() {
    if let Some(files) = LOG.get().and_then(|log| log.files.as_ref()) {
        files.renew();
    }
}

/// Waits until what was logged so far is written, for at most a second: before a question at the terminal.
pub fn flush() {
    let Some(log) = LOG.get() else { return };
    let until = Instant::now().checked_add(LAST_TIME).unwrap_or_else(Instant::now);
    log.stream.flush(until);
    if let Some(files) = &log.files {
        files.flush(until);
    }
}

/// The end of the process, or a panic: warns of what was dropped since the last warning, and waits as [`flush`] does. The
/// log keeps working, for a process that does not end after all.
pub fn finish() {
    let Some(log) = LOG.get() else { return };
    log.warned.lock().unwrap_or_else(PoisonError::into_inner).at = None;
    warn_of_dropped();
    flush();
}

/// Lines that were logged and are missing in a stream, since the start.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// Missing in standard output (or error).
    pub output: u64,
    /// Missing in the log files; 0 without them.
    pub files: u64,
}

impl Dropped {
    /// Over all streams.
    pub fn total(self) -> u64 {
        self.output.saturating_add(self.files)
    }
}

/// What the log of this process has dropped.
pub fn dropped() -> Dropped {
    let of = |queue: Option<&Queue>| queue.map_or(0, Queue::dropped);
    let log = LOG.get();
    Dropped { output: of(log.map(|log| &log.stream)), files: of(log.and_then(|log| log.files.as_ref())) }
}

struct Log {
    stream: Queue,
    files: Option<Queue>,
    warned: Mutex<Warned>,
}

/// Called by the thread of each queue after each line: while one hangs, the other one warns.
fn warn_of_dropped() {
    let Some(log) = LOG.get() else { return };
    let (output, files) = (log.stream.overflowed(), log.files.as_ref().map_or(0, Queue::overflowed));
    let due =
        log.warned.lock().unwrap_or_else(PoisonError::into_inner).due(output.saturating_add(files), Instant::now());
    if let Some(lines) = due {
        tracing::warn!(
            lines,
            output,
            files,
            "log lines were dropped: standard output is not read, or the disk of the log files is slow; log less (`RUST_LOG`) if this lasts"
        );
    }
}

/// How many dropped lines the log has warned of, and when.
#[derive(Debug, Default)]
struct Warned {
    lines: u64,
    at: Option<Instant>,
}

impl Warned {
    /// How many lines a warning is due for now, if any.
    fn due(&mut self, dropped: u64, now: Instant) -> Option<u64> {
        let lines = dropped.saturating_sub(self.lines);
        let is_early = self.at.is_some_and(|at| now.saturating_duration_since(at) < WARN_EVERY);
        if lines == 0 || is_early {
            return None;
        }
        *self = Self { lines: dropped, at: Some(now) };
        Some(lines)
    }
}

/// Standard output or error.
struct Standard<S> {
    stream: S,
    is_broken: bool,
}

impl<S> Standard<S> {
    fn new(stream: S) -> Self {
        Self { stream, is_broken: false }
    }
}

impl<S: Write + Send + 'static> Outlet for Standard<S> {
    fn put(&mut self, line: &[u8]) -> Result<(), Lost> {
        let was_broken = std::mem::replace(&mut self.is_broken, false);
        self.stream.write_all(line).map_err(|error| {
            self.is_broken = true;
            if was_broken {
                Lost::Again
            } else {
                Lost::First(format!("the log cannot be written to its stream: {error}"))
            }
        })
    }

    fn renew(&mut self) {}
}

/// How one stream is written.
enum Layout {
    Coloured,
    Text,
    Json,
}

impl Layout {
    fn of(format: Format, terminal: bool) -> Self {
        match (format, terminal) {
            (Format::Auto | Format::Text, true) => Self::Coloured,
            (Format::Text, false) => Self::Text,
            (Format::Auto, false) | (Format::Json, _) => Self::Json,
        }
    }
}

fn layer<S, W>(line: Layout, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match line {
        Layout::Coloured => layer.with_ansi(true).boxed(),
        Layout::Text => layer.with_ansi(false).boxed(),
        Layout::Json => layer.with_ansi(false).event_format(JsonLine).boxed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_lines_are_reported_at_most_once_in_ten_seconds_and_none_is_forgotten() {
        let mut warned = Warned::default();
        let start = Instant::now();
        assert_eq!(warned.due(0, start), None);
        assert_eq!(warned.due(3, start), Some(3));
        assert_eq!(warned.due(3, start + WARN_EVERY), None);
        assert_eq!(warned.due(5, start + WARN_EVERY), Some(2));
        assert_eq!(warned.due(6, start + WARN_EVERY), None);
        assert_eq!(warned.due(9, start + WARN_EVERY * 2), Some(4));
    }

    #[test]
    fn parts_that_are_named_as_operators_know_them_are_found_under_their_crates() {
        for (filter, expected) in [
            ("info", "info"),
            ("info,retaind::bot=debug", "info,retaind_bot=debug"),
            ("warn, retaind::bot::ship=trace", "warn,retaind_bot::ship=trace"),
            ("retaind=debug,hyper=off", "retaind=debug,hyper=off"),
            ("retaind::cli=debug,retaind_bot=info", "retaind::cli=debug,retaind_bot=info"),
        ] {
            assert_eq!(of_rooms(filter), expected);
        }
    }

    #[test]
    fn a_stream_that_is_gone_is_reported_once_until_it_is_back() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut gone = Standard::new(writer);
        assert!(matches!(gone.put(b"one\n"), Err(Lost::First(_))));
        assert!(matches!(gone.put(b"two\n"), Err(Lost::Again)));
        let (_reader, writer) = io::pipe().unwrap();
        gone.stream = writer;
        gone.put(b"three\n").unwrap();
        assert!(!gone.is_broken);
    }
}
