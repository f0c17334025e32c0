//! What a record is about: one variant for each row of the table of types.

use jiff::Timestamp;

use super::kind::Kind;

/// What a record is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// 1000.
    Text(Text),
    /// 3000: a step of comparing keys.
    KeyVerification(KeyVerification),
    /// 4001.
    Create(Room),
    /// 4002.
    Members {
        /// Who came.
        added: Vec<String>,
        /// Who was removed or left.
        removed: Vec<String>,
    },
    /// 4003: these users left; the sender alone where the line names nobody.
    Left(Vec<String>),
    /// 4004: title, description, masters and the like.
    Modify(Room),
    /// 4004 with a saved item.
    SavedItem(Room, SavedItem),
    /// 4005.
    DeleteRoom,
    /// 4011: recalled for everybody, or deleted on the sender's devices.
    Deletion {
        /// `message_id` of what was deleted.
        target: String,
        /// For whom.
        scope: Scope,
    },
    /// 4012.
    Stars(Vec<Star>),
    /// 4013.
    StarSync,
    /// 4014: pinned, or no longer.
    Pin(Change),
    /// 4900: the bot joined, keys changed, retention was proposed.
    State(State),
    /// 6000.
    File(File),
    /// 7000.
    Call(Call),
    /// 8000.
    Location(Position),
    /// 9000 of a text.
    Edit(Edit),
    /// 9000 of a position.
    LiveLocation {
        /// Where; absent when the sharing stopped, in some lines.
        position: Option<Position>,
        /// Until when it is shared; none: it was stopped.
        until: Option<Timestamp>,
    },
    /// 9100.
    Reaction {
        /// `message_id` of the message.
        target: String,
        /// The sign.
        reaction: String,
        /// Added or removed.
        change: Change,
    },
    /// 9200. It names its message by the time of sending only.
    Read {
        /// `msg_ts` of the message.
        sent_at: Option<Timestamp>,
        /// When it was read, as the reader's device says.
        read_at: Option<Timestamp>,
        /// `READ`.
        status: String,
    },
    /// 0: what could not be decrypted or understood.
    Unreadable(Unreadable),
    /// 0: what the network did not deliver, both ends included.
    Hole {
        /// First missing `seq`.
        from_seq: u64,
        /// Last missing `seq`.
        to_seq: u64,
        /// In words.
        reason: String,
    },
    /// A number that this reader does not know.
    Unknown,
}

/// A text and its links.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    /// The text.
    pub text: String,
    /// URLs.
    pub links: Vec<String>,
}

/// A step of comparing keys.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyVerification {
    /// 1 request, 2 response and request, 3 accepted, 4 rejected, 5 not now; 0 if absent.
    pub step: u32,
    /// In hex.
    pub key: String,
}

/// State of a room as its sender's device believes it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Room {
    /// Title.
    pub title: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Moderators.
    pub masters: Vec<String>,
    /// Members, by the sender's list: see [`crate::membership`] for the authenticated one.
    pub members: Vec<String>,
    /// Sum of what changed: masters 1, ttl 2, title 4, description 8, meeting key 16, burn on read 32, saved items 64.
    pub changemask: u32,
    /// Seconds that messages live.
    pub ttl_secs: Option<i64>,
    /// Seconds that messages live once read.
    pub bor_secs: Option<i64>,
}

/// A change of a saved item.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SavedItem {
    /// create, upload, save, rename, move, delete.
    pub action: String,
    /// `file` or `folder`.
    pub target: String,
    /// Its name.
    pub name: String,
    /// Its folder.
    pub path: String,
    /// Who did it.
    pub user: String,
    /// When, as written.
    pub at: String,
    /// SHA-256 in hex, a claim.
    pub hash: Option<String>,
    /// Id that the sender gave it.
    pub guid: Option<String>,
    /// Its name in the archive, if it is there.
    pub local_name: Option<String>,
    /// `saved` or `missing`, if the bot says.
    pub status: Option<String>,
    /// Why it is missing.
    pub reason: Option<String>,
}

/// For whom a message was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Recalled.
    Everyone,
    /// On the sender's own devices.
    Own,
}

/// Set or taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Set.
    Added,
    /// Taken back.
    Removed,
}

impl Change {
    pub(super) fn of(set: Option<bool>) -> Self {
        if set.unwrap_or(true) { Self::Added } else { Self::Removed }
    }
}

/// A message starred, or no longer.
#[derive(Debug, Clone, PartialEq)]
pub struct Star {
    /// `message_id`.
    pub target: String,
    /// Starred or not.
    pub change: Change,
}

/// Keys and membership of the conversation's encryption.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// `joined`, `keyupdate`, `proposal`, `retention`.
    pub action: String,
    /// Epoch of the keys.
    pub epoch: Option<u64>,
    /// Members when the bot joined.
    pub members: Vec<String>,
}

/// A file and what became of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct File {
    /// Original name.
    pub name: Option<String>,
    /// Name in the archive.
    pub local_name: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
    /// SHA-256 in hex.
    pub hash: Option<String>,
    /// Id that the sender gave it.
    pub guid: Option<String>,
    /// `saved`, `missing`, `undecryptable`; none in lines of the closed bot.
    pub status: Option<String>,
    /// Why it is not there.
    pub reason: Option<String>,
    /// All that the network has of an undecryptable one.
    pub ciphertext: Option<Kept>,
    /// Beginning of an undecryptable one, as far as it opens.
    pub decrypted: Option<Kept>,
    /// Who uploaded it.
    pub uploaded_by: Option<String>,
    /// When, as written.
    pub uploaded_at: Option<String>,
    /// A screenshot.
    pub is_screenshot: bool,
    /// A voice message.
    pub is_voice_memo: bool,
    /// Its seconds.
    pub voice_memo_secs: Option<i64>,
}

impl File {
    /// Is all of it in the archive? Lines of the closed bot have no status: a name in the archive says so there.
    pub fn is_saved(&self) -> bool {
        self.status.as_deref().map_or(self.local_name.is_some(), |status| status == "saved")
    }
}

/// A file kept in the archive for one that could not be opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Name in the archive.
    pub name: Option<String>,
    /// SHA-256 in hex.
    pub sha256: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
}

/// A call's event.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// 0 started, 1 completed, 2 missed, 3 cancelled.
    pub status: Option<u32>,
    /// Seconds.
    pub duration_secs: Option<i64>,
    /// SHA-256 of the users' names, in hex.
    pub participants: Vec<String>,
    /// Id of the meeting.
    pub meeting: Option<String>,
    /// `message_id` of the call's start.
    pub start: Option<String>,
    /// `message_id` of the invitation.
    pub invite: Option<String>,
    /// Address of the call's server, IPv4.
    pub uri: Option<String>,
    /// The same, IPv6.
    pub uri_v6: Option<String>,
}

/// A place, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    /// North is positive.
    pub latitude: f64,
    /// East is positive.
    pub longitude: f64,
}

/// A new version of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// `message_id` of the text; absent in some lines of the closed bot.
    pub target: Option<String>,
    /// The new text; absent where only a preview of a link came.
    pub text: Option<String>,
    /// URLs.
    pub links: Vec<String>,
}

/// What could not be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Unreadable {
    /// In words.
    pub reason: String,
    /// What was delivered.
    pub ciphertext: Option<Kept>,
    /// `msgtype` that the content claims, if it was decrypted.
    pub claimed_type: Option<u32>,
    /// Its file, if the bot could fetch one.
    pub file: Option<File>,
}

impl Body {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::KeyVerification(_) => Kind::KeyVerification,
            Self::Create(_) => Kind::Create,
            Self::Members { .. } => Kind::Members,
            Self::Left(_) => Kind::Left,
            Self::Modify(_) => Kind::Modify,
            Self::SavedItem(..) => Kind::SavedItem,
            Self::DeleteRoom => Kind::DeleteRoom,
            Self::Deletion { scope: Scope::Everyone, .. } => Kind::Recall,
            Self::Deletion { scope: Scope::Own, .. } => Kind::Delete,
            Self::Stars(_) => Kind::Star,
            Self::StarSync => Kind::StarSync,
            Self::Pin(_) => Kind::Pin,
            Self::State(_) => Kind::State,
            Self::File(_) => Kind::File,
            Self::Call(_) => Kind::Call,
            Self::Location(_) => Kind::Location,
            Self::Edit(_) => Kind::Edit,
            Self::LiveLocation { .. } => Kind::LiveLocation,
            Self::Reaction { .. } => Kind::Reaction,
            Self::Read { .. } => Kind::Read,
            Self::Unreadable(_) => Kind::Unreadable,
            Self::Hole { .. } => Kind::Hole,
            Self::Unknown => Kind::Unknown,
        }
    }
}
