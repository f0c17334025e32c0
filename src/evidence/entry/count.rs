//! Numbers of an entry.

use std::fmt::{self, Display};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::canonical::INTEGER_MAX;

/// A number of bytes, of records or in a sequence. In JSON it is a number up to 2^53 − 1, and a string above, because many
/// readers round greater ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Count(pub u64);

impl From<u64> for Count {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl From<Count> for u64 {
    fn from(count: Count) -> Self {
        count.0
    }
}

impl Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.0 <= INTEGER_MAX { to.serialize_u64(self.0) } else { to.serialize_str(&self.0.to_string()) }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = match Written::deserialize(from)? {
            Written::Number(number) => Some(number).filter(|number| *number <= INTEGER_MAX),
            Written::Text(text) => {
                text.parse().ok().filter(|number: &u64| *number > INTEGER_MAX && number.to_string() == text)
            }
        };
        number
            .map(Self)
            .ok_or_else(|| D::Error::custom("a count is a number below 2^53, and a string of digits from there on"))
    }
}
