//! Conversations that a device cannot follow, in its state: since when and why, its keys from before, and what was delivered
//! since, so that another release may read it.

use std::path::Path;
use std::time::Duration;

use retaind_protocol::ids::ConversationId;
use retaind_state::{Store, StoreError, Writer};
use rusqlite::{Connection, OpenFlags, params};

use super::Secret;

/// The tables. A row of `lost` has the session as it was stored when the conversation was lost; `ended`: the message by which
/// the device was added again.
pub(super) const LOST: &str = "
    CREATE TABLE IF NOT EXISTS lost (
        conversation TEXT NOT NULL, since INTEGER NOT NULL, reason TEXT NOT NULL, secrets BLOB, tree BLOB,
        ended INTEGER, PRIMARY KEY (conversation, since)) STRICT;
    CREATE TABLE IF NOT EXISTS lost_delivery (
        conversation TEXT NOT NULL, since INTEGER NOT NULL, seq INTEGER NOT NULL, kind INTEGER NOT NULL,
        sender_user TEXT, sender_device BLOB, accepted_micros INTEGER NOT NULL, received_micros INTEGER NOT NULL,
        payload BLOB NOT NULL, PRIMARY KEY (conversation, since, seq)) STRICT;
";

/// What a message that is kept occupies beside its bytes.
pub const KEPT_ROW_BYTES: u64 = 256;

/// How long [`count_lost`] waits for a writer.
const LOOK_TIME: Duration = Duration::from_secs(1);

/// A conversation that cannot be followed, or could not be for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostConversation {
    /// The conversation.
    pub conversation: ConversationId,
    /// The first message that could not be followed.
    pub since: u64,
    /// Why; no content.
    pub reason: String,
    /// The message by which the device was added again.
    pub ended: Option<u64>,
    /// Messages that are kept to be tried again.
    pub kept: u64,
}

/// How a conversation was last lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostStanding {
    /// The first message that could not be followed.
    pub since: u64,
    /// Why; no content.
    pub reason: String,
    /// Bytes of its messages that are kept.
    pub kept_bytes: u64,
    /// Was the device added again?
    pub ended: bool,
}

/// A message of such a conversation, as it was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptDelivery {
    /// Its place.
    pub seq: u64,
    /// The number of its [`DeliveryKind`](retaind_protocol::wire::DeliveryKind).
    pub kind: i32,
    /// User that the network names as sender.
    pub sender_user: Option<String>,
    /// Device that the network names as sender.
    pub sender_device: Option<Vec<u8>>,
    /// When the network accepted it, microseconds since 1970.
    pub accepted_micros: i64,
    /// When it was received, microseconds since 1970.
    pub received_micros: i64,
    /// The MLS message.
    pub payload: Vec<u8>,
}

const ALL: &str = "SELECT conversation, since, reason, ended,
        (SELECT count(*) FROM lost_delivery d WHERE d.conversation = lost.conversation AND d.since = lost.since)
    FROM lost ORDER BY conversation, since";

/// How many conversations the state at `path` cannot follow now. Needs no password, and waits for nobody for long.
pub fn count_lost(path: &Path) -> rusqlite::Result<u64> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(LOOK_TIME)?;
    connection.query_row("SELECT count(*) FROM lost WHERE ended IS NULL", [], |row| row.get(0))
}

/// Look-ups.
pub trait LostState {
    /// How this conversation was last lost; `None`: it never was.
    fn lost(&self, conversation: &ConversationId) -> Result<Option<LostStanding>, StoreError>;
    /// All of them, also those that have ended.
    fn all_lost(&self) -> Result<Vec<LostConversation>, StoreError>;
    /// The session of before, as it was stored: secrets and tree.
    fn lost_session(&self, conversation: &ConversationId, since: u64) -> Result<Option<(Secret, Secret)>, StoreError>;
    /// Bytes of all messages that are kept, with [`KEPT_ROW_BYTES`] for each.
    fn kept_bytes(&self) -> Result<u64, StoreError>;
    /// What was delivered since, in order.
    fn kept_deliveries(&self, conversation: &ConversationId, since: u64) -> Result<Vec<KeptDelivery>, StoreError>;
}

impl LostState for Store {
    fn lost(&self, conversation: &ConversationId) -> Result<Option<LostStanding>, StoreError> {
        let sql = "SELECT since, reason, ended IS NOT NULL, (SELECT coalesce(sum(length(payload)), 0)
                   FROM lost_delivery d WHERE d.conversation = lost.conversation AND d.since = lost.since)
                   FROM lost WHERE conversation=?1 ORDER BY since DESC LIMIT 1";
        self.row(sql, conversation.as_str(), |row| {
            let (since, reason, ended, kept_bytes) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            Ok(LostStanding { since, reason, kept_bytes, ended })
        })
    }

    fn all_lost(&self) -> Result<Vec<LostConversation>, StoreError> {
        let rows =
            self.rows(ALL, |row| Ok((row.get::<_, String>(0)?, (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))))?;
        rows.into_iter()
            .map(|(id, (since, reason, ended, kept))| {
                let conversation = id.parse().map_err(|_| StoreError::Malformed("conversation id"))?;
                Ok(LostConversation { conversation, since, reason, ended, kept })
            })
            .collect()
    }

    fn lost_session(&self, conversation: &ConversationId, since: u64) -> Result<Option<(Secret, Secret)>, StoreError> {
        let id = conversation.as_str();
        let sql = "SELECT secrets, tree FROM lost
                   WHERE conversation=?1 AND since=?2 AND secrets IS NOT NULL AND tree IS NOT NULL";
        let rows: Vec<(Vec<u8>, Vec<u8>)> =
            self.rows_of(sql, params![id, since], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let Some((secrets, tree)) = rows.into_iter().next() else { return Ok(None) };
        Ok(Some((self.unseal("session", id.as_bytes(), &secrets)?, self.unseal("tree", id.as_bytes(), &tree)?)))
    }

    fn kept_bytes(&self) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(sum(length(payload) + ?1), 0) FROM lost_delivery";
        Ok(self.row(sql, KEPT_ROW_BYTES, |row| row.get(0))?.unwrap_or(0))
    }

    fn kept_deliveries(&self, conversation: &ConversationId, since: u64) -> Result<Vec<KeptDelivery>, StoreError> {
        let sql = "SELECT seq, kind, sender_user, sender_device, accepted_micros, received_micros, payload
                   FROM lost_delivery WHERE conversation=?1 AND since=?2 ORDER BY seq";
        self.rows_of(sql, params![conversation.as_str(), since], |row| {
            Ok(KeptDelivery {
                seq: row.get(0)?,
                kind: row.get(1)?,
                sender_user: row.get(2)?,
                sender_device: row.get(3)?,
                accepted_micros: row.get(4)?,
                received_micros: row.get(5)?,
                payload: row.get(6)?,
            })
        })
    }
}

/// Changes.
pub trait LostWriter {
    /// From this message on the conversation cannot be followed. Its session, as it is stored now, is kept aside.
    fn begin_lost(&self, conversation: &ConversationId, since: u64, reason: &str) -> Result<(), StoreError>;
    /// Keeps a message of a lost conversation.
    fn keep_delivery(&self, conversation: &ConversationId, since: u64, kept: &KeptDelivery) -> Result<(), StoreError>;
    /// The device was added again by the message `seq`.
    fn end_lost(&self, conversation: &ConversationId, seq: u64) -> Result<(), StoreError>;
    /// Forgets its keys and what was kept of it: it has been read, or is given up. That it was lost stays: the network waits
    /// for reports of it.
    fn forget_lost(&self, conversation: &ConversationId, since: u64) -> Result<(), StoreError>;
}

impl LostWriter for Writer<'_> {
    fn begin_lost(&self, conversation: &ConversationId, since: u64, reason: &str) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO lost (conversation, since, reason, secrets, tree)
                   VALUES (?1, ?2, ?3, (SELECT secrets FROM session WHERE conversation=?1),
                           (SELECT tree FROM tree WHERE conversation=?1))";
        self.execute(sql, params![conversation.as_str(), since, reason])
    }

    fn keep_delivery(&self, conversation: &ConversationId, since: u64, kept: &KeptDelivery) -> Result<(), StoreError> {
        let KeptDelivery { seq, kind, sender_user, sender_device, accepted_micros, received_micros, payload } = kept;
        let sql = "INSERT OR REPLACE INTO lost_delivery VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let id = conversation.as_str();
        self.execute(
            sql,
            params![id, since, seq, kind, sender_user, sender_device, accepted_micros, received_micros, payload],
        )
    }

    fn end_lost(&self, conversation: &ConversationId, seq: u64) -> Result<(), StoreError> {
        let sql = "UPDATE lost SET ended=?2 WHERE conversation=?1 AND ended IS NULL";
        self.execute(sql, params![conversation.as_str(), seq])
    }

    fn forget_lost(&self, conversation: &ConversationId, since: u64) -> Result<(), StoreError> {
        let id = conversation.as_str();
        self.execute("DELETE FROM lost_delivery WHERE conversation=?1 AND since=?2", params![id, since])?;
        self.execute("UPDATE lost SET secrets=NULL, tree=NULL WHERE conversation=?1 AND since=?2", params![id, since])
    }
}
