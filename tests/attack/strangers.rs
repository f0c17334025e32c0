//! Whoever can reach a port, and has no account.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::net::IpAddr;
use std::time::Duration;

use retaind::protocol::wire::{Answer, RefusalCode, Register};
use serde_json::Value;

use crate::support::attack::strangers::{ended, gets_in, guess, guesses, idle_sockets, many_hellos, plain_text};
use crate::support::program::{Program, retaind};
use crate::support::raw::{BOT, BOT_PASSWORD, Raw, Served, user};

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_has_a_handful_of_requests_and_one_hello() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let answers = many_hellos(&served.endpoint, 200).await;
    let told = answers.iter().filter(|answer| matches!(answer, Answer::NetworkInfo(_))).count();
    assert_eq!(told, 1);
    assert!(answers.len() <= 10, "{} answers", answers.len());
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_sockets_of_one_address_lock_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let mut idle = idle_sockets(&served.endpoint, HERE, 1200).await;
    for _ in 0..20 {
        gets_in(&served.endpoint).await.unwrap();
    }
    // the oldest was ended to make room
    ended(&mut idle[0]).await;
    drop(idle);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refused_connections_is_a_line_and_not_one_each() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().to_str().unwrap().to_owned();
    let mut command = retaind(&["network", "serve", "--listen", "127.0.0.1:0", "--directory", &directory]);
    let mut program = Program::start(&mut command);
    program.says("network listens").await;
    let endpoint = retaind::network::Admin::open(folder.path());
    let mut endpoint = endpoint.unwrap();
    let endpoint = loop {
        // it is written when the network is about to accept
        if let Ok(endpoint) = endpoint.endpoint() {
            break endpoint;
        }
        tokio::task::yield_now().await;
    };
    plain_text(&endpoint, 300).await;
    gets_in(&endpoint).await.unwrap();
    let line = program.says("requests or connections were refused").await;
    assert!(line.contains("failed_handshakes"), "{line}");
    program.signal("TERM");
    let (code, log) = program.ends().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.lines().count() < 10, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_a_password_gets_slower_and_slower() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    served.network.admin(|admin| admin.ensure_bot(&user(BOT), BOT_PASSWORD)).unwrap();
    let refused = guesses(&served.endpoint, BOT, 30).await;
    let checked = refused.iter().filter(|code| **code == RefusalCode::Password).count();
    assert!((1..=12).contains(&checked), "{checked} guesses of 30 were checked");
    assert_eq!(refused.last(), Some(&RefusalCode::Unavailable));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_log_ins_are_audited_in_few_rows_and_without_what_they_were_tried_with() {
    const GUESSES: usize = 30;
    const NAMES: usize = 40;
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start_with(folder.path(), |mut options| {
        options.limits.summary = Duration::from_millis(20);
        options
    });
    let served = served.await;
    served.network.admin(|admin| admin.ensure_bot(&user(BOT), BOT_PASSWORD)).unwrap();
    guesses(&served.endpoint, BOT, GUESSES).await;
    let hostile = format!("a\n\u{202e}{}", "b".repeat(10_000));
    guess(&served.endpoint, &hostile, "a wrong guess").await;
    for number in 0..NAMES {
        guess(&served.endpoint, &format!("guess-{number}"), "a wrong guess").await;
    }
    // one that gets in is none
    drop(served.device("alice").await);
    let invite = Register { invite_code: "rti1_none".into(), ..Register::default() };
    Raw::register(&served.endpoint, invite).await.err().unwrap();
    let all = (GUESSES + NAMES + 2) as u64;
    let rows = loop {
        let rows = served.network.admin(|admin| admin.failed_log_ins()).unwrap();
        if rows.iter().map(|row| row.count).sum::<u64>() == all {
            break rows;
        }
        tokio::task::yield_now().await;
    };
    // 16 accounts and all others; twice that if ten minutes ended meanwhile
    assert!((17..=34).contains(&rows.len()), "{rows:?}");
    assert!(rows.iter().all(|row| row.address.as_deref() == Some("127.0.0.1")));
    let of_bot = rows.iter().filter(|row| row.account.as_deref() == Some(&format!("bot {BOT}")));
    assert_eq!(of_bot.map(|row| row.count).sum::<u64>(), GUESSES as u64);

    let audit = |arguments: &[&str]| {
        let directory = folder.path().to_str().unwrap();
        let output = retaind(&[&["network", "audit", "--directory", directory], arguments].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let table = audit(&[]);
    assert_eq!(table.lines().count(), rows.len() + 1, "{table}");
    assert!(
        table.starts_with("FIRST") && table.contains("bot a\\u{a}\\u{202e}bbb") && table.contains("(others)"),
        "{table}"
    );
    assert!(!table.contains('\u{202e}') && !table.contains("wrong guess") && table.len() < 8192, "{table}");
    let json: Vec<Value> = audit(&["--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(json.iter().map(|row| row["count"].as_u64().unwrap()).sum::<u64>(), all);
    assert!(json.iter().any(|row| row["account"].is_null()) && json.iter().all(|row| row["first"].is_string()));

    // what was not written yet is written at the end
    guess(&served.endpoint, BOT, "a wrong guess").await;
    served.stop().await;
    let counts = audit(&["--json"]);
    let counts = counts.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["count"].as_u64().unwrap());
    assert_eq!(counts.sum::<u64>(), all + 1);
}
