//! What lies on a device's disk: the vault's header and values, rows, the state file, the count of starts, what was in hand.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use prost::Message;
use retaind::bot::starts::Starts;
use retaind::bot::state;
use retaind::device::store::{STEPS, StoredBeginning, StoredIdentity};
use retaind::protocol::ids::{ConversationId, ConversationKind};
use retaind::source_mls::hand::format::{self, Deliveries, RECORD_BYTES, Suspect};
use retaind::source_mls::hand::suspects::after_death;
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

/// Where the records of an input stand in the file: the run, then marks and suspects in turn.
fn place(record: usize) -> usize {
    let place = if record.is_multiple_of(2) { format::MARKS_MAX + record / 2 } else { record.div_ceil(2) };
    (if record == 0 { 0 } else { place }) * RECORD_BYTES
}

/// The file of marks. The input is a file, and records in an empty one: most of a file is empty.
pub fn in_hand_file(bytes: &[u8]) -> Fate {
    assert_eq!(format::decode(bytes).is_ok(), bytes.len() == format::FILE_BYTES);
    let mut file = format::encode(&[]);
    for (number, record) in bytes.as_chunks::<RECORD_BYTES>().0.iter().enumerate().take(2 * format::MARKS_MAX + 1) {
        file[place(number)..][..RECORD_BYTES].copy_from_slice(record);
    }
    let found = format::decode(&file).unwrap();
    let again = format::decode(&format::encode(&found.suspects)).unwrap();
    assert_eq!((again.suspects, again.damaged), (found.suspects.clone(), 0));
    let after = after_death(&found.suspects, &found.in_hand);
    assert!(after.len() <= format::SUSPECTS_MAX);
    for Suspect { deliveries, .. } in &after {
        assert!((1..=deliveries.last).contains(&deliveries.first));
    }
    if found.damaged == 0 && !bytes.is_empty() { Fate::Taken } else { Fate::Refused }
}

/// Files for the corpus.
#[cfg(test)]
pub fn in_hand_files() -> [Vec<u8>; 2] {
    let conversation = ConversationId::from_random(ConversationKind::Room, [7; 32]);
    let deliveries = Deliveries { conversation, first: 5, last: 9 };
    let other =
        Deliveries { conversation: ConversationId::from_random(ConversationKind::Direct, [9; 32]), ..deliveries };
    let suspect = |deliveries| {
        let file = format::encode(&[Suspect { deliveries, deaths: 2 }]);
        file[place(2)..][..RECORD_BYTES].to_vec()
    };
    [
        [format::ended().to_vec(), format::nothing().to_vec(), suspect(deliveries)].concat(),
        [format::encode(&[])[..RECORD_BYTES].to_vec(), format::mark(&other).to_vec(), suspect(deliveries)].concat(),
    ]
}
