//! What goes from stage to stage: deliveries in, chunks of records on, acknowledgements back.

use std::sync::Arc;

use tokio::sync::watch;

use retaind_archive::record::{RecordContext, RecordError, SenderType};
use retaind_device::mls::StoredSession;
use retaind_protocol::ids::{ConversationId, DeviceId, MessageId, UserName};
use retaind_protocol::wire::DeliveryKind;

/// A message as it was delivered, its names parsed.
#[derive(Debug)]
pub struct Delivered {
    /// Which conversation.
    pub conversation: ConversationId,
    /// Its place, from 1.
    pub seq: u64,
    /// What `payload` is.
    pub kind: DeliveryKind,
    /// User that the network names as sender, `None` for the network itself; not authenticated.
    pub sender_user: Option<UserName>,
    /// Device that the network names as sender, `None` for the network itself; not authenticated.
    pub sender_device: Option<DeviceId>,
    /// When the network accepted it, microseconds since 1970.
    pub accepted_at_micros: i64,
    /// MLS message.
    pub payload: Vec<u8>,
    /// When the bot received it, microseconds since 1970.
    pub received_at_micros: i64,
}

/// Asks for a new connection, on which the network delivers again whatever is not acknowledged. Clones ask the same one.
#[derive(Debug, Clone)]
pub struct Recall(watch::Sender<u64>);

impl Default for Recall {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Recall {
    /// Asks. A connection that is being opened at this moment is opened once more.
    pub fn ask(&self) {
        self.0.send_modify(|asked| *asked = asked.wrapping_add(1));
    }

    /// How often it was asked for.
    pub fn asked(&self) -> u64 {
        *self.0.borrow()
    }

    /// Waits until it is asked for once more than so often.
    pub async fn again(&self, asked: u64) {
        // this one keeps the channel open
        let _ = self.0.subscribe().wait_for(|now| *now != asked).await;
    }
}

/// Consecutive messages of one conversation, decrypted and formatted: to be committed as a whole.
#[derive(Debug)]
pub struct Chunk {
    /// Which conversation.
    pub conversation: ConversationId,
    /// Highest `seq` that the records account for.
    pub cursor: u64,
    /// The lines.
    pub records: RecordBuffer,
    /// MLS state after `cursor`.
    pub session: SessionChange,
    /// Files that were written beside the records, under temporary names.
    pub files: Vec<WrittenFile>,
    /// How many deliveries it accounts for.
    pub deliveries: u64,
    /// Number of the worker's turn that made it: an entry of its cache may go once this is committed.
    pub turn: Turn,
}

/// Which worker's how-manieth turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Index of the worker.
    pub worker: usize,
    /// Counted from 1.
    pub number: u64,
}

/// What becomes of the stored MLS state.
pub enum SessionChange {
    /// The new state.
    Stored(StoredSession),
    /// There is none (any more).
    None,
}

impl std::fmt::Debug for SessionChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stored(_) => "stored",
            Self::None => "none",
        })
    }
}

/// A file in the attachment directory that is on stable storage under a temporary name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// Name it has.
    pub temporary: String,
    /// Name it gets after the commit.
    pub name: String,
    /// Bytes.
    pub length: u64,
    /// What they hash to.
    pub sha256: [u8; 32],
}

/// Lines of records, one after the other.
#[derive(Debug, Default)]
pub struct RecordBuffer {
    bytes: Vec<u8>,
    lines: Vec<Line>,
}

#[derive(Debug, Clone, Copy)]
struct Line {
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
        self.lines.push(Line { end: self.bytes.len(), received_at_micros });
        Ok(())
    }

    /// Puts the lines of `other` behind these.
    pub fn append(&mut self, other: Self) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.lines.extend(other.lines.into_iter().map(|line| Line { end: line.end.saturating_add(start), ..line }));
    }

    /// How many lines.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// How many bytes.
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
#[allow(missing_docs, reason = "as in `RecordContext`")]
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
    /// As the formatter wants it.
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
