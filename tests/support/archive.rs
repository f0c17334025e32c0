//! What lies in an archive, and what is sent into it: the questions that every test of the whole bot asks.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use retaind::device::blob;
use retaind::device::conversations::Device;
use retaind::protocol::content::{Attachment, AttachmentKind};
use retaind::protocol::ids::ConversationId;
use serde_json::Value;

use super::{Harness, text};

/// The records of one conversation by place. Panics if a place has two, or if they are out of order.
pub fn places(records: &[Value], conversation: &ConversationId) -> BTreeMap<u64, Value> {
    let mut places = BTreeMap::new();
    for record in records.iter().filter(|record| record["vgroupid"] == conversation.as_str()) {
        let seq = record["seq"].as_u64().unwrap();
        assert!(places.last_key_value().is_none_or(|(last, _)| *last < seq), "place {seq} is doubled or out of order");
        places.insert(seq, record.clone());
    }
    places
}

/// Every place from 1 has a record.
pub fn without_gap(places: &BTreeMap<u64, Value>) {
    let found: Vec<u64> = places.keys().copied().collect();
    assert_eq!(found, (1..=places.len() as u64).collect::<Vec<_>>());
}

/// The texts of records, in order.
pub fn texts(places: &BTreeMap<u64, Value>) -> Vec<&str> {
    places.values().filter_map(|record| record["message"].as_str()).collect()
}

/// Sends these numbers as texts.
pub async fn say(device: &mut Device, room: &ConversationId, numbers: Range<usize>) {
    for number in numbers {
        device.send(room, &text(&number.to_string())).await.unwrap();
    }
}

/// The texts `0`, `1` … of this many messages, each once and in order, and every place of the room once.
#[track_caller]
pub fn are_archived(records: &[Value], room: &ConversationId, messages: usize) {
    let places = places(records, room);
    without_gap(&places);
    assert_eq!(texts(&places), (0..messages).map(|number| number.to_string()).collect::<Vec<_>>());
}

/// Waits until the network keeps nothing for the bot any more. Where that is another process, there is nothing but to look again.
pub async fn acknowledged(harness: &Harness) {
    while harness.unacknowledged() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Uploads these bytes as a file.
pub async fn upload(device: &Device, scratch: &Path, bytes: &[u8]) -> Attachment {
    let path = scratch.join("upload.bin");
    std::fs::write(&path, bytes).unwrap();
    blob::upload(device.connection(), &path, AttachmentKind::File).await.unwrap()
}

/// Bytes that are no pattern of any block.
pub fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}
