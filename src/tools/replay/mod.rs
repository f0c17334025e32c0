//! Replaying a conversation that was logged elsewhere: every nickname becomes a device, every line a message.
//!
//! ```text
//! corpus (JSON Lines, room by room) ──▶ plan (who is in, who says what, who comes and goes) ──▶ stage (a room at work)
//!                                                                    cast (devices by nickname) ──┘
//! ```
//!
//! Tests, benches and the demo use it to put real conversations through real MLS devices; `retaind client replay` is its
//! command. It prints nothing: whoever starts it gets a [`ReplayReport`] and hears of every accepted message through an
//! [`Observer`].
//!
//! # Invariants
//!
//! - The events of a room are sent strictly in order, each accepted by the network before the next is sent. Rooms run
//!   side by side.
//! - **Exactly once, also over a network that dies.** Devices repeat what was in doubt with the same bytes
//!   ([`retaind_device::patience`]).
//! - One device a nickname, in however many rooms it appears. It is registered when its first room needs it, connected
//!   while it acts, and dropped after its last room, so that memory follows the rooms under way, not the corpus.
//! - Whoever acts is a member. Where the log contradicts itself (a leave of somebody who is not there), the plan says
//!   what was left out and what was corrected ([`Redundant`]); nothing is dropped in silence.
//!
//! Devices here live in memory: a replay that is killed cannot be taken up again.

mod cast;
mod corpus;
mod plan;
mod report;
mod stage;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::task::JoinSet;

use retaind_core::fault::{Fault, Faulty};
use retaind_device::conversations::DeviceError;
use retaind_device::patience::Patience;
use retaind_protocol::ids::{IdError, UserName};
use retaind_state::vault::VaultError;
use retaind_task as task;

pub use cast::{Cast, Invites};
pub use corpus::{Corpus, CorpusError, Event, Room, Rooms, What};
pub use plan::{Grouping, Plan, Redundant, Step};
pub use report::{ReplayReport, RoomReport, Sent, SentWhat};

/// Hears of every accepted message, from all rooms; of one room in order of `seq`.
pub type Observer = Arc<dyn Fn(&Sent<'_>) + Send + Sync>;

/// Why a replay stopped.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The corpus.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// A device, in a room.
    #[error("replay of room `{room}` stopped at event {event}, which `{user}` was to send")]
    Device {
        /// Room of the corpus.
        room: String,
        /// Counted from 1; 0 = the room's creation.
        event: u64,
        /// Whose device.
        user: UserName,
        /// What went wrong.
        #[source]
        source: Box<DeviceError>,
    },
    /// No invite for a nickname.
    #[error("no invite for `{user}`: {message}")]
    NoInvite {
        /// Who has none.
        user: UserName,
        /// What whoever gives them says.
        message: String,
    },
    /// The devices' states could not be made.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The task of a room was ended from outside.
    #[error("replay was interrupted")]
    Interrupted,
    /// A room would lose its last member, or has none.
    #[error("replay of room `{room}` has nobody left who could act: this is a mistake of retaind, report it")]
    Deserted {
        /// Room of the corpus.
        room: String,
    },
}

impl Faulty for ReplayError {
    fn fault(&self) -> Fault {
        match self {
            Self::Device { source, .. } if source.is_temporary() => Fault::Temporary,
            Self::Corpus(_) | Self::NoInvite { .. } | Self::Device { .. } => Fault::Configuration,
            Self::Vault(_) | Self::Interrupted | Self::Deserted { .. } => Fault::Internal,
        }
    }
}

impl From<IdError> for CorpusError {
    fn from(error: IdError) -> Self {
        Self::Name(error)
    }
}

/// How fast a room is replayed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As fast as the network takes it.
    Unlimited,
    /// The room's own times, this many times faster. Positive.
    Times(f64),
}

/// What the sender's clock is said to have shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timestamps {
    /// The log's time.
    Logged,
    /// The time of the replay.
    Now,
}

/// How to replay.
#[derive(Debug, Clone)]
pub struct Options {
    /// Rooms at a time.
    pub parallel: NonZeroUsize,
    /// Which membership changes share a commit.
    pub grouping: Grouping,
    /// How fast.
    pub pace: Pace,
    /// What `sent_at_micros` says.
    pub timestamps: Timestamps,
    /// Registered users who are made members of every room and say nothing.
    pub audience: Vec<UserName>,
    /// How long the devices bear a network that is away.
    pub patience: Patience,
}

/// How long devices of a replay bear a network that is away, unless told otherwise: a restart takes seconds.
pub const PATIENCE: Duration = Duration::from_secs(60);

impl Default for Options {
    fn default() -> Self {
        Self {
            parallel: NonZeroUsize::new(4).unwrap_or(NonZeroUsize::MIN),
            grouping: Grouping::Exact,
            pace: Pace::Unlimited,
            timestamps: Timestamps::Logged,
            audience: Vec::new(),
            patience: Patience::lasting(PATIENCE),
        }
    }
}

/// Replays all of `corpus`. Devices get their accounts with invites from `invites`; `observer` hears of everything that
/// was accepted. Ends with the first error; rooms under way are then left where they are.
pub async fn replay(
    corpus: &Corpus,
    options: Options,
    invites: impl Invites + 'static,
    observer: Observer,
) -> Result<ReplayReport, ReplayError> {
    let started = Instant::now();
    // the first reading tells in how many rooms a nickname appears, and so when its device has done its part
    let cast = Arc::new(Cast::new(corpus.appearances()?, invites, options.patience.clone())?);
    let mut rooms = corpus.rooms()?;
    let options = Arc::new(options);
    let mut under_way = JoinSet::new();
    let mut report = ReplayReport::default();
    loop {
        while under_way.len() < options.parallel.get() {
            let Some(room) = rooms.next_room()? else { break };
            let plan = plan::plan(room, options.grouping);
            task::spawn_in(
                &mut under_way,
                "conversation",
                stage::play(plan, options.clone(), cast.clone(), observer.clone()),
            );
        }
        match under_way.join_next().await {
            Some(room) => report.rooms.push(room.map_err(|_| ReplayError::Interrupted)??),
            None => break,
        }
    }
    report.devices = cast.registered();
    report.elapsed = started.elapsed();
    Ok(report)
}
