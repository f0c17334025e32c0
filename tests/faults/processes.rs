//! Processes that are stopped, cut off, killed at random, upgraded, and have no room on their disks: the archive is what is owed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use retaind::device::store::STEPS;
use retaind::network::Admin;
use retaind::protocol::endpoint::Endpoint;
use retaind::state::schema::{self, Step};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::support::aws::fault::{Fault, On, Times};
use crate::support::aws::moto::Moto;
use crate::support::aws::proxy::Proxy;
use crate::support::faults::bot::{FILE_KIB, acknowledged_but, ends_well, in_small_files, patient_device};
use crate::support::faults::cutter::Cutter;
use crate::support::program::{self, Program, retaind, run_on, run_on_at};
use crate::support::traffic::{Dice, Traffic, is_sealed, names};
use crate::support::{BOT, CHOSEN, Harness, PASSWORD, user};

/// The bot of a test, in small files.
fn bot(home: &Path, network: &Endpoint) -> Command {
    in_small_files(run_on(home, network))
}

/// A device that sends whenever it is told to.
struct Sending {
    turns: mpsc::UnboundedSender<u64>,
    task: JoinHandle<Traffic>,
}

impl Sending {
    fn begin(traffic: Traffic) -> Self {
        let (turns, told) = mpsc::unbounded_channel();
        Self { turns, task: tokio::spawn(traffic.run(told)) }
    }

    fn say(&self, messages: u64) {
        self.turns.send(messages).unwrap();
    }

    async fn finish(self) -> Traffic {
        drop(self.turns);
        self.task.await.unwrap()
    }
}

async fn traffic(harness: &Harness, seed: u64) -> Traffic {
    let (_bob, _carol) = (harness.device("bob").await, harness.device("carol").await);
    Traffic::begin(harness.device("alice").await, seed, harness.path()).await
}

/// Waits until the bot has acknowledged all and stops it; then the archive is what is owed.
async fn all_is_kept(bot: Program, harness: &Harness, traffic: &Traffic) {
    acknowledged_but(&harness.path().join("network"), 0).await;
    ends_well(bot).await;
    traffic.is_archived(&harness.messages(), &harness.files());
    is_sealed(&harness.messages(), FILE_KIB * 1024);
}

/// A network that is a process of its own.
struct Outside {
    directory: PathBuf,
    endpoint: Endpoint,
}

fn serve(directory: &Path, listen: &str) -> Program {
    Program::start(retaind(&["network", "serve", "--listen", listen, "--directory"]).arg(directory))
}

impl Outside {
    /// With a bot account, and retention on.
    async fn start(directory: &Path) -> (Self, Program) {
        let mut process = serve(directory, "127.0.0.1:0");
        let line = process.says("network listens").await;
        let (_, address) = line.rsplit_once("address=").unwrap();
        let endpoint = loop {
            match Admin::open(directory).unwrap().endpoint() {
                Ok(endpoint) if endpoint.address == address => break endpoint,
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let mut admin = Admin::open(directory).unwrap();
        admin.ensure_bot(&user(BOT), PASSWORD).unwrap();
        admin.set_retention(&[user(BOT)]).unwrap();
        (Self { directory: directory.to_owned(), endpoint }, process)
    }

    /// The same one again, at the same address.
    async fn again(&self) -> Program {
        let mut process = serve(&self.directory, &self.endpoint.address);
        process.says("network listens").await;
        process
    }

    async fn traffic(&self, seed: u64, scratch: &Path) -> Traffic {
        let (_bob, _carol) =
            (patient_device(&self.directory, "bob").await, patient_device(&self.directory, "carol").await);
        Traffic::begin(patient_device(&self.directory, "alice").await, seed, scratch).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bot_and_network_killed_independently_at_random_lose_and_double_nothing() {
    const KILLS: u64 = 16;
    const SEED: u64 = 20_261_101;
    println!("seed {SEED}");
    let mut dice = Dice(SEED);
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    let (outside, mut network) = Outside::start(&home.join("network")).await;
    let mut command = bot(home, &outside.endpoint);
    let mut bot = Program::start(&mut command);
    bot.says("receives").await;
    let sending = Sending::begin(outside.traffic(SEED, home).await);
    for _ in 0..KILLS {
        sending.say(6);
        tokio::time::sleep(Duration::from_micros(dice.below(200_000))).await;
        let sides = dice.below(3);
        if sides != 0 {
            // perhaps in the middle of its start, while the network is not there either
            bot.kill();
            bot = Program::start(&mut command);
        }
        if sides != 1 {
            network.kill();
            network = outside.again().await;
        }
    }
    let traffic = sending.finish().await;
    bot.says("Logged in").await;
    acknowledged_but(&outside.directory, 0).await;
    ends_well(bot).await;
    ends_well(network).await;
    traffic.is_archived(&home.join("messages"), &home.join("attachments"));
    is_sealed(&home.join("messages"), FILE_KIB * 1024);
}

/// Sends a signal to a process and waits until the system says that it is so.
async fn stop_or_go_on(process: &Program, signal: &str, state: char) {
    process.signal(signal);
    let is = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid())).unwrap();
        (stat.rsplit_once(") ").unwrap().1.starts_with('T')) == (state == 'T')
    };
    while !is() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn faketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().map(|folder| folder.unwrap().path());
    let library = folders.map(|folder| folder.join("faketime/libfaketime.so.1")).find(|library| library.exists());
    library.unwrap_or_else(|| panic!("no libfaketime below /usr/lib: `tests/setup` installs `faketime`"))
}

/// Bot and network are stopped by SIGSTOP in turn, each for so long, while messages are sent; the bot's clock leaps meanwhile.
async fn stopped(pause: Duration, messages: u64) {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    let (outside, network) = Outside::start(&home.join("network")).await;
    let clock = home.join("clock");
    fs::write(&clock, "+0").unwrap();
    let mut command = bot(home, &outside.endpoint);
    command.env("LD_PRELOAD", faketime()).env("FAKETIME_TIMESTAMP_FILE", &clock);
    command.env("FAKETIME_NO_CACHE", "1").env("DONT_FAKE_MONOTONIC", "1");
    let mut bot = Program::start(&mut command);
    bot.says("receives").await;
    let sending = Sending::begin(outside.traffic(9, home).await);
    for leap in ["+400d", "-400d", "+0"] {
        sending.say(messages);
        stop_or_go_on(&bot, "STOP", 'T').await;
        fs::write(&clock, leap).unwrap();
        sending.say(messages);
        tokio::time::sleep(pause).await;
        stop_or_go_on(&bot, "CONT", 'S').await;
        sending.say(messages);
        stop_or_go_on(&network, "STOP", 'T').await;
        sending.say(messages);
        tokio::time::sleep(pause).await;
        stop_or_go_on(&network, "CONT", 'S').await;
    }
    let traffic = sending.finish().await;
    acknowledged_but(&outside.directory, 0).await;
    assert!(bot.runs(), "it lives through all of that");
    ends_well(bot).await;
    ends_well(network).await;
    traffic.is_archived(&home.join("messages"), &home.join("attachments"));
    is_sealed(&home.join("messages"), FILE_KIB * 1024);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_and_a_network_that_are_stopped_for_a_while_and_clocks_that_leap_cost_nothing() {
    stopped(Duration::from_millis(800), 10).await;
}

/// The heartbeat gives up after 40 s, a write of the network after 60 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "seven minutes: longer than anybody's patience"]
async fn a_bot_and_a_network_that_are_stopped_for_longer_than_the_others_patience_cost_nothing() {
    stopped(Duration::from_secs(65), 300).await;
}

/// A small file system of its own, until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`: not permitted here, and said.
    fn mount(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir(at).unwrap();
        let options = format!("size={size},mode=755");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(at).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            failed => {
                // `tests/run` sets it, and says so
                assert!(std::env::var_os("RETAIND_TESTS_WITHOUT_MOUNTS").is_some(), "{failed:?}");
                println!("WITHOUT small disks that fill up: file systems cannot be mounted here, which root may");
                None
            }
        }
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let mut file = File::options().append(true).create(true).open(self.0.join("ballast")).unwrap();
        for bytes in [4096, 1] {
            let block = vec![0; bytes];
            let full = std::iter::repeat_with(|| file.write_all(&block)).find_map(Result::err).unwrap();
            assert_eq!(full.kind(), ErrorKind::StorageFull);
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // lazily: who still has a file open there keeps nobody
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The disk below `folder` fills up while messages come in; started again it is told at once; with room all is there.
async fn fills_up(folder: &str, told: &str) {
    let harness = Harness::start();
    let Some(disk) = SmallDisk::mount(&harness.path().join(folder), "8m") else { return };
    let mut command = bot(harness.path(), &harness.endpoint);
    // without the watchdog, which would stop long before
    command.env("RETAIND_DISK_LOW", "0");
    let mut bot = Program::start(&mut command);
    bot.says("receives").await;
    let mut traffic = traffic(&harness, 11).await;
    for _ in 0..2 {
        traffic.say(20).await;
        disk.fill();
        traffic.say(40).await;
        let (code, log) = bot.ends().await;
        assert_eq!(code, Some(75), "{log}");
        let error = log.split_once("error: ").unwrap().1;
        assert!(error.contains("full") && error.contains(harness.path().join(folder).to_str().unwrap()), "{error}");
        disk.fill();
        let (code, log) = Program::start(&mut command).ends().await;
        assert_eq!(code, Some(75), "{log}");
        assert!(log.contains(told) && log.contains("is full: free some space"), "{log}");
        disk.make_room();
        bot = Program::start(&mut command);
        bot.says("Logged in").await;
    }
    all_is_kept(bot, &harness, &traffic).await;
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_of_the_state_that_fills_up_costs_nothing() {
    fills_up("state", "`RETAIND_STATE`").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_of_the_messages_that_fills_up_costs_nothing() {
    fills_up("messages", "`WICKRIO_COMP_MESGDEST`").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_of_the_attachments_that_fills_up_costs_nothing() {
    fills_up("attachments", "`WICKRIO_COMP_FILEDEST`").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_to_the_network_that_is_cut_in_the_middle_of_frames_again_and_again_costs_nothing() {
    const CUTS: u64 = 12;
    const SEED: u64 = 20_261_102;
    let harness = Harness::start();
    let mut registered = Program::start(&mut bot(harness.path(), &harness.endpoint));
    registered.says("receives").await;
    ends_well(registered).await;
    let cutter = Cutter::to(&harness.endpoint, SEED, 60_000).await;
    let bot = Program::start(&mut bot(harness.path(), &cutter.endpoint(&harness.endpoint)));
    let mut traffic = traffic(&harness, SEED).await;
    while cutter.cuts.get() < CUTS {
        traffic.say(5).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    cutter.heal();
    all_is_kept(bot, &harness, &traffic).await;
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_killed_while_it_uploads_to_a_failing_s3_leaves_one_object_for_each_file() {
    const KILLS: u64 = 12;
    const SEED: u64 = 20_261_103;
    let mut dice = Dice(SEED);
    let moto = Moto::start();
    moto.bucket("archive").await;
    let proxy = Proxy::start(moto.address());
    let harness = Harness::start();
    let mut command = bot(harness.path(), &harness.endpoint);
    command.envs(moto.operator().through(&proxy.endpoint()).variables());
    command.envs([("WICKRIO_S3_BUCKET_NAME", "archive"), ("WICKRIO_S3_REGION", "us-east-1")]);
    let mut bot = Program::start(&mut command);
    bot.says("receives").await;
    let sending = Sending::begin(traffic(&harness, SEED).await);
    let faults = [Fault::LoseAnswer, Fault::ResetInBody, Fault::Internal, Fault::SlowDown, Fault::LoseAnswer];
    for kill in 0..KILLS {
        sending.say(15);
        let fault = faults[kill as usize % faults.len()];
        let trouble = proxy.trouble(On::operation("PutObject"), Times::First(1), fault);
        tokio::time::timeout(Duration::from_secs(30), trouble.strikes(1)).await.unwrap();
        tokio::time::sleep(Duration::from_micros(dice.below(60_000))).await;
        bot.kill();
        trouble.heal();
        bot = Program::start(&mut command);
        bot.says("Logged in").await;
    }
    let traffic = sending.finish().await;
    acknowledged_but(&harness.path().join("network"), 0).await;
    ends_well(bot).await;

    assert_eq!((names(&harness.messages()), names(&harness.files())), (BTreeSet::new(), BTreeSet::new()));
    // what the bucket holds, laid out as a local archive, is what is owed: nothing under two names, nothing altered
    let (messages, files) = (harness.path().join("of bucket"), harness.path().join("files of bucket"));
    fs::create_dir(&messages).unwrap();
    fs::create_dir(&files).unwrap();
    for object in moto.objects("archive").await {
        let folder = if object.metadata["wickrio-type"] == "message" { &messages } else { &files };
        let path = folder.join(object.key.rsplit('/').next().unwrap());
        assert!(!path.exists(), "two objects of one name: {path:?}");
        fs::write(path, object.bytes).unwrap();
    }
    traffic.is_archived(&messages, &files);
    is_sealed(&messages, FILE_KIB * 1024);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_devices_of_one_bot_each_archive_all_of_it() {
    let harness = Harness::start();
    let second = harness.path().join("second");
    fs::create_dir(&second).unwrap();
    let mut one = Program::start(&mut bot(harness.path(), &harness.endpoint));
    one.says("receives").await;
    // the first one has put its own password in force
    let mut command = bot(&second, &harness.endpoint);
    command.env("WICKRIO_BOT_PASSWORD", CHOSEN).env_remove("WICKRIO_ROTATE_PASSWORD");
    let mut two = Program::start(&mut command);
    two.says("receives").await;
    let sending = Sending::begin(traffic(&harness, 12).await);
    for _ in 0..4 {
        sending.say(25);
        tokio::time::sleep(Duration::from_millis(60)).await;
        two.kill();
        two = Program::start(&mut command);
        two.says("Logged in").await;
    }
    let traffic = sending.finish().await;
    acknowledged_but(&harness.path().join("network"), 0).await;
    ends_well(one).await;
    ends_well(two).await;
    let archives = [harness.path(), &second].map(|home| (home.join("messages"), home.join("attachments")));
    for (messages, files) in &archives {
        traffic.is_archived(messages, files);
        is_sealed(messages, FILE_KIB * 1024);
    }
    let [of_one, of_two] = archives.map(|(messages, _)| names(&messages));
    assert!(of_one.is_disjoint(&of_two), "both may be shipped to one bucket: {of_one:?}, {of_two:?}");
    harness.stop().await;
}

/// What a next release might do to the tables.
fn next(connection: &rusqlite::Connection) -> rusqlite::Result<()> {
    connection.execute_batch("CREATE TABLE next (one INTEGER PRIMARY KEY) STRICT")
}

/// As a package manager does it: the new program takes the name of the old one, which may be running.
fn install(release: &Path, at: &Path) {
    let aside = at.with_extension("new");
    fs::copy(release, &aside).unwrap();
    fs::rename(aside, at).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_in_the_middle_of_traffic_and_the_way_back_cost_nothing() {
    let harness = Harness::start();
    let installed = harness.path().join("retaind");
    install(program::built(), &installed);
    let mut command = in_small_files(run_on_at(&installed, harness.path(), &harness.endpoint));
    let mut bot = Program::start(&mut command);
    bot.says("receives").await;
    let sending = Sending::begin(traffic(&harness, 13).await);
    for killed in [false, true] {
        sending.say(60);
        install(program::built(), &installed);
        sending.say(60);
        if killed {
            bot.kill();
        } else {
            ends_well(bot).await;
        }
        bot = Program::start(&mut command);
        bot.says("Logged in").await;
    }
    // a newer release takes over from one that was killed, and is given up again before it has acknowledged anything
    bot.kill();
    let state = harness.path().join("state/bot.db");
    let newer: Vec<Step> = STEPS.iter().copied().chain([next as Step]).collect();
    schema::bring_up(&mut rusqlite::Connection::open(&state).unwrap(), &state, &newer).unwrap();
    sending.say(60);
    let (code, log) = Program::start(&mut command).ends().await;
    assert_eq!(code, Some(78), "{log}");
    for beside in ["bot.db-wal", "bot.db-shm"] {
        match fs::remove_file(state.with_file_name(beside)) {
            Err(error) if error.kind() != ErrorKind::NotFound => panic!("{error}"),
            Ok(()) | Err(_) => {}
        }
    }
    fs::rename(state.with_file_name(format!("bot.db.v{}", STEPS.len())), &state).unwrap();
    let mut bot = Program::start(&mut command);
    bot.says("Logged in").await;
    let traffic = sending.finish().await;
    all_is_kept(bot, &harness, &traffic).await;
    harness.stop().await;
}
