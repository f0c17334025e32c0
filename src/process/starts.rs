//! One start of the bot among those before it: waits if they failed, and is counted if it fails. See [`retaind_bot::starts`].

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::Failure;
use retaind_bot::starts::{FAILED_MAX, History, Starts, millis};
use retaind_core::clock::{Clock, SystemClock};
use retaind_core::fault::Fault;
use retaind_report::counters::Counters;
use retaind_report::events::{Event, Events};
use retaind_task as task;

/// Waiting alone does not help.
#[derive(Debug, Error)]
#[error(
    "{failed} starts in a row have failed (the limit is {FAILED_MAX}): put right what caused it, see the log for the earlier ones, \
     then start the bot again; nothing is lost, the network keeps what it has not delivered"
)]
struct LimitReached {
    failed: u32,
    #[source]
    why: Box<dyn Error + Send + Sync>,
}

/// Carries out `start`, after a pause if the ones before it have failed. `state`: the directory, locked by this process.
pub(crate) fn counted(
    state: &Path,
    stop: &CancellationToken,
    runtime: &Runtime,
    counters: &Arc<Counters>,
    events: &Events,
    start: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let starts = Starts::of(state);
    let now = || millis(SystemClock.now_micros());
    if !runtime.block_on(starts.wait(now(), stop)) {
        events.raise(Event::ShuttingDown);
        return Ok(());
    }
    let works = task::spawn_on(runtime.handle(), "starts", {
        let (starts, counters) = (starts.clone(), counters.clone());
        async move { starts.forget_once_it_works(&counters).await }
    });
    let ended = start();
    let worked = works.is_finished();
    works.abort();
    match ended {
        Err(failure) if !worked && !stop.is_cancelled() && counts(&failure, counters) => {
            Err(at_limit(failure, starts.failed(now())))
        }
        Ok(()) | Err(_) => ended,
    }
}

/// Was anything asked that could be asked too often?
fn counts(failure: &Failure, counters: &Counters) -> bool {
    match failure.fault() {
        Fault::Temporary | Fault::Item | Fault::Stop | Fault::Internal => true,
        // refused by the network, and not found out here
        Fault::Configuration => counters.login_failures.get() > 0,
    }
}

fn at_limit(failure: Failure, history: History) -> Failure {
    let failed = history.failed_in_a_row;
    if !history.is_at_limit() {
        let next_waits_ms = history.pause_millis;
        tracing::warn!(
            failed,
            limit = FAILED_MAX,
            next_waits_ms,
            "this start failed, the next one waits before it asks the network"
        );
        return failure;
    }
    failure.because(|why| LimitReached { failed, why })
}
