//! The whole program under attack: bot and network in one process, honest people who use it meanwhile, and what they and the
//! system say of it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use retaind::device::account::{self, Proof};
use retaind::device::conversations::Device;
use retaind::device::patience::Patience;
use retaind::device::store::{STEPS, Store};
use retaind::protocol::endpoint::{Endpoint, Invite};
use retaind::protocol::wire::Register;
use tokio_util::sync::CancellationToken;

use crate::support::attack::honest::{Honest, Noticed, missing};
use crate::support::http;
use crate::support::program::{ALLOCATOR, Program, retaind_at, run_at};
use crate::support::raw::Raw;
use crate::support::{unacknowledged, vault};

/// Set for a process that is to be the program.
pub const IS_PROGRAM: &str = "ATTACK_IS_PROGRAM";
/// Between two looks at the process.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// How long a page may take.
const PROBE_PATIENCE: Duration = Duration::from_secs(5);
/// How long a device waits for a network that does not answer.
const DEVICE_PATIENCE: Duration = Duration::from_secs(600);

/// What the system says of a process at a time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample {
    /// Resident memory.
    pub bytes: u64,
    pub threads: u64,
    /// Open files and sockets; 0 where they may not be counted.
    pub descriptors: u64,
}

impl Sample {
    pub fn of(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
        };
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |all| all.count() as u64);
        Some(Self { bytes: field("VmRSS")? * 1024, threads: field("Threads")?, descriptors })
    }
}

/// Looks at a process until it is told to stop.
pub struct Sampler {
    samples: Arc<Mutex<Vec<Sample>>>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    pub fn start(pid: u32, every: Duration) -> Self {
        let (samples, stop) = (Arc::<Mutex<Vec<Sample>>>::default(), CancellationToken::new());
        let thread = std::thread::spawn({
            let (samples, stop) = (samples.clone(), stop.clone());
            move || {
                while !stop.is_cancelled() {
                    samples.lock().unwrap().extend(Sample::of(pid));
                    std::thread::sleep(every);
                }
            }
        });
        Self { samples, stop, thread: Some(thread) }
    }

    pub fn samples(&self) -> Vec<Sample> {
        self.samples.lock().unwrap().clone()
    }

    /// The most memory that was seen.
    pub fn peak(&self) -> u64 {
        self.samples.lock().unwrap().iter().map(|sample| sample.bytes).max().unwrap_or(0)
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.cancel();
        self.thread.take().into_iter().for_each(|thread| thread.join().unwrap());
    }
}

/// The program, and where it can be reached.
pub struct Target {
    program: Program,
    path: PathBuf,
    home: tempfile::TempDir,
    pub endpoint: Endpoint,
    /// Of the health endpoint.
    pub health: String,
    users: AtomicU64,
}

impl Target {
    /// Starts the program at `path` with an embedded network and these variables besides.
    pub async fn start(path: &Path, environment: &[(String, String)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = run_at(path, home.path());
        command.env("RETAIND_LISTEN", "127.0.0.1:0").env("RETAIND_HEALTH", "127.0.0.1:0").env(IS_PROGRAM, "yes");
        command.envs(ALLOCATOR).envs(environment.iter().map(|(name, value)| (name, value)));
        let mut program = Program::start(&mut command);
        program.says("receives").await;
        let line = program.says("health endpoint listens").await;
        let health = line.rsplit_once("address=").unwrap().1.to_owned();
        let endpoint = invite(path, home.path(), "nobody").endpoint;
        Self { program, path: path.to_owned(), home, endpoint, health, users: AtomicU64::new(0) }
    }

    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Bytes that it has written to its standard streams so far.
    pub fn logged(&self) -> u64 {
        self.program.log().len() as u64
    }

    /// The name of a user that there is not yet.
    pub fn new_user(&self) -> String {
        format!("mallory{}", self.users.fetch_add(1, Ordering::Relaxed))
    }

    /// A device of a client that does what it likes.
    pub async fn raw(&self, name: &str) -> Raw {
        loop {
            // whoever attacks as well may have taken its place: an invite that may be used up is not tried again
            let register = Register { invite_code: self.invite(name).code, ..Register::default() };
            if let Ok(device) = Raw::register(&self.endpoint, register).await {
                return device.publish(4).await;
            }
        }
    }

    /// A device of this program's own client.
    pub async fn device(&self, name: &str) -> Device {
        let invite = self.invite(name);
        let store = Store::in_memory(vault(), STEPS).unwrap();
        let account = account::register(store, &invite.endpoint, Proof::Invite(&invite.code), 0).await.unwrap();
        let mut device = Device::start_with_key_packages(account, 4).await.unwrap();
        device.be_patient(Patience::lasting(DEVICE_PATIENCE));
        device
    }

    fn invite(&self, name: &str) -> Invite {
        invite(&self.path, self.home.path(), name)
    }

    /// Waits until the bot has acknowledged everything, if it ever does; returns what is left.
    pub async fn settles(&self, within: Duration) -> i64 {
        let directory = network_of(self.home.path());
        let started = Instant::now();
        loop {
            let left = unacknowledged(&directory);
            if left == 0 || started.elapsed() > within {
                return left;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// How often each limit was met, as `/metrics` says it.
    pub async fn refusals(&self) -> BTreeMap<String, u64> {
        let page = tokio::time::timeout(PROBE_PATIENCE, http::get(&self.health, "/metrics")).await;
        let page = page.map(|answer| answer.body).unwrap_or_default();
        let lines = page.lines().filter_map(|line| line.strip_prefix("retaind_refusals_total{limit=\""));
        let of_line = |line: &str| -> Option<(String, u64)> {
            let (name, count) = line.split_once("\"} ")?;
            Some((name.to_owned(), count.parse().ok()?))
        };
        lines.filter_map(of_line).filter(|(_, count)| *count > 0).collect()
    }

    /// Ends it as an operator does: its exit code, and where its files are.
    pub async fn ends(self) -> (Option<i32>, tempfile::TempDir) {
        self.program.signal("TERM");
        let (code, _) = self.program.ends().await;
        (code, self.home)
    }
}

fn network_of(home: &Path) -> PathBuf {
    home.join("state/network")
}

fn invite(program: &Path, home: &Path, name: &str) -> Invite {
    let mut command: Command = retaind_at(program, &["network", "invite", name, "--directory"]);
    let output = command.arg(network_of(home)).env(IS_PROGRAM, "yes").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// What an attack came to.
#[derive(Debug)]
pub struct Measured {
    /// What was done, in numbers.
    pub did: String,
    /// Resident memory before it, at its worst, and a minute later at most.
    pub idle: u64,
    pub peak: u64,
    pub after: u64,
    pub noticed: Noticed,
    /// Accepted texts of honest devices that are not in the archive.
    pub lost: usize,
    /// Log: the first half of the attack as often as what is summed up is told again, and the rate of the second.
    pub log_bytes_an_hour: u64,
    /// The limits that were met, the most often met first.
    pub refused: Vec<(String, u64)>,
    pub exit: Option<i32>,
}

/// How long memory may take to come back, and how much may not.
const COMES_BACK_WITHIN: Duration = Duration::from_secs(60);
pub const KEPT_BYTES_MAX: u64 = 32 << 20;
pub const PEAK_BYTES_MAX: u64 = 256 << 20;
pub const P99_MAX: Duration = Duration::from_secs(1);
pub const LOG_BYTES_AN_HOUR_MAX: u64 = 1_000_000;
/// What is told one by one before it is summed up is told again after ten minutes.
const BURSTS_AN_HOUR: u64 = 6;
/// Before an attack, so that what every first message makes is there.
const WARM_UP: Duration = Duration::from_secs(4);
/// Within which the bot has what the network has.
const SETTLES_WITHIN: Duration = Duration::from_secs(300);

impl Measured {
    /// Starts the program, lets `attack` have it for so long, and looks at what is left.
    pub async fn of<A>(program: &Path, environment: &[(String, String)], time: Duration, attack: A) -> Self
    where
        A: AsyncFnOnce(&Target, tokio::time::Instant) -> String,
    {
        let target = Target::start(program, environment).await;
        let honest = Honest::begin(&target).await;
        tokio::time::sleep(WARM_UP).await;
        let idle = Sample::of(target.pid()).unwrap().bytes;
        let (logged, started) = (target.logged(), Instant::now());
        let sampler = Sampler::start(target.pid(), LOOK_EVERY);
        let half = async {
            tokio::time::sleep(time / 2).await;
            (target.logged(), started.elapsed())
        };
        let until = tokio::time::Instant::now() + time;
        let ((at_half, half), did) = tokio::join!(half, attack(&target, until));
        let rate = (target.logged() - at_half) as f64 / (started.elapsed() - half).as_secs_f64();
        let log_bytes_an_hour = (at_half - logged) * BURSTS_AN_HOUR + (rate * 3600.0) as u64;
        let over = Instant::now();
        let after = loop {
            let now = Sample::of(target.pid()).map_or(0, |sample| sample.bytes);
            if now <= idle + KEPT_BYTES_MAX || over.elapsed() > COMES_BACK_WITHIN {
                break now;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let (group, noticed) = honest.end().await;
        let mut refused: Vec<_> = target.refusals().await.into_iter().collect();
        refused.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let peak = sampler.peak();
        drop(sampler);
        target.settles(SETTLES_WITHIN).await;
        let (exit, home) = target.ends().await;
        let lost = missing(home.path(), &group, &noticed.accepted);
        Self { did, idle, peak, after, noticed, lost, log_bytes_an_hour, refused, exit }
    }

    /// What does not hold.
    pub fn broken(&self) -> Vec<String> {
        let mib = |bytes: u64| bytes >> 20;
        let mut broken = Vec::new();
        let mut must = |holds: bool, what: String| {
            if !holds {
                broken.push(what);
            }
        };
        must(self.peak < PEAK_BYTES_MAX, format!("{} MiB at its worst", mib(self.peak)));
        must(self.after <= self.idle + KEPT_BYTES_MAX, format!("{} MiB a minute later", mib(self.after)));
        must(self.noticed.p99() < P99_MAX, format!("p99 of honest devices {:.1?}", self.noticed.p99()));
        must(self.lost == 0, format!("{} of {} messages lost", self.lost, self.noticed.accepted.len()));
        must(
            self.log_bytes_an_hour < LOG_BYTES_AN_HOUR_MAX,
            format!("{} bytes of log an hour", self.log_bytes_an_hour),
        );
        must(self.noticed.connections.1 == 0, format!("{:?} connections not served", self.noticed.connections));
        must(self.noticed.probes.1 == 0, format!("{:?} probes not answered", self.noticed.probes));
        must(self.exit == Some(0), format!("exit code {:?}", self.exit));
        broken
    }
}
