//! What the bot says of itself on this host: its log, and the health endpoint.

use std::net::SocketAddr;
use std::path::PathBuf;

use retaind_report::logs::Format;
use tracing_subscriber::EnvFilter;

use crate::account::BotName;
use crate::mistake::Invalid;
use crate::parse::path;
use crate::reader::Reader;
use crate::variable::{Fallback, variables};

/// Longest name of a host.
const HOST_NAME_BYTES_MAX: usize = 253;
/// Most names of the health endpoint.
const HEALTH_NAMES_MAX: usize = 16;

variables! {
    LOG: "RUST_LOG", Fallback::Text("info"), Public,
        "what is logged: `error`, `warn`, `info`, `debug` or `trace`, also for single parts (`info,retaind::bot=debug`); never message content";
    LOG_FORMAT: "RETAIND_LOG_FORMAT", Fallback::Text("auto"), Public,
        "how it is logged: `text` for people, `json` for one JSON object a line, or `auto`: text on a terminal, JSON elsewhere";
    LOGS: "RETAIND_LOGS", Fallback::OfBot("/tmp/<botname>/logs"), Public,
        "directory of the log files, at most 5 of 10 MiB, or `off` for none; the log is on standard output in any case";
    HEALTH: "RETAIND_HEALTH", Fallback::Text("127.0.0.1:9464"), Public,
        "address and port of `/livez`, `/readyz` and `/metrics`, or `off`; they need no password, so leave them to the host or the pod";
    HEALTH_NAMES: "RETAIND_HEALTH_NAMES", Fallback::Nothing, Public,
        "names with a dot under which the health endpoint may be asked, separated by commas (`bot.example.org`); addresses and names without a dot always may, all others are refused";
}

/// Log and health endpoint.
#[derive(Debug)]
pub struct Report {
    /// What is logged.
    pub log: String,
    /// How it is logged.
    pub log_format: Format,
    /// Directory of the log files; `None`: there are none.
    pub logs: Option<PathBuf>,
    /// Where the bot can be asked how it is; `None`: nowhere.
    pub health: Option<SocketAddr>,
    /// Names with a dot under which it may be asked.
    pub health_names: Vec<String>,
}

pub(crate) fn read(r: &mut Reader, bot: Option<&BotName>) -> Option<Report> {
    let log = r.read(&LOG, log_filter);
    let log_format = r.read(&LOG_FORMAT, log_format);
    let logs = r.read_for(&LOGS, bot, unless_off(path));
    let health = r.read(&HEALTH, unless_off(health));
    let health_names = r.optional(&HEALTH_NAMES, health_names).unwrap_or_default();
    Some(Report { log: log?, log_format: log_format?, logs: logs?, health: health?, health_names })
}

pub(crate) fn value(report: &Report, name: &str) -> Option<String> {
    let off = || "off".to_owned();
    match name {
        "RUST_LOG" => Some(report.log.clone()),
        "RETAIND_LOG_FORMAT" => Some(report.log_format.to_string()),
        "RETAIND_LOGS" => Some(report.logs.as_ref().map_or_else(off, |path| path.display().to_string())),
        "RETAIND_HEALTH" => Some(report.health.map_or_else(off, |address| address.to_string())),
        "RETAIND_HEALTH_NAMES" if !report.health_names.is_empty() => Some(report.health_names.join(",")),
        _ => None,
    }
}

/// A value, or `off`.
pub(crate) fn unless_off<T>(
    parse: impl FnOnce(&str) -> Result<T, Invalid>,
) -> impl FnOnce(&str) -> Result<Option<T>, Invalid> {
    |text| if text == "off" { Ok(None) } else { parse(text).map(Some) }
}

pub(crate) fn health(text: &str) -> Result<SocketAddr, Invalid> {
    text.parse().map_err(|_| Invalid::Health)
}

fn health_names(text: &str) -> Result<Vec<String>, Invalid> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_lowercase()).collect();
    let right = |name: &String| {
        let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        !name.is_empty() && name.len() <= HOST_NAME_BYTES_MAX && is_plain
    };
    if names.len() <= HEALTH_NAMES_MAX && names.iter().all(right) { Ok(names) } else { Err(Invalid::HealthNames) }
}

fn log_format(text: &str) -> Result<Format, Invalid> {
    match text {
        "auto" => Ok(Format::Auto),
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        _ => Err(Invalid::Word { allowed: "`text`, `json` or `auto`" }),
    }
}

/// Checked here, so that a mistyped filter is a mistake and not a silent log.
pub(crate) fn log_filter(text: &str) -> Result<String, Invalid> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|_| Invalid::LogFilter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_health_endpoint_are_names_of_hosts() {
        assert_eq!(health_names("Bot.Example.org, b.example").unwrap(), ["bot.example.org", "b.example"]);
        for wrong in ["", "a.example,", "a b", "http://a.example", "a.example:9464", "ä.example", &"a".repeat(254)] {
            health_names(wrong).unwrap_err();
        }
        health_names(&["a.example"; 17].join(",")).unwrap_err();
    }
}
