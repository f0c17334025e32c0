//! Lives of a bot between faults: how long one may last, what it may say at its end, and what the archive owes afterwards.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use retaind::device::account::{self, Proof};
use retaind::device::conversations::Device;
use retaind::device::patience::Patience;
use retaind::device::store::{STEPS, Store};
use retaind::network::Admin;
use retaind::protocol::credential::Role;

use crate::support::program::Program;
use crate::support::traffic::{Traffic, is_sealed};
use crate::support::{unacknowledged, user, vault};

/// Small, so that faults meet rotations.
pub const FILE_KIB: u64 = 4;
/// No life lasts so long unless it hangs.
const LIFE_MAX: Duration = Duration::from_secs(90);
/// How long a device waits for a network that is killed again and again.
const PATIENCE: Duration = Duration::from_secs(120);
/// Another process knows: there is nothing but to look again.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// In small files.
pub fn in_small_files(mut command: Command) -> Command {
    command.env("WICKRIO_COMP_FILESIZE", FILE_KIB.to_string());
    command
}

/// Waits until the network keeps at most `places` for the bot.
pub async fn acknowledged_but(directory: &Path, places: i64) {
    while unacknowledged(directory) > places {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Ends as after SIGTERM, with nothing left to do.
pub async fn ends_well(bot: Program) {
    bot.signal("TERM");
    let (code, log) = bot.ends().await;
    assert_eq!(code, Some(0), "{log}");
}

/// Runs until all is acknowledged and it is told to stop, or until it ends by itself: exit code and log.
pub async fn live(command: &mut Command, network: &Path) -> (Option<i32>, String) {
    let mut bot = Program::start(command);
    let life = async {
        if unacknowledged(network) == 0 {
            // nothing else shows that it has begun
            bot.works_or_ends("Logged in").await;
        }
        while bot.runs() && unacknowledged(network) > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    if tokio::time::timeout(LIFE_MAX, life).await.is_err() {
        panic!("it goes on for ever:\n{}", bot.log());
    }
    if bot.runs() {
        bot.signal("TERM");
    }
    let end = async {
        while bot.runs() {
            tokio::time::sleep(LOOK_EVERY).await
        }
    };
    if tokio::time::timeout(LIFE_MAX, end).await.is_err() {
        panic!("it does not end as told:\n{}", bot.log());
    }
    bot.ends().await
}

/// The end of a life that a fault has met: 0, 75 or 78, and one error that names its object. What it said, without what
/// differs from run to run.
pub fn ended_sensibly(code: Option<i32>, log: &str, home: &Path) -> String {
    assert!(!log.contains("panicked"), "a panic:\n{log}");
    let code = code.unwrap();
    assert!([0, 75, 78].contains(&code), "exit code {code}:\n{log}");
    if code == 0 {
        return "0".to_owned();
    }
    let said: Vec<usize> = log.match_indices("error: ").map(|(at, _)| at).collect();
    let begins = |at: &usize| *at == 0 || log[..*at].ends_with('\n');
    let said: Vec<usize> = said.into_iter().filter(begins).collect();
    let [at] = said[..] else { panic!("{} errors are told, not one:\n{log}", said.len()) };
    let error = &log[at..];
    let lines = error.lines().take_while(|line| !line.contains(" INFO ") && !line.contains(" WARN "));
    let error = lines.collect::<Vec<_>>().join(" /").replace(home.to_str().unwrap(), "");
    let digits = |c: char| if c.is_ascii_digit() { '#' } else { c };
    format!("{code} {}", error.chars().map(digits).collect::<String>())
}

/// Runs without a fault to its end, and then the archive is what is owed.
pub async fn heals(command: &mut Command, home: &Path, traffic: &Traffic) {
    let network = home.join("network");
    let (code, log) = live(command, &network).await;
    assert_eq!((code, unacknowledged(&network)), (Some(0), 0), "the run after it:\n{log}");
    traffic.is_archived(&home.join("messages"), &home.join("attachments"));
    is_sealed(&home.join("messages"), FILE_KIB * 1024);
}

/// Registers a device on the network in `directory` which waits for that network wherever it is served next.
pub async fn patient_device(directory: &Path, name: &str) -> Device {
    let invite = Admin::open(directory).unwrap().invite(&user(name), Role::Normal, None).unwrap();
    let store = Store::in_memory(vault(), STEPS).unwrap();
    let account = account::register(store, &invite.endpoint, Proof::Invite(&invite.code), 0).await.unwrap();
    let mut device = Device::start_with_key_packages(account, 4).await.unwrap();
    let directory = directory.to_owned();
    let whereabouts = move || Admin::open(&directory).unwrap().endpoint().unwrap();
    device.be_patient(Patience::lasting(PATIENCE).looking_at(whereabouts));
    device
}
