//! The log of the program: where it goes, how it reads, and what is never in it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::io::{ErrorKind, PipeReader, PipeWriter, Write, pipe};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use retaind::device::blob;
use retaind::protocol::content::{AttachmentKind, Body};
use retaind::protocol::ids::ConversationKind;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use serde_json::Value;

use crate::stop::with_silent_aws;
use crate::support::archive::acknowledged;
use crate::support::aws::proxy::Proxy;
use crate::support::http::get;
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

/// A pipe that is full, and stays so as long as nobody reads it.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    // the last ones one by one: a pipe that has room for a part of a line would take it
    for size in [4096, 1] {
        let error = loop {
            if let Err(error) = writer.write_all(&[b'\n'; 4096][..size]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

/// A program that is killed when the test is done with it.
struct Unheard {
    child: Child,
    /// Keeps the pipe open.
    _reader: PipeReader,
}

impl Unheard {
    /// Its standard output and standard error are one full pipe.
    fn start(command: &mut Command) -> Self {
        let (reader, writer) = full_pipe();
        command.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer);
        Self { child: command.spawn().unwrap(), _reader: reader }
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("sh").arg("-c").arg(format!("kill -{signal} {}", self.child.id())).status();
        assert!(status.unwrap().success());
    }

    async fn ends(&mut self) -> Option<i32> {
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        // it has ended, or the test has failed
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The line of the log files that holds `text`. Another process writes them: there is nothing but to look.
async fn written(harness: &Harness, text: &str) -> String {
    loop {
        let logs = harness.path().join("logs");
        let lines = if logs.exists() { files(&logs) } else { String::new() };
        if let Some(line) = lines.lines().find(|line| line.contains(text)) {
            return line.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn sample(page: &str, name: &str) -> u64 {
    let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no `{name}` in\n{page}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// What a queue that is full drops, and that it is counted, is tested with the queue itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_stops_no_stage_and_the_files_have_it() {
    let harness = Harness::start();
    let mut command = bot(&harness);
    command.env("RETAIND_HEALTH", "127.0.0.1:0");
    let mut program = Unheard::start(&mut command);
    let at = written(&harness, "health endpoint listens").await.rsplit_once("address=").unwrap().1.to_owned();
    written(&harness, "receives from the network").await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    for number in 0..100 {
        alice.send(&room, &text(&number.to_string())).await.unwrap();
    }
    acknowledged(&harness).await;
    let page = get(&at, "/metrics").await.body;
    for stream in ["output", "files"] {
        assert_eq!(sample(&page, &format!("retaind_log_lines_dropped_total{{stream=\"{stream}\"}}")), 0, "{page}");
    }
    assert_eq!(get(&at, "/readyz").await.json()["log_lines_dropped"], 0);

    let told = Instant::now();
    program.signal("TERM");
    assert_eq!(program.ends().await, Some(0));
    assert!(told.elapsed() < Duration::from_secs(8), "took {:?}", told.elapsed());
    written(&harness, "Shutting down").await;
    assert_eq!(harness.records().len(), 101);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_that_fails_ends_with_its_code_though_nobody_reads_why() {
    let harness = Harness::start();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = bot(&harness);
    let mut program = Unheard::start(command.env("RETAIND_HEALTH", taken.local_addr().unwrap().to_string()));
    assert_eq!(program.ends().await, Some(75));
    let log = files(&harness.path().join("logs"));
    assert_eq!(log.matches("the program ends").count(), 1, "the reason is in the log, once: {log}");
    assert!(log.contains("RETAIND_HEALTH"), "{log}");
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_lines_are_on_the_output_and_in_the_files_however_the_bot_ends() {
    let harness = Harness::start();
    let has = |log: &str, words: &str| {
        assert!(log.contains(words), "{log}");
        assert!(files(&harness.path().join("logs")).contains(words), "`{words}` is not in the files\n{log}");
    };
    let mut program = Program::start(&mut bot(&harness));
    program.says("receives").await;
    has(&ends_well(program).await, "Shutting down");

    let mut failing = bot(&harness);
    failing.env("WICKRIO_BOT_PASSWORD", "not the one in force").env_remove("WICKRIO_ROTATE_PASSWORD");
    let failing = Program::start(&mut failing);
    let (code, log) = failing.ends().await;
    assert_eq!(code, Some(78), "{log}");
    has(&log, "failedlogin");

    // a start that waits for AWS, which never answers, hears no order to stop
    let aws = Proxy::start("127.0.0.1:9");
    let mut hanging = bot(&harness);
    with_silent_aws(&mut hanging, &aws);
    hanging.env("RETAIND_OBJECT_LOCK_LEGAL_HOLD", "on");
    for (grace, words) in [("3600", "second signal: the drain is cut short"), ("1", "(RETAIND_GRACE_SECONDS) is over")]
    {
        let asked = aws.requests().len();
        let mut program = Program::start(hanging.env("RETAIND_GRACE_SECONDS", grace));
        aws.until(|seen| seen.len() > asked).await;
        program.signal("TERM");
        while grace == "3600" && program.runs() {
            program.signal("INT");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (code, log) = program.ends().await;
        assert_eq!(code, Some(75), "{log}");
        has(&log, words);
    }
    harness.stop().await;
}
