//! SIGTERM at moments that nobody thinks of.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use retaind::bot::disk::DiskCall;
use retaind::report::status::Stages;
use tokio::sync::watch;

use super::{ends, program, room, stops};
use crate::support::archive::{acknowledged, are_archived, say};
use crate::support::asked::AskedDisk;
use crate::support::aws::cloud::Cloud;
use crate::support::aws::fault::{Fault, On, Times};
use crate::support::program::Program;
use crate::support::traffic::{is_sealed, names};
use crate::support::{Bot, Harness, Options};

/// Docker's.
const KILLED_AFTER: Duration = Duration::from_secs(10);

/// A bot that is told to stop while AWS is like this, on the way of its first file, ends in time and drops nothing.
async fn stops_while(on: On, fault: Fault, comes_to: &str) {
    let (harness, cloud) = (Harness::start(), Cloud::start().await);
    let key = cloud.moto.key().await;
    let away = cloud.proxy.trouble(on, Times::UntilHealed, fault);
    let mut command = program(&harness);
    command.envs(cloud.variables_with(&key));
    let mut bot = Program::start(&mut command);
    bot.says("receives").await;
    let (mut alice, room) = room(&harness).await;
    say(&mut alice, &room, 0..5).await;
    acknowledged(&harness).await;
    bot.signal("USR1");
    if comes_to.is_empty() {
        away.strikes(1).await;
    } else {
        bot.says(comes_to).await;
    }
    // something is in the open file as well
    say(&mut alice, &room, 5..8).await;
    acknowledged(&harness).await;
    let told = Instant::now();
    let log = stops(bot, 75).await;
    assert!(told.elapsed() < KILLED_AFTER, "took {:?}: {log}", told.elapsed());
    assert!(log.contains("what is not uploaded yet waits for the next start"), "{log}");
    assert!(cloud.objects().await.is_empty());
    are_archived(&harness.records(), &room, 8);
    is_sealed(&harness.messages(), u64::MAX);
    away.heal();
    let mut bot = Program::start(&mut command);
    bot.says("receives").await;
    stops(bot, 0).await;
    assert!(names(&harness.messages()).is_empty());
    assert_eq!(cloud.objects().await.len(), 2);
    harness.stop().await;
}

/// A stop came during the pause before the next try; the pause was slept to its end, the process was killed in it, and
/// what had waited was forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_in_the_pause_before_the_next_upload_ends_it_and_the_file_waits_for_the_next_start() {
    stops_while(On::service("s3"), Fault::Internal, "not shipped yet").await;
}

/// A stop came while a key was being asked for, and the process hung until it was killed, or sent what it had in clear.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_while_kms_is_asked_for_a_key_ends_in_time_and_nothing_leaves_the_host() {
    stops_while(On::operation("GenerateDataKey"), Fault::Hang, "").await;
}

/// A stop came between closing one file and beginning the next, and the end of the first had no name, or the next no
/// file. Here a bot that is told to stop in the middle of a rotation carries it out, and what came meanwhile is sealed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_in_the_middle_of_a_rotation_leaves_every_record_in_a_sealed_file() {
    for held in [DiskCall::Rename, DiskCall::SyncDir] {
        let harness = Harness::start();
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let (reached, mut is_reached) = watch::channel(false);
        let disk = AskedDisk::new({
            let gate = gate.clone();
            move |call, _| {
                let shut = gate.0.lock().unwrap();
                if call == held && *shut {
                    reached.send_replace(true);
                    drop(gate.1.wait_while(shut, |shut| *shut).unwrap());
                }
                Ok(())
            }
        });
        let set = |shut| {
            *gate.0.lock().unwrap() = shut;
            gate.1.notify_all();
        };
        let bot = Bot::start(Options { disk: Arc::new(disk), ..harness.options() }).await;
        let (mut alice, room) = room(&harness).await;
        say(&mut alice, &room, 0..5).await;
        bot.saved(6).await;
        set(true);
        bot.rotate().await;
        is_reached.wait_for(|reached| *reached).await.unwrap();
        say(&mut alice, &room, 5..9).await;
        let counters = bot.counters.clone();
        let stopping = tokio::spawn(bot.stop());
        while counters.status.standing().stages != Stages::Stop {
            tokio::task::yield_now().await;
        }
        set(false);
        stopping.await.unwrap().unwrap();
        is_sealed(&harness.messages(), u64::MAX);
        let archived = harness.records().len() - 1;
        assert_eq!(usize::try_from(harness.unacknowledged()).unwrap(), 9 - archived, "{held}");
        let bot = harness.bot().await;
        acknowledged(&harness).await;
        bot.stop().await.unwrap();
        are_archived(&harness.records(), &room, 9);
        is_sealed(&harness.messages(), u64::MAX);
        harness.stop().await;
    }
}

/// The same with the program, and signals as close together as they can be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sigterm_on_the_heels_of_a_rotation_leaves_every_record_in_a_sealed_file() {
    const LIVES: usize = 10;
    let harness = Harness::start();
    let mut command = program(&harness);
    command.env("WICKRIO_COMP_FILESIZE", "4");
    let mut first = Program::start(&mut command);
    first.says("receives").await;
    let (mut alice, room) = room(&harness).await;
    stops(first, 0).await;
    for life in 0..LIVES {
        let mut bot = Program::start(&mut command);
        bot.says("receives").await;
        say(&mut alice, &room, life * 8..life * 8 + 8).await;
        // the instant is what is tested; nothing is waited for
        bot.signal("USR1");
        tokio::time::sleep(Duration::from_millis(life as u64)).await;
        bot.signal("TERM");
        ends(bot, 0).await;
        is_sealed(&harness.messages(), 4096);
    }
    let mut bot = Program::start(&mut command);
    bot.says("receives").await;
    acknowledged(&harness).await;
    stops(bot, 0).await;
    are_archived(&harness.records(), &room, LIVES * 8);
    harness.stop().await;
}
