//! The default destination: the file's own directory. Checks that the whole file is there, and keeps it.

use std::sync::Arc;

use super::{Destination, LocalCopy, ShipError, ShipItem, ShipJob, ShipQueue, Stored, Storing};
use crate::disk::Disk;

/// The file's own directory.
pub struct LocalDestination {
    disk: Arc<dyn Disk>,
}

impl LocalDestination {
    /// On `disk`.
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk }
    }

    fn look(&self, item: &ShipItem) -> Result<Stored, ShipError> {
        let what = || item.label();
        let length = self.disk.len(&item.path).map_err(|e| ShipError::Disk { what: what(), source: e.source })?;
        match length {
            None => Err(ShipError::Missing { what: what() }),
            Some(found) if found != item.length => {
                Err(ShipError::Altered { what: what(), found, committed: item.length })
            }
            Some(_) => Ok(Stored::of(item)),
        }
    }
}

impl Destination for LocalDestination {
    fn store<'a>(&'a self, taken: &'a ShipJob, _: &'a Arc<dyn ShipQueue>) -> Storing<'a> {
        Box::pin(std::future::ready(self.look(&taken.item)))
    }

    fn local_copy(&self) -> LocalCopy {
        LocalCopy::Keep
    }
}
