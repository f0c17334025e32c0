//! Reading what is due to a device. A device's queue is its membership rows over the conversation's messages.
//!
//! Runs on read connections, beside the writer. Reads are ranges of message ids; nothing is searched.

use rusqlite::{Connection, OptionalExtension};

use crate::error::{ChangeError, refuse};
use crate::store::{message_id, seq_of};
use retaind_protocol::ids::ConversationId;
use retaind_protocol::wire::{
    ConversationState, Conversations, Deliveries, Delivery, DeliveryKind, Fetch, ListConversations, RefusalCode,
};

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

/// All conversations that the device is a member of or has messages of.
pub(crate) fn memberships(connection: &Connection, device: i64) -> rusqlite::Result<Vec<Membership>> {
    let mut statement = connection.prepare_cached(
        "SELECT m.conversation, c.conversation, c.head_seq, m.from_seq, m.until_seq, m.acked_seq, m.welcomed
         FROM members m JOIN conversations c ON c.id = m.conversation
         WHERE m.device = ? ORDER BY m.conversation, m.from_seq",
    )?;
    let mut rows = statement.query([device])?;
    let mut memberships: Vec<Membership> = Vec::new();
    while let Some(row) = rows.next()? {
        let conversation: i64 = row.get(0)?;
        let stint =
            Stint { from_seq: row.get(3)?, until_seq: row.get(4)?, acked_seq: row.get(5)?, welcomed: row.get(6)? };
        match memberships.last_mut() {
            Some(last) if last.conversation == conversation => last.stints.push(stint),
            Some(_) | None => memberships.push(Membership {
                conversation,
                id: row.get(1)?,
                head_seq: row.get(2)?,
                stints: vec![stint],
            }),
        }
    }
    Ok(memberships)
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

/// Reads as much as the budget allows, but at least one message if there is any.
pub(crate) fn read(
    connection: &Connection,
    wanted: Wanted<'_>,
    select: Select,
    budget: Budget,
) -> rusqlite::Result<Read> {
    let Wanted { conversation, id, stint, after, head } = wanted;
    let first = after.saturating_add(1).max(stint.from_seq);
    let last = stint.until_seq.unwrap_or(head).min(head);
    let mut read = Read { deliveries: Vec::new(), through_seq: after.max(last) };
    if first > last {
        read.through_seq = after;
        return Ok(read);
    }
    let sql = match select {
        Select::All => {
            "SELECT m.id, m.kind, m.accepted_at_micros, m.payload, d.device, d.user
             FROM messages m LEFT JOIN devices d ON d.id = m.sender WHERE m.id BETWEEN ? AND ? ORDER BY m.id"
        }
        Select::HandshakesOnly => {
            "SELECT m.id, m.kind, m.accepted_at_micros, m.payload, d.device, d.user
             FROM messages m INDEXED BY handshakes LEFT JOIN devices d ON d.id = m.sender
             WHERE m.kind = 2 AND m.id BETWEEN ? AND ? ORDER BY m.id"
        }
    };
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((message_id(conversation, first), message_id(conversation, last)))?;
    let mut bytes = 0usize;
    while let Some(row) = rows.next()? {
        let message: i64 = row.get(0)?;
        let seq = seq_of(message);
        let (mut kind, mut payload): (i32, Vec<u8>) = (row.get(1)?, row.get(3)?);
        if stint.welcomed && seq == stint.from_seq {
            kind = DeliveryKind::Welcome.into();
            payload = welcome(connection, message)?.unwrap_or_default();
        }
        let full = read.deliveries.len() >= budget.messages || bytes.saturating_add(payload.len()) > budget.bytes;
        if full && !read.deliveries.is_empty() {
            read.through_seq = seq.saturating_sub(1);
            break;
        }
        bytes = bytes.saturating_add(payload.len());
        read.deliveries.push(Delivery {
            conversation: id.to_owned(),
            seq,
            kind,
            sender_device: row.get::<_, Option<Vec<u8>>>(4)?.unwrap_or_default(),
            sender_user: row.get::<_, Option<String>>(5)?.unwrap_or_default(),
            accepted_at_micros: row.get(2)?,
            payload,
        });
    }
    Ok(read)
}

fn welcome(connection: &Connection, message: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT payload FROM welcomes WHERE id = ?")?
        .query_row([message], |row| row.get(0))
        .optional()
}

/// Answers a [`Fetch`] of the device.
pub(crate) fn fetch(connection: &Connection, device: i64, request: &Fetch) -> Result<Deliveries, ChangeError> {
    let Ok(id) = request.conversation.parse::<ConversationId>() else {
        return refuse(RefusalCode::Invalid, "`conversation` is not a conversation id");
    };
    let found: Option<(i64, u64)> = connection
        .prepare_cached("SELECT id, head_seq FROM conversations WHERE conversation = ?")?
        .query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((conversation, head_seq)) = found else {
        return refuse(RefusalCode::NotFound, format!("no conversation `{id}`"));
    };
    let stints: Vec<Stint> = connection
        .prepare_cached(
            "SELECT from_seq, until_seq, acked_seq, welcomed FROM members WHERE conversation = ? AND device = ?
             ORDER BY from_seq",
        )?
        .query_map((conversation, device), |row| {
            Ok(Stint { from_seq: row.get(0)?, until_seq: row.get(1)?, acked_seq: row.get(2)?, welcomed: row.get(3)? })
        })?
        .collect::<Result<_, _>>()?;
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
        let read = read(connection, wanted, select, budget)?;
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
pub(crate) fn list(
    connection: &Connection,
    device: i64,
    request: &ListConversations,
) -> rusqlite::Result<Conversations> {
    let mut conversations: Vec<ConversationState> = connection
        .prepare_cached(
            "SELECT c.conversation, max(m.acked_seq),
                    CASE WHEN count(*) = count(m.until_seq) THEN max(m.until_seq) ELSE c.head_seq END
             FROM members m JOIN conversations c ON c.id = m.conversation
             WHERE m.device = ? AND c.conversation > ? GROUP BY c.conversation ORDER BY c.conversation LIMIT ?",
        )?
        .query_map((device, &request.after, PAGE_CONVERSATIONS + 1), |row| {
            Ok(ConversationState { conversation: row.get(0)?, acknowledged_seq: row.get(1)?, head_seq: row.get(2)? })
        })?
        .collect::<Result<_, _>>()?;
    let more = conversations.len() > PAGE_CONVERSATIONS;
    conversations.truncate(PAGE_CONVERSATIONS);
    Ok(Conversations { conversations, more })
}
