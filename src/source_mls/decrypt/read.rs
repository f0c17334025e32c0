//! What one message comes to: the lines of its record, or why it cannot be read.

use std::time::Instant;

use retaind_archive::record::{KeyAction, Record, RecordBody, RecordError, SenderType, handshake_message_id};
use retaind_bot::batch::{Context, RecordBuffer};
use retaind_core::sparing::Sparing;
use retaind_device::mls::{EngineError, Membership, Proposed, Received};
use retaind_protocol::content::{Content, ContentError};
use retaind_protocol::credential::{Identity, Role};
use retaind_protocol::ids::{ConversationKind, UserName};
use retaind_protocol::wire::DeliveryKind;
use retaind_report::events::Event;

use super::entry::Entry;
use super::lost::{follows, report_unread};
use super::turn::Made;
use super::{DecryptError, Worker};
use crate::delivery::Delivered;
use crate::limits::CONTENT;
use crate::wanted::announces_file;

/// A member can cause it in each of its conversations.
static REMOVED: Sparing = Sparing::new();

impl Worker {
    /// Messages between the last one and this one have not come. Only a new delivery shows whether they are lost.
    pub(super) fn doubt(&self, entry: &Entry, delivered: &Delivered) {
        tracing::warn!(
            conversation = %delivered.conversation, from = entry.cursor.saturating_add(1), seq = delivered.seq,
            "a connection left messages out, they are asked for on a new one"
        );
        self.recall.ask();
    }

    /// Records that messages between the last one and this one never came.
    pub(super) fn hole(
        &self,
        entry: &Entry,
        delivered: &Delivered,
        records: &mut RecordBuffer,
    ) -> Result<(), RecordError> {
        let (conversation, from) = (delivered.conversation, entry.cursor.saturating_add(1));
        let to = delivered.seq.saturating_sub(1);
        self.events.raise(Event::MessageGap { conversation, from, to });
        let context = self.context(delivered, from);
        push(records, &context, RecordBody::Hole { from_seq: from, to_seq: to })
    }

    /// The context of a record whose sender only the network names.
    pub(super) fn context(&self, delivered: &Delivered, seq: u64) -> Context {
        Context {
            network_id: self.network_id.clone(),
            sender_network_id: self.network_id.clone(),
            sender: delivered.sender_user.clone(),
            sender_type: SenderType::Normal,
            device: delivered.sender_device,
            receiver: None,
            conversation: delivered.conversation,
            seq,
            received_micros: delivered.received_at_micros,
            message_id: handshake_message_id(&delivered.conversation, seq),
            sent_at_micros: delivered.accepted_at_micros,
        }
    }

    /// The context of a record whose sender MLS has authenticated.
    fn authenticated(&self, delivered: &Delivered, sender: &Identity) -> Context {
        Context {
            sender: Some(sender.user.clone()),
            device: Some(sender.device),
            sender_type: sender.role.into(),
            ..self.context(delivered, delivered.seq)
        }
    }

    /// What a message that is processed on its own comes to.
    pub(super) fn record(
        &self,
        entry: &mut Entry,
        delivered: &Delivered,
        made: &mut Made,
    ) -> Result<Read, DecryptError> {
        match delivered.kind {
            DeliveryKind::Welcome => self.join(entry, delivered, made),
            DeliveryKind::Application | DeliveryKind::Handshake => self.receive(entry, delivered, made),
            DeliveryKind::Unspecified => Ok(self.unreadable(delivered, "delivery of an unknown kind".to_owned())),
        }
    }

    fn unreadable(&self, delivered: &Delivered, reason: String) -> Read {
        let (conversation, seq) = (delivered.conversation, delivered.seq);
        self.events.raise(Event::Undecryptable { conversation, seq, reason: reason.clone() });
        Read::Unreadable(self.context(delivered, delivered.seq), reason, None)
    }

    fn join(&self, entry: &mut Entry, delivered: &Delivered, made: &mut Made) -> Result<Read, DecryptError> {
        let session = match self.engine.join(&delivered.payload) {
            Ok(session) if *session.conversation() == delivered.conversation => session,
            Ok(_) => return self.lose(entry, delivered, made, "welcome is of another conversation".to_owned()),
            Err(source) if source.is_of_state() => {
                return Err(DecryptError::Unread { conversation: delivered.conversation, source });
            }
            Err(error) if error.is_unknown_key_package() => {
                let (conversation, seq) = (delivered.conversation, delivered.seq);
                self.events.raise(Event::UnknownFallbackKey { conversation, seq });
                let reason = "welcome to a key package that this device does not hold".to_owned();
                return self.lose(entry, delivered, made, reason);
            }
            Err(error) => return self.lose(entry, delivered, made, format!("welcome cannot be used: {error}")),
        };
        let members = match session.members() {
            Ok(members) => members,
            Err(error) => return self.lose(entry, delivered, made, format!("members cannot be verified: {error}")),
        };
        let epoch = session.epoch();
        self.find(entry, delivered.seq, made);
        if entry.reports || self.strict.get() {
            follows(&session, made);
        }
        entry.session = Some(session);
        entry.others = None;
        let line = OwnedBody::Joined { members: users(&members), epoch };
        Ok(Read::OwnedBody(self.context(delivered, delivered.seq), line))
    }

    fn receive(&self, entry: &mut Entry, delivered: &Delivered, made: &mut Made) -> Result<Read, DecryptError> {
        if let Some(lost) = &entry.lost {
            let reason = lost.reason();
            return Ok(self.keep(entry, delivered, made, reason));
        }
        let Some(session) = &mut entry.session else {
            return self.lose(entry, delivered, made, "this device has no keys of the conversation".to_owned());
        };
        let received = session.receive(&delivered.payload);
        self.received(entry, delivered, received, made)
    }

    pub(super) fn received(
        &self,
        entry: &mut Entry,
        delivered: &Delivered,
        received: Result<Received, EngineError>,
        made: &mut Made,
    ) -> Result<Read, DecryptError> {
        let received = match received {
            Ok(received) => received,
            Err(error) => {
                let reason = format!("message cannot be decrypted: {error}");
                return match delivered.kind {
                    // the keys of the conversation go on without it: only this one is unreadable
                    DeliveryKind::Application => {
                        report_unread(entry, delivered, made);
                        Ok(self.unreadable(delivered, reason))
                    }
                    DeliveryKind::Handshake | DeliveryKind::Welcome | DeliveryKind::Unspecified => {
                        self.lose(entry, delivered, made, reason)
                    }
                };
            }
        };
        Ok(match received {
            Received::Application { sender, data } => self.application(entry, delivered, &sender, &data),
            Received::Commit { committer, added, removed, own, epoch } => {
                entry.others = None;
                let members = entry.session.as_ref().and_then(|session| session.members().ok());
                let mut members = members.unwrap_or_default();
                if own == Membership::Removed {
                    // the session has ended: it keeps the members from before
                    members.retain(|one| !removed.iter().chain(&added).any(|other| other.device == one.device));
                    members.extend(added.iter().cloned());
                }
                let line = membership(&members, &added, &removed, epoch);
                let context = self.authenticated(delivered, &committer);
                match (own, &entry.session) {
                    (Membership::Removed, _) => {
                        if let Some(left_out) = REMOVED.admits(Instant::now()) {
                            tracing::warn!(
                                conversation = %delivered.conversation, by = %committer.user, left_out,
                                "the bot was removed from a conversation"
                            );
                        }
                        entry.session = None;
                    }
                    (Membership::Member, Some(session)) if entry.reports || self.strict.get() => {
                        follows(session, made);
                    }
                    (Membership::Member, _) => {}
                }
                Read::OwnedBody(context, line)
            }
            Received::Proposal { sender, proposal, epoch } => {
                let context = match &sender {
                    Some(sender) => self.authenticated(delivered, sender),
                    None => self.context(delivered, delivered.seq),
                };
                let line = match (sender, proposal) {
                    (Some(sender), Proposed::Remove(gone)) if sender.device == gone.device => {
                        OwnedBody::Left(gone.user)
                    }
                    (None, Proposed::Add(_) | Proposed::Remove(_)) => OwnedBody::Keys(KeyAction::Retention, epoch),
                    _ => OwnedBody::Keys(KeyAction::Proposal, epoch),
                };
                Read::OwnedBody(context, line)
            }
        })
    }

    fn application(&self, entry: &mut Entry, delivered: &Delivered, sender: &Identity, data: &[u8]) -> Read {
        let mut context = self.authenticated(delivered, sender);
        if delivered.conversation.kind() == ConversationKind::Direct {
            if entry.others.is_none() {
                let members = entry.session.as_ref().and_then(|session| session.members().ok());
                entry.others = members.map(|members| users(&members));
            }
            let others = entry.others.as_deref().unwrap_or_default();
            context.receiver = others.iter().find(|user| **user != sender.user).cloned();
        }
        match Content::decode(data) {
            Ok(content) => {
                context.message_id = content.message_id;
                context.sent_at_micros = content.sent_at_micros;
                if announces_file(&content.body) {
                    Read::File(context, content)
                } else {
                    Read::OwnedBody(context, OwnedBody::Content(Box::new(content)))
                }
            }
            Err(error) => {
                if let ContentError::TooLarge { .. } = error {
                    self.counters.refusals.count(&CONTENT);
                }
                let reason = format!("content cannot be parsed: {error}");
                let (conversation, seq) = (delivered.conversation, delivered.seq);
                self.events.raise(Event::Undecryptable { conversation, seq, reason: reason.clone() });
                Read::Unreadable(context, reason, Some(data.to_vec()))
            }
        }
    }
}

/// The outcome of decrypting one message.
pub(super) enum Read {
    OwnedBody(Context, OwnedBody),
    File(Context, Content),
    /// With the reason, and the plaintext if there is one.
    Unreadable(Context, String, Option<Vec<u8>>),
}

/// An owned [`RecordBody`].
pub(super) enum OwnedBody {
    Content(Box<Content>),
    Membership { added: Vec<UserName>, deleted: Vec<UserName> },
    Left(UserName),
    Joined { members: Vec<UserName>, epoch: u64 },
    Keys(KeyAction<'static>, u64),
}

impl OwnedBody {
    pub(super) fn as_body(&self) -> RecordBody<'_> {
        match self {
            Self::Content(content) => RecordBody::Content { content, file: None },
            Self::Membership { added, deleted } => RecordBody::Membership { added, deleted },
            Self::Left(user) => RecordBody::Left { user },
            Self::Joined { members, epoch } => {
                RecordBody::KeyEvent { action: KeyAction::Joined { members }, epoch: *epoch }
            }
            Self::Keys(action, epoch) => RecordBody::KeyEvent { action: *action, epoch: *epoch },
        }
    }
}

pub(super) fn push(records: &mut RecordBuffer, context: &Context, body: RecordBody<'_>) -> Result<(), RecordError> {
    let record = Record { context: context.as_record(), body };
    records.push(context.received_micros, |out| record.append_line(out))
}

/// Users whose first device was added, and users whose last device was removed.
fn membership(members: &[Identity], added: &[Identity], removed: &[Identity], epoch: u64) -> OwnedBody {
    let devices = |all: &[Identity], user: &UserName| all.iter().filter(|one| one.user == *user).count();
    let mut came = users(added);
    came.retain(|user| devices(members, user) <= devices(added, user) && devices(removed, user) == 0);
    let mut left = users(removed);
    left.retain(|user| devices(members, user) == 0);
    if came.is_empty() && left.is_empty() {
        return OwnedBody::Keys(KeyAction::KeyUpdate, epoch);
    }
    OwnedBody::Membership { added: came, deleted: left }
}

/// Names of users, each once, in order, without bots.
fn users(members: &[Identity]) -> Vec<UserName> {
    let mut users: Vec<UserName> =
        members.iter().filter(|member| member.role != Role::Bot).map(|member| member.user.clone()).collect();
    users.sort_unstable();
    users.dedup();
    users
}
