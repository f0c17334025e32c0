//! The disk: syncs, names, space, and files that are not as they were left.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use retaind::bot::disk::DiskCall;
use retaind::bot::grace::Grace;
use retaind::bot::run::Shipping;
use retaind::bot::segment::RotationLimits;
use retaind::bot::ship::Shipped;
use retaind::protocol::content::Body;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{contents, ends, killed_between, program, room, stops};
use crate::support::archive::{acknowledged, are_archived, noise, places, say, upload, without_gap};
use crate::support::asked::{AskedDisk, Durable};
use crate::support::aws::cloud::{BUCKET, Cloud};
use crate::support::aws::fault::{Fault, On, Times};
use crate::support::events::heard;
use crate::support::program::{Program, retaind};
use crate::support::traffic::{is_sealed, names, sha256};
use crate::support::{Bot, Controls, Harness, Options, bot, content};

/// An archive confirmed what it had handed to the system, before the system had it on the disk; a loss of power took it
/// from both ends. Here the network keeps a message as long as its sync has not returned, however long that takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_acknowledged_only_when_its_sync_has_returned() {
    let harness = Harness::start();
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let (syncs, mut in_sync) = watch::channel(0);
    let disk = AskedDisk::new({
        let gate = gate.clone();
        move |call, _| {
            if call == DiskCall::SyncData {
                let shut = gate.0.lock().unwrap();
                syncs.send_modify(|syncs| *syncs += u64::from(*shut));
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
    say(&mut alice, &room, 0..3).await;
    bot.saved(4).await;
    acknowledged(&harness).await;

    set(true);
    say(&mut alice, &room, 3..5).await;
    in_sync.wait_for(|syncs| *syncs > 0).await.unwrap();
    // time enough for what is not held back: the network has answered many times meanwhile
    say(&mut alice, &room, 5..105).await;
    assert_eq!(harness.unacknowledged(), 102, "acknowledged before it was on the disk");
    set(false);
    acknowledged(&harness).await;
    bot.stop().await.unwrap();
    are_archived(&harness.records(), &room, 105);
    harness.stop().await;
}

/// The content of new files was synced, but not the directory with their names; after a loss of power the files were not
/// there. Here the power goes at each call of the disk in turn, and takes all names and bytes that were not synced by
/// then: what was acknowledged is there, and what was not comes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whenever_the_power_goes_the_names_of_acknowledged_records_and_files_are_there() {
    let harness = Harness::start();
    let policy = RotationLimits { size_max: 2000, age_max: None, first_number: 1 };
    let options = || Options { policy, ..harness.options() };
    let bot = Bot::start(options()).await;
    let (mut alice, room) = room(&harness).await;
    bot.saved(1).await;
    bot.stop().await.unwrap();
    let (mut said, mut files, mut losses) = (0, Vec::new(), 0);
    for last in 1.. {
        assert!(last < 500, "it never comes through");
        let durable = Arc::new(Durable::now(&[harness.messages(), harness.files()]));
        let (calls, dead) = (AtomicU64::new(0), Arc::new(AtomicBool::new(false)));
        let disk = AskedDisk::new({
            let (durable, dead) = (durable.clone(), dead.clone());
            move |call, path| {
                if call == DiskCall::FreeBytes {
                    return Ok(());
                }
                if dead.load(Ordering::SeqCst) || calls.fetch_add(1, Ordering::SeqCst) >= last {
                    dead.store(true, Ordering::SeqCst);
                    return Err(std::io::ErrorKind::Other.into());
                }
                durable.hears(call, path);
                Ok(())
            }
        });
        // every fourth loss has something new to lose, the others come while the same is made good again
        if losses % 4 == 0 {
            say(&mut alice, &room, said..said + 3).await;
            said += 3;
            let bytes = noise(20_000);
            let file = upload(&alice, harness.path(), &bytes).await;
            files.push(sha256(&bytes));
            alice.send(&room, &content(Body::File(file))).await.unwrap();
        }
        let (stop, (_rotate, rotate)) = (CancellationToken::new(), mpsc::channel(1));
        let controls = Controls { stop: stop.clone(), rotate, ready: None };
        let mut running = tokio::spawn(bot::run(Options { disk: Arc::new(disk), ..options() }, controls));
        tokio::select! {
            ended = &mut running => drop(ended.unwrap().unwrap_err()),
            () = acknowledged(&harness) => {
                stop.cancel();
                let ended = running.await.unwrap();
                if !dead.load(Ordering::SeqCst) && losses % 4 != 0 {
                    ended.unwrap();
                    break;
                }
            }
        }
        durable.lose_the_rest();
        losses += 1;
    }
    assert!(losses > 20, "{losses}");
    let bot = Bot::start(options()).await;
    acknowledged(&harness).await;
    bot.stop().await.unwrap();
    let places = places(&harness.records(), &room);
    without_gap(&places);
    assert_eq!(places.len(), 1 + said + files.len());
    let kept =
        |record: &serde_json::Value| fs::read(harness.files().join(record["file"]["localfilename"].as_str()?)).ok();
    let hashes: Vec<String> = places.values().filter_map(kept).map(|bytes| sha256(&bytes)).collect();
    assert_eq!(hashes, files);
    assert_eq!(names(&harness.files()).len(), files.len());
    is_sealed(&harness.messages(), 2000);
    harness.stop().await;
}

/// A spool unlinked a file before its list of what was sent was on the disk; after a crash it was neither here nor
/// known to be there. Here at the moment of each removal the bucket has the object, and the state says so durably.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_removed_only_after_the_state_says_durably_that_it_is_stored() {
    let (harness, cloud) = (Harness::start(), Cloud::start().await);
    let state = harness.path().join("bot.db");
    let removed = Arc::new(Mutex::new(Vec::new()));
    let disk = AskedDisk::new({
        let removed = removed.clone();
        move |call, path| {
            if call == DiskCall::Remove {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
                let database = Connection::open_with_flags(&state, flags).unwrap();
                let sql = "SELECT count(*) FROM ship JOIN ship_stored ON item = id WHERE path = ?";
                let known: i64 = database.query_row(sql, [path.to_str().unwrap()], |row| row.get(0)).unwrap();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                removed.lock().unwrap().push((name, known));
            }
            Ok(())
        }
    });
    let options = Options { disk: Arc::new(disk), shipping: cloud.shipping(None), ..harness.options() };
    let bot = Bot::start(options).await;
    let (mut alice, room) = room(&harness).await;
    for number in 0..3 {
        say(&mut alice, &room, number..number + 1).await;
        let file = upload(&alice, harness.path(), &noise(1000 + number)).await;
        alice.send(&room, &content(Body::File(file))).await.unwrap();
        bot.saved(1 + 2 * (number as u64 + 1)).await;
        bot.rotate().await;
    }
    bot.stop().await.unwrap();
    let objects = cloud.objects().await;
    let removed = removed.lock().unwrap().clone();
    assert_eq!(removed.len(), 6);
    for (name, known) in removed.iter() {
        assert!(*known == 1 && objects.contains_key(name), "`{name}` went before it was known to be stored");
    }
    assert!(names(&harness.messages()).is_empty() && names(&harness.files()).is_empty());
    harness.stop().await;
}

/// A buffer counted its bytes, was killed while it was full, and thought for ever after that it was full. Here what
/// fills up is looked at, not remembered: a bot that was killed with a full disk and a full queue goes on at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_that_was_killed_while_it_was_full_goes_on_at_once_when_there_is_room() {
    const FULL: &str = "no more messages are taken until there is room on the disk";
    let (harness, cloud) = (Harness::start(), Cloud::start().await);
    let away = cloud.proxy.trouble(On::service("s3"), Times::UntilHealed, Fault::Internal);
    let mut command = program(&harness);
    command.envs(cloud.variables());
    let mut first = Program::start(&mut command);
    first.says("receives").await;
    let (mut alice, room) = room(&harness).await;
    say(&mut alice, &room, 0..5).await;
    acknowledged(&harness).await;
    first.signal("USR1");
    first.says("not shipped yet").await;
    first.kill();

    // no disk has so much room
    let mut second = Program::start(command.env("RETAIND_DISK_LOW", "999999999"));
    second.says(FULL).await;
    second.says("receives").await;
    let before = contents(&[harness.messages()]);
    say(&mut alice, &room, 5..25).await;
    assert_eq!((harness.unacknowledged(), contents(&[harness.messages()])), (20, before), "nothing was taken");
    second.kill();

    away.heal();
    let mut third = Program::start(command.env("RETAIND_DISK_LOW", "0"));
    third.says("receives").await;
    acknowledged(&harness).await;
    let log = stops(third, 0).await;
    assert!(!log.contains(FULL), "{log}");
    are_archived(&cloud.records().await, &room, 25);
    assert!(names(&harness.messages()).is_empty(), "{:?}", names(&harness.messages()));
    harness.stop().await;
}

/// A log took the half line that a crash had left for the end of the file, and wrote on behind it. Here whatever stands
/// behind the last commit is cut off, torn or whole, and comes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_tail_is_cut_off_and_its_message_comes_again() {
    let harness = Harness::start();
    let (_alice, room) = killed_between(&harness).await;
    // as if it had been killed in the middle of the next batch
    let open = harness.messages().join("receivedMessages.txt");
    let text = fs::read_to_string(&open).unwrap();
    let last = text.split_inclusive('\n').next_back().unwrap();
    let beyond = last.replace("\"message\":\"4\"", "\"message\":\"5\"").replace("\"seq\":6", "\"seq\":7");
    let (whole, torn) = (&beyond, &beyond[..beyond.len() / 2]);
    OpenOptions::new().append(true).open(&open).unwrap().write_all(format!("{whole}{torn}").as_bytes()).unwrap();

    let mut second = Program::start(&mut program(&harness));
    second.says(&format!("cut_bytes={}", whole.len() + torn.len())).await;
    acknowledged(&harness).await;
    stops(second, 0).await;
    are_archived(&harness.records(), &room, 10);
    is_sealed(&harness.messages(), u64::MAX);
    harness.stop().await;
}

type Damage = fn(&Path);

/// Bit rot in a waiting file was uploaded as if it were what had been said, or a file that a crash had emptied was; the
/// good copy was then deleted. Here a file is compared on its way with what was committed: what is not that becomes no
/// object, is named and kept, and does not hold up the others.
async fn is_not_shipped(damage: Damage, words: &str) {
    let (harness, cloud) = (Harness::start(), Cloud::start().await);
    let away = cloud.proxy.trouble(On::service("s3"), Times::UntilHealed, Fault::Internal);
    let options = || Options { shipping: cloud.shipping(None), ..harness.options() };
    let grace = Grace::new(Duration::from_secs(1));
    let shipping = Shipping { grace, ..cloud.shipping(None) };
    let bot = Bot::start(Options { shipping, ..options() }).await;
    let (mut alice, room) = room(&harness).await;
    say(&mut alice, &room, 0..3).await;
    // of one piece, and of several
    for size in [50_000, 9 << 20] {
        let file = upload(&alice, harness.path(), &noise(size)).await;
        alice.send(&room, &content(Body::File(file))).await.unwrap();
    }
    bot.saved(6).await;
    assert_eq!(bot.stop().await.unwrap(), Shipped::Partly);
    let good = contents(&[harness.messages(), harness.files()]);
    assert_eq!(good.len(), 3, "{:?}", good.keys());
    good.keys().for_each(|path| damage(path));
    away.heal();
    let (events, heard) = heard();
    let bot = Bot::start(Options { events, ..options() }).await;
    say(&mut alice, &room, 3..4).await;
    bot.saved(1).await;
    bot.stop().await.unwrap();
    let objects = cloud.objects().await;
    assert_eq!(objects.len(), 1, "only what is whole is there: {:?}", objects.keys());
    assert_eq!(cloud.moto.uploads(BUCKET).await, Vec::<String>::new(), "nothing is left of what was begun");
    let told = heard.of("s3_failed").await;
    assert!(told.iter().any(|event| event["message"].as_str().unwrap().contains(words)), "`{words}`: {told:?}");

    // restored as the error says, they are stored by the next start
    for (path, bytes) in &good {
        fs::write(path, bytes).unwrap();
    }
    Bot::start(options()).await.stop().await.unwrap();
    are_archived(&cloud.records().await, &room, 4);
    let objects = cloud.objects().await;
    assert!(good.iter().all(|(path, bytes)| objects[path.file_name().unwrap().to_str().unwrap()] == *bytes));
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_file_with_one_flipped_bit_is_named_and_kept_and_becomes_no_object() {
    let flip: Damage = |path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        fs::write(path, bytes).unwrap();
    };
    is_not_shipped(flip, "has the length that was committed, but not the content").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_file_that_was_cut_to_nothing_is_named_and_becomes_no_object() {
    is_not_shipped(|path| fs::write(path, b"").unwrap(), "has 0 bytes, but").await;
}

/// A crash left the file of the day with no byte in it, and the archive began it again as if nothing had been there. Here
/// a bot whose open file is shorter than what was committed does not start, says so, and takes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_file_that_was_cut_to_nothing_stops_the_bot_before_it_takes_anything() {
    let harness = Harness::start();
    let (_alice, room) = killed_between(&harness).await;
    let open = harness.messages().join("receivedMessages.txt");
    let good = fs::read(&open).unwrap();
    fs::write(&open, b"").unwrap();
    let log = ends(Program::start(&mut program(&harness)), 75).await;
    assert!(log.contains(&format!("has 0 bytes, but {} were committed", good.len())), "{log}");
    assert!(log.contains("restore it from a copy") && log.contains("evidence_chain_broken"), "{log}");
    assert_eq!((harness.unacknowledged(), fs::read(&open).unwrap()), (5, Vec::new()), "as it was found");
    fs::write(&open, good).unwrap();
    let second = Program::start(&mut program(&harness));
    acknowledged(&harness).await;
    stops(second, 0).await;
    are_archived(&harness.records(), &room, 10);
    harness.stop().await;
}

/// A dry run opened the spool as the daemon does, and so trimmed, locked or marked it. Here `check` leaves every byte and
/// every time of change as it was, also beside a bot at work, and makes nothing where there is nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_leaves_every_byte_and_every_time_as_it_was_also_beside_a_running_bot() {
    let (harness, cloud) = (Harness::start(), Cloud::start().await);
    let mut command = program(&harness);
    // the queue is not to be empty
    command.envs(cloud.variables()).env("WICKRIO_S3_BUCKET_NAME", "nowhere");
    let check = |arguments: &[&str], like: &Command| {
        let mut check = retaind(arguments);
        check.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        check.output().unwrap()
    };
    let home = [harness.path().join("state"), harness.messages(), harness.files(), harness.path().join("logs")];
    for arguments in [&["check"][..], &["check", "--online"]] {
        check(arguments, &command);
        assert!(home.iter().all(|directory| !directory.exists()), "made by {arguments:?}");
    }
    let mut bot = Program::start(&mut command);
    bot.says("receives").await;
    let (mut alice, room) = room(&harness).await;
    say(&mut alice, &room, 0..5).await;
    let file = upload(&alice, harness.path(), b"a file").await;
    alice.send(&room, &content(Body::File(file))).await.unwrap();
    acknowledged(&harness).await;
    bot.signal("USR1");
    bot.says("not shipped yet").await;
    say(&mut alice, &room, 5..8).await;
    acknowledged(&harness).await;
    let looked = |directories: &[PathBuf]| {
        let files = contents(directories).into_keys();
        let changed = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
        (contents(directories), files.map(|path| changed(&path)).collect::<Vec<_>>())
    };
    for arguments in [&["check"][..], &["check", "--online"]] {
        // the bot tries S3 again meanwhile, and writes that down: only what neither touches is compared while it works
        let archive = [harness.messages(), harness.files()];
        let before = looked(&archive);
        let output = check(arguments, &command);
        assert!(!output.stdout.is_empty(), "{output:?}");
        assert!(looked(&archive) == before, "{arguments:?} beside a running bot");
    }
    bot.kill();
    for arguments in [&["check"][..], &["check", "--online"]] {
        let before = looked(&home);
        check(arguments, &command);
        assert!(looked(&home) == before, "{arguments:?} on what a killed bot has left");
    }
    command.env("WICKRIO_S3_BUCKET_NAME", BUCKET);
    let output = check(&["check", "--online"], &command);
    assert!(output.status.success() && cloud.objects().await.is_empty(), "{output:?}");
    let bot = Program::start(&mut command);
    cloud.proxy.succeeded("PutObject", 1).await;
    stops(bot, 0).await;
    are_archived(&cloud.records().await, &room, 8);
    harness.stop().await;
}
