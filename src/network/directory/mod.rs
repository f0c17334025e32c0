//! The directory: who there is. Users, their devices, invites, bot accounts, suspension, key packages.
//!
//! Everything here is a function of a database connection inside a transaction of its caller: the writer thread for
//! what devices ask, [`super::admin`] for what operators ask, also from another process. A change of who must be in
//! every conversation or who may not speak raises the directory's version, which tells a running network to look again.

pub(crate) mod accounts;
pub(crate) mod invites;
pub(crate) mod key_packages;
pub(crate) mod password;

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Row};

use super::store;
use retaind_protocol::credential::Role;
use retaind_protocol::ids::DeviceId;

const VERSION: &str = "directory_version";

/// A device as the directory knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceRow {
    /// Row id: what queues and members refer to.
    pub(crate) row: i64,
    pub(crate) device: DeviceId,
    pub(crate) user: String,
    pub(crate) suite: u16,
    pub(crate) signature_key: Vec<u8>,
    pub(crate) suspended: bool,
}

const DEVICE_COLUMNS: &str = "d.id, d.device, d.user, d.suite, d.signature_key, d.suspended OR u.suspended";

fn device_row(row: &Row<'_>) -> rusqlite::Result<DeviceRow> {
    Ok(DeviceRow {
        row: row.get(0)?,
        device: DeviceId::new(row.get(1)?),
        user: row.get(2)?,
        suite: row.get(3)?,
        signature_key: row.get(4)?,
        suspended: row.get(5)?,
    })
}

/// The device of that id.
pub(crate) fn device(connection: &Connection, device: &DeviceId) -> rusqlite::Result<Option<DeviceRow>> {
    connection
        .prepare_cached(&format!(
            "SELECT {DEVICE_COLUMNS} FROM devices d JOIN users u ON u.user = d.user WHERE d.device = ?"
        ))?
        .query_row([device.as_bytes()], device_row)
        .optional()
}

/// All devices of a user.
pub(crate) fn devices_of(connection: &Connection, user: &str) -> rusqlite::Result<Vec<DeviceRow>> {
    connection
        .prepare_cached(&format!(
            "SELECT {DEVICE_COLUMNS} FROM devices d JOIN users u ON u.user = d.user WHERE d.user = ? ORDER BY d.id"
        ))?
        .query_map([user], device_row)?
        .collect()
}

/// What every conversation is checked against; read again when the version has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) version: i64,
    /// Users that must be in every conversation.
    pub(crate) retention_users: Vec<String>,
    /// Their active devices: all of them must be in every conversation.
    pub(crate) required: Vec<DeviceRow>,
    /// A retention user without an active device: nothing can be retained, so nothing is accepted.
    pub(crate) unready: Option<String>,
    /// Devices (rows) that may not speak.
    pub(crate) suspended: HashSet<i64>,
}

impl Policy {
    /// The version alone: cheap.
    pub(crate) fn version(connection: &Connection) -> rusqlite::Result<i64> {
        let bytes = store::meta(connection, VERSION)?.unwrap_or_default();
        Ok(bytes.try_into().map(i64::from_le_bytes).unwrap_or_default())
    }

    /// Reads all of it.
    pub(crate) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let retention_users: Vec<String> = connection
            .prepare_cached("SELECT user FROM users WHERE retention = 1 ORDER BY user")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut policy = Self { version: Self::version(connection)?, retention_users, ..Self::default() };
        for user in &policy.retention_users {
            let before = policy.required.len();
            policy.required.extend(devices_of(connection, user)?.into_iter().filter(|device| !device.suspended));
            if policy.required.len() == before && policy.unready.is_none() {
                policy.unready = Some(user.clone());
            }
        }
        policy.suspended = connection
            .prepare_cached(
                "SELECT d.id FROM devices d JOIN users u ON u.user = d.user WHERE d.suspended OR u.suspended",
            )?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(policy)
    }
}

/// Tells a running network to look again.
pub(crate) fn raise_version(connection: &Connection) -> rusqlite::Result<()> {
    let next = Policy::version(connection)?.wrapping_add(1);
    store::set_meta(connection, VERSION, &next.to_le_bytes())
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
