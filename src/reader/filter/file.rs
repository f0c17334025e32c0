//! Conditions on files: name, hash, size, and what they are by their content.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use regex::{Regex, RegexBuilder};

use super::text::nfc;
use super::{FilterArgs, FilterError};
use crate::record::{Body, Record};
use crate::source::Archive;

/// Bytes that tell what a file is.
const SNIFF_BYTES: u64 = 512;
const HASH_CHARS: usize = 64;

/// What is to be known of a file that a record announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileFacts<'a> {
    /// Original name.
    pub name: Option<&'a str>,
    /// Name in the archive.
    pub local_name: Option<&'a str>,
    /// SHA-256 in hex.
    pub hash: Option<&'a str>,
    /// Bytes.
    pub size: Option<u64>,
}

impl<'a> FileFacts<'a> {
    /// Of a record: its file, or the saved item of a room.
    pub fn of(record: &'a Record) -> Option<Self> {
        if let Body::SavedItem(_, item) = &record.body {
            let (name, local_name) = (Some(item.name.as_str()), item.local_name.as_deref());
            return Some(Self { name, local_name, hash: item.hash.as_deref(), size: None });
        }
        let file = record.file()?;
        Some(Self {
            name: file.name.as_deref(),
            local_name: file.local_name.as_deref(),
            hash: file.hash.as_deref(),
            size: file.size,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Above(u64),
    Below(u64),
    Exactly(u64),
}

/// All conditions on files of a filter.
#[derive(Debug, Clone, Default)]
pub(super) struct FileMatch {
    name: Option<Regex>,
    hash: Option<String>,
    size: Option<Size>,
    content: Option<String>,
}

impl FileMatch {
    pub(super) fn of(args: &FilterArgs) -> Result<Self, FilterError> {
        let hash = args.file_hash.as_ref().map(|text| {
            let is_hash = text.len() == HASH_CHARS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_hash.then(|| text.to_ascii_lowercase()).ok_or_else(|| FilterError::Hash { text: text.clone() })
        });
        let content = args.file_type.as_ref().map(|text| {
            let known = || SIGNS.iter().map(|(name, ..)| *name).chain(GROUPS.iter().map(|(name, _)| *name));
            let text = text.to_ascii_lowercase();
            let is_known = known().chain(OTHERS).any(|name| name == text);
            is_known.then_some(text.clone()).ok_or_else(|| {
                let mut names: Vec<&str> = known().chain(OTHERS).collect();
                names.dedup();
                FilterError::FileType { text, known: names.join(", ") }
            })
        });
        Ok(Self {
            name: args.file_name.as_deref().map(glob).transpose()?,
            hash: hash.transpose()?,
            size: args.file_size.as_deref().map(size).transpose()?,
            content: content.transpose()?,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.name.is_none() && self.hash.is_none() && self.size.is_none() && self.content.is_none()
    }

    pub(super) fn holds(&self, record: &Record, archive: &Archive) -> bool {
        let Some(facts) = FileFacts::of(record) else { return false };
        let name = self.name.as_ref().is_none_or(|glob| facts.name.is_some_and(|name| glob.is_match(&nfc(name))));
        let hash = self.hash.as_ref().is_none_or(|hash| facts.hash.is_some_and(|is| is.eq_ignore_ascii_case(hash)));
        let size = self.size.is_none_or(|size| {
            facts.size.is_some_and(|bytes| match size {
                Size::Above(limit) => bytes > limit,
                Size::Below(limit) => bytes < limit,
                Size::Exactly(limit) => bytes == limit,
            })
        });
        let is_content = |wanted: &String| {
            let path = facts.local_name.and_then(|name| archive.attachment(name));
            path.and_then(|path| content_type(&path)).is_some_and(|is| is == wanted || is_of(wanted, is))
        };
        name && hash && size && self.content.as_ref().is_none_or(is_content)
    }
}

fn is_of(group: &str, kind: &str) -> bool {
    GROUPS.iter().any(|(name, kinds)| *name == group && kinds.contains(&kind))
}

/// `*` and `?`, on the whole name, without regard to case.
fn glob(glob: &str) -> Result<Regex, FilterError> {
    if glob.is_empty() {
        return Err(FilterError::Empty { option: "file-name" });
    }
    let mut pattern = String::from("^");
    for c in nfc(glob).chars() {
        match c {
            '*' => pattern.push_str(".*"),
            '?' => pattern.push('.'),
            other => pattern.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    pattern.push('$');
    RegexBuilder::new(&pattern)
        .case_insensitive(true)
        .dot_matches_new_line(true)
        .build()
        .map_err(|source| FilterError::Pattern { pattern: glob.to_owned(), source: Box::new(source) })
}

fn size(text: &str) -> Result<Size, FilterError> {
    let wrong = || FilterError::Size { text: text.to_owned() };
    let (make, rest): (fn(u64) -> Size, &str) = match text.split_at_checked(1) {
        Some((">", rest)) => (Size::Above, rest),
        Some(("<", rest)) => (Size::Below, rest),
        Some(_) | None => (Size::Exactly, text),
    };
    let units = [("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30)];
    let unit = units.iter().find_map(|(name, unit)| Some((rest.strip_suffix(name)?, *unit)));
    let (number, unit): (&str, u64) = unit.unwrap_or((rest, 1));
    let number: u64 = number.trim().parse().map_err(|_| wrong())?;
    Ok(make(number.checked_mul(unit).ok_or_else(wrong)?))
}

/// What types of files begin with: name, where, bytes.
const SIGNS: &[(&str, usize, &[u8])] = &[
    ("pdf", 0, b"%PDF-"),
    ("png", 0, b"\x89PNG\r\n\x1a\n"),
    ("jpeg", 0, b"\xff\xd8\xff"),
    ("gif", 0, b"GIF8"),
    ("webp", 8, b"WEBP"),
    ("wav", 8, b"WAVE"),
    ("zip", 0, b"PK\x03\x04"),
    ("zip", 0, b"PK\x05\x06"),
    ("gzip", 0, b"\x1f\x8b"),
    ("mp4", 4, b"ftyp"),
    ("mp3", 0, b"ID3"),
    ("mp3", 0, b"\xff\xfb"),
    ("ogg", 0, b"OggS"),
    ("ole", 0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    ("rtf", 0, b"{\\rtf"),
    ("elf", 0, b"\x7fELF"),
    ("exe", 0, b"MZ"),
    ("html", 0, b"<!DOCTYPE html"),
    ("html", 0, b"<html"),
    ("xml", 0, b"<?xml"),
];
const GROUPS: &[(&str, &[&str])] =
    &[("image", &["png", "jpeg", "gif", "webp"]), ("audio", &["mp3", "ogg", "wav"]), ("video", &["mp4"])];
const OTHERS: [&str; 2] = ["text", "unknown"];

/// What a file is by its beginning; none if it cannot be read.
pub fn content_type(path: &Path) -> Option<&'static str> {
    let mut head = Vec::new();
    File::open(path).ok()?.take(SNIFF_BYTES).read_to_end(&mut head).ok()?;
    let begins = |at: &usize, sign: &[u8]| {
        head.get(*at..).and_then(|rest| rest.get(..sign.len())).is_some_and(|is| is.eq_ignore_ascii_case(sign))
    };
    let sign = SIGNS.iter().find(|(_, at, sign)| begins(at, sign)).map(|(name, ..)| *name);
    let is_text = || match std::str::from_utf8(&head) {
        Ok(text) => !text.contains('\0'),
        // a character may be cut at the end
        Err(error) => error.error_len().is_none() && !head.contains(&0),
    };
    Some(sign.unwrap_or_else(|| if is_text() { "text" } else { "unknown" }))
}
