//! One row for each way to tamper with an archive: exactly these causes, and nothing harmless is taken for one.

use retaind_evidence::checkpoint::SignedNote;
use retaind_evidence::entry::{Entry, sign};
use retaind_evidence::key::SigningKey;

use super::archive::{Archive, Layout, NAME, attachment_name, segment_name};
use super::*;

type Row = (&'static str, fn(&Archive), fn(&Archive) -> Vec<(Code, String)>);

fn stranger() -> SigningKey {
    SigningKey::from_seed(&[99; 32]).unwrap()
}

/// The entry's stored bytes with other signatures.
fn sign_again(archive: &Archive, number: u64, keys: &[(&str, &SigningKey)]) {
    let path = archive.entry_path(number);
    let leaf = Entry::parse(&archive.read(&path)).unwrap().leaf;
    archive.write(&path, &sign(&leaf, keys));
}

/// A history that shares the first 7 entries.
fn branch() -> Archive {
    let mut other = Archive::empty(1);
    (0..3).for_each(|_| other.segment());
    (0..6).for_each(|_| other.interval());
    other.checkpoint();
    other
}

/// Entries 10 to 11 are a notice and the last segment.
const ROWS: &[Row] = &[
    (
        "one bit of a message file",
        |a| a.change(&segment_name(2), |bytes| bytes[20] ^= 1),
        |_| vec![(Code::Modified, segment_name(2))],
    ),
    (
        "one bit of an attachment",
        |a| a.change(&attachment_name(3), |bytes| bytes[20] ^= 1),
        |_| vec![(Code::Modified, attachment_name(3))],
    ),
    (
        "one bit in an entry's text",
        |a| {
            a.change(&a.entry_path(2), |bytes| {
                let at = bytes.windows(7).position(|found| found == b"5f0c\",\"").unwrap();
                bytes[at] ^= 1;
            });
        },
        |a| vec![(Code::BadSignature, a.entry_path(2))],
    ),
    (
        "one bit in an entry's punctuation",
        |a| a.change(&a.entry_path(2), |bytes| bytes[0] ^= 1),
        |a| vec![(Code::NotCanonical, a.entry_path(2))],
    ),
    (
        "an entry with white space",
        |a| a.change(&a.entry_path(4), |bytes| bytes.insert(1, b' ')),
        |a| vec![(Code::NotCanonical, a.entry_path(4))],
    ),
    (
        "a line added to a file",
        |a| a.change(&segment_name(1), |bytes| bytes.extend(b"{\"a\":1}\n")),
        |_| vec![(Code::Appended, segment_name(1))],
    ),
    (
        "the end of a file cut off",
        |a| a.change(&segment_name(7), |bytes| bytes.truncate(100)),
        |_| vec![(Code::TruncatedFile, segment_name(7))],
    ),
    ("a file emptied", |a| a.write(&segment_name(4), b""), |_| vec![(Code::TruncatedFile, segment_name(4))]),
    ("a middle file deleted", |a| a.remove(&segment_name(4)), |_| vec![(Code::MissingFile, segment_name(4))]),
    ("an attachment deleted", |a| a.remove(&attachment_name(4)), |_| vec![(Code::MissingFile, attachment_name(4))]),
    (
        "the last file deleted with its entry",
        |a| {
            a.remove(&segment_name(7));
            a.remove(&attachment_name(7));
            a.remove(&a.entry_path(11));
        },
        |a| vec![(Code::TailCut, a.checkpoint_path(12))],
    ),
    (
        "the last entry deleted, its file left",
        |a| a.remove(&a.entry_path(11)),
        |a| vec![(Code::TailCut, a.checkpoint_path(12))],
    ),
    ("one entry deleted", |a| a.remove(&a.entry_path(5)), |a| vec![(Code::MissingEntry, a.entry_path(5))]),
    ("the genesis deleted", |a| a.remove(&a.entry_path(0)), |a| vec![(Code::MissingEntry, a.entry_path(0))]),
    (
        "two entries in a row deleted",
        |a| (7..=8).for_each(|number| a.remove(&a.entry_path(number))),
        |a| (7..=8).map(|number| (Code::MissingEntry, a.entry_path(number))).collect(),
    ),
    (
        "two entries exchanged",
        |a| a.exchange(&a.entry_path(2), &a.entry_path(8)),
        |a| vec![(Code::Reordered, format!("{}, {}", a.entry_path(2), a.entry_path(8)))],
    ),
    (
        "two files exchanged",
        |a| a.exchange(&segment_name(2), &segment_name(5)),
        |_| vec![(Code::Swapped, format!("{}, {}", segment_name(2), segment_name(5)))],
    ),
    (
        "a file put over another",
        |a| a.copy(&segment_name(2), &segment_name(5)),
        |_| vec![(Code::Replayed, segment_name(5))],
    ),
    (
        "an old entry over a newer",
        |a| a.copy(&a.entry_path(1), &a.entry_path(8)),
        |a| vec![(Code::Replayed, a.entry_path(8))],
    ),
    (
        "an old head over a newer",
        |a| a.copy(&a.checkpoint_path(6), &a.checkpoint_path(11)),
        |a| vec![(Code::Replayed, a.checkpoint_path(11))],
    ),
    (
        "a foreign file",
        |a| a.write("receivedMessages_20261128T070001.000Z_99.txt", b"{}\n"),
        |_| vec![(Code::Inserted, "receivedMessages_20261128T070001.000Z_99.txt".to_owned())],
    ),
    (
        "a foreign file among the entries",
        |a| a.write(&format!("_evidence/{}/note.txt", a.log), b"x"),
        |a| vec![(Code::Inserted, format!("_evidence/{}/note.txt", a.log))],
    ),
    (
        "an entry signed by another key",
        |a| {
            let key = stranger();
            sign_again(a, 4, &[(&key.vkey(NAME).unwrap().key_id(), &key)]);
        },
        |a| vec![(Code::WrongKey, a.entry_path(4))],
    ),
    (
        "an entry signed by another key under the right one's id",
        |a| sign_again(a, 4, &[(&a.vkey.key_id(), &stranger())]),
        |a| vec![(Code::BadSignature, a.entry_path(4))],
    ),
    ("a stripped signature", |a| sign_again(a, 9, &[]), |a| vec![(Code::Downgrade, a.entry_path(9))]),
    (
        "a stripped head",
        |a| {
            a.change(&a.checkpoint_path(6), |bytes| {
                let end = bytes.windows(2).position(|found| found == b"\n\n").unwrap() + 2;
                bytes.truncate(end);
            });
        },
        |a| vec![(Code::Downgrade, a.checkpoint_path(6))],
    ),
    (
        "a head signed by another key",
        |a| a.write(&a.checkpoint_path(12), a.note().sign(NAME, &stranger()).unwrap().as_bytes()),
        |a| vec![(Code::WrongKey, a.checkpoint_path(12))],
    ),
    (
        "a head of another branch",
        |a| {
            let other = branch();
            a.write(&a.checkpoint_path(10), &other.read(&other.checkpoint_path(10)));
        },
        |a| vec![(Code::Fork, a.checkpoint_path(10))],
    ),
    (
        "the end of another branch",
        |a| {
            let other = branch();
            (4..10).for_each(|number| a.write(&a.entry_path(number), &other.read(&other.entry_path(number))));
            (10..12).for_each(|number| a.remove(&a.entry_path(number)));
            (4..=7).for_each(|number| (a.remove(&segment_name(number)), a.remove(&attachment_name(number))).1);
            a.remove(&a.checkpoint_path(11));
            a.remove(&a.checkpoint_path(12));
        },
        |a| vec![(Code::Fork, a.checkpoint_path(6))],
    ),
];

#[test]
fn each_way_to_tamper_is_named_and_nothing_else() {
    for (what, tamper, expected) in ROWS {
        let archive = Archive::usual(Layout::Flat);
        tamper(&archive);
        let report = judge(&archive, &options(&archive));
        let mut expected = expected(&archive);
        expected.sort();
        let mut found = causes(&report);
        found.sort();
        assert_eq!(found, expected, "{what}: {:#?}", report.findings);
        assert_eq!(report.verdict.exit_code(), 1, "{what}");
        assert!(report.closing().iter().any(|sentence| sentence.contains("No head from outside")));
    }
}

#[test]
fn an_untouched_archive_is_verified_wherever_it_is() {
    for layout in [Layout::Flat, Layout::Folders] {
        let archive = Archive::usual(layout);
        for options in [options(&archive), with_head(&archive), Options { keys: Vec::new(), ..options(&archive) }] {
            let report = judge(&archive, &options);
            assert!(report.findings.is_empty(), "{:#?}", report.findings);
            assert_eq!(report.verdict.exit_code(), 0);
            assert_eq!((report.totals.segments, report.totals.records, report.totals.attachments), (7, 42, 7));
            assert_eq!((report.totals.conversations, report.logs[0].entries, report.logs[0].heads), (2, 12, 3));
        }
    }
}

#[test]
fn a_file_elsewhere_is_information() {
    let archive = Archive::usual(Layout::Folders);
    archive.rename(&format!("messages/{}", segment_name(1)), &format!("old/2026/{}", segment_name(1)));
    archive.rename(&format!("attachments/{}", attachment_name(2)), "attachments/a.pdf");
    archive.write(".DS_Store", b"x");
    archive.write("_temporary/x", b"x");
    let report = judge(&archive, &options(&archive));
    let codes: Vec<Code> = report.findings.iter().map(|finding| finding.code).collect();
    assert_eq!((codes, report.verdict.exit_code(), report.ignored), (vec![Code::Moved, Code::Renamed], 0, 2));
}

#[test]
fn only_a_head_from_outside_shows_a_cut_end() {
    let archive = Archive::usual(Layout::Flat);
    for number in 6..12 {
        archive.remove(&archive.entry_path(number));
    }
    for number in 4..=7 {
        archive.remove(&segment_name(number));
        archive.remove(&attachment_name(number));
    }
    archive.remove(&archive.checkpoint_path(11));
    archive.remove(&archive.checkpoint_path(12));
    let report = judge(&archive, &options(&archive));
    assert_eq!(report.verdict.exit_code(), 0, "{:#?}", report.findings);
    assert!(report.closing().contains(&"No head from outside was given: a cut end cannot be excluded.".to_owned()));
    let report = judge(&archive, &with_head(&archive));
    assert_eq!((causes(&report), report.verdict.exit_code()), (vec![(Code::TailCut, "head".to_owned())], 1));
}

#[test]
fn a_head_from_outside_must_be_a_beginning_of_the_log() {
    let archive = Archive::usual(Layout::Flat);
    let judged = |note: SignedNote| {
        let head = GivenHead { object: "head".to_owned(), note };
        causes(&judge(&archive, &Options { heads: vec![head], ..options(&archive) }))
    };
    assert_eq!(judged(branch().head), [(Code::Fork, "head".to_owned())]);
    let foreign = archive.note().sign(NAME, &stranger()).unwrap();
    assert_eq!(judged(SignedNote::parse(&foreign).unwrap()), [(Code::WrongKey, "head".to_owned())]);
    let old = String::from_utf8(archive.read(&archive.checkpoint_path(6))).unwrap();
    assert!(judged(SignedNote::parse(&old).unwrap()).is_empty());
}

#[test]
fn what_a_deleted_entry_explains_is_a_consequence() {
    let archive = Archive::usual(Layout::Flat);
    archive.remove(&archive.entry_path(2));
    let report = judge(&archive, &options(&archive));
    let explained: Vec<(Code, &str)> = report
        .findings
        .iter()
        .filter(|finding| !finding.is_cause())
        .map(|finding| {
            let cause = &report.findings[finding.because[0]];
            assert_eq!(cause.code, Code::MissingEntry);
            (finding.code, finding.object.as_str())
        })
        .collect();
    let (segment, attachment) = (segment_name(2), attachment_name(2));
    let expected =
        [(Code::Inserted, attachment.as_str()), (Code::Inserted, &segment), (Code::Gap, "aaaa"), (Code::Gap, "bbbb")];
    assert_eq!(explained, expected);
}

#[test]
fn a_whole_archive_of_another_key_is_not_the_key_owner_s() {
    let archive = Archive::usual(Layout::Flat);
    let keys = vec![stranger().vkey(NAME).unwrap()];
    let report = judge(&archive, &Options { keys, ..options(&archive) });
    assert!(causes(&report).iter().all(|(code, _)| *code == Code::WrongKey), "{:#?}", report.findings);
    assert_eq!(report.verdict.exit_code(), 1);
}
