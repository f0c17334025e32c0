//! Which event tells why a bot ends. What has none is in the log, with the exit code.

use super::commit::CommitError;
use super::decrypt::DecryptError;
use super::disk::DiskError;
use super::receive::ReceiveError;
use super::run::BotError;
use super::segment::SegmentError;
use super::watchdog::Stalled;
use retaind_device::account::AccountError;
use retaind_device::connection::ConnectionError;
use retaind_device::store::StoreError;
use retaind_protocol::wire::RefusalCode;
use retaind_report::events::Event;

impl BotError {
    /// Before the bot was logged in: `failedlogin`, or what recovery found.
    pub fn event_at_start(&self) -> Option<Event> {
        match self {
            Self::Store(error)
            | Self::Receive(ReceiveError::Store(error))
            | Self::Decrypt(DecryptError::Store(error))
            | Self::Commit(CommitError::Store(error)) => of_state(error),
            Self::Account(error) | Self::Receive(ReceiveError::Account(error)) => at_log_in(error),
            Self::OtherBot { .. } => Some(Event::NewUserOldDatabase),
            Self::ConfiguredPassword(_) => Some(Event::ConfiguredPasswordBad),
            Self::Gone(gone) => Some(Event::EvidenceChainBroken { what: gone.to_string() }),
            Self::Commit(error) => of_commit(error),
            Self::Stalled(Stalled { stage, minutes }) => Some(Event::PipelineStalled { stage, minutes: *minutes }),
            Self::Log(_)
            | Self::Receive(_)
            | Self::Decrypt(_)
            | Self::Fetch(_)
            | Self::Ship(_)
            | Self::Stage(_)
            | Self::NotKept(_)
            | Self::Random
            | Self::CutShort => None,
        }
    }

    /// Of a bot that was at work.
    pub fn event_while_running(&self) -> Option<Event> {
        match self {
            Self::Account(AccountError::Connection(error))
            | Self::Receive(ReceiveError::Account(AccountError::Connection(error))) => match error {
                // the network does not tell account and device apart: its words are in the reason
                ConnectionError::Refused { code: code @ RefusalCode::Suspended, message } => {
                    Some(Event::AccountSuspended { code: i32::from(*code), reason: message.clone() })
                }
                ConnectionError::Refused { .. }
                | ConnectionError::Unreachable { .. }
                | ConnectionError::Tls { .. }
                | ConnectionError::Endpoint(_)
                | ConnectionError::Closed
                | ConnectionError::Timeout { .. }
                | ConnectionError::Protocol(_) => self.event_at_start(),
            },
            Self::Store(_)
            | Self::Log(_)
            | Self::Account(_)
            | Self::Receive(_)
            | Self::Decrypt(_)
            | Self::Fetch(_)
            | Self::Commit(_)
            | Self::Gone(_)
            | Self::Ship(_)
            | Self::Stage(_)
            | Self::Stalled(_)
            | Self::ConfiguredPassword(_)
            | Self::NotKept(_)
            | Self::Random
            | Self::CutShort
            | Self::OtherBot { .. } => self.event_at_start(),
        }
    }
}

fn at_log_in(error: &AccountError) -> Option<Event> {
    match error {
        AccountError::Store(error) => of_state(error),
        AccountError::OtherNetwork { .. } | AccountError::Registered { .. } => Some(Event::NewUserOldDatabase),
        AccountError::Connection(error) => match error.refusal() {
            Some(RefusalCode::Password) => Some(Event::BadCredentials),
            // in these words the network refuses a device that it does not know
            Some(RefusalCode::Unauthenticated) => Some(Event::UserNotFound),
            Some(RefusalCode::Suspended) => Some(Event::LoginSuspended),
            Some(_) | None => Some(Event::AllLoginsFailed),
        },
        AccountError::Engine(_) | AccountError::Credential(_) | AccountError::NotRegistered | AccountError::NoSuite => {
            Some(Event::AllLoginsFailed)
        }
    }
}

fn of_state(error: &StoreError) -> Option<Event> {
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
        CommitError::Disk(error) | CommitError::Segment(SegmentError::Disk(error)) => of_disk(error),
        CommitError::Segment(
            error @ (SegmentError::Missing { .. }
            | SegmentError::Short { .. }
            | SegmentError::Long { .. }
            | SegmentError::StateOlder { .. }
            | SegmentError::Rows(_)),
        ) => Some(Event::EvidenceChainBroken { what: error.to_string() }),
        CommitError::Segment(_) | CommitError::Store(_) | CommitError::Fetch(_) => None,
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

    fn refused(code: RefusalCode) -> BotError {
        let refused = ConnectionError::Refused { code, message: "this device or its user is suspended".into() };
        BotError::Account(AccountError::Connection(refused))
    }

    #[test]
    fn a_refused_log_in_is_told_by_its_kind() {
        let told = |code| refused(code).event_at_start();
        assert_eq!(told(RefusalCode::Password), Some(Event::BadCredentials));
        assert_eq!(told(RefusalCode::Unauthenticated), Some(Event::UserNotFound));
        assert_eq!(told(RefusalCode::Suspended), Some(Event::LoginSuspended));
        assert_eq!(told(RefusalCode::Version), Some(Event::AllLoginsFailed));
        let other = BotError::OtherBot { theirs: "a".into(), ours: "b".into() };
        assert_eq!(other.event_at_start(), Some(Event::NewUserOldDatabase));
    }

    #[test]
    fn a_running_bot_that_is_suspended_says_so_with_the_networks_words() {
        let event = refused(RefusalCode::Suspended).event_while_running();
        let reason = "this device or its user is suspended".to_owned();
        assert_eq!(event, Some(Event::AccountSuspended { code: 8, reason }));
    }

    #[test]
    fn a_full_disk_is_told_without_the_name_of_the_file() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = DiskError::new(DiskCall::Rename, Path::new("/files/attachment_1_secret plan.pdf"), full);
        let event = BotError::Commit(CommitError::Disk(error)).event_while_running();
        assert_eq!(event, Some(Event::DiskNearlyFull { directory: "/files".into(), free_bytes: 0 }));
    }

    #[test]
    fn a_message_file_that_was_cut_breaks_the_chain() {
        let short = SegmentError::Short { path: "/m/receivedMessages.txt".into(), found: 1, committed: 2 };
        let event = BotError::Commit(CommitError::Segment(short)).event_at_start();
        assert!(matches!(event, Some(Event::EvidenceChainBroken { what }) if what.contains("receivedMessages.txt")));
    }
}
