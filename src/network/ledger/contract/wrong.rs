//! Ledgers that are wrong on purpose, and the proof that [`CONTRACT`] finds each of them out: [`is_found_out`].

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::Standing;
use crate::change::Change;
use crate::delivery::blobs::{BlobId, BlobRow};
use crate::delivery::entry::ConversationRow;
use crate::delivery::queue::{Membership, Read};
use crate::directory::invites::{CodeHash, InviteRow};
use crate::directory::key_packages::Use;
use crate::directory::{DeviceRow, UserRow};
use crate::error::NetworkError;
use crate::ledger::{
    DeliveryBatch, DeliveryView, DirectoryView, LedgerError, LedgerReader, Origin, Purged, SenderRow, View, Writers,
};
use retaind_protocol::wire::{ConversationState, KeyPackageCount};

/// What is wrong with a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Answers that everything is committed, and undoes it.
    CommitsNothing,
    /// Commits what should be undone.
    CommitsWhatIsUndone,
    /// A refused change stays.
    KeepsRefused,
    /// Messages of some sends are not written, though the conversation moves on.
    DropsMessages,
    /// The place of a send is not remembered.
    ForgetsSends,
    /// The group stays as it was.
    ForgetsTrees,
    /// A commit dismisses nobody.
    KeepsMembers,
    /// Whoever is added gets no welcome.
    DropsWelcomes,
    /// Acknowledgements are answered and not written.
    ForgetsCursors,
    /// Acknowledges more than was asked for.
    OverstatesCursors,
    /// Deletes what somebody has not acknowledged.
    PurgesTooMuch,
    /// Deletes nothing.
    PurgesNothing,
    /// A one-time package is given out again.
    GivesPackagesTwice,
    /// A package that has expired is given out.
    GivesExpired,
    /// Changes of the policy cannot be told.
    KeepsVersion,
    /// An invite that was used is as good as new.
    ForgetsUse,
    /// A suspended device is taken for an active one.
    ForgetsStanding,
    /// Fails as a disk does: at the begin, at the n-th entry or cursor, at the end of a change, at the commit.
    FailsToBegin,
    FailsToWrite(u32),
    FailsToRelease,
    FailsToCommit,
    /// None, but others write it, too.
    IsShared,
}

/// Each fault with promises that it breaks.
const FOUND_OUT_BY: &[(Fault, &[&str])] = &[
    (Fault::CommitsNothing, &["what_was_committed_is_there_for_whoever_opens_it_next"]),
    (Fault::CommitsWhatIsUndone, &["a_batch_that_is_not_committed_never_was"]),
    (Fault::KeepsRefused, &["a_refused_change_undoes_itself_only", "what_is_refused_takes_nothing_with_it"]),
    (Fault::DropsMessages, &["places_have_no_gaps", "what_is_refused_takes_nothing_with_it"]),
    (
        Fault::ForgetsSends,
        &["a_message_is_known_by_its_sender_s_name_for_it", "the_same_message_again_is_the_same_message"],
    ),
    (Fault::ForgetsTrees, &["the_group_is_the_one_of_the_last_entry_with_one", "a_group_goes_on_after_a_restart"]),
    (Fault::KeepsMembers, &["a_member_gets_what_is_for_it_and_no_more", "memberships_that_are_over_are_deleted"]),
    (Fault::DropsWelcomes, &["a_member_gets_what_is_for_it_and_no_more"]),
    (Fault::ForgetsCursors, &["cursors_go_forward_and_never_too_far", "what_everybody_acknowledged_is_purged"]),
    (Fault::OverstatesCursors, &["cursors_go_forward_and_never_too_far"]),
    (
        Fault::PurgesTooMuch,
        &["a_purge_deletes_what_everybody_has_and_no_more", "what_everybody_acknowledged_is_purged"],
    ),
    (Fault::PurgesNothing, &["a_purge_deletes_what_everybody_has_and_no_more", "a_purge_ends_where_it_must"]),
    (Fault::GivesPackagesTwice, &["a_one_time_package_goes_out_once"]),
    (Fault::GivesExpired, &["expired_packages_are_not_given"]),
    (Fault::KeepsVersion, &["every_raised_version_is_another", "what_another_hand_changed_holds_for_the_next_batch"]),
    (Fault::ForgetsUse, &["an_invite_is_found_with_its_device", "a_registration_answered_twice_is_one_device"]),
    (
        Fault::ForgetsStanding,
        &["suspension_and_retention_are_found", "what_another_hand_changed_holds_for_the_next_batch"],
    ),
    (Fault::FailsToWrite(3), &["places_have_no_gaps"]),
];

/// Shows that the contract finds out whatever is wrong with a ledger that is otherwise this one.
pub(crate) fn is_found_out(fresh: impl Fn() -> Box<dyn Ledger>) {
    for (fault, promises) in FOUND_OUT_BY {
        for promise in *promises {
            let (_, check) = CONTRACT.iter().find(|(name, _)| name == promise).unwrap();
            let ledger = fresh();
            let kept = catch_unwind(AssertUnwindSafe(|| check(&Bent(&*ledger, *fault))));
            assert!(kept.is_err(), "a ledger that {fault:?} keeps the promise that {promise}");
        }
    }
}

/// A ledger with a fault.
struct Bent<'a>(&'a dyn Ledger, Fault);

impl Ledger for Bent<'_> {
    fn writer(&self) -> Result<Box<dyn LedgerWriter>, NetworkError> {
        Ok(bend(self.0.writer()?, self.1))
    }

    fn reader(&self) -> Result<Box<dyn LedgerReader>, LedgerError> {
        self.0.reader()
    }
}

/// A hand with a fault.
pub(super) fn bend(hand: Box<dyn LedgerWriter>, fault: Fault) -> Box<dyn LedgerWriter> {
    Box::new(Hand { hand, fault })
}

struct Hand {
    hand: Box<dyn LedgerWriter>,
    fault: Fault,
}

impl LedgerReader for Hand {
    fn view(&mut self) -> Result<Box<dyn View + '_>, LedgerError> {
        self.hand.view()
    }
}

impl LedgerWriter for Hand {
    fn begin(&mut self, coming: &[Change]) -> Result<Box<dyn Batch + '_>, LedgerError> {
        if self.fault == Fault::FailsToBegin {
            return Err(no_disk());
        }
        Ok(Box::new(Rows { batch: self.hand.begin(coming)?, fault: self.fault, written: 0 }))
    }

    fn writers(&self) -> Writers {
        if self.fault == Fault::IsShared { Writers::Several } else { self.hand.writers() }
    }
}

struct Rows<'a> {
    batch: Box<dyn Batch + 'a>,
    fault: Fault,
    written: u32,
}

fn no_disk() -> LedgerError {
    LedgerError::new("no disk")
}

impl Rows<'_> {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn write(&mut self) -> Result<(), LedgerError> {
        self.written += 1;
        if self.fault == Fault::FailsToWrite(self.written) { Err(no_disk()) } else { Ok(()) }
    }
}

/// Hands these on as they are.
macro_rules! read {
    ($($name:ident($($argument:ident: $type:ty),*) -> $value:ty;)+) => {$(
        fn $name(&self, $($argument: $type),*) -> Result<$value, LedgerError> {
            self.batch.$name($($argument),*)
        }
    )+};
}
macro_rules! written {
    ($($name:ident($($argument:ident: $type:ty),*) -> $value:ty;)+) => {$(
        fn $name(&mut self, $($argument: $type),*) -> Result<$value, LedgerError> {
            self.batch.$name($($argument),*)
        }
    )+};
}

impl DirectoryView for Rows<'_> {
    read! {
        setting(key: &str) -> Option<Vec<u8>>;
        sender(suite: u16) -> Option<SenderRow>;
        policy_version() -> i64;
        retention_users() -> Vec<String>;
        suspended_devices() -> HashSet<i64>;
        user(user: &str) -> Option<UserRow>;
        users() -> Vec<UserRow>;
        device(device: &DeviceId) -> Option<DeviceRow>;
        devices_of(user: &str) -> Vec<DeviceRow>;
        credential(device: i64) -> Vec<u8>;
        has_signature_key(signature_key: &[u8]) -> bool;
        invite(code: &CodeHash) -> Option<InviteRow>;
        count_key_packages(device: i64, now: Moment) -> KeyPackageCount;
    }
}

impl DeliveryView for Rows<'_> {
    read! {
        conversation(id: &ConversationId) -> Option<ConversationRow>;
        conversation_at(row: i64) -> Option<ConversationRow>;
        conversations_after(after: i64, most: usize) -> Vec<i64>;
        lacking(devices: &[i64], after: i64, through: i64) -> (Vec<i64>, Option<i64>);
        is_member(conversation: i64, device: i64) -> bool;
        tree(conversation: i64) -> Option<Vec<u8>>;
        sent(device: i64, send_id: SendId) -> Option<u64>;
        memberships(device: i64) -> Vec<Membership>;
        stints(conversation: i64, device: i64) -> Vec<Stint>;
        read(wanted: Wanted<'_>, select: Select, budget: Budget) -> Read;
        states(device: i64, after: &str, most: usize) -> Vec<ConversationState>;
        blob(blob: &BlobId) -> Option<BlobRow>;
        unfinished_blobs(device: i64) -> usize;
    }
}

impl DirectoryBatch for Rows<'_> {
    written! {
        set_setting(key: &str, value: &[u8]) -> ();
        insert_sender(suite: u16, sender: &SenderRow) -> ();
        insert_user(user: &UserName, role: Role) -> ();
        set_password(user: &str, hash: &str, origin: Origin) -> ();
        set_retention(users: &[UserName]) -> ();
        insert_device(device: &NewDevice<'_>) -> i64;
        retire_device(device: &DeviceId) -> ();
        insert_invite(code: &CodeHash, user: &UserName, expires: Option<Moment>) -> ();
        insert_key_packages(device: i64, one_time: &[Checked], last_resort: Option<&Checked>) -> ();
    }

    fn raise_policy_version(&mut self) -> Result<(), LedgerError> {
        if self.has(Fault::KeepsVersion) { Ok(()) } else { self.batch.raise_policy_version() }
    }

    fn set_user_standing(&mut self, user: &UserName, standing: Standing) -> Result<bool, LedgerError> {
        let standing = if self.has(Fault::ForgetsStanding) { Standing::Active } else { standing };
        self.batch.set_user_standing(user, standing)
    }

    fn set_device_standing(&mut self, device: &DeviceId, standing: Standing) -> Result<bool, LedgerError> {
        self.batch.set_device_standing(device, standing)
    }

    fn use_invite(&mut self, code: &CodeHash, device: i64) -> Result<(), LedgerError> {
        if self.has(Fault::ForgetsUse) { Ok(()) } else { self.batch.use_invite(code, device) }
    }

    fn take_key_package(&mut self, device: i64, now: Moment) -> Result<Option<(Vec<u8>, Use)>, LedgerError> {
        let now = if self.has(Fault::GivesExpired) { Moment::of_micros(0) } else { now };
        let taken = self.batch.take_key_package(device, now)?;
        if let (Fault::GivesPackagesTwice, Some((bytes, Use::Once))) = (self.fault, &taken) {
            let again = package(bytes, NOW.after(std::time::Duration::from_secs(3600)));
            self.batch.insert_key_packages(device, &[again], None)?;
        }
        Ok(taken)
    }
}

impl DeliveryBatch for Rows<'_> {
    written! {
        insert_conversation(id: &ConversationId, suite: u16) -> i64;
        insert_blob(blob: &BlobId, row: BlobRow, at: Moment) -> ();
        finish_blob(blob: &BlobId, device: i64) -> ();
    }

    fn append(&mut self, conversation: i64, entry: &Entry<'_>) -> Result<(), LedgerError> {
        self.write()?;
        let mut entry = entry.clone();
        match self.fault {
            Fault::DropsMessages if entry.seq == 3 => return self.batch.append(conversation, &skipped(entry)),
            Fault::ForgetsSends => entry.sender = None,
            Fault::ForgetsTrees if entry.seq > 1 => entry.tree = None,
            Fault::KeepsMembers => entry.turnover.iter_mut().for_each(|turnover| turnover.leaving.clear()),
            Fault::DropsWelcomes => entry.turnover.iter_mut().for_each(|turnover| turnover.welcome = b""),
            _ => {}
        }
        self.batch.append(conversation, &entry)
    }

    fn acknowledge(&mut self, device: i64, cursors: &[(ConversationId, u64)]) -> Result<Vec<i64>, LedgerError> {
        self.write()?;
        match self.fault {
            Fault::ForgetsCursors => self.batch.acknowledge(device, &altered(cursors, |_| 0)),
            Fault::OverstatesCursors => self.batch.acknowledge(device, &altered(cursors, |seq| seq.saturating_add(1))),
            _ => self.batch.acknowledge(device, cursors),
        }
    }

    fn purge(&mut self, conversations: &[i64], most: usize) -> Result<Purged, LedgerError> {
        match self.fault {
            Fault::PurgesNothing => return Ok(Purged::default()),
            Fault::PurgesTooMuch => self.acknowledge_for_all(conversations)?,
            _ => {}
        }
        self.batch.purge(conversations, most)
    }
}

impl Rows<'_> {
    /// As if every device had everything. Devices of tests have small numbers.
    fn acknowledge_for_all(&mut self, conversations: &[i64]) -> Result<(), LedgerError> {
        for device in 1..10 {
            for membership in self.batch.memberships(device)? {
                if conversations.contains(&membership.conversation) {
                    let id = membership.id.parse().unwrap();
                    self.batch.acknowledge(device, &[(id, u64::MAX)])?;
                }
            }
        }
        Ok(())
    }
}

fn altered(cursors: &[(ConversationId, u64)], to: impl Fn(u64) -> u64) -> Vec<(ConversationId, u64)> {
    cursors.iter().map(|(id, seq)| (*id, to(*seq))).collect()
}

/// The entry one place further on, so that its own stays empty.
fn skipped(entry: Entry<'_>) -> Entry<'_> {
    Entry { seq: entry.seq + 1, ..entry }
}

impl Batch for Rows<'_> {
    fn savepoint(&mut self) -> Result<(), LedgerError> {
        self.batch.savepoint()
    }

    fn undo_to_savepoint(&mut self) -> Result<(), LedgerError> {
        if self.has(Fault::KeepsRefused) { Ok(()) } else { self.batch.undo_to_savepoint() }
    }

    fn release_savepoint(&mut self) -> Result<(), LedgerError> {
        if self.has(Fault::FailsToRelease) { Err(no_disk()) } else { self.batch.release_savepoint() }
    }

    fn commit(self: Box<Self>) -> Result<(), LedgerError> {
        match self.fault {
            Fault::FailsToCommit => Err(no_disk()),
            Fault::CommitsNothing => self.batch.undo(),
            _ => self.batch.commit(),
        }
    }

    fn undo(self: Box<Self>) -> Result<(), LedgerError> {
        if self.has(Fault::CommitsWhatIsUndone) { self.batch.commit() } else { self.batch.undo() }
    }
}
