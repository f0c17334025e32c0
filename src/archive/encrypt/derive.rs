//! Format V3's keys: from the data key and a message id to the key of the content and the commitment to it.
//!
//! HKDF-SHA512: PRK = Extract(salt = message id, data key); content key = Expand(PRK, 0x0073 ‖ "DERIVEKEY", 32);
//! commitment = Expand(PRK, 0x0073 ‖ "COMMITKEY", 28). AES-GCM alone does not bind a message to one key: somebody who
//! chooses both keys can make one object that opens to two contents. Finding two data keys of one commitment means
//! finding a collision of SHA-512.

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA512, KeyType, Salt};
use zeroize::Zeroizing;

use super::format::{V3_ID_BYTES, V3_SUITE};
use crate::data_key::{DATA_KEY_BYTES, PlainKey};

/// What an object of format V3 needs.
pub(super) struct Derived {
    pub(super) content_key: Box<Zeroizing<[u8; DATA_KEY_BYTES]>>,
    /// Stands beside the object, and is no secret.
    pub(super) commitment: [u8; V3_ID_BYTES],
}

impl Derived {
    pub(super) fn new(data_key: &PlainKey, message_id: &[u8; V3_ID_BYTES]) -> Result<Self, Unspecified> {
        let mut content_key = Box::new(Zeroizing::new([0u8; DATA_KEY_BYTES]));
        let mut commitment = [0u8; V3_ID_BYTES];
        let prk = Salt::new(HKDF_SHA512, message_id).extract(data_key.expose());
        prk.expand(&[&V3_SUITE, b"DERIVEKEY"], Length(DATA_KEY_BYTES))?.fill(content_key.as_mut_slice())?;
        prk.expand(&[&V3_SUITE, b"COMMITKEY"], Length(V3_ID_BYTES))?.fill(&mut commitment)?;
        Ok(Self { content_key, commitment })
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}
