//! What can be wrong with message files. Nearly all of it halts the bot: the remedy is in the text.

use std::path::PathBuf;

use thiserror::Error;

use crate::disk::DiskError;
use retaind_core::fault::{Fault, Faulty};

/// Why message files could not be written, sealed or recovered. None of these holds content.
#[derive(Debug, Error)]
pub enum SegmentError {
    /// A call of the disk failed. If it was a write, the writer is poisoned from then on.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// An earlier call failed, so that the files' tails are unknown.
    #[error("an earlier write to the message files failed; nothing more is written until a restart has recovered them")]
    Poisoned,
    /// The caller called the steps of a commit in the wrong order; nothing was done.
    #[error("message files: `{0}`")]
    OutOfTurn(&'static str),
    /// A record that is not one line; nothing was written.
    #[error("a record is not one line that ends with a line feed; nothing was written")]
    NotALine,
    /// A time outside the years 1970 to 9999; nothing was written.
    #[error("received time of a record, `{micros}` microseconds, is outside the years 1970 to 9999; set the clock")]
    Time {
        /// The time, microseconds since 1970 UTC.
        micros: i64,
    },
    /// A base name that would leave the directory, hide the files, or be too long for a file system.
    #[error(
        "base name `{0}` of message files is empty, longer than 200 bytes, begins with a dot, or holds a slash or a \
         control character; correct `WICKRIO_COMP_BASENAME`"
    )]
    Basename(String),
    /// A size limit of 0 bytes.
    #[error("message files of at most 0 bytes hold nothing; raise `WICKRIO_COMP_FILESIZE`")]
    SizeMax,
    /// A file with committed records does not exist.
    #[error(
        "message file `{}` is missing, but {committed} bytes of it were committed: it was moved or deleted while the \
         bot was stopped; put it back", path.display()
    )]
    Missing {
        /// The path at which it was expected.
        path: PathBuf,
        /// Committed length in bytes.
        committed: u64,
    },
    /// A file is shorter than what was committed of it.
    #[error(
        "message file `{}` has {found} bytes, but {committed} were committed: it was cut, or the disk lost what it \
         had confirmed; restore it from a copy", path.display()
    )]
    Short {
        /// Path of the file.
        path: PathBuf,
        /// Its length in bytes.
        found: u64,
        /// Committed length in bytes.
        committed: u64,
    },
    /// A finished file is longer than what was committed of it.
    #[error(
        "message file `{}` has {found} bytes, but {committed} were committed when it was finished: something else \
         wrote to it, or the state directory is an older copy; restore the matching pair", path.display()
    )]
    Long {
        /// Path of the file.
        path: PathBuf,
        /// Its length in bytes.
        found: u64,
        /// Committed length in bytes.
        committed: u64,
    },
    /// A foreign file has a name that the bot needs; it is never overwritten.
    #[error("`{}` stands where the bot needs that name, and is not its own; move it away", path.display())]
    NameTaken {
        /// Path of the file.
        path: PathBuf,
    },
    /// There are sealed files with numbers that the state has not given out yet.
    #[error(
        "message file `{file}` is newer than the bot's state, which has only come to number {number}: the state \
         directory is an older copy, or two bots share the messages directory; restore the newest state, or start \
         with an empty state directory"
    )]
    StateOlder {
        /// Name of such a file.
        file: String,
        /// Number of the state's open segment.
        number: u64,
    },
    /// The rows contradict each other.
    #[error("the state's rows of message files contradict each other: {0}; restore the state directory from a copy")]
    Rows(&'static str),
    /// All numbers are used up, or a file was given the last one by hand.
    #[error("no number is left for a next message file of base name `{0}`; choose another `WICKRIO_COMP_BASENAME`")]
    NumbersUsedUp(String),
}

impl Faulty for SegmentError {
    /// [`Fault::Temporary`] = the disk is full: recover again (in the same process) when there is space.
    /// [`Fault::Item`] = only this record; it was not written, and the writer goes on. All else halts.
    fn fault(&self) -> Fault {
        match self {
            Self::Disk(e) if e.is_full() => Fault::Temporary,
            Self::NotALine | Self::Time { .. } => Fault::Item,
            Self::Disk(_)
            | Self::Poisoned
            | Self::OutOfTurn(_)
            | Self::Basename(_)
            | Self::SizeMax
            | Self::Missing { .. }
            | Self::Short { .. }
            | Self::Long { .. }
            | Self::NameTaken { .. }
            | Self::StateOlder { .. }
            | Self::Rows(_)
            | Self::NumbersUsedUp(_) => Fault::Stop,
        }
    }
}
