//! Users and their devices: made by the operator, registered by invite or password, suspended and removed.

use rusqlite::{Connection, OptionalExtension};

use super::invites::{self, CodeHash};
use super::{DeviceRow, devices_of, raise_version, role_name};
use crate::clock::Moment;
use crate::error::{ChangeError, NetworkError, refuse};
use crate::keys::Keys;
use retaind_protocol::credential::{Identity, Role};
use retaind_protocol::ids::{DeviceId, UserName};
use retaind_protocol::limits::DEVICES_OF_USER_MAX;
use retaind_protocol::wire::RefusalCode;

/// May a user or device act?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Yes.
    Active,
    /// No: neither log in, nor send, nor receive. What is queued for it is kept.
    Suspended,
}

/// Why somebody may register a device.
#[derive(Debug, Clone)]
pub(crate) enum Claim {
    /// Holds an invite.
    Invite(CodeHash),
    /// Knew the password that hashes to this.
    Password { user: UserName, hash: String },
}

/// Role of a user, if there is one of that name.
pub(crate) fn role(connection: &Connection, user: &UserName) -> rusqlite::Result<Option<Role>> {
    let role: Option<i32> = connection
        .prepare_cached("SELECT role FROM users WHERE user = ?")?
        .query_row([user.as_str()], |row| row.get(0))
        .optional()?;
    Ok(role.map(|role| Role::try_from(role).unwrap_or(Role::Unspecified)))
}

/// Makes a user; nothing to do if it exists with this role.
pub(crate) fn ensure_user(connection: &Connection, user: &UserName, role: Role) -> Result<(), NetworkError> {
    match self::role(connection, user)? {
        Some(existing) if existing == role => Ok(()),
        Some(existing) => Err(NetworkError::UserExists { user: user.clone(), role: role_name(existing) }),
        None => {
            connection.execute("INSERT INTO users(user, role) VALUES(?, ?)", (user.as_str(), i32::from(role)))?;
            Ok(())
        }
    }
}

/// Makes a bot account or gives it an initial password (as hash).
pub(crate) fn set_initial_password(connection: &Connection, user: &UserName, hash: &str) -> Result<(), NetworkError> {
    ensure_user(connection, user, Role::Bot)?;
    let sql = "UPDATE users SET password = ?, initial_password = 1 WHERE user = ?";
    connection.execute(sql, (hash, user.as_str()))?;
    Ok(())
}

/// Gives a bot account the password (as hash) that the bot has chosen.
pub(crate) fn change_password(connection: &Connection, user: &str, hash: &str) -> Result<(), ChangeError> {
    let sql = "UPDATE users SET password = ?, initial_password = 0 WHERE user = ? AND password IS NOT NULL";
    match connection.execute(sql, (hash, user))? {
        0 => refuse(RefusalCode::Invalid, "only bot accounts have a password"),
        _ => Ok(()),
    }
}

/// Is the account's password the one that an administrator gave it?
pub(crate) fn has_initial_password(connection: &Connection, user: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT initial_password <> 0 AND password IS NOT NULL FROM users WHERE user = ?";
    Ok(connection.query_row(sql, [user], |row| row.get(0)).optional()?.unwrap_or(false))
}

/// The bot account's password hash.
pub(crate) fn bot_password(connection: &Connection, user: &str) -> rusqlite::Result<Option<String>> {
    let hash: Option<Option<String>> =
        connection.query_row("SELECT password FROM users WHERE user = ?", [user], |row| row.get(0)).optional()?;
    Ok(hash.flatten())
}

/// Suspends or resumes a user with all devices.
pub(crate) fn set_user_standing(
    connection: &Connection,
    user: &UserName,
    standing: Standing,
) -> Result<(), NetworkError> {
    let suspended = standing == Standing::Suspended;
    if connection.execute("UPDATE users SET suspended = ? WHERE user = ?", (suspended, user.as_str()))? == 0 {
        return Err(NetworkError::NoUser(user.clone()));
    }
    Ok(raise_version(connection)?)
}

/// Suspends or resumes one device.
pub(crate) fn set_device_standing(
    connection: &Connection,
    device: &DeviceId,
    standing: Standing,
) -> Result<(), NetworkError> {
    let suspended = standing == Standing::Suspended;
    if connection.execute("UPDATE devices SET suspended = ? WHERE device = ?", (suspended, device.as_bytes()))? == 0 {
        return Err(NetworkError::NoDevice(device.to_string()));
    }
    Ok(raise_version(connection)?)
}

/// Sets who must be a member of every conversation; nobody = data retention off.
pub(crate) fn set_retention(connection: &Connection, users: &[UserName]) -> Result<(), NetworkError> {
    for user in users {
        match role(connection, user)? {
            Some(Role::Bot) => {}
            Some(_) => return Err(NetworkError::NotABot(user.clone())),
            None => return Err(NetworkError::NoUser(user.clone())),
        }
    }
    connection.execute("UPDATE users SET retention = 0 WHERE retention = 1", [])?;
    for user in users {
        connection.execute("UPDATE users SET retention = 1 WHERE user = ?", [user.as_str()])?;
    }
    Ok(raise_version(connection)?)
}

/// Registers a device for whoever `claim` entitles. The same claim by the same key gets the same device again, so
/// that a lost answer costs nothing; the same invite by another key is refused.
pub(crate) fn register(
    connection: &Connection,
    keys: &Keys,
    claim: &Claim,
    suite: u16,
    signature_key: &[u8],
    now: Moment,
) -> Result<(DeviceRow, Vec<u8>), ChangeError> {
    let user = match claim {
        Claim::Invite(code) => {
            let invite = invites::find(connection, code)?;
            match invite {
                Some(invite) if invite.expires_at_micros.is_none_or(|at| at > now.micros()) => {
                    if let Some(used) = invite.device {
                        let earlier =
                            devices_of(connection, &invite.user)?.into_iter().find(|device| device.row == used);
                        return match earlier {
                            Some(device) if device.signature_key == signature_key => again(connection, device),
                            Some(_) | None => refuse(RefusalCode::Invite, "the invite was used: ask for a new one"),
                        };
                    }
                    invite.user
                }
                Some(_) => return refuse(RefusalCode::Invite, "the invite has expired: ask for a new one"),
                None => return refuse(RefusalCode::Invite, "no such invite: ask for a new one"),
            }
        }
        Claim::Password { user, hash } => {
            if bot_password(connection, user.as_str())?.as_ref() != Some(hash) {
                return refuse(RefusalCode::Password, "bot account or password is wrong");
            }
            user.as_str().to_owned()
        }
    };
    let (role, suspended): (i32, bool) =
        connection.query_row("SELECT role, suspended FROM users WHERE user = ?", [&user], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    if suspended {
        return refuse(RefusalCode::Suspended, format!("user `{user}` is suspended"));
    }
    let existing = devices_of(connection, &user)?;
    if let Some(same) = existing.iter().find(|device| device.signature_key == signature_key) {
        return match claim {
            Claim::Password { .. } => again(connection, same.clone()),
            Claim::Invite(_) => refuse(RefusalCode::Invite, "this signature key is a registered device already"),
        };
    }
    if existing.len() >= DEVICES_OF_USER_MAX {
        let message = format!("user `{user}` has {DEVICES_OF_USER_MAX} devices, the most: remove one first");
        return refuse(RefusalCode::Limit, message);
    }
    let taken: bool = connection.query_row(
        "SELECT EXISTS(SELECT 1 FROM devices WHERE signature_key = ?)",
        [signature_key],
        |row| row.get(0),
    )?;
    if taken {
        return refuse(RefusalCode::Invalid, "this signature key is another user's: make a fresh one");
    }
    let (device, credential) = insert(connection, keys, &user, role, suite, signature_key, now)?;
    if let Claim::Invite(code) = claim {
        invites::mark_used(connection, code, device.row)?;
    }
    raise_version(connection)?;
    Ok((device, credential))
}

fn again(connection: &Connection, device: DeviceRow) -> Result<(DeviceRow, Vec<u8>), ChangeError> {
    let credential =
        connection.query_row("SELECT credential FROM devices WHERE id = ?", [device.row], |row| row.get(0))?;
    Ok((device, credential))
}

fn insert(
    connection: &Connection,
    keys: &Keys,
    user: &str,
    role: i32,
    suite: u16,
    signature_key: &[u8],
    now: Moment,
) -> Result<(DeviceRow, Vec<u8>), ChangeError> {
    let internal = |what: &'static str| {
        tracing::error!(what, "a device could not be registered");
        ChangeError::Refused(crate::error::Refusal::unavailable())
    };
    let device = DeviceId::new(crate::keys::random().map_err(|_| internal("no random number"))?);
    let identity = Identity {
        network_id: keys.network_id.clone(),
        user: UserName::new(user).map_err(|_| internal("user name in the directory is not valid"))?,
        device,
        signature_key: signature_key.to_vec(),
        role: Role::try_from(role).unwrap_or(Role::Unspecified),
    };
    let credential =
        keys.authentication_key.sign(&identity).map_err(|_| internal("authentication key does not sign"))?;
    connection.execute(
        "INSERT INTO devices(device, user, suite, signature_key, credential, registered_at_micros) VALUES(?,?,?,?,?,?)",
        (device.as_bytes(), user, suite, signature_key, &credential, now.micros()),
    )?;
    let row = connection.last_insert_rowid();
    let device = DeviceRow {
        row,
        device,
        user: user.to_owned(),
        suite,
        signature_key: signature_key.to_vec(),
        suspended: false,
    };
    Ok((device, credential))
}
