//! The resulting configuration for a person to read, secrets masked: what `retaind check` prints.

use std::io::{self, Write};

use crate::env::{Origin, VARIABLES};
use crate::{Config, account, aws, evidence, files, network, process, report};

/// What stands for a secret. It tells that there is one and nothing of it, not even its length.
pub(crate) const MASK: &str = "********";
/// What stands for a setting that is off or does not matter with these others.
const UNSET: &str = "–";
/// Width of the names' column.
const NAME_CHARS: usize = 30;

/// Writes one line a variable: its name, the value that holds, and where it came from.
pub fn describe(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    for variable in VARIABLES.iter().copied() {
        let value = value(config, variable.name);
        match (value, config.origins.of(variable)) {
            (None, _) => writeln!(out, "{:<NAME_CHARS$} {UNSET}", variable.name)?,
            (Some(value), Origin::Default { .. }) => {
                writeln!(out, "{:<NAME_CHARS$} {value}  (default)", variable.name)?
            }
            (Some(value), Origin::Environment { name }) if name == variable.name => {
                writeln!(out, "{:<NAME_CHARS$} {value}", variable.name)?;
            }
            (Some(value), origin) => writeln!(out, "{:<NAME_CHARS$} {value}  (from {origin})", variable.name)?,
        }
    }
    Ok(())
}

/// The value that holds, taken from the typed configuration and not from the text that was given, so that what is shown
/// is what was understood.
fn value(config: &Config, name: &str) -> Option<String> {
    if name == network::STATE.name {
        return Some(config.state.display().to_string());
    }
    account::value(&config.account, name)
        .or_else(|| files::value(&config.files, name))
        .or_else(|| evidence::value(config.evidence.as_ref(), name))
        .or_else(|| aws::value(&config.aws, name))
        .or_else(|| network::value(&config.network, name))
        .or_else(|| process::value(&config.process, name))
        .or_else(|| report::value(&config.report, name))
}
