//! The registry: `GET /v2/<name>/tags/list` of the OCI distribution specification, page by page, as a stranger.
//!
//! A registry that wants to know its callers answers 401 and names a place where anybody gets a token
//! (`WWW-Authenticate: Bearer realm="…",service="…",scope="…"`); that is done once. Everything that it answers is a stranger's:
//! heads, bodies, pages, tags, redirects and times have limits, and a registry on the internet cannot send the bot to plain
//! HTTP or to this host. A token goes to the registry that asked for it and nowhere else.
//!
//! Deliberately not here: credentials, proxies, HTTP/2, `Retry-After` (the next question is tomorrow's).

use std::time::Duration;

use hyper::header::WWW_AUTHENTICATE;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use hyper::{StatusCode, Uri};
use thiserror::Error;

use super::answer;
use super::reference::{Repository, Scheme, is_loopback};
use crate::limits::REGISTRY_REQUEST_SECONDS;
use retaind_http::client::{Answer, Client, ClientError, Limits, Rules, resolve};

/// One request, from the name's look-up to the last byte.
const REQUEST_TIME: Duration = Duration::from_secs(REGISTRY_REQUEST_SECONDS.value);
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
pub(crate) const TAGS_MAX: usize = 50_000;
/// Redirects of one request.
const REDIRECTS_MAX: usize = 5;

const LIMITS: Limits = Limits {
    head_bytes_max: HEAD_BYTES_MAX,
    headers_max: HEADERS_MAX,
    request_time: REQUEST_TIME,
    redirects_max: REDIRECTS_MAX,
};

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
        /// What was wrong with its answer.
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

/// All tags of a repository, at most [`TAGS_MAX`], in the registry's order.
pub(crate) async fn tags(repository: &Repository) -> Result<Vec<String>, RegistryError> {
    let mut registry =
        Registry { client: Client::new(LIMITS, "application/json"), asked: Asked { repository, authorization: None } };
    let Repository { scheme, authority, name } = repository;
    let first = format!("{}://{authority}/v2/{name}/tags/list?n={PAGE_TAGS}", scheme.name());
    let mut next: Option<Uri> = Some(first.parse().map_err(|_| registry.astray())?);
    let mut tags = Vec::new();
    for _ in 0..PAGES_MAX {
        let Some(uri) = next.take() else { break };
        let answer = registry.get_as_anybody(&uri).await?;
        tags.extend(answer::tags(&answer.body).ok_or_else(|| registry.answer("not a list of tags"))?);
        if tags.len() >= TAGS_MAX {
            tags.truncate(TAGS_MAX);
            break;
        }
        next = match answer::next_page(&answer.headers) {
            Some(target) => Some(registry.next_page(&uri, target)?),
            None => None,
        };
    }
    Ok(tags)
}

struct Registry<'a> {
    client: Client,
    asked: Asked<'a>,
}

/// Whom the registry may lead to, and what those are told.
struct Asked<'a> {
    repository: &'a Repository,
    /// For the registry's own host.
    authorization: Option<HeaderValue>,
}

impl Rules for Asked<'_> {
    /// A registry on this host may lead anywhere; any other one only to TLS, and not to this host.
    fn permits(&self, uri: &Uri) -> bool {
        let Some(host) = uri.host() else { return false };
        let local = is_loopback(host.trim_start_matches('[').trim_end_matches(']'));
        match (self.repository.scheme, uri.scheme_str()) {
            (Scheme::Http, Some("http")) => local,
            (Scheme::Http, Some("https")) => true,
            (Scheme::Https, Some("https")) => !local,
            (Scheme::Http | Scheme::Https, _) => false,
        }
    }

    fn headers(&self, uri: &Uri) -> HeaderMap {
        let own = uri.authority().is_some_and(|authority| authority.as_str() == self.repository.authority);
        let token = self.authorization.clone().filter(|_| own);
        token.map(|token| (AUTHORIZATION, token)).into_iter().collect()
    }
}

impl Registry<'_> {
    fn host(&self) -> String {
        self.asked.repository.host().to_owned()
    }

    fn answer(&self, what: &'static str) -> RegistryError {
        RegistryError::Answer { host: self.host(), what }
    }

    fn astray(&self) -> RegistryError {
        RegistryError::Astray { host: self.host() }
    }

    fn failed(&self, error: ClientError) -> RegistryError {
        let host = self.host();
        match error {
            ClientError::Unreachable(reason) => RegistryError::Unreachable { host, reason },
            ClientError::Slow => RegistryError::Slow { host },
            ClientError::Answer(what) => RegistryError::Answer { host, what },
            ClientError::Astray => RegistryError::Astray { host },
        }
    }

    async fn get(&mut self, uri: &Uri, body_bytes_max: usize) -> Result<Answer, RegistryError> {
        let got = self.client.get(uri, &self.asked, body_bytes_max).await;
        got.map_err(|error| self.failed(error))
    }

    /// Asks, and once more with a token if one is wanted.
    async fn get_as_anybody(&mut self, uri: &Uri) -> Result<Answer, RegistryError> {
        let mut answer = self.get(uri, TAGS_BODY_BYTES_MAX).await?;
        if answer.status == StatusCode::UNAUTHORIZED && self.asked.authorization.is_none() {
            let challenge = answer.headers.get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
            let challenge = challenge.and_then(|text| answer::challenge_of(text, &self.asked.repository.name));
            let token_at = challenge.ok_or(RegistryError::Status { host: self.host(), status: 401 })?;
            self.asked.authorization = Some(self.token(&token_at).await?);
            answer = self.get(uri, TAGS_BODY_BYTES_MAX).await?;
        }
        if answer.status == StatusCode::OK {
            Ok(answer)
        } else {
            Err(RegistryError::Status { host: self.host(), status: answer.status.as_u16() })
        }
    }

    async fn token(&mut self, at: &str) -> Result<HeaderValue, RegistryError> {
        let uri = at.parse().map_err(|_| self.astray())?;
        let answer = self.get(&uri, TOKEN_BODY_BYTES_MAX).await?;
        if answer.status != StatusCode::OK {
            return Err(RegistryError::Status { host: self.host(), status: answer.status.as_u16() });
        }
        answer::authorization(&answer.body).ok_or_else(|| self.answer("not a token"))
    }

    /// The next page is on the same registry.
    fn next_page(&self, from: &Uri, target: &str) -> Result<Uri, RegistryError> {
        let uri = resolve(from, target).map_err(|error| self.failed(error))?;
        let here = uri.authority() == from.authority() && uri.scheme() == from.scheme();
        if here && self.asked.permits(&uri) { Ok(uri) } else { Err(self.astray()) }
    }
}
