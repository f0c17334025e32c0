//! A claim of key packages, before it becomes a change: the memory of its answer is held before the answer is made.
//!
//! An answer is made by the writer, in a batch with those of others, and waits for the batch's commit. So its size is estimated
//! from above here, from the devices of whom it is asked, and charged like every other answer ([`super::budget`]): whoever claims
//! much, on however many connections, waits for its own answers and not for those of others.

use std::collections::HashSet;
use std::sync::Arc;

use super::Shared;
use super::agreed;
use super::budget::Charge;
use super::change::Change;
use super::directory::DeviceRow;
use super::directory::key_packages::CLAIMED_BYTES;
use super::error::Refusal;
use retaind_protocol::limits::{CLAIM_USERS_MAX, FRAME_BYTES_MAX, KEY_PACKAGE_BYTES_MAX};
use retaind_protocol::wire::ClaimKeyPackages;

/// The change, once `charge` holds what its answer may have.
pub(crate) async fn charged(
    shared: &Arc<Shared>,
    device: &DeviceRow,
    request: ClaimKeyPackages,
    charge: &mut Charge,
) -> Result<Change, Refusal> {
    let ClaimKeyPackages { users, cipher_suite } = request;
    let suite = u16::try_from(cipher_suite).map_err(|_| Refusal::invalid("`cipher_suite` is not a cipher suite"))?;
    check_number(users.len())?;
    let names: HashSet<String> = users.iter().cloned().collect();
    let devices = shared
        .readers
        .run(move |db| {
            let mut devices = 0usize;
            for name in &names {
                let of_suite =
                    db.devices_of(name)?.into_iter().filter(|device| device.suite == suite && !device.suspended);
                devices = devices.saturating_add(of_suite.count());
            }
            Ok(devices)
        })
        .await?;
    let bytes = devices.saturating_mul(KEY_PACKAGE_BYTES_MAX.saturating_add(CLAIMED_BYTES)).min(FRAME_BYTES_MAX);
    let more = bytes.saturating_sub(charge.bytes());
    // the limit that left no room was counted there
    charge.grow_for_an_answer(more).await.map_err(|_| Refusal::unavailable())?;
    Ok(Change::ClaimKeyPackages { device: device.clone(), users, suite })
}

/// May so many users be named in one claim?
pub(crate) fn check_number(users: usize) -> Result<(), Refusal> {
    if users <= CLAIM_USERS_MAX {
        return Ok(());
    }
    let message = format!("{users} users in one request, at most {CLAIM_USERS_MAX} are allowed");
    Err(Refusal::over(&agreed::CLAIM_USERS, message))
}
