//! A tag that is a version: numbers with dots between, perhaps after a `v`.

use std::cmp::Ordering;

/// Longest tag, in bytes: OCI's.
const TAG_BYTES_MAX: usize = 128;
/// Most numbers of a version. The guide's image has four.
const NUMBERS_MAX: usize = 8;

/// A version. Pre-releases (`1.2.0-rc1`), `latest`, digests and dates without dots are none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    numbers: Vec<u64>,
    prefix: Prefix,
}

/// What stands before the first number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Prefix {
    None,
    V,
}

impl Version {
    /// Reads a tag.
    pub fn parse(tag: &str) -> Option<Self> {
        if tag.len() > TAG_BYTES_MAX {
            return None;
        }
        let (prefix, rest) = match tag.strip_prefix('v') {
            Some(rest) => (Prefix::V, rest),
            None => (Prefix::None, tag),
        };
        // digits only: `u64::from_str` would also take a `+`
        let number = |part: &str| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten();
        let numbers: Vec<u64> = rest.split('.').map(number).collect::<Option<_>>()?;
        (2..=NUMBERS_MAX).contains(&numbers.len()).then_some(Self { numbers, prefix })
    }

    /// Is it of the same form, `v` and count of numbers, and greater? Versions of another form may count something else.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        self.prefix == other.prefix
            && self.numbers.len() == other.numbers.len()
            && self.numbers.cmp(&other.numbers) == Ordering::Greater
    }
}
