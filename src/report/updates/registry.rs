//! The registry: `GET /v2/<name>/tags/list` of the OCI distribution specification, page by page, as a stranger.
//!
//! A registry that wants to know who asks answers 401 and names a place where anybody gets a token
//! (`WWW-Authenticate: Bearer realm="…",service="…",scope="…"`); that is done once. Everything that it answers is a stranger's:
//! heads, bodies, pages, tags, redirects and times have limits, and a registry on the internet cannot send the bot to plain
//! HTTP or to this host. A token goes to the registry that asked for it and nowhere else.
//!
//! Deliberately not here: credentials, proxies, HTTP/2, `Retry-After` (the next question is tomorrow's).

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::WWW_AUTHENTICATE;
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, HeaderMap, HeaderValue, LOCATION, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::answer;
use super::reference::{Repository, Scheme, is_loopback};

/// One request, from the name's look-up to the last byte.
const REQUEST_TIME: Duration = Duration::from_secs(20);
/// Head of an answer.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Headers of an answer.
const HEADERS_MAX: usize = 100;
/// A page of tags: a thousand of the longest ones fit four times.
pub const TAGS_BODY_BYTES_MAX: usize = 1024 * 1024;
/// Answer with a token; they have some KiB.
const TOKEN_BODY_BYTES_MAX: usize = 64 * 1024;
/// Tags that are asked for at a time; a registry may give fewer.
const PAGE_TAGS: usize = 1000;
/// Pages, so that one that leads to itself ends.
const PAGES_MAX: usize = 100;
/// Tags in all; further ones are not looked at.
pub const TAGS_MAX: usize = 50_000;
/// Redirects of one request.
const REDIRECTS_MAX: usize = 5;

/// Why the tags are not known.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// No connection.
    #[error("registry `{host}` is not reached: {reason}")]
    Unreachable {
        /// Which host.
        host: String,
        /// The system's words, or TLS's.
        reason: String,
    },
    /// It takes too long.
    #[error("registry `{host}` does not answer in time")]
    Slow {
        /// Which host.
        host: String,
    },
    /// It answers something else than the specification says.
    #[error("registry `{host}` answers what it should not: {what}")]
    Answer {
        /// Which host.
        host: String,
        /// What.
        what: &'static str,
    },
    /// It refuses: no such repository, or not for everybody.
    #[error("registry `{host}` answers with status {status}: the image may be private, or not there")]
    Status {
        /// Which host.
        host: String,
        /// HTTP status.
        status: u16,
    },
    /// It sends the bot somewhere where it does not go.
    #[error("registry `{host}` leads to another place that is not asked")]
    Astray {
        /// Which host.
        host: String,
    },
}

/// Answer of a request, as far as it is looked at.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// All tags of a repository, at most [`TAGS_MAX`], in the registry's order.
pub async fn tags(repository: &Repository) -> Result<Vec<String>, RegistryError> {
    let mut client = Client { repository, tls: None, authorization: None };
    let Repository { scheme, authority, name } = repository;
    let first = format!("{}://{authority}/v2/{name}/tags/list?n={PAGE_TAGS}", scheme.name());
    let mut next: Option<Uri> = Some(first.parse().map_err(|_| client.astray())?);
    let mut tags = Vec::new();
    for _ in 0..PAGES_MAX {
        let Some(uri) = next.take() else { break };
        let answer = client.get_as_anybody(&uri).await?;
        tags.extend(answer::tags(&answer.body).ok_or_else(|| client.answer("not a list of tags"))?);
        if tags.len() >= TAGS_MAX {
            tags.truncate(TAGS_MAX);
            break;
        }
        next = match answer::next_page(&answer.headers) {
            Some(target) => Some(client.on_from(&uri, target, Leads::Here)?),
            None => None,
        };
    }
    Ok(tags)
}

/// Where something may lead to.
#[derive(Clone, Copy)]
enum Leads {
    /// To the same registry.
    Here,
    /// To any host that may be asked.
    Elsewhere,
}

struct Client<'a> {
    repository: &'a Repository,
    /// Made when it is needed.
    tls: Option<TlsConnector>,
    /// For the registry's own host.
    authorization: Option<HeaderValue>,
}

impl Client<'_> {
    fn host(&self) -> String {
        self.repository.host().to_owned()
    }

    fn answer(&self, what: &'static str) -> RegistryError {
        RegistryError::Answer { host: self.host(), what }
    }

    fn astray(&self) -> RegistryError {
        RegistryError::Astray { host: self.host() }
    }

    fn unreachable(&self, reason: impl ToString) -> RegistryError {
        RegistryError::Unreachable { host: self.host(), reason: reason.to_string() }
    }

    /// Asks, and once more with a token if one is wanted.
    async fn get_as_anybody(&mut self, uri: &Uri) -> Result<Answer, RegistryError> {
        let mut answer = self.get(uri, TAGS_BODY_BYTES_MAX).await?;
        if answer.status == StatusCode::UNAUTHORIZED && self.authorization.is_none() {
            let challenge = answer.headers.get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
            let challenge = challenge.and_then(|text| answer::challenge_of(text, &self.repository.name));
            let token_at = challenge.ok_or(RegistryError::Status { host: self.host(), status: 401 })?;
            self.authorization = Some(self.token(&token_at).await?);
            answer = self.get(uri, TAGS_BODY_BYTES_MAX).await?;
        }
        if answer.status == StatusCode::OK {
            Ok(answer)
        } else {
            Err(RegistryError::Status { host: self.host(), status: answer.status.as_u16() })
        }
    }

    async fn token(&mut self, at: &str) -> Result<HeaderValue, RegistryError> {
        let uri = self.may_ask(at.parse().map_err(|_| self.astray())?)?;
        let answer = self.get(&uri, TOKEN_BODY_BYTES_MAX).await?;
        if answer.status != StatusCode::OK {
            return Err(RegistryError::Status { host: self.host(), status: answer.status.as_u16() });
        }
        answer::authorization(&answer.body).ok_or_else(|| self.answer("not a token"))
    }

    /// One GET, with its redirects.
    async fn get(&mut self, uri: &Uri, body_bytes_max: usize) -> Result<Answer, RegistryError> {
        let mut uri = uri.clone();
        for _ in 0..=REDIRECTS_MAX {
            let answer = match tokio::time::timeout(REQUEST_TIME, self.exchange(&uri, body_bytes_max)).await {
                Ok(answer) => answer?,
                Err(_) => return Err(RegistryError::Slow { host: self.host() }),
            };
            match answer.status.as_u16() {
                301 | 302 | 303 | 307 | 308 => {}
                _ => return Ok(answer),
            }
            let target = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
            uri = self.on_from(&uri, target.ok_or_else(|| self.answer("a redirect to nowhere"))?, Leads::Elsewhere)?;
        }
        Err(self.answer("too many redirects"))
    }

    /// From a page to what it names: a whole URL, or a path of the same host.
    fn on_from(&self, from: &Uri, target: &str, leads: Leads) -> Result<Uri, RegistryError> {
        let (scheme, authority) = from.scheme_str().zip(from.authority()).ok_or_else(|| self.astray())?;
        let whole = match target.as_bytes() {
            [b'/', b'/', ..] => format!("{scheme}:{target}"),
            [b'/', ..] => format!("{scheme}://{authority}{target}"),
            [b'?', ..] => format!("{scheme}://{authority}{}{target}", from.path()),
            _ => target.to_owned(),
        };
        let uri = self.may_ask(whole.parse().map_err(|_| self.astray())?)?;
        let here = uri.authority() == Some(authority) && uri.scheme() == from.scheme();
        match leads {
            Leads::Here if !here => Err(self.astray()),
            Leads::Here | Leads::Elsewhere => Ok(uri),
        }
    }

    /// A registry on this host may lead anywhere; any other one only to TLS, and not to this host.
    fn may_ask(&self, uri: Uri) -> Result<Uri, RegistryError> {
        let host = uri.host().ok_or_else(|| self.astray())?;
        let local = is_loopback(host.trim_start_matches('[').trim_end_matches(']'));
        let right = match (self.repository.scheme, uri.scheme_str()) {
            (Scheme::Http, Some("http")) => local,
            (Scheme::Http, Some("https")) => true,
            (Scheme::Https, Some("https")) => !local,
            (Scheme::Http | Scheme::Https, _) => false,
        };
        if right { Ok(uri) } else { Err(self.astray()) }
    }

    /// One request on a connection of its own.
    async fn exchange(&mut self, uri: &Uri, body_bytes_max: usize) -> Result<Answer, RegistryError> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let addresses =
            tokio::net::lookup_host((host.as_str(), port)).await.map_err(|error| self.unreachable(error))?;
        // a name of this host that leads elsewhere gets nothing in clear
        let addresses: Vec<_> = addresses.filter(|address| secure || address.ip().is_loopback()).collect();
        let stream = TcpStream::connect(addresses.as_slice()).await.map_err(|error| self.unreachable(error))?;
        let request = self.request(uri)?;
        if !secure {
            return self.send(stream, request, body_bytes_max).await;
        }
        let name = ServerName::try_from(host).map_err(|_| self.astray())?;
        let tls = self.tls().await?;
        let stream = tls.connect(name, stream).await.map_err(|error| self.unreachable(error))?;
        self.send(stream, request, body_bytes_max).await
    }

    fn request(&self, uri: &Uri) -> Result<Request<Empty<Bytes>>, RegistryError> {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let mut request = Request::get(target)
            .header(HOST, authority)
            .header(USER_AGENT, concat!("retaind/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json")
            .body(Empty::new())
            .map_err(|_| self.astray())?;
        let own = uri.authority().is_some_and(|authority| authority.as_str() == self.repository.authority);
        if let Some(token) = self.authorization.clone().filter(|_| own) {
            request.headers_mut().insert(AUTHORIZATION, token);
        }
        Ok(request)
    }

    async fn send(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: Request<Empty<Bytes>>,
        body_bytes_max: usize,
    ) -> Result<Answer, RegistryError> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
        let (mut sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|error| self.unreachable(error))?;
        let exchange = async {
            let answer = sender
                .send_request(request)
                .await
                .map_err(|error| if error.is_parse() { self.answer("not HTTP") } else { self.unreachable(error) })?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, body_bytes_max).collect().await;
            let body = body.map_err(|_| self.answer("a body that is too large or broken off"))?;
            Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes().into() })
        };
        tokio::pin!(exchange, connection);
        let mut open = true;
        loop {
            tokio::select! {
                answer = &mut exchange => return answer,
                // what was read before it closed is still to be had
                _ = &mut connection, if open => open = false,
            }
        }
    }

    /// TLS with the system's roots.
    async fn tls(&mut self) -> Result<TlsConnector, RegistryError> {
        if let Some(tls) = &self.tls {
            return Ok(tls.clone());
        }
        let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.map_err(|error| self.unreachable(error))?.certs);
        if roots.is_empty() {
            return Err(self.unreachable("this system has no root certificates"));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| self.unreachable(error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(self.tls.insert(TlsConnector::from(Arc::new(config))).clone())
    }
}
