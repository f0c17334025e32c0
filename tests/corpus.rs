//! A logged conversation, replayed through MLS devices, is in the archive as it was logged.
#![allow(clippy::unwrap_used)]

use std::future::ready;
use std::path::PathBuf;

use retaind::protocol::credential::Role;
use retaind::protocol::ids::UserName;
use retaind::replay::{Corpus, Options, replay};

use crate::support::Harness;
use crate::support::oracle::Obligations;

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_conversation_is_archived_exactly() {
    let harness = Harness::start();
    let bot = harness.bot().await;
    let corpus = Corpus::File(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tools/demo/conversation.jsonl")));
    let obligations = Obligations::default();
    let (network, endpoint) = (harness.network.clone(), harness.endpoint.clone());
    let invites =
        move |user: UserName| ready(network.admin(|admin| admin.invite_to(&endpoint, &user, Role::Normal, None)));
    let report = replay(&corpus, Options::default(), invites, obligations.observer()).await.unwrap();
    bot.saved(obligations.len()).await;
    bot.stop().await.unwrap();
    let kept = obligations.check(&harness.messages(), &harness.files());
    assert_eq!(kept.texts, report.texts());
    assert_eq!(kept.membership, report.commits());
    harness.stop().await;
}
