//! From the name of an image to the registry that has it, as Docker understands names.

use std::net::IpAddr;

/// Where Docker Hub answers the API; its images are named `docker.io/…`, or without a host.
const DOCKER_HUB: &str = "registry-1.docker.io";
/// Docker Hub's folder of images without one.
const DOCKER_HUB_FOLDER: &str = "library";
/// Longest name of a repository, in bytes: OCI's.
const NAME_BYTES_MAX: usize = 255;

/// How a registry is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// TLS, checked against the system's roots.
    Https,
    /// Plain, for a registry on this host.
    Http,
}

impl Scheme {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }
}

/// A repository of images at a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// How its registry is reached.
    pub scheme: Scheme,
    /// `host` or `host:port`.
    pub authority: String,
    /// Its name there.
    pub name: String,
}

impl Repository {
    /// Of an image's name without tag and digest; `None` if it cannot be one.
    pub fn of(image: &str) -> Option<Self> {
        let (authority, name) = match image.split_once('/') {
            // only what cannot be a folder of Docker Hub is a host
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
            Some(_) | None => ("docker.io", image),
        };
        let (authority, name) = match authority {
            "docker.io" | "index.docker.io" if name.contains('/') => (DOCKER_HUB, name.to_owned()),
            "docker.io" | "index.docker.io" => (DOCKER_HUB, format!("{DOCKER_HUB_FOLDER}/{name}")),
            other => (other, name.to_owned()),
        };
        let part_is_right = |part: &str| {
            part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
                && part.starts_with(|c: char| c.is_ascii_alphanumeric())
        };
        let right = name.len() <= NAME_BYTES_MAX && name.split('/').all(part_is_right);
        let scheme = if is_loopback(host(authority)) { Scheme::Http } else { Scheme::Https };
        right.then(|| Self { scheme, authority: authority.to_owned(), name })
    }

    /// The registry's host, without its port.
    pub fn host(&self) -> &str {
        host(&self.authority)
    }
}

fn host(authority: &str) -> &str {
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

/// Does the name or address stand for this host alone?
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
