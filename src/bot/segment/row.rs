//! What the state keeps of each segment, and two pure rules: when to rotate, how to chain.

use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};

/// Is a segment still written to?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentState {
    /// The one that records are appended to.
    Open,
    /// Finished; never written to again.
    Sealed,
}

/// One segment, as the state keeps it. Committed in the same transaction as the messages that it records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRow {
    /// Number of the segment, unique for ever in its directory; key of the row.
    pub number: u64,
    /// Open or sealed. Exactly one row is open, and it has the highest number.
    pub state: SegmentState,
    /// Length in bytes.
    pub length: u64,
    /// Number of records, one a line.
    pub records: u64,
    /// `h_0` = 32 zero bytes, `h_i` = SHA-256(`h_(i-1)` ‖ line i with its line feed): can be recomputed from the file.
    pub chain: [u8; 32],
    /// File name of a sealed segment.
    pub sealed_name: Option<String>,
    /// Received time of the first record, microseconds since 1970 UTC.
    pub first_micros: Option<i64>,
    /// Received time of the last record, microseconds since 1970 UTC.
    pub last_micros: Option<i64>,
    /// Has the file the name that `state` implies? True for an empty segment, which has no file.
    pub settled: bool,
}

impl SegmentRow {
    pub(super) fn empty(number: u64) -> Self {
        Self {
            number,
            state: SegmentState::Open,
            length: 0,
            records: 0,
            chain: [0; 32],
            sealed_name: None,
            first_micros: None,
            last_micros: None,
            settled: true,
        }
    }

    pub(super) fn count(&mut self, line: &[u8], received_micros: i64) {
        self.length = self.length.saturating_add(bytes_of(line));
        self.records = self.records.saturating_add(1);
        self.chain = chained(&self.chain, line);
        self.first_micros.get_or_insert(received_micros);
        self.last_micros = Some(received_micros);
    }
}

/// When a file is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationLimits {
    /// Most bytes of a file; only a single larger record makes a larger file.
    pub size_max: u64,
    /// Age at which a file is sealed, counted from its first record; `None` = any age.
    pub age_max: Option<Duration>,
    /// Number of the first segment when neither state nor directory has a higher one.
    pub first_number: u64,
}

impl RotationLimits {
    pub(super) fn is_too_long(&self, row: &SegmentRow, line: &[u8]) -> bool {
        row.length.saturating_add(bytes_of(line)) > self.size_max
    }

    pub(super) fn is_too_old(&self, from_micros: i64, now_micros: i64) -> bool {
        let age = u128::from(now_micros.saturating_sub(from_micros).max(0).unsigned_abs());
        self.age_max.is_some_and(|max| age >= max.as_micros())
    }
}

/// The next link of a segment's chain.
pub fn chained(previous: &[u8; 32], line: &[u8]) -> [u8; 32] {
    let mut chain = Chain { link: *previous, line: None };
    chain.extend_line(line);
    chain.finish()
}

/// The chain of a file whose bytes come in pieces of any size.
#[derive(Clone, Default)]
pub struct Chain {
    link: [u8; 32],
    /// Hash of a line whose end has not come yet.
    line: Option<Context>,
}

impl Chain {
    /// Takes the next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.extend_line(piece);
            if piece.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    /// The last link; bytes after the last line feed count as a line.
    pub fn finish(mut self) -> [u8; 32] {
        self.end_line();
        self.link
    }

    fn extend_line(&mut self, bytes: &[u8]) {
        let line = self.line.get_or_insert_with(|| {
            let mut line = Context::new(&SHA256);
            line.update(&self.link);
            line
        });
        line.update(bytes);
    }

    fn end_line(&mut self) {
        if let Some(line) = self.line.take() {
            self.link.copy_from_slice(line.finish().as_ref());
        }
    }
}

fn bytes_of(line: &[u8]) -> u64 {
    u64::try_from(line.len()).unwrap_or(u64::MAX)
}
