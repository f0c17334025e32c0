//! The log of the program: where it goes, how it reads, and what is never in it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use retaind::device::blob;
use retaind::protocol::content::{AttachmentKind, Body};
use retaind::protocol::ids::ConversationKind;
use serde_json::Value;

use crate::support::program::{Program, run_on};
use crate::support::{Harness, PASSWORD, content, text, user};

fn bot(harness: &Harness) -> Command {
    run_on(harness.path(), &harness.endpoint)
}

async fn ends_well(bot: Program) -> String {
    bot.signal("TERM");
    let (code, log) = bot.ends().await;
    assert_eq!(code, Some(0), "{log}");
    log
}

fn events(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("`{line}`: {e}"))).collect()
}

/// All log files of a directory.
fn files(directory: &Path) -> String {
    fs::read_dir(directory).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_terminal_is_every_line_is_json_and_the_file_has_the_same() {
    let harness = Harness::start();
    let mut program = Program::start(bot(&harness).env("RETAIND_LOG_FORMAT", "auto"));
    program.says("receives").await;
    let log = ends_well(program).await;
    let told = events(&log);
    assert!(told.iter().any(|event| event["message"] == "receives from the network"), "{log}");
    for event in &told {
        assert!(event["timestamp"].is_string() && event["level"].is_string() && event["target"].is_string(), "{event}");
    }
    let path = harness.path().join("logs/retaind.log");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let messages = |events: &[Value]| events.iter().map(|event| event["message"].clone()).collect::<Vec<_>>();
    assert_eq!(messages(&events(&fs::read_to_string(path).unwrap())), messages(&told));
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_opens_the_log_file_anew_and_the_bot_goes_on() {
    let harness = Harness::start();
    let logs = harness.path().join("logs");
    let mut program = Program::start(&mut bot(&harness));
    program.says("receives").await;
    fs::rename(logs.join("retaind.log"), logs.join("moved")).unwrap();
    program.signal("HUP");
    program.says("log file opened anew").await;
    while !logs.join("retaind.log").exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(program.runs());
    ends_well(program).await;
    assert!(fs::read_to_string(logs.join("moved")).unwrap().contains("receives from the network"));
    let new = fs::read_to_string(logs.join("retaind.log")).unwrap();
    assert!(new.contains("Shutting down") && !new.contains("receives from the network"), "{new}");
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_files_that_cannot_be_written_are_one_warning_and_no_end() {
    let harness = Harness::start();
    let file = harness.path().join("a-file");
    fs::write(&file, "").unwrap();
    let mut program = Program::start(bot(&harness).env("RETAIND_LOGS", &file));
    program.says("receives").await;
    program.signal("HUP");
    let log = ends_well(program).await;
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("RETAIND_LOGS")).collect();
    assert_eq!(warnings.len(), 1, "{log}");
    assert!(warnings[0].contains("WARN") && warnings[0].contains("a-file/retaind.log"), "{}", warnings[0]);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_say_and_the_password_are_in_no_log_however_much_is_logged() {
    const CANARY: &str = "canary-41d07a-what-the-third-floor-said";
    let harness = Harness::start();
    for format in ["json", "text"] {
        let mut program = Program::start(bot(&harness).envs([("RUST_LOG", "trace"), ("RETAIND_LOG_FORMAT", format)]));
        program.says("receives from the network").await;
        let mut alice = harness.device(&format!("alice-{format}")).await;
        let _bob = harness.device(&format!("bob-{format}")).await;
        let room = alice.create(ConversationKind::Room, &[user(&format!("bob-{format}"))]).await.unwrap();
        alice.send(&room, &text(CANARY)).await.unwrap();
        let file = harness.path().join(format!("{CANARY}.txt"));
        fs::write(&file, CANARY.repeat(100)).unwrap();
        let attachment = blob::upload(alice.connection(), &file, AttachmentKind::File).await.unwrap();
        alice.send(&room, &content(Body::File(attachment))).await.unwrap();
        while harness.unacknowledged() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let log = ends_well(program).await + &files(&harness.path().join("logs"));
        assert!(log.matches("receives from the network").count() >= 2, "the files do not have what was told");
        assert!(!log.contains(CANARY) && !log.contains(PASSWORD));
    }
    let archived: String = harness.records().iter().map(Value::to_string).collect();
    assert!(archived.contains(CANARY), "there was nothing to keep out of the log");
    harness.stop().await;
}
