//! What the bot stores for this source with each chunk: a conversation's MLS state and cursor.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use retaind_bot::batch::{RecordBuffer, WrittenFile};
use retaind_bot::commit::Durable;
use retaind_bot::source::{Change, Chunk};
use retaind_device::mls::StoredSession;
use retaind_device::safe::Safe;
use retaind_device::store::{DeviceWriter as _, KeptDelivery, LostWriter as _};
use retaind_protocol::ids::ConversationId;
use retaind_protocol::wire::Reported;
use retaind_state::{StoreError, Writer};
use tokio::sync::mpsc;

use crate::delivery::Held;
use crate::reports::Reports;

/// Consecutive messages of one conversation, decrypted and formatted, to be committed as a whole.
#[derive(Debug)]
pub struct Decrypted {
    /// The lines of records.
    pub records: RecordBuffer,
    /// Files that were written beside the records, under temporary names.
    pub files: Vec<WrittenFile>,
    /// Number of deliveries that it accounts for.
    pub deliveries: u64,
    /// The state that is stored with them.
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
    /// The conversation.
    pub conversation: ConversationId,
    /// Highest `seq` that the records account for.
    pub cursor: u64,
    /// What becomes of it as a conversation that cannot be followed, before the state after `cursor` is stored.
    pub lost: Vec<LostStep>,
    /// MLS state after `cursor`.
    pub session: SessionChange,
    /// Number of the worker's turn that made the chunk, from 1.
    pub turn: u64,
    /// Which of that worker's turns are committed.
    pub progress: Progress,
    /// Where its acknowledgement waits once it is durable.
    pub owed: Owed,
    /// What the network is told of the conversation then.
    pub reports: Vec<Reported>,
    /// The memory that its deliveries hold until then.
    pub held: Vec<Held>,
}

/// A step of a conversation that cannot be followed.
pub enum LostStep {
    /// It cannot be followed from `since` on.
    Begin {
        /// The first message that could not be followed.
        since: u64,
        /// Why; no content.
        reason: String,
        /// The session right before it, after this cursor; `None`: the stored one is the last that could be used.
        session: Option<(u64, StoredSession)>,
    },
    /// A message of it is kept.
    Keep {
        /// See `Begin`.
        since: u64,
        /// The message.
        delivery: KeptDelivery,
    },
    /// The device was added again.
    End {
        /// By this message.
        seq: u64,
    },
}

impl std::fmt::Debug for LostStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Begin { since, .. } => write!(f, "begin at {since}"),
            Self::Keep { delivery, .. } => write!(f, "keep {}", delivery.seq),
            Self::End { seq } => write!(f, "end at {seq}"),
        }
    }
}

impl LostStep {
    fn write(&self, tx: &Writer<'_>, conversation: &ConversationId) -> Result<(), StoreError> {
        match self {
            Self::Begin { since, reason, session } => {
                if let Some((cursor, session)) = session {
                    tx.put_session(conversation, *cursor, session)?;
                }
                tx.begin_lost(conversation, *since, reason)
            }
            Self::Keep { since, delivery } => tx.keep_delivery(conversation, *since, delivery),
            Self::End { seq } => tx.end_lost(conversation, *seq),
        }
    }
}

impl Change for MlsChange {
    fn write(&self, tx: &Writer<'_>) -> Result<(), StoreError> {
        for step in &self.lost {
            step.write(tx, &self.conversation)?;
        }
        match &self.session {
            SessionChange::Stored(session) => tx.put_session(&self.conversation, self.cursor, session),
            SessionChange::None => tx.put_cursor(&self.conversation, self.cursor),
        }
    }

    fn durable(self: Box<Self>, proof: &Durable) {
        self.progress.through(self.turn);
        for reported in self.reports {
            self.owed.report(self.conversation, reported);
        }
        self.owed.add(self.conversation, self.cursor, proof);
    }
}

/// What happens to the stored MLS state.
pub enum SessionChange {
    /// It is replaced by this one.
    Stored(StoredSession),
    /// It is deleted, if there is one.
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

/// Which of one worker's turns are committed: an entry of its cache may be dropped once its last turn is.
#[derive(Debug, Default, Clone)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// A chunk of this turn is committed, and with it all earlier turns; other chunks of this turn may still be on the way.
    pub fn through(&self, turn: u64) {
        self.0.fetch_max(turn, Ordering::Release);
    }

    /// The last turn of which a chunk is committed.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// What is durable and not yet acknowledged: each conversation's highest place, so its size is bounded by their number.
/// Clones share it; when the last of them is gone, [`Due::more`] ends.
#[derive(Debug, Clone)]
pub struct Owed {
    safe: Arc<Mutex<Safe>>,
    reports: Arc<Mutex<Reports>>,
    wake: mpsc::Sender<()>,
}

/// The receiving end of [`Owed`].
#[derive(Debug)]
pub struct Due {
    safe: Arc<Mutex<Safe>>,
    reports: Arc<Mutex<Reports>>,
    woken: mpsc::Receiver<()>,
}

impl Owed {
    /// Makes both ends.
    pub fn new() -> (Self, Due) {
        let (safe, reports) = (Arc::<Mutex<Safe>>::default(), Arc::<Mutex<Reports>>::default());
        let (wake, woken) = mpsc::channel(1);
        (Self { safe: safe.clone(), reports: reports.clone(), wake }, Due { safe, reports, woken })
    }

    /// The network is to be told this. Replaces what waits to be said of the same thing.
    pub fn report(&self, conversation: ConversationId, reported: Reported) {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).put(conversation, reported);
        // as in `add`
        let _full_or_closed = self.wake.try_send(());
    }

    fn add(&self, conversation: ConversationId, seq: u64, proof: &Durable) {
        self.safe.lock().unwrap_or_else(PoisonError::into_inner).add(conversation, seq, proof.committed());
        // a full channel has woken it already; after a closed one the next start reconciles
        let _full_or_closed = self.wake.try_send(());
    }
}

impl Due {
    /// Waits until there is something to acknowledge. `false`: nothing more will come.
    pub async fn more(&mut self) -> bool {
        self.woken.recv().await.is_some()
    }

    /// Takes everything that the network is to be told.
    pub fn take_reports(&self) -> Reports {
        std::mem::take(&mut *self.reports.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes everything there is to acknowledge.
    pub fn take(&self) -> Safe {
        std::mem::take(&mut *self.safe.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
