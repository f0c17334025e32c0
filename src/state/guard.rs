//! Guards: an unencrypted value that decides what counts as archived has one beside it, so that a flipped bit is noticed.

use aws_lc_rs::digest::{SHA256, digest};

/// A hash over an unencrypted row, to notice that the disk or memory has changed it. It does not stop an attacker, who can
/// compute it as well.
pub type Guard = [u8; 8];

/// The guard of a row whose values are written out as `text`.
pub fn guard(text: &str) -> Guard {
    let mut guard = Guard::default();
    guard.iter_mut().zip(digest(&SHA256, text.as_bytes()).as_ref()).for_each(|(byte, hash)| *byte = *hash);
    guard
}
