//! Relativity Short Message Format 2.0: a mail whose one attachment, `rsmf.zip`, has the events as JSON and the files.
//!
//! The archive is stored without compression and with one date, so that its bytes depend on its content alone.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, Write as _};

use retaind_reader::filter::content_type;
use retaind_reader::record::{Body, Change, Kind};
use retaind_reader::source::unnamed;
use retaind_reader::words;
use serde_json::{Map, Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::attachment::{Attachment, Content, Names};
use crate::eml::{Lines, encoded, file_name, head, slice_id, text_part};
use crate::error::Error;
use crate::output::{Output, Part};
use crate::slice::{Entry, Slice};
use crate::table::{Format, is_joined};
use crate::transcript;
use crate::writer::Writer;

/// Version of the format.
const VERSION: &str = "2.0.0";
const MANIFEST: &str = "rsmf_manifest.json";
const COPY_BYTES: usize = 1 << 16;
/// What viewers show in place: ending, and the type that the content must have.
const INLINE: [(&str, &str); 4] = [(".png", "png"), (".jpg", "jpeg"), (".jpeg", "jpeg"), (".gif", "gif")];

/// A file of each slice.
#[derive(Debug)]
pub(crate) struct ShortMessages;

/// The events of a slice, and the files that they name.
#[derive(Debug, Default)]
struct Events<'s> {
    events: Vec<Value>,
    files: Vec<(String, &'s Attachment)>,
    ids: Names,
    names: Names,
    /// Who said that they leave: the removal that follows is no second leave.
    left: BTreeSet<&'s str>,
}

/// Properties for which the format has no field.
#[derive(Debug, Default)]
struct Custom(Vec<Value>);

impl Custom {
    /// Names and values are non-empty.
    fn add(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.0.push(json!({"name": name, "value": value}));
        }
    }
}

/// A name that viewers show as a picture only if it is one.
fn display(file: &Attachment) -> String {
    let name = if file.original.is_empty() { "unnamed".to_owned() } else { file.original.clone() };
    if file.reason().is_some() {
        return format!("{name}.missing.txt");
    }
    let Content::File(path) = &file.content else { return name };
    let lower = name.to_lowercase();
    let picture = INLINE.iter().find(|(ending, _)| lower.ends_with(ending));
    match picture {
        Some((_, kind)) if content_type(path) != Some(*kind) => format!("{name}.bin"),
        Some(_) | None => name,
    }
}

impl<'s> Events<'s> {
    fn entry(&mut self, slice: &'s Slice<'_>, entry: &Entry<'s>) {
        let record = &entry.member.record;
        if is_joined(record) {
            // the participants have it
            return;
        }
        let mut others: Vec<(&str, &'s str)> = Vec::new();
        if let Body::Members { added, removed } = &record.body {
            others.extend(added.iter().map(|user| ("join", user.as_str())));
            let removed = removed.iter().map(String::as_str).filter(|user| !self.left.contains(user));
            others.extend(removed.map(|user| ("leave", user)));
        } else if let Body::Left(users) = &record.body {
            others.extend(users.iter().map(|user| ("leave", user.as_str())));
            self.left.extend(users.iter().map(String::as_str));
        }
        if others.is_empty() {
            let event = self.event(slice, entry);
            self.events.push(event);
        }
        for (kind, user) in others {
            let mut event = self.base(slice, entry, kind, user);
            let mut custom = Custom::default();
            custom.add("by", &record.sender);
            event.insert("custom".to_owned(), Value::from(custom.0));
            event.retain(|name, value| name != "custom" || value.as_array().is_some_and(|list| !list.is_empty()));
            self.events.push(Value::from(event));
        }
    }

    /// What every event has.
    fn base(&mut self, slice: &Slice<'_>, entry: &Entry<'_>, kind: &str, user: &str) -> Map<String, Value> {
        let record = entry.record();
        let place = entry.member.place;
        let id = if record.message_id.is_empty() {
            format!("line-{}-{}", place.file, place.line)
        } else {
            record.message_id.clone()
        };
        let mut event = Map::new();
        event.insert("type".to_owned(), kind.into());
        event.insert("id".to_owned(), self.ids.unique(&id).into());
        event.insert("conversation".to_owned(), slice.conversation.clone().into());
        if !user.is_empty() {
            event.insert("participant".to_owned(), user.into());
        }
        if let Some(at) = slice.context.at(record) {
            event.insert("timestamp".to_owned(), at.to_string().into());
        }
        if let Some(custodian) = &slice.context.custodian {
            let direction = if *custodian == record.sender { "outgoing" } else { "incoming" };
            event.insert("direction".to_owned(), direction.into());
        }
        event
    }

    fn event(&mut self, slice: &'s Slice<'_>, entry: &Entry<'s>) -> Value {
        let (context, record) = (slice.context, &entry.member.record);
        let kind = match transcript::Tone::of(record) {
            transcript::Tone::Message => "message",
            transcript::Tone::Warning => "disclaimer",
            transcript::Tone::Note => "unknown",
        };
        let mut event = self.base(slice, entry, kind, &record.sender);
        let mut custom = Custom::default();
        let versions = entry.item.map(|item| item.versions()).unwrap_or_default();
        let body = match (record.kind(), versions.last()) {
            (_, Some(last)) => last.text.to_owned(),
            (Kind::File, None) => String::new(),
            (_, None) => transcript::said(context, entry),
        };
        event.insert("body".to_owned(), body.into());
        let time = |member: &retaind_reader::timeline::Member| context.at(&member.record).map(|at| at.to_string());
        let mut edits = Vec::new();
        for pair in versions.windows(2) {
            let [before, after] = pair else { continue };
            edits.push(json!({"participant": after.of.record.sender, "timestamp": time(after.of).unwrap_or_default(),
                "previous": before.text, "new": after.text}));
        }
        let reactions = entry.item.map(|item| item.reactions()).unwrap_or_default();
        let reactions: Vec<Value> = reactions
            .iter()
            .map(|one| json!({"value": one.reaction, "count": one.users.len(), "participants": one.users}))
            .collect();
        let mut receipts = Vec::new();
        for member in &entry.modifiers {
            let (sender, words) = (&member.record.sender, words::words(&member.record, &context.people));
            let by = format!("{sender} {}", time(member).unwrap_or_default());
            let body = &member.record.body;
            if let Body::Read { read_at, .. } = body {
                let at = read_at.map(|at| at.to_string()).or_else(|| time(member)).unwrap_or_default();
                receipts.push(json!({"participant": sender, "timestamp": at, "action": "read"}));
            } else if let Body::Reaction { reaction, change, .. } = body {
                if *change == Change::Removed {
                    custom.add("reaction removed", &format!("{reaction} {by}"));
                }
            } else if member.record.kind() == Kind::Recall {
                event.insert("deleted".to_owned(), true.into());
                custom.add("recalled by", sender);
                custom.add("recalled at", &time(member).unwrap_or_default());
            } else if !versions.iter().any(|version| version.of.place == member.place) || edits.is_empty() {
                custom.add(member.record.kind().name(), &format!("{words} {by}"));
            }
            if member.is_ambiguous {
                custom.add("ambiguous", &member.record.message_id);
            }
        }
        for (name, list) in [("edits", edits), ("reactions", reactions), ("read_receipts", receipts)] {
            if !list.is_empty() {
                event.insert(name.to_owned(), list.into());
            }
        }
        if let Body::Text(text) = &record.body {
            text.links.iter().for_each(|link| custom.add("link", link));
        }
        if let Body::Location(at) = &record.body {
            custom.add("link", &format!("geo:{},{}", at.latitude, at.longitude));
        }
        custom.add("burn on read", &record.bor.as_ref().map(|bor| bor.text()).unwrap_or_default());
        custom.add("expires", &record.ttl.as_ref().map(|ttl| ttl.text()).unwrap_or_default());
        custom.add("target outside", if entry.is_outside { "yes" } else { "" });
        custom.add("conflict", if entry.member.is_conflict { "yes" } else { "" });
        custom.add("record type", if kind == "unknown" { record.kind().name() } else { "" });
        let mut attachments = Vec::new();
        for file in slice.attachments(entry.member) {
            let name = self.names.unique(&file.safe_name());
            attachments.push(json!({"id": name, "display": display(file), "size": file.bytes}));
            custom.add("sha256", &file.sha256);
            custom.add("missing", file.reason().unwrap_or_default());
            self.files.push((name, file));
        }
        if !attachments.is_empty() {
            event.insert("attachments".to_owned(), attachments.into());
        }
        if !custom.0.is_empty() {
            event.insert("custom".to_owned(), custom.0.into());
        }
        Value::from(event)
    }
}

/// `rsmf_manifest.json`.
fn manifest(slice: &Slice<'_>, events: Vec<Value>) -> Value {
    let people = slice.participants.iter().filter(|one| !one.user.is_empty());
    let participants: Vec<Value> = people
        .clone()
        .map(|one| {
            let mut participant = json!({"id": one.user, "display": one.display, "email": one.address});
            if one.is_guest
                && let Some(fields) = participant.as_object_mut()
            {
                fields.insert("custom".to_owned(), json!([{"name": "guest", "value": "yes"}]));
            }
            participant
        })
        .collect();
    let at_start: Vec<&str> = people.clone().filter(|one| one.at_start).map(|one| one.user.as_str()).collect();
    let all: Vec<&str> = people.map(|one| one.user.as_str()).collect();
    let is_direct = slice.kind() == retaind_reader::record::ConversationKind::Direct;
    let mut conversation = json!({"id": slice.conversation, "platform": "retaind", "display": slice.title,
        "participants": if at_start.is_empty() { &all } else { &at_start }, "type": if is_direct { "direct" } else { "channel" }});
    let custodian = slice.context.custodian.as_ref().filter(|custodian| at_start.contains(&custodian.as_str()));
    if let Some((custodian, fields)) = custodian.zip(conversation.as_object_mut()) {
        fields.insert("custodian".to_owned(), custodian.clone().into());
    }
    json!({"version": VERSION, "participants": participants, "conversations": [conversation], "events": events,
        "eventcollectionid": slice.conversation})
}

/// The archive, in a file without a name.
fn container(slice: &Slice<'_>, events: Vec<Value>, files: &[(String, &Attachment)]) -> Result<File, Error> {
    let work = slice.context.survey.archive().work();
    let failed = |source: io::Error| Error::write(&work)(source);
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default())
        .unix_permissions(0o600);
    let mut zip = ZipWriter::new(BufWriter::new(unnamed(&work).map_err(failed)?));
    let zipped = |result: Result<(), zip::result::ZipError>| result.map_err(io::Error::other).map_err(failed);
    zipped(zip.start_file(MANIFEST, options))?;
    serde_json::to_writer(&mut zip, &manifest(slice, events)).map_err(io::Error::from).map_err(failed)?;
    for (name, file) in files {
        zipped(zip.start_file(name.as_str(), options.large_file(file.bytes >= u64::from(u32::MAX))))?;
        file.read(|bytes| zip.write_all(bytes).map_err(failed))?;
    }
    let buffered = zip.finish().map_err(io::Error::other).map_err(failed)?;
    let mut file = buffered.into_inner().map_err(io::IntoInnerError::into_error).map_err(failed)?;
    file.rewind().map_err(failed)?;
    Ok(file)
}

fn headers(slice: &Slice<'_>, events: &[Value], files: usize) -> String {
    let times = || events.iter().filter_map(|event| event.get("timestamp").and_then(Value::as_str));
    // the earliest and the latest: text of one form and zone sorts as time does, but for fractions
    let (first, last) = slice.span().map(|(first, last)| (first.to_string(), last.to_string())).unwrap_or_default();
    let people: Vec<&str> =
        slice.participants.iter().filter(|one| !one.user.is_empty()).map(|one| one.address.as_str()).collect();
    let mut lines = vec![
        format!("X-RSMF-Version: {VERSION}"),
        format!("X-RSMF-Generator: retaind {}", env!("CARGO_PKG_VERSION")),
        format!("X-RSMF-EventCount: {}", events.len()),
        "X-RSMF-Application: retaind".to_owned(),
        format!("X-RSMF-Participants: {}", people.join(",\r\n ")),
        format!("X-RSMF-AttachmentCount: {files}"),
        format!("X-RSMF-EventCollectionID: {}", encoded(&slice.conversation)),
    ];
    if times().next().is_some() {
        lines.push(format!("X-RSMF-BeginDate: {first}"));
        lines.push(format!("X-RSMF-EndDate: {last}"));
    }
    lines.extend(slice.context.custodian.iter().map(|custodian| format!("X-RSMF-Custodian: {}", encoded(custodian))));
    lines.join("\r\n")
}

fn base64(mut file: File, part: &mut Part) -> Result<(), Error> {
    let (mut lines, mut buffer) = (Lines::default(), vec![0; COPY_BYTES]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break lines.end(part),
            Ok(count) => lines.add(buffer.get(..count).unwrap_or_default(), part)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(Error::Read { path: "rsmf.zip".to_owned(), source }),
        }
    }
}

impl Writer for ShortMessages {
    fn slice(&mut self, slice: &Slice<'_>, output: &mut Output) -> Result<(), Error> {
        let selection = slice.select(Format::Rsmf);
        let mut events = Events { names: Names::default(), ..Events::default() };
        events.names.unique(MANIFEST);
        for entry in &selection.entries {
            events.entry(slice, entry);
        }
        let Events { events, files, .. } = events;
        let boundary = slice_id(slice, "rsmf-mixed");
        let mut part = output.part(&format!("rsmf/{}.rsmf", slice.name))?;
        let own = format!(
            "{}\r\nContent-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n",
            headers(slice, &events, files.len())
        );
        part.put(head(slice, "rsmf").as_bytes())?;
        part.put(own.as_bytes())?;
        text_part(&mut part, &boundary, "plain", &transcript::text(slice, Format::Rsmf))?;
        let zip = container(slice, events, &files)?;
        let attachment = format!(
            "--{boundary}\r\nContent-Type: application/zip{}\r\nContent-Transfer-Encoding: base64\r\n\
            Content-Disposition: attachment; filename=\"rsmf.zip\"\r\n\r\n",
            file_name("name", "rsmf.zip")
        );
        part.put(attachment.as_bytes())?;
        base64(zip, &mut part)?;
        part.put(format!("--{boundary}--\r\n").as_bytes())?;
        output.finish(part).map(drop)
    }

    fn finish(self: Box<Self>, _output: &mut Output) -> Result<(), Error> {
        Ok(())
    }
}
