//! Accepting: the checks and rows of one message. Every function runs inside a savepoint of the writer's transaction;
//! a refusal undoes its own rows only, a failing database the whole batch.
//!
//! Order of the checks is part of the contract: repeated send first (a lost answer is answered again, whatever has
//! changed since), then membership, then epoch, then the retention bot. So a device always learns first what it must
//! do first.

use rusqlite::{Connection, OptionalExtension};

use super::groups::{self, Ciphertext, Committed, Groups, Handshake, HandshakeKind};
use crate::directory::{self, DeviceRow, Policy, key_packages};
use crate::error::{ChangeError, Refusal, refuse};
use crate::keys::Keys;
use crate::store::{message_id, now_micros};
use retaind_protocol::ids::{ConversationId, DeviceId};
use retaind_protocol::wire::{Cursor, DeliveryKind, RefusalCode};

/// Sends of a device that are remembered, to answer a repeated one alike. A device must not have more unanswered.
pub(crate) const SENDS_REMEMBERED: i64 = 1024;
/// Sends are forgotten in steps, not one at a time.
const SENDS_FORGOTTEN_AT_ONCE: i64 = 64;

/// What the functions here work on.
pub(crate) struct Accept<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) keys: &'a Keys,
    pub(crate) policy: &'a Policy,
    pub(crate) groups: &'a mut Groups,
    pub(crate) effects: &'a mut Effects,
}

/// What connections must hear of once the batch is on stable storage.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Conversation (row) and its newest `seq`.
    pub(crate) moved: Vec<(i64, u64)>,
    /// Devices (rows) that became members.
    pub(crate) joined: Vec<Joined>,
    /// Device and conversation (rows), and the last `seq` that is for the device.
    pub(crate) left: Vec<(i64, i64, u64)>,
}

impl Effects {
    pub(crate) fn append(&mut self, mut other: Self) {
        self.moved.append(&mut other.moved);
        self.joined.append(&mut other.joined);
        self.left.append(&mut other.left);
    }
}

/// A device became a member.
#[derive(Debug, Clone)]
pub(crate) struct Joined {
    pub(crate) device: i64,
    pub(crate) conversation: i64,
    pub(crate) id: String,
    pub(crate) from_seq: u64,
    pub(crate) welcomed: bool,
}

struct ConversationRow {
    row: i64,
    suite: u16,
    epoch: u64,
    head_seq: u64,
}

impl Accept<'_> {
    /// Starts a conversation; returns the `seq` of its first commit.
    pub(crate) fn create(
        &mut self,
        sender: &DeviceRow,
        send_id: &[u8],
        group_info: &[u8],
        commit: Handshake,
        welcome: &[u8],
    ) -> Result<u64, ChangeError> {
        if let Some(seq) = self.repeated(sender, send_id)? {
            return Ok(seq);
        }
        let (id, group) = groups::observe(self.keys, group_info, &sender.device)?;
        if commit.conversation != id || commit.content != HandshakeKind::Commit {
            return Err(Refusal::invalid("`commit` is not a commit of this conversation").into());
        }
        if self.find(&id)?.is_some() {
            return refuse(RefusalCode::Invalid, "there is a conversation of this id: choose another at random");
        }
        let suite = u16::from(group.group_context().cipher_suite());
        let bytes = commit.bytes.clone();
        let committed = groups::commit(self.keys, &group, commit, welcome, &sender.device)?;
        self.check_retained(&committed)?;
        self.connection
            .prepare_cached(
                "INSERT INTO conversations(conversation, suite, epoch, head_seq, purged_seq) VALUES(?,?,0,0,0)",
            )?
            .execute((id.as_str(), suite))?;
        let row = self.connection.last_insert_rowid();
        let conversation = ConversationRow { row, suite, epoch: 0, head_seq: 0 };
        self.join(&conversation, &id, sender.row, 1, false)?;
        self.store_commit(&conversation, &id, sender, bytes, welcome, committed)?;
        self.remember(sender, send_id, 1)?;
        Ok(1)
    }

    /// Accepts a commit or proposal.
    pub(crate) fn handshake(
        &mut self,
        sender: &DeviceRow,
        send_id: &[u8],
        handshake: Handshake,
        welcome: &[u8],
    ) -> Result<u64, ChangeError> {
        if let Some(seq) = self.repeated(sender, send_id)? {
            return Ok(seq);
        }
        let id = handshake.conversation;
        let conversation = self.member_of(&id, sender)?;
        check_epoch(&conversation, handshake.epoch)?;
        let group = self.groups.load(self.connection, self.keys, conversation.row, conversation.suite)?;
        let seq = match handshake.content {
            HandshakeKind::Commit => {
                let bytes = handshake.bytes.clone();
                let committed = groups::commit(self.keys, group, handshake, welcome, &sender.device)?;
                self.check_retained(&committed)?;
                self.store_commit(&conversation, &id, sender, bytes, welcome, committed)?
            }
            HandshakeKind::Proposal => {
                if !welcome.is_empty() {
                    return Err(Refusal::invalid("a welcome belongs to a commit, not to a proposal").into());
                }
                let bytes = handshake.bytes.clone();
                let (group, removes) = groups::propose(self.keys, group, handshake, &sender.device)?;
                if removes.is_some_and(|gone| self.policy.required.iter().any(|bot| bot.device == gone)) {
                    return refuse(RefusalCode::BotMissing, "data retention is on: its bot may not be removed");
                }
                let seq = self.append(&conversation, DeliveryKind::Handshake, Some(sender.row), &bytes)?;
                self.groups.save(self.connection, conversation.row, group)?;
                seq
            }
        };
        self.remember(sender, send_id, seq)?;
        Ok(seq)
    }

    /// Accepts an application message.
    pub(crate) fn application(
        &mut self,
        sender: &DeviceRow,
        send_id: &[u8],
        message: &Ciphertext,
    ) -> Result<u64, ChangeError> {
        if let Some(seq) = self.repeated(sender, send_id)? {
            return Ok(seq);
        }
        let conversation = self.member_of(&message.conversation, sender)?;
        check_epoch(&conversation, message.epoch)?;
        self.check_bot_ready()?;
        for bot in &self.policy.required {
            if !self.is_member(conversation.row, bot.row)? {
                return refuse(
                    RefusalCode::BotMissing,
                    "data retention is on and its bot is not in this conversation: commit the network's proposal first",
                );
            }
        }
        let seq = self.append(&conversation, DeliveryKind::Application, Some(sender.row), &message.bytes)?;
        self.remember(sender, send_id, seq)?;
        Ok(seq)
    }

    /// Moves a device's cursors forward; never back, never past what there is.
    /// Returns the conversations (rows) that may have something to purge.
    pub(crate) fn acknowledge(&mut self, device: &DeviceRow, cursors: &[Cursor]) -> Result<Vec<i64>, ChangeError> {
        let mut moved = Vec::with_capacity(cursors.len());
        let mut update = self.connection.prepare_cached(
            "UPDATE members SET acked_seq = max(acked_seq, min(?1, coalesce(until_seq,
                 (SELECT head_seq FROM conversations WHERE id = ?2))))
             WHERE conversation = ?2 AND device = ?3",
        )?;
        for cursor in cursors {
            let Ok(id) = cursor.conversation.parse::<ConversationId>() else {
                return Err(Refusal::invalid("a cursor names no conversation").into());
            };
            // a conversation that is gone for this device needs no cursor: a repeated acknowledgement is no mistake
            if let Some(conversation) = self.find(&id)? {
                let seq = i64::try_from(cursor.seq).unwrap_or(i64::MAX);
                update.execute((seq, conversation.row, device.row))?;
                moved.push(conversation.row);
            }
        }
        Ok(moved)
    }

    /// As external sender, proposes to add the retention bots that a conversation lacks. Returns whether all are
    /// there or proposed.
    pub(crate) fn propose_bots(&mut self, row: i64) -> Result<Proposed, ChangeError> {
        let Some((suite, epoch, head_seq)) = self
            .connection
            .prepare_cached("SELECT suite, epoch, head_seq FROM conversations WHERE id = ?")?
            .query_row([row], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?
        else {
            return Ok(Proposed::Complete);
        };
        let mut conversation = ConversationRow { row, suite, epoch, head_seq };
        for bot in &self.policy.required {
            if self.is_member(row, bot.row)? {
                continue;
            }
            let group = self.groups.load(self.connection, self.keys, row, suite)?;
            if groups::is_proposed(self.keys, group, &bot.device) {
                continue;
            }
            let mut group = group.clone();
            let package = if bot.suite == suite { key_packages::take(self.connection, bot.row)? } else { None };
            let Some((package, _)) = package else {
                tracing::warn!(bot = %bot.user, suite, "the retention bot has no key package for a conversation");
                return Ok(Proposed::NoKeyPackage);
            };
            let bytes = groups::propose_add(&mut group, &package).map_err(|error| {
                tracing::error!(%error, "the retention bot cannot be proposed to a conversation");
                Refusal::unavailable()
            })?;
            conversation.head_seq = self.append(&conversation, DeliveryKind::Handshake, None, &bytes)?;
            self.groups.save(self.connection, row, group)?;
        }
        Ok(Proposed::Complete)
    }

    fn check_bot_ready(&self) -> Result<(), Refusal> {
        match &self.policy.unready {
            Some(bot) => Err(Refusal::new(
                RefusalCode::BotMissing,
                format!("data retention is on but its bot `{bot}` has no active device: start the bot, then try again"),
            )),
            None => Ok(()),
        }
    }

    fn check_retained(&self, committed: &Committed) -> Result<(), Refusal> {
        self.check_bot_ready()?;
        match self.policy.required.iter().find(|bot| !committed.members.contains(&bot.device)) {
            Some(bot) => Err(Refusal::new(
                RefusalCode::BotMissing,
                format!("data retention is on: every conversation must hold every device of `{}`", bot.user),
            )),
            None => Ok(()),
        }
    }

    fn find(&self, id: &ConversationId) -> rusqlite::Result<Option<ConversationRow>> {
        self.connection
            .prepare_cached("SELECT id, suite, epoch, head_seq FROM conversations WHERE conversation = ?")?
            .query_row([id.as_str()], |row| {
                Ok(ConversationRow { row: row.get(0)?, suite: row.get(1)?, epoch: row.get(2)?, head_seq: row.get(3)? })
            })
            .optional()
    }

    fn member_of(&self, id: &ConversationId, sender: &DeviceRow) -> Result<ConversationRow, ChangeError> {
        let Some(conversation) = self.find(id)? else {
            return refuse(RefusalCode::NotFound, format!("no conversation `{id}`"));
        };
        if !self.is_member(conversation.row, sender.row)? {
            return refuse(RefusalCode::NotMember, format!("this device is not a member of `{id}`"));
        }
        Ok(conversation)
    }

    fn is_member(&self, conversation: i64, device: i64) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached(
                "SELECT EXISTS(SELECT 1 FROM members WHERE conversation=? AND device=? AND until_seq IS NULL)",
            )?
            .query_row((conversation, device), |row| row.get(0))
    }

    fn store_commit(
        &mut self,
        conversation: &ConversationRow,
        id: &ConversationId,
        sender: &DeviceRow,
        bytes: Vec<u8>,
        welcome: &[u8],
        committed: Committed,
    ) -> Result<u64, ChangeError> {
        let seq = self.append(conversation, DeliveryKind::Handshake, Some(sender.row), &bytes)?;
        for added in &committed.added {
            let device = self.addable(&added.device)?;
            self.join(conversation, id, device.row, seq, true)?;
        }
        if !welcome.is_empty() {
            self.connection
                .prepare_cached("INSERT INTO welcomes(id, payload) VALUES(?, ?)")?
                .execute((message_id(conversation.row, seq), welcome))?;
        }
        for removed in &committed.removed {
            if let Some(device) = directory::device(self.connection, removed)? {
                self.connection
                    .prepare_cached(
                        "UPDATE members SET until_seq = ? WHERE conversation = ? AND device = ? AND until_seq IS NULL",
                    )?
                    .execute((as_i64(seq), conversation.row, device.row))?;
                self.effects.left.push((device.row, conversation.row, seq));
            }
        }
        self.connection
            .prepare_cached("UPDATE conversations SET epoch = ? WHERE id = ?")?
            .execute((as_i64(committed.group.group_context().epoch()), conversation.row))?;
        self.groups.save(self.connection, conversation.row, committed.group)?;
        Ok(seq)
    }

    fn addable(&self, device: &DeviceId) -> Result<DeviceRow, ChangeError> {
        match directory::device(self.connection, device)? {
            Some(row) if row.suspended => {
                refuse(RefusalCode::Suspended, format!("a device of `{}` is suspended and cannot be added", row.user))
            }
            Some(row) => Ok(row),
            None => refuse(RefusalCode::NotFound, format!("device `{device}` is not of this network any more")),
        }
    }

    fn join(
        &mut self,
        conversation: &ConversationRow,
        id: &ConversationId,
        device: i64,
        from_seq: u64,
        welcomed: bool,
    ) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO members(conversation, device, from_seq, welcomed, acked_seq) VALUES(?, ?, ?, ?, ?)",
            )?
            .execute((conversation.row, device, as_i64(from_seq), welcomed, as_i64(from_seq.saturating_sub(1))))?;
        let (conversation, id) = (conversation.row, id.as_str().to_owned());
        self.effects.joined.push(Joined { device, conversation, id, from_seq, welcomed });
        Ok(())
    }

    fn append(
        &mut self,
        conversation: &ConversationRow,
        kind: DeliveryKind,
        sender: Option<i64>,
        payload: &[u8],
    ) -> rusqlite::Result<u64> {
        let seq = conversation.head_seq.saturating_add(1);
        self.connection
            .prepare_cached("INSERT INTO messages(id, kind, sender, accepted_at_micros, payload) VALUES(?,?,?,?,?)")?
            .execute((message_id(conversation.row, seq), i32::from(kind), sender, now_micros(), payload))?;
        self.connection
            .prepare_cached("UPDATE conversations SET head_seq = ? WHERE id = ?")?
            .execute((as_i64(seq), conversation.row))?;
        self.effects.moved.push((conversation.row, seq));
        Ok(seq)
    }

    fn repeated(&self, sender: &DeviceRow, send_id: &[u8]) -> Result<Option<u64>, ChangeError> {
        if send_id.len() != 16 {
            return Err(Refusal::invalid("`send_id` is not 16 bytes").into());
        }
        Ok(self
            .connection
            .prepare_cached("SELECT seq FROM sends WHERE device = ? AND send_id = ?")?
            .query_row((sender.row, send_id), |row| row.get(0))
            .optional()?)
    }

    fn remember(&self, sender: &DeviceRow, send_id: &[u8], seq: u64) -> rusqlite::Result<()> {
        let n: i64 = self
            .connection
            .prepare_cached("SELECT coalesce(max(n), 0) + 1 FROM sends WHERE device = ?")?
            .query_row([sender.row], |row| row.get(0))?;
        self.connection.prepare_cached("INSERT INTO sends(device, n, send_id, seq) VALUES(?, ?, ?, ?)")?.execute((
            sender.row,
            n,
            send_id,
            as_i64(seq),
        ))?;
        if n % SENDS_FORGOTTEN_AT_ONCE == 0 {
            self.connection
                .prepare_cached("DELETE FROM sends WHERE device = ? AND n <= ?")?
                .execute((sender.row, n - SENDS_REMEMBERED))?;
        }
        Ok(())
    }
}

/// Did every retention bot get into a conversation or on its way?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proposed {
    /// All are members or proposed.
    Complete,
    /// A bot has left no key package: to be tried again.
    NoKeyPackage,
}

fn check_epoch(conversation: &ConversationRow, epoch: u64) -> Result<(), Refusal> {
    if epoch == conversation.epoch {
        return Ok(());
    }
    let message =
        format!("the conversation is in epoch {}, the message of {epoch}: read what is new", conversation.epoch);
    Err(Refusal::new(RefusalCode::StaleEpoch, message))
}

fn as_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
