//! How the process is watched, and how it ends.

use std::time::Duration;

use crate::mistake::Invalid;
use crate::parse::number;
use crate::reader::Reader;
use crate::variable::{Fallback, variables};

const SECONDS_PER_MINUTE: u64 = 60;
/// A day: who is not told within one might as well not be told.
const WATCHDOG_MINUTES_MAX: u64 = 24 * 60;
/// An hour: what is not uploaded by then waits for something else than time.
const GRACE_SECONDS_MAX: u64 = 60 * 60;
const BYTES_PER_MIB: u64 = 1024 * 1024;
/// Largest size that is still a number of bytes.
const DISK_LOW_MIB_MAX: u64 = u64::MAX / BYTES_PER_MIB;

variables! {
    WATCHDOG_MINUTES: "RETAIND_WATCHDOG_MINUTES", Fallback::Text("15"), Public,
        "minutes after which a network that stays away is a failure (an event, and the connection is opened again), and again after each further so many; 1 to 1440";
    DISK_LOW: "RETAIND_DISK_LOW", Fallback::Text("1024"), Public,
        "MiB of free disk space below which operators are told; below it the embedded network takes no more attachments, below an eighth of it the bot takes no messages until there is room (they wait in the network), and below a 64th of it the network takes none; 0 = none of it";
    SHIP_STALL: "RETAIND_SHIP_STALL_MINUTES", Fallback::Text("15"), Public,
        "minutes without a single upload although files wait after which operators are told (event and reason `ship_stalled`), whatever the cause; 1 to 1440";
    GRACE: "RETAIND_GRACE_SECONDS", Fallback::Text("8"), Public,
        "seconds that a stop may take from the signal to the end, uploads and last events included; what does not fit waits for the next start. `docker stop` kills after 10 unless told otherwise (`--stop-timeout`); 1 to 3600";
}

/// When the watchdog barks.
#[derive(Debug)]
pub struct Watchdog {
    /// After how long an absent network is a failure.
    pub fails_after: Duration,
    /// Fewer free bytes than these are told; 0 = never.
    pub disk_low_bytes: u64,
}

/// How long the process may hang, and how long it may take to stop.
#[derive(Debug)]
pub struct Process {
    /// How it is watched.
    pub watchdog: Watchdog,
    /// How long nothing may be uploaded although files wait.
    pub ship_stalls_after: Duration,
    /// How long a stop may take.
    pub grace: Duration,
}

pub(crate) fn read(r: &mut Reader) -> Option<Process> {
    let fails_after = r.read(&WATCHDOG_MINUTES, watchdog_minutes);
    let disk_low_bytes = r.read(&DISK_LOW, disk_low);
    let ship_stalls_after = r.read(&SHIP_STALL, watchdog_minutes);
    let grace = r.read(&GRACE, grace);
    let watchdog = Watchdog { fails_after: fails_after?, disk_low_bytes: disk_low_bytes? };
    Some(Process { watchdog, ship_stalls_after: ship_stalls_after?, grace: grace? })
}

pub(crate) fn value(process: &Process, name: &str) -> Option<String> {
    let watchdog = &process.watchdog;
    match name {
        "RETAIND_WATCHDOG_MINUTES" => Some((watchdog.fails_after.as_secs() / SECONDS_PER_MINUTE).to_string()),
        "RETAIND_DISK_LOW" => Some((watchdog.disk_low_bytes / BYTES_PER_MIB).to_string()),
        "RETAIND_SHIP_STALL_MINUTES" => Some((process.ship_stalls_after.as_secs() / SECONDS_PER_MINUTE).to_string()),
        "RETAIND_GRACE_SECONDS" => Some(process.grace.as_secs().to_string()),
        _ => None,
    }
}

/// Minutes → duration.
fn watchdog_minutes(text: &str) -> Result<Duration, Invalid> {
    let minutes = number(text, "minutes", 1, WATCHDOG_MINUTES_MAX)?;
    Ok(Duration::from_secs(minutes.saturating_mul(SECONDS_PER_MINUTE)))
}

/// Seconds → duration.
fn grace(text: &str) -> Result<Duration, Invalid> {
    number(text, "seconds", 1, GRACE_SECONDS_MAX).map(Duration::from_secs)
}

/// MiB → bytes.
fn disk_low(text: &str) -> Result<u64, Invalid> {
    let mib = number(text, "MiB", 0, DISK_LOW_MIB_MAX)?;
    Ok(mib.saturating_mul(BYTES_PER_MIB))
}
