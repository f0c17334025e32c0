//! What several parts read their texts with.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use crate::mistake::Invalid;

/// Largest file of certificates, in bytes; the system's own has a fifth of that.
const BUNDLE_BYTES_MAX: u64 = 1024 * 1024;

/// A path, unless it holds control characters.
pub(crate) fn path(text: &str) -> Result<PathBuf, Invalid> {
    if text.chars().any(char::is_control) { Err(Invalid::Path) } else { Ok(PathBuf::from(text)) }
}

/// A number in digits, within limits.
pub(crate) fn number(text: &str, unit: &'static str, min: u64, max: u64) -> Result<u64, Invalid> {
    // digits only: `u64::from_str` would also take a `+`
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits && (min..=max).contains(&number) => Ok(number),
        _ => Err(Invalid::Number { unit, min, max }),
    }
}

/// At most [`BUNDLE_BYTES_MAX`] of it, whatever it is.
pub(crate) fn read_bundle(file: &Path) -> Result<Vec<u8>, String> {
    let mut pem = Vec::new();
    File::open(file)
        .and_then(|file| file.take(BUNDLE_BYTES_MAX.saturating_add(1)).read_to_end(&mut pem))
        .map_err(|error| error.to_string())?;
    if pem.len() as u64 > BUNDLE_BYTES_MAX {
        return Err(format!("it is larger than {BUNDLE_BYTES_MAX} bytes"));
    }
    Ok(pem)
}

/// The certificates of a PEM file, each parsed as whoever trusts it will parse it: the AWS SDK ends the process at one that
/// cannot be.
pub(crate) fn authorities(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Invalid> {
    let sections: Vec<_> = CertificateDer::pem_slice_iter(pem).collect();
    let of = sections.len();
    let parsed = (1..).zip(sections).map(|(number, section)| {
        let broken = |why: String| Invalid::Authority { number, of, why };
        let certificate = section.map_err(|error| broken(error.to_string()))?;
        RootCertStore::empty().add(certificate.clone()).map_err(|error| broken(error.to_string()))?;
        Ok(certificate)
    });
    parsed.collect()
}
