//! The server: takes connections, gives each its share of memory and time, and hands its requests to a [`Service`].
//!
//! A head that is larger than [`Limits::head_bytes_max`] or has more than [`Limits::headers_max`] headers is refused with
//! 431; one that takes [`Limits::head_time`] ends the connection, and so does whatever else takes [`Limits::connection_time`].
//! A connection has [`Limits::requests_max`] requests. At most [`Limits::connections_max`] are open, further ones wait in the
//! system's queue, so slow or hostile callers cost a known amount of memory, and the honest ones some time.
//!
//! A body is read only if the service asks for it, with a limit of its own ([`body`]). TLS is a handshake before the first
//! request ([`Server::serve_after`]): it happens in the connection's place and time.
//!
//! A service that panics ends its connection and nothing else.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use retaind_task as task;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener as Listener, TcpStream};
use tokio::sync::Semaphore;

pub use hyper::body::Incoming;

/// Pause after a connection that could not be accepted: what is missing (descriptors) does not come back at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a connection may cost, and how many there may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a request's head; 8192 is the least that hyper takes.
    pub head_bytes_max: usize,
    /// Headers of a request.
    pub headers_max: usize,
    /// From the connection, or the end of an answer, to the end of the next request's head.
    pub head_time: Duration,
    /// Requests of one connection.
    pub requests_max: usize,
    /// From the connection to its end: handshake, requests and answers.
    pub connection_time: Duration,
    /// Connections at a time.
    pub connections_max: usize,
}

/// Answers requests.
pub trait Service: Send + Sync + 'static {
    /// To one request. Its head is within the limits, its body is not read yet.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Full<Bytes>>> + Send;
}

/// An address that is taken, and not answered yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Takes the address.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The address, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers for ever, on connections that are unencrypted. `name` is what the log calls it. Errors: the runtime cannot
    /// listen on it.
    pub async fn serve(self, name: &'static str, limits: Limits, service: Arc<impl Service>) -> io::Result<Infallible> {
        self.serve_after(|tcp| std::future::ready(Ok(tcp)), name, limits, service).await
    }

    /// The same, after a handshake: a connection whose handshake fails is closed.
    pub(crate) async fn serve_after<S, F>(
        self,
        handshake: impl Fn(TcpStream) -> F,
        name: &'static str,
        limits: Limits,
        service: Arc<impl Service>,
    ) -> io::Result<Infallible>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
    {
        let listener = Listener::from_std(self.listener)?;
        let places = Arc::new(Semaphore::new(limits.connections_max));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { continue };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection to the {name} could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (service, shaking) = (service.clone(), handshake(stream));
            task::spawn(name, async move {
                let conversation = async {
                    // a caller that cannot shake hands knows it
                    if let Ok(stream) = shaking.await {
                        requests(service, limits, stream).await;
                    }
                };
                // a caller that is too slow has chosen to be
                tokio::time::timeout(limits.connection_time, conversation).await.ok();
                drop(place);
            });
        }
    }
}

/// One connection whose handshake is done, to its end.
pub async fn converse(service: Arc<impl Service>, limits: Limits, stream: impl AsyncRead + AsyncWrite + Unpin) {
    // a caller that is too slow has chosen to be
    tokio::time::timeout(limits.connection_time, requests(service, limits, stream)).await.ok();
}

async fn requests(service: Arc<impl Service>, limits: Limits, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let left = AtomicUsize::new(limits.requests_max);
    let answered = service_fn(|request| {
        let is_last = left.fetch_sub(1, Ordering::Relaxed) <= 1;
        let service = service.clone();
        async move {
            let mut response = service.answer(request).await;
            if is_last {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .keep_alive(limits.requests_max > 1)
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(limits.head_bytes_max)
        .max_headers(limits.headers_max)
        .serve_connection(TokioIo::new(stream), answered);
    // a caller that breaks off has chosen to
    connection.await.ok();
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BodyError {
    /// It is longer: 413.
    #[error("the body is longer than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// It did not come to its end: nobody waits for an answer.
    #[error("the body broke off")]
    Broken,
}

/// Reads a body of at most so many bytes. One that says beforehand that it is longer is not read.
pub async fn body(body: Incoming, bytes_max: usize) -> Result<Bytes, BodyError> {
    let least = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if least > bytes_max {
        return Err(BodyError::TooLarge { bytes_max });
    }
    match Limited::new(body, bytes_max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge { bytes_max }),
        Err(_) => Err(BodyError::Broken),
    }
}
