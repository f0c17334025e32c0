//! The systemd unit: systemd takes it, calls it safe, and the bot runs under what it restricts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{file, has, judged, root, script, spoiled};
use crate::support::program::{Program, run};

const UNIT: &str = "systemd/retaind.service";
/// Highest exposure that `systemd-analyze security` may find, in tenths: 0 is none, 100 all. What is left is the network,
/// which a bot needs.
const EXPOSURE_MAX: &str = "12";

/// Of `run.rs`, `cli/report.rs` and `cli/run.rs`: upload, farewell, last events, left-over calls.
const DRAIN: Duration = Duration::from_secs(7 + 3 + 3 + 1);

/// A copy of the unit that starts the program that is tested.
fn unit(directory: &Path) -> PathBuf {
    spoiled(directory, UNIT, "ExecStart=/usr/bin/retaind", &format!("ExecStart={}", env!("CARGO_BIN_EXE_retaind")))
}

fn verify(unit: &Path) -> Result<String, String> {
    judged(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(unit))
}

fn secure(unit: &Path) -> Result<String, String> {
    let options = ["security", "--offline=yes", "--no-pager", "--threshold", EXPOSURE_MAX];
    judged(Command::new("systemd-analyze").args(options).arg(unit))
}

fn setting(name: &str) -> Vec<String> {
    let prefix = format!("{name}=");
    file(UNIT).lines().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect()
}

#[test]
fn systemd_takes_the_unit_and_finds_nothing_exposed_but_the_network() {
    if !has("systemd") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let unit = unit(directory.path());
    verify(&unit).unwrap();
    secure(&unit).unwrap();
    for (from, to) in [
        ("Restart=on-failure", "Restart=on-failur"),
        ("TimeoutStopSec=30", "TimeoutStopSec=soon"),
        ("ExecStart=/usr/bin/retaind", "ExecStart=/usr/bin/no-such-program"),
    ] {
        let said = verify(&spoiled(directory.path(), UNIT, from, to));
        // some mistakes are told and leave the exit code as it is
        assert!(said.is_err() || warned(directory.path()), "systemd takes `{to}`");
    }
    for line in ["DynamicUser=yes", "SystemCallFilter=@system-service", "CapabilityBoundingSet="] {
        let said = secure(&spoiled(directory.path(), UNIT, &format!("\n{line}\n"), "\n"));
        said.expect_err(line);
    }
}

/// Does systemd complain of the unit there?
fn warned(directory: &Path) -> bool {
    let mut command = Command::new("systemd-analyze");
    let output = command.args(["verify", "--man=no"]).arg(directory.join("retaind.service")).output().unwrap();
    !output.stderr.is_empty()
}

#[test]
fn the_unit_gives_the_bot_time_to_drain_and_does_not_repeat_a_mistake() {
    let [seconds] = &*setting("TimeoutStopSec") else { panic!("one TimeoutStopSec") };
    assert!(Duration::from_secs(seconds.parse().unwrap()) > DRAIN);
    assert_eq!(setting("RestartPreventExitStatus"), [retaind::cli::EXIT_CONFIGURATION.to_string()]);
    assert_eq!(setting("Restart"), ["on-failure"]);
    assert_eq!(setting("StartLimitBurst"), ["5"]);
    assert_eq!(setting("KillSignal"), ["SIGTERM"]);
}

/// What of the unit the kernel enforces by itself: mounts and users need a systemd that runs.
#[tokio::test]
async fn the_bot_starts_reloads_and_stops_under_the_units_filters() {
    if !has("systemd") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    // with its health endpoint, as by default
    let bare = run(home.path());
    let mut command = Command::new("python3");
    command.arg("-B").arg(script("sandbox.py")).arg(root().join("config").join(UNIT)).arg(bare.get_program());
    command.args(bare.get_args()).env_clear();
    for (name, value) in bare.get_envs() {
        command.env(name, value.unwrap());
    }
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.envs([("RETAIND_LISTEN", "127.0.0.1:0"), ("RETAIND_HEALTH", "127.0.0.1:0")]);
    let mut program = Program::start(&mut command);
    program.says("health endpoint listens").await;
    program.says("receives from the network").await;
    program.signal("HUP");
    program.says("log file opened anew").await;
    program.signal("TERM");
    let (code, log) = program.ends().await;
    assert_eq!(code, Some(0), "{log}");
}

/// All kinds of messages and attachments, and everything audited: `retaind demo` under the same filters.
#[test]
fn a_whole_conversation_is_archived_under_the_units_filters() {
    if !has("systemd") {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let demo = |unit: &Path| {
        let mut command = Command::new("python3");
        command.arg("-B").arg(script("sandbox.py")).arg(unit).args([env!("CARGO_BIN_EXE_retaind"), "demo"]);
        let path = std::env::var_os("PATH").unwrap_or_default();
        judged(command.env_clear().env("PATH", path).env("TMPDIR", temporary.path()))
    };
    demo(&root().join("config").join(UNIT)).unwrap();
    // and the filters filter: without the network's system calls nothing comes in
    let calls = spoiled(temporary.path(), UNIT, "~@privileged", "~bind @privileged");
    demo(&calls).unwrap_err();
    let families = spoiled(temporary.path(), UNIT, "AF_INET AF_INET6 ", "");
    demo(&families).unwrap_err();
    fs::remove_file(families).unwrap();
}
