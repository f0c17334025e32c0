//! A bot that is removed and added again: what it was not to see is no hole, what it was to see is there.

use std::collections::BTreeSet;

use retaind::device::conversations::{Device, Reading};
use retaind::protocol::ids::{ConversationId, ConversationKind, UserName};

use super::{places, texts};
use crate::support::{BOT, Harness, text, user};

async fn change(device: &mut Device, room: &ConversationId, add: &[UserName], remove: &[UserName]) -> u64 {
    device.change(room, add, remove, Reading::HandshakesOnly, &mut Vec::new()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_that_was_away_from_a_room_has_all_that_it_was_to_see_and_no_hole() {
    let harness = Harness::start_without_retention(|options| options);
    let bot = harness.bot().await;
    let mut alice = harness.device("alice").await;
    let (_bob, _carol) = (harness.device("bob").await, harness.device("carol").await);
    let the_bot = [user(BOT)];
    let room = alice.create(ConversationKind::Room, &[user(BOT), user("bob")]).await.unwrap();
    let other = alice.create(ConversationKind::Room, &the_bot).await.unwrap();
    let mut seen = BTreeSet::from([1]);

    // while it runs
    seen.insert(alice.send(&room, &text("seen 1")).await.unwrap());
    seen.insert(change(&mut alice, &room, &[], &the_bot).await);
    alice.send(&room, &text("not for the bot")).await.unwrap();
    change(&mut alice, &room, &[user("carol")], &[]).await;
    seen.insert(change(&mut alice, &room, &the_bot, &[]).await);
    seen.insert(alice.send(&room, &text("seen 2")).await.unwrap());
    alice.send(&other, &text("elsewhere")).await.unwrap();
    bot.saved(seen.len() as u64 + 2).await;
    bot.stop().await.unwrap();

    // while it is away, twice; the second time with somebody else in the same commit
    for words in ["seen 3", "seen 4"] {
        seen.insert(alice.send(&room, &text(words)).await.unwrap());
        let gone = if words == "seen 4" { vec![user(BOT), user("carol")] } else { the_bot.to_vec() };
        seen.insert(change(&mut alice, &room, &[], &gone).await);
        alice.send(&room, &text("not for the bot")).await.unwrap();
        seen.insert(change(&mut alice, &room, &the_bot, &[]).await);
    }
    let last = alice.send(&room, &text("seen 5")).await.unwrap();
    seen.insert(last);
    let bot = harness.bot().await;
    bot.saved(7).await;
    bot.stop().await.unwrap();

    let records = harness.records();
    let there = places(&records, &room);
    assert_eq!(there.keys().copied().collect::<BTreeSet<_>>(), seen);
    assert_eq!(texts(&there), ["seen 1", "seen 2", "seen 3", "seen 4", "seen 5"]);
    assert!(there.values().all(|record| record["msgtype"] != 0), "{there:?}");
    let joined: Vec<String> = there
        .values()
        .filter(|record| record["control"]["action"] == "joined")
        .map(|record| record["control"]["members"].to_string())
        .collect();
    let (with, without) = (r#"["alice","bob","carol"]"#, r#"["alice","bob"]"#);
    assert_eq!(joined, [without, with, with, without]);
    // carol went in the commit that removed the bot, too
    let removed: Vec<&str> = there
        .values()
        .filter_map(|record| record["control"]["deletedusers"].as_array())
        .map(|users| users[0].as_str().unwrap())
        .collect();
    assert_eq!(removed, ["carol"]);
    assert_eq!(texts(&places(&records, &other)), ["elsewhere"]);
    harness.stop().await;
}
