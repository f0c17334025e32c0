//! What can be opened of a blob that is not what its message announces.
//!
//! Sizes in a message and in a header are claims; the blob's own length, and which chunks open under the key, are facts. A
//! chunk that opens is what somebody with the key sealed there, whatever was claimed: so each block is tried in every way in
//! which a receiver with a client of its own could read it (with the header of the blob, of the claim and of the blob's length;
//! as an inner block and as the last one; in the length of each claim). What opens is kept, in order, up to the first block that
//! does not.
//!
//! Nothing here is a proof that the file is the announced one: that is [`Verified`](super::Verified).

use std::io::Write;

use aws_lc_rs::aead::{Aad, LessSafeKey};
use aws_lc_rs::digest::{Context, SHA256};

use super::open::sha256_of;
use super::{AttachmentError, AttachmentKey, HEADER_BYTES, Layout, Opened, Place, TAG_BYTES, nonce_of};
use crate::limits::ATTACHMENT_CHUNK_BYTES;

/// Takes a blob in pieces of any length, in order, and writes what opens: memory is two blocks.
pub struct Salvager<W> {
    target: W,
    cipher: LessSafeKey,
    /// Length of the blob in bytes.
    size: u64,
    claimed: Option<Layout>,
    /// The size in the blob's own header, once it is read.
    stated: Option<Layout>,
    /// The header under which the first block has opened.
    header: Option<[u8; HEADER_BYTES]>,
    /// Index of the block that is read, and its place in the blob.
    next: u32,
    at: u64,
    block: Vec<u8>,
    plaintext: Vec<u8>,
    opened: u64,
    digest: Context,
    /// Of all that was taken.
    blob: Context,
    /// A block that says that it is the last has opened, and the blob goes on.
    ended_before: bool,
    end: Option<End>,
}

/// Why nothing more is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The last block has opened, and the blob ends with it.
    Whole,
    /// The last block has opened, and the blob goes on.
    Trailing,
    /// The blob ends, and its last block was not the file's.
    Cut,
    /// A block opens in no way.
    Stuck,
}

#[cfg(test)]
mod tests;

/// What was opened, and what stopped it.
#[derive(Debug)]
pub struct Salvaged {
    /// The bytes that reached the target.
    pub opened: Opened,
    /// SHA-256 of all that was taken of the blob.
    pub blob_sha256: [u8; 32],
    /// Why this is not all of the blob; `None` if it is.
    pub fault: Option<AttachmentError>,
}

impl<W: Write> Salvager<W> {
    /// For a blob of `blob_size` bytes whose message claims a file of `claimed_size` bytes.
    pub fn new(target: W, key: &AttachmentKey, blob_size: u64, claimed_size: u64) -> Result<Self, AttachmentError> {
        Ok(Self {
            target,
            cipher: key.cipher()?,
            size: blob_size,
            claimed: Layout::new(claimed_size).ok(),
            stated: None,
            header: None,
            next: 0,
            at: 0,
            block: Vec::new(),
            plaintext: Vec::new(),
            opened: 0,
            digest: Context::new(&SHA256),
            blob: Context::new(&SHA256),
            ended_before: false,
            end: None,
        })
    }

    /// Takes the next `bytes` of the blob. Only a failed write is an error; the target is then useless.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), AttachmentError> {
        self.blob.update(bytes);
        while !bytes.is_empty() && self.end.is_none() {
            let missing = self.block_bytes().saturating_sub(self.block.len());
            let (head, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
            bytes = rest;
            self.block.extend_from_slice(head);
            if head.len() == missing {
                self.open()?;
            }
        }
        Ok(())
    }

    /// Takes the end of the blob, which may come before the length that it was said to have. Does not flush or sync.
    pub fn finish(mut self) -> Result<(W, Salvaged), AttachmentError> {
        if self.end.is_none() && self.at < self.size {
            self.size = self.at.saturating_add(wide(self.block.len()));
            if self.block.is_empty() {
                self.end = Some(End::Cut);
            } else {
                self.open()?;
            }
        }
        let fault = match self.end {
            _ if self.ended_before => Some(AttachmentError::Trailing),
            Some(End::Whole) => None,
            Some(End::Trailing) => Some(AttachmentError::Trailing),
            Some(End::Stuck) => Some(AttachmentError::Authentication { index: self.next }),
            Some(End::Cut) | None => {
                let claimed = self.claims().map(|layout| layout.blocks()).max().unwrap_or_default();
                let blocks = claimed.max(self.next.saturating_add(1));
                Some(AttachmentError::Truncated { have: self.next, blocks })
            }
        };
        let opened = Opened::new(self.opened, self.digest);
        let blob_sha256 = sha256_of(self.blob);
        Ok((self.target, Salvaged { opened, blob_sha256, fault }))
    }

    fn claims(&self) -> impl Iterator<Item = Layout> {
        [self.stated, self.claimed].into_iter().flatten()
    }

    /// Longest that the next block can be.
    fn block_bytes(&self) -> usize {
        let header = if self.next == 0 { HEADER_BYTES } else { 0 };
        let full = ATTACHMENT_CHUNK_BYTES.saturating_add(TAG_BYTES).saturating_add(header);
        usize::try_from(self.size.saturating_sub(self.at)).map_or(full, |left| left.min(full))
    }

    fn open(&mut self) -> Result<(), AttachmentError> {
        let mut block = std::mem::take(&mut self.block);
        let found_in = block.len();
        let found = self.find(&block);
        block.clear();
        self.block = block;
        let (Some((length, place)), Some(next)) = (found, self.next.checked_add(1)) else {
            self.end = Some(End::Stuck);
            return Ok(());
        };
        self.digest.update(&self.plaintext);
        self.opened = self.opened.saturating_add(wide(self.plaintext.len()));
        self.at = self.at.saturating_add(wide(length));
        self.next = next;
        let ends = self.at >= self.size;
        self.end = match place {
            // the places of further blocks are unknown
            Place::Last if length < found_in => Some(End::Trailing),
            Place::Last if ends && !self.ended_before => Some(End::Whole),
            Place::Inner if ends && !self.ended_before => Some(End::Cut),
            Place::Last | Place::Inner => {
                self.ended_before |= place == Place::Last;
                None
            }
        };
        self.target.write_all(&self.plaintext).map_err(AttachmentError::Write)
    }

    /// The first way in which the block opens: its length and place. Its plaintext is then in `plaintext`.
    fn find(&mut self, block: &[u8]) -> Option<(usize, Place)> {
        let skipped = if self.next == 0 { HEADER_BYTES } else { 0 };
        let headers: Vec<[u8; HEADER_BYTES]> = match self.header {
            Some(header) => vec![header],
            None => {
                let (stored, _) = block.split_first_chunk::<HEADER_BYTES>()?;
                self.stated = Layout::stated(stored);
                let others = [self.claimed, Layout::of_blob(self.size)];
                [*stored].into_iter().chain(others.into_iter().flatten().map(|layout| layout.header())).collect()
            }
        };
        let ends = self.at.saturating_add(wide(block.len())) >= self.size;
        let (likely, unlikely) = if ends { (Place::Last, Place::Inner) } else { (Place::Inner, Place::Last) };
        let mut ways = vec![(block.len(), likely), (block.len(), unlikely)];
        let shorter =
            self.claims().filter(|layout| layout.is_last(self.next)).map(|layout| layout.block_bytes(self.next));
        ways.extend(shorter.filter(|length| *length < block.len()).map(|length| (length, Place::Last)));
        for (length, place) in ways {
            let Some(sealed) = block.get(skipped..length) else { continue };
            for header in &headers {
                if self.opens(header, place, sealed) {
                    self.header = Some(*header);
                    return Some((length, place));
                }
            }
        }
        None
    }

    fn opens(&mut self, header: &[u8; HEADER_BYTES], place: Place, sealed: &[u8]) -> bool {
        let Some((ciphertext, tag)) = sealed.split_last_chunk::<TAG_BYTES>() else { return false };
        self.plaintext.clear();
        self.plaintext.resize(ciphertext.len(), 0);
        let (nonce, aad) = (nonce_of(self.next, place), Aad::from(header));
        let is_open = self.cipher.open_separate_gather(nonce, aad, ciphertext, tag, &mut self.plaintext).is_ok();
        if !is_open {
            self.plaintext.fill(0);
        }
        is_open
    }
}

fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
