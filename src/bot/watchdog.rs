//! The watchdog: notices what no stage can notice by itself, reports it, and fixes what can be fixed.
//!
//! | what | warning | failure | what it does |
//! |---|---|---|---|
//! | network away | after a minute | after `RETAIND_WATCHDOG_MINUTES`, and again after each | has the connection opened again |
//! | connection open but dead | – | – | the source closes it; then the network is away |
//! | a stage does not move | after a minute | after five | ends the bot; a restart recovers |
//! | little space on the disk | below `RETAIND_DISK_LOW` | below an eighth of it | takes no more deliveries until there is space |
//! | a directory of the bot's is gone | – | at once | ends the bot, and nothing more is acknowledged |
//! | clock was set | by more than a minute | – | nothing: names and rotation tolerate it |
//!
//! The conclusions are pure ([`machine`]); [`Watchdog`] observes every second, feeds them, and acts on them. Its opinion
//! is a [`Health`] in a `watch`: the stages act on it (no delivery is handed on and no attachment continues while
//! [`Health::takes_deliveries`] is false; the connection is opened again when [`Health::restarts`] grows), and anything that
//! reports whether the bot is well may read it.
//!
//! Back-pressure, never loss: what is not taken stays with the network, which sends no more than the window. What is in
//! hand when the disk gets critical normally fits: by default twice the window is left. If it does not, or an
//! attachment fills the rest between two looks, a failed write ends the bot as on any full disk, and nothing is lost.
//!
//! A stage is stalled if it has something in hand and makes no progress ([`pulse`]). Rejected: counting
//! what was received against what was committed. A message that is delivered again is received and never committed, and
//! a large attachment takes longer than any time-out; both would end a bot that is well.
//!
//! A directory that is removed under a running bot leaves open files behind that accept writes and syncs without an error,
//! and that have no name any more. So each look checks that the directories exist. Messages that were acknowledged since
//! the last look are lost together with everything else in the directory, and the network no longer has them
//! (docs/limits.md says so to operators); without the check the loss would continue unnoticed. A volume that was only detached
//! keeps them. Not noticed here: an open file that is removed while its directory stays, or a directory replaced by
//! another of the same name; the next rotation or start fails on it.
//!
//! A crash loses nothing here that matters: the next watchdog looks again.
//!
//! Not here: messages that no stage has in hand and that are not committed (a defect that no pulse shows); shipping,
//! which reports its failures itself; and the disk of the embedded network, which continues to accept what devices send.

mod jump;
pub mod machine;
mod outage;
pub mod pulse;
mod space;
mod stall;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

pub use self::machine::{Health, Limits, Machine, Network, Observation, Pipeline, Space, Verdict};
pub use self::pulse::{Beat, Pulse};
pub use self::space::Room;

use super::disk::Disk;
use super::source::Pulses;
use retaind_core::clock::{Clock, SystemClock};
use retaind_report::counters::Counters;
use retaind_report::events::{Event, Events};
use retaind_task as task;

const SECONDS_PER_MINUTE: u64 = 60;
const MINUTE: Duration = Duration::from_secs(SECONDS_PER_MINUTE);
/// Default of `RETAIND_WATCHDOG_MINUTES`.
const NETWORK_FAILS_AFTER: Duration = Duration::from_secs(15 * SECONDS_PER_MINUTE);
/// A batch takes a second on a slow disk; no disk that works takes minutes.
const STAGE_FAILS_AFTER: Duration = Duration::from_secs(5 * SECONDS_PER_MINUTE);
const DISK_LOW_BYTES: u64 = 1024 * 1024 * 1024;
/// The critical level is this fraction of the low one: by default 128 MiB, twice the window of deliveries.
const CRITICAL_PART: u64 = 8;
/// Between two looks a disk that fills at 100 MB/s loses less than is left at the critical level.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Settings of the watchdog.
#[derive(Clone)]
pub struct Settings {
    /// Thresholds of warnings and failures.
    pub limits: Limits,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Where it publishes its opinion.
    pub health: watch::Sender<Health>,
}

impl Settings {
    /// With what operators choose: after how long an absent network is a failure, and below how many free bytes the disk is low
    /// (0 = never).
    pub fn new(network_fails_after: Duration, disk_low_bytes: u64) -> Self {
        let limits = Limits {
            network_warns_after: MINUTE,
            network_fails_after,
            stage_warns_after: MINUTE,
            stage_fails_after: STAGE_FAILS_AFTER,
            disk_low_bytes,
            disk_critical_bytes: disk_low_bytes.checked_div(CRITICAL_PART).unwrap_or(0),
            clock_jump: MINUTE,
            look_every: LOOK_EVERY,
        };
        let health = watch::Sender::new(Health::default());
        Self { limits, clock: Arc::new(SystemClock), health }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new(NETWORK_FAILS_AFTER, DISK_LOW_BYTES)
    }
}

/// A stalled stage. Restart is the recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("stage `{stage}` has not moved for {minutes} minutes, does the disk answer? starting again recovers")]
pub struct Stalled {
    /// Name of the stage.
    pub stage: &'static str,
    /// How long it has made no progress.
    pub minutes: u64,
}

/// A directory that no longer exists.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "directory `{}` is gone under the running bot, was its volume detached or cleared? bring it back before the bot starts again",
    directory.display()
)]
pub struct Gone {
    /// Path of the directory.
    pub directory: PathBuf,
}

/// Why the watchdog ends the bot.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Halt {
    /// A stage is stalled.
    #[error(transparent)]
    Stalled(#[from] Stalled),
    /// A directory is gone.
    #[error(transparent)]
    Gone(#[from] Gone),
}

/// The watchdog's task.
pub struct Watchdog {
    /// Thresholds, wall clock, and where the opinion goes.
    pub settings: Settings,
    /// Where the source says whether it is connected.
    pub network: watch::Receiver<Network>,
    /// Pulses of the stages, with their names.
    pub pulses: Pulses,
    /// Reports free space, and whether a directory exists.
    pub disk: Arc<dyn Disk>,
    /// Directories in which the bot writes.
    pub directories: Vec<PathBuf>,
    /// Counters for metrics and health.
    pub counters: Arc<Counters>,
    /// Events for operators.
    pub events: Events,
}

impl Watchdog {
    /// Watches until `stop`, or until a stage is stalled or a directory gone.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Halt> {
        let limits = self.settings.limits;
        let mut machine = Machine::new(limits);
        let mut gauge = Gauge { disk: self.disk.clone(), directories: self.directories.as_slice().into(), asked: None };
        let began = Instant::now();
        let mut look = tokio::time::interval(limits.look_every.max(Duration::from_millis(1)));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let room = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                room = async {
                    look.tick().await;
                    gauge.read(limits.look_every).await
                } => room,
            };
            // the event is raised by the caller, which ends the bot
            let room = room.inspect_err(|_| self.counters.watchdog_failures.add(1))?;
            let verdicts = machine.observe(Observation {
                at: began.elapsed(),
                wall_micros: self.settings.clock.now_micros(),
                network: *self.network.borrow(),
                stages: self.pulses.all().into_iter().map(|(stage, pulse)| (stage, pulse.beat())).collect(),
                room,
            });
            // published before it is acted on
            let stalled = verdicts.iter().map(|verdict| self.tell(verdict)).fold(Ok(()), Result::and);
            self.settings.health.send_if_modified(|health| {
                let before = std::mem::replace(health, machine.health());
                before != *health
            });
            stalled?;
        }
    }

    fn tell(&self, verdict: &Verdict) -> Result<(), Stalled> {
        let (warning, failure) = (&self.counters.watchdog_warnings, &self.counters.watchdog_failures);
        match verdict {
            Verdict::NetworkAway { lasted } => {
                warning.add(1);
                tracing::warn!(
                    seconds = lasted.as_secs(),
                    "watchdog: network is away, does it run and can it be reached?"
                );
            }
            Verdict::NetworkDown { lasted } => {
                failure.add(1);
                self.events.raise(Event::SwitchBoardDown { minutes: minutes(*lasted) });
            }
            Verdict::NetworkBack { lasted } => {
                tracing::info!(seconds = lasted.as_secs(), "watchdog: network is back");
            }
            Verdict::StageSlow { stage, lasted } => {
                warning.add(1);
                tracing::warn!(
                    stage,
                    seconds = lasted.as_secs(),
                    "watchdog: a stage does not move, does the disk answer?"
                );
            }
            Verdict::StageStalled { stage, lasted } => {
                // the event is raised by the caller, which ends the bot
                failure.add(1);
                return Err(Stalled { stage, minutes: minutes(*lasted) });
            }
            Verdict::StageMoves { stage, lasted } => {
                tracing::info!(stage, seconds = lasted.as_secs(), "watchdog: the stage moves again");
            }
            Verdict::DiskLow(room) => {
                warning.add(1);
                self.disk_nearly_full(room);
            }
            Verdict::DiskCritical(room) => {
                failure.add(1);
                self.disk_nearly_full(room);
                tracing::error!(
                    "watchdog: no more messages are taken until there is room on the disk (RETAIND_DISK_LOW); \
                     the network keeps them"
                );
            }
            Verdict::DiskEased { room, now } => {
                let directory = room.directory.display();
                tracing::info!(%directory, free_bytes = room.free_bytes, ?now, "watchdog: there is more room on the disk, messages are taken");
            }
            Verdict::ClockJumped { expected_micros, wall_micros } => {
                warning.add(1);
                tracing::warn!(
                    expected_micros,
                    wall_micros,
                    "watchdog: the system's clock was set, or the machine slept; records have the time that it shows"
                );
            }
        }
        Ok(())
    }

    fn disk_nearly_full(&self, room: &Room) {
        let directory = room.directory.display().to_string();
        self.events.raise(Event::DiskNearlyFull { directory, free_bytes: room.free_bytes });
    }
}

fn minutes(lasted: Duration) -> u64 {
    lasted.as_secs().checked_div(SECONDS_PER_MINUTE).unwrap_or(0)
}

/// Reads the free space on another thread: a disk that hangs must not hang the watchdog. At most one reading runs at a time.
struct Gauge {
    disk: Arc<dyn Disk>,
    directories: Arc<[PathBuf]>,
    asked: Option<JoinHandle<Result<Option<Room>, Gone>>>,
}

impl Gauge {
    async fn read(&mut self, patience: Duration) -> Result<Option<Room>, Gone> {
        let (disk, directories) = (self.disk.clone(), self.directories.clone());
        let asked = self.asked.get_or_insert_with(|| task::blocking("watchdog", move || fullest(&*disk, &directories)));
        let Ok(read) = tokio::time::timeout(patience, &mut *asked).await else { return Ok(None) };
        self.asked = None;
        read.unwrap_or(Ok(None))
    }
}

/// The directory with the least space. One that exists but gives no answer is skipped: writing there will fail.
fn fullest(disk: &dyn Disk, directories: &[PathBuf]) -> Result<Option<Room>, Gone> {
    let mut fullest: Option<Room> = None;
    for directory in directories {
        match disk.free_bytes(directory) {
            Ok(free_bytes) if fullest.as_ref().is_none_or(|room| free_bytes < room.free_bytes) => {
                fullest = Some(Room { directory: directory.clone(), free_bytes });
            }
            Ok(_) => {}
            Err(error)
                if matches!(error.source.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle) =>
            {
                return Err(Gone { directory: directory.clone() });
            }
            Err(error) => tracing::debug!(%error, "watchdog: free space"),
        }
    }
    Ok(fullest)
}

/// The directory of a state file.
pub(super) fn directory_of(file: &Path) -> PathBuf {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}
