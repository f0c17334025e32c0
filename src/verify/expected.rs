//! What the entries say should be in the archive.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use retaind_evidence::entry::{Body, Encryption, Entry, LogId, NoticeCode, Object, Segment};
use retaind_evidence::tree::Hash;

use crate::log::Take;
use crate::ranges::Ranges;

/// What vouches for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vouched {
    /// The log.
    Sealed,
    /// The log, for a file that was there before it.
    Before,
}

/// Stored bytes of an encrypted object.
#[derive(Debug, Clone)]
pub(crate) struct StoredAs {
    pub(crate) bytes: u64,
    pub(crate) sha256: Hash,
}

/// One file.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) log: LogId,
    pub(crate) entry: u64,
    /// What is wrong with the entry.
    pub(crate) damage: Option<usize>,
    pub(crate) vouched: Vouched,
    pub(crate) bytes: u64,
    pub(crate) sha256: Hash,
    pub(crate) stored: Option<StoredAs>,
    pub(crate) in_range: bool,
    /// For a message file.
    pub(crate) lines: Option<Lines>,
}

/// What an entry says about the lines of a message file.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    pub(crate) records: u64,
    pub(crate) root: Hash,
    pub(crate) types: BTreeMap<String, u64>,
    /// Least and greatest `seq` by conversation.
    pub(crate) ranges: BTreeMap<String, (u64, u64)>,
}

/// The beginning of a file that was being written.
#[derive(Debug, Clone)]
pub(crate) struct Begun {
    pub(crate) log: LogId,
    pub(crate) entry: u64,
    pub(crate) number: u64,
    pub(crate) bytes: u64,
    pub(crate) sha256: Hash,
}

/// The half-open span of time that a report is about.
#[derive(Debug, Clone, Copy, Default)]
pub struct Range {
    /// From here on.
    pub from: Option<Timestamp>,
    /// Before this.
    pub to: Option<Timestamp>,
}

impl Range {
    fn overlaps(&self, from: Timestamp, to: Timestamp) -> bool {
        self.from.is_none_or(|begin| begin <= to) && self.to.is_none_or(|end| from < end)
    }
}

/// Counts over the entries of a range.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// Sealed message files.
    pub segments: u64,
    /// Records in them.
    pub records: u64,
    /// Their length, unencrypted.
    pub bytes: u64,
    /// Conversations with records.
    pub conversations: u64,
    /// Attachments and kept ciphertexts.
    pub attachments: u64,
    /// Their length, unencrypted.
    pub attachment_bytes: u64,
    /// Messages that the network did not deliver.
    pub holes: u64,
    /// Records of messages that could not be read.
    pub unreadable: u64,
}

/// Collects what entries say, whichever log they are of.
#[derive(Debug, Default)]
pub(crate) struct Expectations {
    pub(crate) range: Range,
    pub(crate) files: BTreeMap<String, Expected>,
    pub(crate) begun: BTreeMap<LogId, Begun>,
    pub(crate) ranges: Ranges,
    pub(crate) totals: Totals,
    /// Conversations that the bot was removed from at some time.
    pub(crate) removed_from: BTreeSet<String>,
    /// Receipts whose file's entry comes later, or never.
    pub(crate) stored: BTreeMap<String, StoredAs>,
}

impl Take for Expectations {
    fn take(&mut self, entry: Entry, damage: Option<usize>) {
        let in_range = self.range.overlaps(entry.covers.from, entry.covers.to);
        let by = By { log: entry.log, entry: entry.number, damage, in_range };
        match entry.body {
            Body::Genesis(genesis) => {
                for file in genesis.segments_before {
                    self.file(file.name, by.expects(Vouched::Before, file.bytes.0, file.sha256));
                }
            }
            Body::Segment(segment) => self.segment(segment, by),
            Body::Receipt(receipt) => receipt.objects.into_iter().for_each(|object| self.object(object)),
            Body::Interval(interval) => {
                if let (Some(open), None) = (interval.open, damage) {
                    let (number, bytes, sha256) = (open.number.0, open.bytes.0, open.sha256);
                    let begun = Begun { log: entry.log, entry: entry.number, number, bytes, sha256 };
                    self.begun.insert(entry.log, begun);
                }
            }
            Body::Notice(notice) => {
                if notice.code == NoticeCode::RemovedFrom && damage.is_none() {
                    self.removed_from.insert(notice.about);
                }
            }
            Body::Pause(_) | Body::Key(_) | Body::Restore(_) | Body::Close(_) => {}
        }
    }
}

/// The entry that expects something.
#[derive(Clone, Copy)]
struct By {
    log: LogId,
    entry: u64,
    damage: Option<usize>,
    in_range: bool,
}

impl By {
    fn expects(self, vouched: Vouched, bytes: u64, sha256: Hash) -> Expected {
        let Self { log, entry, damage, in_range } = self;
        Expected { log, entry, damage, vouched, bytes, sha256, stored: None, in_range, lines: None }
    }
}

impl Expectations {
    fn file(&mut self, name: String, mut expected: Expected) {
        expected.stored = self.stored.remove(&name);
        match self.files.get(&name) {
            // an entry that is not genuine replaces nothing
            Some(known) if known.damage.is_none() && expected.damage.is_some() => {}
            Some(_) | None => {
                self.files.insert(name, expected);
            }
        }
    }

    fn segment(&mut self, segment: Segment, by: By) {
        let lines = Lines {
            records: segment.records.0,
            root: segment.records_root,
            types: segment.types.iter().map(|(kind, count)| (kind.clone(), count.0)).collect(),
            ranges: segment
                .conversations
                .iter()
                .map(|range| (range.id.clone(), (range.first.0, range.last.0)))
                .collect(),
        };
        let mut expected = by.expects(Vouched::Sealed, segment.bytes.0, segment.sha256);
        expected.lines = Some(lines);
        self.file(segment.name, expected);
        for range in &segment.conversations {
            self.ranges.add(by.log, by.entry, by.damage, range);
        }
        let add = |total: &mut u64, more: u64| *total = total.saturating_add(more);
        if by.in_range {
            add(&mut self.totals.segments, 1);
            add(&mut self.totals.records, segment.records.0);
            add(&mut self.totals.bytes, segment.bytes.0);
            add(&mut self.totals.holes, segment.holes.0);
            add(&mut self.totals.unreadable, segment.unreadable.0);
            for file in &segment.files {
                add(&mut self.totals.attachments, 1);
                add(&mut self.totals.attachment_bytes, file.bytes.0);
            }
        }
        for file in segment.files {
            self.file(file.name, by.expects(Vouched::Sealed, file.bytes.0, file.sha256));
        }
    }

    fn object(&mut self, object: Object) {
        if object.encryption == Encryption::None {
            return;
        }
        let stored = StoredAs { bytes: object.bytes.0, sha256: object.sha256 };
        match self.files.get_mut(&object.name) {
            Some(expected) => expected.stored = Some(stored),
            None => {
                self.stored.insert(object.name, stored);
            }
        }
    }
}
