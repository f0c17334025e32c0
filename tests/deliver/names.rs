//! Names of files: whatever a sender calls a file, it lands beside the others under a name of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use retaind::protocol::attachment::AttachmentKey;
use retaind::protocol::content::{Attachment, Body};
use retaind::protocol::ids::ConversationKind;
use retaind::protocol::limits::FILE_NAME_BYTES_MAX;

use super::{places, upload, without_gap};
use crate::support::clock::HandClock;
use crate::support::traffic::names;
use crate::support::{Bot, Harness, Options, content};

/// Longest name on the usual file systems.
const NAME_BYTES_MAX: usize = 255;

const NOON_MICROS: i64 = 1_785_585_600_000_000;

fn hostile_names() -> Vec<String> {
    let mut all: Vec<String> = [
        "../../../../../../tmp/escaped",
        "/etc/passwd",
        "..\\..\\windows\\system.ini",
        "C:\\boot.ini",
        "..",
        ".",
        "",
        "/",
        " . ",
        ".hidden",
        ".0123456789abcdef0123456789abcdef.part",
        "a\0b\r\nc\u{7f}\u{85}\u{1b}[31m.txt",
        "x<y>:z\"|?*.txt",
        "CON",
        "nul.txt",
        "~",
        "-rf",
        "gpj.\u{202e}exe",
        "\u{feff}\u{2028}\u{2029}\u{61c}.txt",
        "same.txt",
        "same.txt",
        "some/where/same.txt",
        "attachment_20230804191058000_same.txt",
        "日本語.pdf",
    ]
    .map(str::to_owned)
    .into();
    all.push(format!("{}.docx", "ü".repeat(150)));
    all.push(format!("{}.docx", "ü".repeat(151)));
    all.push(format!("{} .{}", "x".repeat(221), "y".repeat(60)));
    all.push("👩🏽‍🚀".repeat(FILE_NAME_BYTES_MAX / "👩🏽‍🚀".len()));
    all.push(format!("a.{}", "z".repeat(FILE_NAME_BYTES_MAX - 2)));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_names_stay_in_the_record_and_get_safe_names_of_their_own_on_disk() {
    let harness = Harness::start();
    let bot = Bot::start(Options { clock: HandClock::at(NOON_MICROS), ..harness.options() }).await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    let Attachment { blob, key, size, sha256, guid, kind, .. } = upload(&alice, harness.path(), b"content").await;
    let mut sent = Vec::new();
    for name in hostile_names() {
        let key = AttachmentKey::from_bytes(key.expose()).unwrap();
        // all are received at the same millisecond
        let file = Attachment { blob, key, size, sha256, name: name.clone(), guid, kind };
        sent.push((alice.send(&room, &content(Body::File(file))).await.unwrap(), name));
    }
    bot.saved(sent.len() as u64 + 1).await;
    bot.stop().await.unwrap();

    let places = places(&harness.records(), &room);
    without_gap(&places);
    let mut local = BTreeSet::new();
    for (seq, name) in &sent {
        let file = &places[seq]["file"];
        assert_eq!((&file["status"], &file["filename"]), (&"saved".into(), &name.as_str().into()));
        let kept = file["localfilename"].as_str().unwrap();
        assert!(kept.starts_with("attachment_20260801120000") && kept.len() <= NAME_BYTES_MAX, "{kept:?}");
        let is_harmful = |c: char| {
            c.is_control() || "/\\<>:\"|?*\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{61c}\u{2028}\u{2029}".contains(c)
        };
        assert!(!kept.contains(is_harmful) && !kept.ends_with(['.', ' ']), "{kept:?}");
        assert_eq!(std::fs::read(harness.files().join(kept)).unwrap(), b"content");
        assert!(local.insert(kept.to_owned()), "{kept:?} is given twice");
    }
    let kept = |original: &str| {
        let (seq, _) = sent.iter().find(|(_, name)| name == original).unwrap();
        places[seq]["file"]["localfilename"].as_str().unwrap().to_owned()
    };
    assert!(kept("日本語.pdf").ends_with("_日本語.pdf"));
    assert!(kept(&format!("{}.docx", "ü".repeat(150))).ends_with("ü.docx"));
    assert_eq!(names(&harness.files()), local);
    let of_state = |name: &str| name.starts_with("bot.db") || name == "in-hand.bin";
    let outside: Vec<String> =
        names(harness.path()).into_iter().filter(|name| !of_state(name) && name != "upload.bin").collect();
    assert_eq!(outside, ["attachments", "messages", "network"], "a file beside the directory of attachments");
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_never_given_again_after_its_file_was_shipped_and_removed() {
    let harness = Harness::start();
    let clock = HandClock::at(NOON_MICROS);
    let mut alice = harness.device("alice").await;
    let mut room = None;
    let mut given = BTreeSet::new();
    for life in 0..3 {
        let bot = Bot::start(Options { clock: clock.clone(), ..harness.options() }).await;
        let room = match room {
            Some(room) => room,
            None => *room.insert(alice.create(ConversationKind::Room, &[]).await.unwrap()),
        };
        for number in 1..=2 {
            // the same name, and the same time of sending
            let file = upload(&alice, harness.path(), format!("{life} {number}").as_bytes()).await;
            alice.send(&room, &content(Body::File(file))).await.unwrap();
            bot.counters.files_saved.reaches(number).await;
            for name in names(&harness.files()) {
                std::fs::remove_file(harness.files().join(&name)).unwrap();
                assert!(given.insert(name), "a second file would take the place of the first where it was shipped to");
            }
        }
        bot.stop().await.unwrap();
        clock.set_back(Duration::from_secs(60));
    }
    assert_eq!(given.len(), 6);
    harness.stop().await;
}
