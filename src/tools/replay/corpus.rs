//! The corpus: one JSON object a line, plain or gzipped, all lines of a room together.
//!
//! ```json
//! {"at":"2004-12-25T09:14:00Z","room":"ubuntu-2004-12-25","sender":"crimsun","kind":"text","text":"…"}
//! ```
//!
//! `kind` is `text`, `join`, `leave` or `rename` (`text` = the new nickname). A file may be of any size: one room at a
//! time is in memory.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;
use thiserror::Error;

use retaind_protocol::ids::{IdError, UserName};
use retaind_protocol::limits::CONTENT_BYTES_MAX;

/// Longest line: the longest text, every byte of it escaped as `\u00XX`.
const LINE_BYTES_MAX: u64 = 6 * CONTENT_BYTES_MAX as u64 + 4096;
/// Most events of one room, which are in memory together (about 200 bytes each).
const ROOM_EVENTS_MAX: usize = 1_000_000;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Why a corpus cannot be read.
#[derive(Debug, Error)]
pub enum CorpusError {
    /// The file.
    #[error("conversation file `{path}` cannot be read, does it exist and is it whole?")]
    File {
        /// Path of the recording.
        path: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A line.
    #[error("line {line} of `{path}` is not an event: {fault}")]
    Line {
        /// Which file.
        path: String,
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        fault: String,
    },
    /// A nickname that no user name can hold.
    #[error(transparent)]
    Name(IdError),
}

/// A corpus that can be read again and again.
#[derive(Debug, Clone)]
pub enum Corpus {
    /// A file, gzipped or not.
    File(PathBuf),
    /// Bytes, gzipped or not.
    Bytes(Arc<[u8]>),
}

/// What happened in a room, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Its name in the corpus.
    pub name: String,
    /// At least one.
    pub events: Vec<Event>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Microseconds since 1970 UTC, as logged.
    pub at_micros: i64,
    /// Who did it.
    pub user: UserName,
    /// What the user did.
    pub what: What,
}

/// What somebody did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Said this.
    Text(String),
    /// The user joined the room.
    Join,
    /// The user left the room.
    Leave,
    /// Goes on under this name.
    Rename(UserName),
}

#[derive(Deserialize)]
struct Line {
    at: String,
    room: String,
    sender: String,
    kind: LineKind,
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum LineKind {
    Text,
    Join,
    Leave,
    Rename,
}

/// The user name of a nickname. Names hold no white space and no control characters: those, and `%` itself, become `%`
/// and two hex digits for each byte of their UTF-8. So two nicknames never share a user name, and [`UserName`]s that
/// need nothing stay as they are.
pub(crate) fn user_name(nickname: &str) -> Result<UserName, IdError> {
    let mut name = String::with_capacity(nickname.len());
    for character in nickname.chars() {
        if character == '%' || character.is_control() || character.is_whitespace() {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                name.push_str(&format!("%{byte:02X}"));
            }
        } else {
            name.push(character);
        }
    }
    UserName::new(name)
}

impl Corpus {
    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Bytes(_) => "built-in conversation".to_owned(),
        }
    }

    /// Starts to read.
    pub fn rooms(&self) -> Result<Rooms, CorpusError> {
        let failed = |source| CorpusError::File { path: self.name(), source };
        let mut reader: Box<dyn BufRead + Send> = match self {
            Self::File(path) => Box::new(BufReader::new(File::open(path).map_err(failed)?)),
            Self::Bytes(bytes) => Box::new(Cursor::new(bytes.clone())),
        };
        if reader.fill_buf().map_err(failed)?.starts_with(&GZIP_MAGIC) {
            reader = Box::new(BufReader::new(MultiGzDecoder::new(reader)));
        }
        Ok(Rooms { reader, name: self.name(), line: 0, seen: HashSet::new(), next: None })
    }

    /// In how many rooms each user appears, by any event.
    pub(super) fn appearances(&self) -> Result<HashMap<UserName, u32>, CorpusError> {
        let mut rooms = self.rooms()?;
        let mut appearances = HashMap::new();
        while let Some(room) = rooms.next_room()? {
            for user in room.users() {
                let count: &mut u32 = appearances.entry(user).or_default();
                *count = count.saturating_add(1);
            }
        }
        Ok(appearances)
    }

    /// How many events there are. Reads all.
    pub fn events(&self) -> Result<u64, CorpusError> {
        let mut rooms = self.rooms()?;
        let mut events = 0u64;
        while let Some(room) = rooms.next_room()? {
            events = events.saturating_add(room.events.len() as u64);
        }
        Ok(events)
    }
}

impl Room {
    /// Everybody who is named in it, once.
    pub fn users(&self) -> HashSet<UserName> {
        let mut users = HashSet::new();
        for event in &self.events {
            users.insert(event.user.clone());
            if let What::Rename(to) = &event.what {
                users.insert(to.clone());
            }
        }
        users
    }
}

/// A corpus that is being read.
pub struct Rooms {
    reader: Box<dyn BufRead + Send>,
    name: String,
    line: u64,
    seen: HashSet<String>,
    next: Option<(String, Event)>,
}

impl Rooms {
    /// The next room, whole.
    pub fn next_room(&mut self) -> Result<Option<Room>, CorpusError> {
        let Some((name, first)) = self.take()? else { return Ok(None) };
        if !self.seen.insert(name.clone()) {
            return Err(self.fault(format!("room `{name}` comes back, but all events of a room must stand together")));
        }
        let mut room = Room { name, events: vec![first] };
        while let Some((name, event)) = self.take()? {
            if name != room.name {
                self.next = Some((name, event));
                break;
            }
            if room.events.len() >= ROOM_EVENTS_MAX {
                return Err(
                    self.fault(format!("room `{name}` has more than {ROOM_EVENTS_MAX} events: cut it in parts"))
                );
            }
            room.events.push(event);
        }
        Ok(Some(room))
    }

    fn fault(&self, fault: String) -> CorpusError {
        CorpusError::Line { path: self.name.clone(), line: self.line, fault }
    }

    /// The next event and its room.
    fn take(&mut self) -> Result<Option<(String, Event)>, CorpusError> {
        if let Some(next) = self.next.take() {
            return Ok(Some(next));
        }
        let mut bytes = Vec::new();
        self.line = self.line.saturating_add(1);
        let mut limited = (&mut self.reader).take(LINE_BYTES_MAX);
        let read = limited.read_until(b'\n', &mut bytes);
        read.map_err(|source| CorpusError::File { path: self.name.clone(), source })?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.len() as u64 >= LINE_BYTES_MAX {
            return Err(self.fault(format!("it is longer than {LINE_BYTES_MAX} bytes")));
        }
        let line: Line = serde_json::from_slice(&bytes).map_err(|error| self.fault(error.to_string()))?;
        let at = line.at.parse::<jiff::Timestamp>();
        let at_micros = at.map_err(|error| self.fault(format!("field `at`: {error}")))?.as_microsecond();
        let name = |nickname: &str| user_name(nickname).map_err(|error| self.fault(error.to_string()));
        let what = match (line.kind, line.text) {
            (LineKind::Text, Some(text)) => What::Text(text),
            (LineKind::Rename, Some(to)) => What::Rename(name(&to)?),
            (LineKind::Text | LineKind::Rename, None) => return Err(self.fault("field `text` is missing".to_owned())),
            (LineKind::Join, _) => What::Join,
            (LineKind::Leave, _) => What::Leave,
        };
        let user = name(&line.sender)?;
        Ok(Some((line.room, Event { at_micros, user, what })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus(text: &str) -> Corpus {
        Corpus::Bytes(text.as_bytes().into())
    }

    const LINES: &str = concat!(
        r#"{"at":"2004-12-25T09:14:00Z","room":"a","sender":"[L0sT] x","kind":"text","text":"\u0001 é"}"#,
        "\n",
        r#"{"at":"2004-12-25T09:14:01Z","room":"a","sender":"b%","kind":"rename","text":"c"}"#,
        "\n",
        r#"{"at":"2004-12-25T09:14:02Z","room":"b","sender":"b%","kind":"join"}"#,
        "\n"
    );

    #[test]
    fn rooms_are_read_one_at_a_time_plain_or_gzipped() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut packed, LINES.as_bytes()).unwrap();
        let packed = Corpus::Bytes(packed.finish().unwrap().into());
        for corpus in [corpus(LINES), packed] {
            let mut rooms = corpus.rooms().unwrap();
            let room = rooms.next_room().unwrap().unwrap();
            assert_eq!((room.name.as_str(), room.events.len()), ("a", 2));
            assert_eq!(room.events[0].what, What::Text("\u{1} é".to_owned()));
            assert_eq!(room.events[0].user.as_str(), "[L0sT]%20x");
            assert_eq!(room.events[0].at_micros, 1_103_966_040_000_000);
            assert_eq!(room.events[1].what, What::Rename(UserName::new("c").unwrap()));
            assert_eq!(rooms.next_room().unwrap().unwrap().name, "b");
            assert_eq!(rooms.next_room().unwrap(), None);
            assert_eq!(corpus.events().unwrap(), 3);
            assert_eq!(corpus.appearances().unwrap()[&user_name("b%").unwrap()], 2);
        }
    }

    #[test]
    fn two_nicknames_never_share_a_user_name() {
        let odd = ["a b", "a%20b", "a%b", "a\u{a0}b", "ab", "a\u{1}b", "a%01b", "a%C2%A0b"];
        let names: HashSet<_> = odd.iter().map(|nickname| user_name(nickname).unwrap()).collect();
        assert_eq!(names.len(), odd.len());
        assert_eq!(user_name("|QuaD-").unwrap().as_str(), "|QuaD-");
    }

    #[test]
    fn a_bad_line_is_named_by_its_number() {
        let bad = format!("{LINES}{}", r#"{"at":"yesterday","room":"b","sender":"x","kind":"join"}"#);
        let mut rooms = corpus(&bad).rooms().unwrap();
        rooms.next_room().unwrap();
        let error = rooms.next_room().unwrap_err().to_string();
        assert!(error.starts_with("line 4 of `built-in conversation` is not an event: field `at`"), "{error}");
    }

    #[test]
    fn a_room_that_comes_back_is_refused() {
        let back = format!("{LINES}{}", r#"{"at":"2004-12-25T09:14:02Z","room":"a","sender":"x","kind":"join"}"#);
        let mut rooms = corpus(&back).rooms().unwrap();
        rooms.next_room().unwrap();
        rooms.next_room().unwrap();
        assert!(rooms.next_room().unwrap_err().to_string().contains("room `a` comes back"));
    }
}
