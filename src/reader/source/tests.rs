use std::os::unix::fs::symlink;

use super::*;
use crate::samples::{ROOM, Sample, text};

fn numbers(archive: &Archive) -> (Vec<u64>, Vec<BadLine>) {
    let (mut seqs, mut bad) = (Vec::new(), Vec::new());
    for entry in archive.entries() {
        match entry.unwrap() {
            Entry::Record(place, record) => {
                seqs.push(record.seq.unwrap());
                assert_eq!(archive.record(place).unwrap(), *record, "read again at its place");
            }
            Entry::Bad(line) => bad.push(line),
        }
    }
    (seqs, bad)
}

#[test]
fn files_come_in_the_order_in_which_they_were_written() {
    let names = [
        "receivedMessages.txt",
        "receivedMessages_20260601T100001.250Z_47000002.txt",
        "receivedMessages_20260601T100001.250Z_47000010.txt",
        "receivedMessages_20260531T235959.999Z_47000001.txt",
        "receivedMessages_recovered_46000001.txt",
    ];
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        fs::write(folder.path().join(name), "").unwrap();
    }
    for other in ["attachment_20230804191544000_notes.txt", ".receivedMessages.txt", "_x.txt", "a.pdf"] {
        fs::write(folder.path().join(other), "").unwrap();
    }
    let archive = Archive::open(&[folder.path().to_owned()], Places::default()).unwrap();
    let listed: Vec<&str> = archive.files().iter().map(|file| file.name.as_str()).collect();
    assert_eq!(listed, [names[3], names[1], names[2], names[4], names[0]]);
}

#[test]
fn an_archive_may_be_split_given_in_parts_one_file_or_standard_input() {
    let line = |seq| vec![text(ROOM, seq, "alice", "x").to_string()];
    let flat = Sample::of_lines(&[line(1), line(2)]);
    let split = tempfile::tempdir().unwrap();
    let day = split.path().join("messages/date=2026-06-01");
    fs::create_dir_all(&day).unwrap();
    fs::create_dir(split.path().join("attachments")).unwrap();
    fs::write(day.join("receivedMessages.txt"), format!("{}\n", text(ROOM, 3, "alice", "x"))).unwrap();
    fs::write(split.path().join("attachments/attachment_20230804191544000_a"), "a").unwrap();
    let paths = [flat.path().to_owned(), split.path().to_owned(), flat.path().to_owned()];
    let archive = Archive::open(&paths, Places::default()).unwrap();
    let mut seqs = numbers(&archive).0;
    seqs.sort_unstable();
    assert_eq!(seqs, [1, 2, 3], "and nothing twice");
    assert!(archive.attachment("attachment_20230804191544000_a").is_some());

    let one = Archive::open(&[flat.path().join("receivedMessages.txt")], Places::default()).unwrap();
    assert_eq!(numbers(&one).0, [2]);
    let input = format!("\u{feff}{}\r\n\n{}", text(ROOM, 7, "a", "x"), text(ROOM, 8, "a", "x"));
    let piped = Archive::from_reader(&mut input.as_bytes(), Places::default()).unwrap();
    assert_eq!(numbers(&piped), (vec![7, 8], Vec::new()), "with a mark, a carriage return and no last line feed");
    assert_eq!(numbers(&piped).0, [7, 8], "and a second time");
}

#[test]
fn what_is_no_archive_is_said_by_its_path() {
    let empty = tempfile::tempdir().unwrap();
    let error = Archive::open(&[empty.path().to_owned()], Places::default()).unwrap_err();
    assert!(error.to_string().contains(empty.path().to_str().unwrap()), "{error}");
    let gone = empty.path().join("gone");
    assert!(matches!(Archive::open(&[gone], Places::default()), Err(SourceError::Open { .. })));
}

#[test]
fn no_name_and_no_link_leaves_the_archive() {
    let sample = Sample::of(&[vec![text(ROOM, 1, "alice", "x")]]);
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    fs::write(&secret, "x").unwrap();
    fs::write(sample.path().join("attachment_1_a"), "x").unwrap();
    symlink(&secret, sample.path().join("attachment_1_link")).unwrap();
    symlink(&secret, sample.path().join("receivedMessages_recovered_1.txt")).unwrap();
    let archive = sample.archive();
    assert!(archive.attachment("attachment_1_a").is_some());
    let up = format!("../{}/secret", outside.path().file_name().unwrap().to_str().unwrap());
    for name in
        [up.as_str(), secret.to_str().unwrap(), "attachment_1_link", "..", ".", "", "a\0b", "a/../attachment_1_a"]
    {
        assert_eq!(archive.attachment(name), None, "{name}");
    }
    assert_eq!(archive.files().len(), 1);
    assert_eq!(archive.passed_over().len(), 1, "a link that is called like a message file is reported");
}

#[test]
fn bad_lines_are_named_and_the_others_are_read() {
    let good = |seq| text(ROOM, seq, "alice", "x").to_string().into_bytes();
    let huge = vec![b'x'; LINE_BYTES_MAX + 1];
    let lines = vec![good(1), b"{".to_vec(), good(2), huge.clone(), good(3), b"\xff".to_vec(), huge];
    let sample = Sample::of_lines(&[lines]);
    let (seqs, bad) = numbers(&sample.archive());
    assert_eq!(seqs, [1, 2, 3]);
    let named: Vec<u64> = bad.iter().map(|line| line.place.line).collect();
    assert_eq!(named, [2, 4, 6, 7]);
    assert_eq!(bad[1].fault, LineFault::TooLong { limit: LINE_BYTES_MAX });
    assert_eq!(sample.archive().shown(bad[0].place), "receivedMessages.txt:2");
}

#[test]
fn lines_of_any_length_are_cut_where_they_end() {
    // around the size of a block
    let lines: Vec<String> = (0..40_u64)
        .map(|seq| text(ROOM, seq, "alice", &"é".repeat(usize::try_from(seq * 26_214).unwrap())).to_string())
        .collect();
    let sample = Sample::of_lines(std::slice::from_ref(&lines));
    let (seqs, bad) = numbers(&sample.archive());
    assert_eq!((seqs.len(), bad.len()), (40, 0));
}

#[test]
fn a_block_gives_the_line_of_any_of_its_bytes() {
    let bytes = b"one\ntwo\n\nfour";
    let start = Place { file: 3, line: 10, offset: 100, bytes: 0 };
    for (at, line, number, offset) in
        [(0, "one", 10, 100), (3, "one", 10, 100), (4, "two", 11, 104), (8, "", 12, 108), (12, "four", 13, 109)]
    {
        let mut cursor = Block { bytes, start }.cursor();
        let (place, found) = cursor.line_at(at).unwrap();
        assert_eq!((found, place.line, place.offset), (line.as_bytes(), number, offset), "{at}");
    }
    let whole: Vec<&[u8]> = Block { bytes, start }.lines().map(|(_, line)| line).collect();
    assert_eq!(whole, [&b"one"[..], b"two", b"four"]);
}
