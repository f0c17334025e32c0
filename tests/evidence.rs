//! What the bot's evidence says of its archive, judged as an auditor would: by the files and the public key alone.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use retaind::bot::evidence::Settings;
use retaind::bot::ship::Shipped;
use retaind::core::clock::SystemClock;
use retaind::evidence::checkpoint::SignedNote;
use retaind::evidence::entry::{Body, Entry, GenesisBecause};
use retaind::evidence::key::Vkey;
use retaind::protocol::ids::ConversationKind;
use retaind::verify::source::Directories;
use retaind::verify::{Code, Depth, GivenHead, Options as Demands, Range, Report, Verdict};

use crate::support::bot::evidence as attested;
use crate::support::clock::HandClock;
use crate::support::events::heard;
use crate::support::{Bot, Harness, Options, text};

const NOON_MICROS: i64 = 1_785_585_600_000_000;
const MINUTE: Duration = Duration::from_secs(60);

fn evidence(harness: &Harness) -> PathBuf {
    harness.path().join("_evidence")
}

/// A bot that attests what it archives.
fn attesting(harness: &Harness) -> Options {
    Options { evidence: Some(attested(harness.path())), ..harness.options() }
}

/// Every log, entry by entry.
fn logs(harness: &Harness) -> BTreeMap<String, Vec<Entry>> {
    let mut logs: BTreeMap<String, BTreeMap<u64, Entry>> = BTreeMap::new();
    for log in fs::read_dir(evidence(harness)).unwrap().map(|entry| entry.unwrap().path()) {
        for file in fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path()) {
            if file.extension().is_some_and(|extension| extension == "json") {
                let entry = Entry::parse(&fs::read(&file).unwrap()).unwrap().entry;
                logs.entry(entry.log.to_string()).or_default().insert(entry.number, entry);
            }
        }
    }
    logs.into_iter().map(|(log, entries)| (log, entries.into_values().collect())).collect()
}

fn kinds(entries: &[Entry]) -> Vec<&'static str> {
    entries.iter().map(|entry| entry.body.kind().as_str()).collect()
}

/// The only key that was published.
fn key(harness: &Harness) -> Vkey {
    let keys: Vec<_> = fs::read_dir(evidence(harness).join("keys")).unwrap().map(|key| key.unwrap().path()).collect();
    assert_eq!(keys.len(), 1);
    Vkey::parse(fs::read_to_string(&keys[0]).unwrap().trim()).unwrap()
}

fn judged(harness: &Harness, keys: Vec<Vkey>, heads: Vec<GivenHead>) -> Report {
    judged_at(harness.path(), keys, heads)
}

fn judged_at(home: &Path, keys: Vec<Vkey>, heads: Vec<GivenHead>) -> Report {
    let source = Directories::new(&[home.join("messages"), home.join("attachments")], &[home.join("_evidence")]);
    let now = Timestamp::try_from(SystemClock.now()).unwrap();
    // the clock of some tests stands in the past
    let max_age = Some(jiff::SignedDuration::MAX);
    let demands = Demands { keys, heads, range: Range::default(), depth: Depth::Lines, max_age, require: Vec::new() };
    retaind::verify::verify(&source, &demands, now, "a test").unwrap()
}

/// Fails unless the evidence of the archive in `home` proves it as a whole.
pub fn proves(home: &Path) {
    let report = judged_at(home, Vec::new(), Vec::new());
    let told: Vec<_> = report.findings.iter().map(|one| format!("{} {}", one.code.as_str(), one.object)).collect();
    assert_eq!((report.verdict, told), (Verdict::Verified, Vec::new()));
    assert!(!report.logs.is_empty());
}

fn causes(report: &Report) -> Vec<Code> {
    report.causes().map(|finding| finding.code).collect()
}

/// A byte in the middle becomes another.
fn alter(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).unwrap();
}

/// Two message files of three records each, after an orderly stop.
async fn archived() -> Harness {
    let harness = Harness::start();
    let bot = Bot::start(attesting(&harness)).await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    for number in 1..6 {
        alice.send(&room, &text(&format!("message {number}"))).await.unwrap();
        if number == 2 {
            bot.saved(3).await;
            bot.rotate().await;
        }
    }
    bot.saved(6).await;
    assert_eq!(bot.stop().await.unwrap(), Shipped::All);
    harness
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_verifies_as_it_was_written_and_a_changed_one_does_not() {
    let harness = archived().await;
    let report = judged(&harness, vec![key(&harness)], Vec::new());
    assert_eq!((report.verdict, causes(&report)), (Verdict::Verified, Vec::new()));
    assert_eq!(report.totals.records, 6);
    let logs = logs(&harness);
    let entries = logs.values().next().unwrap();
    assert_eq!(kinds(entries), ["genesis", "segment", "segment"]);

    let files: Vec<_> = fs::read_dir(harness.messages()).unwrap().map(|file| file.unwrap().path()).collect();
    alter(&files[0]);
    assert_eq!(causes(&judged(&harness, vec![key(&harness)], Vec::new())), [Code::Modified]);
    alter(&files[0]);
    fs::remove_file(&files[1]).unwrap();
    assert_eq!(causes(&judged(&harness, vec![key(&harness)], Vec::new())), [Code::MissingFile]);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_was_cut_off_shows_against_a_head_that_was_kept() {
    let harness = archived().await;
    let (log, entries) = logs(&harness).pop_first().unwrap();
    let log = evidence(&harness).join(log);
    let head = fs::read_dir(log.join("checkpoint")).unwrap().map(|head| head.unwrap().path()).max().unwrap();
    let note = SignedNote::parse(&fs::read_to_string(&head).unwrap()).unwrap();
    assert_eq!(note.checkpoint.size, 3);
    let kept = GivenHead { object: "the auditor's".to_owned(), note };
    let report = judged(&harness, vec![key(&harness)], vec![kept.clone()]);
    assert_eq!(causes(&report), []);
    // the last file goes with its entry and its head
    let Body::Segment(last) = &entries[2].body else { panic!("the last entry is {:?}", entries[2].body) };
    fs::remove_file(harness.messages().join(&last.name)).unwrap();
    fs::remove_file(log.join("000000000002.json")).unwrap();
    fs::remove_file(&head).unwrap();
    assert_eq!(causes(&judged(&harness, vec![key(&harness)], Vec::new())), []);
    assert_eq!(causes(&judged(&harness, vec![key(&harness)], vec![kept])), [Code::TailCut]);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_signed_and_so_is_what_the_open_file_holds() {
    let (harness, clock) = (Harness::start(), HandClock::at(NOON_MICROS));
    let settings = Settings { interval: Some(MINUTE), checkpoints: 2 * MINUTE, ..attested(harness.path()) };
    let (events, heard) = heard();
    let options = Options { evidence: Some(settings), clock: clock.clone(), events, ..harness.options() };
    let bot = Bot::start(options).await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    alice.send(&room, &text("before the silence")).await.unwrap();
    bot.saved(2).await;
    for _ in 0..3 {
        clock.advance(MINUTE);
        clock.was_acted_on().await;
    }
    bot.stop().await.unwrap();
    let (_, entries) = logs(&harness).pop_first().unwrap();
    assert_eq!(kinds(&entries), ["genesis", "interval", "interval", "interval", "segment"]);
    let intervals: Vec<_> = entries
        .iter()
        .filter_map(|entry| if let Body::Interval(interval) = &entry.body { Some(interval.clone()) } else { None })
        .collect();
    assert_eq!(intervals.iter().map(|interval| interval.records.0).collect::<Vec<_>>(), [2, 0, 0]);
    assert!(intervals.iter().all(|interval| interval.conversations.0 == 1));
    let Body::Segment(segment) = &entries[4].body else { panic!("{:?}", entries[4].body) };
    // nothing came after it: the file that was open is the one that was sealed
    assert_eq!(intervals[0].open.as_ref().unwrap().sha256, segment.sha256);
    assert_eq!(causes(&judged(&harness, vec![key(&harness)], Vec::new())), []);
    let codes = heard.codes().await;
    assert_eq!(codes.iter().filter(|code| *code == "evidence_key").count(), 1);
    // after two minutes, and at the stop
    assert_eq!(codes.iter().filter(|code| *code == "evidence_checkpoint").count(), 2);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_another_copy_of_the_state_has_continued_ends_and_a_new_one_names_it() {
    let harness = archived().await;
    let (state, copy) = (harness.path().join("bot.db"), harness.path().join("copy.db"));
    fs::copy(&state, &copy).unwrap();
    // a start and a stop: two more entries' worth of history, and no message file
    Bot::start(attesting(&harness)).await.stop().await.unwrap();
    fs::rename(&copy, &state).unwrap();
    let (events, heard) = heard();
    let bot = Bot::start(Options { events, ..attesting(&harness) }).await;
    let mut bob = harness.device("bob").await;
    let room = bob.create(ConversationKind::Room, &[]).await.unwrap();
    bob.send(&room, &text("archived all the same")).await.unwrap();
    bot.saved(2).await;
    bot.stop().await.unwrap();
    assert!(heard.codes().await.contains(&"evidence_chain_broken".to_owned()));
    let logs = logs(&harness);
    assert_eq!(logs.len(), 2);
    let named = logs.values().find_map(|entries| match &entries[0].body {
        Body::Genesis(genesis) if genesis.because == GenesisBecause::StateOlder => genesis.previous_log.clone(),
        _ => None,
    });
    let named = named.unwrap();
    assert_eq!((logs[&named.log.to_string()].len(), named.size.0), (4, 3));
    let report = judged(&harness, Vec::new(), Vec::new());
    assert_eq!(report.verdict, Verdict::Declared, "{:?}", report.findings);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_that_is_switched_off_ends_its_log_and_the_time_without_it_shows() {
    let harness = archived().await;
    let run = |evidence| Bot::start(Options { evidence, ..harness.options() });
    run(None).await.stop().await.unwrap();
    assert_eq!(kinds(logs(&harness).values().next().unwrap()), ["genesis", "segment", "segment", "close"]);
    // once
    run(None).await.stop().await.unwrap();
    run(Some(attested(harness.path()))).await.stop().await.unwrap();
    let logs = logs(&harness);
    let mut lengths: Vec<usize> = logs.values().map(Vec::len).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [1, 4]);
    let report = judged(&harness, Vec::new(), Vec::new());
    assert_eq!(report.verdict, Verdict::Declared, "{:?}", report.findings);
    assert!(causes(&report).contains(&Code::UnattestedTime), "{:?}", report.findings);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_state_begins_a_log_that_names_the_old_one_and_vouches_for_nothing_of_it() {
    let harness = archived().await;
    let (old, entries) = logs(&harness).pop_first().unwrap();
    for file in ["bot.db", "bot.db-wal", "bot.db-shm"] {
        fs::remove_file(harness.path().join(file)).ok();
    }
    Bot::start(attesting(&harness)).await.stop().await.unwrap();
    let logs = logs(&harness);
    let new = logs.iter().find(|(log, _)| **log != old).unwrap().1;
    let Body::Genesis(genesis) = &new[0].body else { panic!("{:?}", new[0].body) };
    assert_eq!(genesis.because, GenesisBecause::StateLost);
    let previous = genesis.previous_log.as_ref().unwrap();
    assert_eq!((previous.log.to_string(), previous.size.0), (old, entries.len() as u64));
    assert_eq!(genesis.segments_before.len(), 2);
    harness.stop().await;
}
