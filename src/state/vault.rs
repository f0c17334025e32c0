//! A device's local secrets, sealed under a data key that only the password opens.
//!
//! ```text
//! password ── Argon2id(salt) ──▶ wrapping key ── AES-256-GCM ──▶ data key (random, 32 bytes, in the header)
//! data key ── HKDF-SHA256(session salt) ──▶ session key ── AES-256-GCM(counter) ──▶ sealed values
//!          └─ HKDF-SHA256 ──▶ index key ── HMAC-SHA-256 ──▶ hidden row names
//! sealed value = version 1 (1 byte) ‖ session salt (16) ‖ counter (8, big-endian) ‖ ciphertext ‖ tag (16)
//! ```
//!
//! Every sealed value is bound to a *context* (table and row key, as the caller writes it): a value moved to another
//! row does not open.
//!
//! # Invariants
//!
//! - **A nonce never repeats.** Each start of the process draws its own session salt, hence its own key; in
//!   a session the nonce is a counter that is never stored and never goes back. Nothing has to be durable for that: a
//!   crash loses the session key's future, not its past. After 2^32 values a session is replaced by the next, so that
//!   10^12 values stay far from GCM's bounds (2^40 blocks a key at 4 KiB a value).
//! - **The password is needed once a start** and is not kept. A new password wraps the same data key again
//!   ([`Vault::rewrap`]); values stay as they are. A holder of a copy of the old header *and* the old password can
//!   still open: destroy old headers.
//! - Keys are wiped when the vault is dropped, and never printed.
//!
//! # Crash
//!
//! The vault writes nothing. The caller must replace a header by that of `rewrap` in one step (rename or transaction):
//! without a header nothing opens ever again.
//!
//! # Not here
//!
//! Rollback: an old value put back into its own row opens. Storage, and a machine whose memory is copied while it runs
//! (a restored snapshot continues with the same session; restart the process after restoring one).
#![deny(clippy::arithmetic_side_effects, clippy::as_conversions)]

mod header;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac, rand};
use lru::LruCache;
use thiserror::Error;
use zeroize::Zeroizing;

pub(crate) use header::PASSWORD_BYTES_MAX;
pub use header::VaultHeader;

/// Largest value that can be sealed. The state of an MLS group with 100,000 members is some tens of MiB.
pub const VALUE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes by which a sealed value is longer than its plaintext.
pub(crate) const SEAL_OVERHEAD_BYTES: usize = 1 + SALT_BYTES + COUNTER_BYTES + TAG_BYTES;

const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const SALT_BYTES: usize = 16;
const COUNTER_BYTES: usize = 8;
const TAG_BYTES: usize = 16;
/// Values that one session key seals before the next takes over: keeps each key far below GCM's bounds.
const SESSION_VALUES_MAX: u64 = 1 << 32;
/// Keys of past sessions that are kept for opening; deriving one again takes some microseconds.
const OPENED_SESSIONS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

const SESSION_INFO: &[u8] = b"retaind vault session v1";
const INDEX_INFO: &[u8] = b"retaind vault index v1";

type DataKey = Box<Zeroizing<[u8; KEY_BYTES]>>;
type SessionSalt = [u8; SALT_BYTES];

/// Why local secrets cannot be read or written.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum VaultError {
    /// Wrong password: ask for it again. (A header altered with care looks the same: only the password proves it.)
    #[error("password does not open this device's state: it is wrong, or the state belongs to another account")]
    Password,
    /// The password is empty or too long.
    #[error("password has {bytes} bytes: 1 to {PASSWORD_BYTES_MAX} are possible")]
    PasswordLength {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The header is damaged, or is none. Permanent: restore it from a copy.
    #[error("header of this device's state is damaged ({0}): restore it from a copy")]
    Header(&'static str),
    /// Written by a newer program.
    #[error("this device's state has format version {version}, this program knows {VERSION}: update retaind")]
    Version {
        /// Version in the header or value.
        version: u32,
    },
    /// Argon2 had no memory. Try again.
    #[error("no memory to derive a key from the password: {memory_kib} KiB are needed")]
    Memory {
        /// Memory that the header asks for, KiB.
        memory_kib: u32,
    },
    /// The system gave no randomness. Try again.
    #[error("no random key could be made: the system gave no randomness")]
    Randomness,
    /// The value is too large to be sealed or opened.
    #[error("value of {bytes} bytes is larger than {VALUE_BYTES_MAX}")]
    TooLarge {
        /// Its length in bytes.
        bytes: usize,
    },
    /// Damaged, altered, moved from another row, or of another vault. Permanent.
    #[error("sealed value is not authentic: damaged, moved from another row, or of another device")]
    Value,
    /// The cipher failed: never seen, reported so that nothing is assumed.
    #[error("encryption of a local value failed: `{0}`")]
    Cipher(&'static str),
}

/// The key and counter of one session.
struct Session {
    salt: SessionSalt,
    cipher: Arc<LessSafeKey>,
    counter: AtomicU64,
}

impl Session {
    fn new(data_key: &DataKey) -> Result<Self, VaultError> {
        let mut salt = SessionSalt::default();
        rand::fill(&mut salt).map_err(|_| VaultError::Randomness)?;
        Ok(Self { salt, cipher: Arc::new(session_cipher(data_key, &salt)?), counter: AtomicU64::new(0) })
    }
}

/// Seals and opens values. Usable from any number of threads.
pub struct Vault {
    data_key: DataKey,
    index_key: hmac::Key,
    session: RwLock<Arc<Session>>,
    session_values_max: u64,
    opened: Mutex<LruCache<SessionSalt, Arc<LessSafeKey>>>,
}

impl Vault {
    /// A new vault with a random data key, and the header that `password` opens it with. Takes Argon2's time (a hundred
    /// or two milliseconds) and memory (64 MiB, see [`header`]), as do [`unlock`](Self::unlock) and
    /// [`rewrap`](Self::rewrap): not for an async task.
    pub fn create(password: &[u8]) -> Result<(Self, VaultHeader), VaultError> {
        let mut data_key = DataKey::default();
        rand::fill(data_key.as_mut_slice()).map_err(|_| VaultError::Randomness)?;
        let header = VaultHeader::wrap(password, &data_key)?;
        Ok((Self::with_data_key(data_key)?, header))
    }

    /// The vault of a data key that is kept elsewhere: 32 random bytes.
    pub fn of_key(key: &[u8; KEY_BYTES]) -> Result<Self, VaultError> {
        let mut data_key = DataKey::default();
        data_key.copy_from_slice(key);
        Self::with_data_key(data_key)
    }

    /// Its data key, for a copy that is kept elsewhere: who has it opens everything.
    pub fn key(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        Zeroizing::new(**self.data_key)
    }

    /// Its data key, sealed by another vault for the row that `context` names.
    pub fn seal_key(&self, by: &Self, context: &[u8]) -> Result<Vec<u8>, VaultError> {
        by.seal(context, self.data_key.as_slice())
    }

    /// The vault whose data key `by` has sealed for `context`.
    pub fn open_key(by: &Self, context: &[u8], sealed: &[u8]) -> Result<Self, VaultError> {
        let key = by.open(context, sealed)?;
        Self::of_key(key.as_slice().try_into().map_err(|_| VaultError::Value)?)
    }

    /// Opens the vault of an earlier [`create`](Self::create).
    pub fn unlock(password: &[u8], header: &VaultHeader) -> Result<Self, VaultError> {
        Self::with_data_key(header.unwrap(password)?)
    }

    /// Makes a header that `new_password` opens; the one that it replaces must be destroyed.
    pub fn rewrap(&self, new_password: &[u8]) -> Result<VaultHeader, VaultError> {
        VaultHeader::wrap(new_password, &self.data_key)
    }

    fn with_data_key(data_key: DataKey) -> Result<Self, VaultError> {
        let mut index_key = Zeroizing::new([0u8; KEY_BYTES]);
        derive(&data_key, &[], INDEX_INFO, &mut index_key)?;
        let session = RwLock::new(Arc::new(Session::new(&data_key)?));
        Ok(Self {
            data_key,
            index_key: hmac::Key::new(hmac::HMAC_SHA256, index_key.as_slice()),
            session,
            session_values_max: SESSION_VALUES_MAX,
            opened: Mutex::new(LruCache::new(OPENED_SESSIONS_MAX)),
        })
    }

    /// Seals `plaintext` for the row that `context` names. The result is [`SEAL_OVERHEAD_BYTES`] longer.
    pub fn seal(&self, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut out = Vec::new();
        self.seal_into(context, plaintext, &mut out)?;
        Ok(out)
    }

    /// As [`seal`](Self::seal), but appends to `out`; on an error `out` is as before.
    pub fn seal_into(&self, context: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), VaultError> {
        if plaintext.len() > VALUE_BYTES_MAX {
            return Err(VaultError::TooLarge { bytes: plaintext.len() });
        }
        let (session, counter) = self.next_nonce()?;
        let start = out.len();
        out.reserve(plaintext.len().saturating_add(SEAL_OVERHEAD_BYTES));
        out.push(VERSION);
        out.extend_from_slice(&session.salt);
        out.extend_from_slice(&counter.to_be_bytes());
        let body = out.len();
        out.resize(body.saturating_add(plaintext.len()), 0);
        let mut tag = [0u8; TAG_BYTES];
        let sealed = session.cipher.seal_out_of_place_scatter(
            nonce(counter),
            Aad::from(context),
            plaintext,
            out.get_mut(body..).unwrap_or_default(),
            &[],
            &mut tag,
        );
        if sealed.is_err() {
            out.truncate(start);
            return Err(VaultError::Cipher("seal"));
        }
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// Opens the value that was sealed for `context`.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let (&version, rest) = sealed.split_first().ok_or(VaultError::Value)?;
        if version != VERSION {
            return Err(VaultError::Version { version: version.into() });
        }
        let (salt, rest) = rest.split_first_chunk::<SALT_BYTES>().ok_or(VaultError::Value)?;
        let (counter, rest) = rest.split_first_chunk::<COUNTER_BYTES>().ok_or(VaultError::Value)?;
        let (ciphertext, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(VaultError::Value)?;
        if ciphertext.len() > VALUE_BYTES_MAX {
            return Err(VaultError::TooLarge { bytes: ciphertext.len() });
        }
        let cipher = self.cipher_of(salt)?;
        let mut plaintext = Zeroizing::new(vec![0u8; ciphertext.len()]);
        cipher
            .open_separate_gather(
                nonce(u64::from_be_bytes(*counter)),
                Aad::from(context),
                ciphertext,
                tag,
                &mut plaintext,
            )
            .map_err(|_| VaultError::Value)?;
        Ok(plaintext)
    }

    /// A name for `value` that says nothing about it without the data key, the same at every start: for row keys that
    /// must be found again. `label` says what kind of name it is; equal values under two labels differ.
    pub fn index(&self, label: &[u8], value: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.index_key);
        context.update(&u64::try_from(label.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(label);
        context.update(value);
        let mut name = [0u8; 32];
        name.copy_from_slice(context.sign().as_ref());
        name
    }

    /// A key and a counter that it has not used; begins the next session when this one is used up.
    fn next_nonce(&self) -> Result<(Arc<Session>, u64), VaultError> {
        loop {
            let session = Arc::clone(&self.session.read().unwrap_or_else(PoisonError::into_inner));
            // Relaxed: it only matters that no two calls get the same number.
            let counter = session.counter.fetch_add(1, Ordering::Relaxed);
            if counter < self.session_values_max {
                return Ok((session, counter));
            }
            let next = Arc::new(Session::new(&self.data_key)?);
            let mut current = self.session.write().unwrap_or_else(PoisonError::into_inner);
            if current.salt == session.salt {
                *current = next;
            }
        }
    }

    fn cipher_of(&self, salt: &SessionSalt) -> Result<Arc<LessSafeKey>, VaultError> {
        {
            let current = self.session.read().unwrap_or_else(PoisonError::into_inner);
            if current.salt == *salt {
                return Ok(Arc::clone(&current.cipher));
            }
        }
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cipher) = opened.get(salt) {
            return Ok(Arc::clone(cipher));
        }
        let cipher = Arc::new(session_cipher(&self.data_key, salt)?);
        opened.put(*salt, Arc::clone(&cipher));
        Ok(cipher)
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(..)")
    }
}

fn nonce(counter: u64) -> Nonce {
    let [a, b, c, d, e, f, g, h] = counter.to_be_bytes();
    let nonce: [u8; NONCE_LEN] = [0, 0, 0, 0, a, b, c, d, e, f, g, h];
    Nonce::assume_unique_for_key(nonce)
}

fn session_cipher(data_key: &DataKey, salt: &SessionSalt) -> Result<LessSafeKey, VaultError> {
    let mut key = Zeroizing::new([0u8; KEY_BYTES]);
    derive(data_key, salt, SESSION_INFO, &mut key)?;
    cipher(&key)
}

fn cipher(key: &[u8; KEY_BYTES]) -> Result<LessSafeKey, VaultError> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_| VaultError::Cipher("key"))
}

struct KeyLength;

impl hkdf::KeyType for KeyLength {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

fn derive(data_key: &DataKey, salt: &[u8], info: &[u8], key: &mut [u8; KEY_BYTES]) -> Result<(), VaultError> {
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(data_key.as_slice())
        .expand(&[info], KeyLength)
        .and_then(|okm| okm.fill(key))
        .map_err(|_| VaultError::Cipher("derive"))
}
