//! Space on the disk. A level is left only when a quarter more than its limit is free, so that a disk that hovers at the
//! limit is reported once.

use std::path::PathBuf;

use super::{Limits, Space, Verdict};

/// The directory with the least free space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Path of the directory.
    pub directory: PathBuf,
    /// Free bytes of its file system.
    pub free_bytes: u64,
}

/// The level after `level`, with `free` bytes free.
pub(super) fn next(level: Space, free: u64, limits: &Limits) -> Space {
    let eased = |limit: u64| limit.saturating_add(limit >> 2);
    let (critical, low) = match level {
        Space::Enough => (limits.disk_critical_bytes, limits.disk_low_bytes),
        Space::Low => (limits.disk_critical_bytes, eased(limits.disk_low_bytes)),
        Space::Critical => (eased(limits.disk_critical_bytes), eased(limits.disk_low_bytes)),
    };
    if free < critical {
        Space::Critical
    } else if free < low {
        Space::Low
    } else {
        Space::Enough
    }
}

/// The verdict on a change of level, if there is one.
pub(super) fn verdict(before: Space, after: Space, room: Room) -> Option<Verdict> {
    match (before, after) {
        (Space::Enough, Space::Enough) | (Space::Low, Space::Low) | (Space::Critical, Space::Critical) => None,
        (Space::Enough, Space::Low) => Some(Verdict::DiskLow(room)),
        (Space::Enough | Space::Low, Space::Critical) => Some(Verdict::DiskCritical(room)),
        (Space::Critical, Space::Low) | (Space::Low | Space::Critical, Space::Enough) => {
            Some(Verdict::DiskEased { room, now: after })
        }
    }
}
