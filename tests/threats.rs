//! The threat model is a list of promises, and each of them is held by a test.
//!
//! The essay at the top of `src/lib.rs` says what each party can do and what stops it. The table in `SECURITY.md` names, for every
//! sentence of it by its first words, the tests that hold it. A sentence without a row fails here, and so do a row without a
//! sentence and a test that is not there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail the test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What a row says instead of a test, with the reason after it.
const UNHELD: &str = "no test: ";
/// Rows that say so. It only shrinks.
const UNHELD_MAX: usize = 0;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The sentences of a Rust file's threat model, without Markdown.
fn sentences(source: &str) -> Vec<String> {
    let (_, model) = source.split_once("//! # Threat model\n").expect("the essay has a threat model");
    let lines = model.lines().map_while(|line| line.strip_prefix("//!")).take_while(|line| !line.starts_with(" # "));
    let mut parties: Vec<String> = Vec::new();
    for line in lines {
        match (line.strip_prefix(" - "), parties.last_mut()) {
            (Some(first), _) => parties.push(first.to_owned()),
            (None, Some(party)) if line.starts_with("   ") => {
                party.push(' ');
                party.push_str(line.trim());
            }
            // what stands before the list, and blank lines
            (None, _) => {}
        }
    }
    parties.iter().flat_map(|party| split(&plain(party))).collect()
}

/// `**a** [`b`](c)` as `a b`.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        plain.push_str(before);
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    plain.push_str(rest);
    plain.replace("**", "").replace(['[', ']', '`'], "")
}

/// At each full stop with a capital after it.
fn split(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(". ") {
        if text[at + 2..].chars().next().is_some_and(char::is_uppercase) {
            found.push(text[start..=at].to_owned());
            start = at + 2;
        }
    }
    found.push(text[start..].to_owned());
    found
}

/// A row: the first words of a sentence, and what holds it.
struct Row {
    begins: String,
    held_by: Vec<String>,
}

fn rows(security: &str) -> Vec<Row> {
    let (_, table) = security.split_once("| sentence | held by |\n|---|---|\n").expect("SECURITY.md has the table");
    let row = |line: &str| {
        let (begins, held_by) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
        let begins = plain(begins).trim_end_matches('…').trim_end().to_owned();
        let held_by = match held_by.starts_with(UNHELD) {
            true => vec![held_by.to_owned()],
            false => held_by.split(", ").map(|name| name.trim_matches('`').to_owned()).collect(),
        };
        Some(Row { begins, held_by })
    };
    table.lines().map_while(row).collect()
}

/// The names of all tests below a folder.
fn tests(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if name != "target" && name != "corpus" {
                tests(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            tests_in(&fs::read_to_string(&path).unwrap(), found);
        }
    }
}

fn tests_in(source: &str, found: &mut BTreeSet<String>) {
    let mut is_test = false;
    for line in source.lines().map(str::trim_start) {
        is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        let function = ["fn ", "async fn "].iter().find_map(|start| line.strip_prefix(start));
        if let Some(function) = function {
            if is_test {
                found.insert(function.split(['(', '<']).next().unwrap_or_default().to_owned());
            }
            is_test = false;
        }
    }
}

/// Everything that is wrong with the table.
fn wrong(sentences: &[String], rows: &[Row], tests: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    for sentence in sentences {
        match rows.iter().filter(|row| sentence.starts_with(&row.begins)).count() {
            0 => wrong.push(format!("no row for: {sentence}")),
            1 => {}
            _ => wrong.push(format!("more than one row for: {sentence}")),
        }
    }
    for Row { begins, held_by } in rows {
        if begins.is_empty() || !sentences.iter().any(|sentence| sentence.starts_with(begins)) {
            wrong.push(format!("no sentence begins so: {begins}"));
        }
        for name in held_by.iter().filter(|name| !name.starts_with(UNHELD) && !tests.contains(*name)) {
            wrong.push(format!("there is no test `{name}`: {begins}"));
        }
    }
    let unheld = rows.iter().filter(|row| row.held_by.iter().any(|name| name.starts_with(UNHELD))).count();
    if unheld > UNHELD_MAX {
        wrong.push(format!("{unheld} sentences are held by no test, at most {UNHELD_MAX} may be"));
    }
    wrong
}

#[test]
fn every_sentence_of_the_threat_model_is_held_by_a_test_that_there_is() {
    let sentences = sentences(&fs::read_to_string(root().join("src/lib.rs")).unwrap());
    let rows = rows(&fs::read_to_string(root().join("SECURITY.md")).unwrap());
    let mut all = BTreeSet::new();
    ["src", "tests"].iter().for_each(|folder| tests(&root().join(folder), &mut all));
    assert!(sentences.len() > 20 && all.len() > 300, "{} sentences, {} tests", sentences.len(), all.len());
    let wrong = wrong(&sentences, &rows, &all);
    assert!(wrong.is_empty(), "the table of SECURITY.md and the threat model of src/lib.rs:\n{}", wrong.join("\n"));
}

#[test]
fn a_sentence_without_a_row_a_row_without_a_sentence_and_a_test_that_is_not_there_are_found() {
    let source = "//! # Threat model\n//!\n//! Before it. All.\n//!\n//! - **A thief** takes [`all`](b). It is\n//!   sealed, e.g. in S3.\n//! # Next\n";
    let sentences = sentences(source);
    assert_eq!(sentences, ["A thief takes all.", "It is sealed, e.g. in S3."]);
    let security = "x\n| sentence | held by |\n|---|---|\n| A thief … | `one`, `two` |\n| It is … | `one` |\n\nrest\n";
    let mut tests = BTreeSet::new();
    tests_in("#[test]\nfn one() {}\nfn helper() {}\n#[tokio::test]\n#[cfg(x)]\nasync fn two() {}\n", &mut tests);
    assert_eq!(tests, BTreeSet::from(["one".to_owned(), "two".to_owned()]));
    assert!(wrong(&sentences, &rows(security), &tests).is_empty());
    let broken = [
        security.replace("| It is … | `one` |\n", ""),
        security.replace("It is", "It was"),
        security.replace("It is …", "A thief takes"),
        security.replace("`two`", "`three`"),
        security.replace("| `one` |", "| no test: nobody knows how |"),
    ];
    for security in broken {
        assert!(!wrong(&sentences, &rows(&security), &tests).is_empty(), "{security}");
    }
}

/// What operators are told to run, and what the gate prints, are what there is.
#[test]
fn the_security_page_says_how_advisories_are_checked_as_it_is_done() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let (security, gate) = (read("SECURITY.md"), read("tests/run"));
    let (_, advisories) = security.split_once("## Advisories in dependencies\n").unwrap();
    for said in ["Once a week, and before each roll-out", "\ncargo deny check advisories\n", "at least once a month"] {
        assert!(advisories.contains(said), "{said}");
    }
    // the last column of the table
    let printed = advisories.lines().filter_map(|line| line.strip_suffix("` |")?.rsplit_once("| `"));
    let printed: Vec<&str> = printed.map(|(_, printed)| printed).collect();
    assert_eq!(printed.len(), 3, "{printed:?}");
    for printed in printed {
        assert!(gate.contains(printed), "`tests/run` prints no `{printed}`");
    }
    let deny = read("deny.toml");
    assert!(deny.contains("[advisories]") && !deny.contains("ignore = [\""), "an advisory is passed over");
}
