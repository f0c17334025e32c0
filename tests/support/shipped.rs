//! What the ship queue says of a file, by its kind.
#![allow(clippy::unwrap_used)]

use aws_lc_rs::digest::{SHA256, digest};
use retaind::bot::segment::chained;
use retaind::bot::ship::ShipKind;

/// As the bot commits it: the chain of a message file, the SHA-256 of an attachment.
pub fn hash(kind: ShipKind, content: &[u8]) -> [u8; 32] {
    match kind {
        ShipKind::Message => {
            content.split_inclusive(|b| *b == b'\n').fold([0; 32], |chain, line| chained(&chain, line))
        }
        ShipKind::File | ShipKind::Evidence => digest(&SHA256, content).as_ref().try_into().unwrap(),
    }
}

/// Its folder, and what objects say of it.
pub fn names(kind: ShipKind) -> (&'static str, &'static str) {
    match kind {
        ShipKind::Message => ("messages", "message"),
        ShipKind::File => ("attachments", "file"),
        ShipKind::Evidence => ("evidence", "evidence"),
    }
}
