//! What no stage can notice of itself is noticed, reported and corrected; and meanwhile nothing is lost or doubled.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use retaind::bot::disk::{Disk, DiskCall, RealDisk};
use retaind::bot::grace::Grace;
use retaind::bot::run::{BotError, Shipping};
use retaind::bot::watchdog::{Health, Limits, Network, Pipeline, Settings, Space};
use retaind::core::fault::{Fault, Faulty as _};
use retaind::protocol::ids::{ConversationId, ConversationKind};
use retaind::report::counters::Counter;
use retaind::source_mls::Heartbeat;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::support::archive::{are_archived, say};
use crate::support::asked::AskedDisk;
use crate::support::events::heard;
use crate::support::gate::Gate;
use crate::support::{Bot, Controls, Harness, Options, bot};

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

/// The texts `0`, `1` … of this many messages, each once and in order, and nothing waits any more.
fn assert_archived(harness: &Harness, room: &ConversationId, messages: usize) {
    are_archived(&harness.records(), room, messages);
    assert_eq!(harness.unacknowledged(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_vanishes_without_closing_is_noticed_and_what_waited_on_it_goes_on() {
    let harness = Harness::start();
    let gate = Gate::to(&harness.endpoint).await;
    let heartbeat = Heartbeat { every: Duration::from_millis(20), patience: Duration::from_secs(1) };
    let limits = |limits: &mut Limits| limits.network_fails_after = Duration::from_secs(1);
    let watchdog = settings(limits);
    let options = Options { endpoint: gate.endpoint(&harness.endpoint), heartbeat, watchdog, ..harness.options() };
    let mut health = options.watchdog.health.subscribe();
    let bot = Bot::start(options).await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    say(&mut alice, &room, 0..5).await;
    bot.saved(6).await;
    health.wait_for(|health| health.network == Network::Connected).await.unwrap();

    // these arrive and are saved; their acknowledgement is never answered
    gate.fall_deaf();
    say(&mut alice, &room, 5..10).await;
    bot.saved(11).await;
    tokio::time::timeout(PATIENCE, health.wait_for(|health| health.network == Network::Away)).await.unwrap().unwrap();
    say(&mut alice, &room, 10..15).await;
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
    let (events, heard) = heard();
    let heartbeat = Heartbeat { every: Duration::from_millis(20), patience: Duration::from_secs(1) };
    let limits = |limits: &mut Limits| {
        limits.network_warns_after = Duration::from_millis(100);
        limits.network_fails_after = Duration::from_secs(1);
    };
    let watchdog = settings(limits);
    let options =
        Options { endpoint: gate.endpoint(&harness.endpoint), heartbeat, events, watchdog, ..harness.options() };
    let mut health = options.watchdog.health.subscribe();
    let bot = Bot::start(options).await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    say(&mut alice, &room, 0..5).await;
    bot.saved(6).await;
    let restarts = health.wait_for(|health| health.network == Network::Connected).await.unwrap().restarts;
    let (warnings, accepted) = (bot.counters.watchdog_warnings.get(), gate.accepted.get());

    gate.fall_silent();
    say(&mut alice, &room, 5..10).await;
    // by itself a try would hang for 20 s; each failure begins another one
    let two_failures = health.wait_for(|health| health.restarts >= restarts + 2);
    tokio::time::timeout(Duration::from_secs(15), two_failures).await.unwrap().unwrap();
    tokio::time::timeout(Duration::from_secs(15), gate.accepted.reaches(accepted + 2)).await.unwrap();
    gate.open();
    tokio::time::timeout(Duration::from_secs(15), bot.saved(11)).await.unwrap();
    let is_well = |health: &Health| {
        health.network == Network::Connected
            && health.network_failures == 0
            && health.pipeline == Pipeline::Moves
            && health.space != Space::Critical
    };
    health.wait_for(is_well).await.unwrap();
    let (now_warnings, failures) = (bot.counters.watchdog_warnings.get(), bot.counters.watchdog_failures.get());
    let restarts = health.borrow().restarts;
    bot.stop().await.unwrap();
    assert!(now_warnings > warnings);
    assert_eq!(failures, restarts, "each failure is counted and opens the connection again");
    let down = heard.of("switchboard_down").await;
    assert!(!down.is_empty() && down.len() as u64 <= failures, "{down:?}");
    assert_archived(&harness, &room, 10);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_stops_as_told_while_the_network_is_silent() {
    let harness = Harness::start();
    let gate = Gate::to(&harness.endpoint).await;
    let heartbeat = Heartbeat { every: Duration::from_millis(20), patience: Duration::from_secs(1) };
    let watchdog = settings(|_| ());
    let options = Options { endpoint: gate.endpoint(&harness.endpoint), heartbeat, watchdog, ..harness.options() };
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

#[tokio::test(flavor = "multi_thread")]
async fn on_a_critical_disk_deliveries_wait_and_go_on_by_themselves() {
    let harness = Harness::start();
    let (free, looks) = (Arc::new(AtomicU64::new(4096 * MIB)), Arc::new(Counter::default()));
    let disk = AskedDisk::new(|_, _| Ok(())).with_free({
        let (free, looks) = (free.clone(), looks.clone());
        move || {
            looks.add(1);
            free.load(Ordering::SeqCst)
        }
    });
    let (events, heard) = heard();
    let options = Options { disk: Arc::new(disk), events, watchdog: settings(|_| ()), ..harness.options() };
    let mut health = options.watchdog.health.subscribe();
    let bot = Bot::start(options).await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    say(&mut alice, &room, 0..5).await;
    bot.saved(6).await;

    free.store(100 * MIB, Ordering::SeqCst);
    health.wait_for(|health| health.space == Space::Critical).await.unwrap();
    let (received, saved, logins) =
        (bot.counters.messages_received.get(), bot.counters.messages_saved.get(), bot.counters.logins.get());
    say(&mut alice, &room, 5..25).await;
    // time enough for what is not held back: the watchdog has looked many times
    looks.reaches(looks.get() + 300).await;
    assert_eq!(bot.counters.messages_received.get(), received, "nothing is taken");
    assert_eq!(bot.counters.messages_saved.get(), saved);
    assert_eq!(bot.counters.logins.get(), logins, "and the bot stays logged in");

    free.store(512 * MIB, Ordering::SeqCst);
    bot.saved(26).await;
    assert_eq!(health.wait_for(|health| health.takes_deliveries()).await.unwrap().space, Space::Low);
    free.store(4096 * MIB, Ordering::SeqCst);
    health.wait_for(|health| health.space == Space::Enough).await.unwrap();
    free.store(512 * MIB, Ordering::SeqCst);
    health.wait_for(|health| health.space == Space::Low).await.unwrap();
    assert_eq!((bot.counters.watchdog_warnings.get(), bot.counters.watchdog_failures.get()), (1, 1));
    bot.stop().await.unwrap();
    let full = heard.of("disk_nearly_full").await;
    assert_eq!(full.len(), 2, "one for each crossing: {full:?}");
    assert_archived(&harness, &room, 25);
    harness.stop().await;
}

/// How a disk syncs.
#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum State {
    #[default]
    Works,
    Hangs,
    Fails,
}

/// A disk that hangs in its syncs from a moment on, and fails them when it is let go.
#[derive(Clone, Default)]
struct Hanging(Arc<(Mutex<State>, Condvar)>);

impl Hanging {
    fn set(&self, state: State) {
        *self.0.0.lock().unwrap() = state;
        self.0.1.notify_all();
    }

    fn disk(&self) -> Arc<dyn Disk> {
        let Self(shared) = self.clone();
        Arc::new(AskedDisk::new(move |call, _| {
            if call != DiskCall::SyncData {
                return Ok(());
            }
            match *shared.1.wait_while(shared.0.lock().unwrap(), |state| *state == State::Hangs).unwrap() {
                State::Works => Ok(()),
                State::Hangs | State::Fails => Err(std::io::ErrorKind::Other.into()),
            }
        }))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_cut_short_while_the_disk_hangs_and_the_next_bot_has_everything_once() {
    let harness = Harness::start();
    let disk = Hanging::default();
    let grace = Grace::new(Duration::from_secs(1));
    let options = Options {
        disk: disk.disk(),
        shipping: Shipping { grace, ..Shipping::local(Arc::new(RealDisk)) },
        ..harness.options()
    };
    let bot = Bot::start(options).await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    say(&mut alice, &room, 0..5).await;
    bot.saved(6).await;
    disk.set(State::Hangs);
    say(&mut alice, &room, 5..10).await;
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
    let (events, heard) = heard();
    let limits = |limits: &mut Limits| {
        limits.stage_warns_after = Duration::from_secs(1);
        limits.stage_fails_after = Duration::from_secs(2);
    };
    let grace = Grace::new(Duration::from_millis(100));
    let options = Options {
        disk: disk.disk(),
        shipping: Shipping { grace, ..Shipping::local(Arc::new(RealDisk)) },
        events,
        watchdog: settings(limits),
        ..harness.options()
    };
    let counters = options.counters.clone();
    let (_rotate, rotate) = mpsc::channel(1);
    let (ready, logged_in) = oneshot::channel();
    let controls = Controls { stop: CancellationToken::new(), rotate, ready: Some(ready) };
    let running = tokio::spawn(bot::run(options, controls));
    logged_in.await.unwrap();
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    say(&mut alice, &room, 0..5).await;
    counters.messages_saved.reaches(6).await;

    disk.set(State::Hangs);
    say(&mut alice, &room, 5..10).await;
    let error = tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(&error, BotError::Stalled(stalled) if stalled.stage == "commit"), "{error}");
    assert_eq!(error.fault(), Fault::Temporary);
    assert_eq!(counters.watchdog_failures.get(), 1);
    assert_eq!(heard.of("pipeline_stalled").await.len(), 1);
    // the process would be gone by now
    disk.set(State::Fails);

    let bot = harness.bot().await;
    bot.saved(5).await;
    bot.stop().await.unwrap();
    assert_archived(&harness, &room, 10);
    harness.stop().await;
}
