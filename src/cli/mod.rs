//! The command line: arguments → one subcommand → an exit code.
//!
//! One file a subcommand; each takes its own arguments, sets up what it needs and returns `Ok` or a [`Failure`], which
//! says what the one who started it should do: put the configuration right, try again, or report a bug. Only these
//! rooms print.

pub mod check;
pub mod client;
pub mod demo;
mod embedded;
mod health;
mod limits;
mod log;
pub mod network;
mod password;
mod prompt;
mod report;
pub mod run;
mod settings;
mod starts;
pub mod status;
mod upload;

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use retaind_core::fault::{Chain, Fault, Faulty, chain};
pub use retaind_core::fault::{EXIT_CONFIGURATION, EXIT_INTERNAL, EXIT_TEMPORARY};

use retaind_report::logs::{self, last};

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
    /// Be a device: register, send, listen, replay
    Client(Box<client::Arguments>),
    /// Serve a network on its own, and administer one: invites, bots, suspension, retention
    Network(network::NetworkArguments),
    /// See it work: network, bot and a recorded conversation in a fresh folder, in a few seconds
    Demo(demo::Arguments),
}

/// Why a subcommand failed, and what to do about it.
#[derive(Debug)]
pub struct Failure {
    fault: Fault,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// Something must be put right first: 78.
    pub fn configuration(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { fault: Fault::Configuration, error: error.into() }
    }

    /// It may work later: 75.
    pub fn temporary(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { fault: Fault::Temporary, error: error.into() }
    }

    /// A defect: 70.
    pub fn internal(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { fault: Fault::Internal, error: error.into() }
    }

    /// By what the error itself says is to be done.
    pub fn of(error: impl Faulty + Send + Sync + 'static) -> Self {
        Self { fault: error.fault(), error: error.into() }
    }

    /// What to do about it.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// The same to do, with an error that says more.
    #[must_use]
    pub(crate) fn because<E: Error + Send + Sync + 'static>(
        self,
        of: impl FnOnce(Box<dyn Error + Send + Sync>) -> E,
    ) -> Self {
        Self { fault: self.fault, error: of(self.error).into() }
    }

    /// Writes the reason for the end into the log, in the log's own format; nothing where no log was started.
    fn log(&self) {
        tracing::error!(code = self.code(), reason = %chain(&*self.error), "the program ends");
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.fault.exit_code()
    }
}

impl fmt::Display for Failure {
    /// The error and what caused it, each once.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Chain::in_lines(&*self.error).fmt(f)
    }
}

/// The whole program.
pub fn main() -> ExitCode {
    last::hear_panics();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // help and version come this way as well, on standard output; a closed pipe is nobody's fault
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EXIT_CONFIGURATION) } else { ExitCode::SUCCESS };
        }
    };
    let command = arguments.command.unwrap_or(Command::Run);
    let serves = matches!(command, Command::Run | Command::Network(_));
    let ended = dispatch(command);
    if let (Err(failure), true) = (&ended, serves) {
        failure.log();
    }
    // what was logged comes before what is said last
    logs::finish();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            last::say(format!("error: {failure}\n"));
            ExitCode::from(failure.code())
        }
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run => run::run(),
        Command::Check(arguments) => check::run(&arguments),
        Command::Status => status::run(),
        Command::Client(arguments) => client::run(*arguments),
        Command::Network(arguments) => network::run(arguments),
        Command::Demo(arguments) => demo::run(&arguments),
    }
}
