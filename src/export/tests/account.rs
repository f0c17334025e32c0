//! Counts, determinism, slices.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;

use super::*;

fn sum(counts: &Value, field: &str) -> u64 {
    counts.as_object().unwrap().values().map(|count| count[field].as_u64().unwrap()).sum()
}

#[test]
fn every_golden_record_is_in_each_format_or_excluded_with_a_reason() {
    let lines = golden();
    let sample = Sample::of(&lines);
    let args = sample.args("out", &ALL);
    assert_eq!(sample.run(&args).unwrap(), Exit::Findings, "the attachments of golden records are not there");
    let manifest = sample.manifest("out");
    let all = u64::try_from(lines.len()).unwrap();
    for format in ALL {
        let counts = &manifest["counts"][format.name()];
        assert_eq!(sum(counts, "in"), all, "{format}");
        assert_eq!(sum(counts, "out") + sum(counts, "excluded"), all, "{format}");
        let listed = manifest["excluded"].as_array().unwrap().iter().filter(|one| one["format"] == format.name());
        assert_eq!(listed.count() as u64, sum(counts, "excluded"), "{format}");
    }
    assert_eq!(sum(&manifest["counts"]["csv"], "excluded"), 0, "golden records differ from each other");
    assert_eq!(
        sample.text("out", "raw.jsonl").lines().collect::<BTreeSet<_>>(),
        lines.iter().map(String::as_str).collect()
    );
    let mut reader = csv::Reader::from_path(sample.out("out").join("records.csv")).unwrap();
    assert_eq!(reader.records().map(Result::unwrap).count(), lines.len());
    for line in sample.text("out", "records.jsonl").lines() {
        assert!(serde_json::from_str::<Value>(line).unwrap()["_participants"].is_array());
    }
    let files = sample.files("out");
    for file in manifest["files"].as_array().unwrap() {
        let bytes = &files[file["path"].as_str().unwrap()];
        assert_eq!(file["bytes"].as_u64().unwrap(), bytes.len() as u64);
        assert_eq!(file["sha256"], HEXLOWER.encode(digest(&SHA256, bytes).as_ref()));
    }
    assert_eq!(files.len(), manifest["files"].as_array().unwrap().len() + 1, "and the manifest");
}

#[test]
fn the_same_archive_and_query_give_the_same_bytes() {
    let sample = Sample::of(&golden());
    for out in ["one", "two"] {
        let mut args = sample.args(out, &ALL);
        args.all = true;
        args.receipts = true;
        args.matter = Some("Müller ./. Smith".to_owned());
        sample.run(&args).unwrap();
    }
    assert_eq!(sample.files("one"), sample.files("two"));
}

#[test]
fn a_directory_with_something_in_it_is_refused() {
    let sample = Sample::of_values(&[text(1, 0, "alice", "hello")]);
    sample.run(&sample.args("out", &[Format::Csv])).unwrap();
    assert!(matches!(sample.run(&sample.args("out", &[Format::Csv])), Err(Error::NotEmpty { .. })));
}

const DAY: i64 = 86_400;

#[test]
fn what_changes_a_message_is_in_its_slice_and_stands_alone_where_that_is_outside() {
    let lines = [
        text(1, 0, "alice", "first"),
        text(2, DAY, "bob", "second"),
        edit(3, DAY + 5, "alice", 1, "first, corrected"),
        recall(4, 2 * DAY, "bob", 2),
    ];
    let sample = Sample::of_values(&lines);
    assert_eq!(sample.run(&sample.args("all", &[Format::Html, Format::Csv])).unwrap(), Exit::Done);
    let pages: Vec<String> = sample.files("all").into_keys().filter(|name| name.starts_with("html/0")).collect();
    assert_eq!(pages, ["html/000001_2026-06-01_S19a8782d9a0.html", "html/000002_2026-06-02_S19a8782d9a0.html"]);
    let first = sample.text("all", &pages[0]);
    assert!(
        first.contains("<bdi>first, corrected</bdi>")
            && first.contains("<bdi>first</bdi>")
            && first.contains(">edited<")
    );
    let second = sample.text("all", &pages[1]);
    assert!(second.contains("text recalled\"><bdi>second</bdi>") && second.contains("recalled for everybody by bob"));

    let mut args = sample.args("late", &[Format::Html, Format::Csv]);
    args.filter.from = Some("2026-06-02".to_owned());
    assert_eq!(sample.run(&args).unwrap(), Exit::Done);
    let alone = sample.text("late", "html/000001_2026-06-02_S19a8782d9a0.html");
    assert!(alone.contains("target outside"), "{alone}");

    let mut args = sample.args("early", &[Format::Html, Format::Csv]);
    args.filter.to = Some("2026-06-01".to_owned());
    assert_eq!(sample.run(&args).unwrap(), Exit::Done);
    let counts = &sample.manifest("early")["counts"]["html"];
    assert_eq!((sum(counts, "in"), sum(counts, "out"), sum(counts, "with_their_message")), (1, 1, 1));
}

#[test]
fn a_day_of_25_hours_is_one_slice() {
    // 2026-11-01 in New York, from 04:00 UTC to 05:00 UTC of the next day
    let start: i64 = 1_793_505_600 - MORNING;
    let lines: Vec<Value> =
        (0..27).map(|hour| text(hour + 1, start - 3600 + i64::try_from(hour).unwrap() * 3600, "alice", "x")).collect();
    let sample = Sample::of_values(&lines);
    let mut args = sample.args("out", &[Format::Html]);
    args.filter.tz = "America/New_York".to_owned();
    sample.run(&args).unwrap();
    let count = |name: &str| sample.text("out", name).matches("<article").count();
    assert_eq!(count("html/000001_2026-10-31_S19a8782d9a0.html"), 1);
    assert_eq!(count("html/000002_2026-11-01_S19a8782d9a0.html"), 25);
    assert_eq!(count("html/000003_2026-11-02_S19a8782d9a0.html"), 1);
}

#[test]
fn a_long_day_comes_in_parts_that_say_so() {
    let lines: Vec<Value> = (1..=17_000).map(|seq| text(seq, 1, "alice", "x")).collect();
    let sample = Sample::of_values(&lines);
    sample.run(&sample.args("out", &[Format::Html])).unwrap();
    let page = sample.text("out", "html/000001_2026-06-01_S19a8782d9a0_3of3.html");
    assert_eq!(page.matches("<article").count(), 1_000);
    assert!(page.contains("<dt>Part</dt><dd><bdi>3 of 3</bdi>"));
}

#[test]
fn a_doubled_line_is_exported_once_and_listed() {
    let line = text(1, 0, "alice", "hello");
    let sample = Sample::of_values(&[line.clone(), line]);
    assert_eq!(sample.run(&sample.args("out", &[Format::Csv, Format::Raw])).unwrap(), Exit::Done);
    assert_eq!(sample.text("out", "raw.jsonl").lines().count(), 1);
    let manifest = sample.manifest("out");
    assert_eq!(manifest["counts"]["csv"]["text"], json!({"in": 2, "out": 1, "excluded": 1, "with_their_message": 0}));
    assert_eq!(manifest["excluded"][0]["record"], "receivedMessages.txt:2");
}

#[test]
fn a_line_that_is_no_record_is_named_and_changes_the_exit() {
    let sample = Sample::of(&[text(1, 0, "alice", "hello").to_string(), "{".to_owned()]);
    let mut args = sample.args("out", &[Format::Csv]);
    assert_eq!(sample.run(&args).unwrap(), Exit::Findings);
    assert_eq!(sample.manifest("out")["bad_lines"][0]["record"], "receivedMessages.txt:2");
    args.out = sample.out("again");
    args.source.allow_bad_lines = true;
    assert_eq!(sample.run(&args).unwrap(), Exit::Done);
}
