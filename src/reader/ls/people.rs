//! People, by the records that they sent.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Listing;
use crate::command::Error;
use crate::output::{Format, Sheet};
use crate::record::Kind;
use crate::words::local;

#[derive(Debug, Default)]
struct Person {
    records: u64,
    types: BTreeMap<Kind, u64>,
    conversations: BTreeSet<u32>,
    is_guest: bool,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

const COLUMNS: [&str; 8] = ["user", "display", "guest", "first", "last", "records", "conversations", "types"];

pub(super) fn list(listing: &mut Listing<'_, '_>) -> Result<(), Error> {
    let filter = listing.survey.filter();
    let mut people: BTreeMap<String, Person> = BTreeMap::new();
    let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
    listing.each(|_, record| {
        // what the network itself sent is nobody's
        if record.sender.is_empty() {
            return;
        }
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        let number = *numbers.entry(record.conversation.clone()).or_insert(next);
        let person = people.entry(record.sender.clone()).or_default();
        person.records = person.records.saturating_add(1);
        let of_type = person.types.entry(record.kind()).or_default();
        *of_type = of_type.saturating_add(1);
        person.conversations.insert(number);
        person.is_guest |= record.is_guest();
        let at = record.at(filter.clock());
        person.first = at.into_iter().chain(person.first).min();
        person.last = at.into_iter().chain(person.last).max();
    })?;
    let format = listing.format;
    let mut sheet = Sheet::new(&mut *listing.run.out, format, &COLUMNS)?;
    for (user, person) in &people {
        let shown = |at: Option<Timestamp>| match format {
            Format::Table => Value::from(local(at, filter.zone())),
            Format::Json | Format::Jsonl | Format::Csv => at.map(|at| at.to_string()).into(),
        };
        let types: serde_json::Map<String, Value> =
            person.types.iter().map(|(kind, count)| (kind.name().to_owned(), json!(count))).collect();
        sheet.row(&[
            user.clone().into(),
            filter.people().display(user).into(),
            person.is_guest.into(),
            shown(person.first),
            shown(person.last),
            person.records.into(),
            person.conversations.len().into(),
            types.into(),
        ])?;
    }
    Ok(sheet.finish()?)
}
