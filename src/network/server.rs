//! Listening, and the five tasks beside the connections: watching the directory, bringing bots into conversations,
//! deleting what everybody has, summing up what was refused, writing the audit. One that ends early ends the network:
//! nothing dies unnoticed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::change::{Change, Outcome};
use super::connection::{self, Ends};
use super::delivery::accept::Proposed;
use super::delivery::retention;
use super::directory::RetentionPolicy;
use super::error::NetworkError;
use super::limits::OPEN_FILES;
use retaind_task as task;

/// How soon a change made by another process (`retaind network suspend`) is seen.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);
const PURGE_INTERVAL: Duration = Duration::from_millis(250);
/// How soon a bot that had left no key package is proposed again.
const RETENTION_INTERVAL: Duration = Duration::from_secs(2);
/// Conversations proposed to in one change: the writer has other things to do.
const PROPOSE_AT_ONCE: usize = 16;
/// How long connections may take to end.
const DRAIN: Duration = Duration::from_secs(5);

/// Serves until `shutdown`.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    listener: std::net::TcpListener,
    shutdown: CancellationToken,
) -> Result<(), NetworkError> {
    listener.set_nonblocking(true).map_err(NetworkError::Listen)?;
    let listener = TcpListener::from_std(listener).map_err(NetworkError::Listen)?;
    let mut beside = JoinSet::new();
    start_beside(&mut beside, "directory watch", watch(Arc::clone(&shared), shutdown.clone()));
    start_beside(&mut beside, "retention", retain(Arc::clone(&shared), shutdown.clone()));
    start_beside(&mut beside, "purge", purge(Arc::clone(&shared), shutdown.clone()));
    start_beside(&mut beside, "summary", sum_up(Arc::clone(&shared), shutdown.clone()));
    start_beside(&mut beside, "audit", audit(Arc::clone(&shared), shutdown.clone()));
    let mut tasks = JoinSet::new();
    let ended = loop {
        tokio::select! {
            // first of all, or the tasks beside, which end by it as well, would look as if they had failed
            biased;
            () = shutdown.cancelled() => break None,
            ended = beside.join_next() => break ended.map(|name| name.unwrap_or("task")),
            Some(_) = tasks.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((tcp, peer)) => take(&shared, &mut tasks, tcp, peer, &shutdown),
                Err(error) => pause_after(&shared, &error).await,
            }
        }
    };
    shutdown.cancel();
    drop(listener);
    let drained = tokio::time::timeout(DRAIN, async { while tasks.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(connections = tasks.len(), "connections were cut off: they did not end in time");
    }
    write_audit(&shared).await;
    match ended {
        Some(name) => Err(NetworkError::Ended(name)),
        None => Ok(()),
    }
}

/// Gives a connection its place and starts it.
fn take(shared: &Arc<Shared>, tasks: &mut JoinSet<()>, tcp: TcpStream, peer: SocketAddr, shutdown: &CancellationToken) {
    // one that has gone already has no address
    let Ok(local) = tcp.local_addr() else { return };
    let ends = Ends { close: shutdown.child_token(), cut: CancellationToken::new() };
    if let Some(place) = shared.doors.enter(peer.ip(), local.ip(), ends.cut.clone()) {
        task::spawn_in(tasks, "connection", connection::run(Arc::clone(shared), tcp, place, ends));
    }
}

/// Starts a task that works beside the connections. Its result, should it end, is its name.
fn start_beside(set: &mut JoinSet<&'static str>, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    task::spawn_in(set, name, async move {
        work.await;
        name
    });
}

/// Out of file descriptors, most likely: trying again at once would only burn a core.
async fn pause_after(shared: &Shared, error: &io::Error) {
    tracing::debug!(%error, "a connection could not be accepted");
    shared.refusals.count(&OPEN_FILES);
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// One line for all that was refused since the last one, and none if nothing was.
async fn sum_up(shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut before = BTreeMap::new();
    shared.refusals.grown(&mut before);
    let mut ticks = interval(shared.limits.summary);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let mut limits = String::new();
        for (name, times) in shared.refusals.grown(&mut before) {
            let comma = if limits.is_empty() { "" } else { ", " };
            // a string takes everything
            let _infallible = write!(limits, "{comma}{name} {times}");
        }
        if !limits.is_empty() {
            tracing::warn!(%limits, "requests or connections were refused: each limit and how often, see docs/limits.md");
        }
    }
}

async fn audit(shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut ticks = interval(shared.limits.summary);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => write_audit(&shared).await,
        }
    }
}

/// Writes the failed log-ins since the last time. What could not be written is tried again.
async fn write_audit(shared: &Shared) {
    let rows = shared.audit.take();
    if !rows.is_empty() && shared.writer().change(Change::NoteFailedLogIns { rows: rows.clone() }).await.is_err() {
        shared.audit.put_back(rows);
    }
}

async fn watch(shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut ticks = interval(WATCH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
            () = shared.refresh.notified() => {}
        }
        let known = shared.policy().version;
        let read = shared.readers.run(move |db| Ok(RetentionPolicy::unless(known, db)?)).await;
        // a failed read was logged; the next tick tries again
        if let Ok(Some(policy)) = read {
            shared.apply(policy);
        }
    }
}

async fn retain(shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut swept = None;
    let mut ticks = interval(RETENTION_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
            () = shared.policy_changed.notified() => {}
        }
        let policy = shared.policy();
        repropose(&shared).await;
        if swept != Some(policy.version) {
            swept = (sweep(&shared, &policy, &shutdown).await == Proposed::Complete).then_some(policy.version);
        }
    }
}

/// Proposes again in conversations that a bot cannot follow: another commit may have been faster, or a key package missing.
async fn repropose(shared: &Arc<Shared>) {
    let mut after = 0;
    // a failed read was logged; the next tick tries again
    while let Ok(lost) = shared.readers.run(move |db| Ok(db.lost_after(after, PROPOSE_AT_ONCE)?)).await {
        let Some(last) = lost.last().copied() else { return };
        after = last;
        let _tried = shared.writer().change(Change::ProposeBots { conversations: lost }).await;
    }
}

async fn sweep(shared: &Arc<Shared>, policy: &Arc<RetentionPolicy>, shutdown: &CancellationToken) -> Proposed {
    let mut outcome = Proposed::Complete;
    let mut after = Some(0);
    while let Some(from) = after {
        let policy = Arc::clone(policy);
        let Ok(lacking) = shared.readers.run(move |db| Ok(retention::lacking(db, &policy, from)?)).await else {
            return Proposed::NoKeyPackage;
        };
        for conversations in lacking.conversations.chunks(PROPOSE_AT_ONCE) {
            if shutdown.is_cancelled() {
                return Proposed::NoKeyPackage;
            }
            let change = Change::ProposeBots { conversations: conversations.to_vec() };
            match shared.writer().change(change).await {
                Ok(Outcome::Proposed(Proposed::Complete)) => {}
                Ok(
                    Outcome::Proposed(Proposed::NoKeyPackage)
                    | Outcome::Answer(_)
                    | Outcome::Registered { .. }
                    | Outcome::Purged(_),
                )
                | Err(_) => outcome = Proposed::NoKeyPackage,
            }
        }
        after = lacking.next;
    }
    outcome
}

async fn purge(shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut ticks = interval(PURGE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        // as long as there is much to delete, without waiting for the next tick
        while let Ok(Outcome::Purged(deleted)) = shared.writer().change(Change::Purge).await {
            if !deleted.blobs.is_empty() {
                let shared = Arc::clone(&shared);
                // one that is cut off leaves files that the next start deletes
                task::blocking("blobs", move || shared.blobs.delete(&deleted.blobs)).await.ok();
            }
            if deleted.messages < super::delivery::purge::STEP_MESSAGES || shutdown.is_cancelled() {
                break;
            }
        }
    }
}
