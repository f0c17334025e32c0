//! Every type of message: what a device sends is the line on disk, byte for byte.

use std::collections::HashMap;

use retaind::archive::record::{FileOutcome, Record, RecordBody, RecordContext, SenderType};
use retaind::device::conversations::Reading;
use retaind::protocol::content::{AttachmentKind, Body, Content};
use retaind::protocol::credential::{Identity, Role};
use retaind::protocol::ids::{ConversationId, ConversationKind, UserName};
use retaind::protocol::limits::CONTENT_BYTES_MAX;
use serde_json::Value;

use super::{places, upload, without_gap};
use crate::support::bodies::{bodies, wild};
use crate::support::clock::HandClock;
use crate::support::{Bot, Harness, Options, content, lines, text, user};

/// When the bot receives everything.
const RECEIVED_MICROS: i64 = 1_691_176_300_123_456;

/// Lines that must be in the archive, by conversation and place.
struct Owed {
    network_id: String,
    lines: HashMap<(String, u64), String>,
}

impl Owed {
    fn sent(
        &mut self,
        (sender, receiver): (&Identity, Option<&UserName>),
        conversation: ConversationId,
        seq: u64,
        content: &Content,
        file: Option<&FileOutcome>,
    ) {
        let context = RecordContext {
            network_id: &self.network_id,
            sender_network_id: &self.network_id,
            sender: Some(&sender.user),
            sender_type: if sender.role == Role::Guest { SenderType::Guest } else { SenderType::Normal },
            device: Some(sender.device),
            receiver,
            conversation,
            seq,
            received_micros: RECEIVED_MICROS,
            message_id: content.message_id,
            sent_at_micros: content.sent_at_micros,
        };
        let mut line = Vec::new();
        Record { context, body: RecordBody::Content { content, file } }.append_line(&mut line).unwrap();
        let line = String::from_utf8(line).unwrap();
        let before = self.lines.insert((conversation.to_string(), seq), line);
        assert!(before.is_none(), "two messages at {seq} of {conversation}");
    }

    /// All of them are there, once; what else is there are these many places that the bot joined by.
    fn are_archived(mut self, archive: &[String], joined: usize) {
        let mut others = 0;
        for line in archive {
            let value: Value = serde_json::from_str(line).unwrap();
            let place = (value["vgroupid"].as_str().unwrap().to_owned(), value["seq"].as_u64().unwrap());
            match self.lines.remove(&place) {
                Some(owed) => assert_eq!(*line, owed),
                None => {
                    assert_eq!((&value["control"]["action"], &value["seq"]), (&"joined".into(), &1.into()), "{line}");
                    others += 1;
                }
            }
        }
        assert!(self.lines.is_empty(), "sent, but not archived: {:?}", self.lines.keys());
        assert_eq!(others, joined);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_is_archived_as_its_record_in_every_kind_of_conversation() {
    let harness = Harness::start();
    let bot = Bot::start(Options { clock: HandClock::at(RECEIVED_MICROS), ..harness.options() }).await;
    let (mut alice, mut bob) = (harness.device("alice").await, harness.device("bob").await);
    let mut gus = harness.device_as("gus", Role::Guest).await;
    let mut owed = Owed { network_id: harness.network.network_id().to_owned(), lines: HashMap::new() };

    let mut files = 0;
    for kind in [ConversationKind::Room, ConversationKind::Group, ConversationKind::Direct] {
        let direct = kind == ConversationKind::Direct;
        let receiver = |name: &str| direct.then(|| user(name));
        let others = if direct { vec![user("bob")] } else { vec![user("bob"), user("gus")] };
        let conversation = alice.create(kind, &others).await.unwrap();
        for (number, body) in (0i64..).zip(bodies()) {
            let content = Content {
                sent_at_micros: 1_691_176_258_000_000 + number,
                ttl: (number % 3 == 0).then_some(1_700_000_000 + number),
                bor: u32::try_from(number % 2).unwrap(),
                ..content(body)
            };
            let seq = alice.send(&conversation, &content).await.unwrap();
            owed.sent((alice.identity(), receiver("bob").as_ref()), conversation, seq, &content, None);
        }
        for kind in [AttachmentKind::Screenshot, AttachmentKind::VoiceMemo { seconds: 7 }] {
            let mut file = upload(&alice, harness.path(), b"all of it").await;
            (file.kind, file.name) = (kind, format!("{conversation}.bin"));
            let (sha256, size) = (file.sha256, file.size);
            let content = content(Body::File(file));
            let seq = alice.send(&conversation, &content).await.unwrap();
            // each has a millisecond for itself, and the clock stands still
            let local_name = format!("attachment_20230804191140{}_{conversation}.bin", 123 + files);
            files += 1;
            let outcome = FileOutcome::Saved { local_name, sha256, size };
            owed.sent((alice.identity(), receiver("bob").as_ref()), conversation, seq, &content, Some(&outcome));
            bot.counters.files_saved.reaches(files).await;
        }
        bob.sync(&conversation, Reading::All).await.unwrap();
        let reply = text(&wild());
        let seq = bob.send(&conversation, &reply).await.unwrap();
        owed.sent((bob.identity(), receiver("alice").as_ref()), conversation, seq, &reply, None);
        if !direct {
            gus.sync(&conversation, Reading::HandshakesOnly).await.unwrap();
            let guest = text("let me in");
            let seq = gus.send(&conversation, &guest).await.unwrap();
            owed.sent((gus.identity(), None), conversation, seq, &guest, None);
        }
    }
    bot.saved(owed.lines.len() as u64 + 3).await;
    bot.stop().await.unwrap();
    owed.are_archived(&lines(&harness.messages()), 3);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_of_one_mebibyte_and_the_longest_that_there_is_are_archived_byte_for_byte() {
    let harness = Harness::start();
    let bot = Bot::start(Options { clock: HandClock::at(RECEIVED_MICROS), ..harness.options() }).await;
    let mut alice = harness.device("alice").await;
    let mut owed = Owed { network_id: harness.network.network_id().to_owned(), lines: HashMap::new() };
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    let mut long: String = wild().chars().cycle().take(1 << 20).collect();
    long.truncate(long.floor_char_boundary(1 << 20));
    let around = text(&"x".repeat(1 << 21)).encode().unwrap().len() - (1 << 21);
    let longest = "\u{7f}".repeat(CONTENT_BYTES_MAX - around);
    assert_eq!(text(&longest).encode().unwrap().len(), CONTENT_BYTES_MAX);
    // every byte of the last one takes six in its record
    for long in [long, longest, "\u{1}".repeat(1 << 20)] {
        let content = text(&long);
        let seq = alice.send(&room, &content).await.unwrap();
        owed.sent((alice.identity(), None), room, seq, &content, None);
    }
    bot.saved(4).await;
    bot.stop().await.unwrap();
    let archive = lines(&harness.messages());
    let value: Value = serde_json::from_str(archive.last().unwrap()).unwrap();
    assert!(value["message"].as_str().unwrap() == "\u{1}".repeat(1 << 20), "the text has changed");
    owed.are_archived(&archive, 1);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_and_goes_is_archived_as_mls_authenticates_it() {
    let harness = Harness::start();
    let bot = harness.bot().await;
    let (mut alice, mut bob) = (harness.device("alice").await, harness.device("bob").await);
    let _carol = harness.device("carol").await;
    let room = alice.create(ConversationKind::Room, &[user("bob")]).await.unwrap();
    alice.change(&room, &[user("carol")], &[], Reading::All, &mut Vec::new()).await.unwrap();
    bob.sync(&room, Reading::All).await.unwrap();
    bob.leave(&room).await.unwrap();
    alice.sync(&room, Reading::All).await.unwrap();
    // a commit of the proposal goes before it
    alice.send(&room, &text("farewell")).await.unwrap();
    // a second device of a user is a change of keys, not of members
    let _second = harness.device("alice").await;
    alice.change(&room, &[user("alice")], &[], Reading::All, &mut Vec::new()).await.unwrap();
    alice.change(&room, &[user("bob")], &[user("carol")], Reading::All, &mut Vec::new()).await.unwrap();
    bot.saved(7).await;
    bot.stop().await.unwrap();

    let places = places(&harness.records(), &room);
    without_gap(&places);
    let told: Vec<(&str, u64, String)> = places
        .values()
        .map(|record| {
            let control = &record["control"];
            let shown = ["action", "members", "addedusers", "deletedusers"].map(|key| control[key].to_string());
            (record["sender"].as_str().unwrap(), record["msgtype"].as_u64().unwrap(), shown.join(" "))
        })
        .collect();
    let expected = [
        ("alice", 4900, r#""joined" ["alice","bob"] null null"#),
        ("alice", 4002, r#"null null ["carol"] null"#),
        ("bob", 4003, r#"null null null ["bob"]"#),
        ("alice", 4002, r#"null null null ["bob"]"#),
        ("alice", 1000, "null null null null"),
        ("alice", 4900, r#""keyupdate" null null null"#),
        ("alice", 4002, r#"null null ["bob"] ["carol"]"#),
    ];
    assert_eq!(told, expected.map(|(sender, msgtype, shown)| (sender, msgtype, shown.to_owned())));
    harness.stop().await;
}
