//! Text conditions: on the NFC form of what people see, with a cheap test of the raw line before it is parsed.

use std::borrow::Cow;

use memchr::memmem::Finder;
use regex::{Regex, RegexBuilder};
use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

use super::{FilterArgs, FilterError};

/// Largest program of a regular expression, in bytes.
const REGEX_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The NFC form.
pub fn nfc(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.nfc().collect())
    }
}

#[derive(Debug, Clone)]
enum Condition {
    Literal(Box<Finder<'static>>),
    Pattern(Regex),
}

impl Condition {
    fn holds(&self, text: &str) -> bool {
        match self {
            Self::Literal(finder) => finder.find(text.as_bytes()).is_some(),
            Self::Pattern(pattern) => pattern.is_match(text),
        }
    }
}

/// All text conditions of a filter.
#[derive(Debug, Clone, Default)]
pub struct TextMatch {
    conditions: Vec<Condition>,
    needle: Option<String>,
}

impl TextMatch {
    /// Of the options.
    pub(super) fn of(args: &FilterArgs) -> Result<Self, FilterError> {
        let mut matcher = Self::default();
        if let Some(text) = &args.text {
            if text.is_empty() {
                return Err(FilterError::Empty { option: "text" });
            }
            let text = nfc(text);
            if !args.ignore_case {
                matcher.needle = needle_of(&text);
            }
            matcher.conditions.push(if args.ignore_case || args.word {
                Condition::Pattern(pattern(&regex::escape(&text), args)?)
            } else {
                Condition::Literal(Box::new(Finder::new(text.as_bytes()).into_owned()))
            });
        }
        if let Some(given) = &args.regex {
            if given.is_empty() {
                return Err(FilterError::Empty { option: "regex" });
            }
            matcher.conditions.push(Condition::Pattern(pattern(&nfc(given), args)?));
        }
        Ok(matcher)
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    /// Does each condition hold for one of the texts at least?
    pub fn holds(&self, texts: &[&str]) -> bool {
        let texts: Vec<Cow<'_, str>> = texts.iter().map(|text| nfc(text)).collect();
        self.conditions.iter().all(|condition| texts.iter().any(|text| condition.holds(text)))
    }

    /// What a raw line must contain to match, unless it has an escape `\u`: see [`needle_of`].
    pub fn needle(&self) -> Option<&str> {
        self.needle.as_deref()
    }
}

/// A pattern as `--ignore-case` and `--word` want it.
pub(super) fn pattern(pattern: &str, args: &FilterArgs) -> Result<Regex, FilterError> {
    let words = if args.word { format!(r"\b{{start-half}}(?:{pattern})\b{{end-half}}") } else { pattern.to_owned() };
    RegexBuilder::new(&words)
        .case_insensitive(args.ignore_case)
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|source| FilterError::Pattern { pattern: pattern.to_owned(), source: Box::new(source) })
}

/// The longest part of a literal that stands in the raw JSON of every text that contains the literal in NFC.
///
/// JSON escapes quotation marks, back-slashes and control characters, and may escape the slash. NFC makes `;`, a back-tick and `K`
/// out of other characters. Any character may be written as `\u`, which is for the caller to look for. What is not ASCII has more
/// than one form.
fn needle_of(literal: &str) -> Option<String> {
    let is_plain = |c: char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\' | '/' | ';' | '`' | 'K');
    let longest = literal.split(|c| !is_plain(c)).max_by_key(|part| part.len())?;
    // a mark that follows would be composed with the last letter in the text, and not in the raw line: still a superset
    (!longest.is_empty()).then(|| longest.to_owned())
}
