//! Ship: brings sealed message files and attachments to where they are kept, several at once.
//!
//! The queue is durable and belongs to the state: an item is put into it in the transaction that makes its file
//! final, and leaves it only with a [`Stored`], the proof that a destination has the whole file. Where that is elsewhere,
//! the local copy goes after the proof is committed, and the item after the copy has gone:
//!
//! ```text
//! sealed, settled ─► waiting ─ take ─► store ─► Stored ─ done (commit) ─► remove the file ─ released (commit) ─► gone
//!                       ▲        │ fails: the attempt is known, or known not to have happened
//!                       └────────┘
//! ```
//!
//! What is sent elsewhere is hashed on its way ([`Outgoing`]): a file that is not what was committed, be it by one bit,
//! does not become an object.
//!
//! Killed at any point: what is `waiting` is stored again, and an attempt whose outcome nobody knows is in the
//! [ledger](ShipQueue), so that "something of this name is there already" can be told from a stranger's object; what is
//! `done` has its file removed at the next start. So a file is removed only behind a committed proof, and an object is
//! written once.
//!
//! Nothing is skipped by default. An error says what to do: wait and try again (the destination is away, or refuses the bucket
//! or the key as a whole; the disk is the queue), park the item (only this file is wrong; it stays in the state with its
//! reason, comes up again every [`PARKED_AGAIN`](runner::PARKED_AGAIN) and at each start, and the others go on), or halt.
//!
//! Not here: the queue's tables (state), the wire of S3 ([`retaind_aws::s3`]), what the events are called.

mod bell;
mod header;
mod local;
mod outgoing;
pub mod runner;
pub mod s3;
mod stall;
pub(crate) mod watch;

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use thiserror::Error;

use retaind_aws::AwsError;
use retaind_core::fault::{Fault, Faulty, chain};

pub use bell::Bell;
pub use local::LocalDestination;
pub use outgoing::Outgoing;
pub use runner::{PAUSES, Shipped};
pub use stall::STALLS_AFTER;

/// What kind of file an item is: `wickrio-type` of an S3 object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShipKind {
    /// A sealed message file.
    Message,
    /// An attachment.
    File,
    /// What proves the others ([`crate::evidence`]). Its items are stored one after the other, in their order.
    Evidence,
}

/// A file that waits to be shipped: a row of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShipItem {
    /// Key of the row; items are shipped in its order.
    pub id: i64,
    /// What it is.
    pub kind: ShipKind,
    /// Where it lies.
    pub path: PathBuf,
    /// Its name at the destination.
    pub name: String,
    /// Its committed length in bytes.
    pub length: u64,
    /// What its content was committed as: a message file's [`Chain`](crate::segment::Chain), the SHA-256 of
    /// any other. `None`: a file that was found without its state, of which only the length is known.
    pub hash: Option<[u8; 32]>,
}

impl ShipItem {
    /// How logs and errors call it. The name of an attachment is content, and does not appear there.
    pub fn label(&self) -> String {
        match self.kind {
            ShipKind::Message => format!("message file `{}`", self.path.display()),
            ShipKind::File => format!("attachment `{}` of the ship queue", self.id),
            ShipKind::Evidence => format!("evidence `{}`", self.path.display()),
        }
    }
}

/// May an earlier attempt at an item have stored it?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// There was none, or it certainly has not.
    None,
    /// There was one of which nobody knows how it ended.
    Earlier,
}

/// Names the attempts at one item: random, 32 hex characters, written into the object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Token(String);

impl Token {
    /// From the state, or a new one of the runner's.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An item that is about to be stored: that it was tried is in the ledger already.
#[derive(Debug, Clone)]
pub struct ShipJob {
    /// The file to store, from the queue.
    pub item: ShipItem,
    /// Stands in the object, whichever attempt makes it.
    pub token: Token,
    /// May it have been stored already?
    pub doubt: Doubt,
    /// Multi-part uploads of earlier attempts that are not known to have ended.
    pub uploads: Vec<String>,
}

/// Proof that a destination holds the whole file of one item. Only destinations, which live in this room, make it.
#[derive(Debug)]
#[must_use = "an item leaves the queue only by its proof"]
pub struct Stored {
    id: i64,
}

impl Stored {
    fn of(item: &ShipItem) -> Self {
        Self { id: item.id }
    }

    /// For destinations of tests outside the crate, once they hold the whole file. Anywhere else it breaks the promise.
    pub fn danger_assume_stored(item: &ShipItem) -> Self {
        Self::of(item)
    }

    /// The item that is stored.
    pub fn id(&self) -> i64 {
        self.id
    }
}

/// Does the local file stay once its item is stored?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalCopy {
    /// It is what is kept.
    Keep,
    /// The destination has it.
    Remove,
}

/// Why an item could not be shipped.
#[derive(Debug, Error)]
pub enum ShipError {
    /// The file is gone.
    #[error("{what} is missing: it was moved or deleted before it was shipped; put it back and restart the bot")]
    Missing {
        /// See [`ShipItem::label`].
        what: String,
    },
    /// The file is not what was committed.
    #[error("{what} has {found} bytes, but {committed} were committed: it was altered; restore it and restart the bot")]
    Altered {
        /// See [`ShipItem::label`].
        what: String,
        /// Bytes that it has; more than were committed: at least so many.
        found: u64,
        /// Bytes that were committed.
        committed: u64,
    },
    /// The file has other bytes than were committed.
    #[error(
        "{what} has the length that was committed, but not the content: the disk has damaged it, or somebody has altered it; \
         restore it from a copy and restart the bot"
    )]
    Damaged {
        /// See [`ShipItem::label`].
        what: String,
    },
    /// The disk did not answer.
    #[error("cannot look at {what}; it is tried again")]
    Disk {
        /// See [`ShipItem::label`].
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A stranger's object has the name.
    #[error(
        "{what} cannot be stored: the bucket has another object under its name, which the bot does not overwrite; move that one away"
    )]
    Taken {
        /// See [`ShipItem::label`].
        what: String,
    },
    /// Larger than one object, or one envelope, may be.
    #[error("{what} has {length} bytes, more than one object may have ({limit}): copy it by hand")]
    TooLarge {
        /// See [`ShipItem::label`].
        what: String,
        /// Its bytes.
        length: u64,
        /// The most.
        limit: u64,
    },
    /// The destination is away, or does not let the bot in.
    #[error("{what} is not stored yet")]
    Destination {
        /// See [`ShipItem::label`].
        what: String,
        /// What AWS said.
        source: AwsError,
        /// May it be stored all the same?
        doubt: Doubt,
    },
    /// Only this object is refused.
    #[error("{what} is refused")]
    Refused {
        /// See [`ShipItem::label`].
        what: String,
        /// What AWS said.
        source: AwsError,
        /// May it be stored all the same?
        doubt: Doubt,
    },
    /// No randomness. An attempt whose token could be anybody's would make a stranger's object look like the bot's own.
    #[error("the system gives no random bytes, without which nothing is shipped; restart the bot")]
    Random,
    /// Encryption failed.
    #[error("{what} cannot be encrypted: {why}")]
    Encrypt {
        /// See [`ShipItem::label`].
        what: String,
        /// Why the cipher, or the key service, refused.
        why: String,
    },
    /// The queue cannot be read or written.
    #[error("the ship queue in the bot's state cannot be used")]
    Queue(#[from] QueueError),
}

impl ShipError {
    /// The error and its sources in one line.
    pub fn with_sources(&self) -> String {
        chain(self).to_string()
    }

    /// Failures of one kind have one cause; the name of the item is no part of it.
    fn kind(&self) -> String {
        match self {
            Self::Destination { source, .. } | Self::Refused { source, .. } => source.kind(),
            Self::Missing { .. } => "missing".to_owned(),
            Self::Altered { .. } => "altered".to_owned(),
            Self::Damaged { .. } => "damaged".to_owned(),
            Self::Disk { .. } => "disk".to_owned(),
            Self::Taken { .. } => "taken".to_owned(),
            Self::TooLarge { .. } => "too large".to_owned(),
            Self::Random => "random".to_owned(),
            Self::Encrypt { .. } => "encrypt".to_owned(),
            Self::Queue(_) => "queue".to_owned(),
        }
    }

    /// Are operators notified? Not the same question as what the runner does ([`Faulty::fault`]): it keeps trying a
    /// destination that refuses, and somebody has to change something before that can work.
    pub fn needs_operator(&self) -> bool {
        match self {
            Self::Destination { source, .. } => !source.is_temporary(),
            Self::Disk { .. }
            | Self::Missing { .. }
            | Self::Altered { .. }
            | Self::Damaged { .. }
            | Self::Taken { .. }
            | Self::TooLarge { .. }
            | Self::Refused { .. }
            | Self::Random
            | Self::Encrypt { .. }
            | Self::Queue(_) => !self.is_temporary(),
        }
    }

    /// Did the destination refuse in words of which it is not known whether they concern this item or all of them?
    fn is_unclear(&self) -> bool {
        matches!(self, Self::Destination { source: source @ AwsError::Refused { .. }, .. } if !source.is_of_all_objects())
    }

    /// May this attempt have stored the object?
    fn doubt(&self) -> Doubt {
        match self {
            Self::Destination { doubt, .. } | Self::Refused { doubt, .. } => *doubt,
            Self::Missing { .. }
            | Self::Altered { .. }
            | Self::Damaged { .. }
            | Self::Taken { .. }
            | Self::TooLarge { .. }
            | Self::Disk { .. }
            | Self::Random
            | Self::Encrypt { .. } => Doubt::None,
            Self::Queue(_) => Doubt::Earlier,
        }
    }
}

impl Faulty for ShipError {
    /// What the runner does about it.
    fn fault(&self) -> Fault {
        match self {
            Self::Disk { .. } | Self::Destination { .. } => Fault::Temporary,
            Self::Missing { .. }
            | Self::Altered { .. }
            | Self::Damaged { .. }
            | Self::Taken { .. }
            | Self::TooLarge { .. }
            | Self::Refused { .. }
            | Self::Encrypt { .. } => Fault::Item,
            // of no item alone: all of them stay in the queue
            Self::Random | Self::Queue(_) => Fault::Stop,
        }
    }
}

/// What the state said when the queue was used.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct QueueError(#[from] pub Box<dyn std::error::Error + Send + Sync>);

/// What a destination's work gives.
pub type Storing<'a> = Pin<Box<dyn Future<Output = Result<Stored, ShipError>> + Send + 'a>>;

/// Where files are kept. Called with the same item again after an error, or after a crash: both must be harmless.
pub trait Destination: Send + Sync {
    /// Stores one file; returns when it is durable there.
    fn store<'a>(&'a self, taken: &'a ShipJob, ledger: &'a Arc<dyn ShipQueue>) -> Storing<'a>;
    /// What becomes of the local file then.
    fn local_copy(&self) -> LocalCopy;
    /// A count that grows whenever a part of a file is confirmed: a large file that gets on has not stalled.
    fn confirmed(&self) -> u64 {
        0
    }
}

/// The durable queue and its ledger of attempts, in the bot's state. Calls block on the disk.
pub trait ShipQueue: Send + Sync {
    /// Up to as many items as there are `fresh` tokens that are not among `busy` (in hand), not parked and not stored: the
    /// oldest ones, and the newest as the last, so that a backlog does not keep what is new waiting. Evidence only if all
    /// earlier evidence is stored, so that no prefix of it at the destination has a hole. That they are tried is
    /// in the ledger when this returns, with a token each: that of their first attempt, or a fresh one.
    fn take(&self, fresh: Vec<Token>, busy: &[i64]) -> Result<Vec<ShipJob>, QueueError>;
    /// Stored: durably out of what waits, and out of the queue where the local copy stays.
    fn done(&self, stored: &[Stored], copy: LocalCopy) -> Result<(), QueueError>;
    /// Stored items whose local files may go, at most `limit`.
    fn removable(&self, limit: usize) -> Result<Vec<ShipItem>, QueueError>;
    /// Their local files are gone, durably.
    fn released(&self, ids: &[i64]) -> Result<(), QueueError>;
    /// Certainly no attempt so far has stored the item.
    fn not_stored(&self, id: i64) -> Result<(), QueueError>;
    /// A multi-part upload has begun for an item.
    fn upload_begun(&self, id: i64, upload: &str) -> Result<(), QueueError>;
    /// It has ended, or will by the bucket's lifecycle rule.
    fn upload_ended(&self, id: i64, upload: &str) -> Result<(), QueueError>;
    /// Keeps the item, with the reason, but lets it not come up before [`Self::unpark`].
    fn park(&self, id: i64, why: &ShipError) -> Result<(), QueueError>;
    /// What was parked comes up again.
    fn unpark(&self) -> Result<(), QueueError>;
}

#[cfg(test)]
mod tests;
