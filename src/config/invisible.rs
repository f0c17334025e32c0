//! Characters that nobody sees and that count all the same: what an editor, a shell or a form has put beside a value.
//!
//! Only the characters and their place are ever named, never the value. Nothing is taken off here: what looks like an
//! accident may be part of a password.

use std::fmt;

use retaind_archive::names::is_hidden;

/// A character that does not show, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invisible {
    character: char,
    place: Place,
}

/// Where in the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Inside,
    End,
}

impl Invisible {
    /// The first one of `text`: white space at an end, and whatever does not show anywhere.
    pub fn find(text: &str) -> Option<Self> {
        let hidden = |c: char| c.is_control() || is_hidden(c) || (c.is_whitespace() && c != ' ');
        let at_end = |c: char| hidden(c) || c.is_whitespace();
        let found = |character, place| Some(Self { character, place });
        match (text.chars().next(), text.chars().next_back(), text.chars().find(|c| hidden(*c))) {
            (Some(first), _, _) if at_end(first) => found(first, Place::Start),
            (_, Some(last), _) if at_end(last) => found(last, Place::End),
            (_, _, Some(inside)) => found(inside, Place::Inside),
            (_, _, None) => None,
        }
    }

    /// Is it where nobody means it: at an end, or a byte order mark anywhere?
    pub(crate) fn is_accident(self) -> bool {
        match self.place {
            Place::Start | Place::End => true,
            Place::Inside => self.character == '\u{feff}',
        }
    }
}

impl fmt::Display for Invisible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.place {
            Place::Start => "at its start",
            Place::Inside => "inside",
            Place::End => "at its end",
        };
        let name = match self.character {
            '\u{feff}' => "a byte order mark",
            '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => "a line break",
            ' ' | '\t' => "a blank",
            '\u{a0}' => "a no-break space",
            c if c.is_whitespace() => "an unusual space",
            c if c.is_control() => "a control character",
            _ => "a character that does not show",
        };
        write!(f, "{name} (U+{:04X}) {place}", u32::from(self.character))
    }
}

/// The quotation mark that encloses all of `text`.
pub(crate) fn quotes(text: &str) -> Option<char> {
    let (first, last) = (text.chars().next()?, text.chars().next_back()?);
    (first == last && matches!(first, '"' | '\'') && text.len() > 1).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_show_is_named_with_its_place() {
        for (text, named) in [
            ("\u{feff}initial-password", "a byte order mark (U+FEFF) at its start"),
            ("initial-password\n", "a line break (U+000A) at its end"),
            ("initial-password\r", "a line break (U+000D) at its end"),
            ("initial\u{a0}password", "a no-break space (U+00A0) inside"),
            ("initial-password ", "a blank (U+0020) at its end"),
            ("initial\u{200b}-password", "a character that does not show (U+200B) inside"),
            ("\u{3000}x", "an unusual space (U+3000) at its start"),
            ("a\0b", "a control character (U+0000) inside"),
            ("\u{2028}", "a line break (U+2028) at its start"),
        ] {
            assert_eq!(Invisible::find(text).unwrap().to_string(), named, "{text:?}");
        }
        for plain in ["", "correct horse battery staple", "pässwörd-日本", "\"quoted\""] {
            assert_eq!(Invisible::find(plain), None, "{plain:?}");
        }
        assert_eq!(["\"a\"", "'a'", "\"", "'a\"", "a"].map(quotes), [Some('"'), Some('\''), None, None, None]);
    }
}
