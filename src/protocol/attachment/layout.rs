//! The place of each chunk of an attachment, in the file and in the blob: arithmetic only.
//!
//! Everything follows from the size of the plaintext, so that both ends can continue at any block without asking.

use std::ops::Range;

use super::{ATTACHMENT_BYTES_MAX, ATTACHMENT_CHUNK_BYTES, AttachmentError, HEADER_BYTES, MAGIC, TAG_BYTES, VERSION};

#[expect(clippy::as_conversions, reason = "constants far below 2^32, and `From` is not const")]
mod wide {
    pub(super) const CHUNK: u64 = super::ATTACHMENT_CHUNK_BYTES as u64;
    pub(super) const TAG: u64 = super::TAG_BYTES as u64;
    pub(super) const HEADER: u64 = super::HEADER_BYTES as u64;
    pub(super) const CHUNK_IN_HEADER: u32 = super::ATTACHMENT_CHUNK_BYTES as u32;
    // The counter in the nonce has 32 bits and must not wrap.
    const _: () = assert!(super::ATTACHMENT_BYTES_MAX.div_ceil(CHUNK) <= u32::MAX as u64);
}
use wide::{CHUNK, CHUNK_IN_HEADER, HEADER, TAG};

/// Chunks and blocks of an attachment of a known size. Offsets are in bytes, indices count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    plaintext: u64,
    blocks: u32,
}

impl Layout {
    /// Layout of a file with `plaintext_size` bytes; an error above [`ATTACHMENT_BYTES_MAX`].
    pub fn new(plaintext_size: u64) -> Result<Self, AttachmentError> {
        let too_large = || AttachmentError::TooLarge { bytes: plaintext_size };
        if plaintext_size > ATTACHMENT_BYTES_MAX {
            return Err(too_large());
        }
        let blocks = u32::try_from(plaintext_size.div_ceil(CHUNK).max(1)).map_err(|_| too_large())?;
        Ok(Self { plaintext: plaintext_size, blocks })
    }

    /// The only layout that makes a blob of this length; `None` if none does.
    pub(super) fn of_blob(bytes: u64) -> Option<Self> {
        let sealed = bytes.checked_sub(HEADER)?;
        let tags = TAG.saturating_mul(sealed.div_ceil(CHUNK.saturating_add(TAG)).max(1));
        Self::new(sealed.checked_sub(tags)?).ok().filter(|layout| layout.ciphertext_size() == bytes)
    }

    /// Layout for the size in a header, whatever else is in it.
    pub(super) fn stated(header: &[u8; HEADER_BYTES]) -> Option<Self> {
        let (_, size) = header.split_last_chunk::<8>()?;
        Self::new(u64::from_be_bytes(*size)).ok()
    }

    /// Length of the file in bytes.
    pub fn plaintext_size(&self) -> u64 {
        self.plaintext
    }

    /// Length of the blob in bytes.
    pub fn ciphertext_size(&self) -> u64 {
        HEADER.saturating_add(self.plaintext).saturating_add(TAG.saturating_mul(u64::from(self.blocks)))
    }

    /// Number of blocks of the blob (chunks of the file), at least one.
    pub fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Place of chunk `index` in the file; `None` after the last.
    pub(crate) fn chunk_range(&self, index: u32) -> Option<Range<u64>> {
        if index >= self.blocks {
            return None;
        }
        let start = CHUNK.saturating_mul(u64::from(index));
        Some(start..start.saturating_add(CHUNK).min(self.plaintext))
    }

    /// Place of block `index` in the blob (block 0 with the header); `None` after the last. At most
    /// [`ATTACHMENT_CHUNK_BYTES`] and 32 bytes long.
    pub(crate) fn block_range(&self, index: u32) -> Option<Range<u64>> {
        let chunk = self.chunk_range(index)?;
        let before = TAG.saturating_mul(u64::from(index));
        let start = if index == 0 { 0 } else { HEADER.saturating_add(chunk.start).saturating_add(before) };
        let end = HEADER.saturating_add(chunk.end).saturating_add(before).saturating_add(TAG);
        Some(start..end)
    }

    pub(super) fn is_last(&self, index: u32) -> bool {
        index.checked_add(1) == Some(self.blocks)
    }

    /// Length of chunk `index` in bytes; 0 after the last.
    pub(super) fn chunk_bytes(&self, index: u32) -> usize {
        let bytes = self.chunk_range(index).map_or(0, |range| range.end.saturating_sub(range.start));
        usize::try_from(bytes).unwrap_or(ATTACHMENT_CHUNK_BYTES)
    }

    /// Length of block `index` in bytes: chunk, tag and, for the first, header.
    pub(super) fn block_bytes(&self, index: u32) -> usize {
        let header = if index == 0 { HEADER_BYTES } else { 0 };
        self.chunk_bytes(index).saturating_add(TAG_BYTES).saturating_add(header)
    }

    pub(super) fn header(&self) -> [u8; HEADER_BYTES] {
        let [m0, m1, m2] = MAGIC;
        let [c0, c1, c2, c3] = CHUNK_IN_HEADER.to_be_bytes();
        let [s0, s1, s2, s3, s4, s5, s6, s7] = self.plaintext.to_be_bytes();
        [m0, m1, m2, VERSION, c0, c1, c2, c3, s0, s1, s2, s3, s4, s5, s6, s7]
    }
}
