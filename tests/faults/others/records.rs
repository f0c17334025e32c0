//! What comes in: whatever it is, it has a record, and what is missing in it is said.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::{SinkExt, StreamExt};
use prost::Message;
use retaind::protocol::content::{
    Attachment, Body, Deletion, DeletionScope, LiveLocation, Position, Reaction, ReactionChange, TextEdit,
};
use retaind::protocol::endpoint::Endpoint;
use retaind::protocol::ids::ConversationKind;
use retaind::protocol::limits::{ATTACHMENT_CHUNK_BYTES, CONTENT_BYTES_MAX, FILE_NAME_BYTES_MAX, FRAME_BYTES_MAX};
use retaind::protocol::wire::{Answer, RefusalCode, ServerFrame};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ServerConfig, crypto, version};
use tokio_util::codec::{Framed, FramedRead, LengthDelimitedCodec};

use super::{program, room, stops};
use crate::support::archive::{acknowledged, are_archived, noise, places, say, texts, upload, without_gap};
use crate::support::aws::cloud::{BUCKET, Cloud};
use crate::support::aws::readers::{Format, Reader};
use crate::support::clock::HandClock;
use crate::support::events::heard;
use crate::support::program::Program;
use crate::support::raw::{Raw, network_key, tls};
use crate::support::traffic::{names, sha256};
use crate::support::{BOT, Bot, Harness, Options, content, text};

/// One record larger than a buffer, and the process that met it ended, started again, met it again. Here the largest
/// content that a device may send, and one that no honest device would, are archived by a bot that stays alive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_record_and_one_that_is_too_large_are_archived_by_a_bot_that_lives_on() {
    let harness = Harness::start();
    let mut bot = Program::start(program(&harness).env("WICKRIO_COMP_FILESIZE", "4"));
    bot.says("receives").await;
    let (mut alice, room) = room(&harness).await;
    let around = text(&"x".repeat(1 << 21)).encode().unwrap().len() - (1 << 21);
    // in its record each of these takes six bytes: more than 20 MiB in a file of 4 KiB
    let largest = "\u{1}".repeat(CONTENT_BYTES_MAX - around);
    let told = ["before", &largest, "after"];
    for words in told {
        alice.send(&room, &text(words)).await.unwrap();
    }
    let mallory = Raw::on(&harness, "mallory").await;
    let mut session = mallory.create(&[BOT]).await;
    let over = [text("too long").encode().unwrap(), vec![0; CONTENT_BYTES_MAX]].concat();
    let ciphertext = session.encrypt(&over).unwrap();
    mallory.throw(&ciphertext).await;
    mallory.throw(&session.encrypt(&text("and goes on").encode().unwrap()).unwrap()).await;
    acknowledged(&harness).await;
    assert!(bot.runs(), "{}", bot.log());
    stops(bot, 0).await;
    let records = harness.records();
    let there = places(&records, &room);
    without_gap(&there);
    assert!(texts(&there) == told, "the texts are not those that were sent");
    let there = places(&records, session.conversation());
    without_gap(&there);
    assert_eq!((&there[&2]["msgtype"], &there[&2]["ciphertext"]["sha256"]), (&0.into(), &sha256(&ciphertext).into()));
    assert_eq!(texts(&there), ["and goes on"]);
    harness.stop().await;
}

/// A man in the middle with the network's own certificate, who says nothing of his own but a frame of no bytes, once on
/// the first connection, after so many frames of the network.
async fn with_an_empty_frame(harness: &Harness, after: usize) -> Endpoint {
    let directory = harness.path().join("network");
    let chain = CertificateDer::pem_file_iter(directory.join("network.pem")).unwrap().map(Result::unwrap).collect();
    let key = network_key(&directory);
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let network = harness.endpoint.clone();
    tokio::spawn(async move {
        let mut empty_after = Some(after);
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, network, mut left) = (acceptor.clone(), network.clone(), empty_after.take());
            tokio::spawn(async move {
                let codec = || LengthDelimitedCodec::builder().max_frame_length(FRAME_BYTES_MAX).new_codec();
                let bot = Framed::new(acceptor.accept(stream).await.unwrap(), codec());
                let network = Framed::new(tls(&network, &[&version::TLS13]).await.unwrap(), codec());
                let ((mut to_bot, mut from_bot), (mut to_network, mut from_network)) = (bot.split(), network.split());
                let up = async {
                    while let Some(Ok(frame)) = from_bot.next().await {
                        if to_network.send(frame.freeze()).await.is_err() {
                            return;
                        }
                    }
                };
                let down = async {
                    while let Some(Ok(frame)) = from_network.next().await {
                        if to_bot.send(frame.freeze()).await.is_err() {
                            return;
                        }
                        left = left.map(|left| left.saturating_sub(1));
                        if left == Some(0) && to_bot.send(Bytes::new()).await.is_err() {
                            return;
                        }
                    }
                };
                tokio::select! { () = up => {}, () = down => {} }
            });
        }
    });
    Endpoint { address, ..harness.endpoint.clone() }
}

/// A frame of no bytes was taken for the end, or spun a reader for ever, or was read past its end. Here a network that
/// sends one is left and met again, one that is sent one says no and serves the others, and a message without a byte in
/// it has its record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_and_messages_of_no_bytes_end_at_most_a_connection_and_lose_nothing() {
    let harness = Harness::start();
    let endpoint = with_an_empty_frame(&harness, 12).await;
    let bot = Bot::start(Options { endpoint, ..harness.options() }).await;
    let (mut alice, room) = room(&harness).await;
    say(&mut alice, &room, 0..30).await;
    bot.saved(31).await;
    acknowledged(&harness).await;
    assert!(bot.counters.logins.get() >= 2, "it was met by none");
    bot.stop().await.unwrap();
    are_archived(&harness.records(), &room, 30);

    // to the network
    let (read, mut write) = tokio::io::split(tls(&harness.endpoint, &[&version::TLS13]).await.unwrap());
    write.write_all(&[0; 4]).await.unwrap();
    write.flush().await.unwrap();
    let mut frames = FramedRead::new(read, LengthDelimitedCodec::new());
    let answer = ServerFrame::decode(frames.next().await.unwrap().unwrap()).unwrap();
    let Some(Answer::Refused(refused)) = answer.answer else { panic!("{answer:?}") };
    assert_eq!(refused.code(), RefusalCode::Invalid);
    assert!(frames.next().await.is_none_or(|frame| frame.is_err()), "and then it is over");

    // a message, as a network might deliver it whose store was damaged
    say(&mut alice, &room, 30..33).await;
    let emptied = "UPDATE messages SET payload = x'' WHERE id = (SELECT max(id) - 1 FROM messages)";
    assert_eq!(harness.database().execute(emptied, []).unwrap(), 1);
    let bot = harness.bot().await;
    bot.saved(3).await;
    bot.stop().await.unwrap();
    assert_eq!(harness.unacknowledged(), 0);
    let places = places(&harness.records(), &room);
    without_gap(&places);
    let record = &places[&33];
    assert_eq!((&record["msgtype"], &record["ciphertext"]["size"]), (&0.into(), &0.into()), "{record}");
    assert_eq!(texts(&places)[30..], ["30", "32"]);
    harness.stop().await;
}

/// A reader asked for what is later than the last time that it had seen, and never saw the second message of a
/// millisecond. Here places count and no time does: though all clocks stand still, every message is recorded, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_one_and_the_same_time_are_all_recorded_in_order() {
    const NOON_MICROS: i64 = 1_785_585_600_000_000;
    let harness = Harness::start();
    let clock = HandClock::at(NOON_MICROS);
    let options = || Options { clock: clock.clone(), ..harness.options() };
    let bot = Bot::start(options()).await;
    let mut alice = harness.device("alice").await;
    let rooms = [
        alice.create(ConversationKind::Room, &[]).await.unwrap(),
        alice.create(ConversationKind::Room, &[]).await.unwrap(),
    ];
    bot.saved(2).await;
    bot.stop().await.unwrap();
    let mut said = 0;
    for _ in 0..2 {
        // sent at one time, as all texts of these tests, and accepted at one
        for number in said..said + 200 {
            alice.send(&rooms[number % 2], &text(&(number / 2).to_string())).await.unwrap();
        }
        said += 200;
        let accepted = harness.database().execute("UPDATE messages SET accepted_at_micros = ?", [NOON_MICROS]).unwrap();
        assert!(accepted >= 200, "{accepted}");
        let bot = Bot::start(options()).await;
        acknowledged(&harness).await;
        bot.stop().await.unwrap();
    }
    let records = harness.records();
    for room in &rooms {
        are_archived(&records, room, said / 2);
    }
    let times: BTreeSet<_> = records.iter().map(|record| record["received_iso"].to_string()).collect();
    assert_eq!(times.len(), 1, "the clock stood still: {times:?}");
    harness.stop().await;
}

/// What could not be decrypted was logged and dropped, so that nobody could ever read it again. Here it has its record,
/// its ciphertext reaches the bucket under the hash that the record names, and operators are told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_cannot_be_decrypted_is_recorded_kept_whole_shipped_and_told() {
    let (harness, cloud) = (Harness::start(), Cloud::start().await);
    let options = || Options { shipping: cloud.shipping(None), ..harness.options() };
    let bot = Bot::start(options()).await;
    let (mut alice, room) = room(&harness).await;
    bot.saved(1).await;
    bot.stop().await.unwrap();
    say(&mut alice, &room, 0..4).await;
    let database = harness.database();
    let (id, mut ciphertext): (i64, Vec<u8>) = database
        .query_row("SELECT id, payload FROM messages ORDER BY id DESC LIMIT 1 OFFSET 2", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    *ciphertext.last_mut().unwrap() ^= 1;
    database.execute("UPDATE messages SET payload = ? WHERE id = ?", rusqlite::params![ciphertext, id]).unwrap();
    let (events, told) = heard();
    let bot = Bot::start(Options { events, ..options() }).await;
    bot.saved(4).await;
    let counters = bot.counters.clone();
    bot.stop().await.unwrap();
    assert_eq!(harness.unacknowledged(), 0);
    assert_eq!((counters.messages_received.get(), counters.messages_failed.get()), (4, 1));
    assert_eq!(told.of("undecryptable_message").await.len(), 1);
    let places = places(&cloud.records().await, &room);
    without_gap(&places);
    assert_eq!(texts(&places), ["0", "2", "3"]);
    let record = &places[&3];
    assert_eq!((&record["msgtype"], &record["ciphertext"]["sha256"]), (&0.into(), &sha256(&ciphertext).into()));
    assert!(record["reason"].as_str().unwrap().contains("cannot be decrypted"), "{record}");
    let kept = record["ciphertext"]["file"].as_str().unwrap();
    assert!(cloud.objects().await[kept] == ciphertext, "the object is not the ciphertext");
    harness.stop().await;
}

/// A download failed and the record said that the file was there. Here a file that the network has lost is recorded as missing,
/// and of one that is not byte for byte what was sent, be it by one bit, what opens is kept, and all that the network has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attachment_that_the_network_lost_or_altered_by_one_bit_is_never_recorded_as_saved() {
    let harness = Harness::start();
    let bot = harness.bot().await;
    let (mut alice, room) = room(&harness).await;
    let damages: [fn(&mut Vec<u8>); 6] = [
        |blob| blob[16] ^= 1,
        |blob| blob[ATTACHMENT_CHUNK_BYTES / 2] ^= 0x80,
        |blob| *blob.last_mut().unwrap() ^= 1,
        |blob| blob.truncate(blob.len() - 1),
        |blob| blob.clear(),
        // two whole blocks changed places
        |blob| blob[16..16 + 2 * (ATTACHMENT_CHUNK_BYTES + 16)].rotate_left(ATTACHMENT_CHUNK_BYTES + 16),
    ];
    let mut damaged = BTreeSet::new();
    for number in 0..=damages.len() {
        let file = upload(&alice, harness.path(), &noise(3 * ATTACHMENT_CHUNK_BYTES)).await;
        let path = harness.blob(&file.blob);
        match damages.get(number) {
            Some(damage) => {
                let mut blob = fs::read(&path).unwrap();
                damage(&mut blob);
                fs::write(&path, blob).unwrap();
            }
            None => fs::remove_file(&path).unwrap(),
        }
        damaged.insert(alice.send(&room, &content(Body::File(file))).await.unwrap());
        alice.send(&room, &text(&format!("after {number}"))).await.unwrap();
    }
    let whole = upload(&alice, harness.path(), &noise(9)).await;
    let last = alice.send(&room, &content(Body::File(whole))).await.unwrap();
    bot.saved(last).await;
    assert_eq!((bot.counters.files_saved.get(), bot.counters.files_failed.get()), (1, damaged.len() as u64));
    assert_eq!(names(&harness.files()).len(), 6, "{:?}", names(&harness.files()));
    bot.stop().await.unwrap();

    let places = places(&harness.records(), &room);
    without_gap(&places);
    for seq in &damaged {
        let file = &places[seq]["file"];
        assert!(file["status"] == "missing" || file["status"] == "undecryptable", "{file}");
        assert!(!file["reason"].as_str().unwrap().is_empty() && file.get("localfilename").is_none(), "{file}");
    }
    assert_eq!(texts(&places).len(), damaged.len());
    assert_eq!(places[&last]["file"]["status"], "saved");
    harness.stop().await;
}

/// A name that was too long for the disk, or for the store, and the file was dropped. Here it is kept under a name that
/// fits everywhere, with its extension, and the record has the name that the sender gave.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_with_a_name_that_is_too_long_is_kept_under_a_shorter_one_and_shipped() {
    let (harness, cloud) = (Harness::start(), Cloud::start().await);
    let key = cloud.moto.key().await;
    let bot = Bot::start(Options { shipping: cloud.shipping(Some(&key)), ..harness.options() }).await;
    let (mut alice, room) = room(&harness).await;
    let long = |unit: &str, end: &str| unit.repeat((FILE_NAME_BYTES_MAX - end.len()) / unit.len()) + end;
    let sent: Vec<(String, &str)> = [".pdf", ".tar", ""]
        .into_iter()
        .flat_map(|end| ["x", "ü", "👩🏽‍🚀", "日"].map(|unit| (long(unit, end), end)))
        .collect();
    let mut files = Vec::new();
    for (number, (name, _)) in sent.iter().enumerate() {
        let bytes = noise(100 + number);
        let file = Attachment { name: name.clone(), ..upload(&alice, harness.path(), &bytes).await };
        files.push((alice.send(&room, &content(Body::File(file))).await.unwrap(), bytes));
    }
    bot.saved(1 + sent.len() as u64).await;
    bot.rotate().await;
    cloud.proxy.succeeded("PutObject", sent.len() + 1).await;
    bot.stop().await.unwrap();
    assert!(names(&harness.files()).is_empty(), "{:?}", names(&harness.files()));
    let objects = cloud.moto.objects(BUCKET).await;
    assert_eq!(objects.len(), sent.len() + 1);
    for object in &objects {
        // what S3 takes
        let metadata: usize = object.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(object.key.len() <= 1024 && metadata <= 2048, "{}: {metadata}", object.key);
    }
    let keys: Vec<&str> = objects.iter().map(|object| object.key.as_str()).collect();
    let access = cloud.moto.operator();
    let opened = Reader { access: &access, bucket: BUCKET, kms_key: &key }.python(Format::V3, &keys).unwrap();
    let of = |name: &str| opened[keys.iter().position(|key| key.ends_with(name)).unwrap()].clone();
    let archive = of("_00000001.txt");
    let records: Vec<Value> =
        archive.split_inclusive(|b| *b == b'\n').map(|line| serde_json::from_slice(line).unwrap()).collect();
    let places = places(&records, &room);
    without_gap(&places);
    for ((seq, bytes), (name, end)) in files.iter().zip(&sent) {
        let file = &places[seq]["file"];
        assert_eq!((&file["status"], &file["filename"]), (&"saved".into(), &name.as_str().into()));
        let local = file["localfilename"].as_str().unwrap();
        assert!(local.ends_with(end) && local.len() <= 255, "{local}");
        assert!(of(local) == *bytes, "{local} is another file");
    }
    harness.stop().await;
}

/// Of edited, recalled and answered messages only the first form was kept, and nobody had said so. Here each of them is
/// a record of its own that names what it is about, and what it is about stays as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_recalls_and_reactions_are_records_of_their_own_and_the_original_stays() {
    let (harness, cloud) = (Harness::start(), Cloud::start().await);
    let bot = Bot::start(Options { shipping: cloud.shipping(None), ..harness.options() }).await;
    let (mut alice, room) = room(&harness).await;
    let original = text("what was said first");
    let first = alice.send(&room, &original).await.unwrap();
    let id = original.message_id;
    let position = Position { latitude: 40.75, longitude: -180.0 };
    let reaction = |change| Body::Reaction(Reaction { original: id, reaction: "👍".into(), change });
    let named = HEXLOWER.encode(id.as_bytes());
    let table = [
        (
            Body::EditText(TextEdit { original: id, text: "what was said then".into() }),
            9000,
            json!({"edit": {"originalmessageid": named, "text": "what was said then", "type": "text"}}),
        ),
        (
            Body::EditLocation(LiveLocation { position, shared_until_secs: None }),
            9000,
            json!({"edit": {"latitude": 40.75, "longitude": -180.0, "shareexpiriation": "-1", "type": "location"}}),
        ),
        (
            reaction(ReactionChange::Added),
            9100,
            json!({"edit": {"originalmessageid": named, "reactAdded": true, "reaction": "👍", "type": "reaction"}}),
        ),
        (
            reaction(ReactionChange::Removed),
            9100,
            json!({"edit": {"originalmessageid": named, "reactAdded": false, "reaction": "👍", "type": "reaction"}}),
        ),
        (
            Body::Deleted(Deletion { target: id, scope: DeletionScope::Own }),
            4011,
            json!({"control": {"isrecall": false, "msgid": named, "msgtype": 4011}}),
        ),
        (
            Body::Deleted(Deletion { target: id, scope: DeletionScope::Everyone }),
            4011,
            json!({"control": {"isrecall": true, "msgid": named, "msgtype": 4011}}),
        ),
    ];
    let mut expected = Vec::new();
    for (body, kind, told) in table {
        expected.push((alice.send(&room, &content(body)).await.unwrap(), kind, told));
    }
    bot.saved(2 + expected.len() as u64).await;
    bot.stop().await.unwrap();
    let places = places(&cloud.records().await, &room);
    without_gap(&places);
    assert_eq!(places[&first]["message"], "what was said first");
    for (seq, kind, told) in &expected {
        let record = &places[seq];
        assert_eq!(record["msgtype"], *kind, "{record}");
        for (key, value) in told.as_object().unwrap() {
            for (field, value) in value.as_object().unwrap() {
                assert_eq!(record[key][field], *value, "{record}");
            }
        }
        assert_eq!(record["sender"], "alice");
    }
    assert_eq!(places.len(), 2 + expected.len());
    harness.stop().await;
}
