//! `retaind lost`: what a conversation held while the bot could not follow it is not given up.

use std::process::Command;

use retaind::protocol::ids::ConversationId;
use retaind::source_mls::limits::KEPT_MESSAGES;
use serde_json::Value;

use crate::support::archive::{acknowledged, places};
use crate::support::attack::poison::{commit_with_a_wrong_tag, say};
use crate::support::program::retaind;
use crate::support::raw::Raw;
use crate::support::{BOT, Bot, Harness};

fn lost(harness: &Harness, arguments: &[&str]) -> Command {
    let mut command = retaind(&[&["lost"], arguments].concat());
    let password = harness.password();
    command.envs([("WICKRIO_BOT_NAME", BOT), ("WICKRIO_BOT_PASSWORD", password.as_str())]);
    command.env("RETAIND_STATE", harness.path());
    command
}

/// Exit code and lines of standard output.
fn output(harness: &Harness, arguments: &[&str]) -> (Option<i32>, Vec<String>) {
    let output = lost(harness, arguments).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    (output.status.code(), lines)
}

/// As a release that fixes the defect would read it: the commit's tag is right again.
fn fix(harness: &Harness, id: &ConversationId) {
    let state = rusqlite::Connection::open(harness.path().join("bot.db")).unwrap();
    let sql = "SELECT seq, payload FROM lost_delivery WHERE conversation = ? ORDER BY seq LIMIT 1";
    let (seq, mut payload): (i64, Vec<u8>) =
        state.query_row(sql, [id.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    *payload.last_mut().unwrap() ^= 1;
    let update = "UPDATE lost_delivery SET payload = ?1 WHERE conversation = ?2 AND seq = ?3";
    assert_eq!(state.execute(update, (payload, id.as_str(), seq)).unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lost_conversation_held_is_listed_read_and_forgotten_and_the_archive_stays() {
    let harness = Harness::start();
    let bot = harness.bot().await;
    let mallory = Raw::on(&harness, "mallory").await;
    let mut session = mallory.create(&[BOT]).await;
    let id = *session.conversation();
    say(&mallory, &mut session, "before").await.unwrap();
    bot.saved(2).await;
    bot.stop().await.unwrap();
    assert_eq!(output(&harness, &["list"]), (Some(0), Vec::new()));
    // the bot is away: nobody says yet that it cannot follow
    let forged = commit_with_a_wrong_tag(&mallory, &mut session).await.unwrap();
    for words in ["one", "two"] {
        say(&mallory, &mut session, words).await.unwrap();
    }
    let bot = harness.bot().await;
    bot.saved(3).await;
    bot.stop().await.unwrap();
    let archived = harness.records();

    let (code, lines) = output(&harness, &["list"]);
    assert_eq!((code, lines.len()), (Some(0), 1), "{lines:?}");
    let line = &lines[0];
    assert!(line.starts_with(&format!("{id} since message {forged}, still lost, ")), "{line}");
    // as it is, it still cannot be read, and that is no success
    assert_eq!(output(&harness, &["read", id.as_str()]), (Some(75), Vec::new()));
    fix(&harness, &id);
    let state = rusqlite::Connection::open(harness.path().join("bot.db")).unwrap();
    let all = "CREATE TEMP TABLE kept AS SELECT * FROM lost_delivery";
    let gap = format!("{all}; DELETE FROM lost_delivery WHERE seq = {}", forged + 1);
    state.execute_batch(&gap).unwrap();
    let (code, lines) = output(&harness, &["read", id.as_str()]);
    assert_eq!(
        (code, lines.len()),
        (Some(75), 1),
        "what follows a message that was not kept is not read as if it were whole"
    );
    state.execute_batch("INSERT OR REPLACE INTO lost_delivery SELECT * FROM kept").unwrap();
    drop(state);
    let (_, lines) = output(&harness, &["read", id.as_str()]);
    let read: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let texts: Vec<&str> = read.iter().filter_map(|record| record["message"].as_str()).collect();
    assert_eq!(texts, ["one", "two"]);
    let places: Vec<u64> = read.iter().map(|record| record["seq"].as_u64().unwrap()).collect();
    assert_eq!(places[..3], [forged, forged + 1, forged + 2]);
    assert_eq!(output(&harness, &["forget", id.as_str()]), (Some(0), Vec::new()));
    let (code, lines) = output(&harness, &["list"]);
    assert_eq!(code, Some(0));
    assert!(lines[0].contains(", 0 messages kept: "), "{lines:?}");
    assert_eq!(output(&harness, &["read", id.as_str()]), (Some(75), Vec::new()));
    let nothing = "S".to_owned() + &"0".repeat(63);
    assert_eq!(output(&harness, &["read", &nothing]).0, Some(78));
    assert_eq!(harness.records(), archived);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lost_conversations_keep_is_bounded_and_beyond_it_the_archive_has_the_ciphertexts() {
    const KEPT_MAX: u64 = 8 * 1024;
    let harness = Harness::start();
    let mut options = harness.options();
    options.kept_bytes_max = KEPT_MAX;
    let bot = Bot::start(options).await;
    let mallory = Raw::on(&harness, "mallory").await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(mallory.create(&[BOT]).await);
    }
    bot.saved(3).await;
    bot.stop().await.unwrap();
    let mut last = Vec::new();
    for session in &mut sessions {
        commit_with_a_wrong_tag(&mallory, session).await.unwrap();
        say(&mallory, session, &"a".repeat(3000)).await.unwrap();
        last.push((*session.conversation(), say(&mallory, session, "b").await.unwrap()));
    }
    let mut options = harness.options();
    options.kept_bytes_max = KEPT_MAX;
    let bot = Bot::start(options).await;
    let refusals = bot.counters.refusals.clone();
    acknowledged(&harness).await;
    bot.stop().await.unwrap();

    let state = rusqlite::Connection::open(harness.path().join("bot.db")).unwrap();
    let sql = "SELECT count(*), coalesce(sum(length(payload) + 256), 0) FROM lost_delivery";
    let (messages, bytes): (u64, u64) = state.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert!(bytes <= KEPT_MAX && messages > 0, "{messages} messages, {bytes} bytes");
    // three each, and what the network proposes
    let left_out = refusals.of(&KEPT_MESSAGES);
    assert!(left_out > 0 && left_out + messages >= 9, "{left_out} left out, {messages} kept");
    // nothing is lost: each has its record, and its ciphertext beside it
    let records = harness.records();
    for (id, seq) in &last {
        let found = places(&records, id);
        for seq in seq - 2..=*seq {
            let ciphertext = &found[&seq]["ciphertext"];
            let file = harness.files().join(ciphertext["file"].as_str().unwrap());
            assert_eq!(std::fs::metadata(file).unwrap().len(), ciphertext["size"].as_u64().unwrap());
        }
    }
    assert_eq!(output(&harness, &["list"]).1.len(), 3);
    harness.stop().await;
}
