//! Gives files the names in their committed rows. The writer does it after a commit, recovery after a crash:
//! the same function, because a crash may have left it at any step.
//!
//! Invariants that make every step repeatable:
//! - A segment that is not settled is under exactly one of: its part name, `<basename>.txt`, its final name.
//! - At most one of the sealed ones can be at `<basename>.txt`: the one that was open when the batch began. It leaves
//!   that name, durably (`sync_dir`), before the new open one takes it; so no order in which a file system may
//!   persist renames ever puts one file over another.
//! - From `sync` to the end of settling nothing is written: lengths must match exactly.
#![deny(clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::path::Path;

use super::error::SegmentError;
use super::names::Place;
use super::row::{SegmentRow, SegmentState};
use crate::disk::Disk;

/// Settles the rows that are not settled, in the order of their numbers, and returns them as they are now.
pub(super) fn settle(disk: &dyn Disk, place: &Place, rows: &[SegmentRow]) -> Result<Vec<SegmentRow>, SegmentError> {
    let mut unsettled: Vec<_> = rows.iter().filter(|row| !row.settled).cloned().collect();
    unsettled.sort_by_key(|row| row.number);
    let (sealed, open): (Vec<_>, Vec<_>) = unsettled.iter().partition(|row| row.state == SegmentState::Sealed);
    for row in &sealed {
        settle_sealed(disk, place, row)?;
    }
    if !sealed.is_empty() {
        disk.sync_dir(place.dir())?;
    }
    for row in &open {
        settle_open(disk, place, row)?;
    }
    if !open.is_empty() {
        disk.sync_dir(place.dir())?;
    }
    for row in &mut unsettled {
        row.settled = true;
    }
    Ok(unsettled)
}

fn settle_sealed(disk: &dyn Disk, place: &Place, row: &SegmentRow) -> Result<(), SegmentError> {
    let name = row.sealed_name.as_ref().ok_or(SegmentError::Rows("a sealed segment has no file name"))?;
    let (target, part, base) = (place.dir().join(name), place.part(row.number), place.open());
    match (disk.len(&target)?, disk.len(&part)?) {
        (Some(_), Some(_)) => Err(SegmentError::NameTaken { path: target }),
        (Some(found), None) => whole(&target, found, row),
        (None, Some(found)) => {
            whole(&part, found, row)?;
            Ok(disk.rename(&part, &target)?)
        }
        (None, None) => {
            let found =
                disk.len(&base)?.ok_or(SegmentError::Missing { path: target.clone(), committed: row.length })?;
            whole(&base, found, row)?;
            Ok(disk.rename(&base, &target)?)
        }
    }
}

fn settle_open(disk: &dyn Disk, place: &Place, row: &SegmentRow) -> Result<(), SegmentError> {
    let (part, base) = (place.part(row.number), place.open());
    match (disk.len(&part)?, disk.len(&base)?) {
        (Some(_), Some(_)) => Err(SegmentError::NameTaken { path: base }),
        (Some(found), None) => {
            whole(&part, found, row)?;
            Ok(disk.rename(&part, &base)?)
        }
        // renamed already; a later batch may have made it longer, and recovery cuts that off
        (None, Some(_)) => Ok(()),
        (None, None) => Err(SegmentError::Missing { path: base, committed: row.length }),
    }
}

fn whole(path: &Path, found: u64, row: &SegmentRow) -> Result<(), SegmentError> {
    let (path, committed) = (path.to_path_buf(), row.length);
    match found.cmp(&committed) {
        std::cmp::Ordering::Less => Err(SegmentError::Short { path, found, committed }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(SegmentError::Long { path, found, committed }),
    }
}
