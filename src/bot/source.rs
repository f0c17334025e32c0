//! The seam between a network and the archive.
//!
//! A network that is archived is a [`Source`]. Sources differ in how they receive, order, decrypt and fetch, and agree in one
//! thing: these lines, these files and this change of the state belong together. That is a [`Chunk`], and all that comes
//! after it (commit, message files, names, shipping, recovery) knows no network.
//!
//! ```text
//! check ─▶ log_in ─▶ run ── Chunk ──▶ commit: append, sync, [Change::write in the one transaction], settle
//!                     ▲                                                                      │
//!                     └────────────────────── Change::durable(&Durable) ◀────────────────────┘
//! ```
//!
//! # Contract of every source
//!
//! 1. Chunks are committed in the order in which they were sent; one commit may hold chunks of several senders.
//! 2. The network is sent nothing that implies possession before [`Change::durable`] was called for it. Sending it never, or
//!    twice, must be harmless.
//! 3. After any crash the source continues from the state alone: what was not committed comes again from the network, and what was
//!    committed is recognised.
//! 4. State that is computed ahead of the commit stays in memory until `durable`, and is discarded with the process.
//! 5. Secrets in the source's tables are sealed by the vault.
//! 6. No file gets its final name outside the commit: files are written under temporary names of [`Names`].
//! 7. [`Session::run`] waits on a full sender and while the disk has no room ([`Health::takes_deliveries`]); it never drops.
//!
//! `tests/source` has this contract as functions that any source is run against.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use retaind_core::fault::Faulty;
use retaind_report::counters::Counters;
use retaind_report::events::{Event, Events};
use retaind_state::schema::Step;
use retaind_state::{Store, StoreError, Writer};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::batch::{RecordBuffer, WrittenFile};
use crate::commit::Durable;
use crate::files::Names;
use crate::passwords::{By, Passwords};
use crate::watchdog::{Health, Network, Pulse};
use retaind_core::clock::Clock;

/// What a source wants stored together with its records.
pub trait Change: Send {
    /// Inside the bot's one transaction. The source's own tables only; no clock, no I/O, the same result whenever it is called.
    fn write(&self, tx: &Writer<'_>) -> Result<(), StoreError>;

    /// After the commit, once, in the order of the commits. From now on the network may be notified. Must not block.
    fn durable(self: Box<Self>, proof: &Durable);
}

/// Lines, files and a change of the state that are committed as a whole or not at all.
pub struct Chunk {
    /// The lines of records.
    pub records: RecordBuffer,
    /// Files that were written beside the records, under temporary names.
    pub files: Vec<WrittenFile>,
    /// Number of the network's deliveries that the chunk accounts for.
    pub deliveries: u64,
    /// The source's own state after it.
    pub change: Box<dyn Change>,
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk")
            .field("records", &self.records.len())
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// Future of a source's work; ends when it is done or cannot continue.
pub type Work<T> = BoxFuture<'static, Result<T, Box<dyn Trouble>>>;

/// A network that is archived. Made from its settings alone; everything it knows of earlier runs is in the state.
pub trait Source: Send {
    /// The versions of the state's schema: the tables that the source needs.
    fn schema(&self) -> &'static [Step];

    /// Looks at the state before anything is done with it: is it whole, and is it this bot's?
    fn check(&self, store: &Store, user: &str, events: &Events) -> Result<(), Box<dyn Trouble>>;

    /// Logs in, registering first if the state is new, and waits while the network is away. `None`: stopped before that.
    fn log_in(self: Box<Self>, log_in: LogIn, stop: CancellationToken) -> Work<Option<Box<dyn Session>>>;
}

/// A source that is logged in.
pub trait Session: Send {
    /// Receives until `stop`, then finishes what is in hand, drops [`Bot::chunks`], and returns once what was committed is
    /// acknowledged, or cannot be for now. The bot waits a few seconds for that. Returns early with an error, or without one
    /// if [`Bot::chunks`] is closed: then the commit has failed, and the bot reports why.
    fn run(self: Box<Self>, bot: Bot, stop: CancellationToken) -> Work<()>;
}

/// What a source is given to log in.
pub struct LogIn {
    /// The open state of the bot.
    pub store: Store,
    /// The bot's user name.
    pub user: String,
    /// The passwords of this start, one of which opens the bot's account.
    pub passwords: Arc<Passwords>,
    /// Which of them opened the state.
    pub by: By,
    /// What it may use of the bot.
    pub surroundings: Surroundings,
}

/// What a source may use of the bot, from the first log-in on. Clones are of the same bot.
#[derive(Clone)]
pub struct Surroundings {
    /// The clock for received times.
    pub clock: Arc<dyn Clock>,
    /// Counters for metrics and health.
    pub counters: Arc<Counters>,
    /// Events for operators.
    pub events: Events,
    /// The watchdog's opinion: whether deliveries may be taken, and when to open the connection again.
    pub health: watch::Receiver<Health>,
    /// Where the source says whether it is connected.
    pub network: watch::Sender<Network>,
    /// Pulses of the source's stages, for the watchdog.
    pub pulses: Pulses,
}

/// What a source may use of the bot once it is logged in.
pub struct Bot {
    /// Channel to the commit. Bounded: when it is full the source waits.
    pub chunks: mpsc::Sender<Chunk>,
    /// Names for files beside the records.
    pub names: Arc<Names>,
    /// Clock, counters, events and watchdog.
    pub surroundings: Surroundings,
}

/// Why a source cannot go on.
pub trait Trouble: Faulty + Send + Sync + 'static {
    /// What operators are told of it, if the log alone is not enough.
    fn event(&self, phase: Phase) -> Option<Event>;
}

/// How far the bot had come when the source failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Before it was logged in.
    Starting,
    /// Logged in, and receiving.
    Running,
}

/// The pulses of all stages, each with the stage's name in the watchdog's messages.
#[derive(Debug, Default, Clone)]
pub struct Pulses(Arc<Mutex<Vec<(&'static str, Pulse)>>>);

impl Pulses {
    /// Adds a stage, and returns its pulse.
    pub fn add(&self, stage: &'static str) -> Pulse {
        let pulse = Pulse::default();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((stage, pulse.clone()));
        pulse
    }

    /// All stages with their pulses.
    pub fn all(&self) -> Vec<(&'static str, Pulse)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
