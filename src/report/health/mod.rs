//! Health: is the bot alive, is it ready, how far behind is it. Asked over HTTP by probes, monitors and `retaind status`.
//!
//! - `/livez`: the process works; a restart would not help. Only a failed stage makes it 503.
//! - `/readyz`: messages are being archived and shipped. 503 with the reasons ([`Reason`]) if not.
//! - `/metrics`: the same figures as OpenMetrics.
//!
//! Nothing else is answered, and nothing can be changed. No name of a person, conversation or file is in an answer; they
//! need no password for that reason, and listen on loopback unless told otherwise.
//!
//! Invariant: a caller can neither stop nor slow the data path, nor keep a probe out. Requests, connections and their time
//! are bounded ([`server`]), and one look at disks and state is under way at a time, on a thread where it may block, and is waited for
//! only so long. What cannot be found out is left out of the figures, and a reason not to be ready.
//!
//! Whether a disk has room and whether a stage stands still is the watchdog's to say, and is only repeated here: there is
//! one threshold, at which it takes no more deliveries, and one patience. Its opinion is there also while a disk hangs.
//!
//! Not here: what to do about it. The bot tells its operators by events and metrics; these pages only answer.

mod page;
pub mod server;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::Mutex;

pub use self::page::Answer;

use super::counters::Counters;
use super::logs::{self, Dropped};
use super::status::{Opinion, Pipeline, Receiving, Shipping, Space, Stages, Standing};
use retaind_task as task;

/// How long a look at disks and state is waited for: less than a connection may take.
const LOOK_TIME: Duration = Duration::from_secs(2);

/// What waits to be shipped.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// Files, the parked ones among them.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that wait for somebody to put something right.
    pub parked: u64,
    /// How long ago the oldest of them was last written, in seconds; 0 without files.
    pub oldest_secs: u64,
}

/// A directory that the bot writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Directory {
    /// `messages`, `attachments` or `state`.
    pub name: &'static str,
    /// Bytes that the bot may still write there; `None`: the disk did not say.
    pub free_bytes: Option<u64>,
}

/// What is found out when somebody asks.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Found {
    /// `None`: the state cannot be read, or is not open yet.
    pub queue: Option<Queue>,
    /// The bot's directories.
    pub directories: Vec<Directory>,
    /// Conversations that the bot cannot follow.
    pub lost_conversations: u64,
}

/// Finds it out.
pub trait Look: Send + Sync + 'static {
    /// Now. May block on disks and state; called once at a time.
    fn look(&self) -> Found;
    /// What the watchdog thinks. Never blocks.
    fn opinion(&self) -> Opinion;
}

/// Why a bot is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Reason {
    /// No log-in yet.
    #[error("not logged in to the network yet: see the log if this lasts")]
    Starting,
    /// The connection ended.
    #[error("the network is away: the bot connects again by itself; see that the network runs and can be reached")]
    NetworkAway,
    /// It was told to stop.
    #[error("the bot was told to stop")]
    Stopping,
    /// A stage is dead.
    #[error("a stage failed and the bot stops: see the log for why, the next start recovers")]
    StageFailed,
    /// A stage stands still.
    #[error("a stage has not moved for a while, does the disk answer? the bot ends if this lasts, see the log")]
    StageSlow,
    /// A stage has stood still for too long.
    #[error("a stage has not moved for too long and the bot ends: see the log for which, the next start recovers")]
    StageStalled,
    /// Little space.
    #[error("too little disk is free, no more messages are taken: free some space; the network keeps the messages")]
    DiskFull,
    /// The disk does not answer.
    #[error("the free space for {directory} cannot be found out: is the disk still there?")]
    DiskUnknown {
        /// `messages`, `attachments` or `state`.
        directory: &'static str,
    },
    /// Nothing is shipped.
    #[error(
        "no file was shipped for a while although files wait: the log says what the destination answers; they are kept"
    )]
    ShipStalled,
    /// Files are refused.
    #[error("{files} files cannot be shipped before somebody puts it right: the log says why; they are kept")]
    QueueParked {
        /// So many.
        files: u64,
    },
    /// Conversations cannot be read.
    #[error(
        "{conversations} conversations cannot be followed, their messages are kept as ciphertext: the log says why; the network brings the bot back where a member is online"
    )]
    ConversationsLost {
        /// So many.
        conversations: u64,
    },
    /// The state does not answer.
    #[error("the ship queue cannot be read: see the log, and the disk of the state directory")]
    QueueUnknown,
}

impl Reason {
    /// Stable, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::NetworkAway => "network_away",
            Self::Stopping => "stopping",
            Self::StageFailed => "stage_failed",
            Self::StageSlow => "stage_slow",
            Self::StageStalled => "stage_stalled",
            Self::DiskFull => "disk_full",
            Self::DiskUnknown { .. } => "disk_unknown",
            Self::ShipStalled => "ship_stalled",
            Self::QueueParked { .. } => "queue_parked",
            Self::ConversationsLost { .. } => "conversations_lost",
            Self::QueueUnknown => "queue_unknown",
        }
    }
}

/// All figures at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    standing: Standing,
    opinion: Opinion,
    in_hand: u64,
    /// Lines that the log has dropped: no reason not to be ready.
    dropped: Dropped,
    found: Found,
}

impl Reading {
    /// Nothing: ready.
    pub fn reasons(&self) -> Vec<Reason> {
        let mut reasons = Vec::new();
        match self.standing.stages {
            Stages::Work => {}
            Stages::Stop => reasons.push(Reason::Stopping),
            Stages::Failed => reasons.push(Reason::StageFailed),
        }
        match self.standing.receiving {
            Receiving::Now => {}
            Receiving::NotYet => reasons.push(Reason::Starting),
            Receiving::Interrupted => reasons.push(Reason::NetworkAway),
        }
        match self.opinion.pipeline {
            Pipeline::Moves => {}
            Pipeline::Slow => reasons.push(Reason::StageSlow),
            Pipeline::Stalled => reasons.push(Reason::StageStalled),
        }
        match self.opinion.space {
            Space::Enough | Space::Low => {}
            Space::Critical => reasons.push(Reason::DiskFull),
        }
        for Directory { name: directory, free_bytes } in self.found.directories.iter().copied() {
            if free_bytes.is_none() {
                reasons.push(Reason::DiskUnknown { directory });
            }
        }
        match self.standing.shipping {
            Shipping::Moves => {}
            Shipping::Stalled => reasons.push(Reason::ShipStalled),
        }
        match self.found.queue {
            Some(Queue { parked: 0, .. }) => {}
            Some(Queue { parked: files, .. }) => reasons.push(Reason::QueueParked { files }),
            None => reasons.push(Reason::QueueUnknown),
        }
        match self.found.lost_conversations {
            0 => {}
            conversations => reasons.push(Reason::ConversationsLost { conversations }),
        }
        reasons
    }
}

/// What can be asked.
pub struct Health {
    counters: Arc<Counters>,
    look: Arc<dyn Look>,
    looking: Arc<Mutex<()>>,
    /// Under which it may be asked, beside addresses and names without a dot.
    names: Vec<String>,
}

impl Health {
    /// Of the bot that counts here.
    pub fn new(counters: Arc<Counters>, look: Arc<dyn Look>) -> Self {
        Self { counters, look, looking: Arc::default(), names: Vec::new() }
    }

    /// The same, which may also be asked under these names.
    #[must_use]
    pub fn with_names(self, names: Vec<String>) -> Self {
        Self { names, ..self }
    }

    /// Does the process work?
    fn alive(&self) -> Standing {
        self.counters.status.standing()
    }

    /// Finds everything out.
    async fn read(&self) -> Reading {
        let (look, looking) = (self.look.clone(), self.looking.clone());
        let found = tokio::time::timeout(LOOK_TIME, async move {
            // held by the look itself: who stops waiting for it does not let another one begin beside it
            let alone = looking.lock_owned().await;
            task::blocking("health", move || {
                let found = look.look();
                drop(alone);
                found
            })
            .await
        });
        Reading {
            // a look that panicked, or that a disk holds up, has found nothing out
            found: found.await.map(Result::unwrap_or_default).unwrap_or_default(),
            standing: self.counters.status.standing(),
            opinion: self.look.opinion(),
            in_hand: self.counters.messages_in_hand(),
            dropped: logs::dropped(),
        }
    }
}
