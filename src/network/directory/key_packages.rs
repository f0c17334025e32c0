//! Key packages: what a device leaves with the network so that others can add it while it is away.
//!
//! A one-time package is given out once: taken and deleted in the transaction that answers. When none is left the
//! last-resort package is given, again and again, and the answer says so. Who has taken many of one device's gets only its
//! last-resort one, so that nobody uses up what is there for all.

use std::collections::HashSet;

use mls_rs::MlsMessage;

use super::{DeviceRow, RetentionPolicy};
use crate::agreed;
use crate::claim;
use crate::clock::Moment;
use crate::delivery::entry::Taken;
use crate::error::{ChangeError, Refusal, refuse, refuse_over};
use crate::keys::Keys;
use crate::ledger::{Batch, LedgerError};
use crate::quotas::Quotas;
use retaind_protocol::ids::UserName;
use retaind_protocol::limits::{FRAME_BYTES_MAX, KEY_PACKAGE_BYTES_MAX, KEY_PACKAGES_MAX};
use retaind_protocol::shape;
use retaind_protocol::wire::{ClaimedKeyPackage, RefusalCode};

/// What a package of an answer has beside it: user, device, lengths.
pub(crate) const CLAIMED_BYTES: usize = 512;

/// Which of the two kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Once,
    LastResort,
}

/// A package that was checked to be of the device that publishes it.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) package: Vec<u8>,
    pub(crate) expires_at_secs: i64,
}

/// Checks signature, life time and owner. Some tenths of a millisecond of elliptic curves: not for the writer thread.
pub(crate) fn check(keys: &Keys, device: &DeviceRow, package: Vec<u8>, now: Moment) -> Result<Checked, Refusal> {
    if package.len() > KEY_PACKAGE_BYTES_MAX {
        let message = format!("key package of {} bytes: at most {KEY_PACKAGE_BYTES_MAX} are allowed", package.len());
        return Err(Refusal::over(&agreed::KEY_PACKAGE, message));
    }
    let invalid = |why: &dyn std::fmt::Display| Refusal::invalid(format!("key package is not valid: {why}"));
    shape::check(&package).map_err(|error| agreed::unpacked(&error))?;
    let message = MlsMessage::from_bytes(&package).map_err(|error| invalid(&error))?;
    let decoded = message.as_key_package().ok_or_else(|| invalid(&"it is another kind of MLS message"))?;
    let identity = keys
        .verifier
        .identity_of(decoded.signing_identity())
        .map_err(|error| Refusal::new(RefusalCode::NotYourDevice, format!("key package is not yours: {error}")))?;
    if identity.device != device.device || identity.signature_key != device.signature_key {
        return Err(Refusal::new(RefusalCode::NotYourDevice, "key package is of another device"));
    }
    let suite = keys
        .suite(u32::from(u16::from(decoded.cipher_suite())))
        .filter(|suite| suite.id == device.suite)
        .ok_or_else(|| invalid(&"its cipher suite is not the device's"))?;
    let checked = suite.observer.validate_key_package(message, Some(now.mls())).map_err(|error| invalid(&error))?;
    let expires = checked.expiration().map_err(|error| invalid(&error))?;
    Ok(Checked { package, expires_at_secs: i64::try_from(expires.seconds_since_epoch()).unwrap_or(i64::MAX) })
}

/// Keeps packages of a device.
pub(crate) fn publish(
    batch: &mut dyn Batch,
    device: &DeviceRow,
    one_time: &[Checked],
    last_resort: Option<&Checked>,
    now: Moment,
) -> Result<(), ChangeError> {
    let have = batch.count_key_packages(device.row, now)?.one_time as usize;
    if have.saturating_add(one_time.len()) > KEY_PACKAGES_MAX {
        let message = format!("{have} one-time key packages are here, at most {KEY_PACKAGES_MAX} are kept");
        return refuse_over(&agreed::KEY_PACKAGES, message);
    }
    Ok(batch.insert_key_packages(device.row, one_time, last_resort)?)
}

/// The device that claims key packages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking {
    /// Its row.
    pub(crate) device: i64,
    pub(crate) suite: u16,
    pub(crate) now: Moment,
}

/// One package of each active device of `users` that has keys of the suite, but none of the device that asks. A user that is
/// named twice is asked for once. What is taken of retention bots goes to `taken`.
pub(crate) fn claim(
    batch: &mut dyn Batch,
    quotas: &mut Quotas,
    policy: &RetentionPolicy,
    asking: Asking,
    users: &[String],
    taken: &mut Vec<Taken>,
) -> Result<Vec<ClaimedKeyPackage>, ChangeError> {
    let Asking { device: asking, suite, now } = asking;
    claim::check_number(users.len())?;
    let mut names = HashSet::with_capacity(users.len());
    let users: Vec<&String> = users.iter().filter(|user| names.insert(user.as_str())).collect();
    quotas.claim(asking, users.len(), now)?;
    let (mut claimed, mut bytes) = (Vec::with_capacity(users.len()), 0usize);
    for user in users {
        let Ok(name) = UserName::new(user.as_str()) else {
            return refuse(RefusalCode::NotFound, "a name in the request is not a user name");
        };
        let devices = batch.devices_of(name.as_str())?;
        let own = devices.iter().any(|device| device.row == asking);
        let before = claimed.len();
        for device in devices {
            if device.row == asking || device.suspended || device.suite != suite {
                continue;
            }
            // who has had many of them gets the one that is no loss to others
            let found = if quotas.one_time(asking, device.row, now) {
                take(batch, policy, &device, now, taken)?
            } else {
                batch.last_resort_key_package(device.row, now)?.map(|package| (package, Use::LastResort))
            };
            if let Some((key_package, used)) = found {
                bytes = bytes.saturating_add(key_package.len().saturating_add(CLAIMED_BYTES));
                if bytes > FRAME_BYTES_MAX {
                    let message = "these users have too many devices for one answer: claim for fewer at once";
                    return refuse_over(&agreed::FRAME, message);
                }
                claimed.push(ClaimedKeyPackage {
                    user: device.user,
                    device: device.device.as_bytes().to_vec(),
                    key_package,
                    last_resort: used == Use::LastResort,
                });
            }
        }
        if claimed.len() == before && !own {
            let message =
                format!("user `{name}` has no device that could be added: unknown, suspended, or never online");
            return refuse(RefusalCode::NotFound, message);
        }
    }
    Ok(claimed)
}

/// Takes a package of the device; of a retention bot's, notes what is left.
pub(crate) fn take(
    batch: &mut dyn Batch,
    policy: &RetentionPolicy,
    device: &DeviceRow,
    now: Moment,
    taken: &mut Vec<Taken>,
) -> Result<Option<(Vec<u8>, Use)>, LedgerError> {
    let found = batch.take_key_package(device.row, now)?;
    if let Some((_, used)) = &found
        && policy.required.iter().any(|bot| bot.row == device.row)
    {
        let left = batch.count_key_packages(device.row, now)?.one_time;
        taken.push(Taken { device: device.row, user: device.user.clone(), used: *used, left });
    }
    Ok(found)
}
