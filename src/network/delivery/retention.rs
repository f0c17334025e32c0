//! Bringing the bot into conversations that lack it, when data retention is switched on or a bot gets a new device.
//!
//! The network cannot add anybody: it proposes, as external sender, and accepts no message until a member has committed.
//! All conversations are looked through in ranges, beside the writer; only those that lack a bot cost it anything.

use std::fmt::Write;

use rusqlite::Connection;

use crate::directory::Policy;

/// Conversations looked at in one read.
const RANGE: i64 = 2048;

/// One range of the search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lacking {
    /// Conversations (rows) that lack a bot.
    pub(crate) conversations: Vec<i64>,
    /// Where to go on; nothing when all were looked at.
    pub(crate) next: Option<i64>,
}

/// Conversations after `after` with members but without all required devices.
pub(crate) fn lacking(connection: &Connection, policy: &Policy, after: i64) -> rusqlite::Result<Lacking> {
    if policy.required.is_empty() {
        return Ok(Lacking { conversations: Vec::new(), next: None });
    }
    let last: Option<i64> =
        connection.prepare_cached("SELECT max(id) FROM conversations")?.query_row([], |row| row.get(0))?;
    let mut devices = String::new();
    for device in &policy.required {
        // row ids are numbers of our own; writing to a string does not fail
        let _infallible = write!(devices, "{}{}", if devices.is_empty() { "" } else { "," }, device.row);
    }
    let sql = format!(
        "SELECT c.id FROM conversations c WHERE c.id > ?1 AND c.id <= ?2
         AND EXISTS(SELECT 1 FROM members WHERE conversation = c.id AND until_seq IS NULL)
         AND (SELECT count(*) FROM members WHERE conversation = c.id AND until_seq IS NULL AND device IN ({devices})) < ?3"
    );
    let until = after.saturating_add(RANGE);
    let conversations = connection
        .prepare(&sql)?
        .query_map((after, until, policy.required.len()), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(Lacking { conversations, next: last.filter(|last| *last > until).map(|_| until) })
}
