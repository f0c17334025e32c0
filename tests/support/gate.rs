//! A way to the network that can fall silent without closing: what a host that vanishes looks like.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use retaind::protocol::endpoint::Endpoint;
use retaind::report::counters::Counter;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gates {
    Open,
    Deaf,
    Silent,
}

/// Ends with the test.
pub struct Gate {
    address: SocketAddr,
    state: watch::Sender<Gates>,
    /// Connections that were accepted, also while it is silent.
    pub accepted: Arc<Counter>,
    accepting: JoinHandle<()>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Gate {
    /// Leads to `target`.
    pub async fn to(target: &Endpoint) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = watch::Sender::new(Gates::Open);
        let accepted = Arc::new(Counter::default());
        let accepting = tokio::spawn({
            let (target, state, accepted) = (target.address.clone(), state.clone(), accepted.clone());
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    accepted.add(1);
                    let Ok(network) = TcpStream::connect(&target).await else { continue };
                    let (from_client, to_client) = client.into_split();
                    let (from_network, to_network) = network.into_split();
                    let swallowed = Arc::new(AtomicBool::new(false));
                    let way = |silent_in| Passing { state: state.subscribe(), silent_in, swallowed: swallowed.clone() };
                    tokio::spawn(pass(from_client, to_network, way(&[Gates::Deaf, Gates::Silent])));
                    tokio::spawn(pass(from_network, to_client, way(&[Gates::Silent])));
                }
            }
        });
        Self { address, state, accepted, accepting }
    }

    /// The same network, through the gate.
    pub fn endpoint(&self, target: &Endpoint) -> Endpoint {
        Endpoint { address: self.address.to_string(), ..target.clone() }
    }

    /// From now on the network does not hear what is said to it.
    pub fn fall_deaf(&self) {
        self.state.send_replace(Gates::Deaf);
    }

    /// From now on nothing passes, and nothing is closed.
    pub fn fall_silent(&self) {
        self.state.send_replace(Gates::Silent);
    }

    /// Lets new connections through; those that said something meanwhile are dead.
    pub fn open(&self) {
        self.state.send_replace(Gates::Open);
    }
}

/// Passes bytes on until its end falls silent: then they are swallowed for ever, as by a host that has gone.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, state: Passing) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if !state.passes() {
            // both ends stay open, and hear nothing
            state.swallowed.store(true, Ordering::SeqCst);
            return std::future::pending().await;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
    if state.swallowed.load(Ordering::SeqCst) {
        // not even that the other side has closed
        return std::future::pending().await;
    }
    // the other side has closed: so does this
    let _ = to.shutdown().await;
}

/// One direction.
struct Passing {
    state: watch::Receiver<Gates>,
    silent_in: &'static [Gates],
    /// Of the connection: something that was said on it was not passed on.
    swallowed: Arc<AtomicBool>,
}

impl Passing {
    fn passes(&self) -> bool {
        let state = *self.state.borrow();
        // a connection that was not heard does not come to life again with the gate, not even to be closed (by TLS)
        let is_dead = self.swallowed.load(Ordering::SeqCst) && state != Gates::Deaf;
        !is_dead && !self.silent_in.contains(&state)
    }
}
