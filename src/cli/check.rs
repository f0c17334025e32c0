//! `retaind check`: is the configuration right, and what would it be.
//!
//! Prints the configuration on standard output and everything that is wrong with it on standard error. Safe beside a
//! working bot: no directory is made and no lock taken. The only connection is the one to Secrets Manager, if a secret is
//! named; with `--online` each AWS permission is tried as well ([`online`]).

mod online;

use std::io::{self, Write};

use super::Failure;
use retaind_config::describe::describe;
use retaind_process::settings::{self, Loaded};

/// Its arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Try each AWS permission that the configuration needs; nothing is stored, locked or published
    #[arg(long)]
    online: bool,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let Loaded { result, secret } = settings::load();
    let (config, warnings) = match result {
        Ok(loaded) => loaded,
        Err(mistakes) => {
            if arguments.online {
                // what else there would be to try stands in the configuration that is not known
                online::print(&secret.into_iter().collect::<Vec<_>>(), &mut out)?;
            }
            return Err(settings::failure(mistakes));
        }
    };
    describe(&config, &mut out).and_then(|()| out.flush()).map_err(Failure::temporary)?;
    for warning in warnings {
        writeln!(io::stderr(), "warning: {warning}").map_err(Failure::temporary)?;
    }
    if !arguments.online {
        return Ok(());
    }
    let mut probes: Vec<_> = secret.into_iter().collect();
    probes.extend(online::probe(&config.aws)?);
    online::print(&probes, &mut out)?;
    online::verdict(&probes)
}
