//! Files that records refer to: where they are, what they are called, and what takes the place of one that is missing.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use retaind_core::text::is_deceptive;
use retaind_reader::record::{Body, Kept, Record};
use retaind_reader::source::Archive;

use crate::error::Error;

/// Bytes copied at once.
const COPY_BYTES: usize = 1 << 16;
/// Longest name of a file that is made for one, in characters; file systems take 255 bytes.
const NAME_CHARS_MAX: usize = 50;
/// Longest ending that is kept.
const ENDING_CHARS_MAX: usize = 10;

/// What there is of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// In the archive.
    File(PathBuf),
    /// Not there, and why.
    Missing(String),
}

/// A file of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attachment {
    /// The sender's name for it: anything.
    pub original: String,
    pub content: Content,
    /// Of what is exported.
    pub bytes: u64,
    /// Of what is exported, in hex; empty until it is hashed.
    pub sha256: String,
    /// By the record.
    pub claimed: Option<String>,
}

impl Attachment {
    /// Looks for a file of this name in the archive.
    fn find(archive: &Archive, original: String, local: Option<&str>, claimed: Option<String>) -> Self {
        let path = local.and_then(|name| archive.attachment(name));
        let bytes = path.as_ref().and_then(|path| fs::metadata(path).ok()).map(|metadata| metadata.len());
        match path.zip(bytes) {
            Some((path, bytes)) => {
                Self { original, content: Content::File(path), bytes, sha256: String::new(), claimed }
            }
            None => Self::missing(original, "the archive does not have the file that the record names", claimed),
        }
    }

    fn missing(original: String, reason: &str, claimed: Option<String>) -> Self {
        let placeholder = format!("MISSING: {reason}\n");
        let bytes = u64::try_from(placeholder.len()).unwrap_or(u64::MAX);
        let content = Content::Missing(reason.to_owned());
        Self { original, content, bytes, sha256: String::new(), claimed }
    }

    /// All of a record.
    pub(crate) fn of(record: &Record, archive: &Archive) -> Vec<Self> {
        let mut all = Vec::new();
        let kept = |what: &Option<Kept>, name: &str| {
            let kept = what.as_ref().filter(|kept| kept.name.is_some())?;
            Some(Self::find(archive, name.to_owned(), kept.name.as_deref(), kept.sha256.clone()))
        };
        if let Some(file) = record.file() {
            let name = file.name.clone().or_else(|| file.local_name.clone()).unwrap_or_else(|| "unnamed".to_owned());
            if file.is_saved() {
                all.push(Self::find(archive, name, file.local_name.as_deref(), file.hash.clone()));
            } else {
                let status = file.status.as_deref().unwrap_or("not archived");
                let reason = file.reason.as_deref().map_or_else(|| status.to_owned(), |why| format!("{status}: {why}"));
                all.extend(kept(&file.ciphertext, &format!("{name}.ciphertext")));
                all.extend(kept(&file.decrypted, &format!("{name}.decrypted-in-part")));
                all.push(Self::missing(name, &reason, file.hash.clone()));
            }
        }
        if let Body::Unreadable(unreadable) = &record.body {
            all.extend(kept(&unreadable.ciphertext, "message.ciphertext"));
        }
        if let Body::SavedItem(_, item) = &record.body {
            let is_missing = item.status.as_deref().is_some_and(|status| status != "saved");
            if item.local_name.is_some() && !is_missing {
                all.push(Self::find(archive, item.name.clone(), item.local_name.as_deref(), item.hash.clone()));
            } else if is_missing {
                let reason = item.reason.as_deref().unwrap_or("the bot did not fetch it");
                all.push(Self::missing(item.name.clone(), reason, item.hash.clone()));
            }
        }
        all
    }

    /// Why it is missing.
    pub(crate) fn reason(&self) -> Option<&str> {
        match &self.content {
            Content::File(_) => None,
            Content::Missing(reason) => Some(reason),
        }
    }

    /// Is it another file than the record says?
    pub(crate) fn is_different(&self) -> bool {
        let is_other = |claimed: &String| !claimed.eq_ignore_ascii_case(&self.sha256);
        self.reason().is_none() && self.claimed.as_ref().is_some_and(is_other)
    }

    /// Reads all of it once for its hash.
    pub(crate) fn hash(&mut self) -> Result<(), Error> {
        let mut hash = Context::new(&SHA256);
        self.read(|bytes| {
            hash.update(bytes);
            Ok(())
        })?;
        self.sha256 = HEXLOWER.encode(hash.finish().as_ref());
        Ok(())
    }

    /// Its bytes, a block at a time. Fails if they are more or fewer than when the export was planned.
    pub(crate) fn read(&self, mut take: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        let path = match &self.content {
            Content::Missing(reason) => return take(format!("MISSING: {reason}\n").as_bytes()),
            Content::File(path) => path,
        };
        let mut read: u64 = 0;
        let mut file = File::open(path).map_err(reading(path))?;
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            let count = match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(reading(path)(source)),
            };
            read = read.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            take(buffer.get(..count).unwrap_or_default())?;
        }
        if read == self.bytes { Ok(()) } else { Err(Error::Changed { path: path.display().to_string() }) }
    }

    /// A name for it that is one component on every system; of a placeholder it says so.
    pub(crate) fn safe_name(&self) -> String {
        let name = safe_name(&self.original);
        if self.reason().is_some() { format!("{name}.missing.txt") } else { name }
    }

    /// `application/octet-stream`, or `text/plain` of a placeholder.
    pub(crate) fn media_type(&self) -> &'static str {
        if self.reason().is_some() { "text/plain; charset=utf-8" } else { "application/octet-stream" }
    }
}

fn reading(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.display().to_string();
    move |source| Error::Read { path, source }
}

/// The last component of a name that a sender gave, without what file systems, terminals or people would misread.
fn safe_name(original: &str) -> String {
    let last = original.rsplit(['/', '\\']).next().unwrap_or_default();
    let safe = |c: char| if is_deceptive(c) || "<>:\"|?*".contains(c) { '_' } else { c };
    let name: String = last.chars().map(safe).collect();
    let name = name.trim_matches([' ', '.']);
    let (stem, ending) = match name.rsplit_once('.') {
        Some((stem, ending)) if ending.chars().count() <= ENDING_CHARS_MAX => (stem, format!(".{ending}")),
        Some(_) | None => (name, String::new()),
    };
    let stem: String = stem.chars().take(NAME_CHARS_MAX).collect();
    match (stem.trim_end(), ending.as_str()) {
        ("", "") => "unnamed".to_owned(),
        (stem, ending) => format!("{stem}{ending}"),
    }
}

/// Names that are each used once, without regard to case.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeSet<String>);

impl Names {
    /// The name, or the name with a number.
    pub(crate) fn unique(&mut self, name: &str) -> String {
        let mut candidate = name.to_owned();
        let mut number: u64 = 1;
        while !self.0.insert(candidate.to_lowercase()) {
            number = number.saturating_add(1);
            candidate = match name.rsplit_once('.') {
                Some((stem, ending)) => format!("{stem} ({number}).{ending}"),
                None => format!("{name} ({number})"),
            };
        }
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_sender_is_one_harmless_component() {
        let cases = [
            ("report.pdf", "report.pdf"),
            ("../../etc/passwd", "passwd"),
            ("C:\\temp\\a.exe", "a.exe"),
            ("..", "unnamed"),
            ("", "unnamed"),
            ("a/", "unnamed"),
            ("in\u{202e}fdp.exe", "in_fdp.exe"),
            ("a\0b\nc.txt", "a_b_c.txt"),
            (".hidden", "hidden"),
            ("con: x?.txt", "con_ x_.txt"),
        ];
        for (original, safe) in cases {
            assert_eq!(safe_name(original), safe, "{original:?}");
        }
        assert!(safe_name(&"ä".repeat(1000)).chars().count() <= NAME_CHARS_MAX);
    }

    #[test]
    fn names_are_unique_in_their_container() {
        let mut names = Names::default();
        let all: Vec<String> = ["a.pdf", "A.pdf", "a.pdf", "b"].iter().map(|name| names.unique(name)).collect();
        assert_eq!(all, ["a.pdf", "A (2).pdf", "a (3).pdf", "b"]);
    }
}
