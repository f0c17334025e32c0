//! What neither the compiler nor rustfmt holds, read from the source tree: sizes of files, the order of imports, words for which
//! there is a plainer one, paths that comments name, and errors that print their own cause.
//!
//! A rule is a function from a file's path and text to what is wrong in it, and each is tried on a sample that breaks it. Links
//! and paths of the pages are `tests/readme/links.rs`'s.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

use std::fs;
use std::path::{Path, PathBuf};

/// A file of more lines is split.
const LINES_MAX: usize = 400;
/// Files that were longer when the rule was made, and how long each may be. A limit only shrinks; a line goes when its file
/// is short enough or gone.
const LONGER: &[(&str, usize)] = &[
    ("src/bot/run.rs", 432),
    ("src/config/tests.rs", 463),
    ("src/device/conversations.rs", 544),
    ("src/device/mls.rs", 575),
    ("src/protocol/wire.rs", 541),
    ("src/source_mls/decrypt.rs", 449),
    ("tests/faults/decoders/seeds.rs", 818),
    ("tests/faults/others/records.rs", 408),
    ("tests/faults/processes.rs", 451),
    ("tests/interop.rs", 511),
    ("tests/network.rs", 484),
    ("tests/record/cases.rs", 439),
    ("tests/rotate.rs", 662),
    ("tests/ship.rs", 488),
    ("tests/source/contract.rs", 537),
    ("tests/standin.rs", 416),
    ("tests/support/sim/disk.rs", 602),
    ("tests/support/sim/vfs.rs", 536),
    ("tests/support/sim/world.rs", 709),
    ("tests/support/source_model.rs", 502),
];

/// Words that are not used, and what is said instead.
const WORDS: &[(&str, &str)] = &[
    ("anew", "again"),
    ("bears", "tolerates, has room for"),
    ("how-manieth", "which"),
    ("lets go", "releases"),
    ("lies in clear", "is unencrypted"),
    ("mend", "fix, correct"),
    ("mended", "fixed, corrected"),
    ("who asks", "the caller"),
    ("word that wakes", "wake-up"),
];
/// Texts with such a word that stay: programs of others look for them in the log.
const KEPT: &[&str] = &["log file opened anew"];

/// Folders whose files comments name by their paths from the root.
const FOLDERS: [&str; 6] = ["src/", "tests/", "config/", "docker/", "benches/", "docs/"];
/// What is made, or not ours.
const PASSED_OVER: [&str; 3] = ["target", ".git", "corpus"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files with one of these endings, by their paths from the root, with their texts.
fn files(endings: &[&str]) -> Vec<(String, String)> {
    fn walk(folder: &Path, endings: &[&str], found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                if !PASSED_OVER.iter().any(|passed| name == *passed) {
                    walk(&path, endings, found);
                }
            } else if path.extension().is_some_and(|is| endings.iter().any(|ending| is == *ending)) {
                let from_root = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.push((from_root, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), endings, &mut found);
    found.sort();
    assert!(found.len() > 10, "the tree is not here");
    found
}

/// What `rule` finds in all of them.
fn holds(files: &[(String, String)], rule: impl Fn(&str, &str) -> Vec<String>) {
    let wrong: Vec<String> = files.iter().flat_map(|(path, text)| rule(path, text)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Numbered from 1, as editors do.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(at, line)| (at + 1, line))
}

/// The text of a line of comment.
fn comment(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("//")
}

fn too_long(path: &str, text: &str, longer: &[(&str, usize)]) -> Vec<String> {
    let lines = text.lines().count();
    let exception = longer.iter().find(|(file, _)| *file == path).map(|(_, limit)| *limit);
    match exception {
        None if lines > LINES_MAX => vec![format!("{path}: {lines} lines, at most {LINES_MAX}: split it")],
        Some(_) if lines <= LINES_MAX => vec![format!("{path}: is short enough now, take it off the list of `LONGER`")],
        Some(limit) if lines > limit => vec![format!("{path}: {lines} lines, at most {limit}: it only shrinks")],
        Some(_) | None => Vec::new(),
    }
}

#[test]
fn no_file_grows_too_long() {
    let files = files(&["rs"]);
    holds(&files, |path, text| too_long(path, text, LONGER));
    for (path, _) in LONGER {
        assert!(files.iter().any(|(file, _)| file == path), "{path}: is gone, take it off the list of `LONGER`");
    }
}

/// The standard library's first, in a group of its own: a blank line ends a group.
fn imports_out_of_order(path: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut is_first, mut standard, mut others) = (true, false, false);
    for (at, line) in numbered(text) {
        if line.is_empty() {
            is_first &= !(standard || others);
            (standard, others) = (false, false);
        }
        let Some(used) = line.strip_prefix("use ") else { continue };
        let is_standard = ["std::", "core::", "alloc::"].iter().any(|library| used.starts_with(library));
        (standard, others) = (standard || is_standard, others || !is_standard);
        if is_standard && (others || !is_first) || !is_standard && standard {
            wrong.push(format!("{path}:{at}: `std` comes first, in a group of its own: `{line}`"));
        }
    }
    wrong
}

#[test]
fn the_standard_library_is_imported_first_and_apart() {
    holds(&files(&["rs"]), imports_out_of_order);
}

/// The places of `word` in `line` as a whole word, in any case.
fn says(line: &str, word: &str) -> bool {
    let line = line.to_lowercase();
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, found)| {
        !is_part(line[..at].chars().next_back()) && !is_part(line[at + found.len()..].chars().next())
    })
}

fn bad_words(path: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (at, line) in numbered(text).filter(|(_, line)| !KEPT.iter().any(|kept| line.contains(kept))) {
        for (word, instead) in WORDS.iter().filter(|(word, _)| says(line, word)) {
            wrong.push(format!("{path}:{at}: not `{word}`, but {instead}"));
        }
    }
    wrong
}

#[test]
fn words_with_a_plainer_one_are_not_used() {
    let mut files = files(&["rs", "md", "toml", "env"]);
    // the list itself
    files.retain(|(path, _)| path != "tests/tidy.rs");
    holds(&files, bad_words);
}

/// Paths in back-ticks in comments that are not there, and a manual that is said to be in the README.
fn stale_pointers(path: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (at, line) in numbered(text).filter_map(|(at, line)| Some((at, comment(line)?))) {
        // odd parts are between back-ticks
        let named = line.split('`').skip(1).step_by(2).filter(|span| FOLDERS.iter().any(|at| span.starts_with(at)));
        for span in named.filter(|span| !span.contains([' ', '*', '<', '{', '…', ':'])) {
            if !root().join(span).exists() {
                wrong.push(format!("{path}:{at}: there is no `{span}`"));
            }
        }
        if path.starts_with("src/") && says(line, "the readme") {
            wrong.push(format!("{path}:{at}: the manual is in `docs/`: name its page"));
        }
    }
    wrong
}

#[test]
fn every_file_that_a_comment_names_exists() {
    holds(&files(&["rs"]), stale_pointers);
}

/// Errors whose text prints the source that `chain` prints after it.
fn causes_printed_twice(path: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut starts: Vec<usize> = text.match_indices("#[error(").map(|(at, _)| at).collect();
    starts.push(text.len());
    for pair in starts.windows(2) {
        let item = &text[pair[0]..pair[1]];
        // the last variant ends with its enum
        let item = item.split("\n}\n").next().unwrap_or(item);
        let Some((words, fields)) = item.split_once(")]\n") else { continue };
        let attributed = ["#[from]", "#[source]"].iter().any(|attribute| fields.contains(attribute));
        let has_named = fields.lines().any(|line| line.trim_start().trim_start_matches("pub ").starts_with("source:"));
        let prints_named = ["{source}", "{source:", "source.to_string()"].iter().any(|printed| words.contains(printed));
        let prints_first = ["{0}", "{0:", " .0", "(.0"].iter().any(|printed| words.contains(printed));
        if has_named && prints_named || attributed && !has_named && prints_first {
            let at = text[..pair[0]].lines().count() + 1;
            wrong.push(format!("{path}:{at}: the text prints the source, and `chain` prints it again"));
        }
    }
    wrong
}

#[test]
fn no_error_prints_its_source() {
    let mut files = files(&["rs"]);
    files.retain(|(path, _)| path.starts_with("src/"));
    holds(&files, causes_printed_twice);
}

#[test]
fn each_rule_finds_what_breaks_it() {
    let long = "\n".repeat(LINES_MAX + 1);
    assert_eq!(too_long("a.rs", &long, &[]).len(), 1);
    assert_eq!(too_long("a.rs", &long, &[("a.rs", LINES_MAX)]).len(), 1, "grown");
    assert_eq!(too_long("a.rs", "", &[("a.rs", 500)]).len(), 1, "no longer an exception");
    assert!(too_long("a.rs", &long, &[("a.rs", LINES_MAX + 1)]).is_empty());

    assert_eq!(imports_out_of_order("a.rs", "use clap::Args;\n\nuse std::fs;\n").len(), 1);
    assert_eq!(imports_out_of_order("a.rs", "use std::fs;\nuse clap::Args;\n").len(), 1);
    assert_eq!(imports_out_of_order("a.rs", "use clap::Args;\nuse std::fs;\n").len(), 1);
    assert!(imports_out_of_order("a.rs", "//! A.\n\nuse std::fs;\nuse std::io;\n\nuse clap::Args;\n").is_empty());

    assert_eq!(bad_words("a.rs", "// begun Anew, which nobody can mend\n").len(), 2);
    assert!(bad_words("a.rs", "\"log file opened anew\", amended, recommend\n").is_empty());

    assert_eq!(stale_pointers("src/a.rs", "//! See `src/nothing.rs`, and the README's table.\n").len(), 2);
    assert!(stale_pointers("src/a.rs", "/// `src/lib.rs` and `tests/*.rs`\nlet a = \"`src/no`\";\n").is_empty());

    let twice = "#[error(\"a: {0}\")]\nA(#[from] B),\n#[error(\"c: {source}\")]\nC {\n    source: B,\n},\n";
    assert_eq!(causes_printed_twice("src/a.rs", twice).len(), 2);
    let once = "#[error(\"a: {0}\")]\nA(u8),\n#[error(\"c: `{path}`\")]\nC {\n    path: B,\n    source: B,\n},\n";
    assert!(causes_printed_twice("src/a.rs", once).is_empty());
}
