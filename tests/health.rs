//! What a bot answers about itself: true in each state, the same for programs and people, and to nobody's harm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use retaind::protocol::endpoint::Endpoint;
use retaind::protocol::ids::ConversationKind;
use retaind::report::health::server::{CONNECTIONS_MAX, HEAD_BYTES_MAX};
use retaind::report::metrics::METRICS;
use retaind::report::status::{Receiving, Stages, Standing};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::http::{Answer, exchange, get, request};
use crate::support::program::{self, Program, retaind};
use crate::support::{Harness, PASSWORD, text, user};

/// `retaind run` that can be asked.
fn bot(home: &Path, network: &Endpoint) -> Command {
    let mut command = program::run_on(home, network);
    command.env("RETAIND_HEALTH", "127.0.0.1:0");
    command
}

/// Where the bot can be asked.
async fn address(bot: &mut Program) -> String {
    let line = bot.says("health endpoint listens").await;
    line.rsplit_once("address=").unwrap().1.to_owned()
}

/// Asks until the answer is this one. Another process knows: there is nothing but to ask again.
async fn until(address: &str, path: &str, right: impl Fn(&Answer) -> bool) -> Answer {
    loop {
        let answer = get(address, path).await;
        if right(&answer) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// `retaind status`: exit code and what it says.
fn status(health: &str) -> (Option<i32>, String, String) {
    let output = retaind(&["status"]).env("RETAIND_HEALTH", health).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_is_ready_exactly_while_it_receives() {
    let harness = Harness::start();
    let mut command = bot(harness.path(), &harness.endpoint);
    let mut first = Program::start(&mut command);
    first.says("receives").await;
    first.signal("TERM");
    assert_eq!(first.ends().await.0, Some(0));

    // the network is away, so that the bot has not been logged in
    let away = harness.leave().await;
    let mut program = Program::start(&mut command);
    let at = address(&mut program).await;
    program.says("network is away").await;
    let answer = get(&at, "/readyz").await;
    assert_eq!((answer.status, answer.reasons()), (503, vec!["starting".to_owned()]), "{answer:?}");
    let (code, out, err) = status(&at);
    assert_eq!(code, Some(75), "{out}{err}");
    assert!(out.contains("not ready\n  starting: not logged in"), "{out}");
    assert_eq!(get(&at, "/livez").await.status, 200, "a restart would not help");

    let harness = away.come_back();
    let answer = until(&at, "/readyz", |answer| answer.status == 200).await;
    assert_eq!(answer.json()["ready"], true);
    assert!(answer.reasons().is_empty());
    let (code, out, err) = status(&at);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains(": ready\n") && out.contains("\nfree bytes for messages"), "{out}");

    let away = harness.leave().await;
    let answer = until(&at, "/readyz", |answer| answer.status == 503).await;
    assert_eq!(answer.reasons(), ["network_away"]);
    assert_eq!(get(&at, "/livez").await.status, 200);
    let harness = away.come_back();
    until(&at, "/readyz", |answer| answer.status == 200).await;
    program.signal("TERM");
    let (code, log) = program.ends().await;
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(status(&at).0, Some(75), "there is no bot any more");
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_the_watchdog_calls_critical_is_a_reason_for_programs_and_for_people() {
    let harness = Harness::start();
    let mut command = bot(harness.path(), &harness.endpoint);
    // an eighth of this is more than any disk has
    let mut program = Program::start(command.env("RETAIND_DISK_LOW", (1u64 << 40).to_string()));
    let at = address(&mut program).await;
    let answer = until(&at, "/readyz", |answer| answer.reasons() == ["disk_full"]).await;
    assert_eq!(answer.status, 503);
    let (code, out, err) = status(&at);
    assert_eq!(code, Some(75), "{err}");
    assert!(out.contains("\n  disk_full: too little disk is free, no more messages are taken"), "{out}");
    assert!(out.contains("\nfree bytes for state"), "{out}");
    assert_eq!(get(&at, "/livez").await.status, 200, "a restart frees no space");
    program.signal("TERM");
    assert_eq!(program.ends().await.0, Some(0));

    // who wants no such limit is ready on the same disk
    let mut program = Program::start(command.env("RETAIND_DISK_LOW", "0"));
    let at = address(&mut program).await;
    until(&at, "/readyz", |answer| answer.status == 200).await;
    program.signal("TERM");
    assert_eq!(program.ends().await.0, Some(0));
    harness.stop().await;
}

/// The value of a sample.
fn sample(page: &str, name: &str) -> u64 {
    let line = page.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_else(|| panic!("no `{name}`"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_openmetrics_with_every_name_and_follow_what_happens() {
    let harness = Harness::start();
    let mut program = Program::start(&mut bot(harness.path(), &harness.endpoint));
    let at = address(&mut program).await;
    program.says("receives").await;
    let mut alice = harness.device("alice").await;
    let _bob = harness.device("bob").await;
    let room = alice.create(ConversationKind::Room, &[user("bob")]).await.unwrap();
    for number in 0..20 {
        alice.send(&room, &text(&format!("canary {number}"))).await.unwrap();
    }
    let saved = |answer: &Answer| sample(&answer.body, "retaind_messages_saved_total") >= 21;
    until(&at, "/metrics", saved).await;
    let lag = |answer: &Answer| sample(&answer.body, "retaind_lag_messages") == 0;
    let answer = until(&at, "/metrics", lag).await;
    assert!(answer.head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let page = answer.body;
    assert!(!page.contains("canary") && !page.contains("alice") && !page.contains(PASSWORD), "{page}");

    let mut families = BTreeSet::new();
    let mut samples = BTreeSet::new();
    let lines = page.strip_suffix("# EOF\n").expect("the end of the page").lines();
    for line in lines {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["#", "TYPE", name, "counter" | "gauge" | "info"] => assert!(families.insert((*name).to_owned()), "{line}"),
            ["#", "UNIT", name, unit] => assert!(families.contains(*name) && name.ends_with(unit), "{line}"),
            ["#", "HELP", name, ..] => assert!(families.contains(*name), "{line}"),
            [name, value] => {
                value.parse::<u64>().unwrap();
                let name = name.split('{').next().unwrap();
                let family = name.strip_suffix("_total").or(name.strip_suffix("_info")).unwrap_or(name);
                assert!(families.contains(family), "{line}");
                samples.insert(name.to_owned());
            }
            _ => panic!("not OpenMetrics: {line}"),
        }
    }
    for metric in &METRICS {
        assert!(samples.contains(&format!("retaind_{}_total", metric.name.to_lowercase())), "{}", metric.name);
    }
    for name in [
        "ready",
        "lag_messages",
        "unshipped_files",
        "unshipped_bytes",
        "parked_files",
        "oldest_unshipped_age_seconds",
        "disk_free_bytes",
        "build_info",
    ] {
        assert!(samples.contains(&format!("retaind_{name}")), "{name}");
    }
    assert_eq!((sample(&page, "retaind_ready"), sample(&page, "retaind_logins_total")), (1, 1));
    assert!(page.matches("retaind_disk_free_bytes{directory=").count() == 3);
    program.signal("TERM");
    assert_eq!(program.ends().await.0, Some(0));
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_but_the_three_pages_is_answered_and_a_connection_ends_with_its_answer() {
    let harness = Harness::start();
    let mut program = Program::start(&mut bot(harness.path(), &harness.endpoint));
    let at = address(&mut program).await;
    for path in ["/", "/metrics/", "/livez/x", "/..", "/readyz%00", "/favicon.ico", "//livez"] {
        assert_eq!(get(&at, path).await.status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"] {
        let answer = request(&at, method, "/livez", "").await;
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.head.contains("allow: get, head"), "{}", answer.head);
    }
    let answer = request(&at, "HEAD", "/livez", "").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert_eq!(get(&at, "/livez?probe=1").await.json()["live"], true);

    // a body, announced or in chunks, is not read
    assert_eq!(request(&at, "GET", "/livez", "Content-Length: 1\r\n\r\nx").await.status, 413);
    let chunked = "Transfer-Encoding: chunked\r\n\r\n0\r\n";
    assert_eq!(request(&at, "GET", "/livez", chunked).await.status, 413);
    // a head that is too large, by one header, by many, or by its path
    let large = "x".repeat(HEAD_BYTES_MAX * 2);
    assert_eq!(request(&at, "GET", "/livez", &format!("X: {large}\r\n")).await.status, 431);
    assert_eq!(request(&at, "GET", "/livez", &"X: y\r\n".repeat(500)).await.status, 431);
    let answer = exchange(&at, format!("GET /{large} HTTP/1.1\r\n\r\n").as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    let answer = exchange(&at, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 no HTTP at all\r\n\r\n").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");

    // two requests on one connection: one answer
    let twice = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2);
    assert_eq!(exchange(&at, twice.as_bytes()).await.matches("HTTP/1.1 200").count(), 1);

    // connections that say nothing, or never come to an end, keep nobody out for long
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(&at).await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nX: ").await.unwrap();
        idle.push(stream);
    }
    assert_eq!(get(&at, "/livez").await.status, 200);
    drop(idle);
    program.signal("TERM");
    assert_eq!(program.ends().await.0, Some(0));
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_taken_is_named_before_anything_is_begun() {
    let harness = Harness::start();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = bot(harness.path(), &harness.endpoint);
    let (code, log) = Program::start(command.env("RETAIND_HEALTH", &address)).ends().await;
    assert_eq!(code, Some(75), "{log}");
    assert!(log.contains(&format!("health endpoint cannot listen on `{address}` (RETAIND_HEALTH)")), "{log}");
    assert!(!harness.path().join("state").exists());
    harness.stop().await;
}

#[test]
fn status_says_what_is_wrong_with_its_own_setting() {
    let (code, out, err) = status("off");
    assert_eq!((code, out.as_str()), (Some(78), ""));
    assert!(err.contains("`RETAIND_HEALTH` is `off`"), "{err}");
    let (code, _, err) = status("localhost");
    assert_eq!(code, Some(78), "{err}");
    // somebody else's port: it takes the request, and answers nothing that a bot would
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = stranger.local_addr().unwrap().to_string();
    let answering = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = stranger.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"ready\":true}").unwrap();
    });
    let (code, _, err) = status(&address);
    answering.join().unwrap();
    assert_eq!(code, Some(75));
    assert!(err.contains("is not a bot of this version"), "{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_in_hand_is_counted_out_again_also_when_the_network_delivers_twice() {
    let mut harness = Harness::start();
    let bot = harness.bot().await;
    let mut sent = 0;
    for life in 0..3 {
        let mut alice = harness.device(&format!("alice{life}")).await;
        let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
        for number in 0..30 {
            alice.send(&room, &text(&format!("{number}"))).await.unwrap();
        }
        sent += 31;
        drop(alice);
        // wherever the bot is with them: what is not acknowledged comes again
        harness = harness.restart().await;
    }
    bot.saved(sent).await;
    let counters = bot.counters.clone();
    while counters.messages_settled.get() < counters.messages_received.get() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let settled = counters.messages_settled.get();
    assert!(settled <= counters.messages_received.get(), "more went out than came in");
    bot.stop().await.unwrap();
    assert_eq!(counters.status.standing().stages, Stages::Stop);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_whose_stage_has_failed_says_so_as_long_as_it_lives() {
    let harness = Harness::start();
    let bot = harness.bot().await;
    let counters = bot.counters.clone();
    assert_eq!(counters.status.standing(), Standing { receiving: Receiving::Now, ..Standing::default() });
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    alice.send(&room, &text("one")).await.unwrap();
    bot.saved(2).await;
    // the next rotation finds no file to seal
    std::fs::remove_dir_all(harness.messages()).unwrap();
    bot.rotate().await;
    while counters.status.standing().stages != Stages::Failed {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    bot.stop().await.unwrap_err();
    assert_eq!(counters.status.standing().stages, Stages::Failed);
    harness.stop().await;
}
