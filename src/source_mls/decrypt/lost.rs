//! Conversations that cannot be followed. What one of them contains must not stop the others, and costs no message: each is
//! recorded with its ciphertext, and kept in the state as well, so that another release may read it.
//!
//! A conversation is lost by a handshake or a Welcome that MLS refuses or panics on, by a stored state that cannot be loaded, by
//! one that has become too large to be stored, and by any panic while its messages are processed. A message that cannot be
//! decrypted is not enough: the keys go on without it. It is found again when the bot is added again.
//!
//! The network is told, once that is durable ([`Reported`]): it stops a conversation that is lost, and brings the bot back.

use std::time::Instant;

use retaind_archive::record::{FileOutcome, RecordBody};
use retaind_bot::batch::{Context, RecordBuffer};
use retaind_core::sparing::Sparing;
use retaind_device::mls::Session;
use retaind_device::store::KeptDelivery;
use retaind_protocol::wire::{Follows, Lost as ReportLost, Reported, Unread};
use retaind_report::events::Event;

use super::entry::Entry;
use super::read::{Read, push};
use super::session::stored;
use super::turn::Made;
use super::{DecryptError, Worker};
use crate::change::LostStep;
use crate::delivery::Delivered;
use crate::limits::KEPT_OF_CONVERSATION;

/// A member can cause it in each of its conversations.
static ARCHIVED_AGAIN: Sparing = Sparing::new();

/// A conversation that cannot be followed.
#[derive(Debug, Clone)]
pub(super) struct Lost {
    since: u64,
    why: String,
    /// Bytes of its messages that were kept.
    kept_bytes: u64,
}

impl Lost {
    pub(super) fn new(since: u64, why: String, kept_bytes: u64) -> Self {
        Self { since, why, kept_bytes }
    }

    /// For the records of its messages.
    pub(super) fn reason(&self) -> String {
        format!("conversation cannot be followed since message {}: {}", self.since, self.why)
    }
}

impl Worker {
    /// From this message on the conversation cannot be followed.
    pub(super) fn lose(
        &self,
        entry: &mut Entry,
        delivered: &Delivered,
        made: &mut Made,
        reason: String,
    ) -> Result<Read, DecryptError> {
        if entry.lost.is_none() {
            let (conversation, since) = (delivered.conversation, delivered.seq);
            let session = match entry.session.take() {
                // as it was before this message: what is stored may be older by this turn, and is what is left if this one
                // cannot be stored
                Some(mut session) => stored(&mut session).ok(),
                None => None,
            };
            made.lost.push(LostStep::Begin {
                since,
                reason: reason.clone(),
                session: session.map(|session| (entry.before(since), session)),
            });
            self.events.raise(Event::ConversationLost { conversation, seq: since, reason: reason.clone() });
            entry.lost = Some(Lost::new(since, reason.clone(), 0));
            entry.others = None;
        }
        // a Welcome that cannot be used is another try that failed: the network makes the next one
        made.reports.push(Reported::Lost(ReportLost { seq: delivered.seq }));
        Ok(self.keep(entry, delivered, made, reason))
    }

    /// Records a message of a lost conversation with its ciphertext, and keeps it to be tried again.
    pub(super) fn keep(&self, entry: &mut Entry, delivered: &Delivered, made: &mut Made, reason: String) -> Read {
        if let Some(lost) = &mut entry.lost {
            lost.kept_bytes =
                lost.kept_bytes.saturating_add(u64::try_from(delivered.payload.len()).unwrap_or(u64::MAX));
            if lost.kept_bytes <= KEPT_OF_CONVERSATION.value {
                made.lost.push(LostStep::Keep { since: lost.since, delivery: kept(delivered) });
            } else {
                self.counters.refusals.count(&KEPT_OF_CONVERSATION);
            }
        }
        let context: Context = self.context(delivered, delivered.seq);
        Read::Unreadable(context, reason, None)
    }

    /// Reads messages with keys of before: up to the first that still cannot be followed.
    pub(crate) fn read_again(
        &self,
        session: Session,
        kept: Vec<Delivered>,
    ) -> Result<(RecordBuffer, Option<(u64, String)>), DecryptError> {
        let mut entry = Entry { session: Some(session), ..Entry::default() };
        let mut records = RecordBuffer::default();
        let mut expected = None;
        for delivered in kept {
            if let Some(seq) = expected.replace(delivered.seq.saturating_add(1)).filter(|seq| *seq != delivered.seq) {
                let reason = "it never came, or there was no room to keep it here as well".to_owned();
                return Ok((records, Some((seq, reason))));
            }
            let mut made = Made::default();
            match self.record(&mut entry, &delivered, &mut made)? {
                Read::OwnedBody(context, line) => push(&mut records, &context, line.as_body())?,
                Read::File(context, content) => {
                    let reason = "not fetched: read again after the conversation was lost".to_owned();
                    let missing = FileOutcome::Missing { reason };
                    push(&mut records, &context, RecordBody::Content { content: &content, file: Some(&missing) })?;
                }
                Read::Unreadable(_, reason, _) => return Ok((records, Some((delivered.seq, reason)))),
            }
        }
        Ok((records, None))
    }

    /// The device was added again by the message `seq`.
    pub(super) fn find(&self, entry: &mut Entry, seq: u64, made: &mut Made) {
        if let Some(lost) = entry.lost.take() {
            if let Some(left_out) = ARCHIVED_AGAIN.admits(Instant::now()) {
                tracing::info!(
                    since = lost.since,
                    seq,
                    left_out,
                    "a conversation that could not be followed is archived again"
                );
            }
            made.lost.push(LostStep::End { seq });
            entry.reports = true;
        }
    }
}

/// Tells the network that the device has the keys of this epoch.
pub(super) fn follows(session: &Session, made: &mut Made) {
    match session.context() {
        Ok(context) => made.reports.push(Reported::Follows(Follows { epoch: session.epoch(), context })),
        Err(error) => tracing::error!(%error, "the context of a conversation cannot be encoded"),
    }
}

/// Tells the network that the device that sent this could not be read.
pub(super) fn report_unread(entry: &Entry, delivered: &Delivered, made: &mut Made) {
    if let (Some(device), Some(session)) = (&delivered.sender_device, &entry.session) {
        let unread = Unread { device: device.as_bytes().to_vec(), epoch: session.epoch() };
        made.reports.push(Reported::Unread(unread));
    }
}

fn kept(delivered: &Delivered) -> KeptDelivery {
    KeptDelivery {
        seq: delivered.seq,
        kind: i32::from(delivered.kind),
        sender_user: delivered.sender_user.as_ref().map(ToString::to_string),
        sender_device: delivered.sender_device.map(|device| device.as_bytes().to_vec()),
        accepted_micros: delivered.accepted_at_micros,
        received_micros: delivered.received_at_micros,
        payload: delivered.payload.clone(),
    }
}
