//! Quotas: what a device or user may still do, by what the ledger has of it, by meters, and by the room on the disk. What they
//! refuse is counted under its limit.

use std::sync::Arc;

use super::clock::Moment;
use super::delivery::blobs::Stored;
use super::directory::DeviceRow;
use super::error::Refusal;
use super::limits::{
    Allowances, BLOB_BYTES_AN_HOUR, BLOB_BYTES_OF_DEVICE, BLOB_BYTES_OF_USER, BLOBS_OF_USER, CLAIMS_AN_HOUR,
    CLAIMS_OF_TARGET, CONVERSATIONS_OF_DEVICE, CONVERSATIONS_OF_USER, DISK_FOR_BLOBS, DISK_FOR_MESSAGES,
    MESSAGES_OF_BLOBS, UNFINISHED_UPLOADS,
};
use super::meter::Meter;
use retaind_core::limit::{Limit, Refusals};
use retaind_protocol::wire::RefusalCode;

/// What is remembered of who did how much.
pub(crate) struct Quotas {
    pub(crate) allowances: Allowances,
    refusals: Arc<Refusals>,
    blob_bytes: Meter<String>,
    claims: Meter<i64>,
    claims_of_target: Meter<(i64, i64)>,
    conversations_of_device: Meter<i64>,
    conversations_of_user: Meter<String>,
}

impl Quotas {
    pub(crate) fn new(allowances: Allowances, refusals: Arc<Refusals>) -> Self {
        Self {
            refusals,
            blob_bytes: Meter::new(allowances.blob_bytes_an_hour),
            claims: Meter::new(CLAIMS_AN_HOUR.value),
            claims_of_target: Meter::new(allowances.claims_of_target),
            conversations_of_device: Meter::new(allowances.conversations_an_hour),
            conversations_of_user: Meter::new(allowances.conversations_an_hour.saturating_mul(2)),
            allowances,
        }
    }

    /// May messages be taken, with so much room on the disk?
    pub(crate) fn message(&self, free_bytes: u64) -> Result<(), Refusal> {
        if free_bytes < self.allowances.disk_low_bytes / MESSAGES_OF_BLOBS {
            Err(self.full(&DISK_FOR_MESSAGES))
        } else {
            Ok(())
        }
    }

    /// May the device begin a blob of `size` bytes? `unfinished`: uploads that it has begun and not finished.
    pub(crate) fn blob(
        &mut self,
        device: &DeviceRow,
        size: u64,
        (unfinished, stored): (usize, Stored),
        free_bytes: u64,
        now: Moment,
    ) -> Result<(), Refusal> {
        let quota = self.allowances.blob_quota_bytes;
        if unfinished >= UNFINISHED_UPLOADS.count() {
            let message = format!("{unfinished} uploads of this device are unfinished, the most: finish one first");
            return Err(self.refuse(&UNFINISHED_UPLOADS, message));
        }
        for (limit, has, most, whose) in [
            (&BLOB_BYTES_OF_DEVICE, stored.device.bytes, quota / 2, "this device"),
            (&BLOB_BYTES_OF_USER, stored.user.bytes, quota, "this user"),
        ] {
            if has.saturating_add(size) > most {
                let message = format!(
                    "attachments of {whose} have {has} bytes here, with {size} more they would have more than {most}: \
                     they are deleted when all members have them"
                );
                return Err(self.refuse(limit, message));
            }
        }
        if stored.user.blobs >= BLOBS_OF_USER.value {
            let message = format!("{} attachments of this user are here, the most", stored.user.blobs);
            return Err(self.refuse(&BLOBS_OF_USER, message));
        }
        if free_bytes.saturating_sub(size) < self.allowances.disk_low_bytes {
            return Err(self.full(&DISK_FOR_BLOBS));
        }
        if !self.blob_bytes.take(device.user.clone(), size, now) {
            let most = self.allowances.blob_bytes_an_hour;
            let message =
                format!("this user has sent {most} bytes of attachments in an hour, the most: try again later");
            return Err(self.refuse(&BLOB_BYTES_AN_HOUR, message));
        }
        Ok(())
    }

    /// May the device claim key packages of so many users?
    pub(crate) fn claim(&mut self, device: i64, users: usize, now: Moment) -> Result<(), Refusal> {
        if self.claims.take(device, users.try_into().unwrap_or(u64::MAX), now) {
            return Ok(());
        }
        let most = CLAIMS_AN_HOUR.value;
        let message =
            format!("this device has asked for key packages of {most} users in an hour, the most: try again later");
        Err(self.refuse(&CLAIMS_AN_HOUR, message))
    }

    /// May the device have a one-time key package of `target`?
    pub(crate) fn one_time(&mut self, device: i64, target: i64, now: Moment) -> bool {
        let may = self.claims_of_target.take((device, target), 1, now);
        if !may {
            self.refusals.count(&CLAIMS_OF_TARGET);
        }
        may
    }

    /// May the device begin a conversation?
    pub(crate) fn conversation(&mut self, device: &DeviceRow, now: Moment) -> Result<(), Refusal> {
        let most = self.allowances.conversations_an_hour;
        if !self.conversations_of_device.take(device.row, 1, now) {
            let message = format!("this device has begun {most} conversations in an hour, the most: try again later");
            return Err(self.refuse(&CONVERSATIONS_OF_DEVICE, message));
        }
        if !self.conversations_of_user.take(device.user.clone(), 1, now) {
            let most = most.saturating_mul(2);
            let message = format!("this user has begun {most} conversations in an hour, the most: try again later");
            return Err(self.refuse(&CONVERSATIONS_OF_USER, message));
        }
        Ok(())
    }

    fn refuse(&self, limit: &Limit, message: String) -> Refusal {
        self.refusals.count(limit);
        Refusal::new(RefusalCode::Limit, message)
    }

    fn full(&self, limit: &Limit) -> Refusal {
        self.refusals.count(limit);
        no_room()
    }
}

/// What is told when the disk is too full: no more than that.
pub(crate) fn no_room() -> Refusal {
    Refusal::new(RefusalCode::Unavailable, "the network's disk is nearly full, nothing was changed: try again later")
}
