//! Killed at any instant, the bot loses nothing and doubles nothing: the program itself, as a process.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use retaind::network::Admin;
use retaind::protocol::endpoint::Endpoint;
use retaind::protocol::ids::ConversationKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::support::faults::bot::{FILE_KIB, acknowledged_but, ends_well, in_small_files, patient_device};
use crate::support::faults::storm;
use crate::support::program::{self, Program, retaind};
use crate::support::traffic::{Dice, Traffic, is_sealed, names};
use crate::support::{self, BOT, Harness, PASSWORD, text, unacknowledged, user};

/// `retaind run` with everything below `home`, in small files.
fn run(home: &Path) -> Command {
    in_small_files(program::run(home))
}

/// The same, on a network that is another process (or the test's).
fn run_on(home: &Path, network: &Endpoint) -> Command {
    in_small_files(program::run_on(home, network))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_killed_at_200_random_instants_loses_and_doubles_nothing() {
    const KILLS: u64 = 200;
    const SEED: u64 = 20_260_801;
    println!("seed {SEED}");
    println!("{}", storm::one(program::built(), SEED, KILLS).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_that_is_told_to_stop_under_load_acknowledges_all_that_it_keeps_and_ends_with_0() {
    let harness = Harness::start();
    let (home, network) = (harness.path(), harness.path().join("network"));
    let mut command = run_on(home, &harness.endpoint);
    let mut bot = Program::start(&mut command);
    bot.says("receives").await;
    let (_bob, _carol) = (harness.device("bob").await, harness.device("carol").await);
    let mut traffic = Traffic::begin(harness.device("alice").await, 7, home).await;
    acknowledged_but(&network, 0).await;
    bot.kill();
    traffic.say(400).await;
    let before = unacknowledged(&network);
    assert_eq!(before, 400);

    let bot = Program::start(&mut command);
    acknowledged_but(&network, before - 1).await;
    let (turns, told) = mpsc::unbounded_channel();
    let sending = tokio::spawn(traffic.run(told));
    turns.send(200).unwrap();
    ends_well(bot).await;
    drop(turns);
    let traffic = sending.await.unwrap();
    let archived = support::records(&harness.messages()).len();
    let (sent, kept) = (i64::try_from(traffic.places()).unwrap(), unacknowledged(&network));
    assert_eq!(i64::try_from(archived).unwrap(), sent - kept, "archived and acknowledged are not the same");
    is_sealed(&harness.messages(), FILE_KIB * 1024);

    let bot = Program::start(&mut command);
    acknowledged_but(&network, 0).await;
    ends_well(bot).await;
    traffic.is_archived(&harness.messages(), &harness.files());
    is_sealed(&harness.messages(), FILE_KIB * 1024);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_bot_on_the_same_state_is_refused_and_the_first_goes_on() {
    let harness = Harness::start();
    let (home, network) = (harness.path(), harness.path().join("network"));
    let mut command = run_on(home, &harness.endpoint);
    let mut first = Program::start(&mut command);
    first.says("receives").await;
    let (_bob, _carol) = (harness.device("bob").await, harness.device("carol").await);
    let mut traffic = Traffic::begin(harness.device("alice").await, 8, home).await;
    traffic.say(10).await;
    let (code, log) = Program::start(&mut command).ends().await;
    assert_eq!(code, Some(75), "{log}");
    let of_first = format!("is in use by another bot (process {})", first.pid());
    assert!(log.contains(&of_first) && log.contains("RETAIND_STATE"), "{log}");
    traffic.say(10).await;
    acknowledged_but(&network, 0).await;
    ends_well(first).await;
    traffic.is_archived(&harness.messages(), &harness.files());
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bot_and_embedded_network_killed_together_lose_and_double_nothing() {
    const KILLS: u64 = 20;
    const SEED: u64 = 20_260_802;
    println!("seed {SEED}");
    let mut dice = Dice(SEED);
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    let network = home.join("state").join("network");
    let mut command = run(home);
    command.env("RETAIND_LISTEN", "127.0.0.1:0");
    let mut bot = Program::start(&mut command);
    bot.says("receives").await;
    let (_bob, _carol) = (patient_device(&network, "bob").await, patient_device(&network, "carol").await);
    let traffic = Traffic::begin(patient_device(&network, "alice").await, SEED, home).await;
    let (turns, told) = mpsc::unbounded_channel();
    let sending = tokio::spawn(traffic.run(told));
    for _ in 0..KILLS {
        turns.send(8).unwrap();
        tokio::time::sleep(Duration::from_micros(dice.below(150_000))).await;
        bot.kill();
        bot = Program::start(&mut command);
        bot.says("receives").await;
    }
    drop(turns);
    let traffic = sending.await.unwrap();
    acknowledged_but(&network, 0).await;
    ends_well(bot).await;
    traffic.is_archived(&home.join("messages"), &home.join("attachments"));
    is_sealed(&home.join("messages"), FILE_KIB * 1024);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_outlives_its_network() {
    const KILLS: u64 = 8;
    const SEED: u64 = 20_260_803;
    println!("seed {SEED}");
    let mut dice = Dice(SEED);
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    let at = home.join("network");
    let serve =
        |listen: &str| Program::start(retaind(&["network", "serve", "--listen", listen, "--directory"]).arg(&at));
    let mut network = serve("127.0.0.1:0");
    let line = network.says("network listens").await;
    let (_, address) = line.rsplit_once("address=").unwrap();
    let endpoint = loop {
        match Admin::open(&at).unwrap().endpoint() {
            Ok(endpoint) if endpoint.address == address => break endpoint,
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let mut admin = Admin::open(&at).unwrap();
    admin.ensure_bot(&user(BOT), PASSWORD).unwrap();
    admin.set_retention(&[user(BOT)]).unwrap();
    let mut bot = Program::start(&mut run_on(home, &endpoint));
    bot.says("receives").await;
    let (_bob, _carol) = (patient_device(&at, "bob").await, patient_device(&at, "carol").await);
    let traffic = Traffic::begin(patient_device(&at, "alice").await, SEED, home).await;
    let (turns, told) = mpsc::unbounded_channel();
    let sending = tokio::spawn(traffic.run(told));
    for _ in 0..KILLS {
        turns.send(10).unwrap();
        tokio::time::sleep(Duration::from_micros(dice.below(150_000))).await;
        network.kill();
        network = serve(address);
        network.says("network listens").await;
    }
    drop(turns);
    let traffic = sending.await.unwrap();
    acknowledged_but(&at, 0).await;
    assert!(bot.runs(), "{}", bot.log());
    ends_well(bot).await;
    ends_well(network).await;
    traffic.is_archived(&home.join("messages"), &home.join("attachments"));
    is_sealed(&home.join("messages"), FILE_KIB * 1024);
}

/// Passes everything on to the network, until the network knows a device of the bot: then it hangs up on the bot.
async fn hang_up_on_a_registered_bot(harness: &Harness, listener: tokio::net::TcpListener) {
    let (client, _) = listener.accept().await.unwrap();
    let server = tokio::net::TcpStream::connect(&harness.endpoint.address).await.unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = from_server.read(&mut buffer).await.unwrap();
        if bot_devices(harness) > 0 || read == 0 {
            up.abort();
            return;
        }
        to_client.write_all(&buffer[..read]).await.unwrap();
    }
}

fn bot_devices(harness: &Harness) -> usize {
    let users = harness.network.admin(|admin| admin.users()).unwrap();
    users.into_iter().filter(|summary| summary.user == BOT).map(|summary| summary.devices.len()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_that_never_hears_that_it_is_registered_is_still_one_device() {
    let harness = Harness::start();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = harness.options();
    options.endpoint.address = listener.local_addr().unwrap().to_string();
    let mut command = run_on(harness.path(), &options.endpoint);
    let bot = Program::start(&mut command);
    hang_up_on_a_registered_bot(&harness, listener).await;
    let (code, log) = bot.ends().await;
    assert_eq!((code, bot_devices(&harness)), (Some(75), 1), "{log}");

    let mut bot = Program::start(&mut run_on(harness.path(), &harness.endpoint));
    bot.says("receives").await;
    assert_eq!(bot_devices(&harness), 1);
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    alice.send(&room, &text("archived")).await.unwrap();
    acknowledged_but(&harness.path().join("network"), 0).await;
    ends_well(bot).await;
    assert_eq!(names(&harness.files()).len(), 0);
    assert_eq!(harness.records().last().unwrap()["message"], "archived");
    harness.stop().await;
}
