//! The campaign behind the table in SECURITY.md: every attack in full on the whole program, while honest people use it.
//!
//! ```text
//! cargo run --release --example attack                         every attack, 30 s each
//! cargo run --release --example attack -- hellos frames        these
//! cargo run --release --example attack -- --table              all of them, written into SECURITY.md
//! cargo run --release --example attack -- --soak 20            so many minutes of full load, hostile members and a flaky S3
//! cargo run --release --example attack -- --program PATH       on another build of the program, such as one of before
//! cargo run --release --example attack -- --set NAME=VALUE     with this variable
//! ```
//!
//! The soak needs what `tests/setup` installs. It exits with 1 if memory, honest devices, the archive or the log suffered more than they may.
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

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use support::attack::full::Attack;
use support::attack::soak::{Soaked, soak};
use support::attack::target::{IS_PROGRAM, Measured};

const TABLE_BEGINS: &str = "<!-- attacks: cargo run --release --example attack -- --table -->\n";
const TABLE_ENDS: &str = "<!-- attacks end -->\n";
/// Limits that a row names.
const REFUSED_SHOWN: usize = 3;

/// Attacks on the whole program, and what they do to it.
#[derive(Parser)]
struct Arguments {
    /// Only these.
    attacks: Vec<Attack>,
    /// How long each lasts.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Attack this program instead of the one that is built in here.
    #[arg(long)]
    program: Option<PathBuf>,
    /// A variable of the program: `NAME=VALUE`.
    #[arg(long, value_parser = variable)]
    set: Vec<(String, String)>,
    /// Instead of that: so many minutes of full load, with two hostile members and an S3 that fails in every way.
    #[arg(long, value_name = "MINUTES")]
    soak: Option<u64>,
    /// Write the table into SECURITY.md: the column `now`, or with `--program` the column `before`.
    #[arg(long)]
    table: bool,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn main() -> ExitCode {
    if std::env::var_os(IS_PROGRAM).is_some() {
        return retaind::cli::main();
    }
    let arguments = Arguments::parse();
    let attacks = if arguments.attacks.is_empty() { Attack::value_variants() } else { &arguments.attacks };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let program = arguments.program.clone().unwrap_or_else(|| std::env::current_exe().unwrap());
    if let Some(minutes) = arguments.soak {
        return print_soak(&runtime.block_on(soak(&program, Duration::from_secs(minutes * 60))));
    }
    let mut all_hold = true;
    for attack in attacks {
        let measured = runtime.block_on(run(*attack, &program, &arguments));
        let broken = measured.broken();
        println!("{attack:?}: {}\n  {}\n  {}", attack.title(), measured.did, cell(&measured));
        broken.iter().for_each(|what| println!("  MUST NOT BE: {what}"));
        all_hold &= broken.is_empty();
        if arguments.table {
            write_row(attack.title(), arguments.program.is_some(), &format!("{}: {}", measured.did, cell(&measured)));
        }
    }
    if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(attack: Attack, program: &Path, arguments: &Arguments) -> Measured {
    let time = Duration::from_secs(arguments.seconds);
    Measured::of(program, &arguments.set, time, async |target, until| attack.run(target, until).await).await
}

fn print_soak(soaked: &Soaked) -> ExitCode {
    let Soaked { seconds, accepted, missing, doubled, quarters, attacks, troubles, log_bytes, exit } = soaked;
    println!(
        "{seconds:.0} s: {accepted} texts accepted ({:.0}/s), {missing} missing, {doubled} doubled in the bucket; \
         {troubles} requests failed by S3; {log_bytes} bytes of log; exit code {exit:?}",
        *accepted as f64 / seconds
    );
    for (least, most) in quarters {
        println!(
            "  a quarter: {} to {} MiB, {} to {} threads, {} to {} descriptors",
            least.bytes >> 20,
            most.bytes >> 20,
            least.threads,
            most.threads,
            least.descriptors,
            most.descriptors
        );
    }
    attacks.iter().for_each(|attack| println!("  {attack}"));
    let whole = *missing == 0 && *doubled == 0 && *exit == Some(0) && *accepted > 0;
    if whole && soaked.is_flat() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What came of it, in a line.
fn cell(measured: &Measured) -> String {
    let Measured { idle, peak, after, noticed, lost, log_bytes_an_hour, refused, exit, .. } = measured;
    let (connections, probes) = (noticed.connections, noticed.probes);
    let mut cell = format!(
        "{} MiB at most, then {} (before {}); p99 {} ms; {lost} of {} messages lost; log {} kB an hour",
        peak >> 20,
        after >> 20,
        idle >> 20,
        noticed.p99().as_millis(),
        noticed.accepted.len(),
        log_bytes_an_hour / 1000,
    );
    if connections.1 > 0 {
        cell += &format!("; {} of {} connections not served", connections.1, connections.0);
    }
    if probes.1 > 0 {
        cell += &format!("; {} of {} probes not answered", probes.1, probes.0);
    }
    if *exit != Some(0) {
        cell += &format!("; exit code {exit:?}");
    }
    let refused: Vec<String> =
        refused.iter().take(REFUSED_SHOWN).map(|(limit, count)| format!("`{limit}` {count}")).collect();
    if !refused.is_empty() {
        cell += &format!("; refused by {}", refused.join(", "));
    }
    cell
}

/// Puts what came of an attack into its row; the other column stays.
fn write_row(title: &str, before: bool, cell: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/SECURITY.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (head, rest) = page.split_once(TABLE_BEGINS).expect("SECURITY.md has the table");
    let (table, tail) = rest.split_once(TABLE_ENDS).expect("the table ends");
    let mut rows: Vec<[String; 3]> = table
        .lines()
        .skip(2)
        .map(|line| {
            let cells: Vec<String> = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
            cells.try_into().expect("three columns")
        })
        .collect();
    if !rows.iter().any(|row| row[0] == title) {
        rows.push([title.to_owned(), "not measured".to_owned(), "not measured".to_owned()]);
    }
    for [attack, of_before, of_now] in &mut rows {
        if attack == title {
            cell.clone_into(if before { of_before } else { of_now });
        }
    }
    let rows: Vec<String> =
        rows.iter().map(|[attack, before, now]| format!("| {attack} | {before} | {now} |")).collect();
    let table = format!("| attack | before | now |\n|---|---|---|\n{}\n", rows.join("\n"));
    std::fs::write(path, format!("{head}{TABLE_BEGINS}{table}{TABLE_ENDS}{tail}")).unwrap();
}
