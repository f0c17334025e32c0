//! Reads the archive as anybody would, from its files alone, and compares it with what was sent.
//!
//! Every place that was accepted must have one record, of its type, with the sender's id and text; every record must be
//! of such a place; every attachment must have the bytes that were sent. Whatever else there is, is a difference.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use serde::Deserialize;
use thiserror::Error;

use super::ledger::{Accepted, Expected, ExpectedFile, Place};
use retaind_protocol::ids::IdError;

/// Differences that are told one by one.
const TOLD_MAX: usize = 20;

/// Why the archive cannot be read.
#[derive(Debug, Error)]
pub(super) enum AuditError {
    /// A directory or file.
    #[error("`{path}` of the archive cannot be read")]
    File {
        /// Path of the file.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A line.
    #[error("line {line} of message file `{path}` is not a record")]
    Line {
        /// Of which file.
        path: String,
        /// Counted from 1.
        line: usize,
        /// What is not JSON in it.
        source: serde_json::Error,
    },
    /// A conversation.
    #[error("line {line} of message file `{path}` names no conversation")]
    Conversation {
        /// Of which file.
        path: String,
        /// Counted from 1.
        line: usize,
        /// What is not an id in it.
        source: IdError,
    },
}

#[derive(Deserialize)]
struct Line {
    file: Option<LineFile>,
    message: Option<String>,
    message_id: String,
    msgtype: u32,
    seq: u64,
    vgroupid: String,
}

#[derive(Deserialize)]
struct LineFile {
    localfilename: Option<String>,
}

/// A record, as far as it is compared.
#[derive(Debug)]
pub(super) struct Archived {
    place: Place,
    msgtype: u32,
    message: String,
    text: Option<String>,
    file: Option<ExpectedFile>,
}

/// What is on the disk.
#[derive(Debug, Default)]
pub(super) struct Archive {
    /// Message files, oldest first.
    pub message_files: Vec<PathBuf>,
    records: Vec<Archived>,
}

impl Archive {
    /// Reads all message files of one directory and the attachments that they name in the other.
    pub(crate) fn read(messages: &Path, attachments: &Path) -> Result<Self, AuditError> {
        let mut archive = Self::default();
        for entry in fs::read_dir(messages).map_err(|source| failed(messages, source))? {
            let path = entry.map_err(|source| failed(messages, source))?.path();
            if path.extension().is_some_and(|extension| extension == "txt") {
                archive.message_files.push(path);
            }
        }
        // their names hold the time and a number; the open file, which a bot that was stopped does not leave, has neither
        archive.message_files.sort_unstable();
        for path in &archive.message_files {
            let bytes = fs::read(path).map_err(|source| failed(path, source))?;
            for (number, line) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
                archive.records.push(record(path, number, line, attachments)?);
            }
        }
        Ok(archive)
    }
}

fn failed(path: &Path, source: io::Error) -> AuditError {
    AuditError::File { path: path.display().to_string(), source }
}

fn record(path: &Path, line: usize, bytes: &[u8], attachments: &Path) -> Result<Archived, AuditError> {
    let name = || path.display().to_string();
    let read: Line = serde_json::from_slice(bytes).map_err(|source| AuditError::Line { path: name(), line, source })?;
    let conversation =
        read.vgroupid.parse().map_err(|source| AuditError::Conversation { path: name(), line, source })?;
    let file = match read.file.and_then(|file| file.localfilename) {
        Some(local) => attachment(&attachments.join(local))?,
        None => None,
    };
    Ok(Archived {
        place: (conversation, read.seq),
        msgtype: read.msgtype,
        message: read.message_id,
        text: read.message,
        file,
    })
}

/// `None`: it is not there, which the comparison tells.
fn attachment(path: &Path) -> Result<Option<ExpectedFile>, AuditError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(measured(&bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed(path, source)),
    }
}

/// Size and hash of a file's bytes.
pub(super) fn measured(bytes: &[u8]) -> ExpectedFile {
    let mut sha256 = [0u8; 32];
    sha256.copy_from_slice(digest(&SHA256, bytes).as_ref());
    ExpectedFile { size: bytes.len() as u64, sha256 }
}

/// How many there are of something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Accepted by the network.
    pub sent: u64,
    /// In the archive.
    pub archived: u64,
}

/// What a comparison found.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// By type of record.
    pub types: BTreeMap<u32, Count>,
    /// Records of all types.
    pub all: Count,
    /// Attachments; of the archived ones those whose bytes are right.
    pub files: Count,
    /// Their bytes.
    pub file_bytes: Count,
    /// What is not as it was sent.
    pub differences: Differences,
}

/// The archive is not what was sent.
#[derive(Debug, Default, Error)]
pub(super) struct Differences(Vec<String>);

impl Differences {
    /// `Err` if there are any.
    pub(crate) fn verdict(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the archive differs from what was sent in {} places, report it with the folder:", self.0.len())?;
        for difference in self.0.iter().take(TOLD_MAX) {
            write!(f, "\n  {difference}")?;
        }
        match self.0.len().saturating_sub(TOLD_MAX) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// Compares what was sent with what was archived, record by record.
pub(super) fn compare(sent: &Accepted, archive: &Archive) -> Comparison {
    let mut comparison = Comparison::default();
    for expected in sent.places.values() {
        comparison.types.entry(expected.msgtype).or_default().sent += 1;
        comparison.all.sent += 1;
        if let Some(file) = &expected.file {
            comparison.files.sent += 1;
            comparison.file_bytes.sent += file.size;
        }
    }
    let mut differences = Vec::new();
    for (conversation, seq) in &sent.twice {
        differences.push(format!("message {seq} of `{conversation}`: the network gave this place to two messages"));
    }
    let mut waiting = sent.places.clone();
    for record in &archive.records {
        comparison.types.entry(record.msgtype).or_default().archived += 1;
        comparison.all.archived += 1;
        let (conversation, seq) = record.place;
        let Some(expected) = waiting.remove(&record.place) else {
            let what = if sent.places.contains_key(&record.place) { "a second record" } else { "nobody sent it" };
            differences.push(format!("message {seq} of `{conversation}`: {what}, of type {}", record.msgtype));
            continue;
        };
        if let Some(file) = expected.file
            && record.file == Some(file)
        {
            comparison.files.archived += 1;
            comparison.file_bytes.archived += file.size;
        }
        if let Some(fault) = fault(&expected, record) {
            differences.push(format!("message {seq} of `{conversation}`: {fault}"));
        }
    }
    for ((conversation, seq), expected) in waiting {
        differences.push(format!("message {seq} of `{conversation}`: sent as {}, not archived", expected.msgtype));
    }
    comparison.differences = Differences(differences);
    comparison
}

/// What is wrong with a record. Never what it says.
fn fault(expected: &Expected, record: &Archived) -> Option<String> {
    if expected.msgtype != record.msgtype {
        return Some(format!("sent as {}, archived as {}", expected.msgtype, record.msgtype));
    }
    if expected.message.is_some_and(|id| id.to_string() != record.message) {
        return Some("archived under another id".to_owned());
    }
    if expected.text != record.text {
        return Some("archived with another text".to_owned());
    }
    if expected.file != record.file {
        return Some("its attachment is missing or has other bytes".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use retaind_protocol::ids::{ConversationId, ConversationKind, MessageId};

    const ID: [u8; 16] = [7; 16];

    fn place(seq: u64) -> Place {
        (ConversationId::from_random(ConversationKind::Room, [1; 32]), seq)
    }

    fn sent() -> Accepted {
        let text = |text: &str| Expected {
            message: Some(MessageId::new(ID)),
            text: Some(text.to_owned()),
            ..Expected::handshake(1000)
        };
        let file =
            Expected { message: Some(MessageId::new(ID)), file: Some(measured(b"bytes")), ..Expected::handshake(6000) };
        let places = [(place(1), Expected::handshake(4900)), (place(2), text("a")), (place(3), file)];
        Accepted { places: places.into(), twice: Vec::new() }
    }

    /// An archive as `sent` asks for, then changed.
    fn found(change: impl FnOnce(&Path, &mut Vec<String>)) -> Comparison {
        let folder = tempfile::tempdir().unwrap();
        let conversation = place(1).0;
        let line = |seq: u64, rest: &str| {
            let id = MessageId::new(ID);
            format!(r#"{{"message_id":"{id}","seq":{seq},"vgroupid":"{conversation}",{rest}}}"#) + "\n"
        };
        let mut lines = vec![
            line(1, r#""msgtype":4900"#),
            line(2, r#""message":"a","msgtype":1000"#),
            line(3, r#""file":{"localfilename":"f"},"msgtype":6000"#),
        ];
        fs::write(folder.path().join("f"), "bytes").unwrap();
        change(folder.path(), &mut lines);
        fs::write(folder.path().join("receivedMessages_1_1.txt"), lines.concat()).unwrap();
        compare(&sent(), &Archive::read(folder.path(), folder.path()).unwrap())
    }

    fn told(change: impl FnOnce(&Path, &mut Vec<String>)) -> String {
        let told = found(change).differences.verdict().unwrap_err().to_string();
        told.replace(place(1).0.as_str(), "C").lines().skip(1).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn an_archive_of_what_was_sent_has_no_differences() {
        let comparison = found(|_, _| {});
        let one = Count { sent: 1, archived: 1 };
        assert_eq!(comparison.types, [(1000, one), (4900, one), (6000, one)].into());
        assert_eq!((comparison.all, comparison.files), (Count { sent: 3, archived: 3 }, one));
        assert_eq!(comparison.file_bytes, Count { sent: 5, archived: 5 });
        comparison.differences.verdict().unwrap();
    }

    #[test]
    fn every_difference_is_told() {
        assert_eq!(told(|_, lines| drop(lines.remove(1))), "  message 2 of `C`: sent as 1000, not archived");
        assert_eq!(told(|_, lines| lines.push(lines[0].clone())), "  message 1 of `C`: a second record, of type 4900");
        let other_seq = |_: &Path, lines: &mut Vec<String>| lines[2] = lines[2].replace(r#""seq":3"#, r#""seq":4"#);
        assert_eq!(
            told(other_seq),
            "  message 4 of `C`: nobody sent it, of type 6000\n  message 3 of `C`: sent as 6000, not archived"
        );
        let other = |from: &'static str, to: &'static str| told(move |_, lines| lines[1] = lines[1].replace(from, to));
        assert_eq!(other("1000", "9000"), "  message 2 of `C`: sent as 1000, archived as 9000");
        assert_eq!(other("0707", "0808"), "  message 2 of `C`: archived under another id");
        assert_eq!(other(r#":"a""#, r#":"b""#), "  message 2 of `C`: archived with another text");
        let attachment = "  message 3 of `C`: its attachment is missing or has other bytes";
        assert_eq!(told(|folder, _| fs::write(folder.join("f"), "bites").unwrap()), attachment);
        assert_eq!(told(|folder, _| fs::remove_file(folder.join("f")).unwrap()), attachment);
    }

    #[test]
    fn a_torn_line_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("receivedMessages_1_1.txt"), "{\"msgtype\":").unwrap();
        let error = Archive::read(folder.path(), folder.path()).unwrap_err().to_string();
        assert!(error.starts_with("line 1 of message file"), "{error}");
    }
}
