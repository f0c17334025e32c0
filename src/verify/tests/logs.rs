//! Several logs, several keys, and what the bot itself records.

use std::fs;

use retaind_evidence::entry::*;
use retaind_evidence::key::SigningKey;

use super::archive::{Archive, CONVERSATIONS, NAME, segment_name, time};
use super::*;
use crate::Severity;

/// Puts everything of `other` into `archive`.
fn merge(archive: &Archive, other: &Archive) {
    let source = Directories::new(&[other.root.path().to_owned()], &[]);
    for file in crate::source::Source::list(&source).unwrap() {
        archive.write(&file.path, &other.read(&file.path));
    }
}

fn previous(archive: &Archive) -> PreviousLog {
    PreviousLog { log: archive.log, size: Count(archive.tree.size()), root: archive.tree.root(), checkpoint: None }
}

/// A log of entries only, which names `before`, and begins `seconds` after the first.
fn follower(because: GenesisBecause, before: PreviousLog, seconds: i64) -> Archive {
    let mut other = Archive::empty(2);
    fs::remove_dir_all(other.path("_evidence")).unwrap();
    let (key, vkey) = (SigningKey::from_seed(&[1; 32]).unwrap(), other.vkey.clone());
    other.start_again(key);
    assert_ne!(vkey, other.vkey);
    other.be_silent(seconds);
    other.genesis(because, Some(before));
    other.interval();
    other
}

#[test]
fn evidence_off_and_on_again_is_time_that_nothing_attests() {
    let mut archive = Archive::empty(1);
    archive.segment();
    archive.interval();
    let head = Head { size: Count(archive.tree.size()), root: archive.tree.root() };
    archive.entry(Body::Close(Close { head }));
    let at_once = follower(GenesisBecause::FirstStart, previous(&archive), 180);
    merge(&archive, &at_once);
    assert!(causes(&judge(&archive, &options(&archive))).is_empty());
    let later = follower(GenesisBecause::FirstStart, previous(&archive), 500);
    merge(&archive, &later);
    let report = judge(&archive, &options(&archive));
    let path = retaind_evidence::names::entry(&later.log, 0);
    assert_eq!((causes(&report), report.verdict.exit_code()), (vec![(Code::UnattestedTime, path)], 2));
}

#[test]
fn silence_within_a_log_is_found_and_intervals_cover_it() {
    let mut archive = Archive::empty(1);
    (0..3).for_each(|_| archive.interval());
    assert!(judge(&archive, &options(&archive)).findings.is_empty());
    archive.be_silent(1);
    archive.interval();
    let report = judge(&archive, &options(&archive));
    assert_eq!(causes(&report), [(Code::UnattestedTime, archive.entry_path(4))]);
    assert_eq!(report.verdict.exit_code(), 2);
}

#[test]
fn a_state_that_was_put_back_is_declared() {
    let mut archive = Archive::empty(1);
    archive.segment();
    archive.interval();
    let next = follower(GenesisBecause::StateOlder, previous(&archive), 120);
    merge(&archive, &next);
    let report = judge(&archive, &options(&archive));
    let path = retaind_evidence::names::entry(&next.log, 0);
    assert_eq!(
        (causes(&report), report.verdict.exit_code()),
        (vec![(Code::Restored, path)], 2),
        "{:#?}",
        report.findings
    );
}

#[test]
fn a_log_that_the_next_one_names_must_be_there_in_full() {
    let mut archive = Archive::empty(1);
    archive.segment();
    archive.interval();
    let next = follower(GenesisBecause::FirstStart, previous(&archive), 120);
    merge(&archive, &next);
    assert!(causes(&judge(&archive, &options(&archive))).is_empty());
    archive.remove(&archive.entry_path(2));
    let path = retaind_evidence::names::entry(&next.log, 0);
    assert_eq!(causes(&judge(&archive, &options(&archive))), [(Code::TailCut, path)]);
    fs::remove_dir_all(archive.path(&format!("_evidence/{}", archive.log))).unwrap();
    let found = causes(&judge(&archive, &options(&archive)));
    assert!(found.contains(&(Code::MissingEntry, format!("log {}", archive.log))), "{found:?}");
}

#[test]
fn two_parts_that_claim_the_same_messages_are_found() {
    let (mut one, mut other) = (Archive::empty(1), Archive::empty(3));
    one.segment();
    other.segment();
    // the same name would be the same file
    other.rename(&segment_name(1), "elsewhere.txt");
    let mut keys = options(&one);
    keys.keys.push(other.vkey.clone());
    merge(&one, &other);
    let report = judge(&one, &keys);
    for conversation in CONVERSATIONS {
        assert!(causes(&report).contains(&(Code::RolledBackState, conversation.to_owned())), "{:#?}", report.findings);
    }
}

#[test]
fn what_the_network_did_not_deliver_is_declared_and_a_gap_is_not() {
    let mut archive = Archive::empty(1);
    archive.segment();
    archive.segment_with(&[4]);
    let report = judge(&archive, &options(&archive));
    assert_eq!(causes(&report), [(Code::Hole, "aaaa".to_owned())]);
    assert_eq!((report.verdict.exit_code(), report.totals.holes), (2, 1));
    archive.skip(CONVERSATIONS[1], 2);
    archive.segment();
    let report = judge(&archive, &options(&archive));
    assert_eq!(causes(&report), [(Code::Gap, "bbbb".to_owned()), (Code::Hole, "aaaa".to_owned())]);
    assert_eq!(report.findings[0].expected, "messages 7 to 8");
    let about = CONVERSATIONS[1].to_owned();
    archive.entry(Body::Notice(Notice { code: NoticeCode::RemovedFrom, about }));
    let report = judge(&archive, &options(&archive));
    assert_eq!(report.verdict.exit_code(), 2, "it was not there: {:#?}", report.findings);
}

#[test]
fn a_new_key_signs_from_the_entry_on_that_both_have_signed() {
    let mut archive = Archive::empty(1);
    archive.segment();
    let (old, new) = (SigningKey::from_seed(&[1; 32]).unwrap(), SigningKey::from_seed(&[5; 32]).unwrap());
    let change = Body::Key(KeyChange {
        vkey: new.vkey(NAME).unwrap().to_string(),
        reason: "yearly".to_owned(),
        valid_from: time(60),
    });
    archive.entry_signed_by(change.clone(), &[&old, &new]);
    archive.use_key(SigningKey::from_seed(&[5; 32]).unwrap());
    archive.segment();
    archive.checkpoint();
    let first = Options { keys: vec![old.vkey(NAME).unwrap()], ..options(&archive) };
    assert!(judge(&archive, &first).findings.is_empty());
    archive.entry_signed_by(Body::Notice(Notice { code: NoticeCode::Settings, about: "a".to_owned() }), &[&old]);
    let report = judge(&archive, &first);
    assert_eq!(causes(&report), [(Code::WrongKey, archive.entry_path(4))], "the old key has ended");

    let mut stolen = Archive::empty(1);
    stolen.entry_signed_by(change, &[&new]);
    assert_eq!(causes(&judge(&stolen, &first)), [(Code::WrongKey, stolen.entry_path(1))]);
}

#[test]
fn a_key_put_beside_the_others_is_not_trusted_for_it() {
    let archive = Archive::usual(super::archive::Layout::Flat);
    let thief = SigningKey::from_seed(&[99; 32]).unwrap();
    let vkey = thief.vkey(NAME).unwrap();
    archive.write(&retaind_evidence::names::key(&vkey.key_id()), vkey.to_string().as_bytes());
    let leaf = Entry::parse(&archive.read(&archive.entry_path(3))).unwrap().leaf;
    archive.write(&archive.entry_path(3), &sign(&leaf, &[(&vkey.key_id(), &thief)]));
    let report = judge(&archive, &Options { keys: Vec::new(), ..options(&archive) });
    assert_eq!(causes(&report), [(Code::WrongKey, archive.entry_path(3))]);
}

#[test]
fn a_later_version_s_entry_is_named_and_not_passed_over() {
    let archive = Archive::usual(super::archive::Layout::Flat);
    let path = archive.entry_path(10);
    let leaf = String::from_utf8(Entry::parse(&archive.read(&path)).unwrap().leaf).unwrap();
    let later = leaf.replace("\"type\":\"notice\"", "\"type\":\"seance\"");
    archive.write(&path, &sign(later.as_bytes(), &[(&archive.vkey.key_id(), &archive.key)]));
    let report = judge(&archive, &options(&archive));
    assert!(causes(&report).contains(&(Code::Unsupported, path)), "{:#?}", report.findings);
    assert_eq!(report.verdict.exit_code(), 1);
}

#[test]
fn the_file_that_is_being_written_is_no_stranger() {
    let mut archive = Archive::usual(super::archive::Layout::Flat);
    archive.write("attachment_20261128080000000_b.pdf", b"pending");
    let line = b"{\"file\":{\"localfilename\":\"attachment_20261128080000000_b.pdf\"},\"msgtype\":6000}\n";
    archive.write("receivedMessages.txt", line);
    let open = OpenFile {
        number: Count(8),
        bytes: Count(line.len() as u64),
        records: Count(1),
        sha256: retaind_evidence::tree::sha256(line),
    };
    archive.open_interval(open);
    archive.change("receivedMessages.txt", |bytes| bytes.extend(b"{\"msgtype\":1000}\n"));
    let report = judge(&archive, &options(&archive));
    assert!(report.findings.iter().all(|finding| finding.code == Code::Unsealed), "{:#?}", report.findings);
    assert!(report.findings.iter().all(|finding| finding.severity == Severity::Info));
    archive.change("receivedMessages.txt", |bytes| bytes[3] ^= 1);
    assert!(
        causes(&judge(&archive, &options(&archive))).contains(&(Code::Modified, "receivedMessages.txt".to_owned()))
    );
}

#[test]
fn of_an_encrypted_file_the_stored_bytes_are_verified() {
    let mut archive = Archive::empty(1);
    archive.segment();
    let stored = b"ciphertext of the first message file";
    archive.write(&segment_name(1), stored);
    let object = Object {
        name: segment_name(1),
        bytes: Count(stored.len() as u64),
        sha256: retaind_evidence::tree::sha256(stored),
        plain_sha256: None,
        encryption: Encryption::S3ecV3,
        bucket: "archive".to_owned(),
        key: segment_name(1),
        version: None,
        lock: None,
        stored_at: time(60),
    };
    archive.entry(Body::Receipt(Receipt { objects: vec![object] }));
    let report = judge(&archive, &options(&archive));
    assert_eq!((report.findings[0].code, report.verdict.exit_code()), (Code::CiphertextOnly, 0));
    assert_eq!(report.assurance.plaintext, "some");
    let required = Options { require: vec![crate::Requirement::Plaintext], ..options(&archive) };
    assert_eq!(judge(&archive, &required).verdict.exit_code(), 2);
    archive.change(&segment_name(1), |bytes| bytes[0] ^= 1);
    assert_eq!(causes(&judge(&archive, &options(&archive))), [(Code::Modified, segment_name(1))]);
}
