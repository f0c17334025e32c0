//! What cannot be decrypted or understood: a record with the reason and the ciphertext beside it, and it goes on.

use std::collections::BTreeMap;
use std::fs;

use data_encoding::BASE64;
use retaind::device::conversations::Reading;
use retaind::device::mls::{Received, Session};
use retaind::protocol::content::{Body, Position};
use retaind::protocol::ids::{ConversationId, ConversationKind};
use retaind::protocol::limits::CONTENT_BYTES_MAX;
use rusqlite::Connection;
use serde_json::Value;

use super::{places, texts, without_gap};
use crate::support::raw::Raw;
use crate::support::traffic::{names, sha256};
use crate::support::{BOT, Harness, content, text, user};

/// The record is of type 0, with a reason and with exactly this ciphertext beside it.
#[track_caller]
fn is_unreadable(harness: &Harness, record: &Value, ciphertext: &[u8]) {
    assert_eq!(record["msgtype"], 0, "{record}");
    assert!(!record["reason"].as_str().unwrap().is_empty());
    let kept = &record["ciphertext"];
    assert_eq!((&kept["size"], &kept["sha256"]), (&ciphertext.len().into(), &sha256(ciphertext).into()));
    let bytes = fs::read(harness.files().join(kept["file"].as_str().unwrap())).unwrap();
    assert!(bytes == ciphertext, "the file beside the record is not the ciphertext");
}

/// Mallory has none, and is in a room with the bot.
async fn mallory(harness: &Harness) -> (Raw, Session) {
    let mallory = Raw::on(harness, "mallory").await;
    let session = mallory.create(&[BOT]).await;
    (mallory, session)
}

/// Contents that no honest device would encrypt.
fn garbage() -> Vec<Vec<u8>> {
    let whole = text("a content").encode().unwrap();
    let mut trailing = whole.clone();
    trailing.extend([0x7a, 1, b'!']);
    let mut nowhere = content(Body::Location(Position { latitude: 45.0, longitude: 0.0 })).encode().unwrap();
    let at = nowhere.windows(8).position(|w| w == 45f64.to_le_bytes()).unwrap();
    nowhere[at..at + 8].copy_from_slice(&f64::NAN.to_le_bytes());
    // a kind 4002 whose body says "a group follows" for ever: what decodes by recursion would not come back
    let mut deep = vec![8, 1, 16, 0xa2, 0x1f, 0x1a, 0xff, 0x7f];
    deep.resize(8 + 0x3fff, 0x0b);
    deep.extend([0x22, 16]);
    deep.extend([7; 16]);
    vec![
        Vec::new(),
        vec![0],
        vec![0xff; 1000],
        whole[..whole.len() - 1].to_vec(),
        trailing,
        nowhere,
        deep,
        [whole, vec![0; CONTENT_BYTES_MAX]].concat(),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_content_that_is_none_is_kept_with_its_plaintext_and_its_ciphertext() {
    let harness = Harness::start();
    let bot = harness.bot().await;
    let (mallory, mut session) = mallory(&harness).await;
    let id = *session.conversation();
    let mut sent = BTreeMap::new();
    for garbage in garbage() {
        let message = session.encrypt(&garbage).unwrap();
        sent.insert(mallory.throw(&message).await, (garbage, message));
        mallory.throw(&session.encrypt(&text("after it").encode().unwrap()).unwrap()).await;
    }
    bot.saved(2 * sent.len() as u64 + 1).await;
    assert_eq!(bot.counters.messages_failed.get(), sent.len() as u64);
    bot.stop().await.unwrap();

    let places = places(&harness.records(), &id);
    without_gap(&places);
    for (seq, (garbage, ciphertext)) in &sent {
        let record = &places[seq];
        is_unreadable(&harness, record, ciphertext);
        assert_eq!(record["sender"], "mallory", "MLS tells who it was");
        let plaintext = BASE64.decode(record["content"]["plaintext"].as_str().unwrap().as_bytes()).unwrap();
        assert!(plaintext == *garbage, "the only copy of the plaintext is not whole");
    }
    assert_eq!(texts(&places).len(), sent.len());
    assert_eq!(names(&harness.files()).len(), sent.len());
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ciphertext_that_is_damaged_repeated_or_foreign_is_kept_and_nothing_is_read_twice() {
    // with retention on the network would not hear Mallory any more
    let harness = Harness::start_without_retention(|options| options);
    let bot = harness.bot().await;
    let (mallory, mut session) = mallory(&harness).await;
    let id = *session.conversation();
    let mut say = |words: &str| session.encrypt(&text(words).encode().unwrap()).unwrap();
    let (one, two, three) = (say("one"), say("two"), say("three"));
    let mut damaged = two.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let mut bad = BTreeMap::new();
    mallory.throw(&one).await;
    for message in [one.clone(), damaged] {
        bad.insert(mallory.throw(&message).await, message);
    }
    // the keys that the damaged one named are still there for the true one
    mallory.throw(&two).await;
    for message in [two.clone(), one.clone()] {
        bad.insert(mallory.throw(&message).await, message);
    }
    mallory.throw(&three).await;
    // so many at once that their signatures are checked together
    for number in 0..40 {
        let message = say(&format!("number {number}"));
        mallory.throw(&message).await;
        if number % 8 == 3 {
            bad.insert(mallory.throw(&message).await, message);
        }
    }
    bot.saved(1 + 3 + 40 + bad.len() as u64).await;
    bot.stop().await.unwrap();

    let places = places(&harness.records(), &id);
    without_gap(&places);
    for (seq, ciphertext) in &bad {
        is_unreadable(&harness, &places[seq], ciphertext);
    }
    let mut expected: Vec<String> = ["one", "two", "three"].map(str::to_owned).into();
    expected.extend((0..40).map(|number| format!("number {number}")));
    assert_eq!(texts(&places), expected);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_and_repeated_messages_in_a_batch_cost_none_of_the_true_ones() {
    let harness = Harness::start_without_retention(|options| options);
    let (alice, bob) = (Raw::on(&harness, "alice").await, Raw::on(&harness, "bob").await);
    let mut session = alice.create(&["bob"]).await;
    let mut reader = bob.join(session.conversation()).await;
    let mut batch = Vec::new();
    for number in 0..20u8 {
        let message = session.encrypt(&[number]).unwrap();
        let mut forged = message.clone();
        *forged.last_mut().unwrap() ^= 1;
        batch.extend([forged, message.clone(), message]);
    }
    let all: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
    // few are read one by one, many together
    let (few, many) = all.split_at(6);
    let received: Vec<_> = [few, many].into_iter().flat_map(|batch| reader.receive_many(batch)).collect();
    for (number, three) in (0..20u8).zip(received.chunks(3)) {
        let [Err(_), Ok(Received::Application { data, .. }), Err(_)] = three else { panic!("{number}: {three:?}") };
        assert_eq!(*data, [number]);
    }
    let last = session.encrypt(b"last").unwrap();
    assert!(matches!(reader.receive(&last).unwrap(), Received::Application { data, .. } if data == b"last"));
    harness.stop().await;
}

/// Row of a conversation in the network's database; its places are counted from there.
fn row(database: &Connection, conversation: &ConversationId) -> i64 {
    let sql = "SELECT id << 36 FROM conversations WHERE conversation = ?";
    database.query_row(sql, [conversation.as_str()], |row| row.get(0)).unwrap()
}

/// Flips the last bit of a message, or of a welcome, in the network's database; returns what is there now.
fn damage(database: &Connection, table: &str, place: i64) -> Vec<u8> {
    let select = format!("SELECT payload FROM {table} WHERE id = ?");
    let mut payload: Vec<u8> = database.query_row(&select, [place], |row| row.get(0)).unwrap();
    *payload.last_mut().unwrap() ^= 1;
    let update = format!("UPDATE {table} SET payload = ? WHERE id = ?");
    assert_eq!(database.execute(&update, (&payload, place)).unwrap(), 1);
    payload
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_the_networks_database_every_place_is_accounted_for() {
    let harness = Harness::start_without_retention(|options| options);
    // the bot's account and key packages exist, and it is away
    harness.bot().await.stop().await.unwrap();
    let mut alice = harness.device("alice").await;
    let _bob = harness.device("bob").await;
    let mut rooms = Vec::new();
    for number in 0..6 {
        let room = alice.create(ConversationKind::Room, &[user(BOT)]).await.unwrap();
        for place in 2..=4 {
            assert_eq!(alice.send(&room, &text(&format!("{number}: {place}"))).await.unwrap(), place);
        }
        alice.change(&room, &[user("bob")], &[], Reading::HandshakesOnly, &mut Vec::new()).await.unwrap();
        for place in 6..=7 {
            assert_eq!(alice.send(&room, &text(&format!("{number}: {place}"))).await.unwrap(), place);
        }
        rooms.push(room);
    }
    let [altered, lost, renamed, no_commit, no_welcome, whole] = rooms[..] else { panic!() };
    let database = harness.database();
    let ciphertext = damage(&database, "messages", row(&database, &altered) + 3);
    for place in [3, 4, 7] {
        let place = row(&database, &lost) + place;
        assert_eq!(database.execute("DELETE FROM messages WHERE id = ?", [place]).unwrap(), 1);
    }
    let bobs = "UPDATE messages SET sender = (SELECT id FROM devices WHERE user = 'bob') WHERE id BETWEEN ? AND ?";
    let place = row(&database, &renamed);
    assert_eq!(database.execute(bobs, [place + 2, place + 7]).unwrap(), 6);
    let commit = damage(&database, "messages", row(&database, &no_commit) + 5);
    let welcome = damage(&database, "welcomes", row(&database, &no_welcome) + 1);
    drop(database);

    let bot = harness.bot().await;
    // of the places of `lost`, 3 and 4 are one hole, and that 7 is lost shows when 8 comes
    alice.send(&lost, &text("1: 8")).await.unwrap();
    bot.saved(6 * 7).await;
    bot.stop().await.unwrap();
    let records = harness.records();
    let of = |room: &ConversationId| places(&records, room);

    let there = of(&altered);
    without_gap(&there);
    is_unreadable(&harness, &there[&3], &ciphertext);
    assert_eq!(texts(&there), ["0: 2", "0: 4", "0: 6", "0: 7"]);

    let there = of(&lost);
    assert_eq!(there.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 5, 6, 7, 8]);
    assert_eq!(there[&3]["hole"], serde_json::json!({"fromseq": 3, "toseq": 4}));
    assert_eq!(there[&7]["hole"], serde_json::json!({"fromseq": 7, "toseq": 7}));
    assert!(there[&3]["msgtype"] == 0 && there[&3]["reason"].is_string());
    assert_eq!(texts(&there), ["1: 2", "1: 6", "1: 8"]);

    let there = of(&renamed);
    without_gap(&there);
    assert_eq!(texts(&there), ["2: 2", "2: 3", "2: 4", "2: 6", "2: 7"]);
    for seq in 2..=7 {
        assert_eq!(there[&seq]["sender"], "alice", "the network has the last word: {}", there[&seq]);
        assert_eq!(there[&seq]["device"], alice.identity().device.to_string());
    }

    // without the commit the keys of what follows are missing, but nothing is passed over
    let there = of(&no_commit);
    without_gap(&there);
    is_unreadable(&harness, &there[&5], &commit);
    assert_eq!(there.values().map(|record| record["msgtype"].as_u64().unwrap()).collect::<Vec<_>>()[5..], [0, 0]);
    assert_eq!(texts(&there), ["3: 2", "3: 3", "3: 4"]);

    let there = of(&no_welcome);
    without_gap(&there);
    is_unreadable(&harness, &there[&1], &welcome);
    assert!(
        there.len() == 7 && there.values().all(|record| record["msgtype"] == 0 && record["ciphertext"].is_object())
    );

    without_gap(&of(&whole));
    assert_eq!(texts(&of(&whole)), ["5: 2", "5: 3", "5: 4", "5: 6", "5: 7"]);
    harness.stop().await;
}
