//! Receives: keeps a connection to the network, takes what it pushes, acknowledges what is durable.
//!
//! A connection that ends is opened again, with a pause that grows. On a new connection the bot first acknowledges
//! what it has safe (acknowledgements may have been lost), then subscribes: everything else comes again, and
//! the workers recognise what they have already seen.
//!
//! A connection that is open but dead is closed by a [`Heartbeat`]. While the disk has no room ([`Health`]) nothing is taken
//! from the connection, which stays open: what was taken is acknowledged, and the network sends no more than the window.
//!
//! Two tasks: [`Link`] receives, [`acknowledge`](crate::acknowledge) acknowledges what is durable.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use retaind_bot::source::Surroundings;
use retaind_bot::watchdog::{Health, Network};
use retaind_core::fault::{Fault, Faulty, chain};
use retaind_core::pause::{Growth, Pause};
use retaind_device::account::{self, AccountError, LoggedIn};
use retaind_device::connection::{Connection, ConnectionError};
use retaind_device::mls::Engine;
use retaind_device::pushes::{Push, Pushes};
use retaind_device::safe::Safe;
use retaind_device::store::{LostConversation, LostState as _, Store, StoreError};
use retaind_protocol::credential::Identity;
use retaind_protocol::endpoint::Endpoint;
use retaind_protocol::ids::{ConversationId, DeviceId, IdError, UserName};
use retaind_protocol::limits::FRAME_BYTES_MAX;
use retaind_protocol::wire::{Answer, Delivery, DeliveryKind, ListConversations, Lost, Reported, Request, Subscribe};
use retaind_report::events::Event;
use retaind_report::status::Receiving;

use crate::change::Owed;
use crate::decrypt::{Input, worker_of};
use crate::delivery::{Delivered, Held, Recall, Room, Strict};
use crate::heartbeat::Heartbeat;
use crate::limits::{SILENCE_SECONDS, count_time_out};

/// Most messages in flight: received, not yet acknowledged.
pub const WINDOW_MESSAGES: usize = 16_384;
/// Most payload bytes in flight.
const WINDOW_BYTES: u64 = 64 * 1024 * 1024;
/// Most payload bytes of the bot between the connection and the commit: the window, and one message that no longer fits. A
/// network that delivers more waits.
pub const IN_HAND_BYTES: usize = 64 * 1024 * 1024 + FRAME_BYTES_MAX;
/// One-time key packages made at a time: this many conversations may add the bot before it makes more.
const KEY_PACKAGES_BATCH: usize = 100;
/// How often the bot checks whether the network has enough of its key packages.
const REPLENISH_EVERY: Duration = Duration::from_secs(30);
/// After this many Welcomes it checks at once.
const REPLENISH_AFTER_WELCOMES: usize = 50;
/// A clock further than this behind the network's is reported as wrong; the watchdog tolerates a minute, too.
const CLOCK_BEHIND: Duration = Duration::from_secs(60);
/// Pauses before connecting again: a network that restarts is back within the first ones.
const PAUSES: Growth = Growth::doubling(Duration::from_millis(100), Duration::from_secs(15));

/// Why the bot cannot continue receiving.
#[derive(Debug, Error)]
pub enum ReceiveError {
    /// The network or the account.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The network delivered something that has no place.
    #[error("network delivered a message with a name that is not valid")]
    Name(#[from] IdError),
}

impl From<ConnectionError> for ReceiveError {
    fn from(error: ConnectionError) -> Self {
        Self::Account(error.into())
    }
}

impl Faulty for ReceiveError {
    fn fault(&self) -> Fault {
        match self {
            Self::Account(error) => error.fault(),
            Self::Store(error) => error.fault(),
            Self::Name(_) => Fault::Internal,
        }
    }
}

/// The receiving stage.
pub struct Link {
    /// Address and certificate of the network.
    pub endpoint: Endpoint,
    /// The device's state: identity, key packages, cursors.
    pub store: Arc<Mutex<Store>>,
    /// The queues of the workers.
    pub workers: Vec<mpsc::Sender<Input>>,
    /// Publishes the present connection.
    pub connection: watch::Sender<Option<Arc<Connection>>>,
    /// Clock, counters, events, and the watchdog's opinion: whether deliveries may be taken, and when to open the connection
    /// again.
    pub around: Surroundings,
    /// Notified once the bot can be added to conversations and receives.
    pub ready: Mutex<Option<oneshot::Sender<Identity>>>,
    /// Notices a dead connection.
    pub heartbeat: Heartbeat,
    /// Requests of the workers for a new connection, when messages are missing.
    pub recall: Recall,
    /// Whether the network waits for the bot in every epoch.
    pub strict: Strict,
    /// Where reports wait.
    pub owed: Owed,
    /// Memory for what is in hand.
    pub room: Room,
}

/// How many new connections had been requested when the present one was opened.
#[derive(Clone, Copy)]
struct Asked {
    restarts: u64,
    recalls: u64,
}

impl Link {
    /// Receives until `stop`, or until an error that no new connection can fix. `first`: a connection that is
    /// logged in already.
    pub async fn run(self, first: LoggedIn, stop: CancellationToken) -> Result<(), ReceiveError> {
        let mut account = Some(first);
        let mut pause = Pause::new(PAUSES);
        loop {
            let asked = Asked { restarts: self.around.health.borrow().restarts, recalls: self.recall.asked() };
            let result = match account.take() {
                Some(account) => self.while_logged_in(account, asked, &stop, &mut pause).await,
                None => match self.log_in(asked, &stop).await {
                    Ok(account) => {
                        self.around.counters.logins.add(1);
                        self.around.events.raise(Event::LoggedIn);
                        self.while_logged_in(account, asked, &stop, &mut pause).await
                    }
                    // a try that was abandoned has not failed
                    Err(_) if stop.is_cancelled() => return Ok(()),
                    Err(error) => {
                        self.around.counters.login_failures.add(1);
                        count_time_out(&error, &self.around.counters);
                        Err(error.into())
                    }
                },
            };
            if stop.is_cancelled() {
                // the connection stays with the acknowledging task: what the drain makes durable is still acknowledged
                return Ok(());
            }
            self.connection.send_replace(None);
            self.around.network.send_replace(Network::Away);
            self.around.counters.status.receives(Receiving::Interrupted);
            let wait = pause.grow();
            match result {
                Ok(()) => tracing::warn!("connection to the network ended, connecting again"),
                Err(error) if error.is_temporary() => {
                    tracing::warn!(error = %chain(&error), pause = ?wait, "network is away, trying again");
                }
                Err(error) => return Err(error),
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = self.asked_again(asked) => pause.reset(),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Ends when a new connection has been requested since `asked`.
    async fn asked_again(&self, asked: Asked) {
        let mut health = self.around.health.clone();
        let restarted = async {
            if health.wait_for(|health| health.restarts != asked.restarts).await.is_err() {
                // no watchdog, no requests
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = restarted => {}
            () = self.recall.again(asked.recalls) => {}
        }
    }

    async fn log_in(&self, asked: Asked, stop: &CancellationToken) -> Result<LoggedIn, AccountError> {
        tokio::select! {
            account = account::login(self.store.clone(), Some(&self.endpoint), WINDOW_MESSAGES) => account,
            () = self.asked_again(asked) => Err(ConnectionError::Closed.into()),
            () = stop.cancelled() => Err(ConnectionError::Closed.into()),
        }
    }

    /// A session lasts until its connection ends, the other end is dead, or the watchdog wants a new
    /// one. What it has in hand when it is cut off is not acknowledged, and comes again.
    async fn while_logged_in(
        &self,
        account: LoggedIn,
        asked: Asked,
        stop: &CancellationToken,
        pause: &mut Pause,
    ) -> Result<(), ReceiveError> {
        let connection = account.connection.clone();
        let result = tokio::select! {
            result = self.session(account, stop, pause) => result,
            () = self.heartbeat.until_dead(&connection) => {
                self.around.counters.refusals.count(&SILENCE_SECONDS);
                Err(ConnectionError::Timeout { address: self.endpoint.address.clone() }.into())
            }
            () = self.asked_again(asked) => Err(ConnectionError::Closed.into()),
            () = stop.cancelled() => Ok(()),
        };
        self.around.counters.logins_ended.add(1);
        if !stop.is_cancelled() {
            // acknowledgements and downloads that wait for it continue on the next one
            connection.close();
        }
        result
    }

    async fn session(
        &self,
        mut account: LoggedIn,
        stop: &CancellationToken,
        pause: &mut Pause,
    ) -> Result<(), ReceiveError> {
        let engine = account.engine(self.store.clone())?;
        account.replenish_key_packages(&engine, KEY_PACKAGES_BATCH).await?;
        self.strict.set(account.connection.info().strict_retention);
        self.reconcile(&account.connection).await?;
        for worker in &self.workers {
            // a worker that has ended has failed, and the bot is stopping
            worker.send(Input::Reconnected).await.ok();
        }
        let subscribe = Subscribe {
            window_messages: u32::try_from(WINDOW_MESSAGES).unwrap_or(u32::MAX),
            window_bytes: WINDOW_BYTES,
        };
        account.connection.call_done(Request::Subscribe(subscribe)).await?;
        self.connection.send_replace(Some(account.connection.clone()));
        self.around.network.send_replace(Network::Connected);
        self.around.counters.status.receives(Receiving::Now);
        pause.reset();
        tracing::info!(address = self.endpoint.address, "receives from the network");
        if let Some(ready) = self.ready.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // the waiting task may have given up
            ready.send(account.identity.clone()).ok();
        }
        self.receive(&mut account, &engine, stop).await
    }

    async fn receive(
        &self,
        account: &mut LoggedIn,
        engine: &Engine,
        stop: &CancellationToken,
    ) -> Result<(), ReceiveError> {
        let workers = NonZeroUsize::new(self.workers.len()).unwrap_or(NonZeroUsize::MIN);
        let mut welcomes = 0usize;
        let mut clock = WallClock::NotCompared;
        let mut look = tokio::time::interval(REPLENISH_EVERY);
        look.reset();
        let mut health = self.around.health.clone();
        loop {
            let push = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                _ = look.tick() => {
                    self.around.events.sum_up();
                    for worker in &self.workers {
                        // one that has much to do looks by itself
                        worker.try_send(Input::Look).ok();
                    }
                    account.replenish_key_packages(engine, KEY_PACKAGES_BATCH).await?;
                    continue;
                }
                push = next(&mut account.pushes, &mut health) => push,
            };
            match push {
                Some(Push::Delivery(delivery)) => {
                    let mut delivered = delivered(delivery, self.around.clock.now_micros())?;
                    // never waits for a network that keeps to the window: it opens with the acknowledgement, after the commit
                    delivered.held = self.room.take(delivered.payload.len()).await;
                    clock.compare(&delivered);
                    self.around.counters.messages_received.add(1);
                    if delivered.kind == DeliveryKind::Welcome {
                        welcomes = welcomes.saturating_add(1);
                    }
                    let worker = worker_of(&delivered.conversation, workers);
                    let Some(worker) = self.workers.get(worker) else { return Ok(()) };
                    if worker.send(Input::Delivered(delivered)).await.is_err() {
                        return Ok(());
                    }
                    if welcomes >= REPLENISH_AFTER_WELCOMES {
                        welcomes = 0;
                        account.replenish_key_packages(engine, KEY_PACKAGES_BATCH).await?;
                    }
                }
                // others use them up faster than conversations come of it
                Some(Push::Notice(notice)) if notice.key_packages_low => {
                    account.replenish_key_packages(engine, KEY_PACKAGES_BATCH).await?;
                }
                Some(Push::Notice(notice)) => {
                    self.strict.set(notice.strict_retention);
                    tracing::info!(text = notice.text, "notice of the network");
                }
                None => return Ok(()),
            }
        }
    }

    /// Acknowledges what the state holds and the network does not know: lost acknowledgements. Says again which conversations
    /// cannot be followed.
    async fn reconcile(&self, connection: &Connection) -> Result<(), ReceiveError> {
        let (safe, lost) = {
            let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
            (Safe::stored(&store)?, store.all_lost()?)
        };
        for LostConversation { conversation, since, .. } in lost.into_iter().filter(|lost| lost.ended.is_none()) {
            self.owed.report(conversation, Reported::Lost(Lost { seq: since }));
        }
        let mut after = String::new();
        loop {
            let Answer::Conversations(page) =
                connection.call(Request::ListConversations(ListConversations { after })).await?
            else {
                return Err(ConnectionError::Protocol("list of conversations was not answered").into());
            };
            connection.acknowledge(&mut safe.not_acknowledged(&page.conversations)?).await?;
            match page.conversations.last() {
                Some(last) if page.more => after = last.conversation.clone(),
                _ => return Ok(()),
            }
        }
    }
}

/// A message in the form that the stages take, received at `received_at_micros` since 1970.
pub fn delivered(delivery: Delivery, received_at_micros: i64) -> Result<Delivered, IdError> {
    let (sender_user, sender_device) = if delivery.sender_device.is_empty() {
        (None, None)
    } else {
        (Some(UserName::new(delivery.sender_user)?), Some(DeviceId::from_bytes(&delivery.sender_device)?))
    };
    Ok(Delivered {
        conversation: delivery.conversation.parse::<ConversationId>()?,
        seq: delivery.seq,
        kind: DeliveryKind::try_from(delivery.kind).unwrap_or(DeliveryKind::Unspecified),
        sender_user,
        sender_device,
        accepted_at_micros: delivery.accepted_at_micros,
        payload: delivery.payload,
        received_at_micros,
        held: Held::default(),
    })
}

/// Is this host's clock behind the network's? A clock that is ahead cannot be told from a bot that reads an old queue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WallClock {
    NotCompared,
    Told,
}

impl WallClock {
    /// Reported once a connection: it is no reason not to archive, and records show both clocks.
    fn compare(&mut self, delivered: &Delivered) {
        let behind_micros = delivered.accepted_at_micros.saturating_sub(delivered.received_at_micros);
        let behind = Duration::from_micros(u64::try_from(behind_micros).unwrap_or(0));
        if *self == Self::NotCompared && behind > CLOCK_BEHIND {
            *self = Self::Told;
            tracing::warn!(
                behind_seconds = behind.as_secs(),
                "the system's clock is behind the network's, is it set right? records have the time that it shows"
            );
        }
    }
}

/// The next push, while deliveries may be taken. What is not taken waits here and at the network, within the window.
async fn next(pushes: &mut Pushes, health: &mut watch::Receiver<Health>) -> Option<Push> {
    loop {
        if health.wait_for(Health::takes_deliveries).await.is_err() {
            // no watchdog: the bot is stopping, and deliveries taken now would be dropped
            return std::future::pending().await;
        }
        // under load a push is ready every time
        if let Ok(push) = pushes.try_recv() {
            return Some(push);
        }
        tokio::select! {
            biased;
            changed = health.changed() => if changed.is_err() { return pushes.recv().await },
            push = pushes.recv() => return push,
        }
    }
}
