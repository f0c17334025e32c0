//! The contract of sources (`retaind::bot::source`) as functions, one a promise, for any source that can be [`Played`].
//!
//! A [`Life`] stands in for the bot: it starts a source as the bot does, and commits with the bot's own commit, but only when
//! it is told to. What was not committed when a life ends is what a crash leaves behind.
//!
//! Nothing here waits for a time to pass. That something does not happen is asked where it would have happened: behind the end
//! of the source, or behind a later message that has come.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use retaind::bot::commit::{Committer, Directories, Durable, Neighbours};
use retaind::bot::disk::RealDisk;
use retaind::bot::files::Names;
use retaind::bot::passwords::{Opened, Passwords};
use retaind::bot::segment::{Basename, RotationLimits};
use retaind::bot::ship::Bell;
use retaind::bot::source::{Bot, Change, Chunk, LogIn, Pulses, Source, Surroundings, Trouble};
use retaind::bot::state;
use retaind::bot::watchdog::{Health, Network, Space};
use retaind::core::clock::SystemClock;
use retaind::report::counters::Counters;
use retaind::report::events::Events;
use retaind::state::{Access, StoreError, Writer};
use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use serde_json::Value;
use tokio::sync::mpsc::OwnedPermit;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::records;
use crate::support::traffic::names;

/// All texts of the suite begin with it.
const MARK: &str = "nobody else says this:";
/// Chunks that a life has room for, if nothing else is asked for.
const ROOM: usize = 64;
/// Conversations that are talked in.
const CONVERSATIONS: usize = 3;
/// Nothing takes so long unless it never happens.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is said.
#[derive(Debug, Clone, Copy)]
pub enum What<'a> {
    Text(&'a str),
    File(&'a [u8]),
}

/// A source with its network, played by the suite.
#[allow(async_fn_in_trait, reason = "for this suite alone")]
pub trait Played {
    /// Where state and archive are.
    fn home(&self) -> &Path;
    /// The bot's user name.
    fn user(&self) -> &str;
    /// What it is started with.
    fn passwords(&self) -> Arc<Passwords>;
    /// Opens the state, or begins one.
    fn open(&self) -> Opened;
    /// The source, from its settings alone.
    fn source(&self) -> Box<dyn Source>;
    /// Somebody says something in the conversation of this number, which is begun with its first message. Returns once the
    /// network has accepted it.
    async fn say(&mut self, conversation: usize, what: What<'_>);
    /// What the network still keeps for the bot, in deliveries.
    fn kept(&self) -> u64;
    /// Finds what the state knows of conversations: what only a commit may change.
    fn progress(&self) -> &'static str;
    /// What nobody may find in the state.
    fn secrets(&self) -> Vec<Vec<u8>>;
}

fn state_of(played: &impl Played) -> PathBuf {
    played.home().join("bot.db")
}

fn directories(played: &impl Played) -> Directories {
    Directories {
        messages: played.home().join("messages"),
        basename: Basename::new("receivedMessages").unwrap(),
        files: played.home().join("attachments"),
    }
}

/// A source at work, and the bot around it.
struct Life {
    committer: Committer,
    sender: mpsc::WeakSender<Chunk>,
    chunks: mpsc::Receiver<Chunk>,
    /// Received and not committed.
    held: VecDeque<Chunk>,
    /// Messages of the suite that were received.
    received: usize,
    health: watch::Sender<Health>,
    counters: Arc<Counters>,
    stop: CancellationToken,
    running: JoinHandle<Result<(), Box<dyn Trouble>>>,
}

impl Life {
    async fn start(played: &impl Played) -> Self {
        Self::with_room(played, ROOM).await
    }

    /// As the bot starts it; returns once it is connected.
    async fn with_room(played: &impl Played, room: usize) -> Self {
        let directories = directories(played);
        for directory in [&directories.messages, &directories.files] {
            std::fs::create_dir_all(directory).unwrap();
        }
        let source = played.source();
        let Opened { store, by } = played.open();
        state::prepare(&store).unwrap();
        source.check(&store, played.user(), &Events::only_logged()).unwrap();
        let (disk, clock) = (Arc::new(RealDisk), Arc::new(SystemClock));
        let names = Arc::new(Names::new(disk.clone(), &directories.files));
        let counters = Arc::new(Counters::default());
        let policy = RotationLimits { size_max: 1 << 40, age_max: None, first_number: 1 };
        let neighbours = Neighbours { ship: Arc::new(Bell::default()), counters: counters.clone() };
        let writer = store.again(Access::Write).unwrap();
        let committer =
            Committer::recover(writer, disk, directories, policy, names.clone(), clock.clone(), neighbours).unwrap();
        let health = watch::Sender::new(Health::default());
        let (network, mut connected) = watch::channel(Network::default());
        let surroundings = Surroundings {
            clock,
            counters: counters.clone(),
            events: Events::only_logged(),
            health: health.subscribe(),
            network,
            pulses: Pulses::default(),
        };
        let (user, passwords) = (played.user().to_owned(), played.passwords());
        let log_in = LogIn { store, user, passwords, by, surroundings: surroundings.clone() };
        let stop = CancellationToken::new();
        let session = source.log_in(log_in, stop.clone()).await.unwrap().unwrap();
        let (sender, chunks) = mpsc::channel(room);
        let weak = sender.downgrade();
        let running = tokio::spawn(session.run(Bot { chunks: sender, names, surroundings }, stop.clone()));
        let is_connected = connected.wait_for(|network| *network == Network::Connected);
        tokio::time::timeout(PATIENCE, is_connected).await.unwrap().unwrap();
        let held = VecDeque::new();
        Self { committer, sender: weak, chunks, held, received: 0, health, counters, stop, running }
    }

    /// Takes the next chunk; `None`: the source has dropped its end.
    async fn take(&mut self) -> Option<()> {
        let chunk = tokio::time::timeout(PATIENCE, self.chunks.recv()).await.expect("a chunk that never comes")?;
        self.received += chunk.records.iter().filter(|(line, _)| is_of_the_suite(line)).count();
        self.held.push_back(chunk);
        Some(())
    }

    /// Takes chunks until so many messages of the suite have come in this life.
    async fn until(&mut self, messages: usize) {
        while self.received < messages {
            self.take().await.expect("the source has ended");
        }
    }

    /// Commits what is held, so many chunks at a time, each with its change as `wrap` makes it. Returns the deliveries.
    fn commit_as(&mut self, most: usize, wrap: impl Fn(Box<dyn Change>) -> Box<dyn Change>) -> u64 {
        let deliveries = self.held.iter().map(|chunk| chunk.deliveries).sum();
        while !self.held.is_empty() {
            let batch = self.held.drain(..self.held.len().min(most));
            let batch = batch.map(|chunk| Chunk { change: wrap(chunk.change), ..chunk }).collect();
            self.committer.commit(batch).unwrap();
        }
        deliveries
    }

    fn commit(&mut self) -> u64 {
        self.commit_as(usize::MAX, |change| change)
    }

    /// Stops as the bot does: what comes until the source has dropped its end is committed. Returns its deliveries.
    async fn end(mut self) -> u64 {
        self.stop.cancel();
        while self.take().await.is_some() {}
        let deliveries = self.commit();
        self.committer.rotate().unwrap();
        tokio::time::timeout(PATIENCE, self.running).await.unwrap().unwrap().unwrap();
        deliveries
    }

    /// The same, but what is in hand is never committed: the source has told the network all that it ever will.
    async fn end_without_commit(mut self) {
        self.stop.cancel();
        while self.take().await.is_some() {}
        self.held.clear();
        tokio::time::timeout(PATIENCE, self.running).await.unwrap().unwrap().unwrap();
    }

    /// Nobody gets to finish anything.
    async fn crash(self) {
        self.running.abort();
        assert!(self.running.await.is_err(), "it has ended before");
        // for what it may have spawned
        self.stop.cancel();
    }

    /// Takes all the room that there is for chunks.
    async fn fill(&self) -> Vec<OwnedPermit<Chunk>> {
        let sender = self.sender.upgrade().unwrap();
        let mut permits = Vec::new();
        for _ in 0..sender.max_capacity() {
            permits.push(sender.clone().reserve_owned().await.unwrap());
        }
        permits
    }
}

/// The change of a bot that dies between the commit and the word of it.
struct NeverTold(Box<dyn Change>);

impl Change for NeverTold {
    fn write(&self, tx: &Writer<'_>) -> Result<(), StoreError> {
        self.0.write(tx)
    }

    fn durable(self: Box<Self>, _: &Durable) {}
}

/// A change that is written more than once.
struct WrittenTwice(Box<dyn Change>);

impl Change for WrittenTwice {
    fn write(&self, tx: &Writer<'_>) -> Result<(), StoreError> {
        self.0.write(tx)?;
        self.0.write(tx)
    }

    fn durable(self: Box<Self>, proof: &Durable) {
        self.0.durable(proof);
    }
}

fn is_of_the_suite(line: &[u8]) -> bool {
    let record: Value = serde_json::from_slice(line).unwrap();
    record["file"].is_object() || record["message"].as_str().is_some_and(|text| text.starts_with(MARK))
}

/// What was said, and what has to be in the archive.
#[derive(Default)]
struct Talk(Vec<Vec<String>>);

impl Talk {
    /// Says `messages` in each of the conversations, by turns. Returns how many there are in all of them since ever.
    async fn go_on(&mut self, played: &mut impl Played, messages: usize) -> usize {
        self.0.resize(CONVERSATIONS, Vec::new());
        for _ in 0..messages {
            for conversation in 0..CONVERSATIONS {
                self.say(played, conversation).await;
            }
        }
        self.0.iter().map(Vec::len).sum()
    }

    async fn say(&mut self, played: &mut impl Played, conversation: usize) {
        let text = format!("{MARK} {conversation} {}", self.0[conversation].len());
        played.say(conversation, What::Text(&text)).await;
        self.0[conversation].push(text);
    }

    /// Each message is in the archive once, those of a conversation in the order in which they were said.
    fn is_archived(&self, played: &impl Played) {
        let mut archived: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for record in records(&directories(played).messages) {
            if let Some(text) = record["message"].as_str().filter(|text| text.starts_with(MARK)) {
                let id = record["vgroupid"].as_str().unwrap().to_owned();
                archived.entry(id).or_default().push(text.to_owned());
            }
        }
        let archived: BTreeSet<Vec<String>> = archived.into_values().collect();
        assert_eq!(archived, self.0.iter().cloned().collect());
    }
}

/// What the state knows of conversations.
fn progress(played: &impl Played) -> Vec<Vec<Cell>> {
    let state = Connection::open(state_of(played)).unwrap();
    let mut statement = state.prepare(played.progress()).unwrap();
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect()).unwrap();
    rows.map(Result::unwrap).collect()
}

/// A source that has talked before, and whose first messages are archived.
async fn begun(played: &mut impl Played) -> Talk {
    let mut talk = Talk::default();
    let mut life = Life::start(played).await;
    let said = talk.go_on(played, 1).await;
    life.until(said).await;
    life.end().await;
    assert_eq!(played.kept(), 0, "the first messages are not acknowledged");
    talk
}

/// Point 1.
pub async fn what_it_hands_on_is_committed_in_order_however_it_is_batched(mut played: impl Played) {
    let mut talk = Talk::default();
    let mut life = Life::start(&played).await;
    for most in [1, 2, 3, usize::MAX] {
        let said = talk.go_on(&mut played, 4).await;
        life.until(said).await;
        life.commit_as(most, |change| change);
    }
    life.end().await;
    talk.is_archived(&played);
    assert_eq!(played.kept(), 0, "what is archived is acknowledged");
}

/// Point 2.
pub async fn nothing_is_acknowledged_before_it_is_durable(mut played: impl Played) {
    let mut talk = begun(&mut played).await;
    let before = talk.go_on(&mut played, 0).await;
    let mut life = Life::start(&played).await;
    let said = talk.go_on(&mut played, 3).await - before;
    life.until(said).await;
    assert_eq!(played.kept(), said as u64, "acknowledged with nothing on the disk");
    life.end_without_commit().await;
    assert_eq!(played.kept(), said as u64, "acknowledged with nothing on the disk");
    let mut life = Life::start(&played).await;
    life.until(said).await;
    life.end().await;
    assert_eq!(played.kept(), 0, "what is archived is acknowledged");
    talk.is_archived(&played);
}

/// Point 3.
pub async fn after_a_crash_it_goes_on_from_the_state_alone(mut played: impl Played) {
    let mut talk = Talk::default();
    let mut life = Life::start(&played).await;
    let committed = talk.go_on(&mut played, 3).await;
    life.until(committed).await;
    life.commit();
    let said = talk.go_on(&mut played, 3).await;
    life.until(said).await;
    life.crash().await;
    let mut life = Life::start(&played).await;
    life.until(said - committed).await;
    life.commit();
    life.crash().await;
    // nothing new but this
    let mut life = Life::start(&played).await;
    talk.say(&mut played, 0).await;
    life.until(1).await;
    life.end().await;
    talk.is_archived(&played);
    assert_eq!(played.kept(), 0, "what is archived is acknowledged");
}

/// Points 2 and 3: the bot died between the commit and the word of it.
pub async fn a_commit_that_it_never_hears_of_is_recognised(mut played: impl Played) {
    let mut talk = begun(&mut played).await;
    let before = talk.go_on(&mut played, 0).await;
    let mut life = Life::start(&played).await;
    let said = talk.go_on(&mut played, 2).await - before;
    life.until(said).await;
    life.commit_as(usize::MAX, |change| Box::new(NeverTold(change)));
    life.crash().await;
    assert_eq!(played.kept(), said as u64, "acknowledged without a word of the commit");
    let mut life = Life::start(&played).await;
    talk.say(&mut played, 1).await;
    life.until(1).await;
    life.end().await;
    talk.is_archived(&played);
    assert_eq!(played.kept(), 0, "the network is told by the next start");
}

/// Points 1 and 3, while it runs: what is in hand is recognised as well.
pub async fn a_new_connection_brings_nothing_twice(mut played: impl Played) {
    let mut talk = Talk::default();
    let mut life = Life::start(&played).await;
    let committed = talk.go_on(&mut played, 2).await;
    life.until(committed).await;
    life.commit();
    let said = talk.go_on(&mut played, 2).await;
    life.until(said).await;
    let logins = life.counters.logins.get();
    life.health.send_modify(|health| health.restarts += 1);
    life.counters.logins.reaches(logins + 1).await;
    // what comes in a conversation comes behind what is delivered again there
    let said = talk.go_on(&mut played, 1).await;
    life.until(said).await;
    assert_eq!(life.received, said, "something has come twice");
    life.end().await;
    talk.is_archived(&played);
    assert_eq!(played.kept(), 0, "what is archived is acknowledged");
}

/// Point 4, and what [`Change::write`] promises.
pub async fn its_state_changes_in_the_commit_only(mut played: impl Played) {
    let mut talk = begun(&mut played).await;
    let before = talk.go_on(&mut played, 0).await;
    let known = progress(&played);
    assert!(!known.is_empty(), "nothing is known of conversations that are archived");
    let mut life = Life::start(&played).await;
    let said = talk.go_on(&mut played, 2).await - before;
    life.until(said).await;
    assert_eq!(progress(&played), known, "changed by what is not committed");
    life.end_without_commit().await;
    assert_eq!(progress(&played), known, "changed by what was never committed");
    let mut life = Life::start(&played).await;
    life.until(said).await;
    life.commit_as(1, |change| Box::new(WrittenTwice(change)));
    life.end().await;
    assert_ne!(progress(&played), known, "not changed by the commit");
    talk.is_archived(&played);
    assert_eq!(played.kept(), 0, "what is archived is acknowledged");
}

/// Point 5.
pub async fn secrets_and_what_was_said_are_sealed_in_the_state(mut played: impl Played) {
    let mut talk = Talk::default();
    let mut life = Life::start(&played).await;
    let said = talk.go_on(&mut played, 2).await;
    life.until(said).await;
    life.commit();
    let mut secrets = played.secrets();
    assert!(!secrets.is_empty() && secrets.iter().all(|secret| secret.len() >= 8), "no secret to look for");
    secrets.push(MARK.as_bytes().to_vec());
    // the log beside it is there while it is open
    is_nowhere_in_the_state(&played, &secrets);
    life.end().await;
    is_nowhere_in_the_state(&played, &secrets);
    talk.is_archived(&played);
}

fn is_nowhere_in_the_state(played: &impl Played, secrets: &[Vec<u8>]) {
    let mut looked = 0;
    for entry in std::fs::read_dir(played.home()).unwrap() {
        let path = entry.unwrap().path();
        if !path.file_name().unwrap().to_string_lossy().starts_with("bot.db") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        looked += bytes.len();
        for secret in secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret);
            assert!(!found, "a secret lies open in {}", path.display());
        }
    }
    assert!(looked > 0, "no state to look at");
}

/// Point 6.
pub async fn a_file_has_its_final_name_by_the_commit_only(mut played: impl Played) {
    let bytes: Vec<u8> = (0..5000u32).flat_map(u32::to_le_bytes).collect();
    let files = directories(&played).files;
    let mut life = Life::start(&played).await;
    played.say(0, What::File(&bytes)).await;
    life.until(1).await;
    let unfinished = names(&files);
    assert!(unfinished.iter().all(|name| name.starts_with('.') && name.ends_with(".part")), "{unfinished:?}");
    life.crash().await;
    let mut life = Life::start(&played).await;
    life.until(1).await;
    let (temporary, name) = {
        let written: Vec<_> = life.held.iter().flat_map(|chunk| &chunk.files).collect();
        assert_eq!(written.len(), 1);
        (written[0].temporary.clone(), written[0].name.clone())
    };
    assert_eq!(names(&files), BTreeSet::from([temporary]), "one attempt, under a temporary name");
    life.end().await;
    assert_eq!(names(&files), BTreeSet::from([name.clone()]));
    assert!(std::fs::read(files.join(name)).unwrap() == bytes, "not the bytes that were sent");
    assert_eq!(played.kept(), 0, "what is archived is acknowledged");
}

/// Point 7.
pub async fn a_full_sender_makes_it_wait_and_drop_nothing(mut played: impl Played) {
    let mut talk = begun(&mut played).await;
    let before = talk.go_on(&mut played, 0).await;
    let mut life = Life::with_room(&played, 1).await;
    let permits = life.fill().await;
    talk.go_on(&mut played, 20).await;
    life.counters.messages_received.reaches(1).await;
    drop(permits);
    let said = talk.go_on(&mut played, 1).await - before;
    life.until(said).await;
    life.end().await;
    talk.is_archived(&played);
    assert_eq!(played.kept(), 0, "what is archived is acknowledged");
}

/// Point 7.
pub async fn it_takes_nothing_while_the_disk_has_no_room(mut played: impl Played) {
    let mut talk = begun(&mut played).await;
    let before = talk.go_on(&mut played, 0).await;
    let mut life = Life::start(&played).await;
    life.health.send_modify(|health| health.space = Space::Critical);
    let said = talk.go_on(&mut played, 3).await - before;
    tokio::task::yield_now().await;
    assert!(life.chunks.try_recv().is_err(), "taken while there is no room");
    life.health.send_modify(|health| health.space = Space::Low);
    life.until(said).await;
    life.end().await;
    talk.is_archived(&played);
    assert_eq!(played.kept(), 0, "what is archived is acknowledged");
}

/// What [`retaind::bot::source::Session::run`] promises: whatever of it has come is committed and acknowledged, the rest comes again.
pub async fn a_stop_acknowledges_what_is_committed_and_leaves_the_rest(mut played: impl Played) {
    let mut talk = begun(&mut played).await;
    let mut life = Life::start(&played).await;
    let before = talk.go_on(&mut played, 0).await;
    let said = talk.go_on(&mut played, 10).await - before;
    life.take().await.unwrap();
    let kept = played.kept();
    let deliveries = life.end().await;
    assert_eq!(played.kept(), kept - deliveries, "what is committed, and nothing else, is acknowledged");
    let committed = texts(&played) - before;
    let mut life = Life::start(&played).await;
    life.until(said - committed).await;
    life.end().await;
    talk.is_archived(&played);
    assert_eq!(played.kept(), 0, "what is archived is acknowledged");
}

fn texts(played: &impl Played) -> usize {
    let records = records(&directories(played).messages);
    records.iter().filter(|record| record["message"].as_str().is_some_and(|text| text.starts_with(MARK))).count()
}

/// A source that is stopped with nothing in hand.
pub async fn a_stop_ends_one_to_which_nothing_was_said(played: impl Played) {
    let life = Life::start(&played).await;
    assert_eq!(life.end().await, 0);
    assert_eq!(texts(&played), 0);
}
