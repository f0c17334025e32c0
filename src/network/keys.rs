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
use rusqlite::{Connection, OptionalExtension};

use super::error::NetworkError;
use super::store;
use retaind_protocol::credential::{AuthenticationKey, Identity, Role, Verifier, signing_identity};
use retaind_protocol::ids::{DeviceId, UserName};

pub(crate) type MlsConfig = WithIdentityProvider<Verifier, WithCryptoProvider<AwsLcCryptoProvider, ExternalBaseConfig>>;
pub(crate) type MlsObserver = ExternalClient<MlsConfig>;

const NETWORK_ID: &str = "network_id";
const AUTHENTICATION_KEY: &str = "authentication_key";
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
    /// Reads them, or makes them at the first start.
    pub(crate) fn load(
        connection: &mut Connection,
        network_id: Option<&str>,
        suites: &[u16],
    ) -> Result<Self, NetworkError> {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let network_id = load_network_id(&transaction, network_id)?;
        let authentication_key = match store::meta(&transaction, AUTHENTICATION_KEY)? {
            Some(pkcs8) => AuthenticationKey::from_pkcs8(&pkcs8)?,
            None => {
                let key = AuthenticationKey::generate()?;
                store::set_meta(&transaction, AUTHENTICATION_KEY, key.pkcs8())?;
                key
            }
        };
        let verifier = Verifier::new(&network_id, authentication_key.public_key());
        let suites = suites
            .iter()
            .map(|suite| load_suite(&transaction, *suite, &network_id, &authentication_key, &verifier))
            .collect::<Result<_, _>>()?;
        transaction.commit()?;
        Ok(Self { network_id, authentication_key, verifier, suites })
    }

    /// The suite of that number, if conversations may have it.
    pub(crate) fn suite(&self, id: u32) -> Option<&Suite> {
        self.suites.iter().find(|suite| u32::from(suite.id) == id)
    }
}

fn load_network_id(connection: &Connection, given: Option<&str>) -> Result<String, NetworkError> {
    if let Some(name) = given {
        let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > NETWORK_ID_BYTES_MAX || !name.bytes().all(valid) {
            return Err(NetworkError::NetworkName(name.to_owned()));
        }
    }
    if let Some(kept) = store::meta(connection, NETWORK_ID)? {
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
    store::set_meta(connection, NETWORK_ID, name.as_bytes())?;
    Ok(name)
}

fn load_suite(
    connection: &Connection,
    id: u16,
    network_id: &str,
    authentication_key: &AuthenticationKey,
    verifier: &Verifier,
) -> Result<Suite, NetworkError> {
    let provider = AwsLcCryptoProvider::new();
    let crypto = provider.cipher_suite_provider(CipherSuite::from(id)).ok_or(NetworkError::CipherSuite(id))?;
    let kept: Option<(Vec<u8>, Vec<u8>)> = connection
        .query_row("SELECT secret, identity FROM senders WHERE suite = ?", [id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (secret, sender_bytes) = match kept {
        Some(kept) => kept,
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
            connection.execute(
                "INSERT INTO senders(suite, secret, identity) VALUES(?, ?, ?)",
                (id, secret.as_bytes(), &identity),
            )?;
            (secret.as_bytes().to_vec(), identity)
        }
    };
    let sender = SigningIdentity::mls_decode(&mut sender_bytes.as_slice())
        .map_err(|_| NetworkError::Crypto("external sender identity"))?;
    let observer = ExternalClient::builder()
        .crypto_provider(provider)
        .identity_provider(verifier.clone())
        .signer(SignatureSecretKey::new(secret), sender.clone())
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
