//! The health endpoint of a running bot, set up from the configuration; and what it looks at when it is asked.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::Failure;
use super::run::STATE_FILE;
use retaind_bot::disk::{Disk, RealDisk};
use retaind_bot::state;
use retaind_bot::watchdog;
use retaind_config::Config;
use retaind_config::report::HEALTH;
use retaind_core::clock::SystemClock;
use retaind_device::store::count_lost;
use retaind_report::LIMITS;
use retaind_report::counters::Counters;
use retaind_report::health::server::Server;
use retaind_report::health::{Directory, Found, Health, Look, Queue};
use retaind_report::status::Opinion;
use retaind_task as task;

/// The endpoint, if there is one.
pub(crate) struct Endpoint {
    server: Option<Server>,
    directories: [(&'static str, PathBuf); 3],
    state: PathBuf,
    names: Vec<String>,
}

impl Endpoint {
    /// Takes the address, so that one that is in use is told before anything is begun.
    pub(crate) fn bind(config: &Config) -> Result<Self, Failure> {
        let server = config.report.health.map(|address| {
            Server::bind(address).map_err(|error| {
                let name = HEALTH.name;
                Failure::temporary(format!(
                    "health endpoint cannot listen on `{address}` ({name}), is another bot running there: {error}; stop that one, or set `{name}` to another address or to `off`"
                ))
            })
        });
        let directories = [
            ("messages", config.files.messages.clone()),
            ("attachments", config.files.attachments.clone()),
            ("state", config.state.clone()),
        ];
        let (state, names) = (config.state.join(STATE_FILE), config.report.health_names.clone());
        Ok(Self { server: server.transpose()?, directories, state, names })
    }

    /// Begins to answer, as long as the runtime lives. `opinion`: the watchdog's.
    pub(crate) fn start(
        self,
        counters: Arc<Counters>,
        opinion: watch::Receiver<watchdog::Health>,
        runtime: &tokio::runtime::Runtime,
    ) {
        let Self { server: Some(server), directories, state, names } = self else { return };
        tracing::info!(address = %server.address(), "health endpoint listens");
        counters.refusals.expect(LIMITS);
        let health = Health::new(counters, Arc::new(Sight { directories, state, opinion })).with_names(names);
        task::spawn_on(runtime.handle(), "health", async move {
            let Err(error) = server.serve(health).await;
            tracing::error!(%error, "health endpoint ended, the bot goes on");
        });
    }
}

struct Sight {
    directories: [(&'static str, PathBuf); 3],
    state: PathBuf,
    opinion: watch::Receiver<watchdog::Health>,
}

impl Look for Sight {
    fn look(&self) -> Found {
        let directories = self.directories.iter();
        let directories =
            directories.map(|(name, path)| Directory { name, free_bytes: RealDisk.free_bytes(path).ok() });
        // a state that does not answer is a reason by its queue
        let lost_conversations = count_lost(&self.state).unwrap_or_default();
        Found { queue: self.queue(), directories: directories.collect(), lost_conversations }
    }

    fn opinion(&self) -> Opinion {
        let health = self.opinion.borrow();
        Opinion { pipeline: health.pipeline, space: health.space }
    }
}

impl Sight {
    fn queue(&self) -> Option<Queue> {
        // before the bot's first start has made its tables there is nothing to read
        let found = state::unshipped(&self.state).ok()?;
        // a file that is gone has no age; the ship stage tells that it is
        let written = found.oldest.and_then(|path| fs::metadata(path).ok()?.modified().ok());
        let age = written.and_then(|written| SystemClock.now().duration_since(written).ok());
        let oldest_secs = age.map_or(0, |age| age.as_secs());
        Some(Queue { files: found.files, bytes: found.bytes, parked: found.parked, oldest_secs })
    }
}
