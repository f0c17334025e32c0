//! Attachments: any file up to 16 GiB, encrypted under a key of its own, sealed and opened in flat memory.
//!
//! The construction is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015) over AES-256-GCM. The plaintext is cut into
//! chunks of [`ATTACHMENT_CHUNK_BYTES`]; each is sealed under the nonce `0^7 ‖ counter (4 bytes, big-endian) ‖ last`,
//! where `last` is 1 for the last chunk only. What travels (the *blob*) is
//!
//! ```text
//! block 0 = header (16 bytes) ‖ chunk 0 ‖ tag (16 bytes)      block i = chunk i ‖ tag (16 bytes)
//! header  = "RTA" ‖ version 1 ‖ chunk bytes (4, big-endian) ‖ plaintext bytes (8, big-endian)
//! ```
//!
//! The header is associated data of every chunk. An empty file is one empty last chunk; a file that fills its last
//! chunk has no empty one behind it, so that every size has one encoding and one [`Layout`].
//!
//! # Invariants
//!
//! - **A nonce never meets two plaintexts.** [`Encryptor::new`] makes the key itself, so no two attachments share one,
//!   and that is why the nonce's prefix can be zero. Within one attachment a chunk may be
//!   sealed again, but only to the bytes it was first sealed to: the tags are kept (16 bytes for each
//!   256 KiB), and a file that has changed under the sender is refused before any ciphertext leaves.
//! - **What has been opened is what was sealed.** A damaged, missing, exchanged or foreign block is refused at its
//!   place, without output; [`Verified`] exists only after the last block and the SHA-256 that the message states.
//!   That hash also commits to the key: no second key opens the same blob to another accepted file.
//! - **A lie hides nothing.** What the key opens of a blob that is not the announced one is [salvaged](Salvager), up to the
//!   first block that nobody can open.
//! - One GCM key sees at most 65,536 chunks of 16,384 blocks: 2^30 blocks, far below its bounds.
//!
//! # Crash
//!
//! Keys live in memory until the message is sent: a sender that dies starts over with a new key. A receiver that dies starts
//! the file again.
//!
//! # Not here
//!
//! Transfer, files, names. The size is not hidden: the network sees it anyway.
#![deny(clippy::arithmetic_side_effects, clippy::as_conversions)]

mod layout;
mod open;
mod salvage;
mod seal;
#[cfg(test)]
mod tests;

use std::io;

use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use thiserror::Error;
use zeroize::Zeroizing;

use super::limits::{ATTACHMENT_BYTES_MAX, ATTACHMENT_CHUNK_BYTES};

pub use layout::Layout;
pub use open::{DecryptingWriter, Decryptor, Opened, Verified};
pub use salvage::{Salvaged, Salvager};
pub use seal::{EncryptingReader, Encryptor, Sealed};

/// Length of an attachment's key (AES-256) in bytes.
pub(crate) const ATTACHMENT_KEY_BYTES: usize = 32;
/// Length of the tag after each chunk in bytes.
const TAG_BYTES: usize = 16;
/// Length of the header before the first chunk in bytes.
const HEADER_BYTES: usize = 16;
/// First bytes of every blob that holds an attachment.
const MAGIC: [u8; 3] = *b"RTA";
/// The only version there is.
const VERSION: u8 = 1;

/// Why an attachment could not be sealed or opened.
#[derive(Debug, Error)]
pub enum AttachmentError {
    /// The key in the message has another length. Permanent: the message is not of this protocol.
    #[error("attachment key has {bytes} bytes, {ATTACHMENT_KEY_BYTES} are needed")]
    Key {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The system gave no randomness. Try again.
    #[error("no random key for an attachment could be made: the system gave no randomness")]
    Randomness,
    /// The attachment is larger than the protocol allows. Permanent.
    #[error("attachment of {bytes} bytes is larger than {ATTACHMENT_BYTES_MAX}: send it in parts")]
    TooLarge {
        /// Length of the plaintext in bytes.
        bytes: u64,
    },
    /// The cipher failed on a chunk: never seen, reported so that nothing is assumed.
    #[error("chunk {index} of the attachment could not be encrypted")]
    Seal {
        /// Index of the chunk, from 0.
        index: u32,
    },
    /// A block out of turn: a mistake of the caller.
    #[error("block {found} of the attachment came where block {expected} belongs")]
    OutOfOrder {
        /// Index of the block expected.
        expected: u32,
        /// Index of the block given.
        found: u32,
    },
    /// A block (or, for the sender, a chunk of plaintext) has another length: it was cut short, or the file was.
    #[error("block {index} of the attachment has {found} bytes where {expected} belong: cut short or not this file")]
    Length {
        /// Index of the block, from 0.
        index: u32,
        /// Expected length in bytes.
        expected: usize,
        /// Actual length in bytes.
        found: usize,
    },
    /// The file no longer has what was sealed before. Send it again from the start.
    #[error("file changed while it was sent (chunk {index} differs, or it grew): send it again when it is complete")]
    Changed {
        /// Index of the chunk, from 0.
        index: u32,
    },
    /// The size of the blob does not match the message. Permanent, unless the upload was not complete.
    #[error("blob has {found} bytes, the attachment in the message makes {expected}: cut, padded or another file")]
    BlobSize {
        /// Bytes according to the message.
        expected: u64,
        /// Bytes according to the network.
        found: u64,
    },
    /// The blob does not begin like an attachment. Permanent.
    #[error("blob does not begin with the header of an attachment: it is damaged or something else")]
    Header,
    /// The attachment has a newer version. Permanent, until this program is updated.
    #[error("attachment has format version {version}, this program knows {VERSION}: update retaind")]
    Version {
        /// Version in the header.
        version: u8,
    },
    /// The header contradicts the message. Permanent.
    #[error("header of the attachment contradicts the size in the message: another file, or it was altered")]
    Mismatch,
    /// A block is damaged, altered, exchanged, or under another key. Fetch it once more; then permanent.
    #[error("block {index} of the attachment is not authentic: damaged on the way, altered, or under another key")]
    Authentication {
        /// Index of the block, from 0.
        index: u32,
    },
    /// The end came before the last block.
    #[error("attachment ends after {have} of {blocks} blocks: the rest is missing")]
    Truncated {
        /// Number of blocks so far.
        have: u32,
        /// Number of blocks expected.
        blocks: u32,
    },
    /// There are bytes after the last block.
    #[error("attachment goes on behind its last block")]
    Trailing,
    /// All blocks are authentic, but the whole is not what the message announces. Permanent.
    #[error("attachment's SHA-256 is not the one in the message: the sender sent another file than announced")]
    Digest,
    /// The file to send could not be read.
    #[error("file to be sent could not be read")]
    Read(#[source] io::Error),
    /// The file to receive could not be written.
    #[error("received attachment could not be written: is the disk full")]
    Write(#[source] io::Error),
}

/// The AES-256 key of one attachment. Wiped on drop; neither printed nor serialised, and duplicated only by name.
pub struct AttachmentKey(Box<Zeroizing<[u8; ATTACHMENT_KEY_BYTES]>>);

impl AttachmentKey {
    /// Makes a random key.
    pub fn generate() -> Result<Self, AttachmentError> {
        let mut key = Box::new(Zeroizing::new([0u8; ATTACHMENT_KEY_BYTES]));
        rand::fill(key.as_mut_slice()).map_err(|_| AttachmentError::Randomness)?;
        Ok(Self(key))
    }

    /// Takes the key in a message: 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AttachmentError> {
        let mut key = Box::new(Zeroizing::new([0u8; ATTACHMENT_KEY_BYTES]));
        if bytes.len() != ATTACHMENT_KEY_BYTES {
            return Err(AttachmentError::Key { bytes: bytes.len() });
        }
        key.copy_from_slice(bytes);
        Ok(Self(key))
    }

    /// The 32 bytes, to be put into the (end-to-end encrypted) message and nowhere else.
    pub fn expose(&self) -> &[u8; ATTACHMENT_KEY_BYTES] {
        &self.0
    }

    /// The same key once more, to be wiped on its own.
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    fn cipher(&self) -> Result<LessSafeKey, AttachmentError> {
        let key = UnboundKey::new(&AES_256_GCM, self.expose().as_slice())
            .map_err(|_| AttachmentError::Key { bytes: ATTACHMENT_KEY_BYTES })?;
        Ok(LessSafeKey::new(key))
    }
}

impl std::fmt::Debug for AttachmentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AttachmentKey(..)")
    }
}

/// The nonce `0^7 ‖ index ‖ last`. Each index occurs once for a key: see the invariants.
fn nonce(layout: &Layout, index: u32) -> Nonce {
    nonce_of(index, if layout.is_last(index) { Place::Last } else { Place::Inner })
}

/// Where a chunk is in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Another one follows.
    Inner,
    /// It is the last.
    Last,
}

fn nonce_of(index: u32, place: Place) -> Nonce {
    let [a, b, c, d] = index.to_be_bytes();
    let last = match place {
        Place::Inner => 0,
        Place::Last => 1,
    };
    let nonce: [u8; NONCE_LEN] = [0, 0, 0, 0, 0, 0, 0, a, b, c, d, last];
    Nonce::assume_unique_for_key(nonce)
}
