//! The header of a vault: how the password becomes a key, and the data key wrapped under it.
//!
//! The header is public; only its wrapped key needs the password. It carries a SHA-256 over itself to tell damage
//! from a wrong password. That hash needs no key, so it does not stop an attacker: the wrap does, whose
//! associated data is everything else in the header.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::aead::Aad;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use prost::Message;
use zeroize::Zeroizing;

use super::{DataKey, KEY_BYTES, SALT_BYTES, TAG_BYTES, VERSION, VaultError, cipher, nonce};

/// Memory of Argon2id, as RFC 9106 recommends where memory is scarce: a tenth of a second or two, once a start, and a guess
/// costs a thief of the disk as much.
pub(crate) const ARGON2_MEMORY_KIB: u32 = 64 * 1024;
/// Passes of Argon2id over its memory: see [`ARGON2_MEMORY_KIB`].
pub(crate) const ARGON2_PASSES: u32 = 2;
/// Lanes of Argon2id: one, so that the cost is the same on every machine.
pub(crate) const ARGON2_LANES: u32 = 1;
/// Most memory that a header may ask for, KiB: a damaged or hostile header cannot exhaust the machine.
pub(crate) const ARGON2_MEMORY_KIB_MAX: u32 = 1024 * 1024;
/// Most passes that a header may ask for.
pub(crate) const ARGON2_PASSES_MAX: u32 = 64;
/// Most lanes that a header may ask for.
pub(crate) const ARGON2_LANES_MAX: u32 = 16;
// bytes of a password; Argon2 would take 4 GiB, which no one types
pub(crate) use retaind_protocol::limits::PASSWORD_BYTES_MAX;
/// Longest header that is read; one has 112 bytes.
const HEADER_BYTES_MAX: usize = 512;

const LABEL: &[u8] = b"retaind vault header v1";
const WRAPPED_BYTES: usize = KEY_BYTES + TAG_BYTES;
const CHECK_BYTES: usize = 32;

/// The stored form. Field numbers never change.
#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(uint32, tag = "2")]
    memory_kib: u32,
    #[prost(uint32, tag = "3")]
    passes: u32,
    #[prost(uint32, tag = "4")]
    lanes: u32,
    #[prost(bytes = "vec", tag = "5")]
    salt: Vec<u8>,
    #[prost(bytes = "vec", tag = "6")]
    wrapped_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "7")]
    check: Vec<u8>,
}

/// Parameters of Argon2id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) memory_kib: u32,
    pub(super) passes: u32,
    pub(super) lanes: u32,
}

impl Cost {
    pub(super) const DEFAULT: Self = Self { memory_kib: ARGON2_MEMORY_KIB, passes: ARGON2_PASSES, lanes: ARGON2_LANES };
}

/// Opens a vault together with its password. Not secret; without it the vault is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultHeader {
    cost: Cost,
    params: Params,
    salt: [u8; SALT_BYTES],
    wrapped_key: [u8; WRAPPED_BYTES],
}

impl VaultHeader {
    /// Wraps `data_key` under `password` at the default cost.
    pub(super) fn wrap(password: &[u8], data_key: &DataKey) -> Result<Self, VaultError> {
        Self::wrap_at(Cost::DEFAULT, password, data_key)
    }

    pub(super) fn wrap_at(cost: Cost, password: &[u8], data_key: &DataKey) -> Result<Self, VaultError> {
        let mut salt = [0u8; SALT_BYTES];
        rand::fill(&mut salt).map_err(|_| VaultError::Randomness)?;
        let mut header = Self { cost, params: checked(cost)?, salt, wrapped_key: [0; WRAPPED_BYTES] };
        let wrapping_key = header.wrapping_key(password)?;
        let (ciphertext, tag) = header.wrapped_key.split_at_mut(KEY_BYTES);
        // The wrapping key belongs to a fresh salt and seals this one value, so that its nonce can be constant.
        cipher(&wrapping_key)?
            .seal_out_of_place_scatter(
                nonce(0),
                Aad::from(associated_data(cost, &salt)),
                data_key.as_slice(),
                ciphertext,
                &[],
                tag,
            )
            .map_err(|_| VaultError::Cipher("wrap"))?;
        Ok(header)
    }

    /// Opens the data key with `password`.
    pub(super) fn unwrap(&self, password: &[u8]) -> Result<DataKey, VaultError> {
        let wrapping_key = self.wrapping_key(password)?;
        let (ciphertext, tag) = self.wrapped_key.split_at(KEY_BYTES);
        let mut data_key = DataKey::default();
        cipher(&wrapping_key)?
            .open_separate_gather(
                nonce(0),
                Aad::from(associated_data(self.cost, &self.salt)),
                ciphertext,
                tag,
                data_key.as_mut_slice(),
            )
            .map_err(|_| VaultError::Password)?;
        Ok(data_key)
    }

    fn wrapping_key(&self, password: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, VaultError> {
        if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
            return Err(VaultError::PasswordLength { bytes: password.len() });
        }
        let no_memory = || VaultError::Memory { memory_kib: self.cost.memory_kib };
        let blocks = self.params.block_count();
        let mut memory = Zeroizing::new(Vec::new());
        memory.try_reserve_exact(blocks).map_err(|_| no_memory())?;
        memory.resize(blocks, Block::new());
        let mut key = Zeroizing::new([0u8; KEY_BYTES]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone())
            .hash_password_into_with_memory(password, &self.salt, key.as_mut_slice(), memory.as_mut_slice())
            .map_err(|_| no_memory())?;
        Ok(key)
    }

    /// Was it made when less was asked of a guess than today? Then it is to be replaced once its password is at hand.
    pub(crate) fn is_cheap(&self) -> bool {
        self.cost.memory_kib < ARGON2_MEMORY_KIB || self.cost.passes < ARGON2_PASSES
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        let mut stored = Stored {
            version: VERSION.into(),
            memory_kib: self.cost.memory_kib,
            passes: self.cost.passes,
            lanes: self.cost.lanes,
            salt: self.salt.to_vec(),
            wrapped_key: self.wrapped_key.to_vec(),
            check: Vec::new(),
        };
        stored.check = check(&stored);
        stored.encode_to_vec()
    }

    /// Reads the result of [`encode`](Self::encode); anything else is refused, before any work is done for it.
    pub fn decode(bytes: &[u8]) -> Result<Self, VaultError> {
        if bytes.len() > HEADER_BYTES_MAX {
            return Err(VaultError::Header("it is too long"));
        }
        let mut stored = Stored::decode(bytes).map_err(|_| VaultError::Header("it does not decode"))?;
        if stored.version != u32::from(VERSION) {
            return Err(VaultError::Version { version: stored.version });
        }
        if stored.encode_to_vec() != bytes {
            return Err(VaultError::Header("it holds something unknown"));
        }
        let found = std::mem::take(&mut stored.check);
        if found.len() != CHECK_BYTES || found != check(&stored) {
            return Err(VaultError::Header("its checksum is wrong"));
        }
        let cost = Cost { memory_kib: stored.memory_kib, passes: stored.passes, lanes: stored.lanes };
        Ok(Self {
            cost,
            params: checked(cost)?,
            salt: stored.salt.try_into().map_err(|_| VaultError::Header("its salt is not 16 bytes"))?,
            wrapped_key: stored.wrapped_key.try_into().map_err(|_| VaultError::Header("its key is not 48 bytes"))?,
        })
    }
}

/// SHA-256 of the stored form without the check itself.
fn check(unchecked: &Stored) -> Vec<u8> {
    digest(&SHA256, &[LABEL, &unchecked.encode_to_vec()].concat()).as_ref().to_vec()
}

fn associated_data(cost: Cost, salt: &[u8; SALT_BYTES]) -> Vec<u8> {
    [
        LABEL,
        &[VERSION],
        &cost.memory_kib.to_be_bytes(),
        &cost.passes.to_be_bytes(),
        &cost.lanes.to_be_bytes(),
        salt.as_slice(),
    ]
    .concat()
}

fn checked(cost: Cost) -> Result<Params, VaultError> {
    let bounded = cost.memory_kib <= ARGON2_MEMORY_KIB_MAX
        && cost.passes <= ARGON2_PASSES_MAX
        && (1..=ARGON2_LANES_MAX).contains(&cost.lanes);
    if !bounded {
        return Err(VaultError::Header("it asks for more memory, passes or lanes than allowed"));
    }
    Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(KEY_BYTES))
        .map_err(|_| VaultError::Header("its Argon2 parameters are not valid"))
}

#[cfg(test)]
impl VaultHeader {
    pub(super) fn flip_wrapped_key(&mut self, byte: usize) {
        self.wrapped_key[byte] ^= 1;
    }

    pub(super) fn flip_salt(&mut self, byte: usize) {
        self.salt[byte] ^= 1;
    }

    pub(super) fn set_cost(&mut self, cost: Cost) {
        self.cost = cost;
    }
}
