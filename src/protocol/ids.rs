//! Names of conversations, messages, devices and users.
//!
//! Each is parsed once, at the edge, and is valid from then on.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use thiserror::Error;

use super::limits::USER_NAME_BYTES_MAX;

/// What is wrong with a name from outside.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum IdError {
    /// It is not 64 characters of the documented form.
    #[error(
        "conversation id is not 64 characters: `S` or `G` and 63 lower-case hex digits, or 64 lower-case hex digits"
    )]
    Conversation,
    /// It is not 32 hex digits.
    #[error("{what} id is not 32 lower-case hex digits")]
    Hex16 {
        /// `message` or `device`.
        what: &'static str,
    },
    /// It is empty, too long, or has characters that would break a line or a path.
    #[error("user name is empty, longer than {USER_NAME_BYTES_MAX} bytes, or holds white space or control characters")]
    User,
}

/// What kind of conversation a `vgroupid` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConversationKind {
    /// Two users.
    Direct,
    /// Several users without a title or masters; first character `G`.
    Group,
    /// A room with title and masters; first character `S`.
    Room,
}

/// The `vgroupid` of a conversation: 64 ASCII characters, which are also the MLS group id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConversationId([u8; 64]);

impl ConversationId {
    /// Makes an id of `kind` from 32 random bytes.
    pub fn from_random(kind: ConversationKind, random: [u8; 32]) -> Self {
        let mut text = [0u8; 64];
        HEXLOWER.encode_mut(&random, &mut text);
        let [first, ..] = &mut text;
        match kind {
            ConversationKind::Direct => {}
            ConversationKind::Group => *first = b'G',
            ConversationKind::Room => *first = b'S',
        }
        Self(text)
    }

    /// Parses the 64 ASCII bytes of a `vgroupid` (an MLS group id).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdError> {
        let text: [u8; 64] = bytes.try_into().map_err(|_| IdError::Conversation)?;
        let [first, rest @ ..] = &text;
        let hex = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
        if !(hex(first) || *first == b'S' || *first == b'G') || !rest.iter().all(hex) {
            return Err(IdError::Conversation);
        }
        Ok(Self(text))
    }

    /// The kind that its first character names.
    pub fn kind(&self) -> ConversationKind {
        match self.0 {
            [b'S', ..] => ConversationKind::Room,
            [b'G', ..] => ConversationKind::Group,
            _ => ConversationKind::Direct,
        }
    }

    /// The 64 ASCII bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The 64 characters.
    pub fn as_str(&self) -> &str {
        // the constructors admit ASCII only
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ConversationId {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, IdError> {
        Self::from_bytes(s.as_bytes())
    }
}

macro_rules! hex16 {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Takes any 16 bytes.
            pub const fn new(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// Parses 16 bytes from a peer.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdError> {
                bytes.try_into().map(Self).map_err(|_| IdError::Hex16 { what: $what })
            }

            /// The 16 bytes.
            pub fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(s: &str) -> Result<Self, IdError> {
                let bytes = HEXLOWER.decode(s.as_bytes()).map_err(|_| IdError::Hex16 { what: $what })?;
                Self::from_bytes(&bytes)
            }
        }
    };
}

hex16!(
    /// The id of one message: 32 hex digits in records.
    MessageId,
    "message"
);
hex16!(
    /// The id of one device of a user: 32 hex digits in records.
    DeviceId,
    "device"
);

/// The name of a user: an e-mail address or any other name without white space and control characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(String);

impl UserName {
    /// Parses a name from outside.
    pub fn new(name: impl Into<String>) -> Result<Self, IdError> {
        let name = name.into();
        if name.is_empty()
            || name.len() > USER_NAME_BYTES_MAX
            || name.chars().any(|c| c.is_control() || c.is_whitespace())
        {
            return Err(IdError::User);
        }
        Ok(Self(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for UserName {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, IdError> {
        Self::new(s)
    }
}
