//! Accepting: reads the rows that a message needs, passes them to [`decide`], and writes the entry that it returns. Every
//! function runs inside a savepoint of a batch; a refusal undoes its own rows only, a failing ledger the whole batch.

use std::time::Instant;

use super::blobs::BlobId;
use super::decide::{self, Commit, Current, Sending};
use super::entry::{ConversationRow, Effects, Entry, SendId};
use super::groups::{self, Ciphertext, Group, Groups, Handshake, HandshakeKind, NextEpoch};
use super::report::Retained;
use crate::clock::Moment;
use crate::directory::key_packages::{self, Use};
use crate::directory::{DeviceRow, RetentionPolicy};
use crate::error::{ChangeError, Refusal};
use crate::keys::Keys;
use crate::ledger::{Batch, LedgerError};
use retaind_core::sparing::Sparing;
use retaind_protocol::ids::{ConversationId, DeviceId};
use retaind_protocol::wire::Cursor;

/// A member can cause it in each of its conversations.
static NO_KEY_PACKAGE: Sparing = Sparing::new();

/// What the functions here work on.
pub(crate) struct Accept<'a> {
    pub(crate) rows: &'a mut dyn Batch,
    pub(crate) keys: &'a Keys,
    pub(crate) policy: &'a RetentionPolicy,
    pub(crate) groups: &'a mut Groups,
    pub(crate) effects: &'a mut Effects,
    pub(crate) now: Moment,
}

/// Did every retention bot get into a conversation or on its way?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proposed {
    /// All are members or proposed.
    Complete,
    /// A bot has left no key package: to be tried again.
    NoKeyPackage,
}

impl Accept<'_> {
    /// Starts a conversation; returns the `seq` of its first commit.
    pub(crate) fn create(
        &mut self,
        sender: &DeviceRow,
        send_id: &[u8],
        group_info: &[u8],
        mut commit: Handshake,
        welcome: &[u8],
    ) -> Result<u64, ChangeError> {
        let send_id = SendId::parse(send_id)?;
        if let Some(seq) = self.rows.sent(sender.row, send_id)? {
            return Ok(seq);
        }
        let sending = Sending { device: sender, send_id, at: self.now };
        let (id, group) = groups::observe(self.keys, group_info, &sender.device, self.now)?;
        let vacant = decide::vacant(&id, &commit.conversation, commit.content, self.rows.conversation(&id)?)?;
        let suite = u16::from(group.group_context().cipher_suite());
        let payload = std::mem::take(&mut commit.bytes);
        let committed = groups::commit(self.keys, &group, commit, welcome, &sender.device, self.now)?;
        let (commit, group) = self.known(id, committed, &payload, welcome)?;
        let entry = decide::creation(self.policy, &vacant, &sending, commit)?;
        let row = self.rows.insert_conversation(vacant.id(), suite)?;
        self.append(row, &entry)?;
        self.groups.put(row, group);
        self.await_bots(row)?;
        Ok(entry.seq)
    }

    /// Accepts a commit or proposal.
    pub(crate) fn handshake(
        &mut self,
        sender: &DeviceRow,
        send_id: &[u8],
        mut handshake: Handshake,
        welcome: &[u8],
    ) -> Result<u64, ChangeError> {
        let send_id = SendId::parse(send_id)?;
        if let Some(seq) = self.rows.sent(sender.row, send_id)? {
            return Ok(seq);
        }
        let sending = Sending { device: sender, send_id, at: self.now };
        let (id, payload) = (handshake.conversation, std::mem::take(&mut handshake.bytes));
        let current = self.current(&id, sender, handshake.epoch)?;
        let (row, reported) = (current.conversation().row, current.conversation().reported);
        let lost = self.lost_bots(current.conversation())?;
        let group = self.groups.load(&*self.rows, self.keys, current.conversation())?;
        let (entry, group) = match handshake.content {
            HandshakeKind::Commit => {
                let committed = groups::commit(self.keys, group, handshake, welcome, &sender.device, self.now)?;
                let (commit, group) = self.known(id, committed, &payload, welcome)?;
                (decide::commit(self.policy, &lost, &current, &sending, commit)?, group)
            }
            HandshakeKind::Proposal => {
                decide::without_welcome(welcome)?;
                let (group, removes) = groups::propose(self.keys, group, handshake, &sender.device, self.now)?;
                let tree = groups::encode(&group)?;
                (decide::proposal(self.policy, &current, &sending, removes.as_ref(), &payload, tree)?, group)
            }
        };
        self.append(row, &entry)?;
        self.groups.put(row, group);
        if entry.turnover.is_some() {
            self.await_bots(row)?;
            if reported {
                // a bot that is out now is to come back, and a proposal that was not taken is made again
                let _proposed = self.propose_bots(row)?;
            }
        }
        Ok(entry.seq)
    }

    /// Accepts an application message, which names `blobs`.
    pub(crate) fn application(
        &mut self,
        sender: &DeviceRow,
        send_id: &[u8],
        message: &Ciphertext,
        blobs: &[BlobId],
    ) -> Result<u64, ChangeError> {
        let send_id = SendId::parse(send_id)?;
        if let Some(seq) = self.rows.sent(sender.row, send_id)? {
            return Ok(seq);
        }
        let current = self.current(&message.conversation, sender, message.epoch)?;
        let row = current.conversation().row;
        let retained = self.retained(current.conversation())?;
        if self.is_unread(current.conversation(), sender.row)? {
            return Err(decide::not_read().into());
        }
        let sending = Sending { device: sender, send_id, at: self.now };
        let entry = decide::application(self.policy, &current, retained, &sending, message)?;
        self.append(row, &entry)?;
        for blob in blobs {
            self.rows.name_blob(blob, sender.row, row, entry.seq)?;
        }
        Ok(entry.seq)
    }

    /// Moves a device's cursors forward. Returns the conversations (rows) that may have something to purge.
    pub(crate) fn acknowledge(&mut self, device: &DeviceRow, cursors: &[Cursor]) -> Result<Vec<i64>, ChangeError> {
        Ok(self.rows.acknowledge(device.row, &decide::cursors(cursors)?)?)
    }

    /// As external sender, proposes to add the retention bots that these conversations (rows) lack. Returns whether all
    /// are there or proposed.
    pub(crate) fn propose_all(&mut self, conversations: &[i64]) -> Result<Proposed, ChangeError> {
        let mut proposed = Proposed::Complete;
        for conversation in conversations {
            if self.propose_bots(*conversation)? == Proposed::NoKeyPackage {
                proposed = Proposed::NoKeyPackage;
            }
        }
        Ok(proposed)
    }

    /// Proposes to add the bots that a conversation lacks, and to remove those that cannot follow it.
    pub(crate) fn propose_bots(&mut self, row: i64) -> Result<Proposed, ChangeError> {
        let Some(mut conversation) = self.rows.conversation_at(row)? else {
            return Ok(Proposed::Complete);
        };
        let policy = self.policy;
        for bot in &policy.required {
            match self.retained_by(&conversation, bot)? {
                Retained::Yes | Retained::Behind => {}
                Retained::Lost => self.propose_removal(&mut conversation, bot)?,
                Retained::No => {
                    if self.propose_bot(&mut conversation, bot)? == Proposed::NoKeyPackage {
                        return Ok(Proposed::NoKeyPackage);
                    }
                }
            }
        }
        Ok(Proposed::Complete)
    }

    fn propose_bot(&mut self, conversation: &mut ConversationRow, bot: &DeviceRow) -> Result<Proposed, ChangeError> {
        let group = self.groups.load(&*self.rows, self.keys, conversation)?;
        if groups::is_proposed(self.keys, group, &bot.device) {
            return Ok(Proposed::Complete);
        }
        let (mut group, suite) = (group.clone(), conversation.suite);
        let package = if bot.suite == suite { self.take(bot)? } else { None };
        let Some((package, _)) = package else {
            if let Some(left_out) = NO_KEY_PACKAGE.admits(Instant::now()) {
                tracing::warn!(bot = %bot.user, suite, left_out, "the retention bot has no key package for a conversation");
            }
            return Ok(Proposed::NoKeyPackage);
        };
        let payload = groups::propose_add(&mut group, &package).map_err(|error| {
            tracing::error!(%error, "the retention bot cannot be proposed to a conversation");
            Refusal::unavailable()
        })?;
        self.append_own(conversation, &payload, group)?;
        Ok(Proposed::Complete)
    }

    /// Appends a proposal of the network's own; `group` has it.
    pub(crate) fn append_own(
        &mut self,
        conversation: &mut ConversationRow,
        payload: &[u8],
        group: Group,
    ) -> Result<(), ChangeError> {
        let entry = decide::own_proposal(conversation, self.now, payload, groups::encode(&group)?);
        self.append(conversation.row, &entry)?;
        conversation.head_seq = entry.seq;
        self.groups.put(conversation.row, group);
        Ok(())
    }

    fn take(&mut self, bot: &DeviceRow) -> Result<Option<(Vec<u8>, Use)>, LedgerError> {
        key_packages::take(self.rows, self.policy, bot, self.now, &mut self.effects.taken)
    }

    fn current(&self, id: &ConversationId, sender: &DeviceRow, epoch: u64) -> Result<Current, ChangeError> {
        let found = self.rows.conversation(id)?;
        let member = match &found {
            Some(conversation) => self.rows.is_member(conversation.row, sender.row)?,
            None => false,
        };
        Ok(decide::current(id, found, member, epoch)?)
    }

    /// A commit with the rows of the devices in it, and the group after it.
    fn known<'a>(
        &self,
        id: ConversationId,
        committed: NextEpoch,
        payload: &'a [u8],
        welcome: &'a [u8],
    ) -> Result<(Commit<'a>, Group), ChangeError> {
        let NextEpoch { group, added, removed, members } = committed;
        let row = |device: &DeviceId| self.rows.device(device);
        let added = added.into_iter().map(|device| Ok((device, row(&device)?)));
        let removed = removed.iter().filter_map(|device| row(device).map(|row| Some(row?.row)).transpose());
        let commit = Commit {
            id,
            payload,
            welcome,
            tree: groups::encode(&group)?,
            epoch: group.group_context().epoch(),
            added: added.collect::<Result<_, LedgerError>>()?,
            removed: removed.collect::<Result<_, _>>()?,
            members,
        };
        Ok((commit, group))
    }

    fn append(&mut self, conversation: i64, entry: &Entry<'_>) -> Result<(), ChangeError> {
        self.rows.append(conversation, entry)?;
        self.effects.record(conversation, entry);
        Ok(())
    }
}
