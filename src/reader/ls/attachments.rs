//! Attachments, as records announce them.

use serde_json::Value;

use super::Listing;
use crate::command::Error;
use crate::filter::FileFacts;
use crate::output::{Format, Sheet};
use crate::source::{BadLine, Entry};
use crate::words::local;

const COLUMNS: [&str; 11] = [
    "name",
    "bytes",
    "sha256",
    "status",
    "in_archive",
    "local_name",
    "conversation",
    "seq",
    "sender",
    "time",
    "reason",
];

pub(super) fn list(listing: &mut Listing<'_, '_>) -> Result<(), Error> {
    let (survey, format) = (listing.survey, listing.format);
    let (archive, filter) = (survey.archive(), survey.filter());
    let mut bad: Vec<BadLine> = Vec::new();
    let mut sheet = Sheet::new(&mut *listing.run.out, format, &COLUMNS)?;
    for entry in archive.entries() {
        let (place, record) = match entry? {
            Entry::Record(place, record) => (place, record),
            Entry::Bad(line) => {
                bad.push(line);
                continue;
            }
        };
        let Some(facts) = FileFacts::of(&record).filter(|_| survey.matches(&record, place)) else { continue };
        let in_archive = facts.local_name.is_some_and(|name| archive.attachment(name).is_some());
        let file = record.file();
        let status = file.and_then(|file| file.status.as_deref());
        let at = record.at(filter.clock());
        let time: Value = match format {
            Format::Table => local(at, filter.zone()).into(),
            Format::Json | Format::Jsonl | Format::Csv => at.map(|at| at.to_string()).into(),
        };
        sheet.row(&[
            facts.name.into(),
            facts.size.into(),
            facts.hash.into(),
            status.into(),
            in_archive.into(),
            facts.local_name.into(),
            record.conversation.clone().into(),
            record.seq.into(),
            record.sender.clone().into(),
            time,
            file.and_then(|file| file.reason.as_deref()).into(),
        ])?;
    }
    sheet.finish()?;
    listing.run.note_bad(archive, &bad)
}
