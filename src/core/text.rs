//! Text of others on its way to a terminal or a log: what could command the terminal, break a line in two, or show a text
//! otherwise than it is, is escaped. The one place that says which characters these are.

use std::borrow::Cow;
use std::fmt::Write;

/// Controls (C0, C1), separators of lines, marks that turn the direction of writing, and characters that nobody sees.
///
/// The joiners of scripts and pictographs (U+200C, U+200D) are not among them: words are spelt with them.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text with each such character as `\u{…}`.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains(is_deceptive) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len().saturating_mul(2));
    for c in text.chars() {
        if is_deceptive(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// A whole line of a log, with its end and its colours: only what is not ASCII is escaped, as JSON does it, so that a line of
/// JSON stays one with the same content. Whoever makes the line has escaped the controls in its fields.
pub fn line(line: &[u8]) -> Cow<'_, [u8]> {
    if line.is_ascii() {
        return Cow::Borrowed(line);
    }
    let text = String::from_utf8_lossy(line);
    let is_escaped = |c: char| !c.is_ascii() && is_deceptive(c);
    if !text.contains(is_escaped) {
        return Cow::Borrowed(line);
    }
    let mut escaped = String::with_capacity(text.len().saturating_mul(2));
    for c in text.chars() {
        if is_escaped(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // writing to a string does not fail
                let _infallible = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_deceives_is_escaped_and_all_else_stays() {
        assert_eq!(shown("invoice\u{202e}fdp.exe"), "invoice\\u{202e}fdp.exe");
        assert_eq!(shown("\u{9b}31m\u{1b}[2J\n"), "\\u{9b}31m\\u{1b}[2J\\u{a}");
        for same in ["", "plain", "Grüße 🙂", "👩\u{200d}💻", "می\u{200c}خواهم", "שלום"] {
            assert!(matches!(shown(same), Cow::Borrowed(text) if text == same));
            assert!(matches!(line(same.as_bytes()), Cow::Borrowed(_)));
        }
    }

    #[test]
    fn a_line_keeps_its_end_and_its_colours_and_is_the_same_json() {
        let coloured = "\u{1b}[32mINFO\u{1b}[0m a\u{202e}b\u{85}c\u{e0041}\n";
        let expected = "\u{1b}[32mINFO\u{1b}[0m a\\u202eb\\u0085c\\udb40\\udc41\n";
        assert_eq!(line(coloured.as_bytes()), expected.as_bytes());
        let ascii = b"\x1b[2J\n";
        assert!(matches!(line(ascii), Cow::Borrowed(same) if same == ascii));
    }
}
