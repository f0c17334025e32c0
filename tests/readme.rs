//! README.md and the manual below docs/ are true: their tables are those in the code, their commands exist, their links lead
//! somewhere, and CI runs the README's second command.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail the test"
)]

mod limits;
mod links;
mod tables;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use retaind::cli::{Arguments, EXIT_CONFIGURATION, EXIT_INTERNAL, EXIT_TEMPORARY};
use retaind::config::env::VARIABLES;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository, by its path from the root.
fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("`{path}`: {error}"))
}

/// The pages of the manual, by their paths from the root.
fn manual() -> Vec<String> {
    let entries = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut pages: Vec<String> = entries.map(|name| format!("docs/{}", name.into_string().unwrap())).collect();
    pages.sort();
    pages
}

/// The product's sources, by their paths from the root, with their texts.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let from_root = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.push((from_root, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join("src"), &mut found);
    found
}

/// The lines of a page's `sh` blocks, without comments, continued lines joined.
fn commands(page: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut blocks = page.split("```");
    blocks.next();
    // after the first: block, text, block, text …
    while let Some(block) = blocks.next() {
        if let Some(lines) = block.strip_prefix("sh\n") {
            let joined = lines.replace("\\\n", " ");
            let uncommented = joined.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
            commands.extend(uncommented.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned));
        }
        blocks.next();
    }
    commands
}

/// Words as a shell makes them of simple lines: blanks separate, quotes hold together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    assert_eq!(quote, None, "a quote is not closed: {line}");
    words.extend(word);
    words
}

fn assert_is_variable(assignment: &str) {
    let (name, _) = assignment.split_once('=').expect("`export NAME=value`");
    let stem = name.strip_suffix("_FILE").unwrap_or(name);
    assert!(VARIABLES.iter().any(|v| v.name == stem || v.aliases.contains(&stem)), "`{name}` is not in the table");
}

/// What is wrong with one command.
fn wrong(line: &str) -> Option<String> {
    let all = words(line);
    let assigned = all.iter().take_while(|word| word.contains('=') && !word.starts_with('-')).count();
    let (assignments, command) = all.split_at(assigned);
    assignments.iter().for_each(|assignment| assert_is_variable(assignment));
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let arguments: &[&str] = match command.as_slice() {
        ["retaind", rest @ ..] | ["cargo", "run", "--release", "--locked", "--", rest @ ..] => rest,
        ["cargo", "install", "--path", ".", "--locked"] => return None,
        ["export", assignment] => {
            assert_is_variable(assignment);
            return None;
        }
        ["docker", "build", "-f", dockerfile, "-t", "retaind", "."] => {
            return (!root().join(dockerfile).exists()).then(|| format!("{line}: there is no such file"));
        }
        // `docker::image` runs them
        ["docker", "run", rest @ ..] => {
            rest.windows(2).filter(|pair| pair[0] == "-e").for_each(|pair| assert_is_variable(pair[1]));
            return None;
        }
        ["install", "-d", "-o", _, _] => return None,
        ["./tests/run"] => {
            let mode = fs::metadata(root().join("tests/run")).unwrap().permissions().mode();
            return (mode & 0o111 == 0).then(|| format!("{line}: not executable"));
        }
        _ => return Some(format!("{line}: not a command that this test knows")),
    };
    let parsed = Arguments::try_parse_from(std::iter::once(&"retaind").chain(arguments));
    parsed.err().map(|error| format!("{line}\n{error}"))
}

#[test]
fn every_command_of_the_readme_and_the_manual_is_one_that_the_program_takes() {
    let of_readme = commands(&page("README.md"));
    assert!(of_readme.len() >= 5, "the README has lost its commands: {of_readme:?}");
    for name in ["install", "container", "aws", "network", "clients"] {
        assert!(!commands(&page(&format!("docs/{name}.md"))).is_empty(), "docs/{name}.md has lost its commands");
    }
    let of_manual = manual().into_iter().flat_map(|path| commands(&page(&path)));
    let wrong: Vec<String> = of_readme.into_iter().chain(of_manual).filter_map(|line| wrong(&line)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_subcommand_is_in_the_readme() {
    let readme = page("README.md");
    for command in Arguments::command().get_subcommands() {
        let name = command.get_name();
        let used = [format!("retaind {name}"), format!("-- {name}")];
        assert!(used.iter().any(|used| readme.contains(used)), "`{name}` is not in the README");
    }
}

#[test]
fn every_command_of_the_network_and_of_the_client_is_in_the_manual() {
    for (page_, subcommand) in [("docs/network.md", "network"), ("docs/clients.md", "client")] {
        let text = page(page_);
        let arguments = Arguments::command();
        let command = arguments.find_subcommand(subcommand).unwrap();
        for command in command.get_subcommands() {
            let name = command.get_name();
            let named = [format!("`{name}`"), format!("`{name} "), format!("retaind {subcommand} {name} ")];
            assert!(named.iter().any(|named| text.contains(named)), "`{name}` is not in {page_}");
        }
    }
}

#[test]
fn exit_codes_are_in_the_manual() {
    let manual = page("docs/install.md");
    for code in [0, EXIT_CONFIGURATION, EXIT_TEMPORARY, EXIT_INTERNAL] {
        assert!(manual.contains(&format!("\n| {code} | ")), "exit code {code}");
    }
}

#[test]
fn ci_runs_the_second_command_and_nothing_else() {
    let script = fs::read_to_string(root().join(".ci/run")).unwrap();
    let lines: Vec<&str> = script.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert_eq!(lines, [r#"cd "$(dirname "$0")/.." && exec ./tests/run"#]);
    assert_eq!(commands(&page("README.md")).get(1).map(String::as_str), Some("./tests/run"));
}
