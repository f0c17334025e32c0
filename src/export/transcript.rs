//! A slice in words: what HTML and the text of a mail have in common.

use jiff::Timestamp;
use retaind_core::text::shown;
use retaind_reader::record::{Body, Record};
use retaind_reader::timeline::Member;
use retaind_reader::words;

use crate::slice::{Context, Entry, Slice};
use crate::table::Format;

/// How an entry is to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// What somebody wrote or sent.
    Message,
    /// What happened.
    Note,
    /// What could not be archived.
    Warning,
}

impl Tone {
    /// Of a record.
    pub(crate) fn of(record: &Record) -> Self {
        use retaind_reader::record::Kind;
        match record.kind() {
            Kind::Text | Kind::File | Kind::Location => Self::Message,
            Kind::Unreadable | Kind::Hole => Self::Warning,
            Kind::KeyVerification
            | Kind::Create
            | Kind::Members
            | Kind::Left
            | Kind::Modify
            | Kind::SavedItem
            | Kind::DeleteRoom
            | Kind::Recall
            | Kind::Delete
            | Kind::Star
            | Kind::StarSync
            | Kind::Pin
            | Kind::State
            | Kind::Call
            | Kind::Edit
            | Kind::LiveLocation
            | Kind::Reaction
            | Kind::Read
            | Kind::Unknown => Self::Note,
        }
    }
}

/// `Alice (alice)`, or the user name alone.
pub(crate) fn who(context: &Context<'_>, record: &Record) -> String {
    let display = context.display(&record.sender);
    let guest = if record.is_guest() { " [guest]" } else { "" };
    if display == record.sender || record.sender.is_empty() {
        format!("{display}{guest}")
    } else {
        format!("{display} ({}){guest}", record.sender)
    }
}

/// A local time with its offset from UTC; of a record without one, in words.
pub(crate) fn local(context: &Context<'_>, at: Option<Timestamp>) -> String {
    if at.is_none() { "no time".to_owned() } else { words::local(at, &context.zone) }
}

/// What a record says, with what is to be known of its message where it stands alone.
pub(crate) fn said(context: &Context<'_>, entry: &Entry<'_>) -> String {
    let words = words::words(entry.record(), &context.people);
    let targets = entry.record().targets();
    if !entry.is_outside {
        return words;
    }
    match targets.first() {
        Some(target) => format!("{words} [target outside: {target}]"),
        None => format!("{words} [target outside]"),
    }
}

/// What a modifier did to its message, when and by whom.
pub(crate) fn change(context: &Context<'_>, member: &Member) -> String {
    let record = &member.record;
    let by = format!("by {} at {}", who(context, record), local(context, context.at(record)));
    let ambiguous = if member.is_ambiguous { " [or of another message of the same time]" } else { "" };
    let words = words::words(record, &context.people);
    if let Body::Edit(edit) = &record.body
        && let Some(text) = &edit.text
    {
        return format!("edited {by} to: {text}{ambiguous}");
    }
    format!("{words} {by}{ambiguous}")
}

/// Burn on read and expiry of a message.
pub(crate) fn limits(record: &Record) -> Vec<String> {
    let bor = record.bor.as_ref().map(|bor| format!("burn on read: {}", bor.text()));
    let ttl = record.ttl.as_ref().map(|ttl| format!("expires: {}", ttl.text()));
    bor.into_iter().chain(ttl).collect()
}

/// A text whose lines cannot be taken for lines of the transcript: all but the first are indented, and nothing deceives.
fn indented(text: &str, indent: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(|line| shown(line.trim_end_matches('\r')).into_owned()).collect();
    lines.join(&format!("\n{indent}"))
}

/// Title, day, participants: the head of a transcript, a line each.
pub(crate) fn head(slice: &Slice<'_>) -> Vec<(&'static str, String)> {
    let name = |one: &crate::slice::Participant| {
        let guest = if one.is_guest { " [guest]" } else { "" };
        let display = if one.display == one.user { String::new() } else { format!("{} ", one.display) };
        let joined = if one.at_start { "" } else { ", not a member at the start" };
        format!("{display}<{}>{guest}{joined}", one.user)
    };
    let people: Vec<String> = slice.participants.iter().filter(|one| !one.user.is_empty()).map(name).collect();
    let mut head = vec![
        ("Conversation", slice.title.clone()),
        ("Id", format!("{} ({})", slice.conversation, slice.kind().name())),
        ("Date", format!("{} ({})", slice.day_shown(), slice.context.zone_name)),
    ];
    if slice.parts > 1 {
        head.push(("Part", format!("{} of {}", slice.part, slice.parts)));
    }
    head.extend(slice.context.matter.iter().map(|matter| ("Matter", matter.clone())));
    head.push(("Participants", people.join("; ")));
    head
}

/// The slice as plain text.
pub(crate) fn text(slice: &Slice<'_>, format: Format) -> String {
    let context = slice.context;
    let mut text = String::new();
    for (name, value) in head(slice) {
        text.push_str(&format!("{name}: {}\n", shown(&value)));
    }
    for entry in &slice.select(format).entries {
        let record = entry.record();
        let sign = match Tone::of(record) {
            Tone::Message => ":",
            Tone::Note => " *",
            Tone::Warning => " !",
        };
        let (at, by) = (local(context, context.at(record)), who(context, record));
        text.push_str(&format!("\n[{at}] {}{sign} {}\n", shown(&by), indented(&said(context, entry), "    ")));
        for limit in limits(record) {
            text.push_str(&format!("    ({})\n", shown(&limit)));
        }
        for file in slice.attachments(entry.member) {
            let what = match file.reason() {
                Some(reason) => format!("MISSING: {reason}"),
                None => format!("{} bytes, SHA-256 {}", file.bytes, file.sha256),
            };
            text.push_str(&format!("    (file {}: {})\n", shown(&file.original), shown(&what)));
        }
        for member in &entry.modifiers {
            text.push_str(&format!("    - {}\n", indented(&change(context, member), "      ")));
        }
        if entry.member.is_conflict {
            text.push_str("    (another record has the same place in this conversation)\n");
        }
    }
    text
}
