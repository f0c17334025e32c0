//! What lies on a device's disk: the vault's header and values, rows, the state file, the count of starts.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use prost::Message;
use retaind::bot::starts::Starts;
use retaind::bot::state;
use retaind::device::store::{STEPS, StoredBeginning, StoredIdentity};
use retaind::state::schema;
use retaind::state::vault::{Vault, VaultHeader};

use super::Fate;

/// A folder for the files that decoders want to read; one a process, as its inputs come one after another.
pub fn folder() -> &'static PathBuf {
    // in memory where there is such a place: a disk would be all that is measured
    static FOLDER: LazyLock<tempfile::TempDir> =
        LazyLock::new(|| tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap());
    static PATH: LazyLock<PathBuf> = LazyLock::new(|| FOLDER.path().to_owned());
    &PATH
}

/// The password is not asked for: Argon2 would be all that is measured, and what it may cost is bounded in the header.
pub fn vault_header(bytes: &[u8]) -> Fate {
    let header = VaultHeader::decode(bytes);
    if let Ok(header) = &header {
        assert_eq!(header.encode(), bytes, "one encoding only");
    }
    Fate::of(&header)
}

/// Nothing that this vault has not sealed opens.
pub fn vault_value(bytes: &[u8]) -> Fate {
    static VAULT: LazyLock<Vault> = LazyLock::new(|| Vault::create(b"a password for tests").unwrap().0);
    static SEALED: LazyLock<Vec<u8>> = LazyLock::new(|| VAULT.seal(b"a row", &[7; 100]).unwrap());
    assert!(VAULT.open(b"a row", bytes).is_err());
    // bytes laid over what was sealed
    let mut laid = SEALED.clone();
    for (to, from) in laid.iter_mut().zip(bytes) {
        *to ^= from;
    }
    if laid == *SEALED {
        return Fate::Taken;
    }
    assert!(VAULT.open(b"a row", &laid).is_err());
    Fate::Refused
}

pub fn stored_rows(bytes: &[u8]) -> Fate {
    let identity = StoredIdentity::decode(bytes);
    if let Ok(identity) = &identity {
        assert_eq!(StoredIdentity::decode(identity.encode_to_vec().as_slice()).as_ref(), Ok(identity));
        assert_eq!(identity.endpoint().address, identity.address);
    }
    if let Ok(beginning) = StoredBeginning::decode(bytes) {
        assert_eq!(StoredBeginning::decode(beginning.encode_to_vec().as_slice()), Ok(beginning));
    }
    Fate::of(&identity)
}

/// A state file of anybody's making, as `retaind status` and the look before a start read it.
pub fn state_file(bytes: &[u8]) -> Fate {
    let path = folder().join("bot.db");
    for beside in ["bot.db-wal", "bot.db-shm", "bot.db-journal"] {
        let _ = fs::remove_file(folder().join(beside));
    }
    fs::write(&path, bytes).unwrap();
    let _ = schema::refuse_newer(&path, STEPS);
    let unshipped = state::unshipped(&path);
    assert_eq!(fs::read(&path).unwrap(), bytes, "a look has changed the file");
    Fate::of(&unshipped)
}

/// Longest pause of a start.
const PAUSE_MAX: Duration = Duration::from_secs(60);

pub fn starts_file(bytes: &[u8]) -> Fate {
    fs::write(folder().join("starts.json"), bytes).unwrap();
    let history = Starts::of(folder()).history();
    for now in [i64::MIN, -1, 0, 1_700_000_000_000, i64::MAX] {
        assert!(history.pause(now) <= PAUSE_MAX);
        let failed = history.failed(now, 255);
        assert!(failed.pause(now) <= PAUSE_MAX && failed.failed_in_a_row >= history.failed_in_a_row);
    }
    if history.failed_in_a_row > 0 { Fate::Taken } else { Fate::Refused }
}
