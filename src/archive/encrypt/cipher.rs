//! One message of AES-256-GCM, in whichever way its length allows: at once by `aes-gcm`, or as a [stream](super::gcm).
//!
//! What fits into one part of an upload is in memory anyway, and there a library's own call does all of it. What does not fit
//! comes in pieces, and no library takes those. The bytes are the same either way, so callers need not know which it is:
//!
//! | | at once | as a stream |
//! |---|---|---|
//! | sealed | at most [`AT_ONCE_BYTES_MAX`], if they come as one piece | everything else |
//! | opened | at most [`AT_ONCE_BYTES_MAX`], in whatever pieces they come | what is longer |
//!
//! Invariants:
//! - Of a message that is opened at once nothing is given out before its tag has proved all of it. Only of a longer one
//!   pieces come before their proof.
//! - Keys are wiped on drop, as in [`super::gcm`].
//! - Memory is bounded: an opener gathers no more than [`AT_ONCE_BYTES_MAX`].
//!
//! Not here: where keys and IVs come from, and whether as many bytes came as were said ([`Sealer`](super::Sealer),
//! [`Opener`](super::Opener)).

#[cfg(test)]
mod tests;

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::gcm::{GcmOpener, GcmSealer, IV_BYTES, NotAuthentic, TAG_BYTES, TooLong};

/// Longest message that is handled at once: a part of an upload to S3, which the ship stage has in memory as a whole.
pub const AT_ONCE_BYTES_MAX: u64 = 8 * 1024 * 1024;

const _: () = {
    const fn is_wiped<T: ZeroizeOnDrop>() {}
    is_wiped::<Aes256Gcm>();
};

/// Encrypts one message.
pub struct MessageSealer(Sealing);

enum Sealing {
    /// Nothing has come yet.
    Begun(Box<Message>),
    /// It came as one piece; its tag.
    AtOnce([u8; TAG_BYTES]),
    Stream(GcmSealer),
}

impl MessageSealer {
    /// For a message of `bytes` bytes. `key` and `iv` together must never have been used before.
    pub fn new(key: &[u8; 32], iv: &[u8; IV_BYTES], aad: &[u8], bytes: u64) -> Self {
        Self(Sealing::Begun(Message::new(key, iv, aad, bytes)))
    }

    /// Encrypts the next piece in place. Pieces may have any length; a message that comes as one is sealed at once.
    pub fn update(&mut self, piece: &mut [u8]) -> Result<(), TooLong> {
        match &mut self.0 {
            Sealing::Begun(message) if message.is_at_once() && message.bytes == length(piece) => {
                self.0 = Sealing::AtOnce(message.seal(piece)?);
                Ok(())
            }
            _ if piece.is_empty() => Ok(()),
            Sealing::Begun(message) => {
                let mut stream = GcmSealer::new(&message.key, &message.iv, &message.aad);
                let sealed = stream.update(piece);
                self.0 = Sealing::Stream(stream);
                sealed
            }
            Sealing::AtOnce(_) => Err(TooLong),
            Sealing::Stream(stream) => stream.update(piece),
        }
    }

    /// The message's tag.
    pub fn finish(self) -> [u8; TAG_BYTES] {
        match self.0 {
            // an empty one, of which no piece came
            Sealing::Begun(message) => GcmSealer::new(&message.key, &message.iv, &message.aad).finish(),
            Sealing::AtOnce(tag) => tag,
            Sealing::Stream(stream) => stream.finish(),
        }
    }
}

/// Decrypts one message.
pub struct MessageOpener(Opening);

enum Opening {
    /// Waits for its end.
    AtOnce {
        message: Box<Message>,
        ciphertext: Vec<u8>,
    },
    Stream(GcmOpener),
}

impl MessageOpener {
    /// As the message was sealed; `bytes`: its length.
    pub fn new(key: &[u8; 32], iv: &[u8; IV_BYTES], aad: &[u8], bytes: u64) -> Self {
        let message = Message::new(key, iv, aad, bytes);
        Self(if message.is_at_once() {
            Opening::AtOnce { message, ciphertext: Vec::new() }
        } else {
            Opening::Stream(GcmOpener::new(key, iv, aad))
        })
    }

    /// Takes the next piece, which it may change, and gives out what is in clear by now: of a message that is opened at
    /// once nothing, of a longer one the piece, on which nothing may act before [`verify`](Self::verify).
    pub fn update<'p>(&mut self, piece: &'p mut [u8]) -> Result<&'p [u8], TooLong> {
        match &mut self.0 {
            Opening::AtOnce { ciphertext, .. } => {
                let bytes = length(ciphertext).saturating_add(length(piece));
                if bytes > AT_ONCE_BYTES_MAX {
                    return Err(TooLong);
                }
                ciphertext.extend_from_slice(piece);
                Ok(&[])
            }
            Opening::Stream(stream) => {
                stream.update(piece)?;
                Ok(piece)
            }
        }
    }

    /// Are the pieces, all of them, what was sealed? Then the rest of the message in clear, which of a long one is nothing.
    pub fn verify(self, tag: &[u8; TAG_BYTES]) -> Result<Vec<u8>, NotAuthentic> {
        match self.0 {
            Opening::AtOnce { message, mut ciphertext } => {
                message.open(&mut ciphertext, tag)?;
                Ok(ciphertext)
            }
            Opening::Stream(stream) => stream.verify(tag).map(|()| Vec::new()),
        }
    }
}

/// What a message is sealed with.
struct Message {
    key: Zeroizing<[u8; 32]>,
    iv: [u8; IV_BYTES],
    aad: Vec<u8>,
    bytes: u64,
}

impl Message {
    fn new(key: &[u8; 32], iv: &[u8; IV_BYTES], aad: &[u8], bytes: u64) -> Box<Self> {
        let mut message = Box::new(Self { key: Zeroizing::new([0; 32]), iv: *iv, aad: aad.to_vec(), bytes });
        // in its place on the heap, so that the stack has no copy
        message.key.copy_from_slice(key);
        message
    }

    fn is_at_once(&self) -> bool {
        self.bytes <= AT_ONCE_BYTES_MAX
    }

    fn cipher(&self) -> Box<Aes256Gcm> {
        Box::new(Aes256Gcm::new((&*self.key).into()))
    }

    fn seal(&self, plaintext: &mut [u8]) -> Result<[u8; TAG_BYTES], TooLong> {
        let tag = self.cipher().encrypt_inout_detached(&self.iv.into(), &self.aad, plaintext.into());
        tag.map(Into::into).map_err(|_| TooLong)
    }

    /// Decrypts only what is authentic; otherwise `ciphertext` stays as it is.
    fn open(&self, ciphertext: &mut [u8], tag: &[u8; TAG_BYTES]) -> Result<(), NotAuthentic> {
        let opened = self.cipher().decrypt_inout_detached(&self.iv.into(), &self.aad, ciphertext.into(), tag.into());
        opened.map_err(|_| NotAuthentic)
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
