//! Whichever system call fails, and however: nothing is lost, doubled or torn, and the program ends with one clear error or goes on.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::time::Instant;

use crate::support::faults::Figures;
use crate::support::faults::sweep::{self, Which};
use crate::support::program::built;

/// Runs at once: most of a run is waiting.
const LANES: usize = 4;
/// Of the gate.
const SAMPLE: usize = 60;

fn tell(figures: &Figures) {
    for (end, times) in &figures.ends {
        println!("{times:6}  {end}");
    }
    println!("{figures}; by kind: {:?}", figures.by_kind);
    for broken in &figures.broken {
        println!("BROKEN {broken}");
    }
    assert!(figures.broken.is_empty(), "{} promises were broken", figures.broken.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_system_call_fails_once_and_nothing_is_lost() {
    let prepared = match sweep::prepare(built()).await {
        Ok(prepared) => Arc::new(prepared),
        Err(reason) => return println!("WITHOUT the sweep of system calls: {reason}"),
    };
    let counts = prepared.count().await;
    let calls: u64 = counts.values().sum();
    let all = sweep::faults(&counts, Which::All).len();
    println!("{calls} calls on {} kinds of objects, {all} faults", counts.len());
    let faults = sweep::faults(&counts, Which::Sample(SAMPLE));
    let began = Instant::now();
    let figures = sweep::sweep(prepared, faults, LANES, &|_| ()).await;
    println!("{:?}", began.elapsed());
    tell(&figures);
}

/// `RETAIND_SWEEP=all cargo nextest run --run-ignored only every_system_call`: an hour. `RETAIND_LANES`: 4.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "an hour: a campaign"]
async fn every_system_call_fails_once_in_every_way_and_nothing_is_lost() {
    let prepared = Arc::new(sweep::prepare(built()).await.unwrap());
    let counts = prepared.count().await;
    let only = std::env::var("RETAIND_SWEEP").unwrap();
    let mut faults = sweep::faults(&counts, Which::All);
    if only != "all" {
        faults.retain(|fault| fault.to_string().contains(&only));
    }
    for (key, count) in &counts {
        println!("{count:6}  {key}");
    }
    let lanes = std::env::var("RETAIND_LANES").map_or(LANES, |lanes| lanes.parse().unwrap());
    let (all, began) = (faults.len(), Instant::now());
    println!("{all} faults");
    let progress = move |figures: &Figures| {
        if figures.runs % 50 == 0 {
            println!("{:?}: {} of {all}: {figures}", began.elapsed(), figures.runs);
        }
    };
    tell(&sweep::sweep(prepared, faults, lanes, &progress).await);
}
