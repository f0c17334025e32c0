//! Registration and log-in: how a device gets its credential and proves that it holds the key.

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use mls_rs::mls_rs_codec::MlsDecode;
use retaind_core::fault::{Fault, Faulty};
use thiserror::Error;
use zeroize::Zeroizing;

use super::connection::{CONNECT_TIMEOUT, Connection, ConnectionError};
use super::mls::{self, Engine, EngineError, KeyPackageUse};
use super::patience::Patience;
use super::pushes::Pushes;
use super::store::{
    DeviceState as _, DeviceWriter as _, Store, StoreError, StoredBeginning, StoredIdentity, StoredKeyPackages,
};
use retaind_protocol::credential::{CredentialError, Identity, Verifier};
use retaind_protocol::endpoint::Endpoint;
use retaind_protocol::wire::{
    Answer, CountKeyPackages, LOGIN_LABEL, Login, NetworkInfo, PublishKeyPackages, REGISTER_LABEL, Register, Request,
};

/// Key packages made at a time when the network runs low.
pub const KEY_PACKAGES_BATCH: usize = 50;
/// Below this number left on the network, more are made.
pub(crate) const KEY_PACKAGES_LOW: u32 = 20;

/// Why a device could not register or log in.
#[derive(Debug, Error)]
pub enum AccountError {
    /// The network failed or refused.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The local state failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Making or using keys failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The network's credential.
    #[error("network gave a credential that it should not have signed")]
    Credential(#[from] CredentialError),
    /// The state already holds a device.
    #[error("state already belongs to device `{device}` of `{user}`, use another state directory for another device")]
    Registered {
        /// User of that device.
        user: String,
        /// Id of that device.
        device: String,
    },
    /// The state holds no device.
    #[error("state holds no registered device, register one first")]
    NotRegistered,
    /// The network is not the one that the device belongs to.
    #[error("network is `{theirs}`, this device belongs to `{ours}`")]
    OtherNetwork {
        /// Name of the network that answered.
        theirs: String,
        /// Name of the network in the state.
        ours: String,
    },
    /// The network allows none of the cipher suites of this program.
    #[error("network allows no cipher suite that this program knows")]
    NoSuite,
}

impl Faulty for AccountError {
    fn fault(&self) -> Fault {
        match self {
            Self::Connection(error) => error.fault(),
            Self::Store(error) => error.fault(),
            Self::Engine(_) | Self::Credential(_) => Fault::Internal,
            Self::Registered { .. } | Self::NotRegistered | Self::OtherNetwork { .. } | Self::NoSuite => {
                Fault::Configuration
            }
        }
    }
}

/// What entitles a new device to register.
#[derive(Clone, Copy)]
pub enum Proof<'a> {
    /// Code of an invite.
    Invite(&'a str),
    /// Bot account and password.
    Bot(&'a str, &'a str),
}

/// A device that is logged in.
pub struct LoggedIn {
    /// Identity of the device.
    pub identity: Identity,
    /// The identity as it is stored.
    pub stored: StoredIdentity,
    /// Secret part of its signature key.
    pub signature_key: Zeroizing<Vec<u8>>,
    /// Checks the credentials of all members.
    pub verifier: Verifier,
    /// Connection to the network.
    pub connection: Arc<Connection>,
    /// Pushes of the network.
    pub pushes: Pushes,
    /// State of the device.
    pub store: Arc<Mutex<Store>>,
    /// Most unacknowledged pushes.
    window: usize,
}

impl LoggedIn {
    /// Logs the same device in again, on a new connection to `endpoint` (or to the address before). The old
    /// connection is dropped once the new one is open.
    pub async fn again(&mut self, endpoint: Option<&Endpoint>) -> Result<(), AccountError> {
        let account = login(self.store.clone(), endpoint, self.window).await?;
        // credentials that have been checked need not be checked again
        *self = Self { verifier: self.verifier.clone(), ..account };
        Ok(())
    }

    /// An engine with this device's keys; one for each thread. Key packages are looked up in `packages`.
    pub fn engine(&self, packages: Arc<Mutex<Store>>) -> Result<Engine, AccountError> {
        let suite = suite(&self.stored)?;
        Ok(Engine::new(
            suite,
            &self.stored.credential,
            &self.signature_key,
            self.verifier.clone(),
            Arc::new(StoredKeyPackages(packages)),
        )?)
    }

    /// The network's external sender for this device's suite, checked against the authentication key.
    pub fn external_sender(&self) -> Result<Vec<u8>, AccountError> {
        let info = self.connection.info();
        let place = info.cipher_suites.iter().position(|suite| *suite == self.stored.cipher_suite);
        let sender = place.and_then(|place| info.external_senders.get(place)).ok_or(AccountError::NoSuite)?.clone();
        let identity = mls_rs::identity::SigningIdentity::mls_decode(&mut sender.as_slice())
            .map_err(|e| AccountError::Engine(e.into()))?;
        self.verifier.identity_of(&identity)?;
        Ok(sender)
    }

    /// Makes sure that the network has key packages of this device, the last-resort one included.
    pub async fn replenish_key_packages(&self, engine: &Engine, batch: usize) -> Result<(), AccountError> {
        let Answer::KeyPackageCount(count) =
            self.connection.call(Request::CountKeyPackages(CountKeyPackages {})).await?
        else {
            return Err(ConnectionError::Protocol("count of key packages was not answered").into());
        };
        if count.one_time >= KEY_PACKAGES_LOW.min(u32::try_from(batch).unwrap_or(u32::MAX)) && count.last_resort {
            return Ok(());
        }
        let mut made = Vec::new();
        for _ in 0..batch {
            made.push(engine.key_package(KeyPackageUse::Once)?);
        }
        let one_time = made.iter().map(|package| package.message.clone()).collect();
        let mut last_resort = Vec::new();
        if !count.last_resort {
            let package = engine.key_package(KeyPackageUse::LastResort)?;
            last_resort = package.message.clone();
            made.push(package);
        }
        // the private parts are stored before anyone can use the public ones
        self.store
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(|tx| made.iter().try_for_each(|package| tx.put_key_package(package)))?;
        let publish = PublishKeyPackages { one_time, last_resort };
        Ok(self.connection.call_done(Request::PublishKeyPackages(publish)).await?)
    }
}

/// Makes this state a new device. `window` = most unacknowledged pushes.
///
/// The key is stored before the network is asked. After a crash in between, the same proof on the same state gets the
/// device that was made by then, if one was: no invite is wasted, and no bot leaves a device behind that
/// every conversation would have to hold and whose keys are lost.
pub async fn register(
    store: Store,
    endpoint: &Endpoint,
    proof: Proof<'_>,
    window: usize,
) -> Result<LoggedIn, AccountError> {
    register_patiently(store, endpoint, proof, window, &Patience::NONE).await
}

/// As [`register`]; while the network is away it is asked again, with the same key: so a lost answer is
/// repeated, and no invite is wasted.
pub async fn register_patiently(
    mut store: Store,
    endpoint: &Endpoint,
    proof: Proof<'_>,
    window: usize,
    patience: &Patience,
) -> Result<LoggedIn, AccountError> {
    if let Some((identity, _)) = store.identity()? {
        let verifier = Verifier::new(&identity.network_id, &identity.authentication_key);
        let identity = verifier.verify(&identity.credential)?;
        return Err(AccountError::Registered { user: identity.user.to_string(), device: identity.device.to_string() });
    }
    let mut key = None;
    let mut tries = patience.tries();
    let new = loop {
        let at = patience.endpoint();
        match ask_to_register(&mut store, at.as_ref().unwrap_or(endpoint), proof, window, &mut key).await {
            Err(error) if error.is_temporary() && tries.again().await => {}
            result => break result?,
        }
    };
    let New { connection, pushes, stored, identity, verifier } = new;
    let Some(Key { secret, .. }) = key else { return Err(AccountError::NoSuite) };
    store.set_identity(&stored, &secret)?;
    let store = Arc::new(Mutex::new(store));
    let connection = Arc::new(connection);
    Ok(LoggedIn { identity, stored, signature_key: secret, verifier, connection, pushes, store, window })
}

struct Key {
    suite: u16,
    secret: Zeroizing<Vec<u8>>,
    public: Vec<u8>,
}

struct New {
    connection: Connection,
    pushes: Pushes,
    stored: StoredIdentity,
    identity: Identity,
    verifier: Verifier,
}

/// The key of a registration that may not have ended, or a new one, stored.
fn begin(store: &mut Store, info: &NetworkInfo, proof: Proof<'_>) -> Result<Key, AccountError> {
    let claim = match proof {
        Proof::Invite(code) => [b"invite/".as_slice(), code.as_bytes()].concat(),
        Proof::Bot(user, _) => [b"bot/".as_slice(), user.as_bytes()].concat(),
    };
    let claim = digest(&SHA256, &claim).as_ref().to_vec();
    let supported = |suite: &u32| u16::try_from(*suite).ok().filter(|suite| mls::suite_is_supported(*suite));
    if let Some((begun, secret)) = store.beginning()?
        && begun.network_id == info.network_id
        && begun.claim == claim
        && let Some(suite) = supported(&begun.cipher_suite).filter(|_| info.cipher_suites.contains(&begun.cipher_suite))
    {
        return Ok(Key { suite, secret, public: begun.public_key });
    }
    let suite = info.cipher_suites.iter().find_map(supported).ok_or(AccountError::NoSuite)?;
    let (secret, public) = mls::generate_signature_key(suite)?;
    let beginning = StoredBeginning {
        network_id: info.network_id.clone(),
        cipher_suite: suite.into(),
        public_key: public.clone(),
        claim,
    };
    store.set_beginning(&beginning, &secret)?;
    Ok(Key { suite, secret, public })
}

/// Tries to register once; the first try makes the key.
async fn ask_to_register(
    store: &mut Store,
    endpoint: &Endpoint,
    proof: Proof<'_>,
    window: usize,
    key: &mut Option<Key>,
) -> Result<New, AccountError> {
    let (connection, pushes) = Connection::open(endpoint, window).await?;
    let info = connection.info().clone();
    let Key { suite, secret, public } = match key {
        Some(key) => key,
        None => key.insert(begin(store, &info, proof)?),
    };
    let signed = mls::sign(*suite, secret, &[REGISTER_LABEL, &info.nonce, public].concat())?;
    let (invite_code, bot_user, bot_password) = match proof {
        Proof::Invite(code) => (code.to_owned(), String::new(), String::new()),
        Proof::Bot(user, password) => (String::new(), user.to_owned(), password.to_owned()),
    };
    let register = Register {
        invite_code,
        bot_user,
        bot_password,
        cipher_suite: (*suite).into(),
        signature_key: public.clone(),
        proof: signed,
    };
    let Answer::Registered(registered) = connection.call(Request::Register(register)).await? else {
        return Err(ConnectionError::Protocol("registration was not answered").into());
    };
    let verifier = Verifier::new(&info.network_id, &info.authentication_key);
    let identity = verifier.verify(&registered.credential)?;
    if identity.signature_key != *public {
        return Err(CredentialError::Key.into());
    }
    let stored = StoredIdentity {
        address: endpoint.address.clone(),
        server_name: endpoint.server_name.clone(),
        ca_der: endpoint.ca_der.clone(),
        network_id: info.network_id,
        authentication_key: info.authentication_key,
        cipher_suite: (*suite).into(),
        credential: registered.credential,
    };
    Ok(New { connection, pushes, stored, identity, verifier })
}

/// Logs the device of this state in. `endpoint`: the present address of the network, if it has changed.
pub async fn login(
    store: Arc<Mutex<Store>>,
    endpoint: Option<&Endpoint>,
    window: usize,
) -> Result<LoggedIn, AccountError> {
    let stored = store.lock().unwrap_or_else(PoisonError::into_inner).identity()?;
    let (mut stored, signature_key) = stored.ok_or(AccountError::NotRegistered)?;
    let verifier = Verifier::new(&stored.network_id, &stored.authentication_key);
    let identity = verifier.verify(&stored.credential)?;
    let endpoint = endpoint.cloned().unwrap_or_else(|| stored.endpoint());
    let (connection, pushes) = Connection::open(&endpoint, window).await?;
    let NetworkInfo { network_id, nonce, authentication_key, .. } = connection.info().clone();
    if network_id != stored.network_id || authentication_key != stored.authentication_key {
        return Err(AccountError::OtherNetwork { theirs: network_id, ours: stored.network_id });
    }
    let device = identity.device.as_bytes();
    let message = [LOGIN_LABEL, network_id.as_bytes(), &nonce, device].concat();
    let proof = mls::sign(suite(&stored)?, &signature_key, &message)?;
    let login = connection.call_done(Request::Login(Login { device: device.to_vec(), proof }));
    // a network may fall silent between its greeting and its answer
    tokio::time::timeout(CONNECT_TIMEOUT, login)
        .await
        .map_err(|_| ConnectionError::Timeout { address: endpoint.address.clone() })??;
    // whoever served this connection holds the certificate that was trusted until now, and says which one comes next
    let authorities = connection.info().authorities.concat();
    if !authorities.is_empty() && authorities != stored.ca_der {
        stored.ca_der = authorities;
        store.lock().unwrap_or_else(PoisonError::into_inner).set_identity(&stored, &signature_key)?;
        tracing::info!("the network's authority changes: the device trusts what the network has told it");
    }
    let connection = Arc::new(connection);
    Ok(LoggedIn { identity, stored, signature_key, verifier, connection, pushes, store, window })
}

fn suite(stored: &StoredIdentity) -> Result<u16, AccountError> {
    u16::try_from(stored.cipher_suite).map_err(|_| AccountError::NoSuite)
}

/// An engine with the keys of the device that `store` is of, without a connection.
pub fn stored_engine(store: &Arc<Mutex<Store>>) -> Result<Engine, AccountError> {
    let identity = store.lock().unwrap_or_else(PoisonError::into_inner).identity()?;
    let (stored, key) = identity.ok_or(AccountError::NotRegistered)?;
    let verifier = Verifier::new(&stored.network_id, &stored.authentication_key);
    let packages = Arc::new(StoredKeyPackages(store.clone()));
    Ok(Engine::new(suite(&stored)?, &stored.credential, &key, verifier, packages)?)
}
