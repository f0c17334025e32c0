//! How containers end and begin again: stopped, killed, given up.

use std::os::unix::fs::chown;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::guide::{BOT, BY_VARIABLE};
use crate::support::docker::{Engine, IMAGE, UID, password, world};
use crate::support::traffic::{Dice, Traffic, is_sealed};

/// After it Docker kills.
const GRACE: Duration = Duration::from_secs(10);
/// Small, so that ends meet rotations.
const SMALL_FILES: [&str; 2] = ["--env", "WICKRIO_COMP_FILESIZE=4"];

#[test]
fn a_bot_that_docker_stops_under_load_ends_with_0_within_its_grace_and_loses_nothing() {
    world(async |engine: &Engine| {
        engine.volume(BOT);
        let bot = engine.run(BOT, &[&password()[..], &SMALL_FILES].concat());
        bot.says("receives").await;
        let (_bob, _carol) = (bot.device("bob").await, bot.device("carol").await);
        let traffic = Traffic::begin(bot.device("alice").await, 4, engine.scratch()).await;
        let (turns, told) = mpsc::unbounded_channel();
        let sending = tokio::spawn(traffic.run(told));
        for archived in [30, 120] {
            turns.send(150).unwrap();
            bot.archives(archived).await;
            let asked = Instant::now();
            bot.docker("stop");
            let took = asked.elapsed();
            println!("stopped under load in {took:?}");
            assert_eq!((bot.ended().code, took < GRACE), (0, true), "{took:?}: {}", bot.log());
            is_sealed(&bot.messages(), 4096);
            bot.docker("start");
            bot.says("receives").await;
        }
        drop(turns);
        let traffic = sending.await.unwrap();
        bot.archives(traffic.places()).await;
        bot.docker("stop");
        assert_eq!(bot.ended().code, 0, "{}", bot.log());
        traffic.is_archived(&bot.messages(), &bot.files());
        is_sealed(&bot.messages(), 4096);
    });
}

#[test]
fn a_bot_that_docker_kills_at_random_instants_and_starts_again_loses_and_doubles_nothing() {
    const KILLS: u64 = 10;
    const SEED: u64 = 20_261_125;
    world(async |engine: &Engine| {
        println!("seed {SEED}");
        let mut dice = Dice(SEED);
        engine.volume(BOT);
        let bot = engine.run(BOT, &[&password()[..], &SMALL_FILES].concat());
        bot.says("receives").await;
        let (_bob, _carol) = (bot.device("bob").await, bot.device("carol").await);
        let traffic = Traffic::begin(bot.device("alice").await, SEED, engine.scratch()).await;
        let (turns, told) = mpsc::unbounded_channel();
        let sending = tokio::spawn(traffic.run(told));
        for _ in 0..KILLS {
            turns.send(8).unwrap();
            // the instant is what is tested; nothing is waited for
            tokio::time::sleep(Duration::from_micros(dice.below(300_000))).await;
            bot.docker("kill");
            assert_eq!(bot.ended().code, 137);
            bot.docker("start");
            bot.says("receives").await;
        }
        drop(turns);
        let traffic = sending.await.unwrap();
        bot.archives(traffic.places()).await;
        bot.docker("stop");
        assert_eq!(bot.ended().code, 0, "{}", bot.log());
        traffic.is_archived(&bot.messages(), &bot.files());
        is_sealed(&bot.messages(), 4096);
    });
}

#[test]
fn a_directory_of_another_user_is_told_with_the_number_that_must_own_it_and_docker_gives_up_after_5_restarts() {
    world(async |engine: &Engine| {
        // the guide's line on a fresh host: Docker makes the directory, and gives it to root
        engine.shell(BY_VARIABLE, IMAGE);
        let bot = engine.container(BOT, BOT);
        let ended = bot.ends().await;
        let log = bot.log();
        assert_eq!((ended.code, ended.restarts), (78, 5), "{log}");
        let told = format!(
            "error: the state directory `/tmp/{BOT}/state` cannot be written: give it to the user that runs the bot (uid `{UID}`), or set `RETAIND_STATE` to another path"
        );
        assert_eq!(log.matches(&told).count(), 6, "{log}");
        assert_eq!(log.matches("error:").count(), 6, "{log}");
        assert_eq!(std::fs::read_dir(bot.volume()).unwrap().count(), 0);

        chown(bot.volume(), Some(UID), None).unwrap();
        bot.docker("start");
        bot.says("receives").await;
        bot.docker("stop");
        assert_eq!(bot.ended().code, 0, "{}", bot.log());
    });
}
