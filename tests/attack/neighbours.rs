//! Neighbours of the host who ask the health endpoint.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::sync::Arc;
use std::time::Duration;

use retaind::report::counters::Counters;
use retaind::report::health::server::{CONNECTIONS_MAX, Server};
use retaind::report::health::{Found, Health, Look};
use retaind::report::status::Opinion;

use crate::support::attack::neighbours::half_requests;
use crate::support::http::{exchange, get};

struct Nothing;

impl Look for Nothing {
    fn look(&self) -> Found {
        Found::default()
    }

    fn opinion(&self) -> Opinion {
        Opinion::default()
    }
}

fn serve(names: &[&str]) -> (String, Arc<Counters>) {
    let server = Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let (address, counters) = (server.address().to_string(), Arc::new(Counters::default()));
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    tokio::spawn(server.serve(Health::new(counters.clone(), Arc::new(Nothing)).with_names(names)));
    (address, counters)
}

fn met(counters: &Counters, name: &str) -> u64 {
    counters.refusals.totals().iter().find(|(limit, _)| *limit == name).map_or(0, |(_, count)| *count)
}

#[tokio::test(flavor = "multi_thread")]
async fn half_sent_requests_keep_no_probe_out() {
    let (address, counters) = serve(&[]);
    // more than there are places for this host
    let begun = half_requests(&address, 3 * CONNECTIONS_MAX).await;
    for _ in 0..5 {
        let answer = tokio::time::timeout(Duration::from_secs(3), get(&address, "/livez")).await.unwrap();
        assert_eq!(answer.status, 200);
    }
    assert!(met(&counters, "health_connections") + met(&counters, "health_head_seconds") >= 84);
    drop(begun);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_whose_name_was_made_to_lead_here_reads_nothing() {
    let (address, counters) = serve(&["bot.example.org"]);
    let ask = |host: &str| format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for host in ["rebound.example", "rebound.example:9464", "127.0.0.1.rebound.example"] {
        let answer = exchange(&address, ask(host).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 421"), "{host}: {answer}");
        assert!(!answer.contains("retaind_"), "{host}: {answer}");
    }
    assert_eq!(met(&counters, "health_hosts"), 3);
    for host in [address.as_str(), "localhost:1", "[::1]", "bot", "bot.example.org:9464"] {
        let answer = exchange(&address, ask(host).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
    }
}
