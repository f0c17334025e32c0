//! The server: takes connections, gives each its share of memory and time, and hands its requests to a [`Service`].
//!
//! A head that is larger than [`Limits::head_bytes_max`] or has more than [`Limits::headers_max`] headers is refused with
//! 431; one that takes [`Limits::head_time`] ends the connection, and so does whatever else takes [`Limits::connection_time`].
//! A connection has [`Limits::requests_max`] requests. [`Limits::connections_max`] may be open before their first head has
//! come and as many after it, with a share for each address; as many more are kept for callers of this host (loopback). A new
//! caller always gets in: the oldest goes ([`Places`]). So slow or hostile callers cost a known amount of memory, and those who
//! begin a request and do not end it keep nobody out who does.
//!
//! A body is read only if the service asks for it, with a limit of its own ([`body`]). TLS is a handshake before the first
//! request ([`Server::serve_after`]): it happens in the connection's place and time.
//!
//! A service that panics ends its connection and nothing else.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use retaind_core::places::{Neighbourhood, Places};
use retaind_task as task;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener as Listener, TcpStream};
use tokio::task::AbortHandle;

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
    /// Connections at a time that have not sent a head; as many that have; and twice as many more of this host.
    pub connections_max: usize,
    /// Of each of these, for one IPv4 address or IPv6 /64.
    pub share_max: usize,
}

/// A limit that a caller has met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// The oldest connection was ended for a new one.
    Places,
    /// A head did not come to its end in time.
    HeadTime,
    /// A connection took too long.
    ConnectionTime,
    /// The process could not take a connection: it has no descriptors left.
    Descriptors,
}

/// Answers requests.
pub trait Service: Send + Sync + 'static {
    /// To one request. Its head is within the limits, its body is not read yet.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Full<Bytes>>> + Send;

    /// A caller has met a limit. For counting: nothing of a caller is a line of the log.
    fn met(&self, _limit: Met) {}
}

/// The connections that are open.
struct Guests {
    here: Room,
    elsewhere: Room,
    open: HashMap<u64, AbortHandle>,
    next: u64,
}

struct Room {
    before_a_head: Seats,
    with_a_head: Seats,
}

/// Places, and whose they are.
struct Seats {
    places: Places,
    guests: HashMap<u64, u64>,
}

impl Seats {
    fn new(limits: Limits) -> Self {
        Self { places: Places::new(limits.connections_max, limits.share_max), guests: HashMap::new() }
    }

    /// Its place, and the guest that has to go for it.
    fn take(&mut self, of: Neighbourhood, guest: u64) -> (u64, Option<u64>) {
        let (place, gone) = self.places.take(of);
        self.guests.insert(place, guest);
        (place, gone.and_then(|(place, _)| self.guests.remove(&place)))
    }

    fn leave(&mut self, place: u64) {
        self.places.leave(place);
        self.guests.remove(&place);
    }
}

impl Guests {
    fn new(limits: Limits) -> Arc<Mutex<Self>> {
        let room = || Room { before_a_head: Seats::new(limits), with_a_head: Seats::new(limits) };
        Arc::new(Mutex::new(Self { here: room(), elsewhere: room(), open: HashMap::new(), next: 0 }))
    }

    fn room(&mut self, address: IpAddr) -> &mut Room {
        if address.to_canonical().is_loopback() { &mut self.here } else { &mut self.elsewhere }
    }

    fn end(&mut self, guest: Option<u64>, service: &impl Service) {
        if let Some(task) = guest.and_then(|guest| self.open.remove(&guest)) {
            task.abort();
            service.met(Met::Places);
        }
    }
}

fn lock(guests: &Mutex<Guests>) -> MutexGuard<'_, Guests> {
    guests.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection's place.
struct Guest {
    guests: Arc<Mutex<Guests>>,
    address: IpAddr,
    number: u64,
    place: u64,
    sent_a_head: bool,
}

impl Guest {
    /// It has sent a head: those who have not cannot push it out any more.
    fn sent_a_head(&mut self, service: &impl Service) {
        if std::mem::replace(&mut self.sent_a_head, true) {
            return;
        }
        let mut guests = lock(&self.guests);
        let room = guests.room(self.address);
        room.before_a_head.leave(self.place);
        let (place, gone) = room.with_a_head.take(self.address.into(), self.number);
        self.place = place;
        guests.end(gone, service);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut guests = lock(&self.guests);
        let room = guests.room(self.address);
        let seats = if self.sent_a_head { &mut room.with_a_head } else { &mut room.before_a_head };
        seats.leave(self.place);
        guests.open.remove(&self.number);
    }
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
        let guests = Guests::new(limits);
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::debug!(%error, "a connection to the {name} could not be accepted");
                    service.met(Met::Descriptors);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let shaking = handshake(stream);
            let mut open = lock(&guests);
            open.next = open.next.wrapping_add(1);
            let number = open.next;
            let (place, gone) = open.room(peer.ip()).before_a_head.take(peer.ip().into(), number);
            open.end(gone, &*service);
            let guest = Guest { guests: guests.clone(), address: peer.ip(), number, place, sent_a_head: false };
            // started while the guests are locked: it cannot leave before it is among them
            let task = task::spawn(name, talk(service.clone(), limits, shaking, guest));
            open.open.insert(number, task.abort_handle());
        }
    }
}

/// One connection in its place and time.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    service: Arc<impl Service>,
    limits: Limits,
    shaking: impl Future<Output = io::Result<S>>,
    guest: Guest,
) {
    let guest = Mutex::new(guest);
    let conversation = async {
        // a caller that cannot shake hands knows it
        if let Ok(stream) = shaking.await {
            let sent_a_head = || guest.lock().unwrap_or_else(PoisonError::into_inner).sent_a_head(&*service);
            requests(service.clone(), limits, stream, sent_a_head).await;
        }
    };
    // a caller that is too slow has chosen to be
    if tokio::time::timeout(limits.connection_time, conversation).await.is_err() {
        service.met(Met::ConnectionTime);
    }
}

/// One connection whose handshake is done, to its end.
pub async fn converse(service: Arc<impl Service>, limits: Limits, stream: impl AsyncRead + AsyncWrite + Unpin) {
    // a caller that is too slow has chosen to be
    tokio::time::timeout(limits.connection_time, requests(service, limits, stream, || ())).await.ok();
}

async fn requests(
    service: Arc<impl Service>,
    limits: Limits,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    sent_a_head: impl Fn(),
) {
    let left = AtomicUsize::new(limits.requests_max);
    let answered = service_fn(|request| {
        let is_last = left.fetch_sub(1, Ordering::Relaxed) <= 1;
        sent_a_head();
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
    if connection.await.is_err_and(|error| error.is_timeout()) {
        service.met(Met::HeadTime);
    }
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
