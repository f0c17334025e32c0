//! The bot as a whole: opens the state, recovers, logs in, starts the stages, drains them.
//!
//! Starting: the state (a wrong password ends here, nothing changed), then recovery, then the network. So what an earlier
//! run left half done is put right even while the network is away.
//!
//! Stopping goes from front to back: no more deliveries are taken; the source drops what it has not begun (it is not
//! acknowledged, so it comes again); the committer commits what is ready and seals the open file;
//! the last acknowledgements go out; what is in the ship queue is shipped as far as the grace time goes ([`Grace`]). What
//! does not end by then is abandoned, and the next start recovers as after a crash.
//!
//! A stage that ends unasked fails the whole: a bot that looks alive and archives nothing is the worst case.

mod error;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use retaind_core::fault::chain;
use retaind_core::pause::Growth;
use retaind_evidence::entry;
use retaind_report::counters::Counters;
use retaind_report::events::{Event, Events};
use retaind_report::status::Stages as Standing;
use retaind_state::Access;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::commit::{Committer, Directories, Neighbours};
use crate::disk::Disk;
use crate::evidence::{self, Attestor};
use crate::files::{FilesError, Names};
use crate::grace::{Grace, Part};
use crate::passwords::{self, Opened, Passwords};
use crate::segment::RotationLimits;
use crate::ship::runner::Runner;
use crate::ship::watch::ShipWatch;
use crate::ship::{self, Bell, Destination, LocalDestination, ShipError, Shipped};
use crate::source::{Bot, LogIn, Phase, Pulses, Session, Source, Surroundings, Trouble};
use crate::state::{self, Queue};
use crate::watchdog::{self, Halt, Network, Watchdog};
use retaind_core::clock::Clock;
use retaind_task as task;

pub use self::error::{BotError, SourceError};

/// Name of the committing stage for the watchdog and errors.
const COMMIT: &str = "commit";
/// Name of the stage that begins or continues the log of evidence.
const EVIDENCE: &str = "evidence";
/// Stands for the name of a stage in the error about one that ended unasked.
const ENDED_EARLY: &str = "one that should have gone on";
/// Stages that report their end: commit and watchdog, each once.
const REPORTING: usize = 2;
/// Chunks between two stages: enough to form a batch while another one is synced.
const CHUNKS_MAX: usize = 1024;
/// How long the last acknowledgements may take, within the grace time: a silent network does not use it up.
const FAREWELL: Duration = Duration::from_secs(3);
/// Numbers of message files have eight digits: this many states can each count in a range of their own.
const SEGMENT_RANGES: u64 = 99;
/// Numbers in one range.
const SEGMENT_RANGE: u64 = 1_000_000;

/// Everything a bot is made of.
pub struct Options {
    /// Its user name.
    pub user: String,
    /// What opens its state and account.
    pub passwords: Arc<Passwords>,
    /// Its state file.
    pub state: PathBuf,
    /// Directories of message files and attachments.
    pub directories: Directories,
    /// When message files rotate.
    pub policy: RotationLimits,
    /// How the archive is proved; `None`: it is not.
    pub evidence: Option<evidence::Settings>,
    /// The network that is archived.
    pub source: Box<dyn Source>,
    /// The disk, for message files and attachments.
    pub disk: Arc<dyn Disk>,
    /// Where sealed files go.
    pub shipping: Shipping,
    /// The clock for received times.
    pub clock: Arc<dyn Clock>,
    /// Counters for metrics and health.
    pub counters: Arc<Counters>,
    /// Events for operators.
    pub events: Events,
    /// Settings of the watchdog.
    pub watchdog: watchdog::Settings,
}

/// Where sealed files go, and how long the bot keeps trying.
#[derive(Clone)]
pub struct Shipping {
    /// Where sealed files go.
    pub destination: Arc<dyn Destination>,
    /// How long to wait while that is away.
    pub backoff: Growth,
    /// How long a stop may take until what is not shipped waits for the next start.
    pub grace: Grace,
    /// How long nothing may be stored although files wait, before operators are told.
    pub stalls_after: Duration,
}

impl Shipping {
    /// To a destination, with the default pauses and grace time.
    pub fn to(destination: Arc<dyn Destination>) -> Self {
        Self { destination, backoff: ship::PAUSES, grace: Grace::default(), stalls_after: ship::STALLS_AFTER }
    }

    /// To the local disk: files stay where they are.
    pub fn local(disk: Arc<dyn Disk>) -> Self {
        Self::to(Arc::new(LocalDestination::new(disk)))
    }
}

/// Controls a running bot.
pub struct Controls {
    /// Stops the bot: drain, seal, ship, end.
    pub stop: CancellationToken,
    /// Rotates the message file now.
    pub rotate: mpsc::Receiver<()>,
}

/// Runs until stopped, or until something fails that only a restart can fix.
pub async fn run(options: Options, controls: Controls) -> Result<Shipped, BotError> {
    let (events, stop) = (options.events.clone(), controls.stop.clone());
    match start(options, controls).await {
        Ok(Some(stages)) => stages.wait(stop, &events).await,
        Ok(None) => {
            events.raise(Event::ShuttingDown);
            Ok(Shipped::All)
        }
        Err(error) => {
            tell(&events, error.event(Phase::Starting));
            Err(error)
        }
    }
}

/// Raises the event for why the bot ends, and the one for its end.
pub fn tell(events: &Events, why: Option<Event>) {
    if let Some(why) = why {
        events.raise(why);
    }
    events.raise(Event::ShuttingDown);
}

/// `None`: stopped before the network could be reached.
async fn start(options: Options, mut controls: Controls) -> Result<Option<Stages>, BotError> {
    let steps = options.source.schema();
    let (path, passwords, disk) = (options.state.clone(), options.passwords.clone(), options.disk.clone());
    let open = move || {
        state::renew_log(&*disk, &path)?;
        Ok::<_, BotError>(passwords::open(&path, &passwords, steps)?)
    };
    let Opened { store, by } = task::blocking("state", open).await.map_err(|_| BotError::Stage("state"))??;
    state::prepare(&store)?;
    options.source.check(&store, &options.user, &options.events)?;

    let names = Arc::new(Names::new(options.disk.clone(), &options.directories.files));
    let bell = Arc::new(Bell::default());
    let neighbours = Neighbours { ship: bell.clone(), counters: options.counters.clone() };
    let mut committer = Committer::recover(
        store.again(Access::Write)?,
        options.disk.clone(),
        options.directories.clone(),
        options.policy,
        names.clone(),
        options.clock.clone(),
        neighbours,
    )?;
    let queue = Queue::open(store.again(Access::Write)?)?;
    let (watched, surroundings) = Watched::start(&options);
    let Options { user, passwords, source, shipping, disk, evidence, events, .. } = options;
    let attestor = user.clone();
    let log_in = LogIn { store, user, passwords, by, surroundings: surroundings.clone() };
    let Some(session) = source.log_in(log_in, controls.stop.clone()).await? else { return Ok(None) };
    let who = Attestor { bot: attesting(&attestor, &events), events };
    let attest = move || committer.attest(evidence.as_ref(), who).map(|()| committer);
    // it may read the open message file, which is as large as the settings allow
    let committer = task::blocking(EVIDENCE, attest).await.map_err(|_| BotError::Stage(EVIDENCE))??;
    let rotate = std::mem::replace(&mut controls.rotate, mpsc::channel(1).1);
    let data_path = DataPath { committer, queue, bell, names, shipping, disk, rotate };
    Ok(Some(Stages::start(session, data_path, watched, surroundings)?))
}

/// Who a log of evidence is written by.
fn attesting(user: &str, events: &Events) -> entry::Bot {
    let origin = events.origin();
    entry::Bot {
        name: user.to_owned(),
        device: origin.device().to_owned(),
        network_id: origin.network().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Number of the first message file of a new state. Each state starts in a range of its own, so that two devices of
/// one bot do not give the same name to two files.
pub fn first_segment() -> Result<u64, FilesError> {
    let mut range = [0u8; 1];
    aws_lc_rs::rand::fill(&mut range).map_err(|_| FilesError::Random)?;
    let [range] = range;
    let start = u64::from(range).checked_rem(SEGMENT_RANGES).unwrap_or(0).saturating_mul(SEGMENT_RANGE);
    Ok(start.saturating_add(1))
}

/// The watchdog's task; it watches from before the first log-in.
struct Watched {
    stop: CancellationToken,
    /// Aborted with its set when the bot does not get as far as its stages.
    watching: JoinSet<Result<(), Halt>>,
}

impl Watched {
    fn start(options: &Options) -> (Self, Surroundings) {
        let (stop, mut watching) = (CancellationToken::new(), JoinSet::new());
        let (network, connected) = watch::channel(Network::default());
        let surroundings = Surroundings {
            clock: options.clock.clone(),
            counters: options.counters.clone(),
            events: options.events.clone(),
            health: options.watchdog.health.subscribe(),
            network,
            pulses: Pulses::default(),
        };
        let Directories { messages, files, .. } = &options.directories;
        let watchdog = Watchdog {
            settings: options.watchdog.clone(),
            network: connected,
            pulses: surroundings.pulses.clone(),
            disk: options.disk.clone(),
            directories: vec![messages.clone(), files.clone(), watchdog::directory_of(&options.state)],
            counters: options.counters.clone(),
            events: options.events.clone(),
        };
        task::spawn_in(&mut watching, "watchdog", watchdog.run(stop.clone()));
        (Self { stop, watching }, surroundings)
    }
}

/// The stages from the commit to the destination, before they are started.
struct DataPath {
    committer: Committer,
    queue: Queue,
    bell: Arc<Bell>,
    names: Arc<Names>,
    shipping: Shipping,
    disk: Arc<dyn Disk>,
    rotate: mpsc::Receiver<()>,
}

struct Stages {
    /// How commit and watchdog ended.
    ended: mpsc::Receiver<Result<(), BotError>>,
    running: usize,
    stop: CancellationToken,
    source: JoinHandle<Result<(), Box<dyn Trouble>>>,
    bell: Arc<Bell>,
    shipping: JoinHandle<Result<Shipped, ShipError>>,
    grace: Grace,
    counters: Arc<Counters>,
}

impl Stages {
    fn start(
        session: Box<dyn Session>,
        data_path: DataPath,
        watched: Watched,
        surroundings: Surroundings,
    ) -> Result<Self, BotError> {
        let DataPath { committer, queue, bell, names, shipping, disk, rotate } = data_path;
        let Watched { stop, mut watching } = watched;
        let (tell, ended) = mpsc::channel(REPORTING);
        let (chunks, ready) = mpsc::channel(CHUNKS_MAX);
        let pulse = surroundings.pulses.add(COMMIT);
        let (runtime, committed) = (Handle::current(), tell.clone());
        let commit = move || {
            let work = move || Ok(committer.run(&runtime, ready, rotate, &pulse)?);
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            // there is a place for each of the two; the receiver lives as long as the bot
            committed.try_send(result.unwrap_or(Err(BotError::Stage(COMMIT)))).ok();
        };
        task::thread(COMMIT, commit).map_err(|_| BotError::Stage(COMMIT))?;
        task::spawn("watchdog", async move {
            let watched = match watching.join_next().await {
                Some(Ok(watched)) => watched.map_err(BotError::from),
                Some(Err(_)) | None => Err(BotError::Stage("watchdog")),
            };
            tell.try_send(watched).ok();
        });
        let counters = surroundings.counters.clone();
        let runner = Runner {
            queue: Arc::new(queue),
            destination: shipping.destination,
            disk,
            backoff: shipping.backoff,
            watcher: Arc::new(ShipWatch {
                counters: counters.clone(),
                events: surroundings.events.clone(),
                stalls_after: shipping.stalls_after,
            }),
        };
        let rung = bell.clone();
        let shipped = task::spawn("ship", async move { runner.run(&rung).await });
        let source = task::spawn("source", session.run(Bot { chunks, names, surroundings }, stop.clone()));
        Ok(Self { ended, running: REPORTING, stop, source, bell, shipping: shipped, grace: shipping.grace, counters })
    }

    async fn wait(mut self, stop: CancellationToken, events: &Events) -> Result<Shipped, BotError> {
        let mut failed = None;
        let mut shipped = None;
        let mut sourced = false;
        tokio::select! {
            () = stop.cancelled() => events.raise(Event::ShuttingDown),
            ended = self.ended.recv() => {
                self.running = self.running.saturating_sub(1);
                failed = Some(match ended {
                    Some(Err(error)) => error,
                    // the commit ends when the source has dropped the chunks: the source knows why
                    Some(Ok(())) | None => {
                        sourced = true;
                        let ended = tokio::time::timeout_at(self.grace.until(Part::Work), &mut self.source).await;
                        let ended = ended.map_or(Ok(()), of_source);
                        ended.err().unwrap_or(BotError::Stage(ENDED_EARLY))
                    }
                });
            }
            ended = &mut self.source => {
                sourced = true;
                let mut why = of_source(ended).err();
                if why.is_none() {
                    // it ended because its chunks are no longer taken: the commit knows why
                    tokio::time::timeout_at(self.grace.until(Part::Work), self.drain(&mut why)).await.ok();
                }
                failed = Some(why.unwrap_or(BotError::Stage(ENDED_EARLY)));
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
            // a drain may be killed: then this is all that says why. The error is logged by whoever ends the program
            tracing::warn!(reason = %chain(error), "a stage failed: the bot makes safe what is in hand and stops");
            tell(events, error.event(Phase::Running));
            if matches!(error, BotError::Gone(_)) {
                // what is made safe now would be in files that no one finds: nothing more is acknowledged
                self.source.abort();
                self.shipping.abort();
                self.stop.cancel();
                return failed.map_or(Ok(Shipped::Partly), Err);
            }
        }
        self.counters.status.stops(if failed.is_some() { Standing::Failed } else { Standing::Stop });
        let deadline = self.grace.until(Part::Work);
        self.stop.cancel();
        if tokio::time::timeout_at(deadline, self.drain(&mut failed)).await.is_err() {
            // what hangs may hang for ever: the next start recovers as after a crash
            self.shipping.abort();
            self.source.abort();
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
                        // in the middle of a call on the disk or the state; the queue's ledger has the attempt
                        self.shipping.abort();
                        Ok(Ok(Shipped::Partly))
                    })
                }
            }
        };
        // acknowledgements are not lost if they take too long: the next start sends them from the state
        let farewell = deadline.min(Instant::now() + FAREWELL);
        let source = async {
            if sourced {
                return Ok(());
            }
            match tokio::time::timeout_at(farewell, &mut self.source).await {
                Ok(ended) => of_source(ended),
                Err(_) => {
                    self.source.abort();
                    Ok(())
                }
            }
        };
        let (shipped, source) = tokio::join!(shipping, source);
        if let (Err(error), None) = (source, &failed) {
            failed = Some(error);
        }
        let shipped = match shipped {
            Ok(Ok(shipped)) => shipped,
            Ok(Err(error)) => return Err(failed.unwrap_or_else(|| error.into())),
            Err(_) => return Err(failed.unwrap_or(BotError::Stage("ship"))),
        };
        failed.map_or(Ok(shipped), Err)
    }

    /// Waits for commit and watchdog to end: the commit does when the source has dropped its end of the chunks.
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

fn of_source(ended: Result<Result<(), Box<dyn Trouble>>, tokio::task::JoinError>) -> Result<(), BotError> {
    ended.map_or(Err(BotError::Stage("source")), |ended| Ok(ended?))
}
