//! The example of an environment file holds every variable of the code, in the code's words.

use std::ffi::OsString;
use std::fs;

use retaind::config::env::{self, Fallback, Secrecy, VARIABLES, Variable};
use retaind::config::{account, aws, evidence, files, network, process};

use super::{blesses, file, root};

const FILE: &str = "env/retaind.env";
/// Longest line of a comment, in characters.
const COMMENT_CHARS_MAX: usize = 120;
/// The bot of the example.
const BOT: &str = "compliance_1234567890_bot";

/// Groups, each with the variable that it begins with.
fn groups() -> [(&'static str, &'static Variable); 8] {
    [
        ("The bot", &account::BOT_NAME),
        ("Files", &files::MESSAGES),
        ("Evidence", &evidence::EVIDENCE),
        ("AWS: where, and settings from a secret", &aws::AWS_REGION),
        ("AWS: uploads, encryption, locks", &aws::S3_BUCKET),
        ("AWS: events and metrics", &aws::SNS_TOPIC),
        ("State and network", &network::STATE),
        ("Watchdog, logs, health", &process::WATCHDOG_MINUTES),
    ]
}

fn comment(text: &str) -> String {
    let mut lines = vec![String::from("#")];
    for word in text.split(' ') {
        let last = lines.last_mut().unwrap();
        if last.chars().count() + 1 + word.chars().count() > COMMENT_CHARS_MAX {
            lines.push(format!("# {word}"));
        } else {
            *last += &format!(" {word}");
        }
    }
    lines.join("\n") + "\n"
}

fn entry(variable: &Variable) -> String {
    let mut words = variable.meaning.to_owned();
    if let Fallback::Derived(how) = variable.default {
        words += &format!(" (default: {how})");
    }
    let name = variable.name;
    let line = match (variable.secrecy, variable.default) {
        (Secrecy::Secret, _) => format!("#{name}_FILE=/etc/retaind/{}", name.to_ascii_lowercase()),
        (Secrecy::Public, Fallback::Required) => format!("{name}={BOT}"),
        (Secrecy::Public, Fallback::Nothing | Fallback::Derived(_)) => format!("#{name}="),
        (Secrecy::Public, Fallback::Text(text) | Fallback::OfBot(text)) => {
            format!("#{name}={}", text.replace("<botname>", BOT))
        }
    };
    format!("{}{line}\n", comment(&words))
}

fn wanted() -> String {
    let mut text = comment(
        "Settings of retaind, for `docker run --env-file` and for `EnvironmentFile=` of systemd. From the tables in src/config; \
         RETAIND_BLESS=1 cargo nextest run config writes it.",
    );
    text += &comment(
        "A commented-out line shows the default. No quotes: Docker would take them as part of the value. Any variable may be \
         given as <NAME>_FILE, the path of a file with the value.",
    );
    for variable in VARIABLES.iter() {
        if let Some((group, _)) = groups().iter().find(|(_, first)| first.name == variable.name) {
            text += &format!("\n\n# == {group} ==\n");
        }
        text += &format!("\n{}", entry(variable));
    }
    text
}

#[test]
fn the_example_environment_file_is_the_table_in_the_code() {
    for (group, first) in groups() {
        assert!(VARIABLES.iter().any(|variable| variable.name == first.name), "{group}");
    }
    if blesses() {
        fs::write(root().join("config").join(FILE), wanted()).unwrap();
        return;
    }
    let found = file(FILE);
    for (line, wanted) in found.lines().zip(wanted().lines()) {
        assert_eq!(line, wanted, "write it again with `RETAIND_BLESS=1 cargo nextest run config`");
    }
    assert_eq!(found, wanted());
}

#[test]
fn the_bot_takes_the_example_as_it_is_and_knows_every_name_in_it() {
    if blesses() {
        return;
    }
    let text = file(FILE);
    let assignment = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let given: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).filter_map(assignment).collect();
    assert_eq!(given, [("WICKRIO_BOT_NAME".to_owned(), BOT.to_owned())]);
    let hidden = text.lines().filter_map(|line| line.strip_prefix('#')).filter(|line| !line.starts_with(' '));
    let names: Vec<String> = hidden.filter_map(assignment).map(|(name, _)| name).collect();
    assert_eq!(names.len() + given.len(), VARIABLES.len());
    // a value that is one character is wrong for some, and each name is known all the same
    let vars = names.iter().filter(|name| !name.ends_with("_FILE"));
    let vars = vars.map(|name| (OsString::from(name), OsString::from("x")));
    let mut mistakes = Vec::new();
    env::read(vars, &mut mistakes);
    assert!(mistakes.is_empty(), "{mistakes:?}");
}
