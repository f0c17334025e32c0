//! Reading what is due to a device. A device's queue is its membership rows over the conversation's messages.
//!
//! Runs on views, beside the writer. Reads are ranges of messages; nothing is searched.

use super::entry::ConversationRow;
use crate::error::{ChangeError, refuse};
use crate::ledger::{LedgerError, View};
use retaind_protocol::ids::ConversationId;
use retaind_protocol::wire::{Conversations, Deliveries, Delivery, Fetch, ListConversations, RefusalCode};

/// Largest answer to one fetch: well below a frame.
pub(crate) const FETCH_BYTES_MAX: usize = 4 * 1024 * 1024;
const FETCH_MESSAGES_MAX: usize = 4096;
const PAGE_CONVERSATIONS: usize = 1000;

/// One time of membership: a device that was removed and added again has several, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stint {
    pub(crate) from_seq: u64,
    pub(crate) until_seq: Option<u64>,
    pub(crate) acked_seq: u64,
    /// Does the device get a Welcome in place of the first message?
    pub(crate) welcomed: bool,
}

/// A conversation of a device, with its stints.
#[derive(Debug, Clone)]
pub(crate) struct Membership {
    pub(crate) conversation: i64,
    pub(crate) id: String,
    pub(crate) head_seq: u64,
    pub(crate) stints: Vec<Stint>,
}

/// What to leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Select {
    All,
    HandshakesOnly,
}

/// How much to read at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// Which messages to read: those of one stint with a greater `seq` than `after`, up to `head`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) conversation: i64,
    pub(crate) id: &'a str,
    pub(crate) stint: &'a Stint,
    pub(crate) after: u64,
    pub(crate) head: u64,
}

/// A range that was read.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) deliveries: Vec<Delivery>,
    /// Everything up to here was read or left out on purpose.
    pub(crate) through_seq: u64,
}

/// Answers a [`Fetch`] of the device.
pub(crate) fn fetch(view: &dyn View, device: i64, request: &Fetch) -> Result<Deliveries, ChangeError> {
    let Ok(id) = request.conversation.parse::<ConversationId>() else {
        return refuse(RefusalCode::Invalid, "`conversation` is not a conversation id");
    };
    let Some(ConversationRow { row: conversation, head_seq, .. }) = view.conversation(&id)? else {
        return refuse(RefusalCode::NotFound, format!("no conversation `{id}`"));
    };
    let stints = view.stints(conversation, device)?;
    let Some(last) = stints.last() else {
        return refuse(RefusalCode::NotMember, format!("this device is not a member of `{id}`"));
    };
    // what comes after a removal is not told, not even that it is there
    let head_seq = last.until_seq.unwrap_or(head_seq);
    let select = if request.handshakes_only { Select::HandshakesOnly } else { Select::All };
    let bytes = usize::try_from(request.bytes_max).unwrap_or(FETCH_BYTES_MAX).min(FETCH_BYTES_MAX);
    let mut budget = Budget { messages: FETCH_MESSAGES_MAX, bytes };
    let mut answer = Deliveries { deliveries: Vec::new(), through_seq: request.after_seq, head_seq };
    for stint in &stints {
        let last = stint.until_seq.unwrap_or(head_seq);
        if last <= answer.through_seq {
            continue;
        }
        if !answer.deliveries.is_empty() && (budget.messages == 0 || budget.bytes == 0) {
            break;
        }
        let wanted = Wanted { conversation, id: id.as_str(), stint, after: answer.through_seq, head: head_seq };
        let read = view.read(wanted, select, budget)?;
        answer.through_seq = read.through_seq;
        budget.messages = budget.messages.saturating_sub(read.deliveries.len());
        let taken: usize = read.deliveries.iter().map(|delivery| delivery.payload.len()).sum();
        budget.bytes = budget.bytes.saturating_sub(taken);
        answer.deliveries.extend(read.deliveries);
        if read.through_seq < last {
            break;
        }
    }
    Ok(answer)
}

/// Answers a [`ListConversations`] of the device.
pub(crate) fn list(view: &dyn View, device: i64, request: &ListConversations) -> Result<Conversations, LedgerError> {
    let mut conversations = view.states(device, &request.after, PAGE_CONVERSATIONS + 1)?;
    let more = conversations.len() > PAGE_CONVERSATIONS;
    conversations.truncate(PAGE_CONVERSATIONS);
    Ok(Conversations { conversations, more })
}
