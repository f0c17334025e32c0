//! Local days and times of a zone.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::FilterError;

/// Characters of `2026-06-01`.
const DATE_CHARS: usize = 10;

/// Which end of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// Included. A date is its first moment; of two moments with one local time, the earlier.
    From,
    /// Not included. A date is the first moment of the day after it; of two moments with one local time, the later.
    To,
}

/// The zone of a name.
pub fn zone(name: &str) -> Result<TimeZone, FilterError> {
    TimeZone::get(name).map_err(|source| FilterError::Zone { name: name.to_owned(), source })
}

/// The moment that a date, a local time or an RFC 3339 time means at one end of a span.
pub fn moment_of(text: &str, zone: &TimeZone, edge: Edge) -> Result<Timestamp, FilterError> {
    let wrong = || FilterError::Time { text: text.to_owned() };
    if text.len() == DATE_CHARS {
        let date: Date = text.parse().map_err(|_| wrong())?;
        let date = match edge {
            Edge::From => date,
            Edge::To => date.tomorrow().map_err(|_| wrong())?,
        };
        // the first moment: in some zones a day begins at one o'clock
        let start = date.to_zoned(zone.clone()).and_then(|midnight| midnight.start_of_day());
        return start.map(|start| start.timestamp()).map_err(|_| wrong());
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(timestamp);
    }
    let local: DateTime = text.parse().map_err(|_| wrong())?;
    let both = zone.to_ambiguous_timestamp(local);
    match edge {
        Edge::From => both.earlier(),
        Edge::To => both.later(),
    }
    .map_err(|_| wrong())
}
