//! What the evidence says of one message file, counted as its lines are written.
//!
//! Everything is taken from the line itself, so that a file of which only the bytes are left, after a crash, gives the same
//! account: [`Account::reread`].

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use retaind_evidence::entry::{ConversationRange, ENTRY_BYTES_MAX, FileKind, FileRef, SealedBy, Segment};
use retaind_evidence::tree::{Hash, Tree};
use serde::Deserialize;

use crate::disk::{Disk, DiskError};
use crate::segment::{Chain, SegmentRow};

/// Bytes of conversations, holes and files of one entry, at which its message file is sealed. One more record of any kind stays
/// far below what is left to [`ENTRY_BYTES_MAX`].
const LISTS_BYTES_MAX: usize = ENTRY_BYTES_MAX / 4 * 3;
/// What a conversation, a hole or a file takes in an entry at most, without its names.
const CONVERSATION_BYTES: usize = 160;
const HOLE_BYTES: usize = 48;
const FILE_BYTES: usize = 256;
/// Bytes read at a time.
const READ_BYTES: usize = 256 * 1024;
/// `msgtype` of what could not be read, and of holes.
const UNREADABLE: u32 = 0;

/// The account of one message file.
pub(crate) struct Account {
    sha256: Context,
    lines: Tree,
    bytes: u64,
    types: BTreeMap<u32, u64>,
    /// Least and greatest `received_iso`, as the records have it.
    received: Option<(String, String)>,
    unreadable: u64,
    holes: u64,
    files_missing: u64,
    conversations: HashMap<String, Range>,
    files: Vec<FileRef>,
    /// What the lists take in the entry, at most.
    lists_bytes: usize,
}

#[derive(Clone, Default)]
struct Range {
    first: u64,
    last: u64,
    records: u64,
    holes: Vec<(u64, u64)>,
}

/// The fields of a record that evidence is about.
#[derive(Deserialize)]
struct Facts<'a> {
    msgtype: u32,
    #[serde(borrow)]
    vgroupid: Cow<'a, str>,
    seq: u64,
    #[serde(borrow)]
    received_iso: Cow<'a, str>,
    hole: Option<Hole>,
    #[serde(borrow)]
    file: Option<FileFacts<'a>>,
    #[serde(borrow)]
    ciphertext: Option<Kept<'a>>,
}

#[derive(Deserialize)]
struct Hole {
    fromseq: u64,
    toseq: u64,
}

#[derive(Deserialize)]
struct FileFacts<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    localfilename: Option<Cow<'a, str>>,
    #[serde(borrow)]
    filehash: Option<Cow<'a, str>>,
    filesize: Option<u64>,
    #[serde(borrow)]
    ciphertext: Option<Kept<'a>>,
    #[serde(borrow)]
    decrypted: Option<Kept<'a>>,
}

#[derive(Deserialize)]
struct Kept<'a> {
    /// `None`: it was not kept.
    #[serde(borrow)]
    file: Option<Cow<'a, str>>,
    #[serde(borrow)]
    sha256: Cow<'a, str>,
    size: u64,
}

impl Account {
    /// Of a file without a line.
    pub(crate) fn new() -> Self {
        Self {
            sha256: Context::new(&SHA256),
            lines: Tree::new(),
            bytes: 0,
            types: BTreeMap::new(),
            received: None,
            unreadable: 0,
            holes: 0,
            files_missing: 0,
            conversations: HashMap::new(),
            files: Vec::new(),
            lists_bytes: 0,
        }
    }

    /// Of the committed bytes of an open file. Second: whether they are those that were committed.
    pub(crate) fn reread(disk: &dyn Disk, path: &Path, row: &SegmentRow) -> Result<(Self, bool), DiskError> {
        let (mut account, mut chain) = (Self::new(), Chain::default());
        if row.length == 0 {
            return Ok((account, true));
        }
        let mut file = disk.open_read(path)?;
        let (mut at, mut pending) = (0u64, Vec::new());
        while at < row.length {
            let most = usize::try_from(row.length.saturating_sub(at)).map_or(READ_BYTES, |left| left.min(READ_BYTES));
            let begun = pending.len();
            let read = file.read_at(at, most, &mut pending)?;
            if read == 0 {
                break;
            }
            chain.update(pending.get(begun..).unwrap_or_default());
            at = at.saturating_add(bytes_of(read));
            let mut rest = pending.as_slice();
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let (line, after) = rest.split_at(end.saturating_add(1));
                account.add(line);
                rest = after;
            }
            let left = rest.len();
            pending.drain(..pending.len().saturating_sub(left));
        }
        let whole = at == row.length && pending.is_empty() && chain.finish() == row.chain;
        Ok((account, whole))
    }

    /// The next line of the file, with its line feed.
    pub(crate) fn add(&mut self, line: &[u8]) {
        self.sha256.update(line);
        self.bytes = self.bytes.saturating_add(bytes_of(line.len()));
        self.lines.push(line.strip_suffix(b"\n").unwrap_or(line));
        // a line of the bot's own is always read; one that damage has changed has no facts, and is in the hashes all the same
        let Ok(facts) = serde_json::from_slice::<Facts<'_>>(line) else { return };
        let count = self.types.entry(facts.msgtype).or_default();
        *count = count.saturating_add(1);
        self.received(&facts.received_iso);
        let range = match self.conversations.get_mut(facts.vgroupid.as_ref()) {
            Some(range) => range,
            None => {
                let bytes = facts.vgroupid.len().saturating_add(CONVERSATION_BYTES);
                self.lists_bytes = self.lists_bytes.saturating_add(bytes);
                self.conversations.entry(facts.vgroupid.clone().into_owned()).or_default()
            }
        };
        let (from, to) = facts.hole.as_ref().map_or((facts.seq, facts.seq), |hole| (hole.fromseq, hole.toseq));
        if range.records == 0 {
            range.first = from;
        }
        range.first = range.first.min(from);
        range.last = range.last.max(to);
        range.records = range.records.saturating_add(1);
        if facts.hole.is_some() {
            self.holes = self.holes.saturating_add(to.saturating_sub(from).saturating_add(1));
            self.lists_bytes = self.lists_bytes.saturating_add(HOLE_BYTES);
            range.holes.push((from, to));
        } else if facts.msgtype == UNREADABLE {
            self.unreadable = self.unreadable.saturating_add(1);
        }
        self.keep_files(&facts);
    }

    fn received(&mut self, at: &str) {
        // the form sorts as the times do
        match &mut self.received {
            None => self.received = Some((at.to_owned(), at.to_owned())),
            Some((first, _)) if at < first.as_str() => at.clone_into(first),
            Some((_, last)) if at > last.as_str() => at.clone_into(last),
            Some(_) => {}
        }
    }

    fn keep_files(&mut self, facts: &Facts<'_>) {
        let mut keep = |name: &str, sha256: &str, bytes: u64, kind: FileKind| {
            let Some(sha256) = hash(sha256) else { return };
            let bytes_listed = name.len().saturating_add(facts.vgroupid.len()).saturating_add(FILE_BYTES);
            self.lists_bytes = self.lists_bytes.saturating_add(bytes_listed);
            let (conversation, seq) = (facts.vgroupid.clone().into_owned(), facts.seq.into());
            self.files.push(FileRef { name: name.to_owned(), bytes: bytes.into(), sha256, kind, conversation, seq });
        };
        let mut keep_all = |kept: &Option<Kept<'_>>, kind: FileKind| {
            if let Some(Kept { file: Some(name), sha256, size }) = kept {
                keep(name, sha256, *size, kind);
            }
        };
        keep_all(&facts.ciphertext, FileKind::Ciphertext);
        let Some(file) = &facts.file else { return };
        keep_all(&file.ciphertext, FileKind::Ciphertext);
        keep_all(&file.decrypted, FileKind::Attachment);
        if let (Some(name), Some(hash), Some(bytes)) = (&file.localfilename, &file.filehash, file.filesize) {
            keep(name, hash, bytes, FileKind::Attachment);
        } else if file.status == "missing" {
            self.files_missing = self.files_missing.saturating_add(1);
        }
    }

    /// Has the file as many conversations, holes and attachments as one entry has room for?
    pub(crate) fn is_full(&self) -> bool {
        self.lists_bytes >= LISTS_BYTES_MAX
    }

    /// SHA-256 of the bytes so far.
    pub(crate) fn sha256(&self) -> Hash {
        let mut hash = Hash::default();
        hash.copy_from_slice(self.sha256.clone().finish().as_ref());
        hash
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Lines so far.
    pub(crate) fn records(&self) -> u64 {
        self.lines.size()
    }

    /// Each conversation with the last `seq` of it in the file, in no order.
    pub(crate) fn heads(&self) -> impl Iterator<Item = (&str, u64)> {
        self.conversations.iter().map(|(id, range)| (id.as_str(), range.last))
    }

    /// What an entry says of the file once it is sealed.
    pub(crate) fn segment(&self, name: &str, number: u64, sealed_by: SealedBy) -> Segment {
        let received = self.received.as_ref();
        let ranges = self.conversations.iter().map(|(id, range)| ConversationRange {
            id: id.clone(),
            first: range.first.into(),
            last: range.last.into(),
            records: range.records.into(),
            holes: range.holes.iter().map(|(from, to)| [(*from).into(), (*to).into()]).collect(),
        });
        let mut conversations: Vec<_> = ranges.collect();
        conversations.sort_by(|one, other| one.id.cmp(&other.id));
        let mut files = self.files.clone();
        files.sort_by(|one, other| one.name.cmp(&other.name));
        Segment {
            name: name.to_owned(),
            number: number.into(),
            bytes: self.bytes.into(),
            records: self.records().into(),
            sha256: self.sha256(),
            records_root: self.lines.root(),
            sealed_by,
            first_received: received.and_then(|(first, _)| time(first)),
            last_received: received.and_then(|(_, last)| time(last)),
            first_accepted: None,
            last_accepted: None,
            types: self.types.iter().map(|(kind, count)| (kind.to_string(), (*count).into())).collect(),
            unreadable: self.unreadable.into(),
            holes: self.holes.into(),
            files_missing: self.files_missing.into(),
            conversations,
            files,
        }
    }
}

/// Of a `received_iso` such as `2026-08-04 19:19:51.250`, which is UTC.
fn time(text: &str) -> Option<Timestamp> {
    format!("{text}Z").parse().ok()
}

fn hash(hex: &str) -> Option<Hash> {
    HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()
}

fn bytes_of(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use retaind_evidence::entry::{Body, Bot, Covers, Entry, LogId};

    use super::*;

    fn line(seq: u64, more: &str) -> Vec<u8> {
        let conversation = format!("S{seq:063}");
        format!(
            r#"{{"msgtype":6000,"received_iso":"2026-08-04 19:19:51.250","seq":{seq},"vgroupid":"{conversation}"{more}}}"#
        )
        .into_bytes()
        .into_iter()
        .chain(*b"\n")
        .collect()
    }

    /// As long as the longest that the bot gives, in characters that JSON leaves as they are.
    fn file(seq: u64) -> String {
        let name = format!("attachment_20260804191951250_{seq:0>226}");
        let hash = "5a".repeat(32);
        format!(r#","file":{{"status":"saved","localfilename":"{name}","filehash":"{hash}","filesize":1}}"#)
    }

    fn entry_of(account: &Account) -> usize {
        let at = Timestamp::UNIX_EPOCH;
        let [name, device, network_id, version] = ["a bot", "00", "1", "0.1.0"].map(str::to_owned);
        let body = Body::Segment(account.segment("receivedMessages.txt", 1, SealedBy::Limit));
        let bot = Bot { name, device, network_id, version };
        let (log, covers) = (LogId([0; 16]), Covers { from: at, to: at });
        Entry { log, number: 1, previous: [0; 32], made_at: at, covers, bot, body }.leaf().len()
    }

    #[test]
    fn a_file_is_full_before_its_entry_is_larger_than_readers_take() {
        for more in [file, |_| String::new(), |seq| format!(r#","hole":{{"fromseq":{seq},"toseq":{seq}}}"#)] {
            let mut account = Account::new();
            let mut seq = 0;
            while !account.is_full() {
                seq += 1;
                account.add(&line(seq, &more(seq)));
            }
            let bytes = entry_of(&account);
            assert!(bytes < ENTRY_BYTES_MAX / 10 * 9, "{bytes}");
            assert!(bytes > ENTRY_BYTES_MAX / 4, "{bytes}: files are sealed far too early");
        }
    }

    #[test]
    fn a_line_that_damage_has_changed_counts_in_the_hashes_alone() {
        let mut account = Account::new();
        account.add(b"{\"msgtype\":1000,\n");
        account.add(&line(7, ""));
        let segment = account.segment("a", 1, SealedBy::Stop);
        assert_eq!((segment.records.0, segment.conversations.len()), (2, 1));
        assert_eq!(segment.types.values().map(|count| count.0).sum::<u64>(), 1);
    }

    #[test]
    fn holes_files_and_times_are_those_of_the_records() {
        let mut account = Account::new();
        account.add(&line(5, r#","hole":{"fromseq":5,"toseq":7}"#));
        account.add(&line(9, &file(9)));
        account.add(&line(9, r#","file":{"status":"missing"}"#));
        let segment = account.segment("a", 1, SealedBy::Size);
        assert_eq!((segment.holes.0, segment.files_missing.0, segment.files.len()), (3, 1, 1));
        let [first, last] = [&segment.conversations[0], &segment.conversations[1]];
        assert_eq!((first.first.0, first.last.0, last.records.0), (5, 7, 2));
        assert_eq!(segment.first_received.map(|at| at.to_string()).as_deref(), Some("2026-08-04T19:19:51.25Z"));
    }
}
