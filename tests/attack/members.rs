//! A member with a client of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail the test"
)]

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use retaind::network::{Noted, Observer, Options};
use retaind::protocol::wire::*;

use crate::support::attack::members::{
    begin, drain_key_packages, flood_with_blobs, flood_with_conversations, send_naming, upload,
};
use crate::support::raw::{BOT, PATIENCE, Raw, Served, refusal, user};

/// How often blobs are looked at here, and how old they have to be: nothing waits.
fn impatient(folder: &Path) -> Options {
    let mut options = Options::new(folder);
    options.allowances.blobs_looked_at_every = Duration::ZERO;
    options.allowances.settled_age = Duration::ZERO;
    options
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder.join("blobs")).unwrap().count()
}

async fn until(what: impl Fn() -> bool) {
    let becomes_true = async {
        while !what() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, becomes_true).await.expect("it did not come to that");
}

fn refused(served: &Served, limit: &str) -> u64 {
    served.refusals.totals().into_iter().find(|(name, _)| *name == limit).unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_goes_when_every_member_has_acknowledged_its_message() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::with(impatient(folder.path())).await;
    let (alice, bob) = (served.device("alice").await, served.device("bob").await);
    let mut session = alice.create(&["bob"]).await;
    let id = *session.conversation();
    let blob = upload(&alice, 1000).await.unwrap();
    let seq = send_naming(&alice, &mut session, std::slice::from_ref(&blob)).await;
    alice.acknowledge(&id, seq).await;
    let get = || Request::BlobGet(BlobGet { blob: blob.clone(), offset: 0, length: 10 });
    bob.connection.call(get()).await.unwrap();
    assert_eq!(files(folder.path()), 1);
    bob.acknowledge(&id, seq).await;
    until(|| files(folder.path()) == 0).await;
    assert_eq!(refusal(bob.connection.call(get()).await), RefusalCode::NotFound);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bot_has_not_read_is_kept_however_old_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let mut bot = served.bot().await;
    served.network.admin(|admin| admin.set_retention(&[user(BOT)])).unwrap();
    let mut alice = served.device("alice").await;
    let mut session = alice.create(&[BOT]).await;
    let id = *session.conversation();
    let blob = upload(&alice, 1000).await.unwrap();
    let seq = send_naming(&alice, &mut session, &[blob]).await;
    alice.acknowledge(&id, seq).await;
    bot.acknowledge(&id, seq - 1).await;
    served.stop().await;

    // from now on every blob is old
    let mut options = impatient(folder.path());
    options.allowances.blob_age = Duration::ZERO;
    let served = Served::with(options).await;
    alice.login(&served.endpoint).await.unwrap();
    bot.login(&served.endpoint).await.unwrap();
    // nobody needs this one: when it is gone, all were looked at
    for _ in 0..3 {
        upload(&alice, 10).await.unwrap();
        until(|| files(folder.path()) == 1).await;
    }
    bot.acknowledge(&id, seq).await;
    until(|| files(folder.path()) == 0).await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_are_never_finished_go_and_a_start_deletes_what_has_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = impatient(folder.path());
    options.allowances.unfinished_age = Duration::ZERO;
    let served = Served::with(options).await;
    let alice = served.device("alice").await;
    for _ in 0..100 {
        // more than may be unfinished at a time: they go as fast as they come
        let blob = begin(&alice, 1 << 20).await;
        if let Ok(blob) = blob {
            let put = BlobPut { blob, offset: 0, bytes: vec![1; 100] };
            // it may be gone already
            alice.connection.call(Request::BlobPut(put)).await.ok();
        }
    }
    let rows = rusqlite::Connection::open(folder.path().join("network.sqlite")).unwrap();
    let left = || -> i64 { rows.query_row("SELECT count(*) FROM blobs", [], |row| row.get(0)).unwrap() };
    until(|| left() == 0).await;
    served.stop().await;
    // a crash between the row and the file leaves the file
    let stray = folder.path().join("blobs").join("ab".repeat(32));
    fs::write(&stray, "what nobody can name any more").unwrap();
    fs::write(stray.with_extension("part"), "half of it").unwrap();
    let served = Served::start(folder.path()).await;
    assert_eq!(files(folder.path()), 0);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_fills_the_disk_that_the_archive_shares() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = Options::new(folder.path());
    options.allowances.blob_quota_bytes = 1 << 20;
    let served = Served::with(options).await;
    let mallory = served.device("mallory").await;
    // half of the user's quota for one device, the other half for the next one
    assert_eq!(flood_with_blobs(&mallory, 100 << 10, 100).await, (5, Some(RefusalCode::Limit)));
    let second = served.device("mallory").await;
    assert_eq!(flood_with_blobs(&second, 100 << 10, 100).await, (5, Some(RefusalCode::Limit)));
    let third = served.device("mallory").await;
    assert_eq!(flood_with_blobs(&third, 100 << 10, 100).await, (0, Some(RefusalCode::Limit)));
    assert_eq!((refused(&served, "blob_bytes_of_device"), refused(&served, "blob_bytes_of_user")), (2, 1));
    let alice = served.device("alice").await;
    assert_eq!(flood_with_blobs(&alice, 100 << 10, 3).await, (3, None));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_has_so_many_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = Options::new(folder.path());
    options.allowances.blob_bytes_an_hour = 1 << 20;
    let served = Served::with(options).await;
    let mallory = served.device("mallory").await;
    assert_eq!(flood_with_blobs(&mallory, 300 << 10, 100).await, (3, Some(RefusalCode::Limit)));
    assert_eq!(refused(&served, "blob_bytes_an_hour"), 1);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_room_on_the_disk_is_the_archive_s() {
    let free = retaind::core::disk::free_bytes(&std::env::temp_dir()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut options = Options::new(folder.path());
    options.allowances.disk_low_bytes = free.saturating_mul(2);
    let served = Served::with(options).await;
    let (alice, bob) = (served.device("alice").await, served.device("bob").await);
    let mut session = alice.create(&["bob"]).await;
    // between the two limits: messages yes, attachments no
    assert_eq!(refusal(upload(&alice, 10).await), RefusalCode::Unavailable);
    alice.send(&mut session, "still here").await.unwrap();
    served.stop().await;

    let mut options = Options::new(folder.path());
    options.allowances.disk_low_bytes = u64::MAX;
    let served = Served::with(options).await;
    let login = async |mut device: Raw| {
        device.login(&served.endpoint).await.unwrap();
        device
    };
    let (alice, bob) = (login(alice).await, login(bob).await);
    assert_eq!(refusal(alice.send(&mut session, "no room").await), RefusalCode::Unavailable);
    assert_eq!(flood_with_conversations(&alice, 10).await, (0, Some(RefusalCode::Unavailable)));
    // what makes room is taken
    bob.acknowledge(session.conversation(), 2).await;
    assert!(refused(&served, "disk_for_messages") >= 2);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_drains_the_key_packages_of_the_bot() {
    let folder = tempfile::tempdir().unwrap();
    let noted = Arc::new(Mutex::new(Vec::new()));
    let mut options = Options::new(folder.path());
    options.allowances.claims_of_target = 10;
    let heard = noted.clone();
    options.observer = Some(Observer::new(move |noted| heard.lock().unwrap().push(noted)));
    let served = Served::with(options).await;
    let mut bot = served.bot().await.publish(21).await;
    served.network.admin(|admin| admin.set_retention(&[user(BOT)])).unwrap();
    let mallory = served.device("mallory").await;
    // one request with the name 4,096 times took all of them
    assert_eq!(drain_key_packages(&mallory, BOT, 4096, 1).await, 1);
    assert_eq!(drain_key_packages(&mallory, BOT, 1, 50).await, 9);
    assert_eq!(refused(&served, "claims_of_target"), 41);
    let count = bot.connection.call(Request::CountKeyPackages(CountKeyPackages {})).await.unwrap();
    assert_eq!(count, Answer::KeyPackageCount(KeyPackageCount { one_time: 15, last_resort: true }));
    // with many devices it can, and everybody hears of it once
    let mut got = 10;
    for _ in 0..3 {
        got += drain_key_packages(&served.device("mallory").await, BOT, 1, 10).await;
    }
    assert_eq!(got, 25);
    assert_eq!(*noted.lock().unwrap(), [Noted::LastResort { user: BOT.into() }]);
    assert!(refused(&served, "bot_key_packages") >= 1);
    let low = loop {
        let notice = bot.notice().await;
        if notice.key_packages_low {
            break notice;
        }
    };
    assert_eq!(low.text, "");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_have_a_rate() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = Options::new(folder.path());
    options.allowances.conversations_an_hour = 5;
    let served = Served::with(options).await;
    let mallory = served.device("mallory").await;
    assert_eq!(flood_with_conversations(&mallory, 100).await, (5, Some(RefusalCode::Limit)));
    for taken in [5, 0] {
        let next = served.device("mallory").await;
        assert_eq!(flood_with_conversations(&next, 100).await, (taken, Some(RefusalCode::Limit)));
    }
    assert_eq!(flood_with_conversations(&served.device("alice").await, 3).await, (3, None));
    served.stop().await;
}
