//! The reading side's second half: a body, decrypted piece by piece, and at the end a proof that it was the one sealed.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::cipher::MessageOpener;
use super::derive::Derived;
use super::envelope::{Envelope, Parameters};
use super::error::OpenError;
use super::format::{V3_IV, V3_SUITE};
use super::gcm::{GCM_BYTES_MAX, TAG_BYTES};
use super::seal::plaintext_len;
use crate::data_key::PlainKey;

/// Opens one object.
#[must_use]
pub struct Opener {
    gcm: MessageOpener,
    plaintext_len: u64,
    given: u64,
}

/// Proof that all bytes of an object came out as they went in. Only then may the file that holds them get its name.
#[derive(PartialEq, Eq)]
#[must_use = "bytes that nobody has proved authentic must be destroyed"]
pub struct Opened {
    plaintext_len: u64,
    rest: Vec<u8>,
}

// without content
impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("plaintext_len", &self.plaintext_len).finish_non_exhaustive()
    }
}

impl Opened {
    /// Bytes in clear.
    pub fn plaintext_len(&self) -> u64 {
        self.plaintext_len
    }

    /// The object's last bytes in clear, behind what [`Opener::update`] has given out: all of a small one, none of a large one.
    pub fn rest(&self) -> &[u8] {
        &self.rest
    }
}

impl Opener {
    /// For the object with this envelope and a body of `sealed_len` bytes; `key` is what KMS unwrapped. A key that V3's
    /// envelope does not commit to is refused here, before any byte is decrypted.
    pub fn new(envelope: &Envelope, key: PlainKey, sealed_len: u64) -> Result<Self, OpenError> {
        let impossible = |reason| OpenError::BodyLength { found: sealed_len, reason };
        let plaintext_len = plaintext_len(sealed_len).ok_or(impossible("it is shorter than a tag"))?;
        if plaintext_len > GCM_BYTES_MAX {
            return Err(impossible("it is longer than one message of AES-GCM"));
        }
        if envelope.plaintext_len.is_some_and(|said| said != plaintext_len) {
            return Err(impossible("its metadata give another length"));
        }
        let gcm = match &envelope.parameters {
            Parameters::V3 { id, commitment } => {
                let derived = Derived::new(&key, id).map_err(|_| OpenError::Derivation)?;
                verify_slices_are_equal(&derived.commitment, commitment).map_err(|_| OpenError::Commitment)?;
                MessageOpener::new(&derived.content_key, &V3_IV, &V3_SUITE, plaintext_len)
            }
            Parameters::V2 { iv } => MessageOpener::new(key.expose(), iv, &[], plaintext_len),
        };
        Ok(Self { gcm, plaintext_len, given: 0 })
    }

    /// Bytes of the body before its tag.
    pub fn plaintext_len(&self) -> u64 {
        self.plaintext_len
    }

    /// Takes the next piece of the body, without the tag, and gives out what is in clear by now: nothing of an object that
    /// fits into one part of an upload, otherwise the piece. That belongs into a place from which it can be destroyed: it is
    /// proved by [`finish`](Self::finish) alone.
    pub fn update<'p>(&mut self, piece: &'p mut [u8]) -> Result<&'p [u8], OpenError> {
        let given = self.given.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if given > self.plaintext_len {
            return Err(OpenError::Length { expected: self.plaintext_len, found: given });
        }
        let too_long = OpenError::Length { expected: GCM_BYTES_MAX, found: given };
        let clear = self.gcm.update(piece).map_err(|_| too_long)?;
        self.given = given;
        Ok(clear)
    }

    /// Checks the body's last 16 bytes, and gives out what [`update`](Self::update) has not.
    pub fn finish(self, tag: &[u8; TAG_BYTES]) -> Result<Opened, OpenError> {
        if self.given != self.plaintext_len {
            return Err(OpenError::Length { expected: self.plaintext_len, found: self.given });
        }
        let rest = self.gcm.verify(tag).map_err(|_| OpenError::NotAuthentic)?;
        Ok(Opened { plaintext_len: self.plaintext_len, rest })
    }
}
