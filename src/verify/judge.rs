//! The whole verification, from a source to a report.

use std::collections::BTreeMap;
use std::io;

use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use retaind_evidence::entry::LogId;
use retaind_evidence::key::Vkey;
use retaind_evidence::names::{self, Name};
use retaind_evidence::tree::Tree;

use crate::args::Requirement;
use crate::expected::{Expectations, Range};
use crate::files::{self, Depth, Judged};
use crate::finding::{Code, Finding, Findings, Severity};
use crate::heads::{self, GivenHead, Heads};
use crate::keys::Trust;
use crate::log::{Log, read_log};
use crate::report::{Assurance, FORMAT, LogReport, Report, Span, Subject, Verdict, time};
use crate::source::{Listed, Source, read};

/// Longest text of a key that is read.
const VKEY_BYTES_MAX: usize = 1024;
/// The setting that a log announces its interval with, in minutes, and what it is if it is not announced.
const INTERVAL: &str = "RETAIND_EVIDENCE_INTERVAL";
const INTERVAL_MINUTES: i64 = 60;

/// What a verification rests on and looks at.
#[derive(Debug, Clone)]
pub struct Options {
    /// Keys from elsewhere. Empty: the archive's own.
    pub keys: Vec<Vkey>,
    /// Heads from elsewhere.
    pub heads: Vec<GivenHead>,
    /// What the report is about.
    pub range: Range,
    /// How far files are read.
    pub depth: Depth,
    /// Age from which the newest entry is `stale`. Nothing: twice the interval that the log announces.
    pub max_age: Option<SignedDuration>,
    /// Whose absence is a weakness.
    pub require: Vec<Requirement>,
}

/// What was listed, by what it is.
#[derive(Default)]
struct Collected {
    entries: BTreeMap<LogId, BTreeMap<u64, String>>,
    checkpoints: BTreeMap<LogId, BTreeMap<u64, String>>,
    keys: Vec<String>,
    files: Vec<Listed>,
    ignored: u64,
    twice: Vec<String>,
    strange: Vec<String>,
}

fn collect(listed: Vec<Listed>) -> Collected {
    let mut collected = Collected::default();
    for file in listed {
        let mut place = |to: &mut BTreeMap<LogId, BTreeMap<u64, String>>, log, number| {
            if to.entry(log).or_default().insert(number, file.path.clone()).is_some() {
                collected.twice.push(file.path.clone());
            }
        };
        match Name::parse(&file.path) {
            Some(Name::Entry { log, number }) => place(&mut collected.entries, log, number),
            Some(Name::Checkpoint { log, size }) => place(&mut collected.checkpoints, log, size),
            Some(Name::Key { .. }) => collected.keys.push(file.path),
            Some(Name::TimeStamp { .. } | Name::Custody) => collected.ignored += 1,
            None if file.path.starts_with(&format!("{}/", names::FOLDER)) => collected.strange.push(file.path),
            None if file.path.split('/').any(|part| part.starts_with(['.', '_'])) => collected.ignored += 1,
            None => collected.files.push(file),
        }
    }
    collected
}

/// Judges `source`. `now` is what the age of the newest entry is compared with, `by` the program and its version.
///
/// # Errors
/// The source cannot be listed: a report would be about a part of it.
pub fn verify(source: &dyn Source, options: &Options, now: Timestamp, by: &str) -> io::Result<Report> {
    let collected = collect(source.list()?);
    let mut findings = Findings::default();
    for path in &collected.strange {
        findings.add(Finding::new(Code::Inserted, path).instead("nothing", "a file among the entries"));
    }
    for path in &collected.twice {
        findings.add(Finding::new(Code::Fork, path).instead("one object of this name", "two, in two directories"));
    }
    if collected.entries.is_empty() {
        let finding = Finding::new(Code::MissingEntry, names::FOLDER);
        findings.add(finding.instead("a log of entries", "none: the archive has no evidence, or it is elsewhere"));
    }
    let own = own_keys(source, &collected.keys, &mut findings);
    let trust = if options.keys.is_empty() { Trust::SelfAsserted(own) } else { Trust::Given(options.keys.clone()) };
    let mut expected = Expectations { range: options.range, ..Expectations::default() };
    let nothing = BTreeMap::new();
    let mut logs = Vec::new();
    let mut head_counts = Vec::new();
    let mut ids: Vec<LogId> = collected.entries.keys().chain(collected.checkpoints.keys()).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        let paths = collected.entries.get(&id).unwrap_or(&nothing);
        let log = read_log(source, id, paths, &trust, &mut findings, &mut expected);
        let notes = collected.checkpoints.get(&id).unwrap_or(&nothing);
        head_counts.push(heads::judge_checkpoints(source, &log, notes, &mut findings));
        logs.push(log);
    }
    for head in &options.heads {
        heads::judge_given(head, &logs, &mut findings);
    }
    link_logs(&logs, &mut findings);
    expected.totals.conversations = expected.ranges.conversations();
    let takers = findings.takers();
    let ranges = std::mem::take(&mut expected.ranges);
    ranges.judge(&expected.removed_from, &takers, &findings.of_code(Code::Restored), &mut findings);
    let judged = files::judge(source, &expected, &collected.files, options.depth, &mut findings)?;
    let is_stale = judge_age(&logs, options, now, &mut findings);
    let assurance = assurance(&trust, options, &judged);
    require(options, &assurance, is_stale, &mut findings);
    let findings = findings.sorted();
    Ok(Report {
        format: FORMAT,
        verdict: Verdict::of(&findings),
        assurance,
        subject: Subject::Archive,
        source: vec![source.name()],
        at: time(now),
        by: by.to_owned(),
        range: Span { from: options.range.from.map(time), to: options.range.to.map(time) },
        logs: logs.iter().zip(&head_counts).map(|(log, heads)| log_report(log, heads)).collect(),
        totals: expected.totals,
        ignored: collected.ignored,
        findings,
        seconds: 0,
    })
}

fn own_keys(source: &dyn Source, paths: &[String], findings: &mut Findings) -> Vec<Vkey> {
    let mut keys = Vec::new();
    for path in paths {
        let text = read(source, path, VKEY_BYTES_MAX).map(String::from_utf8);
        let key = match &text {
            Ok(Ok(text)) => Vkey::parse(text.strip_suffix('\n').unwrap_or(text)).map_err(|error| error.to_string()),
            Ok(Err(_)) => Err("no text".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        match key {
            Ok(key) if names::key(&key.key_id()) == *path => keys.push(key),
            Ok(key) => {
                findings.add(Finding::new(Code::Replayed, path).instead("the key of this id", key.key_id()));
            }
            Err(error) => {
                findings.add(Finding::new(Code::NotCanonical, path).instead("a public key", error));
            }
        }
    }
    keys
}

/// A log that follows another one says how that one ended.
fn link_logs(logs: &[Log], findings: &mut Findings) {
    for log in logs {
        let Some(previous) = log.genesis.as_ref().and_then(|genesis| genesis.previous_log.as_ref()) else { continue };
        let path = names::entry(&log.id, 0);
        let Some(before) = logs.iter().find(|before| before.id == previous.log) else {
            let finding = Finding::new(Code::MissingEntry, format!("log {}", previous.log)).of(log.id, 0);
            findings.add(finding.instead(format!("a log of {} entries before this one", previous.size), "nothing"));
            continue;
        };
        if before.size < previous.size.0 {
            let finding = Finding::new(Code::TailCut, path).of(before.id, before.size);
            findings.add(finding.instead(format!("{} entries", previous.size), format!("{} entries", before.size)));
        } else if heads::is_other(before, previous.size.0, &previous.root) {
            let finding = Finding::new(Code::Fork, path).of(log.id, 0);
            findings.add(finding.instead("the root of the log before", "another root"));
        } else if let (Some((_, ended)), Some((begun, _))) = (before.span(), log.span())
            && ended != begun
        {
            let finding = Finding::new(Code::UnattestedTime, path).of(log.id, 0);
            findings.add(finding.instead(format!("from {}", time(ended)), format!("from {}", time(begun))));
        }
    }
}

/// Whether the newest entry of a log that has not ended is too old.
fn judge_age(logs: &[Log], options: &Options, now: Timestamp, findings: &mut Findings) -> bool {
    let mut is_stale = false;
    let followed: Vec<LogId> = logs
        .iter()
        .filter_map(|log| log.genesis.as_ref()?.previous_log.as_ref().map(|previous| previous.log))
        .collect();
    for log in logs.iter().filter(|log| !log.is_ended && !followed.contains(&log.id)) {
        let announced = log.genesis.as_ref().and_then(|genesis| genesis.settings.get(INTERVAL)?.parse::<i64>().ok());
        let minutes = announced.unwrap_or(INTERVAL_MINUTES).clamp(0, i64::from(u32::MAX));
        let allowed = match options.max_age {
            Some(age) => age,
            // without entries at intervals an old one says nothing
            None if minutes == 0 => continue,
            None => SignedDuration::from_mins(minutes.saturating_mul(2)),
        };
        let Some(newest) = log.newest else { continue };
        if now.duration_since(newest) > allowed {
            is_stale = true;
            let mut finding = Finding::new(Code::Stale, format!("log {}", log.id));
            finding.log = Some(log.id);
            // a weakness only for a caller who set an age
            if options.max_age.is_some() {
                finding.severity = Severity::Declared;
            }
            findings.add(finding.instead(
                format!("an entry within {} s", allowed.as_secs()),
                format!("the newest is of {}", time(newest)),
            ));
        }
    }
    is_stale
}

fn assurance(trust: &Trust, options: &Options, judged: &Judged) -> Assurance {
    Assurance {
        key: match trust {
            Trust::Given(_) => "given",
            Trust::SelfAsserted(_) => "self-asserted",
        },
        head: if options.heads.is_empty() { "none" } else { "given" },
        plaintext: match (judged.ciphertext_only, judged.plain) {
            (0, _) => "all",
            (_, 0) => "none",
            (_, _) => "some",
        },
        network: "no",
    }
}

fn require(options: &Options, assurance: &Assurance, is_stale: bool, findings: &mut Findings) {
    for requirement in &options.require {
        let is_met = match requirement {
            Requirement::Key => assurance.key == "given",
            Requirement::Head => assurance.head == "given",
            Requirement::Fresh => !is_stale,
            Requirement::Plaintext => assurance.plaintext == "all",
            Requirement::Network => assurance.network != "no",
        };
        if !is_met {
            let finding = Finding::new(Code::Required, format!("requirement {}", requirement.as_str()));
            findings.add(finding.instead(requirement.as_str(), "absent"));
        }
    }
}

fn log_report(log: &Log, heads: &Heads) -> LogReport {
    let mut tree = Tree::new();
    for (number, link) in &log.links {
        if *number == tree.size() {
            tree.push_hash(link.leaf_hash);
        }
    }
    let span = log.span();
    LogReport {
        log: log.id,
        bot: log.bot.clone(),
        entries: log.size,
        from: span.map(|(from, _)| time(from)),
        to: span.map(|(_, to)| time(to)),
        heads: heads.good,
        heads_not_compared: heads.not_compared,
        head: (tree.size() == log.size).then(|| HEXLOWER.encode(&tree.root())),
    }
}
