//! Signatures of many messages of one conversation, verified together on all cores.
//!
//! A conversation's ratchet is sequential, and cheap; the signature of each message is expensive, and independent of the
//! others. [`Desk::defer`] makes the crypto provider put signatures aside instead of verifying them; what is decrypted
//! meanwhile counts for nothing until [`Deferred::verify`] has confirmed all of them. If one is not good, the caller
//! returns to the state before them and processes the messages one by one.
//!
//! Invariant: nothing decrypted while signatures are deferred leaves the caller before `verify` returns `Ok`, nor
//! does the state. [`Session::receive_many`](super::mls::Session::receive_many) is the only caller.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use mls_rs::{CipherSuite, CipherSuiteProvider, CryptoProvider};
use mls_rs_core::crypto::{
    HpkeCiphertext, HpkePsk, HpkePublicKey, HpkeSecretKey, SignaturePublicKey, SignatureSecretKey,
};
use mls_rs_crypto_awslc::{AwsLcCipherSuite, AwsLcCryptoProvider};
use zeroize::Zeroizing;

type Inner = AwsLcCipherSuite;
type Error = <Inner as CipherSuiteProvider>::Error;

struct Signed {
    key: SignaturePublicKey,
    signature: Vec<u8>,
    data: Vec<u8>,
}

/// Where signatures are put aside. Shared by an engine and its sessions, which live on one thread.
#[derive(Clone, Default)]
pub(crate) struct Desk(Arc<Mutex<Option<Vec<Signed>>>>);

impl Desk {
    fn with<R>(&self, f: impl FnOnce(&mut Option<Vec<Signed>>) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on signatures are put aside, until [`Self::collect`].
    pub(super) fn defer(&self) {
        self.with(|aside| *aside = Some(Vec::new()));
    }

    /// From now on signatures are verified at once again. What was put aside has to be verified by the caller.
    pub(super) fn collect(&self) -> Deferred {
        Deferred(self.with(Option::take).unwrap_or_default())
    }
}

/// Signatures that have not been verified yet.
#[must_use = "what was decrypted is worth nothing until these are verified"]
pub(super) struct Deferred(Vec<Signed>);

impl Deferred {
    /// Are all of them good? Verified on as many threads as the machine has cores.
    pub(super) fn verify(&self, suite: &Suite) -> bool {
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let share = self.0.len().div_ceil(threads.get()).max(1);
        let good =
            |part: &[Signed]| part.iter().all(|one| suite.inner.verify(&one.key, &one.signature, &one.data).is_ok());
        std::thread::scope(|scope| {
            let mut parts = self.0.chunks(share);
            let own = parts.next().unwrap_or_default();
            let others: Vec<_> = parts.map(|part| scope.spawn(move || good(part))).collect();
            let own = good(own);
            // a thread that died has verified nothing
            others.into_iter().fold(own, |all, other| other.join().unwrap_or(false) && all)
        })
    }
}

/// AWS-LC, with signatures that can be put aside.
#[derive(Clone)]
pub(crate) struct Provider {
    inner: AwsLcCryptoProvider,
    desk: Desk,
}

impl Provider {
    /// A provider that puts signatures aside on `desk`.
    pub(crate) fn new(desk: Desk) -> Self {
        Self { inner: AwsLcCryptoProvider::new(), desk }
    }
}

impl CryptoProvider for Provider {
    type CipherSuiteProvider = Suite;

    fn supported_cipher_suites(&self) -> Vec<CipherSuite> {
        self.inner.supported_cipher_suites()
    }

    fn cipher_suite_provider(&self, cipher_suite: CipherSuite) -> Option<Suite> {
        Some(Suite { inner: self.inner.cipher_suite_provider(cipher_suite)?, desk: self.desk.clone() })
    }
}

/// One cipher suite of [`Provider`].
#[derive(Clone)]
pub(crate) struct Suite {
    inner: Inner,
    desk: Desk,
}

impl CipherSuiteProvider for Suite {
    type Error = Error;
    type HpkeContextS = <Inner as CipherSuiteProvider>::HpkeContextS;
    type HpkeContextR = <Inner as CipherSuiteProvider>::HpkeContextR;

    fn verify(&self, public_key: &SignaturePublicKey, signature: &[u8], data: &[u8]) -> Result<(), Error> {
        let put_aside = self.desk.with(|aside| match aside {
            Some(aside) => {
                aside.push(Signed { key: public_key.clone(), signature: signature.to_vec(), data: data.to_vec() });
                true
            }
            None => false,
        });
        if put_aside { Ok(()) } else { self.inner.verify(public_key, signature, data) }
    }

    // everything below is AWS-LC's, unchanged

    fn cipher_suite(&self) -> CipherSuite {
        self.inner.cipher_suite()
    }

    fn hash(&self, data: &[u8]) -> Result<Vec<u8>, Error> {
        self.inner.hash(data)
    }

    fn mac(&self, key: &[u8], data: &[u8]) -> Result<Vec<u8>, Error> {
        self.inner.mac(key, data)
    }

    fn aead_seal(&self, key: &[u8], data: &[u8], aad: Option<&[u8]>, nonce: &[u8]) -> Result<Vec<u8>, Error> {
        self.inner.aead_seal(key, data, aad, nonce)
    }

    fn aead_open(
        &self,
        key: &[u8],
        ciphertext: &[u8],
        aad: Option<&[u8]>,
        nonce: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.inner.aead_open(key, ciphertext, aad, nonce)
    }

    fn aead_key_size(&self) -> usize {
        self.inner.aead_key_size()
    }

    fn aead_nonce_size(&self) -> usize {
        self.inner.aead_nonce_size()
    }

    fn kdf_extract(&self, salt: &[u8], ikm: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.inner.kdf_extract(salt, ikm)
    }

    fn kdf_expand(&self, prk: &[u8], info: &[u8], len: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.inner.kdf_expand(prk, info, len)
    }

    fn kdf_extract_size(&self) -> usize {
        self.inner.kdf_extract_size()
    }

    fn hpke_seal(
        &self,
        remote_key: &HpkePublicKey,
        info: &[u8],
        aad: Option<&[u8]>,
        pt: &[u8],
    ) -> Result<HpkeCiphertext, Error> {
        self.inner.hpke_seal(remote_key, info, aad, pt)
    }

    fn hpke_seal_psk(
        &self,
        remote_key: &HpkePublicKey,
        info: &[u8],
        aad: Option<&[u8]>,
        pt: &[u8],
        psk: HpkePsk<'_>,
    ) -> Result<HpkeCiphertext, Error> {
        self.inner.hpke_seal_psk(remote_key, info, aad, pt, psk)
    }

    fn hpke_open(
        &self,
        ciphertext: &HpkeCiphertext,
        local_secret: &HpkeSecretKey,
        local_public: &HpkePublicKey,
        info: &[u8],
        aad: Option<&[u8]>,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.inner.hpke_open(ciphertext, local_secret, local_public, info, aad)
    }

    fn hpke_open_psk(
        &self,
        ciphertext: &HpkeCiphertext,
        local_secret: &HpkeSecretKey,
        local_public: &HpkePublicKey,
        info: &[u8],
        aad: Option<&[u8]>,
        psk: HpkePsk<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.inner.hpke_open_psk(ciphertext, local_secret, local_public, info, aad, psk)
    }

    fn hpke_setup_s(&self, remote_key: &HpkePublicKey, info: &[u8]) -> Result<(Vec<u8>, Self::HpkeContextS), Error> {
        self.inner.hpke_setup_s(remote_key, info)
    }

    fn hpke_setup_r(
        &self,
        kem_output: &[u8],
        local_secret: &HpkeSecretKey,
        local_public: &HpkePublicKey,
        info: &[u8],
    ) -> Result<Self::HpkeContextR, Error> {
        self.inner.hpke_setup_r(kem_output, local_secret, local_public, info)
    }

    fn kem_derive(&self, ikm: &[u8]) -> Result<(HpkeSecretKey, HpkePublicKey), Error> {
        self.inner.kem_derive(ikm)
    }

    fn kem_generate(&self) -> Result<(HpkeSecretKey, HpkePublicKey), Error> {
        self.inner.kem_generate()
    }

    fn kem_public_key_validate(&self, key: &HpkePublicKey) -> Result<(), Error> {
        self.inner.kem_public_key_validate(key)
    }

    fn random_bytes(&self, out: &mut [u8]) -> Result<(), Error> {
        self.inner.random_bytes(out)
    }

    fn signature_key_generate(&self) -> Result<(SignatureSecretKey, SignaturePublicKey), Error> {
        self.inner.signature_key_generate()
    }

    fn signature_key_derive_public(&self, secret_key: &SignatureSecretKey) -> Result<SignaturePublicKey, Error> {
        self.inner.signature_key_derive_public(secret_key)
    }

    fn sign(&self, secret_key: &SignatureSecretKey, data: &[u8]) -> Result<Vec<u8>, Error> {
        self.inner.sign(secret_key, data)
    }
}
