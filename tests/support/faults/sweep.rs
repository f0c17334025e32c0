//! Every system call of a whole life fails once, in every way that fits it.
//!
//! A bot is prepared once: registered, with an open message file that a kill has left, and with messages that wait in the network:
//! conversations to join, texts, files, changes of members, more than message files hold. Each run has a copy of all that, the
//! network included, and so depends on no other. The program runs with one fault until it ends, or has acknowledged all and is
//! told to stop; then it runs once more without any, and the archive is compared with what the network has accepted.
//!
//! Calls are counted by what they are about (see `calls.py`): the k-th `fdatasync` of `state/bot.db-wal` is the same one in
//! every run, as far as threads allow. The numbers are the highest of [`COUNTS`] runs; a fault whose call a run did not come to
//! is counted as not met.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use retaind::protocol::endpoint::Endpoint;
use retaind::protocol::ids::ConversationKind;
use tokio::task::JoinSet;

use super::bot::{acknowledged_but, ended_sensibly, ends_well, heals, in_small_files, live};
use super::calls::{self, Fault, Tracer, kinds};
use super::{Figures, Progress, words};
use crate::support::program::{Program, run_on_at};
use crate::support::traffic::Traffic;
use crate::support::{CHOSEN, Harness};

/// Runs without a fault that calls are counted in.
const COUNTS: usize = 3;
const SEED: u64 = 20_261_125;
/// Objects that a start looks at before it touches anything: tests of their own let each of their calls fail.
const BEFORE_ALL: [&str; 3] = ["probe", "ca.pem", "logs"];

/// Which faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// At most so many, spread over calls, objects, times and kinds, the same ones for the same counts; without what
    /// [`BEFORE_ALL`] names.
    Sample(usize),
}

/// A bot, its network and what it owes, to be copied for each run.
pub struct Prepared {
    directory: tempfile::TempDir,
    program: PathBuf,
    tracer: Tracer,
    /// Has said all that it says.
    traffic: Traffic,
}

/// Prepares a bot. `Err`: why no program can be traced here.
pub async fn prepare(program: &Path) -> Result<Prepared, String> {
    let tracer = Tracer::find()?;
    let harness = Harness::start();
    let home = harness.path().to_owned();
    let mut command = bot(program, &home, &harness.endpoint);
    let mut running = Program::start(&mut command);
    running.says("receives").await;
    let (_bob, _carol) = (harness.device("bob").await, harness.device("carol").await);
    let mut traffic = Traffic::begin(harness.device("alice").await, SEED, &home).await;
    traffic.texts(6).await;
    acknowledged_but(&home.join("network"), 0).await;
    ends_well(running).await;
    // its end has sealed all: what a kill leaves is an open file
    let mut running = Program::start(&mut command);
    running.says("receives").await;
    traffic.texts(2).await;
    acknowledged_but(&home.join("network"), 0).await;
    running.kill();

    traffic.begin_another(ConversationKind::Room).await;
    traffic.texts(8).await;
    traffic.file().await;
    traffic.member().await;
    traffic.texts(4).await;
    traffic.file().await;
    traffic.file().await;
    traffic.member().await;
    traffic.texts(6).await;
    let directory = tempfile::tempdir().unwrap();
    copy(harness.leave().await.path(), directory.path());
    for folder in ["upload", "logs"] {
        fs::remove_dir_all(directory.path().join(folder)).unwrap();
    }
    Ok(Prepared { directory, program: program.to_owned(), tracer, traffic })
}

fn bot(program: &Path, home: &Path, endpoint: &Endpoint) -> std::process::Command {
    in_small_files(run_on_at(program, home, endpoint))
}

impl Prepared {
    /// A copy of everything, with its network.
    fn copy(&self) -> Harness {
        let home = tempfile::tempdir().unwrap();
        copy(self.directory.path(), home.path());
        Harness::found(home)
    }

    /// A bot that has its password already: to try two of them is half of a short life.
    fn registered(&self, harness: &Harness) -> std::process::Command {
        let mut command = bot(&self.program, harness.path(), &harness.endpoint);
        command.env("WICKRIO_BOT_PASSWORD", CHOSEN).env_remove("WICKRIO_ROTATE_PASSWORD");
        command
    }

    /// How often each call is made on each object, when nothing fails.
    pub async fn count(&self) -> BTreeMap<String, u64> {
        let mut highest = BTreeMap::new();
        for _ in 0..COUNTS {
            let harness = self.copy();
            let (home, report) = (harness.path().to_owned(), harness.path().join("report"));
            let mut plain = self.registered(&harness);
            let (code, log) = live(&mut self.tracer.command(&home, &report, None, &plain), &home.join("network")).await;
            assert_eq!(code, Some(0), "{log}");
            for (key, count) in calls::told(&report).counts {
                let before = highest.entry(key).or_default();
                *before = count.max(*before);
            }
            heals(&mut plain, &home, &self.traffic).await;
            harness.stop().await;
        }
        highest
    }

    /// One run with this fault and one without.
    async fn strike(&self, fault: &Fault) -> Figures {
        let mut figures = Figures { runs: 1, ..Figures::default() };
        let harness = self.copy();
        let (home, report) = (harness.path().to_owned(), harness.path().join("report"));
        let mut plain = self.registered(&harness);
        let mut traced = self.tracer.command(&home, &report, Some(fault), &plain);
        let (code, log) = live(&mut traced, &home.join("network")).await;
        let told = calls::told(&report);
        let end = match &told.thread {
            None => {
                figures.not_met += 1;
                ended_sensibly(code, &log, &home)
            }
            Some(_) if fault.kind == "kill" => {
                assert_eq!(code, Some(128 + 9), "{log}");
                "killed".to_owned()
            }
            Some(_) => ended_sensibly(code, &log, &home),
        };
        if told.thread.is_some() {
            figures.struck(fault.kind);
        }
        *figures.ends.entry(format!("{} {}: {end}", fault.call, fault.object)).or_default() += 1;
        heals(&mut plain, &home, &self.traffic).await;
        figures.obligations += self.traffic.places() as u64;
        harness.stop().await;
        figures
    }
}

/// All faults of calls that are made so often.
pub fn faults(counts: &BTreeMap<String, u64>, which: Which) -> Vec<Fault> {
    let fault = |key: &str, k, kind| {
        let (call, object) = key.split_once(' ').unwrap();
        Fault { call: call.to_owned(), object: object.to_owned(), k, kind }
    };
    let kinds_of = |key: &str| {
        let (call, object) = key.split_once(' ').unwrap();
        kinds(call, object)
    };
    let all = counts.iter().flat_map(|(key, count)| {
        (1..=*count).flat_map(move |k| kinds_of(key).iter().map(move |kind| fault(key, k, kind)))
    });
    let Which::Sample(most) = which else { return all.collect() };
    // each call on each object once, at another time and in another way than its neighbour
    let wanted = |key: &str| !kinds_of(key).is_empty() && !BEFORE_ALL.iter().any(|object| key.contains(object));
    let known: Vec<(&String, &u64)> = counts.iter().filter(|(key, _)| wanted(key)).collect();
    let step = known.len().div_ceil(most).max(1);
    let spread = known.iter().enumerate().step_by(step).map(|(index, (key, count))| {
        let kinds = kinds_of(key);
        fault(key, 1 + (index as u64 * 7) % **count, kinds[index % kinds.len()])
    });
    spread.collect()
}

/// Runs these faults on so many lanes at once.
pub async fn sweep(prepared: Arc<Prepared>, faults: Vec<Fault>, lanes: usize, progress: Progress<'_>) -> Figures {
    let waiting = Arc::new(Mutex::new(VecDeque::from(faults)));
    let mut running = JoinSet::new();
    let mut figures = Figures::default();
    let begin = |running: &mut JoinSet<_>| {
        let Some(fault) = waiting.lock().unwrap().pop_front() else { return };
        let prepared = prepared.clone();
        running.spawn(async move {
            let of_run = fault.clone();
            let struck = tokio::spawn(async move { prepared.strike(&of_run).await });
            (fault, struck.await)
        });
    };
    (0..lanes).for_each(|_| begin(&mut running));
    while let Some(ended) = running.join_next().await {
        match ended.unwrap() {
            (_, Ok(of_run)) => figures.add(of_run),
            (fault, Err(error)) => {
                figures.runs += 1;
                figures.broken.push(format!("{fault}: {}", words(&*error.into_panic())));
            }
        }
        progress(&figures);
        begin(&mut running);
    }
    figures
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
