//! Rows of delivery: conversations, their messages, who is in them, and the blobs.

use super::LedgerError;
use crate::clock::Moment;
use crate::delivery::blobs::{BlobId, BlobRow, OldBlob, Stored, Upload};
use crate::delivery::entry::{ConversationRow, Entry, SendId};
use crate::delivery::queue::{Budget, Membership, Read, Select, Stint, Wanted};
use retaind_protocol::ids::ConversationId;
use retaind_protocol::wire::ConversationState;

/// What a purge came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Purged {
    /// Messages that were deleted.
    pub(crate) messages: usize,
    /// Conversations (rows) that have more to delete.
    pub(crate) unfinished: Vec<i64>,
}

/// Reading. Conversations and devices are given by row.
pub(crate) trait DeliveryView {
    /// The conversation of that id.
    fn conversation(&self, id: &ConversationId) -> Result<Option<ConversationRow>, LedgerError>;

    /// The conversation in that row.
    fn conversation_at(&self, row: i64) -> Result<Option<ConversationRow>, LedgerError>;

    /// Conversations (rows) after `after`, in order, at most `most`.
    fn conversations_after(&self, after: i64, most: usize) -> Result<Vec<i64>, LedgerError>;

    /// Conversations (rows) after `after` up to `through` that have members, but not all of these devices; and the last
    /// conversation that there is.
    fn lacking(&self, devices: &[i64], after: i64, through: i64) -> Result<(Vec<i64>, Option<i64>), LedgerError>;

    /// Is the device a member now?
    fn is_member(&self, conversation: i64, device: i64) -> Result<bool, LedgerError>;

    /// The tracked group, as the last [`Entry`] with one left it.
    fn tree(&self, conversation: i64) -> Result<Option<Vec<u8>>, LedgerError>;

    /// The place of the message that the device sent under this id, as long as it is remembered.
    fn sent(&self, device: i64, send_id: SendId) -> Result<Option<u64>, LedgerError>;

    /// All conversations that the device is a member of or has messages of.
    fn memberships(&self, device: i64) -> Result<Vec<Membership>, LedgerError>;

    /// The device's times of membership in a conversation, in order.
    fn stints(&self, conversation: i64, device: i64) -> Result<Vec<Stint>, LedgerError>;

    /// Reads as much as the budget allows, but at least one message if there is any.
    fn read(&self, wanted: Wanted<'_>, select: Select, budget: Budget) -> Result<Read, LedgerError>;

    /// Conversations of a device whose ids come after `after`, in order of id, at most `most`.
    fn states(&self, device: i64, after: &str, most: usize) -> Result<Vec<ConversationState>, LedgerError>;

    /// The blob of that id.
    fn blob(&self, blob: &BlobId) -> Result<Option<BlobRow>, LedgerError>;

    /// Uploads that the device has begun and not finished.
    fn unfinished_blobs(&self, device: i64) -> Result<usize, LedgerError>;

    /// Blobs that the device, and its user with all devices, have in store, each with the size that was announced.
    fn stored(&self, device: i64) -> Result<Stored, LedgerError>;

    /// Blobs that were begun before `before`, the oldest first, at most `most`; to go on, after the last of those before.
    fn old_blobs(
        &self,
        upload: Upload,
        before: Moment,
        after: Option<(Moment, BlobId)>,
        most: usize,
    ) -> Result<Vec<OldBlob>, LedgerError>;

    /// When the oldest message came that a device of a user who must be in every conversation has not acknowledged.
    fn unretained_since(&self) -> Result<Option<Moment>, LedgerError>;
}

/// What a batch writes of conversations and queues.
pub(crate) trait DeliveryBatch: DeliveryView {
    /// A conversation without messages, members or group, in epoch 0. Returns its row.
    fn insert_conversation(&mut self, id: &ConversationId, suite: u16) -> Result<i64, LedgerError>;

    /// Writes all of an entry.
    fn append(&mut self, conversation: i64, entry: &Entry<'_>) -> Result<(), LedgerError>;

    /// Moves a device's cursors forward: never back, and never past the last place that is for it. Returns the
    /// conversations (rows) that may have something to purge. One that does not exist is skipped: a repeated
    /// acknowledgement is no mistake.
    fn acknowledge(&mut self, device: i64, cursors: &[(ConversationId, u64)]) -> Result<Vec<i64>, LedgerError>;

    /// Deletes memberships that have ended and are acknowledged to their end, and at most `most` messages that no
    /// member has still to acknowledge, from the oldest. A blob that its own device has named is settled with the last
    /// message that names it.
    fn purge(&mut self, conversations: &[i64], most: usize) -> Result<Purged, LedgerError>;

    /// An upload that begins.
    fn insert_blob(&mut self, blob: &BlobId, row: BlobRow, at: Moment) -> Result<(), LedgerError>;

    /// The device's upload is complete.
    fn finish_blob(&mut self, blob: &BlobId, device: i64) -> Result<(), LedgerError>;

    /// The message of `sender` at this place names the blob, which is not settled then; nothing if there is no such blob.
    fn name_blob(&mut self, blob: &BlobId, sender: i64, conversation: i64, seq: u64) -> Result<(), LedgerError>;

    /// Deletes a blob, whatever names it.
    fn delete_blob(&mut self, blob: &BlobId) -> Result<(), LedgerError>;
}
