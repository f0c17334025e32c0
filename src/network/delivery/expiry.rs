//! Which blobs go, and when: a few at a time, in turn, as long as the network runs.
//!
//! - One that everybody has (settled) goes as soon as it is some minutes old.
//! - An upload that was not finished within a day goes.
//! - One that is old goes, whoever has still to read it, unless that is a retention bot: what a bot has not read is evidence,
//!   and nothing but the bot's acknowledgement makes it go. What bounds the disk then is that the network takes no more
//!   ([`crate::limits::DISK_FOR_BLOBS`]).
//! - Of an old one that no message named (an older client's, or nobody's) it is not known who needs it: it stays while a bot
//!   has anything to read that is more than a day old.

use std::time::Duration;

use super::blobs::{BlobId, Named, OldBlob, Upload};
use crate::clock::Moment;
use crate::ledger::{Batch, LedgerError};
use crate::limits::Allowances;

/// Blobs looked at in one step.
const AT_ONCE: usize = 64;
/// How far behind a bot may be while blobs go that no message named.
const BEHIND_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Where the look has come to.
#[derive(Debug, Default)]
pub(crate) enum Expiry {
    /// To the end; the next one begins then.
    Done(Moment),
    /// To the blobs after this one.
    At(Upload, Option<(Moment, BlobId)>),
    #[default]
    Beginning,
}

impl Expiry {
    /// One bounded step. Returns the blobs whose rows it has deleted.
    pub(crate) fn step(
        &mut self,
        batch: &mut dyn Batch,
        allowances: &Allowances,
        now: Moment,
    ) -> Result<Vec<BlobId>, LedgerError> {
        let (upload, after) = match *self {
            // a clock that was set back does not keep blobs for ever
            Self::Done(next) if next > now && next <= now.after(allowances.blobs_looked_at_every) => {
                return Ok(Vec::new());
            }
            Self::Done(_) | Self::Beginning => (Upload::Settled, None),
            Self::At(upload, after) => (upload, after),
        };
        let age = match upload {
            Upload::Settled => allowances.settled_age,
            Upload::Unfinished => allowances.unfinished_age,
            Upload::Finished => allowances.blob_age,
        };
        let old = batch.old_blobs(upload, now.before(age), after, AT_ONCE)?;
        *self = match (old.last(), upload) {
            (Some(last), _) if old.len() >= AT_ONCE => Self::At(upload, Some((last.begun_at, last.blob))),
            (_, Upload::Settled) => Self::At(Upload::Unfinished, None),
            (_, Upload::Unfinished) => Self::At(Upload::Finished, None),
            (_, Upload::Finished) => Self::Done(now.after(allowances.blobs_looked_at_every)),
        };
        let behind = match upload {
            Upload::Finished if old.iter().any(|old| old.named == Named::Nowhere) => {
                batch.unretained_since()?.is_some_and(|since| since < now.before(BEHIND_MAX))
            }
            Upload::Finished | Upload::Settled | Upload::Unfinished => false,
        };
        let gone: Vec<BlobId> = old.iter().filter(|old| goes(old, upload, behind)).map(|old| old.blob).collect();
        gone.iter().try_for_each(|blob| batch.delete_blob(blob))?;
        Ok(gone)
    }
}

/// `behind`: a retention bot has something to read that is not new.
fn goes(old: &OldBlob, upload: Upload, behind: bool) -> bool {
    match (upload, old.named) {
        (Upload::Unfinished, _) => true,
        (Upload::Settled | Upload::Finished, Named::Unretained) => false,
        (Upload::Settled | Upload::Finished, Named::Retained) | (Upload::Settled, Named::Nowhere) => true,
        (Upload::Finished, Named::Nowhere) => !behind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_goes_that_a_bot_has_not_read() {
        let named = |named| OldBlob { blob: BlobId::new([0; 32]), begun_at: Moment::of_micros(0), named };
        for behind in [false, true] {
            assert!(!goes(&named(Named::Unretained), Upload::Finished, behind));
            assert!(goes(&named(Named::Retained), Upload::Finished, behind));
            assert!(goes(&named(Named::Nowhere), Upload::Settled, behind));
            assert!(goes(&named(Named::Unretained), Upload::Unfinished, behind));
            // nobody knows whether the bot needs it
            assert_eq!(goes(&named(Named::Nowhere), Upload::Finished, behind), !behind);
        }
    }
}
