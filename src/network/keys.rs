//! What the network makes once, at its first start, and keeps: its name, the authentication key that signs every
//! credential, and for each cipher suite the key with which it proposes as external sender.

use aws_lc_rs::rand;
use mls_rs::external_client::ExternalClient;
use mls_rs::external_client::builder::{ExternalBaseConfig, WithCryptoProvider, WithIdentityProvider};
use mls_rs::identity::SigningIdentity;
use mls_rs::mls_rs_codec::{MlsDecode, MlsEncode};
use mls_rs::{CipherSuite, CipherSuiteProvider, CryptoProvider};
use mls_rs_core::crypto::{SignaturePublicKey, SignatureSecretKey};
use mls_rs_crypto_awslc::{AwsLcCipherSuite, AwsLcCryptoProvider};

use super::CIPHER_SUITES;
use super::error::NetworkError;
use super::ledger::{Batch, LedgerWriter, SenderRow};
use retaind_protocol::credential::{AuthenticationKey, Identity, Role, Verifier, signing_identity};
use retaind_protocol::ids::{DeviceId, UserName};
use retaind_state::vault::Vault;
use zeroize::Zeroizing;

pub(crate) type MlsConfig = WithIdentityProvider<Verifier, WithCryptoProvider<AwsLcCryptoProvider, ExternalBaseConfig>>;
pub(crate) type MlsObserver = ExternalClient<MlsConfig>;

const NETWORK_ID: &str = "network_id";
const AUTHENTICATION_KEY: &str = "authentication_key";
/// Exists once all secrets are sealed.
const SEALED: &str = "sealed";
const AUTHENTICATION_CONTEXT: &[u8] = b"network authentication key";
const NETWORK_ID_BYTES_MAX: usize = 64;

/// One cipher suite that conversations may have.
pub(crate) struct Suite {
    pub(crate) id: u16,
    pub(crate) crypto: AwsLcCipherSuite,
    pub(crate) observer: MlsObserver,
    pub(crate) sender: SigningIdentity,
    pub(crate) sender_bytes: Vec<u8>,
}

/// The network's lasting names and keys.
pub(crate) struct Keys {
    pub(crate) network_id: String,
    pub(crate) authentication_key: AuthenticationKey,
    pub(crate) verifier: Verifier,
    /// The first is the default.
    pub(crate) suites: Vec<Suite>,
}

impl Keys {
    /// Reads them, or makes them at the first start. They are sealed in `vault`; those of an earlier release are sealed, and
    /// what was unencrypted is overwritten.
    pub(crate) fn load(
        ledger: &mut dyn LedgerWriter,
        vault: &Vault,
        network_id: Option<&str>,
        suites: &[u16],
    ) -> Result<Self, NetworkError> {
        if ledger.view()?.setting(SEALED)?.is_none() {
            ledger.shred(&mut |batch| seal_plain(batch, vault))?;
        }
        let mut batch = ledger.begin(&[])?;
        let network_id = load_network_id(&mut *batch, network_id)?;
        let authentication_key = match batch.setting(AUTHENTICATION_KEY)? {
            Some(sealed) => AuthenticationKey::from_pkcs8(&vault.open(AUTHENTICATION_CONTEXT, &sealed)?)?,
            None => {
                let key = AuthenticationKey::generate()?;
                batch.set_setting(AUTHENTICATION_KEY, &vault.seal(AUTHENTICATION_CONTEXT, key.pkcs8())?)?;
                key
            }
        };
        let verifier = Verifier::new(&network_id, authentication_key.public_key());
        let suites = suites
            .iter()
            .map(|suite| load_suite(&mut *batch, vault, *suite, &network_id, &authentication_key, &verifier))
            .collect::<Result<_, _>>()?;
        batch.commit()?;
        Ok(Self { network_id, authentication_key, verifier, suites })
    }

    /// The suite of that number, if conversations may have it.
    pub(crate) fn suite(&self, id: u32) -> Option<&Suite> {
        self.suites.iter().find(|suite| u32::from(suite.id) == id)
    }
}

/// Seals what an earlier release has left unencrypted; changes nothing where that was done, or nothing is.
fn seal_plain(batch: &mut dyn Batch, vault: &Vault) -> Result<(), NetworkError> {
    if batch.setting(SEALED)?.is_some() {
        return Ok(());
    }
    if let Some(plain) = batch.setting(AUTHENTICATION_KEY)?.map(Zeroizing::new) {
        batch.set_setting(AUTHENTICATION_KEY, &vault.seal(AUTHENTICATION_CONTEXT, &plain)?)?;
    }
    for suite in CIPHER_SUITES {
        if let Some(sender) = batch.sender(suite)? {
            let plain = Zeroizing::new(sender.secret);
            batch.replace_sender_secret(suite, &vault.seal(&sender_context(suite), &plain)?)?;
        }
    }
    Ok(batch.set_setting(SEALED, b"1")?)
}

fn sender_context(suite: u16) -> Vec<u8> {
    [b"network external sender ".as_slice(), &suite.to_be_bytes()].concat()
}

fn load_network_id(batch: &mut dyn Batch, given: Option<&str>) -> Result<String, NetworkError> {
    if let Some(name) = given {
        let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > NETWORK_ID_BYTES_MAX || !name.bytes().all(valid) {
            return Err(NetworkError::NetworkName(name.to_owned()));
        }
    }
    if let Some(kept) = batch.setting(NETWORK_ID)? {
        let theirs = String::from_utf8_lossy(&kept).into_owned();
        return match given {
            Some(ours) if ours != theirs => Err(NetworkError::NetworkId { theirs, ours: ours.to_owned() }),
            Some(_) | None => Ok(theirs),
        };
    }
    let name = match given {
        Some(name) => name.to_owned(),
        None => format!("{:08}", 10_000_000 + u32::from_le_bytes(random()?) % 90_000_000),
    };
    batch.set_setting(NETWORK_ID, name.as_bytes())?;
    Ok(name)
}

fn load_suite(
    batch: &mut dyn Batch,
    vault: &Vault,
    id: u16,
    network_id: &str,
    authentication_key: &AuthenticationKey,
    verifier: &Verifier,
) -> Result<Suite, NetworkError> {
    let provider = AwsLcCryptoProvider::new();
    let crypto = provider.cipher_suite_provider(CipherSuite::from(id)).ok_or(NetworkError::CipherSuite(id))?;
    let (secret, sender_bytes) = match batch.sender(id)? {
        Some(SenderRow { secret, identity }) => (vault.open(&sender_context(id), &secret)?, identity),
        None => {
            let (secret, public) =
                crypto.signature_key_generate().map_err(|_| NetworkError::Crypto("external sender key"))?;
            let credential = authentication_key.sign(&Identity {
                network_id: network_id.to_owned(),
                user: UserName::new(network_id)?,
                device: DeviceId::new(random()?),
                signature_key: public.as_bytes().to_vec(),
                role: Role::Network,
            })?;
            let identity = signing_identity(credential, public.as_bytes())
                .mls_encode_to_vec()
                .map_err(|_| NetworkError::Crypto("external sender identity"))?;
            let sealed = vault.seal(&sender_context(id), secret.as_bytes())?;
            batch.insert_sender(id, &SenderRow { secret: sealed, identity: identity.clone() })?;
            (Zeroizing::new(secret.as_bytes().to_vec()), identity)
        }
    };
    let sender = SigningIdentity::mls_decode(&mut sender_bytes.as_slice())
        .map_err(|_| NetworkError::Crypto("external sender identity"))?;
    let observer = ExternalClient::builder()
        .crypto_provider(provider)
        .identity_provider(verifier.clone())
        .signer(SignatureSecretKey::new(secret.to_vec()), sender.clone())
        .build();
    Ok(Suite { id, crypto, observer, sender, sender_bytes })
}

/// Is `signature` by `key` over `statement`?
pub(crate) fn proves(suite: &Suite, key: &[u8], signature: &[u8], statement: &[u8]) -> bool {
    suite.crypto.verify(&SignaturePublicKey::new_slice(key), signature, statement).is_ok()
}

/// `N` fresh random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], NetworkError> {
    let mut bytes = [0u8; N];
    rand::fill(&mut bytes).map_err(|_| NetworkError::Crypto("random number"))?;
    Ok(bytes)
}
