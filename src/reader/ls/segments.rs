//! Message files.

use jiff::Timestamp;

use super::Listing;
use crate::command::Error;
use crate::output::{Format, Sheet};
use crate::source::Sealing;
use crate::words::local;

#[derive(Debug, Clone, Copy, Default)]
struct Segment {
    records: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

const COLUMNS: [&str; 7] = ["name", "state", "number", "first", "last", "records", "bytes"];

pub(super) fn list(listing: &mut Listing<'_, '_>) -> Result<(), Error> {
    let filter = listing.survey.filter();
    let files = listing.survey.archive().files();
    let mut segments = vec![Segment::default(); files.len()];
    listing.each(|place, record| {
        let index = usize::try_from(place.file).unwrap_or(usize::MAX);
        let Some(segment) = segments.get_mut(index) else { return };
        segment.records = segment.records.saturating_add(1);
        let at = record.at(filter.clock());
        segment.first = at.into_iter().chain(segment.first).min();
        segment.last = at.into_iter().chain(segment.last).max();
    })?;
    let format = listing.format;
    let mut sheet = Sheet::new(&mut *listing.run.out, format, &COLUMNS)?;
    for (file, segment) in files.iter().zip(&segments) {
        // with a filter, files without any such record are not of interest
        if segment.records == 0 && !filter.is_empty() {
            continue;
        }
        let (state, number) = match file.sealing {
            Sealing::Sealed { number, .. } => ("sealed", Some(number)),
            Sealing::Recovered { number } => ("recovered", Some(number)),
            Sealing::Open => ("open", None),
        };
        let shown = |at: Option<Timestamp>| match format {
            Format::Table => local(at, filter.zone()).into(),
            Format::Json | Format::Jsonl | Format::Csv => at.map(|at| at.to_string()).into(),
        };
        sheet.row(&[
            file.name.clone().into(),
            state.into(),
            number.into(),
            shown(segment.first),
            shown(segment.last),
            segment.records.into(),
            file.bytes.into(),
        ])?;
    }
    Ok(sheet.finish()?)
}
