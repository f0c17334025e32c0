//! The directory: who there is. Users, their devices, invites, bot accounts, suspension, key packages.
//!
//! Everything here works on a batch or a view of its caller: the writer thread for what devices ask, [`super::admin`]
//! for what operators ask, also from another process. A change of who must be in every conversation or who may not speak
//! raises the policy's version, which tells a running network to look again.

pub(crate) mod accounts;
pub(crate) mod invites;
pub(crate) mod key_packages;
pub(crate) mod password;
pub(crate) mod register;

use std::collections::HashSet;

use super::ledger::{DirectoryView, LedgerError};
use retaind_protocol::credential::Role;
use retaind_protocol::ids::DeviceId;

/// Setting: is retention strict?
pub(crate) const STRICT: &str = "strict_retention";
pub(crate) const STRICT_ON: &[u8] = b"on";

/// A device as the directory knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceRow {
    /// Row id: what queues and members refer to.
    pub(crate) row: i64,
    pub(crate) device: DeviceId,
    pub(crate) user: String,
    pub(crate) suite: u16,
    pub(crate) signature_key: Vec<u8>,
    /// The device itself or its user.
    pub(crate) suspended: bool,
}

/// A user as the directory knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserRow {
    pub(crate) user: String,
    pub(crate) role: Role,
    pub(crate) suspended: bool,
    /// Must it be in every conversation?
    pub(crate) retention: bool,
    /// Hash of a bot account's password. People have none.
    pub(crate) password: Option<String>,
    /// Was it given by an administrator?
    pub(crate) initial_password: bool,
}

/// What every conversation is checked against; read again when the version has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RetentionPolicy {
    pub(crate) version: i64,
    /// Users that must be in every conversation.
    pub(crate) retention_users: Vec<String>,
    /// Their active devices: all of them must be in every conversation.
    pub(crate) required: Vec<DeviceRow>,
    /// A retention user without an active device: nothing can be retained, so nothing is accepted.
    pub(crate) unready: Option<String>,
    /// Are messages of a new epoch accepted only after every bot has reached it?
    pub(crate) strict: bool,
    /// Devices (rows) that may not speak.
    pub(crate) suspended: HashSet<i64>,
}

impl RetentionPolicy {
    /// Reads all of it.
    pub(crate) fn load(rows: &(impl DirectoryView + ?Sized)) -> Result<Self, LedgerError> {
        let mut policy = Self { version: rows.policy_version()?, ..Self::default() };
        for user in rows.retention_users()? {
            let devices = rows.devices_of(&user)?;
            policy.require(user, devices);
        }
        policy.strict = rows.setting(STRICT)?.is_some_and(|strict| strict == STRICT_ON);
        policy.suspended = rows.suspended_devices()?;
        Ok(policy)
    }

    /// Reads it if its version is another than `known`, which costs little.
    pub(crate) fn unless(known: i64, rows: &(impl DirectoryView + ?Sized)) -> Result<Option<Self>, LedgerError> {
        if rows.policy_version()? == known { Ok(None) } else { Self::load(rows).map(Some) }
    }

    fn require(&mut self, user: String, devices: Vec<DeviceRow>) {
        let before = self.required.len();
        self.required.extend(devices.into_iter().filter(|device| !device.suspended));
        if self.required.len() == before && self.unready.is_none() {
            self.unready = Some(user.clone());
        }
        self.retention_users.push(user);
    }
}

pub(crate) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Normal => "user",
        Role::Guest => "guest",
        Role::Bot => "bot",
        Role::Network => "network",
        Role::Unspecified => "unknown",
    }
}
