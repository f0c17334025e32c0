//! The network: the directory of users and devices, and the delivery of what they send.
//!
//! # What it sees and what it does not
//! It sees who is a member of which conversation, who sends, when and how much, and the sizes of attachments. It sees no
//! content, no file name, no room title: those are MLS ciphertext, and the network holds no key of any conversation.
//! Commits and proposals are public messages on purpose, so that it can enforce membership and retention.
//!
//! # Boundaries
//! - *Stranger → network*: TLS 1.3; small frames, little time, a share of the places for each address, a handful of requests and
//!   one try to log in; Argon2id one at a time, and delays after wrong passwords; single-use invites kept as hashes; proofs
//!   over a fresh nonce. Nothing that a stranger does is a line of the log each: refusals are counted, and summed up.
//! - *Device → network*: every limit has a name ([`retaind_protocol::limits`]); a device acts for itself only (login, key
//!   packages, its own leaf); it never learns of conversations that it is not in. What it occupies is bounded until its answer
//!   is written: for its connection, its user and the process (`budget`); so are its connections and its time for a frame.
//! - *Member → conversation*: membership, epoch and retention are checked against the tracked MLS group. A member can
//!   break its own conversation by a commit that others cannot process (an observer cannot check the confirmation
//!   tag); it can read nothing by that.
//! - *Member → disk*: what a user may store and how fast is bounded ([`quotas`]); a blob goes when everybody has it or it is
//!   old ([`delivery::expiry`]), and nothing is taken while the disk is nearly full.
//! - *Reader of the disk*: the network's own secrets are sealed ([`seal`]); names, memberships, sizes and ciphertexts are not.
//! - *Operator*: owns the authentication key and can therefore vouch for a device that is not the user's. Members can
//!   see every device that joins. This is the power that MLS leaves to an authentication service.
//!
//! # What a malicious network could do
//! Withhold messages, delay them, tell a false `sender_device` or time (neither is trusted by the records: MLS
//! authenticates the sender), split members into different views (their epochs no longer agree and they notice), and,
//! with the authentication key, add devices that everybody sees. It could not read, alter, invent or reorder a message
//! within a sender's ratchet without being noticed.
//!
//! # How it holds together
//! One process serves a directory (lock file). `delivery` and `directory` decide, on rows, and know no SQL; `ledger` is
//! the seam for stores of rows, with its contract, and `sqlite` the one implementation. `writer` is the one thread that
//! makes the changes devices ask for, in group commits that `execute` carries out; `readers` read beside it; `hub` knows
//! who is connected; `push` feeds them; `admin` is the one door for operators, in the process ([`Network::admin`]) and
//! beside it ([`Admin::open`]). Nothing is answered before it is on stable storage, so a crash needs no recovery beyond
//! the ledger's own; blobs cut off what was not synced, and delete what has no row.
//!
//! Not here: content, devices' private keys, the bot. The bot is a device like any other.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests may do what clippy.toml reserves"))]
#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm, reason = "a test that meets another variant fails"))]

mod admin;
mod agreed;
mod attempts;
mod audit;
mod budget;
mod certificate;
mod change;
mod claim;
mod clock;
mod connection;
mod delivery;
mod directory;
mod doors;
mod error;
mod execute;
mod frames;
mod hub;
mod keys;
mod ledger;
mod limits;
mod login;
mod meter;
mod observer;
mod outbound;
mod push;
mod quotas;
mod readers;
mod requests;
mod seal;
mod server;
mod sqlite;
mod stock;
mod subscriber;
mod writer;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use self::admin::{Admin, UserSummary};
pub use self::agreed::AGREED;
use self::attempts::Attempts;
use self::audit::Audit;
pub use self::audit::FailedLogIns;
use self::budget::Budget;
pub use self::certificate::Rotation;
use self::certificate::{Certificate, OWN_SERVER_NAME, Own};
use self::delivery::blobs::Blobs;
use self::directory::RetentionPolicy;
pub use self::directory::accounts::Standing;
use self::directory::password::Passwords;
use self::doors::{Doors, Room};
pub use self::error::NetworkError;
use self::hub::Hub;
use self::keys::Keys;
pub use self::ledger::LedgerError;
use self::ledger::{Ledger, LedgerWriter};
pub use self::limits::{Allowances, FAILED_LOGINS, LIMITS, Limits};
pub use self::observer::{Noted, Observer};
use self::readers::Readers;
pub use self::seal::Seal;
use self::sqlite::Sqlite;
use self::writer::Writer;
use retaind_core::limit::Refusals;
use retaind_protocol::endpoint::Endpoint;
use retaind_protocol::wire::{Answer, Notice, ServerFrame};
use retaind_state::vault::Vault;

const LOCK_FILE: &str = "network.lock";
/// The key file of a network that was told of no other.
pub const KEY_FILE: &str = "network.key";
const BLOBS_FOLDER: &str = "blobs";
/// P-384, then P-521, both with AES-256.
const CIPHER_SUITES: [u16; 2] = [7, 5];

/// How a network is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where everything is kept; made if it does not exist.
    pub directory: PathBuf,
    /// Name of the network; 8 random digits at first start if not given. Cannot change.
    pub network_id: Option<String>,
    /// Certificate chain and private key (PEM files); an own certificate if not given.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// `host:port` that devices are told; the listening address if not given.
    pub advertise: Option<String>,
    /// What opens the network's own keys; by default a file in its directory, which protects them from nobody who copies all
    /// of that.
    pub seal: Seal,
    /// Where refusals are counted.
    pub refusals: Arc<Refusals>,
    /// How much devices and users may have.
    pub allowances: Allowances,
    /// Is told what operators want to know at once; the log has it without.
    pub observer: Option<Observer>,
    /// What connections may cost.
    pub limits: Limits,
    cipher_suites: Vec<u16>,
}

impl Options {
    /// Everything by default.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        Self {
            seal: Seal::KeyFile(directory.join(KEY_FILE)),
            directory,
            network_id: None,
            certificate: None,
            advertise: None,
            refusals: Arc::default(),
            allowances: Allowances::default(),
            observer: None,
            limits: Limits::default(),
            cipher_suites: CIPHER_SUITES.to_vec(),
        }
    }
}

/// What connections, tasks and the writer share.
pub(crate) struct Shared {
    pub(crate) keys: Keys,
    pub(crate) certificate: Certificate,
    pub(crate) readers: Arc<Readers>,
    pub(crate) hub: Hub,
    pub(crate) blobs: Blobs,
    pub(crate) passwords: Passwords,
    pub(crate) attempts: Attempts,
    pub(crate) audit: Audit,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) allowances: Allowances,
    pub(crate) observer: Option<Observer>,
    pub(crate) limits: Limits,
    pub(crate) budget: Arc<Budget>,
    pub(crate) doors: Arc<Doors>,
    /// Look at the directory now.
    pub(crate) refresh: Notify,
    /// It was looked at and is another.
    pub(crate) policy_changed: Notify,
    policy: RwLock<Arc<RetentionPolicy>>,
    writer: RwLock<Option<Writer>>,
}

impl Shared {
    pub(crate) fn policy(&self) -> Arc<RetentionPolicy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The writer; once the network is closing, one that refuses everything.
    pub(crate) fn writer(&self) -> Writer {
        self.writer.read().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_else(Writer::closed)
    }

    /// Pushes a notice to the devices (rows) for which it is.
    pub(crate) fn notify(&self, notice: Notice, to: impl Fn(i64) -> bool) {
        self.hub.broadcast(&connection::encode(&ServerFrame { id: 0, answer: Some(Answer::Notice(notice)) }), to);
    }

    /// Takes over a new policy: tells devices of retention, ends the connections of the suspended.
    pub(crate) fn apply(&self, policy: RetentionPolicy) {
        let policy = Arc::new(policy);
        let before = {
            let mut current = self.policy.write().unwrap_or_else(PoisonError::into_inner);
            // two may read at the same time: the newer one stays
            if current.version >= policy.version {
                return;
            }
            std::mem::replace(&mut *current, Arc::clone(&policy))
        };
        if before.retention_users != policy.retention_users || before.strict != policy.strict {
            let text = if policy.retention_users.is_empty() {
                "Data Retention Turned Off"
            } else {
                "Data Retention Turned On"
            };
            let notice = Notice {
                retention_users: policy.retention_users.clone(),
                text: text.to_owned(),
                strict_retention: policy.strict,
                key_packages_low: false,
            };
            self.notify(notice, |_| true);
        }
        self.hub.close(|device| policy.suspended.contains(&device));
        self.policy_changed.notify_one();
    }
}

/// A network on its directory. Dropping it finishes what was accepted and releases the directory.
pub struct Network {
    shared: Arc<Shared>,
    admin: Mutex<Admin>,
    advertise: Option<String>,
    writer: Option<JoinHandle<()>>,
    _lock: File,
}

impl Network {
    /// Opens the network in a directory, or makes one there.
    pub fn open(options: Options) -> Result<Arc<Self>, NetworkError> {
        let folder = &options.directory;
        let failed = |action, path: &Path, source| NetworkError::File { action, path: path.to_owned(), source };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| failed("create", folder, source))?;
        let lock = lock(folder)?;
        options.refusals.expect(LIMITS);
        options.refusals.expect(AGREED);
        let ledger = Sqlite::make(folder)?;
        let mut writer = ledger.writer()?;
        let vault = seal::open(&mut *writer, &options.seal)?;
        rotate(&mut *writer, folder, &vault)?;
        let certificate = certificate::load(folder, options.certificate.as_ref(), &vault)?;
        let keys = Keys::load(&mut *writer, &vault, options.network_id.as_deref(), &options.cipher_suites)?;
        let policy = RetentionPolicy::load(&*writer.view()?)?;
        let blobs = Blobs::open(folder.join(BLOBS_FOLDER), &*writer.view()?)?;
        let admin = Mutex::new(Admin::on(&ledger)?);
        let limits = options.limits;
        let Limits { connections, strangers, strangers_of_address, .. } = limits;
        let room = Room { connections, strangers, strangers_of_address };
        let shared = Arc::new(Shared {
            keys,
            certificate,
            readers: Arc::new(Readers::new(Box::new(ledger))),
            hub: Hub::default(),
            blobs,
            passwords: Passwords::default(),
            attempts: Attempts::default(),
            audit: Audit::default(),
            refusals: Arc::clone(&options.refusals),
            allowances: options.allowances,
            observer: options.observer,
            limits,
            budget: Budget::new(
                limits.process_bytes,
                limits.user_bytes,
                limits.memory_wait,
                Arc::clone(&options.refusals),
            ),
            doors: Doors::new(room, Arc::clone(&options.refusals)),
            refresh: Notify::new(),
            policy_changed: Notify::new(),
            policy: RwLock::new(Arc::new(policy)),
            writer: RwLock::new(None),
        });
        let (writer, thread) = writer::start(writer, Arc::clone(&shared))?;
        *shared.writer.write().unwrap_or_else(PoisonError::into_inner) = Some(writer);
        Ok(Arc::new(Self { shared, admin, advertise: options.advertise, writer: Some(thread), _lock: lock }))
    }

    /// Name of the network.
    pub fn network_id(&self) -> &str {
        &self.shared.keys.network_id
    }

    /// Bytes that frames, requests and answers of all connections hold in memory now.
    pub fn bytes_held(&self) -> usize {
        self.shared.budget.held()
    }

    /// What devices need to find and trust the network that listens at `address`.
    pub fn endpoint(&self, address: SocketAddr) -> Endpoint {
        let reachable = match address {
            SocketAddr::V4(v4) if v4.ip().is_unspecified() => format!("127.0.0.1:{}", v4.port()),
            SocketAddr::V6(v6) if v6.ip().is_unspecified() => format!("[::1]:{}", v6.port()),
            SocketAddr::V4(_) | SocketAddr::V6(_) => address.to_string(),
        };
        let address = self.advertise.clone().unwrap_or(reachable);
        let server_name = match self.shared.certificate.own {
            Own::Made => OWN_SERVER_NAME.to_owned(),
            Own::Given => {
                let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
                host.trim_start_matches('[').trim_end_matches(']').to_owned()
            }
        };
        Endpoint { address, server_name, ca_der: self.shared.certificate.ca_der.clone() }
    }

    /// Serves devices on `listener` until `shutdown`, or until a part of it fails. Needs a tokio runtime with I/O, time
    /// and blocking threads.
    pub async fn serve(
        self: &Arc<Self>,
        listener: std::net::TcpListener,
        shutdown: CancellationToken,
    ) -> Result<(), NetworkError> {
        let endpoint = self.endpoint(listener.local_addr().map_err(NetworkError::Listen)?);
        self.shared.certificate.check(&endpoint)?;
        self.admin(|admin| admin.set_endpoint(&endpoint))?;
        server::serve(Arc::clone(&self.shared), listener, shutdown).await
    }

    /// Administers this network. What `work` changed is in force when this returns: devices are notified, and connections
    /// of suspended devices are closed.
    pub fn admin<T>(&self, work: impl FnOnce(&mut Admin) -> Result<T, NetworkError>) -> Result<T, NetworkError> {
        let mut admin = self.admin.lock().unwrap_or_else(PoisonError::into_inner);
        let done = work(&mut admin);
        // also after a failure: what was committed before it is in force
        let policy = admin.policy_unless(self.shared.policy().version);
        let adopted = policy.map(|policy| policy.into_iter().for_each(|policy| self.shared.apply(policy)));
        let value = done?;
        adopted?;
        Ok(value)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // what was accepted is durable already; this waits for the batch on the way, so that whoever opens the
        // directory next finds nobody writing to it
        *self.shared.writer.write().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(thread) = self.writer.take()
            && thread.join().is_err()
        {
            tracing::error!("the network's writer ended unexpectedly");
        }
    }
}

/// Carries out what an operator has asked for since the last start. It is forgotten once it is done.
fn rotate(ledger: &mut dyn LedgerWriter, folder: &Path, vault: &Vault) -> Result<(), NetworkError> {
    let Some(rotation) = admin::asked_rotation(&*ledger.view()?)? else { return Ok(()) };
    certificate::rotate(folder, rotation, vault)?;
    let mut batch = ledger.begin(&[])?;
    batch.set_setting(admin::ROTATION, b"")?;
    Ok(batch.commit()?)
}

fn lock(folder: &Path) -> Result<File, NetworkError> {
    let path = folder.join(LOCK_FILE);
    let failed = |action, source| NetworkError::File { action, path: path.clone(), source };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|source| failed("create", source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(NetworkError::Locked(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed("lock", source)),
    }
}
