//! Room on the disk. A level is left only when a quarter more than its limit is free, so that a disk that hovers at the
//! limit is told once.

use std::path::PathBuf;

use super::{Limits, Space, Verdict};

/// What is left for the directory that has least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Which.
    pub directory: PathBuf,
    /// In bytes.
    pub free_bytes: u64,
}

impl Space {
    /// The level after this one, with so many bytes free.
    pub(super) fn next(self, free: u64, limits: &Limits) -> Self {
        let eased = |limit: u64| limit.saturating_add(limit >> 2);
        let (critical, low) = match self {
            Self::Enough => (limits.disk_critical_bytes, limits.disk_low_bytes),
            Self::Low => (limits.disk_critical_bytes, eased(limits.disk_low_bytes)),
            Self::Critical => (eased(limits.disk_critical_bytes), eased(limits.disk_low_bytes)),
        };
        if free < critical {
            Self::Critical
        } else if free < low {
            Self::Low
        } else {
            Self::Enough
        }
    }
}

/// What is to be said of a change.
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
