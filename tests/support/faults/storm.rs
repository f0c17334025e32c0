//! A bot that is killed again and again while messages come in: SIGKILL at random instants of its start and of its work.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::bot::{FILE_KIB, acknowledged_but, ends_well, in_small_files};
use super::{Figures, Progress, words};
use crate::support::Harness;
use crate::support::program::{Program, run_on_at};
use crate::support::traffic::{Dice, Traffic, is_sealed};

/// Longest time that a bot which has logged in works before it is killed.
const WORK_MICROS: u64 = 100_000;

/// Kills one bot so many times. Panics at the first promise that is broken.
pub async fn one(program: &Path, seed: u64, kills: u64) -> Figures {
    let mut dice = Dice(seed);
    let mut figures = Figures::default();
    let harness = Harness::start();
    let (home, network) = (harness.path(), harness.path().join("network"));
    let mut command = in_small_files(run_on_at(program, home, &harness.endpoint));
    let started = Instant::now();
    let mut bot = Program::start(&mut command);
    bot.says("receives").await;
    let mut log_in = started.elapsed();
    let (_bob, _carol) = (harness.device("bob").await, harness.device("carol").await);
    let traffic = Traffic::begin(harness.device("alice").await, seed, home).await;
    let (turns, told) = mpsc::unbounded_channel();
    let sending = tokio::spawn(traffic.run(told));
    bot.kill();

    for _ in 0..kills {
        turns.send(3 + dice.below(6)).unwrap();
        let started = Instant::now();
        let mut bot = Program::start(&mut command);
        let (kind, instant) = if dice.below(3) == 0 {
            // while it starts: state, recovery, log-in
            ("while it starts", log_in.mul_f64(0.001 * dice.below(1000) as f64))
        } else {
            bot.says("Logged in").await;
            log_in = started.elapsed();
            ("while it works", Duration::from_micros(dice.below(WORK_MICROS)))
        };
        // the instant is what is tested; nothing is waited for
        tokio::time::sleep(instant).await;
        bot.kill();
        figures.runs += 1;
        figures.struck(kind);
    }

    drop(turns);
    let traffic = sending.await.unwrap();
    let mut bot = Program::start(&mut command);
    // all may be acknowledged already: then this life must at least have begun before it is told to stop
    bot.says("Logged in").await;
    acknowledged_but(&network, 0).await;
    ends_well(bot).await;
    assert_eq!(harness.unacknowledged(), 0);
    traffic.is_archived(&harness.messages(), &harness.files());
    is_sealed(&harness.messages(), FILE_KIB * 1024);
    figures.obligations = traffic.places() as u64;
    harness.stop().await;
    figures
}

/// Kills so many times in all, on so many lanes at once, each with a bot, a network and a seed of its own.
pub async fn storm(program: &Path, seed: u64, kills: u64, lanes: u64, progress: Progress<'_>) -> Figures {
    let mut running = JoinSet::new();
    for lane in 0..lanes {
        let (program, seed) = (PathBuf::from(program), seed + lane);
        let of_lane = kills / lanes + u64::from(lane < kills % lanes);
        running.spawn(async move { (seed, tokio::spawn(async move { one(&program, seed, of_lane).await }).await) });
    }
    let mut figures = Figures::default();
    while let Some(ended) = running.join_next().await {
        match ended.unwrap() {
            (_, Ok(of_lane)) => figures.add(of_lane),
            (seed, Err(error)) => figures.broken.push(format!("seed {seed}: {}", words(&*error.into_panic()))),
        }
        progress(&figures);
    }
    figures
}
