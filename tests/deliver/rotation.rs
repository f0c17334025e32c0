//! Rotation of the bot as a whole: by time, also when nothing comes; by size; when asked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use retaind::bot::segment::RotationLimits;
use retaind::device::conversations::Device;
use retaind::protocol::ids::{ConversationId, ConversationKind};
use serde_json::Value;

use super::{places, texts, without_gap};
use crate::support::clock::HandClock;
use crate::support::traffic::{is_sealed, names};
use crate::support::{Bot, Harness, Options, text};

const OPEN: &str = "receivedMessages.txt";
const NOON_MICROS: i64 = 1_785_585_600_000_000;
const MINUTE: Duration = Duration::from_secs(60);

/// A bot on a clock that the test sets, and a device in a room with it. One record is there: that the bot has joined.
async fn scene(policy: RotationLimits) -> (Harness, Bot, Arc<HandClock>, Device, ConversationId) {
    let (harness, clock) = (Harness::start(), HandClock::at(NOON_MICROS));
    let bot = Bot::start(Options { policy, clock: clock.clone(), ..harness.options() }).await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    bot.saved(1).await;
    (harness, bot, clock, alice, room)
}

/// Records in each file of these names, without the open one.
fn sealed(harness: &Harness) -> Vec<(String, usize)> {
    let mut names = names(&harness.messages());
    names.remove(OPEN);
    let count = |name: &String| std::fs::read_to_string(harness.messages().join(name)).unwrap().lines().count();
    names.into_iter().map(|name| (name.clone(), count(&name))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_sealed_when_its_time_is_over_with_traffic_and_without_and_never_an_empty_one() {
    let policy = RotationLimits { size_max: 1 << 40, age_max: Some(MINUTE), first_number: 1 };
    let (harness, bot, clock, mut alice, room) = scene(policy).await;
    alice.send(&room, &text("still in the first minute")).await.unwrap();
    bot.saved(2).await;
    clock.advance(MINUTE - Duration::from_micros(1));
    clock.was_acted_on().await;
    assert_eq!(sealed(&harness), []);
    // with traffic
    clock.advance(Duration::from_micros(1));
    alice.send(&room, &text("in the second minute")).await.unwrap();
    bot.saved(3).await;
    let first = ("receivedMessages_20260801T120000.000Z_00000001.txt".to_owned(), 2);
    assert_eq!(sealed(&harness).as_slice(), std::slice::from_ref(&first));
    // without
    clock.advance(MINUTE);
    clock.was_acted_on().await;
    let second = ("receivedMessages_20260801T120100.000Z_00000002.txt".to_owned(), 1);
    assert_eq!(sealed(&harness), [first.clone(), second.clone()]);
    assert!(!harness.messages().join(OPEN).exists());
    // hours in which nothing comes leave nothing
    clock.advance(180 * MINUTE);
    clock.was_acted_on().await;
    assert_eq!(sealed(&harness), [first.clone(), second.clone()]);
    alice.send(&room, &text("hours later")).await.unwrap();
    bot.saved(4).await;
    bot.stop().await.unwrap();
    let third = ("receivedMessages_20260801T150200.000Z_00000003.txt".to_owned(), 1);
    assert_eq!(sealed(&harness), [first, second, third]);
    is_sealed(&harness.messages(), u64::MAX);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_files_stay_distinct_when_the_clock_stands_still_or_is_set_back() {
    let policy = RotationLimits { size_max: 1 << 40, age_max: Some(MINUTE), first_number: 1 };
    let (harness, bot, clock, mut alice, room) = scene(policy).await;
    bot.rotate().await;
    for number in 0..4 {
        alice.send(&room, &text(&format!("{number}"))).await.unwrap();
        bot.saved(2 + number).await;
        if number % 2 == 0 {
            bot.rotate().await;
        } else {
            clock.set_back(3 * MINUTE);
        }
    }
    bot.stop().await.unwrap();
    // and over a restart
    let bot = Bot::start(Options { policy, clock: clock.clone(), ..harness.options() }).await;
    alice.send(&room, &text("4")).await.unwrap();
    bot.saved(1).await;
    bot.stop().await.unwrap();
    let numbers: Vec<String> =
        sealed(&harness).into_iter().map(|(name, _)| name.rsplit_once('_').unwrap().1.to_owned()).collect();
    assert_eq!(BTreeSet::from_iter(&numbers).len(), numbers.len());
    is_sealed(&harness.messages(), u64::MAX);
    let places = places(&harness.records(), &room);
    without_gap(&places);
    assert_eq!(texts(&places), ["0", "1", "2", "3", "4"]);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_sealed_before_it_would_pass_its_size_and_a_record_is_never_split() {
    const SIZE: u64 = 4096;
    let policy = RotationLimits { size_max: SIZE, age_max: None, first_number: 1 };
    let (harness, bot, _, mut alice, room) = scene(policy).await;
    let mut sent: Vec<String> = (0..40).map(|number| format!("{number} {}", "x".repeat(number * 20))).collect();
    // one that passes the limit alone, among small ones
    sent.insert(20, "y".repeat(3 * 4096));
    for words in &sent {
        alice.send(&room, &text(words)).await.unwrap();
    }
    bot.saved(sent.len() as u64 + 1).await;
    bot.stop().await.unwrap();
    is_sealed(&harness.messages(), SIZE);
    let places = places(&harness.records(), &room);
    without_gap(&places);
    assert_eq!(texts(&places), sent);
    let total: u64 = places.values().map(|record| record.to_string().len() as u64 + 1).sum();
    assert!(sealed(&harness).len() as u64 <= 2 * total / SIZE + 2, "files are sealed long before they are full");
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_is_asked_for_seals_what_is_there_and_nothing_else() {
    let policy = RotationLimits { size_max: 1 << 40, age_max: None, first_number: 1 };
    let (harness, bot, _, mut alice, room) = scene(policy).await;
    for (records, words) in (2..).zip(["a", "b", "c"]) {
        alice.send(&room, &text(words)).await.unwrap();
        bot.saved(records).await;
        // twice: for the second there is nothing to seal
        bot.rotate().await;
        bot.rotate().await;
    }
    alice.send(&room, &text("d")).await.unwrap();
    bot.saved(5).await;
    // four files: what came after the last rotation is in the open one
    assert_eq!(sealed(&harness).iter().map(|(_, records)| *records).collect::<Vec<_>>(), [2, 1, 1]);
    let open = std::fs::read_to_string(harness.messages().join(OPEN)).unwrap();
    let record: Value = serde_json::from_str(open.trim_end()).unwrap();
    assert_eq!(record["message"], "d");
    bot.stop().await.unwrap();
    is_sealed(&harness.messages(), u64::MAX);
    harness.stop().await;
}
