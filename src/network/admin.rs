//! What the operator may do: users, invites, bots, suspension, data retention.
//!
//! On a connection of its own, so that `retaind network invite` works beside a running server. The ledger keeps the two
//! apart; the server notices by the policy's version, within a second.

use std::path::Path;
use std::time::Duration;

use super::audit::FailedLogIns;
use super::certificate::Rotation;
use super::clock::Moment;
use super::directory::accounts::{self, Standing};
use super::directory::{RetentionPolicy, invites, password, role_name};
use super::error::NetworkError;
use super::ledger::{Batch, Ledger, LedgerWriter, View};
use super::sqlite::Sqlite;
use prost::Message;
use retaind_protocol::credential::Role;
use retaind_protocol::endpoint::{Endpoint, Invite};
use retaind_protocol::ids::{DeviceId, UserName};

const ENDPOINT: &str = "endpoint";
/// What is to be done with the certificate at the next start.
pub(crate) const ROTATION: &str = "rotation";
const BEGIN: &[u8] = b"begin";
const FINISH: &[u8] = b"finish";

/// A user as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSummary {
    /// User name.
    pub user: String,
    /// `user`, `guest` or `bot`.
    pub role: &'static str,
    /// May it act?
    pub standing: Standing,
    /// Must it be a member of every conversation?
    pub retention: bool,
    /// Its devices and whether they may act.
    pub devices: Vec<(DeviceId, Standing)>,
}

/// Administration of a network, on a connection of its own to the ledger.
pub struct Admin {
    ledger: Box<dyn LedgerWriter>,
}

impl Admin {
    /// Opens the network in `directory`, served or not.
    pub fn open(directory: &Path) -> Result<Self, NetworkError> {
        Self::on(&Sqlite::find(directory)?)
    }

    pub(crate) fn on(ledger: &dyn Ledger) -> Result<Self, NetworkError> {
        Ok(Self { ledger: ledger.writer()? })
    }

    /// One change is one batch: all of it, or nothing.
    fn change<T>(&mut self, change: impl FnOnce(&mut dyn Batch) -> Result<T, NetworkError>) -> Result<T, NetworkError> {
        let mut batch = self.ledger.begin(&[])?;
        let value = change(&mut *batch)?;
        batch.commit()?;
        Ok(value)
    }

    /// Where devices find the network, as it was served last.
    pub fn endpoint(&mut self) -> Result<Endpoint, NetworkError> {
        let bytes = self.ledger.view()?.setting(ENDPOINT)?.ok_or(NetworkError::NoAddress)?;
        Endpoint::decode(bytes.as_slice()).map_err(|_| NetworkError::NoAddress)
    }

    pub(crate) fn set_endpoint(&mut self, endpoint: &Endpoint) -> Result<(), NetworkError> {
        self.change(|batch| Ok(batch.set_setting(ENDPOINT, &endpoint.encode_to_vec())?))
    }

    /// Makes the user if there is none, and an invite for one device of it, to where the network was served last. The
    /// code is kept nowhere. Without a time it is valid until used.
    pub fn invite(&mut self, user: &UserName, role: Role, valid_for: Option<Duration>) -> Result<Invite, NetworkError> {
        let endpoint = self.endpoint()?;
        self.invite_to(&endpoint, user, role, valid_for)
    }

    /// The same, to the network at `endpoint`.
    pub fn invite_to(
        &mut self,
        endpoint: &Endpoint,
        user: &UserName,
        role: Role,
        valid_for: Option<Duration>,
    ) -> Result<Invite, NetworkError> {
        let expires = valid_for.map(|time| Moment::now().after(time));
        let code = self.change(|batch| {
            accounts::ensure_user(batch, user, role)?;
            invites::create(batch, user, expires)
        })?;
        Ok(Invite { endpoint: endpoint.clone(), code })
    }

    /// Makes a bot account with this initial password, or gives it this one. Slow on purpose (Argon2id).
    pub fn ensure_bot(&mut self, user: &UserName, password: &str) -> Result<(), NetworkError> {
        let kept = self.bot_password(user)?;
        let mut memory = password::Memory::default();
        if kept.is_some() && memory.matches(password, kept.as_deref()) {
            return Ok(());
        }
        let hash = memory.hash(password)?;
        self.change(|batch| accounts::set_initial_password(batch, user, &hash))
    }

    /// Makes a bot account with this initial password if there is none; one that there is stays as it is.
    pub fn make_bot(&mut self, user: &UserName, password: &str) -> Result<(), NetworkError> {
        match self.bot_password(user)? {
            Some(_) => Ok(()),
            None => self.ensure_bot(user, password),
        }
    }

    /// Suspends or resumes a user with all devices.
    pub fn set_user_standing(&mut self, user: &UserName, standing: Standing) -> Result<(), NetworkError> {
        self.change(|batch| accounts::set_user_standing(batch, user, standing))
    }

    /// Suspends or resumes one device.
    pub fn set_device_standing(&mut self, device: &DeviceId, standing: Standing) -> Result<(), NetworkError> {
        self.change(|batch| accounts::set_device_standing(batch, device, standing))
    }

    /// Says who (bots) must be a member of every conversation; nobody = data retention off.
    pub fn set_retention(&mut self, users: &[UserName]) -> Result<(), NetworkError> {
        self.change(|batch| accounts::set_retention(batch, users))
    }

    /// Says whether messages of a new epoch are accepted only after every retention bot has reached it.
    pub fn set_strict(&mut self, strict: bool) -> Result<(), NetworkError> {
        self.change(|batch| accounts::set_strict(batch, strict))
    }

    /// Stops keeping messages for a device that is gone for good, and suspends it. What was queued for it is deleted
    /// when all others have it. It stays a leaf of its conversations until their members remove it.
    pub fn retire_device(&mut self, device: &DeviceId) -> Result<(), NetworkError> {
        self.change(|batch| accounts::retire_device(batch, device))
    }

    /// Has the network's own certificate changed at its next start, which has the keys for it.
    pub fn rotate(&mut self, rotation: Rotation) -> Result<(), NetworkError> {
        let step = match rotation {
            Rotation::Begin => BEGIN,
            Rotation::Finish => FINISH,
        };
        self.change(|batch| Ok(batch.set_setting(ROTATION, step)?))
    }

    /// Everybody, in order of name.
    pub fn users(&mut self) -> Result<Vec<UserSummary>, NetworkError> {
        let view = self.ledger.view()?;
        let mut users = Vec::new();
        for row in view.users()? {
            let devices = view.devices_of(&row.user)?.into_iter();
            users.push(UserSummary {
                devices: devices.map(|device| (device.device, standing(device.suspended))).collect(),
                user: row.user,
                role: role_name(row.role),
                standing: standing(row.suspended),
                retention: row.retention,
            });
        }
        Ok(users)
    }

    /// Failed log-ins, summed up by address, account and ten minutes, the newest first. A network that is served writes them every
    /// few seconds.
    pub fn failed_log_ins(&mut self) -> Result<Vec<FailedLogIns>, NetworkError> {
        Ok(self.ledger.view()?.failed_log_ins()?)
    }

    /// The policy that is in force in the ledger, if it is another than the one of this version.
    pub(crate) fn policy_unless(&mut self, known: i64) -> Result<Option<RetentionPolicy>, NetworkError> {
        Ok(RetentionPolicy::unless(known, &*self.ledger.view()?)?)
    }

    fn bot_password(&mut self, user: &UserName) -> Result<Option<String>, NetworkError> {
        Ok(self.ledger.view()?.user(user.as_str())?.and_then(|row| row.password))
    }
}

/// The step that was asked for and not yet carried out.
pub(crate) fn asked_rotation(view: &dyn View) -> Result<Option<Rotation>, NetworkError> {
    Ok(match view.setting(ROTATION)?.as_deref() {
        Some(BEGIN) => Some(Rotation::Begin),
        Some(FINISH) => Some(Rotation::Finish),
        Some(_) | None => None,
    })
}

fn standing(suspended: bool) -> Standing {
    if suspended { Standing::Suspended } else { Standing::Active }
}
