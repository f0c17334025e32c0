//! What is wrong with a filter.

use std::io;

use retaind_core::fault::{Fault, Faulty};

/// A filter that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// Not a time.
    #[error("`{text}` is no time: give a date, `2026-06-01`, a local time, `2026-06-01 09:30`, or RFC 3339")]
    Time {
        /// What was given.
        text: String,
    },
    /// An empty span.
    #[error("`--from {from}` is not before `--to {to}`: there is nothing between them")]
    Span {
        /// As given.
        from: String,
        /// As given.
        to: String,
    },
    /// Not a zone.
    #[error("`{name}` is no time zone: give a name of the IANA database, `America/New_York`")]
    Zone {
        /// What was given.
        name: String,
        /// Why.
        source: jiff::Error,
    },
    /// Not a type.
    #[error("{0}")]
    Type(String),
    /// Not a pattern.
    #[error("`{pattern}` is no regular expression")]
    Pattern {
        /// What was given.
        pattern: String,
        /// Where and why.
        source: Box<regex::Error>,
    },
    /// Matches everything.
    #[error("`--{option}` is empty")]
    Empty {
        /// Which option.
        option: &'static str,
    },
    /// Not a size.
    #[error("`{text}` is no size: give `>1M`, `<100K` or `4096`")]
    Size {
        /// What was given.
        text: String,
    },
    /// Not a hash.
    #[error("`{text}` is no SHA-256: it has 64 hex digits")]
    Hash {
        /// What was given.
        text: String,
    },
    /// Not a type of file.
    #[error("`{text}` is no type of file: give one of {known}")]
    FileType {
        /// What was given.
        text: String,
        /// All of them.
        known: String,
    },
    /// A list that cannot be read.
    #[error("`{path}` cannot be read")]
    File {
        /// It.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A list that is too large.
    #[error("`{path}` has `{bytes}` bytes, at most `{limit}` are read: split it")]
    TooLarge {
        /// It.
        path: String,
        /// Its bytes.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A list of people that is not one.
    #[error("`{path}` is no list of people: its first line names the columns, `user,display,email,from,to,alias_of`")]
    People {
        /// It.
        path: String,
        /// Where and why.
        source: csv::Error,
    },
    /// Not in this archive.
    #[error(
        "no conversation has the id, the beginning of an id or the title `{given}`: `ls --conversations` lists them"
    )]
    NoConversation {
        /// What was given.
        given: String,
    },
    /// Several.
    #[error("`{given}` is the beginning of more than one id: {ids}")]
    Ambiguous {
        /// What was given.
        given: String,
        /// Some of them.
        ids: String,
    },
}

impl Faulty for FilterError {
    fn fault(&self) -> Fault {
        Fault::Configuration
    }
}
