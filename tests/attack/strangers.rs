//! Whoever can reach a port, and has no account.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::net::IpAddr;

use retaind::protocol::wire::{Answer, RefusalCode};

use crate::support::attack::strangers::{ended, gets_in, guesses, idle_sockets, many_hellos, plain_text};
use crate::support::program::{Program, retaind};
use crate::support::raw::{BOT, BOT_PASSWORD, Served, user};

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
