//! Every link of the documentation leads to a file that is there, and to a heading that is in it; every path that it names exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::{manual, page, root};

/// What is made, or not ours.
const PASSED_OVER: [&str; 2] = ["target", ".git"];
/// Folders whose files are named with their paths from the root.
const FOLDERS: [&str; 8] = ["src/", "tests/", "config/", "docker/", "benches/", "docs/", ".ci/", ".config/"];
/// Every page of the repository, by its path from the root.
fn pages() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                if !PASSED_OVER.iter().any(|passed| name == *passed) {
                    walk(&path, found);
                }
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    found.sort();
    found
}

/// The lines of a page outside of its blocks of code.
fn prose(text: &str) -> Vec<&str> {
    let mut in_block = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            lines.push(line);
        }
    }
    assert!(!in_block, "a block of code does not end");
    lines
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in prose(text).into_iter().filter(|line| line.starts_with('#')) {
        let Some(heading) = line.trim_start_matches('#').strip_prefix(' ') else { continue };
        assert!(anchors.insert(anchor(heading)), "two headings are called `{heading}`: links cannot tell them apart");
    }
    anchors
}

/// Odd parts are between back-ticks.
fn spans(line: &str) -> impl Iterator<Item = (bool, &str)> {
    line.split('`').enumerate().map(|(at, span)| (at % 2 == 1, span))
}

/// Where the links of a line lead.
fn targets(line: &str) -> Vec<String> {
    let text: String = spans(line).filter(|(is_code, _)| !is_code).map(|(_, span)| span).collect();
    text.split("](").skip(1).map(|rest| rest.split_once(')').expect("a link ends").0.to_owned()).collect()
}

/// A path without `..`, as far as it can be.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => assert!(normal.pop(), "`{}` leaves the repository", path.display()),
            other => normal.push(other),
        }
    }
    normal
}

fn broken(from: &Path, target: &str) -> Option<String> {
    if target.starts_with("https://") {
        return None;
    }
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() { from.to_owned() } else { normal(&from.parent().unwrap().join(file)) };
    let said = format!("{}: `{target}`", from.display());
    if !root().join(&path).exists() {
        return Some(format!("{said}: there is no such file"));
    }
    let is_there = heading.is_empty() || anchors(&page(path.to_str().unwrap())).contains(heading);
    (!is_there).then(|| format!("{said}: there is no such heading"))
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    assert!(pages.contains(&PathBuf::from("README.md")) && pages.len() > 20, "{pages:?}");
    let mut wrong = Vec::new();
    let mut links = 0;
    for from in &pages {
        let text = page(from.to_str().unwrap());
        for target in prose(&text).into_iter().flat_map(targets) {
            links += 1;
            wrong.extend(broken(from, &target));
        }
    }
    assert!(links > 100, "{links}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let from = Path::new("docs/README.md");
    assert_eq!(targets("see [`a` b](c.md#d), `[no](link)` and [e](f)"), ["c.md#d", "f"]);
    assert_eq!(anchor("Under `faults`, again: it's 2"), "under-faults-again-its-2");
    assert_eq!(broken(from, "../README.md#the-two-commands"), None);
    assert!(broken(from, "nothing.md").unwrap().contains("no such file"));
    assert!(broken(from, "../README.md#nothing").unwrap().contains("no such heading"));
    assert!(broken(from, "#nothing").unwrap().contains("no such heading"));
}

#[test]
fn the_contents_page_names_every_page_of_the_manual() {
    let contents = page("docs/README.md");
    for path in manual() {
        let name = path.strip_prefix("docs/").unwrap();
        assert!(name == "README.md" || contents.contains(&format!("]({name})")), "`{path}`");
    }
}

#[test]
fn every_file_that_a_page_names_exists() {
    let mut wrong = Vec::new();
    let pages = pages();
    for from in &pages {
        let text = page(from.to_str().unwrap());
        for line in prose(&text) {
            let named = spans(line).filter(|(is_code, span)| *is_code && FOLDERS.iter().any(|at| span.starts_with(at)));
            for (_, span) in named.filter(|(_, span)| !span.contains([' ', '*', '<', '{', '…'])) {
                if !root().join(span).exists() {
                    wrong.push(format!("{}: `{span}`", from.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "there is no\n{}", wrong.join("\n"));
}
