//! What the state cannot tell is asked again, never taken for an answer.
#![allow(clippy::unwrap_used)]

use retaind::core::fault::{Fault, Faulty as _};
use retaind::protocol::ids::ConversationKind;
use retaind::source_mls::MlsError;
use retaind::source_mls::decrypt::DecryptError;
use rusqlite::Connection;

use crate::support::{Bot, Harness, of_source, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_welcome_whose_key_cannot_be_read_waits_and_is_not_taken_for_one_to_a_key_of_nobody() {
    let harness = Harness::start();
    let options = harness.options();
    let path = options.state.clone();
    let bot = Bot::start(options).await;
    let state = Connection::open(path).unwrap();
    // what a disk that gives nothing back looks like to a caller that needs a key
    state.execute_batch("ALTER TABLE key_package RENAME TO out_of_reach").unwrap();
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    alice.send(&room, &text("kept")).await.unwrap();
    let error = bot.ends().await.unwrap_err();
    assert!(matches!(of_source(&error), Some(MlsError::Decrypt(DecryptError::Unread { .. }))), "{error}");
    assert_eq!(error.fault(), Fault::Temporary);
    assert!(harness.records().is_empty() && harness.unacknowledged() > 0, "nothing is settled by it");

    state.execute_batch("ALTER TABLE out_of_reach RENAME TO key_package").unwrap();
    let bot = harness.bot().await;
    bot.saved(2).await;
    bot.stop().await.unwrap();
    let records = harness.records();
    assert_eq!((&records[0]["control"]["action"], &records[1]["message"]), (&"joined".into(), &"kept".into()));
    assert_eq!(harness.unacknowledged(), 0);
    harness.stop().await;
}
