//! Sessions from the state and to it.

use retaind_device::mls::{Engine, Session, StoredSession};
use retaind_device::store::{DeviceState as _, LostStanding, LostState as _, Store};
use retaind_protocol::ids::ConversationId;
use retaind_protocol::limits::SESSION_BYTES_MAX;

use super::DecryptError;
use super::entry::Entry;
use super::lost::Lost;
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
    Ok(Entry { session, cursor, broken, ..without_keys(store, conversation)? })
}

/// A conversation whose keys are not touched, for this reason: its next message loses it.
pub(super) fn closed(store: &Store, conversation: ConversationId, why: String) -> Result<Entry, DecryptError> {
    let cursor = store.cursor(&conversation)?.unwrap_or(0);
    Ok(Entry { cursor, broken: Some(why), ..without_keys(store, conversation)? })
}

fn without_keys(store: &Store, conversation: ConversationId) -> Result<Entry, DecryptError> {
    let (lost, reports) = match store.lost(&conversation)? {
        Some(LostStanding { since, reason, kept_bytes, ended: false }) => {
            (Some(Lost::new(since, reason, kept_bytes)), true)
        }
        Some(LostStanding { ended: true, .. }) => (None, true),
        None => (None, false),
    };
    Ok(Entry { lost, reports, ..Entry::default() })
}
