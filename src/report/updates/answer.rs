//! What a registry's answers say: bytes of a stranger, which [`super::registry`] has bounded. Pure.

use hyper::header::{HeaderMap, HeaderName, HeaderValue, LINK};
use serde::Deserialize;

#[derive(Deserialize)]
struct Page {
    /// Null where a repository has no tags.
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// The tags of a page.
pub fn tags(body: &[u8]) -> Option<Vec<String>> {
    let page: Page = serde_json::from_slice(body).ok()?;
    Some(page.tags.unwrap_or_default())
}

/// What a token's holder sends: `Bearer …`.
pub fn authorization(body: &[u8]) -> Option<HeaderValue> {
    let token: Token = serde_json::from_slice(body).ok()?;
    let token = token.token.or(token.access_token).filter(|token| !token.is_empty())?;
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Where the next page of tags is: the target of `Link: <target>; rel="next"`.
pub fn next_page(headers: &HeaderMap) -> Option<&str> {
    let name: HeaderName = LINK;
    let links = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let next = |link: &&str| link.replace(['"', ' '], "").to_ascii_lowercase().contains(";rel=next");
    let link = links.flat_map(|value| value.split(',')).find(next)?;
    link.trim().strip_prefix('<')?.split_once('>').map(|(target, _)| target)
}

/// The URL at which the token of a challenge (`WWW-Authenticate`) for the repository `name` is to be had.
pub fn challenge_of(challenge: &str, name: &str) -> Option<String> {
    let (scheme, parameters) = challenge.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service, mut scope) = (None, None, format!("repository:{name}:pull"));
    let mut rest = parameters;
    // `name="value"`, commas between; a value may hold commas
    while let Some((key, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        match key.trim_matches([',', ' ']).to_ascii_lowercase().as_str() {
            "realm" => realm = Some(value),
            "service" => service = Some(value),
            "scope" => scope = value.to_owned(),
            _ => {}
        }
        rest = after;
    }
    let realm = realm?;
    let between = if realm.contains('?') { '&' } else { '?' };
    let service = service.map(|service| format!("service={}&", escaped(service))).unwrap_or_default();
    Some(format!("{realm}{between}{service}scope={}", escaped(&scope)))
}

/// For a query: everything but unreserved characters as `%XX`.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
