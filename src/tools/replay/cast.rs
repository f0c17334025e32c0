//! The devices of a replay, by user name.
//!
//! All states are sealed by one vault in memory: a key derivation for each of some ten thousand devices would take longer
//! than the replay. A device that does nothing is only its state; it logs in when it has to act.

use std::collections::HashMap;
use std::fmt::Display;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use retaind_core::fault::Faulty as _;
use retaind_device::account::{self, LoggedIn, Proof};
use retaind_device::conversations::{Device, DeviceError, SharedStore, random};
use retaind_device::patience::Patience;
use retaind_device::store::{DeviceWriter as _, STEPS, Store, StoreError};
use retaind_protocol::credential::Verifier;
use retaind_protocol::endpoint::Invite;
use retaind_protocol::ids::{ConversationId, UserName};
use retaind_state::vault::{Vault, VaultError};

/// One-time key packages of a device: it joins a room or two.
const KEY_PACKAGES: usize = 1;
/// These devices subscribe to nothing.
const WINDOW: usize = 0;

/// Gives invites: a network of one's own, or a list.
pub trait Invites: Send + Sync {
    /// An unused invite for `user`, or why there is none.
    fn invite(&self, user: UserName) -> BoxFuture<'_, Result<Invite, String>>;
}

impl<F, Answer, Error> Invites for F
where
    F: Fn(UserName) -> Answer + Send + Sync,
    Answer: Future<Output = Result<Invite, Error>> + Send + 'static,
    Error: Display,
{
    fn invite(&self, user: UserName) -> BoxFuture<'_, Result<Invite, String>> {
        let answer = self(user);
        Box::pin(async move { answer.await.map_err(|error| error.to_string()) })
    }
}

/// Why a device is not there.
#[derive(Debug)]
pub(super) enum Absent {
    /// No invite.
    NoInvite(String),
    /// Everything else.
    Device(Box<DeviceError>),
}

impl<E: Into<DeviceError>> From<E> for Absent {
    fn from(error: E) -> Self {
        Self::Device(Box::new(error.into()))
    }
}

/// One user's device.
pub(super) enum Actor {
    /// Not registered yet.
    New,
    /// Registered, not connected.
    Offline(SharedStore),
    /// Logged in.
    Online(Box<Device>),
}

struct Seat {
    actor: Arc<AsyncMutex<Actor>>,
    rooms_left: u32,
}

/// All devices of a replay.
pub struct Cast {
    invites: Box<dyn Invites>,
    vault: Arc<Vault>,
    /// Shared, so that a credential is checked once and not once a device.
    verifier: OnceLock<Verifier>,
    patience: Patience,
    seats: Mutex<HashMap<UserName, Seat>>,
    registered: AtomicU64,
}

impl Cast {
    /// Nobody is registered yet. `appearances`: in how many rooms each user will appear.
    pub(super) fn new(
        appearances: HashMap<UserName, u32>,
        invites: impl Invites + 'static,
        patience: Patience,
    ) -> Result<Self, VaultError> {
        let mut password = [0u8; 32];
        aws_lc_rs::rand::fill(&mut password).map_err(|_| VaultError::Randomness)?;
        let (vault, _) = Vault::create(&password)?;
        let seat = |(user, rooms_left)| (user, Seat { actor: Arc::new(AsyncMutex::new(Actor::New)), rooms_left });
        Ok(Self {
            invites: Box::new(invites),
            vault: Arc::new(vault),
            verifier: OnceLock::new(),
            patience,
            seats: Mutex::new(appearances.into_iter().map(seat).collect()),
            registered: AtomicU64::new(0),
        })
    }

    /// Devices that were registered.
    pub(super) fn registered(&self) -> u64 {
        self.registered.load(Ordering::Relaxed)
    }

    /// The device of `user`, for its caller alone until the guard is dropped.
    pub(super) async fn actor(&self, user: &UserName) -> OwnedMutexGuard<Actor> {
        let actor = {
            let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Seat { actor: Arc::new(AsyncMutex::new(Actor::New)), rooms_left: 1 };
            seats.entry(user.clone()).or_insert_with(new).actor.clone()
        };
        actor.lock_owned().await
    }

    /// Makes sure that `user` has a device that can be added.
    pub(super) async fn register(&self, user: &UserName, actor: &mut Actor) -> Result<(), Absent> {
        match actor {
            Actor::Offline(_) | Actor::Online(_) => return Ok(()),
            Actor::New => {}
        }
        let invite = self.invites.invite(user.clone()).await.map_err(Absent::NoInvite)?;
        let store = Store::in_memory(self.vault.clone(), STEPS)?;
        let proof = Proof::Invite(&invite.code);
        let account = account::register_patiently(store, &invite.endpoint, proof, WINDOW, &self.patience).await?;
        let store = account.store.clone();
        // the key packages are published by the first start; a network that goes away meanwhile is asked again
        match self.start(account).await {
            Ok(_) => {}
            Err(error) if error.is_temporary() => drop(self.log_in(&store).await?),
            Err(error) => return Err(error.into()),
        }
        self.registered.fetch_add(1, Ordering::Relaxed);
        *actor = Actor::Offline(store);
        Ok(())
    }

    /// The device, logged in.
    pub(super) async fn online<'a>(&self, user: &UserName, actor: &'a mut Actor) -> Result<&'a mut Device, Absent> {
        self.register(user, actor).await?;
        if let Actor::Offline(store) = actor {
            *actor = Actor::Online(Box::new(self.log_in(store).await?));
        }
        match actor {
            Actor::Online(device) => Ok(device),
            Actor::New | Actor::Offline(_) => Err(DeviceError::from(account::AccountError::NotRegistered).into()),
        }
    }

    async fn log_in(&self, store: &SharedStore) -> Result<Device, DeviceError> {
        let mut tries = self.patience.tries();
        loop {
            let endpoint = self.patience.endpoint();
            let started = match account::login(store.clone(), endpoint.as_ref(), WINDOW).await {
                Ok(account) => self.start(account).await,
                Err(error) => Err(error.into()),
            };
            match started {
                Err(error) if error.is_temporary() && tries.again().await => {}
                result => return result,
            }
        }
    }

    async fn start(&self, mut account: LoggedIn) -> Result<Device, DeviceError> {
        account.verifier = self.verifier.get_or_init(|| account.verifier.clone()).clone();
        let mut device = Device::start_with_key_packages(account, KEY_PACKAGES).await?;
        device.be_patient(self.patience.clone());
        Ok(device)
    }

    /// These users have done their part in the room that became `conversation`: its keys are forgotten, and who appears
    /// in no other room is dropped.
    pub(super) async fn dismiss(
        &self,
        users: &[UserName],
        conversation: &ConversationId,
        last_seq: u64,
    ) -> Result<(), StoreError> {
        for user in users {
            let left = {
                let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
                let left = seats.get_mut(user).map_or(0, |seat| {
                    seat.rooms_left = seat.rooms_left.saturating_sub(1);
                    seat.rooms_left
                });
                if left == 0 {
                    seats.remove(user);
                }
                left
            };
            if left > 0 {
                let mut actor = self.actor(user).await;
                disconnect(&mut actor);
                if let Actor::Offline(store) = &*actor {
                    let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
                    store.write(|tx| tx.put_cursor(conversation, last_seq))?;
                }
            }
        }
        Ok(())
    }
}

/// Takes a device off the network; its state stays.
pub(super) fn disconnect(actor: &mut Actor) {
    *actor = match std::mem::replace(actor, Actor::New) {
        Actor::Online(device) => Actor::Offline(device.into_account().store.clone()),
        other @ (Actor::New | Actor::Offline(_)) => other,
    };
}

/// A fresh message id.
pub(super) fn message_id() -> Result<retaind_protocol::ids::MessageId, DeviceError> {
    Ok(retaind_protocol::ids::MessageId::new(random()?))
}
