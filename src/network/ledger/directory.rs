//! Rows of the directory: users, devices, invites, key packages, and what the network itself keeps.

use std::collections::HashSet;

use super::LedgerError;
use crate::clock::Moment;
use crate::directory::accounts::Standing;
use crate::directory::invites::{CodeHash, InviteRow};
use crate::directory::key_packages::{Checked, Use};
use crate::directory::{DeviceRow, UserRow};
use retaind_protocol::credential::Role;
use retaind_protocol::ids::{DeviceId, UserName};
use retaind_protocol::wire::KeyPackageCount;

/// The key with which the network proposes in conversations of one suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SenderRow {
    /// Sealed.
    pub(crate) secret: Vec<u8>,
    /// Encoded MLS identity.
    pub(crate) identity: Vec<u8>,
}

/// A device to be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NewDevice<'a> {
    pub(crate) device: &'a DeviceId,
    pub(crate) user: &'a str,
    pub(crate) suite: u16,
    /// Of this device alone: two with the same one are an error of the ledger.
    pub(crate) signature_key: &'a [u8],
    pub(crate) credential: &'a [u8],
    pub(crate) registered_at: Moment,
}

/// Who gave a bot account its password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An administrator: the bot will choose its own.
    Administrator,
    /// The bot itself.
    Bot,
}

/// What can be read of users, devices and invites.
pub(crate) trait DirectoryView {
    /// What the network keeps under this key.
    fn setting(&self, key: &str) -> Result<Option<Vec<u8>>, LedgerError>;

    /// The network's key for conversations of this suite.
    fn sender(&self, suite: u16) -> Result<Option<SenderRow>, LedgerError>;

    /// Rises with every change of what [`RetentionPolicy`](crate::directory::RetentionPolicy) is made of.
    fn policy_version(&self) -> Result<i64, LedgerError>;

    /// Users that must be in every conversation, in order of name.
    fn retention_users(&self) -> Result<Vec<String>, LedgerError>;

    /// Devices (rows) that are suspended, or whose user is.
    fn suspended_devices(&self) -> Result<HashSet<i64>, LedgerError>;

    /// The user of that name.
    fn user(&self, user: &str) -> Result<Option<UserRow>, LedgerError>;

    /// All users, in order of name.
    fn users(&self) -> Result<Vec<UserRow>, LedgerError>;

    /// The device of that id.
    fn device(&self, device: &DeviceId) -> Result<Option<DeviceRow>, LedgerError>;

    /// All devices of a user, in order of registration.
    fn devices_of(&self, user: &str) -> Result<Vec<DeviceRow>, LedgerError>;

    /// The credential that a device (row) was given.
    fn credential(&self, device: i64) -> Result<Vec<u8>, LedgerError>;

    /// Is it the signature key of any device?
    fn has_signature_key(&self, signature_key: &[u8]) -> Result<bool, LedgerError>;

    /// The invite with this code, used or not.
    fn invite(&self, code: &CodeHash) -> Result<Option<InviteRow>, LedgerError>;

    /// The last-resort package of a device (row), if it has not expired.
    fn last_resort_key_package(&self, device: i64, now: Moment) -> Result<Option<Vec<u8>>, LedgerError>;

    /// Key packages of a device (row) that have not expired.
    fn count_key_packages(&self, device: i64, now: Moment) -> Result<KeyPackageCount, LedgerError>;
}

/// Writing. `false` means that there is no such user or device.
pub(crate) trait DirectoryBatch: DirectoryView {
    /// Keeps a value under this key; replaces an earlier one.
    fn set_setting(&mut self, key: &str, value: &[u8]) -> Result<(), LedgerError>;

    /// Keeps the network's key for a suite that has none yet.
    fn insert_sender(&mut self, suite: u16, sender: &SenderRow) -> Result<(), LedgerError>;

    /// Replaces the secret of a suite's key, if there is one.
    fn replace_sender_secret(&mut self, suite: u16, secret: &[u8]) -> Result<(), LedgerError>;

    /// To be called in the batch of every change that a policy is made of.
    fn raise_policy_version(&mut self) -> Result<(), LedgerError>;

    /// A user under a name that is free.
    fn insert_user(&mut self, user: &UserName, role: Role) -> Result<(), LedgerError>;

    /// Gives an account a password, as hash.
    fn set_password(&mut self, user: &str, hash: &str, origin: Origin) -> Result<(), LedgerError>;

    /// Suspends or resumes a user with all devices.
    fn set_user_standing(&mut self, user: &UserName, standing: Standing) -> Result<bool, LedgerError>;

    /// Suspends or resumes a device.
    fn set_device_standing(&mut self, device: &DeviceId, standing: Standing) -> Result<bool, LedgerError>;

    /// These users, and no others, must be in every conversation.
    fn set_retention(&mut self, users: &[UserName]) -> Result<(), LedgerError>;

    /// Returns its row, which no device ever had.
    fn insert_device(&mut self, device: &NewDevice<'_>) -> Result<i64, LedgerError>;

    /// Deletes key packages and memberships of a device; it stays in the directory.
    fn retire_device(&mut self, device: &DeviceId) -> Result<(), LedgerError>;

    /// An invite for one device of `user`, valid until then or until it is used.
    fn insert_invite(&mut self, code: &CodeHash, user: &UserName, expires: Option<Moment>) -> Result<(), LedgerError>;

    /// The invite has made this device (row).
    fn use_invite(&mut self, code: &CodeHash, device: i64) -> Result<(), LedgerError>;

    /// Adds these packages of a device (row) to those that it has; a last-resort one replaces the one before.
    fn insert_key_packages(
        &mut self,
        device: i64,
        one_time: &[Checked],
        last_resort: Option<&Checked>,
    ) -> Result<(), LedgerError>;

    /// Takes a package of a device (row) that has not expired: the oldest one-time one, which is then gone, or else the
    /// last-resort one, which stays.
    fn take_key_package(&mut self, device: i64, now: Moment) -> Result<Option<(Vec<u8>, Use)>, LedgerError>;
}
