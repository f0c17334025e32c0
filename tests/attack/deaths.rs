//! A message that ends the process, again and again: its conversation is set apart, and everybody else's archive goes on. Who kills
//! the process at random sets nothing apart.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use retaind::device::store::count_lost;
use retaind::protocol::ids::{ConversationId, ConversationKind};
use retaind::source_mls::hand::FILE;
use retaind::source_mls::hand::format::{self, Deliveries, Found};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::archive::{are_archived, places, say as say_numbers, texts};
use crate::support::attack::poison::say;
use crate::support::faults::bot::{acknowledged_but, ends_well};
use crate::support::program::{Program, run_on};
use crate::support::raw::Raw;
use crate::support::traffic::Dice;
use crate::support::{BOT, Harness, text};

/// Longest time that a bot may take to come to a message.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the bot of this harness had in hand, and whom it suspected.
fn noted(harness: &Harness) -> Found {
    format::decode(&fs::read(harness.path().join("state").join(FILE)).unwrap()).unwrap()
}

fn signal(bot: &Program, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(bot.pid()).unwrap()).unwrap(), signal).unwrap();
}

/// Stops every thread of it.
fn stop(bot: &Program) {
    signal(bot, Signal::STOP);
    let tasks = Path::new("/proc").join(bot.pid().to_string()).join("task");
    let is_stopped = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        // a thread that has ended meanwhile does nothing more
        stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with(['T', 't', 'Z', 'X']))
    };
    while !fs::read_dir(&tasks).unwrap().flatten().all(is_stopped) {
        std::thread::yield_now();
    }
}

/// Each run makes the file again.
fn run_of(harness: &Harness) -> u64 {
    fs::metadata(harness.path().join("state").join(FILE)).unwrap().ino()
}

/// Lets a new bot run in steps until it has this delivery in hand, and kills it there: what a message that ends the process looks
/// like from outside. Returns what its workers had in hand.
fn dies_of(command: &mut Command, harness: &Harness, conversation: &ConversationId, seq: u64) -> Vec<Deliveries> {
    let (began, last_run) = (Instant::now(), run_of(harness));
    let mut bot = Program::start(command);
    loop {
        stop(&bot);
        let in_hand = noted(harness).in_hand;
        if run_of(harness) != last_run && in_hand.iter().any(|one| one.conversation == *conversation && one.have(seq)) {
            bot.kill();
            return in_hand;
        }
        signal(&bot, Signal::CONT);
        assert!(bot.runs() && began.elapsed() < PATIENCE, "message {seq} was never in hand:\n{}", bot.log());
        std::thread::sleep(Duration::from_micros(200));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_ends_the_process_costs_its_conversation_and_nobody_else() {
    let harness = Harness::start();
    let mut command = run_on(harness.path(), &harness.endpoint);
    let mut bot = Program::start(&mut command);
    bot.says("receives").await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    let mallory = Raw::on(&harness, "mallory").await;
    let mut session = mallory.create(&[BOT]).await;
    let id = *session.conversation();
    say(&mallory, &mut session, "before").await.unwrap();
    acknowledged_but(&harness.path().join("network"), 0).await;
    ends_well(bot).await;
    assert!(noted(&harness).in_hand.is_empty());

    // large, so that it is in hand for a while
    let poison = say(&mallory, &mut session, &"x".repeat(4_000_000)).await.unwrap();
    say(&mallory, &mut session, "behind it").await.unwrap();
    say_numbers(&mut alice, &room, 0..20).await;
    for death in 1..=3 {
        assert_eq!(count_lost(&harness.path().join("state/bot.db")).unwrap(), 0, "before death {death}");
        let in_hand = dies_of(&mut command, &harness, &id, poison);
        if death > 1 {
            // exactly that one, and nothing beside it
            assert_eq!(in_hand, [Deliveries { conversation: id, first: poison, last: poison }], "death {death}");
        }
    }
    let mut bot = Program::start(&mut command);
    bot.says("receives").await;
    bot.says("3 times in a row").await;
    // others notice nothing, and what comes now is archived as ever
    say_numbers(&mut alice, &room, 20..30).await;
    acknowledged_but(&harness.path().join("network"), 0).await;
    assert_eq!(count_lost(&harness.path().join("state/bot.db")).unwrap(), 1);
    ends_well(bot).await;
    let records = harness.records();
    are_archived(&records, &room, 30);
    let found = places(&records, &id);
    assert_eq!(texts(&found), ["before"]);
    let kept = &found[&poison];
    assert!(
        kept["reason"].as_str().unwrap().contains(&format!("3 times in a row with message {poison} in hand")),
        "{kept}"
    );
    assert!(
        found.values().filter(|record| record["msgtype"] == 0).all(|record| record["ciphertext"]["sha256"].is_string())
    );
    assert_eq!(found[&(poison + 1)]["msgtype"], 0);

    // it is over: nothing is suspected, and the next run does not fear it
    let mut bot = Program::start(&mut command);
    bot.says("receives").await;
    assert_eq!(noted(&harness).suspects, []);
    ends_well(bot).await;
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_that_is_killed_at_random_under_load_sets_nothing_apart() {
    const KILLS: u32 = 30;
    const SEED: u64 = 20_261_129;
    println!("seed {SEED}");
    let (mut dice, harness) = (Dice(SEED), Harness::start());
    let mut command = run_on(harness.path(), &harness.endpoint);
    let mut bot = Program::start(&mut command);
    bot.says("receives").await;
    let mut alice = harness.device("alice").await;
    let mut rooms = Vec::new();
    for _ in 0..4 {
        rooms.push(alice.create(ConversationKind::Room, &[]).await.unwrap());
    }
    let (mut sent, mut hits) = (0, 0);
    for _ in 0..KILLS {
        for room in &rooms {
            say_numbers(&mut alice, room, sent..sent + 5).await;
        }
        // perhaps in the middle of its start, with what was sent while it was dead, or with the last that was sent
        tokio::time::sleep(Duration::from_micros(dice.below(4_000))).await;
        bot.kill();
        hits += u32::from(!noted(&harness).in_hand.is_empty());
        for room in &rooms {
            say_numbers(&mut alice, room, sent + 5..sent + 10).await;
        }
        sent += 10;
        bot = Program::start(&mut command);
        if dice.below(4) > 0 {
            bot.says("log-in accepted").await;
        }
    }
    println!("{hits} of {KILLS} kills with deliveries in hand");
    bot.says("receives").await;
    for room in &rooms {
        alice.send(room, &text(&sent.to_string())).await.unwrap();
    }
    acknowledged_but(&harness.path().join("network"), 0).await;
    assert_eq!(count_lost(&harness.path().join("state/bot.db")).unwrap(), 0);
    assert!(!bot.log().contains("in a row"), "{}", bot.log());
    ends_well(bot).await;
    let records = harness.records();
    for room in &rooms {
        are_archived(&records, room, sent + 1);
    }
    harness.stop().await;
}
