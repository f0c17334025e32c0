//! The way to the bucket: what S3 says in unusual ways, names that come again, files that are written while they are sent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use retaind::bot::segment::RotationLimits;
use retaind::bot::ship::Shipped;
use retaind::bot::state;
use retaind::protocol::content::Body;

use super::{contents, room};
use crate::support::archive::{acknowledged, are_archived, noise, places, say, texts, upload, without_gap};
use crate::support::aws::cloud::{BUCKET, Cloud, FOLDER};
use crate::support::aws::fault::{Fault, On, Times};
use crate::support::clock::HandClock;
use crate::support::events::heard;
use crate::support::traffic::names;
use crate::support::{Bot, Harness, Options, content};

const NOON_MICROS: i64 = 1_785_585_600_000_000;
const MINUTE: Duration = Duration::from_secs(60);

/// Credentials ran out, each upload failed for good after some tries, and its data was dropped. Here it waits on the
/// disk, the bot goes on archiving, and with new credentials all of it is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_credentials_are_expired_nothing_is_dropped_and_then_all_of_it_is_stored() {
    let (harness, cloud) = (Harness::start(), Cloud::start().await);
    let key = cloud.moto.key().await;
    let options = Options { shipping: cloud.shipping(Some(&key)), ..harness.options() };
    let state = options.state.clone();
    let expired = cloud.proxy.trouble(On::anything(), Times::UntilHealed, Fault::ExpiredToken);
    let bot = Bot::start(options).await;
    let (mut alice, room) = room(&harness).await;
    for number in 0..6 {
        say(&mut alice, &room, number..number + 1).await;
        let file = upload(&alice, harness.path(), &noise(100)).await;
        alice.send(&room, &content(Body::File(file))).await.unwrap();
        bot.saved(3 + 2 * number as u64).await;
        bot.rotate().await;
    }
    acknowledged(&harness).await;
    // more tries than anybody's patience for one file
    expired.strikes(30).await;
    assert_eq!((names(&harness.messages()).len(), names(&harness.files()).len()), (6, 6));
    assert!(cloud.objects().await.is_empty());
    // and whoever asks is told
    assert_eq!(state::unshipped(&state).unwrap().files, 12);
    assert!(bot.counters.s3_post_errors.get() > 0);
    expired.heal();
    assert_eq!(bot.stop().await.unwrap(), Shipped::All);
    assert!(names(&harness.messages()).is_empty() && names(&harness.files()).is_empty());
    assert_eq!(cloud.objects().await.len(), 12);
    assert_eq!(cloud.moto.uploads(BUCKET).await, Vec::<String>::new());
    harness.stop().await;
}

/// S3 answers the end of an upload in parts with 200 while it still works, and an error may stand in what follows; who
/// looked at the status only deleted the one copy that there was. Here it is an error, and the file stays until there is
/// an object.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_completed_with_200_and_an_error_in_it_is_not_taken_for_stored() {
    let (harness, cloud) = (Harness::start(), Cloud::start().await);
    // more often than one attempt asks
    let on = On::operation("CompleteMultipartUpload");
    let trouble = cloud.proxy.trouble(on, Times::UntilHealed, Fault::ErrorIn200);
    let bot = Bot::start(Options { shipping: cloud.shipping(None), ..harness.options() }).await;
    let (mut alice, room) = room(&harness).await;
    let bytes = noise(9 << 20);
    let file = upload(&alice, harness.path(), &bytes).await;
    alice.send(&room, &content(Body::File(file))).await.unwrap();
    bot.saved(2).await;
    acknowledged(&harness).await;
    trouble.strikes(7).await;
    let kept = contents(&[harness.files()]);
    assert!(kept.len() == 1 && kept.values().all(|kept| *kept == bytes), "{:?}", kept.keys());
    assert!(cloud.objects().await.is_empty());
    trouble.heal();
    assert_eq!(bot.stop().await.unwrap(), Shipped::All);
    let name = kept.keys().next().unwrap().file_name().unwrap().to_str().unwrap();
    assert!(cloud.objects().await[name] == bytes, "the object is another file");
    assert_eq!(cloud.moto.uploads(BUCKET).await, Vec::<String>::new(), "what was begun is left behind");
    assert!(names(&harness.files()).is_empty());
    harness.stop().await;
}

/// An archive lost its counter, began again at 1, and wrote over the objects of its first life. Here the worst of it: a
/// state that is lost, numbers that begin again, and a clock that stands where it stood before. What is in the bucket
/// stays as it was, and what would have its name stays here, and is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_that_lost_its_state_and_its_time_overwrites_no_object_and_loses_nothing() {
    let (harness, cloud) = (Harness::start(), Cloud::start().await);
    let clock = HandClock::at(NOON_MICROS);
    let options = || Options { clock: clock.clone(), shipping: cloud.shipping(None), ..harness.options() };
    let mut lives = Vec::new();
    for life in 0..2 {
        let (events, told) = heard();
        let bot = Bot::start(Options { events, ..options() }).await;
        let mut alice = harness.device(&format!("alice-{life}")).await;
        let room = alice.create(retaind::protocol::ids::ConversationKind::Room, &[]).await.unwrap();
        say(&mut alice, &room, 0..3).await;
        let file = upload(&alice, harness.path(), format!("of life {life}").as_bytes()).await;
        alice.send(&room, &content(Body::File(file))).await.unwrap();
        bot.saved(5).await;
        bot.stop().await.unwrap();
        let here = contents(&[harness.messages(), harness.files()]);
        lives.push((room, cloud.objects().await, here, told.of("s3_failed").await));
        for name in names(harness.path()).iter().filter(|name| name.starts_with("bot.db")) {
            fs::remove_file(harness.path().join(name)).unwrap();
        }
    }
    let [(first, before, nothing, quiet), (second, after, here, told)] = &lives[..] else { panic!() };
    assert!(nothing.is_empty() && quiet.is_empty() && before.len() == 2);
    assert!(before == after, "an object was written over");
    are_archived(&cloud.records().await, first, 3);
    // the second life has the same names, byte for byte, and they are still here
    let of_second: BTreeMap<&str, &Vec<u8>> =
        here.iter().map(|(path, bytes)| (path.file_name().unwrap().to_str().unwrap(), bytes)).collect();
    assert!(of_second.keys().copied().eq(before.keys().map(String::as_str)), "{:?}", of_second.keys());
    let there = places(&harness.records(), second);
    without_gap(&there);
    assert_eq!((there.len(), texts(&there)), (5, vec!["0", "1", "2"]));
    assert!(of_second.values().any(|bytes| **bytes == b"of life 1"));
    let words = "another object under its name";
    assert_eq!(told.iter().filter(|event| event["message"].as_str().unwrap().contains(words)).count(), 2, "{told:?}");
    harness.stop().await;
}

/// A logger wrote on into the file that was being uploaded; what came late was in no object and went with the file. Here
/// a file that is on its way is sealed, whatever comes meanwhile has another one, and where something else writes to it
/// none of it is stored, removed or passed over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_to_a_file_that_is_on_its_way_and_what_others_write_is_noticed() {
    let (harness, cloud) = (Harness::start(), Cloud::start().await);
    let hangs = cloud.proxy.trouble(On::operation("PutObject"), Times::UntilHealed, Fault::Hang);
    let policy = RotationLimits { size_max: 2000, age_max: None, first_number: 1 };
    let (events, told) = heard();
    let options = || Options { policy, shipping: cloud.shipping(None), ..harness.options() };
    let bot = Bot::start(Options { events, ..options() }).await;
    let (mut alice, room) = room(&harness).await;
    say(&mut alice, &room, 0..6).await;
    bot.saved(7).await;
    hangs.strikes(1).await;
    let open = harness.messages().join("receivedMessages.txt");
    let sealed = |files: BTreeMap<PathBuf, Vec<u8>>| {
        files.into_iter().filter(|(path, _)| *path != open).collect::<BTreeMap<_, _>>()
    };
    let on_their_way = sealed(contents(&[harness.messages()]));
    assert!(!on_their_way.is_empty());
    say(&mut alice, &room, 6..60).await;
    bot.saved(61).await;
    acknowledged(&harness).await;
    let now = sealed(contents(&[harness.messages()]));
    assert!(now.len() > on_their_way.len());
    assert!(on_their_way.iter().all(|(path, bytes)| now[path] == *bytes), "a file that is on its way was written to");

    // and somebody else does: to one that waits for its turn, behind those that hang
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let begun: BTreeSet<String> = cloud.proxy.requests().into_iter().filter_map(|seen| seen.asked.key).collect();
    let (victim, good) = now.iter().find(|(path, _)| !begun.contains(&format!("{FOLDER}/{}", name(path)))).unwrap();
    let mut file = OpenOptions::new().append(true).open(victim).unwrap();
    file.write_all(b"{\"message\":\"nobody said this\"}\n").unwrap();
    drop(file);
    hangs.heal();
    bot.stop().await.unwrap();
    let told = told.of("s3_failed").await;
    assert!(told.iter().any(|event| event["message"].as_str().unwrap().contains("it was altered")), "{told:?}");
    assert_eq!(names(&harness.messages()).into_iter().collect::<Vec<_>>(), [name(victim)], "it is kept");
    assert!(!cloud.objects().await.contains_key(&name(victim)));
    fs::write(victim, good).unwrap();
    Bot::start(options()).await.stop().await.unwrap();
    are_archived(&cloud.records().await, &room, 60);
    harness.stop().await;
}

/// A file was closed by its size or by the next message; at the evening of a quiet day its last messages had not left
/// the host. Here they reach the bucket when their time is over, though nothing more comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_messages_before_a_silence_reach_the_bucket_when_their_time_is_over() {
    let (harness, cloud) = (Harness::start(), Cloud::start().await);
    let clock = HandClock::at(NOON_MICROS);
    let policy = RotationLimits { size_max: 1 << 40, age_max: Some(MINUTE), first_number: 1 };
    let shipping = cloud.shipping(None);
    let bot = Bot::start(Options { policy, clock: clock.clone(), shipping, ..harness.options() }).await;
    let (mut alice, room) = room(&harness).await;
    say(&mut alice, &room, 0..3).await;
    bot.saved(4).await;
    acknowledged(&harness).await;
    clock.advance(MINUTE - Duration::from_micros(1));
    clock.was_acted_on().await;
    assert_eq!(cloud.proxy.count("PutObject"), 0, "its time is not over");
    clock.advance(Duration::from_micros(1));
    cloud.proxy.succeeded("PutObject", 1).await;
    are_archived(&cloud.records().await, &room, 3);
    // hours of silence make no files
    clock.advance(600 * MINUTE);
    clock.was_acted_on().await;
    bot.stop().await.unwrap();
    assert_eq!(cloud.objects().await.len(), 1);
    assert!(names(&harness.messages()).is_empty());
    harness.stop().await;
}
