//! The certificate that devices check: given by the operator, or the network's own, made at first start.
//!
//! The own one is issued by an own authority whose key is thrown away after issuing, so that nobody can issue another;
//! devices get the authority's certificate with their invite. Another one takes its place in two steps ([`Rotation`]): devices
//! are told of it over connections that the present one protects, and trust both, until it takes over. It does not expire: losing a network because nobody
//! renewed a certificate that nobody but its own devices trusts would protect no one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384,
};
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{CertificateError, Error, RootCertStore, ServerConfig};

use super::error::NetworkError;
use super::seal::{shred, write_private};
use retaind_core::clock::SystemClock;
use retaind_protocol::endpoint::Endpoint;
use retaind_state::vault::Vault;
use zeroize::Zeroizing;

/// Name in the network's own certificate.
pub(crate) const OWN_SERVER_NAME: &str = "retaind-network";
const CA_FILE: &str = "network-ca.pem";
const CERTIFICATE_FILE: &str = "network.pem";
/// What takes over next, while there is such.
const NEXT_CA_FILE: &str = "network-next-ca.pem";
const NEXT_CERTIFICATE_FILE: &str = "network-next.pem";
const NEXT_KEY_FILE: &str = "network-next-key.sealed";
/// Sealed, PKCS #8.
const KEY_FILE: &str = "network-key.sealed";
/// Where earlier releases had it unencrypted.
const PLAIN_KEY_FILE: &str = "network-key.pem";
const KEY_CONTEXT: &[u8] = b"network certificate key";

/// How the network shows who it is.
pub(crate) struct Certificate {
    pub(crate) tls: Arc<ServerConfig>,
    /// What devices must trust: one certificate, or the present and the next one.
    pub(crate) ca_der: Vec<u8>,
    /// The same, each on its own; none where the operator gave the certificate.
    pub(crate) authorities: Vec<Vec<u8>>,
    /// Is it the network's own, with [`OWN_SERVER_NAME`] in it?
    pub(crate) own: Own,
    /// What is shown to devices; the device's own certificate first.
    chain: Vec<CertificateDer<'static>>,
}

impl Certificate {
    /// Whether a device that has this endpoint of its invite accepts the certificate, asked of the verifier that devices use. A
    /// network that serves another one looks alive, and nobody can log in.
    pub(crate) fn check(&self, endpoint: &Endpoint) -> Result<(), NetworkError> {
        match self.own {
            Own::Made => Ok(()),
            Own::Given => accepted(&self.chain, endpoint, SystemClock.now()),
        }
    }
}

fn accepted(chain: &[CertificateDer<'static>], endpoint: &Endpoint, now: SystemTime) -> Result<(), NetworkError> {
    let Endpoint { server_name, ca_der, .. } = endpoint;
    let refused = |why: String| NetworkError::NotAccepted { name: server_name.clone(), why };
    let Some((leaf, rest)) = chain.split_first() else { return Err(refused("there is none".to_owned())) };
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(ca_der.clone())).map_err(|error| refused(why(&error, chain.len())))?;
    let name = ServerName::try_from(server_name.clone());
    let name =
        name.map_err(|_| refused("that is no name that a certificate can hold: see `--advertise`".to_owned()))?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider())).build();
    let verifier = verifier.map_err(|error| refused(error.to_string()))?;
    let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
    let verified = verifier.verify_server_cert(leaf, rest, &name, &[], now);
    verified.map(drop).map_err(|error| refused(why(&error, chain.len())))
}

/// What the verifier says, in words for whoever has to get another certificate.
#[expect(clippy::wildcard_enum_match_arm, reason = "rustls' own words are enough for the others")]
fn why(error: &Error, certificates: usize) -> String {
    let Error::InvalidCertificate(why) = error else { return error.to_string() };
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("it, or one of its chain, has expired: renew it ({error})")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("it, or one of its chain, is not valid yet: see the clock of this host ({error})")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("it does not hold that name: have it issued for it, or correct `--advertise` ({error})")
        }
        CertificateError::UnknownIssuer if certificates == 1 => {
            "the file holds only the server's own certificate: add those that issued it, up to the one that devices are to trust"
                .to_owned()
        }
        CertificateError::UnknownIssuer => {
            "its chain is not whole: each certificate must be followed by the one that issued it".to_owned()
        }
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "it is an authority's (`CA:TRUE`): have the authority issue one for the server, and give that one first"
                .to_owned()
        }
        other => other.to_string(),
    }
}

/// Who made the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    /// The network.
    Made,
    /// The operator.
    Given,
}

/// Loads the given certificate, or the own one of `directory`, which is made when there is none. Its key is sealed in `vault`;
/// that of an earlier release is sealed, overwritten and removed.
pub(crate) fn load(
    directory: &Path,
    given: Option<&(PathBuf, PathBuf)>,
    vault: &Vault,
) -> Result<Certificate, NetworkError> {
    match given {
        Some((certificate, key)) => {
            let chain = read_chain(certificate)?;
            let ca_der = chain.last().map(|last| last.to_vec()).unwrap_or_default();
            let tls = server_config(chain.clone(), read_key(key)?)?;
            Ok(Certificate { tls, ca_der, authorities: Vec::new(), own: Own::Given, chain })
        }
        None => own(directory, vault),
    }
}

fn own(directory: &Path, vault: &Vault) -> Result<Certificate, NetworkError> {
    let (ca, certificate, key) = (directory.join(CA_FILE), directory.join(CERTIFICATE_FILE), directory.join(KEY_FILE));
    // the authority's certificate is written last: where it stands, all three do
    if !ca.exists() {
        make(&ca, &certificate, &key, vault)?;
    }
    let plain = directory.join(PLAIN_KEY_FILE);
    if plain.exists() {
        if !key.exists() {
            let read = read_key(&plain)?;
            write_private(&key, &vault.seal(KEY_CONTEXT, read.secret_der())?)?;
        }
        shred(&plain)?;
    }
    let mut authorities = vec![read_authority(&ca)?];
    let next = directory.join(NEXT_CA_FILE);
    if next.exists() {
        authorities.push(read_authority(&next)?);
    }
    let chain = read_chain(&certificate)?;
    let tls = server_config(chain.clone(), open_key(&key, vault)?)?;
    Ok(Certificate { tls, ca_der: authorities.concat(), authorities, own: Own::Made, chain })
}

fn read_authority(path: &Path) -> Result<Vec<u8>, NetworkError> {
    Ok(read_chain(path)?.first().map(|authority| authority.to_vec()).unwrap_or_default())
}

/// A step of changing the network's own certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Makes the next authority, certificate and key. Devices hear of them when they log in; the present ones stay in force.
    Begin,
    /// The next ones take over. Devices that have not logged in since the beginning do not find the network any more.
    Finish,
}

/// Carries out a step; nothing where it was carried out before.
pub(crate) fn rotate(directory: &Path, rotation: Rotation, vault: &Vault) -> Result<(), NetworkError> {
    let next = [NEXT_KEY_FILE, NEXT_CERTIFICATE_FILE, NEXT_CA_FILE].map(|name| directory.join(name));
    let [next_key, next_certificate, next_ca] = &next;
    match rotation {
        Rotation::Begin if next_ca.exists() => Ok(()),
        Rotation::Begin => make(next_ca, next_certificate, next_key, vault),
        Rotation::Finish => {
            // in the order in which they were made: cut short, the next start goes on
            for (next, present) in next.iter().zip([KEY_FILE, CERTIFICATE_FILE, CA_FILE]) {
                let failed = |source| NetworkError::File { action: "rename", path: next.clone(), source };
                match fs::rename(next, directory.join(present)) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
                    Ok(()) | Err(_) => {}
                }
            }
            let failed = |source| NetworkError::File { action: "write", path: directory.to_owned(), source };
            fs::File::open(directory).and_then(|folder| folder.sync_all()).map_err(failed)
        }
    }
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, NetworkError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(refused)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| {
            let is_anothers = matches!(error, Error::InconsistentKeys(_));
            if is_anothers { refused("its private key is that of another certificate") } else { refused(error) }
        })?;
    // devices stay connected: resumption would keep state of strangers for nothing
    config.session_storage = Arc::new(tokio_rustls::rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, NetworkError> {
    let pem = fs::read(path).map_err(|source| NetworkError::File { action: "read", path: path.into(), source })?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| NetworkError::Certificate(format!("`{}` is not PEM: {error}", path.display())))?;
    if chain.is_empty() {
        return Err(NetworkError::Certificate(format!("`{}` holds no certificate", path.display())));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, NetworkError> {
    let pem = fs::read(path).map_err(|source| NetworkError::File { action: "read", path: path.into(), source })?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
        NetworkError::Certificate(format!("`{}` holds no private key in PEM: {error}", path.display()))
    })
}

fn open_key(path: &Path, vault: &Vault) -> Result<PrivateKeyDer<'static>, NetworkError> {
    let sealed = fs::read(path).map_err(|source| NetworkError::File { action: "read", path: path.into(), source })?;
    let der = vault.open(KEY_CONTEXT, &sealed)?;
    PrivateKeyDer::try_from(der.to_vec())
        .map_err(|error| NetworkError::Certificate(format!("`{}` holds no private key: {error}", path.display())))
}

fn make(ca: &Path, certificate: &Path, key: &Path, vault: &Vault) -> Result<(), NetworkError> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "retaind network authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority_key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(refused)?;
    let authority_certificate = authority.self_signed(&authority_key).map_err(refused)?;

    let names = [OWN_SERVER_NAME, "localhost", "127.0.0.1", "::1"].map(String::from).to_vec();
    let mut server = CertificateParams::new(names).map_err(refused)?;
    server.distinguished_name.push(DnType::CommonName, OWN_SERVER_NAME);
    let server_key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(refused)?;
    let issuer = Issuer::from_params(&authority, &authority_key);
    let server_certificate = server.signed_by(&server_key, &issuer).map_err(refused)?;

    write_private(key, &vault.seal(KEY_CONTEXT, Zeroizing::new(server_key.serialize_der()).as_slice())?)?;
    write_private(certificate, server_certificate.pem().as_bytes())?;
    write_private(ca, authority_certificate.pem().as_bytes())
}

fn refused(error: impl std::fmt::Display) -> NetworkError {
    NetworkError::Certificate(error.to_string())
}

#[cfg(test)]
mod tests;
