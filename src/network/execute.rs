//! Carrying out changes: what [`super::delivery`] and [`super::directory`] decide, on any
//! [`Ledger`](super::ledger::Ledger).
//!
//! A batch of changes becomes one transaction of the ledger, each change an [`attempt`] of its own. Outcomes and effects
//! are returned once all of it is on stable storage, or none of it. What is remembered between batches (the policy,
//! loaded groups) must equal what the ledger holds: it is forgotten whenever a batch was not committed.

use super::change::{Change, Outcome};
use super::clock::Moment;
use super::delivery::accept::Accept;
use super::delivery::blobs;
use super::delivery::decide;
use super::delivery::entry::Effects;
use super::delivery::groups::Groups;
use super::delivery::purge::Purge;
#[cfg(test)]
use super::directory::DeviceRow;
use super::directory::key_packages::Asking;
use super::directory::{RetentionPolicy, accounts, key_packages, register};
use super::error::{ChangeError, Refusal};
use super::keys::Keys;
use super::ledger::{Batch, LedgerError, LedgerWriter, Writers, attempt};
use super::limits::AUDIT_ROWS;
use super::quotas::Quotas;
use retaind_protocol::wire::{Answer, BlobCreated, ClaimedKeyPackages};

/// A batch that is on stable storage.
#[derive(Debug)]
#[must_use = "answers and pushes follow from it"]
pub(crate) struct Executed {
    /// Of each change, in order.
    pub(crate) outcomes: Vec<Result<Outcome, Refusal>>,
    pub(crate) effects: Effects,
}

/// What is remembered from batch to batch.
pub(crate) struct Executor {
    clock: fn() -> Moment,
    quotas: Quotas,
    /// Room on the disk, as of this batch.
    free_bytes: u64,
    policy: Option<RetentionPolicy>,
    groups: Groups,
    purge: Purge,
}

impl Executor {
    pub(crate) fn new(clock: fn() -> Moment, quotas: Quotas) -> Self {
        Self { clock, quotas, free_bytes: u64::MAX, policy: None, groups: Groups::new(), purge: Purge::default() }
    }

    /// May the device begin a conversation now? It counts as one.
    #[cfg(test)]
    pub(crate) fn admits(&mut self, device: &DeviceRow, now: Moment) -> bool {
        self.quotas.conversation(device, now).is_ok()
    }

    /// From now on there is so much room on the disk.
    pub(crate) fn has_room(&mut self, free_bytes: u64) {
        self.free_bytes = free_bytes;
    }

    /// Carries out all of `changes`, refused ones without effect; or, if the ledger fails, none.
    pub(crate) fn execute(
        &mut self,
        ledger: &mut dyn LedgerWriter,
        keys: &Keys,
        changes: Vec<Change>,
    ) -> Result<Executed, LedgerError> {
        if ledger.writers() == Writers::Several {
            self.groups.clear();
        }
        let executed = self.transaction(ledger, keys, changes);
        if executed.is_err() {
            self.policy = None;
            self.groups.clear();
        }
        executed
    }

    fn transaction(
        &mut self,
        ledger: &mut dyn LedgerWriter,
        keys: &Keys,
        changes: Vec<Change>,
    ) -> Result<Executed, LedgerError> {
        let mut batch = ledger.begin(&changes)?;
        match self.carry_out(&mut *batch, keys, changes) {
            Ok(executed) => batch.commit().map(|()| executed),
            Err(error) => {
                if let Err(error) = batch.undo() {
                    tracing::error!(%error, "the network's database does not roll back");
                }
                Err(error)
            }
        }
    }

    fn carry_out(&mut self, batch: &mut dyn Batch, keys: &Keys, changes: Vec<Change>) -> Result<Executed, LedgerError> {
        let mut policy = match self.policy.take() {
            Some(known) => RetentionPolicy::unless(known.version, batch)?.unwrap_or(known),
            None => RetentionPolicy::load(batch)?,
        };
        let mut outcomes = Vec::with_capacity(changes.len());
        let mut effects = Effects::default();
        for change in changes {
            let mark = effects.mark();
            let outcome = attempt(batch, |batch| self.apply(batch, keys, &mut policy, change, &mut effects))?;
            if outcome.is_ok() {
                self.groups.keep();
            } else {
                self.groups.undo();
                effects.undo(mark);
            }
            outcomes.push(outcome);
        }
        self.policy = Some(policy);
        Ok(Executed { outcomes, effects })
    }

    fn apply(
        &mut self,
        batch: &mut dyn Batch,
        keys: &Keys,
        policy: &mut RetentionPolicy,
        change: Change,
        effects: &mut Effects,
    ) -> Result<Outcome, ChangeError> {
        if let Some(device) = change.device() {
            decide::active(policy, device)?;
        }
        let now = (self.clock)();
        self.admit(&change, now)?;
        let mut accept = Accept { rows: &mut *batch, keys, policy, groups: &mut self.groups, effects, now };
        match change {
            Change::Application { device, send_id, message, blobs } => {
                accept.application(&device, &send_id, &message, &blobs).map(Outcome::accepted)
            }
            Change::Handshake { device, send_id, handshake, welcome } => {
                accept.handshake(&device, &send_id, *handshake, &welcome).map(Outcome::accepted)
            }
            Change::Create { device, send_id, group_info, commit, welcome } => {
                accept.create(&device, &send_id, &group_info, *commit, &welcome).map(Outcome::accepted)
            }
            Change::Report { device, conversation, reported } => {
                accept.report(&device, &conversation, &reported).map(|()| Outcome::done())
            }
            Change::ProposeBots { conversations } => accept.propose_all(&conversations).map(Outcome::Proposed),
            Change::Acknowledge { device, cursors } => {
                let moved = accept.acknowledge(&device, &cursors)?;
                moved.into_iter().for_each(|conversation| self.purge.due(conversation));
                Ok(Outcome::done())
            }
            Change::Purge => Ok(Outcome::Purged(self.purge.step(batch, &self.quotas.allowances, now)?)),
            Change::NoteFailedLogIns { rows } => {
                batch.note_failed_log_ins(&rows, AUDIT_ROWS.count())?;
                Ok(Outcome::done())
            }
            Change::Register { claim, suite, signature_key } => {
                let (device, credential) = register::register(batch, keys, &claim, suite, &signature_key, now)?;
                *policy = RetentionPolicy::load(batch)?;
                Ok(Outcome::Registered { device, credential })
            }
            Change::SetPassword { device, hash } => {
                accounts::change_password(batch, &device.user, &hash).map(|()| Outcome::done())
            }
            Change::PublishKeyPackages { device, one_time, last_resort } => {
                key_packages::publish(batch, &device, &one_time, last_resort.as_ref(), now).map(|()| Outcome::done())
            }
            Change::ClaimKeyPackages { device, users, suite } => {
                let (quotas, taken) = (&mut self.quotas, &mut effects.taken);
                let asking = Asking { device: device.row, suite, now };
                let packages = key_packages::claim(batch, quotas, policy, asking, &users, taken)?;
                Ok(Outcome::Answer(Answer::ClaimedKeyPackages(ClaimedKeyPackages { packages })))
            }
            Change::BlobCreate { device, blob, size } => {
                blobs::create(batch, &mut self.quotas, &device, &blob, size, self.free_bytes, now)?;
                Ok(Outcome::Answer(Answer::BlobCreated(BlobCreated { blob: blob.as_bytes().to_vec() })))
            }
            Change::BlobFinish { device, blob } => {
                batch.finish_blob(&blob, device.row)?;
                Ok(Outcome::done())
            }
        }
    }

    /// Does the disk have room for what the change brings, and may its device bring so much?
    fn admit(&mut self, change: &Change, now: Moment) -> Result<(), Refusal> {
        match change {
            Change::Application { .. } | Change::Handshake { .. } => self.quotas.message(self.free_bytes),
            Change::Create { device, .. } => {
                self.quotas.message(self.free_bytes)?;
                self.quotas.conversation(device, now)
            }
            // what makes room, what lets a bot in, and what is small
            Change::Acknowledge { .. }
            | Change::Report { .. }
            | Change::Purge
            | Change::ProposeBots { .. }
            | Change::NoteFailedLogIns { .. }
            | Change::Register { .. }
            | Change::SetPassword { .. }
            | Change::PublishKeyPackages { .. }
            | Change::ClaimKeyPackages { .. }
            | Change::BlobCreate { .. }
            | Change::BlobFinish { .. } => Ok(()),
        }
    }
}
