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

use retaind::protocol::ids::ConversationKind;

use crate::support::archive::{places, texts, upload, without_gap};
use crate::support::{Harness, text, user};

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
