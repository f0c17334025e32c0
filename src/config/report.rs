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

variables! {
    LOG: "RUST_LOG", Fallback::Text("info"), Public,
        "what is logged: `error`, `warn`, `info`, `debug` or `trace`, also for single parts (`info,retaind::bot=debug`); never message content";
    LOG_FORMAT: "RETAIND_LOG_FORMAT", Fallback::Text("auto"), Public,
        "how it is logged: `text` for people, `json` for one JSON object a line, or `auto`: text on a terminal, JSON elsewhere";
    LOGS: "RETAIND_LOGS", Fallback::OfBot("/tmp/<botname>/logs"), Public,
        "directory of the log files, at most 5 of 10 MiB, or `off` for none; the log is on standard output in any case";
    HEALTH: "RETAIND_HEALTH", Fallback::Text("127.0.0.1:9464"), Public,
        "address and port of `/livez`, `/readyz` and `/metrics`, or `off`; they need no password, so leave them to the host or the pod";
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
}

pub(crate) fn read(r: &mut Reader, bot: Option<&BotName>) -> Option<Report> {
    let log = r.read(&LOG, log_filter);
    let log_format = r.read(&LOG_FORMAT, log_format);
    let logs = r.read_for(&LOGS, bot, unless_off(path));
    let health = r.read(&HEALTH, unless_off(health));
    Some(Report { log: log?, log_format: log_format?, logs: logs?, health: health? })
}

pub(crate) fn value(report: &Report, name: &str) -> Option<String> {
    let off = || "off".to_owned();
    match name {
        "RUST_LOG" => Some(report.log.clone()),
        "RETAIND_LOG_FORMAT" => Some(report.log_format.to_string()),
        "RETAIND_LOGS" => Some(report.logs.as_ref().map_or_else(off, |path| path.display().to_string())),
        "RETAIND_HEALTH" => Some(report.health.map_or_else(off, |address| address.to_string())),
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
