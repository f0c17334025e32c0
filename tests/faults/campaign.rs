//! The campaign behind the table in docs/proof.md: any number of simulated lives, and every call failing once.
//!
//! ```text
//! cargo run --release --example campaign -- --seeds 10000      lives of the seeds 1 to 10,000
//! cargo run --release --example campaign -- --calls            every call of disk and connection fails once, in each way
//! cargo run --release --example campaign -- --wrong 300        bots that were built wrongly: each has to be caught
//! cargo run --release --example campaign -- --seed 38          one life; with RETAIND_TRACE=1 it tells what happens
//! cargo run --release --example campaign -- --table            the first two with 10,000 seeds, written into docs/proof.md
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]
#![allow(
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    clippy::let_underscore_must_use,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    reason = "these rules are for the product"
)]

#[path = "../support/mod.rs"]
mod support;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::thread;

use clap::Parser;
use indicatif::ProgressBar;
use support::sim::campaign::{Job, Sum, run, sweep};
use support::sim::world::{Build, Trouble, live};

/// Seeds of the table.
const SEEDS: u64 = 10_000;
/// Lives whose calls are swept: one ships to a bucket, one keeps its files.
const SWEPT: [u64; 2] = [1, 3];
/// Failures that are shown.
const SHOWN_MAX: usize = 20;
const TABLE_BEGINS: &str = "<!-- faults: cargo run --release --example campaign -- --table -->\n";
const TABLE_ENDS: &str = "<!-- faults end -->\n";

/// Simulated lives of the bot, and what the oracle says of them.
#[derive(Parser)]
struct Arguments {
    /// Live this many seeds.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Let every call fail once.
    #[arg(long)]
    calls: bool,
    /// Live this many seeds with each of the wrong builds.
    #[arg(long)]
    wrong: Option<u64>,
    /// Live this one.
    #[arg(long)]
    seed: Option<u64>,
    /// Do what the table shows, and write it.
    #[arg(long)]
    table: bool,
    /// At the same time.
    #[arg(long)]
    threads: Option<NonZeroUsize>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let threads = arguments.threads.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
    if let Some(seed) = arguments.seed {
        let life = live(seed, Trouble::Everything, Build::Right);
        println!("{life:#?}");
        return if life.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if let Some(seeds) = arguments.wrong {
        return wrong(seeds, threads);
    }
    let mut rows = Vec::new();
    let seeds = if arguments.table { Some(SEEDS) } else { arguments.seeds };
    if let Some(seeds) = seeds {
        let jobs: Vec<Job> = (arguments.from..).take(usize::try_from(seeds).unwrap()).map(Job::of_seed).collect();
        let sum = shown("everything that a seed says", &jobs, threads);
        rows.push((format!("simulation, seeds {} to {}", arguments.from, arguments.from + seeds - 1), sum));
    }
    if arguments.table || arguments.calls {
        let jobs: Vec<Job> = SWEPT.into_iter().flat_map(|seed| sweep(seed, 1)).collect();
        let sum = shown("every call fails once", &jobs, threads);
        rows.push((
            format!("simulation, every call of the lives {} and {} fails once, in each way", SWEPT[0], SWEPT[1]),
            sum,
        ));
    }
    if arguments.table {
        write_table(&rows);
    }
    if rows.iter().all(|(_, sum)| sum.broken.is_empty()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn shown(what: &str, jobs: &[Job], threads: NonZeroUsize) -> Sum {
    let bar = ProgressBar::new(u64::try_from(jobs.len()).unwrap());
    let started = std::time::Instant::now();
    let sum = run(jobs, threads, Build::Right, &|_| bar.inc(1));
    bar.finish_and_clear();
    sum.broken.iter().take(SHOWN_MAX).for_each(|(name, why)| println!("{name}: {why}"));
    println!("{what}: {} in {:.0} s", summary(&sum), started.elapsed().as_secs_f64());
    sum
}

fn summary(sum: &Sum) -> String {
    let Sum { lives, owed, starts, power, kills, errors, cuts, flips, broken } = sum;
    format!(
        "{lives} lives, {starts} starts, {power} losses of power, {kills} kills, {errors} ends by an error, {cuts} lost \
         acknowledgements and connections, {flips} flipped bits; {owed} obligations, {} lives with a broken one",
        broken.len()
    )
}

fn wrong(seeds: u64, threads: NonZeroUsize) -> ExitCode {
    let jobs: Vec<Job> = (1..=seeds).map(Job::of_seed).collect();
    let mut caught = true;
    for build in Build::WRONG {
        let sum = run(&jobs, threads, build, &|_| ());
        println!(
            "{build:?}: caught by {} of {} lives, first by {:?}",
            sum.broken.len(),
            sum.lives,
            sum.broken.first().map(|(name, _)| name)
        );
        caught &= !sum.broken.is_empty();
    }
    if caught { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Puts the rows of this campaign into the table of docs/proof.md; rows of others stay.
fn write_table(rows: &[(String, Sum)]) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/proof.md");
    let proof = std::fs::read_to_string(path).unwrap();
    let (before, rest) = proof.split_once(TABLE_BEGINS).expect("docs/proof.md has the table");
    let (table, after) = rest.split_once(TABLE_ENDS).expect("the table ends");
    let date = jiff::Zoned::now().strftime("%Y-%m-%d").to_string();
    let mut lines: Vec<String> =
        table.lines().filter(|line| !line.starts_with("| simulation")).map(str::to_owned).collect();
    for (what, sum) in rows.iter().rev() {
        let Sum { lives, owed, starts, power, kills, errors, cuts, flips, broken } = sum;
        let faults = format!(
            "{power} losses of power, {kills} kills, {errors} ends by an error, {cuts} cut connections, {flips} flipped bits"
        );
        let row = format!("| {what} | {lives} | {starts} | {faults} | {owed} | **{}** | {date} |", broken.len());
        lines.insert(2, row);
    }
    std::fs::write(path, format!("{before}{TABLE_BEGINS}{}\n{TABLE_ENDS}{after}", lines.join("\n"))).unwrap();
}
