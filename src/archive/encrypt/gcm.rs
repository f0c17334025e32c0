//! AES-256-GCM (NIST SP 800-38D, 96-bit IV, 128-bit tag) as a stream: bytes in any pieces, in place, in flat memory.
//!
//! The libraries' one-shot calls want a whole message in memory, and an object may have many GiB. So CTR and GHASH are
//! composed here as `aes-gcm` composes them, from the same crates; that the bytes are equal is tested for every way to
//! cut a message. Which messages come here [`super::cipher`] decides.
//!
//! ```text
//! H = E(0)   J0 = IV ‖ 1   mask = E(J0)   C = P ⊕ E(J0 + 1), E(J0 + 2), …
//! tag = mask ⊕ GHASH_H(AAD ‖ 0* ‖ C ‖ 0* ‖ bits of AAD (8 bytes) ‖ bits of C (8 bytes))
//! ```
//!
//! Invariants:
//! - The counter never comes round: [`GCM_BYTES_MAX`] is checked before a byte of a piece is touched.
//! - Key schedule, hash key, mask and key stream are wiped on drop, and live on the heap, so that a stream that is
//!   moved leaves no copies. (Building and finishing pass them through the stack; what was there is not wiped.)
//! - [`GcmOpener`] gives bytes out *before* they are known to be authentic; only [`GcmOpener::verify`] tells.
//!
//! Not here: where keys and IVs come from. A pair of them must never see two messages; [`Sealer`](super::Sealer) sees to it.

#[cfg(test)]
mod tests;

use std::slice;

use aes::Aes256Enc;
use aes::cipher::{BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipher, StreamCipherCore};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use ctr::{Ctr32BE, CtrCore};
use ghash::universal_hash::UniversalHash;
use ghash::{Block, GHash};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes of a tag.
pub const TAG_BYTES: usize = 16;
/// Bytes of an IV.
pub(crate) const IV_BYTES: usize = 12;
/// Longest message: the standard's 2^32 - 2 blocks, after which the 32-bit counter would come round.
pub(crate) const GCM_BYTES_MAX: u64 = (1 << 36) - 32;

const BLOCK_BYTES: usize = 16;
/// Encrypted and hashed in turn: what CTR has written GHASH finds in the fastest cache.
const STRIDE_BYTES: usize = 8 * 1024;

/// A message would pass [`GCM_BYTES_MAX`]. The piece was not touched, and the stream stands where it stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("AES-GCM message is longer than `{GCM_BYTES_MAX}` bytes")]
pub struct TooLong;

/// The tag is not that of this message under this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("message is not authentic: damaged, altered, or under another key")]
pub struct NotAuthentic;

/// Encrypts one message.
pub struct GcmSealer(Box<Stream>);

impl GcmSealer {
    /// `key` and `iv` together must never have been used before.
    pub fn new(key: &[u8; 32], iv: &[u8; IV_BYTES], aad: &[u8]) -> Self {
        Self(Stream::new(key, iv, aad))
    }

    /// Encrypts the next piece in place. Pieces may have any length.
    pub fn update(&mut self, piece: &mut [u8]) -> Result<(), TooLong> {
        self.0.for_each_stride(piece, |stream, stride| {
            stream.ctr.try_apply_keystream(stride).map_err(|_| TooLong)?;
            stream.hash.update(stride);
            Ok(())
        })
    }

    /// The message's tag.
    pub fn finish(self) -> [u8; TAG_BYTES] {
        self.0.tag()
    }
}

/// Decrypts one message.
pub struct GcmOpener(Box<Stream>);

impl GcmOpener {
    /// As the message was sealed.
    pub fn new(key: &[u8; 32], iv: &[u8; IV_BYTES], aad: &[u8]) -> Self {
        Self(Stream::new(key, iv, aad))
    }

    /// Decrypts the next piece in place. What comes out must be acted on by nobody before [`verify`](Self::verify).
    pub fn update(&mut self, piece: &mut [u8]) -> Result<(), TooLong> {
        self.0.for_each_stride(piece, |stream, stride| {
            stream.hash.update(stride);
            stream.ctr.try_apply_keystream(stride).map_err(|_| TooLong)
        })
    }

    /// Are the pieces, all of them, what was sealed? Takes the same time whatever differs.
    pub fn verify(self, tag: &[u8; TAG_BYTES]) -> Result<(), NotAuthentic> {
        verify_slices_are_equal(&self.0.tag(), tag).map_err(|_| NotAuthentic)
    }
}

/// Both directions' state.
struct Stream {
    ctr: Ctr32BE<Aes256Enc>,
    hash: Hash,
    /// What hides the hash in the tag; equal to nothing else that leaves.
    mask: Zeroizing<[u8; BLOCK_BYTES]>,
    aad_bytes: u64,
    bytes: u64,
}

// GHash wipes itself, too, but has no such trait
const _: () = {
    const fn is_wiped<T: ZeroizeOnDrop>() {}
    is_wiped::<Ctr32BE<Aes256Enc>>();
};

impl Stream {
    fn new(key: &[u8; 32], iv: &[u8; IV_BYTES], aad: &[u8]) -> Box<Self> {
        let aes = Aes256Enc::new(key.into());
        let mut hash_key = Block::default();
        aes.encrypt_block(&mut hash_key);
        let mut hash = Hash { ghash: GHash::new(&hash_key), partial: [0; BLOCK_BYTES], filled: 0 };
        hash_key.zeroize();
        hash.update(aad);
        hash.pad();

        let mut first = [0u8; BLOCK_BYTES];
        for (to, from) in first.iter_mut().zip(iv.iter().chain(&[0, 0, 0, 1])) {
            *to = *from;
        }
        let mut ctr = CtrCore::inner_iv_init(aes, &first.into());
        let mut mask = Zeroizing::new([0u8; BLOCK_BYTES]);
        ctr.write_keystream_block((&mut *mask).into());
        Box::new(Self { ctr: Ctr32BE::from_core(ctr), hash, mask, aad_bytes: length(aad), bytes: 0 })
    }

    /// Cuts a piece so that each stride but the last ends with a block, and counts it.
    fn for_each_stride(
        &mut self,
        piece: &mut [u8],
        mut apply: impl FnMut(&mut Self, &mut [u8]) -> Result<(), TooLong>,
    ) -> Result<(), TooLong> {
        let bytes = self.bytes.checked_add(length(piece)).filter(|bytes| *bytes <= GCM_BYTES_MAX).ok_or(TooLong)?;
        let (head, rest) = piece.split_at_mut(self.hash.missing().min(piece.len()));
        if !head.is_empty() {
            apply(self, head)?;
        }
        for stride in rest.chunks_mut(STRIDE_BYTES) {
            apply(self, stride)?;
        }
        self.bytes = bytes;
        Ok(())
    }

    fn tag(mut self: Box<Self>) -> [u8; TAG_BYTES] {
        self.hash.pad();
        let bits = [self.aad_bytes, self.bytes].map(|bytes| bytes.saturating_mul(8).to_be_bytes());
        self.hash.update(bits.as_flattened());
        // of a copy, because what is moved out of the box would stay in it unwiped
        let mut tag: [u8; TAG_BYTES] = self.hash.ghash.clone().finalize().into();
        for (byte, mask) in tag.iter_mut().zip(self.mask.iter()) {
            *byte ^= mask;
        }
        tag
    }
}

/// GHASH of bytes, which itself knows only blocks.
struct Hash {
    ghash: GHash,
    /// Begin of a block whose end has not come. Ciphertext, no secret.
    partial: [u8; BLOCK_BYTES],
    /// Bytes of it that have come, fewer than a block.
    filled: usize,
}

impl Hash {
    /// Bytes until the begun block is full; 0 if none is begun.
    fn missing(&self) -> usize {
        if self.filled == 0 { 0 } else { BLOCK_BYTES.saturating_sub(self.filled) }
    }

    fn update(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_at(self.missing().min(bytes.len()));
        self.fill(head);
        let (blocks, tail) = Block::slice_as_chunks(rest);
        self.ghash.update(blocks);
        self.fill(tail);
    }

    /// `bytes`: no more than the block lacks.
    fn fill(&mut self, bytes: &[u8]) {
        for (to, from) in self.partial.iter_mut().skip(self.filled).zip(bytes) {
            *to = *from;
        }
        self.filled = self.filled.saturating_add(bytes.len());
        if self.filled >= BLOCK_BYTES {
            self.ghash.update(slice::from_ref((&self.partial).into()));
            self.filled = 0;
        }
    }

    /// Fills the begun block with zeros.
    fn pad(&mut self) {
        let missing = self.missing();
        self.fill([0; BLOCK_BYTES].get(..missing).unwrap_or_default());
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
