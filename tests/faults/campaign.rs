//! Any number of lives.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod support;

use support::sim::world::{Build, Trouble, live};

fn main() {
    let arguments: Vec<u64> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    let (first, last) = (arguments[0], arguments[1]);
    let start = std::time::Instant::now();
    let mut bad = 0;
    for seed in first..=last {
        let life = live(seed, Trouble::Everything, Build::Right);
        if !life.is_whole() {
            bad += 1;
            println!("seed {seed}: {life}");
        }
    }
    println!("{bad} of {} in {:?}", last - first + 1, start.elapsed());
}
