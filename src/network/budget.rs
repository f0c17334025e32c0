//! What frames, requests and answers hold in memory: counted for each connection, each user and the whole process.
//!
//! Every byte of a peer is charged before there is room for it, and the charge goes along with it: from the frame that is
//! being read to the request, the writer's queue and the answer, until the socket has taken it. A user that has its share waits;
//! it reads no further meanwhile, so that the wait is its own. When the process has no room, the connection that holds most, of
//! the user that holds most, is ended after a moment in which honest ones give back what they have; whoever holds less waits for
//! no longer than that. So it takes several users to fill the budget, and those who filled it lose it.
//!
//! Not here: the permits of one connection ([`super::connection`]), which bound its requests and keep their order.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::limits::{PROCESS_BYTES, USER_BYTES};
use retaind_core::limit::{Limit, Refusals};

/// How long honest holders have to give something back before a connection is ended for it.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long an answer may: a device on a slow line takes one after the other. One that takes nothing is ended by its writer.
const WAIT_FOR_AN_ANSWER: Duration = Duration::from_secs(600);

/// The memory of all connections.
pub(crate) struct Budget {
    all: usize,
    each: usize,
    wait: Duration,
    held: AtomicUsize,
    next: AtomicUsize,
    waiting: AtomicUsize,
    freed: Notify,
    holders: Mutex<HashMap<usize, Arc<Holder>>>,
    users: Mutex<HashMap<String, Arc<AtomicUsize>>>,
    refusals: Arc<Refusals>,
}

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// All strangers together are like one user.
    Strangers,
    /// Any user.
    User,
    /// A bot of data retention: never ended for others, and others are ended for it.
    Bot,
}

struct Holder {
    of: Of,
    user: Arc<AtomicUsize>,
    held: AtomicUsize,
    cut: CancellationToken,
}

/// What one connection holds.
pub(crate) struct Account {
    budget: Arc<Budget>,
    number: usize,
    name: Option<String>,
    holder: Arc<Holder>,
}

/// Bytes that are held until this is dropped.
pub(crate) struct Charge {
    account: Arc<Account>,
    bytes: usize,
}

impl Budget {
    /// `all` bytes, and `each` of them for one user. `wait`: how long a frame that has begun may wait for some.
    pub(crate) fn new(all: usize, each: usize, wait: Duration, refusals: Arc<Refusals>) -> Arc<Self> {
        Arc::new(Self {
            all,
            each,
            wait,
            held: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            freed: Notify::new(),
            holders: Mutex::default(),
            users: Mutex::default(),
            refusals,
        })
    }

    /// Bytes that are held now.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// A connection of a user; strangers have no name. `cut` ends it at once.
    pub(crate) fn open(self: &Arc<Self>, of: Of, user: &str, cut: CancellationToken) -> Arc<Account> {
        let name = user.to_owned();
        let share = Arc::clone(lock(&self.users).entry(name.clone()).or_default());
        let holder = Arc::new(Holder { of, user: share, held: AtomicUsize::new(0), cut });
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.holders).insert(number, Arc::clone(&holder));
        Arc::new(Account { budget: Arc::clone(self), number, name: Some(name), holder })
    }

    /// Ends a connection of whoever holds more than `than`, the greatest first. Nobody does: `false`.
    fn take_from_the_greatest(&self, than: usize) -> bool {
        let holders = lock(&self.holders);
        let most = holders
            .values()
            .filter(|holder| holder.of != Of::Bot && !holder.cut.is_cancelled())
            .max_by_key(|holder| (holder.user.load(Ordering::Relaxed), holder.held.load(Ordering::Relaxed)));
        match most {
            Some(holder) if holder.user.load(Ordering::Relaxed) > than => {
                self.refusals.count(&PROCESS_BYTES);
                holder.cut.cancel();
                true
            }
            Some(_) | None => false,
        }
    }

    fn is_over(&self) -> bool {
        self.held.load(Ordering::Relaxed) > self.all
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds what fits. Where nothing is held yet everything fits, or it would wait for ever.
fn take(held: &AtomicUsize, bytes: usize, most: usize) -> bool {
    let more = |held: usize| {
        let sum = held.saturating_add(bytes);
        (held == 0 || sum <= most).then_some(sum)
    };
    held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

impl Account {
    /// Holds so much more, once there is room. Errors: the limit that left none for too long.
    #[cfg(test)]
    pub(crate) async fn charge(self: &Arc<Self>, bytes: usize) -> Result<Charge, &'static Limit> {
        let mut charge = self.nothing();
        charge.grow(bytes).await?;
        Ok(charge)
    }

    /// The same for what is about to be read: a longer wait.
    pub(crate) async fn charge_for_an_answer(self: &Arc<Self>, bytes: usize) -> Result<Charge, &'static Limit> {
        let mut charge = self.nothing();
        charge.grow_for_an_answer(bytes).await?;
        Ok(charge)
    }

    /// A charge that holds nothing yet.
    pub(crate) fn nothing(self: &Arc<Self>) -> Charge {
        Charge { account: Arc::clone(self), bytes: 0 }
    }

    fn try_take(&self, bytes: usize) -> Result<(), &'static Limit> {
        let budget = &self.budget;
        if !take(&self.holder.user, bytes, budget.each) {
            return Err(&USER_BYTES);
        }
        if !take(&budget.held, bytes, budget.all) {
            self.holder.user.fetch_sub(bytes, Ordering::Relaxed);
            return Err(&PROCESS_BYTES);
        }
        self.holder.held.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn give(&self, bytes: usize) {
        self.holder.held.fetch_sub(bytes, Ordering::Relaxed);
        self.holder.user.fetch_sub(bytes, Ordering::Relaxed);
        self.budget.held.fetch_sub(bytes, Ordering::Relaxed);
        if self.budget.waiting.load(Ordering::Relaxed) > 0 {
            self.budget.freed.notify_waiters();
        }
    }

    async fn wait_for(&self, bytes: usize, wait: Duration) -> Result<(), &'static Limit> {
        let began = Instant::now();
        let (mut patience, over) = (began + PATIENCE, began + wait);
        loop {
            let mut freed = std::pin::pin!(self.budget.freed.notified());
            // registered before the try, so that nothing that is given in between is missed
            freed.as_mut().enable();
            let limit = match self.try_take(bytes) {
                Ok(()) => return Ok(()),
                Err(limit) => limit,
            };
            if timeout_at(patience.min(over), freed).await.is_ok() {
                continue;
            }
            if Instant::now() >= over {
                return Err(limit);
            }
            let mine = match self.holder.of {
                Of::Bot => 0,
                Of::User | Of::Strangers => self.holder.user.load(Ordering::Relaxed).saturating_add(bytes),
            };
            if *limit == PROCESS_BYTES {
                self.budget.take_from_the_greatest(mine);
            }
            patience = Instant::now() + PATIENCE;
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        lock(&self.budget.holders).remove(&self.number);
        if let Some(name) = self.name.take() {
            let mut users = lock(&self.budget.users);
            // the map, this holder: no other connection of the user
            if users.get(&name).is_some_and(|share| Arc::strong_count(share) <= 2) {
                users.remove(&name);
            }
        }
    }
}

impl Charge {
    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds so much more, once there is room.
    pub(crate) async fn grow(&mut self, more: usize) -> Result<(), &'static Limit> {
        self.grow_within(more, self.account.budget.wait).await
    }

    /// The same for an answer that is about to be made: a longer wait.
    pub(crate) async fn grow_for_an_answer(&mut self, more: usize) -> Result<(), &'static Limit> {
        self.grow_within(more, WAIT_FOR_AN_ANSWER).await
    }

    async fn grow_within(&mut self, more: usize, wait: Duration) -> Result<(), &'static Limit> {
        if more == 0 {
            return Ok(());
        }
        if self.account.try_take(more).is_err() {
            self.account.budget.waiting.fetch_add(1, Ordering::Relaxed);
            let waited = {
                let _waiting = Waiting(&self.account.budget);
                self.account.wait_for(more, wait).await
            };
            waited.inspect_err(|limit| self.account.budget.refusals.count(limit))?;
        }
        self.bytes = self.bytes.saturating_add(more);
        Ok(())
    }

    /// Holds at least so much, also if there is no room: it is there already. Who holds most pays for it.
    pub(crate) fn cover(&mut self, bytes: usize) {
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 {
            return;
        }
        let account = &self.account;
        account.holder.held.fetch_add(more, Ordering::Relaxed);
        account.holder.user.fetch_add(more, Ordering::Relaxed);
        account.budget.held.fetch_add(more, Ordering::Relaxed);
        self.bytes = bytes;
        if account.budget.is_over() {
            account.budget.take_from_the_greatest(0);
        }
    }

    /// Holds no more than this.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if let Some(less) = self.bytes.checked_sub(bytes).filter(|less| *less > 0) {
            self.account.give(less);
            self.bytes = bytes;
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.account.give(self.bytes);
        }
    }
}

/// One that waits; a wait that is given up counts no longer.
struct Waiting<'a>(&'a Budget);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(all: usize, each: usize) -> Arc<Budget> {
        Budget::new(all, each, Duration::from_secs(10), Arc::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_that_has_its_share_waits_and_others_do_not() {
        let budget = budget(100, 30);
        let (one, other) = (budget.open(Of::User, "a", CancellationToken::new()), CancellationToken::new());
        let second = budget.open(Of::User, "a", other);
        let stranger = budget.open(Of::User, "b", CancellationToken::new());
        let held = one.charge(25).await.unwrap();
        assert_eq!(second.charge(10).await.err(), Some(&USER_BYTES));
        stranger.charge(30).await.unwrap();
        drop(held);
        second.charge(30).await.unwrap();
        assert_eq!(budget.held(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_is_used_up_the_greatest_is_ended_and_the_small_one_gets_its_room() {
        let budget = budget(100, 90);
        let cuts = [CancellationToken::new(), CancellationToken::new(), CancellationToken::new()];
        let [small, great, asker] = cuts.clone();
        let (small, great) = (budget.open(Of::User, "small", small), budget.open(Of::User, "great", great));
        let _small = small.charge(15).await.unwrap();
        let held = great.charge(85).await.unwrap();
        let ended = tokio::spawn({
            let cut = cuts[1].clone();
            async move {
                cut.cancelled().await;
                drop(held);
            }
        });
        let began = Instant::now();
        budget.open(Of::User, "asker", asker).charge(10).await.unwrap();
        assert!(began.elapsed() <= PATIENCE * 2);
        ended.await.unwrap();
        assert_eq!(cuts.each_ref().map(CancellationToken::is_cancelled), [false, true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bot_is_not_ended_though_it_holds_most_and_others_are_for_it() {
        let budget = budget(100, 90);
        let (bot, user) = (CancellationToken::new(), CancellationToken::new());
        let account = budget.open(Of::Bot, "bot", bot.clone());
        let _held = account.charge(80).await.unwrap();
        let other = budget.open(Of::User, "a", user.clone());
        let _other = other.charge(20).await.unwrap();
        assert_eq!(account.charge(10).await.err(), Some(&PROCESS_BYTES));
        assert_eq!((bot.is_cancelled(), user.is_cancelled()), (false, true));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_there_already_is_paid_for_by_the_greatest() {
        let budget = budget(100, 90);
        let cut = CancellationToken::new();
        let account = budget.open(Of::User, "a", cut.clone());
        let mut charge = account.charge(10).await.unwrap();
        charge.cover(95);
        assert!(!cut.is_cancelled());
        charge.cover(105);
        assert!(cut.is_cancelled());
        charge.shrink_to(5);
        assert_eq!(budget.held(), 5);
        drop(charge);
        drop(account);
        assert_eq!((budget.held(), lock(&budget.users).len(), lock(&budget.holders).len()), (0, 0, 0));
    }
}
