//! What is answered, as text. Pure.

use serde::{Deserialize, Serialize};

use super::{Found, Queue, Reading, Reason};
use crate::counters::Counters;
use crate::metrics::{METRICS, Unit};
use crate::status::{Stages, Standing};

/// The media type of `/metrics`.
pub(super) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The media type of the others.
pub(super) const JSON: &str = "application/json";
/// What the names of all metrics begin with.
const PREFIX: &str = "retaind_";

/// The answer of `/readyz`. What is `None` could not be found out.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Are messages archived and shipped?
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<Because>,
    /// Of the bot.
    pub version: String,
    /// Messages received and not yet on stable storage.
    pub lag_messages: u64,
    /// Files that are not shipped yet.
    pub unshipped_files: Option<u64>,
    /// Their bytes.
    pub unshipped_bytes: Option<u64>,
    /// Those of them that wait for somebody to put something right.
    pub parked_files: Option<u64>,
    /// How long ago the oldest of them was last written, in seconds.
    pub oldest_unshipped_age_seconds: Option<u64>,
    /// Free bytes of the bot's directories.
    pub disk_free_bytes: Vec<Free>,
    /// Lines that the log has dropped since the start, over its streams; 0 from a bot that does not count them.
    #[serde(default)]
    pub log_lines_dropped: u64,
}

/// One reason.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Because {
    /// See [`Reason::code`].
    pub code: String,
    /// In words.
    pub text: String,
}

/// Free bytes of one directory.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Free {
    /// `messages`, `attachments` or `state`.
    pub directory: String,
    /// Free bytes; `None` if the disk does not answer.
    pub bytes: Option<u64>,
}

impl From<Reason> for Because {
    fn from(reason: Reason) -> Self {
        Self { code: reason.code().to_owned(), text: reason.to_string() }
    }
}

impl From<&Reading> for Answer {
    fn from(reading: &Reading) -> Self {
        let reasons: Vec<Because> = reading.reasons().into_iter().map(Because::from).collect();
        let Found { queue, directories, .. } = &reading.found;
        let free = directories
            .iter()
            .map(|directory| Free { directory: directory.name.to_owned(), bytes: directory.free_bytes });
        Self {
            ready: reasons.is_empty(),
            reasons,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            lag_messages: reading.in_hand,
            unshipped_files: queue.map(|queue| queue.files),
            unshipped_bytes: queue.map(|queue| queue.bytes),
            parked_files: queue.map(|queue| queue.parked),
            oldest_unshipped_age_seconds: queue.map(|queue| queue.oldest_secs),
            disk_free_bytes: free.collect(),
            log_lines_dropped: reading.dropped.total(),
        }
    }
}

/// `/livez`: whether the process works, and the text.
pub(super) fn live(standing: Standing) -> (bool, String) {
    match standing.stages {
        Stages::Work | Stages::Stop => (true, "{\"live\":true,\"reasons\":[]}\n".to_owned()),
        Stages::Failed => {
            let reasons = serde_json::json!([Because::from(Reason::StageFailed)]);
            (false, format!("{{\"live\":false,\"reasons\":{reasons}}}\n"))
        }
    }
}

/// `/readyz`: whether it is, and the text.
pub(super) fn ready(reading: &Reading) -> (bool, String) {
    let answer = Answer::from(reading);
    // strings and numbers: there is nothing that could fail
    let text = serde_json::to_string(&answer).unwrap_or_default();
    (answer.ready, format!("{text}\n"))
}

/// `/metrics`.
pub(super) fn metrics(reading: &Reading, counters: &Counters) -> String {
    let mut page = Page(String::new());
    for metric in &METRICS {
        let name = metric.name.to_lowercase();
        page.family(&name, "counter", unit(metric.unit), &format!("{} since the start of the bot.", metric.name));
        page.sample(&format!("{name}_total"), "", metric.total(counters));
    }
    let ready = u64::from(reading.reasons().is_empty());
    page.gauge("ready", None, "Whether messages are archived and shipped: what /readyz says.", ready);
    let lag = "Messages received and not yet on stable storage.";
    page.gauge("lag_messages", Some("messages"), lag, reading.in_hand);
    let Found { queue, directories, .. } = &reading.found;
    if let Some(Queue { files, bytes, parked, oldest_secs }) = *queue {
        page.gauge("unshipped_files", Some("files"), "Sealed files that are not shipped yet.", files);
        page.gauge("unshipped_bytes", Some("bytes"), "Their bytes.", bytes);
        page.gauge("parked_files", Some("files"), "Those that wait for somebody to put something right.", parked);
        let oldest = "How long ago the oldest file that is not shipped was last written; 0 without one.";
        page.gauge("oldest_unshipped_age_seconds", Some("seconds"), oldest, oldest_secs);
    }
    let lost = "Conversations that the bot cannot follow; their messages are kept as ciphertext.";
    page.gauge("lost_conversations", Some("conversations"), lost, reading.found.lost_conversations);
    page.family("disk_free_bytes", "gauge", Some("bytes"), "Bytes that the bot may still write there.");
    for directory in directories {
        if let Some(free) = directory.free_bytes {
            page.sample("disk_free_bytes", &format!("{{directory=\"{}\"}}", directory.name), free);
        }
    }
    let dropped = "Lines that the log has dropped since the start of the bot: it is not read, or its disk is slow.";
    page.family("log_lines_dropped", "counter", None, dropped);
    page.sample("log_lines_dropped_total", "{stream=\"output\"}", reading.dropped.output);
    page.sample("log_lines_dropped_total", "{stream=\"files\"}", reading.dropped.files);
    page.family("refusals", "counter", None, "What limits have refused or ended since the start of the bot.");
    for (limit, refused) in counters.refusals.totals() {
        page.sample("refusals_total", &format!("{{limit=\"{limit}\"}}"), refused);
    }
    page.family("build", "info", None, "The program.");
    page.sample("build_info", concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1);
    page.0 += "# EOF\n";
    page.0
}

fn unit(unit: Unit) -> Option<&'static str> {
    match unit {
        Unit::Count => None,
        Unit::Bytes => Some("bytes"),
    }
}

struct Page(String);

impl Page {
    /// The name of a family with a unit ends with it, as OpenMetrics wants.
    fn family(&mut self, name: &str, kind: &str, unit: Option<&str>, help: &str) {
        self.0.push_str(&format!("# TYPE {PREFIX}{name} {kind}\n"));
        if let Some(unit) = unit {
            self.0.push_str(&format!("# UNIT {PREFIX}{name} {unit}\n"));
        }
        self.0.push_str(&format!("# HELP {PREFIX}{name} {help}\n"));
    }

    fn sample(&mut self, name: &str, labels: &str, value: u64) {
        self.0.push_str(&format!("{PREFIX}{name}{labels} {value}\n"));
    }

    fn gauge(&mut self, name: &str, unit: Option<&str>, help: &str, value: u64) {
        self.family(name, "gauge", unit, help);
        self.sample(name, "", value);
    }
}
