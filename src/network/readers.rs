//! Reading beside the writer: a few read-only connections, used on blocking threads.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::error::ChangeError;
use super::store;
use crate::error::Refusal;

/// Reads at the same time. More would only wait for the same disk and cores.
const READERS_MAX: usize = 4;

/// The pool.
pub(crate) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Readers {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::default(), permits: Semaphore::new(READERS_MAX) }
    }

    /// Runs `read` in one read transaction on a blocking thread.
    pub(crate) async fn run<T, F>(self: &Arc<Self>, read: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, ChangeError> + Send + 'static,
    {
        let Ok(_permit) = self.permits.acquire().await else {
            return Err(Refusal::unavailable());
        };
        let readers = Arc::clone(self);
        let outcome = tokio::task::spawn_blocking(move || readers.run_here(read)).await;
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(ChangeError::Refused(refusal))) => Err(refusal),
            Ok(Err(ChangeError::Broken(error))) => {
                tracing::error!(%error, "the network's database cannot be read");
                Err(Refusal::unavailable())
            }
            Err(error) => {
                tracing::error!(%error, "a read ended unexpectedly");
                Err(Refusal::unavailable())
            }
        }
    }

    fn run_here<T>(&self, read: impl FnOnce(&Connection) -> Result<T, ChangeError>) -> Result<T, ChangeError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => store::open_reader(&self.path)?,
        };
        let transaction = connection.transaction()?;
        let value = read(&transaction);
        drop(transaction);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        value
    }
}
