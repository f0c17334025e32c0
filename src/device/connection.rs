//! One TLS connection of a device to its network: requests, answers, pushes.
//!
//! A reader task parses frames: answers wake their requests, pushes go into a queue that is bounded in messages and bytes
//! ([`super::pushes`]). It has room for the whole subscribed window, so a well-behaved network never blocks the reader; one that
//! pushes more than the window is disconnected rather than allowed to fill memory. When the connection ends, all waiting
//! requests fail; it ends when either direction does.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use prost::Message;
use retaind_core::fault::{Fault, Faulty};
use retaind_task as task;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use retaind_protocol::endpoint::Endpoint;
use retaind_protocol::limits::FRAME_BYTES_MAX;
use retaind_protocol::wire::{
    Answer, ClientFrame, Hello, NetworkInfo, RefusalCode, Request, ServerFrame, WIRE_VERSION,
};

use super::limits::NETWORK_ANSWER_SECONDS;
use super::pushes::{self, NotQueued, Push, Pusher, Pushes};

/// How long a network may take to accept a connection and say who it is.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(NETWORK_ANSWER_SECONDS.value);
/// Most requests that wait for the socket.
const REQUESTS_QUEUED_MAX: usize = 256;
/// How long a connection that can no longer send still receives: what was on its way arrives.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Most pushes that wait without a subscription: notices.
const NOTICES_QUEUED_MAX: usize = 64;

/// Why a request failed, or the network refused it.
#[derive(Debug, Error)]
pub enum ConnectionError {
    /// The TCP connection failed.
    #[error("network `{address}` cannot be reached, is it running and is the address right?")]
    Unreachable {
        /// `host:port`.
        address: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// TLS failed.
    #[error(
        "network `{address}` did not prove that it is the one that was named (TLS), was its certificate replaced or the invite made by another network?"
    )]
    Tls {
        /// `host:port`.
        address: String,
        /// The error of TLS.
        #[source]
        source: std::io::Error,
    },
    /// The endpoint cannot be used.
    #[error("network endpoint is not valid: {0}")]
    Endpoint(String),
    /// The connection ended.
    #[error("connection to the network ended")]
    Closed,
    /// No answer came in time.
    #[error("network `{address}` did not answer within {seconds} s", seconds = CONNECT_TIMEOUT.as_secs())]
    Timeout {
        /// `host:port`.
        address: String,
    },
    /// The network sent a frame that does not fit here.
    #[error("network broke the protocol: {0}")]
    Protocol(&'static str),
    /// The network refused.
    #[error("network refused: {message}")]
    Refused {
        /// What a program can act on.
        code: RefusalCode,
        /// What a person can act on.
        message: String,
    },
}

impl ConnectionError {
    /// The network's refusal, if it is one.
    pub fn refusal(&self) -> Option<RefusalCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::Endpoint(_)
            | Self::Closed
            | Self::Timeout { .. }
            | Self::Protocol(_) => None,
        }
    }
}

fn went_away(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::TimedOut
    )
}

impl Faulty for ConnectionError {
    fn fault(&self) -> Fault {
        match self {
            Self::Unreachable { .. } | Self::Closed | Self::Timeout { .. } => Fault::Temporary,
            Self::Refused { code: RefusalCode::Unavailable, .. } => Fault::Temporary,
            // a network that goes away in the middle of a handshake says nothing wrong
            Self::Tls { source, .. } if went_away(source.kind()) => Fault::Temporary,
            Self::Tls { .. } | Self::Refused { .. } | Self::Endpoint(_) | Self::Protocol(_) => Fault::Configuration,
        }
    }
}

type Waiting = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>>;

/// A connection whose network has identified itself. Cheap to share by reference; ends when dropped.
pub struct Connection {
    info: NetworkInfo,
    requests: mpsc::Sender<Bytes>,
    waiting: Waiting,
    next_id: AtomicU64,
    heard: Arc<AtomicU64>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Connection {
    fn drop(&mut self) {
        // only sockets and waiting requests are released here; nothing is acknowledged or forgotten
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Connection {
    /// Connects, checks the network's certificate, sends hello. `window` = most unacknowledged pushes.
    pub async fn open(endpoint: &Endpoint, window: usize) -> Result<(Self, Pushes), ConnectionError> {
        let timeout = || ConnectionError::Timeout { address: endpoint.address.clone() };
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, connect(endpoint)).await.map_err(|_| timeout())??;
        let framed = LengthDelimitedCodec::builder().max_frame_length(FRAME_BYTES_MAX).new_framed(stream);
        let (requests, outgoing) = mpsc::channel(REQUESTS_QUEUED_MAX);
        let (pushes, pushed) = pushes::queue(window.saturating_add(NOTICES_QUEUED_MAX));
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let heard = Arc::new(AtomicU64::new(0));
        let tasks = start(framed, outgoing, pushes, waiting.clone(), heard.clone());
        let info = NetworkInfo::default();
        let mut connection = Self { info, requests, waiting, next_id: AtomicU64::new(1), heard, tasks };
        let hello = connection.call(Request::Hello(Hello { version: WIRE_VERSION }));
        let answer = tokio::time::timeout(CONNECT_TIMEOUT, hello).await.map_err(|_| timeout())??;
        let Answer::NetworkInfo(info) = answer else {
            return Err(ConnectionError::Protocol("hello was not answered by what the network is"));
        };
        connection.info = info;
        Ok((connection, pushed))
    }

    /// The network's description of itself.
    pub fn info(&self) -> &NetworkInfo {
        &self.info
    }

    /// Number of frames received so far, answers and pushes: a sign of life.
    pub fn frames_heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// Ends it at once, for all who share it: waiting requests fail. For a connection
    /// whose other end has vanished, on which they would wait for ever.
    pub fn close(&self) {
        for task in &self.tasks {
            task.abort();
        }
        // dropping the senders wakes all waiting requests
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Sends a request and waits for the answer. A refusal is an error.
    pub async fn call(&self, request: Request) -> Result<Answer, ConnectionError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        match self.waiting.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(waiting) => waiting.insert(id, sender),
            None => return Err(ConnectionError::Closed),
        };
        let frame = ClientFrame { id, request: Some(request) }.encode_to_vec();
        if frame.len() > FRAME_BYTES_MAX {
            return Err(ConnectionError::Refused {
                code: RefusalCode::Limit,
                message: format!("request of {} bytes is larger than a frame may be ({FRAME_BYTES_MAX})", frame.len()),
            });
        }
        self.requests.send(frame.into()).await.map_err(|_| ConnectionError::Closed)?;
        let answer = answer.await.map_err(|_| ConnectionError::Closed)?;
        if let Answer::Refused(refused) = answer {
            return Err(ConnectionError::Refused {
                code: RefusalCode::try_from(refused.code).unwrap_or(RefusalCode::Unspecified),
                message: refused.message,
            });
        }
        Ok(answer)
    }

    /// Sends a request that is answered by [`Done`](retaind_protocol::wire::Done).
    pub async fn call_done(&self, request: Request) -> Result<(), ConnectionError> {
        let Answer::Done(_) = self.call(request).await? else {
            return Err(ConnectionError::Protocol("answer is not `done`"));
        };
        Ok(())
    }
}

async fn connect(endpoint: &Endpoint) -> Result<TlsStream<TcpStream>, ConnectionError> {
    let mut roots = RootCertStore::empty();
    for authority in endpoint.authorities() {
        roots
            .add(CertificateDer::from(authority.to_vec()))
            .map_err(|error| ConnectionError::Endpoint(format!("certificate of the network's authority: {error}")))?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| ConnectionError::Endpoint(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(endpoint.server_name.clone())
        .map_err(|_| ConnectionError::Endpoint(format!("`{}` is not a server name", endpoint.server_name)))?;
    let address = endpoint.address.clone();
    let tcp = TcpStream::connect(&endpoint.address)
        .await
        .map_err(|source| ConnectionError::Unreachable { address: address.clone(), source })?;
    tcp.set_nodelay(true).map_err(|source| ConnectionError::Unreachable { address: address.clone(), source })?;
    TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .map_err(|source| ConnectionError::Tls { address, source })
}

fn start(
    framed: Framed<impl AsyncRead + AsyncWrite + Send + 'static, LengthDelimitedCodec>,
    mut outgoing: mpsc::Receiver<Bytes>,
    pushes: Pusher,
    waiting: Waiting,
    heard: Arc<AtomicU64>,
) -> [JoinHandle<()>; 2] {
    let (mut sink, mut stream) = framed.split();
    let (broken, mut last_words) = watch::channel(());
    let writer = task::spawn("connection writer", async move {
        // dropped when nothing can be sent any more
        let _broken = broken;
        while let Some(frame) = outgoing.recv().await {
            if sink.feed(frame).await.is_err() {
                return;
            }
            // sends what else is ready along with it
            while let Ok(frame) = outgoing.try_recv() {
                if sink.feed(frame).await.is_err() {
                    return;
                }
            }
            if sink.flush().await.is_err() {
                return;
            }
        }
    });
    let reader = task::spawn("connection reader", async move {
        let mut over = std::pin::pin!(async move {
            while last_words.changed().await.is_ok() {}
            tokio::time::sleep(LAST_WORDS).await;
        });
        loop {
            let bytes = tokio::select! {
                read = stream.next() => match read {
                    Some(Ok(bytes)) => bytes,
                    Some(Err(_)) | None => break,
                },
                // requests would wait for an answer to what was never sent, and acknowledgements for ever
                () = &mut over => break,
            };
            heard.fetch_add(1, Ordering::Relaxed);
            let Ok(ServerFrame { id, answer: Some(answer) }) = ServerFrame::read(&bytes) else { break };
            let pushed = match (id, answer) {
                (0, Answer::Delivery(delivery)) => pushes.push(Push::Delivery(delivery)),
                (0, Answer::Notice(notice)) => pushes.push(Push::Notice(notice)),
                (0, _) => break,
                (id, answer) => {
                    let asked = waiting
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .as_mut()
                        .and_then(|waiting| waiting.remove(&id));
                    // the caller may have stopped waiting
                    if let Some(asked) = asked {
                        drop(asked.send(answer));
                    }
                    Ok(())
                }
            };
            match pushed {
                Ok(()) => {}
                // what is not taken is not acknowledged: it comes again. Answers are still read, the last ones too
                Err(NotQueued::Closed) => {}
                Err(NotQueued::Full) => {
                    tracing::warn!("network pushed more than the window: connection is closed");
                    break;
                }
            }
        }
        // dropping the senders wakes all waiting requests
        waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    });
    [writer, reader]
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;

    use super::*;

    /// Nothing can be said, and nothing is heard: not even that it has ended.
    struct Deaf;

    impl AsyncRead for Deaf {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Deaf {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(ErrorKind::TimedOut.into()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(ErrorKind::TimedOut.into()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_on_which_nothing_can_be_said_ends_for_all_who_wait_on_it() {
        let (requests, outgoing) = mpsc::channel(REQUESTS_QUEUED_MAX);
        let (pushes, mut pushed) = pushes::queue(1);
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let heard = Arc::new(AtomicU64::new(0));
        let framed = LengthDelimitedCodec::builder().new_framed(Deaf);
        let tasks = start(framed, outgoing, pushes, waiting.clone(), heard.clone());
        let connection =
            Connection { info: NetworkInfo::default(), requests, waiting, next_id: AtomicU64::new(1), heard, tasks };
        let asked = connection.call(Request::Hello(Hello { version: WIRE_VERSION }));
        let answered = tokio::time::timeout(Duration::from_secs(60), asked).await.unwrap();
        assert!(matches!(answered, Err(ConnectionError::Closed)), "{answered:?}");
        assert!(pushed.recv().await.is_none(), "whoever receives finds the end as well");
    }
}
