//! Content that tries to be something else.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE64, HEXLOWER};

use super::*;

const HOSTILE: [&str; 8] = [
    "=HYPERLINK(\"http://x\",\"y\")",
    "<script>alert(1)</script><img src=x onerror=alert(1)>&lt;",
    "a\u{14}b\u{fe}c\u{ae}d\r\ne\"f",
    "\u{202e}evil\u{2066}\u{0}\u{1b}[2J\u{7f}\u{ffff}",
    "\n[2026-06-01 10:00:00] bob: forged",
    "\r\nBcc: x@example.com\r\n\r\n--boundary--",
    "]]>--><!--",
    "@SUM(1)\t+1",
];

#[test]
fn a_cell_is_never_a_formula_and_reads_back_as_it_was() {
    let lines: Vec<Value> = (1..).zip(HOSTILE).map(|(seq, hostile)| text(seq, 0, hostile, hostile)).collect();
    let sample = Sample::of_values(&lines);
    sample.run(&sample.args("out", &[Format::Csv])).unwrap();
    let bytes = sample.text("out", "records.csv");
    let bytes = bytes.strip_prefix('\u{feff}').unwrap();
    let mut reader = csv::Reader::from_reader(bytes.as_bytes());
    let header = reader.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|column| column == name).unwrap();
    for (row, hostile) in reader.records().map(Result::unwrap).zip(HOSTILE) {
        let (cell, guarded) = (&row[at("text")], &row[at("guarded")]);
        assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']), "{cell:?}");
        assert_eq!(cell.strip_prefix('\'').unwrap_or(cell), hostile);
        assert_eq!(guarded == "1", cell != hostile);
    }
}

#[test]
fn a_page_has_no_script_no_reference_and_nothing_that_deceives() {
    let lines: Vec<Value> = (1..).zip(HOSTILE).map(|(seq, hostile)| text(seq, 0, hostile, hostile)).collect();
    let sample = Sample::of_values(&lines);
    sample.run(&sample.args("out", &[Format::Html])).unwrap();
    for (name, bytes) in sample.files("out").into_iter().filter(|(name, _)| name.starts_with("html/")) {
        let page = String::from_utf8(bytes).unwrap();
        assert!(page.contains("default-src 'none'"), "{name}");
        for forbidden in ["<script", "<img", "<!--", "http-equiv=\"refresh", "src=\"", "\u{202e}", "\u{1b}", "\0"] {
            assert!(!page.contains(forbidden), "{name}: {forbidden:?}");
        }
    }
}

/// Headers of a part, unfolded, and its body.
pub(super) fn parts<'a>(mail: &'a str, boundary: &str) -> Vec<(String, &'a str)> {
    let opening = format!("--{boundary}\r\n");
    let body = mail.split(&format!("--{boundary}--\r\n")).next().unwrap();
    let each = |part: &'a str| {
        let (head, body) = part.split_once("\r\n\r\n").unwrap();
        (head.replace("\r\n ", " "), body)
    };
    body.split(&opening).skip(1).map(each).collect()
}

pub(super) fn boundary(head: &str) -> String {
    head.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

pub(super) fn decoded(body: &str) -> Vec<u8> {
    BASE64.decode(body.replace("\r\n", "").as_bytes()).unwrap()
}

#[test]
fn a_mail_has_whole_files_and_a_placeholder_for_one_that_is_missing() {
    let content: Vec<u8> = (0..200_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let hash = HEXLOWER.encode(digest(&SHA256, &content).as_ref());
    let lines = [
        file(1, 0, "alice", "../../r\u{e9}sum\u{e9} \"x\".pdf", "attachment_1", &hash),
        file(2, 1, "alice", &"long".repeat(200), "attachment_2", &hash),
        text(3, 2, "bob\r\nBcc: evil@example.com", HOSTILE[5]),
    ];
    let sample = Sample::of_values(&lines);
    sample.attach("attachment_1", &content);
    assert_eq!(sample.run(&sample.args("out", &[Format::Eml])).unwrap(), Exit::Findings);
    let mail = sample.text("out", "eml/000001_2026-06-01_S19a8782d9a0.eml");
    assert!(mail.is_ascii() && mail.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])));
    let (head, _) = mail.split_once("\r\n\r\n").unwrap();
    assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
    let parts = parts(&mail, &boundary(head));
    assert_eq!(parts.len(), 3, "transcript and two files");
    assert!(parts[1].0.contains("filename*=utf-8''r%C3%A9sum%C3%A9%20_x_.pdf"), "{}", parts[1].0);
    assert_eq!(decoded(parts[1].1), content);
    assert!(parts[1].0.contains(&hash));
    assert!(String::from_utf8(decoded(parts[2].1)).unwrap().starts_with("MISSING: "));
    let manifest = sample.manifest("out");
    assert_eq!(manifest["attachments"]["out"], 1);
    assert_eq!(manifest["attachments"]["missing"][0]["record"], "receivedMessages.txt:2");
}

#[test]
fn a_transcript_line_cannot_be_forged() {
    let sample = Sample::of_values(&[text(1, 0, "alice", HOSTILE[4])]);
    sample.run(&sample.args("out", &[Format::Eml])).unwrap();
    let mail = sample.text("out", "eml/000001_2026-06-01_S19a8782d9a0.eml");
    let (head, _) = mail.split_once("\r\n\r\n").unwrap();
    let parts = parts(&mail, &boundary(head));
    let alternative = format!("{}\r\n\r\n{}", parts[0].0, parts[0].1);
    let inner = super::hostile::parts(&alternative, &boundary(&parts[0].0));
    let text = String::from_utf8(decoded(inner[0].1)).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with('[')).count(), 1, "{text}");
}

#[test]
fn a_file_larger_than_a_part_comes_in_pieces_that_are_the_file_again() {
    let content: Vec<u8> = (0..200_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let hash = HEXLOWER.encode(digest(&SHA256, &content).as_ref());
    let sample = Sample::of_values(&[file(1, 0, "alice", "film.mp4", "attachment_1", &hash)]);
    sample.attach("attachment_1", &content);
    let mut args = sample.args("out", &[Format::Eml]);
    args.split = Some(70_000);
    assert_eq!(sample.run(&args).unwrap(), Exit::Done);
    let mail = sample.text("out", "eml/000001_2026-06-01_S19a8782d9a0.eml");
    let (head, _) = mail.split_once("\r\n\r\n").unwrap();
    let parts = parts(&mail, &boundary(head));
    let pieces: Vec<Vec<u8>> = parts.iter().skip(1).map(|(_, body)| decoded(body)).collect();
    assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [70_000, 70_000, 60_000]);
    assert_eq!(pieces.concat(), content);
    assert!(parts[3].0.contains("film.mp4.003") && parts[3].0.contains("X-Retaind-Part: 3 of 3"), "{}", parts[3].0);
}

#[test]
fn a_dump_has_only_characters_that_xml_has_and_the_files_beside_it() {
    let mut lines: Vec<Value> = (1..).zip(HOSTILE).map(|(seq, hostile)| text(seq, 0, "alice", hostile)).collect();
    lines.push(edit(20, 5, "alice", 1, "corrected"));
    lines.push(recall(21, 6, "alice", 2));
    lines.push(file(22, 7, "bob", "../<a>.png", "attachment_1", "00"));
    let sample = Sample::of_values(&lines);
    sample.attach("attachment_1", b"12345");
    sample.run(&sample.args("out", &[Format::Actiance])).unwrap();
    let xml = sample.text("out", "actiance/000001_2026-06-01_S19a8782d9a0.xml");
    assert!(!xml.contains(['\0', '\u{1b}', '\u{ffff}']) && xml.contains("&lt;script&gt;") && xml.contains("]]&gt;"));
    assert_eq!(xml.matches("<Message>").count(), HOSTILE.len() + 1, "each text, and the edited one");
    assert_eq!(xml.matches("<UpdatedType>Deleted</UpdatedType>").count(), 1);
    assert_eq!(xml.matches("<EditedNewMsgId>").count(), 1);
    assert!(
        xml.contains("<UserFileName>../&lt;a&gt;.png</UserFileName>") && xml.contains("<Status>Completed</Status>")
    );
    assert_eq!(sample.text("out", "actiance/files/000001_2026-06-01_S19a8782d9a0_0001"), "12345");
}
