//! The HTTP server behind the pages: small, bounded, and deaf to everything else.
//!
//! One request a connection. A head larger than [`HEAD_BYTES_MAX`] is refused with 431, a body with 413 (no page takes
//! one), another method than GET and HEAD with 405, another path with 404. A connection that has taken
//! [`CONNECTION_TIME`] is closed, whatever it waits for; at most [`CONNECTIONS_MAX`] are open, further ones wait in the
//! system's queue. So slow or hostile readers cost a known amount of memory, and the honest ones a few seconds.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener as Listener;
use tokio::sync::Semaphore;

use super::{Health, page};

/// Bytes of a request's head: the least that hyper takes, and ten times what a probe sends.
pub const HEAD_BYTES_MAX: usize = 8192;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// Connections at a time: probes, a monitor or two, and somebody who looks.
pub const CONNECTIONS_MAX: usize = 16;
/// How long a connection may take: as long as probes wait at most.
const CONNECTION_TIME: Duration = Duration::from_secs(5);
/// Pause after a connection that could not be accepted: what is missing (descriptors) does not come back at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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

    /// Answers for ever. Errors: the runtime cannot listen on it.
    pub async fn serve(self, health: Health) -> io::Result<Infallible> {
        let listener = Listener::from_std(self.listener)?;
        let health = Arc::new(health);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { continue };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection to the health endpoint could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let health = health.clone();
            tokio::spawn(async move {
                converse(health, stream).await;
                drop(place);
            });
        }
    }
}

/// One connection, to its end.
pub async fn converse(health: Arc<Health>, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(move |request| answer(health.clone(), request));
    let connection = http1::Builder::new()
        .keep_alive(false)
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // who breaks off, or is too slow, has chosen to
    let _ = tokio::time::timeout(CONNECTION_TIME, connection).await;
}

async fn answer(health: Arc<Health>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(respond(&health, &request).await)
}

async fn respond(health: &Health, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !["/livez", "/readyz", "/metrics"].contains(&path) {
        return error(StatusCode::NOT_FOUND);
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = error(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    if !request.body().is_end_stream() {
        return error(StatusCode::PAYLOAD_TOO_LARGE);
    }
    match path {
        "/livez" => {
            let (works, text) = page::live(health.alive());
            response(status(works), page::JSON, text)
        }
        "/readyz" => {
            let (ready, text) = page::ready(&health.read().await);
            response(status(ready), page::JSON, text)
        }
        _ => {
            let text = page::metrics(&health.read().await, &health.counters);
            response(StatusCode::OK, page::OPENMETRICS, text)
        }
    }
}

fn status(well: bool) -> StatusCode {
    if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn error(status: StatusCode) -> Response<Full<Bytes>> {
    let text = status.canonical_reason().unwrap_or_default().to_lowercase();
    response(status, page::JSON, format!("{{\"error\":\"{text}\"}}\n"))
}

fn response(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // a page is of its moment
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
