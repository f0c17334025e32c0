//! A device at work: creates conversations, sends, changes membership, reads.
//!
//! A message's life on the sending side: encrypt, store the new state, send. If the network answers that the conversation
//! has moved on, the device reads what it missed and encrypts again; nothing was delivered, so nothing is doubled. If
//! the answer is lost, the same `send_id` is sent again and gets the same answer (see [`super::patience`]).
//!
//! A commit takes effect here only when it is read back from the conversation at its place, like those of other devices: one
//! path for one's own and for others' changes, also after a crash between sending and reading.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use retaind_core::fault::Faulty as _;
use retaind_core::pause::{Growth, Pause};

use super::account::{AccountError, KEY_PACKAGES_BATCH, LoggedIn};
use super::connection::{Connection, ConnectionError};
pub use super::error::DeviceError;
use super::mls::{Engine, Membership, Received, Session};
use super::patience::Patience;
use super::pushes::Pushes;
use super::safe::Safe;
use super::store::{DeviceState as _, DeviceWriter as _, Store};
use retaind_protocol::content::Content;
use retaind_protocol::credential::Identity;
use retaind_protocol::ids::{ConversationId, ConversationKind, DeviceId, UserName};
use retaind_protocol::wire::{
    Answer, ClaimKeyPackages, CreateConversation, Deliveries, Delivery, DeliveryKind, Fetch, ListConversations,
    RefusalCode, Request, SendApplication, SendHandshake, Subscribe,
};

/// Most sessions kept open in memory.
const SESSIONS_OPEN_MAX: usize = 1024;
/// Payload bytes requested at a time.
const FETCH_BYTES_MAX: u32 = 4 * 1024 * 1024;
/// How often a change is made again because others were faster. Each try follows another device's success.
pub(crate) const TRIES_MAX: u32 = 64;
/// Pauses while the retention bot has not reached the present epoch: it needs one round trip.
const BOT_PAUSES: Growth = Growth::doubling(Duration::from_millis(20), Duration::from_secs(1));

/// Which messages of a conversation a device reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// All messages.
    All,
    /// Only those that change the keys: for a device that only sends. Skipped messages cannot be read later.
    HandshakesOnly,
}

/// Something that happened in a conversation.
#[derive(Debug)]
pub struct Event {
    /// The conversation.
    pub conversation: ConversationId,
    /// Its `seq`, the place in the conversation.
    pub seq: u64,
    /// When the network accepted it, microseconds since 1970.
    pub accepted_at_micros: i64,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug)]
pub enum What {
    /// This device was added; these are the members.
    Joined(Vec<Identity>),
    /// A message.
    Message {
        /// The sender, as MLS authenticates it.
        sender: Identity,
        /// The decoded content.
        content: Content,
    },
    /// A commit or proposal.
    Handshake(Received),
    /// A message that could not be read, and why.
    Unreadable(String),
}

struct Open {
    session: Session,
    cursor: u64,
}

/// A logged-in device that creates, sends and reads.
pub struct Device {
    account: LoggedIn,
    engine: Engine,
    open: LruCache<ConversationId, Open>,
    patience: Patience,
    subscribed: Option<Subscribe>,
}

impl Device {
    /// Starts work: makes sure that the network has key packages.
    pub async fn start(account: LoggedIn) -> Result<Self, DeviceError> {
        Self::start_with_key_packages(account, KEY_PACKAGES_BATCH).await
    }

    /// As [`Self::start`], with `batch` one-time key packages at a time.
    pub async fn start_with_key_packages(account: LoggedIn, batch: usize) -> Result<Self, DeviceError> {
        let engine = account.engine(account.store.clone())?;
        account.replenish_key_packages(&engine, batch).await?;
        let open = LruCache::new(NonZeroUsize::new(SESSIONS_OPEN_MAX).unwrap_or(NonZeroUsize::MIN));
        Ok(Self { account, engine, open, patience: Patience::NONE, subscribed: None })
    }

    /// Identity of this device.
    pub fn identity(&self) -> &Identity {
        &self.account.identity
    }

    /// The connection, for attachments.
    pub fn connection(&self) -> &Connection {
        &self.account.connection
    }

    /// Pushes of the network, after [`Self::subscribe`].
    pub fn pushes(&mut self) -> &mut Pushes {
        &mut self.account.pushes
    }

    /// Returns the account, with its connection and its state.
    pub fn into_account(self) -> LoggedIn {
        self.account
    }

    /// From now on a lost connection is opened again, and the requests in flight on it are sent again unchanged.
    pub fn be_patient(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// Logs in again on a new connection, within this device's patience, and subscribes again if it had.
    pub async fn reconnect(&mut self) -> Result<(), DeviceError> {
        let mut tries = self.patience.tries();
        loop {
            match self.log_in_again().await {
                Err(error) if error.is_temporary() && tries.again().await => {}
                result => return Ok(result?),
            }
        }
    }

    async fn log_in_again(&mut self) -> Result<(), AccountError> {
        self.account.again(self.patience.endpoint().as_ref()).await?;
        match &self.subscribed {
            Some(subscribe) => Ok(self.connection().call_done(Request::Subscribe(subscribe.clone())).await?),
            None => Ok(()),
        }
    }

    /// Sends a request; if the connection is lost or the network has a temporary failure, sends it again on the next one.
    async fn ask(&mut self, request: Request) -> Result<Answer, DeviceError> {
        let mut lost = None;
        loop {
            let error = match self.connection().call(request.clone()).await {
                Err(error) if error.is_temporary() => error,
                result => return Ok(result?),
            };
            let tries = lost.get_or_insert_with(|| self.patience.tries());
            let mut broken = DeviceError::from(error);
            loop {
                if !tries.again().await {
                    return Err(broken);
                }
                match self.log_in_again().await {
                    Ok(()) => break,
                    Err(error) if error.is_temporary() => broken = error.into(),
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    async fn ask_accepted(&mut self, request: Request) -> Result<u64, DeviceError> {
        let Answer::Accepted(accepted) = self.ask(request).await? else {
            return Err(ConnectionError::Protocol("answer is not `accepted`").into());
        };
        Ok(accepted.seq)
    }

    /// Subscribes to all messages of all conversations.
    pub async fn subscribe(&mut self, window_messages: u32, window_bytes: u64) -> Result<(), DeviceError> {
        let subscribe = Subscribe { window_messages, window_bytes };
        self.connection().call_done(Request::Subscribe(subscribe.clone())).await?;
        self.subscribed = Some(subscribe);
        Ok(())
    }

    /// Creates a conversation with `users` (and the retention bot if the network requires it).
    pub async fn create(&mut self, kind: ConversationKind, users: &[UserName]) -> Result<ConversationId, DeviceError> {
        let conversation = ConversationId::from_random(kind, random()?);
        let mut names: Vec<String> = users.iter().map(|user| user.as_str().to_owned()).collect();
        names.extend(self.connection().info().retention_users.iter().cloned());
        names.retain(|name| name != self.identity().user.as_str());
        names.sort_unstable();
        names.dedup();
        let packages = self.claim(names).await?;
        let sender = self.account.external_sender()?;
        let (mut session, group_info) = self.engine.create(&conversation, &sender)?;
        let pending = session.commit(&packages, &[])?;
        self.save(&mut session, 0)?;
        self.open.put(conversation, Open { session, cursor: 0 });
        let create = CreateConversation {
            send_id: random::<16>()?.to_vec(),
            group_info,
            commit: pending.commit,
            welcome: pending.welcome,
        };
        self.ask_accepted(Request::CreateConversation(create)).await?;
        self.sync(&conversation, Reading::All).await?;
        Ok(conversation)
    }

    /// Sends a message. Returns its place in the conversation.
    pub async fn send(&mut self, conversation: &ConversationId, content: &Content) -> Result<u64, DeviceError> {
        self.send_while(conversation, content, Reading::All, &mut Vec::new()).await
    }

    /// Sends a message; events that are read meanwhile go to `events`.
    pub async fn send_while(
        &mut self,
        conversation: &ConversationId,
        content: &Content,
        reading: Reading,
        events: &mut Vec<Event>,
    ) -> Result<u64, DeviceError> {
        let data = content.encode()?;
        let mut bot = Pause::new(BOT_PAUSES);
        for _ in 0..TRIES_MAX {
            if self.session(conversation)?.session.has_proposals() {
                self.commit_once(conversation, &[], &[], reading, events).await?;
                continue;
            }
            let open = self.session(conversation)?;
            let (message, cursor) = (open.session.encrypt(&data)?, open.cursor);
            let stored = open.session.save()?;
            self.put(conversation, cursor, &stored)?;
            let (send_id, blobs) = (random::<16>()?.to_vec(), content.blobs());
            let send = SendApplication { send_id, message, blobs };
            match self.ask_accepted(Request::SendApplication(send)).await {
                Ok(seq) => return Ok(seq),
                Err(error) if error.refusal() == Some(RefusalCode::BotBehind) => {
                    tokio::time::sleep(bot.grow()).await;
                    events.extend(self.sync(conversation, reading).await?);
                }
                Err(error) if error.refusal() == Some(RefusalCode::NotRead) => {
                    self.commit_once(conversation, &[], &[], reading, events).await?;
                }
                Err(error) => self.catch_up(conversation, error, reading, events).await?,
            }
        }
        Err(DeviceError::Contended(*conversation))
    }

    /// Adds and removes users in one commit. Returns its place in the conversation.
    pub async fn change(
        &mut self,
        conversation: &ConversationId,
        add: &[UserName],
        remove: &[UserName],
        reading: Reading,
        events: &mut Vec<Event>,
    ) -> Result<u64, DeviceError> {
        events.extend(self.sync(conversation, reading).await?);
        let names = add.iter().map(|user| user.as_str().to_owned()).collect();
        let packages = if add.is_empty() { Vec::new() } else { self.claim(names).await? };
        for _ in 0..TRIES_MAX {
            let members = self.session(conversation)?.session.members()?;
            let mut gone = Vec::new();
            for user in remove {
                let devices = members.iter().filter(|member| member.user == *user).map(|member| member.device);
                let before = gone.len();
                gone.extend(devices);
                if gone.len() == before {
                    return Err(DeviceError::NoSuchMember { user: user.clone(), conversation: *conversation });
                }
            }
            if let Some(seq) = self.commit_once(conversation, &packages, &gone, reading, events).await? {
                return Ok(seq);
            }
        }
        Err(DeviceError::Contended(*conversation))
    }

    /// Proposes to remove this device: it takes effect with another member's next commit.
    pub async fn leave(&mut self, conversation: &ConversationId) -> Result<u64, DeviceError> {
        let mut events = Vec::new();
        for _ in 0..TRIES_MAX {
            events.extend(self.sync(conversation, Reading::All).await?);
            let open = self.session(conversation)?;
            let message = open.session.propose_leave()?;
            let cursor = open.cursor;
            let stored = open.session.save()?;
            self.put(conversation, cursor, &stored)?;
            let send = SendHandshake { send_id: random::<16>()?.to_vec(), message, welcome: Vec::new() };
            match self.ask_accepted(Request::SendHandshake(send)).await {
                Ok(seq) => return Ok(seq),
                Err(error) => self.catch_up(conversation, error, Reading::All, &mut events).await?,
            }
        }
        Err(DeviceError::Contended(*conversation))
    }

    /// Reads what is new in a conversation.
    pub async fn sync(&mut self, conversation: &ConversationId, reading: Reading) -> Result<Vec<Event>, DeviceError> {
        let mut events = Vec::new();
        loop {
            let after = match self.session(conversation) {
                Ok(open) => open.cursor,
                Err(DeviceError::NotMember(_)) => 0,
                Err(error) => return Err(error),
            };
            let fetch = Fetch {
                conversation: conversation.to_string(),
                after_seq: after,
                handshakes_only: reading == Reading::HandshakesOnly,
                bytes_max: FETCH_BYTES_MAX,
            };
            let Answer::Deliveries(Deliveries { deliveries, through_seq, head_seq }) =
                self.ask(Request::Fetch(fetch)).await?
            else {
                return Err(ConnectionError::Protocol("fetch was not answered").into());
            };
            let mut last = after;
            for delivery in &deliveries {
                if let Some(event) = self.take(delivery)? {
                    events.push(event);
                }
                last = delivery.seq;
            }
            let through = through_seq.max(last);
            if through > after {
                self.keep(conversation, through)?;
            }
            if through >= head_seq || through == after {
                return Ok(events);
            }
        }
    }

    /// Processes one delivered message; the caller stores the session with [`Self::keep`].
    fn take(&mut self, delivery: &Delivery) -> Result<Option<Event>, DeviceError> {
        let conversation: ConversationId = delivery.conversation.parse()?;
        let event = |what| {
            Ok(Some(Event { conversation, seq: delivery.seq, accepted_at_micros: delivery.accepted_at_micros, what }))
        };
        let own = delivery.sender_device == self.identity().device.as_bytes();
        let kind = DeliveryKind::try_from(delivery.kind).unwrap_or(DeliveryKind::Unspecified);
        if kind == DeliveryKind::Welcome {
            let known = self.session(&conversation).is_ok_and(|open| open.cursor >= delivery.seq);
            if known {
                return Ok(None);
            }
            let session = self.engine.join(&delivery.payload)?;
            let members = session.members()?;
            self.open.put(conversation, Open { session, cursor: delivery.seq });
            return event(What::Joined(members));
        }
        let open = self.session(&conversation)?;
        if delivery.seq <= open.cursor {
            return Ok(None);
        }
        open.cursor = delivery.seq;
        match kind {
            DeliveryKind::Application if own => Ok(None),
            DeliveryKind::Application | DeliveryKind::Handshake => match open.session.receive(&delivery.payload) {
                Ok(Received::Application { sender, data }) => match Content::decode(&data) {
                    Ok(content) => event(What::Message { sender, content }),
                    Err(error) => event(What::Unreadable(error.to_string())),
                },
                Ok(received) => event(What::Handshake(received)),
                Err(error) => event(What::Unreadable(error.to_string())),
            },
            DeliveryKind::Welcome | DeliveryKind::Unspecified => {
                Err(ConnectionError::Protocol("delivery of no known kind").into())
            }
        }
    }

    /// Processes and stores one pushed message, and acknowledges it.
    pub async fn receive(&mut self, delivery: &Delivery) -> Result<Option<Event>, DeviceError> {
        let event = self.take(delivery)?;
        let conversation: ConversationId = delivery.conversation.parse()?;
        self.keep(&conversation, delivery.seq)?;
        self.acknowledge(&conversation, delivery.seq).await?;
        Ok(event)
    }

    /// Acknowledges everything up to `seq`, if the state holds it.
    pub async fn acknowledge(&mut self, conversation: &ConversationId, seq: u64) -> Result<(), DeviceError> {
        let safe = Safe::stored_through(&self.store(), conversation, seq)?;
        if safe.is_empty() {
            return Ok(());
        }
        let Answer::Done(_) = self.ask(safe.request()).await? else {
            return Err(ConnectionError::Protocol("acknowledgement was not answered").into());
        };
        Ok(())
    }

    /// Conversations of this device on the network.
    pub async fn conversations(&mut self) -> Result<Vec<ConversationId>, DeviceError> {
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let Answer::Conversations(page) = self.ask(Request::ListConversations(ListConversations { after })).await?
            else {
                return Err(ConnectionError::Protocol("list of conversations was not answered").into());
            };
            for state in &page.conversations {
                all.push(state.conversation.parse()?);
            }
            match page.conversations.last() {
                Some(last) if page.more => after = last.conversation.clone(),
                _ => return Ok(all),
            }
        }
    }

    /// Members of a conversation as this device knows them.
    pub fn members(&mut self, conversation: &ConversationId) -> Result<Vec<Identity>, DeviceError> {
        Ok(self.session(conversation)?.session.members()?)
    }

    /// Tries to commit once; `None`: others were faster and their changes have been read.
    async fn commit_once(
        &mut self,
        conversation: &ConversationId,
        add: &[Vec<u8>],
        remove: &[DeviceId],
        reading: Reading,
        events: &mut Vec<Event>,
    ) -> Result<Option<u64>, DeviceError> {
        let open = self.session(conversation)?;
        let pending = open.session.commit(add, remove)?;
        let cursor = open.cursor;
        let stored = open.session.save()?;
        self.put(conversation, cursor, &stored)?;
        let send =
            SendHandshake { send_id: random::<16>()?.to_vec(), message: pending.commit, welcome: pending.welcome };
        match self.ask_accepted(Request::SendHandshake(send)).await {
            Ok(seq) => {
                events.extend(self.sync(conversation, reading).await?);
                Ok(Some(seq))
            }
            Err(error) => {
                self.session(conversation)?.session.clear_pending_commit();
                self.catch_up(conversation, error, reading, events).await?;
                Ok(None)
            }
        }
    }

    /// Reads, after a refusal that reading can resolve. Returns any other error to the caller.
    async fn catch_up(
        &mut self,
        conversation: &ConversationId,
        error: DeviceError,
        reading: Reading,
        events: &mut Vec<Event>,
    ) -> Result<(), DeviceError> {
        match error.refusal() {
            Some(RefusalCode::StaleEpoch | RefusalCode::BotMissing) => {
                let before = self.session(conversation)?.cursor;
                events.extend(self.sync(conversation, reading).await?);
                let open = self.session(conversation)?;
                // nothing new and nothing to commit: trying again would change nothing
                if open.cursor == before && !open.session.has_proposals() { Err(error) } else { Ok(()) }
            }
            _ => Err(error),
        }
    }

    async fn claim(&mut self, users: Vec<String>) -> Result<Vec<Vec<u8>>, DeviceError> {
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let claim = ClaimKeyPackages { users, cipher_suite: self.account.stored.cipher_suite };
        let Answer::ClaimedKeyPackages(claimed) = self.ask(Request::ClaimKeyPackages(claim)).await? else {
            return Err(ConnectionError::Protocol("claim of key packages was not answered").into());
        };
        Ok(claimed.packages.into_iter().map(|package| package.key_package).collect())
    }

    fn session(&mut self, conversation: &ConversationId) -> Result<&mut Open, DeviceError> {
        if !self.open.contains(conversation) {
            let stored = self.store().session(conversation)?;
            let (cursor, secrets, tree) = stored.ok_or(DeviceError::NotMember(*conversation))?;
            let session = self.engine.load(conversation, secrets, &tree)?;
            self.open.put(*conversation, Open { session, cursor });
        }
        self.open.get_mut(conversation).ok_or(DeviceError::NotMember(*conversation))
    }

    /// Stores the session of a conversation in its state after `through`.
    fn keep(&mut self, conversation: &ConversationId, through: u64) -> Result<(), DeviceError> {
        let open = self.session(conversation)?;
        open.cursor = open.cursor.max(through);
        let cursor = open.cursor;
        let stored = open.session.save()?;
        self.put(conversation, cursor, &stored)
    }

    fn save(&self, session: &mut Session, cursor: u64) -> Result<(), DeviceError> {
        let stored = session.save()?;
        let conversation = *session.conversation();
        self.put(&conversation, cursor, &stored)
    }

    fn put(
        &self,
        conversation: &ConversationId,
        cursor: u64,
        stored: &super::mls::StoredSession,
    ) -> Result<(), DeviceError> {
        Ok(self.store().write(|tx| tx.put_session(conversation, cursor, stored))?)
    }

    fn store(&self) -> std::sync::MutexGuard<'_, Store> {
        self.account.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Is this device still in the conversation after this event?
pub fn membership(received: &Received) -> Membership {
    match received {
        Received::Commit { own, .. } => *own,
        Received::Application { .. } | Received::Proposal { .. } => Membership::Member,
    }
}

/// Fresh random bytes.
pub fn random<const N: usize>() -> Result<[u8; N], DeviceError> {
    let mut bytes = [0u8; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| DeviceError::Random)?;
    Ok(bytes)
}

/// A state with several owners.
pub type SharedStore = Arc<Mutex<Store>>;
