//! A record's line, byte for byte.
//!
//! Each file in `tests/golden/records` holds the line (or lines) of one type; `cases` makes them. `RETAIND_BLESS=1` writes
//! them again: do so on purpose only, and read the difference. Where the publisher of the format gives an example, the
//! golden has its values, and is compared with the example too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod cases;
mod lies;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cases::{BLOB, GROUP, KEY, ROOM, UNICODE, a_room, goldens, text};
use data_encoding::{BASE64, HEXLOWER, HEXUPPER};
use retaind::archive::record::handshake_message_id;
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/records")
}

fn values(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_type_is_written_as_its_golden_file_says() {
    let bless = std::env::var_os("RETAIND_BLESS").is_some_and(|value| value == "1");
    let mut different = Vec::new();
    for (name, lines) in goldens() {
        let path = folder().join(format!("{name}.jsonl"));
        if bless {
            fs::write(&path, &lines).unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap_or_default();
        if golden != lines {
            different.push(format!("{name}:\n  golden {golden}  now    {lines}"));
        }
    }
    assert!(different.is_empty(), "not as the golden files:\n{}", different.join("\n"));
}

#[test]
fn every_golden_file_belongs_to_a_record_that_is_tested() {
    let tested: BTreeSet<String> = goldens().into_iter().map(|(name, _)| format!("{name}.jsonl")).collect();
    let there: BTreeSet<String> =
        fs::read_dir(folder()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, tested);
}

#[test]
fn every_row_of_the_record_table_has_a_golden_file() {
    let found: BTreeSet<u64> =
        goldens().iter().flat_map(|(_, lines)| values(lines)).map(|v| v["msgtype"].as_u64().unwrap()).collect();
    let table =
        [0, 1000, 3000, 4001, 4002, 4003, 4004, 4005, 4011, 4012, 4013, 4014, 4900, 6000, 7000, 8000, 9000, 9100, 9200];
    assert_eq!(found, BTreeSet::from(table));
}

#[test]
fn keys_are_sorted_at_every_level_of_every_golden_file() {
    assert_eq!(values(r#"{"b":1,"a":2}"#)[0].to_string(), r#"{"a":2,"b":1}"#, "serde_json does not sort");
    for (name, lines) in goldens() {
        for line in lines.lines() {
            // `Value` sorts its keys, so that a line whose keys are sorted, and that is compact, comes back unchanged
            let value: Value = serde_json::from_str(line).unwrap();
            let sorted = ['\u{85}', '\u{2028}', '\u{2029}'].iter().fold(value.to_string(), |text, end| {
                // what some readers take for the end of a line is escaped
                text.replace(*end, &format!("\\u{:04x}", u32::from(*end)))
            });
            assert_eq!(sorted, line, "{name}");
        }
    }
}

#[test]
fn every_record_has_all_common_fields_and_ours() {
    let always = [
        "device",
        "message_id",
        "msg_ts",
        "msgtype",
        "network_id",
        "received_iso",
        "sender",
        "sender_network_id",
        "sender_type",
        "seq",
        "time",
        "time_iso",
        "vgroupid",
    ];
    for (name, lines) in goldens() {
        for value in values(&lines) {
            for field in always {
                assert!(value.get(field).is_some(), "{name} lacks {field}");
            }
            assert_eq!(value["msgtype"] == 0, value.get("reason").is_some(), "{name}");
        }
    }
}

#[test]
fn the_key_of_a_file_never_reaches_a_record() {
    for secret in [KEY, BLOB] {
        // base64 of the key inside longer bytes starts at any of three places
        let inside = [0, 1, 2].map(|skip| BASE64.encode(&secret[skip..skip + 27]));
        let forms = [HEXLOWER.encode(&secret), HEXUPPER.encode(&secret), String::from_utf8(secret.to_vec()).unwrap()];
        for (name, lines) in goldens() {
            // the blob's id alone opens nothing; in what a later version wrote, nobody can tell what it is
            if secret == BLOB && name == "0-unknown-file" {
                continue;
            }
            for form in forms.iter().chain(&inside) {
                assert!(!lines.contains(form.as_str()), "{name} holds {form}");
            }
        }
    }
}

#[test]
fn a_message_of_one_mebibyte_survives_byte_for_byte() {
    let long: String = UNICODE.chars().cycle().take(900_000).collect();
    assert!(long.len() > 1 << 20);
    let line = a_room().said(text(&long));
    assert_eq!(line.lines().count(), 1);
    let value: Value = serde_json::from_str(&line).unwrap();
    assert!(value["message"].as_str().unwrap() == long, "the text has changed");
}

#[test]
fn handshake_ids_differ_by_conversation_and_place_and_stay_the_same() {
    let (room, group) = (ROOM.parse().unwrap(), GROUP.parse().unwrap());
    let ids = [handshake_message_id(&room, 1), handshake_message_id(&room, 2), handshake_message_id(&group, 1)];
    assert_eq!(BTreeSet::from(ids).len(), 3);
    assert_eq!(ids[0].to_string(), "f5a9742eda882739e0c9ee623aa6e22c");
}

/// Ours, beyond the published fields.
const FURTHER: [&str; 8] =
    ["device", "filehash", "filesize", "network_id", "received_iso", "sender_network_id", "seq", "status"];

/// What `published` says stands in `ours`.
fn assert_as_published(name: &str, ours: &Value, published: &Value) {
    match (ours, published) {
        (Value::Object(ours), Value::Object(published)) => {
            for (key, value) in published {
                let found = ours.get(key).unwrap_or_else(|| panic!("{name} lacks the published `{key}`"));
                assert_as_published(name, found, value);
            }
        }
        (Value::Array(ours), Value::Array(published)) => {
            for (ours, published) in ours.iter().zip(published) {
                assert_as_published(name, ours, published);
            }
            assert!(ours.len() >= published.len(), "{name}");
        }
        // cut short by the publisher
        (Value::String(ours), Value::String(published)) if published.contains("...") => {
            assert!(ours.starts_with(published.get(..2).unwrap()), "{name}: {ours}");
        }
        _ => assert_eq!(ours, published, "{name}"),
    }
}

fn keys_of(value: &Value, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                keys.insert(key.clone());
                keys_of(value, keys);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys_of(item, keys)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn records_hold_what_the_published_examples_hold() {
    // `published.json` leaves out the `key` of a saved item, and `time` and `time_iso` where the publisher's are in
    // another time zone than the seconds of `msg_ts`
    let published = fs::read_to_string(folder().parent().unwrap().join("published.json")).unwrap();
    let published: Value = serde_json::from_str(&published).unwrap();
    let goldens = goldens();
    for (name, example) in published.as_object().unwrap() {
        let (_, lines) = goldens.iter().find(|(golden, _)| golden == name).unwrap();
        let ours = values(lines).swap_remove(0);
        assert_as_published(name, &ours, example);
        if example.get("vgroupid").is_some() {
            let (mut here, mut there) = (BTreeSet::new(), BTreeSet::new());
            keys_of(&ours, &mut here);
            keys_of(example, &mut there);
            there.extend(FURTHER.map(str::to_owned));
            there.extend(["time".to_owned(), "time_iso".to_owned()]);
            assert!(here.is_subset(&there), "{name} has more: {:?}", here.difference(&there));
        }
    }
}
