//! Hosts that mistreat a container: each time one clear message, and in the end nothing lost.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use retaind::device::blob;
use retaind::protocol::content::{AttachmentKind, Body};
use retaind::protocol::ids::ConversationKind;
use tokio::sync::mpsc;

use super::guide::BOT;
use crate::support::docker::{Engine, IMAGE, UID, password, world};
use crate::support::traffic::Traffic;
use crate::support::{content, text, user};

/// A volume with a disk of its own, of this size. `remount`: the one that is there gets another.
fn disk(path: &Path, remount: &str, size: &str) {
    let options = format!("{remount}size={size},uid={UID},mode=755");
    let mut mount = Command::new("mount");
    let mounted = mount.args(["-t", "tmpfs", "-o", &options, "none"]).arg(path).status().unwrap();
    assert!(mounted.success());
}

/// Of a log: the lines that tell why the program ended.
fn errors(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.starts_with("error: ")).collect()
}

#[test]
fn a_full_volume_is_told_and_with_room_the_bot_starts() {
    world(async |engine: &Engine| {
        let volume = engine.volume(BOT);
        disk(&volume, "", "16m");
        let ballast = volume.join("ballast");
        let mut file = File::create(&ballast).unwrap();
        let full = std::iter::repeat_with(|| file.write_all(&[0; 4096])).find_map(Result::err).unwrap();
        assert_eq!(full.kind(), ErrorKind::StorageFull);
        let bot = engine.run(BOT, &[&password()[..], &["--restart", "on-failure:2"]].concat());
        let ended = bot.ends().await;
        let log = bot.log();
        assert_eq!((ended.code, ended.restarts), (75, 2), "{log}");
        let told = format!(
            "error: the disk of the state directory `/tmp/{BOT}/state` is full: free some space, or set `RETAIND_STATE` to a path on another disk"
        );
        assert_eq!(errors(&log), [&told; 3], "{log}");
        // an open file keeps its room
        drop(file);
        fs::remove_file(ballast).unwrap();
        bot.docker("start");
        bot.says("receives").await;
    });
}

#[test]
fn on_a_volume_with_little_room_messages_wait_in_the_network_until_there_is_more() {
    world(async |engine: &Engine| {
        let volume = engine.volume(BOT);
        disk(&volume, "", "64m");
        let bot = engine.run(BOT, &password());
        bot.says("no more messages are taken until there is room on the disk (RETAIND_DISK_LOW)").await;
        let (_bob, _carol) = (bot.device("bob").await, bot.device("carol").await);
        let mut traffic = Traffic::begin(bot.device("alice").await, 5, engine.scratch()).await;
        traffic.texts(30).await;
        assert_eq!(bot.records().len(), 0);
        assert_eq!(bot.log().matches("no more messages are taken").count(), 1, "{}", bot.log());
        disk(&volume, "remount,", "2g");
        bot.archives(traffic.places()).await;
        bot.docker("stop");
        assert_eq!(bot.ended().code, 0, "{}", bot.log());
        traffic.is_archived(&bot.messages(), &bot.files());
    });
}

#[test]
fn a_volume_that_fills_up_to_the_last_byte_costs_no_message_that_was_accepted() {
    const BYTES: usize = 30_000;
    world(async |engine: &Engine| {
        let volume = engine.volume(BOT);
        disk(&volume, "", "24m");
        // without the watchdog, which would stop long before
        let bot = engine.run(BOT, &[&password()[..], &["--env", "RETAIND_DISK_LOW=0"]].concat());
        bot.says("receives").await;
        let mut alice = bot.device("alice").await;
        alice.be_patient(retaind::device::patience::Patience::NONE);
        let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
        let mut accepted: Vec<(u64, String)> = Vec::new();
        let refused = loop {
            let words = format!("{} {}", accepted.len(), "x".repeat(BYTES));
            match alice.send(&room, &text(&words)).await {
                Ok(seq) => accepted.push((seq, words)),
                Err(error) => break error,
            }
        };
        println!("{} messages were accepted, then: {refused}", accepted.len());
        assert!(accepted.len() > 10);
        if bot.inspect("{{.State.Running}}") == "true" {
            bot.docker("stop");
        }
        println!("{}", bot.log());
        assert!(bot.log().contains("full"), "{}", bot.log());
        disk(&volume, "remount,", "512m");
        bot.docker("start");
        // the bot joined first
        bot.archives(accepted.len() + 1).await;
        bot.docker("stop");
        assert_eq!(bot.ended().code, 0, "{}", bot.log());
        let records = bot.records();
        for (place, (record, (seq, words))) in records[1..].iter().zip(&accepted).enumerate() {
            assert_eq!(
                (record["seq"].as_u64(), record["message"].as_str()),
                (Some(*seq), Some(words.as_str())),
                "{place}"
            );
        }
        // the last one may have been accepted without an answer
        assert!(records.len() - 1 - accepted.len() <= 1, "{}", records.len());
    });
}

#[test]
fn a_read_only_volume_is_told_apart_from_one_of_another_user() {
    world(async |engine: &Engine| {
        engine.volume(BOT);
        let (volume, name) = (format!("/opt/{BOT}:/tmp/{BOT}:ro"), format!("WICKRIO_BOT_NAME={BOT}"));
        let usual = ["run", "--detach", "--name", BOT, "--volume", &volume, "--env", &name];
        engine.docker(&[&usual, &password()[..], &[IMAGE]].concat());
        let bot = engine.container(BOT, BOT);
        assert_eq!(bot.ends().await.code, 78);
        let told = format!(
            "error: the state directory `/tmp/{BOT}/state` is on a read-only file system: mount a volume there that can be written, or set `RETAIND_STATE` to another path"
        );
        assert_eq!(errors(&bot.log()), [told]);
    });
}

#[test]
fn a_volume_that_vanishes_under_a_running_bot_ends_it_and_once_it_is_back_nothing_is_lost() {
    world(async |engine: &Engine| {
        let volume = engine.volume(BOT);
        let away = Path::new("/opt/away");
        fs::create_dir(away).unwrap();
        let move_all = |from: &Path, to: &Path| {
            for entry in fs::read_dir(from).unwrap() {
                let entry = entry.unwrap();
                fs::rename(entry.path(), to.join(entry.file_name())).unwrap();
            }
        };
        let bot = engine.run(BOT, &password());
        bot.says("receives").await;
        let (_bob, _carol) = (bot.device("bob").await, bot.device("carol").await);
        let mut traffic = Traffic::begin(bot.device("alice").await, 6, engine.scratch()).await;
        traffic.texts(20).await;
        bot.archives(traffic.places()).await;
        let (turns, told) = mpsc::unbounded_channel();
        let sending = tokio::spawn(async move {
            let mut told: mpsc::UnboundedReceiver<u64> = told;
            while let Some(texts) = told.recv().await {
                traffic.texts(texts).await;
            }
            traffic
        });
        turns.send(100).unwrap();
        move_all(&volume, away);
        let ended = bot.ends().await;
        assert_eq!(ended.code, 75, "{}", bot.log());
        let log = bot.log();
        let errors = errors(&log);
        assert!(
            errors.len() == 1 && errors[0].contains("is gone under the running bot, was its volume detached"),
            "{log}"
        );
        assert!(log.contains("evidence_chain_broken"), "{log}");

        move_all(away, &volume);
        bot.docker("start");
        bot.says("receives").await;
        drop(turns);
        let traffic = sending.await.unwrap();
        bot.archives(traffic.places()).await;
        bot.docker("stop");
        assert_eq!(bot.ended().code, 0, "{}", bot.log());
        traffic.is_archived(&bot.messages(), &bot.files());
    });
}

#[test]
fn a_volume_that_was_lost_is_begun_anew_as_another_device_and_operators_are_told() {
    world(async |engine: &Engine| {
        let volume = engine.volume(BOT);
        let bot = engine.run(BOT, &password());
        bot.says("receives").await;
        bot.docker("stop");
        for entry in fs::read_dir(&volume).unwrap() {
            fs::remove_dir_all(entry.unwrap().path()).unwrap();
        }
        bot.docker("start");
        bot.says("A device has been added to this account!").await;
        bot.says("receives").await;
    });
}

#[test]
fn without_dns_a_bot_that_needs_its_secret_says_which_name_was_asked_for_and_that_it_may_pass() {
    world(async |engine: &Engine| {
        engine.volume(BOT);
        let role = ["--env", "AWS_ACCESS_KEY_ID=x", "--env", "AWS_SECRET_ACCESS_KEY=x"];
        let secret = ["--env", "AWS_SECRET_NAME=wickr/data/retention/bot", "--dns", "192.0.2.1", "--network", "none"];
        let bot = engine.run(BOT, &[&role[..], &secret].concat());
        let ended = bot.ends().await;
        let log = bot.log();
        assert_eq!(ended.code, 75, "{log}");
        let errors = errors(&log);
        assert!(
            errors.len() == 1 && errors[0].contains("`AWS_SECRET_NAME`") && errors[0].contains("dns error"),
            "{log}"
        );
        assert_eq!(fs::read_dir(bot.volume()).unwrap().count(), 0, "a bot without its settings touches nothing");
    });
}

#[test]
fn a_bot_that_strangers_leave_no_open_files_says_so_and_loses_nothing() {
    const STRANGERS: usize = 240;
    world(async |engine: &Engine| {
        engine.volume(BOT);
        let few = ["--ulimit", "nofile=256:256", "--restart", "on-failure:5", "--env", "WICKRIO_COMP_FILESIZE=4"];
        let bot = engine.run(BOT, &[&password()[..], &few].concat());
        bot.says("receives").await;
        let (_bob, _carol) = (bot.device("bob").await, bot.device("carol").await);
        let mut traffic = Traffic::begin(bot.device("alice").await, 7, engine.scratch()).await;
        let address = bot.address();
        let strangers: Vec<_> = (0..STRANGERS).map(|_| TcpStream::connect(&address).unwrap()).collect();
        traffic.say(60).await;
        drop(strangers);
        bot.archives(traffic.places()).await;
        assert!(bot.log().contains("Too many open files"), "{}", bot.log());
        bot.docker("stop");
        assert_eq!(bot.ended().code, 0, "{}", bot.log());
        traffic.is_archived(&bot.messages(), &bot.files());
    });
}

#[test]
fn an_attachment_of_1_gib_goes_through_a_container_of_128_mib() {
    const BYTES: u64 = 1 << 30;
    world(async |engine: &Engine| {
        engine.volume(BOT);
        let bot = engine.run(BOT, &[&password()[..], &["--memory", "128m", "--memory-swap", "128m"]].concat());
        bot.says("receives").await;
        let mut alice = bot.device("alice").await;
        let _bob = bot.device("bob").await;
        let room = alice.create(ConversationKind::Room, &[user("bob")]).await.unwrap();
        let file = engine.scratch().join("film.bin");
        File::create(&file).unwrap().set_len(BYTES).unwrap();
        let attachment = blob::upload(alice.connection(), &file, AttachmentKind::File).await.unwrap();
        alice.send(&room, &content(Body::File(attachment))).await.unwrap();
        // the bot joined, the room was made, the file
        bot.archives(2).await;
        let records = bot.records();
        let record = records.iter().find(|record| record["msgtype"] == 6000).unwrap();
        assert_eq!((&record["file"]["status"], &record["file"]["filesize"]), (&"saved".into(), &BYTES.into()));
        let mut hash = Context::new(&SHA256);
        (0..BYTES >> 20).for_each(|_| hash.update(&[0; 1 << 20]));
        assert_eq!(record["file"]["filehash"], HEXLOWER.encode(hash.finish().as_ref()));
        let kept = bot.files().join(record["file"]["localfilename"].as_str().unwrap());
        assert_eq!(fs::metadata(kept).unwrap().len(), BYTES);
        bot.docker("stop");
        let ended = bot.ended();
        assert_eq!((ended.code, ended.out_of_memory), (0, false), "{}", bot.log());
    });
}

#[test]
fn a_clock_that_is_wrong_by_a_year_costs_no_message_and_is_told_to_who_cannot_join_for_it() {
    world(async |engine: &Engine| {
        let library = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
        let library = library.map(|path| path.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
        let library = library.expect("libfaketime is not there: run `tests/setup`");
        fs::copy(library, engine.scratch().join("faketime.so")).unwrap();
        let clock = |image: &str, by: &str| {
            let lines = format!(
                "COPY faketime.so /usr/lib/\nENV LD_PRELOAD=/usr/lib/faketime.so FAKETIME={by} FAKETIME_DONT_FAKE_MONOTONIC=1"
            );
            engine.derive(image, &lines, engine.scratch());
        };
        clock("retaind:late", "+365d");
        clock("retaind:early", "-365d");
        engine.volume(BOT);
        let mut bot = engine.run(BOT, &password());
        bot.says("receives").await;
        let (_bob, _carol) = (bot.device("bob").await, bot.device("carol").await);
        let mut traffic = Traffic::begin(bot.device("alice").await, 8, engine.scratch()).await;
        traffic.texts(20).await;
        for image in ["retaind:early", "retaind:late", IMAGE] {
            bot.docker("stop");
            assert_eq!(bot.ended().code, 0, "{}", bot.log());
            bot.docker("rm");
            bot = engine.run_image(image, BOT, &password());
            bot.says("receives").await;
            traffic.texts(20).await;
            bot.archives(traffic.places()).await;
            if image == "retaind:early" {
                let refused = bot.try_device("dave").await.map(drop).unwrap_err();
                assert!(refused.contains("is not within key package lifetime"), "{refused}");
            }
        }
        bot.docker("stop");
        assert_eq!(bot.ended().code, 0, "{}", bot.log());
        traffic.is_archived(&bot.messages(), &bot.files());
    });
}
