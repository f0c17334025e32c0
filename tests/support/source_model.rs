//! A source that is a model: all that the contract of sources asks for and nothing else. No cryptography, no wire; its network
//! is in memory. Whoever adds a source reads this one first.
//!
//! Of each conversation the places from 1 come in order. A cursor in the state says up to where they are committed, another one
//! in memory up to where they were handed on. [`Intake`] does the work, one delivery at a time; [`Model`] runs it as a source, and
//! the simulation (`sim`) one step at a time.
//!
//! [`Wrong`] are ways to break the contract, to see whether its suite notices.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use futures_util::future::FutureExt;
use retaind::archive::record::{FileOutcome, Record, RecordBody, SenderType};
use retaind::bot::batch::{Context, RecordBuffer, WrittenFile};
use retaind::bot::commit::Durable;
use retaind::bot::files::{FilesError, Names};
use retaind::bot::source::{Bot, Change, Chunk, LogIn, Phase, Session, Source, Surroundings, Trouble, Work};
use retaind::bot::watchdog::{self, Health};
use retaind::core::fault::{Fault, Faulty};
use retaind::device::conversations::random;
use retaind::protocol::attachment::AttachmentKey;
use retaind::protocol::content::{Attachment, AttachmentKind, Body, Content, Text};
use retaind::protocol::ids::{ConversationId, ConversationKind, MessageId, UserName};
use retaind::protocol::wire::{Delivery, DeliveryKind};
use retaind::report::events::{Event, Events};
use retaind::state::schema::Step;
use retaind::state::{META, Store, StoreError, Writer};
use rusqlite::params;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// The versions of its state.
pub const STEPS: &[Step] = &[|connection| {
    connection.execute_batch(META)?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS model_cursor (conversation TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT;",
    )
}];

/// Row of `meta`: what the network lets it in with.
const TOKEN: &str = "model_token";
const TEXT: u8 = 0;
const FILE: u8 = 1;

/// A way to break the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// What is handed on is acknowledged.
    AcknowledgesFirst,
    /// The cursor is stored when something is handed on, not by the commit.
    StoresByItself,
    /// What finds the sender full is forgotten.
    DropsWhenFull,
    /// The token lies in the state as it is.
    SealsNothing,
    /// It takes what comes, whether there is room or not.
    TakesWithoutRoom,
    /// Told to stop, it does not wait for what is being committed.
    LeavesAtOnce,
}

/// Why it cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error("the model's network does not know this token")]
    Token,
}

impl Faulty for ModelError {
    fn fault(&self) -> Fault {
        match self {
            Self::Store(_) | Self::Files(_) => Fault::Temporary,
            Self::Token => Fault::Configuration,
        }
    }
}

impl Trouble for ModelError {
    fn event(&self, _: Phase) -> Option<Event> {
        None
    }
}

/// A text as it is delivered.
pub fn text(text: &str) -> Vec<u8> {
    [&[TEXT], text.as_bytes()].concat()
}

/// A file as it is delivered.
pub fn file(name: &str, bytes: &[u8]) -> Vec<u8> {
    [&[FILE], name.as_bytes(), &[0], bytes].concat()
}

/// The delivery of what alice has said.
pub fn delivery(conversation: &ConversationId, seq: u64, payload: Vec<u8>) -> Delivery {
    Delivery {
        conversation: conversation.to_string(),
        seq,
        kind: DeliveryKind::Application as i32,
        sender_device: Vec::new(),
        sender_user: "alice".to_owned(),
        accepted_at_micros: 1_691_176_258_000_000,
        payload,
    }
}

/// The id of a conversation that is known by its number.
pub fn conversation(number: usize) -> ConversationId {
    ConversationId::from_random(ConversationKind::Room, [u8::try_from(number).unwrap(); 32])
}

/// The network: keeps what was said until it is acknowledged. Clones are of the same one.
#[derive(Clone, Default)]
pub struct ModelNetwork {
    lines: Arc<Mutex<BTreeMap<ConversationId, Line>>>,
    token: Arc<Mutex<Option<Vec<u8>>>>,
    /// Grows with each message.
    said: watch::Sender<u64>,
}

#[derive(Default)]
struct Line {
    said: Vec<Vec<u8>>,
    acknowledged: u64,
}

/// How far one connection has delivered.
type Delivered = BTreeMap<ConversationId, u64>;

impl ModelNetwork {
    /// Somebody says something.
    pub fn say(&self, conversation: ConversationId, payload: Vec<u8>) {
        self.lines.lock().unwrap().entry(conversation).or_default().said.push(payload);
        self.said.send_modify(|said| *said += 1);
    }

    /// Messages that are not acknowledged.
    pub fn kept(&self) -> u64 {
        self.lines.lock().unwrap().values().map(|line| line.said.len() as u64 - line.acknowledged).sum()
    }

    /// What it lets the bot in with.
    pub fn token(&self) -> Option<Vec<u8>> {
        self.token.lock().unwrap().clone()
    }

    fn acknowledge(&self, conversation: ConversationId, seq: u64) {
        let mut lines = self.lines.lock().unwrap();
        let line = lines.get_mut(&conversation).unwrap();
        assert!(seq <= line.said.len() as u64, "acknowledged what was never said");
        line.acknowledged = line.acknowledged.max(seq);
    }

    fn connect(&self) -> Delivered {
        self.lines.lock().unwrap().iter().map(|(id, line)| (*id, line.acknowledged)).collect()
    }

    /// The next delivery of a connection.
    async fn next(&self, delivered: &mut Delivered) -> Delivery {
        let mut said = self.said.subscribe();
        loop {
            if let Some(delivery) = self.ready(delivered) {
                return delivery;
            }
            // this network keeps the channel open
            let _ = said.changed().await;
        }
    }

    fn ready(&self, delivered: &mut Delivered) -> Option<Delivery> {
        let lines = self.lines.lock().unwrap();
        lines.iter().find_map(|(id, line)| {
            let place = delivered.entry(*id).or_default();
            let payload = line.said.get(usize::try_from(*place).unwrap())?;
            *place += 1;
            Some(delivery(id, *place, payload.clone()))
        })
    }
}

/// The change of the state with each chunk.
struct ModelChange {
    conversation: ConversationId,
    seq: u64,
    due: mpsc::UnboundedSender<(ConversationId, u64)>,
    stored: bool,
}

impl Change for ModelChange {
    fn write(&self, tx: &Writer<'_>) -> Result<(), StoreError> {
        if self.stored { Ok(()) } else { put_cursor(tx, &self.conversation, self.seq) }
    }

    fn durable(self: Box<Self>, _: &Durable) {
        // nobody hears it any more: the next start tells the network what the state holds
        let _ = self.due.send((self.conversation, self.seq));
    }
}

fn put_cursor(tx: &Writer<'_>, conversation: &ConversationId, seq: u64) -> Result<(), StoreError> {
    let sql = "INSERT INTO model_cursor VALUES (?1, ?2) ON CONFLICT (conversation) DO UPDATE SET seq=excluded.seq";
    tx.execute(sql, params![conversation.as_str(), seq])
}

/// What the state holds of each conversation.
pub fn cursors(store: &Store) -> Result<BTreeMap<ConversationId, u64>, StoreError> {
    let rows = store.rows("SELECT conversation, seq FROM model_cursor", |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?))
    })?;
    Ok(rows.into_iter().map(|(id, seq)| (id.parse().unwrap(), seq)).collect())
}

/// What became of a delivery.
pub enum Taken {
    /// It is handed on.
    New(Chunk),
    /// It was handed on before.
    Known,
    /// One before it is missing: another connection brings it.
    Gap,
}

/// Makes chunks of deliveries.
pub struct Intake {
    store: Store,
    names: Arc<Names>,
    handed: BTreeMap<ConversationId, u64>,
    due: mpsc::UnboundedSender<(ConversationId, u64)>,
    wrong: Option<Wrong>,
}

impl Intake {
    /// Goes on where the state is. What is durable comes out of the receiver.
    pub fn new(
        store: Store,
        names: Arc<Names>,
    ) -> Result<(Self, mpsc::UnboundedReceiver<(ConversationId, u64)>), StoreError> {
        let (due, durable) = mpsc::unbounded_channel();
        Ok((Self { handed: cursors(&store)?, store, names, due, wrong: None }, durable))
    }

    /// What the state holds by now.
    pub fn committed(&self) -> Result<BTreeMap<ConversationId, u64>, StoreError> {
        cursors(&self.store)
    }

    /// Takes a delivery that came at `received_micros`.
    pub fn take(&mut self, delivery: &Delivery, received_micros: i64) -> Result<Taken, ModelError> {
        let conversation: ConversationId = delivery.conversation.parse().unwrap();
        let handed = self.handed.get(&conversation).copied().unwrap_or(0);
        if delivery.seq <= handed {
            return Ok(Taken::Known);
        }
        if delivery.seq > handed + 1 {
            return Ok(Taken::Gap);
        }
        let (records, files) = self.record(conversation, delivery, received_micros)?;
        self.handed.insert(conversation, delivery.seq);
        let stored = self.wrong == Some(Wrong::StoresByItself);
        if stored {
            self.store.write::<_, StoreError>(|tx| put_cursor(tx, &conversation, delivery.seq))?;
        }
        let change = ModelChange { conversation, seq: delivery.seq, due: self.due.clone(), stored };
        if self.wrong == Some(Wrong::AcknowledgesFirst) {
            let _ = self.due.send((conversation, delivery.seq));
        }
        Ok(Taken::New(Chunk { records, files, deliveries: 1, change: Box::new(change) }))
    }

    fn record(
        &self,
        conversation: ConversationId,
        delivery: &Delivery,
        received_micros: i64,
    ) -> Result<(RecordBuffer, Vec<WrittenFile>), ModelError> {
        let mut files = Vec::new();
        let (body, outcome) = match delivery.payload.split_first().unwrap() {
            (&TEXT, text) => {
                let text = String::from_utf8(text.to_vec()).unwrap();
                (Body::Text(Text { text, links: Vec::new() }), None)
            }
            (_, file) => {
                let end = file.iter().position(|byte| *byte == 0).unwrap();
                let original = String::from_utf8(file[..end].to_vec()).unwrap();
                let written = self.keep(&original, &file[end + 1..], received_micros)?;
                let WrittenFile { length, sha256, .. } = written;
                let outcome = FileOutcome::Saved { local_name: written.name.clone(), sha256, size: length };
                files.push(written);
                let attachment = Attachment {
                    blob: [0; 32],
                    key: AttachmentKey::from_bytes(&[0; 32]).unwrap(),
                    size: length,
                    sha256,
                    name: original,
                    guid: [0; 16],
                    kind: AttachmentKind::File,
                };
                (Body::File(attachment), Some(outcome))
            }
        };
        let message_id = MessageId::from_bytes(&sha256(&delivery.payload)[..16]).unwrap();
        let sent_at_micros = delivery.accepted_at_micros;
        let content = Content { message_id, sent_at_micros, ttl: None, bor: 0, body };
        let context = Context {
            network_id: "model".into(),
            sender_network_id: "model".into(),
            sender: Some(UserName::new(&*delivery.sender_user).unwrap()),
            sender_type: SenderType::Normal,
            device: None,
            receiver: None,
            conversation,
            seq: delivery.seq,
            received_micros,
            message_id,
            sent_at_micros,
        };
        let mut records = RecordBuffer::default();
        let body = RecordBody::Content { content: &content, file: outcome.as_ref() };
        let record = Record { context: context.as_record(), body };
        records.push(received_micros, |out| record.append_line(out)).unwrap();
        Ok((records, files))
    }

    fn keep(&self, original: &str, bytes: &[u8], received_micros: i64) -> Result<WrittenFile, ModelError> {
        let (temporary, mut file) = self.names.temporary()?;
        file.write_all(bytes).and_then(|()| file.sync_data()).map_err(FilesError::from)?;
        let name = self.names.attachment(received_micros, original)?;
        let length = bytes.len() as u64;
        Ok(WrittenFile { temporary, name, length, sha256: sha256(bytes) })
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap()
}

/// The source.
pub struct Model {
    pub network: ModelNetwork,
    pub wrong: Option<Wrong>,
}

impl Model {
    fn start(self, log_in: LogIn) -> Result<LoggedIn, ModelError> {
        let LogIn { mut store, .. } = log_in;
        let stored = match self.wrong {
            Some(Wrong::SealsNothing) => {
                let sql = "SELECT value FROM meta WHERE name=?1";
                store.row(sql, TOKEN, |row| row.get::<_, Vec<u8>>(0))?
            }
            _ => store.meta(TOKEN)?.map(|token| token.to_vec()),
        };
        if let Some(token) = stored {
            if self.network.token() != Some(token) {
                return Err(ModelError::Token);
            }
        } else {
            let token = random::<32>().unwrap().to_vec();
            store.write::<_, StoreError>(|tx| match self.wrong {
                Some(Wrong::SealsNothing) => tx.execute("INSERT INTO meta VALUES (?1, ?2)", params![TOKEN, token]),
                _ => tx.put_meta(TOKEN, &token),
            })?;
            *self.network.token.lock().unwrap() = Some(token);
        }
        Ok(LoggedIn { model: self, store })
    }
}

impl Source for Model {
    fn schema(&self) -> &'static [Step] {
        STEPS
    }

    fn check(&self, _: &Store, _: &str, _: &Events) -> Result<(), Box<dyn Trouble>> {
        Ok(())
    }

    fn log_in(self: Box<Self>, log_in: LogIn, _: CancellationToken) -> Work<Option<Box<dyn Session>>> {
        let started = self.start(log_in).map(|session| Some(Box::new(session) as Box<dyn Session>));
        std::future::ready(started.map_err(boxed)).boxed()
    }
}

fn boxed(error: ModelError) -> Box<dyn Trouble> {
    Box::new(error)
}

struct LoggedIn {
    model: Model,
    store: Store,
}

impl Session for LoggedIn {
    fn run(self: Box<Self>, bot: Bot, stop: CancellationToken) -> Work<()> {
        async move { self.work(bot, stop).await.map_err(boxed) }.boxed()
    }
}

impl LoggedIn {
    async fn work(self, bot: Bot, stop: CancellationToken) -> Result<(), ModelError> {
        let Self { model: Model { network, wrong }, store } = self;
        let Bot { chunks, names, surroundings } = bot;
        let (intake, mut due) = Intake::new(store, names)?;
        let intake = Intake { wrong, ..intake };
        let acknowledge = async {
            // until every change is committed, or given up
            while let Some((conversation, seq)) = due.recv().await {
                network.acknowledge(conversation, seq);
            }
        };
        let receive = receive(&network, intake, chunks, surroundings, stop);
        if wrong == Some(Wrong::LeavesAtOnce) {
            return tokio::select! {
                biased;
                received = receive => received,
                () = acknowledge => Ok(()),
            };
        }
        // the commit hears that there is no more when `receive` has ended and dropped its sender
        tokio::join!(receive, acknowledge).0
    }
}

async fn receive(
    network: &ModelNetwork,
    mut intake: Intake,
    chunks: mpsc::Sender<Chunk>,
    around: Surroundings,
    stop: CancellationToken,
) -> Result<(), ModelError> {
    let mut health = around.health.clone();
    loop {
        let restarts = health.borrow().restarts;
        for (conversation, seq) in intake.committed()? {
            network.acknowledge(conversation, seq);
        }
        let mut delivered = network.connect();
        around.counters.logins.add(1);
        around.network.send_replace(watchdog::Network::Connected);
        loop {
            let again = async {
                if health.wait_for(|health| health.restarts != restarts).await.is_err() {
                    // no watchdog: the bot is stopping
                    std::future::pending::<()>().await;
                }
            };
            let mut room = around.health.clone();
            let delivery = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = again => break,
                delivery = next(network, &mut delivered, &mut room, intake.wrong) => delivery,
            };
            around.counters.messages_received.add(1);
            let chunk = match intake.take(&delivery, around.clock.now_micros())? {
                Taken::New(chunk) => chunk,
                Taken::Known => continue,
                Taken::Gap => break,
            };
            if intake.wrong == Some(Wrong::DropsWhenFull) {
                match chunks.try_send(chunk) {
                    Ok(()) | Err(TrySendError::Full(_)) => continue,
                    Err(TrySendError::Closed(_)) => return Ok(()),
                }
            }
            if chunks.send(chunk).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// The next delivery, while deliveries may be taken.
async fn next(
    network: &ModelNetwork,
    delivered: &mut Delivered,
    health: &mut watch::Receiver<Health>,
    wrong: Option<Wrong>,
) -> Delivery {
    if wrong == Some(Wrong::TakesWithoutRoom) {
        return network.next(delivered).await;
    }
    loop {
        if health.wait_for(Health::takes_deliveries).await.is_err() {
            // no watchdog: the bot is stopping
            return std::future::pending().await;
        }
        tokio::select! {
            biased;
            changed = health.changed() => if changed.is_err() { return std::future::pending().await },
            delivery = network.next(delivered) => return delivery,
        }
    }
}
