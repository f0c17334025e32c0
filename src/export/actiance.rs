//! XML in the shape of the public samples of Actiance's (Smarsh Vantage's) format, with the files beside it.
//!
//! The specification is not public: the shape of the samples is promised, and no more. Times are milliseconds since 1970.
//! Characters that XML 1.0 has no place for become U+FFFD.

use std::collections::BTreeSet;

use jiff::Timestamp;
use retaind_reader::record::{Body, Kind, Record};
use retaind_reader::timeline::Member;
use retaind_reader::words;

use crate::error::Error;
use crate::output::Output;
use crate::slice::{Entry, Participant, Slice};
use crate::table::{Format, is_joined};
use crate::transcript::{Tone, said};
use crate::writer::Writer;

/// A document of each slice.
#[derive(Debug)]
pub(crate) struct Dumps;

/// The text of an element or an attribute.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            // a parser would make a line feed of it
            '\r' => safe.push_str("&#13;"),
            '\n' | '\t' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => safe.push(c),
            _ => safe.push('\u{fffd}'),
        }
    }
    safe
}

/// A document while it is written.
#[derive(Debug, Default)]
struct Document {
    xml: String,
    present: BTreeSet<String>,
    files: usize,
}

impl Document {
    /// An element of elements that have text.
    fn element(&mut self, name: &str, fields: &[(&str, &str)]) {
        self.xml.push_str(&format!("<{name}>"));
        for (field, text) in fields {
            self.xml.push_str(&format!("<{field}>{}</{field}>", escaped(text)));
        }
        self.xml.push_str(&format!("</{name}>\n"));
    }

    fn text(&mut self, name: &str, text: &str) {
        self.xml.push_str(&format!("<{name}>{}</{name}>\n", escaped(text)));
    }

    fn entered(&mut self, slice: &Slice<'_>, user: &str, at: &str) {
        if user.is_empty() || !self.present.insert(user.to_owned()) {
            return;
        }
        let login = login(slice, user);
        let kind = if slice.participant(user).is_some_and(|one| one.is_guest) { "guest" } else { "user" };
        let fields =
            [("LoginName", login.as_str()), ("UserType", kind), ("DateTimeUTC", at), ("CorporateEmailID", &login)];
        self.element("ParticipantEntered", &fields);
    }

    fn left(&mut self, slice: &Slice<'_>, user: &str, at: &str) {
        if self.present.remove(user) {
            let login = login(slice, user);
            let fields = [("LoginName", login.as_str()), ("DateTimeUTC", at), ("CorporateEmailID", &login)];
            self.element("ParticipantLeft", &fields);
        }
    }

    fn message(&mut self, slice: &Slice<'_>, record: &Record, content: &str, updates: &[(&str, &str)]) {
        let (login, at) = (login(slice, &record.sender), millis(slice.context.at(record)));
        let mut fields = vec![
            ("MessageId", record.message_id.as_str()),
            ("LoginName", login.as_str()),
            ("DateTimeUTC", at.as_str()),
            ("Content", content),
        ];
        fields.extend(updates);
        self.element("Message", &fields);
    }

    fn entry(&mut self, slice: &Slice<'_>, entry: &Entry<'_>) {
        let (context, record) = (slice.context, entry.record());
        let at = millis(context.at(record));
        if is_joined(record) {
            if let Body::State(state) = &record.body {
                state.members.iter().for_each(|user| self.entered(slice, user, &at));
            }
            return;
        }
        if let Body::Members { added, removed } = &record.body {
            added.iter().for_each(|user| self.entered(slice, user, &at));
            removed.iter().for_each(|user| self.left(slice, user, &at));
        } else if let Body::Left(users) = &record.body {
            users.iter().for_each(|user| self.left(slice, user, &at));
        }
        let edits: Vec<&Member> =
            entry.modifiers.iter().copied().filter(|member| member.record.kind() == Kind::Edit).collect();
        let recall = entry.modifiers.iter().find(|member| member.record.kind() == Kind::Recall);
        let (mut updates, changed) = (Vec::new(), recall.copied().or(edits.last().copied()));
        let changed_at = millis(changed.and_then(|member| context.at(&member.record)));
        if recall.is_some() {
            updates.push(("UpdatedType", "Deleted"));
        } else if !edits.is_empty() {
            updates.push(("UpdatedType", "EditedOriginalMsg"));
        }
        if let Some(edit) = edits.last() {
            updates.push(("EditedNewMsgId", edit.record.message_id.as_str()));
        }
        if changed.is_some() {
            updates.push(("UpdatedDateTimeUTC", changed_at.as_str()));
        }
        if record.kind() != Kind::File {
            let words = said(context, entry);
            let content = match Tone::of(record) {
                Tone::Message if record.kind() == Kind::Text => words,
                // their words begin with their own sign
                Tone::Warning => words,
                Tone::Message | Tone::Note => format!("[{}] {words}", record.kind()),
            };
            self.message(slice, record, &content, &updates);
        }
        for file in slice.attachments(entry.member) {
            self.files = self.files.saturating_add(1);
            let name = format!("files/{}", file_name(slice, self.files));
            let login = login(slice, &record.sender);
            let common = [
                ("MessageId", record.message_id.as_str()),
                ("LoginName", login.as_str()),
                ("DateTimeUTC", at.as_str()),
                ("UserFileName", file.original.as_str()),
                ("FileName", name.as_str()),
            ];
            self.element("FileTransferStarted", &common);
            let mut ended = common.to_vec();
            ended.push(("Status", if file.reason().is_some() { "Failed" } else { "Completed" }));
            self.element("FileTransferEnded", &ended);
        }
        if record.kind() == Kind::File && recall.is_some() {
            self.message(slice, record, "[file]", &updates);
        }
        for member in &entry.modifiers {
            let (of, at) = (&member.record, millis(context.at(&member.record)));
            match (of.kind(), &of.body) {
                (Kind::Recall, _) => {}
                (_, Body::Edit(edit)) => {
                    let text = edit.text.clone().unwrap_or_else(|| words::words(of, &context.people));
                    self.message(slice, of, &text, &[("UpdatedType", "EditedNewMsg"), ("UpdatedDateTimeUTC", &at)]);
                }
                (kind, _) => {
                    let words = format!("[{kind}] {} to {}", words::words(of, &context.people), record.message_id);
                    self.message(slice, of, &words, &[]);
                }
            }
        }
    }
}

fn login(slice: &Slice<'_>, user: &str) -> String {
    let known = slice.participant(user).map(|one: &Participant| one.address.clone());
    known.unwrap_or_else(|| crate::slice::address(&slice.context.people, user, &slice.network))
}

fn millis(at: Option<Timestamp>) -> String {
    at.map(|at| at.as_millisecond().to_string()).unwrap_or_default()
}

fn file_name(slice: &Slice<'_>, number: usize) -> String {
    format!("{}_{number:04}", slice.name)
}

impl Writer for Dumps {
    fn slice(&mut self, slice: &Slice<'_>, output: &mut Output) -> Result<(), Error> {
        let span = slice.span();
        let (start, end) = (millis(span.map(|(first, _)| first)), millis(span.map(|(_, last)| last)));
        let mut document = Document::default();
        document.text("RoomID", &format!("{} - {}", slice.kind().name(), slice.conversation));
        document.text("StartTimeUTC", &start);
        for one in slice.participants.iter().filter(|one| one.at_start) {
            document.entered(slice, &one.user, &start);
        }
        let selection = slice.select(Format::Actiance);
        for entry in &selection.entries {
            document.entry(slice, entry);
        }
        for user in document.present.clone() {
            document.left(slice, &user, &end);
        }
        document.text("EndTimeUTC", &end);
        let mut part = output.part(&format!("actiance/{}.xml", slice.name))?;
        let head = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<FileDump>\n<Conversation Perspective=\"{}\">\n",
            escaped(&slice.title)
        );
        part.put(head.as_bytes())?;
        part.put(document.xml.as_bytes())?;
        part.put(b"</Conversation>\n</FileDump>\n")?;
        output.finish(part)?;
        let files = selection.entries.iter().flat_map(|entry| slice.attachments(entry.member));
        for (at, file) in files.enumerate() {
            let mut part = output.part(&format!("actiance/files/{}", file_name(slice, at.saturating_add(1))))?;
            file.read(|bytes| part.put(bytes))?;
            output.finish(part)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>, _output: &mut Output) -> Result<(), Error> {
        Ok(())
    }
}
