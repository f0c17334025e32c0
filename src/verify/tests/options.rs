//! The command: what is required, what is reported, and how it ends.

use std::fs;
use std::path::Path;

use clap::Parser;
use jiff::SignedDuration;
use serde_json::Value;

use super::archive::{Archive, Layout, attachment_name, segment_name, time};
use super::*;
use crate::{Requirement, VerifyArgs, run_verify};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: VerifyArgs,
}

/// Exit code, standard output and standard error.
fn run(archive: &Path, more: &[&str]) -> (u8, String, String) {
    let mut line = vec!["verify", archive.to_str().unwrap()];
    line.extend(more);
    let args = Command::try_parse_from(line).unwrap().args;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = match run_verify(&args, now(), &mut out, &mut err) {
        Ok(code) => code,
        Err(error) => {
            err.extend(error.to_string().into_bytes());
            error.exit_code()
        }
    };
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn an_assurance_that_is_required_and_absent_is_a_weakness() {
    let archive = Archive::usual(Layout::Flat);
    for (require, code) in [
        (Requirement::Key, 0),
        (Requirement::Head, 2),
        (Requirement::Fresh, 0),
        (Requirement::Plaintext, 0),
        (Requirement::Network, 2),
    ] {
        let report = judge(&archive, &Options { require: vec![require], ..options(&archive) });
        assert_eq!(report.verdict.exit_code(), code, "{require:?}");
    }
    let all = vec![Requirement::Key, Requirement::Head, Requirement::Fresh];
    assert_eq!(judge(&archive, &Options { require: all, ..with_head(&archive) }).verdict.exit_code(), 0);
    let alone = Options { keys: Vec::new(), require: vec![Requirement::Key], ..options(&archive) };
    assert_eq!(judge(&archive, &alone).verdict.exit_code(), 2);
}

#[test]
fn an_old_newest_entry_is_a_weakness_only_for_whom_it_is_one() {
    let archive = Archive::usual(Layout::Flat);
    let source = Directories::new(&[archive.root.path().to_owned()], &[]);
    let at = |seconds, options: &Options| verify(&source, options, time(seconds), "retaind").unwrap();
    let usual = options(&archive);
    assert!(at(7000, &usual).findings.is_empty());
    let late = at(90_000, &usual);
    assert_eq!((late.findings[0].code, late.verdict.exit_code()), (Code::Stale, 0));
    let fresh = Options { require: vec![Requirement::Fresh], ..options(&archive) };
    assert_eq!(at(90_000, &fresh).verdict.exit_code(), 2);
    let aged = Options { max_age: Some(SignedDuration::from_mins(5)), ..options(&archive) };
    assert_eq!(at(2000, &aged).verdict.exit_code(), 2);
    assert_eq!(at(800, &aged).verdict.exit_code(), 0);
}

#[test]
fn files_outside_the_range_are_not_read() {
    let archive = Archive::usual(Layout::Flat);
    archive.remove(&segment_name(1));
    archive.remove(&attachment_name(1));
    let range = crate::Range { from: Some(time(400)), to: None };
    let report = judge(&archive, &Options { range, ..options(&archive) });
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    assert_eq!(report.totals.segments, 4);
    let range = crate::Range { from: None, to: Some(time(400)) };
    let report = judge(&archive, &Options { range, ..options(&archive) });
    assert_eq!(causes(&report).len(), 2, "{:#?}", report.findings);
}

#[test]
fn the_command_line_says_everything() {
    let archive = Archive::usual(Layout::Folders);
    let (key, head) = (archive.vkey.to_string(), archive.path("../head.note"));
    let outside = tempfile::tempdir().unwrap();
    let head = outside.path().join(head.file_name().unwrap());
    fs::write(&head, archive.head.to_text()).unwrap();
    let (json, page) = (outside.path().join("report.json"), outside.path().join("report.html"));
    let paths = [head.to_str().unwrap(), json.to_str().unwrap(), page.to_str().unwrap()];
    let line = [
        "--key",
        &key,
        "--head",
        paths[0],
        "--deep",
        "--require",
        "key,head,fresh",
        "--report",
        paths[1],
        "--report",
        paths[2],
        "--max-age",
        "2h",
        "--from",
        "2026-01-01T00:00:00Z",
    ];
    let (code, out, _) = run(archive.root.path(), &line);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("42 records in 7 message files") && out.ends_with("verdict: verified\n"), "{out}");
    let report: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    let names: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    let documented = [
        "assurance",
        "at",
        "by",
        "findings",
        "format",
        "ignored",
        "logs",
        "range",
        "seconds",
        "source",
        "subject",
        "totals",
        "verdict",
    ];
    assert_eq!(names, documented);
    assert_eq!((&report["format"], &report["assurance"]["head"]), (&"retaind-verify/1".into(), &"given".into()));
    let page = fs::read_to_string(&page).unwrap();
    assert!(page.contains("Content-Security-Policy") && !page.contains("<script") && !page.contains("http:"));
}

#[test]
fn a_wrong_command_line_ends_with_78_and_an_archive_that_is_away_with_75() {
    let archive = Archive::usual(Layout::Flat);
    let root = archive.root.path();
    for wrong in [["--key", "nothing"], ["--head", "nothing"]] {
        assert_eq!(run(root, &wrong).0, 78, "{wrong:?}");
    }
    assert_eq!(run(Path::new("/nowhere"), &[]).0, 78);
    assert_eq!(run(Path::new("s3://bucket/prefix"), &[]).0, 78);
    archive.write("proof.json", b"{}");
    assert_eq!(run(root, &[]).0, 75);
}

#[test]
fn evidence_may_be_in_another_directory() {
    let archive = Archive::usual(Layout::Folders);
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("entries");
    fs::rename(archive.path("_evidence"), &moved).unwrap();
    let key = archive.vkey.to_string();
    let (code, out, _) = run(archive.root.path(), &["--key", &key, "--evidence", moved.to_str().unwrap()]);
    assert_eq!(code, 0, "{out}");
    let (code, out, _) = run(archive.root.path(), &["--key", &key]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("the archive has no evidence, or it is elsewhere"));
}

#[test]
fn two_runs_give_the_same_report() {
    let archive = Archive::usual(Layout::Flat);
    archive.remove(&archive.entry_path(4));
    archive.remove(&segment_name(1));
    archive.exchange(&segment_name(2), &segment_name(5));
    let (first, second) = (run(archive.root.path(), &["--json"]), run(archive.root.path(), &["--json"]));
    assert_eq!(first, second);
    let report: Value = serde_json::from_str(&first.1).unwrap();
    for finding in report["findings"].as_array().unwrap() {
        for cause in finding["because"].as_array().unwrap() {
            let cause = &report["findings"][cause.as_u64().unwrap() as usize];
            assert!(cause["because"].as_array().unwrap().is_empty(), "a cause is explained by nothing");
        }
    }
}

#[test]
fn names_cannot_move_a_terminal_s_cursor_or_write_html() {
    let archive = Archive::usual(Layout::Flat);
    archive.write("a\u{1b}[2J\u{202e}<img src=x>.txt", b"x");
    let outside = tempfile::tempdir().unwrap();
    let page = outside.path().join("report.html");
    let (code, out, _) = run(archive.root.path(), &["--report", page.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(!out.contains(['\u{1b}', '\u{202e}']) && out.contains("\\u{1b}"), "{out}");
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("&lt;img src=x&gt;") && !page.contains("<img"));
}

#[test]
fn every_code_is_named_once() {
    let mut names: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Code::ALL.len());
}
