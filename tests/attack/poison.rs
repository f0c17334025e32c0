//! Messages that are meant to end the archive of everybody, or to go past it: the conversation suffers, nobody else does, and
//! what was sent is kept.

use std::collections::BTreeMap;
use std::path::Path;

use retaind::device::mls::PendingCommit;
use retaind::protocol::ids::{ConversationId, ConversationKind};
use retaind::protocol::limits::LEAF_BYTES_MAX;
use retaind::protocol::wire::{Lost, RefusalCode, Report, Reported, Request};
use serde_json::Value;

use crate::support::archive::{places, texts};
use crate::support::attack::poison::{
    commit_with_a_wrong_tag, heavy_key_package, obey, proposal_of, read, say, send_until_refused, skip,
};
use crate::support::events::{Heard, heard};
use crate::support::raw::{PATIENCE, Raw, accepted, refusal};
use crate::support::{BOT, Bot, Harness, text, unacknowledged};

/// A network with retention on, its bot, and what operators are told.
struct Scene {
    harness: Harness,
    bot: Bot,
    heard: Heard,
}

impl Scene {
    async fn start() -> Self {
        let harness = Harness::start();
        let (events, heard) = heard();
        let mut options = harness.options();
        options.events = events;
        let bot = Bot::start(options).await;
        Self { harness, bot, heard }
    }

    /// Ends it: what became of a room, and how often each event was raised.
    async fn end(self, id: &ConversationId) -> (BTreeMap<u64, Value>, BTreeMap<String, usize>) {
        let Self { harness, bot, heard } = self;
        bot.stop().await.unwrap();
        let mut events = BTreeMap::new();
        for event in heard.all().await {
            *events.entry(event["eventCode"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        let places = places(&harness.records(), id);
        assert_eq!(harness.unacknowledged(), 0);
        harness.stop().await;
        (places, events)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaf_that_everybody_would_have_to_keep_is_refused() {
    let scene = Scene::start().await;
    let mallory = Raw::on(&scene.harness, "mallory").await;
    let mut session = mallory.create(&[BOT]).await;
    let other = Raw::on(&scene.harness, "mallory").await;
    // one that fits is taken, as the leaf of a member
    let honest = heavy_key_package(&other, LEAF_BYTES_MAX / 2);
    let PendingCommit { commit, welcome } = session.commit(&[honest], &[]).unwrap();
    mallory.handshake(&commit, &welcome).await.unwrap();
    session.receive(&commit).unwrap();
    let third = Raw::on(&scene.harness, "mallory").await;
    for bytes in [LEAF_BYTES_MAX, 15_000_000] {
        let heavy = heavy_key_package(&third, bytes);
        // this program's own client does not even read it
        session.commit(std::slice::from_ref(&heavy), &[]).map(drop).unwrap_err();
        let proposal = proposal_of(&mut session, &heavy);
        assert_eq!(refusal(mallory.handshake(&proposal, &[]).await), RefusalCode::Limit, "{bytes}");
    }
    let id = *session.conversation();
    scene.bot.saved(2).await;
    let (places, _) = scene.end(&id).await;
    assert!(places.values().all(|record| record["msgtype"] != 0), "{places:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_the_bot_cannot_follow_stops_its_conversation_until_the_bot_is_back() {
    let scene = Scene::start().await;
    let mut alice = scene.harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    let mallory = Raw::on(&scene.harness, "mallory").await;
    let mut session = mallory.create(&[BOT]).await;
    let id = *session.conversation();
    let seen = say(&mallory, &mut session, "before").await.unwrap();
    let forged = commit_with_a_wrong_tag(&mallory, &mut session).await.unwrap();
    assert_eq!(forged, seen + 1);
    assert_eq!(send_until_refused(&mallory, &mut session).await, RefusalCode::BotMissing);
    // the others notice nothing
    alice.send(&room, &text("elsewhere")).await.unwrap();
    let again = obey(&mallory, &mut session, &id, forged, "after").await;
    alice.send(&room, &text("still elsewhere")).await.unwrap();
    let last = say(&mallory, &mut session, "last").await.unwrap();
    assert_eq!(last, again + 1);
    settle(&scene.harness.path().join("network")).await;
    let all = scene.harness.records();
    assert_eq!(texts(&places(&all, &room)), ["elsewhere", "still elsewhere"]);
    let (places, events) = scene.end(&id).await;
    assert_eq!(texts(&places), ["before", "after", "last"]);
    // from the forged commit to the one that took the bot out every message is kept as it came
    let kept: Vec<_> = places.iter().filter(|(_, record)| record["msgtype"] == 0).collect();
    assert_eq!(*kept[0].0, forged);
    assert!(kept.iter().all(|(_, record)| record["ciphertext"]["sha256"].is_string()), "{kept:?}");
    assert_eq!(events["conversation_lost"], 1);
    assert!(!events.contains_key("undecryptable_message"), "{events:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_welcome_that_the_bot_cannot_use_gives_nobody_a_word() {
    let scene = Scene::start().await;
    let mallory = Raw::on(&scene.harness, "mallory").await;
    let (mut session, mut create) = mallory.draft(&[BOT]).await;
    let (id, commit) = (*session.conversation(), create.commit.clone());
    *create.welcome.last_mut().unwrap() ^= 1;
    assert_eq!(accepted(&mallory.connection, Request::CreateConversation(create)).await.unwrap(), 1);
    session.receive(&commit).unwrap();
    assert_eq!(send_until_refused(&mallory, &mut session).await, RefusalCode::BotMissing);
    obey(&mallory, &mut session, &id, 1, "seen").await;
    settle(&scene.harness.path().join("network")).await;
    let (places, events) = scene.end(&id).await;
    assert_eq!((texts(&places), events["conversation_lost"]), (vec!["seen"], 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_conversation_is_still_lost_after_a_restart_and_comes_back_as_well() {
    let scene = Scene::start().await;
    let mallory = Raw::on(&scene.harness, "mallory").await;
    let mut session = mallory.create(&[BOT]).await;
    let id = *session.conversation();
    let forged = commit_with_a_wrong_tag(&mallory, &mut session).await.unwrap();
    assert_eq!(send_until_refused(&mallory, &mut session).await, RefusalCode::BotMissing);
    let Scene { harness, bot, .. } = scene;
    bot.stop().await.unwrap();
    let harness = harness.restart().await;
    let bot = harness.bot().await;
    let mut mallory = mallory;
    mallory.login(&harness.endpoint).await.unwrap();
    assert_eq!(refusal(say(&mallory, &mut session, "unseen").await), RefusalCode::BotMissing);
    let seen = read(&mallory, &mut session, &id, forged).await;
    obey(&mallory, &mut session, &id, seen, "after").await;
    settle(&harness.path().join("network")).await;
    bot.stop().await.unwrap();
    assert_eq!(texts(&places(&harness.records(), &id)), ["after"]);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_skips_more_keys_than_the_bot_keeps_speaks_with_new_ones_or_not_at_all() {
    let scene = Scene::start().await;
    let mallory = Raw::on(&scene.harness, "mallory").await;
    let mut session = mallory.create(&[BOT]).await;
    let id = *session.conversation();
    skip(&mallory, &mut session, 2000).await.unwrap();
    assert_eq!(send_until_refused(&mallory, &mut session).await, RefusalCode::NotRead);
    obey(&mallory, &mut session, &id, 1, "with new keys").await;
    settle(&scene.harness.path().join("network")).await;
    let (places, events) = scene.end(&id).await;
    assert_eq!(texts(&places), ["with new keys"]);
    assert!(events["undecryptable_message"] >= 1);
    assert!(!events.contains_key("conversation_lost"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_retention_lets_nothing_pass_that_the_bot_has_no_keys_for() {
    let scene = Scene::start().await;
    scene.harness.network.admin(|admin| admin.set_strict(true)).unwrap();
    let mallory = Raw::on(&scene.harness, "mallory").await;
    let mut session = mallory.create(&[BOT]).await;
    let id = *session.conversation();
    obey(&mallory, &mut session, &id, 1, "the bot is here").await;
    let commit = mallory.commit(&mut session, &[], &[]).await.unwrap();
    obey(&mallory, &mut session, &id, commit, "with new keys").await;
    let forged = commit_with_a_wrong_tag(&mallory, &mut session).await.unwrap();
    // not one is taken, however fast it comes
    let refused = refusal(say(&mallory, &mut session, "unseen").await);
    assert!([RefusalCode::BotBehind, RefusalCode::BotMissing].contains(&refused), "{refused:?}");
    obey(&mallory, &mut session, &id, forged, "after").await;
    settle(&scene.harness.path().join("network")).await;
    let (places, _) = scene.end(&id).await;
    assert_eq!(texts(&places), ["the bot is here", "with new keys", "after"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_bot_says_what_the_bot_can_read() {
    let scene = Scene::start().await;
    let mallory = Raw::on(&scene.harness, "mallory").await;
    let mut session = mallory.create(&[BOT]).await;
    let id = *session.conversation();
    let report = Report { conversation: id.to_string(), reported: Some(Reported::Lost(Lost { seq: 1 })) };
    let refused = mallory.connection.call(Request::Report(report)).await;
    assert_eq!(refusal(refused), RefusalCode::NotYourDevice);
    say(&mallory, &mut session, "heard").await.unwrap();
    settle(&scene.harness.path().join("network")).await;
    scene.end(&id).await;
}

/// Waits until the bot has acknowledged everything.
async fn settle(network: &Path) {
    tokio::time::timeout(PATIENCE, async {
        while unacknowledged(network) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}
