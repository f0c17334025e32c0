//! Entries of every type, and what is refused.

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::canonical::{self, INTEGER_MAX};
use crate::entry::*;

const HASH: [u8; 32] = [0xab; 32];

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_849_200 + seconds).unwrap()
}

fn entry(body: Body) -> Entry {
    let bot = Bot {
        name: "compliance_12345678_bot".to_owned(),
        device: "5f0c".to_owned(),
        network_id: "12345678".to_owned(),
        version: "0.1.0".to_owned(),
    };
    let covers = Covers { from: time(0), to: time(60) };
    Entry { log: LogId([1; 16]), number: 5, previous: HASH, made_at: time(61), covers, bot, body }
}

fn segment() -> Segment {
    let range = |id: &str| ConversationRange {
        id: id.to_owned(),
        first: Count(3),
        last: Count(9),
        records: Count(6),
        holes: vec![[Count(4), Count(4)]],
    };
    let file = |name: &str| FileRef {
        name: name.to_owned(),
        bytes: Count(9),
        sha256: HASH,
        kind: FileKind::Attachment,
        conversation: "c".to_owned(),
        seq: Count(u64::MAX),
    };
    Segment {
        name: "receivedMessages_1.txt".to_owned(),
        number: Count(1),
        bytes: Count(24),
        records: Count(3),
        sha256: HASH,
        records_root: HASH,
        sealed_by: SealedBy::Size,
        first_received: Some(time(1)),
        last_received: Some(time(59)),
        first_accepted: None,
        last_accepted: None,
        types: [("1000".to_owned(), Count(3))].into(),
        unreadable: Count(0),
        holes: Count(1),
        files_missing: Count(0),
        conversations: vec![range("a"), range("b")],
        files: vec![file("a"), file("é")],
    }
}

fn object() -> Object {
    Object {
        name: "receivedMessages_1.txt".to_owned(),
        bytes: Count(40),
        sha256: HASH,
        plain_sha256: Some(HASH),
        encryption: Encryption::S3ecV3,
        bucket: "archive".to_owned(),
        key: "prefix/receivedMessages_1.txt".to_owned(),
        version: Some("v1".to_owned()),
        lock: Some(Lock { mode: Some("COMPLIANCE".to_owned()), until: Some(time(9)), hold: true }),
        stored_at: time(60),
    }
}

fn bodies() -> Vec<Body> {
    let head = Head { size: Count(5), root: HASH };
    let previous_log =
        PreviousLog { log: LogId([2; 16]), size: Count(4), root: HASH, checkpoint: Some("note\n".to_owned()) };
    let before = FileBefore { name: "receivedMessages_0.txt".to_owned(), bytes: Count(1), sha256: HASH };
    let genesis = Genesis {
        vkeys: vec![signing_key().vkey(NAME).unwrap().to_string()],
        previous_log: None,
        because: GenesisBecause::FirstStart,
        segments_before: vec![before],
        settings: [("RETAIND_EVIDENCE_INTERVAL".to_owned(), "60".to_owned())].into(),
    };
    let open = OpenFile { number: Count(2), bytes: Count(7), records: Count(1), sha256: HASH };
    let interval = Interval {
        records: Count(0),
        open: None,
        connected_seconds: Some(Count(3600)),
        conversations: Count(7),
        heads_root: HASH,
    };
    let bare = Object { plain_sha256: None, version: None, lock: None, ..object() };
    vec![
        Body::Genesis(genesis.clone()),
        Body::Genesis(Genesis { previous_log: Some(previous_log), because: GenesisBecause::StateOlder, ..genesis }),
        Body::Segment(segment()),
        Body::Receipt(Receipt { objects: vec![bare, object()] }),
        Body::Interval(Interval { open: Some(open), ..interval.clone() }),
        Body::Interval(interval),
        Body::Pause(Pause {
            from: time(0),
            to: time(60),
            ended: Ended::Killed,
            first_seq_after: [("a".to_owned(), Count(10))].into(),
        }),
        Body::Notice(Notice { code: NoticeCode::ClockStep, about: "-7200 s".to_owned() }),
        Body::Key(KeyChange { vkey: "v".to_owned(), reason: "yearly".to_owned(), valid_from: time(60) }),
        Body::Restore(Restore { published: head.clone(), local_size: Count(3) }),
        Body::Close(Close { head }),
    ]
}

fn stored(leaf: &[u8]) -> Vec<u8> {
    sign(leaf, &[("8e53fc2f", &signing_key())])
}

/// The entry of `segment`, with its JSON changed.
fn changed(change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let mut value = canonical::parse(&entry(Body::Segment(segment())).leaf(), ENTRY_BYTES_MAX).unwrap();
    change(&mut value);
    stored(&canonical::to_bytes(&value))
}

#[test]
fn every_type_is_read_as_it_was_written() {
    let vkey = signing_key().vkey(NAME).unwrap();
    let mut kinds = Vec::new();
    for body in bodies() {
        kinds.push(body.kind());
        let entry = entry(body);
        let leaf = entry.leaf();
        let parsed = Entry::parse(&stored(&leaf)).unwrap();
        assert_eq!((&parsed.entry, &parsed.leaf), (&entry, &leaf));
        assert!(parsed.signatures[0].is_of(&vkey, &leaf));
    }
    kinds.dedup();
    assert_eq!(kinds, Kind::ALL);
}

#[test]
fn a_signature_is_over_the_leaf_and_of_one_key() {
    let leaf = entry(Body::Segment(segment())).leaf();
    let keys = [("8e53fc2f", &signing_key()), ("other", &other_key())];
    let parsed = Entry::parse(&sign(&leaf, &keys)).unwrap();
    let vkey = signing_key().vkey(NAME).unwrap();
    assert!(parsed.signatures[0].is_of(&vkey, &leaf));
    assert!(!parsed.signatures[0].is_of(&vkey, b"{}"));
    assert!(!parsed.signatures[1].is_of(&vkey, &leaf));
    let other_algorithm = Signature { algorithm: "ml-dsa-44".to_owned(), ..parsed.signatures[0].clone() };
    assert!(!other_algorithm.is_of(&vkey, &leaf));
    assert!(Entry::parse(&sign(&leaf, &[])).unwrap().signatures.is_empty());
}

#[test]
fn lists_are_put_into_order_and_refused_in_another() {
    let mut reversed = segment();
    reversed.conversations.reverse();
    reversed.files.reverse();
    assert_eq!(entry(Body::Segment(reversed)).leaf(), entry(Body::Segment(segment())).leaf());
    for list in ["conversations", "files"] {
        let bytes = changed(|value| value["segment"][list].as_array_mut().unwrap().reverse());
        assert!(matches!(Entry::parse(&bytes), Err(EntryError::Unsorted(unsorted)) if unsorted == list));
    }
}

#[test]
fn unknown_fields_are_signed_and_kept() {
    let bytes = changed(|value| value["segment"]["later"] = json!({"a": [1, "x"]}));
    let parsed = Entry::parse(&bytes).unwrap();
    assert_eq!(parsed.entry.body, Body::Segment(segment()));
    assert!(String::from_utf8(parsed.leaf.clone()).unwrap().contains(r#""later":{"a":[1,"x"]}"#));
    assert!(parsed.signatures[0].is_of(&signing_key().vkey(NAME).unwrap(), &parsed.leaf));
}

#[test]
fn what_a_later_version_wrote_is_unsupported() {
    for (field, found) in [("format", "retaind-evidence/2"), ("type", "seance")] {
        let bytes = changed(|value| value[field] = json!(found));
        let error = Entry::parse(&bytes).unwrap_err();
        assert!(
            matches!(&error, EntryError::Unsupported { field: at, found: was } if *at == field && was == found),
            "{error}"
        );
        assert!(Stored::parse(&bytes).is_ok(), "its leaf is still part of the tree");
    }
}

#[test]
fn another_shape_is_refused() {
    type Change = fn(&mut serde_json::Value);
    let changes: [Change; 14] = [
        |value| value["log"] = json!("01"),
        |value| value["number"] = json!(-1),
        |value| value["number"] = json!("5"),
        |value| value["number"] = json!(null),
        |value| value["previous"] = json!("AB".repeat(32)),
        |value| value["made_at"] = json!("2026-11-28T07:00:00Z"),
        |value| value["made_at"] = json!("2026-11-28T08:00:00.000000+01:00"),
        |value| value["covers"] = json!({}),
        |value| value["segment"] = json!(null),
        |value| value["segment"]["sealed_by"] = json!("boredom"),
        |value| value["segment"]["bytes"] = json!("24"),
        |value| value["segment"]["conversations"][0]["holes"] = json!([[1]]),
        |value| value["type"] = json!(7),
        |value| value["type"] = json!("receipt"),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        assert!(matches!(Entry::parse(&changed(change)), Err(EntryError::Malformed { .. })), "{at}");
    }
}

#[test]
fn other_bytes_of_the_same_meaning_are_refused() {
    let text = String::from_utf8(stored(&entry(Body::Segment(segment())).leaf())).unwrap();
    assert!(Entry::parse(text.as_bytes()).is_ok());
    for wrong in [
        text.trim_end().to_owned(),
        text.clone() + "\n",
        text.replace('\n', "\r\n"),
        text.replacen(':', ": ", 1),
        text.replacen("\"signatures\"", "\"later\":1,\"signatures\"", 1),
        text.replacen("\"key\"", "\"kez\":1,\"key\"", 1),
        text.replacen("\"number\":5", "\"number\":5,\"number\":5", 1),
        text.replacen("==\"", "\"", 1),
        format!("[{}]\n", text.trim_end()),
        "{}\n".to_owned(),
        "{\"evidence\":[],\"signatures\":[]}\n".to_owned(),
        "{\"evidence\":{},\"signatures\":[]}\n".to_owned(),
    ] {
        assert!(Entry::parse(wrong.as_bytes()).is_err(), "{wrong}");
    }
    let many: Vec<_> = (0..=SIGNATURES_MAX).map(|_| ("8e53fc2f", signing_key())).collect();
    let many: Vec<_> = many.iter().map(|(id, key)| (*id, key)).collect();
    assert!(Entry::parse(&sign(&entry(Body::Segment(segment())).leaf(), &many)).is_err());
    assert!(Entry::parse(&vec![b' '; ENTRY_BYTES_MAX + 2]).is_err());
}

#[test]
fn a_count_is_a_string_only_where_it_must_be() {
    for (number, text) in [
        (0, "0"),
        (INTEGER_MAX, "9007199254740991"),
        (INTEGER_MAX + 1, "\"9007199254740992\""),
        (u64::MAX, "\"18446744073709551615\""),
    ] {
        assert_eq!(serde_json::to_string(&Count(number)).unwrap(), text);
        assert_eq!(serde_json::from_str::<Count>(text).unwrap(), Count(number));
    }
    for wrong in
        ["9007199254740992", "\"1\"", "\"09007199254740992\"", "\"+9007199254740992\"", "1.0", "-1", "true", "[]"]
    {
        assert!(serde_json::from_str::<Count>(wrong).is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn one_byte_changed_never_passes(at: prop::sample::Index, byte: u8) {
        let vkey = signing_key().vkey(NAME).unwrap();
        let right = stored(&entry(Body::Segment(segment())).leaf());
        let mut bytes = right.clone();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if bytes != right && let Ok(parsed) = Entry::parse(&bytes) {
            prop_assert!(!parsed.signatures.iter().any(|signature| signature.is_of(&vkey, &parsed.leaf)));
        }
    }

    #[test]
    fn bad_bytes_are_refused_without_a_panic(bytes: Vec<u8>) {
        prop_assert!(Entry::parse(&bytes).is_err());
    }
}
