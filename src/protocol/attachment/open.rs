//! The receiver's side: blocks of the blob in, authentic plaintext out, and a proof at the end.

use std::io::{self, Write};
use std::ops::Range;

use aws_lc_rs::aead::{Aad, LessSafeKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA256};

use super::{AttachmentError, AttachmentKey, HEADER_BYTES, Layout, MAGIC, TAG_BYTES, VERSION, nonce};
use crate::limits::BLOB_RANGE_BYTES_MAX;

/// Opens one attachment, block by block, in order.
pub struct Decryptor {
    cipher: LessSafeKey,
    layout: Layout,
    header: [u8; HEADER_BYTES],
    next: u32,
    digest: Context,
}

impl Decryptor {
    /// For the attachment in a message: its key, and its size in bytes of plaintext.
    pub fn new(key: &AttachmentKey, plaintext_size: u64) -> Result<Self, AttachmentError> {
        let layout = Layout::new(plaintext_size)?;
        Ok(Self { cipher: key.cipher()?, layout, header: layout.header(), next: 0, digest: Context::new(&SHA256) })
    }

    /// Layout of chunks and blocks.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Place of the next block in the blob; `None` after the last.
    pub fn next_block(&self) -> Option<Range<u64>> {
        self.layout.block_range(self.next)
    }

    /// Opens the next block, all of it, and appends its plaintext to `out`. On an error `out` is as before and the
    /// same block may be fetched and tried again.
    pub(crate) fn open_block(&mut self, block: &[u8], out: &mut Vec<u8>) -> Result<(), AttachmentError> {
        let index = self.expect_block(block.len(), self.layout.block_bytes(self.next))?;
        let sealed = if index == 0 { self.check_header(block)? } else { block };
        let (ciphertext, tag) =
            sealed.split_last_chunk::<TAG_BYTES>().ok_or(AttachmentError::Authentication { index })?;
        let start = out.len();
        out.resize(start.saturating_add(ciphertext.len()), 0);
        let plaintext = out.get_mut(start..).unwrap_or_default();
        let opened = self.cipher.open_separate_gather(
            nonce(&self.layout, index),
            Aad::from(&self.header),
            ciphertext,
            tag,
            plaintext,
        );
        if opened.is_err() {
            plaintext.fill(0);
            out.truncate(start);
            return Err(AttachmentError::Authentication { index });
        }
        self.digest.update(plaintext);
        self.next = index.saturating_add(1);
        Ok(())
    }

    fn expect_block(&self, found: usize, expected: usize) -> Result<u32, AttachmentError> {
        let index = self.next;
        if index >= self.layout.blocks() {
            return Err(AttachmentError::Trailing);
        }
        if found != expected {
            return Err(AttachmentError::Length { index, expected, found });
        }
        Ok(index)
    }

    /// Reads the header of the first block and returns what follows it.
    fn check_header<'block>(&self, block: &'block [u8]) -> Result<&'block [u8], AttachmentError> {
        let (header, rest) = block.split_first_chunk::<HEADER_BYTES>().ok_or(AttachmentError::Header)?;
        let [m0, m1, m2, version, ..] = *header;
        if [m0, m1, m2] != MAGIC {
            return Err(AttachmentError::Header);
        }
        if version != VERSION {
            return Err(AttachmentError::Version { version });
        }
        if *header != self.header {
            return Err(AttachmentError::Mismatch);
        }
        Ok(rest)
    }

    /// Checks that all blocks were opened, and that their SHA-256 is the one in the message (32 bytes).
    pub fn finish(self, expected_sha256: &[u8]) -> Result<Verified, AttachmentError> {
        self.end()?.verify(expected_sha256)
    }

    /// Checks that all blocks were opened.
    fn end(self) -> Result<Opened, AttachmentError> {
        if self.next != self.layout.blocks() {
            return Err(AttachmentError::Truncated { have: self.next, blocks: self.layout.blocks() });
        }
        Ok(self.so_far())
    }

    fn so_far(self) -> Opened {
        let opened = self.layout.chunk_range(self.next).map_or(self.layout.plaintext_size(), |next| next.start);
        Opened::new(opened, self.digest)
    }
}

/// Bytes that are authentic under an attachment's key. Whether they are what was announced is another question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    size: u64,
    sha256: [u8; 32],
}

impl Opened {
    pub(super) fn new(size: u64, digest: Context) -> Self {
        Self { size, sha256: sha256_of(digest) }
    }

    /// Their number.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Their SHA-256.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    fn verify(self, expected_sha256: &[u8]) -> Result<Verified, AttachmentError> {
        verify_slices_are_equal(&self.sha256, expected_sha256).map_err(|_| AttachmentError::Digest)?;
        Ok(Verified { plaintext_size: self.size, sha256: self.sha256 })
    }
}

pub(super) fn sha256_of(digest: Context) -> [u8; 32] {
    let mut sha256 = [0u8; 32];
    sha256.copy_from_slice(digest.finish().as_ref());
    sha256
}

/// Proof that an attachment is complete, authentic, and the file that its message announces.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub struct Verified {
    plaintext_size: u64,
    sha256: [u8; 32],
}

impl Verified {
    /// Length of the plaintext in bytes.
    pub fn plaintext_size(&self) -> u64 {
        self.plaintext_size
    }

    /// SHA-256 of the plaintext.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }
}

/// Takes a blob in pieces of any length and writes the plaintext: memory is two blocks, for a file of any size.
///
/// Only authentic chunks are written, in order; but the file is the announced one only once
/// [`finish`](Self::finish) has returned its proof.
pub struct DecryptingWriter<W> {
    target: W,
    decryptor: Decryptor,
    block: Vec<u8>,
    plaintext: Vec<u8>,
    /// A chunk that was opened has not reached the target: there will be no proof.
    lost: bool,
}

impl<W: Write> DecryptingWriter<W> {
    /// Writes what `decryptor` (fresh, or with chunks skipped that `target` holds) opens to `target`.
    pub fn new(target: W, decryptor: Decryptor) -> Self {
        Self { target, decryptor, block: Vec::new(), plaintext: Vec::new(), lost: false }
    }

    /// The next range to fetch: at most [`BLOB_RANGE_BYTES_MAX`] of the blob; `None` after the last.
    pub fn next_range(&self) -> Option<Range<u64>> {
        let buffered = u64::try_from(self.block.len()).unwrap_or(u64::MAX);
        let start = self.decryptor.next_block()?.start.saturating_add(buffered);
        let most = u64::try_from(BLOB_RANGE_BYTES_MAX).unwrap_or(u64::MAX);
        Some(start..start.saturating_add(most).min(self.decryptor.layout().ciphertext_size()))
    }

    /// Takes the next `bytes` of the blob. After [`AttachmentError::Authentication`] the buffered bytes are dropped:
    /// [`next_range`](Self::next_range) names the range to fetch again. After a failed write the target is useless.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), AttachmentError> {
        while !bytes.is_empty() {
            if self.decryptor.next_block().is_none() {
                return Err(AttachmentError::Trailing);
            }
            let whole = self.decryptor.layout.block_bytes(self.decryptor.next);
            let missing = whole.saturating_sub(self.block.len());
            let (head, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
            bytes = rest;
            if self.block.is_empty() && head.len() == whole {
                self.open(head)?;
                continue;
            }
            self.block.reserve_exact(missing);
            self.block.extend_from_slice(head);
            if self.block.len() == whole {
                let mut block = std::mem::take(&mut self.block);
                let opened = self.open(&block);
                block.clear();
                self.block = block;
                opened?;
            }
        }
        Ok(())
    }

    fn open(&mut self, block: &[u8]) -> Result<(), AttachmentError> {
        self.plaintext.clear();
        self.decryptor.open_block(block, &mut self.plaintext)?;
        self.target.write_all(&self.plaintext).map_err(|error| {
            self.lost = true;
            AttachmentError::Write(error)
        })
    }

    /// Takes the end of the blob: returns the target with the proof. Does not flush or sync: the caller does.
    pub fn finish(self, expected_sha256: &[u8]) -> Result<(W, Verified), AttachmentError> {
        self.is_written()?;
        let verified = self.decryptor.finish(expected_sha256)?;
        Ok((self.target, verified))
    }

    /// Takes the end of the blob, whatever its hash is: what was opened is all of it.
    pub fn end(self) -> Result<(W, Opened), AttachmentError> {
        self.is_written()?;
        let opened = self.decryptor.end()?;
        Ok((self.target, opened))
    }

    /// Nothing more of the blob will come: returns what was opened so far.
    pub fn break_off(self) -> Result<(W, Opened), AttachmentError> {
        self.is_written()?;
        Ok((self.target, self.decryptor.so_far()))
    }

    fn is_written(&self) -> Result<(), AttachmentError> {
        if self.lost {
            return Err(AttachmentError::Write(io::Error::other("an earlier write of this attachment failed")));
        }
        Ok(())
    }
}
