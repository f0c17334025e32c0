//! The account of an export: each record that the filter wants is written or excluded, in each format.
//!
//! What is wanted is counted by a pass of its own over the archive, which shares nothing with the timeline that the writers are
//! fed from. What the writers did is noted record by record. Both are sorted by place and compared at the end, so memory stays
//! flat, and a record that was lost between the two is named.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{Context, SHA256};
use retaind_reader::filter::Survey;
use retaind_reader::membership::moment;
use retaind_reader::record::{KINDS, Kind, Record};
use retaind_reader::sort::{Sorted, Sorter};
use retaind_reader::source::{BadLine, Entry, Place};

use crate::error::Error;
use crate::table::{Format, REASONS, Reason};

const HASH_BYTES: usize = 16;
/// File and line.
const PLACE_BYTES: usize = 12;
const WANTED_BYTES: usize = HASH_BYTES + PLACE_BYTES + 1;
const EXPECTED_BYTES: usize = PLACE_BYTES + 2;
const DONE_BYTES: usize = PLACE_BYTES + 3;
/// Of a record that is in the format.
const WRITTEN: u8 = u8::MAX;

fn place_key(place: Place) -> [u8; PLACE_BYTES] {
    join(&[&place.file.to_be_bytes(), &place.line.to_be_bytes()])
}

fn join<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut key = [0; N];
    key.iter_mut().zip(parts.iter().copied().flatten()).for_each(|(to, byte)| *to = *byte);
    key
}

/// A number of one byte for each kind.
fn kind_key(kind: Kind) -> u8 {
    let at = KINDS.iter().position(|(known, ..)| *known == kind).unwrap_or(KINDS.len());
    u8::try_from(at).unwrap_or(u8::MAX)
}

fn kind_name(key: u8) -> &'static str {
    KINDS.get(usize::from(key)).map_or("unknown", |(_, name, _)| name)
}

/// What the filter wants.
#[derive(Debug)]
pub(crate) struct Wanted {
    expected: Sorted<EXPECTED_BYTES>,
    pub bad: Vec<BadLine>,
}

impl Wanted {
    /// Reads the archive once.
    pub(crate) fn of(survey: &Survey<'_>) -> Result<Self, Error> {
        let archive = survey.archive();
        let (mut lines, mut bad) = (Sorter::<WANTED_BYTES>::new(archive.work()), Vec::new());
        for entry in archive.entries() {
            match entry? {
                Entry::Bad(line) => bad.push(line),
                Entry::Record(place, record) if survey.matches(&record, place) => {
                    let kind = kind_key(record.kind());
                    lines.push(join(&[&identity(&record, place), &place_key(place), &[kind]]))?;
                }
                Entry::Record(..) => {}
            }
        }
        let (mut lines, mut expected) = (lines.finish()?, Sorter::new(archive.work()));
        let mut before: Option<Vec<u8>> = None;
        while let Some(key) = lines.next_key()? {
            let (hash, rest) = key.split_at(HASH_BYTES);
            let is_doubled = before.as_deref() == Some(hash);
            before = Some(hash.to_vec());
            expected.push(join(&[rest, &[u8::from(is_doubled)]]))?;
        }
        Ok(Self { expected: expected.finish()?, bad })
    }
}

/// Equal for records that are one: byte-equal ones with one place in their conversation.
fn identity(record: &Record, place: Place) -> [u8; HASH_BYTES] {
    let mut hash = Context::new(&SHA256);
    hash.update(&moment(record, place).to_be_bytes());
    hash.update(record.raw.as_bytes());
    join(&[hash.finish().as_ref()])
}

/// Counts of one type in one format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Count {
    /// Wanted by the query.
    pub r#in: u64,
    /// Written.
    pub out: u64,
    /// Listed with a reason.
    pub excluded: u64,
    /// Not wanted by the query, written with the message that they change.
    pub with_their_message: u64,
}

/// By format and type.
pub(crate) type Counts = BTreeMap<&'static str, BTreeMap<&'static str, Count>>;

/// A record that is not in a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exclusion {
    pub place: Place,
    pub kind: &'static str,
    pub format: Format,
    pub reason: Reason,
}

/// What the writers did.
#[derive(Debug)]
pub(crate) struct Ledger {
    done: Sorter<DONE_BYTES>,
    formats: Vec<Format>,
}

impl Ledger {
    pub(crate) fn new(work: std::path::PathBuf, formats: &[Format]) -> Self {
        Self { done: Sorter::new(work), formats: formats.to_vec() }
    }

    fn note(&mut self, format: Format, place: Place, kind: Kind, result: u8) -> Result<(), Error> {
        let at = self.formats.iter().position(|known| *known == format).unwrap_or_default();
        let format = u8::try_from(at).unwrap_or(u8::MAX);
        Ok(self.done.push(join(&[&place_key(place), &[format, result, kind_key(kind)]]))?)
    }

    /// A record is in the format.
    pub(crate) fn wrote(&mut self, format: Format, place: Place, kind: Kind) -> Result<(), Error> {
        self.note(format, place, kind, WRITTEN)
    }

    /// A record is not.
    pub(crate) fn excluded(&mut self, format: Format, place: Place, kind: Kind, reason: Reason) -> Result<(), Error> {
        let at = REASONS.iter().position(|(known, _)| *known == reason).unwrap_or_default();
        self.note(format, place, kind, u8::try_from(at).unwrap_or_default())
    }

    /// Compares both. `exclusion` gets each record that is not in a format, in the order of places. Fails if a record is neither.
    pub(crate) fn settle(
        self,
        wanted: Wanted,
        shown: impl Fn(Place) -> String,
        mut exclusion: impl FnMut(Exclusion) -> Result<(), Error>,
    ) -> Result<Counts, Error> {
        let Self { done, formats } = self;
        let (mut done, mut expected) = (done.finish()?, wanted.expected);
        let mut counts: Counts = formats.iter().map(|format| (format.name(), BTreeMap::new())).collect();
        let mut count = |format: Format, kind: u8, add: &dyn Fn(&mut Count)| {
            add(counts.entry(format.name()).or_default().entry(kind_name(kind)).or_default());
        };
        let (mut record, mut deed) = (expected.next_key()?.map(Expected::of), done.next_key()?.map(Done::of));
        loop {
            // one place: what was expected there, and what was done
            let here = match (&record, &deed) {
                (Some(record), Some(deed)) => record.place.min(deed.place),
                (Some(record), None) => record.place,
                (None, Some(deed)) => deed.place,
                (None, None) => break,
            };
            let expected_here = record.filter(|record| record.place == here);
            let mut results: Vec<Option<(u8, u8)>> = vec![None; formats.len()];
            while let Some(this) = deed.filter(|deed| deed.place == here) {
                // written once is written, whatever was said of its other places
                if let Some(result) = results.get_mut(usize::from(this.format)) {
                    let is_written = matches!(result, Some((WRITTEN, _)));
                    *result = if is_written { *result } else { Some((this.result, this.kind)) };
                }
                deed = done.next_key()?.map(Done::of);
            }
            for (format, result) in formats.iter().zip(results) {
                let place = place_of(here);
                let excluded = |kind, reason| Exclusion { place, kind: kind_name(kind), format: *format, reason };
                match (expected_here, result) {
                    (None, Some((WRITTEN, kind))) => count(*format, kind, &|count| count.with_their_message += 1),
                    (None, Some(_) | None) => {}
                    (Some(record), Some((WRITTEN, _))) => count(*format, record.kind, &|count| {
                        count.r#in += 1;
                        count.out += 1;
                    }),
                    (Some(record), other) => {
                        let said = other.and_then(|(reason, _)| REASONS.get(usize::from(reason)));
                        let doubled = record.is_doubled.then_some(Reason::Doubled);
                        let Some(reason) = said.map(|(reason, _)| *reason).or(doubled) else {
                            let (place, kind) = (shown(place), kind_name(record.kind));
                            return Err(Error::Unaccounted { place, kind, format: *format });
                        };
                        exclusion(excluded(record.kind, reason))?;
                        count(*format, record.kind, &|count| {
                            count.r#in += 1;
                            count.excluded += 1;
                        });
                    }
                }
            }
            if expected_here.is_some() {
                record = expected.next_key()?.map(Expected::of);
            }
        }
        Ok(counts)
    }
}

fn place_of(key: [u8; PLACE_BYTES]) -> Place {
    let (file, line) = key.split_at(4);
    let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    Place { file: u32::try_from(number(file)).unwrap_or(u32::MAX), line: number(line), offset: 0, bytes: 0 }
}

#[derive(Debug, Clone, Copy)]
struct Expected {
    place: [u8; PLACE_BYTES],
    kind: u8,
    is_doubled: bool,
}

impl Expected {
    fn of(key: [u8; EXPECTED_BYTES]) -> Self {
        let [place @ .., kind, doubled] = key;
        Self { place, kind, is_doubled: doubled != 0 }
    }
}

#[derive(Debug, Clone, Copy)]
struct Done {
    place: [u8; PLACE_BYTES],
    format: u8,
    result: u8,
    kind: u8,
}

impl Done {
    fn of(key: [u8; DONE_BYTES]) -> Self {
        let [place @ .., format, result, kind] = key;
        Self { place, format, result, kind }
    }
}
