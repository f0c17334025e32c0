//! The container and the events of RSMF, read back.

use std::io::{Cursor, Read as _};

use super::hostile::{boundary, decoded, parts};
use super::*;

type Container = zip::ZipArchive<Cursor<Vec<u8>>>;

fn opened(mail: &str) -> (String, Container, Value) {
    let (head, _) = mail.split_once("\r\n\r\n").unwrap();
    let parts = parts(mail, &boundary(head));
    assert_eq!(parts.len(), 2, "words and one attachment");
    assert!(parts[1].0.contains("filename=\"rsmf.zip\""));
    let mut zip = zip::ZipArchive::new(Cursor::new(decoded(parts[1].1))).unwrap();
    let mut text = String::new();
    zip.by_name("rsmf_manifest.json").unwrap().read_to_string(&mut text).unwrap();
    (head.to_owned(), zip, serde_json::from_str(&text).unwrap())
}

#[test]
fn a_message_has_its_edits_its_recall_and_its_file() {
    let lines = [
        record(1, 0, "", 4900, json!({"control": {"action": "joined", "members": ["alice", "bob"], "msgtype": 4900}})),
        text(2, 1, "alice", "first"),
        edit(3, 2, "alice", 2, "second"),
        recall(4, 3, "alice", 2),
        file(5, 4, "bob", "../a.png", "attachment_1", "00"),
        record(6, 5, "alice", 4002, json!({"control": {"addedusers": ["carol", "dave"], "msgtype": 4002}})),
    ];
    let sample = Sample::of_values(&lines);
    sample.attach("attachment_1", b"12345");
    assert_eq!(sample.run(&sample.args("out", &[Format::Rsmf])).unwrap(), Exit::Findings, "its hash is another");
    let (head, mut zip, manifest) = opened(&sample.text("out", "rsmf/000001_2026-06-01_S19a8782d9a0.rsmf"));
    let events = manifest["events"].as_array().unwrap();
    assert!(head.contains("X-RSMF-Version: 2.0.0") && head.contains("X-RSMF-EventCount: 4\r\n"), "{head}");
    assert_eq!(events.len(), 4);
    assert_eq!(events[0]["body"], "second");
    assert_eq!(events[0]["deleted"], true);
    assert_eq!(events[0]["edits"][0]["previous"], "first");
    assert_eq!(events[1]["attachments"][0], json!({"id": "a.png", "display": "../a.png.bin", "size": 5}));
    assert_eq!((&events[2]["type"], &events[2]["participant"]), (&json!("join"), &json!("carol")));
    assert_eq!(manifest["conversations"][0]["participants"], json!(["alice", "bob"]));
    let mut bytes = Vec::new();
    zip.by_name("a.png").unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"12345");
    assert_eq!(zip.len(), 2);
}

#[test]
fn ids_of_golden_records_resolve_and_are_unique() {
    let sample = Sample::of(&golden());
    sample.run(&sample.args("out", &[Format::Rsmf])).unwrap();
    for (name, bytes) in sample.files("out").into_iter().filter(|(name, _)| name.starts_with("rsmf/")) {
        let (_, zip, manifest) = opened(&String::from_utf8(bytes).unwrap());
        let known: Vec<&Value> = manifest["participants"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
        let events = manifest["events"].as_array().unwrap();
        let mut ids: Vec<&str> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), events.len(), "{name}");
        for event in events {
            assert!(event.get("participant").is_none_or(|one| known.contains(&one)), "{name}: {event}");
            for file in event.get("attachments").and_then(Value::as_array).into_iter().flatten() {
                assert!(zip.index_for_name(file["id"].as_str().unwrap()).is_some(), "{name}: {file}");
            }
        }
    }
}

#[test]
fn twenty_five_thousand_events_of_a_day_make_four_files_of_one_collection() {
    let lines: Vec<Value> = (1..=25_000).map(|seq| text(seq, 1, "alice", "x")).collect();
    let sample = Sample::of_values(&lines);
    assert_eq!(sample.run(&sample.args("out", &[Format::Rsmf])).unwrap(), Exit::Done);
    let mut counts = Vec::new();
    for (_, bytes) in sample.files("out").into_iter().filter(|(name, _)| name.starts_with("rsmf/")) {
        let (_, _, manifest) = opened(&String::from_utf8(bytes).unwrap());
        assert_eq!(manifest["eventcollectionid"], ROOM);
        counts.push(manifest["events"].as_array().unwrap().len());
    }
    assert_eq!(counts, [8_000, 8_000, 8_000, 1_000]);
}
