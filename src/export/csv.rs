//! One table for spreadsheets and programs: RFC 4180, CRLF, UTF-8 with a byte order mark, every cell quoted.
//!
//! A cell that a spreadsheet would take for a formula gets an apostrophe, and its row says so in the column `guarded`.

use jiff::Timestamp;
use retaind_reader::filter::FileFacts;
use retaind_reader::record::{Body, Change, Scalar};
use retaind_reader::timeline::{Item, Member};
use retaind_reader::words;

use crate::error::Error;
use crate::jsonl::{Once, states};
use crate::output::{Output, Part};
use crate::slice::Slice;
use crate::writer::Writer;

/// What begins a formula.
const FORMULA: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\n'];

/// The columns, in order.
const COLUMNS: [&str; 40] = [
    "accepted_utc",
    "received_utc",
    "sent_claimed_utc",
    "local_time",
    "conversation_id",
    "kind",
    "title",
    "seq",
    "type",
    "msgtype",
    "sender",
    "sender_display",
    "sender_type",
    "receiver",
    "participants",
    "text",
    "target_id",
    "target_text",
    "state",
    "edited_count",
    "recalled_by",
    "recalled_at",
    "reaction",
    "file_name",
    "file_size",
    "file_sha256",
    "file_path",
    "links",
    "latitude",
    "longitude",
    "call_status",
    "call_seconds",
    "bor",
    "ttl",
    "device",
    "network_id",
    "message_id",
    "source_file",
    "source_line",
    "guarded",
];

/// Whether formulas are made harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    Apostrophe,
    None,
}

/// The table.
pub(crate) struct Table {
    part: Part,
    guard: Guard,
    once: Once,
}

impl Table {
    pub(crate) fn begin(output: &Output, guard: Guard) -> Result<Self, Error> {
        let mut part = output.part("records.csv")?;
        part.put("\u{feff}".as_bytes())?;
        row(&mut part, &COLUMNS)?;
        Ok(Self { part, guard, once: Once::default() })
    }

    fn record(&mut self, slice: &Slice<'_>, item: &Item, member: &Member) -> Result<(), Error> {
        let mut cells = cells(slice, item, member);
        let mut guarded = false;
        for cell in &mut cells {
            if self.guard == Guard::Apostrophe && cell.starts_with(FORMULA) && !is_number(cell) {
                cell.insert(0, '\'');
                guarded = true;
            }
        }
        cells.push(if guarded { "1".to_owned() } else { String::new() });
        row(&mut self.part, &cells)
    }
}

/// Coordinates may be negative; a number is no formula.
fn is_number(cell: &str) -> bool {
    cell.len() < 32 && !cell.starts_with('+') && cell.parse::<f64>().is_ok_and(f64::is_finite)
}

fn row<T: AsRef<[u8]>>(part: &mut Part, cells: &[T]) -> Result<(), Error> {
    let path = part.path().to_owned();
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .quote_style(csv::QuoteStyle::Always)
        .from_writer(part);
    let done = writer.write_record(cells).map_err(std::io::Error::from).and_then(|()| writer.flush());
    done.map_err(Error::write(&path))
}

fn utc(at: Option<Timestamp>) -> String {
    at.map(|at| at.to_string()).unwrap_or_default()
}

/// All columns but the last.
fn cells(slice: &Slice<'_>, item: &Item, member: &Member) -> Vec<String> {
    let (context, record) = (slice.context, &member.record);
    let survey = context.survey;
    let is_modifier = item.modifiers.iter().any(|modifier| modifier.place == member.place);
    let is_message = member.place == item.message.place;
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let scalar = |scalar: &Option<Scalar>| scalar.as_ref().map(Scalar::text).unwrap_or_default();
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let facts = FileFacts::of(record).unwrap_or_default();
    let found = slice.attachments(member).iter().any(|file| file.reason().is_none());
    let recall = item.recall().filter(|_| is_message).map(|by| &by.record);
    let (latitude, longitude) = match &record.body {
        Body::Location(at) | Body::LiveLocation { position: Some(at), .. } => {
            (at.latitude.to_string(), at.longitude.to_string())
        }
        Body::Text(_)
        | Body::KeyVerification(_)
        | Body::Create(_)
        | Body::Members { .. }
        | Body::Left(_)
        | Body::Modify(_)
        | Body::SavedItem(..)
        | Body::DeleteRoom
        | Body::Deletion { .. }
        | Body::Stars(_)
        | Body::StarSync
        | Body::Pin(_)
        | Body::State(_)
        | Body::File(_)
        | Body::Call(_)
        | Body::Edit(_)
        | Body::LiveLocation { position: None, .. }
        | Body::Reaction { .. }
        | Body::Read { .. }
        | Body::Unreadable(_)
        | Body::Hole { .. }
        | Body::Unknown => (String::new(), String::new()),
    };
    let reaction = if let Body::Reaction { reaction, change, .. } = &record.body {
        match change {
            Change::Added => reaction.clone(),
            Change::Removed => format!("removed {reaction}"),
        }
    } else if is_message {
        let each = |of: &retaind_reader::timeline::Reaction<'_>| format!("{} {}", of.reaction, of.users.join(", "));
        item.reactions().iter().map(each).collect::<Vec<_>>().join("; ")
    } else {
        String::new()
    };
    let edit = if let Body::Edit(edit) = &record.body { Some(edit) } else { None };
    let message = if let Body::Text(text) = &record.body { Some(text) } else { None };
    let links = message.map(|text| &text.links).or(edit.map(|edit| &edit.links));
    let links = links.map(|links| links.join(" ")).unwrap_or_default();
    let call = if let Body::Call(call) = &record.body { Some(call) } else { None };
    // the text itself of texts and edits, words for the others
    let words = match edit.and_then(|edit| edit.text.clone()) {
        Some(text) => text,
        None => words::words(record, &context.people),
    };
    let target_text = if !is_modifier {
        String::new()
    } else if let Body::Text(target) = &item.message.record.body {
        target.text.clone()
    } else {
        words::words(&item.message.record, &context.people)
    };
    let target = record.targets().first().map(|target| (*target).to_owned());
    let target = target.or_else(|| is_modifier.then(|| item.message.record.message_id.clone()));
    let place = retaind_reader::membership::moment(record, member.place);
    vec![
        utc(record.accepted),
        utc(record.received),
        utc(record.sent),
        words::local(context.at(record), &context.zone),
        record.conversation.clone(),
        record.conversation_kind().name().to_owned(),
        survey.membership().shown_title(&record.conversation, place),
        number(record.seq),
        record.kind().name().to_owned(),
        record.msgtype.to_string(),
        record.sender.clone(),
        text(context.people.display(&record.sender)),
        record.sender_type.clone(),
        text(record.receiver.as_deref()),
        survey.membership().could_see(record, member.place).join("; "),
        words,
        target.unwrap_or_default(),
        target_text,
        states(item, member).join(" "),
        if is_message { item.versions().len().saturating_sub(1).to_string() } else { String::new() },
        recall.map(|by| by.sender.clone()).unwrap_or_default(),
        utc(recall.and_then(|by| context.at(by))),
        reaction,
        text(facts.name),
        number(facts.size),
        text(facts.hash),
        if found { text(facts.local_name) } else { String::new() },
        links,
        latitude,
        longitude,
        call.and_then(|call| call.status).map(|status| status.to_string()).unwrap_or_default(),
        call.and_then(|call| call.duration_secs).map(|secs| secs.to_string()).unwrap_or_default(),
        scalar(&record.bor),
        scalar(&record.ttl),
        text(record.device.as_deref()),
        text(record.network_id.as_deref()),
        record.message_id.clone(),
        survey.archive().file(member.place).map(|file| file.name.clone()).unwrap_or_default(),
        member.place.line.to_string(),
    ]
}

impl Writer for Table {
    fn slice(&mut self, slice: &Slice<'_>, _output: &mut Output) -> Result<(), Error> {
        for item in &slice.items {
            for member in item.members() {
                if self.once.is_first(member) {
                    self.record(slice, item, member)?;
                }
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>, output: &mut Output) -> Result<(), Error> {
        output.finish(self.part).map(drop)
    }
}
