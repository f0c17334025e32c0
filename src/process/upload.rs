//! Where sealed files go, set up from the configuration: to S3, encrypted or not, or nowhere.

use std::sync::Arc;
use std::time::Duration;

use super::Failure;
use retaind_aws::Aws;
use retaind_aws::kms::Kms;
use retaind_aws::probe::{self, Lock, Outcome, Place, Probe};
use retaind_aws::s3::{Bucket, LegalHold, LockMode, ObjectLock, REQUEST_TIMEOUT};
use retaind_bot::disk::Disk;
use retaind_bot::run::Shipping;
use retaind_bot::ship::s3::{PAUSES, S3Destination};
use retaind_config::aws::{Aws as Settings, Upload};
use retaind_core::clock::SystemClock;
use retaind_core::fault::Faulty as _;

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// Without a bucket files stay where they are.
pub(crate) fn shipping(aws: Option<&Aws>, settings: &Settings, disk: &Arc<dyn Disk>) -> Shipping {
    let (Some(aws), Some(upload)) = (aws, &settings.upload) else { return Shipping::local(disk.clone()) };
    let lock = ObjectLock {
        retention: upload.lock.retention.map(|retention| (retention.mode, retention.days)),
        legal_hold: upload.lock.legal_hold,
    };
    let folder = upload.folder.as_deref();
    let bucket = Bucket::new(aws, &upload.region, &upload.bucket, folder, Some(lock), REQUEST_TIMEOUT)
        .encrypted(upload.sse.clone())
        .owned_by(upload.owner.clone());
    let encryption = upload.key.as_ref().map(|key| (Kms::new(aws, &key.region, key.arn.as_str()), key.format));
    Shipping::to(Arc::new(S3Destination::new(disk.clone(), bucket, encryption, PAUSES)))
}

/// Refuses to start where objects are to be locked and the bucket or the permissions do not let them: an archive that is
/// believed to be locked and is not would be worse than none.
pub(crate) async fn check_locks(aws: Option<&Aws>, settings: &Settings) -> Result<(), Failure> {
    let (Some(aws), Some(upload)) = (aws, &settings.upload) else { return Ok(()) };
    for probe in try_locks(aws, upload).await {
        if let Outcome::Fails(error) = probe.outcome {
            let words = format!("objects cannot be locked as `RETAIND_OBJECT_LOCK_MODE` and its like ask: {error}");
            return Err(if error.is_temporary() { Failure::temporary(words) } else { Failure::configuration(words) });
        }
    }
    Ok(())
}

/// Tries what locking asks for; nothing if nothing is to be locked.
pub async fn try_locks(aws: &Aws, upload: &Upload) -> Vec<Probe> {
    let place = place(upload);
    let locks = locks(upload);
    let mut probes = Vec::new();
    if !locks.is_empty() {
        probes.push(probe::lock_configuration(aws, place).await);
    }
    for lock in locks {
        probes.push(probe::put_locked(aws, place, lock).await);
    }
    probes
}

/// The bucket as probes want it.
pub fn place(upload: &Upload) -> Place<'_> {
    Place {
        bucket: &upload.bucket,
        region: &upload.region,
        folder: upload.folder.as_deref(),
        sse: upload.sse.as_ref(),
        owner: upload.owner.as_deref(),
    }
}

fn locks(upload: &Upload) -> Vec<Lock> {
    let retention = upload.lock.retention.map(|retention| {
        let until = SystemClock.now() + Duration::from_secs(u64::from(retention.days).saturating_mul(SECONDS_PER_DAY));
        match retention.mode {
            LockMode::Governance => Lock::Governance(until),
            LockMode::Compliance => Lock::Compliance(until),
        }
    });
    let hold = match upload.lock.legal_hold {
        LegalHold::On => Some(Lock::LegalHold),
        LegalHold::Off => None,
    };
    retention.into_iter().chain(hold).collect()
}
