//! The subcommands as users run them.

mod commands;
mod oracle;

use clap::Parser;

use crate::output::NO_TERMINAL;
use crate::samples::Sample;
use crate::{Command, Terminal};

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Exit code, standard output, standard error.
type Ran = (u8, String, String);

fn run_on(terminal: Terminal, arguments: &[&str]) -> Ran {
    let cli = match Cli::try_parse_from(std::iter::once(&"archive").chain(arguments)) {
        Ok(cli) => cli,
        Err(error) => return (2, String::new(), error.to_string()),
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = match crate::run(&cli.command, &mut out, &mut err, terminal) {
        Ok(exit) => exit.code(),
        Err(error) => {
            err.extend(retaind_core::fault::chain(&error).to_string().bytes());
            retaind_core::fault::Faulty::fault(&error).exit_code()
        }
    };
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn run(sample: &Sample, command: &str, options: &[&str]) -> Ran {
    let path = sample.path().to_str().unwrap();
    run_on(NO_TERMINAL, &[&[command, path], options].concat())
}
