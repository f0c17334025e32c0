//! How single values are written in an entry, each in one form only: `#[serde(with = "…")]`.

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

/// RFC 3339 in UTC with six decimals and `Z`.
pub(super) mod time {
    use super::*;

    pub(in crate::entry) fn text(time: Timestamp) -> String {
        format!("{time:.6}")
    }

    pub(in crate::entry) fn parse(text: &str) -> Option<Timestamp> {
        text.parse().ok().filter(|time| self::text(*time) == text)
    }

    pub(in crate::entry) fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&text(*time))
    }

    pub(in crate::entry) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        parse(&text).ok_or_else(|| D::Error::custom("a time is `2026-11-28T07:00:00.000000Z`, with six decimals"))
    }
}

/// As [`time`], if there is one.
pub(super) mod time_or_none {
    use super::*;

    pub(in crate::entry) fn serialize<S: Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::time::serialize(time, to),
            None => to.serialize_none(),
        }
    }

    pub(in crate::entry) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        super::time::deserialize(from).map(Some)
    }
}

/// Bytes of a fixed number in lower-case hexadecimal.
pub(super) mod hex {
    use super::*;

    pub(in crate::entry) fn parse<const N: usize>(text: &str) -> Option<[u8; N]> {
        HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
    }

    pub(in crate::entry) fn serialize<const N: usize, S: Serializer>(
        bytes: &[u8; N],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(&HEXLOWER.encode(bytes))
    }

    pub(in crate::entry) fn deserialize<'de, const N: usize, D: Deserializer<'de>>(
        from: D,
    ) -> Result<[u8; N], D::Error> {
        let text = String::deserialize(from)?;
        parse(&text).ok_or_else(|| D::Error::custom(format!("it is not {N} bytes in lower-case hexadecimal")))
    }
}

/// As [`hex`], if there are any.
pub(super) mod hex_or_none {
    use super::*;

    pub(in crate::entry) fn serialize<const N: usize, S: Serializer>(
        bytes: &Option<[u8; N]>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => super::hex::serialize(bytes, to),
            None => to.serialize_none(),
        }
    }

    pub(in crate::entry) fn deserialize<'de, const N: usize, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<[u8; N]>, D::Error> {
        super::hex::deserialize(from).map(Some)
    }
}
