//! Reading beside the writer: a few connections to the ledger, used on blocking threads.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::error::ChangeError;
use super::ledger::{Ledger, LedgerReader, View};
use crate::error::Refusal;
use retaind_task as task;

/// Reads at the same time. More would only wait for the same disk and cores.
const READERS_MAX: usize = 4;

/// The pool.
pub(crate) struct Readers {
    ledger: Box<dyn Ledger>,
    idle: Mutex<Vec<Box<dyn LedgerReader>>>,
    permits: Semaphore,
}

impl Readers {
    pub(crate) fn new(ledger: Box<dyn Ledger>) -> Self {
        Self { ledger, idle: Mutex::default(), permits: Semaphore::new(READERS_MAX) }
    }

    /// Runs `read` on what there is at one instant, on a blocking thread.
    pub(crate) async fn run<T, F>(self: &Arc<Self>, read: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(&dyn View) -> Result<T, ChangeError> + Send + 'static,
    {
        let Ok(_permit) = self.permits.acquire().await else {
            return Err(Refusal::unavailable());
        };
        let readers = Arc::clone(self);
        let outcome = task::blocking("reader", move || readers.run_here(read)).await;
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

    fn run_here<T>(&self, read: impl FnOnce(&dyn View) -> Result<T, ChangeError>) -> Result<T, ChangeError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => self.ledger.reader()?,
        };
        let view = reader.view()?;
        let value = read(&*view);
        drop(view);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        value
    }
}
