//! The tables of the manual, and the figures of the README, are those of the code and of each other.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use retaind::aws::permissions::PERMISSIONS;
use retaind::config::env::{Secrecy, VARIABLES, Variable};
use retaind::config::layer::KEYS;
use retaind::protocol::ids::ConversationId;
use retaind::report::events::{Event, Severity};
use retaind::report::health::Reason;
use retaind::report::metrics::{METRICS, Unit};
use serde_json::Value;

use super::{page, root};

/// A part of a page that is made from elsewhere.
pub(super) struct Made {
    pub(super) page: &'static str,
    pub(super) begins: &'static str,
    pub(super) ends: &'static str,
}

const VARIABLES_TABLE: Made = Made {
    page: "docs/settings.md",
    begins: "<!-- variables: from the tables in src/config; RETAIND_BLESS=1 cargo nextest run readme writes them -->\n",
    ends: "<!-- end of variables -->",
};
const PERMISSIONS_TABLE: Made = Made {
    page: "docs/aws.md",
    begins: "<!-- permissions: from src/aws/permissions.rs; RETAIND_BLESS=1 cargo nextest run readme writes them -->\n",
    ends: "<!-- end of permissions -->",
};
const FAULTS_IN_SHORT: Made = Made {
    page: "README.md",
    begins: "<!-- faults in short: from docs/proof.md; RETAIND_BLESS=1 cargo nextest run readme writes it -->\n",
    ends: "<!-- end of faults in short -->",
};
const MONITORING: &str = "docs/monitoring.md";
const ARCHIVE: &str = "docs/archive.md";
const RECORDS: &str = "tests/golden/records";

fn row(variable: &Variable) -> String {
    let mut names = format!("`{}`", variable.name);
    for alias in variable.aliases {
        names += &format!(" or `{alias}`");
    }
    let secret = match variable.secrecy {
        Secrecy::Secret => "; secret, never shown",
        Secrecy::Public => "",
    };
    format!("| {names} | {}{secret} | {} |\n", variable.meaning, variable.default)
}

/// Compares what is between two marks with what it should be, or writes it.
pub(super) fn assert_made(made: &Made, wanted: &str) {
    let Made { page: path, begins, ends } = made;
    let text = page(path);
    let (before, rest) = text.split_once(begins).unwrap_or_else(|| panic!("{path} marks where the table begins"));
    let (table, after) = rest.split_once(ends).unwrap_or_else(|| panic!("{path} marks where the table ends"));
    if std::env::var_os("RETAIND_BLESS").is_some() {
        fs::write(root().join(path), format!("{before}{begins}{wanted}{ends}{after}")).unwrap();
        return;
    }
    for (line, wanted) in table.lines().zip(wanted.lines()) {
        assert_eq!(line, wanted, "write it again with `RETAIND_BLESS=1 cargo nextest run readme`");
    }
    assert_eq!(table.lines().count(), wanted.lines().count());
}

#[test]
fn the_table_of_variables_is_that_in_the_code() {
    let rows: String = VARIABLES.iter().map(|variable| row(variable)).collect();
    assert_made(&VARIABLES_TABLE, &format!("| variable | meaning | default |\n|---|---|---|\n{rows}"));
}

#[test]
fn the_table_of_permissions_is_that_in_the_code() {
    let rows = PERMISSIONS.map(|permission| {
        let (feature, policy) = (permission.feature, permission.feature.policy());
        format!("| {feature} | `{}` | `{}` | `{policy}` |\n", permission.action, permission.resource)
    });
    let wanted = format!("| for | action | on | policy in `config/iam/` |\n|---|---|---|---|\n{}", rows.concat());
    assert_made(&PERMISSIONS_TABLE, &wanted);
}

#[test]
fn every_key_of_the_secret_is_in_the_manual() {
    let settings = page("docs/settings.md");
    for (key, variable) in KEYS {
        assert!(settings.contains(&format!("\n| `{key}` | `{}` |\n", variable.name)), "`{key}`");
    }
}

/// `1234567` as `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Whoever reads only the front page reads the sum of the whole table, broken promises included.
#[test]
fn the_readme_sums_up_the_table_of_faults() {
    let proof = page("docs/proof.md");
    let (_, rest) = proof.split_once("<!-- faults: ").expect("docs/proof.md has the table");
    let (table, _) = rest.split_once("<!-- faults end -->").expect("the table ends");
    let rows: Vec<Vec<&str>> = table.lines().skip(3).map(|line| line.split('|').map(str::trim).collect()).collect();
    assert!(rows.len() >= 4, "{rows:?}");
    let sum = |column: usize| -> u64 {
        rows.iter().map(|row| row[column].trim_matches('*').parse::<u64>().unwrap_or_else(|_| panic!("{row:?}"))).sum()
    };
    let latest = rows.iter().map(|row| row[7]).max().unwrap();
    let wanted = format!(
        "In {} lives of the bot with {} starts, simulated and real ones, power was lost, processes were killed, system calls failed,\n\
         disks filled up and connections were cut. Of {} obligations, messages that the network had accepted,\n\
         **{}** were broken: none lost, doubled, altered or misplaced ({latest}).\n",
        grouped(sum(2)),
        grouped(sum(3)),
        grouped(sum(5)),
        grouped(sum(6)),
    );
    assert_eq!(sum(6), 0, "what the README says of broken promises does not fit any more");
    assert_made(&FAULTS_IN_SHORT, &wanted);
}

/// Every event; a new one does not compile until it is here.
fn events() -> Vec<Event> {
    let conversation: ConversationId = format!("S{}", "0".repeat(63)).parse().unwrap();
    let known = |event: &Event| match event {
        Event::LoggedIn
        | Event::ShuttingDown
        | Event::DeviceAdded
        | Event::EvidenceKey { .. }
        | Event::EvidenceCheckpoint { .. }
        | Event::UpdatesAvailable { .. }
        | Event::BadCredentials
        | Event::UserNotFound
        | Event::LoginSuspended
        | Event::AllLoginsFailed
        | Event::NewUserOldDatabase
        | Event::UserEnded
        | Event::ConfiguredPasswordBad
        | Event::ConfigurationUnreadable
        | Event::AccountSuspended { .. }
        | Event::DeviceSuspended
        | Event::SwitchBoardDown { .. }
        | Event::PipelineStalled { .. }
        | Event::S3Failed { .. }
        | Event::ShipStalled { .. }
        | Event::UnknownFallbackKey { .. }
        | Event::MessageGap { .. }
        | Event::Undecryptable { .. }
        | Event::ConversationLost { .. }
        | Event::MoreUndecryptable { .. }
        | Event::MoreOfAKind { .. }
        | Event::LastResortKeyPackage
        | Event::DiskNearlyFull { .. }
        | Event::EvidenceChainBroken { .. }
        | Event::LogInsRefused { .. }
        | Event::EventsDropped { .. } => true,
    };
    let text = String::new;
    let events = vec![
        Event::LoggedIn,
        Event::ShuttingDown,
        Event::DeviceAdded,
        Event::EvidenceKey { vkey: text() },
        Event::EvidenceCheckpoint { entries: 0, note: text() },
        Event::UpdatesAvailable { versions: Vec::new() },
        Event::BadCredentials,
        Event::UserNotFound,
        Event::LoginSuspended,
        Event::AllLoginsFailed,
        Event::NewUserOldDatabase,
        Event::UserEnded,
        Event::ConfiguredPasswordBad,
        Event::ConfigurationUnreadable,
        Event::AccountSuspended { code: 0, reason: text() },
        Event::DeviceSuspended,
        Event::SwitchBoardDown { minutes: 0 },
        Event::PipelineStalled { stage: "", minutes: 0 },
        Event::S3Failed { file: text(), error: text() },
        Event::ShipStalled { minutes: 1, error: text() },
        Event::UnknownFallbackKey { conversation, seq: 0 },
        Event::MessageGap { conversation, from: 0, to: 0 },
        Event::Undecryptable { conversation, seq: 0, reason: text() },
        Event::ConversationLost { conversation, seq: 0, reason: text() },
        Event::MoreUndecryptable { conversation, count: 0 },
        Event::MoreOfAKind { code: "conversation_lost", count: 0 },
        Event::LastResortKeyPackage,
        Event::DiskNearlyFull { directory: text(), free_bytes: 0 },
        Event::EvidenceChainBroken { what: text() },
        Event::LogInsRefused { count: 0 },
        Event::EventsDropped { count: 0 },
    ];
    assert!(events.iter().all(known));
    events
}

#[test]
fn every_event_is_in_the_manual_with_its_severity() {
    let monitoring = page(MONITORING);
    for row in events().iter().map(Event::row) {
        let severity = match row.severity {
            Severity::Normal => "normal",
            Severity::Critical => "critical",
        };
        assert!(monitoring.contains(&format!("\n| `{}` | {severity} | ", row.code)), "`{}`", row.code);
    }
    assert_eq!(monitoring.matches(" | normal | ").count() + monitoring.matches(" | critical | ").count(), 31);
}

#[test]
fn every_metric_is_in_the_manual_with_its_unit() {
    let monitoring = page(MONITORING);
    for metric in &METRICS {
        let unit = match metric.unit {
            Unit::Count => "Count",
            Unit::Bytes => "Bytes",
        };
        assert!(monitoring.contains(&format!("\n| `{}` | {unit} | ", metric.name)), "`{}`", metric.name);
    }
}

#[test]
fn every_reason_not_to_be_ready_is_in_the_manual() {
    let monitoring = page(MONITORING);
    let known = |reason: &Reason| match reason {
        Reason::Starting
        | Reason::NetworkAway
        | Reason::Stopping
        | Reason::StageFailed
        | Reason::StageSlow
        | Reason::StageStalled
        | Reason::DiskFull
        | Reason::DiskUnknown { .. }
        | Reason::ShipStalled
        | Reason::QueueParked { .. }
        | Reason::ConversationsLost { .. }
        | Reason::QueueUnknown => true,
    };
    let reasons = [
        Reason::Starting,
        Reason::NetworkAway,
        Reason::Stopping,
        Reason::StageFailed,
        Reason::StageSlow,
        Reason::StageStalled,
        Reason::DiskFull,
        Reason::DiskUnknown { directory: "state" },
        Reason::ShipStalled,
        Reason::QueueParked { files: 1 },
        Reason::ConversationsLost { conversations: 1 },
        Reason::QueueUnknown,
    ];
    for reason in reasons {
        assert!(known(&reason) && monitoring.contains(&format!("\n| `{}` | ", reason.code())), "`{}`", reason.code());
    }
}

/// The golden records, which hold every type and every field.
fn records() -> Vec<Value> {
    let files = fs::read_dir(root().join(RECORDS)).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.map(|path| fs::read_to_string(path).unwrap());
    texts.flat_map(|text| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>()).collect()
}

#[test]
fn the_table_of_record_types_is_that_of_the_records() {
    let archive = page(ARCHIVE);
    let (_, section) = archive.split_once("## Record types\n").unwrap();
    let table = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse::<u64>().ok());
    let types: BTreeSet<u64> = records().iter().map(|record| record["msgtype"].as_u64().unwrap()).collect();
    assert_eq!(table.collect::<BTreeSet<u64>>(), types);
}

/// The keys of a value, at all levels, and the objects in it.
fn parts<'a>(value: &'a Value, keys: &mut BTreeSet<&'a str>, objects: &mut Vec<&'a Value>) {
    match value {
        Value::Object(object) => {
            objects.push(value);
            for (key, value) in object {
                keys.insert(key);
                parts(value, keys, objects);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| parts(item, keys, objects)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_field_of_a_record_is_in_the_manual_and_its_examples_are_records() {
    let archive = page(ARCHIVE);
    let records = records();
    let (mut keys, mut objects) = (BTreeSet::new(), Vec::new());
    records.iter().for_each(|record| parts(record, &mut keys, &mut objects));
    let missing: Vec<&&str> = keys.iter().filter(|key| !archive.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let examples: Vec<&str> =
        archive.split("```json\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let value: Value = serde_json::from_str(example).unwrap();
        assert!(objects.contains(&&value), "not in {RECORDS}: {example}");
    }
}

/// What the manual's script says of these records.
fn checked(records: &[Value]) -> String {
    let archive = page(ARCHIVE);
    let (_, rest) = archive.split_once("```python\n").unwrap();
    let (script, _) = rest.split_once("```").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    fs::write(directory.path().join("receivedMessages.txt"), lines).unwrap();
    let output = Command::new("python3").args(["-I", "-c", script]).current_dir(directory.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_manuals_script_finds_what_is_missing_and_what_is_doubled_and_accepts_holes() {
    let record = |seq: u64| serde_json::json!({ "seq": seq, "vgroupid": "G1" });
    let hole = serde_json::json!({ "seq": 3, "vgroupid": "G1", "hole": { "fromseq": 3, "toseq": 5 } });
    assert_eq!(checked(&[record(2), hole.clone(), record(6)]), "");
    let wrong = checked(&[record(2), hole, record(8), record(8), record(6)]);
    assert_eq!(wrong, "G1 7 recorded 0 times\nG1 8 recorded 2 times\n");
}
