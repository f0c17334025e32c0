//! Keys of a log: Ed25519, and how the public one is written (C2SP signed note).
//!
//! Ed25519 is deterministic, so that a crash between signing and publishing cannot make two versions of one entry.

use std::fmt::{self, Display};
use std::str::FromStr;

use aws_lc_rs::rand;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use data_encoding::{BASE64, HEXLOWER};
use zeroize::Zeroizing;

use crate::tree::sha256;

/// Bytes of a seed, and of a public key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;
/// Longest name of a key: a host name and a path have room in it.
pub const NAME_BYTES_MAX: usize = 256;
/// Of Ed25519 in a key and before the public key in its id.
const ALGORITHM: u8 = 1;
const ID_BYTES: usize = 4;

/// The first 4 bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key).
pub type KeyId = [u8; ID_BYTES];

/// What is wrong with a key, or with the text of one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// The operating system gives no random bytes.
    #[error("no random bytes for a new key: the operating system has none")]
    NoRandomness,
    /// The crypto provider does not take the seed.
    #[error("the seed is not one of an Ed25519 key")]
    Seed,
    /// Of a name that a note cannot carry.
    #[error(
        "a key's name has 1 to {NAME_BYTES_MAX} bytes without white space, control characters and `+`: set another RETAIND_EVIDENCE_ORIGIN"
    )]
    Name,
    /// Not three parts.
    #[error("a public key is `<name>+<8 hexadecimal digits>+<base64>`")]
    Shape,
    /// The third part.
    #[error("the last part of the public key is not base64 of 33 bytes, in its one form")]
    Base64,
    /// Another than Ed25519.
    #[error("the public key's algorithm is {0}: only 1, Ed25519, is known")]
    Algorithm(u8),
    /// The second part is not the id of the other two.
    #[error("the public key's id is `{found}`, and would be `{right}`: a part of it was changed or cut off")]
    Id {
        /// As written.
        found: String,
        /// As calculated.
        right: String,
    },
}

/// The secret key of a log. Wiped when dropped; it has no `Debug`.
pub struct SigningKey {
    seed: Zeroizing<[u8; KEY_BYTES]>,
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// A new one.
    ///
    /// # Errors
    /// The operating system gives no random bytes.
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; KEY_BYTES]);
        rand::fill(seed.as_mut_slice()).map_err(|_| KeyError::NoRandomness)?;
        Self::from_seed(&seed)
    }

    /// The one of this seed (RFC 8032, the private key).
    ///
    /// # Errors
    /// The crypto provider does not take it.
    pub fn from_seed(seed: &[u8; KEY_BYTES]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Seed)?;
        Ok(Self { seed: Zeroizing::new(*seed), pair })
    }

    /// To be kept sealed.
    pub fn seed(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        self.seed.clone()
    }

    /// The same message has always the same signature.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        copied(self.pair.sign(message).as_ref())
    }

    /// The public key's bytes.
    pub fn public(&self) -> [u8; KEY_BYTES] {
        copied(self.pair.public_key().as_ref())
    }

    /// The public key under a name.
    ///
    /// # Errors
    /// A note cannot carry the name.
    pub fn vkey(&self, name: &str) -> Result<Vkey, KeyError> {
        Vkey::new(name, self.public())
    }
}

/// The provider's bytes, whose number the algorithm fixes.
fn copied<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut copy = [0; N];
    for (to, from) in copy.iter_mut().zip(bytes) {
        *to = *from;
    }
    copy
}

/// Whether a note can carry it as a key's name or as its origin.
pub fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

/// A public key with its name: `<name>+<key id>+<base64(0x01 ‖ public key)>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vkey {
    name: String,
    public: [u8; KEY_BYTES],
}

impl Vkey {
    /// Of a name and the bytes of a public key.
    ///
    /// # Errors
    /// A note cannot carry the name.
    pub fn new(name: &str, public: [u8; KEY_BYTES]) -> Result<Self, KeyError> {
        if is_name(name) { Ok(Self { name: name.to_owned(), public }) } else { Err(KeyError::Name) }
    }

    /// Of its text, without white space around it.
    ///
    /// # Errors
    /// It has another form, another algorithm, or an id that is not its own.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (name, rest) = text.split_once('+').ok_or(KeyError::Shape)?;
        let (id, key) = rest.split_once('+').ok_or(KeyError::Shape)?;
        let key = BASE64.decode(key.as_bytes()).map_err(|_| KeyError::Base64)?;
        let (algorithm, public) = key.split_first().ok_or(KeyError::Base64)?;
        let public = public.try_into().map_err(|_| KeyError::Base64)?;
        if *algorithm != ALGORITHM {
            return Err(KeyError::Algorithm(*algorithm));
        }
        let vkey = Self::new(name, public)?;
        let right = vkey.key_id();
        if id == right { Ok(vkey) } else { Err(KeyError::Id { found: id.chars().take(16).collect(), right }) }
    }

    /// Also the origin of the log's checkpoints.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key's bytes.
    pub const fn public(&self) -> &[u8; KEY_BYTES] {
        &self.public
    }

    /// Of name and public key.
    pub fn id(&self) -> KeyId {
        let mut hashed = self.name.as_bytes().to_vec();
        hashed.extend([b'\n', ALGORITHM]);
        hashed.extend(self.public);
        copied(&sha256(&hashed))
    }

    /// The id in hexadecimal, as entries and names of files have it.
    pub fn key_id(&self) -> String {
        HEXLOWER.encode(&self.id())
    }

    /// Whether the signature is this key's.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(message, signature).is_ok()
    }
}

impl Display for Vkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ALGORITHM];
        key.extend(self.public);
        write!(f, "{}+{}+{}", self.name, self.key_id(), BASE64.encode(&key))
    }
}

impl FromStr for Vkey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}
