//! The pages over HTTP: which request is answered with what, and what a caller may cost.
//!
//! One request a connection, within [`LIMITS`]; a body is refused with 413 (no page takes one), another method than GET and
//! HEAD with 405, another path with 404. So slow or hostile readers cost a known amount of memory, and the honest ones a few
//! seconds.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body, Bytes};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Health, page};
use retaind_http::server::{self as http, Incoming, Limits, Service};

/// Bytes of a request's head: the least that hyper takes, and ten times what a probe sends.
pub const HEAD_BYTES_MAX: usize = 8192;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// Connections at a time: probes, a monitor or two, and somebody who looks.
pub const CONNECTIONS_MAX: usize = 16;
/// How long a connection may take, its head among the rest: as long as probes wait at most.
const CONNECTION_TIME: Duration = Duration::from_secs(5);

const LIMITS: Limits = Limits {
    head_bytes_max: HEAD_BYTES_MAX,
    headers_max: HEADERS_MAX,
    head_time: CONNECTION_TIME,
    requests_max: 1,
    connection_time: CONNECTION_TIME,
    connections_max: CONNECTIONS_MAX,
};

/// An address that is taken, and not answered yet.
#[derive(Debug)]
pub struct Server(http::Server);

impl Server {
    /// Takes the address.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        http::Server::bind(address).map(Self)
    }

    /// The address, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Answers for ever. Errors: the runtime cannot listen on it.
    pub async fn serve(self, health: Health) -> io::Result<Infallible> {
        self.0.serve("health endpoint", LIMITS, Arc::new(health)).await
    }
}

/// One connection, to its end.
pub async fn converse(health: Arc<Health>, stream: impl AsyncRead + AsyncWrite + Unpin) {
    http::converse(health, LIMITS, stream).await;
}

impl Service for Health {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        respond(self, &request).await
    }
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
