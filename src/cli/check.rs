//! `retaind check`: is the configuration right, and what would it be.
//!
//! Prints the configuration on standard output and everything that is wrong with it on standard error. Safe beside a
//! working bot: no directory is made, no lock taken, no connection opened.

use std::io::{self, Write};

use super::Failure;
use crate::config::{self, describe::describe, env};

/// Runs it.
pub fn run() -> Result<(), Failure> {
    let (config, warnings) = config::load(env::process()).map_err(Failure::configuration)?;
    let mut out = io::stdout().lock();
    describe(&config, &mut out).and_then(|()| out.flush()).map_err(Failure::temporary)?;
    for warning in warnings {
        writeln!(io::stderr(), "warning: {warning}").map_err(Failure::temporary)?;
    }
    config.refuse_what_is_not_built().map_err(Failure::configuration)
}
