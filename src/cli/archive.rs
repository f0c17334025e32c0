//! `retaind archive`: what an officer, an auditor or an operator asks of an archive. It needs no bot, no state and no password.
//!
//! The rooms `reader`, `export` and `verify` do the work; here they meet the terminal. Results go to standard output, everything else to
//! standard error. Exit codes of their own: 1 when nothing was found or something was changed, 2 when an archive has weaknesses
//! that it records itself.

use std::error::Error;
use std::io::{self, IsTerminal as _};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use retaind_core::clock::SystemClock;
use retaind_export::{ExportArgs, export};
use retaind_reader::Terminal;
use retaind_verify::{ProveArgs, VerifyArgs, run_prove, run_verify};

use super::{EXIT_CONFIGURATION, EXIT_TEMPORARY, Failure};

/// Columns of a terminal that does not say how wide it is.
const COLUMNS: usize = 120;

/// Its arguments.
#[derive(Debug, Args)]
pub struct ArchiveArguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Read(Box<retaind_reader::Command>),
    /// Is anything missing or changed? Offline, with a public key and a head that did not come from the archive
    Verify(VerifyArgs),
    /// Write what was chosen for review platforms and readers: JSON Lines, CSV, HTML, EML, RSMF, Actiance XML
    Export(Box<ExportArgs>),
    /// Make a proof of single records or files, to be handed over without the rest of the archive
    Prove(ProveArgs),
}

/// Runs it, and returns the exit code.
pub fn run(arguments: ArchiveArguments) -> Result<u8, Failure> {
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    match arguments.command {
        Command::Read(command) => {
            let exit = retaind_reader::run(&command, &mut out, &mut err, terminal()).map_err(Failure::of)?;
            Ok(exit.code())
        }
        Command::Export(args) => {
            let exit = export(&args, now()?, &mut err).map_err(Failure::of)?;
            Ok(exit.code())
        }
        Command::Verify(args) => {
            run_verify(&args, now()?, &mut out, &mut err).map_err(|error| failure(error.exit_code(), error))
        }
        Command::Prove(args) => run_prove(&args, &mut err).map_err(|error| failure(error.exit_code(), error)),
    }
}

fn now() -> Result<Timestamp, Failure> {
    Timestamp::try_from(SystemClock.now()).map_err(Failure::internal)
}

fn terminal() -> Terminal {
    let columns = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    Terminal {
        output: io::stdout().is_terminal(),
        errors: io::stderr().is_terminal(),
        columns: if columns == 0 { COLUMNS } else { columns },
    }
}

fn failure(code: u8, error: impl Error + Send + Sync + 'static) -> Failure {
    match code {
        EXIT_CONFIGURATION => Failure::configuration(error),
        EXIT_TEMPORARY => Failure::temporary(error),
        _ => Failure::internal(error),
    }
}
