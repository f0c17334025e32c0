//! A network and a bot for tests, in this process, on port 0 and in a directory that goes with the test.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod archive;
pub mod asked;
pub mod attack;
pub mod aws;
pub mod bodies;
pub mod bot;
pub mod clock;
pub mod disk;
pub mod docker;
pub mod events;
pub mod faults;
pub mod gate;
pub mod http;
pub mod openmls_device;
pub mod oracle;
pub mod program;
pub mod raw;
pub mod registry;
pub mod shipped;
pub mod sim;
pub mod source_model;
pub mod terminal;
pub mod traffic;

use std::cell::RefCell;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use retaind::bot::commit::Directories;
use retaind::bot::disk::RealDisk;
use retaind::bot::grace::Grace;
use retaind::bot::passwords::{Keeper, Maker, NotKept, Passwords, Source};
use retaind::bot::run::{BotError, Shipping};
use retaind::bot::segment::{Basename, RotationLimits};
use retaind::bot::ship::Shipped;
use retaind::bot::watchdog;
use retaind::core::clock::SystemClock;
use retaind::device::account::{self, Proof};
use retaind::device::conversations::{Device, random};
use retaind::device::store::{STEPS, Store};
use retaind::network::{self, Network};
use retaind::protocol::content::{Body, Content, Text};
use retaind::protocol::credential::Role;
use retaind::protocol::endpoint::{Endpoint, Invite};
use retaind::protocol::ids::{MessageId, UserName};
use retaind::report::counters::Counters;
use retaind::report::events::Events;
use retaind::source_mls::Heartbeat;
use retaind::source_mls::limits::KEPT_MESSAGES;
use retaind::state::vault::Vault;
use retaind::state::{Committed, StoreError};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

#[allow(unused_imports, reason = "not every bench compares errors")]
pub use self::bot::{Controls, Options, of_source};

/// The bot's account.
pub const BOT: &str = "compliance_12345678_bot";
/// Its initial password.
pub const PASSWORD: &str = "correct horse battery";
/// What an operator chooses instead of a generated one.
pub const CHOSEN: &str = "staple that nobody guesses";

/// No stop takes so long unless the test has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A network that listens, and room for a bot.
pub struct Harness {
    directory: tempfile::TempDir,
    /// The network, for its administration.
    pub network: Arc<Network>,
    /// Where it is.
    pub endpoint: Endpoint,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    kept: Kept,
}

/// The password that is in force: the one that the bot has made at its first start, once it has.
type Kept = Arc<Mutex<String>>;

/// Keeps it for the next start.
struct Notes(Kept);

impl Keeper for Notes {
    fn keep<'a>(&'a self, password: &'a str, _: Maker) -> BoxFuture<'a, Result<(), NotKept>> {
        password.clone_into(&mut self.0.lock().unwrap());
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Harness {
    /// With data retention on.
    pub fn start() -> Self {
        let harness = Self::start_without_retention(|options| options);
        harness.network.admin(|admin| admin.set_retention(&[user(BOT)])).unwrap();
        harness
    }

    /// With a bot account that need not be in conversations.
    pub fn start_without_retention(change: impl FnOnce(network::Options) -> network::Options) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let network = Network::open(change(network::Options::new(directory.path().join("network")))).unwrap();
        network.admin(|admin| admin.ensure_bot(&user(BOT), PASSWORD)).unwrap();
        Self::serve(directory, network, TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// The network that is in `directory` already, with whatever else is there.
    pub fn found(directory: tempfile::TempDir) -> Self {
        let network = Network::open(network::Options::new(directory.path().join("network"))).unwrap();
        Self::serve(directory, network, TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn serve(directory: tempfile::TempDir, network: Arc<Network>, listener: TcpListener) -> Self {
        let endpoint = network.endpoint(listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let serving = tokio::spawn({
            let (network, stop) = (network.clone(), stop.clone());
            async move { network.serve(listener, stop).await.unwrap() }
        });
        Self { directory, network, endpoint, stop, serving, kept: Arc::new(Mutex::new(PASSWORD.to_owned())) }
    }

    /// What a bot is started with; one that it makes is kept for the next start.
    pub fn passwords(&self, given: &str) -> Arc<Passwords> {
        Arc::new(Passwords {
            given: Zeroizing::new(given.to_owned()),
            source: Source::Configured,
            chosen: None,
            keeper: Arc::new(Notes(self.kept.clone())),
        })
    }

    /// The password that opens the bot's state now.
    pub fn password(&self) -> String {
        self.kept.lock().unwrap().clone()
    }

    /// Where everything is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Directory of the message files.
    pub fn messages(&self) -> PathBuf {
        self.path().join("messages")
    }

    /// Directory of the attachments.
    pub fn files(&self) -> PathBuf {
        self.path().join("attachments")
    }

    /// What a bot needs; only tests that want it otherwise change it.
    pub fn options(&self) -> Options {
        for directory in [self.messages(), self.files()] {
            std::fs::create_dir_all(directory).unwrap();
        }
        Options {
            user: BOT.to_owned(),
            passwords: self.passwords(&self.kept.lock().unwrap()),
            state: self.path().join("bot.db"),
            directories: Directories {
                messages: self.messages(),
                basename: Basename::new("receivedMessages").unwrap(),
                files: self.files(),
            },
            policy: RotationLimits { size_max: 1 << 40, age_max: None, first_number: 1 },
            evidence: None,
            endpoint: self.endpoint.clone(),
            workers: 2,
            heartbeat: Heartbeat::default(),
            kept_bytes_max: KEPT_MESSAGES.value,
            disk: Arc::new(RealDisk),
            // a machine that is busy with other tests may be slow to drain
            shipping: Shipping { grace: Grace::new(PATIENCE), ..Shipping::local(Arc::new(RealDisk)) },
            clock: Arc::new(SystemClock),
            counters: Arc::new(Counters::default()),
            events: Events::only_logged(),
            watchdog: watchdog::Settings::default(),
        }
    }

    pub async fn bot(&self) -> Bot {
        Bot::start(self.options()).await
    }

    /// An invite for a device of this user.
    pub fn invite(&self, name: &str) -> Invite {
        self.invite_as(name, Role::Normal)
    }

    fn invite_as(&self, name: &str, role: Role) -> Invite {
        self.network.admin(|admin| admin.invite_to(&self.endpoint, &user(name), role, None)).unwrap()
    }

    /// A device of a new user (or one more of a known one), ready to work.
    pub async fn device(&self, name: &str) -> Device {
        self.device_as(name, Role::Normal).await
    }

    /// The same, of a user of this sort.
    pub async fn device_as(&self, name: &str, role: Role) -> Device {
        let invite = self.invite_as(name, role);
        let store = Store::in_memory(vault(), STEPS).unwrap();
        let account = account::register(store, &self.endpoint, Proof::Invite(&invite.code), 1024).await.unwrap();
        Device::start_with_key_packages(account, 4).await.unwrap()
    }

    /// The network's database, for tests that do what a broken disk or a hostile operator would.
    pub fn database(&self) -> rusqlite::Connection {
        let database = rusqlite::Connection::open(self.path().join("network/network.sqlite")).unwrap();
        database.busy_timeout(Duration::from_secs(30)).unwrap();
        database
    }

    /// The network's file of a blob.
    pub fn blob(&self, id: &[u8; 32]) -> PathBuf {
        self.path().join("network/blobs").join(data_encoding::HEXLOWER.encode(id))
    }

    /// All records, file by file in the order of their numbers, the open file last.
    pub fn records(&self) -> Vec<Value> {
        records(&self.messages())
    }

    /// What the network still keeps for the bot.
    pub fn unacknowledged(&self) -> i64 {
        unacknowledged(&self.path().join("network"))
    }

    /// Ends the network.
    pub async fn stop(self) {
        self.stop.cancel();
        self.serving.await.unwrap();
    }

    /// Ends the network and serves the same one again, at the same address.
    pub async fn restart(self) -> Self {
        self.leave().await.come_back()
    }

    /// Ends the network for a while.
    pub async fn leave(self) -> Away {
        let Self { directory, network, endpoint, stop, serving, kept } = self;
        stop.cancel();
        serving.await.unwrap();
        drop(network);
        Away { directory, endpoint, kept }
    }
}

/// A network that is away, with all that it has.
pub struct Away {
    directory: tempfile::TempDir,
    endpoint: Endpoint,
    kept: Kept,
}

impl Away {
    /// Where everything is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Serves it again, at the same address.
    pub fn come_back(self) -> Harness {
        let network = Network::open(network::Options::new(self.directory.path().join("network"))).unwrap();
        let listener = TcpListener::bind(&self.endpoint.address).unwrap();
        Harness { kept: self.kept, ..Harness::serve(self.directory, network, listener) }
    }
}

/// What the network in `directory` still keeps for the bot: places that the bot has not acknowledged.
pub fn unacknowledged(directory: &Path) -> i64 {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let database = Connection::open_with_flags(directory.join("network.sqlite"), flags).unwrap();
    database.busy_timeout(Duration::from_secs(30)).unwrap();
    let sql = "SELECT coalesce(sum(coalesce(m.until_seq, c.head_seq) - m.acked_seq), 0)
               FROM members m JOIN conversations c ON c.id = m.conversation JOIN devices d ON d.id = m.device
               WHERE d.user = ?";
    database.query_row(sql, [BOT], |row| row.get(0)).unwrap()
}

/// A bot that runs.
pub struct Bot {
    /// Counts.
    pub counters: Arc<Counters>,
    stop: CancellationToken,
    rotate: mpsc::Sender<()>,
    running: JoinHandle<Result<Shipped, BotError>>,
}

impl Bot {
    /// Runs until it is logged in.
    pub async fn start(options: Options) -> Self {
        let (counters, stop) = (options.counters.clone(), CancellationToken::new());
        let ((rotate, asked), (ready, logged_in)) = (mpsc::channel(1), oneshot::channel());
        let running =
            tokio::spawn(bot::run(options, Controls { stop: stop.clone(), rotate: asked, ready: Some(ready) }));
        if logged_in.await.is_err() {
            panic!("the bot did not start: {:?}", running.await);
        }
        Self { counters, stop, rotate, running }
    }

    /// Asks for a rotation.
    pub async fn rotate(&self) {
        self.rotate.send(()).await.unwrap();
    }

    /// Waits until this many records are safe in this run.
    pub async fn saved(&self, records: u64) {
        self.counters.messages_saved.reaches(records).await;
    }

    /// Waits until it ends by itself.
    pub async fn ends(self) -> Result<Shipped, BotError> {
        tokio::time::timeout(PATIENCE, self.running).await.unwrap().unwrap()
    }

    /// Stops it as SIGTERM does.
    pub async fn stop(self) -> Result<Shipped, BotError> {
        self.stop.cancel();
        self.running.await.unwrap()
    }
}

/// A user name.
pub fn user(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

/// A message that was sent a fixed time ago.
pub fn content(body: Body) -> Content {
    Content {
        message_id: MessageId::new(random().unwrap()),
        sent_at_micros: 1_691_176_258_000_000,
        ttl: None,
        bor: 0,
        body,
    }
}

/// A text.
pub fn text(text: &str) -> Content {
    content(Body::Text(Text { text: text.to_owned(), links: Vec::new() }))
}

/// One vault for all devices of all tests: to derive a key from a password is slow on purpose.
pub fn vault() -> Arc<Vault> {
    static VAULT: OnceLock<Mutex<Arc<Vault>>> = OnceLock::new();
    let vault = VAULT.get_or_init(|| Mutex::new(Arc::new(Vault::create(b"a password for tests").unwrap().0)));
    vault.lock().unwrap().clone()
}

/// A value that a transaction has returned: of a state in memory, for tests that model the bot's.
pub fn committed<T>(value: T) -> Committed<T> {
    thread_local!(static STATE: RefCell<Store> = RefCell::new(Store::in_memory(vault(), STEPS).unwrap()));
    STATE.with_borrow_mut(|state| state.transaction::<_, StoreError>(|_| Ok(value)).unwrap())
}

/// The message files of a directory, in the order of their numbers, the open one last.
pub fn message_files(directory: &Path) -> Vec<PathBuf> {
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = names.filter(|path| path.extension().is_some_and(|e| e == "txt")).collect();
    files.sort_by_key(|path| {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        stem.rsplit_once('_').map_or(u64::MAX, |(_, number)| number.parse().unwrap())
    });
    files
}

/// All records of a directory of message files. Panics at a torn line.
pub fn records(directory: &Path) -> Vec<Value> {
    let parse = |line: &String| serde_json::from_str(line).unwrap_or_else(|e| panic!("torn line `{line}`: {e}"));
    lines(directory).iter().map(parse).collect()
}

/// The same, as they stand there, each with its line feed.
pub fn lines(directory: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for file in message_files(directory) {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "torn last line in {file:?}");
        all.extend(text.split_inclusive('\n').map(str::to_owned));
    }
    all
}
