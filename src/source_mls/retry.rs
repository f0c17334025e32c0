//! Reading again what a conversation held while it could not be followed: with the keys of before, and what was kept since.
//!
//! Nothing of the archive is changed: its records of these messages, with their ciphertexts, stay what they are. What can be read
//! now comes as lines of the same form, for whoever asks.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use retaind_bot::batch::RecordBuffer;
use retaind_bot::disk::RealDisk;
use retaind_bot::files::Names;
use retaind_device::account::{AccountError, stored_engine};
use retaind_device::mls::EngineError;
use retaind_device::store::{KeptDelivery, LostConversation, LostState as _, Store, StoreError};
use retaind_protocol::ids::{DeviceId, IdError, UserName};
use retaind_protocol::wire::DeliveryKind;
use retaind_report::counters::Counters;
use retaind_report::events::Events;
use thiserror::Error;

use crate::change::Owed;
use crate::decrypt::{DecryptError, Neighbours, Worker};
use crate::delivery::{Delivered, Held, Recall, Strict};

/// What came of it.
#[derive(Debug, Default)]
pub struct Retried {
    /// Records of the messages that can be read, in order.
    pub records: RecordBuffer,
    /// The first message that still cannot be, and why.
    pub stopped: Option<(u64, String)>,
}

/// Why nothing could be tried.
#[derive(Debug, Error)]
pub enum RetryError {
    /// The state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The device's keys.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The keys of before.
    #[error("the keys of conversation `{0}` from before it was lost are not in the state")]
    NoKeys(retaind_protocol::ids::ConversationId),
    /// They cannot be used, as before.
    #[error("the keys from before cannot be used")]
    Engine(#[source] EngineError),
    /// A name in the state.
    #[error("a kept message has a name that is not valid")]
    Name(#[from] IdError),
    /// A record.
    #[error(transparent)]
    Decrypt(#[from] DecryptError),
}

/// Reads what was kept of `lost`, with the state `store`. `scratch`: a directory to which nothing is written.
pub fn read_again(store: Store, lost: &LostConversation, scratch: &Path) -> Result<Retried, RetryError> {
    let store = Arc::new(Mutex::new(store));
    let engine = stored_engine(&store)?;
    let (keys, kept) = {
        let store = store.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = store.lost_session(&lost.conversation, lost.since)?;
        (keys, store.kept_deliveries(&lost.conversation, lost.since)?)
    };
    let (secrets, tree) = keys.ok_or(RetryError::NoKeys(lost.conversation))?;
    let session = engine.load(&lost.conversation, secrets, &tree).map_err(RetryError::Engine)?;
    let neighbours = Neighbours {
        owed: Owed::new().0,
        names: Arc::new(Names::new(Arc::new(RealDisk), scratch)),
        counters: Arc::new(Counters::default()),
        events: Events::only_logged(),
        recall: Recall::default(),
        strict: Strict::default(),
    };
    let worker = Worker::new(engine, store, neighbours);
    let kept = kept.into_iter().map(|kept| delivered(lost, kept)).collect::<Result<Vec<_>, _>>()?;
    let (records, stopped) = worker.read_again(session, kept)?;
    Ok(Retried { records, stopped })
}

fn delivered(lost: &LostConversation, kept: KeptDelivery) -> Result<Delivered, IdError> {
    let KeptDelivery { seq, kind, sender_user, sender_device, accepted_micros, received_micros, payload } = kept;
    Ok(Delivered {
        conversation: lost.conversation,
        seq,
        kind: DeliveryKind::try_from(kind).unwrap_or(DeliveryKind::Unspecified),
        sender_user: sender_user.map(UserName::new).transpose()?,
        sender_device: sender_device.map(|device| DeviceId::from_bytes(&device)).transpose()?,
        accepted_at_micros: accepted_micros,
        payload,
        received_at_micros: received_micros,
        held: Held::default(),
    })
}
