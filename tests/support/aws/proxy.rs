//! Between the bot and the stand-in: spoils what passes as a test tells it, checks what AWS checks, and writes down what came.
//!
//! A request's body is spooled (in a file when it is large) and checked before anything of it goes on, so that what is
//! refused was not carried out. The head goes on as it came, so signatures stay right. The proxy has a thread of its own: a
//! test may block.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::{request, response};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::checksum::{Checks, Demand, Refusal};
use super::fault::{self, Fault, On, Times, Trouble};
use super::request::Asked;
use super::spool::Spool;

/// At a time; others wait.
const CONNECTIONS_MAX: usize = 128;
/// Requests of a test; the next ones are refused.
const REQUESTS_MAX: usize = 100_000;
/// Of a body: what S3 takes at once.
const BODY_BYTES_MAX: u64 = 5 << 30;
/// Of a form, which has to be read before it is known what it asks.
const FORM_BYTES_MAX: usize = 1 << 20;
/// Of an answer that is read to its end before the connection is reset.
const LOST_ANSWER_BYTES_MAX: usize = 256 << 20;

type Failure = Box<dyn std::error::Error + Send + Sync>;
pub(super) type Body = UnsyncBoxBody<Bytes, Failure>;

/// A request that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What was asked.
    pub asked: Asked,
    /// Status of the answer; `None` while there is none, or if there never was.
    pub status: Option<u16>,
    /// Did a fault meet it?
    pub spoiled: Option<Fault>,
    /// Did a checksum not fit its body?
    pub mismatch: bool,
    /// Length of the body as it travelled.
    pub bytes: u64,
    /// Headers, without the signature.
    pub headers: HeaderMap,
}

/// A running proxy. Ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

struct State {
    upstream: String,
    troubles: Mutex<Vec<Trouble>>,
    demand: Mutex<Demand>,
    seen: watch::Sender<Vec<Seen>>,
    connections: Arc<Semaphore>,
}

impl Proxy {
    /// In front of `upstream`: `127.0.0.1:PORT`.
    pub fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            upstream: upstream.to_owned(),
            troubles: Mutex::default(),
            demand: Mutex::new(Demand::Locks),
            seen: watch::Sender::new(Vec::new()),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        });
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let thread = std::thread::spawn({
            let (state, stop) = (state.clone(), stop.clone());
            move || {
                // what still runs when this ends is dropped with the runtime
                runtime.block_on(async { stop.run_until_cancelled(listen(listener, state)).await });
            }
        });
        Self { address, state, stop, thread: Some(thread) }
    }

    /// `http://127.0.0.1:PORT`, for `AWS_ENDPOINT_URL` and `Access::through`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on these requests fail so. Where several troubles meet a request, the oldest strikes.
    pub fn trouble(&self, on: On, times: Times, fault: Fault) -> Trouble {
        let trouble = Trouble::new(on, times, fault);
        self.state.troubles.lock().unwrap().push(trouble.clone());
        trouble
    }

    /// From now on every object and part needs a checksum.
    pub fn demand_checksums(&self) {
        *self.state.demand.lock().unwrap() = Demand::Always;
    }

    /// All requests in the order in which they came.
    pub fn requests(&self) -> Vec<Seen> {
        self.state.seen.borrow().clone()
    }

    /// How many of an operation came, whatever became of them.
    pub fn count(&self, operation: &str) -> usize {
        self.state.seen.borrow().iter().filter(|seen| seen.asked.operation == operation).count()
    }

    /// How many requests had a checksum that did not fit.
    pub fn mismatches(&self) -> usize {
        self.state.seen.borrow().iter().filter(|seen| seen.mismatch).count()
    }

    /// Waits until the requests are as wanted.
    pub async fn until(&self, wanted: impl FnMut(&Vec<Seen>) -> bool) {
        self.state.seen.subscribe().wait_for(wanted).await.unwrap();
    }

    /// Waits until an operation has been answered with success this often.
    pub async fn succeeded(&self, operation: &str, times: usize) {
        let is = |seen: &&Seen| seen.asked.operation == operation && seen.status.is_some_and(|s| s < 300);
        self.until(|all| all.iter().filter(is).count() >= times).await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.cancel();
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.unwrap().expect("the proxy's thread");
        }
    }
}

async fn listen(listener: TcpListener, state: Arc<State>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let permit = state.connections.clone().acquire_owned().await.unwrap();
        // a client that has gone again
        let Ok((stream, _)) = listener.accept().await else { continue };
        let state = state.clone();
        tokio::spawn(async move {
            connection(state, stream).await;
            drop(permit);
        });
    }
}

async fn connection(state: Arc<State>, stream: TcpStream) {
    type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;
    let reset = CancellationToken::new();
    let service = service_fn(|request: Request<Incoming>| -> Answering {
        let (state, reset) = (state.clone(), reset.clone());
        Box::pin(async move {
            match serve(&state, request).await {
                Some(answer) => Ok(answer),
                None => {
                    reset.cancel();
                    std::future::pending().await
                }
            }
        })
    });
    let mut connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // an error is a client that went away
        _ = &mut connection => {}
        () = reset.cancelled() => {
            // closed so, it is a reset and no end
            let _ = connection.into_parts().io.into_inner().set_zero_linger();
        }
    }
}

/// Writes down what becomes of one request.
struct Entry<'a> {
    state: &'a State,
    index: usize,
}

impl Entry<'_> {
    fn note(&self, change: impl FnOnce(&mut Seen)) {
        self.state.seen.send_modify(|all| change(&mut all[self.index]));
    }
}

/// `None`: no answer, reset the connection.
async fn serve(state: &State, request: Request<Incoming>) -> Option<Response<Body>> {
    let (head, mut body) = request.into_parts();
    let mut spool = Spool::default();
    let is_form = head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().ends_with(b"urlencoded"));
    let mut form = None;
    if is_form {
        let bytes = Limited::new(&mut body, FORM_BYTES_MAX).collect().await.ok()?.to_bytes();
        form = String::from_utf8(bytes.to_vec()).ok();
        spool.push(&bytes);
    }
    let asked = Asked::of(&head, form.as_deref());
    let entry = state.enter(&asked, &head.headers)?;
    let trouble = state.strike(&asked);
    let fault = trouble.as_ref().map(Trouble::fault);
    entry.note(|seen| seen.spoiled = fault);
    let mut checks = Checks::of(&asked, &head.headers, *state.demand.lock().unwrap());
    if let Ok(checks) = &mut checks
        && let Err(refusal) = checks.update(form.as_deref().unwrap_or_default().as_bytes())
    {
        return Some(refused(&entry, &asked, &refusal));
    }
    let length: u64 = head.headers.get(header::CONTENT_LENGTH).map_or(0, |l| l.to_str().unwrap().parse().unwrap());
    let stop_at = match fault {
        Some(Fault::ResetInBody) => length / 2,
        Some(Fault::Stall(after)) => after,
        _ => u64::MAX,
    };
    let mut told = false;
    loop {
        if spool.len() >= stop_at && !told {
            told = true;
            let trouble = trouble.as_ref().unwrap();
            trouble.strike();
            if fault == Some(Fault::ResetInBody) {
                return None;
            }
            trouble.over().await;
        }
        let Some(frame) = body.frame().await else { break };
        // the client went away: nobody is left to answer
        let Ok(bytes) = frame.ok()?.into_data() else { continue };
        spool.push(&bytes);
        entry.note(|seen| seen.bytes = spool.len());
        if spool.len() > BODY_BYTES_MAX {
            let refusal = Refusal { code: "EntityTooLarge", message: format!("more than {BODY_BYTES_MAX} bytes") };
            return Some(refused(&entry, &asked, &refusal));
        }
        if let Ok(running) = &mut checks
            && let Err(refusal) = running.update(&bytes)
        {
            checks = Err(refusal);
        }
    }
    if let Err(refusal) = checks.and_then(Checks::finish) {
        return Some(refused(&entry, &asked, &refusal));
    }
    if let (Some(fault), Some(trouble), false) = (fault, &trouble, told) {
        trouble.strike();
        if let Some((status, code)) = fault::words(fault, &asked) {
            let (mut parts, body) = fault::error(asked.style, status, code, "as the test has ordered");
            if let Fault::OtherRegion(region) = fault {
                parts.headers.insert("x-amz-bucket-region", HeaderValue::from_static(region));
            }
            return Some(answered(&entry, parts, full(body)));
        }
        if fault == Fault::Hang {
            trouble.over().await;
        }
    }
    let (parts, body) = match forward(&state.upstream, head, spool).await {
        Ok(answer) => answer.into_parts(),
        Err(error) => {
            eprintln!("the stand-in gave no answer to {}: {error}", asked.operation);
            return None;
        }
    };
    if fault == Some(Fault::LoseAnswer) {
        Limited::new(body, LOST_ANSWER_BYTES_MAX).collect().await.expect("an answer that can be read to its end");
        return None;
    }
    Some(answered(&entry, parts, body.map_err(Failure::from).boxed_unsync()))
}

impl State {
    /// `None` when there were too many.
    fn enter(&self, asked: &Asked, headers: &HeaderMap) -> Option<Entry<'_>> {
        let mut headers = headers.clone();
        headers.remove(header::AUTHORIZATION);
        let seen = Seen { asked: asked.clone(), status: None, spoiled: None, mismatch: false, bytes: 0, headers };
        let mut index = 0;
        self.seen.send_modify(|all| {
            index = all.len();
            if index < REQUESTS_MAX {
                all.push(seen);
            }
        });
        (index < REQUESTS_MAX).then_some(Entry { state: self, index })
    }

    /// Every trouble counts the request, the first that wants it has it.
    fn strike(&self, asked: &Asked) -> Option<Trouble> {
        let troubles = self.troubles.lock().unwrap();
        let striking: Vec<&Trouble> = troubles.iter().filter(|trouble| trouble.strikes_at(asked)).collect();
        striking.first().copied().cloned()
    }
}

fn refused(entry: &Entry<'_>, asked: &Asked, refusal: &Refusal) -> Response<Body> {
    let mismatch = matches!(refusal.code, "BadDigest" | "XAmzContentSHA256Mismatch");
    entry.note(|seen| seen.mismatch = mismatch);
    let (parts, body) = fault::error(asked.style, 400, refusal.code, &refusal.message);
    answered(entry, parts, full(body))
}

fn answered(entry: &Entry<'_>, mut parts: response::Parts, body: Body) -> Response<Body> {
    // of the connection to the stand-in
    parts.headers.remove(header::CONNECTION);
    entry.note(|seen| seen.status = Some(parts.status.as_u16()));
    Response::from_parts(parts, body)
}

async fn forward(upstream: &str, mut head: request::Parts, spool: Spool) -> Result<Response<Incoming>, Failure> {
    let stream = TcpStream::connect(upstream).await?;
    let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // it ends with the answer's body
    tokio::spawn(connection);
    for name in [header::CONNECTION, header::EXPECT, header::TRANSFER_ENCODING] {
        head.headers.remove(name);
    }
    head.headers.insert(header::CONTENT_LENGTH, spool.len().into());
    Ok(send.send_request(Request::from_parts(head, spool.into_body())).await?)
}

fn full(bytes: Vec<u8>) -> Body {
    Full::new(Bytes::from(bytes)).map_err(|never: Infallible| match never {}).boxed_unsync()
}
