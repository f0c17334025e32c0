//! What the bot stores for this source with each chunk: the MLS state of a conversation and its cursor.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use retaind_bot::batch::{RecordBuffer, WrittenFile};
use retaind_bot::commit::Durable;
use retaind_bot::source::{Change, Chunk};
use retaind_device::mls::StoredSession;
use retaind_device::safe::Safe;
use retaind_device::store::DeviceWriter as _;
use retaind_protocol::ids::ConversationId;
use retaind_state::{StoreError, Writer};
use tokio::sync::mpsc;

/// Consecutive messages of one conversation, decrypted and formatted: to be committed as a whole.
#[derive(Debug)]
pub struct Decrypted {
    /// The lines.
    pub records: RecordBuffer,
    /// Files that were written beside the records, under temporary names.
    pub files: Vec<WrittenFile>,
    /// How many deliveries it accounts for.
    pub deliveries: u64,
    /// What is stored with them.
    pub change: MlsChange,
}

impl From<Decrypted> for Chunk {
    fn from(decrypted: Decrypted) -> Self {
        let Decrypted { records, files, deliveries, change } = decrypted;
        Self { records, files, deliveries, change: Box::new(change) }
    }
}

/// The state of one conversation after a chunk.
#[derive(Debug)]
pub struct MlsChange {
    /// Which conversation.
    pub conversation: ConversationId,
    /// Highest `seq` that the records account for.
    pub cursor: u64,
    /// MLS state after `cursor`.
    pub session: SessionChange,
    /// Number of the worker's turn that made it, from 1.
    pub turn: u64,
    /// How far that worker's turns are committed.
    pub progress: Progress,
    /// Where its acknowledgement waits once it is durable.
    pub owed: Owed,
}

impl Change for MlsChange {
    fn write(&self, tx: &Writer<'_>) -> Result<(), StoreError> {
        match &self.session {
            SessionChange::Stored(session) => tx.put_session(&self.conversation, self.cursor, session),
            SessionChange::None => tx.put_cursor(&self.conversation, self.cursor),
        }
    }

    fn durable(self: Box<Self>, proof: &Durable) {
        self.progress.through(self.turn);
        self.owed.add(self.conversation, self.cursor, proof);
    }
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

/// How far one worker's turns are committed: an entry of its cache may go once its last turn is.
#[derive(Debug, Default, Clone)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// A chunk of this turn is committed, and with it all earlier turns; of this one some may still be on the way.
    pub fn through(&self, turn: u64) {
        self.0.fetch_max(turn, Ordering::Release);
    }

    /// The last turn of which something is committed.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// What is durable and not acknowledged yet: of each conversation the highest place, so its size is bounded by their number.
/// Clones share it; when the last of them is gone, [`Due::more`] ends.
#[derive(Debug, Clone)]
pub struct Owed {
    safe: Arc<Mutex<Safe>>,
    wake: mpsc::Sender<()>,
}

/// The other end of [`Owed`].
#[derive(Debug)]
pub struct Due {
    safe: Arc<Mutex<Safe>>,
    woken: mpsc::Receiver<()>,
}

impl Owed {
    /// Both ends.
    pub fn new() -> (Self, Due) {
        let safe = Arc::<Mutex<Safe>>::default();
        let (wake, woken) = mpsc::channel(1);
        (Self { safe: safe.clone(), wake }, Due { safe, woken })
    }

    fn add(&self, conversation: ConversationId, seq: u64, proof: &Durable) {
        self.safe.lock().unwrap_or_else(PoisonError::into_inner).add(conversation, seq, proof.committed());
        // a full channel has woken it already; a closed one: the next start reconciles
        let _full_or_closed = self.wake.try_send(());
    }
}

impl Due {
    /// Waits until there is something. `false`: there never will be again.
    pub async fn more(&mut self) -> bool {
        self.woken.recv().await.is_some()
    }

    /// Takes what there is.
    pub fn take(&self) -> Safe {
        std::mem::take(&mut *self.safe.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
