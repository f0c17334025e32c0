//! `retaind run`: the bot, with the network embedded unless another one is named.
//!
//! Order of starting: configuration (all mistakes at once), directories (made, tried, locked), the bot's state opens under
//! the password, then the network, then the bot. Order of stopping: the bot drains, then the network ends, so that the last
//! acknowledgements arrive.

use std::net::TcpListener;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::Failure;
use crate::bot::clock::SystemClock;
use crate::bot::commit::Directories;
use crate::bot::disk::{Disk, RealDisk};
use crate::bot::home::{self, Directory};
use crate::bot::run::{self as bot, BotError, Fault, Options, Orders};
use crate::bot::segment::{Basename, Policy};
use crate::config::{self, Config, Network as NetworkConfig, Retention, env};
use crate::device::store::Store;
use crate::lifecycle;
use crate::network::{self, Network, NetworkError};
use crate::protocol::endpoint::Endpoint;
use crate::protocol::ids::UserName;
use crate::report::counters::Counters;
use crate::report::logs::{self, Stream};

/// The bot's state file, below the state directory.
const STATE_FILE: &str = "bot.db";
/// The embedded network's directory, below the state directory.
const NETWORK_DIRECTORY: &str = "network";

/// Runs it.
pub fn run() -> Result<(), Failure> {
    let (config, warnings) = config::load(env::process()).map_err(Failure::configuration)?;
    config.refuse_what_is_not_built().map_err(Failure::configuration)?;
    logs::start(Stream::Output, &config.log).map_err(Failure::configuration)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let password = config
        .password
        .as_ref()
        .map(|password| Zeroizing::new(password.expose().to_owned()))
        .ok_or_else(|| Failure::configuration("WICKRIO_BOT_PASSWORD is not set: the bot needs its password"))?;
    let basename = Basename::new(config.files.base_name.as_str()).map_err(Failure::configuration)?;
    let signals = lifecycle::listen().map_err(Failure::internal)?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let _home = prepare(&config, &*disk)?;
    // a wrong password ends here, before the network begins and before anything is changed
    drop(Store::open(&config.state.join(STATE_FILE), password.as_bytes()).map_err(|e| failure(e.into()))?);
    let embedded = Embedded::open(&config, &password)?;
    let options = Options {
        user: config.bot.as_str().to_owned(),
        password,
        state: config.state.join(STATE_FILE),
        directories: Directories {
            messages: config.files.messages.clone(),
            basename,
            files: config.files.attachments.clone(),
        },
        policy: Policy {
            size_max: config.files.size_max,
            age_max: config.files.rotate_after,
            first_number: bot::first_segment().map_err(failure)?,
        },
        endpoint: embedded.endpoint(&config)?,
        workers: workers(),
        disk,
        clock: Arc::new(SystemClock),
        counters: Arc::new(Counters::default()),
    };
    let orders = Orders { stop: signals.stop, rotate: signals.rotate, ready: None };
    runtime()?.block_on(with_network(embedded, options, orders))
}

/// Threads that decrypt: one a core.
pub(super) fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The runtime of a process.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::internal)
}

/// What an error of the bot means for who started it.
pub(super) fn failure(error: BotError) -> Failure {
    match error.fault() {
        Fault::Configuration => Failure::configuration(error),
        Fault::Temporary => Failure::temporary(error),
        Fault::Internal => Failure::internal(error),
    }
}

fn prepare(config: &Config, disk: &dyn Disk) -> Result<home::Home, Failure> {
    let directory = |what, variable: &env::Variable, path: &std::path::Path| Directory {
        what,
        variable: variable.name,
        path: path.to_owned(),
    };
    let state = directory("state", &env::STATE, &config.state);
    let others = [
        directory("messages", &env::MESSAGES, &config.files.messages),
        directory("attachments", &env::ATTACHMENTS, &config.files.attachments),
    ];
    home::prepare(disk, &state, &others).map_err(|error| match error.fault() {
        Fault::Configuration => Failure::configuration(error),
        Fault::Temporary => Failure::temporary(error),
        Fault::Internal => Failure::internal(error),
    })
}

/// The network of this process, if it has one.
enum Embedded {
    Here { network: Arc<Network>, listener: TcpListener },
    Elsewhere,
}

impl Embedded {
    fn open(config: &Config, password: &str) -> Result<Self, Failure> {
        let NetworkConfig::Embedded { listen, id, retention } = &config.network else {
            return Ok(Self::Elsewhere);
        };
        let listener = TcpListener::bind(listen).map_err(|error| {
            Failure::temporary(format!(
                "embedded network cannot listen on `{listen}` (RETAIND_LISTEN), is another one running there: {error}"
            ))
        })?;
        let mut options = network::Options::new(config.state.join(NETWORK_DIRECTORY));
        options.network_id = Some(id.clone());
        let network = Network::open(options).map_err(Failure::temporary)?;
        let user = config.bot.user();
        network.ensure_bot(user, password).map_err(Failure::temporary)?;
        let retained: &[UserName] = match retention {
            Retention::On => std::slice::from_ref(user),
            Retention::Off => &[],
        };
        network.set_retention(retained).map_err(Failure::temporary)?;
        Ok(Self::Here { network, listener })
    }

    fn endpoint(&self, config: &Config) -> Result<Endpoint, Failure> {
        match (self, &config.network) {
            (Self::Here { network, listener }, _) => {
                Ok(network.endpoint(listener.local_addr().map_err(Failure::internal)?))
            }
            (Self::Elsewhere, NetworkConfig::Outside { address, authority, server_name }) => Ok(Endpoint {
                address: address.as_str().to_owned(),
                server_name: server_name.clone(),
                ca_der: authority.der.clone(),
            }),
            (Self::Elsewhere, NetworkConfig::Embedded { .. }) => {
                Err(Failure::internal("the embedded network was not opened"))
            }
        }
    }
}

async fn with_network(embedded: Embedded, options: Options, mut orders: Orders) -> Result<(), Failure> {
    let Embedded::Here { network, listener } = embedded else {
        return bot::run(options, orders).await.map_err(failure);
    };
    tracing::info!(
        network = network.network_id(),
        address = %listener.local_addr().map_err(Failure::internal)?,
        "embedded network listens"
    );
    let stop = orders.stop.clone();
    let (ready, _) = oneshot::channel();
    orders.ready = Some(ready);
    let end = CancellationToken::new();
    let serving = tokio::spawn({
        let (network, end) = (network.clone(), end.clone());
        async move { network.serve(listener, end).await }
    });
    let mut serving = std::pin::pin!(serving);
    let mut running = std::pin::pin!(bot::run(options, orders));
    let (archived, served) = tokio::select! {
        archived = &mut running => {
            end.cancel();
            (archived, serving.await)
        }
        served = &mut serving => {
            // the bot cannot go on without its network, but what it has in hand it makes safe
            stop.cancel();
            (running.await, served)
        }
    };
    archived.map_err(failure)?;
    served.unwrap_or(Err(NetworkError::Ended("server"))).map_err(Failure::temporary)
}
