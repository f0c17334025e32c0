//! The bot's state, and the network that it serves: its own, or one that runs elsewhere.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio_rustls::rustls::pki_types::ServerName;

use crate::account::BotName;
use crate::mistake::Invalid;
use crate::parse::{authorities, number, path, read_bundle};
use crate::reader::Reader;
use crate::variable::{Fallback, Variable, variables};

/// Longest network id, in bytes: with `compliance_` and `_bot` it is still a user name.
const NETWORK_ID_BYTES_MAX: usize = 64;

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;
/// Ten years: longer than anybody waits for an attachment.
const BLOB_DAYS_MAX: u64 = 3650;
const BYTES_PER_GIB: u64 = 1 << 30;
/// A pebibyte.
const BLOB_QUOTA_GIB_MAX: u64 = 1 << 20;

variables! {
    STATE: "RETAIND_STATE", Fallback::OfBot("/tmp/<botname>/state"), Public,
        "directory of the bot's state: keys, cursors and the embedded network; keep it, and keep it private";
    NETWORK: "RETAIND_NETWORK", Fallback::Nothing, Public,
        "`host:port` of an outside network; unset = the bot's own process runs one (embedded)";
    NETWORK_CA: "RETAIND_NETWORK_CA", Fallback::Nothing, Public,
        "PEM file with the certificate that the outside network's certificate is checked against; required with `RETAIND_NETWORK`";
    NETWORK_NAME: "RETAIND_NETWORK_NAME", Fallback::Text("retaind-network"), Public,
        "name that the outside network's certificate must hold";
    LISTEN: "RETAIND_LISTEN", Fallback::Text("127.0.0.1:7443"), Public,
        "address and port on which the embedded network listens for devices";
    NETWORK_ID: "RETAIND_NETWORK_ID", Fallback::Derived("the id in the bot's name, else `local`"), Public,
        "id of the embedded network; it is fixed at the first start";
    RETENTION: "RETAIND_RETENTION", Fallback::Text("on"), Public,
        "`on`, `strict` or `off`: whether the embedded network lets messages pass only in conversations that the bot archives; `strict`: in a new epoch only after the bot has reached it";
    NETWORK_KEY: "RETAIND_SPARE_KEY", Fallback::Nothing, Public,
        "file that gets a spare copy of the key that the embedded network's own keys are sealed with, for when the bot's state and password are both lost; best on another volume";
    BLOB_DAYS: "RETAIND_BLOB_DAYS", Fallback::Text("30"), Public,
        "days after which the embedded network deletes an attachment that not every member has fetched; never one that the bot has still to read; 1 to 3650";
    BLOB_QUOTA: "RETAIND_BLOB_QUOTA", Fallback::Text("64"), Public,
        "GiB of attachments that a user may have in the embedded network, and each device half of it; 1 to 1048576";
}

/// A `host:port` to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort(String);

impl HostPort {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which network the bot serves.
#[derive(Debug)]
pub enum Network {
    /// One that runs in the bot's own process, with its data below the state directory.
    Embedded {
        /// Where devices connect.
        listen: SocketAddr,
        /// Its name in credentials and records.
        id: String,
        /// Whether messages pass only where the bot archives.
        retention: Retention,
        /// Where a spare copy of its key is kept.
        spare_key: Option<PathBuf>,
        /// What attachments may take up.
        blobs: Blobs,
    },
    /// One that runs elsewhere.
    Outside {
        /// Where it is.
        address: HostPort,
        /// Who vouches for its certificate.
        authority: Authority,
        /// The name that its certificate holds.
        server_name: String,
    },
}

/// The certificate that another is checked against.
#[derive(Debug)]
pub struct Authority {
    /// Where it was read from.
    pub file: PathBuf,
    /// Itself, DER.
    pub der: Vec<u8>,
}

/// What attachments may take up in the embedded network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blobs {
    /// When one is old.
    pub age: Duration,
    /// Bytes that a user may have in store.
    pub quota_bytes: u64,
}

/// The switch of the embedded network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Messages pass only in conversations that the bot archives.
    On,
    /// As [`On`](Self::On), and after a change of keys only once the bot has them.
    Strict,
    /// The bot is in no conversation.
    Off,
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Strict => "strict",
            Self::Off => "off",
        })
    }
}

/// The directory of the bot's state.
pub(crate) fn state(r: &mut Reader, bot: Option<&BotName>) -> Option<PathBuf> {
    r.read_for(&STATE, bot, path)
}

pub(crate) fn read(r: &mut Reader, bot: Option<&BotName>) -> Option<Network> {
    let address = r.optional(&NETWORK, host_port);
    let authority = r.optional(&NETWORK_CA, certificate);
    let server_name = r.read(&NETWORK_NAME, tls_name);
    let listen = r.read(&LISTEN, listen);
    let id = match r.optional(&NETWORK_ID, network_id) {
        Some(id) => Some(id),
        None => Some(bot.and_then(BotName::network_id).unwrap_or("local").to_owned()),
    };
    let retention = r.read(&RETENTION, retention);
    let spare_key = r.optional(&NETWORK_KEY, path);
    let (age, quota_bytes) = (r.read(&BLOB_DAYS, blob_days), r.read(&BLOB_QUOTA, blob_quota));

    if r.origins.given(&NETWORK).is_none() {
        let blobs = Blobs { age: age?, quota_bytes: quota_bytes? };
        return Some(Network::Embedded { listen: listen?, id: id?, retention: retention?, spare_key, blobs });
    }
    r.needs(&NETWORK, &NETWORK_CA, "the network's certificate is made by itself, so that nobody else vouches for it");
    Some(Network::Outside { address: address?, authority: authority?, server_name: server_name? })
}

pub(crate) fn value(network: &Network, name: &str) -> Option<String> {
    match (network, name) {
        (Network::Embedded { listen, .. }, "RETAIND_LISTEN") => Some(listen.to_string()),
        (Network::Embedded { id, .. }, "RETAIND_NETWORK_ID") => Some(id.clone()),
        (Network::Embedded { retention, .. }, "RETAIND_RETENTION") => Some(retention.to_string()),
        (Network::Embedded { spare_key, .. }, "RETAIND_SPARE_KEY") => {
            spare_key.as_ref().map(|path| path.display().to_string())
        }
        (Network::Embedded { blobs, .. }, "RETAIND_BLOB_DAYS") => {
            Some((blobs.age.as_secs() / SECONDS_PER_DAY).to_string())
        }
        (Network::Embedded { blobs, .. }, "RETAIND_BLOB_QUOTA") => {
            Some((blobs.quota_bytes / BYTES_PER_GIB).to_string())
        }
        (Network::Outside { address, .. }, "RETAIND_NETWORK") => Some(address.as_str().to_owned()),
        (Network::Outside { authority, .. }, "RETAIND_NETWORK_CA") => Some(authority.file.display().to_string()),
        (Network::Outside { server_name, .. }, "RETAIND_NETWORK_NAME") => Some(server_name.clone()),
        (Network::Embedded { .. } | Network::Outside { .. }, _) => None,
    }
}

/// What is set and has no effect on this network, and why.
pub(crate) fn idle(network: &Network) -> Vec<(&'static Variable, &'static str)> {
    let (variables, why): (Vec<&'static Variable>, _) = match network {
        Network::Embedded { .. } => {
            (vec![&NETWORK_CA, &NETWORK_NAME], "it is for an outside network, and `RETAIND_NETWORK` is not set")
        }
        Network::Outside { .. } => (
            vec![&LISTEN, &NETWORK_ID, &RETENTION, &NETWORK_KEY, &BLOB_DAYS, &BLOB_QUOTA],
            "it is for the embedded network, and `RETAIND_NETWORK` names an outside one",
        ),
    };
    variables.into_iter().map(|variable| (variable, why)).collect()
}

fn host_port(text: &str) -> Result<HostPort, Invalid> {
    let (host, port) = text.rsplit_once(':').ok_or(Invalid::HostPort)?;
    let inner = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').filter(|address| address.contains(':')).ok_or(Invalid::HostPort)?,
        None if host.contains(':') => return Err(Invalid::HostPort),
        None => host,
    };
    let port_is_right =
        !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0);
    if !port_is_right || ServerName::try_from(inner).is_err() {
        return Err(Invalid::HostPort);
    }
    Ok(HostPort(text.to_owned()))
}

fn listen(text: &str) -> Result<SocketAddr, Invalid> {
    text.parse().map_err(|_| Invalid::Listen)
}

fn tls_name(text: &str) -> Result<String, Invalid> {
    ServerName::try_from(text).map(|_| text.to_owned()).map_err(|_| Invalid::TlsName)
}

pub(crate) fn network_id(text: &str) -> Result<String, Invalid> {
    let right = (1..=NETWORK_ID_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if right { Ok(text.to_owned()) } else { Err(Invalid::NetworkId) }
}

fn retention(text: &str) -> Result<Retention, Invalid> {
    match text {
        "on" => Ok(Retention::On),
        "strict" => Ok(Retention::Strict),
        "off" => Ok(Retention::Off),
        _ => Err(Invalid::Word { allowed: "`on`, `strict` or `off`" }),
    }
}

/// Days → duration.
fn blob_days(text: &str) -> Result<Duration, Invalid> {
    let days = number(text, "days", 1, BLOB_DAYS_MAX)?;
    Ok(Duration::from_secs(days.saturating_mul(SECONDS_PER_DAY)))
}

/// GiB → bytes.
fn blob_quota(text: &str) -> Result<u64, Invalid> {
    Ok(number(text, "GiB", 1, BLOB_QUOTA_GIB_MAX)?.saturating_mul(BYTES_PER_GIB))
}

fn certificate(text: &str) -> Result<Authority, Invalid> {
    let file = path(text)?;
    let pem = read_bundle(&file).map_err(Invalid::Certificate)?;
    match authorities(&pem)?.as_slice() {
        [one] => Ok(Authority { file, der: one.to_vec() }),
        several => Err(Invalid::Certificates(several.len())),
    }
}
