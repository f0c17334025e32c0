//! A file as blocks of whole lines, in flat memory.
//!
//! A block is what a search runs over at once; lines are cut out of it where something was found. A line longer than
//! [`LINE_BYTES_MAX`] is passed over and named, whatever its length.

use std::fs::File;
use std::io::{self, Read as _};

use memchr::memmem::Finder;
use memchr::{memchr, memrchr};

use super::{BadLine, Entry, Place, SourceError};
use crate::record::{LineFault, Record};

/// Longest line. The bot's longest content is 4 MiB; unread, it is Base64, and text can be six times as long when escaped.
pub const LINE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes read at once.
const BLOCK_BYTES: usize = 1 << 20;

/// Whole lines that follow each other.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// The lines with their line feeds; the last one of a file may have none.
    pub bytes: &'a [u8],
    /// Place of the first line; its `bytes` mean nothing.
    pub start: Place,
}

/// What comes next in a file.
#[derive(Debug)]
pub enum Piece<'a> {
    /// Lines.
    Block(Block<'a>),
    /// A line that was too long.
    Bad(BadLine),
}

/// Reads a file piece by piece.
#[derive(Debug)]
pub struct Pieces {
    file: File,
    path: String,
    buffer: Vec<u8>,
    /// Bytes of the buffer that are read.
    filled: usize,
    /// Bytes of the buffer that were handed out.
    given: usize,
    /// Where the buffer's unread part begins.
    next: Place,
    ended: bool,
}

fn to_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn line_feeds(bytes: &[u8]) -> u64 {
    to_u64(memchr::memchr_iter(b'\n', bytes).count())
}

impl Pieces {
    pub(super) fn new(file: File, index: u32, path: String) -> Self {
        let next = Place { file: index, line: 1, offset: 0, bytes: 0 };
        Self { file, path, buffer: vec![0; BLOCK_BYTES], filled: 0, given: 0, next, ended: false }
    }

    /// Bytes of the file that were handed out.
    pub fn offset(&self) -> u64 {
        self.next.offset
    }

    /// The next piece; none at the end of the file.
    pub fn next_piece(&mut self) -> Result<Option<Piece<'_>>, SourceError> {
        self.buffer.copy_within(self.given..self.filled, 0);
        self.filled = self.filled.saturating_sub(self.given);
        self.given = 0;
        let mut searched = 0;
        let end = loop {
            let unsearched = self.buffer.get(searched..self.filled).unwrap_or_default();
            if let Some(at) = memrchr(b'\n', unsearched) {
                break searched.saturating_add(at).saturating_add(1);
            }
            searched = self.filled;
            if self.ended {
                break self.filled;
            }
            if self.filled > LINE_BYTES_MAX {
                return self.pass_over().map(|bad| Some(Piece::Bad(bad)));
            }
            self.fill()?;
        };
        if end == 0 {
            return Ok(None);
        }
        // a block of one line may be too long although its end was read with it
        let first = memchr(b'\n', self.buffer.get(..end).unwrap_or_default()).unwrap_or(end);
        if first > LINE_BYTES_MAX {
            return self.pass_over().map(|bad| Some(Piece::Bad(bad)));
        }
        let start = self.next;
        self.given = end;
        let bytes = self.buffer.get(..end).unwrap_or_default();
        self.next.offset = start.offset.saturating_add(to_u64(end));
        self.next.line = start.line.saturating_add(line_feeds(bytes));
        Ok(Some(Piece::Block(Block { bytes, start })))
    }

    fn fill(&mut self) -> Result<(), SourceError> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.filled.saturating_mul(2), 0);
        }
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        match self.file.read(room) {
            Ok(0) => self.ended = true,
            Ok(read) => self.filled = self.filled.saturating_add(read),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(SourceError::Read { path: self.path.clone(), source }),
        }
        Ok(())
    }

    /// Passes over the line at the buffer's beginning, to its line feed or the end of the file.
    fn pass_over(&mut self) -> Result<BadLine, SourceError> {
        let mut place = self.next;
        let mut passed: u64 = 0;
        loop {
            let have = self.buffer.get(..self.filled).unwrap_or_default();
            if let Some(at) = memchr(b'\n', have) {
                passed = passed.saturating_add(to_u64(at)).saturating_add(1);
                self.given = at.saturating_add(1);
                break;
            }
            passed = passed.saturating_add(to_u64(self.filled));
            (self.filled, self.given) = (0, 0);
            if self.ended {
                break;
            }
            self.fill()?;
        }
        self.next.offset = place.offset.saturating_add(passed);
        self.next.line = place.line.saturating_add(1);
        place.bytes = u32::try_from(passed).unwrap_or(u32::MAX);
        Ok(BadLine { place, fault: LineFault::TooLong { limit: LINE_BYTES_MAX } })
    }

    /// Every line as a record or a bad line.
    pub fn into_entries(self) -> impl Iterator<Item = Result<Entry, SourceError>> {
        let mut entries = Entries { pieces: self, ready: Vec::new().into_iter(), failed: false };
        std::iter::from_fn(move || entries.next_entry())
    }
}

struct Entries {
    pieces: Pieces,
    ready: std::vec::IntoIter<Entry>,
    failed: bool,
}

impl Entries {
    fn next_entry(&mut self) -> Option<Result<Entry, SourceError>> {
        loop {
            if let Some(entry) = self.ready.next() {
                return Some(Ok(entry));
            }
            if self.failed {
                return None;
            }
            let ready = match self.pieces.next_piece() {
                Ok(None) => return None,
                Ok(Some(Piece::Bad(bad))) => vec![Entry::Bad(bad)],
                Ok(Some(Piece::Block(block))) => block.lines().map(|(place, line)| Entry::of(place, line)).collect(),
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            };
            self.ready = ready.into_iter();
        }
    }
}

impl Entry {
    /// Of a line.
    pub fn of(place: Place, line: &[u8]) -> Self {
        match Record::parse(line) {
            Ok(record) => Self::Record(place, Box::new(record)),
            Err(fault) => Self::Bad(BadLine { place, fault }),
        }
    }
}

/// A byte order mark, which some programs put before the first line.
const MARK: &[u8] = b"\xef\xbb\xbf";

impl<'a> Block<'a> {
    /// Its lines without their line feeds. Lines of blanks only are passed over.
    pub fn lines(self) -> impl Iterator<Item = (Place, &'a [u8])> {
        let mut cursor = self.cursor();
        std::iter::from_fn(move || {
            let at = cursor.at;
            cursor.line_at(at)
        })
        .filter(|(_, line)| !line.iter().all(u8::is_ascii_whitespace))
    }

    /// Its lines that contain one of these literals at least.
    pub fn lines_with<'f>(self, literals: &'f [Finder<'f>]) -> impl Iterator<Item = (Place, &'a [u8])> {
        let mut cursor = self.cursor();
        // where each literal comes next; none if it does not come any more
        let mut next: Vec<Option<usize>> = literals.iter().map(|literal| literal.find(self.bytes)).collect();
        std::iter::from_fn(move || {
            let (from, rest) = cursor.rest();
            for (literal, next) in literals.iter().zip(&mut next) {
                if next.is_some_and(|at| at < from) {
                    *next = literal.find(rest).map(|at| from.saturating_add(at));
                }
            }
            cursor.line_at(next.iter().flatten().copied().min()?)
        })
    }

    pub(super) fn cursor(self) -> Cursor<'a> {
        Cursor { block: self, at: 0, line: self.start.line }
    }
}

/// Cuts lines out of a block, from its beginning to its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    block: Block<'a>,
    /// Beginning of the next line.
    at: usize,
    line: u64,
}

impl<'a> Cursor<'a> {
    /// What is not yet passed, and where in the block that begins.
    fn rest(&self) -> (usize, &'a [u8]) {
        (self.at, self.block.bytes.get(self.at..).unwrap_or_default())
    }

    /// The line that the byte `at` of the block is in, which becomes passed with all before it.
    pub(super) fn line_at(&mut self, at: usize) -> Option<(Place, &'a [u8])> {
        let bytes = self.block.bytes;
        let before = bytes.get(self.at..at)?;
        let start = memrchr(b'\n', before).map_or(self.at, |feed| self.at.saturating_add(feed).saturating_add(1));
        let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        let mut line = rest.get(..end)?;
        self.line = self.line.saturating_add(line_feeds(bytes.get(self.at..start)?));
        let mut offset = self.block.start.offset.saturating_add(to_u64(start));
        let number = self.line;
        self.at = start.saturating_add(end).saturating_add(1).min(bytes.len());
        self.line = self.line.saturating_add(1);
        if offset == 0 && line.starts_with(MARK) {
            line = line.get(MARK.len()..)?;
            offset = to_u64(MARK.len());
        }
        let bytes = u32::try_from(line.len()).unwrap_or(u32::MAX);
        Some((Place { file: self.block.start.file, line: number, offset, bytes }, line))
    }
}
