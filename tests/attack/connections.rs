//! A member's connections: how many, how large, how long.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

use std::time::Duration;

use retaind::network::Limits;
use retaind::protocol::limits::{BLOB_RANGE_BYTES_MAX, DEVICES_OF_USER_MAX, FRAME_BYTES_MAX, LEAF_BYTES_MAX};
use retaind::protocol::wire::{Answer, BlobCreate, BlobCreated, BlobFinish, BlobPut, PublishKeyPackages, Request};

use crate::support::attack::connections::{
    ask_and_read_nothing, begin_frame, claim_and_read_nothing, ended, logged_in, many_connections,
};
use crate::support::attack::poison::heavy_key_package;
use crate::support::raw::{PATIENCE, Raw, Served};

const MIB: usize = 1024 * 1024;
/// Short, so that what has to end does so while the test waits for it.
const STALL: Duration = Duration::from_millis(300);

async fn served(folder: &std::path::Path, limits: Limits) -> Served {
    let limited = |mut options: retaind::network::Options| {
        options.limits = limits;
        options
    };
    Served::start_with(folder, limited).await
}

/// Waits until connections hold nothing any more.
async fn all_is_given_back(served: &Served) {
    let given_back = async {
        while served.network.bytes_held() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, given_back).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_has_a_few_connections_and_the_oldest_goes() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let mut alice = served.device("alice").await;
    let mut open = many_connections(&served.endpoint, &alice, 40).await;
    assert_eq!(open.len(), 40);
    // the first ones were ended for the later ones; the device itself always gets in
    alice.ended().await;
    ended(&mut open[0]).await;
    alice.login(&served.endpoint).await.unwrap();
    alice.claim(&["alice"]).await.unwrap();
    assert!(served.refusal("connections_of_device") >= 33);
    drop(open);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn begun_frames_of_a_device_hold_its_share_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        user_bytes: 4 * MIB,
        process_bytes: 16 * MIB,
        frame_stall: STALL,
        memory_wait: STALL,
        ..Limits::default()
    };
    let served = served(folder.path(), limits).await;
    let (alice, bob) = (served.device("alice").await, served.device("bob").await);
    let mut open = many_connections(&served.endpoint, &alice, 7).await;
    for stream in &mut open {
        begin_frame(stream, FRAME_BYTES_MAX as u32, 15 * MIB).await;
        assert!(served.network.bytes_held() <= limits.user_bytes, "{}", served.network.bytes_held());
        // somebody else is served meanwhile
        bob.claim(&["bob"]).await.unwrap();
    }
    for stream in &mut open {
        ended(stream).await;
    }
    assert!(served.refusal("frame_stall_seconds") + served.refusal("user_bytes") >= 7);
    drop(open);
    all_is_given_back(&served).await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_who_fill_the_memory_lose_it_to_who_needs_little() {
    let folder = tempfile::tempdir().unwrap();
    // so slow that only the budget can end them
    let stall = Duration::from_secs(3600);
    let limits = Limits { user_bytes: 4 * MIB, process_bytes: 8 * MIB, frame_stall: stall, ..Limits::default() };
    let served = served(folder.path(), limits).await;
    let bob = served.device("bob").await;
    let (mut hostile, mut open) = (Vec::new(), Vec::new());
    for name in ["eve", "mallory", "trudy", "victor"] {
        let device = served.device(name).await;
        let mut stream = logged_in(&served.endpoint, &device).await.unwrap();
        begin_frame(&mut stream, FRAME_BYTES_MAX as u32, 4 * MIB - 300_000).await;
        open.push(stream);
        hostile.push(device);
        assert!(served.network.bytes_held() <= limits.process_bytes);
    }
    // larger than what is left, and smaller than what each of them holds
    let create = bob.connection.call(Request::BlobCreate(BlobCreate { size: BLOB_RANGE_BYTES_MAX as u64 })).await;
    let Answer::BlobCreated(BlobCreated { blob }) = create.unwrap() else { panic!() };
    let put = BlobPut { blob, offset: 0, bytes: vec![1; BLOB_RANGE_BYTES_MAX] };
    tokio::time::timeout(PATIENCE, bob.connection.call(Request::BlobPut(put))).await.unwrap().unwrap();
    assert!(served.refusal("process_bytes") >= 1);
    drop(open);
    all_is_given_back(&served).await;
    served.stop().await;
}

async fn blob(raw: &Raw) -> Vec<u8> {
    let create = raw.connection.call(Request::BlobCreate(BlobCreate { size: MIB as u64 })).await.unwrap();
    let Answer::BlobCreated(BlobCreated { blob }) = create else { panic!() };
    let put = BlobPut { blob: blob.clone(), offset: 0, bytes: vec![7; MIB] };
    raw.connection.call(Request::BlobPut(put)).await.unwrap();
    raw.connection.call_done(Request::BlobFinish(BlobFinish { blob: blob.clone() })).await.unwrap();
    blob
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_read_nothing_hold_a_share_and_are_ended() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { user_bytes: 8 * MIB, process_bytes: 16 * MIB, write_stall: STALL, ..Limits::default() };
    let served = served(folder.path(), limits).await;
    let (alice, bob) = (served.device("alice").await, served.device("bob").await);
    let blob = blob(&alice).await;
    let mut open = many_connections(&served.endpoint, &alice, 7).await;
    for stream in &mut open {
        ask_and_read_nothing(stream, &blob, 64).await;
        assert!(served.network.bytes_held() <= limits.process_bytes, "{}", served.network.bytes_held());
        bob.claim(&["bob"]).await.unwrap();
    }
    let ended_by_the_network = async {
        while served.refusal("write_stall_seconds") < 7 {
            assert!(served.network.bytes_held() <= limits.process_bytes, "{}", served.network.bytes_held());
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE * 2, ended_by_the_network).await.unwrap();
    all_is_given_back(&served).await;
    drop(open);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_to_claims_are_held_before_they_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { user_bytes: 2 * MIB, process_bytes: 3 * MIB, write_stall: STALL, ..Limits::default() };
    let served = served(folder.path(), limits).await;
    for _ in 0..DEVICES_OF_USER_MAX {
        let raw = served.device("bob").await;
        let last_resort = heavy_key_package(&raw, LEAF_BYTES_MAX / 2);
        let publish = PublishKeyPackages { one_time: Vec::new(), last_resort };
        raw.connection.call_done(Request::PublishKeyPackages(publish)).await.unwrap();
    }
    let alice = served.device("alice").await;
    // one answer is 160 KiB, and a batch makes many of them
    let mut open = many_connections(&served.endpoint, &alice, 7).await;
    for stream in &mut open {
        claim_and_read_nothing(stream, "bob", 200).await;
    }
    let mut most = 0;
    let ended_by_the_network = async {
        while served.refusal("write_stall_seconds") < 7 {
            most = most.max(served.network.bytes_held());
            assert!(most <= limits.process_bytes, "{most}");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE * 2, ended_by_the_network).await.unwrap();
    assert!(most > MIB, "{most}: nothing was held");
    all_is_given_back(&served).await;
    // who reads gets all of it
    assert_eq!(alice.claim(&["bob"]).await.unwrap().len(), DEVICES_OF_USER_MAX);
    drop(open);
    served.stop().await;
}
