//! What `retaind demo` prints: where it works, and at the end what was sent and archived, for people.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use super::Performance;
use super::audit::{Comparison, Count};
use super::place::Place;
use retaind_archive::record::{MSGTYPE_KEY_EVENT, MSGTYPE_UNREADABLE};
use retaind_core::text::is_deceptive;
use retaind_protocol::content::kind;

/// Records that are shown.
const RECORDS_SHOWN: usize = 6;
/// Characters of each that are shown: they are some hundred long.
const RECORD_CHARS_SHOWN: usize = 160;

/// Can the reader show bold letters?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// A file or another program.
    Plain,
    /// A terminal.
    Terminal,
}

impl Style {
    fn bold(self, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Terminal => format!("\u{1b}[1m{text}\u{1b}[0m"),
        }
    }
}

/// At the start, because it takes a while.
pub(super) fn beginning(out: &mut dyn Write, place: &Place) -> io::Result<()> {
    writeln!(out, "A network, a bot and a recorded conversation, in this process and in")?;
    writeln!(out, "{}", place.root.display())?;
    out.flush()
}

/// At the end.
pub(super) fn ending(
    out: &mut dyn Write,
    style: Style,
    place: &Place,
    performance: &Performance,
    comparison: &Comparison,
    message_files: &[impl AsRef<Path>],
) -> io::Result<()> {
    let Performance { devices, conversations, took } = performance;
    let seconds = took.as_secs_f64();
    writeln!(out, "\n{devices} devices sent these messages in {conversations} conversations within {seconds:.1} s:\n")?;
    table(out, style, comparison)?;
    writeln!(out, "\n{}", style.bold("files"))?;
    for path in message_files {
        writeln!(out, "messages     {}", path.as_ref().display())?;
    }
    writeln!(out, "attachments  {}", place.attachments.display())?;
    writeln!(out, "as sent      {}", place.outbox.display())?;
    writeln!(out, "state        {}", place.state.display())?;
    if let Some(first) = message_files.first() {
        writeln!(out, "\n{}", style.bold("first records"))?;
        for line in BufReader::new(File::open(first)?).lines().take(RECORDS_SHOWN) {
            writeln!(out, "{}", shortened(&line?))?;
        }
    }
    writeln!(out, "\n{}", style.bold("source of the conversation"))?;
    writeln!(
        out,
        "derived from the data of jkkummerfeld/irc-disentanglement (Jonathan K. Kummerfeld et al., CC BY 4.0),"
    )?;
    writeln!(out, "https://github.com/jkkummerfeld/irc-disentanglement")?;
    out.flush()
}

fn table(out: &mut dyn Write, style: Style, comparison: &Comparison) -> io::Result<()> {
    let row = |out: &mut dyn Write, msgtype: &str, name: &str, Count { sent, archived }: Count| {
        let differs = if sent == archived { "" } else { "  differs" };
        writeln!(out, "{msgtype:<4}  {name:<26}  {sent:>8}  {archived:>8}{differs}")
    };
    let heading = format!("{:<4}  {:<26}  {:>8}  {:>8}", "type", "message", "sent", "archived");
    writeln!(out, "{}", style.bold(&heading))?;
    for (msgtype, count) in &comparison.types {
        row(out, &msgtype.to_string(), name(*msgtype), *count)?;
    }
    row(out, "all", "", comparison.all)?;
    row(out, "", "attachments, by SHA-256", comparison.files)?;
    row(out, "", "bytes of attachments", comparison.file_bytes)
}

/// What people call a type of record.
fn name(msgtype: u32) -> &'static str {
    match msgtype {
        MSGTYPE_UNREADABLE => "unreadable",
        kind::TEXT => "text",
        kind::VERIFICATION => "comparison of keys",
        kind::ROOM_CREATED => "room made",
        kind::MEMBERS_MODIFIED => "members changed",
        kind::USER_LEFT => "member leaves",
        kind::ROOM_MODIFIED => "room changed",
        kind::ROOM_DELETED => "room deleted",
        kind::DELETED => "recall, deletion",
        kind::ATTRIBUTES => "star",
        kind::ATTRIBUTE_SYNC => "stars synchronised",
        kind::PINNED => "pin",
        MSGTYPE_KEY_EVENT => "bot joins, keys renewed",
        kind::FILE => "file",
        kind::CALL => "call",
        kind::LOCATION => "location",
        kind::EDIT => "edit, live location",
        kind::REACTION => "reaction",
        kind::READ_RECEIPT => "read receipt",
        _ => "unknown",
    }
}

/// Its beginning; what could command a terminal is escaped.
fn shortened(line: &str) -> String {
    let mut shown = String::new();
    for character in line.chars().take(RECORD_CHARS_SHOWN) {
        match is_deceptive(character) {
            true => shown.extend(character.escape_unicode()),
            false => shown.push(character),
        }
    }
    if line.chars().nth(RECORD_CHARS_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_record_is_cut_between_characters_and_commands_no_terminal() {
        assert_eq!(shortened("é\u{9b}2J"), "é\\u{9b}2J");
        let long = "é".repeat(RECORD_CHARS_SHOWN);
        assert_eq!(shortened(&long), long);
        assert_eq!(shortened(&format!("{long}é")), format!("{long}…"));
    }

    #[test]
    fn the_table_says_what_differs_and_is_plain_without_a_terminal() {
        let comparison = Comparison {
            types: [(1000, Count { sent: 12, archived: 11 }), (6000, Count { sent: 1, archived: 1 })].into(),
            all: Count { sent: 13, archived: 12 },
            ..Comparison::default()
        };
        let mut out = Vec::new();
        table(&mut out, Style::Plain, &comparison).unwrap();
        let expected = "\
type  message                         sent  archived
1000  text                              12        11  differs
6000  file                               1         1
all                                     13        12  differs
      attachments, by SHA-256            0         0
      bytes of attachments               0         0
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
