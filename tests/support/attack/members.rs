//! What a member can do with a client of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail the test"
)]

use retaind::device::connection::ConnectionError;
use retaind::protocol::limits::BLOB_RANGE_BYTES_MAX;
use retaind::protocol::wire::*;

use crate::support::raw::{Raw, accepted, naming, refusal};

/// Begins a blob.
pub async fn begin(device: &Raw, size: u64) -> Result<Vec<u8>, ConnectionError> {
    let Answer::BlobCreated(created) = device.connection.call(Request::BlobCreate(BlobCreate { size })).await? else {
        return Err(ConnectionError::Protocol("blob was not created"));
    };
    Ok(created.blob)
}

/// Uploads `size` bytes of nothing.
pub async fn upload(device: &Raw, size: usize) -> Result<Vec<u8>, ConnectionError> {
    let blob = begin(device, size as u64).await?;
    let mut offset = 0;
    while offset < size {
        let bytes = vec![7; BLOB_RANGE_BYTES_MAX.min(size - offset)];
        offset += bytes.len();
        let put = BlobPut { blob: blob.clone(), offset: (offset - bytes.len()) as u64, bytes };
        device.connection.call(Request::BlobPut(put)).await?;
    }
    device.connection.call_done(Request::BlobFinish(BlobFinish { blob: blob.clone() })).await?;
    Ok(blob)
}

/// Uploads blobs of this size until the network refuses, at most `most`. Returns how many it took, and the refusal.
pub async fn flood_with_blobs(device: &Raw, size: usize, most: usize) -> (usize, Option<RefusalCode>) {
    for taken in 0..most {
        let uploaded = upload(device, size).await;
        if uploaded.is_err() {
            return (taken, Some(refusal(uploaded)));
        }
    }
    (most, None)
}

/// Asks for the key packages of a user, named `times` times in each of `requests` requests. Returns how many one-time ones
/// it got.
pub async fn drain_key_packages(device: &Raw, user: &str, times: usize, requests: usize) -> usize {
    let mut got = 0;
    for _ in 0..requests {
        let Ok(claimed) = device.claim(&vec![user; times]).await else { break };
        got += claimed.iter().filter(|claimed| !claimed.last_resort).count();
    }
    got
}

/// Begins conversations with nobody until the network refuses, at most `most`. Returns how many it took, and the refusal.
pub async fn flood_with_conversations(device: &Raw, most: usize) -> (usize, Option<RefusalCode>) {
    for taken in 0..most {
        let (_, create) = device.draft(&[]).await;
        let created = accepted(&device.connection, Request::CreateConversation(create)).await;
        if created.is_err() {
            return (taken, Some(refusal(created)));
        }
    }
    (most, None)
}

/// Sends a message that names these blobs; returns its place.
pub async fn send_naming(device: &Raw, session: &mut retaind::device::mls::Session, blobs: &[Vec<u8>]) -> u64 {
    accepted(&device.connection, Request::SendApplication(naming(session, "a file", blobs))).await.unwrap()
}
