//! Everything that is sent is archived, once, in order, byte for byte.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use retaind::protocol::ids::ConversationKind;

use crate::support::{Harness, text, user};

#[tokio::test(flavor = "multi_thread")]
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
    let records = harness.records();
    let texts: Vec<&str> = records.iter().filter_map(|record| record["message"].as_str()).collect();
    assert_eq!(texts, sent);
    let seqs: Vec<u64> = records.iter().map(|record| record["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=51).collect::<Vec<_>>());
    harness.stop().await;
}
