//! Reading queues: the membership rows of a device over the messages of its conversations, as ranges of message ids.

use std::fmt::Write;

use rusqlite::{Connection, OptionalExtension};

use super::store::{message_id, seq_of};
use crate::delivery::queue::{Budget, Membership, Read, Select, Stint, Wanted};
use retaind_protocol::wire::{ConversationState, Delivery, DeliveryKind};

pub(super) fn memberships(connection: &Connection, device: i64) -> rusqlite::Result<Vec<Membership>> {
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

pub(super) fn stints(connection: &Connection, conversation: i64, device: i64) -> rusqlite::Result<Vec<Stint>> {
    connection
        .prepare_cached(
            "SELECT from_seq, until_seq, acked_seq, welcomed FROM members WHERE conversation = ? AND device = ?
             ORDER BY from_seq",
        )?
        .query_map((conversation, device), |row| {
            Ok(Stint { from_seq: row.get(0)?, until_seq: row.get(1)?, acked_seq: row.get(2)?, welcomed: row.get(3)? })
        })?
        .collect()
}

pub(super) fn read(
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

pub(super) fn states(
    connection: &Connection,
    device: i64,
    after: &str,
    most: usize,
) -> rusqlite::Result<Vec<ConversationState>> {
    connection
        .prepare_cached(
            "SELECT c.conversation, max(m.acked_seq),
                    CASE WHEN count(*) = count(m.until_seq) THEN max(m.until_seq) ELSE c.head_seq END
             FROM members m JOIN conversations c ON c.id = m.conversation
             WHERE m.device = ? AND c.conversation > ? GROUP BY c.conversation ORDER BY c.conversation LIMIT ?",
        )?
        .query_map((device, after, most), |row| {
            Ok(ConversationState { conversation: row.get(0)?, acknowledged_seq: row.get(1)?, head_seq: row.get(2)? })
        })?
        .collect()
}

pub(super) fn lacking(
    connection: &Connection,
    devices: &[i64],
    after: i64,
    through: i64,
) -> rusqlite::Result<(Vec<i64>, Option<i64>)> {
    let last = connection.prepare_cached("SELECT max(id) FROM conversations")?.query_row([], |row| row.get(0))?;
    let mut list = String::new();
    for device in devices {
        // row ids are numbers of our own; writing to a string does not fail
        let _infallible = write!(list, "{}{device}", if list.is_empty() { "" } else { "," });
    }
    let sql = format!(
        "SELECT c.id FROM conversations c WHERE c.id > ?1 AND c.id <= ?2
         AND EXISTS(SELECT 1 FROM members WHERE conversation = c.id AND until_seq IS NULL)
         AND (SELECT count(*) FROM members WHERE conversation = c.id AND until_seq IS NULL AND device IN ({list})) < ?3"
    );
    let conversations = connection
        .prepare(&sql)?
        .query_map((after, through, devices.len()), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok((conversations, last))
}
