//! What no stage can notice of itself is noticed, said and mended; and meanwhile nothing is lost or doubled.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::ffi::OsStr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use retaind::aws::AwsError;
use retaind::bot::clock::{Clock, SystemClock};
use retaind::bot::disk::{Disk, DiskCall, DiskError, DiskFile, RealDisk};
use retaind::bot::grace::Grace;
use retaind::bot::run::{self as bot, BotError, Fault, Options, Orders, Shipping};
use retaind::bot::watchdog::{Heartbeat, Limits, Network, Settings, Space};
use retaind::device::conversations::Device;
use retaind::protocol::ids::{ConversationId, ConversationKind};
use retaind::report::counters::Counter;
use retaind::report::events::{Events, Notification, Publish, Sending};
use retaind::report::origin::{Image, Origin, PRODUCT};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::support::gate::Gate;
use crate::support::{BOT, Bot, Harness, text};

/// No test waits so long unless it has failed.
const PATIENCE: Duration = Duration::from_secs(60);
const MIB: u64 = 1024 * 1024;

/// Looks often; otherwise as in the field.
fn settings(change: impl FnOnce(&mut Limits)) -> Settings {
    let mut settings = Settings::default();
    settings.limits.look_every = Duration::from_millis(5);
    change(&mut settings.limits);
    settings
}

struct Told(mpsc::UnboundedSender<Value>);

impl Publish for Told {
    async fn publish(&self, notification: &Notification) -> Result<(), AwsError> {
        // the test may have seen enough
        let _ = self.0.send(serde_json::from_str(&notification.text).unwrap());
        Ok(())
    }
}

/// Events that the test hears of.
fn events() -> (Events, Sending, mpsc::UnboundedReceiver<Value>) {
    let origin = Arc::new(Origin::new(BOT, Image { name: "retaind".into(), tag: "1".into() }, PRODUCT));
    let (events, sender) = Events::new(origin, || SystemClock.now_micros());
    let (told, listen) = mpsc::unbounded_channel();
    (events, sender.start(Told(told)), listen)
}

/// How many events of this code were told.
async fn told(sending: Sending, mut listen: mpsc::UnboundedReceiver<Value>, code: &str) -> Vec<Value> {
    assert_eq!(sending.finish(PATIENCE).await, 0);
    let mut found = Vec::new();
    while let Ok(event) = listen.try_recv() {
        if event["eventCode"] == code {
            found.push(event);
        }
    }
    found
}

async fn send(device: &mut Device, room: &ConversationId, numbers: std::ops::Range<usize>) {
    for number in numbers {
        device.send(room, &text(&number.to_string())).await.unwrap();
    }
}

/// The texts `0`, `1` … of this many messages, each once and in order, and every place once.
fn assert_archived(harness: &Harness, room: &ConversationId, messages: usize) {
    let records = harness.records();
    let of_room = || records.iter().filter(|record| record["vgroupid"] == room.as_str());
    let texts: Vec<&str> = of_room().filter_map(|record| record["message"].as_str()).collect();
    assert_eq!(texts, (0..messages).map(|number| number.to_string()).collect::<Vec<_>>());
    let places: Vec<u64> = of_room().map(|record| record["seq"].as_u64().unwrap()).collect();
    assert_eq!(places, (1..=places.len() as u64).collect::<Vec<_>>());
    assert_eq!(harness.unacknowledged(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_vanishes_without_closing_is_noticed_and_what_waited_on_it_goes_on() {
    let harness = Harness::start();
    let gate = Gate::to(&harness.endpoint).await;
    let heartbeat = Heartbeat { every: Duration::from_millis(20), patience: Duration::from_secs(1) };
    let limits = |limits: &mut Limits| limits.network_fails_after = Duration::from_secs(1);
    let watchdog = Settings { heartbeat, ..settings(limits) };
    let options = Options { endpoint: gate.endpoint(&harness.endpoint), watchdog, ..harness.options() };
    let mut health = options.watchdog.health.subscribe();
    let bot = Bot::start(options).await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    send(&mut alice, &room, 0..5).await;
    bot.saved(6).await;
    health.wait_for(|health| health.network == Network::Connected).await.unwrap();

    // these arrive and are saved; their acknowledgement is never answered
    gate.fall_deaf();
    send(&mut alice, &room, 5..10).await;
    bot.saved(11).await;
    tokio::time::timeout(PATIENCE, health.wait_for(|health| health.network == Network::Away)).await.unwrap().unwrap();
    send(&mut alice, &room, 10..15).await;
    gate.open();
    tokio::time::timeout(PATIENCE, bot.saved(16)).await.unwrap();
    bot.stop().await.unwrap();
    assert_archived(&harness, &room, 15);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_told_and_a_try_that_hangs_is_begun_anew() {
    let harness = Harness::start();
    let gate = Gate::to(&harness.endpoint).await;
    let (events, sending, listen) = events();
    let heartbeat = Heartbeat { every: Duration::from_millis(20), patience: Duration::from_secs(1) };
    let limits = |limits: &mut Limits| {
        limits.network_warns_after = Duration::from_millis(100);
        limits.network_fails_after = Duration::from_secs(1);
    };
    let watchdog = Settings { heartbeat, ..settings(limits) };
    let options = Options { endpoint: gate.endpoint(&harness.endpoint), events, watchdog, ..harness.options() };
    let mut health = options.watchdog.health.subscribe();
    let bot = Bot::start(options).await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    send(&mut alice, &room, 0..5).await;
    bot.saved(6).await;
    let restarts = health.wait_for(|health| health.network == Network::Connected).await.unwrap().restarts;
    let (warnings, accepted) = (bot.counters.watchdog_warnings.get(), gate.accepted.get());

    gate.fall_silent();
    send(&mut alice, &room, 5..10).await;
    // by itself a try would hang for 20 s; each failure begins another one
    let two_failures = health.wait_for(|health| health.restarts >= restarts + 2);
    tokio::time::timeout(Duration::from_secs(15), two_failures).await.unwrap().unwrap();
    tokio::time::timeout(Duration::from_secs(15), gate.accepted.reaches(accepted + 2)).await.unwrap();
    gate.open();
    tokio::time::timeout(Duration::from_secs(15), bot.saved(11)).await.unwrap();
    health.wait_for(|health| health.network == Network::Connected && health.is_well()).await.unwrap();
    let (now_warnings, failures) = (bot.counters.watchdog_warnings.get(), bot.counters.watchdog_failures.get());
    let restarts = health.borrow().restarts;
    bot.stop().await.unwrap();
    assert!(now_warnings > warnings);
    assert_eq!(failures, restarts, "each failure is counted and begins the connection anew");
    let down = told(sending, listen, "switchboard_down").await;
    assert!(!down.is_empty() && down.len() as u64 <= failures, "{down:?}");
    assert_archived(&harness, &room, 10);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_stops_as_told_while_the_network_is_silent() {
    let harness = Harness::start();
    let gate = Gate::to(&harness.endpoint).await;
    let heartbeat = Heartbeat { every: Duration::from_millis(20), patience: Duration::from_secs(1) };
    let watchdog = Settings { heartbeat, ..settings(|_| ()) };
    let options = Options { endpoint: gate.endpoint(&harness.endpoint), watchdog, ..harness.options() };
    let mut health = options.watchdog.health.subscribe();
    let bot = Bot::start(options).await;
    health.wait_for(|health| health.network == Network::Connected).await.unwrap();
    gate.fall_silent();
    let accepted = gate.accepted.get();
    health.wait_for(|health| health.network == Network::Away).await.unwrap();
    gate.accepted.reaches(accepted + 1).await;
    let failures = bot.counters.login_failures.get();
    let counters = bot.counters.clone();
    // a try to connect would hang for 20 s, and Docker kills after 10
    tokio::time::timeout(Duration::from_secs(9), bot.stop()).await.unwrap().unwrap();
    assert_eq!(counters.login_failures.get(), failures, "a try that was given up is no failure");
    harness.stop().await;
}

/// A disk of which the test says how much is free.
#[derive(Clone)]
struct Filling {
    free: Arc<AtomicU64>,
    looks: Arc<Counter>,
}

impl Filling {
    fn with(free: u64) -> Self {
        Self { free: Arc::new(free.into()), looks: Arc::default() }
    }

    fn set(&self, free: u64) {
        self.free.store(free, Ordering::SeqCst);
    }
}

impl Disk for Filling {
    fn create_new(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        RealDisk.create_new(path)
    }
    fn open_append(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        RealDisk.open_append(path)
    }
    fn len(&self, path: &Path) -> Result<Option<u64>, DiskError> {
        RealDisk.len(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        RealDisk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        RealDisk.sync_dir(dir)
    }
    fn list(&self, dir: &Path, each: &mut dyn FnMut(&OsStr)) -> Result<(), DiskError> {
        RealDisk.list(dir, each)
    }
    fn free_bytes(&self, _: &Path) -> Result<u64, DiskError> {
        self.looks.add(1);
        Ok(self.free.load(Ordering::SeqCst))
    }
    fn renew(&self, path: &Path) -> Result<(), DiskError> {
        RealDisk.renew(path)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_critical_disk_deliveries_wait_and_go_on_by_themselves() {
    let harness = Harness::start();
    let disk = Filling::with(4096 * MIB);
    let (events, sending, listen) = events();
    let options = Options { disk: Arc::new(disk.clone()), events, watchdog: settings(|_| ()), ..harness.options() };
    let mut health = options.watchdog.health.subscribe();
    let bot = Bot::start(options).await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    send(&mut alice, &room, 0..5).await;
    bot.saved(6).await;

    disk.set(100 * MIB);
    health.wait_for(|health| health.space == Space::Critical).await.unwrap();
    let (received, saved, logins) =
        (bot.counters.messages_received.get(), bot.counters.messages_saved.get(), bot.counters.logins.get());
    send(&mut alice, &room, 5..25).await;
    // time enough for what is not held back: the watchdog has looked many times
    disk.looks.reaches(disk.looks.get() + 300).await;
    assert_eq!(bot.counters.messages_received.get(), received, "nothing is taken");
    assert_eq!(bot.counters.messages_saved.get(), saved);
    assert_eq!(bot.counters.logins.get(), logins, "and the bot stays logged in");

    disk.set(512 * MIB);
    bot.saved(26).await;
    assert_eq!(health.wait_for(|health| health.takes_deliveries()).await.unwrap().space, Space::Low);
    disk.set(4096 * MIB);
    health.wait_for(|health| health.space == Space::Enough).await.unwrap();
    disk.set(512 * MIB);
    health.wait_for(|health| health.space == Space::Low).await.unwrap();
    assert_eq!((bot.counters.watchdog_warnings.get(), bot.counters.watchdog_failures.get()), (1, 1));
    bot.stop().await.unwrap();
    let full = told(sending, listen, "disk_nearly_full").await;
    assert_eq!(full.len(), 2, "one for each crossing: {full:?}");
    assert_archived(&harness, &room, 25);
    harness.stop().await;
}

/// A disk that hangs in its syncs from a moment on, and fails them when it is let go.
#[derive(Clone, Default)]
struct Hanging(Arc<(Mutex<State>, Condvar)>);

#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum State {
    #[default]
    Works,
    Hangs,
    Fails,
}

impl Hanging {
    fn set(&self, state: State) {
        *self.0.0.lock().unwrap() = state;
        self.0.1.notify_all();
    }

    fn sync(&self, path: &Path) -> Result<(), DiskError> {
        let state = self.0.1.wait_while(self.0.0.lock().unwrap(), |state| *state == State::Hangs).unwrap();
        match *state {
            State::Works => Ok(()),
            State::Hangs | State::Fails => {
                Err(DiskError::new(DiskCall::SyncData, path, std::io::ErrorKind::Other.into()))
            }
        }
    }
}

struct HangingFile(Hanging, std::path::PathBuf, Box<dyn DiskFile>);

impl DiskFile for HangingFile {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.2.write_all(bytes)
    }
    fn sync_data(&mut self) -> Result<(), DiskError> {
        self.0.sync(&self.1)?;
        self.2.sync_data()
    }
    fn set_len(&mut self, length: u64) -> Result<(), DiskError> {
        self.2.set_len(length)
    }
}

impl Disk for Hanging {
    fn create_new(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        Ok(Box::new(HangingFile(self.clone(), path.to_owned(), RealDisk.create_new(path)?)))
    }
    fn open_append(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        Ok(Box::new(HangingFile(self.clone(), path.to_owned(), RealDisk.open_append(path)?)))
    }
    fn len(&self, path: &Path) -> Result<Option<u64>, DiskError> {
        RealDisk.len(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        RealDisk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        RealDisk.sync_dir(dir)
    }
    fn list(&self, dir: &Path, each: &mut dyn FnMut(&OsStr)) -> Result<(), DiskError> {
        RealDisk.list(dir, each)
    }
    fn free_bytes(&self, dir: &Path) -> Result<u64, DiskError> {
        RealDisk.free_bytes(dir)
    }
    fn renew(&self, path: &Path) -> Result<(), DiskError> {
        RealDisk.renew(path)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_cut_short_while_the_disk_hangs_and_the_next_bot_has_everything_once() {
    let harness = Harness::start();
    let disk = Hanging::default();
    let grace = Grace::new(Duration::from_secs(1));
    let options = Options {
        disk: Arc::new(disk.clone()),
        shipping: Shipping { grace, ..Shipping::local(Arc::new(RealDisk)) },
        ..harness.options()
    };
    let bot = Bot::start(options).await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    send(&mut alice, &room, 0..5).await;
    bot.saved(6).await;
    disk.set(State::Hangs);
    send(&mut alice, &room, 5..10).await;
    bot.counters.messages_received.reaches(7).await;
    let error = tokio::time::timeout(PATIENCE, bot.stop()).await.unwrap().unwrap_err();
    assert!(matches!(&error, BotError::CutShort), "{error}");
    assert_eq!(error.fault(), Fault::Temporary);
    // the process would be gone by now
    disk.set(State::Fails);

    let bot = harness.bot().await;
    bot.saved(5).await;
    bot.stop().await.unwrap();
    assert_archived(&harness, &room, 10);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_whose_disk_hangs_ends_as_temporary_and_the_next_one_has_everything_once() {
    let harness = Harness::start();
    let disk = Hanging::default();
    let (events, sending, listen) = events();
    let limits = |limits: &mut Limits| {
        limits.stage_warns_after = Duration::from_secs(1);
        limits.stage_fails_after = Duration::from_secs(2);
    };
    let grace = Grace::new(Duration::from_millis(100));
    let options = Options {
        disk: Arc::new(disk.clone()),
        shipping: Shipping { grace, ..Shipping::local(Arc::new(RealDisk)) },
        events,
        watchdog: settings(limits),
        ..harness.options()
    };
    let counters = options.counters.clone();
    let (_rotate, rotate) = mpsc::channel(1);
    let (ready, logged_in) = oneshot::channel();
    let orders = Orders { stop: CancellationToken::new(), rotate, ready: Some(ready) };
    let running = tokio::spawn(bot::run(options, orders));
    logged_in.await.unwrap();
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    send(&mut alice, &room, 0..5).await;
    counters.messages_saved.reaches(6).await;

    disk.set(State::Hangs);
    send(&mut alice, &room, 5..10).await;
    let error = tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(&error, BotError::Stalled(stalled) if stalled.stage == "commit"), "{error}");
    assert_eq!(error.fault(), Fault::Temporary);
    assert_eq!(counters.watchdog_failures.get(), 1);
    assert_eq!(told(sending, listen, "pipeline_stalled").await.len(), 1);
    // the process would be gone by now
    disk.set(State::Fails);

    let bot = harness.bot().await;
    bot.saved(5).await;
    bot.stop().await.unwrap();
    assert_archived(&harness, &room, 10);
    harness.stop().await;
}
