//! Health: is the bot alive, is it ready, how far behind is it. Asked over HTTP by probes, monitors and `retaind status`.
//!
//! - `/livez`: the process works; a restart would not help. Only a failed stage makes it 503.
//! - `/readyz`: messages are being archived and shipped. 503 with the reasons ([`Reason`]) if not.
//! - `/metrics`: the same figures as OpenMetrics.
//!
//! Nothing else is answered, and nothing can be changed. No name of a person, conversation or file is in an answer; they
//! need no password for that reason, and listen on loopback unless told otherwise.
//!
//! Invariant: who asks can neither stop nor slow the data path. Requests, connections and their time are bounded
//! ([`server`]), and one look at disks and state is under way at a time, on a thread where it may block. What cannot be
//! found out is left out of the figures, and a reason not to be ready.
//!
//! Not here: what to do about it. The bot tells its operators by events and metrics; these pages only answer.

mod page;
pub mod server;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::Mutex;

pub use self::page::Answer;

use super::counters::Counters;
use super::status::{Receiving, Stages, Standing};

/// Free bytes of a directory below which the bot is not ready: a batch is at most 32 MiB, and stands in the message file
/// and in the log of the state before it is acknowledged.
pub const DISK_FREE_BYTES_MIN: u64 = 64 * 1024 * 1024;

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

/// A directory of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Directory {
    /// `messages` or `attachments`.
    pub name: &'static str,
    /// Bytes that the bot may still write there; `None`: the disk did not say.
    pub free_bytes: Option<u64>,
}

/// What is found out when somebody asks.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Found {
    /// `None`: the state cannot be read, or is not open yet.
    pub queue: Option<Queue>,
    /// The archive's directories.
    pub directories: Vec<Directory>,
}

/// Finds it out. May block on disks and state; called once at a time.
pub trait Look: Send + Sync + 'static {
    /// Now.
    fn look(&self) -> Found;
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
    /// Little space.
    #[error("only {free_bytes} bytes are free for {directory}, {DISK_FREE_BYTES_MIN} are needed: free some space")]
    DiskFull {
        /// `messages` or `attachments`.
        directory: &'static str,
        /// Left.
        free_bytes: u64,
    },
    /// The disk does not answer.
    #[error("the free space for {directory} cannot be found out: is the disk still there?")]
    DiskUnknown {
        /// `messages` or `attachments`.
        directory: &'static str,
    },
    /// Files are refused.
    #[error("{files} files cannot be shipped before somebody puts it right: the log says why; they are kept")]
    QueueParked {
        /// So many.
        files: u64,
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
            Self::DiskFull { .. } => "disk_full",
            Self::DiskUnknown { .. } => "disk_unknown",
            Self::QueueParked { .. } => "queue_parked",
            Self::QueueUnknown => "queue_unknown",
        }
    }
}

/// All figures at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    standing: Standing,
    in_hand: u64,
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
        for Directory { name: directory, free_bytes } in self.found.directories.iter().copied() {
            match free_bytes {
                Some(free_bytes) if free_bytes < DISK_FREE_BYTES_MIN => {
                    reasons.push(Reason::DiskFull { directory, free_bytes });
                }
                Some(_) => {}
                None => reasons.push(Reason::DiskUnknown { directory }),
            }
        }
        match self.found.queue {
            Some(Queue { parked: 0, .. }) => {}
            Some(Queue { parked: files, .. }) => reasons.push(Reason::QueueParked { files }),
            None => reasons.push(Reason::QueueUnknown),
        }
        reasons
    }
}

/// What can be asked.
pub struct Health {
    counters: Arc<Counters>,
    look: Arc<Mutex<Arc<dyn Look>>>,
}

impl Health {
    /// Of the bot that counts here.
    pub fn new(counters: Arc<Counters>, look: Arc<dyn Look>) -> Self {
        Self { counters, look: Arc::new(Mutex::new(look)) }
    }

    /// Does the process work?
    fn alive(&self) -> Standing {
        self.counters.status.standing()
    }

    /// Finds everything out.
    async fn read(&self) -> Reading {
        // held by the look itself: who stops waiting for it does not let another one begin beside it
        let look = self.look.clone().lock_owned().await;
        let found = tokio::task::spawn_blocking(move || look.look()).await;
        Reading {
            standing: self.counters.status.standing(),
            in_hand: self.counters.messages_in_hand(),
            // a look that panicked has found nothing out
            found: found.unwrap_or_default(),
        }
    }
}
