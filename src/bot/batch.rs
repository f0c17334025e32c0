//! What a chunk is made of: lines of records, and files beside them.

use std::sync::Arc;

use retaind_archive::record::{RecordContext, RecordError, SenderType};
use retaind_protocol::ids::{ConversationId, DeviceId, MessageId, UserName};

/// A file in the attachment directory that is on stable storage under a temporary name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// Name that it has now.
    pub temporary: String,
    /// Name it gets after the commit.
    pub name: String,
    /// Length in bytes.
    pub length: u64,
    /// SHA-256 of its content.
    pub sha256: [u8; 32],
}

/// Lines of records, one after the other.
#[derive(Debug, Default)]
pub struct RecordBuffer {
    bytes: Vec<u8>,
    lines: Vec<LineEnd>,
}

#[derive(Debug, Clone, Copy)]
struct LineEnd {
    end: usize,
    received_at_micros: i64,
}

impl RecordBuffer {
    /// Appends what `format` writes: one whole line.
    pub fn push(
        &mut self,
        received_at_micros: i64,
        format: impl FnOnce(&mut Vec<u8>) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        format(&mut self.bytes)?;
        self.lines.push(LineEnd { end: self.bytes.len(), received_at_micros });
        Ok(())
    }

    /// Appends the lines of `other`.
    pub fn append(&mut self, other: Self) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.lines.extend(other.lines.into_iter().map(|line| LineEnd { end: line.end.saturating_add(start), ..line }));
    }

    /// Number of lines.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Are there no lines?
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Length of all lines in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Each line with the time at which its message was received.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], i64)> {
        let mut start = 0;
        self.lines.iter().map(move |line| {
            let bytes = self.bytes.get(start..line.end).unwrap_or_default();
            start = line.end;
            (bytes, line.received_at_micros)
        })
    }
}

/// An owned [`RecordContext`].
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "as in `RecordContext`")]
pub struct Context {
    pub network_id: Arc<str>,
    pub sender_network_id: Arc<str>,
    pub sender: Option<UserName>,
    pub sender_type: SenderType,
    pub device: Option<DeviceId>,
    pub receiver: Option<UserName>,
    pub conversation: ConversationId,
    pub seq: u64,
    pub received_micros: i64,
    pub message_id: MessageId,
    pub sent_at_micros: i64,
}

impl Context {
    /// Borrowed, as the formatter takes it.
    pub fn as_record(&self) -> RecordContext<'_> {
        RecordContext {
            network_id: &self.network_id,
            sender_network_id: &self.sender_network_id,
            sender: self.sender.as_ref(),
            sender_type: self.sender_type,
            device: self.device,
            receiver: self.receiver.as_ref(),
            conversation: self.conversation,
            seq: self.seq,
            received_micros: self.received_micros,
            message_id: self.message_id,
            sent_at_micros: self.sent_at_micros,
        }
    }
}
