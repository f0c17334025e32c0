//! A bot that a supervisor starts again and again does not hammer the network, and says when that is in vain.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use retaind::bot::starts::History;
use retaind::protocol::endpoint::Endpoint;
use retaind::protocol::ids::ConversationKind;

use crate::support::gate::Gate;
use crate::support::program::{Program, run_on};
use crate::support::{Harness, text};

/// Failed so often before, long ago: nothing to wait for.
fn failed_long_ago(home: &Path, failed_in_a_row: u32) {
    write(home, History { failed_in_a_row, last_failed_millis: 0, pause_millis: 60_000 });
}

/// As after this many failures, the last a moment ago.
fn failed_now(home: &Path, failed_in_a_row: u32) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let last_failed_millis = i64::try_from(now).unwrap();
    write(home, History { failed_in_a_row, last_failed_millis, pause_millis: 60_000 });
}

fn write(home: &Path, history: History) {
    fs::create_dir_all(home.join("state")).unwrap();
    fs::write(home.join("state/starts.json"), serde_json::to_string(&history).unwrap()).unwrap();
}

/// As if the last start had failed only now, however long this machine takes for the next one: a failure in the future
/// is waited for in full.
fn none_of_the_pause_has_passed(home: &Path) {
    let text = fs::read_to_string(home.join("state/starts.json")).unwrap();
    write(home, History { last_failed_millis: i64::MAX, ..serde_json::from_str(&text).unwrap() });
}

/// How many are remembered.
fn failed(home: &Path) -> Option<u32> {
    let text = fs::read_to_string(home.join("state/starts.json")).ok()?;
    Some(serde_json::from_str::<History>(&text).unwrap().failed_in_a_row)
}

/// A bot whose network is away: the port is one of those that nobody is given.
fn away(harness: &Harness) -> Command {
    run_on(harness.path(), &Endpoint { address: "127.0.0.1:9".to_owned(), ..harness.endpoint.clone() })
}

async fn ends(command: &mut Command) -> (Option<i32>, String) {
    Program::start(command).ends().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_after_a_failed_one_waits_before_it_asks_the_network() {
    let harness = Harness::start();
    let mut command = away(&harness);
    let (code, log) = ends(&mut command).await;
    assert_eq!((code, failed(harness.path())), (Some(75), Some(1)), "{log}");
    assert!(!log.contains("waits before asking") && log.contains("this start failed"), "{log}");
    none_of_the_pause_has_passed(harness.path());
    let began = Instant::now();
    let (code, log) = ends(&mut command).await;
    assert_eq!((code, failed(harness.path())), (Some(75), Some(2)), "{log}");
    assert!(log.contains("earlier starts failed: waits before asking the network failed=1"), "{log}");
    assert!(began.elapsed() >= Duration::from_millis(500), "half a second at least");
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fifth_failure_in_a_row_says_so_with_its_cause_and_the_remedy() {
    let harness = Harness::start();
    failed_long_ago(harness.path(), 4);
    let mut command = away(&harness);
    let (code, log) = ends(&mut command).await;
    assert_eq!((code, failed(harness.path())), (Some(75), Some(5)), "{log}");
    let error = log.split_once("error: ").unwrap().1;
    assert!(error.starts_with("5 starts in a row have failed (the limit is 5): put right what caused it"), "{error}");
    assert!(error.contains("\n  caused by: ") && error.contains("127.0.0.1:9"), "{error}");
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_the_wait_and_the_network_was_not_asked() {
    let harness = Harness::start();
    failed_now(harness.path(), 6);
    let gate = Gate::to(&harness.endpoint).await;
    let mut program = Program::start(&mut run_on(harness.path(), &gate.endpoint(&harness.endpoint)));
    program.says("waits before asking the network").await;
    program.signal("TERM");
    let (code, log) = program.ends().await;
    assert_eq!((code, failed(harness.path())), (Some(0), Some(6)), "{log}");
    assert_eq!(gate.accepted.get(), 0);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_that_works_forgets_failures_and_a_stop_as_told_is_none() {
    let harness = Harness::start();
    let home = harness.path();
    failed_long_ago(home, 4);
    let mut command = run_on(home, &harness.endpoint);
    let mut program = Program::start(&mut command);
    program.says("receives").await;
    assert_eq!(failed(home), Some(4), "a log-in is no work yet");
    program.signal("TERM");
    let (code, log) = program.ends().await;
    assert_eq!((code, failed(home)), (Some(0), Some(4)), "{log}");

    let mut program = Program::start(&mut command);
    program.says("receives").await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    alice.send(&room, &text("one")).await.unwrap();
    program.says("earlier failed starts are forgotten").await;
    assert_eq!(failed(home), None);
    program.signal("TERM");
    assert_eq!(program.ends().await.0, Some(0));
    assert_eq!(failed(home), None);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_counted_where_the_network_was_asked_and_only_there() {
    let harness = Harness::start();
    let home = harness.path();
    let gate = Gate::to(&harness.endpoint).await;
    let mut command = run_on(home, &gate.endpoint(&harness.endpoint));
    let mut wrong = run_on(home, &gate.endpoint(&harness.endpoint));
    wrong.env("WICKRIO_BOT_PASSWORD", "not the bot's password").env_remove("WICKRIO_ROTATE_PASSWORD");
    let (code, log) = ends(&mut wrong).await;
    assert_eq!((code, failed(home), gate.accepted.get()), (Some(78), Some(1), 1), "{log}");
    none_of_the_pause_has_passed(home);
    let (code, log) = ends(&mut wrong).await;
    assert_eq!((code, failed(home), gate.accepted.get()), (Some(78), Some(2), 2), "{log}");
    assert!(log.contains("waits before asking the network"), "{log}");
    // the state was made under that password, which opens it: a new one for the right password
    fs::remove_dir_all(home.join("state")).unwrap();
    let mut program = Program::start(&mut command);
    program.says("receives").await;
    program.signal("TERM");
    assert_eq!(program.ends().await.0, Some(0));
    let asked = gate.accepted.get();
    let (code, log) = ends(&mut wrong).await;
    assert_eq!((code, failed(home), gate.accepted.get()), (Some(78), None, asked), "found out here: {log}");
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_count_is_a_warning_and_keeps_nothing_from_starting() {
    let harness = Harness::start();
    fs::create_dir_all(harness.path().join("state")).unwrap();
    fs::write(harness.path().join("state/starts.json"), b"\xff{\"failed_in_a_row\":99").unwrap();
    let mut program = Program::start(&mut run_on(harness.path(), &harness.endpoint));
    program.says("the count of failed starts cannot be read").await;
    program.says("receives").await;
    program.signal("TERM");
    assert_eq!(program.ends().await.0, Some(0));
    harness.stop().await;
}
