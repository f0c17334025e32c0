//! Signals → what the bot is to do. The only place that hears signals.
//!
//! SIGTERM and SIGINT ask for a stop: the bot drains and exits with 0. A second one cuts the drain short: the process
//! ends at once, with the code of a temporary failure, and the next start recovers as from a crash. So does the end of the
//! grace time, whatever hangs ([`end_in_time`]): better told and with the right code than killed. SIGUSR1 rotates
//! the message file now. SIGHUP opens the log file again; a program without one ends by it, as the terminal that sends it
//! expects.

use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use retaind_bot::grace::{Grace, Part};
use retaind_report::logs;
use retaind_task as task;

/// Exit code of a drain that was cut short (`EX_TEMPFAIL`).
const EXIT_CUT_SHORT: i32 = 75;

/// Signals this close together are one wish: a supervisor may signal a process and then its whole group.
const SAME_WISH: Duration = Duration::from_millis(500);

/// Signals cannot be heard.
#[derive(Debug, Error)]
#[error("signals cannot be heard")]
pub struct SignalError(#[from] std::io::Error);

/// What signals turn into.
pub struct Signalled {
    /// Cancelled by SIGTERM and SIGINT.
    pub stop: CancellationToken,
    /// Something comes with SIGUSR1.
    pub rotate: mpsc::Receiver<()>,
}

/// Begins the grace time with the stop, and ends the process with it. Only what has hung in a place without a deadline of
/// its own (a start that waits for a disk) is still there to be ended.
#[expect(clippy::exit, reason = "what hangs in the system cannot be ended otherwise, and the next start recovers")]
pub(crate) async fn end_in_time(stop: CancellationToken, grace: Grace) {
    stop.cancelled().await;
    grace.begin();
    tokio::time::sleep_until(grace.until(Part::End)).await;
    tracing::warn!("the grace time (RETAIND_GRACE_SECONDS) is over: the drain is cut short, the next start recovers");
    logs::finish();
    std::process::exit(EXIT_CUT_SHORT);
}

/// Starts to hear signals, on a thread of its own.
pub fn listen() -> Result<Signalled, SignalError> {
    hear(Signals::new([SIGTERM, SIGINT, SIGUSR1])?)
}

/// The same, for a program that may have log files: SIGHUP does not end it.
pub(crate) fn listen_with_logs() -> Result<Signalled, SignalError> {
    hear(Signals::new([SIGTERM, SIGINT, SIGUSR1, SIGHUP])?)
}

#[expect(clippy::exit, reason = "a second signal asks for just this")]
fn hear(mut signals: Signals) -> Result<Signalled, SignalError> {
    let stop = CancellationToken::new();
    let (ask, rotate) = mpsc::channel(1);
    let heard = stop.clone();
    task::thread("signals", move || {
        let mut first: Option<Instant> = None;
        for signal in signals.forever() {
            match signal {
                // a rotation that is asked for twice is one
                SIGUSR1 => drop(ask.try_send(())),
                SIGHUP => logs::reopen(),
                _ if first.is_some_and(|first| first.elapsed() >= SAME_WISH) => {
                    tracing::warn!("second signal: the drain is cut short, the next start recovers");
                    logs::finish();
                    std::process::exit(EXIT_CUT_SHORT);
                }
                _ => {
                    first.get_or_insert_with(Instant::now);
                    heard.cancel();
                }
            }
        }
    })?;
    Ok(Signalled { stop, rotate })
}
