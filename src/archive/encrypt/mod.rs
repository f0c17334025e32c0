//! Encrypt: the envelope of archive objects, as the Amazon S3 Encryption Client writes and reads it.
//!
//! Nobody needs this program to open the archive: whoever may use the master key opens it with an official client.
//!
//! ```text
//! KMS ── DataKey ──▶ Sealer ─┬─▶ metadata: wrapped key, how to use it
//!  plain, wrapped            └─▶ body: ciphertext ‖ tag          (one AES-256-GCM message an object)
//! metadata ── Envelope ── wrapped ──▶ KMS ── PlainKey ──▶ Opener ──▶ plaintext, and at the end the proof, Opened
//! ```
//!
//! Formats ([`Format`], set by `RETAIND_KMS_FORMAT`): `v3`, where metadata commit to the key, and `v2`, which older
//! readers know. [`Envelope`] reads both.
//!
//! # Invariants
//!
//! - **A data key serves one object**: [`Sealer`] takes it and does not give it back. With V3's fixed IV that is all that
//!   stands between two messages and one key stream; V3's fresh message id and V2's fresh IV stand there besides.
//! - **Retries repeat bytes, not encryption.** An upload that is sent again sends the ciphertext it has; one that is begun
//!   again takes a new key. A file that changed in between is never encrypted under the first one.
//! - **No key, no object.** There is no way from here to an object in clear; without KMS the queue waits.
//! - What [`Opener`] gives out of an object that does not fit into memory is worth nothing before its proof; of a smaller
//!   one it gives out nothing before ([`cipher`]). V3's commitment is checked before the first byte.
//! - Keys are wiped on drop and never printed; errors name metadata, not their values.
//! - What is encrypted in place leaves no copy in clear: [`overwrite_stack`] after each piece.
//! - Memory is flat: pieces are encrypted in place, whatever the object's size; an opener gathers at most a part of an upload.
//!
//! # Crash
//!
//! Nothing here is durable. A sealer that is lost takes its key along; the object is started again.
//!
//! # Not here
//!
//! Asking KMS (`retaind-aws`), S3, files. Encryption contexts of an operator's own (each reader would have to give
//! them exactly), keys in instruction files (two objects to lock, and an exchanged one is a way in), format V1, and
//! ranged reads (a part of a GCM message is not authentic by itself).
#![deny(clippy::arithmetic_side_effects, clippy::as_conversions)]

pub mod cipher;
mod derive;
mod envelope;
mod error;
mod format;
pub mod gcm;
mod open;
mod seal;
#[cfg(test)]
mod tests;

/// Bytes of stack that encrypting a piece may have used, with room to spare.
const STACK_BYTES: usize = 64 * 1024;

/// Overwrites the stack below the caller: ciphers work on blocks there, and leave the last ones in clear. To be called by
/// the one who called [`Sealer::update`], when the piece is done.
#[inline(never)]
pub fn overwrite_stack() {
    let mut stack = [0u8; STACK_BYTES];
    std::hint::black_box(&mut stack);
}

pub use envelope::Envelope;
pub use error::{EncryptError, OpenError};
pub use format::{Format, UnknownFormat};
pub use open::{Opened, Opener};
pub use seal::{Sealer, plaintext_len, sealed_len};
