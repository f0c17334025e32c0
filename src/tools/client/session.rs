//! One command's hold on the state: locked, opened under the password, logged in.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use zeroize::Zeroizing;

use super::arguments::Life;
use super::show::Screen;
use retaind_config::env::Given;
use retaind_config::mistake::Mistake;
use retaind_core::clock::{Clock, SystemClock};
use retaind_core::fault::{Fault, Faulty as _};
use retaind_device::account::{self, AccountError, Proof};
use retaind_device::blob;
use retaind_device::conversations::{Device, DeviceError, Event, Reading, random};
use retaind_device::patience::Patience;
use retaind_device::pushes::Push;
use retaind_device::store::{STEPS, Store, StoreError};
use retaind_process::Failure;
use retaind_protocol::content::{AttachmentKind, Body, Content};
use retaind_protocol::endpoint::Invite;
use retaind_protocol::ids::{ConversationId, ConversationKind, MessageId, UserName};

const STATE_FILE: &str = "device.sqlite";
const LOCK_FILE: &str = "device.lock";
/// Longest password file: the vault takes 1 KiB at most; this tells a wrong path from a password.
const PASSWORD_FILE_BYTES_MAX: u64 = 64 * 1024;
/// Messages on the way to `listen`.
const WINDOW_MESSAGES: u32 = 256;
/// Bytes on the way to `listen`.
const WINDOW_BYTES: u64 = 16 * 1024 * 1024;

/// A device at work for one command.
pub(super) struct Session<'a> {
    device: Device,
    screen: Screen<'a>,
    _lock: File,
}

/// The password from the file, or from what `environment` gives.
pub(super) fn password(
    file: Option<&Path>,
    environment: impl FnOnce() -> Result<Option<Given>, Mistake>,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let Some(path) = file else {
        let given = environment().map_err(Failure::configuration)?;
        let given = given.ok_or_else(|| {
            Failure::configuration("no password for the state: give `--password-file` or set RETAIND_CLIENT_PASSWORD")
        })?;
        return Ok(Zeroizing::new(given.text.expose().as_bytes().to_vec()));
    };
    let failed = |fault: String| Failure::configuration(format!("password file `{}`: {fault}", path.display()));
    let size = fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if size > PASSWORD_FILE_BYTES_MAX {
        return Err(failed(format!("it has {size} bytes, which no password has: is the path right")));
    }
    let mut password = Zeroizing::new(fs::read(path).map_err(|error| failed(error.to_string()))?);
    // editors and `echo` end a file with a newline, which is not part of the password
    while matches!(password.last(), Some(b'\n' | b'\r')) {
        password.pop();
    }
    if password.is_empty() { Err(failed("it is empty".to_owned())) } else { Ok(password) }
}

/// Makes `state` a new device.
pub(super) async fn register(
    state: &Path,
    password: &[u8],
    invite: &str,
    patience: Duration,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let invite: Invite = invite.parse().map_err(Failure::configuration)?;
    let folder = |source: std::io::Error| {
        Failure::configuration(format!("state directory `{}` cannot be made: {source}", state.display()))
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(state).map_err(folder)?;
    let _lock = lock(state)?;
    let store = Store::open(&state.join(STATE_FILE), password, STEPS).map_err(|error| failure(error.into()))?;
    let patience = Patience::lasting(patience);
    let account = account::register_patiently(store, &invite.endpoint, Proof::Invite(&invite.code), 0, &patience).await;
    let device = Device::start(account.map_err(|error| failure(error.into()))?).await.map_err(failure)?;
    let identity = device.identity();
    let fields = json!({
        "user": identity.user.as_str(), "device": identity.device.to_string(), "network": identity.network_id,
    });
    screen.line("registered", fields).map_err(Failure::temporary)
}

fn lock(state: &Path) -> Result<File, Failure> {
    let path = state.join(LOCK_FILE);
    let failed = |error: std::io::Error| Failure::configuration(format!("lock `{}`: {error}", path.display()));
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let state = state.display();
            Err(Failure::temporary(format!("another `retaind client` works on `{state}`: wait for it, or stop it")))
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

impl<'a> Session<'a> {
    /// Logs in.
    pub(super) async fn open(
        state: &Path,
        password: &[u8],
        patience: Duration,
        screen: Screen<'a>,
    ) -> Result<Self, Failure> {
        let path: PathBuf = state.join(STATE_FILE);
        if !path.exists() {
            let state = state.display();
            return Err(Failure::configuration(format!("state `{state}` holds no device, register one there first")));
        }
        let lock = lock(state)?;
        let store = Store::open(&path, password, STEPS).map_err(|error| failure(error.into()))?;
        let store = Arc::new(Mutex::new(store));
        let patience = Patience::lasting(patience);
        let mut tries = patience.tries();
        let account = loop {
            match account::login(store.clone(), None, WINDOW_MESSAGES as usize).await {
                Err(error) if error.is_temporary() && tries.again().await => {}
                result => break result.map_err(|error| failure(error.into()))?,
            }
        };
        let mut device = Device::start(account).await.map_err(failure)?;
        device.be_patient(patience);
        Ok(Self { device, screen, _lock: lock })
    }

    /// This user.
    pub(super) fn own_name(&self) -> UserName {
        self.device.identity().user.clone()
    }

    /// This device's signature key (public).
    pub(super) fn own_key(&self) -> &[u8] {
        &self.device.identity().signature_key
    }

    /// Users of a conversation, each once.
    pub(super) fn member_names(&mut self, conversation: &ConversationId) -> Result<Vec<UserName>, Failure> {
        let members = self.device.members(conversation).map_err(failure)?;
        let mut names: Vec<UserName> = members.into_iter().map(|member| member.user).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Starts a conversation.
    pub(super) async fn create(
        &mut self,
        kind: ConversationKind,
        users: &[UserName],
    ) -> Result<ConversationId, Failure> {
        let conversation = self.device.create(kind, users).await.map_err(failure)?;
        let users = self.member_names(&conversation)?;
        let users: Vec<_> = users.iter().map(UserName::as_str).collect();
        let fields = json!({ "conversation": conversation.as_str(), "members": users });
        self.screen.line("created", fields).map_err(Failure::temporary)?;
        Ok(conversation)
    }

    /// The conversation with one user (and the bot): the first one there is, else a new one.
    pub(super) async fn direct_with(&mut self, user: &UserName) -> Result<ConversationId, Failure> {
        let retention = self.device.connection().info().retention_users.clone();
        let own = self.own_name();
        for conversation in self.device.conversations().await.map_err(failure)? {
            if conversation.kind() != ConversationKind::Direct {
                continue;
            }
            // one that this device has left, or cannot join any more, is not this one
            if self.catch_up(&conversation).await.is_err() {
                continue;
            }
            let members = self.member_names(&conversation)?;
            let other = |member: &&UserName| **member != own && !retention.iter().any(|bot| bot == member.as_str());
            if members.iter().filter(other).eq(std::iter::once(user).filter(|user| **user != own)) {
                return Ok(conversation);
            }
        }
        self.create(ConversationKind::Direct, std::slice::from_ref(user)).await
    }

    /// Reads and prints what is new.
    pub(super) async fn catch_up(&mut self, conversation: &ConversationId) -> Result<(), Failure> {
        let events = self.device.sync(conversation, Reading::All).await.map_err(failure)?;
        self.print(&events).await
    }

    /// Prints what was read, and only then tells the network that it is not needed any more.
    async fn print(&mut self, events: &[Event]) -> Result<(), Failure> {
        for event in events {
            self.screen.event(event).map_err(Failure::temporary)?;
        }
        match events.last() {
            Some(last) => self.device.acknowledge(&last.conversation, last.seq).await.map_err(failure),
            None => Ok(()),
        }
    }

    /// Sends a message that does not expire.
    pub(super) async fn tell(&mut self, conversation: &ConversationId, body: Body) -> Result<(), Failure> {
        self.tell_as(conversation, message_id()?, body).await
    }

    /// The same, with an id that was chosen before.
    pub(super) async fn tell_as(
        &mut self,
        conversation: &ConversationId,
        message_id: MessageId,
        body: Body,
    ) -> Result<(), Failure> {
        let content = Content { message_id, sent_at_micros: now_micros(), ttl: None, bor: 0, body };
        self.send_content(conversation, &content).await
    }

    /// Sends a message.
    pub(super) async fn send(&mut self, conversation: &ConversationId, body: Body, life: &Life) -> Result<(), Failure> {
        let message_id = message_id()?;
        let content = Content { message_id, sent_at_micros: now_micros(), ttl: life.ttl, bor: life.bor, body };
        self.send_content(conversation, &content).await
    }

    async fn send_content(&mut self, conversation: &ConversationId, content: &Content) -> Result<(), Failure> {
        self.catch_up(conversation).await?;
        let mut events = Vec::new();
        let sent = self.device.send_while(conversation, content, Reading::All, &mut events).await;
        self.print(&events).await?;
        let seq = sent.map_err(failure)?;
        self.screen.sent(conversation, &content.message_id, seq, content.body.kind()).map_err(Failure::temporary)
    }

    /// Uploads a file and sends it.
    pub(super) async fn send_file(
        &mut self,
        conversation: &ConversationId,
        path: &Path,
        kind: AttachmentKind,
        life: &Life,
    ) -> Result<(), Failure> {
        let attachment = blob::upload(self.device.connection(), path, kind).await.map_err(Failure::of)?;
        self.send(conversation, Body::File(attachment), life).await
    }

    /// Adds and removes users.
    pub(super) async fn change(
        &mut self,
        conversation: &ConversationId,
        add: &[UserName],
        remove: &[UserName],
    ) -> Result<(), Failure> {
        let mut events = Vec::new();
        let changed = self.device.change(conversation, add, remove, Reading::All, &mut events).await;
        // the change itself is among them
        self.print(&events).await?;
        changed.map_err(failure)?;
        Ok(())
    }

    /// Asks to be removed.
    pub(super) async fn leave(&mut self, conversation: &ConversationId) -> Result<(), Failure> {
        self.catch_up(conversation).await?;
        let seq = self.device.leave(conversation).await.map_err(failure)?;
        let fields = json!({ "conversation": conversation.as_str(), "seq": seq });
        self.screen.line("leaving", fields).map_err(Failure::temporary)
    }

    /// Prints what arrives.
    pub(super) async fn listen(&mut self, count: Option<u64>) -> Result<(), Failure> {
        self.device.subscribe(WINDOW_MESSAGES, WINDOW_BYTES).await.map_err(failure)?;
        let mut left = count;
        while left != Some(0) {
            let Some(push) = self.device.pushes().recv().await else {
                self.device.reconnect().await.map_err(failure)?;
                continue;
            };
            match push {
                Push::Delivery(delivery) => {
                    if let Some(event) = self.device.receive(&delivery).await.map_err(failure)? {
                        self.screen.event(&event).map_err(Failure::temporary)?;
                        left = left.map(|left| left.saturating_sub(1));
                    }
                }
                Push::Notice(notice) => {
                    let fields = json!({ "text": notice.text, "retention_users": notice.retention_users });
                    self.screen.line("notice", fields).map_err(Failure::temporary)?;
                }
            }
        }
        Ok(())
    }

    /// Prints the conversations.
    pub(super) async fn list(&mut self) -> Result<(), Failure> {
        for conversation in self.device.conversations().await.map_err(failure)? {
            let kind = match conversation.kind() {
                ConversationKind::Direct => "direct",
                ConversationKind::Group => "group",
                ConversationKind::Room => "room",
            };
            // one that was not read yet has no members here
            let members = self.member_names(&conversation).unwrap_or_default();
            let members: Vec<_> = members.iter().map(UserName::as_str).collect();
            let fields = json!({ "conversation": conversation.as_str(), "kind": kind, "members": members });
            self.screen.line("conversation", fields).map_err(Failure::temporary)?;
        }
        Ok(())
    }

    /// Prints the members of a conversation, a device a line.
    pub(super) async fn members(&mut self, conversation: &ConversationId) -> Result<(), Failure> {
        self.catch_up(conversation).await?;
        for member in self.device.members(conversation).map_err(failure)? {
            let fields = json!({
                "user": member.user.as_str(), "device": member.device.to_string(),
                "key": data_encoding::HEXLOWER.encode(&member.signature_key),
            });
            self.screen.line("member", fields).map_err(Failure::temporary)?;
        }
        Ok(())
    }
}

/// A fresh message id.
pub(super) fn message_id() -> Result<MessageId, Failure> {
    random().map(MessageId::new).map_err(Failure::internal)
}

/// The system's clock, microseconds since 1970, UTC.
pub(super) fn now_micros() -> i64 {
    SystemClock.now_micros()
}

/// What an error of a device means for who started a client. Not the error's own
/// [`fault`](retaind_core::fault::Faulty::fault) alone: a bot is started again over a damaged state, which tells more; a person
/// at a terminal has to put it right first.
fn failure(error: DeviceError) -> Failure {
    match &error {
        error_ if error_.is_temporary() => Failure::temporary(error),
        DeviceError::Store(StoreError::Sqlite { .. })
        | DeviceError::Account(AccountError::Store(StoreError::Sqlite { .. })) => Failure::temporary(error),
        DeviceError::Store(StoreError::Schema(why)) if why.fault() != Fault::Configuration => Failure::temporary(error),
        DeviceError::Engine(_) | DeviceError::Random => Failure::internal(error),
        DeviceError::Account(_)
        | DeviceError::Connection(_)
        | DeviceError::Store(_)
        | DeviceError::Content(_)
        | DeviceError::Id(_)
        | DeviceError::NotMember(_)
        | DeviceError::NoSuchMember { .. }
        | DeviceError::Contended(_) => Failure::configuration(error),
    }
}
