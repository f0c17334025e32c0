//! A conversation that waits for a file keeps nobody else waiting.

use retaind::protocol::content::Body;
use retaind::protocol::ids::ConversationKind;
use retaind::source_mls::fetch::FETCHES_MAX;

use super::{places, texts, upload, without_gap};
use crate::support::{Bot, Harness, Options, content, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversations_that_wait_for_files_do_not_hold_up_another_one() {
    let harness = Harness::start();
    // one worker: nobody else could go on in its place
    let bot = Bot::start(Options { workers: 1, ..harness.options() }).await;
    let mut alice = harness.device("alice").await;
    let free = alice.create(ConversationKind::Room, &[]).await.unwrap();
    let mut waiting = Vec::new();
    let mut gates = Vec::new();
    for _ in 0..=FETCHES_MAX {
        let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
        waiting.push(room);
        // what comes together with a file waits with it: the bot has joined before
        bot.saved(waiting.len() as u64 + 1).await;
        let file = upload(&alice, harness.path(), b"late").await;
        // the network has trouble with this blob, for as long as its name leads to a directory
        let (gate, aside) = (harness.blob(&file.blob), harness.blob(&file.blob).with_extension("aside"));
        std::fs::rename(&gate, &aside).unwrap();
        std::os::unix::fs::symlink(harness.path(), &gate).unwrap();
        alice.send(&room, &content(Body::File(file))).await.unwrap();
        alice.send(&room, &text("behind the file")).await.unwrap();
        gates.push((gate, aside));
    }
    for number in 0..20 {
        alice.send(&free, &text(&format!("{number}"))).await.unwrap();
    }
    let joined = waiting.len() as u64 + 1;
    bot.saved(joined + 20).await;
    let records = harness.records();
    assert_eq!(texts(&places(&records, &free)).len(), 20);
    for room in &waiting {
        assert_eq!(places(&records, room).len(), 1, "a record came before the file in front of it");
    }

    for (gate, aside) in gates {
        std::fs::rename(aside, gate).unwrap();
    }
    bot.saved(joined + 20 + 2 * waiting.len() as u64).await;
    bot.stop().await.unwrap();
    let records = harness.records();
    for room in &waiting {
        let places = places(&records, room);
        without_gap(&places);
        assert_eq!((&places[&2]["file"]["status"], texts(&places)), (&"saved".into(), vec!["behind the file"]));
    }
    harness.stop().await;
}
