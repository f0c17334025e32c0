//! Everything that is sent is archived, once, in order, byte for byte.
//!
//! A network, devices and a bot as they are, in one process: what a device sends is compared with what lies on the
//! bot's disk, and every place of a conversation is accounted for.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod apart;
mod attachments;
mod names;
mod places;
mod rejoin;
mod rotation;
mod types;
mod unreadable;

use std::collections::BTreeMap;
use std::path::Path;

use retaind::protocol::content::{Attachment, AttachmentKind};
use retaind::protocol::ids::{ConversationId, ConversationKind};
use serde_json::Value;

use crate::support::{Harness, text, user};

/// The records of one conversation by place. Panics if a place has two, or if they are out of order.
fn places(records: &[Value], conversation: &ConversationId) -> BTreeMap<u64, Value> {
    let mut places = BTreeMap::new();
    for record in records.iter().filter(|record| record["vgroupid"] == conversation.as_str()) {
        let seq = record["seq"].as_u64().unwrap();
        assert!(places.last_key_value().is_none_or(|(last, _)| *last < seq), "place {seq} is doubled or out of order");
        places.insert(seq, record.clone());
    }
    places
}

/// Every place from 1 has a record.
fn without_gap(places: &BTreeMap<u64, Value>) {
    let found: Vec<u64> = places.keys().copied().collect();
    assert_eq!(found, (1..=places.len() as u64).collect::<Vec<_>>());
}

/// The texts of records, in order.
fn texts(places: &BTreeMap<u64, Value>) -> Vec<&str> {
    places.values().filter_map(|record| record["message"].as_str()).collect()
}

/// Uploads these bytes as a file.
async fn upload(device: &retaind::device::conversations::Device, scratch: &Path, bytes: &[u8]) -> Attachment {
    let path = scratch.join("upload.bin");
    std::fs::write(&path, bytes).unwrap();
    retaind::device::blob::upload(device.connection(), &path, AttachmentKind::File).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_text_is_archived_once_in_order() {
    let harness = Harness::start();
    let bot = harness.bot().await;
    let mut alice = harness.device("alice").await;
    let _bob = harness.device("bob").await;
    let room = alice.create(ConversationKind::Room, &[user("bob")]).await.unwrap();
    let mut sent = Vec::new();
    for number in 0..50 {
        let body = format!("number {number} \u{1f600} \u{202e}rtl\u{202c} \u{1} tab\t");
        alice.send(&room, &text(&body)).await.unwrap();
        sent.push(body);
    }
    bot.saved(51).await;
    bot.stop().await.unwrap();
    let places = places(&harness.records(), &room);
    without_gap(&places);
    assert_eq!(texts(&places), sent);
    harness.stop().await;
}
