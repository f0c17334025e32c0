//! `retaind client`, as a program: what one device sends another one reads, and every mistake is told.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::process::Output;

use retaind::network;
use serde_json::Value;

use crate::support::Harness;

const PASSWORD: &str = "password of a state";

/// A user's state directory and how the program is called with it.
struct Client {
    state: PathBuf,
}

impl Client {
    fn new(harness: &Harness, name: &str) -> Self {
        Self { state: harness.path().join(name) }
    }

    async fn registered(harness: &Harness, name: &str) -> Self {
        let client = Self::new(harness, name);
        let invite = harness.invite(name).to_string();
        let lines = client.lines(&["register", &invite]).await;
        assert_eq!((lines[0]["event"].as_str(), lines[0]["user"].as_str()), (Some("registered"), Some(name)));
        client
    }

    /// The program's lines; it must succeed.
    async fn lines(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.output(PASSWORD, arguments).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The program's exit code and what it complains about.
    async fn complaint(&self, password: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.output(password, arguments).await;
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    async fn output(&self, password: &str, arguments: &[&str]) -> Output {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_retaind"));
        command.env_clear().env("RETAIND_CLIENT_PASSWORD", password);
        command.args(["client", "--json", "--patience", "0", "--state"]).arg(&self.state).args(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }
}

fn quiet() -> Harness {
    Harness::start_without_retention(|options: network::Options| options)
}

/// The last line is what was sent.
fn sent(lines: &[Value]) -> (&str, u64) {
    let last = lines.last().unwrap();
    assert_eq!(last["event"], "sent", "{lines:?}");
    (last["message_id"].as_str().unwrap(), last["seq"].as_u64().unwrap())
}

fn conversation(lines: &[Value]) -> String {
    let made = lines.iter().find(|line| line["event"] == "created").unwrap();
    made["conversation"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_message_can_be_sent_and_is_read_in_order() {
    let harness = quiet();
    let (alice, bob) = (Client::registered(&harness, "alice").await, Client::registered(&harness, "bob").await);
    let file = harness.path().join("notes.txt");
    std::fs::write(&file, b"some notes").unwrap();
    let file = file.to_str().unwrap();

    let made = alice.lines(&["room", "create", "Harbour", "bob", "--description", "ships"]).await;
    let room = conversation(&made);
    let room = room.as_str();
    let text = alice.lines(&["send", room, "héllo \u{202e}\u{1}", "--bor", "5"]).await;
    let (message, seq) = sent(&text);
    assert_eq!(seq, 3);
    let start = alice.lines(&["call", "start", room, "--uri", "192.0.2.1:1"]).await;
    let start = sent(&start).0;
    for arguments in [
        &["edit", room, message, "better"][..],
        &["react", room, message, "👍"],
        &["react", room, message, "👍", "--remove"],
        &["star", room, message],
        &["sync-attributes", room],
        &["pin", room],
        &["read", room, "1700000000000000"],
        &["verify", room, "request"],
        &["call", "invite", room, start],
        &["call", "end", room, start, "--duration", "38"],
        &["location", room, "40.75", "-74.99"],
        &["location", room, "40.76", "-74.98", "--stopped"],
        &["send-file", room, file, "--screenshot"],
        &["room", "modify", room, "--title", "Pier"],
        &["room", "save-item", room, file],
        &["recall", room, message],
        &["room", "delete", room],
    ] {
        sent(&alice.lines(arguments).await);
    }
    let read = bob.lines(&["listen", "--count", "21"]).await;
    let kinds: Vec<_> = read.iter().filter_map(|line| line["msgtype"].as_u64()).collect();
    let expected = [
        4001, 1000, 7000, 9000, 9100, 9100, 4012, 4013, 4014, 9200, 3000, 7000, 7000, 8000, 9000, 6000, 4004, 4004,
        4011, 4005,
    ];
    assert_eq!(kinds, expected);
    let numbers: Vec<_> = read.iter().map(|line| line["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=21).collect::<Vec<_>>());
    assert_eq!(read[0]["event"], "joined");
    assert_eq!((&read[1]["title"], &read[1]["description"]), (&"Harbour".into(), &"ships".into()));
    assert_eq!((&read[2]["text"], &read[2]["bor"]), (&"héllo \u{202e}\u{1}".into(), &5.into()));
    assert_eq!((&read[2]["sender"], &read[2]["message_id"]), (&"alice".into(), &message.into()));
    assert_eq!((&read[16]["name"], &read[16]["size"]), (&"notes.txt".into(), &10.into()));
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_and_go() {
    let harness = quiet();
    let alice = Client::registered(&harness, "alice").await;
    let bob = Client::registered(&harness, "bob").await;
    let carol = Client::registered(&harness, "carol").await;
    let group = conversation(&alice.lines(&["group", "create", "bob"]).await);
    let group = group.as_str();
    assert!(group.starts_with('G'));

    let changed = alice.lines(&["room", "add", group, "carol"]).await;
    assert_eq!((&changed[0]["event"], &changed[0]["added"][0]), (&"changed".into(), &"carol".into()));
    let users = |lines: Vec<Value>| {
        let members = lines.iter().filter(|line| line["event"] == "member");
        members.map(|member| member["user"].as_str().unwrap().to_owned()).collect()
    };
    let members: Vec<String> = users(carol.lines(&["members", group]).await);
    assert_eq!(members, ["alice", "bob", "carol"]);

    // what was sent before the sender knew of the change goes on in the new epoch
    sent(&bob.lines(&["send", group, "hello carol"]).await);
    bob.lines(&["room", "leave", group]).await;
    sent(&carol.lines(&["send", group, "bye bob"]).await);
    let members: Vec<String> = users(alice.lines(&["members", group]).await);
    assert_eq!(members, ["alice", "carol"]);
    let (code, error) = bob.complaint(PASSWORD, &["send", group, "am I here?"]).await;
    assert_eq!(code, Some(78), "{error}");

    alice.lines(&["room", "remove", group, "carol"]).await;
    let (code, error) = carol.complaint(PASSWORD, &["send", group, "and I?"]).await;
    assert_eq!(code, Some(78), "{error}");
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_direct_conversation_is_found_again() {
    let harness = quiet();
    let (alice, bob) = (Client::registered(&harness, "alice").await, Client::registered(&harness, "bob").await);
    let first = alice.lines(&["direct", "bob", "one"]).await;
    let made = conversation(&first);
    assert_eq!(sent(&first).1, 2);
    // from the other side, and by the other spelling
    let second = bob.lines(&["send", "--to", "alice", "two"]).await;
    assert_eq!((second.last().unwrap()["conversation"].as_str(), sent(&second).1), (Some(made.as_str()), 3));
    // what bob had not read is printed on the way, because it is read only once
    assert!(second.iter().any(|line| line["text"] == "one"), "{second:?}");
    let list = alice.lines(&["list"]).await;
    assert_eq!((list.len(), list[0]["kind"].as_str()), (1, Some("direct")));
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mistake_is_told_with_its_exit_code() {
    let harness = quiet();
    let alice = Client::registered(&harness, "alice").await;
    let nobody = Client::new(&harness, "nobody");

    let (code, error) = alice.complaint("another password", &["list"]).await;
    assert_eq!(code, Some(78));
    assert!(error.contains("password does not open this device's state"), "{error}");

    let (code, error) = nobody.complaint(PASSWORD, &["list"]).await;
    assert_eq!(code, Some(78));
    assert!(error.contains("holds no device, register one there first"), "{error}");
    let (code, error) = nobody.complaint(PASSWORD, &["register", "rti1_damaged"]).await;
    assert_eq!(code, Some(78), "{error}");
    assert!(!nobody.state.exists(), "nothing is made before it can be used");
    let (code, error) = nobody.complaint("", &["list"]).await;
    assert_eq!(code, Some(78));
    assert!(error.contains("RETAIND_CLIENT_PASSWORD"), "{error}");

    let again = harness.invite("alice").to_string();
    let (code, error) = alice.complaint(PASSWORD, &["register", &again]).await;
    assert_eq!(code, Some(78));
    assert!(error.contains("state already belongs to device"), "{error}");

    let (code, error) = alice.complaint(PASSWORD, &["direct", "stranger", "hello"]).await;
    assert_eq!(code, Some(78));
    assert!(error.contains("network refused: ") && error.contains("`stranger`"), "{error}");

    // two processes that share a ratchet would use a key twice
    let lock = std::fs::File::open(alice.state.join("device.lock")).unwrap();
    lock.lock().unwrap();
    let (code, error) = alice.complaint(PASSWORD, &["list"]).await;
    assert_eq!(code, Some(75));
    assert!(error.contains("another `retaind client` works on"), "{error}");
    drop(lock);

    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_is_away_is_a_temporary_failure() {
    let harness = quiet();
    let folder = tempfile::tempdir().unwrap();
    let alice = Client { state: folder.path().to_owned() };
    let invite = harness.invite("alice").to_string();
    alice.lines(&["register", &invite]).await;
    harness.stop().await;
    let (code, error) = alice.complaint(PASSWORD, &["list"]).await;
    assert_eq!(code, Some(75));
    assert!(error.contains("cannot be reached, is it running"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_replayed_with_invites_from_the_network_beside_it() {
    let harness = quiet();
    let log = harness.path().join("log.jsonl");
    let lines = [
        r#"{"at":"2004-12-25T09:14:00Z","room":"a","sender":"x y","kind":"text","text":"1"}"#,
        r#"{"at":"2004-12-25T09:14:01Z","room":"a","sender":"z","kind":"join"}"#,
        r#"{"at":"2004-12-25T09:14:02Z","room":"a","sender":"z","kind":"rename","text":"zz"}"#,
        r#"{"at":"2004-12-25T09:14:03Z","room":"a","sender":"zz","kind":"text","text":"2"}"#,
    ];
    std::fs::write(&log, lines.join("\n")).unwrap();
    let client = Client::new(&harness, "unused");
    let network: &Path = &harness.path().join("network");
    let arguments = ["replay", log.to_str().unwrap(), "--network-state", network.to_str().unwrap()];
    let lines = client.lines(&arguments).await;
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["event"], &last["texts"], &last["commits"], &last["devices"]),
        (&"replayed".into(), &2.into(), &2.into(), &3.into())
    );
    let (code, error) = client.complaint(PASSWORD, &["replay", "/no/such/file", "--network-state", "/"]).await;
    assert_eq!(code, Some(78), "{error}");
    harness.stop().await;
}
