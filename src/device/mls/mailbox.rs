//! What MLS wants stored, until the owner of a session stores it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mls_rs::error::MlsError;
use mls_rs::mls_rs_codec::{MlsDecode, MlsEncode};
use mls_rs_core::error::IntoAnyError;
use mls_rs_core::group::{EpochRecord, GroupState, GroupStateStorage};
use mls_rs_core::key_package::{KeyPackageData, KeyPackageStorage};
use thiserror::Error;
use zeroize::Zeroizing;

/// A key package could not be looked up: this device's state cannot be read.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct NotRead(#[from] pub Box<dyn std::error::Error + Send + Sync>);

impl IntoAnyError for NotRead {
    fn into_dyn_error(self) -> Result<Box<dyn std::error::Error + Send + Sync>, Self> {
        Ok(self.0)
    }
}

/// Look-up of the private parts of this device's key packages.
pub trait KeyPackages: Send + Sync {
    /// The stored bytes ([`NewKeyPackage::secret`](super::NewKeyPackage::secret)) of the package with this reference; `None`: there is none. A failed
    /// look-up is an error: a Welcome that is mistaken for another device's is a conversation that is never archived.
    fn secret(&self, reference: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, NotRead>;
}

/// Holds what MLS wrote until the session's owner takes it.
#[derive(Clone)]
pub(super) struct Mailbox {
    pub(super) slots: Arc<Mutex<Slots>>,
    pub(super) key_packages: Arc<dyn KeyPackages>,
}

#[derive(Default)]
pub(super) struct Slots {
    pub(super) states: HashMap<Vec<u8>, Zeroizing<Vec<u8>>>,
    pub(super) new_packages: Vec<(Vec<u8>, Zeroizing<Vec<u8>>)>,
    pub(super) used_packages: Vec<Vec<u8>>,
}

impl Mailbox {
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Slots) -> R) -> R {
        f(&mut self.slots.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl GroupStateStorage for Mailbox {
    type Error = MlsError;

    fn state(&self, group_id: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, MlsError> {
        Ok(self.with(|slots| slots.states.remove(group_id)))
    }

    fn epoch(&self, _: &[u8], _: u64) -> Result<Option<Zeroizing<Vec<u8>>>, MlsError> {
        Ok(None)
    }

    fn write(&mut self, state: GroupState, _: Vec<EpochRecord>, _: Vec<EpochRecord>) -> Result<(), MlsError> {
        self.with(|slots| slots.states.insert(state.id, state.data));
        Ok(())
    }

    fn max_epoch_id(&self, _: &[u8]) -> Result<Option<u64>, MlsError> {
        Ok(None)
    }
}

impl KeyPackageStorage for Mailbox {
    type Error = MlsError;

    fn delete(&mut self, id: &[u8]) -> Result<(), MlsError> {
        self.with(|slots| slots.used_packages.push(id.to_vec()));
        Ok(())
    }

    fn insert(&mut self, id: Vec<u8>, package: KeyPackageData) -> Result<(), MlsError> {
        let bytes = Zeroizing::new(package.mls_encode_to_vec()?);
        self.with(|slots| slots.new_packages.push((id, bytes)));
        Ok(())
    }

    fn get(&self, id: &[u8]) -> Result<Option<KeyPackageData>, MlsError> {
        let looked_up =
            self.key_packages.secret(id).map_err(|error| MlsError::KeyPackageRepoError(error.into_any_error()))?;
        let Some(bytes) = looked_up else { return Ok(None) };
        Ok(Some(KeyPackageData::mls_decode(&mut bytes.as_slice())?))
    }
}
