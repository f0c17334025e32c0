//! JSON Lines: as archived, or with what the reader knows besides.

use std::collections::HashSet;

use retaind_reader::enrich;
use retaind_reader::source::Place;
use retaind_reader::timeline::{Item, Member, is_modifier};
use serde_json::{Value, json};

use crate::error::Error;
use crate::output::{Output, Part};
use crate::slice::Slice;
use crate::table::Format;
use crate::writer::Writer;

/// Which records of several messages (receipts of one time, stars) were written already.
#[derive(Debug, Default)]
pub(crate) struct Once(HashSet<Place>);

impl Once {
    /// Is it the first time?
    pub(crate) fn is_first(&mut self, member: &Member) -> bool {
        let may_be_twice = is_modifier(&member.record) && (member.is_ambiguous || member.record.targets().len() > 1);
        !may_be_twice || self.0.insert(member.place)
    }
}

/// One file of lines.
pub(crate) struct Lines {
    part: Part,
    format: Format,
    once: Once,
}

impl Lines {
    pub(crate) fn begin(output: &Output, format: Format) -> Result<Self, Error> {
        let name = if format == Format::Raw { "raw.jsonl" } else { "records.jsonl" };
        Ok(Self { part: output.part(name)?, format, once: Once::default() })
    }
}

impl Writer for Lines {
    fn slice(&mut self, slice: &Slice<'_>, _output: &mut Output) -> Result<(), Error> {
        for item in &slice.items {
            for member in item.members() {
                if !self.once.is_first(member) {
                    continue;
                }
                if self.format == Format::Raw {
                    self.part.put(member.record.raw.as_bytes())?;
                } else {
                    self.part.put(enriched(slice, item, member).as_bytes())?;
                }
                self.part.put(b"\n")?;
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>, output: &mut Output) -> Result<(), Error> {
        output.finish(self.part).map(drop)
    }
}

/// What became of a record, in words of one kind each.
pub(crate) fn states(item: &Item, member: &Member) -> Vec<&'static str> {
    let record = &member.record;
    let is_message = member.place == item.message.place && !is_modifier(record);
    let is_unreadable =
        matches!(record.body, retaind_reader::record::Body::Unreadable(_) | retaind_reader::record::Body::Hole { .. });
    [
        (is_message && item.versions().len() > 1, "edited"),
        (is_message && item.recall().is_some(), "recalled"),
        (is_message && !item.reactions().is_empty(), "reacted"),
        (record.file().is_some_and(|file| !file.is_saved()), "missing"),
        (is_unreadable, "unreadable"),
        (record.is_backdated(), "backdated"),
        (member.is_conflict, "conflict"),
        (member.is_ambiguous, "ambiguous"),
        (item.is_outside && is_modifier(record), "target-outside"),
        (!member.is_wanted, "with-its-message"),
    ]
    .into_iter()
    .filter_map(|(is, state)| is.then_some(state))
    .collect()
}

fn enriched(slice: &Slice<'_>, item: &Item, member: &Member) -> String {
    let mut fields = enrich::fields(&member.record, member.place, slice.context.survey, member.is_conflict);
    for (name, value) in &mut fields {
        if *name == "_state" {
            *value = Value::from(states(item, member));
        }
    }
    fields.push(("_slice", json!({"name": slice.name, "day": slice.day.map(|day| day.to_string())})));
    enrich::with_fields(&member.record.raw, &fields)
}
