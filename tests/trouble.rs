//! Trouble with the machine: no more open files, a volume that is gone, files of somebody else, a clock that is wrong. Each is one
//! clear message with the right exit code, and nothing is lost.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use retaind::protocol::ids::ConversationKind;
use serde_json::Value;

use crate::support::archive::{acknowledged, say};
use crate::support::program::{Program, retaind, run_on};
use crate::support::{Harness, records};

fn bot(harness: &Harness) -> Command {
    run_on(harness.path(), &harness.endpoint)
}

/// The same command, run by a shell after `ulimit …`.
fn limited(ulimit: &str, command: &Command) -> Command {
    let mut shell = Command::new("/bin/bash");
    shell.args(["-c", &format!("{ulimit}; exec \"$@\""), "bash"]).arg(command.get_program()).args(command.get_args());
    shell.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}

/// The same with a clock on the wall that is off by this much.
fn at_another_time(off: &str, mut command: Command) -> Command {
    let folders = fs::read_dir("/usr/lib").unwrap().map(|folder| folder.unwrap().path());
    let library = folders.map(|folder| folder.join("faketime/libfaketime.so.1")).find(|library| library.exists());
    let library = library.unwrap_or_else(|| panic!("no libfaketime below /usr/lib: `tests/setup` installs `faketime`"));
    command.env("LD_PRELOAD", library).env("FAKETIME", off).env("DONT_FAKE_MONOTONIC", "1");
    command
}

async fn ends(command: &mut Command) -> (Option<i32>, String) {
    Program::start(command).ends().await
}

/// The texts `0`, `1` … of this many messages, each once.
fn assert_texts(records: &[Value], messages: usize) {
    let mut texts: Vec<usize> = records.iter().filter_map(|r| r["message"].as_str()?.parse().ok()).collect();
    texts.sort_unstable();
    assert_eq!(texts, (0..messages).collect::<Vec<_>>());
}

/// Stops it, and what it says.
async fn stops(program: Program, expected: i32) -> String {
    program.signal("TERM");
    let (code, log) = program.ends().await;
    assert_eq!(code, Some(expected), "{log}");
    log
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_open_files_are_78_before_anything_is_made() {
    let harness = Harness::start();
    for limit in ["9", "16", "32", "255"] {
        let (code, log) = ends(&mut limited(&format!("ulimit -n {limit}"), &bot(&harness))).await;
        assert_eq!(code, Some(78), "{log}");
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(log.contains(&format!("error: the process may have only {limit} files open (`ulimit -Hn`)")), "{log}");
    }
    assert!(!harness.path().join("state").exists());
    // a soft limit is raised as far as the hard one goes
    let mut program = Program::start(&mut limited("ulimit -Sn 20; ulimit -Hn 4096", &bot(&harness)));
    program.says("receives").await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", program.pid())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().nth(3), Some("4096"), "{files}");
    stops(program, 0).await;
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_that_runs_out_of_files_at_work_says_so_and_the_next_one_has_everything_once() {
    let harness = Harness::start();
    let mut program = Program::start(&mut bot(&harness));
    program.says("receives").await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    say(&mut alice, &room, 0..5).await;
    acknowledged(&harness).await;
    // what is open stays open, and nothing more can be
    let nofile = rustix::process::Rlimit { current: Some(3), maximum: Some(3) };
    let pid = rustix::process::Pid::from_raw(i32::try_from(program.pid()).unwrap());
    rustix::process::prlimit(pid, rustix::process::Resource::Nofile, nofile).unwrap();
    program.signal("USR1");
    say(&mut alice, &room, 5..10).await;
    let (code, log) = program.ends().await;
    assert_eq!(code, Some(75), "{log}");
    assert!(log.contains("too many files are open; raise the limit (`ulimit -n`)"), "{log}");
    let mut program = Program::start(&mut bot(&harness));
    program.says("receives").await;
    acknowledged(&harness).await;
    stops(program, 0).await;
    assert_texts(&harness.records(), 10);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_is_gone_is_named_and_once_it_is_back_everything_is_there_once() {
    let harness = Harness::start();
    let mut program = Program::start(&mut bot(&harness));
    program.says("receives").await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    say(&mut alice, &room, 0..5).await;
    acknowledged(&harness).await;
    let elsewhere = harness.path().join("unplugged");
    fs::rename(harness.messages(), &elsewhere).unwrap();
    program.signal("USR1");
    let (code, log) = program.ends().await;
    assert_eq!(code, Some(75), "{log}");
    let (log, error) = log.split_once("error: ").unwrap();
    assert!(error.contains(harness.messages().to_str().unwrap()), "{error}");
    let reason = error.lines().next().unwrap();
    // the event for operators, which has the same words, is in the log as every event is
    let errors = log.lines().filter(|line| line.contains("ERROR") && !line.contains(" event="));
    let told: Vec<&str> = errors.filter(|line| line.contains(reason)).collect();
    assert!(matches!(told[..], [one] if one.contains("the program ends")), "the reason is logged once: {log}");
    // started without it: an empty directory is no substitute for what was acknowledged
    say(&mut alice, &room, 5..10).await;
    let (code, log) = ends(&mut bot(&harness)).await;
    assert_eq!(code, Some(75), "{log}");
    assert!(log.split_once("error: ").unwrap().1.contains(harness.messages().to_str().unwrap()), "{log}");
    assert_eq!(records(&elsewhere).len(), 6);
    fs::remove_dir_all(harness.messages()).unwrap();
    fs::rename(&elsewhere, harness.messages()).unwrap();
    let mut program = Program::start(&mut bot(&harness));
    program.says("receives").await;
    acknowledged(&harness).await;
    stops(program, 0).await;
    assert_texts(&harness.records(), 10);
    harness.stop().await;
}

/// Somebody who may do nothing special.
const NOBODY: u32 = 65_534;

/// A bot of a user for whom permissions count: root is let in everywhere.
fn by_nobody(harness: &Harness) -> Command {
    let program = harness.path().join("retaind");
    if !program.exists() {
        // where everybody may read it
        fs::copy(retaind(&[]).get_program(), &program).unwrap();
    }
    let original = bot(harness);
    let mut command = Command::new(program);
    command.args(original.get_args()).env_clear();
    command.envs(original.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("RETAIND_LOGS", "off");
    if rustix::process::getuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn give(path: &Path, owner: u32, mode: u32) {
    if rustix::process::getuid().is_root() {
        chown(path, Some(owner), Some(owner)).unwrap();
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_the_bots_user_may_not_write_is_78_and_says_whose_it_should_be() {
    let harness = Harness::start();
    give(harness.path(), NOBODY, 0o755);
    let mut command = by_nobody(&harness);
    let mut program = Program::start(&mut command);
    program.says("receives").await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    say(&mut alice, &room, 0..3).await;
    acknowledged(&harness).await;
    stops(program, 0).await;

    let state = harness.path().join("state");
    let database = state.join("bot.db");
    let before = fs::read(&database).unwrap();
    let refused = async |command: &mut Command, path: &Path| {
        let (code, log) = ends(command).await;
        assert_eq!(code, Some(78), "{log}");
        let error = log.split_once("error: ").unwrap().1;
        assert!(
            error.contains(path.to_str().unwrap()) && error.contains("give it to the user that runs the bot"),
            "{error}"
        );
    };
    // read-only, as from a volume of somebody else
    give(&state, NOBODY, 0o555);
    refused(&mut command, &state).await;
    give(&state, NOBODY, 0o700);
    give(&database, NOBODY, 0o400);
    refused(&mut command, &database).await;
    if rustix::process::getuid().is_root() {
        give(&state, 0, 0o755);
        refused(&mut command, &state).await;
        give(&state, 0, 0o700);
        refused(&mut command, &state).await;
        give(&state, NOBODY, 0o700);
        give(&database, 0, 0o600);
        refused(&mut command, &database).await;
    }
    assert_eq!(fs::read(&database).unwrap(), before, "byte for byte");
    give(&database, NOBODY, 0o600);
    say(&mut alice, &room, 3..6).await;
    let mut program = Program::start(&mut command);
    program.says("receives").await;
    acknowledged(&harness).await;
    stops(program, 0).await;
    assert_texts(&harness.records(), 6);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_a_year_wrong_either_way_loses_and_doubles_nothing() {
    let harness = Harness::start();
    let mut alice = harness.device("alice").await;
    let mut said = 0;
    let mut room = None;
    for clock in ["+0", "+365d", "-365d", "+0"] {
        let mut program = Program::start(&mut at_another_time(clock, bot(&harness)));
        program.says("receives").await;
        let room = match &room {
            Some(room) => *room,
            None => *room.insert(alice.create(ConversationKind::Room, &[]).await.unwrap()),
        };
        say(&mut alice, &room, said..said + 5).await;
        said += 5;
        acknowledged(&harness).await;
        let log = stops(program, 0).await;
        let told = log.matches("the system's clock is behind the network's").count();
        assert_eq!(told, usize::from(clock == "-365d"), "{log}");
        assert_texts(&harness.records(), said);
    }
    let year = |record: &Value| record["received_iso"].as_str().unwrap()[..4].to_owned();
    let years: BTreeSet<String> = harness.records().iter().map(year).collect();
    assert_eq!(years.len(), 3, "the clocks were wrong: {years:?}");
    harness.stop().await;
}
