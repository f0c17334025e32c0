//! Ship: brings sealed message files and attachments to where they are kept, one after the other.
//!
//! The queue is durable and belongs to the state: an item is put into it in the transaction that makes its file
//! final, and leaves it only with a [`Stored`], the proof that a destination has the whole file. So a file is shipped
//! at least once, and never forgotten; a crash between storing and [`ShipQueue::done`] stores it again, under the
//! same name.
//!
//! Nothing is skipped by default. An error says what to do: wait and try the same item again (the destination is
//! away; the disk is the queue), park the item (only this file is wrong; it stays in the state with its reason, and
//! the others go on), or halt.
//!
//! Not here: the queue's table (state), S3, the removal of shipped files. The local destination keeps what it is given.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tracing::warn;

use crate::bot::disk::{Disk, Handling};

/// Items read from the queue at once: few queries, and little memory.
pub const BATCH_ITEMS: usize = 64;

/// What kind of file an item is: `wickrio-type` of an S3 object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShipKind {
    /// A sealed message file.
    Message,
    /// An attachment.
    File,
}

/// A file that waits to be shipped: a row of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShipItem {
    /// Key of the row; items are shipped in its order.
    pub id: i64,
    /// Message file or attachment.
    pub kind: ShipKind,
    /// Where it lies.
    pub path: PathBuf,
    /// Its name at the destination.
    pub name: String,
    /// Its committed length in bytes.
    pub length: u64,
}

impl ShipItem {
    /// How logs and errors call it. The name of an attachment is content, and does not appear there.
    pub fn label(&self) -> String {
        match self.kind {
            ShipKind::Message => format!("message file `{}`", self.path.display()),
            ShipKind::File => format!("attachment `{}` of the ship queue", self.id),
        }
    }
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

    /// The item that is stored.
    pub fn id(&self) -> i64 {
        self.id
    }
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
        /// Bytes that it has.
        found: u64,
        /// Bytes that were committed.
        committed: u64,
    },
    /// The disk did not answer.
    #[error("cannot look at {what}; it is tried again")]
    Disk {
        /// See [`ShipItem::label`].
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The queue cannot be read or written.
    #[error("the ship queue in the bot's state cannot be used")]
    Queue(#[from] QueueError),
}

impl ShipError {
    /// What the runner does about it.
    pub fn handling(&self) -> Handling {
        match self {
            Self::Disk { .. } => Handling::Retry,
            Self::Missing { .. } | Self::Altered { .. } => Handling::Park,
            Self::Queue(_) => Handling::Halt,
        }
    }
}

/// What the state said when the queue was used.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct QueueError(#[from] pub Box<dyn std::error::Error + Send + Sync>);

/// Where files are kept. Called with the same item again after an error, or after a crash: both must be harmless.
pub trait Destination: Send + Sync {
    /// Stores one file; returns when it is durable there.
    fn store(&self, item: &ShipItem) -> Result<Stored, ShipError>;
}

/// The durable queue, in the bot's state.
pub trait ShipQueue: Send + Sync {
    /// The first `limit` items, by id, that are neither done nor parked.
    fn next_batch(&self, limit: usize) -> Result<Vec<ShipItem>, QueueError>;
    /// Takes the item of the proof out of the queue, durably.
    fn done(&self, stored: Stored) -> Result<(), QueueError>;
    /// Keeps the item, with the reason, but lets it no more come up in this run. The next start tries it again.
    fn park(&self, id: i64, why: &ShipError) -> Result<(), QueueError>;
}

/// The default destination: the file's own directory. Checks that the whole file is there, and keeps it.
pub struct LocalDestination {
    disk: Arc<dyn Disk>,
}

impl LocalDestination {
    /// On `disk`.
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk }
    }
}

impl Destination for LocalDestination {
    fn store(&self, item: &ShipItem) -> Result<Stored, ShipError> {
        let what = || item.label();
        let length = self.disk.len(&item.path).map_err(|e| ShipError::Disk { what: what(), source: e.source })?;
        match length {
            None => Err(ShipError::Missing { what: what() }),
            Some(found) if found != item.length => {
                Err(ShipError::Altered { what: what(), found, committed: item.length })
            }
            Some(_) => Ok(Stored::of(item)),
        }
    }
}

/// How the rest of the bot calls the ship stage: something is in the queue, finish, stop.
#[derive(Debug, Default)]
pub struct Bell {
    order: Mutex<Order>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Order {
    rings: u64,
    until: Until,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Until {
    #[default]
    Told,
    Empty,
    Now,
}

impl Bell {
    /// Something was put into the queue (its transaction is committed).
    pub fn ring(&self) {
        self.tell(|order| order.rings = order.rings.wrapping_add(1));
    }

    /// Ship what is in the queue, then return.
    pub fn finish(&self) {
        self.tell(|order| order.until = order.until.max(Until::Empty));
    }

    /// Return after the item in hand; the rest stays in the queue for the next start.
    pub fn stop(&self) {
        self.tell(|order| order.until = Until::Now);
    }

    fn tell(&self, change: impl FnOnce(&mut Order)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Order> {
        // the value is plain: a panic elsewhere cannot have left it half changed
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) -> Order {
        *self.lock()
    }

    /// Waits until the order is another than `seen`; what changed since it was seen counts.
    fn wait_for_change(&self, seen: Order) {
        let order = self.lock();
        drop(self.changed.wait_while(order, |order| *order == seen).unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits for `pause`, or less if told to stop.
    fn pause(&self, pause: Duration) {
        let order = self.lock();
        let waited = self.changed.wait_timeout_while(order, pause, |order| order.until != Until::Now);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// How long to wait before an item is tried again: doubled each time up to the limit, reset by a success.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// First pause.
    pub first: Duration,
    /// Longest pause.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), max: Duration::from_secs(60) }
    }
}

/// How a run of the ship stage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shipped {
    /// The queue was empty, but for parked items.
    All,
    /// Told to stop; something is left for the next start.
    Partly,
}

/// Ships until told to finish or stop by `bell`, or until an error says halt. Runs on a thread of its own.
pub fn run(
    queue: &dyn ShipQueue,
    destination: &dyn Destination,
    bell: &Bell,
    backoff: Backoff,
) -> Result<Shipped, ShipError> {
    let mut pause = backoff.first;
    loop {
        // looked at before the queue is read: what is put in after that rings later, and is not missed
        let order = bell.look();
        let batch = queue.next_batch(BATCH_ITEMS)?;
        if batch.is_empty() {
            match order.until {
                Until::Told => bell.wait_for_change(order),
                Until::Empty | Until::Now => return Ok(Shipped::All),
            }
        }
        for item in batch {
            if bell.look().until == Until::Now {
                return Ok(Shipped::Partly);
            }
            match destination.store(&item) {
                Ok(stored) => {
                    queue.done(stored)?;
                    pause = backoff.first;
                }
                Err(error) => match error.handling() {
                    Handling::Park => {
                        warn!(error = text(&error), "not shipped");
                        queue.park(item.id, &error)?;
                    }
                    Handling::Retry => {
                        warn!(error = text(&error), again_in = ?pause, "not shipped yet");
                        bell.pause(pause);
                        pause = pause.saturating_mul(2).min(backoff.max);
                        break;
                    }
                    Handling::Halt => return Err(error),
                },
            }
        }
    }
}

/// An error and its sources in one line.
fn text(error: &ShipError) -> String {
    let sources = std::iter::successors(std::error::Error::source(error), |e| e.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use std::thread;

    use super::*;
    use crate::bot::disk::RealDisk;

    const AT_ONCE: Backoff = Backoff { first: Duration::ZERO, max: Duration::ZERO };

    #[derive(Default)]
    struct Queue {
        waiting: Mutex<BTreeMap<i64, ShipItem>>,
        done: Mutex<Vec<i64>>,
        parked: Mutex<Vec<(i64, String)>>,
    }

    impl Queue {
        fn put(&self, item: ShipItem) {
            self.waiting.lock().unwrap().insert(item.id, item);
        }
    }

    impl ShipQueue for Queue {
        fn next_batch(&self, limit: usize) -> Result<Vec<ShipItem>, QueueError> {
            Ok(self.waiting.lock().unwrap().values().take(limit).cloned().collect())
        }
        fn done(&self, stored: Stored) -> Result<(), QueueError> {
            self.waiting.lock().unwrap().remove(&stored.id()).ok_or("no such item")?;
            self.done.lock().unwrap().push(stored.id());
            Ok(())
        }
        fn park(&self, id: i64, why: &ShipError) -> Result<(), QueueError> {
            self.waiting.lock().unwrap().remove(&id).ok_or("no such item")?;
            self.parked.lock().unwrap().push((id, why.to_string()));
            Ok(())
        }
    }

    impl From<&'static str> for QueueError {
        fn from(text: &'static str) -> Self {
            Self(text.into())
        }
    }

    /// Waits at each item until the test lets it go on, with the test's answer.
    struct Gate {
        arrived: SyncSender<i64>,
        answers: Mutex<Receiver<Option<ShipError>>>,
    }

    fn gate() -> (Gate, Receiver<i64>, SyncSender<Option<ShipError>>) {
        let (arrived, arrivals) = sync_channel(0);
        let (answer, answers) = sync_channel(0);
        (Gate { arrived, answers: Mutex::new(answers) }, arrivals, answer)
    }

    impl Destination for Gate {
        fn store(&self, item: &ShipItem) -> Result<Stored, ShipError> {
            self.arrived.send(item.id).unwrap();
            self.answers.lock().unwrap().recv().unwrap().map_or_else(|| Ok(Stored::of(item)), Err)
        }
    }

    fn item(id: i64) -> ShipItem {
        ShipItem { id, kind: ShipKind::Message, path: PathBuf::from("/none"), name: "none".into(), length: 0 }
    }

    fn away() -> ShipError {
        ShipError::Disk { what: "x".into(), source: io::Error::from(io::ErrorKind::TimedOut) }
    }

    #[test]
    fn the_local_destination_keeps_whole_files_and_parks_others() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::default();
        for (id, name, content, length) in [
            (1, "a.txt", Some("abc"), 3),
            (2, "b.txt", None, 3),
            (3, "c.txt", Some("ab"), 3),
            (4, "d.txt", Some("x"), 1),
        ] {
            let path = dir.path().join(name);
            if let Some(content) = content {
                std::fs::write(&path, content).unwrap();
            }
            queue.put(ShipItem { id, kind: ShipKind::File, path, name: name.into(), length });
        }
        let bell = Bell::default();
        bell.finish();
        let local = LocalDestination::new(Arc::new(RealDisk));
        assert_eq!(run(&queue, &local, &bell, AT_ONCE).unwrap(), Shipped::All);
        assert_eq!(*queue.done.lock().unwrap(), [1, 4]);
        let parked = queue.parked.lock().unwrap();
        assert_eq!(parked.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 3]);
        assert!(parked.iter().all(|(_, why)| !why.contains(".txt")), "an attachment's name is content: {parked:?}");
        assert_eq!(std::fs::read_to_string(dir.path().join("a.txt")).unwrap(), "abc");
    }

    #[test]
    fn items_beyond_one_batch_are_shipped_in_order() {
        struct All;
        impl Destination for All {
            fn store(&self, item: &ShipItem) -> Result<Stored, ShipError> {
                Ok(Stored::of(item))
            }
        }
        let queue = Queue::default();
        (1..=200).for_each(|id| queue.put(item(id)));
        let bell = Bell::default();
        bell.finish();
        assert_eq!(run(&queue, &All, &bell, AT_ONCE).unwrap(), Shipped::All);
        assert_eq!(*queue.done.lock().unwrap(), (1..=200).collect::<Vec<_>>());
    }

    #[test]
    fn a_ring_wakes_the_stage_and_finish_ships_what_was_put_in_before_it() {
        let (queue, bell) = (Queue::default(), Bell::default());
        let (gate, arrivals, answer) = gate();
        thread::scope(|scope| {
            let runner = scope.spawn(|| run(&queue, &gate, &bell, AT_ONCE).unwrap());
            for id in 1..=3 {
                queue.put(item(id));
                bell.ring();
                assert_eq!(arrivals.recv().unwrap(), id);
                answer.send(None).unwrap();
            }
            queue.put(item(4));
            bell.finish();
            assert_eq!(arrivals.recv().unwrap(), 4);
            answer.send(None).unwrap();
            assert_eq!(runner.join().unwrap(), Shipped::All);
        });
        assert_eq!(*queue.done.lock().unwrap(), [1, 2, 3, 4]);
    }

    #[test]
    fn while_the_destination_is_away_the_same_item_is_tried_and_none_is_skipped() {
        let (queue, bell) = (Queue::default(), Bell::default());
        (1..=2).for_each(|id| queue.put(item(id)));
        let (gate, arrivals, answer) = gate();
        thread::scope(|scope| {
            let runner = scope.spawn(|| run(&queue, &gate, &bell, AT_ONCE).unwrap());
            let mut answers = VecDeque::from([Some(away()), Some(away()), None, None]);
            for id in [1, 1, 1, 2] {
                assert_eq!(arrivals.recv().unwrap(), id);
                if answers.len() == 1 {
                    bell.finish();
                }
                answer.send(answers.pop_front().unwrap()).unwrap();
            }
            assert_eq!(runner.join().unwrap(), Shipped::All);
        });
        assert_eq!(*queue.done.lock().unwrap(), [1, 2]);
    }

    #[test]
    fn stop_ends_a_pause_and_leaves_the_rest_in_the_queue() {
        let (queue, bell) = (Queue::default(), Bell::default());
        (1..=2).for_each(|id| queue.put(item(id)));
        let (gate, arrivals, answer) = gate();
        let for_ever = Backoff { first: Duration::MAX, max: Duration::MAX };
        thread::scope(|scope| {
            let runner = scope.spawn(|| run(&queue, &gate, &bell, for_ever).unwrap());
            assert_eq!(arrivals.recv().unwrap(), 1);
            answer.send(Some(away())).unwrap();
            bell.stop();
            assert_eq!(runner.join().unwrap(), Shipped::Partly);
        });
        assert_eq!(queue.waiting.lock().unwrap().len(), 2);
    }

    #[test]
    fn a_queue_that_fails_halts_the_stage() {
        struct Broken;
        impl ShipQueue for Broken {
            fn next_batch(&self, _: usize) -> Result<Vec<ShipItem>, QueueError> {
                Err(QueueError::from("database is locked"))
            }
            fn done(&self, _: Stored) -> Result<(), QueueError> {
                Ok(())
            }
            fn park(&self, _: i64, _: &ShipError) -> Result<(), QueueError> {
                Ok(())
            }
        }
        let local = LocalDestination::new(Arc::new(RealDisk));
        let error = run(&Broken, &local, &Bell::default(), AT_ONCE).unwrap_err();
        assert_eq!(error.handling(), Handling::Halt);
        assert_eq!(text(&error), "the ship queue in the bot's state cannot be used: database is locked");
    }
}
