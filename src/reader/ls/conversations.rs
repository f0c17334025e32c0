//! Conversations.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Listing;
use crate::command::Error;
use crate::membership::{Moment, moment};
use crate::output::{Format, Sheet};
use crate::record::{Body, ConversationKind};
use crate::words::local;

#[derive(Debug, Default)]
struct Conversation {
    records: u64,
    holes: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    first_seq: Option<u64>,
    last_seq: Option<u64>,
    /// The last moment: who was a member then is one now.
    end: Moment,
}

const COLUMNS: [&str; 12] = [
    "id",
    "kind",
    "title",
    "titles",
    "members",
    "records",
    "holes",
    "first",
    "last",
    "first_seq",
    "last_seq",
    "ever_members",
];
const TABLE_COLUMNS: [&str; 8] = ["id", "kind", "title", "members", "records", "holes", "first", "last"];

pub(super) fn list(listing: &mut Listing<'_, '_>) -> Result<(), Error> {
    let filter = listing.survey.filter();
    let mut conversations: BTreeMap<String, Conversation> = BTreeMap::new();
    listing.each(|place, record| {
        let conversation = conversations.entry(record.conversation.clone()).or_default();
        conversation.records = conversation.records.saturating_add(1);
        let at = record.at(filter.clock());
        conversation.first = at.into_iter().chain(conversation.first).min();
        conversation.last = at.into_iter().chain(conversation.last).max();
        conversation.first_seq = record.seq.into_iter().chain(conversation.first_seq).min();
        conversation.last_seq = record.seq.into_iter().chain(conversation.last_seq).max();
        conversation.end = conversation.end.max(moment(record, place));
        if let Body::Hole { .. } = record.body {
            conversation.holes = conversation.holes.saturating_add(1);
        }
    })?;
    let membership = listing.survey.membership();
    let format = listing.format;
    let columns: &[&str] = if format == Format::Table { &TABLE_COLUMNS } else { &COLUMNS };
    let mut sheet = Sheet::new(&mut *listing.run.out, format, columns)?;
    for (id, conversation) in &conversations {
        let kind = ConversationKind::of(id).name();
        // of whoever is removed by the last record itself, it is not now
        let now = conversation.end.saturating_add(1);
        let title = membership.shown_title(id, now);
        let members = membership.members(id, now);
        let (records, holes) = (conversation.records, conversation.holes);
        if format == Format::Table {
            sheet.row(&[
                id.clone().into(),
                kind.into(),
                title.into(),
                members.len().into(),
                records.into(),
                holes.into(),
                local(conversation.first, filter.zone()).into(),
                local(conversation.last, filter.zone()).into(),
            ])?;
            continue;
        }
        let titles: Vec<Value> =
            membership.titles(id).iter().map(|(from, title)| json!({"from_seq": from, "title": title})).collect();
        sheet.row(&[
            id.clone().into(),
            kind.into(),
            title.into(),
            titles.into(),
            members.into(),
            records.into(),
            holes.into(),
            conversation.first.map(|at| at.to_string()).into(),
            conversation.last.map(|at| at.to_string()).into(),
            conversation.first_seq.into(),
            conversation.last_seq.into(),
            membership.ever(id).into(),
        ])?;
    }
    Ok(sheet.finish()?)
}
