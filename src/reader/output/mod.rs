//! How results are written: tables for people, JSON and CSV for programs.
//!
//! Whatever the format, a terminal never gets a control character, an escape sequence or a change of writing direction out of an
//! archive: see [`Guarded`]. A cell of a CSV that a spreadsheet would take for a formula gets an apostrophe in front.

mod guard;
mod sheet;

#[cfg(test)]
mod tests;

use clap::Args;

pub use self::guard::Guarded;
pub(crate) use self::guard::escaped;
pub(crate) use self::sheet::Sheet;

/// What the standard streams are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// Is standard output one?
    pub output: bool,
    /// Is standard error one? Progress is shown there.
    pub errors: bool,
    /// Columns of it.
    pub columns: usize,
}

/// A stream that is no terminal, as a file or a pipe.
pub const NO_TERMINAL: Terminal = Terminal { output: false, errors: false, columns: 120 };

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// One JSON array
    Json,
    /// One JSON object a line
    Jsonl,
    /// RFC 4180
    Csv,
}

/// Options of the output.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Form of the output; a table on a terminal and JSON Lines elsewhere, unless given
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// The same as `--format json`
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
}

impl OutputArgs {
    /// The format that is meant.
    pub fn format(&self, terminal: Terminal) -> Format {
        match self.format {
            Some(format) => format,
            None if self.json => Format::Json,
            None if terminal.output => Format::Table,
            None => Format::Jsonl,
        }
    }
}
