//! A way to the network that breaks: each connection is reset after some bytes, in the middle of whatever passes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::net::SocketAddr;
use std::sync::Arc;

use retaind::protocol::endpoint::Endpoint;
use retaind::report::counters::Counter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::traffic::Dice;

/// Ends with the test.
pub struct Cutter {
    address: SocketAddr,
    heals: watch::Sender<bool>,
    /// Connections that were cut.
    pub cuts: Arc<Counter>,
    accepting: JoinHandle<()>,
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Cutter {
    /// Leads to `target`. Connections last for up to `bytes` of both directions together.
    pub async fn to(target: &Endpoint, seed: u64, bytes: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (heals, healed) = watch::channel(false);
        let cuts = Arc::new(Counter::default());
        let accepting = tokio::spawn({
            let (target, cuts) = (target.address.clone(), cuts.clone());
            async move {
                let mut dice = Dice(seed);
                while let Ok((client, _)) = listener.accept().await {
                    let Ok(network) = TcpStream::connect(&target).await else { continue };
                    let left = if *healed.borrow() { u64::MAX } else { 1 + dice.below(bytes) };
                    let cuts = cuts.clone();
                    tokio::spawn(async move {
                        if pass(client, network, left).await.is_none() {
                            cuts.add(1);
                        }
                    });
                }
            }
        });
        Self { address, heals, cuts, accepting }
    }

    /// The same network, through this.
    pub fn endpoint(&self, target: &Endpoint) -> Endpoint {
        Endpoint { address: self.address.to_string(), ..target.clone() }
    }

    /// From now on connections last.
    pub fn heal(&self) {
        self.heals.send_replace(true);
    }
}

/// Passes bytes on, both ways, until there were so many: then both ends are reset. `None`: cut.
async fn pass(mut client: TcpStream, mut network: TcpStream, mut left: u64) -> Option<()> {
    let (mut up, mut down) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    loop {
        let (from, to, length) = tokio::select! {
            read = client.read(&mut up) => (&up, &mut network, read.unwrap_or(0)),
            read = network.read(&mut down) => (&down, &mut client, read.unwrap_or(0)),
        };
        if length == 0 {
            return Some(());
        }
        let passes = left.min(length as u64) as usize;
        let _ = to.write_all(&from[..passes]).await;
        left -= passes as u64;
        if left == 0 {
            // closed so, it is a reset and no end
            let _ = (client.set_zero_linger(), network.set_zero_linger());
            return None;
        }
    }
}
