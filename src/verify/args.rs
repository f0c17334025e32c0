//! The command `verify`.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use retaind_evidence::checkpoint::{NoteError, SignedNote};
use retaind_evidence::key::{KeyError, Vkey};

use crate::expected::Range;
use crate::files::Depth;
use crate::heads::GivenHead;
use crate::judge::{Options, verify};
use crate::report::Report;
use crate::source::Directories;
use crate::text::Text;
use crate::{bundle, html};

/// Where the file is away or unreadable.
const EXIT_AWAY: u8 = 75;
/// Something of the system's failed.
const EXIT_INTERNAL: u8 = 70;
/// The command line is wrong.
const EXIT_CONFIG: u8 = 78;

/// An assurance whose absence is a weakness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Requirement {
    /// A key from elsewhere.
    Key,
    /// A head from elsewhere.
    Head,
    /// A recent entry.
    Fresh,
    /// The content of every file was verified.
    Plaintext,
    /// The network was asked.
    Network,
}

impl Requirement {
    /// As on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Head => "head",
            Self::Fresh => "fresh",
            Self::Plaintext => "plaintext",
            Self::Network => "network",
        }
    }
}

/// Verify an archive, or a proof made by `prove`, offline
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// The archive's directory: flat, or with `messages`, `attachments` and `_evidence`. Several are one archive. Or a proof
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<PathBuf>,
    /// Directory of the entries, if it is not `_evidence` in a SOURCE
    #[arg(long, value_name = "DIR")]
    pub evidence: Vec<PathBuf>,
    /// A public key that did not come from the archive, or a file with one
    #[arg(long, value_name = "VKEY|FILE")]
    pub key: Vec<String>,
    /// A checkpoint that did not come from the archive, or a file with one
    #[arg(long, value_name = "FILE|TEXT")]
    pub head: Vec<String>,
    /// Report from this time on (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// Report before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub to: Option<Timestamp>,
    /// Compare every line with the entries, too
    #[arg(long)]
    pub deep: bool,
    /// Age from which the newest entry is a finding, such as `2h`
    #[arg(long, value_name = "DURATION")]
    pub max_age: Option<SignedDuration>,
    /// Assurances whose absence is a finding
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub require: Vec<Requirement>,
    /// Write the report to this file: a page if it ends with `.html`, JSON otherwise
    #[arg(long, value_name = "FILE")]
    pub report: Vec<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Why nothing was verified.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Of `--key`.
    #[error("`--key {argument}` is neither a public key nor a file with one")]
    Key {
        /// As given, cut.
        argument: String,
        /// What is wrong with it.
        source: KeyError,
    },
    /// Of `--head`.
    #[error("`--head {argument}` is neither a checkpoint nor a file with one")]
    Head {
        /// As given, cut.
        argument: String,
        /// What is wrong with it.
        source: NoteError,
    },
    /// An address that is no directory.
    #[error("`{0}` is not a directory: copy the archive to one")]
    NotADirectory(String),
    /// The archive cannot be read.
    #[error("the archive `{at}` cannot be read")]
    Source {
        /// Where.
        at: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A proof that cannot be read.
    #[error("the proof `{at}` cannot be read: {why}")]
    Bundle {
        /// Where.
        at: String,
        /// What is wrong with it.
        why: String,
    },
    /// The report cannot be written.
    #[error("the report cannot be written to `{to}`")]
    Output {
        /// Where.
        to: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A report that JSON has no form for.
    #[error("the report has no JSON form")]
    Json(#[source] serde_json::Error),
}

impl Error {
    /// The program's exit code.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Key { .. } | Self::Head { .. } | Self::NotADirectory(_) => EXIT_CONFIG,
            Self::Source { .. } | Self::Bundle { .. } => EXIT_AWAY,
            Self::Output { .. } | Self::Json(_) => EXIT_INTERNAL,
        }
    }
}

/// The argument itself, or the content of the file that it names.
fn text_of(argument: &str) -> String {
    fs::read_to_string(argument).unwrap_or_else(|_| argument.to_owned())
}

pub(crate) fn options(args: &VerifyArgs) -> Result<Options, Error> {
    let key = |argument: &String| {
        Vkey::parse(text_of(argument).trim())
            .map_err(|source| Error::Key { argument: argument.chars().take(80).collect(), source })
    };
    let head = |argument: &String| {
        let note = SignedNote::parse(&text_of(argument));
        let object: String = argument.lines().next().unwrap_or_default().chars().take(80).collect();
        note.map(|note| GivenHead { object: format!("--head {object}"), note })
            .map_err(|source| Error::Head { argument: argument.chars().take(80).collect(), source })
    };
    Ok(Options {
        keys: args.key.iter().map(key).collect::<Result<_, _>>()?,
        heads: args.head.iter().map(head).collect::<Result<_, _>>()?,
        range: Range { from: args.from, to: args.to },
        depth: if args.deep { Depth::Lines } else { Depth::Bytes },
        max_age: args.max_age,
        require: args.require.clone(),
    })
}

/// Runs the command. The report goes to `out`, what concerns the run itself to `err`. `now`: what ages are compared with. The
/// exit code: 0 verified, 1 something was changed or is gone, 2 only recorded weaknesses or absent assurances.
///
/// # Errors
/// Nothing was verified: [`Error::exit_code`] says which code the program ends with.
pub fn run_verify(args: &VerifyArgs, now: Timestamp, out: &mut dyn Write, err: &mut dyn Write) -> Result<u8, Error> {
    let started = Instant::now();
    let options = options(args)?;
    let by = concat!("retaind ", env!("CARGO_PKG_VERSION"));
    let mut report = match args.sources.as_slice() {
        [one] if bundle::is_bundle(one) => bundle::verify(one, &options, now, by)?,
        sources => {
            if let Some(path) = sources.iter().chain(&args.evidence).find(|path| !path.is_dir()) {
                return Err(Error::NotADirectory(path.display().to_string()));
            }
            let source = Directories::new(sources, &args.evidence);
            let at = || sources.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
            verify(&source, &options, now, by).map_err(|source| Error::Source { at: at(), source })?
        }
    };
    report.seconds = started.elapsed().as_secs();
    for path in &args.report {
        let is_page = path.extension().is_some_and(|extension| extension == "html");
        let bytes = if is_page { html::of(&report) } else { json(&report)? };
        let to = path.display().to_string();
        fs::write(path, bytes).map_err(|source| Error::Output { to: to.clone(), source })?;
        writeln!(err, "report written to `{to}`")
            .map_err(|source| Error::Output { to: "standard error".to_owned(), source })?;
    }
    let printed = if args.json { json(&report)? } else { Text(&report).to_string() };
    let printed = out.write_all(printed.as_bytes()).and_then(|()| out.flush());
    printed.map_err(|source| Error::Output { to: "standard output".to_owned(), source })?;
    Ok(report.verdict.exit_code())
}

fn json(report: &Report) -> Result<String, Error> {
    serde_json::to_string(report).map(|text| text + "\n").map_err(Error::Json)
}
