//! Acknowledging: what is durable is acknowledged, and the network told what the bot cannot read.

use std::sync::Arc;

use retaind_device::connection::{Connection, ConnectionError};
use retaind_device::safe::Safe;
use tokio::sync::watch;

use crate::change::Due;
use crate::reports::Reports;

/// Acknowledges what is durable and tells the network what the bot cannot read, until nothing more comes and all is done, or
/// the network is away. Never blocks the commit: while the network is away each conversation's highest place waits.
pub(crate) async fn acknowledge(mut due: Due, mut connection: watch::Receiver<Option<Arc<Connection>>>) {
    let (mut safe, mut reports) = (Safe::default(), Reports::default());
    let mut open = true;
    while open || !safe.is_empty() || !reports.is_empty() {
        if safe.is_empty() && reports.is_empty() {
            open = due.more().await;
        }
        safe.append(due.take());
        reports.append(due.take_reports());
        if safe.is_empty() && reports.is_empty() {
            continue;
        }
        let current = connection.borrow_and_update().clone();
        let result = match current {
            Some(current) => {
                // first what stops a conversation that cannot be read
                let told = reports.tell(&current).await;
                told.and(current.acknowledge(&mut safe).await)
            }
            None => Err(ConnectionError::Closed),
        };
        if let Err(error) = result {
            if !open || connection.has_changed().is_err() {
                // not lost: the next start acknowledges what the state holds
                tracing::debug!(%error, "the last acknowledgements were not sent");
                return;
            }
            tokio::select! {
                changed = connection.changed() => if changed.is_err() { open = false },
                more = due.more() => open = more,
            }
        }
    }
}
