//! The pages over HTTP: which request is answered with what, and what a caller may cost.
//!
//! One request a connection, within [`LIMITS`]; a body is refused with 413 (no page takes one), another method than GET and
//! HEAD with 405, another path with 404. So slow or hostile readers cost a known amount of memory. Who begins a request and
//! does not end it is ended within a second, and before that by who comes later: the newest gets in, and places are kept
//! for this host ([`retaind_http::server`]).
//!
//! `Host` is checked, with 421 if it is somebody else's: a page of the web whose name was made to lead here (DNS rebinding)
//! would otherwise read the answers in the browser of somebody who can reach the endpoint. Right are addresses, names without
//! a dot (`localhost`, a container's or a service's: nobody sells those), and the names that are configured. A request without
//! `Host` does not come from a browser.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body, Bytes};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Health, page};
use crate::limits::{HEALTH_CONNECTION_SECONDS, HEALTH_CONNECTIONS, HEALTH_FILES, HEALTH_HEAD_SECONDS, HEALTH_HOSTS};
use retaind_http::server::{self as http, Incoming, Limits, Met, Service};

/// Bytes of a request's head: the least that hyper takes, and ten times what a probe sends.
pub const HEAD_BYTES_MAX: usize = 8192;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// Connections at a time: probes, a monitor or two, and somebody who looks.
pub const CONNECTIONS_MAX: usize = HEALTH_CONNECTIONS.count();
/// How long a connection may take: as long as probes wait at most.
const CONNECTION_TIME: Duration = Duration::from_secs(HEALTH_CONNECTION_SECONDS.value);
/// How long its head may take, which is one packet.
const HEAD_TIME: Duration = Duration::from_secs(HEALTH_HEAD_SECONDS.value);
/// Of the places, those that one address may take, except on this host.
const SHARE_MAX: usize = CONNECTIONS_MAX / 2;

const LIMITS: Limits = Limits {
    head_bytes_max: HEAD_BYTES_MAX,
    headers_max: HEADERS_MAX,
    head_time: HEAD_TIME,
    requests_max: 1,
    connection_time: CONNECTION_TIME,
    connections_max: CONNECTIONS_MAX,
    share_max: SHARE_MAX,
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

    fn met(&self, limit: Met) {
        self.counters.refusals.count(match limit {
            Met::Places => &HEALTH_CONNECTIONS,
            Met::HeadTime => &HEALTH_HEAD_SECONDS,
            Met::ConnectionTime => &HEALTH_CONNECTION_SECONDS,
            Met::Descriptors => &HEALTH_FILES,
        });
    }
}

/// Is the host that was asked for this one, or at least nobody's of whom a browser could have the name?
fn is_ours(headers: &HeaderMap, names: &[String]) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => true,
        (Some(host), None) => host.to_str().is_ok_and(|host| is_our_name(host, names)),
        (Some(_), Some(_)) => false,
    }
}

fn is_our_name(host: &str, names: &[String]) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        return address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || port.starts_with(':'));
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let name = name.strip_suffix('.').unwrap_or(name);
    name.parse::<IpAddr>().is_ok()
        || !name.contains(['.', ':'])
        || names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

async fn respond(health: &Health, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if !is_ours(request.headers(), &health.names) {
        health.counters.refusals.count(&HEALTH_HOSTS);
        return error(StatusCode::MISDIRECTED_REQUEST);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_plain_names_and_configured_ones_are_ours_and_no_other() {
        let names = vec!["bot.example.org".to_owned()];
        let ours = [
            "127.0.0.1:9464",
            "10.0.0.7",
            "[::1]:9464",
            "[::1]",
            "localhost:9464",
            "bot:9464",
            "Bot.Example.org:9464",
            "bot.example.org.",
            "x",
        ];
        for host in ours {
            assert!(is_our_name(host, &names), "{host}");
        }
        for host in
            ["evil.example", "evil.example:9464", "127.0.0.1.evil.example", "[::1].evil.example", "1.2.3", "a:b:c"]
        {
            assert!(!is_our_name(host, &names), "{host}");
        }
    }

    #[test]
    fn two_hosts_are_nobodys_and_none_is_no_browser() {
        let mut headers = HeaderMap::new();
        assert!(is_ours(&headers, &[]));
        headers.append(HOST, HeaderValue::from_static("localhost"));
        assert!(is_ours(&headers, &[]));
        headers.append(HOST, HeaderValue::from_static("evil.example"));
        assert!(!is_ours(&headers, &[]));
    }
}
