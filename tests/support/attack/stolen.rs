//! Whoever has a copy of a disk: looks through all of its bytes for keys.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail the test"
)]

use std::fs;
use std::path::Path;

use retaind::protocol::credential::AuthenticationKey;

/// How a P-384 key begins in PKCS #8, behind the length of the whole.
const P384: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";
/// Longest key that is looked for.
const KEY_BYTES_MAX: usize = 256;

/// What was found where.
#[derive(Debug, Default)]
pub struct Loot {
    /// Files with keys that sign credentials or serve TLS.
    pub keys: Vec<String>,
    /// Files with one of the secrets that were looked for.
    pub secrets: Vec<String>,
}

/// Looks through all files below `directory` for keys of P-384, and for these bytes.
pub fn search(directory: &Path, secrets: &[Vec<u8>]) -> Loot {
    let mut loot = Loot::default();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            let below = search(&path, secrets);
            loot.keys.extend(below.keys);
            loot.secrets.extend(below.secrets);
            continue;
        }
        let (name, bytes) = (path.display().to_string(), fs::read(&path).unwrap());
        if has_key(&bytes) || contains(&bytes, b"PRIVATE KEY") {
            loot.keys.push(name.clone());
        }
        if secrets.iter().any(|secret| contains(&bytes, secret)) {
            loot.secrets.push(name);
        }
    }
    loot
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn has_key(bytes: &[u8]) -> bool {
    let starts = bytes.windows(P384.len()).enumerate().filter(|(_, window)| *window == P384);
    starts.map(|(at, _)| at).any(|at| {
        let begins = at.saturating_sub(16)..at;
        let ends = |start: usize| start + 100..(start + KEY_BYTES_MAX).min(bytes.len());
        begins.clone().any(|start| {
            bytes[start] == 0x30 && ends(start).any(|end| AuthenticationKey::from_pkcs8(&bytes[start..end]).is_ok())
        })
    })
}
