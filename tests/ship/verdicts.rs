//! What S3 and KMS answer, and what it is taken for: bucket-wide refusals hold the queue and heal, those of one object park it.

use aws_sdk_s3::types::ServerSideEncryption;
use retaind::aws::sse::ServerSide;

use super::*;

/// `fault` meets everything that is sent until it is healed; nothing is parked, and all arrives.
async fn holds(fault: Fault, words: &str) {
    let mut depot = Depot::new().await;
    depot.seal_three();
    let trouble = depot.proxy.trouble(On::service("s3"), Times::UntilHealed, fault);
    let stage = depot.stage();
    trouble.strikes(20).await;
    assert!(depot.files.iter().all(|(_, path, _)| path.exists()), "removed before it was stored");
    trouble.heal();
    let heard = stage.finish().await;
    depot.all_is_shipped().await;
    let failures = heard.failures.lock().unwrap();
    assert!(!failures.is_empty() && failures.iter().all(|(text, _)| text.contains(words)), "{failures:?}");
    let first = failures.iter().filter(|(_, news)| *news == News::First).count();
    assert_eq!(first, 1, "one cause is told once: {failures:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_concerns_the_whole_bucket_or_key_holds_the_queue_is_named_and_heals() {
    for (fault, words) in [
        (Fault::Refused(403, "RequestTimeTooSkewed"), "because the clock of this host differs too much from AWS's"),
        (Fault::Refused(501, "NotImplemented"), "was refused: NotImplemented (HTTP 501, NotImplemented"),
        (Fault::Refused(507, "XMinioStorageFull"), "was refused: XMinioStorageFull (HTTP 507"),
        (Fault::Refused(400, "KMS.DisabledException"), "was refused: KMS.DisabledException (HTTP 400"),
        (Fault::Refused(400, "XMinioAdminBucketQuotaExceeded"), "was refused: XMinioAdminBucketQuotaExceeded"),
    ] {
        holds(fault, words).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_concerns_one_object_parks_that_one() {
    let mut depot = Depot::new().await;
    depot.seal_three();
    let name = depot.files[0].1.file_name().unwrap().to_str().unwrap().to_owned();
    let on = On::operation("PutObject").key(&format!("{FOLDER}/{name}"));
    depot.proxy.trouble(on, Times::UntilHealed, Fault::Refused(400, "KeyTooLongError"));
    let heard = depot.stage().finish().await;
    let here: Vec<bool> = depot.files.iter().map(|(_, path, _)| path.exists()).collect();
    assert_eq!(here, [true, false, false]);
    assert_eq!(heard.failures.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_while_the_queue_is_held_says_that_files_are_left() {
    let mut depot = Depot::new().await;
    depot.seal_three();
    let refused = Fault::Refused(400, "KMS.DisabledException");
    let trouble = depot.proxy.trouble(On::service("s3"), Times::UntilHealed, refused);
    let Stage { bell, running, .. } = depot.stage();
    trouble.strikes(6).await;
    bell.stop();
    assert_eq!(running.await.unwrap().unwrap(), Shipped::Partly);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_encrypted_by_s3_as_asked() {
    for (sse, algorithm) in [
        (ServerSide::S3, ServerSideEncryption::Aes256),
        (
            ServerSide::Kms { key: None, context: [("unit".to_owned(), "legal".to_owned())].into() },
            ServerSideEncryption::AwsKms,
        ),
    ] {
        let mut depot = Depot::new().await;
        depot.seal_three();
        let aws = Aws::with(depot.access.config());
        let bucket = Bucket::new(&aws, REGION, BUCKET, Some(FOLDER), None, TIMEOUT).encrypted(Some(sse));
        let runner = Runner {
            queue: Arc::new(Queue::open(depot.store.again(StateAccess::Write).unwrap()).unwrap()),
            destination: Arc::new(S3Destination::new(Arc::new(RealDisk), bucket, None, PIECES)),
            disk: Arc::new(RealDisk),
            backoff: SOON,
            watcher: Arc::new(Heard::default()),
        };
        let bell = Bell::default();
        bell.finish();
        assert_eq!(runner.run(&bell).await.unwrap(), Shipped::All);
        depot.all_is_shipped().await;
        for (_, path, _) in &depot.files {
            let head = depot.moto.s3().head_object().bucket(BUCKET).key(Depot::key(path)).send().await.unwrap();
            assert_eq!(head.server_side_encryption(), Some(&algorithm), "{path:?}");
        }
    }
}
