//! Ledgers that are wrong on purpose, and the proof that [`CONTRACT`] catches each of them: [`each_is_caught`].

mod defects;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use self::defects::CAUGHT_BY;
pub(super) use self::defects::Defect;
use super::*;
use crate::Standing;
use crate::audit::FailedLogIns;
use crate::change::Change;
use crate::delivery::blobs::{BlobId, BlobRow, Named, OldBlob, Stored, Upload};
use crate::delivery::entry::ConversationRow;
use crate::delivery::queue::{Membership, Read};
use crate::delivery::report::Standing as BotStanding;
use crate::directory::invites::{CodeHash, InviteRow};
use crate::directory::key_packages::Use;
use crate::directory::{DeviceRow, UserRow};
use crate::error::NetworkError;
use crate::ledger::{
    AuditBatch, AuditView, DeliveryBatch, DeliveryView, DirectoryView, LedgerError, LedgerReader, Origin, Purged,
    ReportBatch, ReportView, SenderRow, View, Work, Writers,
};
use retaind_protocol::wire::{ConversationState, KeyPackageCount};

/// Puts each defect into a right ledger, and shows that the contract catches it.
pub(crate) fn each_is_caught(fresh: impl Fn() -> Box<dyn Ledger>) {
    // the wrapper alone breaks nothing
    for (_, check) in CONTRACT {
        check(&Defective(&*fresh(), Defect::IsShared));
    }
    for (defect, promises) in CAUGHT_BY {
        for promise in *promises {
            let (_, check) = CONTRACT.iter().find(|(name, _)| name == promise).unwrap();
            let ledger = fresh();
            let kept = catch_unwind(AssertUnwindSafe(|| check(&Defective(&*ledger, *defect))));
            assert!(kept.is_err(), "a ledger that {defect:?} keeps the promise that {promise}");
        }
    }
}

/// A ledger with a defect.
struct Defective<'a>(&'a dyn Ledger, Defect);

impl Ledger for Defective<'_> {
    fn writer(&self) -> Result<Box<dyn LedgerWriter>, NetworkError> {
        Ok(with_defect(self.0.writer()?, self.1))
    }

    fn reader(&self) -> Result<Box<dyn LedgerReader>, LedgerError> {
        self.0.reader()
    }
}

/// A connection with a defect.
pub(super) fn with_defect(connection: Box<dyn LedgerWriter>, defect: Defect) -> Box<dyn LedgerWriter> {
    Box::new(Writer { connection, defect })
}

struct Writer {
    connection: Box<dyn LedgerWriter>,
    defect: Defect,
}

impl LedgerReader for Writer {
    fn view(&mut self) -> Result<Box<dyn View + '_>, LedgerError> {
        self.connection.view()
    }
}

impl LedgerWriter for Writer {
    fn begin(&mut self, coming: &[Change]) -> Result<Box<dyn Batch + '_>, LedgerError> {
        if self.defect == Defect::FailsToBegin {
            return Err(no_disk());
        }
        Ok(Box::new(Rows { batch: self.connection.begin(coming)?, defect: self.defect, written: 0 }))
    }

    fn shred(&mut self, work: &mut Work<'_>) -> Result<(), NetworkError> {
        if self.defect == Defect::ShredsNothing { Ok(()) } else { self.connection.shred(work) }
    }

    fn writers(&self) -> Writers {
        if self.defect == Defect::IsShared { Writers::Several } else { self.connection.writers() }
    }
}

struct Rows<'a> {
    batch: Box<dyn Batch + 'a>,
    defect: Defect,
    written: u32,
}

fn no_disk() -> LedgerError {
    LedgerError::new("no disk")
}

impl Rows<'_> {
    fn has(&self, defect: Defect) -> bool {
        self.defect == defect
    }

    fn write(&mut self) -> Result<(), LedgerError> {
        self.written += 1;
        if self.defect == Defect::FailsToWrite(self.written) { Err(no_disk()) } else { Ok(()) }
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

    fn last_resort_key_package(&self, device: i64, now: Moment) -> Result<Option<Vec<u8>>, LedgerError> {
        let now = if self.has(Defect::GivesExpired) { Moment::of_micros(0) } else { now };
        self.batch.last_resort_key_package(device, now)
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

    fn stored(&self, device: i64) -> Result<Stored, LedgerError> {
        if self.has(Defect::CountsNoBlobs) { Ok(Stored::default()) } else { self.batch.stored(device) }
    }

    fn old_blobs(
        &self,
        upload: Upload,
        before: Moment,
        after: Option<(Moment, BlobId)>,
        most: usize,
    ) -> Result<Vec<OldBlob>, LedgerError> {
        let before = if self.has(Defect::AgesBlobs) { Moment::of_micros(i64::MAX) } else { before };
        let mut old = self.batch.old_blobs(upload, before, after, most)?;
        if self.has(Defect::ForgetsBots) {
            old.iter_mut().filter(|old| old.named == Named::Unretained).for_each(|old| old.named = Named::Retained);
        }
        Ok(old)
    }

    fn unretained_since(&self) -> Result<Option<Moment>, LedgerError> {
        if self.has(Defect::ForgetsBots) { Ok(None) } else { self.batch.unretained_since() }
    }
}

impl AuditView for Rows<'_> {
    read! {
        failed_log_ins() -> Vec<FailedLogIns>;
    }
}

impl AuditBatch for Rows<'_> {
    fn note_failed_log_ins(&mut self, rows: &[FailedLogIns], keep: usize) -> Result<(), LedgerError> {
        let keep = if self.has(Defect::KeepsAudit) { usize::MAX >> 1 } else { keep };
        self.batch.note_failed_log_ins(rows, keep)
    }
}

impl ReportView for Rows<'_> {
    read! {
        standing(conversation: i64, bot: i64) -> Option<BotStanding>;
        unread_in(conversation: i64, device: i64) -> Option<u64>;
        lost_after(after: i64, most: usize) -> Vec<i64>;
    }
}

impl ReportBatch for Rows<'_> {
    fn set_standing(&mut self, conversation: i64, bot: i64, standing: BotStanding) -> Result<(), LedgerError> {
        if self.has(Defect::ForgetsReports) { Ok(()) } else { self.batch.set_standing(conversation, bot, standing) }
    }

    fn set_unread(&mut self, conversation: i64, device: i64, epoch: u64) -> Result<(), LedgerError> {
        if self.has(Defect::ForgetsReports) { Ok(()) } else { self.batch.set_unread(conversation, device, epoch) }
    }
}

impl DirectoryBatch for Rows<'_> {
    written! {
        set_setting(key: &str, value: &[u8]) -> ();
        insert_sender(suite: u16, sender: &SenderRow) -> ();
        replace_sender_secret(suite: u16, secret: &[u8]) -> ();
        insert_user(user: &UserName, role: Role) -> ();
        set_password(user: &str, hash: &str, origin: Origin) -> ();
        set_retention(users: &[UserName]) -> ();
        insert_device(device: &NewDevice<'_>) -> i64;
        retire_device(device: &DeviceId) -> ();
        insert_invite(code: &CodeHash, user: &UserName, expires: Option<Moment>) -> ();
        insert_key_packages(device: i64, one_time: &[Checked], last_resort: Option<&Checked>) -> ();
    }

    fn raise_policy_version(&mut self) -> Result<(), LedgerError> {
        if self.has(Defect::KeepsVersion) { Ok(()) } else { self.batch.raise_policy_version() }
    }

    fn set_user_standing(&mut self, user: &UserName, standing: Standing) -> Result<bool, LedgerError> {
        let standing = if self.has(Defect::ForgetsStanding) { Standing::Active } else { standing };
        self.batch.set_user_standing(user, standing)
    }

    fn set_device_standing(&mut self, device: &DeviceId, standing: Standing) -> Result<bool, LedgerError> {
        self.batch.set_device_standing(device, standing)
    }

    fn use_invite(&mut self, code: &CodeHash, device: i64) -> Result<(), LedgerError> {
        if self.has(Defect::ForgetsUse) { Ok(()) } else { self.batch.use_invite(code, device) }
    }

    fn take_key_package(&mut self, device: i64, now: Moment) -> Result<Option<(Vec<u8>, Use)>, LedgerError> {
        let now = if self.has(Defect::GivesExpired) { Moment::of_micros(0) } else { now };
        let taken = self.batch.take_key_package(device, now)?;
        if let (Defect::GivesPackagesTwice, Some((bytes, Use::Once))) = (self.defect, &taken) {
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

    fn name_blob(&mut self, blob: &BlobId, sender: i64, conversation: i64, seq: u64) -> Result<(), LedgerError> {
        let owner = self.batch.blob(blob)?.map_or(sender, |row| row.device);
        match self.defect {
            Defect::ForgetsNames => Ok(()),
            Defect::BelievesNames => self.batch.name_blob(blob, owner, conversation, seq),
            _ => self.batch.name_blob(blob, sender, conversation, seq),
        }
    }

    fn delete_blob(&mut self, blob: &BlobId) -> Result<(), LedgerError> {
        if self.has(Defect::KeepsBlobs) { Ok(()) } else { self.batch.delete_blob(blob) }
    }

    fn append(&mut self, conversation: i64, entry: &Entry<'_>) -> Result<(), LedgerError> {
        self.write()?;
        let mut entry = entry.clone();
        match self.defect {
            Defect::DropsMessages if entry.seq == 3 => return self.batch.append(conversation, &skipped(entry)),
            Defect::ForgetsSends => entry.sender = None,
            Defect::ForgetsTrees if entry.seq > 1 => entry.tree = None,
            Defect::KeepsMembers => entry.turnover.iter_mut().for_each(|turnover| turnover.leaving.clear()),
            Defect::DropsWelcomes => entry.turnover.iter_mut().for_each(|turnover| turnover.welcome = b""),
            _ => {}
        }
        self.batch.append(conversation, &entry)
    }

    fn acknowledge(&mut self, device: i64, cursors: &[(ConversationId, u64)]) -> Result<Vec<i64>, LedgerError> {
        self.write()?;
        match self.defect {
            Defect::ForgetsCursors => self.batch.acknowledge(device, &altered(cursors, |_| 0)),
            Defect::OverstatesCursors => self.batch.acknowledge(device, &altered(cursors, |seq| seq.saturating_add(1))),
            _ => self.batch.acknowledge(device, cursors),
        }
    }

    fn purge(&mut self, conversations: &[i64], most: usize) -> Result<Purged, LedgerError> {
        match self.defect {
            Defect::PurgesNothing => return Ok(Purged::default()),
            Defect::PurgesTooMuch => self.acknowledge_for_all(conversations)?,
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
        if self.has(Defect::KeepsRefused) { Ok(()) } else { self.batch.undo_to_savepoint() }
    }

    fn release_savepoint(&mut self) -> Result<(), LedgerError> {
        if self.has(Defect::FailsToRelease) { Err(no_disk()) } else { self.batch.release_savepoint() }
    }

    fn commit(self: Box<Self>) -> Result<(), LedgerError> {
        match self.defect {
            Defect::FailsToCommit => Err(no_disk()),
            Defect::CommitsNothing => self.batch.undo(),
            _ => self.batch.commit(),
        }
    }

    fn undo(self: Box<Self>) -> Result<(), LedgerError> {
        if self.has(Defect::CommitsWhatIsUndone) { self.batch.commit() } else { self.batch.undo() }
    }
}
