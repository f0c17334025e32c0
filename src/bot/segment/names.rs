//! The names of message files: made here, recognised here, pure.
//!
//! | file | name |
//! |---|---|
//! | open | `<basename>.txt` |
//! | sealed | `<basename>_<yyyyMMdd'T'HHmmss.SSS'Z' of its first record>_<number>.txt` |
//! | not yet settled | `.<basename>.<number>.part` |
//! | found without state | `<basename>_recovered_<number>.txt` |
//!
//! A number has at least 8 digits. Two base names of which one begins with the other (`a`, `a_b`) are not confused.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::error::SegmentError;
use retaind_archive::names::is_base_name;

/// Highest number of a message file: a million files a day for 2,700 years, and SQLite holds it.
pub(crate) const NUMBER_MAX: u64 = 999_999_999_999;

const TIME_SHAPE: &str = "ddddddddTdddddd.dddZ";

/// The base name of message files (`WICKRIO_COMP_BASENAME`), checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basename(String);

impl Basename {
    /// It passes [`is_base_name`].
    pub fn new(name: impl Into<String>) -> Result<Self, SegmentError> {
        let name = name.into();
        if is_base_name(&name) { Ok(Self(name)) } else { Err(SegmentError::Basename(name)) }
    }

    /// The base name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Directory and base name of message files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The messages directory (`WICKRIO_COMP_MESGDEST`); it exists.
    pub dir: PathBuf,
    /// Base name of the files.
    pub basename: Basename,
}

/// What a file name in the messages directory means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Sealed, or found without state: this number is its own for ever.
    Finished(u64),
    /// A part file of this number.
    Part(u64),
}

impl Place {
    /// Path of the open file, `<basename>.txt`.
    pub fn open(&self) -> PathBuf {
        self.dir.join(format!("{}.txt", self.basename.0))
    }

    pub(super) fn part(&self, number: u64) -> PathBuf {
        self.dir.join(format!(".{}.{number:08}.part", self.basename.0))
    }

    pub(super) fn recovered(&self, number: u64) -> String {
        format!("{}_recovered_{number:08}.txt", self.basename.0)
    }

    pub(super) fn sealed(&self, first_micros: i64, number: u64) -> Result<String, SegmentError> {
        Ok(format!("{}_{}_{number:08}.txt", self.basename.0, stamp(first_micros)?))
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Is this the name of a sealed or recovered file?
    pub(crate) fn is_finished(&self, name: &str) -> bool {
        matches!(self.recognise(name), Some(Known::Finished(_)))
    }

    /// `None`: no name of a finished file or part file of this base name.
    pub(super) fn recognise(&self, name: &str) -> Option<Known> {
        let base = self.basename.0.as_str();
        if let Some(rest) = name.strip_prefix('.') {
            let digits = rest.strip_prefix(base)?.strip_prefix('.')?.strip_suffix(".part")?;
            return parse_number(digits).map(Known::Part);
        }
        let rest = name.strip_prefix(base)?.strip_prefix('_')?.strip_suffix(".txt")?;
        let (what, digits) = rest.rsplit_once('_')?;
        if what != "recovered" && !is_stamp(what) {
            return None;
        }
        parse_number(digits).map(Known::Finished)
    }
}

/// `20230804T191058.000Z`: UTC, milliseconds cut, not rounded.
pub(super) fn stamp(micros: i64) -> Result<String, SegmentError> {
    // the calendar ends a day before the year 10,000 does
    let time = Timestamp::from_microsecond(micros).ok().filter(|_| micros >= 0).ok_or(SegmentError::Time { micros })?;
    Ok(time.strftime("%Y%m%dT%H%M%S.%3fZ").to_string())
}

fn is_stamp(text: &str) -> bool {
    text.len() == TIME_SHAPE.len()
        && text.bytes().zip(TIME_SHAPE.bytes()).all(|(c, shape)| match shape {
            b'd' => c.is_ascii_digit(),
            _ => c == shape,
        })
}

fn parse_number(digits: &str) -> Option<u64> {
    let plausible = (8..=12).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit());
    if plausible { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(basename: &str) -> Place {
        Place { dir: PathBuf::from("/m"), basename: Basename::new(basename).unwrap() }
    }

    #[test]
    fn names_have_the_documented_form() {
        let place = place("receivedMessages");
        assert_eq!(place.open(), PathBuf::from("/m/receivedMessages.txt"));
        assert_eq!(place.part(7), PathBuf::from("/m/.receivedMessages.00000007.part"));
        let sealed = place.sealed(1_691_176_258_000_999, 42).unwrap();
        assert_eq!(sealed, "receivedMessages_20230804T191058.000Z_00000042.txt");
        assert_eq!(place.sealed(1_691_176_258_999_999, 42).unwrap().get(33..36), Some("999"));
    }

    #[test]
    fn a_name_is_recognised_exactly() {
        let ours = place("a");
        for (name, known) in [
            ("a_20230804T191058.000Z_00000042.txt", Some(Known::Finished(42))),
            ("a_20230804T191058.000Z_100000000.txt", Some(Known::Finished(100_000_000))),
            ("a_recovered_00000003.txt", Some(Known::Finished(3))),
            (".a.00000009.part", Some(Known::Part(9))),
            ("a.txt", None),
            ("a_b_20230804T191058.000Z_00000042.txt", None),
            ("a_20230804T191058.000Z_42.txt", None),
            ("a_20230804T191058.000Z_00000042.txt.manifest.json", None),
            ("a_20230804T191058.000Z_18446744073709551615.txt", None),
            ("a_20230804X191058.000Z_00000042.txt", None),
            (".a.00000001.00000009.part", None),
            ("", None),
        ] {
            assert_eq!(ours.recognise(name), known, "{name}");
        }
        assert_eq!(place("a_b").recognise("a_b_20230804T191058.000Z_00000042.txt"), Some(Known::Finished(42)));
    }

    #[test]
    fn a_base_name_stays_in_its_directory() {
        for bad in ["", ".hidden", "a/b", "..", "a\nb", &"x".repeat(201)] {
            assert!(matches!(Basename::new(bad), Err(SegmentError::Basename(_))), "{bad}");
        }
        assert!(Basename::new("メッセージ").is_ok());
    }

    #[test]
    fn times_outside_the_calendar_are_refused() {
        assert_eq!(stamp(0).unwrap(), "19700101T000000.000Z");
        assert_eq!(stamp(253_402_207_199_999_999).unwrap(), "99991230T215959.999Z");
        for micros in [-1, 253_402_300_800_000_000, i64::MIN, i64::MAX] {
            assert!(matches!(stamp(micros), Err(SegmentError::Time { .. })), "{micros}");
        }
    }
}
