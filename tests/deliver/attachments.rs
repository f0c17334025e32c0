//! Attachments: the file on disk is the file that was sent, or the record says why there is none.

use std::fs;

use data_encoding::HEXLOWER;
use retaind::protocol::attachment::AttachmentKey;
use retaind::protocol::content::{Attachment, Body};
use retaind::protocol::ids::ConversationKind;
use retaind::protocol::limits::ATTACHMENT_CHUNK_BYTES;
use retaind::protocol::wire::{Answer, BlobCreate, BlobFinish, BlobPut, Request};

use super::{places, upload, without_gap};
use crate::support::archive::noise;
use crate::support::traffic::{names, sha256};
use crate::support::{Harness, content, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_any_size_is_archived_byte_for_byte() {
    const BLOCK: usize = ATTACHMENT_CHUNK_BYTES;
    let harness = Harness::start();
    let bot = harness.bot().await;
    let mut alice = harness.device("alice").await;
    let direct = alice.create(ConversationKind::Direct, &[]).await.unwrap();
    let mut sent = Vec::new();
    let sizes = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 4 * BLOCK - 16, 5 * 1024 * 1024 + 7];
    for size in sizes {
        let bytes = noise(size);
        let file = upload(&alice, harness.path(), &bytes).await;
        let guid = HEXLOWER.encode(&file.guid);
        let seq = alice.send(&direct, &content(Body::File(file))).await.unwrap();
        sent.push((seq, guid, bytes));
    }
    bot.saved(sent.len() as u64 + 1).await;
    assert_eq!(bot.counters.files_saved.get(), sent.len() as u64);
    assert_eq!(bot.counters.files_saved_bytes.get(), sizes.iter().sum::<usize>() as u64);
    bot.stop().await.unwrap();

    let places = places(&harness.records(), &direct);
    without_gap(&places);
    for (seq, guid, bytes) in &sent {
        let file = &places[seq]["file"];
        assert_eq!((&file["status"], &file["filename"]), (&"saved".into(), &"upload.bin".into()));
        assert_eq!(file["filesize"], bytes.len());
        assert_eq!(file["filehash"], sha256(bytes));
        assert_eq!(file["guid"].as_str().unwrap().replace('-', ""), *guid);
        let kept = fs::read(harness.files().join(file["localfilename"].as_str().unwrap())).unwrap();
        assert!(kept == *bytes, "{} bytes are not those that were sent", bytes.len());
    }
    assert_eq!(names(&harness.files()).len(), sent.len());
    harness.stop().await;
}

/// The same file in another message.
fn again(file: &Attachment) -> Attachment {
    let Attachment { blob, size, sha256, guid, kind, .. } = *file;
    let key = AttachmentKey::from_bytes(file.key.expose()).unwrap();
    Attachment { blob, key, size, sha256, name: file.name.clone(), guid, kind }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_not_what_its_message_says_is_kept_or_missing_with_a_reason_and_leaves_nothing_else_behind() {
    let harness = Harness::start();
    let bot = harness.bot().await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    let bytes = noise(ATTACHMENT_CHUNK_BYTES + 9);
    let good = upload(&alice, harness.path(), &bytes).await;
    let mut wrong = Vec::new();
    type Change = fn(&mut Attachment);
    let changes: [(&str, Change); 8] = [
        ("saved", |file| file.size += 1),
        ("saved", |file| file.size -= 1),
        ("saved", |file| file.size = 0),
        ("saved", |file| file.size = 1 << 34),
        ("saved", |file| file.sha256[31] ^= 1),
        ("undecryptable", |file| file.key = AttachmentKey::generate().unwrap()),
        ("missing", |file| file.blob = [0xee; 32]),
        ("saved", |file| file.size = u64::try_from(ATTACHMENT_CHUNK_BYTES).unwrap()),
    ];
    for (status, change) in changes {
        let mut file = again(&good);
        change(&mut file);
        wrong.push((status, file));
    }
    // begun and never finished; finished, but no attachment; no bytes at all
    for (status, bytes, is_finished) in
        [("missing", noise(4096), false), ("undecryptable", noise(4096), true), ("undecryptable", Vec::new(), true)]
    {
        let create = Request::BlobCreate(BlobCreate { size: bytes.len() as u64 });
        let Answer::BlobCreated(created) = alice.connection().call(create).await.unwrap() else { panic!() };
        let blob = created.blob;
        if !bytes.is_empty() {
            let put = Request::BlobPut(BlobPut { blob: blob.clone(), offset: 0, bytes });
            alice.connection().call(put).await.unwrap();
        }
        if is_finished {
            alice.connection().call_done(Request::BlobFinish(BlobFinish { blob: blob.clone() })).await.unwrap();
        }
        let mut file = again(&good);
        (file.blob, file.size) = (blob.try_into().unwrap(), 4096 - 32);
        wrong.push((status, file));
    }
    let mut sent = Vec::new();
    for (status, file) in wrong {
        let (size, hash) = (file.size, HEXLOWER.encode(&file.sha256));
        let seq = alice.send(&room, &content(Body::File(file))).await.unwrap();
        alice.send(&room, &text(&format!("after {seq}"))).await.unwrap();
        sent.push((seq, status, size, hash));
    }
    let last = alice.send(&room, &content(Body::File(again(&good)))).await.unwrap();
    bot.saved(last).await;
    let count = |wanted: &str| sent.iter().filter(|(_, status, ..)| *status == wanted).count() as u64;
    assert_eq!(bot.counters.files_failed.get(), count("missing") + count("undecryptable"));
    assert_eq!(bot.counters.files_saved.get(), count("saved") + 1);
    // while it still runs: nothing waits for a restart to be tidied up
    let kept = count("saved") + count("undecryptable") + 1;
    assert_eq!(names(&harness.files()).len() as u64, kept, "{:?}", names(&harness.files()));
    bot.stop().await.unwrap();

    let places = places(&harness.records(), &room);
    without_gap(&places);
    for (seq, status, size, hash) in &sent {
        let file = &places[seq]["file"];
        assert_eq!(file["status"], *status, "{file}");
        if *status == "saved" {
            let claimed =
                |field: &str, truth: &str| file.get(field).map_or(&file[truth], |both| &both["claimed"]).clone();
            assert_eq!(claimed("size_mismatch", "filesize"), *size);
            assert_eq!(claimed("hash_mismatch", "filehash"), hash.as_str());
            assert_eq!((&file["filesize"], &file["filehash"]), (&bytes.len().into(), &sha256(&bytes).into()));
            let kept = fs::read(harness.files().join(file["localfilename"].as_str().unwrap())).unwrap();
            assert!(kept == bytes, "{file}");
        } else {
            assert!(!file["reason"].as_str().unwrap().is_empty() && file.get("localfilename").is_none(), "{file}");
            assert_eq!((file["filesize"].as_u64(), file["filehash"].as_str()), (Some(*size), Some(hash.as_str())));
        }
        assert_eq!(places[&(seq + 1)]["message"], format!("after {seq}"));
    }
    assert_eq!(places[&last]["file"]["status"], "saved");
    harness.stop().await;
}
