//! Start-up: makes the messages directory agree with what was committed. There is no other way to get a writer.
//!
//! With rows (every start but the first): renames of the last commit are finished, the open file is cut to its
//! committed length, part files of the batch that was not committed are deleted. Their messages were not acknowledged,
//! and come again. All steps can be repeated, so that a crash during recovery is just another start.
//!
//! Without rows (first start, or the state directory was lost) nothing can be called uncommitted, because the first
//! row is committed before the first byte is written. So every file there was written by a bot whose state is gone:
//! it may be the only copy of what must be produced later. None of it is deleted, overwritten, cut or
//! opened: `<basename>.txt` and part files get the name `<basename>_recovered_<number>.txt`, and all finished files
//! are listed in [`Recovery::found`] for shipping. The last line of a recovered file may be torn, and its last records
//! may not have been acknowledged, so that another device of the bot may have recorded them too: evidence doubled
//! and labelled is better than evidence lost.
//!
//! Refused (halt, nothing touched except by finished renames): a committed file that is missing or shorter than
//! committed; sealed files newer than the rows (an older copy of the state, whose "cut what was not committed" would
//! destroy records); content at `<basename>.txt` that no row knows.
#![deny(clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::sync::Arc;

use super::error::SegmentError;
use super::names::{Known, NUMBER_MAX, Place};
use super::row::{RotationLimits, SegmentRow, SegmentState};
use super::settle::settle;
use super::writer::Segments;
use crate::disk::Disk;
use retaind_state::Committed;

/// A finished file that no row knows, found at a start without rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// Its name in the messages directory.
    pub name: String,
    /// Length in bytes.
    pub length: u64,
}

/// What recovery did, and what must be committed before the first record is written.
#[must_use = "its rows must be committed, then it begins the writer"]
pub struct Recovery {
    /// Rows that changed: the new open one, or segments whose renames are now done. A sealed one among them is now
    /// ready to ship: put it into the queue in the transaction that stores it.
    pub rows: Vec<SegmentRow>,
    /// Bytes beyond the commit that were cut from the open file.
    pub cut_bytes: u64,
    /// Part files that were deleted because they had not been committed.
    pub removed_parts: u64,
    /// Finished files of a bot whose state is gone; empty when there were rows. To be shipped as sealed ones are.
    pub found: Vec<FoundFile>,
    segments: Segments,
}

impl Recovery {
    /// The writer, once [`rows`](Self::rows) are committed (even if there are none).
    pub fn begin(committed: Committed<Self>) -> Segments {
        committed.into_inner().segments
    }
}

impl Segments {
    /// Recovers the files at `place` and prepares the writer. `rows`: all that are open or not settled; others are
    /// allowed; none at all only where there is no state.
    pub fn recover(
        disk: Arc<dyn Disk>,
        place: Place,
        policy: RotationLimits,
        rows: &[SegmentRow],
    ) -> Result<Recovery, SegmentError> {
        if policy.size_max == 0 {
            return Err(SegmentError::SizeMax);
        }
        let listing = Listing::read(&*disk, &place)?;
        match rows {
            [] => without_rows(disk, place, policy, listing),
            rows => with_rows(disk, place, policy, listing, rows),
        }
    }
}

#[derive(Default)]
struct Listing {
    highest: Option<(u64, String)>,
    parts: Vec<u64>,
}

impl Listing {
    fn read(disk: &dyn Disk, place: &Place) -> Result<Self, SegmentError> {
        let mut listing = Self::default();
        disk.list(place.dir(), &mut |name| {
            let Some(name) = name.to_str() else { return };
            match place.recognise(name) {
                Some(Known::Part(number)) => listing.parts.push(number),
                Some(Known::Finished(number)) => {
                    let highest = listing.highest.take().filter(|(highest, _)| *highest >= number);
                    listing.highest = Some(highest.unwrap_or_else(|| (number, name.to_owned())));
                }
                None => {}
            }
        })?;
        listing.parts.sort_unstable();
        Ok(listing)
    }

    /// A number greater than every number in the directory.
    fn next(&self, place: &Place, at_least: u64) -> Result<u64, SegmentError> {
        let highest = self.highest.as_ref().map(|(number, _)| *number).max(self.parts.last().copied());
        after(place, highest).map(|next| next.max(at_least))
    }
}

/// The number after `number`; 0 after none.
pub(super) fn after(place: &Place, number: Option<u64>) -> Result<u64, SegmentError> {
    let next = number.map_or(Some(0), |n| n.checked_add(1)).filter(|next| *next <= NUMBER_MAX);
    next.ok_or_else(|| SegmentError::NumbersUsedUp(place.basename.as_str().to_owned()))
}

fn with_rows(
    disk: Arc<dyn Disk>,
    place: Place,
    policy: RotationLimits,
    listing: Listing,
    rows: &[SegmentRow],
) -> Result<Recovery, SegmentError> {
    let mut open_rows = rows.iter().filter(|row| row.state == SegmentState::Open);
    let (Some(open), None) = (open_rows.next(), open_rows.next()) else {
        return Err(SegmentError::Rows("not exactly one segment is open"));
    };
    if rows.iter().any(|row| row.state == SegmentState::Sealed && row.number >= open.number) {
        return Err(SegmentError::Rows("a sealed segment has a higher number than the open one"));
    }
    if let Some((number, file)) = &listing.highest
        && *number >= open.number
    {
        return Err(SegmentError::StateOlder { file: file.clone(), number: open.number });
    }
    // nothing finished has a higher number, and what was deleted never had a name: numbers have no gaps
    let next = after(&place, Some(open.number))?;
    let settled = settle(&*disk, &place, rows)?;
    let mut open = open.clone();
    open.settled = true;
    let cut_bytes = cut(&*disk, &place, &open)?;
    let mut removed_parts = 0u64;
    for number in &listing.parts {
        // files of rows have been renamed by now
        if disk.len(&place.part(*number))?.is_some() {
            disk.remove(&place.part(*number))?;
            removed_parts = removed_parts.saturating_add(1);
        }
    }
    if removed_parts > 0 {
        disk.sync_dir(place.dir())?;
    }
    let segments = Segments::new(disk, place, policy, open, next);
    Ok(Recovery { rows: settled, cut_bytes, removed_parts, found: Vec::new(), segments })
}

/// Cuts the open file to its committed length; returns how many bytes were cut. Syncs even if it has that length: an earlier
/// start may have cut it and then failed to sync it, and a loss of power would bring the rest back.
fn cut(disk: &dyn Disk, place: &Place, open: &SegmentRow) -> Result<u64, SegmentError> {
    let (path, committed) = (place.open(), open.length);
    let Some(found) = disk.len(&path)? else {
        return if committed == 0 { Ok(0) } else { Err(SegmentError::Missing { path, committed }) };
    };
    match found.checked_sub(committed) {
        None => Err(SegmentError::Short { path, found, committed }),
        // an empty file that something else made: nothing to keep
        Some(0) if committed == 0 => {
            disk.remove(&path)?;
            Ok(0)
        }
        // a segment without committed records is written as a part file: this one is foreign
        Some(_) if committed == 0 => Err(SegmentError::NameTaken { path }),
        Some(beyond) => {
            let mut file = disk.open_append(&path)?;
            file.set_len(committed)?;
            file.sync_data()?;
            Ok(beyond)
        }
    }
}

fn without_rows(
    disk: Arc<dyn Disk>,
    place: Place,
    policy: RotationLimits,
    listing: Listing,
) -> Result<Recovery, SegmentError> {
    let mut next = listing.next(&place, policy.first_number)?;
    let strays = std::iter::once(place.open()).chain(listing.parts.iter().map(|number| place.part(*number)));
    for stray in strays {
        match disk.len(&stray)? {
            None => continue,
            Some(0) => disk.remove(&stray)?,
            Some(_) => {
                let name = place.dir().join(place.recovered(next));
                next = after(&place, Some(next))?;
                disk.rename(&stray, &name)?;
            }
        }
    }
    disk.sync_dir(place.dir())?;
    let mut names = Vec::new();
    disk.list(place.dir(), &mut |name| {
        if let Some(name) = name.to_str()
            && let Some(Known::Finished(number)) = place.recognise(name)
        {
            names.push((number, name.to_owned()));
        }
    })?;
    names.sort();
    let mut found = Vec::new();
    for (_, name) in names {
        let path = place.dir().join(&name);
        let length = disk.len(&path)?.ok_or(SegmentError::Missing { path, committed: 0 })?;
        found.push(FoundFile { name, length });
    }
    let open = SegmentRow::empty(next);
    let next = after(&place, Some(next))?;
    let segments = Segments::new(disk, place, policy, open.clone(), next);
    Ok(Recovery { rows: vec![open], cut_bytes: 0, removed_parts: 0, found, segments })
}
