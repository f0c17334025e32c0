//! The README is true: its table is the one in the code, its commands exist, and CI runs its second one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail the test"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use clap::{CommandFactory, Parser};
use retaind::aws::permissions::PERMISSIONS;
use retaind::cli::{Arguments, EXIT_CONFIGURATION, EXIT_INTERNAL, EXIT_TEMPORARY};
use retaind::config::env::{Secrecy, VARIABLES, Variable};
use retaind::config::layer::KEYS;

const TABLE_BEGINS: &str =
    "<!-- variables: from src/config/env.rs; RETAIND_BLESS=1 cargo nextest run readme writes them -->\n";
const TABLE_ENDS: &str = "<!-- end of variables -->";
const PERMISSIONS_BEGIN: &str =
    "<!-- permissions: from src/aws/permissions.rs; RETAIND_BLESS=1 cargo nextest run readme writes them -->\n";
const PERMISSIONS_END: &str = "<!-- end of permissions -->";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

fn row(variable: &Variable) -> String {
    let mut names = format!("`{}`", variable.name);
    for alias in variable.aliases {
        names += &format!(" or `{alias}`");
    }
    let secret = match variable.secrecy {
        Secrecy::Secret => "; secret, never shown",
        Secrecy::Public => "",
    };
    format!("| {names} | {}{secret} | {} |\n", variable.meaning, variable.default)
}

/// Compares the table between two marks with what the code says, or writes it.
fn assert_table(begins: &str, wanted: &str, ends: &str) {
    let readme = readme();
    let (before, rest) = readme.split_once(begins).expect("the README marks where the table begins");
    let (table, after) = rest.split_once(ends).expect("the README marks where the table ends");
    if std::env::var_os("RETAIND_BLESS").is_some() {
        fs::write(root().join("README.md"), format!("{before}{begins}{wanted}{ends}{after}")).unwrap();
        return;
    }
    for (line, wanted) in table.lines().zip(wanted.lines()) {
        assert_eq!(line, wanted, "write it anew with `RETAIND_BLESS=1 cargo nextest run readme`");
    }
    assert_eq!(table.lines().count(), wanted.lines().count());
}

/// One test for both tables, so that they are not written at the same time.
#[test]
fn the_tables_of_variables_and_permissions_are_those_in_the_code() {
    let rows: String = VARIABLES.iter().map(|variable| row(variable)).collect();
    assert_table(TABLE_BEGINS, &format!("| variable | meaning | default |\n|---|---|---|\n{rows}"), TABLE_ENDS);

    let rows = PERMISSIONS.map(|permission| {
        let (feature, policy) = (permission.feature, permission.feature.policy());
        format!("| {feature} | `{}` | `{}` | `{policy}` |\n", permission.action, permission.resource)
    });
    let wanted = format!("| for | action | on | policy in `config/iam/` |\n|---|---|---|---|\n{}", rows.concat());
    assert_table(PERMISSIONS_BEGIN, &wanted, PERMISSIONS_END);
}

#[test]
fn every_key_of_the_secret_is_in_the_readme() {
    let readme = readme();
    for (key, variable) in KEYS {
        assert!(readme.contains(&format!("\n| `{key}` | `{}` |\n", variable.name)), "`{key}`");
    }
}

/// The lines of the README's `sh` blocks, without comments, continued lines joined.
fn commands(readme: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut blocks = readme.split("```");
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

/// Words as a shell makes them of the README's simple lines: blanks separate, quotes hold together.
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

/// What is wrong with one command of the README.
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
fn every_command_of_the_readme_is_one_that_the_program_takes() {
    let commands = commands(&readme());
    assert!(commands.len() >= 5, "the README has lost its commands: {commands:?}");
    let wrong: Vec<String> = commands.iter().filter_map(|line| wrong(line)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_subcommand_is_in_the_readme() {
    let readme = readme();
    for command in Arguments::command().get_subcommands() {
        let name = command.get_name();
        let used = [format!("retaind {name}"), format!("-- {name}")];
        assert!(used.iter().any(|used| readme.contains(used)), "`{name}` is not in the README");
    }
}

#[test]
fn exit_codes_stand_in_the_readme() {
    let readme = readme();
    for code in [0, EXIT_CONFIGURATION, EXIT_TEMPORARY, EXIT_INTERNAL] {
        assert!(readme.contains(&format!("\n| {code} | ")), "exit code {code}");
    }
}

#[test]
fn ci_runs_the_second_command_and_nothing_else() {
    let script = fs::read_to_string(root().join(".ci/run")).unwrap();
    let lines: Vec<&str> = script.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert_eq!(lines, [r#"cd "$(dirname "$0")/.." && exec ./tests/run"#]);
    assert_eq!(commands(&readme()).get(1).map(String::as_str), Some("./tests/run"));
}
