//! A bot on the MLS network, as tests start it.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use retaind::bot::commit::Directories;
use retaind::bot::disk::Disk;
use retaind::bot::evidence;
use retaind::bot::passwords::Passwords;
use retaind::bot::run::{self as bot, BotError, Shipping, SourceError};
use retaind::bot::segment::RotationLimits;
use retaind::bot::ship::Shipped;
use retaind::bot::watchdog;
use retaind::core::clock::Clock;
use retaind::protocol::credential::Identity;
use retaind::protocol::endpoint::Endpoint;
use retaind::report::counters::Counters;
use retaind::report::events::Events;
use retaind::source_mls::{Heartbeat, Mls, MlsError};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{BOT, Harness, user};

/// A network with data retention on, where one device may begin as many conversations as a bench wants.
pub fn network_without_quotas() -> Harness {
    let harness = Harness::start_without_retention(|mut options| {
        options.allowances.conversations_an_hour = u64::MAX / 2;
        options.allowances.claims_of_target = u64::MAX / 2;
        options
    });
    harness.network.admin(|admin| admin.set_retention(&[user(BOT)])).unwrap();
    harness
}

/// Evidence of an archive in this directory, beside its messages. No interval: tests make their own time.
pub fn evidence(archive: &Path) -> evidence::Settings {
    let (directory, checkpoints) = (archive.join("_evidence"), Duration::from_secs(3600));
    evidence::Settings { directory, interval: None, checkpoints, origin: None }
}

/// What the bot and its source are given.
pub struct Options {
    pub user: String,
    pub passwords: Arc<Passwords>,
    pub state: PathBuf,
    pub directories: Directories,
    pub policy: RotationLimits,
    pub evidence: Option<evidence::Settings>,
    pub endpoint: Endpoint,
    pub workers: usize,
    pub heartbeat: Heartbeat,
    pub kept_bytes_max: u64,
    pub disk: Arc<dyn Disk>,
    pub shipping: Shipping,
    pub clock: Arc<dyn Clock>,
    pub counters: Arc<Counters>,
    pub events: Events,
    pub watchdog: watchdog::Settings,
}

/// What a running bot is told.
pub struct Controls {
    pub stop: CancellationToken,
    pub rotate: mpsc::Receiver<()>,
    /// Told once the bot can be added to conversations and receives.
    pub ready: Option<oneshot::Sender<Identity>>,
}

/// Runs the bot.
pub async fn run(options: Options, controls: Controls) -> Result<Shipped, BotError> {
    let Options { user, passwords, state, directories, policy, evidence, disk, shipping, clock, counters, .. } =
        options;
    let Options { endpoint, workers, heartbeat, kept_bytes_max, events, watchdog, .. } = options;
    let Controls { stop, rotate, ready } = controls;
    let home = state.parent().map(Path::to_owned).unwrap_or_default();
    let source = Box::new(Mls { heartbeat, ready, kept_bytes_max, ..Mls::new(endpoint, workers).noting(&home) });
    let options = bot::Options {
        user,
        passwords,
        state,
        directories,
        policy,
        evidence,
        source,
        disk,
        shipping,
        clock,
        counters,
        events,
        watchdog,
    };
    bot::run(options, bot::Controls { stop, rotate }).await
}

/// The error of the source, if it is one.
pub fn of_source(error: &BotError) -> Option<&MlsError> {
    match error {
        BotError::Source(SourceError(trouble)) => {
            let error: &(dyn std::error::Error + 'static) = &**trouble;
            error.downcast_ref()
        }
        _ => None,
    }
}
