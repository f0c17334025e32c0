//! A network in the bot's own process: made, listened on, and served as long as the bot runs.
//!
//! Order of stopping: the bot drains, then the network ends, so that the last acknowledgements arrive. The bot talks to
//! it over the wire like to any other; nothing here is a shortcut.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Failure;
use super::log_ins;
use super::run::failure as bot_failure;
use retaind_bot::grace::Part;
use retaind_bot::run::{self as bot, Controls, Options};
use retaind_bot::ship::Shipped;
use retaind_config::network::Retention;
use retaind_network::{Admin, Network, NetworkError};
use retaind_protocol::endpoint::Endpoint;
use retaind_protocol::ids::UserName;
use retaind_task as task;

/// A network that has its address and waits to be served.
pub struct Embedded {
    network: Arc<Network>,
    listener: TcpListener,
    address: SocketAddr,
}

impl Embedded {
    /// Opens the network, or makes it, with an account for its bot.
    pub fn open(
        options: retaind_network::Options,
        listener: TcpListener,
        bot: &UserName,
        password: &str,
        retention: Retention,
    ) -> Result<Self, Failure> {
        let address = listener.local_addr().map_err(Failure::internal)?;
        let network = Network::open(options).map_err(Failure::of)?;
        network.admin(|admin| admin.make_bot(bot, password)).map_err(Failure::of)?;
        let retained: &[UserName] = match retention {
            Retention::On | Retention::Strict => std::slice::from_ref(bot),
            Retention::Off => &[],
        };
        let strict = retention == Retention::Strict;
        let set = |admin: &mut Admin| admin.set_strict(strict).and_then(|()| admin.set_retention(retained));
        network.admin(set).map_err(Failure::temporary)?;
        Ok(Self { network, listener, address })
    }

    /// The network, for its administration.
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// Where it is.
    pub fn endpoint(&self) -> Endpoint {
        self.network.endpoint(self.address)
    }

    /// Serves it to everybody while a bot runs on it.
    pub async fn run_bot(self, options: Options, controls: Controls) -> Result<Shipped, Failure> {
        let Self { network, listener, address } = self;
        tracing::info!(network = network.network_id(), %address, "embedded network listens");
        let (stop, grace) = (controls.stop.clone(), options.shipping.grace.clone());
        let end = CancellationToken::new();
        let serving = task::spawn("network", {
            let (network, end) = (network.clone(), end.clone());
            async move { network.serve(listener, end).await }
        });
        let watching =
            task::spawn("log-ins", log_ins::watch(options.counters.refusals.clone(), options.events.clone()));
        let mut serving = std::pin::pin!(serving);
        let mut running = std::pin::pin!(bot::run(options, controls));
        let (archived, served) = tokio::select! {
            archived = &mut running => {
                end.cancel();
                let ended = tokio::time::timeout_at(grace.until(Part::Connections), &mut serving).await;
                (archived, ended.unwrap_or_else(|_| {
                    tracing::warn!("devices were cut off: their connections did not end in time");
                    Ok(Ok(()))
                }))
            }
            served = &mut serving => {
                // the bot cannot go on without its network, but what it has in hand it makes safe
                stop.cancel();
                (running.await, served)
            }
        };
        watching.abort();
        let shipped = archived.map_err(bot_failure)?;
        served.unwrap_or(Err(NetworkError::Ended("server"))).map_err(Failure::temporary)?;
        Ok(shipped)
    }
}
