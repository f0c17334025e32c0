//! The same as the gate does, in full: by hand, as long as it takes.
//!
//! ```sh
//! RETAIND_KILLS=1000 cargo nextest run --run-ignored only --no-capture -E 'test(/a_campaign_of_kills/)'
//! RETAIND_SWEEP=all cargo nextest run --run-ignored only --no-capture -E 'test(/a_campaign_of_calls/)'
//! ```
//!
//! `RETAIND_SWEEP` may be a part of a fault's name instead: `fdatasync`, `state/bot.db-wal`. `RETAIND_LANES`: runs at once.
//! `RETAIND_PROGRAM`: another program than the one that was built with the tests.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::support::faults::sweep::{self, Which};
use crate::support::faults::{Figures, storm};
use crate::support::program::built;

/// Runs at once: most of a run is waiting.
const LANES: usize = 4;
const SEED: u64 = 20_261_125;
/// Runs from one line of progress to the next.
const TELL_EVERY: u64 = 100;

pub fn tell(figures: &Figures) {
    for (end, times) in &figures.ends {
        println!("{times:6}  {end}");
    }
    println!("{figures}; by kind: {:?}", figures.by_kind);
    for broken in &figures.broken {
        println!("BROKEN {broken}");
    }
    assert!(figures.broken.is_empty(), "{} promises were broken", figures.broken.len());
}

fn program() -> PathBuf {
    std::env::var_os("RETAIND_PROGRAM").map_or_else(|| built().to_owned(), PathBuf::from)
}

fn number(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).map_or(otherwise, |number| number.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: a campaign"]
async fn a_campaign_of_kills() {
    let (kills, lanes) = (number("RETAIND_KILLS", 1000) as u64, number("RETAIND_LANES", LANES) as u64);
    let began = Instant::now();
    println!("{kills} kills on {lanes} lanes, seeds from {SEED}");
    tell(&storm::storm(&program(), SEED, kills, lanes, &|figures| println!("{:?}: {figures}", began.elapsed())).await);
    println!("{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "an hour: a campaign"]
async fn a_campaign_of_calls() {
    let prepared = Arc::new(sweep::prepare(&program()).await.unwrap());
    let counts = prepared.count().await;
    for (key, count) in &counts {
        println!("{count:6}  {key}");
    }
    let mut faults = sweep::faults(&counts, Which::All);
    let only = std::env::var("RETAIND_SWEEP").unwrap_or_else(|_| "all".to_owned());
    if only != "all" {
        faults.retain(|fault| fault.to_string().contains(&only));
    }
    let (all, began) = (faults.len(), Instant::now());
    println!("{} calls, {all} faults", counts.values().sum::<u64>());
    let told = AtomicUsize::new(0);
    let progress = move |figures: &Figures| {
        if figures.runs.is_multiple_of(TELL_EVERY) {
            println!("{:?}: of {all}: {figures}", began.elapsed());
        }
        for broken in figures.broken.iter().skip(told.swap(figures.broken.len(), Ordering::Relaxed)) {
            println!("BROKEN {broken}");
        }
    };
    tell(&sweep::sweep(prepared, faults, number("RETAIND_LANES", LANES), &progress).await);
    println!("{:?}", began.elapsed());
}
