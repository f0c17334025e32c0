//! The bot as a whole: opens the state, recovers, logs in, starts the stages, drains them.
//!
//! Starting: the state (a wrong password ends here, nothing changed), then recovery, then the network. So what an earlier
//! run left half done is put right even while the network is away.
//!
//! Stopping goes from front to back: no more deliveries are taken; the workers drop what they have not begun (it is not
//! acknowledged, so it comes again); downloads are given up; the committer commits what is ready and seals the open file;
//! the last acknowledgements go out; what is in the ship queue is shipped as far as the grace time goes ([`Grace`]). What
//! does not end by then is given up, and the next start recovers as after a crash.
//!
//! A stage that ends before it was told to fails the whole: a bot that looks alive and archives nothing is the worst of all.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch::Recall;
use super::clock::Clock;
use super::commit::{CommitError, Committer, Directories, Neighbours};
use super::decrypt::{Committed, DecryptError, Input, Worker};
use super::disk::{Disk, DiskError};
use super::fetch::{FetchError, Fetcher, Names};
use super::grace::{Grace, Part};
use super::provision::{self, NotKept, Opened, Passwords};
use super::receive::{Link, ReceiveError, WINDOW_MESSAGES, acknowledge};
use super::segment::Policy;
use super::ship::runner::{News, Runner, Watcher, jittered};
use super::ship::{Backoff, Bell, Destination, LocalDestination, ShipError, ShipItem, ShipKind, Shipped};
use super::state::{self, Queue};
use super::watchdog::{self, Gone, Halt, Network, Pulse, Stalled, Watchdog};
use retaind_device::account::{self, AccountError, LoggedIn};
use retaind_device::connection::Connection;
use retaind_device::store::{Access, Store, StoreError};
use retaind_protocol::credential::Identity;
use retaind_protocol::endpoint::Endpoint;
use retaind_report::counters::Counters;
use retaind_report::events::{Event, Events};
use retaind_report::status::Stages as Standing;

/// Chunks between two stages: enough to form a batch while another one is synced.
const CHUNKS_MAX: usize = 1024;
/// Proofs between committer and acknowledgement.
const PROOFS_MAX: usize = 64;
/// Pause before the first log-in is tried again while the network is away; doubled each time.
const LOGIN_PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Longest such pause, as for later log-ins.
const LOGIN_PAUSE_MAX: Duration = Duration::from_secs(15);
/// Numbers of message files have eight digits: so many states may each count through a range of their own.
const SEGMENT_RANGES: u64 = 99;
/// Numbers in one range.
const SEGMENT_RANGE: u64 = 1_000_000;
/// How long the last acknowledgements may take, within the grace time: a network that is silent gets no hour.
const FAREWELL: Duration = Duration::from_secs(3);

/// Why the bot ended.
#[derive(Debug, Error)]
pub enum BotError {
    /// State.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log of the state.
    #[error("the log of the state cannot be made safe (RETAIND_STATE): {0}")]
    Log(#[from] DiskError),
    /// Account.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// Receiving.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// Decrypting.
    #[error(transparent)]
    Decrypt(#[from] DecryptError),
    /// Attachments.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Committing.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Shipping.
    #[error(transparent)]
    Ship(#[from] ShipError),
    /// The network does not take the password that the configuration gives a new bot.
    #[error(
        "the initial password is not the account's, correct `WICKRIO_BOT_PASSWORD` or the secret's `password`: {0}"
    )]
    ConfiguredPassword(#[source] AccountError),
    /// A new password was told nobody.
    #[error(transparent)]
    NotKept(#[from] NotKept),
    /// The system gave no randomness.
    #[error("no password could be made: the system gave no randomness")]
    Random,
    /// A directory is not there any more.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// A stage does not move.
    #[error(transparent)]
    Stalled(#[from] Stalled),
    /// The grace time was over before everything in hand was safe.
    #[error(
        "stopped as told, but what was in hand was not safe within the grace time: it is not acknowledged and comes again; \
         does the disk answer, or is `RETAIND_GRACE_SECONDS` too short?"
    )]
    CutShort,
    /// A thread could not be started, or died.
    #[error("stage `{0}` could not be started or died")]
    Stage(&'static str),
    /// The state belongs to somebody else.
    #[error(
        "state belongs to bot `{theirs}`, not to `{ours}` (WICKRIO_BOT_NAME): use another state directory (RETAIND_STATE)"
    )]
    OtherBot {
        /// In the state.
        theirs: String,
        /// Configured.
        ours: String,
    },
}

/// What kind of failure it is, for the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Something must be put right first.
    Configuration,
    /// Starting again may help.
    Temporary,
    /// A defect.
    Internal,
}

impl BotError {
    /// What to do about it.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Store(error)
            | Self::Receive(ReceiveError::Store(error))
            | Self::Decrypt(DecryptError::Store(error))
            | Self::Commit(CommitError::Store(error)) => match error.is_configuration() {
                true => Fault::Configuration,
                // the disk, or what it holds: nothing that this program has got wrong
                false => Fault::Temporary,
            },
            Self::Account(error) | Self::Receive(ReceiveError::Account(error)) => match error {
                AccountError::Connection(error) if error.is_temporary() => Fault::Temporary,
                AccountError::Connection(_)
                | AccountError::Registered { .. }
                | AccountError::NotRegistered
                | AccountError::OtherNetwork { .. }
                | AccountError::NoSuite => Fault::Configuration,
                AccountError::Store(error) if error.is_configuration() => Fault::Configuration,
                AccountError::Store(_) => Fault::Temporary,
                AccountError::Engine(_) | AccountError::Credential(_) => Fault::Internal,
            },
            Self::Gone(_) | Self::Log(_) => Fault::Temporary,
            Self::OtherBot { .. } | Self::ConfiguredPassword(_) => Fault::Configuration,
            Self::NotKept(error) if error.may_pass => Fault::Temporary,
            Self::NotKept(_) => Fault::Configuration,
            Self::Random => Fault::Temporary,
            Self::Stalled(_) | Self::CutShort => Fault::Temporary,
            // the disk's errors: full, read-only, gone; the next start tells more
            Self::Fetch(FetchError::Disk(_))
            | Self::Commit(_)
            | Self::Ship(_)
            | Self::Decrypt(DecryptError::Unread { .. } | DecryptError::Keep(_)) => Fault::Temporary,
            Self::Receive(_) | Self::Decrypt(_) | Self::Fetch(_) | Self::Stage(_) => Fault::Internal,
        }
    }
}

/// What a bot is given.
pub struct Options {
    /// Its user name.
    pub user: String,
    /// What opens its state and account.
    pub passwords: Arc<Passwords>,
    /// Its state file.
    pub state: PathBuf,
    /// Where it writes.
    pub directories: Directories,
    /// When it rotates.
    pub policy: Policy,
    /// Where the network is.
    pub endpoint: Endpoint,
    /// Threads that decrypt.
    pub workers: usize,
    /// How it touches its message files.
    pub disk: Arc<dyn Disk>,
    /// Where sealed files go.
    pub shipping: Shipping,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Counts.
    pub counters: Arc<Counters>,
    /// What operators are told.
    pub events: Events,
    /// How it is watched.
    pub watchdog: watchdog::Settings,
}

/// Where sealed files go, and how long the bot tries.
#[derive(Clone)]
pub struct Shipping {
    /// Where to.
    pub destination: Arc<dyn Destination>,
    /// How long to wait while that is away.
    pub backoff: Backoff,
    /// How long a stop may take until what is not shipped waits for the next start.
    pub grace: Grace,
}

impl Shipping {
    /// To a destination, with the usual patience.
    pub fn to(destination: Arc<dyn Destination>) -> Self {
        Self { destination, backoff: Backoff::default(), grace: Grace::default() }
    }

    /// Files stay where they are.
    pub fn local(disk: Arc<dyn Disk>) -> Self {
        Self::to(Arc::new(LocalDestination::new(disk)))
    }
}

/// Tells a running bot what to do.
pub struct Orders {
    /// Stop, and leave nothing behind.
    pub stop: CancellationToken,
    /// Rotate the message file now.
    pub rotate: mpsc::Receiver<()>,
    /// Told once the bot can be added to conversations and receives.
    pub ready: Option<oneshot::Sender<Identity>>,
}

/// Runs until told to stop, or until something fails that only a restart can mend.
pub async fn run(options: Options, orders: Orders) -> Result<Shipped, BotError> {
    let (events, stop) = (options.events.clone(), orders.stop.clone());
    match start(options, orders).await {
        Ok(Some(stages)) => stages.wait(stop, &events).await,
        Ok(None) => {
            events.raise(Event::ShuttingDown);
            Ok(Shipped::All)
        }
        Err(error) => {
            tell(&events, error.event_at_start());
            Err(error)
        }
    }
}

/// Tells why the bot ends, and that it does.
pub fn tell(events: &Events, why: Option<Event>) {
    if let Some(why) = why {
        events.raise(why);
    }
    events.raise(Event::ShuttingDown);
}

/// `None`: told to stop before the network could be reached.
async fn start(options: Options, mut orders: Orders) -> Result<Option<Stages>, BotError> {
    let (path, passwords) = (options.state.clone(), options.passwords.clone());
    let disk = options.disk.clone();
    let open = move || {
        state::renew_log(&*disk, &path)?;
        Ok::<_, BotError>(provision::open(&path, &passwords)?)
    };
    let Opened { store, by } = tokio::task::spawn_blocking(open).await.map_err(|_| BotError::Stage("state"))??;
    state::prepare(&store)?;
    store.verify()?;
    own_state(&store, &options.user, &options.events)?;

    let names = Arc::new(Names::new(options.disk.clone(), &options.directories.files));
    let workers = options.workers.max(1);
    let committed: Vec<Committed> = (0..workers).map(|_| Committed::default()).collect();
    let bell = Arc::new(Bell::default());
    let neighbours =
        Neighbours { committed: committed.clone(), ship: bell.clone(), counters: options.counters.clone() };
    let committer = Committer::recover(
        store.again(Access::Write)?,
        options.disk.clone(),
        options.directories.clone(),
        options.policy,
        names.clone(),
        options.clock.clone(),
        neighbours,
    )?;
    let queue = Queue::open(store.again(Access::Write)?)?;
    let watched = Watched::start(&options);

    let account = match store.identity()? {
        None => {
            let opened = Opened { store, by };
            let registering = provision::register(opened, &options.endpoint, &options.user, &options.passwords);
            // one that is given up goes on at the next start, with the same key
            match orders.stop.clone().run_until_cancelled(registering).await {
                None => None,
                Some(account) => {
                    let account = account.inspect_err(|_| options.counters.login_failures.add(1))?;
                    identify(&options.events, &account.identity);
                    options.events.raise(Event::DeviceAdded);
                    Some(account)
                }
            }
        }
        Some(_) => log_in(Arc::new(Mutex::new(store)), &options, &orders.stop).await?,
    };
    let Some(account) = account else { return Ok(None) };
    tokio::select! {
        concluded = provision::conclude(&account, by, &options.passwords) => concluded?,
        // the next start goes on with it
        () = orders.stop.cancelled() => return Ok(None),
    }
    options.counters.logins.add(1);
    let identity = &account.identity;
    identify(&options.events, identity);
    tracing::info!(user = %identity.user, device = %identity.device, network = identity.network_id, "log-in accepted");
    options.events.raise(Event::LoggedIn);

    let stages = Stages::start(&options, account, committer, queue, bell, names, &committed, watched, &mut orders)?;
    Ok(Some(stages))
}

/// Number of the first message file of a new state. Each state starts in a range of its own, so that two devices of
/// one bot do not give the same name to two files.
pub fn first_segment() -> Result<u64, BotError> {
    let mut range = [0u8; 1];
    aws_lc_rs::rand::fill(&mut range).map_err(|_| FetchError::Random)?;
    let [range] = range;
    let start = u64::from(range).checked_rem(SEGMENT_RANGES).unwrap_or(0).saturating_mul(SEGMENT_RANGE);
    Ok(start.saturating_add(1))
}

fn own_state(store: &Store, user: &str, events: &Events) -> Result<(), BotError> {
    let Some((identity, _)) = store.identity()? else { return Ok(()) };
    let verifier = retaind_protocol::credential::Verifier::new(&identity.network_id, &identity.authentication_key);
    let Identity { user: theirs, device, network_id, .. } =
        verifier.verify(&identity.credential).map_err(AccountError::from)?;
    if theirs.as_str() == user {
        events.origin().identify(device.to_string(), network_id);
        return Ok(());
    }
    Err(BotError::OtherBot { theirs: theirs.to_string(), ours: user.to_owned() })
}

fn identify(events: &Events, identity: &Identity) {
    events.origin().identify(identity.device.to_string(), identity.network_id.clone());
}

/// `None`: told to stop before the network could be reached.
async fn log_in(
    store: Arc<Mutex<Store>>,
    options: &Options,
    stop: &CancellationToken,
) -> Result<Option<LoggedIn>, BotError> {
    let mut pause = LOGIN_PAUSE_FIRST;
    loop {
        let trying = account::login(store.clone(), Some(&options.endpoint), WINDOW_MESSAGES);
        match stop.run_until_cancelled(trying).await {
            None => return Ok(None),
            Some(Ok(account)) => return Ok(Some(account)),
            Some(Err(AccountError::Connection(error))) if error.is_temporary() => {
                options.counters.login_failures.add(1);
                tracing::warn!(%error, ?pause, "network is away, trying again");
            }
            Some(Err(error)) => {
                options.counters.login_failures.add(1);
                return Err(error.into());
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(jittered(pause)) => pause = pause.saturating_mul(2).min(LOGIN_PAUSE_MAX),
        }
    }
}

/// The watchdog, which watches from before the first log-in, and what it sees of the stages.
struct Watched {
    stop: CancellationToken,
    connection: watch::Sender<Option<Arc<Connection>>>,
    connected: watch::Receiver<Option<Arc<Connection>>>,
    decrypt: Vec<Pulse>,
    fetch: Pulse,
    commit: Pulse,
    /// Ends with its set when the bot does not get as far as its stages.
    watching: JoinSet<Result<(), Halt>>,
}

impl Watched {
    fn start(options: &Options) -> Self {
        let (stop, mut watching) = (CancellationToken::new(), JoinSet::new());
        let (connection, connected) = watch::channel(None);
        let decrypt: Vec<Pulse> = (0..options.workers.max(1)).map(|_| Pulse::default()).collect();
        let (fetch, commit) = (Pulse::default(), Pulse::default());
        let mut pulses: Vec<_> = decrypt.iter().map(|pulse| ("decrypt", pulse.clone())).collect();
        pulses.extend([("fetch", fetch.clone()), ("commit", commit.clone())]);
        let Directories { messages, files, .. } = &options.directories;
        let watchdog = Watchdog {
            settings: options.watchdog.clone(),
            network: Box::new({
                let connected = connected.clone();
                move || if connected.borrow().is_some() { Network::Connected } else { Network::Away }
            }),
            pulses,
            disk: options.disk.clone(),
            directories: vec![messages.clone(), files.clone(), watchdog::directory_of(&options.state)],
            counters: options.counters.clone(),
            events: options.events.clone(),
        };
        watching.spawn(watchdog.run(stop.clone()));
        Self { stop, connection, connected, decrypt, fetch, commit, watching }
    }
}

struct Stages {
    ended: mpsc::UnboundedReceiver<Result<(), BotError>>,
    running: usize,
    stop: CancellationToken,
    stopping: Arc<AtomicBool>,
    wake: Vec<mpsc::Sender<Input>>,
    bell: Arc<Bell>,
    shipping: tokio::task::JoinHandle<Result<Shipped, ShipError>>,
    grace: Grace,
    acknowledging: tokio::task::JoinHandle<()>,
    counters: Arc<Counters>,
}

impl Stages {
    #[allow(clippy::too_many_arguments, reason = "each is one neighbour's end of a channel")]
    fn start(
        options: &Options,
        account: LoggedIn,
        committer: Committer,
        queue: Queue,
        bell: Arc<Bell>,
        names: Arc<Names>,
        committed: &[Committed],
        watched: Watched,
        orders: &mut Orders,
    ) -> Result<Self, BotError> {
        let Watched { stop, connection, connected, decrypt, fetch, commit, watching } = watched;
        let (tell, ended) = mpsc::unbounded_channel();
        let stopping = Arc::new(AtomicBool::new(false));
        let runtime = Handle::current();
        let (outputs, made) = mpsc::channel(CHUNKS_MAX);
        let (chunks, ready) = mpsc::channel(CHUNKS_MAX);
        let (proofs, durable) = mpsc::channel(PROOFS_MAX);
        let mut running = 0usize;
        let mut thread = |name: &'static str, work: Box<dyn FnOnce() -> Result<(), BotError> + Send>| {
            running = running.saturating_add(1);
            let tell = tell.clone();
            let body = move || {
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                // the receiver lives as long as the bot
                let _ = tell.send(result.unwrap_or(Err(BotError::Stage(name))));
            };
            thread::Builder::new().name(name.into()).spawn(body).map(drop).map_err(|_| BotError::Stage(name))
        };

        let mut inputs = Vec::new();
        let recall = Recall::default();
        let store = account.store.clone();
        for ((index, committed), pulse) in committed.iter().enumerate().zip(decrypt) {
            let reader = {
                let store = store.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                Arc::new(Mutex::new(store.again(Access::Read)?))
            };
            let engine = account.engine(reader.clone())?;
            let worker = Worker::new(
                index,
                engine,
                reader,
                committed.clone(),
                names.clone(),
                options.counters.clone(),
                options.events.clone(),
                recall.clone(),
            );
            let (sender, receiver) = mpsc::channel(WINDOW_MESSAGES);
            let (outputs, stopping) = (outputs.clone(), stopping.clone());
            thread("decrypt", Box::new(move || Ok(worker.run(receiver, &outputs, &stopping, &pulse)?)))?;
            inputs.push(sender);
        }
        drop(outputs);
        let rotate = std::mem::replace(&mut orders.rotate, mpsc::channel(1).1);
        let handle = runtime.clone();
        thread("commit", Box::new(move || Ok(committer.run(&handle, ready, rotate, &proofs, &commit)?)))?;
        let runner = Runner {
            queue: Arc::new(queue),
            destination: options.shipping.destination.clone(),
            disk: options.disk.clone(),
            backoff: options.shipping.backoff,
            watcher: Arc::new(ShipWatch { counters: options.counters.clone(), events: options.events.clone() }),
        };
        let bell_ = bell.clone();
        let shipping = tokio::spawn(async move { runner.run(&bell_).await });

        let fetcher = Fetcher {
            names,
            connection: connected.clone(),
            chunks,
            workers: inputs.clone(),
            counters: options.counters.clone(),
            health: options.watchdog.health.subscribe(),
            pulse: fetch,
        };
        let link = Link {
            endpoint: options.endpoint.clone(),
            store,
            workers: inputs.clone(),
            connection,
            clock: options.clock.clone(),
            counters: options.counters.clone(),
            events: options.events.clone(),
            ready: Mutex::new(orders.ready.take()),
            heartbeat: options.watchdog.heartbeat,
            health: options.watchdog.health.subscribe(),
            recall,
        };
        let link = Task::Link(Box::new(link), Box::new(account), stop.clone());
        for task in [Task::Fetch(fetcher, made), link, Task::Watch(watching)] {
            running = running.saturating_add(1);
            let tell = tell.clone();
            tokio::spawn(async move {
                let result = tokio::spawn(task.run()).await;
                let _ = tell.send(result.unwrap_or(Err(BotError::Stage("receive"))));
            });
        }
        let acknowledging = tokio::spawn(acknowledge(durable, connected));
        let grace = options.shipping.grace.clone();
        let counters = options.counters.clone();
        Ok(Self { ended, running, stop, stopping, wake: inputs, bell, shipping, grace, acknowledging, counters })
    }

    async fn wait(mut self, stop: CancellationToken, events: &Events) -> Result<Shipped, BotError> {
        let mut failed = None;
        let mut shipped = None;
        tokio::select! {
            () = stop.cancelled() => events.raise(Event::ShuttingDown),
            ended = self.ended.recv() => {
                self.running = self.running.saturating_sub(1);
                failed = Some(match ended {
                    Some(Err(error)) => error,
                    Some(Ok(())) | None => BotError::Stage("one that should have gone on"),
                });
            }
            ended = &mut self.shipping => {
                shipped = Some(Shipped::Partly);
                failed = Some(match ended {
                    Ok(Err(error)) => error.into(),
                    Ok(Ok(_)) | Err(_) => BotError::Stage("ship"),
                });
            }
        }
        if let Some(error) = &failed {
            tracing::error!(%error, "a stage failed, the bot stops");
            tell(events, error.event_while_running());
            if matches!(error, BotError::Gone(_)) {
                // what would still be made safe would be so in files that nobody finds: nothing more is acknowledged
                self.acknowledging.abort();
                self.shipping.abort();
                self.stop.cancel();
                return failed.map_or(Ok(Shipped::Partly), Err);
            }
        }
        self.counters.status.stops(if failed.is_some() { Standing::Failed } else { Standing::Stop });
        let deadline = self.grace.until(Part::Work);
        self.stopping.store(true, Ordering::Release);
        self.stop.cancel();
        for worker in self.wake.drain(..) {
            // a worker with a full queue looks at `stopping` anyway
            let _ = worker.try_send(Input::Reconnected);
        }
        if tokio::time::timeout_at(deadline, self.drain(&mut failed)).await.is_err() {
            // what hangs may hang for ever: the next start recovers, as after a crash
            self.shipping.abort();
            self.acknowledging.abort();
            return Err(failed.unwrap_or(BotError::CutShort));
        }
        // the last file is sealed and in the queue
        let shipping = async {
            if let Some(shipped) = shipped {
                return Ok(Ok(shipped));
            }
            self.bell.finish();
            match tokio::time::timeout_at(deadline, &mut self.shipping).await {
                Ok(ended) => ended,
                Err(_) => {
                    self.bell.stop();
                    let given_up = tokio::time::timeout_at(self.grace.until(Part::Connections), &mut self.shipping);
                    given_up.await.unwrap_or_else(|_| {
                        // in the middle of a call on the disk or the state; the queue's ledger knows
                        self.shipping.abort();
                        Ok(Ok(Shipped::Partly))
                    })
                }
            }
        };
        // acknowledgements are not lost if they take too long: the next start tells the network what is safe
        let farewell = deadline.min(Instant::now() + FAREWELL);
        let (shipped, _) = tokio::join!(shipping, tokio::time::timeout_at(farewell, self.acknowledging));
        let shipped = match shipped {
            Ok(Ok(shipped)) => shipped,
            Ok(Err(error)) => return Err(failed.unwrap_or_else(|| error.into())),
            Err(_) => return Err(failed.unwrap_or(BotError::Stage("ship"))),
        };
        failed.map_or(Ok(shipped), Err)
    }
}

impl Stages {
    /// Waits for every stage to end.
    async fn drain(&mut self, failed: &mut Option<BotError>) {
        while self.running > 0 {
            let Some(ended) = self.ended.recv().await else { break };
            self.running = self.running.saturating_sub(1);
            if let Err(error) = ended {
                failed.get_or_insert(error);
            }
        }
    }
}

/// Counts what goes wrong on the way to the destination, and tells operators once.
struct ShipWatch {
    counters: Arc<Counters>,
    events: Events,
}

impl Watcher for ShipWatch {
    fn failed(&self, item: &ShipItem, error: &ShipError, news: News) {
        self.counters.s3_post_errors.add(1);
        // what goes away by itself is no event the first time it is met
        if news == News::First && error.needs_operator() {
            let file = match item.kind {
                ShipKind::Message => item.name.clone(),
                ShipKind::File => item.label(),
            };
            self.events.raise(Event::S3Failed { file, error: error.with_sources() });
        }
    }

    fn stored(&self, _: &ShipItem) {}
}

enum Task {
    Fetch(Fetcher, mpsc::Receiver<super::decrypt::Output>),
    Link(Box<Link>, Box<LoggedIn>, CancellationToken),
    Watch(JoinSet<Result<(), Halt>>),
}

impl From<Halt> for BotError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Stalled(stalled) => stalled.into(),
            Halt::Gone(gone) => gone.into(),
        }
    }
}

impl Task {
    async fn run(self) -> Result<(), BotError> {
        match self {
            Self::Fetch(fetcher, outputs) => Ok(fetcher.run(outputs).await?),
            Self::Link(link, account, stop) => Ok(link.run(*account, stop).await?),
            Self::Watch(mut watching) => match watching.join_next().await {
                Some(Ok(watched)) => Ok(watched?),
                Some(Err(_)) | None => Err(BotError::Stage("watchdog")),
            },
        }
    }
}
