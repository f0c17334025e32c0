//! What an operator gives: variables and the files that they name, the secret, certificates, arguments.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;

use clap::Parser;
use retaind::cli::Arguments;
use retaind::config::layer::Read;
use retaind::config::network::Network;
use retaind::config::secret::Secret;
use retaind::config::{self, describe::describe};
use serde_json::Value;

use super::Fate;
use super::device::folder;

/// Stands in passwords of the corpus, and must not be shown to anybody.
const MARKER: &str = "7h1s-1s-s3cr3t";
/// Variables whose value is the path of a file: the value is put into one. No other file of this machine is to be read.
const PATHS: [&str; 3] = ["RETAIND_NETWORK_CA", "AWS_CA_BUNDLE", "_FILE"];
const PASSWORDS: [&str; 2] = ["WICKRIO_BOT_PASSWORD", "WICKRIO_ROTATE_PASSWORD"];

/// All that a person is shown of what became of it.
fn shown(vars: Vec<(OsString, OsString)>, secret: Read) -> (String, Option<config::Config>) {
    match config::load(vars, |_| secret) {
        Ok((config, warnings)) => {
            let mut out = Vec::new();
            describe(&config, &mut out).unwrap();
            warnings.iter().for_each(|warning| out.extend_from_slice(warning.to_string().as_bytes()));
            out.extend_from_slice(format!("{config:?}").as_bytes());
            (String::from_utf8(out).unwrap(), Some(config))
        }
        Err(mistakes) => {
            assert!(!mistakes.as_slice().is_empty(), "refused for no reason");
            (format!("{mistakes} {mistakes:?}"), None)
        }
    }
}

fn text(text: &str) -> Read {
    Read::Text(Secret::new(text.to_owned()))
}

/// `NAME=VALUE`, ended by zeros as in `/proc/<pid>/environ`.
pub fn environment(bytes: &[u8]) -> Fate {
    let (mut vars, mut elsewhere) = (Vec::new(), false);
    for (number, entry) in bytes.split(|byte| *byte == 0).enumerate() {
        let Some(equals) = entry.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = (&entry[..equals], &entry[equals + 1..]);
        let known = std::str::from_utf8(name).unwrap_or_default();
        let stem = known.strip_suffix("_FILE").unwrap_or(known);
        elsewhere |= !PASSWORDS.contains(&stem) && String::from_utf8_lossy(entry).contains(MARKER);
        let value = if PATHS.iter().any(|path| known.ends_with(path)) {
            let path = folder().join(format!("value{number}"));
            fs::write(&path, value).unwrap();
            path.into_os_string()
        } else {
            OsString::from_vec(value.to_vec())
        };
        vars.push((OsString::from_vec(name.to_vec()), value));
    }
    let (shown, config) = shown(vars, text("{}"));
    assert!(elsewhere || !shown.contains(MARKER), "a password is shown");
    if config.is_some() { Fate::Taken } else { Fate::Refused }
}

/// Is the marker in a key, or in another value than the password's?
fn is_elsewhere(json: &Value) -> bool {
    match json {
        Value::Object(object) => object.iter().any(|(key, value)| {
            key.contains(MARKER) || (key != "password" && value.to_string().contains(MARKER)) || value.is_object()
        }),
        other => other.to_string().contains(MARKER),
    }
}

pub fn secret_json(bytes: &[u8]) -> Fate {
    let vars = [
        ("WICKRIO_BOT_NAME", "compliance_1234567890_bot"),
        ("AWS_SECRET_NAME", "wickr/compliance"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ];
    let Ok(secret) = std::str::from_utf8(bytes) else { return Fate::Refused };
    let vars = vars.map(|(name, value)| (name.into(), value.into())).to_vec();
    let (shown, config) = shown(vars, text(secret));
    // what is not JSON at all may be a password alone. A key twice: the later value is all that is seen here
    let elsewhere =
        serde_json::from_str(secret).is_ok_and(|json| is_elsewhere(&json)) || secret.matches(MARKER).count() > 1;
    assert!(elsewhere || !shown.contains(MARKER), "a password is shown");
    if config.is_some() { Fate::Taken } else { Fate::Refused }
}

/// A file of certificates, as the network's authority and as that of AWS.
pub fn certificate(bytes: &[u8]) -> Fate {
    let path = folder().join("certificates.pem");
    fs::write(&path, bytes).unwrap();
    let mut fate = Fate::Refused;
    for file in ["RETAIND_NETWORK_CA", "AWS_CA_BUNDLE"] {
        let vars = vec![
            ("WICKRIO_BOT_NAME".into(), "compliance_1234567890_bot".into()),
            ("RETAIND_NETWORK".into(), "localhost:4433".into()),
            (file.into(), path.clone().into_os_string()),
        ];
        if let (_, Some(config)) = shown(vars, text("{}")) {
            assert!(matches!(config.network, Network::Outside { authority, .. } if !authority.der.is_empty()));
            fate = Fate::Taken;
        }
    }
    fate
}

/// Arguments, ended by zeros as in `/proc/<pid>/cmdline`.
pub fn arguments(bytes: &[u8]) -> Fate {
    let words = bytes.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec()));
    let parsed = Arguments::try_parse_from(std::iter::once(OsString::from("retaind")).chain(words));
    if let Err(error) = &parsed {
        assert!(!error.to_string().is_empty());
    }
    Fate::of(&parsed)
}
