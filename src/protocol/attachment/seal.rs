//! The sender's side: plaintext chunks in, blocks of the blob out.

use std::io::Read;
use std::ops::Range;

use aws_lc_rs::aead::{Aad, LessSafeKey};
use aws_lc_rs::digest::{Context, SHA256};

use super::{ATTACHMENT_CHUNK_BYTES, AttachmentError, AttachmentKey, HEADER_BYTES, Layout, TAG_BYTES, nonce};

/// Seals one attachment, chunk by chunk. Memory: 16 bytes for each chunk sealed.
pub struct Encryptor {
    key: AttachmentKey,
    cipher: LessSafeKey,
    layout: Layout,
    header: [u8; HEADER_BYTES],
    digest: Context,
    /// Tags of the chunks sealed so far: sealed again, a chunk must have the same.
    tags: Vec<[u8; TAG_BYTES]>,
}

impl Encryptor {
    /// For a file of `plaintext_size` bytes, under a fresh random key. The key is made here, and cannot be given, so
    /// that it never seals two files.
    pub fn new(plaintext_size: u64) -> Result<Self, AttachmentError> {
        Self::with_key(AttachmentKey::generate()?, plaintext_size)
    }

    /// For known answers in tests; elsewhere a key could be used twice.
    pub(super) fn with_key(key: AttachmentKey, plaintext_size: u64) -> Result<Self, AttachmentError> {
        let layout = Layout::new(plaintext_size)?;
        let cipher = key.cipher()?;
        Ok(Self { key, cipher, layout, header: layout.header(), digest: Context::new(&SHA256), tags: Vec::new() })
    }

    /// Layout of chunks and blocks.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Seals chunk `index`, all of it, and appends its block to `out`; on an error `out` is as before.
    ///
    /// `index` is the next one, or one that was sealed before: then `plaintext` must be the same, else
    /// [`AttachmentError::Changed`].
    pub(crate) fn seal_chunk(
        &mut self,
        index: u32,
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), AttachmentError> {
        let position = usize::try_from(index).unwrap_or(usize::MAX);
        if position > self.tags.len() || index >= self.layout.blocks() {
            let expected = u32::try_from(self.tags.len()).unwrap_or(u32::MAX);
            return Err(AttachmentError::OutOfOrder { expected, found: index });
        }
        let expected = self.layout.chunk_bytes(index);
        if plaintext.len() != expected {
            return Err(AttachmentError::Length { index, expected, found: plaintext.len() });
        }
        let start = out.len();
        out.reserve(self.layout.block_bytes(index));
        if index == 0 {
            out.extend_from_slice(&self.header);
        }
        let body = out.len();
        out.resize(body.saturating_add(expected), 0);
        match self.seal_into(index, position, plaintext, out.get_mut(body..).unwrap_or_default()) {
            Ok(tag) => {
                out.extend_from_slice(&tag);
                Ok(())
            }
            Err(error) => {
                // A second ciphertext under the nonce of the first must not remain in memory.
                out.get_mut(body..).unwrap_or_default().fill(0);
                out.truncate(start);
                Err(error)
            }
        }
    }

    fn seal_into(
        &mut self,
        index: u32,
        position: usize,
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], AttachmentError> {
        let mut tag = [0u8; TAG_BYTES];
        self.cipher
            .seal_out_of_place_scatter(
                nonce(&self.layout, index),
                Aad::from(&self.header),
                plaintext,
                out,
                &[],
                &mut tag,
            )
            .map_err(|_| AttachmentError::Seal { index })?;
        match self.tags.get(position) {
            Some(sealed) if *sealed == tag => {}
            Some(_) => return Err(AttachmentError::Changed { index }),
            None => {
                self.tags.push(tag);
                self.digest.update(plaintext);
            }
        }
        Ok(tag)
    }

    /// Requires that all chunks were sealed, and returns what the message must hold.
    pub fn finish(self) -> Result<Sealed, AttachmentError> {
        let have = u32::try_from(self.tags.len()).unwrap_or(u32::MAX);
        if have != self.layout.blocks() {
            return Err(AttachmentError::Truncated { have, blocks: self.layout.blocks() });
        }
        let mut sha256 = [0u8; 32];
        sha256.copy_from_slice(self.digest.finish().as_ref());
        Ok(Sealed { key: self.key, sha256, layout: self.layout })
    }
}

/// Proof that a whole file was sealed, with what its message must hold.
#[must_use]
pub struct Sealed {
    key: AttachmentKey,
    sha256: [u8; 32],
    layout: Layout,
}

impl Sealed {
    /// The contents of the message: the key, the SHA-256 and the bytes of plaintext.
    pub fn into_parts(self) -> (AttachmentKey, [u8; 32], u64) {
        let size = self.plaintext_size();
        (self.key, self.sha256, size)
    }

    /// Key of the blob.
    pub fn key(&self) -> &AttachmentKey {
        &self.key
    }

    /// SHA-256 of the plaintext.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Length of the plaintext in bytes.
    pub fn plaintext_size(&self) -> u64 {
        self.layout.plaintext_size()
    }
}

/// Reads a file and returns the blocks of its blob, one at a time: memory is one chunk, for a file of any size.
pub struct EncryptingReader<R> {
    source: R,
    encryptor: Encryptor,
    next: u32,
    chunk: Vec<u8>,
}

impl<R: Read> EncryptingReader<R> {
    /// `source` is at its beginning and has `plaintext_size` bytes; more or fewer are refused.
    pub fn new(source: R, plaintext_size: u64) -> Result<Self, AttachmentError> {
        Ok(Self { source, encryptor: Encryptor::new(plaintext_size)?, next: 0, chunk: Vec::new() })
    }

    /// Layout of chunks and blocks; its `ciphertext_size` is the size of the blob.
    pub fn layout(&self) -> Layout {
        self.encryptor.layout()
    }

    /// Appends the next block to `out` and returns its place in the blob; `None` after the last.
    /// After an error the reader must not be used again.
    pub fn next_block(&mut self, out: &mut Vec<u8>) -> Result<Option<Range<u64>>, AttachmentError> {
        let layout = self.layout();
        let Some(range) = layout.block_range(self.next) else {
            return Ok(None);
        };
        let bytes = layout.chunk_bytes(self.next);
        self.chunk.clear();
        self.chunk.reserve_exact(bytes.min(ATTACHMENT_CHUNK_BYTES));
        let limit = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.source.by_ref().take(limit).read_to_end(&mut self.chunk).map_err(AttachmentError::Read)?;
        self.encryptor.seal_chunk(self.next, &self.chunk, out)?;
        self.next = self.next.saturating_add(1);
        Ok(Some(range))
    }

    /// Requires that the file was read to its end, and returns what the message must hold. An error if the file has grown.
    pub fn finish(mut self) -> Result<Sealed, AttachmentError> {
        let blocks = self.layout().blocks();
        if self.next != blocks {
            return Err(AttachmentError::Truncated { have: self.next, blocks });
        }
        self.chunk.clear();
        let more = self.source.by_ref().take(1).read_to_end(&mut self.chunk).map_err(AttachmentError::Read)?;
        if more != 0 {
            return Err(AttachmentError::Changed { index: blocks });
        }
        self.encryptor.finish()
    }
}
