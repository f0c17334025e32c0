//! How the program stops: as it is told, within its grace time whatever hangs, and with the exit code that says how it went.
//! (Under load, see `crash`.)
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use retaind::bot::disk::RealDisk;
use retaind::bot::files::Names;
use retaind::bot::watchdog::Pulse;
use retaind::device::account::{self, Proof};
use retaind::device::conversations::Device;
use retaind::device::store::{STEPS, Store};
use retaind::protocol::ids::{ConversationId, ConversationKind};
use retaind::protocol::wire::DeliveryKind;
use retaind::report::counters::Counters;
use retaind::report::events::Events;
use retaind::source_mls::change::Owed;
use retaind::source_mls::decrypt::{Input, Neighbours, Worker};
use retaind::source_mls::delivery::{Delivered, Held, Recall, Strict};
use tokio::sync::mpsc;

use crate::support::archive::acknowledged;
use crate::support::aws::Access;
use crate::support::aws::fault::{Fault, On, Times};
use crate::support::aws::proxy::Proxy;
use crate::support::gate::Gate;
use crate::support::program::{Program, run_on};
use crate::support::{Harness, message_files, text, vault};

/// Docker's.
const KILLED_AFTER: Duration = Duration::from_secs(10);

fn bot(harness: &Harness) -> Command {
    run_on(harness.path(), &harness.endpoint)
}

/// Uploads, events and metrics to an AWS that takes every request and never answers.
pub fn with_silent_aws(command: &mut Command, aws: &Proxy) {
    aws.trouble(On::anything(), Times::UntilHealed, Fault::Hang);
    let access = Access {
        endpoint: aws.endpoint(),
        key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        secret: "secret".to_owned(),
        region: "us-east-1".to_owned(),
    };
    command.envs(access.variables()).envs([
        ("WICKRIO_S3_BUCKET_NAME", "bucket-name"),
        ("WICKRIO_S3_REGION", "us-east-1"),
        ("WICKRIO_SNS_TOPIC_ARN", "arn:aws:sns:us-east-1:123456789012:events"),
        ("WICKRIO_METRICS_TYPE", "cloudwatch"),
    ]);
}

/// Says `words` in a new room and waits until the bot has them safe. Another process knows: there is nothing but to look.
async fn say(harness: &Harness, words: usize) -> (Device, ConversationId) {
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    for number in 0..words {
        alice.send(&room, &text(&number.to_string())).await.unwrap();
    }
    acknowledged(harness).await;
    (alice, room)
}

fn names(harness: &Harness) -> Vec<String> {
    let files = message_files(&harness.messages());
    files.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigint_stops_as_sigterm_does() {
    let harness = Harness::start();
    let mut program = Program::start(&mut bot(&harness));
    program.says("receives").await;
    say(&harness, 3).await;
    assert_eq!(names(&harness), ["receivedMessages.txt"]);
    program.signal("INT");
    let (code, log) = program.ends().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("Shutting down"), "{log}");
    let names = names(&harness);
    assert!(names.len() == 1 && names[0] != "receivedMessages.txt", "the open file is sealed: {names:?}");
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigusr1_rotates_the_message_file_and_the_bot_goes_on() {
    let harness = Harness::start();
    let mut program = Program::start(&mut bot(&harness));
    program.says("receives").await;
    let (mut alice, room) = say(&harness, 3).await;
    program.signal("USR1");
    while names(&harness).iter().filter(|name| *name != "receivedMessages.txt").count() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    alice.send(&room, &text("after")).await.unwrap();
    acknowledged(&harness).await;
    assert_eq!(names(&harness).len(), 2, "the sealed one and a new one");
    assert!(program.runs());
    program.signal("TERM");
    let (code, log) = program.ends().await;
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(harness.records().len(), 5);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_before_docker_kills_though_s3_sns_and_cloudwatch_are_silent() {
    let harness = Harness::start();
    let aws = Proxy::start("127.0.0.1:9");
    let mut command = bot(&harness);
    with_silent_aws(&mut command, &aws);
    let mut program = Program::start(&mut command);
    program.says("receives").await;
    say(&harness, 3).await;
    let told = Instant::now();
    program.signal("TERM");
    let (code, log) = program.ends().await;
    let took = told.elapsed();
    assert_eq!(code, Some(75), "{log}");
    assert!(log.contains("what is not uploaded yet waits for the next start"), "{log}");
    assert!(log.contains("events were not told before the bot ended"), "in its turn, and within the time: {log}");
    assert!(took < KILLED_AFTER, "took {took:?}");
    assert_eq!(harness.records().len(), 4, "nothing leaves the disk without a proof");
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shorter_grace_is_kept_as_well() {
    let harness = Harness::start();
    let aws = Proxy::start("127.0.0.1:9");
    let mut command = bot(&harness);
    with_silent_aws(&mut command, &aws);
    let mut program = Program::start(command.env("RETAIND_GRACE_SECONDS", "1"));
    program.says("receives").await;
    say(&harness, 3).await;
    let told = Instant::now();
    program.signal("TERM");
    let (code, log) = program.ends().await;
    assert_eq!(code, Some(75), "{log}");
    assert!(told.elapsed() < Duration::from_secs(4), "took {:?}", told.elapsed());
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_hangs_ends_with_the_grace_time() {
    let harness = Harness::start();
    let aws = Proxy::start("127.0.0.1:9");
    let mut command = bot(&harness);
    with_silent_aws(&mut command, &aws);
    // which is tried before anything else
    command.env("RETAIND_OBJECT_LOCK_LEGAL_HOLD", "on").env("RETAIND_GRACE_SECONDS", "1");
    let program = Program::start(&mut command);
    aws.until(|seen| !seen.is_empty()).await;
    let told = Instant::now();
    program.signal("TERM");
    let (code, log) = program.ends().await;
    assert_eq!(code, Some(75), "{log}");
    assert!(log.contains("the grace time (RETAIND_GRACE_SECONDS) is over"), "{log}");
    assert!(told.elapsed() < Duration::from_secs(4), "took {:?}", told.elapsed());
    assert!(!harness.path().join("state").exists());
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_cuts_a_drain_short_that_waits_for_s3() {
    let harness = Harness::start();
    let aws = Proxy::start("127.0.0.1:9");
    let mut command = bot(&harness);
    with_silent_aws(&mut command, &aws);
    let mut program = Program::start(command.env("RETAIND_GRACE_SECONDS", "3600"));
    program.says("receives").await;
    say(&harness, 3).await;
    let told = Instant::now();
    program.signal("TERM");
    aws.until(|seen| seen.iter().any(|seen| seen.asked.operation == "PutObject")).await;
    assert!(program.runs(), "it has an hour");
    // signals close together are one wish: the second one comes when they are not close any more
    while program.runs() {
        program.signal("INT");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (code, log) = program.ends().await;
    assert_eq!(code, Some(75), "{log}");
    assert!(log.contains("second signal: the drain is cut short"), "{log}");
    assert!(told.elapsed() < KILLED_AFTER);
    // as after a crash: the next start has it all, once
    let mut program = Program::start(&mut bot(&harness));
    program.says("receives").await;
    program.signal("TERM");
    assert_eq!(program.ends().await.0, Some(0));
    assert_eq!(harness.records().len(), 4);
    assert_eq!(harness.unacknowledged(), 0);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_that_waits_for_its_network_stops_at_once() {
    let harness = Harness::start();
    // the first log-in of all, at a network that takes the connection and says nothing
    let gate = Gate::to(&harness.endpoint).await;
    gate.fall_silent();
    let program = Program::start(&mut run_on(harness.path(), &gate.endpoint(&harness.endpoint)));
    gate.accepted.reaches(1).await;
    program.signal("TERM");
    let (code, log) = program.ends().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("Shutting down") && !log.contains("the drain is cut short"), "{log}");

    let mut program = Program::start(&mut bot(&harness));
    program.says("receives").await;
    program.signal("TERM");
    assert_eq!(program.ends().await.0, Some(0));
    // a later one, in the pause between two tries, and in a connection that was lost
    let mut command = bot(&harness);
    let away = harness.leave().await;
    let mut program = Program::start(&mut command);
    program.says("network is away, trying again").await;
    program.signal("TERM");
    let (code, log) = program.ends().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("the drain is cut short"), "{log}");

    let harness = away.come_back();
    let mut program = Program::start(&mut command);
    program.says("receives").await;
    let away = harness.leave().await;
    program.says("network is away, trying again").await;
    program.signal("TERM");
    let (code, log) = program.ends().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("the drain is cut short"), "{log}");
    drop(away);
}

/// The wake-up of a worker at a stop may be taken by a turn that is at work already. What goes on afterwards depends on
/// nobody: the worker's own output keeps open what the next word would come from.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_at_work_when_the_stop_comes_waits_for_no_second_word() {
    let harness = Harness::start_without_retention(|options| options);
    let invite = harness.invite("alice");
    let store = Store::in_memory(vault(), STEPS).unwrap();
    let account = account::register(store, &harness.endpoint, Proof::Invite(&invite.code), 16).await.unwrap();
    std::fs::create_dir_all(harness.files()).unwrap();
    let worker = Worker::new(
        account.engine(account.store.clone()).unwrap(),
        account.store.clone(),
        Neighbours {
            owed: Owed::new().0,
            names: Arc::new(Names::new(Arc::new(RealDisk), &harness.files())),
            counters: Arc::new(Counters::default()),
            events: Events::only_logged(),
            recall: Recall::default(),
            strict: Strict::default(),
        },
    );
    let (inputs, queue) = mpsc::channel(16);
    let (outputs, mut made) = mpsc::channel(1);
    let stopping = Arc::new(AtomicBool::new(false));
    // all of one turn, the word among them; each conversation gives an output, for the second of which there is no room
    inputs.send(Input::Reconnected).await.unwrap();
    for number in 0..3 {
        let delivered = Delivered {
            conversation: ConversationId::from_random(ConversationKind::Room, [number; 32]),
            seq: 1,
            kind: DeliveryKind::Application,
            sender_user: None,
            sender_device: None,
            accepted_at_micros: 0,
            payload: b"nothing that anybody could read".to_vec(),
            received_at_micros: 0,
            held: Held::default(),
        };
        inputs.send(Input::Delivered(delivered)).await.unwrap();
    }
    let told = stopping.clone();
    let working = std::thread::spawn(move || worker.run(queue, &outputs, &told, &Pulse::default()).unwrap());
    made.recv().await.unwrap();
    stopping.store(true, Ordering::Release);
    // the worker ends, and with it its outputs, while `inputs` is open as it is at a stop
    while made.recv().await.is_some() {}
    working.join().unwrap();
    drop(inputs);
    harness.stop().await;
}
