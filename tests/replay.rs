//! A logged conversation, replayed through MLS devices and a network over TLS, arrives as it was logged.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use retaind::device::account::{self, Proof};
use retaind::device::conversations::{Device, Reading, What};
use retaind::device::mls::Received;
use retaind::device::patience::Patience;
use retaind::device::store::{STEPS, Store};
use retaind::network::{Network, NetworkError, Options as NetworkOptions};
use retaind::protocol::content::Body;
use retaind::protocol::credential::Role;
use retaind::protocol::endpoint::{Endpoint, Invite};
use retaind::protocol::ids::{ConversationId, UserName};
use retaind::replay::{Corpus, Grouping, Options, ReplayReport, Sent, SentWhat, replay};
use retaind::state::vault::Vault;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A network on a port of the system's choice, until it is stopped.
struct Served {
    network: Arc<Network>,
    endpoint: Endpoint,
    shutdown: CancellationToken,
    serving: JoinHandle<Result<(), NetworkError>>,
}

impl Served {
    fn start(folder: &Path, port: u16) -> Self {
        let network = Network::open(NetworkOptions::new(folder)).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let endpoint = network.endpoint(listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn({
            let (network, shutdown) = (network.clone(), shutdown.clone());
            async move { network.serve(listener, shutdown).await }
        });
        Self { network, endpoint, shutdown, serving }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.serving.await.unwrap().unwrap();
    }

    fn invite(&self, user: &UserName) -> Invite {
        self.network.admin(|admin| admin.invite_to(&self.endpoint, user, Role::Normal, None)).unwrap()
    }

    async fn listener(&self, name: &str) -> Device {
        let (vault, _) = Vault::create(b"listener").unwrap();
        let store = Store::in_memory(Arc::new(vault), STEPS).unwrap();
        let invite = self.invite(&name.parse().unwrap());
        let account = account::register(store, &invite.endpoint, Proof::Invite(&invite.code), 0).await.unwrap();
        Device::start(account).await.unwrap()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Text(String, String),
    Members { added: Vec<String>, removed: Vec<String> },
}

fn names(users: &[UserName]) -> Vec<String> {
    let mut names: Vec<_> = users.iter().map(UserName::to_string).collect();
    names.sort_unstable();
    names
}

type Heard = Arc<Mutex<HashMap<ConversationId, Vec<(u64, Line)>>>>;

/// Keeps what was sent, by conversation.
fn observer(heard: &Heard) -> Arc<dyn Fn(&Sent<'_>) + Send + Sync> {
    let heard = heard.clone();
    Arc::new(move |sent: &Sent<'_>| {
        let line = match &sent.what {
            SentWhat::Text { user, text, .. } => Line::Text(user.to_string(), (*text).to_owned()),
            SentWhat::Members { added, removed, .. } => Line::Members { added: names(added), removed: names(removed) },
            SentWhat::Created { .. } | SentWhat::RoomCreated { .. } => return,
        };
        heard.lock().unwrap().entry(sent.conversation).or_default().push((sent.seq, line));
    })
}

/// What a member reads in a conversation, from its first message on.
async fn read(device: &mut Device, conversation: &ConversationId) -> Vec<(u64, Line)> {
    let mut lines = Vec::new();
    for (next, event) in (1..).zip(device.sync(conversation, Reading::All).await.unwrap()) {
        assert_eq!(event.seq, next, "a hole in {conversation}");
        match event.what {
            What::Message { sender, content } => match content.body {
                Body::Text(text) => lines.push((event.seq, Line::Text(sender.user.to_string(), text.text))),
                Body::RoomCreated(_) => assert_eq!(event.seq, 2),
                _ => panic!("nobody sent this"),
            },
            What::Handshake(Received::Commit { added, removed, .. }) => {
                let users = |devices: Vec<_>| {
                    let users: Vec<UserName> = devices
                        .into_iter()
                        .map(|device: retaind::protocol::credential::Identity| device.user)
                        .collect();
                    names(&users)
                };
                lines.push((event.seq, Line::Members { added: users(added), removed: users(removed) }));
            }
            What::Joined(_) => assert_eq!(event.seq, 1),
            What::Handshake(_) => panic!("nobody proposed anything"),
            What::Unreadable(why) => panic!("message {} is unreadable: {why}", event.seq),
        }
    }
    lines
}

const CUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tools/demo/conversation.jsonl");

fn corpus() -> Corpus {
    Corpus::File(PathBuf::from(CUT))
}

/// Texts of the corpus by room, as they stand in the file.
fn logged() -> HashMap<String, Vec<String>> {
    let file = std::fs::read_to_string(CUT).unwrap();
    let mut texts: HashMap<String, Vec<String>> = HashMap::new();
    for line in file.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        if event["kind"] == "text" {
            let room = event["room"].as_str().unwrap().to_owned();
            texts.entry(room).or_default().push(event["text"].as_str().unwrap().to_owned());
        }
    }
    texts
}

async fn check(listener: &mut Device, report: &ReplayReport, heard: &Heard) {
    let mut logged = logged();
    assert_eq!(report.rooms.len(), logged.len());
    for room in &report.rooms {
        let lines = read(listener, &room.conversation).await;
        let sent = heard.lock().unwrap().remove(&room.conversation).unwrap();
        assert_eq!(lines, sent, "room {}", room.room);
        let texts = lines.into_iter().filter_map(|(_, line)| match line {
            Line::Text(_, text) => Some(text),
            Line::Members { .. } => None,
        });
        assert_eq!(texts.collect::<Vec<_>>(), logged.remove(&room.room).unwrap(), "room {}", room.room);
    }
}

async fn replays(grouping: Grouping) -> ReplayReport {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path(), 0);
    let mut listener = served.listener("listener").await;
    let heard = Heard::default();
    let options = Options { grouping, audience: vec![listener.identity().user.clone()], ..Options::default() };
    let (network, endpoint) = (served.network.clone(), served.endpoint.clone());
    let invites = move |user: UserName| {
        std::future::ready(network.admin(|admin| admin.invite_to(&endpoint, &user, Role::Normal, None)))
    };
    let report = replay(&corpus(), options, invites, observer(&heard)).await.unwrap();
    check(&mut listener, &report, &heard).await;
    served.stop().await;
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_text_arrives_once_in_order_byte_for_byte() {
    let report = replays(Grouping::Exact).await;
    let redundant = report.redundant();
    let logged = std::fs::read_to_string(CUT).unwrap();
    let changes = logged.lines().filter(|line| !line.contains(r#""kind":"text""#)).count() as u64;
    let left_out = redundant.joins_of_members + redundant.leaves_of_absent + redundant.leaves_of_last;
    assert_eq!(report.commits(), changes - left_out, "each change is a commit: {redundant:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_share_commits_arrive_as_well() {
    replays(Grouping::Consecutive).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_restarts_loses_and_doubles_nothing() {
    const RESTARTS: usize = 5;
    let folder = tempfile::tempdir().unwrap();
    let first = Served::start(folder.path(), 0);
    let mut listener = first.listener("listener").await;
    let place = Arc::new(Mutex::new(first.endpoint.clone()));
    let running = Arc::new(tokio::sync::Mutex::new(Some(first)));

    // every 25th accepted message asks for a restart
    let (ask, mut asked) = tokio::sync::mpsc::unbounded_channel::<()>();
    let restarts = tokio::spawn({
        let (folder, running, place) = (folder.path().to_owned(), running.clone(), place.clone());
        async move {
            let mut done = 0;
            while done < RESTARTS && asked.recv().await.is_some() {
                let mut running = running.lock().await;
                running.take().unwrap().stop().await;
                let next = Served::start(&folder, 0);
                *place.lock().unwrap() = next.endpoint.clone();
                *running = Some(next);
                done += 1;
            }
            done
        }
    });
    let heard = Heard::default();
    let keep = observer(&heard);
    let count = std::sync::atomic::AtomicU64::new(0);
    let hears = Arc::new(move |sent: &Sent<'_>| {
        keep(sent);
        if count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 25 == 24 {
            // nobody asks any more after the last restart
            let _ = ask.send(());
        }
    });
    let whereabouts = {
        let place = place.clone();
        move || place.lock().unwrap().clone()
    };
    let options = Options {
        audience: vec![listener.identity().user.clone()],
        patience: Patience::lasting(Duration::from_secs(60)).looking_at(whereabouts.clone()),
        ..Options::default()
    };
    let invites = {
        let running = running.clone();
        move |user: UserName| {
            let running = running.clone();
            async move {
                let running = running.lock().await;
                let served = running.as_ref().unwrap();
                served.network.admin(|admin| admin.invite_to(&served.endpoint, &user, Role::Normal, None))
            }
        }
    };
    let report = replay(&corpus(), options, invites, hears).await.unwrap();
    assert_eq!(restarts.await.unwrap(), RESTARTS);
    listener.be_patient(Patience::lasting(Duration::from_secs(60)).looking_at(whereabouts));
    check(&mut listener, &report, &heard).await;
    running.lock().await.take().unwrap().stop().await;
}
