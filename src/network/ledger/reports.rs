//! Rows of reports: what retention bots say about the conversations that they are to archive.

use super::LedgerError;
use crate::delivery::report::Standing;

/// Reading. Conversations and devices are given by row.
pub(crate) trait ReportView {
    /// How the bot's device stands to the conversation, by its last report; `None`: it made none.
    fn standing(&self, conversation: i64, bot: i64) -> Result<Option<Standing>, LedgerError>;

    /// The epoch in which a bot could not read the device's messages.
    fn unread_in(&self, conversation: i64, device: i64) -> Result<Option<u64>, LedgerError>;

    /// Conversations (rows) after `after` that some bot cannot follow, in order, at most `most`.
    fn lost_after(&self, after: i64, most: usize) -> Result<Vec<i64>, LedgerError>;
}

/// What a batch writes of them. From the first one on the conversation is [`reported`].
///
/// [`reported`]: crate::delivery::entry::ConversationRow::reported
pub(crate) trait ReportBatch: ReportView {
    /// Replaces the bot's standing.
    fn set_standing(&mut self, conversation: i64, bot: i64, standing: Standing) -> Result<(), LedgerError>;

    /// Replaces the epoch for this device.
    fn set_unread(&mut self, conversation: i64, device: i64, epoch: u64) -> Result<(), LedgerError>;
}
