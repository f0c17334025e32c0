//! A device's tables in its state: its identity, key packages, one state a conversation, all sealed by the vault.
//!
//! Two traits on a [`Store`]: [`DeviceState`] looks up, [`DeviceWriter`] changes in a transaction.
//! The bot's own tables are in the same file, so that MLS state, cursor, segment and ship queue of a batch are one transaction.
//!
//! Only ids of conversations, cursors and sizes are unencrypted. A cursor has a [guard](retaind_state::guard::guard).

use std::sync::{Arc, Mutex, PoisonError};

use prost::Message;
use retaind_protocol::endpoint::Endpoint;
use retaind_protocol::ids::ConversationId;
pub use retaind_state::{Access, Store, StoreError, Writer};
use retaind_state::{Guard, META, guard, schema::Step};
use rusqlite::params;
use zeroize::Zeroizing;

mod lost;

use self::lost::LOST;
pub use self::lost::{KEPT_ROW_BYTES, KeptDelivery, LostConversation, LostStanding, LostState, LostWriter, count_lost};
use super::mls::{KeyPackages, NewKeyPackage, NotRead, StoredSession};

/// The versions of a state file, see [`retaind_state::schema`]. The tables that the bot keeps beside these share the file's version:
/// a step that changes those asks first whether they exist, as a client's file has none; new ones are made in the newest version.
pub const STEPS: &[Step] = &[
    |connection| connection.execute_batch(META).and_then(|()| connection.execute_batch(SCHEMA)),
    |connection| connection.execute_batch(LOST),
    // nothing of the device's: a bot of before evidence would seal files without entries, so it must refuse this file
    |_| Ok(()),
];

/// Identity of the device, and the network that it belongs to.
#[derive(Clone, PartialEq, Message)]
pub struct StoredIdentity {
    /// `host:port` of the network.
    #[prost(string, tag = "1")]
    pub address: String,
    /// TLS name of the network.
    #[prost(string, tag = "2")]
    pub server_name: String,
    /// DER certificate of the authority that vouches for that name.
    #[prost(bytes = "vec", tag = "3")]
    pub ca_der: Vec<u8>,
    /// Name of the network.
    #[prost(string, tag = "4")]
    pub network_id: String,
    /// The network's authentication key.
    #[prost(bytes = "vec", tag = "5")]
    pub authentication_key: Vec<u8>,
    /// MLS cipher suite.
    #[prost(uint32, tag = "6")]
    pub cipher_suite: u32,
    /// Encoded [`SignedCredential`](retaind_protocol::credential::SignedCredential); empty until registered.
    #[prost(bytes = "vec", tag = "7")]
    pub credential: Vec<u8>,
}

impl StoredIdentity {
    /// Where the network is.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { address: self.address.clone(), server_name: self.server_name.clone(), ca_der: self.ca_der.clone() }
    }
}

/// The key of a registration: asked again with the same key, the network returns the same device.
#[derive(Clone, PartialEq, Message)]
pub struct StoredBeginning {
    /// Name of the network.
    #[prost(string, tag = "1")]
    pub network_id: String,
    /// MLS cipher suite of the key.
    #[prost(uint32, tag = "2")]
    pub cipher_suite: u32,
    /// Public part of the key.
    #[prost(bytes = "vec", tag = "3")]
    pub public_key: Vec<u8>,
    /// SHA-256 of the proof of the registration: another invite is another registration.
    #[prost(bytes = "vec", tag = "4")]
    pub claim: Vec<u8>,
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS key_package (reference BLOB PRIMARY KEY, secret BLOB NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS session (
        conversation TEXT PRIMARY KEY, cursor INTEGER NOT NULL, guard BLOB NOT NULL, secrets BLOB) STRICT;
    CREATE TABLE IF NOT EXISTS tree (conversation TEXT PRIMARY KEY, tree BLOB NOT NULL) STRICT;
";

// updated in place: a replaced row would move to another page, and each commit write more pages
const PUT_SESSION: &str = "INSERT INTO session VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (conversation) DO UPDATE SET cursor=excluded.cursor, guard=excluded.guard, secrets=excluded.secrets";
const PUT_TREE: &str = "INSERT INTO tree VALUES (?1, ?2) ON CONFLICT (conversation) DO UPDATE SET tree=excluded.tree";

/// A secret from the state, wiped on drop.
pub type Secret = Zeroizing<Vec<u8>>;

/// A device's look-ups in its state.
pub trait DeviceState {
    /// Identity of this device, once it is registered, and the secret part of its signature key.
    fn identity(&self) -> Result<Option<(StoredIdentity, Secret)>, StoreError>;
    /// Stores the identity of this device.
    fn set_identity(&mut self, identity: &StoredIdentity, key: &[u8]) -> Result<(), StoreError>;
    /// A registration that is not known to have ended, with the secret part of its key.
    fn beginning(&self) -> Result<Option<(StoredBeginning, Secret)>, StoreError>;
    /// Stores the key of a registration before the network is asked.
    fn set_beginning(&mut self, beginning: &StoredBeginning, key: &[u8]) -> Result<(), StoreError>;
    /// Last processed `seq` of a conversation; `None` if nothing was processed.
    fn cursor(&self, conversation: &ConversationId) -> Result<Option<u64>, StoreError>;
    /// Stored state of a conversation: cursor, secrets, tree.
    fn session(&self, conversation: &ConversationId) -> Result<Option<(u64, Secret, Secret)>, StoreError>;
    /// All conversations of which something was processed, with their cursors.
    fn conversations(&self) -> Result<Vec<(ConversationId, u64)>, StoreError>;
    /// Checks every guard: a damaged cursor is found before it can do harm.
    fn verify(&self) -> Result<(), StoreError>;
}

impl DeviceState for Store {
    fn identity(&self) -> Result<Option<(StoredIdentity, Secret)>, StoreError> {
        let (Some(identity), Some(key)) = (self.meta("identity")?, self.meta("signature_key")?) else {
            return Ok(None);
        };
        let identity = StoredIdentity::decode(identity.as_slice()).map_err(|_| StoreError::Malformed("identity"))?;
        Ok(Some((identity, key)))
    }

    fn set_identity(&mut self, identity: &StoredIdentity, key: &[u8]) -> Result<(), StoreError> {
        self.write(|tx| {
            tx.put_meta("identity", &identity.encode_to_vec())?;
            tx.put_meta("signature_key", key)?;
            tx.execute("DELETE FROM meta WHERE name='beginning'", [])
        })
    }

    fn beginning(&self) -> Result<Option<(StoredBeginning, Secret)>, StoreError> {
        let (Some(beginning), Some(key)) = (self.meta("beginning")?, self.meta("signature_key")?) else {
            return Ok(None);
        };
        let beginning =
            StoredBeginning::decode(beginning.as_slice()).map_err(|_| StoreError::Malformed("beginning"))?;
        Ok(Some((beginning, key)))
    }

    fn set_beginning(&mut self, beginning: &StoredBeginning, key: &[u8]) -> Result<(), StoreError> {
        self.write(|tx| {
            tx.put_meta("beginning", &beginning.encode_to_vec())?;
            tx.put_meta("signature_key", key)
        })
    }

    fn cursor(&self, conversation: &ConversationId) -> Result<Option<u64>, StoreError> {
        let id = conversation.as_str();
        let row = self.row("SELECT cursor, guard FROM session WHERE conversation=?1", id, guarded_cursor)?;
        row.map(|cursor| cursor.of(id)).transpose()
    }

    fn session(&self, conversation: &ConversationId) -> Result<Option<(u64, Secret, Secret)>, StoreError> {
        let id = conversation.as_str();
        let sql = "SELECT cursor, guard, secrets, tree FROM session JOIN tree USING (conversation)
                   WHERE conversation=?1 AND secrets IS NOT NULL";
        let row =
            self.row(sql, id, |row| Ok((guarded_cursor(row)?, row.get::<_, Vec<u8>>(2)?, row.get::<_, Vec<u8>>(3)?)))?;
        let Some((cursor, secrets, tree)) = row else { return Ok(None) };
        Ok(Some((
            cursor.of(id)?,
            self.unseal("session", id.as_bytes(), &secrets)?,
            self.unseal("tree", id.as_bytes(), &tree)?,
        )))
    }

    fn conversations(&self) -> Result<Vec<(ConversationId, u64)>, StoreError> {
        let mut all = Vec::new();
        self.each(CURSORS, |row| {
            let (cursor, id) = (guarded_cursor(row)?, row.get::<_, String>(2)?);
            Ok(cursor.of(&id).and_then(|cursor| {
                all.push((id.parse().map_err(|_| StoreError::Malformed("conversation id"))?, cursor));
                Ok(())
            }))
        })?;
        Ok(all)
    }

    fn verify(&self) -> Result<(), StoreError> {
        self.each(CURSORS, |row| Ok(guarded_cursor(row)?.of(&row.get::<_, String>(2)?).map(drop)))
    }
}

const CURSORS: &str = "SELECT cursor, guard, conversation FROM session";

/// A device's changes in a transaction of its state.
pub trait DeviceWriter {
    /// Stores the private part of a key package.
    fn put_key_package(&self, package: &NewKeyPackage) -> Result<(), StoreError>;
    /// Stores the state of a conversation after `cursor`, and deletes the key packages that it used.
    fn put_session(
        &self,
        conversation: &ConversationId,
        cursor: u64,
        session: &StoredSession,
    ) -> Result<(), StoreError>;
    /// Deletes the keys of a conversation of which this device is not (or no longer) a member, and keeps the cursor.
    fn put_cursor(&self, conversation: &ConversationId, cursor: u64) -> Result<(), StoreError>;
}

impl DeviceWriter for Writer<'_> {
    fn put_key_package(&self, package: &NewKeyPackage) -> Result<(), StoreError> {
        let sealed = self.seal("key_package", &package.reference, &package.secret)?;
        self.execute("INSERT OR REPLACE INTO key_package VALUES (?1, ?2)", params![package.reference, sealed])
    }

    fn put_session(
        &self,
        conversation: &ConversationId,
        cursor: u64,
        session: &StoredSession,
    ) -> Result<(), StoreError> {
        let id = conversation.as_str();
        let secrets = self.seal("session", id.as_bytes(), &session.secrets)?;
        self.execute(PUT_SESSION, params![id, cursor, guard_of_cursor(id, cursor), Some(secrets)])?;
        if let Some(tree) = &session.tree {
            let tree = self.seal("tree", id.as_bytes(), tree)?;
            self.execute(PUT_TREE, params![id, tree])?;
        }
        for reference in &session.used_key_packages {
            self.execute("DELETE FROM key_package WHERE reference=?1", params![reference])?;
        }
        Ok(())
    }

    fn put_cursor(&self, conversation: &ConversationId, cursor: u64) -> Result<(), StoreError> {
        let id = conversation.as_str();
        self.execute(PUT_SESSION, params![id, cursor, guard_of_cursor(id, cursor), None::<Vec<u8>>])?;
        self.execute("DELETE FROM tree WHERE conversation=?1", [id])
    }
}

/// Finds key packages in a store that may be shared.
pub struct StoredKeyPackages(pub Arc<Mutex<Store>>);

impl KeyPackages for StoredKeyPackages {
    fn secret(&self, reference: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, NotRead> {
        let store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sql = "SELECT secret FROM key_package WHERE reference=?1";
        let sealed = store.row(sql, reference, |row| row.get::<_, Vec<u8>>(0)).map_err(|e| NotRead(e.into()))?;
        let Some(sealed) = sealed else { return Ok(None) };
        // altered on the disk: the key is lost for good
        let opened = store.unseal("key_package", reference, &sealed);
        Ok(opened.inspect_err(|error| tracing::error!(%error, "a key package in the state is damaged")).ok())
    }
}

fn guard_of_cursor(conversation: &str, cursor: u64) -> Guard {
    guard(&format!("{conversation} {cursor}"))
}

/// A cursor and its guard, as in their row.
struct Guarded {
    cursor: u64,
    guard: Guard,
}

impl Guarded {
    /// The cursor, if the guard matches it and this conversation.
    fn of(&self, conversation: &str) -> Result<u64, StoreError> {
        if guard_of_cursor(conversation, self.cursor) == self.guard {
            Ok(self.cursor)
        } else {
            Err(StoreError::Damaged("session"))
        }
    }
}

/// Reads a row that begins with cursor and guard.
fn guarded_cursor(row: &rusqlite::Row<'_>) -> rusqlite::Result<Guarded> {
    Ok(Guarded { cursor: row.get(0)?, guard: row.get(1)? })
}
