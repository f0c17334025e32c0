//! Bringing the bot into conversations that lack it, when data retention is switched on or a bot gets a new device.
//!
//! The network cannot add anybody: it proposes, as external sender, and accepts no message until a member has committed.
//! All conversations are looked through in ranges, beside the writer; only those that lack a bot cost it anything.

use crate::directory::RetentionPolicy;
use crate::ledger::{LedgerError, View};

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
pub(crate) fn lacking(view: &dyn View, policy: &RetentionPolicy, after: i64) -> Result<Lacking, LedgerError> {
    if policy.required.is_empty() {
        return Ok(Lacking { conversations: Vec::new(), next: None });
    }
    let devices: Vec<i64> = policy.required.iter().map(|device| device.row).collect();
    let through = after.saturating_add(RANGE);
    let (conversations, last) = view.lacking(&devices, after, through)?;
    Ok(Lacking { conversations, next: last.filter(|last| *last > through).map(|_| through) })
}
