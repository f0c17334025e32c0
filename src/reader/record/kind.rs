//! The kinds of records by the names that filters and exports use.

use std::fmt;
use std::str::FromStr;

/// What a record is. The name is stable: it is the `type` of every export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the table below has the name and the number of each")]
pub enum Kind {
    Text,
    KeyVerification,
    Create,
    Members,
    Left,
    Modify,
    SavedItem,
    DeleteRoom,
    Recall,
    Delete,
    Star,
    StarSync,
    Pin,
    State,
    File,
    Call,
    Location,
    Edit,
    LiveLocation,
    Reaction,
    Read,
    Unreadable,
    Hole,
    Unknown,
}

/// Every kind: its name, and the `msgtype` that it has (none: any number that is not listed).
pub const KINDS: [(Kind, &str, Option<u32>); 24] = [
    (Kind::Text, "text", Some(1000)),
    (Kind::KeyVerification, "key-verification", Some(3000)),
    (Kind::Create, "create", Some(4001)),
    (Kind::Members, "members", Some(4002)),
    (Kind::Left, "left", Some(4003)),
    (Kind::Modify, "modify", Some(4004)),
    (Kind::SavedItem, "saved-item", Some(4004)),
    (Kind::DeleteRoom, "delete-room", Some(4005)),
    (Kind::Recall, "recall", Some(4011)),
    (Kind::Delete, "delete", Some(4011)),
    (Kind::Star, "star", Some(4012)),
    (Kind::StarSync, "star-sync", Some(4013)),
    (Kind::Pin, "pin", Some(4014)),
    (Kind::State, "state", Some(4900)),
    (Kind::File, "file", Some(6000)),
    (Kind::Call, "call", Some(7000)),
    (Kind::Location, "location", Some(8000)),
    (Kind::Edit, "edit", Some(9000)),
    (Kind::LiveLocation, "live-location", Some(9000)),
    (Kind::Reaction, "reaction", Some(9100)),
    (Kind::Read, "read", Some(9200)),
    (Kind::Unreadable, "unreadable", Some(0)),
    (Kind::Hole, "hole", Some(0)),
    (Kind::Unknown, "unknown", None),
];

impl Kind {
    /// Its name.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, ..)| *kind == self).map_or("unknown", |(_, name, _)| name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        KINDS.iter().find(|(_, known, _)| *known == name).map(|(kind, ..)| *kind).ok_or_else(|| {
            let names: Vec<&str> = KINDS.iter().map(|(_, name, _)| *name).collect();
            format!("`{name}` is no type of record: give a number or one of {}", names.join(", "))
        })
    }
}
