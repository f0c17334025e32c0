//! The command line: arguments → one subcommand → an exit code.
//!
//! One file a subcommand, but for `run`, which is the room [`retaind_process`], and for `client` and `demo`, which are in the
//! optional room `tools`. Each takes its own arguments, sets up what it needs and returns `Ok` or a [`Failure`], which says
//! what the one who started it should do: put the configuration right, try again, or report a bug.

pub mod archive;
pub mod check;
pub mod lost;
pub mod network;
pub mod status;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use retaind_report::logs::{self, last};

pub use retaind_core::fault::{EXIT_CONFIGURATION, EXIT_INTERNAL, EXIT_TEMPORARY};
pub use retaind_process::Failure;

/// The arguments of the program.
#[derive(Debug, Parser)]
#[command(name = "retaind", version, about, long_about = None)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

/// One variant a subcommand.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run the bot (the default): receive, archive, acknowledge, until SIGTERM
    Run,
    /// Check the whole configuration and print it, secrets masked; touches nothing
    Check(check::Arguments),
    /// Ask the running bot how it is: 0 ready, 75 not ready
    Status,
    /// Conversations that the bot could not follow: list them, and read what can be read now
    Lost(lost::Arguments),
    /// Read an archive: list, print, search and count what is in it, verify that it is complete and unchanged
    Archive(archive::ArchiveArguments),
    /// Be a device: register, send, listen, replay
    #[cfg(feature = "tools")]
    Client(Box<retaind_tools::client::Arguments>),
    /// Serve a network on its own, and administer one: invites, bots, suspension, retention
    Network(network::NetworkArguments),
    /// See it work: network, bot and a recorded conversation in a fresh folder, in a few seconds
    #[cfg(feature = "tools")]
    Demo(retaind_tools::demo::Arguments),
}

/// The whole program.
pub fn main() -> ExitCode {
    last::hear_panics();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // help and version come this way as well, on standard output; a closed pipe is nobody's fault
            error.print().ok();
            return if error.use_stderr() { ExitCode::from(EXIT_CONFIGURATION) } else { ExitCode::SUCCESS };
        }
    };
    let command = arguments.command.unwrap_or(Command::Run);
    retaind_process::limits::keep_to_itself();
    let serves = matches!(command, Command::Run | Command::Network(_));
    let ended = dispatch(command);
    if let (Err(failure), true) = (&ended, serves) {
        failure.log();
    }
    // what was logged comes before what is said last
    logs::finish();
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            last::say(format!("error: {failure}\n"));
            ExitCode::from(failure.code())
        }
    }
}

/// The exit code of what went as it should.
fn dispatch(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Archive(arguments) => return archive::run(arguments),
        Command::Run => retaind_process::run(),
        Command::Check(arguments) => check::run(&arguments),
        Command::Status => status::run(),
        Command::Lost(arguments) => lost::run(arguments),
        #[cfg(feature = "tools")]
        Command::Client(arguments) => retaind_tools::client::run(*arguments),
        Command::Network(arguments) => network::run(arguments),
        #[cfg(feature = "tools")]
        Command::Demo(arguments) => retaind_tools::demo::run(&arguments),
    }
    .map(|()| 0)
}
