//! Files that lie: whatever is claimed, what the bot can open is in the archive under the truth, and what it cannot as ciphertext.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use data_encoding::{BASE64, HEXLOWER};
use futures_util::future::BoxFuture;
use retaind::archive::record::{SenderType, handshake_message_id};
use retaind::bot::batch::{Context, RecordBuffer};
use retaind::bot::disk::RealDisk;
use retaind::bot::files::Names;
use retaind::bot::watchdog::{Health, Pulse};
use retaind::device::blob::{BlobError, Blobs};
use retaind::device::connection::ConnectionError;
use retaind::protocol::attachment::{AttachmentKey, EncryptingReader};
use retaind::protocol::content::{Attachment, AttachmentKind, Body};
use retaind::protocol::wire::{BlobRange, RefusalCode};
use retaind::report::counters::Counters;
use retaind::source_mls::change::{Decrypted, MlsChange, Owed as Acknowledgements, Progress, SessionChange};
use retaind::source_mls::fetch::{self, Fetcher};
use retaind::source_mls::limits::KEPT_CIPHERTEXT;
use retaind::source_mls::wanted::{FileJob, Message, WantedFile};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use crate::support::archive::{noise, places, without_gap};
use crate::support::attack::files::{CHUNK, Lie, Owed, Uploaded, lies, tell};
use crate::support::raw::Raw;
use crate::support::traffic::{names, sha256};
use crate::support::{BOT, Harness, content, text};

/// The file that `named` names, which has the size and hash that `named` says.
#[track_caller]
fn kept(files: &Path, named: &Value, [name, hash, size]: [&str; 3]) -> (String, Vec<u8>) {
    let name = named[name].as_str().unwrap_or_else(|| panic!("{named}")).to_owned();
    let bytes = fs::read(files.join(&name)).unwrap();
    assert_eq!((&named[hash], &named[size]), (&sha256(&bytes).into(), &bytes.len().into()), "{named}");
    (name, bytes)
}

const SAVED: [&str; 3] = ["localfilename", "filehash", "filesize"];
const PART: [&str; 3] = ["file", "sha256", "size"];

/// The record has and says what `lie` owes. Returns the names of its files.
#[track_caller]
fn is_owed(files: &Path, lie: &Lie, record: &Value, before: &[u8]) -> Vec<String> {
    let file = &record["file"];
    let mut named = Vec::new();
    let mut is = |(name, bytes): (String, Vec<u8>), wanted: &[u8]| {
        assert!(bytes == wanted, "{}: `{name}` has other bytes", lie.what);
        named.push(name);
    };
    assert_eq!(record["msgtype"], lie.msgtype, "{}: {record}", lie.what);
    match lie.owed {
        Owed::Whole => {
            assert_eq!(file["status"], "saved", "{}: {file}", lie.what);
            is(kept(files, file, SAVED), &lie.plaintext);
            if lie.msgtype == 6000 {
                let (claimed, actual) = (HEXLOWER.encode(&lie.file.sha256), sha256(&lie.plaintext));
                let hash = (claimed != actual).then(|| serde_json::json!({ "claimed": claimed, "actual": actual }));
                let (claimed, actual) = (lie.file.size, lie.plaintext.len() as u64);
                let size = (claimed != actual).then(|| serde_json::json!({ "claimed": claimed, "actual": actual }));
                assert_eq!((file.get("hash_mismatch"), file.get("size_mismatch")), (hash.as_ref(), size.as_ref()));
            }
        }
        Owed::Ciphertext { decrypted } => {
            assert_eq!(file["status"], "undecryptable", "{}: {file}", lie.what);
            assert!(!file["reason"].as_str().unwrap().is_empty());
            let blob = if lie.is_uploaded == Uploaded::Before { before } else { &lie.blob };
            is(kept(files, &file["ciphertext"], PART), blob);
            match decrypted {
                0 => assert_eq!(file.get("decrypted"), None, "{}", lie.what),
                length => is(kept(files, &file["decrypted"], PART), &lie.plaintext[..length]),
            }
        }
        Owed::Nothing => assert_eq!(file["status"], "missing", "{}: {file}", lie.what),
        Owed::NotEvenAFile => assert_eq!(record.get("file"), None, "{}", lie.what),
    }
    if lie.msgtype == 0 && record.get("ciphertext").is_some() {
        named.push(kept(files, &record["ciphertext"], PART).0);
    }
    named
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_lies_is_kept_under_the_truth_and_what_nobody_can_open_as_ciphertext() {
    let harness = Harness::start();
    let bot = harness.bot().await;
    let mallory = Raw::on(&harness, "mallory").await;
    let mut session = mallory.create(&[BOT]).await;
    let id = *session.conversation();
    let (mut told, mut before) = (Vec::new(), Vec::new());
    for mut lie in lies() {
        let seq = tell(&mallory, &mut session, &mut lie, &before).await;
        mallory.throw(&session.encrypt(&text(lie.what).encode().unwrap()).unwrap()).await;
        before.clone_from(&lie.file.blob);
        told.push((seq, lie));
    }
    bot.saved(2 * told.len() as u64 + 1).await;
    let counters = bot.counters.clone();
    // while it still runs: nothing waits for a restart to be tidied up
    let there = names(&harness.files());
    bot.stop().await.unwrap();

    let records = harness.records();
    let places = places(&records, &id);
    without_gap(&places);
    let (mut named, mut before): (BTreeSet<String>, &[u8]) = (BTreeSet::new(), &[]);
    for (seq, lie) in &told {
        for name in is_owed(&harness.files(), lie, &places[seq], before) {
            assert!(!name.contains(['/', '\u{202e}']) && !name.starts_with('.'), "{name}");
            assert!(named.insert(name), "{}: two files have one name", lie.what);
        }
        assert_eq!(places[&(seq + 1)]["message"], lie.what, "it goes on");
        before = &lie.blob;
    }
    assert_eq!(named, there.into_iter().collect::<BTreeSet<String>>(), "exactly the files that records name are there");
    let count = |wanted: fn(&Owed) -> bool| told.iter().filter(|(_, lie)| wanted(&lie.owed)).count() as u64;
    let failed = count(|owed| matches!(owed, Owed::Ciphertext { .. } | Owed::Nothing));
    assert_eq!(counters.files_saved.get(), count(|owed| *owed == Owed::Whole));
    assert_eq!(counters.files_failed.get(), failed);
    let saved: usize = told.iter().filter(|(_, lie)| lie.owed == Owed::Whole).map(|(_, lie)| lie.plaintext.len()).sum();
    assert_eq!(counters.files_saved_bytes.get(), saved as u64);
    let archive: String = records.iter().map(Value::to_string).collect();
    for (_, lie) in told.iter().filter(|(_, lie)| lie.owed != Owed::NotEvenAFile) {
        let forms = [HEXLOWER.encode(&lie.file.key), BASE64.encode(&lie.file.key)];
        assert!(forms.iter().all(|form| !archive.contains(form.as_str())), "{}: its key is in the archive", lie.what);
    }
    harness.stop().await;
}

/// A network that has one blob, up to a place, or one that never ends.
enum Hostile {
    LosesItAfter(Vec<u8>, u64),
    NeverEnds,
}

impl Blobs for Hostile {
    fn range<'a>(&'a self, _: &'a [u8; 32], range: Range<u64>) -> BoxFuture<'a, Result<BlobRange, BlobError>> {
        let length = usize::try_from(range.end - range.start).unwrap();
        let answer = match self {
            Self::NeverEnds => Ok(BlobRange { bytes: vec![7; length], size: u64::MAX }),
            Self::LosesItAfter(_, most) if range.start >= *most => {
                Err(BlobError::Connection(ConnectionError::Refused {
                    code: RefusalCode::NotFound,
                    message: "no such blob".to_owned(),
                }))
            }
            Self::LosesItAfter(blob, _) => {
                let bytes = blob.iter().skip(usize::try_from(range.start).unwrap()).take(length).copied().collect();
                Ok(BlobRange { bytes, size: blob.len() as u64 })
            }
        };
        Box::pin(std::future::ready(answer))
    }
}

/// What is recorded of `file`, and the counts of refusals.
async fn fetched(network: Hostile, file: Attachment, folder: &Path, most: u64) -> (Value, Vec<(String, Vec<u8>)>, u64) {
    let counters = Arc::new(Counters::default());
    let (_health, health) = watch::channel(Health::default());
    let (_connection, connection) = watch::channel(Some(Arc::new(network)));
    let fetcher = Fetcher {
        names: Arc::new(Names::new(Arc::new(RealDisk), folder)),
        connection,
        chunks: mpsc::channel(1).0,
        workers: Vec::new(),
        counters: counters.clone(),
        health,
        pulse: Pulse::default(),
        pauses: fetch::PAUSES,
        kept_bytes_max: most,
    };
    let conversation = format!("S{}", "0".repeat(63)).parse().unwrap();
    let context = Context {
        network_id: "1".into(),
        sender_network_id: "1".into(),
        sender: None,
        sender_type: SenderType::Normal,
        device: None,
        receiver: None,
        conversation,
        seq: 1,
        received_micros: 0,
        message_id: handshake_message_id(&conversation, 1),
        sent_at_micros: 0,
    };
    let (owed, _due) = Acknowledgements::new();
    let (session, progress) = (SessionChange::None, Progress::default());
    let (lost, reports, held) = (Vec::new(), Vec::new(), Vec::new());
    let change = MlsChange { conversation, cursor: 1, session, turn: 1, progress, owed, lost, reports, held };
    let chunk = Decrypted { records: RecordBuffer::default(), files: Vec::new(), deliveries: 1, change };
    let wanted = vec![WantedFile::new(context, Message::Content(content(Body::File(file))))];
    let chunk = fetcher.fill(FileJob { chunk, wanted }).await.unwrap();
    let record: Value = serde_json::from_slice(chunk.records.iter().next().unwrap().0).unwrap();
    let files = chunk.files.iter().map(|file| (file.name.clone(), fs::read(folder.join(&file.temporary)).unwrap()));
    (record["file"].clone(), files.collect(), counters.refusals.of(&KEPT_CIPHERTEXT))
}

#[tokio::test]
async fn a_network_that_never_ends_a_blob_fills_no_disk_and_one_that_loses_it_takes_back_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let plaintext = noise(9 * CHUNK);
    let mut reader = EncryptingReader::new(plaintext.as_slice(), plaintext.len() as u64).unwrap();
    let mut blob = Vec::new();
    while reader.next_block(&mut blob).unwrap().is_some() {}
    let sealed = reader.finish().unwrap();
    let file = || Attachment {
        blob: [1; 32],
        key: AttachmentKey::from_bytes(sealed.key().expose()).unwrap(),
        size: plaintext.len() as u64,
        sha256: *sealed.sha256(),
        name: "video.mp4".into(),
        guid: [2; 16],
        kind: AttachmentKind::File,
    };
    const MOST: usize = 3 * 1024 * 1024 + 5;
    let (record, files, refused) = fetched(Hostile::NeverEnds, file(), folder.path(), MOST as u64).await;
    assert_eq!((&record["status"], &record["ciphertext"]["size"]), (&"undecryptable".into(), &MOST.into()), "{record}");
    assert_eq!((files.len(), files[0].1.len(), refused), (1, MOST, 1));

    let lost = Hostile::LosesItAfter(blob.clone(), 1024 * 1024);
    let (record, files, refused) = fetched(lost, file(), folder.path(), MOST as u64).await;
    assert_eq!((&record["status"], record.get("ciphertext")), (&"undecryptable".into(), None), "{record}");
    assert!(files.len() == 1 && files[0].1 == plaintext[..3 * CHUNK], "{}", files[0].1.len());
    assert_eq!((&record["decrypted"]["file"], refused), (&files[0].0.clone().into(), 0));

    // lost while its ciphertext was fetched
    let damaged = Attachment { size: 5, ..file() };
    let (record, files, _) = fetched(Hostile::LosesItAfter(blob, 1024 * 1024), damaged, folder.path(), u64::MAX).await;
    assert_eq!(record["status"], "undecryptable", "{record}");
    assert_eq!(files.iter().map(|(_, bytes)| bytes.len()).collect::<Vec<_>>(), [1024 * 1024, 3 * CHUNK]);
    assert_eq!(names(folder.path()).len(), 4, "what is given up is removed");
}
