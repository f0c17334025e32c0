//! The writer: append, rotate, sync, settle.
#![deny(clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::sync::Arc;

use super::error::SegmentError;
use super::names::{Place, stamp};
use super::recover::after;
use super::row::{RotationLimits, SegmentRow, SegmentState};
use super::settle::settle;
use crate::disk::{Disk, DiskFile};
use crate::evidence::Account;
use retaind_evidence::entry::{SealedBy, Segment};
use retaind_state::Committed;

/// Records are gathered into writes of this size: few system calls for small records, and memory that does not grow
/// with the batch.
pub const WRITE_BYTES: usize = 256 * 1024;

/// The message files of one bot, open for writing. One owner; made by [`Segments::recover`] only.
pub struct Segments {
    disk: Arc<dyn Disk>,
    place: Place,
    policy: RotationLimits,
    phase: Phase,
    /// The open segment, as the next [`sync`](Self::sync) will commit it.
    open: SegmentRow,
    /// The open segment's file; opened by the first append.
    file: Option<Box<dyn DiskFile>>,
    /// Has the open segment a file (part or not)?
    on_disk: bool,
    /// Bytes of the open segment that are not written yet; at most [`WRITE_BYTES`].
    buffer: Vec<u8>,
    /// Received time that its age counts from: the first record's, or an earlier one if the clock was set back since.
    age_from_micros: Option<i64>,
    /// Segments sealed since the last commit.
    sealed: Vec<SegmentRow>,
    next_number: u64,
    open_changed: bool,
    directory_changed: bool,
    /// What evidence says of the open segment; `None`: nothing is attested.
    account: Option<Account>,
    /// What it says of those that were sealed since the last commit.
    attested: Vec<Segment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Writing,
    /// Between `sync` and `settle`: nothing may be written.
    Synced,
    Poisoned,
}

/// Everything appended so far is durable. To be stored in the batch's transaction, then settled.
#[must_use = "its rows belong into the transaction, and it must be settled after the commit"]
pub struct Synced {
    rows: Vec<SegmentRow>,
    attested: Vec<Segment>,
}

impl Synced {
    /// Rows to be written (inserted or replaced by number). Empty if nothing was appended or rotated.
    pub fn rows(&self) -> &[SegmentRow] {
        &self.rows
    }

    /// What evidence says of each segment that was sealed, in their order. For the same transaction.
    pub(crate) fn attested(&self) -> &[Segment] {
        &self.attested
    }
}

/// All files have the names in their committed rows.
#[must_use = "its rows belong into the next transaction, and its sealed segments into the ship queue"]
pub struct Settled {
    rows: Vec<SegmentRow>,
}

impl Settled {
    /// Rows that are settled now, to be stored in the next transaction. The sealed ones are ready to ship:
    /// put them into the queue in that same transaction. (A crash before it: recovery returns them again.)
    pub fn rows(&self) -> &[SegmentRow] {
        &self.rows
    }

    /// The segments that are ready to ship.
    pub fn sealed(&self) -> impl Iterator<Item = &SegmentRow> {
        self.rows.iter().filter(|row| row.state == SegmentState::Sealed)
    }
}

impl Segments {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        place: Place,
        policy: RotationLimits,
        open: SegmentRow,
        next_number: u64,
    ) -> Self {
        Self {
            disk,
            place,
            policy,
            phase: Phase::Writing,
            age_from_micros: open.first_micros.min(open.last_micros),
            on_disk: open.records > 0,
            open,
            file: None,
            buffer: Vec::new(),
            sealed: Vec::new(),
            next_number,
            open_changed: false,
            directory_changed: false,
            account: None,
            attested: Vec::new(),
        }
    }

    /// From now on files are attested; `account` is that of the open segment, all of it.
    pub(crate) fn attest(&mut self, account: Account) {
        self.account = Some(account);
    }

    /// The open segment, as the next [`sync`](Self::sync) will commit it.
    pub(crate) fn open_row(&self) -> &SegmentRow {
        &self.open
    }

    /// Number and account of the open segment, if files are attested.
    pub(crate) fn open_account(&self) -> Option<(u64, &Account)> {
        self.account.as_ref().map(|account| (self.open.number, account))
    }

    /// Directory and base name of the files.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Appends a record: one line with its line feed, received at `received_micros` (since 1970 UTC). Rotates before
    /// it if the open file would pass a limit. Not durable before [`sync`](Self::sync).
    pub fn append(&mut self, line: &[u8], received_micros: i64) -> Result<(), SegmentError> {
        self.must_be_writing("a record came between `sync` and `settle`")?;
        match line.split_last() {
            Some((b'\n', text)) if !text.contains(&b'\n') => {}
            _ => return Err(SegmentError::NotALine),
        }
        stamp(received_micros)?;
        let result = self.append_line(line, received_micros);
        self.poison_if_failed(result)
    }

    /// Is the open file old enough for [`rotate`](Self::rotate)? Never while it is empty.
    pub fn due(&self, now_micros: i64) -> bool {
        self.age_from_micros.is_some_and(|from| self.policy.is_too_old(from, now_micros))
    }

    /// As [`rotate_because`](Self::rotate_because) an operator asked for it.
    pub fn rotate(&mut self) -> Result<(), SegmentError> {
        self.rotate_because(SealedBy::Signal)
    }

    /// Seals the open file and begins the next one; does nothing if it is empty. Takes effect at `sync` and `settle`.
    pub(crate) fn rotate_because(&mut self, why: SealedBy) -> Result<(), SegmentError> {
        self.must_be_writing("a rotation came between `sync` and `settle`")?;
        if self.open.records == 0 {
            return Ok(());
        }
        let result = self.seal(why);
        self.poison_if_failed(result)
    }

    /// Makes all that was appended durable: bytes, then names.
    pub fn sync(&mut self) -> Result<Synced, SegmentError> {
        self.must_be_writing("`sync` came twice without `settle`")?;
        let result = self.sync_all();
        self.poison_if_failed(result)
    }

    /// Gives the files of committed rows their names. If the transaction that was to hold them failed, drop
    /// this writer and recover.
    pub fn settle(&mut self, synced: &Committed<Synced>) -> Result<Settled, SegmentError> {
        match self.phase {
            Phase::Synced => {}
            Phase::Writing => return Err(SegmentError::OutOfTurn("`settle` came without `sync`")),
            Phase::Poisoned => return Err(SegmentError::Poisoned),
        }
        let result = settle(&*self.disk, &self.place, &synced.rows);
        let rows = self.poison_if_failed(result)?;
        self.open.settled = true;
        self.phase = Phase::Writing;
        Ok(Settled { rows })
    }

    fn must_be_writing(&self, otherwise: &'static str) -> Result<(), SegmentError> {
        match self.phase {
            Phase::Writing => Ok(()),
            Phase::Synced => Err(SegmentError::OutOfTurn(otherwise)),
            Phase::Poisoned => Err(SegmentError::Poisoned),
        }
    }

    fn poison_if_failed<T>(&mut self, result: Result<T, SegmentError>) -> Result<T, SegmentError> {
        if result.is_err() {
            self.phase = Phase::Poisoned;
        }
        result
    }

    fn append_line(&mut self, line: &[u8], received_micros: i64) -> Result<(), SegmentError> {
        if let Some(why) = self.full(line, received_micros) {
            self.seal(why)?;
        }
        if self.buffer.len().saturating_add(line.len()) > WRITE_BYTES {
            self.flush()?;
        }
        if line.len() > WRITE_BYTES {
            self.write(line)?
        } else {
            self.buffer.extend_from_slice(line)
        }
        // no name is final before the commit: a segment's first bytes go to a part file
        self.open.settled &= self.open.records > 0;
        self.open.count(line, received_micros);
        if let Some(account) = &mut self.account {
            account.add(line);
        }
        self.open_changed = true;
        self.age_from_micros = Some(self.age_from_micros.map_or(received_micros, |from| from.min(received_micros)));
        Ok(())
    }

    /// Why the open file is sealed before this line, if it is.
    fn full(&self, line: &[u8], received_micros: i64) -> Option<SealedBy> {
        if self.open.records == 0 {
            None
        } else if self.policy.is_too_long(&self.open, line) {
            Some(SealedBy::Size)
        } else if self.due(received_micros) {
            Some(SealedBy::Time)
        } else {
            self.account.as_ref().is_some_and(Account::is_full).then_some(SealedBy::Limit)
        }
    }

    fn flush(&mut self) -> Result<(), SegmentError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        self.write(&buffer)?;
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SegmentError> {
        if self.file.is_none() {
            self.file = Some(self.open_file()?);
        }
        if let Some(file) = &mut self.file {
            file.write_all(bytes)?;
        }
        Ok(())
    }

    fn open_file(&mut self) -> Result<Box<dyn DiskFile>, SegmentError> {
        if self.on_disk {
            return Ok(self.disk.open_append(&self.place.open())?);
        }
        self.on_disk = true;
        self.directory_changed = true;
        Ok(self.disk.create_new(&self.place.part(self.open.number))?)
    }

    /// Finishes the open segment's file; only its name waits for the commit. Closed here, so that a batch with
    /// thousands of rotations needs one open file.
    fn seal(&mut self, why: SealedBy) -> Result<(), SegmentError> {
        self.sync_file()?;
        self.file = None;
        let next = SegmentRow::empty(self.next_number);
        self.next_number = after(&self.place, Some(self.next_number))?;
        let mut row = std::mem::replace(&mut self.open, next);
        row.state = SegmentState::Sealed;
        row.settled = false;
        let name = self.place.sealed(row.first_micros.unwrap_or(0), row.number)?;
        if let Some(account) = &mut self.account {
            self.attested.push(std::mem::replace(account, Account::new()).segment(&name, row.number, why));
        }
        row.sealed_name = Some(name);
        self.sealed.push(row);
        self.age_from_micros = None;
        self.on_disk = false;
        self.open_changed = true;
        Ok(())
    }

    fn sync_file(&mut self) -> Result<(), SegmentError> {
        self.flush()?;
        if let Some(file) = &mut self.file
            && self.open_changed
        {
            file.sync_data()?;
        }
        Ok(())
    }

    fn sync_all(&mut self) -> Result<Synced, SegmentError> {
        self.sync_file()?;
        if std::mem::take(&mut self.directory_changed) {
            self.disk.sync_dir(self.place.dir())?;
        }
        let mut rows = std::mem::take(&mut self.sealed);
        if std::mem::take(&mut self.open_changed) {
            rows.push(self.open.clone());
        }
        self.phase = Phase::Synced;
        Ok(Synced { rows, attested: std::mem::take(&mut self.attested) })
    }
}
