//! Bugs that other archives have had, one test each. What each one says did not hold there, and holds here.
//!
//! Each test works on the whole bot: the program as a process, or the bot in this one, with a network, devices and AWS's
//! stand-in as they are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod disk;
mod metrics;
mod records;
mod shipping;
mod state;
mod stopping;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use retaind::device::conversations::Device;
use retaind::protocol::ids::{ConversationId, ConversationKind};

use crate::support::Harness;
use crate::support::archive::{acknowledged, say};
use crate::support::program::{Program, run_on};

/// No bot takes so long to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// `retaind run` on the test's network.
fn program(harness: &Harness) -> Command {
    run_on(harness.path(), &harness.endpoint)
}

/// A program that has archived five texts of a room and was killed; five more wait for it with the network.
async fn killed_between(harness: &Harness) -> (Device, ConversationId) {
    let mut first = Program::start(&mut program(harness));
    first.says("receives").await;
    let (mut alice, room) = room(harness).await;
    say(&mut alice, &room, 0..5).await;
    acknowledged(harness).await;
    first.kill();
    say(&mut alice, &room, 5..10).await;
    (alice, room)
}

/// A device that has made a room with the bot in it.
async fn room(harness: &Harness) -> (Device, ConversationId) {
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    (alice, room)
}

/// Stops it as Docker does: what it said.
async fn stops(program: Program, expected: i32) -> String {
    program.signal("TERM");
    ends(program, expected).await
}

/// Waits for its end: what it said. One that lives on although it should not is not waited for.
async fn ends(program: Program, expected: i32) -> String {
    let (code, log) = tokio::time::timeout(PATIENCE, program.ends()).await.expect("it lives on");
    assert_eq!(code, Some(expected), "{log}");
    log
}

/// All files below, with their content.
fn contents(directories: &[PathBuf]) -> BTreeMap<PathBuf, Vec<u8>> {
    fn add(directory: &Path, all: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => add(&path, all),
                false => drop(all.insert(path.clone(), std::fs::read(path).unwrap())),
            }
        }
    }
    let mut all = BTreeMap::new();
    directories.iter().for_each(|directory| add(directory, &mut all));
    all
}
