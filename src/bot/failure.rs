//! Which event says why a bot ends. What has none is in the log, with the exit code.

use retaind_report::events::Event;
use retaind_state::StoreError;

use crate::commit::CommitError;
use crate::disk::DiskError;
use crate::evidence::EvidenceError;
use crate::run::BotError;
use crate::segment::SegmentError;
use crate::source::Phase;
use crate::watchdog::Stalled;

impl BotError {
    /// The event to raise: before log-in `failedlogin` or what recovery found; later the reason for the end.
    pub fn event(&self, phase: Phase) -> Option<Event> {
        match self {
            Self::Store(error) | Self::Commit(CommitError::Store(error)) => event_of_state(error),
            Self::Source(trouble) => trouble.0.event(phase),
            Self::Gone(gone) => Some(Event::EvidenceChainBroken { what: gone.to_string() }),
            Self::Commit(error) => of_commit(error),
            Self::Stalled(Stalled { stage, minutes }) => Some(Event::PipelineStalled { stage, minutes: *minutes }),
            Self::Log(_) | Self::Files(_) | Self::Ship(_) | Self::Stage(_) | Self::CutShort => None,
        }
    }
}

/// The event for an error of the state.
pub fn event_of_state(error: &StoreError) -> Option<Event> {
    match error {
        StoreError::Damaged(_) | StoreError::Empty { .. } => {
            Some(Event::EvidenceChainBroken { what: error.to_string() })
        }
        StoreError::Vault(_) => error.is_wrong_password().then_some(Event::BadCredentials),
        StoreError::Sqlite { .. }
        | StoreError::Denied { .. }
        | StoreError::Schema(_)
        | StoreError::Malformed(_)
        | StoreError::NotMade { .. } => None,
    }
}

fn of_commit(error: &CommitError) -> Option<Event> {
    match error {
        CommitError::Disk(error)
        | CommitError::Segment(SegmentError::Disk(error))
        | CommitError::Evidence(EvidenceError::Disk(error)) => of_disk(error),
        CommitError::Segment(
            error @ (SegmentError::Missing { .. }
            | SegmentError::Short { .. }
            | SegmentError::Long { .. }
            | SegmentError::StateOlder { .. }
            | SegmentError::Rows(_)),
        ) => Some(Event::EvidenceChainBroken { what: error.to_string() }),
        CommitError::Evidence(error @ (EvidenceError::Forked { .. } | EvidenceError::Damaged(_))) => {
            Some(Event::EvidenceChainBroken { what: error.to_string() })
        }
        CommitError::Evidence(EvidenceError::Store(error)) => event_of_state(error),
        CommitError::Evidence(EvidenceError::Random)
        | CommitError::Segment(_)
        | CommitError::Store(_)
        | CommitError::Files(_) => None,
    }
}

/// Names only the directory: the file may be an attachment.
fn of_disk(error: &DiskError) -> Option<Event> {
    let directory = error.path.parent().unwrap_or(&error.path).display().to_string();
    error.is_full().then_some(Event::DiskNearlyFull { directory, free_bytes: 0 })
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::*;
    use crate::disk::DiskCall;

    #[test]
    fn a_full_disk_is_told_without_the_name_of_the_file() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = DiskError::new(DiskCall::Rename, Path::new("/files/attachment_1_secret plan.pdf"), full);
        let event = BotError::Commit(CommitError::Disk(error)).event(Phase::Running);
        assert_eq!(event, Some(Event::DiskNearlyFull { directory: "/files".into(), free_bytes: 0 }));
    }

    #[test]
    fn a_message_file_that_was_cut_breaks_the_chain() {
        let short = SegmentError::Short { path: "/m/receivedMessages.txt".into(), found: 1, committed: 2 };
        let event = BotError::Commit(CommitError::Segment(short)).event(Phase::Starting);
        assert!(matches!(event, Some(Event::EvidenceChainBroken { what }) if what.contains("receivedMessages.txt")));
    }
}
