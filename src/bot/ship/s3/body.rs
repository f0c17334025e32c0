//! A file on its way into an object, piece by piece.

use aws_lc_rs::digest::Digest;
use bytes::Bytes;
use retaind_archive::encrypt::{EncryptError, Sealer, overwrite_stack};
use tokio::sync::OwnedSemaphorePermit;

use crate::ship::{Outgoing, ShipError, ShipItem};

/// Room for the tag behind the last piece.
const TAG_ROOM: usize = 16;

/// A piece of an object, ready to be sent again and again. Holds its share of the memory.
pub(super) struct Piece {
    pub(super) body: Bytes,
    pub(super) sha256: Digest,
    pub(super) _share: OwnedSemaphorePermit,
}

/// A file on its way into an object.
pub(super) struct Body {
    pub(super) file: Outgoing,
    pub(super) sealer: Option<Sealer>,
}

impl Body {
    /// The object's next bytes: at most `most` of the file's and, with the last of them, the tag.
    pub(super) fn piece(&mut self, most: usize) -> Result<Vec<u8>, ShipError> {
        let mut piece = self.file.piece(most, TAG_ROOM)?;
        if let Some(sealer) = &mut self.sealer {
            let sealed = sealer.update(&mut piece);
            overwrite_stack();
            sealed.map_err(|error| not_encrypted(self.file.item(), &error))?;
        }
        if self.file.left() == 0
            && let Some(sealer) = self.sealer.take()
        {
            piece.extend_from_slice(&sealer.finish().map_err(|error| not_encrypted(self.file.item(), &error))?);
        }
        Ok(piece)
    }
}

pub(super) fn not_encrypted(item: &ShipItem, error: &EncryptError) -> ShipError {
    ShipError::Encrypt { what: item.label(), why: error.to_string() }
}
