//! Invites: single-use codes, kept as their SHA-256 only. A used one stays, with the device that it made.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;

use crate::clock::Moment;
use crate::error::NetworkError;
use crate::keys::random;
use crate::ledger::Batch;
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

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// An invite that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InviteRow {
    pub(crate) user: String,
    pub(crate) expires: Option<Moment>,
    /// Device (row) that was registered with it.
    pub(crate) device: Option<i64>,
}

/// Makes an invite for `user`; returns the code, which is kept nowhere.
pub(crate) fn create(batch: &mut dyn Batch, user: &UserName, expires: Option<Moment>) -> Result<String, NetworkError> {
    let code = BASE64URL_NOPAD.encode(&random::<24>()?);
    batch.insert_invite(&CodeHash::of(&code), user, expires)?;
    Ok(code)
}
