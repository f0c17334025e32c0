//! `retaind run`, stage by stage: the bot, with the network embedded unless another one is named.
//!
//! Order of starting: configuration (all mistakes at once), directories (made, tried, locked), the bot's state opens under
//! the password, a pause if earlier starts have failed, then the network, then the bot. Of stopping see
//! [`super::embedded`], and [`Grace`] for how long it takes. Each stage consumes what the one before it has made:
//! [`Configured`] → [`Application`], in its [`Frame`] → [`Opened`] → what is left, drained.

use std::net::TcpListener;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::Failure;
use super::embedded::Embedded;
use super::lifecycle::{self, Signalled};
use super::report::Report;
use super::{evidence, health, limits, log, password, settings, starts, upload};
use retaind_aws::Aws;
use retaind_bot::commit::Directories;
use retaind_bot::disk::{Disk, RealDisk};
use retaind_bot::grace::{Grace, Part};
use retaind_bot::home::{self, Directory};
use retaind_bot::passwords::{self, By, Passwords};
use retaind_bot::run::{self as bot, BotError, Controls, Options, Shipping};
use retaind_bot::segment::{Basename, RotationLimits};
use retaind_bot::ship::Shipped;
use retaind_bot::source::Phase;
use retaind_bot::watchdog;
use retaind_config::env::Variable;
use retaind_config::evidence::EVIDENCE;
use retaind_config::network::{self, Network as NetworkConfig};
use retaind_config::{Config, files};
use retaind_core::clock::SystemClock;
use retaind_device::store::STEPS;
use retaind_network::{Noted, Observer, Seal};
use retaind_protocol::endpoint::Endpoint;
use retaind_report::counters::Counters;
use retaind_report::events::{Event, Events};
use retaind_source_mls::Mls;
use retaind_state::vault::Vault;
use retaind_task as task;
use zeroize::Zeroizing;

/// The bot's state file, below the state directory.
pub const STATE_FILE: &str = "bot.db";
/// The embedded network's directory, below the state directory.
const NETWORK_DIRECTORY: &str = "network";

/// Runs it.
pub fn run() -> Result<(), Failure> {
    limits::raise_open_files()?;
    let (frame, application) = Configured::load()?.build()?;
    let ran = application.serve(&frame.runtime);
    frame.drain();
    ran
}

/// A configuration without mistakes, and the log that it asks for.
struct Configured {
    config: Config,
    basename: Basename,
}

/// What is there as long as the application is, and ends after it.
struct Frame {
    runtime: Runtime,
    grace: Grace,
    report: Report,
}

/// The bot and its network, built, before anything of the archive is touched.
struct Application {
    config: Config,
    basename: Basename,
    aws: Option<Aws>,
    signals: Signalled,
    counters: Arc<Counters>,
    watchdog: watchdog::Settings,
    grace: Grace,
    events: Events,
}

/// An application whose directories are locked and whose password opens its state.
struct Opened {
    application: Application,
    disk: Arc<dyn Disk>,
    passwords: Arc<Passwords>,
    by: By,
    vault: Arc<Vault>,
}

impl Configured {
    /// Reads the configuration, all mistakes at once, and starts the log.
    fn load() -> Result<Self, Failure> {
        let (config, warnings) = settings::load_or_fail()?;
        log::start(&config)?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let basename = Basename::new(config.files.base_name.clone()).map_err(Failure::configuration)?;
        Ok(Self { config, basename })
    }

    /// Puts together what every start needs, and begins to answer, to hear signals and to report.
    fn build(self) -> Result<(Frame, Application), Failure> {
        let Self { config, basename } = self;
        let health = health::Endpoint::bind(&config)?;
        let signals = lifecycle::listen_with_logs().map_err(Failure::internal)?;
        let runtime = runtime()?;
        let grace = Grace::new(config.process.grace);
        task::spawn_on(runtime.handle(), "deadline", lifecycle::end_in_time(signals.stop.clone(), grace.clone()));
        let counters = Arc::new(Counters::default());
        let watchdog =
            watchdog::Settings::new(config.process.watchdog.fails_after, config.process.watchdog.disk_low_bytes);
        health.start(counters.clone(), watchdog.health.subscribe(), &runtime);
        let aws = runtime.block_on(settings::access(&config.aws))?;
        runtime.block_on(upload::check_locks(aws.as_ref(), &config.aws))?;
        let report = Report::start(&config, aws.as_ref(), counters.clone(), &runtime);
        let events = report.events.clone();
        let frame = Frame { runtime, grace: grace.clone(), report };
        Ok((frame, Application { config, basename, aws, signals, counters, watchdog, grace, events }))
    }
}

impl Frame {
    /// Reports what is left, within the grace time, and ends every task.
    fn drain(self) {
        let Self { runtime, grace, report } = self;
        runtime.block_on(report.finish(grace.until(Part::Report)));
        // a disk that hangs must not keep a bot from ending that the watchdog has given up
        runtime.shutdown_timeout(grace.until(Part::End).saturating_duration_since(Instant::now()));
    }
}

impl Application {
    /// Everything that is told about: from the state to the end of the bot.
    fn serve(self, runtime: &Runtime) -> Result<(), Failure> {
        let Some(opened) = self.open(runtime)? else { return Ok(()) };
        let Self { config, signals, counters, events, .. } = &opened.application;
        let (state, stop, counters, events) =
            (config.state.clone(), signals.stop.clone(), counters.clone(), events.clone());
        starts::counted(&state, &stop, runtime, &counters, &events, || opened.archive(runtime))
    }

    /// Directories and password. `None`: told to stop while somebody was asked.
    fn open(self, runtime: &Runtime) -> Result<Option<Opened>, Failure> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        prepare(&self.config, &*disk)?.keep_until_exit();
        let state = self.config.state.join(STATE_FILE);
        let asked = password::obtain(&self.config, &state, &self.signals.stop, &self.events);
        let Some(passwords) = runtime.block_on(asked)? else { return Ok(None) };
        // a wrong password ends here, before the network begins and before anything is changed
        let opened = passwords::open(&state, &passwords, STEPS).map_err(|error| {
            let error = BotError::from(error);
            bot::tell(&self.events, error.event(Phase::Starting));
            failure(error)
        })?;
        let (by, vault) = (opened.by, Arc::clone(opened.store.vault()));
        drop(opened);
        Ok(Some(Opened { application: self, disk, passwords, by, vault }))
    }
}

impl Opened {
    /// Network and bot, from the first question at the network on.
    fn archive(self, runtime: &Runtime) -> Result<(), Failure> {
        let Self { application, disk, passwords, by, vault } = self;
        let Application { config, basename, aws, signals, counters, watchdog, grace, events } = application;
        let embedded = embedded(&config, passwords.in_force(by), vault, &counters, &events)?;
        let options = Options {
            user: config.account.bot.as_str().to_owned(),
            passwords,
            state: config.state.join(STATE_FILE),
            directories: Directories {
                messages: config.files.messages.clone(),
                basename,
                files: config.files.attachments.clone(),
            },
            policy: RotationLimits {
                size_max: config.files.size_max,
                age_max: config.files.rotate_after,
                first_number: bot::first_segment().map_err(|error| failure(error.into()))?,
            },
            evidence: evidence::settings(&config),
            source: Box::new(Mls::new(endpoint(embedded.as_ref(), &config)?, workers()).noting(&config.state)),
            shipping: Shipping {
                grace,
                stalls_after: config.process.ship_stalls_after,
                ..upload::shipping(aws.as_ref(), &config.aws, &disk)
            },
            disk,
            clock: Arc::new(SystemClock),
            counters,
            events,
            watchdog,
        };
        let controls = Controls { stop: signals.stop, rotate: signals.rotate };
        let shipped = runtime.block_on(async {
            match embedded {
                Some(embedded) => embedded.run_bot(options, controls).await,
                None => bot::run(options, controls).await.map_err(failure),
            }
        })?;
        match shipped {
            Shipped::All => Ok(()),
            Shipped::Partly => {
                Err(Failure::temporary("stopped as told; what is not uploaded yet waits for the next start"))
            }
        }
    }
}

/// Threads that decrypt: one a core.
pub fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The runtime of a process.
pub fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::internal)
}

/// What an error of the bot means for who started it.
pub(crate) fn failure(error: BotError) -> Failure {
    Failure::of(error)
}

fn prepare(config: &Config, disk: &dyn Disk) -> Result<home::Home, Failure> {
    let directory = |what, variable: &Variable, path: &std::path::Path| Directory {
        what,
        variable: variable.name,
        path: path.to_owned(),
    };
    let state = directory("state", &network::STATE, &config.state);
    let mut others = vec![
        directory("messages", &files::MESSAGES, &config.files.messages),
        directory("attachments", &files::ATTACHMENTS, &config.files.attachments),
    ];
    let evidence = evidence::settings(config);
    others.extend(evidence.map(|settings| directory("evidence", &EVIDENCE, &settings.directory)));
    home::prepare(disk, &state, &others).map_err(Failure::of)
}

/// The network of this process, if it has one.
fn embedded(
    config: &Config,
    password: &Zeroizing<String>,
    vault: Arc<Vault>,
    counters: &Counters,
    events: &Events,
) -> Result<Option<Embedded>, Failure> {
    let NetworkConfig::Embedded { listen, id, retention, spare_key, blobs } = &config.network else { return Ok(None) };
    let listener = TcpListener::bind(listen).map_err(|error| {
        Failure::temporary(format!(
            "embedded network cannot listen on `{listen}` (RETAIND_LISTEN), is another one running there: {error}"
        ))
    })?;
    let mut options = retaind_network::Options::new(config.state.join(NETWORK_DIRECTORY));
    options.network_id = Some(id.clone());
    options.refusals = Arc::clone(&counters.refusals);
    options.allowances.blob_age = blobs.age;
    options.allowances.blob_quota_bytes = blobs.quota_bytes;
    options.allowances.disk_low_bytes = config.process.watchdog.disk_low_bytes;
    options.seal = Seal::Bot { vault, password: Arc::new(password.clone()), spare: spare_key.clone() };
    let events = events.clone();
    options.observer = Some(Observer::new(move |noted| match noted {
        Noted::LastResort { .. } => events.raise(Event::LastResortKeyPackage),
    }));
    Embedded::open(options, listener, config.account.bot.user(), password, *retention).map(Some)
}

fn endpoint(embedded: Option<&Embedded>, config: &Config) -> Result<Endpoint, Failure> {
    match (embedded, &config.network) {
        (Some(embedded), _) => Ok(embedded.endpoint()),
        (None, NetworkConfig::Outside { address, authority, server_name }) => Ok(Endpoint {
            address: address.as_str().to_owned(),
            server_name: server_name.clone(),
            ca_der: authority.der.clone(),
        }),
        (None, NetworkConfig::Embedded { .. }) => Err(Failure::internal("the embedded network was not opened")),
    }
}
