//! What the operator may do: users, invites, bots, suspension, data retention.
//!
//! On a connection of its own, so that `retaind network invite` works beside a running server. SQLite keeps the two
//! apart; the server notices by the directory's version, within a second.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::clock::Moment;
use super::directory::accounts::{self, Standing};
use super::directory::{invites, password, raise_version};
use super::error::NetworkError;
use super::store;
use super::{DATABASE_FILE, directory};
use prost::Message;
use retaind_protocol::credential::Role;
use retaind_protocol::endpoint::{Endpoint, Invite};
use retaind_protocol::ids::{DeviceId, UserName};

const ENDPOINT: &str = "endpoint";
/// A user as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSummary {
    /// Name.
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

/// The operator's hands.
pub struct Admin {
    connection: Connection,
}

impl Admin {
    /// Opens the network in `directory`, served or not.
    pub fn open(directory: &Path) -> Result<Self, NetworkError> {
        let path = directory.join(DATABASE_FILE);
        if !path.exists() {
            return Err(NetworkError::NoNetwork(directory.to_owned()));
        }
        Ok(Self { connection: store::open(&path)? })
    }

    fn change<T>(
        &mut self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, NetworkError>,
    ) -> Result<T, NetworkError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = change(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    /// Where devices find the network, as it was served last.
    pub fn endpoint(&self) -> Result<Endpoint, NetworkError> {
        let bytes = store::meta(&self.connection, ENDPOINT)?.ok_or(NetworkError::NoAddress)?;
        Endpoint::decode(bytes.as_slice()).map_err(|_| NetworkError::NoAddress)
    }

    pub(crate) fn set_endpoint(&mut self, endpoint: &Endpoint) -> Result<(), NetworkError> {
        self.change(|db| Ok(store::set_meta(db, ENDPOINT, &endpoint.encode_to_vec())?))
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
        let expires = valid_for.map(|time| Moment::now().after(time).micros());
        let code = self.change(|db| {
            accounts::ensure_user(db, user, role)?;
            invites::create(db, user, expires)
        })?;
        Ok(Invite { endpoint: endpoint.clone(), code })
    }

    /// Makes a bot account with this initial password, or gives it this one. Slow on purpose (Argon2id).
    pub fn ensure_bot(&mut self, user: &UserName, password: &str) -> Result<(), NetworkError> {
        let kept = accounts::bot_password(&self.connection, user.as_str())?;
        if kept.is_some() && password::matches(password, kept.as_deref()) {
            return Ok(());
        }
        let hash = password::hash(password)?;
        self.change(|db| accounts::set_initial_password(db, user, &hash))
    }

    /// Makes a bot account with this initial password if there is none; one that there is stays as it is.
    pub fn make_bot(&mut self, user: &UserName, password: &str) -> Result<(), NetworkError> {
        match accounts::bot_password(&self.connection, user.as_str())? {
            Some(_) => Ok(()),
            None => self.ensure_bot(user, password),
        }
    }

    /// Suspends or resumes a user with all devices.
    pub fn set_user_standing(&mut self, user: &UserName, standing: Standing) -> Result<(), NetworkError> {
        self.change(|db| accounts::set_user_standing(db, user, standing))
    }

    /// Suspends or resumes one device.
    pub fn set_device_standing(&mut self, device: &DeviceId, standing: Standing) -> Result<(), NetworkError> {
        self.change(|db| accounts::set_device_standing(db, device, standing))
    }

    /// Says who (bots) must be a member of every conversation; nobody = data retention off.
    pub fn set_retention(&mut self, users: &[UserName]) -> Result<(), NetworkError> {
        self.change(|db| accounts::set_retention(db, users))
    }

    /// Stops keeping messages for a device that is gone for good, and suspends it. What was queued for it is deleted
    /// when all others have it. It stays a leaf of its conversations until their members remove it.
    pub fn retire_device(&mut self, device: &DeviceId) -> Result<(), NetworkError> {
        self.change(|db| {
            accounts::set_device_standing(db, device, Standing::Suspended)?;
            db.execute(
                "DELETE FROM key_packages WHERE device = (SELECT id FROM devices WHERE device = ?)",
                [device.as_bytes()],
            )?;
            db.execute(
                "DELETE FROM members WHERE device = (SELECT id FROM devices WHERE device = ?)",
                [device.as_bytes()],
            )?;
            Ok(raise_version(db)?)
        })
    }

    /// Everybody, in order of name.
    pub fn users(&self) -> Result<Vec<UserSummary>, NetworkError> {
        let mut statement =
            self.connection.prepare("SELECT user, role, suspended, retention FROM users ORDER BY user")?;
        let rows = statement.query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i32>(1)?, row.get::<_, bool>(2)?, row.get::<_, bool>(3)?))
        })?;
        let mut users = Vec::new();
        for row in rows {
            let (user, role, suspended, retention) = row?;
            let devices = directory::devices_of(&self.connection, &user)?
                .into_iter()
                .map(|device| (device.device, standing(device.suspended)))
                .collect();
            users.push(UserSummary {
                user,
                role: directory::role_name(Role::try_from(role).unwrap_or(Role::Unspecified)),
                standing: standing(suspended),
                retention,
                devices,
            });
        }
        Ok(users)
    }

    pub(crate) fn policy(&self) -> Result<directory::Policy, NetworkError> {
        Ok(directory::Policy::load(&self.connection)?)
    }
}

fn standing(suspended: bool) -> Standing {
    if suspended { Standing::Suspended } else { Standing::Active }
}
