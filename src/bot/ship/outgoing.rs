//! A committed file on its way out of the host, read in pieces: the one way in which destinations read what they store.
//!
//! It is hashed as it passes, and compared with what was committed before its last piece is given out. So whoever needs all
//! pieces to make an object makes none of a file that is not what was committed, be it by one bit; and a simulated
//! destination finds a damaged file by the same code as S3.
//!
//! Nothing is kept between two tries: who begins again opens the file again, and its bytes are hashed again.

use std::io;

use aws_lc_rs::digest::{Context, SHA256};

use super::{ShipError, ShipItem, ShipKind};
use crate::disk::{Disk, DiskError, DiskReader};
use crate::segment::Chain;

/// A file that is being read. After an error it is of no use.
pub struct Outgoing {
    item: ShipItem,
    file: Box<dyn DiskReader>,
    /// Bytes that were given out.
    given: u64,
    passing: Passing,
}

impl Outgoing {
    /// Opens the file of `item`. Refused where it is missing or has another length than was committed.
    pub fn open(disk: &dyn Disk, item: &ShipItem) -> Result<Self, ShipError> {
        let failed = |error: DiskError| {
            if error.source.kind() == io::ErrorKind::NotFound {
                ShipError::Missing { what: item.label() }
            } else {
                ShipError::Disk { what: item.label(), source: error.source }
            }
        };
        let mut file = disk.open_read(&item.path).map_err(failed)?;
        let found = file.length().map_err(failed)?;
        if found != item.length {
            return Err(ShipError::Altered { what: item.label(), found, committed: item.length });
        }
        Ok(Self { item: item.clone(), file, given: 0, passing: Passing::of(item.kind) })
    }

    /// What is read.
    pub fn item(&self) -> &ShipItem {
        &self.item
    }

    /// Bytes that are still to come.
    pub fn left(&self) -> u64 {
        self.item.length.saturating_sub(self.given)
    }

    /// The next bytes, at most `most`, in a buffer with room for `room` more. The last ones come only if all of them are
    /// what was committed; of an empty file that is one empty piece.
    pub fn piece(&mut self, most: usize, room: usize) -> Result<Vec<u8>, ShipError> {
        let bytes = usize::try_from(self.left()).map_or(most, |left| left.min(most));
        let is_last = bytes_of(bytes) == self.left();
        let mut piece = Vec::with_capacity(bytes.saturating_add(room));
        // behind the last one there must be nothing
        let wanted = bytes.saturating_add(usize::from(is_last));
        let read = self.file.read_at(self.given, wanted, &mut piece);
        let read = read.map_err(|error| ShipError::Disk { what: self.item.label(), source: error.source })?;
        if read != bytes {
            let found = self.given.saturating_add(bytes_of(read));
            return Err(ShipError::Altered { what: self.item.label(), found, committed: self.item.length });
        }
        self.given = self.given.saturating_add(bytes_of(bytes));
        self.passing.update(&piece);
        if is_last && self.item.hash.is_some_and(|committed| !self.passing.is(&committed)) {
            return Err(ShipError::Damaged { what: self.item.label() });
        }
        Ok(piece)
    }
}

fn bytes_of(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The hash of a file as it passes.
enum Passing {
    Message(Chain),
    File(Context),
}

impl Passing {
    fn of(kind: ShipKind) -> Self {
        match kind {
            ShipKind::Message => Self::Message(Chain::default()),
            ShipKind::File | ShipKind::Evidence => Self::File(Context::new(&SHA256)),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Message(chain) => chain.update(bytes),
            Self::File(context) => context.update(bytes),
        }
    }

    /// Is what has passed what was committed?
    fn is(&self, committed: &[u8; 32]) -> bool {
        match self {
            Self::Message(chain) => chain.clone().finish() == *committed,
            Self::File(context) => context.clone().finish().as_ref() == committed,
        }
    }
}
