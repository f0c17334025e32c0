//! The identity of a device: the network's signature over user, device and signature key.
//!
//! Every leaf of every MLS tree carries a [`SignedCredential`] as its basic credential. Each member (and the
//! network) checks it against the network's authentication key whenever it sees the leaf, so that no one, including the
//! delivery service, can put a key under another user's name without the authentication key.
//!
//! The body is signed as the bytes that are sent, never re-encoded: one encoding, no canonical form to disagree on.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use mls_rs::identity::basic::BasicCredential;
use mls_rs::identity::{Credential, CredentialType, SigningIdentity};
use mls_rs::time::MlsTime;
use mls_rs::{ExtensionList, IdentityProvider};
use mls_rs_core::crypto::SignaturePublicKey;
use mls_rs_core::error::IntoAnyError;
use mls_rs_core::identity::MemberValidationContext;
use prost::{Enumeration, Message};
use thiserror::Error;

use super::ids::{DeviceId, IdError, UserName};

const LABEL: &[u8] = b"retaind credential v1";
/// A credential is some hundred bytes; a leaf with a larger one is refused before it is decoded.
pub const CREDENTIAL_BYTES_MAX: usize = 2048;
/// Most credentials kept as valid, so that a member of a large room is verified once and not at every commit.
const VERIFIED_MAX: usize = 65_536;

/// Why a credential is not accepted.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum CredentialError {
    /// It is not a basic credential, is too long, or is not in the documented encoding.
    #[error("credential is not a signed credential of this protocol: {0}")]
    Malformed(&'static str),
    /// A name in it is not valid.
    #[error("credential holds a name that is not valid: {0}")]
    Name(IdError),
    /// Not signed by the network's authentication key.
    #[error("credential is not signed by the network's authentication key")]
    Signature,
    /// It is from another network.
    #[error("credential is of network `{theirs}`, this is `{ours}`")]
    Network {
        /// Name of the network in the credential.
        theirs: String,
        /// Name of this network.
        ours: String,
    },
    /// The leaf has a key other than the credential's.
    #[error("signature key of the leaf is not the one that the credential names")]
    Key,
    /// The network's own credential is in a leaf, or a user's is that of an external sender.
    #[error("credential of role `{0:?}` may not stand here")]
    Role(Role),
    /// The key could not be made or used.
    #[error("authentication key cannot be used: {0}")]
    AuthenticationKey(&'static str),
}

// not by `#[from]`: its text is part of this error's own
impl From<IdError> for CredentialError {
    fn from(error: IdError) -> Self {
        Self::Name(error)
    }
}

impl IntoAnyError for CredentialError {
    fn into_dyn_error(self) -> Result<Box<dyn std::error::Error + Send + Sync>, Self> {
        Ok(self.into())
    }
}

/// Role of a credential's holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum Role {
    /// Not set: refused.
    Unspecified = 0,
    /// A user of the network.
    Normal = 1,
    /// A guest.
    Guest = 2,
    /// A retention bot.
    Bot = 3,
    /// The network itself, as external sender of proposals.
    Network = 4,
}

/// The credential as it is encoded into every leaf.
#[derive(Clone, PartialEq, Message)]
pub struct SignedCredential {
    /// Encoded [`CredentialBody`].
    #[prost(bytes = "vec", tag = "1")]
    pub body: Vec<u8>,
    /// ECDSA P-384 (fixed length) over the label `retaind credential v1` and `body`.
    #[prost(bytes = "vec", tag = "2")]
    pub signature: Vec<u8>,
}

/// What the network signs.
#[derive(Clone, PartialEq, Message)]
pub struct CredentialBody {
    /// Name of the network.
    #[prost(string, tag = "1")]
    pub network_id: String,
    /// Name of the user.
    #[prost(string, tag = "2")]
    pub user: String,
    /// Id of the device, 16 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub device: Vec<u8>,
    /// Signature public key as the MLS suite encodes it.
    #[prost(bytes = "vec", tag = "4")]
    pub signature_key: Vec<u8>,
    /// [`Role`] of the holder.
    #[prost(enumeration = "Role", tag = "5")]
    pub role: i32,
}

/// A credential whose signature has been checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Name of the network that signed.
    pub network_id: String,
    /// Name of the user.
    pub user: UserName,
    /// Device of the user.
    pub device: DeviceId,
    /// Signature public key as the MLS suite encodes it.
    pub signature_key: Vec<u8>,
    /// Role of the holder.
    pub role: Role,
}

/// The network's key that signs credentials.
pub struct AuthenticationKey {
    pair: EcdsaKeyPair,
    pkcs8: zeroize::Zeroizing<Vec<u8>>,
}

impl AuthenticationKey {
    /// Makes a new key.
    pub fn generate() -> Result<Self, CredentialError> {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| CredentialError::AuthenticationKey("no key could be generated"))?;
        Self::from_pkcs8(pkcs8.as_ref())
    }

    /// Restores the key of an earlier start.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, CredentialError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, pkcs8)
            .map_err(|_| CredentialError::AuthenticationKey("it is not a PKCS#8 P-384 key"))?;
        Ok(Self { pair, pkcs8: zeroize::Zeroizing::new(pkcs8.to_vec()) })
    }

    /// The secret key, to be kept where only the network can read it.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The public key, an uncompressed P-384 point.
    pub fn public_key(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// Signs `identity`. Returns an encoded [`SignedCredential`].
    pub fn sign(&self, identity: &Identity) -> Result<Vec<u8>, CredentialError> {
        let body = CredentialBody {
            network_id: identity.network_id.clone(),
            user: identity.user.as_str().to_owned(),
            device: identity.device.as_bytes().to_vec(),
            signature_key: identity.signature_key.clone(),
            role: identity.role.into(),
        }
        .encode_to_vec();
        let signature = self
            .pair
            .sign(&SystemRandom::new(), &[LABEL, &body].concat())
            .map_err(|_| CredentialError::AuthenticationKey("it did not sign"))?;
        Ok(SignedCredential { body, signature: signature.as_ref().to_vec() }.encode_to_vec())
    }
}

/// Checks credentials of one network. Cheap to clone; remembers what it has verified.
#[derive(Clone)]
pub struct Verifier {
    network_id: Arc<str>,
    authentication_key: Arc<[u8]>,
    verified: Arc<Mutex<HashSet<[u8; 32]>>>,
}

impl Verifier {
    /// A verifier for the network with the name `network_id` and the key `authentication_key`.
    pub fn new(network_id: &str, authentication_key: &[u8]) -> Self {
        Self { network_id: network_id.into(), authentication_key: authentication_key.into(), verified: Arc::default() }
    }

    /// Name of the network.
    pub fn network_id(&self) -> &str {
        &self.network_id
    }

    /// Decodes an encoded [`SignedCredential`] and checks signature, network and names.
    pub fn verify(&self, credential: &[u8]) -> Result<Identity, CredentialError> {
        if credential.len() > CREDENTIAL_BYTES_MAX {
            return Err(CredentialError::Malformed("it is too long"));
        }
        let signed =
            SignedCredential::decode(credential).map_err(|_| CredentialError::Malformed("it does not decode"))?;
        self.check_signature(credential, &signed)?;
        let body = CredentialBody::decode(signed.body.as_slice())
            .map_err(|_| CredentialError::Malformed("its body does not decode"))?;
        if body.network_id != *self.network_id {
            return Err(CredentialError::Network { theirs: body.network_id, ours: self.network_id.to_string() });
        }
        let role = Role::try_from(body.role).unwrap_or(Role::Unspecified);
        if role == Role::Unspecified {
            return Err(CredentialError::Role(role));
        }
        Ok(Identity {
            network_id: body.network_id,
            user: UserName::new(body.user)?,
            device: DeviceId::from_bytes(&body.device)?,
            signature_key: body.signature_key,
            role,
        })
    }

    fn check_signature(&self, credential: &[u8], signed: &SignedCredential) -> Result<(), CredentialError> {
        let mut key = [0u8; 32];
        key.copy_from_slice(digest(&SHA256, credential).as_ref());
        let known = self.verified.lock().unwrap_or_else(PoisonError::into_inner).contains(&key);
        if known {
            return Ok(());
        }
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &self.authentication_key)
            .verify(&[LABEL, &signed.body].concat(), &signed.signature)
            .map_err(|_| CredentialError::Signature)?;
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= VERIFIED_MAX {
            verified.clear();
        }
        verified.insert(key);
        Ok(())
    }

    /// The identity behind a leaf (or external sender) of an MLS group: credential checked, key compared.
    pub fn identity_of(&self, signing_identity: &SigningIdentity) -> Result<Identity, CredentialError> {
        let Credential::Basic(basic) = &signing_identity.credential else {
            return Err(CredentialError::Malformed("it is not a basic credential"));
        };
        let identity = self.verify(&basic.identifier)?;
        if identity.signature_key != signing_identity.signature_key.as_bytes() {
            return Err(CredentialError::Key);
        }
        Ok(identity)
    }
}

/// The MLS signing identity that carries `credential` (encoded) for `signature_key`.
pub fn signing_identity(credential: Vec<u8>, signature_key: &[u8]) -> SigningIdentity {
    SigningIdentity::new(
        BasicCredential::new(credential).into_credential(),
        SignaturePublicKey::new_slice(signature_key),
    )
}

impl IdentityProvider for Verifier {
    type Error = CredentialError;

    fn validate_member(
        &self,
        signing_identity: &SigningIdentity,
        _timestamp: Option<MlsTime>,
        _context: MemberValidationContext<'_>,
    ) -> Result<(), CredentialError> {
        match self.identity_of(signing_identity)?.role {
            Role::Normal | Role::Guest | Role::Bot => Ok(()),
            role @ (Role::Network | Role::Unspecified) => Err(CredentialError::Role(role)),
        }
    }

    fn validate_external_sender(
        &self,
        signing_identity: &SigningIdentity,
        _timestamp: Option<MlsTime>,
        _extensions: Option<&ExtensionList>,
    ) -> Result<(), CredentialError> {
        match self.identity_of(signing_identity)?.role {
            Role::Network => Ok(()),
            role @ (Role::Normal | Role::Guest | Role::Bot | Role::Unspecified) => Err(CredentialError::Role(role)),
        }
    }

    /// The device id: one leaf a device, whatever its credential.
    fn identity(&self, signing_identity: &SigningIdentity, _: &ExtensionList) -> Result<Vec<u8>, CredentialError> {
        Ok(self.identity_of(signing_identity)?.device.as_bytes().to_vec())
    }

    fn valid_successor(
        &self,
        predecessor: &SigningIdentity,
        successor: &SigningIdentity,
        _extensions: &ExtensionList,
    ) -> Result<bool, CredentialError> {
        Ok(self.identity_of(predecessor)?.device == self.identity_of(successor)?.device)
    }

    fn supported_types(&self) -> Vec<CredentialType> {
        vec![CredentialType::BASIC]
    }
}
