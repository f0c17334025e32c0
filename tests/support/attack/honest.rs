//! People who use the program as it is meant while it is attacked, and what they notice.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use retaind::device::conversations::Device;
use retaind::protocol::endpoint::Endpoint;
use retaind::protocol::ids::{ConversationId, ConversationKind};
use tokio_util::sync::CancellationToken;

use super::strangers::gets_in;
use super::target::Target;
use crate::support::{records, text, user};

/// Between two messages of the honest device.
const SAY_EVERY: Duration = Duration::from_millis(100);
/// Between two of an operator's probes, and of connections of somebody new.
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// Longer than an operator or somebody new waits.
const PROBE_PATIENCE: Duration = Duration::from_secs(5);

/// What honest people noticed.
#[derive(Debug, Default)]
pub struct Noticed {
    /// From a message's sending to its acceptance.
    pub times: Vec<Duration>,
    /// The texts that were accepted, by place.
    pub accepted: BTreeMap<u64, String>,
    /// People who come: how many, and how many of them were not let in, however often they tried in this time.
    pub connections: (usize, usize),
    /// Probes of `/livez`: tried, and not answered in time.
    pub probes: (usize, usize),
}

impl Noticed {
    /// The time within which 99 of 100 messages were accepted.
    pub fn p99(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        times.get((times.len() * 99 / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// People who use it as it is meant: somebody who talks, somebody who comes, and an operator who looks.
pub struct Honest {
    group: ConversationId,
    stop: CancellationToken,
    thread: JoinHandle<Noticed>,
}

impl Honest {
    pub async fn begin(target: &Target) -> Self {
        let _bob = target.device("bob").await;
        let mut alice = target.device("alice").await;
        let group = alice.create(ConversationKind::Group, &[user("bob")]).await.unwrap();
        let stop = CancellationToken::new();
        let (endpoint, health) = (target.endpoint.clone(), target.health.clone());
        // a thread of their own: who attacks from this process as well must not keep them waiting
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let (talk, others) = tokio::join!(talk(alice, group, &stop), probe(&endpoint, &health, &stop));
                    let ((times, accepted), (connections, probes)) = (talk, others);
                    Noticed { times, accepted, connections, probes }
                })
            }
        });
        Self { group, stop, thread }
    }

    /// They have seen enough.
    pub async fn end(self) -> (ConversationId, Noticed) {
        self.stop.cancel();
        let noticed = tokio::task::spawn_blocking(|| self.thread.join().unwrap()).await.unwrap();
        (self.group, noticed)
    }
}

async fn talk(
    mut alice: Device,
    group: ConversationId,
    stop: &CancellationToken,
) -> (Vec<Duration>, BTreeMap<u64, String>) {
    let (mut times, mut accepted) = (Vec::new(), BTreeMap::new());
    let mut tick = tokio::time::interval(SAY_EVERY);
    for number in 0u64.. {
        if stop.run_until_cancelled(tick.tick()).await.is_none() {
            break;
        }
        let (said, words) = (Instant::now(), format!("honest {number}"));
        let seq = alice.send(&group, &text(&words)).await.unwrap();
        times.push(said.elapsed());
        accepted.insert(seq, words);
    }
    (times, accepted)
}

async fn probe(endpoint: &Endpoint, health: &str, stop: &CancellationToken) -> ((usize, usize), (usize, usize)) {
    let (mut connections, mut probes) = ((0, 0), (0, 0));
    let mut tick = tokio::time::interval(PROBE_EVERY);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        connections.0 += 1;
        let gets_in = async { while gets_in(endpoint).await.is_err() {} };
        connections.1 += usize::from(tokio::time::timeout(PROBE_PATIENCE, gets_in).await.is_err());
        probes.0 += 1;
        let lives = tokio::time::timeout(PROBE_PATIENCE, lives(health)).await;
        probes.1 += usize::from(!matches!(lives, Ok(true)));
    }
    (connections, probes)
}

/// Does it say that it lives? However the connection ends: under attack it may end anyhow.
async fn lives(health: &str) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Ok(mut stream) = tokio::net::TcpStream::connect(health).await else { return false };
    let request = format!("GET /livez HTTP/1.1\r\nHost: {health}\r\n\r\n");
    let mut answer = Vec::new();
    // a reset after the answer is no harm
    let _ = stream.write_all(request.as_bytes()).await;
    let _ = stream.read_to_end(&mut answer).await;
    answer.starts_with(b"HTTP/1.1 200")
}

/// How many of the accepted texts are not in the archive once, in their places.
pub fn missing(home: &Path, group: &ConversationId, accepted: &BTreeMap<u64, String>) -> usize {
    let mut found: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for record in records(&home.join("messages")).iter().filter(|record| record["vgroupid"] == group.as_str()) {
        let words = record["message"].as_str().unwrap_or_default().to_owned();
        found.entry(record["seq"].as_u64().unwrap()).or_default().push(words);
    }
    accepted.iter().filter(|(seq, words)| found.get(seq) != Some(&vec![(*words).clone()])).count()
}
