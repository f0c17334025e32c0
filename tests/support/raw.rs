//! A network on a port of its own, and devices without any manners: they send whatever a test wants.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use retaind::core::limit::Refusals;
use retaind::device::connection::{Connection, ConnectionError};
use retaind::device::mls::{self, Engine, KeyPackageUse, KeyPackages, NotRead, PendingCommit, Session};
use retaind::device::pushes::{Push, Pushes};
use retaind::network::{Network, NetworkError, Options};
use retaind::protocol::credential::{Identity, Role, Verifier};
use retaind::protocol::endpoint::Endpoint;
use retaind::protocol::ids::{ConversationId, ConversationKind, UserName};
use retaind::protocol::wire::*;
use retaind::state::vault::Vault;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, crypto};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::Harness;

pub const BOT: &str = "compliance_12345678_bot";
pub const BOT_PASSWORD: &str = "a password for the bot";
/// Longer than anything here takes; a test that reaches it has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Sends a request that is answered by a place in a conversation.
pub async fn accepted(connection: &Connection, request: Request) -> Result<u64, ConnectionError> {
    match connection.call(request).await? {
        Answer::Accepted(accepted) => Ok(accepted.seq),
        _ => Err(ConnectionError::Protocol("answer is not `accepted`")),
    }
}

pub fn user(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

pub struct Served {
    pub network: Arc<Network>,
    pub endpoint: Endpoint,
    pub refusals: Arc<Refusals>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), NetworkError>>,
}

impl Served {
    pub async fn start(folder: &Path) -> Self {
        Self::start_with(folder, |options| options).await
    }

    /// With other limits, or whatever else a test wants.
    pub async fn start_with(folder: &Path, change: impl FnOnce(Options) -> Options) -> Self {
        Self::with(change(Options::new(folder))).await
    }

    pub async fn with(options: Options) -> Self {
        let refusals = Arc::clone(&options.refusals);
        let network = Network::open(options).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = network.endpoint(listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let (serving, token) = (Arc::clone(&network), shutdown.clone());
        let task = tokio::spawn(async move { serving.serve(listener, token).await });
        Self { network, refusals, endpoint, shutdown, task }
    }

    /// How often the limit of this name was met.
    pub fn refusal(&self, name: &str) -> u64 {
        let counts = self.refusals.totals();
        counts.iter().find(|(limit, _)| *limit == name).unwrap_or_else(|| panic!("no limit `{name}`")).1
    }

    /// Stops as an operator does, and waits until the directory is free.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
        assert_eq!(Arc::strong_count(&self.network), 1);
    }

    pub async fn device(&self, name: &str) -> Raw {
        let invite =
            self.network.admin(|admin| admin.invite_to(&self.endpoint, &user(name), Role::Normal, None)).unwrap();
        let device = Raw::register(&self.endpoint, Register { invite_code: invite.code, ..Register::default() }).await;
        device.unwrap().publish(4).await
    }

    pub async fn bot(&self) -> Raw {
        self.network.admin(|admin| admin.ensure_bot(&user(BOT), BOT_PASSWORD)).unwrap();
        let register = Register { bot_user: BOT.into(), bot_password: BOT_PASSWORD.into(), ..Register::default() };
        Raw::register(&self.endpoint, register).await.unwrap().publish(4).await
    }
}

#[derive(Default)]
struct Packages(Mutex<HashMap<Vec<u8>, Vec<u8>>>);

impl KeyPackages for Packages {
    fn secret(&self, reference: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, NotRead> {
        Ok(self.0.lock().unwrap().get(reference).cloned().map(Zeroizing::new))
    }
}

pub struct Raw {
    pub connection: Connection,
    pub pushes: Pushes,
    pub engine: Engine,
    pub identity: Identity,
    /// Encoded, as the network signed it.
    pub credential: Vec<u8>,
    pub secret: Zeroizing<Vec<u8>>,
    packages: Arc<Packages>,
}

pub const SUITE: u16 = 7;
const WINDOW: usize = 4096;

impl Raw {
    /// Registers with the claim in `register`; the rest of it is filled in.
    pub async fn register(endpoint: &Endpoint, register: Register) -> Result<Self, ConnectionError> {
        let (connection, pushes) = Connection::open(endpoint, WINDOW).await?;
        let (secret, public) = mls::generate_signature_key(SUITE).unwrap();
        let register = complete(&connection, register, &secret, &public);
        let Answer::Registered(registered) = connection.call(Request::Register(register)).await? else { panic!() };
        let verifier = verifier(&connection);
        let identity = verifier.verify(&registered.credential).unwrap();
        let packages = Arc::new(Packages::default());
        let engine = Engine::new(SUITE, &registered.credential, &secret, verifier, packages.clone()).unwrap();
        Ok(Self { connection, pushes, engine, identity, credential: registered.credential, secret, packages })
    }

    pub fn key_package(&self, usage: KeyPackageUse) -> Vec<u8> {
        let package = self.engine.key_package(usage).unwrap();
        self.packages.0.lock().unwrap().insert(package.reference, package.secret.to_vec());
        package.message
    }

    pub async fn publish(self, one_time: usize) -> Self {
        let one_time = (0..one_time).map(|_| self.key_package(KeyPackageUse::Once)).collect();
        let last_resort = self.key_package(KeyPackageUse::LastResort);
        let publish = PublishKeyPackages { one_time, last_resort };
        self.connection.call_done(Request::PublishKeyPackages(publish)).await.unwrap();
        self
    }

    /// The same device on a new connection.
    pub async fn login(&mut self, endpoint: &Endpoint) -> Result<(), ConnectionError> {
        let (connection, pushes) = Connection::open(endpoint, WINDOW).await?;
        let login = login(&connection, &self.identity, &self.secret);
        connection.call_done(Request::Login(login)).await?;
        (self.connection, self.pushes) = (connection, pushes);
        Ok(())
    }

    /// A device of a new user on this network.
    pub async fn on(harness: &Harness, name: &str) -> Self {
        let invite = harness.invite(name);
        let register = Register { invite_code: invite.code, ..Register::default() };
        Self::register(&harness.endpoint, register).await.unwrap().publish(1).await
    }

    /// Sends this as it is; returns its place.
    pub async fn throw(&self, message: &[u8]) -> u64 {
        let send = SendApplication { send_id: random::<16>().to_vec(), message: message.to_vec(), blobs: vec![] };
        accepted(&self.connection, Request::SendApplication(send)).await.unwrap()
    }

    pub async fn claim(&self, users: &[&str]) -> Result<Vec<ClaimedKeyPackage>, ConnectionError> {
        let users = users.iter().map(|user| (*user).to_owned()).collect();
        let claim = ClaimKeyPackages { users, cipher_suite: SUITE.into() };
        let Answer::ClaimedKeyPackages(claimed) = self.connection.call(Request::ClaimKeyPackages(claim)).await? else {
            panic!()
        };
        Ok(claimed.packages)
    }

    pub async fn packages(&self, users: &[&str]) -> Vec<Vec<u8>> {
        self.claim(users).await.unwrap().into_iter().map(|claimed| claimed.key_package).collect()
    }

    /// A new conversation with these, not yet sent.
    pub async fn draft(&self, users: &[&str]) -> (Session, CreateConversation) {
        let packages = self.packages(users).await;
        let id = ConversationId::from_random(ConversationKind::Room, random());
        let (mut session, group_info) = self.engine.create(&id, &self.connection.info().external_senders[0]).unwrap();
        let PendingCommit { commit, welcome } = session.commit(&packages, &[]).unwrap();
        (session, CreateConversation { send_id: random::<16>().to_vec(), group_info, commit, welcome })
    }

    /// A new conversation with these, accepted.
    pub async fn create(&self, users: &[&str]) -> Session {
        let (mut session, create) = self.draft(users).await;
        let commit = create.commit.clone();
        assert_eq!(accepted(&self.connection, Request::CreateConversation(create)).await.unwrap(), 1);
        session.receive(&commit).unwrap();
        session
    }

    pub async fn send(&self, session: &mut Session, text: &str) -> Result<u64, ConnectionError> {
        accepted(&self.connection, Request::SendApplication(application(session, text))).await
    }

    /// Commits and takes the commit in, if the network does.
    pub async fn commit(
        &self,
        session: &mut Session,
        add: &[Vec<u8>],
        remove: &[&Raw],
    ) -> Result<u64, ConnectionError> {
        let gone: Vec<_> = remove.iter().map(|raw| raw.identity.device).collect();
        let PendingCommit { commit, welcome } = session.commit(add, &gone).unwrap();
        let seq = self.handshake(&commit, &welcome).await?;
        session.receive(&commit).unwrap();
        Ok(seq)
    }

    pub async fn handshake(&self, message: &[u8], welcome: &[u8]) -> Result<u64, ConnectionError> {
        let send =
            SendHandshake { send_id: random::<16>().to_vec(), message: message.to_vec(), welcome: welcome.to_vec() };
        accepted(&self.connection, Request::SendHandshake(send)).await
    }

    pub async fn fetch(&self, id: &ConversationId, after_seq: u64) -> Result<Deliveries, ConnectionError> {
        let fetch = Fetch { conversation: id.to_string(), after_seq, handshakes_only: false, bytes_max: 1 << 20 };
        let Answer::Deliveries(deliveries) = self.connection.call(Request::Fetch(fetch)).await? else { panic!() };
        Ok(deliveries)
    }

    /// Joins by the welcome that waits in the conversation.
    pub async fn join(&self, id: &ConversationId) -> Session {
        let read = self.fetch(id, 0).await.unwrap();
        let welcome = read.deliveries.iter().rfind(|delivery| delivery.kind() == DeliveryKind::Welcome).unwrap();
        self.engine.join(&welcome.payload).unwrap()
    }

    pub async fn subscribe(&self, window_messages: u32) {
        let subscribe = Subscribe { window_messages, window_bytes: 1 << 30 };
        self.connection.call_done(Request::Subscribe(subscribe)).await.unwrap();
    }

    pub async fn acknowledge(&self, id: &ConversationId, seq: u64) {
        let cursors = vec![Cursor { conversation: id.to_string(), seq }];
        self.connection.call_done(Request::Acknowledge(Acknowledge { cursors })).await.unwrap();
    }

    pub async fn pushed(&mut self) -> Delivery {
        loop {
            match tokio::time::timeout(PATIENCE, self.pushes.recv()).await.unwrap().unwrap() {
                Push::Delivery(delivery) => return delivery,
                Push::Notice(_) => {}
            }
        }
    }

    pub async fn notice(&mut self) -> Notice {
        loop {
            match tokio::time::timeout(PATIENCE, self.pushes.recv()).await.unwrap().unwrap() {
                Push::Delivery(_) => {}
                Push::Notice(notice) => return notice,
            }
        }
    }

    /// Waits until the network has ended the connection.
    pub async fn ended(&mut self) {
        tokio::time::timeout(PATIENCE, async { while self.pushes.recv().await.is_some() {} }).await.unwrap();
    }
}

pub fn application(session: &mut Session, text: &str) -> SendApplication {
    naming(session, text, &[])
}

/// The same, which tells the network that it names these blobs.
pub fn naming(session: &mut Session, text: &str, blobs: &[Vec<u8>]) -> SendApplication {
    let message = session.encrypt(text.as_bytes()).unwrap();
    SendApplication { send_id: random::<16>().to_vec(), message, blobs: blobs.to_vec() }
}

pub fn verifier(connection: &Connection) -> Verifier {
    Verifier::new(&connection.info().network_id, &connection.info().authentication_key)
}

/// Fills in suite, key and a right proof.
pub fn complete(connection: &Connection, register: Register, secret: &[u8], public: &[u8]) -> Register {
    let statement = [REGISTER_LABEL, &connection.info().nonce, public].concat();
    let proof = mls::sign(SUITE, secret, &statement).unwrap();
    Register { cipher_suite: SUITE.into(), signature_key: public.to_vec(), proof, ..register }
}

/// A right log-in of `identity` by whoever has `secret`.
pub fn login(connection: &Connection, identity: &Identity, secret: &[u8]) -> Login {
    let info = connection.info();
    let device = identity.device.as_bytes();
    let statement = [LOGIN_LABEL, info.network_id.as_bytes(), &info.nonce, device].concat();
    Login { device: device.to_vec(), proof: mls::sign(SUITE, secret, &statement).unwrap() }
}

/// What the network refused with.
#[track_caller]
pub fn refusal<T>(result: Result<T, ConnectionError>) -> RefusalCode {
    match result {
        Ok(_) => panic!("the network accepted it"),
        Err(error) => error.refusal().unwrap_or_else(|| panic!("not a refusal: {error}")),
    }
}

/// The vault of a network that has its key file in its directory.
pub fn network_vault(directory: &Path) -> Vault {
    let text = std::fs::read_to_string(directory.join("network.key")).unwrap();
    let key = data_encoding::HEXLOWER.decode(text.trim_end().as_bytes()).unwrap();
    Vault::of_key(key.as_slice().try_into().unwrap()).unwrap()
}

/// The key of the certificate of such a network.
pub fn network_key(directory: &Path) -> PrivateKeyDer<'static> {
    let sealed = std::fs::read(directory.join("network-key.sealed")).unwrap();
    let der = network_vault(directory).open(b"network certificate key", &sealed).unwrap();
    PrivateKeyDer::try_from(der.to_vec()).unwrap()
}

/// A connection to the network below its protocol.
pub async fn tls(
    endpoint: &Endpoint,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(endpoint.ca_der.clone())).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(&endpoint.address).await?;
    let name = ServerName::try_from(endpoint.server_name.clone()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}
