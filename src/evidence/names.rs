//! Where evidence is in an archive, from the archive's root. Names sort as their numbers do, so one list in order is the log.

use crate::entry::LogId;

/// The folder. It begins with `_`, which query services pass over, so that they do not read entries as messages.
pub const FOLDER: &str = "_evidence";
const CHECKPOINTS: &str = "checkpoint";
const KEYS: &str = "keys";
const CUSTODY: &str = "custody";
/// Digits of a number in a name. A greater number has more.
const DIGITS: usize = 12;
/// Of a time stamp beside its checkpoint (RFC 3161).
const TIME_STAMP: &str = ".tsr";

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// An entry.
    Entry {
        /// Its log.
        log: LogId,
        /// Its number.
        number: u64,
    },
    /// A head.
    Checkpoint {
        /// Its log.
        log: LogId,
        /// Entries that it covers.
        size: u64,
    },
    /// The time stamp of a head.
    TimeStamp {
        /// Its log.
        log: LogId,
        /// Entries that the head covers.
        size: u64,
    },
    /// A public key.
    Key {
        /// 8 hexadecimal digits.
        id: String,
    },
    /// A file of the officer's log.
    Custody,
}

/// Path of an entry.
pub fn entry(log: &LogId, number: u64) -> String {
    format!("{FOLDER}/{log}/{number:0DIGITS$}.json")
}

/// Path of a checkpoint of this many entries.
pub fn checkpoint(log: &LogId, size: u64) -> String {
    format!("{FOLDER}/{log}/{CHECKPOINTS}/{size:0DIGITS$}")
}

/// Path of the time stamp of a checkpoint.
pub fn time_stamp(log: &LogId, size: u64) -> String {
    checkpoint(log, size) + TIME_STAMP
}

/// Path of a public key. `id`: 8 hexadecimal digits.
pub fn key(id: &str) -> String {
    format!("{FOLDER}/{KEYS}/{id}")
}

impl Name {
    /// The path that the functions of this module give.
    pub fn path(&self) -> Option<String> {
        match self {
            Self::Entry { log, number } => Some(entry(log, *number)),
            Self::Checkpoint { log, size } => Some(checkpoint(log, *size)),
            Self::TimeStamp { log, size } => Some(time_stamp(log, *size)),
            Self::Key { id } => Some(key(id)),
            Self::Custody => None,
        }
    }

    /// What `path` names. `None`: nothing that the bot writes.
    pub fn parse(path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix(FOLDER)?.strip_prefix('/')?.split('/');
        let (first, second, third, fourth) = (parts.next()?, parts.next()?, parts.next(), parts.next());
        if first == CUSTODY {
            return third.map(|_| Self::Custody);
        }
        if first == KEYS {
            let is_id = second.len() == 8 && second.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
            return (is_id && third.is_none()).then(|| Self::Key { id: second.to_owned() });
        }
        let log = first.parse().ok()?;
        match (third, fourth) {
            (None, None) => Some(Self::Entry { log, number: number(second.strip_suffix(".json")?)? }),
            (Some(size), None) if second == CHECKPOINTS => match size.strip_suffix(TIME_STAMP) {
                Some(size) => Some(Self::TimeStamp { log, size: number(size)? }),
                None => Some(Self::Checkpoint { log, size: number(size)? }),
            },
            (Some(_), _) | (None, Some(_)) => None,
        }
    }
}

fn number(digits: &str) -> Option<u64> {
    let number = digits.parse::<u64>().ok()?;
    (format!("{number:0DIGITS$}") == digits).then_some(number)
}
