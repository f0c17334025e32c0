//! The subcommands, and what they have in common: sources, exit codes, how bad lines are reported.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use retaind_core::fault::{Fault, Faulty};

use crate::cat::{self, CatArgs};
use crate::filter::{Filter, FilterArgs, FilterError, Survey, SurveyError};
use crate::ls::{self, LsArgs};
use crate::output::{Format, Guarded, OutputArgs, Terminal};
use crate::progress::{Progress, ProgressMode};
use crate::search::{self, SearchArgs};
use crate::source::{Archive, BadLine, Places, SourceError};
use crate::stats::{self, StatsArgs};

/// Bad lines that are named; all are counted.
const NAMED_MAX: usize = 1_000;

/// Reads an archive.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List message files, conversations, people, attachments or gaps
    Ls(LsArgs),
    /// Print records in order, each message with its edits, reactions and recall if wanted
    Cat(CatArgs),
    /// Find records
    Search(SearchArgs),
    /// Count records by day, person, type and conversation
    Stats(StatsArgs),
}

/// Where the archive is.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Source")]
pub struct SourceArgs {
    /// Directory of an archive, several of them, one message file, or `-` for JSON Lines on standard input
    #[arg(required = true, value_name = "SOURCE")]
    pub source: Vec<PathBuf>,
    /// Directory of temporary files, which have no names and mode 0600
    #[arg(long, value_name = "DIR")]
    pub work: Option<PathBuf>,
    /// Exit 0 although there are lines that are no records; they are reported all the same
    #[arg(long)]
    pub allow_bad_lines: bool,
    /// How progress is shown
    #[arg(long, value_enum, default_value_t)]
    pub progress: ProgressMode,
}

/// Where attachments are that are not beside the message files. `ls` has none: `--attachments` is a list there, and a further
/// SOURCE does the same.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Source")]
pub struct AttachmentsArgs {
    /// A further directory of attachments
    #[arg(long, value_name = "DIR")]
    pub attachments: Vec<PathBuf>,
}

impl SourceArgs {
    /// Lists the archive.
    pub fn open(&self, attachments: &[PathBuf]) -> Result<Archive, SourceError> {
        Archive::open(&self.source, Places { attachments: attachments.to_vec(), work: self.work.clone() })
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0
    Done,
    /// 1: nothing was found, archives differ, or there were bad lines
    Findings,
}

impl Exit {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Findings => 1,
        }
    }
}

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The archive cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The filter is wrong.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// Options that do not go together.
    #[error("{0}")]
    Usage(&'static str),
    /// The output cannot be written.
    #[error("output cannot be written")]
    Output(#[from] io::Error),
}

impl From<SurveyError> for Error {
    fn from(error: SurveyError) -> Self {
        match error {
            SurveyError::Source(error) => Self::Source(error),
            SurveyError::Filter(error) => Self::Filter(error),
        }
    }
}

impl Faulty for Error {
    fn fault(&self) -> Fault {
        match self {
            Self::Source(error) => error.fault(),
            Self::Filter(error) => error.fault(),
            Self::Usage(_) => Fault::Configuration,
            Self::Output(_) => Fault::Temporary,
        }
    }
}

/// Runs a command: results to `out`, everything else to `err`. A reader of `out` that has enough (a closed pipe) ends it without
/// an error.
pub fn run(command: &Command, out: &mut dyn Write, err: &mut dyn Write, terminal: Terminal) -> Result<Exit, Error> {
    let mut out = Guarded::new(io::BufWriter::with_capacity(1 << 16, out), terminal);
    let mut run = Run { out: &mut out, err, terminal, bad: 0 };
    let (exit, source) = match command {
        Command::Ls(args) => (ls::run(args, &mut run), &args.source),
        Command::Cat(args) => (cat::run(args, &mut run), &args.source),
        Command::Search(args) => (search::run(args, &mut run), &args.source),
        Command::Stats(args) => (stats::run(args, &mut run), &args.source),
    };
    let bad = run.bad;
    let exit = exit.and_then(|exit| out.flush().map(|()| exit).map_err(Error::Output));
    match exit {
        Ok(Exit::Done) if bad > 0 && !source.allow_bad_lines => Ok(Exit::Findings),
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        Ok(_) | Err(_) => exit,
    }
}

/// What a running command has.
pub(crate) struct Run<'a> {
    pub out: &'a mut dyn Write,
    pub err: &'a mut dyn Write,
    pub terminal: Terminal,
    bad: u64,
}

impl Run<'_> {
    pub(crate) fn format(&self, args: &OutputArgs) -> Format {
        args.format(self.terminal)
    }

    pub(crate) fn progress(&mut self, args: &SourceArgs, doing: &'static str, archive: &Archive) -> Progress<'_> {
        Progress::new(args.progress, self.terminal, &mut *self.err, doing, archive.bytes())
    }

    /// Names what was passed over while files were listed.
    pub(crate) fn note_passed_over(&mut self, archive: &Archive) -> Result<(), Error> {
        for path in archive.passed_over() {
            let shown = crate::output::escaped(&path.display().to_string());
            writeln!(self.err, "not read: `{shown}` is a link or no file, or its name is not UTF-8")?;
        }
        Ok(())
    }

    /// Names and counts bad lines.
    pub(crate) fn note_bad(&mut self, archive: &Archive, bad: &[BadLine]) -> Result<(), Error> {
        for line in bad {
            self.bad = self.bad.saturating_add(1);
            if self.bad <= NAMED_MAX.try_into().unwrap_or(u64::MAX) {
                let shown = crate::output::escaped(&archive.shown(line.place));
                writeln!(self.err, "{shown}: {}", line.fault)?;
            }
        }
        Ok(())
    }

    /// How many there were, if any.
    pub(crate) fn sum_up_bad(&mut self) -> Result<(), Error> {
        match self.bad {
            0 => Ok(()),
            1 => Ok(writeln!(self.err, "1 line is no record")?),
            bad => Ok(writeln!(self.err, "{bad} lines are no records")?),
        }
    }

    /// Opens the archive and checks the filter.
    pub(crate) fn begin(
        &mut self,
        source: &SourceArgs,
        attachments: &[PathBuf],
        filter: &FilterArgs,
    ) -> Result<(Archive, Filter), Error> {
        // a mistake in the options is said before a long reading
        let filter = Filter::new(filter)?;
        let archive = source.open(attachments)?;
        self.note_passed_over(&archive)?;
        Ok((archive, filter))
    }
}

/// A survey of it: with the states of messages if they are to be shown.
pub(crate) fn survey<'a>(archive: &'a Archive, filter: &'a Filter, with_states: bool) -> Result<Survey<'a>, Error> {
    Ok(if with_states { Survey::with_states(archive, filter)? } else { Survey::of(archive, filter)? })
}
