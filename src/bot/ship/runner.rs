//! The ship stage at work: takes items, lets the destination store several at once, settles what became of them.
//!
//! One gate stands before the destination, not one before each item: if one store fails because S3 is away or says no,
//! the others would fail as well. The gate shuts with a pause that doubles, with jitter; then a single item tries
//! whether it may open again. Meanwhile the bot goes on archiving locally: the disk is the queue. That nothing gets through for
//! long is reported whatever the cause ([`super::stall`]).
//!
//! A refusal in words that this program does not know may concern all items or one. It holds the queue, another item tries
//! next, and only what is refused again and again while others are stored is parked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::error::Unspecified;
use data_encoding::HEXLOWER;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use super::bell::{Bell, Until};
use super::stall::{STALLS_AFTER, Stall, Turn};
use super::{Destination, Doubt, LocalCopy, QueueError, ShipError, ShipItem, ShipJob, ShipQueue, Stored, Token};
use crate::disk::Disk;
use retaind_core::fault::{Fault, Faulty};
use retaind_core::pause::{Growth, Pause};
use retaind_task as task;

/// Files on their way at the same time: enough for the latency of many small ones.
pub const LANES: usize = 8;
/// How often parked items come up again.
pub(crate) const PARKED_AGAIN: Duration = Duration::from_secs(60 * 60);
/// Shipped files removed between two looks at the queue.
const REMOVED_AT_ONCE: usize = 256;

/// How long to wait before the destination is tried again, unless a test says otherwise.
/// With the time of a try, files are stored within a minute of the end of what kept them from it.
pub const PAUSES: Growth = Growth::doubling(Duration::from_secs(1), Duration::from_secs(30));
/// Refusals of one item in a row, with others stored between them, before it is taken for the item's own fault.
const REFUSALS_MAX: u32 = 3;
/// Items of which refusals are remembered: more than a destination that takes others ever refuses.
const REFUSED_MAX: usize = 1024;

/// How a run of the ship stage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shipped {
    /// The queue was empty, but for parked items.
    All,
    /// Told to stop; something is left for the next start.
    Partly,
}

/// Is it told for the first time?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The first failure of this kind since something was stored.
    First,
    /// It was told already, and nothing was stored since.
    Again,
}

/// Hears what goes wrong, for metrics and events. Called on the stage's own task: must not block.
pub trait Watcher: Send + Sync {
    /// An item was not stored.
    fn failed(&self, item: &ShipItem, error: &ShipError, news: News);
    /// An item was stored.
    fn stored(&self, item: &ShipItem);
    /// How long nothing may be stored although files wait.
    fn stalls_after(&self) -> Duration {
        STALLS_AFTER
    }
    /// Nothing was stored for that long; `why`: the last failure. Told once, until [`Self::flows`].
    fn stalled(&self, _lasted: Duration, _why: &str) {}
    /// After that, something was stored, or nothing waits any more.
    fn flows(&self) {}
}

/// The stage.
pub struct Runner {
    /// What waits.
    pub queue: Arc<dyn ShipQueue>,
    /// Where it goes.
    pub destination: Arc<dyn Destination>,
    /// Where it lies.
    pub disk: Arc<dyn Disk>,
    /// How long to wait while the destination is away.
    pub backoff: Growth,
    /// Who hears of it.
    pub watcher: Arc<dyn Watcher>,
}

/// Fills all of the bytes with randomness, or fails.
pub(super) type Fill = fn(&mut [u8]) -> Result<(), Unspecified>;

type Job = (ShipJob, Result<Stored, ShipError>);

struct Gate {
    shut_until: Option<Instant>,
    pause: Pause,
    told: Option<String>,
    /// The last failure, in words.
    why: String,
    /// Items that were refused in words that do not say whether they concern all of them.
    refused: BTreeMap<i64, Refused>,
    /// The last one of them: another one tries next whether the gate may open.
    passed_over: Option<i64>,
    /// Items that were stored so far.
    stored: u64,
    stall: Stall,
}

/// How often an item was refused while others were stored.
#[derive(Debug, Clone, Copy)]
struct Refused {
    times: u32,
    stored: u64,
}

impl Runner {
    /// Ships until told to finish or stop by `bell`, or until an error says halt.
    pub async fn run(self, bell: &Bell) -> Result<Shipped, ShipError> {
        self.run_with(bell, aws_lc_rs::rand::fill).await
    }

    /// The same with another source of randomness, for tests.
    pub(super) async fn run_with(self, bell: &Bell, fill: Fill) -> Result<Shipped, ShipError> {
        let mut orders = bell.listen();
        let mut jobs: JoinSet<Job> = JoinSet::new();
        let mut busy: Vec<i64> = Vec::new();
        let mut gate = Gate::new(self.backoff, self.watcher.stalls_after());
        let mut unpark_at = Instant::now() + PARKED_AGAIN;
        // what an earlier run had stored but not removed
        self.remove_stored().await?;
        loop {
            // looked at before the queue is: what is put in after that rings later, and is not missed
            let until = orders.borrow_and_update().until;
            let room = if until == Until::Now { 0 } else { gate.room(busy.len()) };
            let taken = self.take_for(&gate, room, &busy, fill).await?;
            if taken.is_empty() && room > 0 && busy.is_empty() {
                // what the gate was shut for is parked: nobody is left to try whether it may open
                gate.shut_until = None;
            }
            let nothing_more = taken.is_empty() && gate.shut_until.is_none();
            for taken in taken {
                busy.push(taken.item.id);
                let (destination, queue) = (self.destination.clone(), self.queue.clone());
                task::spawn_in(&mut jobs, "ship", async move {
                    let result = destination.store(&taken, &queue).await;
                    (taken, result)
                });
            }
            let waits = !busy.is_empty() || gate.shut_until.is_some();
            self.tell(gate.stall.waits(waits, Instant::now(), self.destination.confirmed()), &gate);
            match until {
                Until::Now => {
                    let rest = !busy.is_empty() || !self.take(LANES, &[], fill).await?.is_empty();
                    return Ok(if rest { Shipped::Partly } else { Shipped::All });
                }
                Until::Empty if busy.is_empty() && nothing_more => return Ok(Shipped::All),
                Until::Empty | Until::Told => {}
            }
            tokio::select! {
                biased;
                changed = orders.changed() => if changed.is_err() { return Ok(Shipped::Partly) },
                Some(first) = jobs.join_next() => {
                    let mut ended = vec![first];
                    while let Some(more) = jobs.try_join_next() {
                        ended.push(more);
                    }
                    // a task that died is a defect, and what became of its item is not known: the next start finds out
                    let ended: Result<Vec<Job>, _> = ended.into_iter().collect();
                    let ended = ended.map_err(|died| QueueError(Box::new(died)))?;
                    busy.retain(|id| !ended.iter().any(|(taken, _)| taken.item.id == *id));
                    self.settle(ended, &mut gate).await?;
                }
                () = sleep_until(gate.shut_until), if busy.is_empty() => {}
                () = sleep_until(gate.stall.due()) => {
                    let turn = gate.stall.look(Instant::now(), self.destination.confirmed());
                    self.tell(turn, &gate);
                }
                () = tokio::time::sleep_until(unpark_at) => {
                    unpark_at = Instant::now() + PARKED_AGAIN;
                    self.on_queue(|queue| queue.unpark()).await?;
                    self.remove_stored().await?;
                }
            }
        }
    }

    async fn on_queue<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn ShipQueue) -> Result<T, QueueError> + Send + 'static,
    ) -> Result<T, ShipError> {
        let queue = self.queue.clone();
        let called = task::blocking("ship", move || call(&*queue)).await;
        Ok(called.unwrap_or_else(|error| Err(QueueError(Box::new(error))))?)
    }

    async fn take(&self, room: usize, busy: &[i64], fill: Fill) -> Result<Vec<ShipJob>, ShipError> {
        if room == 0 {
            return Ok(Vec::new());
        }
        // before the queue is asked: an item is in hand only with a token that nobody else has
        let (fresh, busy) = (tokens(room, fill)?, busy.to_vec());
        self.on_queue(move |queue| queue.take(fresh, &busy)).await
    }

    /// As [`Self::take`], but where one tries whether the gate may open: not the one that was refused last, if there is another.
    async fn take_for(&self, gate: &Gate, room: usize, busy: &[i64], fill: Fill) -> Result<Vec<ShipJob>, ShipError> {
        if let (Some(last), Some(_)) = (gate.passed_over, gate.shut_until) {
            let others = self.take(room, &[busy, &[last]].concat(), fill).await?;
            if !others.is_empty() {
                return Ok(others);
            }
        }
        self.take(room, busy, fill).await
    }

    fn tell(&self, turn: Turn, gate: &Gate) {
        match turn {
            Turn::None => {}
            Turn::Stalled(lasted) => {
                warn!(seconds = lasted.as_secs(), error = gate.why, "nothing was stored for a while, and files wait");
                self.watcher.stalled(lasted, &gate.why);
            }
            Turn::Over => self.watcher.flows(),
        }
    }

    async fn settle(&self, ended: Vec<Job>, gate: &mut Gate) -> Result<(), ShipError> {
        let mut stored = Vec::new();
        let mut items = Vec::new();
        for (taken, result) in ended {
            match result {
                Ok(proof) => {
                    self.watcher.stored(&taken.item);
                    stored.push(proof);
                    items.push(taken.item);
                }
                Err(error) => self.failed(taken, error, gate).await?,
            }
        }
        if stored.is_empty() {
            return Ok(());
        }
        if gate.told.is_some() {
            info!("files are stored again");
        }
        gate.opens(self.backoff, &items);
        self.tell(gate.stall.stored(Instant::now(), self.destination.confirmed()), gate);
        let copy = self.destination.local_copy();
        self.on_queue(move |queue| queue.done(&stored, copy)).await?;
        match copy {
            LocalCopy::Keep => Ok(()),
            LocalCopy::Remove => self.remove(items).await,
        }
    }

    async fn failed(&self, taken: ShipJob, error: ShipError, gate: &mut Gate) -> Result<(), ShipError> {
        let ShipJob { item, doubt, .. } = taken;
        let kind = error.kind();
        let news = if gate.told.as_ref() == Some(&kind) { News::Again } else { News::First };
        self.watcher.failed(&item, &error, news);
        if error.doubt() == Doubt::None && doubt == Doubt::None {
            let id = item.id;
            self.on_queue(move |queue| queue.not_stored(id)).await?;
        }
        gate.why = error.with_sources();
        let is_its_own = error.is_unclear() && gate.is_refused_alone(item.id);
        let fault = if is_its_own { Fault::Item } else { error.fault() };
        match fault {
            Fault::Item => {
                gate.refused.remove(&item.id);
                warn!(error = error.with_sources(), again_in = ?PARKED_AGAIN, "not shipped");
                self.on_queue(move |queue| queue.park(item.id, &error)).await
            }
            Fault::Temporary => {
                gate.told = Some(kind);
                // several lanes that fail together are one failure
                if gate.shut_until.is_none_or(|until| until <= Instant::now()) {
                    let pause = gate.pause.grow();
                    warn!(error = error.with_sources(), again_in = ?pause, "not shipped yet");
                    gate.shut_until = Some(Instant::now() + pause);
                }
                Ok(())
            }
            Fault::Stop | Fault::Configuration | Fault::Internal => Err(error),
        }
    }

    async fn remove_stored(&self) -> Result<(), ShipError> {
        let removable = self.on_queue(|queue| queue.removable(REMOVED_AT_ONCE)).await?;
        self.remove(removable).await
    }

    /// Removes the local files of stored items. What cannot be removed is tried again with what was parked.
    async fn remove(&self, items: Vec<ShipItem>) -> Result<(), ShipError> {
        if items.is_empty() {
            return Ok(());
        }
        let disk = self.disk.clone();
        let removed = task::blocking("ship", move || {
            let mut removed = Vec::new();
            let mut directories = Vec::new();
            for item in items {
                let gone = match disk.len(&item.path) {
                    Ok(None) => Ok(()),
                    Ok(Some(_)) => disk.remove(&item.path),
                    Err(error) => Err(error),
                };
                match gone {
                    Ok(()) => {
                        removed.push(item.id);
                        directories.extend(item.path.parent().map(ToOwned::to_owned));
                    }
                    Err(error) => warn!(item = item.label(), %error, "a shipped file stays here for now"),
                }
            }
            directories.sort_unstable();
            directories.dedup();
            match directories.iter().try_for_each(|directory| disk.sync_dir(directory)) {
                Ok(()) => removed,
                Err(error) => {
                    warn!(%error, "removal of shipped files is not durable yet");
                    Vec::new()
                }
            }
        });
        let removed = removed.await.unwrap_or_default();
        self.on_queue(move |queue| queue.released(&removed)).await
    }
}

impl Gate {
    /// How many more items may be on their way beside those that are.
    fn room(&self, busy: usize) -> usize {
        match self.shut_until {
            None => LANES.saturating_sub(busy),
            Some(until) if until <= Instant::now() && busy == 0 => 1,
            Some(_) => 0,
        }
    }

    fn new(backoff: Growth, stalls_after: Duration) -> Self {
        Self {
            shut_until: None,
            pause: Pause::new(backoff),
            told: None,
            why: String::new(),
            refused: BTreeMap::new(),
            passed_over: None,
            stored: 0,
            stall: Stall::new(stalls_after),
        }
    }

    /// Items were stored.
    fn opens(&mut self, backoff: Growth, items: &[ShipItem]) {
        (self.shut_until, self.pause, self.told, self.passed_over) = (None, Pause::new(backoff), None, None);
        for item in items {
            self.stored = self.stored.saturating_add(1);
            self.refused.remove(&item.id);
        }
    }

    /// An item was refused, in words that may concern all of them or it alone. Alone, if others were stored in between, and
    /// that not only once: a quota that is full now and then is not the item's fault.
    fn is_refused_alone(&mut self, id: i64) -> bool {
        self.passed_over = Some(id);
        let stored = self.stored;
        if self.refused.len() >= REFUSED_MAX && !self.refused.contains_key(&id) {
            return false;
        }
        let refused = self.refused.entry(id).or_insert(Refused { times: 0, stored });
        if refused.stored < stored || refused.times == 0 {
            *refused = Refused { times: refused.times.saturating_add(1), stored };
        }
        refused.times >= REFUSALS_MAX
    }
}

async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// New tokens, each of 128 random bits.
fn tokens(many: usize, fill: Fill) -> Result<Vec<Token>, ShipError> {
    let token = |_| {
        let mut random = [0u8; 16];
        fill(&mut random).map_err(|Unspecified| ShipError::Random)?;
        Ok(Token::new(HEXLOWER.encode(&random)))
    };
    (0..many).map(token).collect()
}
