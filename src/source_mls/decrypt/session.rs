//! Sessions from the state and to it.

use std::time::Instant;

use retaind_device::mls::{Engine, Session, StoredSession};
use retaind_device::store::{DeviceState as _, LostStanding, LostState as _, Store};
use retaind_protocol::ids::ConversationId;
use retaind_protocol::limits::SESSION_BYTES_MAX;

use super::lost::Lost;
use super::{DecryptError, Entry, Gap};
use crate::change::SessionChange;

/// What is stored of a conversation's session; why it cannot be, if that is so.
pub(super) fn session_change(entry: &mut Entry) -> Result<SessionChange, String> {
    match &mut entry.session {
        Some(session) => stored(session).map(SessionChange::Stored),
        None => Ok(SessionChange::None),
    }
}

/// A session as it is stored; why it cannot be, if that is so.
pub(super) fn stored(session: &mut Session) -> Result<StoredSession, String> {
    let stored = session.save().map_err(|error| format!("its state cannot be exported: {error}"))?;
    let bytes = stored.secrets.len().max(stored.tree.as_ref().map_or(0, Vec::len));
    if bytes > SESSION_BYTES_MAX {
        return Err(format!("its state has {bytes} bytes, at most {SESSION_BYTES_MAX} are kept"));
    }
    Ok(stored)
}

/// A conversation as the state has it.
pub(super) fn load(engine: &Engine, store: &Store, conversation: ConversationId) -> Result<Entry, DecryptError> {
    let (mut broken, mut session) = (None, None);
    let cursor = match store.session(&conversation)? {
        Some((cursor, secrets, tree)) => {
            // unsealed, it is as it was stored: that it cannot be used is this conversation's matter alone
            match engine.load(&conversation, secrets, &tree) {
                Ok(loaded) => session = Some(loaded),
                Err(error) => broken = Some(format!("its stored state cannot be used: {error}")),
            }
            cursor
        }
        None => store.cursor(&conversation)?.unwrap_or(0),
    };
    let (lost, reports) = match store.lost(&conversation)? {
        Some(LostStanding { since, reason, kept_bytes, ended: false }) => {
            (Some(Lost::new(since, reason, kept_bytes)), true)
        }
        Some(LostStanding { ended: true, .. }) => (None, true),
        None => (None, false),
    };
    let (used, gap) = (Instant::now(), Gap::None);
    Ok(Entry { session, used, cursor, turn: 0, waiting: None, others: None, gap, lost, broken, reports })
}
