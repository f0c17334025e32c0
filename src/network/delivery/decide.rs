//! Deciding: rows and values in, a refusal or an [`Entry`] out. No database, no clock, no memory of its own.
//!
//! Order of the checks is part of the contract: repeated send first (a lost answer is answered again, whatever has
//! changed since), then membership, then epoch, then the retention bot. So a device always learns first what it must
//! do first. Types hold the order: an entry of a conversation needs its [`Current`], which only the checks of membership
//! and epoch give.
//!
//! What MLS itself allows is decided in [`super::groups`], on the tracked group; what is written is decided here.

use std::collections::HashSet;

use super::entry::{ConversationRow, Entry, Joining, SendId, Turnover};
use super::groups::{Ciphertext, HandshakeKind};
use super::report::Retained;
use crate::clock::Moment;
use crate::directory::{DeviceRow, RetentionPolicy};
use crate::error::Refusal;
use retaind_protocol::ids::{ConversationId, DeviceId};
use retaind_protocol::wire::{Cursor, DeliveryKind, RefusalCode};

/// Who sends, under which name, and when it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sending<'a> {
    pub(crate) device: &'a DeviceRow,
    pub(crate) send_id: SendId,
    pub(crate) at: Moment,
}

/// A conversation that has the sender as a member and is in the epoch of what is sent.
#[derive(Debug)]
pub(crate) struct Current(ConversationRow);

impl Current {
    pub(crate) fn conversation(&self) -> &ConversationRow {
        &self.0
    }
}

/// An id that no conversation has.
#[derive(Debug)]
pub(crate) struct Vacant(ConversationId);

impl Vacant {
    pub(crate) fn id(&self) -> &ConversationId {
        &self.0
    }
}

/// A commit that is valid as far as MLS goes, and what is known of the devices in it.
#[derive(Debug)]
pub(crate) struct Commit<'a> {
    pub(crate) id: ConversationId,
    pub(crate) payload: &'a [u8],
    pub(crate) welcome: &'a [u8],
    /// The group after it, encoded.
    pub(crate) tree: Vec<u8>,
    pub(crate) epoch: u64,
    /// Whom it adds, with their rows.
    pub(crate) added: Vec<(DeviceId, Option<DeviceRow>)>,
    /// Rows of those whom it removes. One that the directory does not know any more has nothing to be ended.
    pub(crate) removed: Vec<i64>,
    /// Devices of all leaves after it.
    pub(crate) members: HashSet<DeviceId>,
}

/// May a device act at all?
pub(crate) fn active(policy: &RetentionPolicy, device: &DeviceRow) -> Result<(), Refusal> {
    if policy.suspended.contains(&device.row) {
        return Err(Refusal::new(RefusalCode::Suspended, "this device or its user is suspended"));
    }
    Ok(())
}

/// `member`: the sender is a member of the conversation that was found.
pub(crate) fn current(
    id: &ConversationId,
    found: Option<ConversationRow>,
    member: bool,
    epoch: u64,
) -> Result<Current, Refusal> {
    let Some(conversation) = found else {
        return Err(Refusal::new(RefusalCode::NotFound, format!("no conversation `{id}`")));
    };
    if !member {
        return Err(Refusal::new(RefusalCode::NotMember, format!("this device is not a member of `{id}`")));
    }
    if epoch != conversation.epoch {
        let message =
            format!("the conversation is in epoch {}, the message of {epoch}: read what is new", conversation.epoch);
        return Err(Refusal::new(RefusalCode::StaleEpoch, message));
    }
    Ok(Current(conversation))
}

/// May a conversation start under this id, with a handshake of this kind for conversation `first` as its first message?
pub(crate) fn vacant(
    id: &ConversationId,
    first: &ConversationId,
    kind: HandshakeKind,
    found: Option<ConversationRow>,
) -> Result<Vacant, Refusal> {
    if first != id || kind != HandshakeKind::Commit {
        return Err(Refusal::invalid("`commit` is not a commit of this conversation"));
    }
    match found {
        Some(_) => Err(Refusal::invalid("there is a conversation of this id: choose another at random")),
        None => Ok(Vacant(*id)),
    }
}

/// An application message.
pub(crate) fn application<'a>(
    policy: &RetentionPolicy,
    current: &Current,
    retained: Retained,
    sending: &Sending<'_>,
    message: &'a Ciphertext,
) -> Result<Entry<'a>, Refusal> {
    bot_ready(policy)?;
    match retained {
        Retained::Yes => Ok(entry(current.0, DeliveryKind::Application, sending, &message.bytes)),
        Retained::No => Err(Refusal::new(
            RefusalCode::BotMissing,
            "data retention is on and its bot is not in this conversation: commit the network's proposal first",
        )),
        Retained::Lost => Err(Refusal::new(
            RefusalCode::BotMissing,
            "data retention is on and its bot cannot follow this conversation: commit the network's proposal first",
        )),
        Retained::Behind => Err(Refusal::new(
            RefusalCode::BotBehind,
            "data retention is on and its bot has not reached this epoch yet: try again in a moment",
        )),
    }
}

/// To a device whose messages the bot could not read.
pub(crate) fn not_read() -> Refusal {
    Refusal::new(
        RefusalCode::NotRead,
        "the retention bot could not read what this device sent in this epoch: commit, then send with the new keys",
    )
}

/// A commit in a conversation that goes on. `lost`: bots (rows) that cannot follow it, which it may remove.
pub(crate) fn commit<'a>(
    policy: &RetentionPolicy,
    lost: &[i64],
    current: &Current,
    sending: &Sending<'_>,
    commit: Commit<'a>,
) -> Result<Entry<'a>, Refusal> {
    committed(policy, lost, current.0.head_seq, sending, commit, Vec::new())
}

/// The first commit of a conversation: its sender is a member by having started it.
pub(crate) fn creation<'a>(
    policy: &RetentionPolicy,
    _vacant: &Vacant,
    sending: &Sending<'_>,
    commit: Commit<'a>,
) -> Result<Entry<'a>, Refusal> {
    committed(policy, &[], 0, sending, commit, vec![Joining { device: sending.device.row, welcomed: false }])
}

/// A member's proposal. `removes`: the device that it would remove, `tree`: the group with it, encoded.
pub(crate) fn proposal<'a>(
    policy: &RetentionPolicy,
    current: &Current,
    sending: &Sending<'_>,
    removes: Option<&DeviceId>,
    payload: &'a [u8],
    tree: Vec<u8>,
) -> Result<Entry<'a>, Refusal> {
    if removes.is_some_and(|gone| policy.required.iter().any(|bot| bot.device == *gone)) {
        return Err(Refusal::new(RefusalCode::BotMissing, "data retention is on: its bot may not be removed"));
    }
    Ok(Entry { tree: Some(tree), ..entry(current.0, DeliveryKind::Handshake, sending, payload) })
}

/// A welcome comes with a commit only.
pub(crate) fn without_welcome(welcome: &[u8]) -> Result<(), Refusal> {
    if welcome.is_empty() { Ok(()) } else { Err(Refusal::invalid("a welcome belongs to a commit, not to a proposal")) }
}

/// The network's own proposal, as external sender.
pub(crate) fn own_proposal<'a>(
    conversation: &ConversationRow,
    at: Moment,
    payload: &'a [u8],
    tree: Vec<u8>,
) -> Entry<'a> {
    Entry {
        seq: conversation.head_seq.saturating_add(1),
        kind: DeliveryKind::Handshake,
        accepted_at: at,
        payload,
        sender: None,
        tree: Some(tree),
        turnover: None,
    }
}

/// Cursors of an acknowledgement.
pub(crate) fn cursors(cursors: &[Cursor]) -> Result<Vec<(ConversationId, u64)>, Refusal> {
    cursors
        .iter()
        .map(|cursor| match cursor.conversation.parse() {
            Ok(id) => Ok((id, cursor.seq)),
            Err(_) => Err(Refusal::invalid("a cursor names no conversation")),
        })
        .collect()
}

fn committed<'a>(
    policy: &RetentionPolicy,
    lost: &[i64],
    head_seq: u64,
    sending: &Sending<'_>,
    commit: Commit<'a>,
    mut joining: Vec<Joining>,
) -> Result<Entry<'a>, Refusal> {
    bot_ready(policy)?;
    let missing = |bot: &&DeviceRow| !commit.members.contains(&bot.device) && !lost.contains(&bot.row);
    if let Some(bot) = policy.required.iter().find(missing) {
        return Err(Refusal::new(
            RefusalCode::BotMissing,
            format!("data retention is on: every conversation must hold every device of `{}`", bot.user),
        ));
    }
    for (device, row) in &commit.added {
        joining.push(Joining { device: addable(device, row.as_ref())?, welcomed: true });
    }
    Ok(Entry {
        seq: head_seq.saturating_add(1),
        kind: DeliveryKind::Handshake,
        accepted_at: sending.at,
        payload: commit.payload,
        sender: Some((sending.device.row, sending.send_id)),
        tree: Some(commit.tree),
        turnover: Some(Turnover {
            id: commit.id,
            epoch: commit.epoch,
            welcome: commit.welcome,
            joining,
            leaving: commit.removed,
        }),
    })
}

fn entry<'a>(conversation: ConversationRow, kind: DeliveryKind, sending: &Sending<'_>, payload: &'a [u8]) -> Entry<'a> {
    Entry {
        seq: conversation.head_seq.saturating_add(1),
        kind,
        accepted_at: sending.at,
        payload,
        sender: Some((sending.device.row, sending.send_id)),
        tree: None,
        turnover: None,
    }
}

fn bot_ready(policy: &RetentionPolicy) -> Result<(), Refusal> {
    match &policy.unready {
        Some(bot) => Err(Refusal::new(
            RefusalCode::BotMissing,
            format!("data retention is on but its bot `{bot}` has no active device: start the bot, then try again"),
        )),
        None => Ok(()),
    }
}

fn addable(device: &DeviceId, row: Option<&DeviceRow>) -> Result<i64, Refusal> {
    match row {
        Some(row) if row.suspended => {
            let message = format!("a device of `{}` is suspended and cannot be added", row.user);
            Err(Refusal::new(RefusalCode::Suspended, message))
        }
        Some(row) => Ok(row.row),
        None => {
            let message = format!("device `{device}` is not of this network any more");
            Err(Refusal::new(RefusalCode::NotFound, message))
        }
    }
}

#[cfg(test)]
mod tests;
