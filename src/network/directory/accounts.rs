//! Users, as the operator makes, suspends and watches them, and the passwords of bot accounts.

use super::{STRICT, STRICT_ON, role_name};
use crate::error::{ChangeError, NetworkError, refuse};
use crate::ledger::{Batch, Origin};
use retaind_protocol::credential::Role;
use retaind_protocol::ids::{DeviceId, UserName};
use retaind_protocol::wire::RefusalCode;

/// May a user or device act?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// May log in and speak.
    Active,
    /// No: neither log in, nor send, nor receive. What is queued for it is kept.
    Suspended,
}

/// Makes a user; nothing to do if it exists with this role.
pub(crate) fn ensure_user(batch: &mut dyn Batch, user: &UserName, role: Role) -> Result<(), NetworkError> {
    match batch.user(user.as_str())? {
        Some(existing) if existing.role == role => Ok(()),
        Some(existing) => Err(NetworkError::UserExists { user: user.clone(), role: role_name(existing.role) }),
        None => Ok(batch.insert_user(user, role)?),
    }
}

/// Makes a bot account or gives it an initial password (as hash).
pub(crate) fn set_initial_password(batch: &mut dyn Batch, user: &UserName, hash: &str) -> Result<(), NetworkError> {
    ensure_user(batch, user, Role::Bot)?;
    Ok(batch.set_password(user.as_str(), hash, Origin::Administrator)?)
}

/// Gives a bot account the password (as hash) that the bot has chosen.
pub(crate) fn change_password(batch: &mut dyn Batch, user: &str, hash: &str) -> Result<(), ChangeError> {
    match batch.user(user)?.and_then(|row| row.password) {
        Some(_) => Ok(batch.set_password(user, hash, Origin::Bot)?),
        None => refuse(RefusalCode::Invalid, "only bot accounts have a password"),
    }
}

/// Suspends or resumes a user with all devices.
pub(crate) fn set_user_standing(
    batch: &mut dyn Batch,
    user: &UserName,
    standing: Standing,
) -> Result<(), NetworkError> {
    if !batch.set_user_standing(user, standing)? {
        return Err(NetworkError::NoUser(user.clone()));
    }
    Ok(batch.raise_policy_version()?)
}

/// Suspends or resumes one device.
pub(crate) fn set_device_standing(
    batch: &mut dyn Batch,
    device: &DeviceId,
    standing: Standing,
) -> Result<(), NetworkError> {
    if !batch.set_device_standing(device, standing)? {
        return Err(NetworkError::NoDevice(device.to_string()));
    }
    Ok(batch.raise_policy_version()?)
}

/// Sets who must be a member of every conversation; nobody = data retention off.
pub(crate) fn set_retention(batch: &mut dyn Batch, users: &[UserName]) -> Result<(), NetworkError> {
    for user in users {
        match batch.user(user.as_str())? {
            Some(row) if row.role == Role::Bot => {}
            Some(_) => return Err(NetworkError::NotABot(user.clone())),
            None => return Err(NetworkError::NoUser(user.clone())),
        }
    }
    batch.set_retention(users)?;
    Ok(batch.raise_policy_version()?)
}

/// Turns strict retention on or off.
pub(crate) fn set_strict(batch: &mut dyn Batch, strict: bool) -> Result<(), NetworkError> {
    batch.set_setting(STRICT, if strict { STRICT_ON } else { b"off" })?;
    Ok(batch.raise_policy_version()?)
}

/// Stops keeping anything for a device that is gone for good, and suspends it.
pub(crate) fn retire_device(batch: &mut dyn Batch, device: &DeviceId) -> Result<(), NetworkError> {
    set_device_standing(batch, device, Standing::Suspended)?;
    Ok(batch.retire_device(device)?)
}
