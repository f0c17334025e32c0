//! The bot as a program with AWS: the guide's ways to start it, permissions taken away, kills on the way to the bucket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use retaind::device::blob;
use retaind::protocol::content::{AttachmentKind, Body};
use retaind::protocol::endpoint::Endpoint;
use retaind::protocol::ids::ConversationKind;
use serde_json::json;
use tokio::sync::mpsc;

use crate::evidence;
use crate::support::archive::acknowledged;
use crate::support::aws::Access;
use crate::support::aws::fault::{Fault, On, Times};
use crate::support::aws::moto::{Moto, allow};
use crate::support::aws::proxy::Proxy;
use crate::support::aws::readers::{Format, Reader};
use crate::support::program::{self, Program};
use crate::support::traffic::{Dice, Traffic, is_sealed, names};
use crate::support::{Harness, PASSWORD, content, text, user};

const BUCKET: &str = "bucket-name";
const FOLDER: &str = "folder-name";
const SECRET: &str = "wickr/data/retention/bot";
const FIVE: [&str; 5] =
    ["secretsmanager:GetSecretValue", "s3:PutObject", "kms:GenerateDataKey", "sns:Publish", "cloudwatch:PutMetricData"];
/// Small, so that many files are sealed.
const FILE_KIB: u64 = 4;

/// `retaind run` for a network that the test serves, with everything below `home`.
fn bot(home: &Path, network: &Endpoint, access: &Access) -> Command {
    let mut command = program::run_on(home, network);
    // it comes from where the test says
    command.env_remove("WICKRIO_BOT_PASSWORD");
    command.envs(access.variables()).env("WICKRIO_COMP_FILESIZE", FILE_KIB.to_string());
    command
}

async fn ends_with(bot: Program, expected: i32) -> String {
    bot.signal("TERM");
    let (code, log) = bot.ends().await;
    assert_eq!(code, Some(expected), "{log}");
    assert!(!log.contains(PASSWORD), "{log}");
    log
}

/// Puts what the bucket holds, opened if it is encrypted, where the bot would have kept it.
async fn bring_back(moto: &Moto, key: Option<(&str, Format)>, home: &Path) {
    let objects = moto.objects(BUCKET).await;
    let access = moto.operator();
    let opened = key.map(|(kms_key, format)| {
        let names: Vec<&str> = objects.iter().map(|object| object.key.as_str()).collect();
        Reader { access: &access, bucket: BUCKET, kms_key }.python(format, &names).unwrap()
    });
    let contents = opened.unwrap_or_else(|| objects.iter().map(|object| object.bytes.clone()).collect());
    for (object, content) in objects.iter().zip(contents) {
        let folder = match object.metadata["wickrio-type"].as_str() {
            "message" => "messages",
            _ => "attachments",
        };
        let name = object.key.strip_prefix(&format!("{FOLDER}/")).expect("the folder");
        let path = home.join(folder).join(name);
        assert!(!path.exists(), "{name} is in the bucket and still here");
        std::fs::write(path, content).unwrap();
    }
    for object in moto.evidence(BUCKET).await {
        let path = home.join(object.key.strip_prefix(&format!("{FOLDER}/")).expect("the folder"));
        assert!(!path.exists(), "{path:?} is in the bucket and still here");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, object.bytes).unwrap();
    }
    evidence::proves(home);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guides_four_ways_to_start_with_aws_archive_everything_where_they_say() {
    let moto = Moto::start();
    moto.bucket(BUCKET).await;
    let key = moto.key().await;
    let s3 =
        json!({ "password": PASSWORD, "s3_bucket_name": BUCKET, "s3_region": "us-east-1", "s3_folder_name": FOLDER });
    let mut with_kms = s3.clone();
    with_kms["kms_master_key_arn"] = key.as_str().into();
    with_kms["kms_region"] = "us-east-1".into();
    moto.secret("password-only", &json!({ "password": PASSWORD }).to_string()).await;
    moto.secret("with-s3", &s3.to_string()).await;
    moto.secret("with-kms", &with_kms.to_string()).await;
    let access = moto.user("bot", &allow(&FIVE)).await;

    let secret = |name: &str| vec![("AWS_SECRET_NAME", name.to_owned())];
    let by_environment = vec![
        ("WICKRIO_BOT_PASSWORD", PASSWORD.to_owned()),
        ("WICKRIO_S3_BUCKET_NAME", BUCKET.to_owned()),
        ("WICKRIO_S3_FOLDER_NAME", FOLDER.to_owned()),
        ("WICKRIO_S3_REGION", "us-east-1".to_owned()),
    ];
    for (variables, uploads, opens) in [
        (secret("password-only"), false, None),
        (secret("with-s3"), true, None),
        (secret("with-kms"), true, Some((key.as_str(), Format::V3))),
        (by_environment, true, None),
    ] {
        let harness = Harness::start();
        let home = harness.path();
        let mut command = bot(home, &harness.endpoint, &access);
        command.envs(variables);
        let mut program = Program::start(&mut command);
        program.says("receives").await;
        let (_bob, _carol) = (harness.device("bob").await, harness.device("carol").await);
        let mut traffic = Traffic::begin(harness.device("alice").await, 11, home).await;
        traffic.say(25).await;
        acknowledged(&harness).await;
        ends_with(program, 0).await;
        if uploads {
            assert!(
                names(&harness.messages()).is_empty() && names(&harness.files()).is_empty(),
                "something stayed here"
            );
            bring_back(&moto, opens, home).await;
        }
        traffic.is_archived(&harness.messages(), &harness.files());
        is_sealed(&harness.messages(), FILE_KIB * 1024);
        for object in moto.everything(BUCKET).await {
            moto.s3().delete_object().bucket(BUCKET).key(object.key).send().await.unwrap();
        }
        harness.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_killed_100_times_on_the_way_to_the_bucket_loses_and_doubles_nothing() {
    const KILLS: u64 = 100;
    const SEED: u64 = 20_260_804;
    println!("seed {SEED}");
    let mut dice = Dice(SEED);
    let moto = Moto::start();
    moto.bucket(BUCKET).await;
    let proxy = Proxy::start(moto.address());
    let access = moto.user("bot", &allow(&["s3:PutObject"])).await.through(&proxy.endpoint());
    let harness = Harness::start();
    let home = harness.path();
    let mut command = bot(home, &harness.endpoint, &access);
    command.envs([
        ("WICKRIO_BOT_PASSWORD", PASSWORD),
        ("WICKRIO_S3_BUCKET_NAME", BUCKET),
        ("WICKRIO_S3_FOLDER_NAME", FOLDER),
        ("WICKRIO_S3_REGION", "us-east-1"),
    ]);
    let mut program = Program::start(&mut command);
    program.says("receives").await;
    let (_bob, _carol) = (harness.device("bob").await, harness.device("carol").await);
    let traffic = Traffic::begin(harness.device("alice").await, SEED, home).await;
    let (turns, told) = mpsc::unbounded_channel();
    let sending = tokio::spawn(traffic.run(told));
    program.kill();
    for kill in 0..KILLS {
        turns.send(3 + dice.below(6)).unwrap();
        // every fourth life also meets an answer that is lost
        let lost =
            (kill % 4 == 0).then(|| proxy.trouble(On::operation("PutObject"), Times::First(1), Fault::LoseAnswer));
        let mut program = Program::start(&mut command);
        program.says("log-in accepted").await;
        // the instant is what is tested; nothing is waited for
        tokio::time::sleep(Duration::from_micros(dice.below(120_000))).await;
        program.kill();
        if let Some(lost) = lost {
            lost.heal();
        }
    }
    drop(turns);
    let traffic = sending.await.unwrap();
    // the evidence of all lives goes one after the other
    let mut program = Program::start(command.env("RETAIND_GRACE_SECONDS", "120"));
    program.says("log-in accepted").await;
    acknowledged(&harness).await;
    ends_with(program, 0).await;
    assert!(names(&harness.messages()).is_empty(), "{:?}", names(&harness.messages()));
    assert!(names(&harness.files()).is_empty(), "{:?}", names(&harness.files()));
    bring_back(&moto, None, home).await;
    traffic.is_archived(&harness.messages(), &harness.files());
    is_sealed(&harness.messages(), FILE_KIB * 1024);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permission_that_is_missing_is_named_and_no_record_is_lost() {
    let moto = Moto::start();
    moto.bucket(BUCKET).await;
    let (key, topic) = (moto.key().await, moto.topic("events").await);
    let secret = json!({
        "password": PASSWORD, "s3_bucket_name": BUCKET, "s3_region": "us-east-1", "s3_folder_name": FOLDER,
        "kms_master_key_arn": key, "kms_region": "us-east-1", "sns_topic_arn": topic.arn,
    });
    moto.secret(SECRET, &secret.to_string()).await;
    let access = moto.user("bot", &allow(&FIVE)).await;
    for (missing, resource) in [
        (FIVE[0], SECRET.to_owned()),
        (FIVE[1], format!("arn:aws:s3:::{BUCKET}/{FOLDER}/*")),
        (FIVE[2], key.clone()),
        (FIVE[3], topic.arn.clone()),
        (FIVE[4], "WickrIO".to_owned()),
    ] {
        let others: Vec<&str> = FIVE.into_iter().filter(|action| *action != missing).collect();
        moto.set_policy("bot", &allow(&others)).await;
        let harness = Harness::start();
        let home = harness.path();
        let mut command = bot(home, &harness.endpoint, &access);
        command.envs([("AWS_SECRET_NAME", SECRET), ("WICKRIO_METRICS_TYPE", "cloudwatch")]);
        let words = format!("`{missing}` on `{resource}` is not permitted");
        let mut program = Program::start(&mut command);
        if missing == FIVE[0] {
            let (code, log) = program.ends().await;
            assert_eq!(code, Some(78), "{log}");
            assert!(log.contains(&words), "{log}");
            harness.stop().await;
            continue;
        }
        program.says("receives").await;
        let (_bob, _carol) = (harness.device("bob").await, harness.device("carol").await);
        let mut traffic = Traffic::begin(harness.device("alice").await, 12, home).await;
        traffic.say(25).await;
        acknowledged(&harness).await;
        if missing == FIVE[1] || missing == FIVE[2] {
            program.says(&words).await;
            let log = ends_with(program, 75).await;
            assert!(log.contains("waits for the next start"), "{log}");
            moto.set_policy("bot", &allow(&FIVE)).await;
            // all that was archived is still here
            traffic.is_archived(&harness.messages(), &harness.files());
            let mut program = Program::start(&mut command);
            program.says("receives").await;
            ends_with(program, 0).await;
        } else {
            let log = ends_with(program, 0).await;
            assert!(log.contains(&words), "`{words}` is not in\n{log}");
        }
        assert!(names(&harness.messages()).is_empty() && names(&harness.files()).is_empty(), "something stayed here");
        bring_back(&moto, Some((&key, Format::V3)), home).await;
        traffic.is_archived(&harness.messages(), &harness.files());
        for object in moto.everything(BUCKET).await {
            moto.s3().delete_object().bucket(BUCKET).key(object.key).send().await.unwrap();
        }
        harness.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_kms_no_plaintext_is_in_the_bucket_the_log_or_the_memory_of_the_program_that_shipped_it() {
    const CANARY: &str = "canary-7f3a9c51-the-words-of-the-third-floor";
    let moto = Moto::start();
    moto.bucket(BUCKET).await;
    let key = moto.key().await;
    let proxy = Proxy::start(moto.address());
    let access = moto.user("bot", &allow(&FIVE)).await.through(&proxy.endpoint());
    let harness = Harness::start();
    let home = harness.path();
    let mut command = bot(home, &harness.endpoint, &access);
    command.envs([
        ("WICKRIO_BOT_PASSWORD", PASSWORD),
        ("WICKRIO_S3_BUCKET_NAME", BUCKET),
        ("WICKRIO_S3_REGION", "us-east-1"),
        ("WICKRIO_S3_FOLDER_NAME", FOLDER),
        ("WICKRIO_KMS_MSTRKEY_ARN", &key),
        ("WICKRIO_KMS_REGION", "us-east-1"),
        ("TMPDIR", home.to_str().unwrap()),
        ("RUST_LOG", "trace"),
    ]);
    // one life records; another, which never saw the message, ships
    let away = proxy.trouble(On::operation("GenerateDataKey"), Times::UntilHealed, Fault::Internal);
    let mut first = Program::start(&mut command);
    first.says("receives").await;
    let mut alice = harness.device("alice").await;
    let _bob = harness.device("bob").await;
    let room = alice.create(ConversationKind::Room, &[user("bob")]).await.unwrap();
    alice.send(&room, &text(CANARY)).await.unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("file.txt");
    std::fs::write(&file, CANARY.repeat(50_000)).unwrap();
    let attachment = blob::upload(alice.connection(), &file, AttachmentKind::File).await.unwrap();
    alice.send(&room, &content(Body::File(attachment))).await.unwrap();
    acknowledged(&harness).await;
    let log = ends_with(first, 75).await;
    assert!(!log.contains(CANARY));
    away.heal();

    let second = Program::start(&mut command);
    proxy.succeeded("PutObject", 2).await;
    while !(names(&harness.messages()).is_empty() && names(&harness.files()).is_empty()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let memory = memory_holds(second.pid(), CANARY.as_bytes());
    let log = ends_with(second, 0).await;
    assert!(!memory, "plaintext stayed in memory");
    assert!(!log.contains(CANARY));
    assert_eq!(moto.objects(BUCKET).await.len(), 2);
    for object in &moto.everything(BUCKET).await {
        assert!(!contains(&object.bytes, CANARY.as_bytes()), "plaintext is in the bucket");
    }
    assert!(!directory_holds(home, CANARY.as_bytes()), "plaintext stayed on the disk");
    bring_back(&moto, Some((&key, Format::V3)), home).await;
    assert!(directory_holds(&harness.messages(), CANARY.as_bytes()), "the archive does not hold what was said");
    assert!(directory_holds(&harness.files(), CANARY.as_bytes()));
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_that_cannot_lock_as_it_is_asked_to_does_not_start_and_says_what_is_missing() {
    const LOCK: [&str; 3] = ["s3:PutObject", "s3:PutObjectRetention", "s3:GetBucketObjectLockConfiguration"];
    let moto = Moto::start();
    moto.bucket(BUCKET).await;
    moto.bucket_with_lock("locked").await;
    let access = moto.user("bot", &allow(&LOCK)).await;
    let harness = Harness::start();
    let home = harness.path();
    let start = |bucket: &str| {
        let mut command = bot(home, &harness.endpoint, &access);
        command.envs([
            ("WICKRIO_BOT_PASSWORD", PASSWORD),
            ("WICKRIO_S3_BUCKET_NAME", bucket),
            ("WICKRIO_S3_REGION", "us-east-1"),
            ("RETAIND_OBJECT_LOCK_MODE", "compliance"),
            ("RETAIND_OBJECT_LOCK_DAYS", "30"),
        ]);
        Program::start(&mut command)
    };
    let (code, log) = start(BUCKET).ends().await;
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("RETAIND_OBJECT_LOCK_MODE") && log.contains("ObjectLockConfigurationNotFoundError"), "{log}");
    for missing in &LOCK[1..] {
        let others: Vec<&str> = LOCK.into_iter().filter(|action| action != missing).collect();
        moto.set_policy("bot", &allow(&others)).await;
        let (code, log) = start("locked").ends().await;
        assert_eq!(code, Some(78), "{log}");
        assert!(log.contains(&format!("`{missing}` on")) && log.contains("is not permitted"), "{log}");
    }
    assert!(!home.join("state").exists(), "something was touched");
    moto.set_policy("bot", &allow(&LOCK)).await;
    let mut program = start("locked");
    program.says("receives").await;
    let mut alice = harness.device("alice").await;
    alice.create(ConversationKind::Room, &[]).await.unwrap();
    acknowledged(&harness).await;
    ends_with(program, 0).await;
    assert_eq!(moto.objects("locked").await.len(), 1);
    for object in moto.everything("locked").await {
        assert_eq!(object.lock_mode.as_deref(), Some("COMPLIANCE"), "{}", object.key);
    }
    harness.stop().await;
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// Whether a file below has these bytes; the network's own directory, which is another party's, aside.
fn directory_holds(directory: &Path, wanted: &[u8]) -> bool {
    std::fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => !path.ends_with("network") && directory_holds(&path, wanted),
            false => contains(&std::fs::read(path).unwrap(), wanted),
        }
    })
}

/// Whether what a core dump of the process would hold has these bytes.
fn memory_holds(pid: u32, wanted: &[u8]) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut looked_at = 0;
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|access| access.starts_with("rw"))) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        // pages that were never touched cannot be read, and hold nothing
        if memory.seek(SeekFrom::Start(from)).is_ok() && memory.read_exact(&mut bytes).is_ok() {
            looked_at += bytes.len();
            if contains(&bytes, wanted) {
                return true;
            }
        }
    }
    assert!(looked_at > 1 << 20, "the memory of the process could not be read");
    false
}
