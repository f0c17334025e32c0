//! What happened, by type.

use serde::Deserialize as _;
use serde_json::{Value, json};

use super::EntryError;
use super::events::{Close, Genesis, Interval, KeyChange, Notice, Pause, Restore};
use super::files::{Receipt, Segment};
use super::words::words;

words! {
    /// The type of an entry.
    Kind {
        /// The log begins.
        Genesis = "genesis",
        /// A message file was sealed.
        Segment = "segment",
        /// Objects are stored.
        Receipt = "receipt",
        /// Time has passed without another entry.
        Interval = "interval",
        /// The bot was away.
        Pause = "pause",
        /// Something an examiner would ask about.
        Notice = "notice",
        /// Another key signs from here on.
        Key = "key",
        /// The state is older than what was published: the log ends.
        Restore = "restore",
        /// The log ends in order.
        Close = "close",
    }
}

/// The object of an entry's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// [`Kind::Genesis`].
    Genesis(Genesis),
    /// [`Kind::Segment`].
    Segment(Segment),
    /// [`Kind::Receipt`].
    Receipt(Receipt),
    /// [`Kind::Interval`].
    Interval(Interval),
    /// [`Kind::Pause`].
    Pause(Pause),
    /// [`Kind::Notice`].
    Notice(Notice),
    /// [`Kind::Key`].
    Key(KeyChange),
    /// [`Kind::Restore`].
    Restore(Restore),
    /// [`Kind::Close`].
    Close(Close),
}

impl Body {
    /// Its type.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Genesis(_) => Kind::Genesis,
            Self::Segment(_) => Kind::Segment,
            Self::Receipt(_) => Kind::Receipt,
            Self::Interval(_) => Kind::Interval,
            Self::Pause(_) => Kind::Pause,
            Self::Notice(_) => Kind::Notice,
            Self::Key(_) => Kind::Key,
            Self::Restore(_) => Kind::Restore,
            Self::Close(_) => Kind::Close,
        }
    }

    pub(super) fn value(&self) -> Value {
        match self {
            Self::Genesis(body) => json!(body),
            Self::Segment(body) => json!(body),
            Self::Receipt(body) => json!(body),
            Self::Interval(body) => json!(body),
            Self::Pause(body) => json!(body),
            Self::Notice(body) => json!(body),
            Self::Key(body) => json!(body),
            Self::Restore(body) => json!(body),
            Self::Close(body) => json!(body),
        }
    }

    pub(super) fn of(kind: Kind, value: &Value) -> Result<Self, EntryError> {
        let body = match kind {
            Kind::Genesis => Genesis::deserialize(value).map(Self::Genesis),
            Kind::Segment => Segment::deserialize(value).map(Self::Segment),
            Kind::Receipt => Receipt::deserialize(value).map(Self::Receipt),
            Kind::Interval => Interval::deserialize(value).map(Self::Interval),
            Kind::Pause => Pause::deserialize(value).map(Self::Pause),
            Kind::Notice => Notice::deserialize(value).map(Self::Notice),
            Kind::Key => KeyChange::deserialize(value).map(Self::Key),
            Kind::Restore => Restore::deserialize(value).map(Self::Restore),
            Kind::Close => Close::deserialize(value).map(Self::Close),
        };
        let body = body.map_err(|source| EntryError::Malformed { field: kind.as_str(), source: Some(source) })?;
        match body.unsorted() {
            Some(list) => Err(EntryError::Unsorted(list)),
            None => Ok(body),
        }
    }

    /// With its lists in their order.
    pub(super) fn sorted(mut self) -> Self {
        match &mut self {
            Self::Genesis(body) => body.segments_before.sort_by(|one, other| one.name.cmp(&other.name)),
            Self::Segment(body) => {
                body.conversations.sort_by(|one, other| one.id.cmp(&other.id));
                body.files.sort_by(|one, other| one.name.cmp(&other.name));
            }
            Self::Receipt(body) => body.objects.sort_by(|one, other| one.name.cmp(&other.name)),
            Self::Interval(_) | Self::Pause(_) | Self::Notice(_) | Self::Key(_) | Self::Restore(_) | Self::Close(_) => {
            }
        }
        self
    }

    /// A list that is not in its order.
    fn unsorted(&self) -> Option<&'static str> {
        let lists: &[(&str, bool)] = match self {
            Self::Genesis(body) => &[("segments_before", body.segments_before.is_sorted_by_key(|file| &file.name))],
            Self::Segment(body) => &[
                ("conversations", body.conversations.is_sorted_by_key(|conversation| &conversation.id)),
                ("files", body.files.is_sorted_by_key(|file| &file.name)),
            ],
            Self::Receipt(body) => &[("objects", body.objects.is_sorted_by_key(|object| &object.name))],
            Self::Interval(_) | Self::Pause(_) | Self::Notice(_) | Self::Key(_) | Self::Restore(_) | Self::Close(_) => {
                &[]
            }
        };
        lists.iter().find(|(_, is_sorted)| !is_sorted).map(|(list, _)| *list)
    }
}
