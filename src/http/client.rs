//! The client: one GET, with its redirects, on connections of its own.
//!
//! Everything that comes back is a stranger's: its head, its body, its time and its redirects have [`Limits`], and each
//! address that it leads to goes through the caller's [`Rules`] before it is asked. Plain HTTP goes to this host and nowhere
//! else, unless the rules name an address: a name that leads elsewhere is not asked unencrypted.
//!
//! TLS has the system's roots, which are loaded when the first request needs them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
pub use hyper::Uri;
use hyper::body::Bytes;
use hyper::client::conn::http1;
pub use hyper::header::HeaderMap;
use hyper::header::{ACCEPT, HOST, LOCATION, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use retaind_task as task;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// What an answer may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of an answer's head.
    pub head_bytes_max: usize,
    /// Headers of an answer.
    pub headers_max: usize,
    /// One request, from the look-up of the name to the last byte; each redirect has it again.
    pub request_time: Duration,
    /// Redirects of one request.
    pub redirects_max: usize,
}

/// What the caller knows of the addresses that it asks.
pub trait Rules {
    /// May this be asked? Looked at before each request, those that redirects lead to among them.
    fn permits(&self, uri: &Uri) -> bool;
    /// Headers of its own for this request: a credential goes only to whom it is for.
    fn headers(&self, uri: &Uri) -> HeaderMap;
    /// May plain HTTP go to this address?
    fn permits_plain(&self, address: IpAddr) -> bool {
        address.is_loopback()
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClientError {
    /// No connection: the system's words, or TLS's.
    #[error("not reached: {0}")]
    Unreachable(String),
    /// It takes longer than [`Limits::request_time`].
    #[error("no answer in time")]
    Slow,
    /// What comes is no answer, or more than the limits permit.
    #[error("not an answer: {0}")]
    Answer(&'static str),
    /// It leads to an address that the rules do not permit, or that is none.
    #[error("an address that is not asked")]
    Astray,
}

/// An answer. Its status may be any but that of a redirect.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, whole.
    pub body: Vec<u8>,
}

/// A client with its limits; it opens a connection for each request.
pub struct Client {
    limits: Limits,
    /// Media types that the caller understands, as `Accept` has them.
    accept: &'static str,
    /// Made when it is needed.
    tls: Option<TlsConnector>,
}

impl Client {
    /// With these limits.
    pub fn new(limits: Limits, accept: &'static str) -> Self {
        Self { limits, accept, tls: None }
    }

    /// One GET, with its redirects; a body of at most so many bytes.
    pub async fn get(&mut self, uri: &Uri, rules: &impl Rules, body_bytes_max: usize) -> Result<Answer, ClientError> {
        let mut uri = uri.clone();
        for _ in 0..=self.limits.redirects_max {
            if !rules.permits(&uri) {
                return Err(ClientError::Astray);
            }
            let exchange = tokio::time::timeout(self.limits.request_time, self.exchange(&uri, rules, body_bytes_max));
            let answer = exchange.await.map_err(|_| ClientError::Slow)??;
            match answer.status.as_u16() {
                301 | 302 | 303 | 307 | 308 => {}
                _ => return Ok(answer),
            }
            let target = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
            uri = resolve(&uri, target.ok_or(ClientError::Answer("a redirect to nowhere"))?)?;
        }
        Err(ClientError::Answer("too many redirects"))
    }

    /// One request on a connection of its own.
    async fn exchange(&mut self, uri: &Uri, rules: &impl Rules, body_bytes_max: usize) -> Result<Answer, ClientError> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let addresses = tokio::net::lookup_host((host.as_str(), port)).await.map_err(unreachable)?;
        let addresses: Vec<_> = addresses.filter(|address| secure || rules.permits_plain(address.ip())).collect();
        let stream = TcpStream::connect(addresses.as_slice()).await.map_err(unreachable)?;
        let request = self.request(uri, rules)?;
        if !secure {
            return self.send(stream, request, body_bytes_max).await;
        }
        let name = ServerName::try_from(host).map_err(|_| ClientError::Astray)?;
        let tls = self.tls().await?;
        let stream = tls.connect(name, stream).await.map_err(unreachable)?;
        self.send(stream, request, body_bytes_max).await
    }

    fn request(&self, uri: &Uri, rules: &impl Rules) -> Result<Request<Empty<Bytes>>, ClientError> {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let mut request = Request::get(target)
            .header(HOST, authority)
            .header(USER_AGENT, concat!("retaind/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, self.accept)
            .body(Empty::new())
            .map_err(|_| ClientError::Astray)?;
        request.headers_mut().extend(rules.headers(uri));
        Ok(request)
    }

    async fn send(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: Request<Empty<Bytes>>,
        body_bytes_max: usize,
    ) -> Result<Answer, ClientError> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(self.limits.head_bytes_max).max_headers(self.limits.headers_max);
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(unreachable)?;
        let exchange = async {
            let answer = sender
                .send_request(request)
                .await
                .map_err(|error| if error.is_parse() { ClientError::Answer("not HTTP") } else { unreachable(error) })?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, body_bytes_max).collect().await;
            let body = body.map_err(|_| ClientError::Answer("a body that is too large or broken off"))?;
            Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes().into() })
        };
        tokio::pin!(exchange, connection);
        let mut open = true;
        loop {
            tokio::select! {
                answer = &mut exchange => return answer,
                // what was read before it closed can still be had
                _ = &mut connection, if open => open = false,
            }
        }
    }

    /// TLS with the system's roots.
    async fn tls(&mut self) -> Result<TlsConnector, ClientError> {
        if let Some(tls) = &self.tls {
            return Ok(tls.clone());
        }
        let found = task::blocking("certificates", rustls_native_certs::load_native_certs).await;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.map_err(unreachable)?.certs);
        if roots.is_empty() {
            return Err(unreachable("this system has no root certificates"));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unreachable)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(self.tls.insert(TlsConnector::from(Arc::new(config))).clone())
    }
}

fn unreachable(reason: impl ToString) -> ClientError {
    ClientError::Unreachable(reason.to_string())
}

/// From a page to what it names: a whole URL, or a path of the same host.
pub fn resolve(from: &Uri, target: &str) -> Result<Uri, ClientError> {
    let (scheme, authority) = from.scheme_str().zip(from.authority()).ok_or(ClientError::Astray)?;
    let whole = match target.as_bytes() {
        [b'/', b'/', ..] => format!("{scheme}:{target}"),
        [b'/', ..] => format!("{scheme}://{authority}{target}"),
        [b'?', ..] => format!("{scheme}://{authority}{}{target}", from.path()),
        _ => target.to_owned(),
    };
    whole.parse().map_err(|_| ClientError::Astray)
}
