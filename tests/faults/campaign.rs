//! Any number of lives.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod support;

use support::sim::disk::Broken;
use support::sim::world::{Build, Trouble, live};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (first, last): (u64, u64) = (arguments[0].parse().unwrap(), arguments[1].parse().unwrap());
    let build = match arguments.get(2).map(String::as_str) {
        None => Build::Right,
        Some("ack") => Build::AcknowledgesFirst,
        Some("sync") => Build::Disk(Broken::NoSync),
        Some("short") => Build::Disk(Broken::ShortWrites),
        Some("names") => Build::Disk(Broken::NoSyncOfNames),
        Some(_) => Build::Disk(Broken::NoSyncOfState),
    };
    let start = std::time::Instant::now();
    let (mut bad, mut starts, mut power, mut errors, mut kills, mut calls) = (0, 0, 0, 0, 0, 0);
    for seed in first..=last {
        let life = live(seed, Trouble::Everything, build);
        if !life.is_whole() {
            bad += 1;
            println!("seed {seed}: {life}");
        }
        starts += life.starts;
        power += life.power;
        errors += life.errors;
        kills += life.kills;
        calls += life.disk_calls;
    }
    println!("{bad} of {} in {:?}; {starts} starts {power} power {errors} errors {kills} kills {calls} calls", last - first + 1, start.elapsed());
}
