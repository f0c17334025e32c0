//! What goes beyond a limit of the protocol is refused, and an operator sees it in a figure.

use std::sync::Arc;

use retaind::core::limit::Refusals;
use retaind::network::{AGREED, LIMITS, Options};
use retaind::protocol::limits::{BLOB_RANGE_BYTES_MAX, CIPHERTEXT_BYTES_MAX, CLAIM_USERS_MAX, KEY_PACKAGE_BYTES_MAX};
use retaind::protocol::wire::{Answer, BlobCreate, BlobPut, PublishKeyPackages, RefusalCode, Request, SendApplication};

use crate::support::raw::{Served, random, refusal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_beyond_a_limit_is_refused_and_counted_under_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let refusals = Arc::new(Refusals::default());
    let mut options = Options::new(folder.path());
    options.refusals = refusals.clone();
    let served = Served::with(options).await;
    let mallory = served.device("mallory").await;
    for limit in LIMITS.iter().chain(AGREED) {
        assert!(refusals.totals().contains(&(limit.name, 0)), "{}", limit.name);
    }
    let create = Request::BlobCreate(BlobCreate { size: 1 << 30 });
    let Answer::BlobCreated(created) = mallory.connection.call(create).await.unwrap() else { panic!() };
    let requests = [
        Request::SendApplication(SendApplication {
            blobs: Vec::new(),
            send_id: random::<16>().to_vec(),
            message: vec![0; CIPHERTEXT_BYTES_MAX + 1],
        }),
        Request::PublishKeyPackages(PublishKeyPackages {
            one_time: vec![vec![0; KEY_PACKAGE_BYTES_MAX + 1]],
            last_resort: Vec::new(),
        }),
        Request::BlobPut(BlobPut { blob: created.blob, offset: 0, bytes: vec![0; BLOB_RANGE_BYTES_MAX + 1] }),
    ];
    for request in requests {
        assert_eq!(refusal(mallory.connection.call(request).await), RefusalCode::Limit);
    }
    let everybody = vec!["mallory"; CLAIM_USERS_MAX + 1];
    assert_eq!(refusal(mallory.claim(&everybody).await), RefusalCode::Limit);
    let counted: Vec<(&str, u64)> = refusals.totals().into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counted, [("blob_range", 1), ("ciphertext", 1), ("claim_users", 1), ("key_package", 1)]);
    drop(mallory);
    served.stop().await;
}
