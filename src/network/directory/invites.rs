//! Invites: single-use codes, kept as their SHA-256 only. A used one stays, with the device that it made.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use rusqlite::{Connection, OptionalExtension};

use crate::error::NetworkError;
use crate::keys::random;
use retaind_protocol::ids::UserName;

/// SHA-256 of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CodeHash([u8; 32]);

impl CodeHash {
    pub(crate) fn of(code: &str) -> Self {
        let mut hash = [0u8; 32];
        hash.copy_from_slice(digest(&SHA256, code.as_bytes()).as_ref());
        Self(hash)
    }
}

/// An invite that exists.
pub(crate) struct InviteRow {
    pub(crate) user: String,
    pub(crate) expires_at_micros: Option<i64>,
    /// Device (row) that was registered with it.
    pub(crate) device: Option<i64>,
}

/// Makes an invite for `user`; returns the code, which is kept nowhere.
pub(crate) fn create(
    connection: &Connection,
    user: &UserName,
    expires_at_micros: Option<i64>,
) -> Result<String, NetworkError> {
    let code = BASE64URL_NOPAD.encode(&random::<24>()?);
    connection.execute(
        "INSERT INTO invites(code_hash, user, expires_at_micros) VALUES(?, ?, ?)",
        (CodeHash::of(&code).0, user.as_str(), expires_at_micros),
    )?;
    Ok(code)
}

pub(crate) fn find(connection: &Connection, code: &CodeHash) -> rusqlite::Result<Option<InviteRow>> {
    connection
        .prepare_cached("SELECT user, expires_at_micros, device FROM invites WHERE code_hash = ?")?
        .query_row([code.0], |row| {
            Ok(InviteRow { user: row.get(0)?, expires_at_micros: row.get(1)?, device: row.get(2)? })
        })
        .optional()
}

pub(crate) fn mark_used(connection: &Connection, code: &CodeHash, device: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE invites SET device = ? WHERE code_hash = ?")?.execute((device, code.0))?;
    Ok(())
}
