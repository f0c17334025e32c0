//! JSON in which a record is one line for everybody.
//!
//! JSON lets U+0085, U+2028 and U+2029 stand in a string as they are; many readers of lines (Python's `splitlines`,
//! JavaScript's `.` of a pattern, editors) end a line there. So they are escaped, which any JSON reader takes back. Records
//! that were written before this have them raw: both forms are the same text.

use std::io::{self, Write};

use serde_json::ser::Formatter;

/// Compact, without any line separator of Unicode.
pub(super) struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        // most text, and a test of 16 bytes at a time
        if fragment.is_ascii() {
            return writer.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some((before, separator)) =
            rest.find(SEPARATORS).and_then(|at| Some((rest.get(..at)?, rest.get(at..)?.chars().next()?)))
        {
            writer.write_all(before.as_bytes())?;
            write!(writer, "\\u{:04x}", u32::from(separator))?;
            rest = rest.get(before.len().saturating_add(separator.len_utf8())..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// What JSON does not escape, and some readers take for the end of a line.
const SEPARATORS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

#[cfg(test)]
mod tests {
    use serde::Serialize as _;

    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        text.serialize(&mut serde_json::Serializer::with_formatter(&mut out, OneLine)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn separators_are_escaped_and_read_back_as_they_were() {
        assert_eq!(written("a\u{2028}b\u{2029}c\u{85}d"), r#""a\u2028b\u2029c\u0085d""#);
        for text in ["\u{2028}\u{2028}", "\u{85}", "é\"\\\n\u{2029}\t", "\u{2027}\u{202a}\u{84}\u{86}", ""] {
            let line = written(text);
            assert!(!line.contains(SEPARATORS), "{line}");
            assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        }
        let plain = "日本語 \u{202e} \u{7f} \"\\";
        assert_eq!(written(plain), serde_json::to_string(plain).unwrap(), "and nothing else changes");
    }
}
