//! From variables to a configuration that is right as a whole, or to everything that is wrong with it.
//!
//! [`mod@env`] reads. Each part has its variables, its types, and what a text of it means: [`account`], [`files`], [`evidence`], [`mod@aws`],
//! [`network`], [`process`], [`report`]; [`load`] puts them together. What comes out is typed: no stage asks again
//! whether a number is in range or a name fits into a path. Mistakes are collected, never reported one at a time, and
//! each says under which name and in which file the value was given ([`mistake`]).
//!
//! Precedence: environment over Secrets Manager ([`layer`]) over the table's defaults. The secret is read as soon as its own
//! name and region are right, whatever else is wrong, so that one start tells the mistakes of both. Who reads it comes
//! in as a parameter: this room does not know AWS.
//!
//! Nothing here touches a directory, nor, but through that parameter, the network; `retaind check` may run beside a working bot. Directories are
//! prepared by the bot, before it begins.
#![forbid(unsafe_code)]

pub mod account;
pub mod aws;
pub mod describe;
pub mod env;
pub mod evidence;
pub mod files;
pub mod invisible;
pub mod layer;
pub mod mistake;
pub mod network;
mod parse;
pub mod process;
mod reader;
pub mod report;
pub mod secret;
#[cfg(test)]
mod tests;
mod variable;
mod warning;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use account::Account;
use aws::Aws;
use env::Variable;
use evidence::Evidence;
use files::Files;
use layer::{Read, Request};
use mistake::{Invalid, Mistakes, Warning};
use network::Network;
use process::Process;
use reader::{Origins, Reader, SecretState};
use report::Report;

/// A configuration without mistakes.
#[derive(Debug)]
pub struct Config {
    /// Who the bot is.
    pub account: Account,
    /// What is archived, and how it is cut into files.
    pub files: Files,
    /// How it is proved; `None`: it is not.
    pub evidence: Option<Evidence>,
    /// The bot's own state.
    pub state: PathBuf,
    /// Which network it serves.
    pub network: Network,
    /// How it is watched, and how it ends.
    pub process: Process,
    /// What the bot does with AWS.
    pub aws: Aws,
    /// Log and health endpoint.
    pub report: Report,
    origins: Origins,
}

/// Reads the configuration from variables (of [`env::process`], or a test's own), or tells all that is wrong with it.
/// `read_secret` is asked at most once, and only if the variables name a secret.
pub fn load(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
    read_secret: impl FnOnce(Request<'_>) -> Read,
) -> Result<(Config, Vec<Warning>), Mistakes> {
    let mut mistakes = Vec::new();
    let settings = env::read(vars, &mut mistakes);
    understand(Reader::new(settings, mistakes), read_secret)
}

/// Where the bot of this environment can be asked how it is; `None`: nowhere.
pub fn load_health(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Option<SocketAddr>, Mistakes> {
    load_one(vars, &report::HEALTH, report::unless_off(report::health))
}

/// One variable: the others are not the business of the program that asks.
fn load_one<T>(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
    variable: &'static Variable,
    parse: impl FnOnce(&str) -> Result<T, Invalid>,
) -> Result<T, Mistakes> {
    let ours = vars.into_iter().filter(|(name, _)| {
        let rest = name.to_str().and_then(|name| name.strip_prefix(variable.name));
        rest.is_some_and(|rest| rest.is_empty() || rest == "_FILE")
    });
    let mut mistakes = Vec::new();
    let settings = env::read(ours, &mut mistakes);
    let mut reader = Reader::new(settings, mistakes);
    match reader.read(variable, parse) {
        Some(value) if reader.mistakes.is_empty() => Ok(value),
        _ => Err(reader.mistakes.into()),
    }
}

/// Gives every text its meaning, part by part, and checks what must fit together.
fn understand(
    mut r: Reader,
    read_secret: impl FnOnce(Request<'_>) -> Read,
) -> Result<(Config, Vec<Warning>), Mistakes> {
    let access = aws::access(&mut r);
    let mut notices = Vec::new();
    if let Some((place, ca_bundle)) = access.secret(&r) {
        let at = r.origins.of(&aws::AWS_SECRET_NAME);
        let read = read_secret(Request { place, ca_bundle });
        if let Some(secret) = layer::settings(place, &at, read, &mut r.mistakes, &mut notices) {
            notices.extend(layer::hidden(&r.settings, &secret));
            r.settings = std::mem::take(&mut r.settings).over(secret);
            r.secret = SecretState::Read;
        }
    }

    let account = account::read(&mut r);
    let bot = account.bot.as_ref();
    let files = files::read(&mut r, bot);
    let evidence = evidence::read(&mut r);
    let state = network::state(&mut r, bot);
    let network = network::read(&mut r, bot);
    let process = process::read(&mut r);
    let aws = aws::read(&mut r, access);
    let report = report::read(&mut r, bot);
    match (account.account(), files, evidence, state, network, process, aws, report) {
        (
            Some(account),
            Some(files),
            Some(evidence),
            Some(state),
            Some(network),
            Some(process),
            Some(aws),
            Some(report),
        ) if r.mistakes.is_empty() => {
            let config = Config { account, files, evidence, state, network, process, aws, report, origins: r.origins };
            notices.append(&mut r.warnings);
            notices.extend(warnings(&config));
            Ok((config, notices))
        }
        // every `None` has left a mistake
        _ => Err(r.mistakes.into()),
    }
}

fn warnings(config: &Config) -> Vec<Warning> {
    let idle = network::idle(&config.network).into_iter().chain(aws::idle(&config.aws));
    let given = idle.filter_map(|(variable, why)| Some((config.origins.given(variable)?, why)));
    let no_effect = given.map(|(at, why)| Warning::NoEffect { at: at.clone(), why });
    files::warning(&config.files, &config.origins).into_iter().chain(no_effect).collect()
}
