//! Bot and network are restarted, together and one by one: the places of a conversation go on.

use std::time::Duration;

use retaind::device::conversations::Device;
use retaind::device::patience::Patience;
use retaind::protocol::content::Body;
use retaind::protocol::ids::{ConversationId, ConversationKind};

use super::{places, texts, upload, without_gap};
use crate::support::{Harness, content, text};

/// Sends a text and a file to each; returns how many records that makes.
async fn say(device: &mut Device, harness: &Harness, conversations: &[ConversationId], words: &str) -> u64 {
    for conversation in conversations {
        device.send(conversation, &text(words)).await.unwrap();
        let file = upload(device, harness.path(), words.as_bytes()).await;
        device.send(conversation, &content(Body::File(file))).await.unwrap();
    }
    2 * conversations.len() as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_go_on_without_gap_or_doubling_over_restarts_of_bot_and_network() {
    let mut harness = Harness::start();
    let mut bot = harness.bot().await;
    let mut alice = harness.device("alice").await;
    alice.be_patient(Patience::lasting(Duration::from_secs(60)));
    let mut rooms = Vec::new();
    for kind in [ConversationKind::Room, ConversationKind::Direct] {
        rooms.push(alice.create(kind, &[]).await.unwrap());
    }
    let mut saved = rooms.len() as u64;
    saved += say(&mut alice, &harness, &rooms, "both are there").await;
    bot.saved(saved).await;

    // the network alone, under a bot that waits for it
    harness = harness.restart().await;
    alice.reconnect().await.unwrap();
    saved += say(&mut alice, &harness, &rooms, "a new network, the old bot").await;
    bot.saved(saved).await;
    assert_eq!(bot.counters.logins.get(), 2);

    // the bot alone; what is said meanwhile waits for it
    bot.stop().await.unwrap();
    let mut expected = say(&mut alice, &harness, &rooms, "the bot is away").await;
    bot = harness.bot().await;
    expected += say(&mut alice, &harness, &rooms, "the bot is back").await;
    bot.saved(expected).await;

    // both
    bot.stop().await.unwrap();
    let mut expected = say(&mut alice, &harness, &rooms, "the bot is away again").await;
    harness = harness.restart().await;
    alice.reconnect().await.unwrap();
    expected += say(&mut alice, &harness, &rooms, "a new network, no bot").await;
    bot = harness.bot().await;
    expected += say(&mut alice, &harness, &rooms, "all are back").await;
    bot.saved(expected).await;
    bot.stop().await.unwrap();

    let records = harness.records();
    for room in &rooms {
        let places = places(&records, room);
        without_gap(&places);
        let said = [
            "both are there",
            "a new network, the old bot",
            "the bot is away",
            "the bot is back",
            "the bot is away again",
            "a new network, no bot",
            "all are back",
        ];
        assert_eq!(texts(&places), said);
        let files: Vec<Vec<u8>> = places
            .values()
            .filter_map(|record| record["file"]["localfilename"].as_str())
            .map(|name| std::fs::read(harness.files().join(name)).unwrap())
            .collect();
        assert_eq!(files, said.map(|words| words.as_bytes().to_vec()));
    }
    harness.stop().await;
}
