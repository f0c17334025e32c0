//! Records as rows of a table: the columns that `cat` and `search` share.

use std::io;

use serde_json::Value;

use crate::enrich;
use crate::filter::Survey;
use crate::membership::moment;
use crate::output::{Format, Sheet};
use crate::record::Record;
use crate::source::Place;
use crate::words::{local, words};

/// Set before the time of a record whose claimed time is far from the network's.
pub const BACKDATED: &str = "⧗";

/// For programs.
pub(crate) const COLUMNS: [&str; 19] = [
    "time",
    "local_time",
    "claimed_time",
    "conversation",
    "kind",
    "title",
    "seq",
    "type",
    "msgtype",
    "sender",
    "receiver",
    "text",
    "state",
    "could_see",
    "message_id",
    "under",
    "is_context",
    "file",
    "line",
];
/// For people.
pub(crate) const TABLE_COLUMNS: [&str; 7] = ["time", "conversation", "from", "type", "where", "seen_by", "text"];

/// The columns of a format.
pub(crate) fn columns(format: Format) -> &'static [&'static str] {
    match format {
        Format::Table => &TABLE_COLUMNS,
        Format::Json | Format::Jsonl | Format::Csv => &COLUMNS,
    }
}

/// A record and why it is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub record: &'a Record,
    pub place: Place,
    pub is_conflict: bool,
    /// The `seq` of the message that it is under.
    pub under: Option<u64>,
    /// Is it there as a neighbour only?
    pub is_context: bool,
}

/// Writes it.
pub(crate) fn write(row: Row<'_>, survey: &Survey<'_>, format: Format, sheet: &mut Sheet<'_>) -> io::Result<()> {
    let Row { record, place, is_conflict, under, is_context } = row;
    let (filter, membership, archive) = (survey.filter(), survey.membership(), survey.archive());
    let title = membership.shown_title(&record.conversation, moment(record, place));
    let at = record.at(filter.clock());
    let shown_time = local(at, filter.zone());
    let text = words(record, filter.people());
    let states = enrich::states(record, survey, is_conflict);
    let could_see = membership.could_see(record, place);
    if format == Format::Table {
        let mark = if record.is_backdated() { BACKDATED } else { "" };
        let others: Vec<&str> = states.into_iter().filter(|state| *state != "backdated").collect();
        let state = if others.is_empty() { String::new() } else { format!(" [{}]", others.join(", ")) };
        let indent = if under.is_some() { "  └ " } else { "" };
        let context = if is_context { "… " } else { "" };
        let kind = record.conversation_kind().name();
        let shown_title = if title.is_empty() { format!("{kind} {}", record.conversation) } else { title };
        return sheet.row(&[
            format!("{shown_time}{mark}").into(),
            shown_title.into(),
            record.sender.clone().into(),
            record.kind().name().into(),
            archive.shown(place).into(),
            could_see.into(),
            format!("{indent}{context}{text}{state}").into(),
        ]);
    }
    sheet.row(&[
        at.map(|at| at.to_string()).into(),
        shown_time.into(),
        record.sent.map(|at| at.to_string()).into(),
        record.conversation.clone().into(),
        record.conversation_kind().name().into(),
        title.into(),
        record.seq.into(),
        record.kind().name().into(),
        record.msgtype.into(),
        record.sender.clone().into(),
        record.receiver.clone().into(),
        text.into(),
        states.into(),
        could_see.into(),
        record.message_id.clone().into(),
        under.into(),
        is_context.into(),
        Value::from(archive.file(place).map_or("", |file| &file.name)),
        place.line.into(),
    ])
}
