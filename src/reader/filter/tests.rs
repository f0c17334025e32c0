use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::samples::{DIRECT, ROOM, Sample, edit, reaction, recall, record, text};
use crate::source::Entry;

fn found(sample: &Sample, args: &FilterArgs) -> Vec<u64> {
    let (archive, filter) = (sample.archive(), Filter::new(args).unwrap());
    let survey = Survey::of(&archive, &filter).unwrap();
    let mut seqs = Vec::new();
    for entry in archive.entries() {
        let Entry::Record(place, record) = entry.unwrap() else { panic!("a bad line") };
        if survey.matches(&record, place) {
            seqs.push(record.seq.unwrap());
        }
    }
    seqs
}

fn span(from: &str, to: &str, tz: &str) -> FilterArgs {
    FilterArgs { from: Some(from.to_owned()), to: Some(to.to_owned()), tz: tz.to_owned(), ..FilterArgs::default() }
}

/// A record for each half hour from two days before to two days after, the number is that of the half hour.
fn half_hours(around: &str) -> Sample {
    let middle: jiff::Timestamp = around.parse().unwrap();
    let line = |n: i64| {
        let at = middle + jiff::SignedDuration::from_mins(30 * (n - 100));
        let shown = at.strftime("%Y-%m-%d %H:%M:%S.000").to_string();
        record(ROOM, n.unsigned_abs(), "alice", 1000, json!({"message": "x", "received_iso": shown, "msg_ts": "0.0"}))
    };
    Sample::of(&[(1..200).map(line).collect()])
}

#[test]
fn a_local_day_has_23_24_or_25_hours() {
    for (zone, day, noon, hours) in [
        ("America/New_York", "2026-11-01", "2026-11-01T17:00:00Z", 25),
        ("America/New_York", "2026-03-08", "2026-03-08T16:00:00Z", 23),
        ("America/New_York", "2026-06-01", "2026-06-01T16:00:00Z", 24),
        ("Europe/Berlin", "2026-10-25", "2026-10-25T11:00:00Z", 25),
        // the clock goes back by half an hour
        ("Australia/Lord_Howe", "2026-04-05", "2026-04-05T01:30:00Z", 24),
        ("UTC", "2026-11-01", "2026-11-01T12:00:00Z", 24),
        // this day began at one o'clock
        ("America/Santiago", "2026-09-06", "2026-09-06T15:00:00Z", 23),
    ] {
        let sample = half_hours(noon);
        let extra = usize::from(zone == "Australia/Lord_Howe");
        assert_eq!(found(&sample, &span(day, day, zone)).len(), 2 * hours + extra, "{zone} {day}");
    }
}

#[test]
fn an_hour_that_comes_twice_is_in_the_span_twice() {
    let sample = half_hours("2026-11-01T17:00:00Z");
    let zone = "America/New_York";
    assert_eq!(found(&sample, &span("2026-11-01 01:00", "2026-11-01 02:00", zone)).len(), 4);
    assert_eq!(found(&sample, &span("2026-11-01 01:00", "2026-11-01 01:30", zone)).len(), 3);
    // with the offset it is said which one is meant
    assert_eq!(found(&sample, &span("2026-11-01T01:00:00-04:00", "2026-11-01T02:00:00-05:00", zone)).len(), 4);
    assert_eq!(found(&sample, &span("2026-11-01T01:00:00-05:00", "2026-11-01T02:00:00-05:00", zone)).len(), 2);
}

#[test]
fn the_end_of_a_span_is_not_included_but_a_date_is_whole() {
    let zone = zone("Europe/Berlin").unwrap();
    let at = |text: &str, edge| moment_of(text, &zone, edge).unwrap().to_string();
    assert_eq!(at("2026-06-01", Edge::From), "2026-05-31T22:00:00Z");
    assert_eq!(at("2026-06-01", Edge::To), "2026-06-01T22:00:00Z");
    assert_eq!(at("2026-06-01T00:00", Edge::To), "2026-05-31T22:00:00Z");
    assert_eq!(at("2026-06-01 09:30:15", Edge::From), "2026-06-01T07:30:15Z");
    assert_eq!(at("2026-06-01T09:30:00Z", Edge::From), "2026-06-01T09:30:00Z");
    for wrong in ["", "today", "2026-13-01", "2026-06-31", "2026-6-1", "06/01/2026", "12:30"] {
        assert!(moment_of(wrong, &zone, Edge::From).is_err(), "{wrong}");
    }
    assert!(matches!(Filter::new(&span("2026-06-02", "2026-06-01", "UTC")), Err(FilterError::Span { .. })));
    assert!(matches!(Filter::new(&span("2026-06-01", "2026-06-02", "Mars/Base")), Err(FilterError::Zone { .. })));
}

fn args(set: impl FnOnce(&mut FilterArgs)) -> FilterArgs {
    let mut args = FilterArgs::default();
    set(&mut args);
    args
}

#[test]
fn clocks_and_claims() {
    let at = |seq, claim: &str| record(ROOM, seq, "alice", 1000, json!({"message": "x", "msg_ts": claim}));
    // received at 1780000060 and so on, a minute apart
    let sample = Sample::of(&[vec![at(1, "1780000060.0"), at(2, "1779000000.0"), at(3, "1780000500.0")]]);
    assert_eq!(found(&sample, &args(|args| args.backdated = true)), [2, 3], "more than five minutes either way");
    let mut claimed = span("2026-05-28T20:00:00Z", "2026-05-28T20:30:00Z", "UTC");
    assert_eq!(found(&sample, &claimed), [1, 2, 3]);
    claimed.time = Clock::Sent;
    assert_eq!(found(&sample, &claimed), [1]);
}

fn file(seq: u64, own: Value) -> Value {
    record(ROOM, seq, "bob", 6000, json!({"file": own}))
}

#[test]
fn what_a_record_has() {
    let sample = Sample::of(&[vec![
        record(ROOM, 1, "alice", 1000, json!({"message": "a", "links": [{"url": "https://example.com/Report"}]})),
        text(ROOM, 2, "bob", "b"),
        edit(ROOM, 3, "alice", 1, "c"),
        recall(ROOM, 4, "bob", 2),
        reaction(ROOM, 5, "bob", 1, true),
        file(6, json!({"filename": "x", "status": "missing", "filesize": 7})),
        record(ROOM, 7, "", 0, json!({"hole": {"fromseq": 7, "toseq": 7}, "reason": "r"})),
        record(ROOM, 8, "x", 0, json!({"reason": "r", "ciphertext": {"sha256": "s", "size": 1}})),
        record(
            ROOM,
            9,
            "g",
            1000,
            json!({"message": "x", "sender_type": "guest", "device": "d", "sender_network_id": "9"}),
        ),
    ]]);
    let has = |has: Has| found(&sample, &args(|args| args.has = vec![has]));
    assert_eq!(has(Has::Link), [1]);
    assert_eq!(has(Has::Edit), [1, 3]);
    assert_eq!(has(Has::Recall), [2, 4]);
    assert_eq!(has(Has::Reaction), [1, 5]);
    assert_eq!(has(Has::Attachment), [6]);
    assert_eq!(has(Has::Hole), [7]);
    assert_eq!(has(Has::Unreadable), [8]);
    assert_eq!(found(&sample, &args(|args| args.has = vec![Has::Edit, Has::Reaction])), [1], "all of them");
    assert_eq!(found(&sample, &args(|args| args.guest = true)), [9]);
    assert_eq!(found(&sample, &args(|args| args.device = Some("d".to_owned()))), [9]);
    assert_eq!(found(&sample, &args(|args| args.sender_network = Some("9".to_owned()))), [9]);
    assert_eq!(found(&sample, &args(|args| args.types = vec!["0".to_owned(), "recall".to_owned()])), [4, 7, 8]);
    assert_eq!(found(&sample, &args(|args| args.text = Some("Report".to_owned()))), [1], "in a link");
    assert!(matches!(Filter::new(&args(|args| args.types = vec!["texts".to_owned()])), Err(FilterError::Type(_))));
}

#[test]
fn files_are_found_by_name_hash_size_and_content() {
    let hash = "AB".repeat(32);
    let sample = Sample::of(&[vec![
        file(
            1,
            json!({"filename": "Plan (2).PDF", "filesize": 2048, "filehash": hash.to_lowercase(), "localfilename": "attachment_1_a", "status": "saved"}),
        ),
        file(2, json!({"filename": "plan.txt", "filesize": 10, "localfilename": "attachment_1_b", "status": "saved"})),
        file(3, json!({"filename": "photo.jpg", "localfilename": "../../etc/passwd", "status": "saved"})),
        text(ROOM, 4, "bob", "plan.txt"),
    ]]);
    fs::write(sample.path().join("attachment_1_a"), "%PDF-1.7").unwrap();
    fs::write(sample.path().join("attachment_1_b"), "caf\u{e9}").unwrap();
    let name = |glob: &str| found(&sample, &args(|args| args.file_name = Some(glob.to_owned())));
    assert_eq!(name("*.pdf"), [1]);
    assert_eq!(name("plan*"), [1, 2]);
    assert_eq!(name("pla?.txt"), [2]);
    assert_eq!(name("plan (2)*"), [1]);
    assert_eq!(found(&sample, &args(|args| args.file_hash = Some(hash))), [1]);
    let size = |size: &str| found(&sample, &args(|args| args.file_size = Some(size.to_owned())));
    assert_eq!((size(">1K"), size("2K"), size("<11"), size("<10")), (vec![1], vec![1], vec![2], vec![]));
    let kind = |kind: &str| found(&sample, &args(|args| args.file_type = Some(kind.to_owned())));
    assert_eq!((kind("pdf"), kind("text"), kind("image")), (vec![1], vec![2], vec![]), "whatever its name says");
    for wrong in [
        args(|args| args.file_size = Some(">".to_owned())),
        args(|args| args.file_size = Some("99999999999G".to_owned())),
        args(|args| args.file_hash = Some("ab".to_owned())),
        args(|args| args.file_type = Some("docx?".to_owned())),
        args(|args| args.regex = Some("(".to_owned())),
        args(|args| args.regex = Some("a{999}{999}{999}".to_owned())),
        args(|args| args.text = Some(String::new())),
    ] {
        assert!(Filter::new(&wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn text_is_compared_in_one_form_whole_or_in_words() {
    let sample = Sample::of(&[vec![
        text(ROOM, 1, "a", "Cafe\u{301} open"),
        text(ROOM, 2, "a", "caf\u{e9}teria"),
        text(DIRECT, 3, "a", "\u{212a}elvin and ; and \u{37e}"),
        text(DIRECT, 4, "a", "C++ and more"),
    ]]);
    let with = |text: &str, ignore_case, word| {
        found(
            &sample,
            &args(|args| (args.text, args.ignore_case, args.word) = (Some(text.to_owned()), ignore_case, word)),
        )
    };
    assert_eq!(with("caf\u{e9}", true, false), [1, 2]);
    assert_eq!(with("cafe\u{301}", true, true), [1]);
    assert_eq!(with("Kelvin", false, false), [3], "the sign of kelvin is the letter K");
    assert_eq!(with("C++", false, true), [4]);
    assert_eq!(with("mor", false, true), [0; 0]);
    let regex = |regex: &str| found(&sample, &args(|args| args.regex = Some(regex.to_owned())));
    assert_eq!(regex("^C(afé|\\+)"), [1, 4]);
    let both = args(|args| (args.text, args.regex) = (Some("and".to_owned()), Some("more$".to_owned())));
    assert_eq!(found(&sample, &both), [4], "both conditions");
}

#[test]
fn an_edit_of_somebody_else_is_no_version() {
    let sample = Sample::of(&[vec![text(ROOM, 1, "alice", "a"), edit(ROOM, 2, "mallory", 1, "planted")]]);
    assert_eq!(found(&sample, &args(|args| args.text = Some("planted".to_owned()))), [2]);
}

#[test]
fn every_golden_record_matches_its_own_type_and_no_filter_leaves_any_out() {
    let lines: Vec<String> = crate::samples::golden().into_iter().map(|(_, line)| line).collect();
    let sample = Sample::of_lines(std::slice::from_ref(&lines));
    assert_eq!(found(&sample, &FilterArgs::default()).len(), lines.len());
    let numbers: BTreeSet<u64> =
        lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["msgtype"].as_u64().unwrap()).collect();
    let sum: usize =
        numbers.iter().map(|number| found(&sample, &args(|args| args.types = vec![number.to_string()])).len()).sum();
    assert_eq!(sum, lines.len());
}
