//! What happens to the bot is told to SNS, and what it counted is in CloudWatch, however long either was away.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use retaind::aws::Aws;
use retaind::aws::cloudwatch::{CloudWatch, Figure, FigureUnit};
use retaind::aws::sns::Sns;
use retaind::core::clock::{Clock, SystemClock};
use retaind::core::fault::{self, Faulty as _};
use retaind::network::Standing;
use retaind::protocol::ids::ConversationKind;
use retaind::report::counters::Counters;
use retaind::report::events::{Event, Events, Sending};
use retaind::report::metrics::{METRICS, Metrics};
use retaind::report::outlets::NAMESPACE;
use rusqlite::{Connection, params};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::aws::fault::{Fault, On, Times};
use crate::support::aws::moto::{Moto, allow};
use crate::support::aws::proxy::Proxy;
use crate::support::aws::{Access, REGION};
use crate::support::events::{heard, origin};
use crate::support::{BOT, Bot, Controls, Harness, Options, bot, text, user};

/// No test waits so long unless it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn now_micros() -> i64 {
    SystemClock.now_micros()
}

fn now_secs() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

fn aws(access: &Access) -> Aws {
    Aws::with(access.config())
}

/// Events of a bot that go to a topic.
fn to_topic(access: &Access, arn: &str) -> (Events, Sending) {
    let (events, sender) = Events::new(origin(), now_micros);
    (events, sender.start(Sns::new(&aws(access), "eu-north-1", arn)))
}

/// A bot that ends by itself.
async fn fails(options: Options) {
    let (_rotate, asked) = mpsc::channel(1);
    let controls = Controls { stop: CancellationToken::new(), rotate: asked, ready: None };
    let ended = tokio::time::timeout(PATIENCE, bot::run(options, controls)).await.unwrap();
    ended.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bots_life_arrives_in_a_queue_as_exactly_this_json() {
    let (moto, harness) = (Moto::start(), Harness::start());
    let topic = moto.topic("events").await;
    let (events, sending) = to_topic(&moto.operator(), &topic.arn);
    let bot = Bot::start(Options { events: events.clone(), ..harness.options() }).await;
    let device = events.origin().device().to_owned();
    bot.stop().await.unwrap();
    assert_eq!(sending.finish(PATIENCE).await, 0);
    let expected = [
        ("device_added", "A device has been added to this account!"),
        ("logged_in", "Logged in"),
        ("shutting_down", "Shutting down"),
    ];
    // a queue that is not FIFO promises no order
    let mut arrived = BTreeSet::new();
    for _ in expected {
        let notice = moto.notice(&topic).await;
        assert_eq!(notice.subject, None);
        let event: Value = serde_json::from_str(&notice.message).unwrap();
        let at = event["dateTime"].as_str().unwrap();
        let (code, message) = (event["eventCode"].as_str().unwrap(), event["message"].as_str().unwrap());
        assert_eq!(at.len(), "2022-10-12T13:05:39".len());
        let exact = format!(
            r#"{{"complianceBot":"{BOT}","dateTime":"{at}","device":"{device}","dockerImage":"wickr/bot-compliance-cloud","dockerTag":"5.116.13.01","eventCode":"{code}","message":"{message}","notificationType":"Bot Event","severity":"normal"}}"#
        );
        assert_eq!(notice.message, exact);
        arrived.insert((code.to_owned(), message.to_owned()));
    }
    let expected = expected.map(|(code, message)| (code.to_owned(), message.to_owned()));
    assert_eq!(arrived, BTreeSet::from(expected));
    assert_eq!(moto.notices(&topic).await, []);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_sns_hangs_or_fails_the_bot_archives_and_then_every_event_is_told() {
    let (moto, harness) = (Moto::start(), Harness::start());
    let topic = moto.topic("events").await;
    for fault in [Fault::Hang, Fault::Internal, Fault::Denied] {
        let proxy = Proxy::start(moto.address());
        let trouble = proxy.trouble(On::service("sns"), Times::UntilHealed, fault);
        let (events, sending) = to_topic(&moto.operator().through(&proxy.endpoint()), &topic.arn);
        let options = Options { events: events.clone(), ..harness.options() };
        let before = harness.records().len();
        let bot = Bot::start(options).await;
        trouble.strikes(1).await;
        let mut alice = harness.device(&format!("alice-{before}")).await;
        let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
        for number in 0..20u64 {
            alice.send(&room, &text(&format!("number {number}"))).await.unwrap();
            events.raise(Event::SwitchBoardDown { minutes: number % 10 });
        }
        bot.saved(21).await;
        assert_eq!(moto.notices(&topic).await, []);
        trouble.heal();
        bot.stop().await.unwrap();
        assert_eq!(sending.finish(PATIENCE).await, 0);
        assert_eq!(harness.records().len(), before + 21);
        let told = moto.notices(&topic).await;
        let count = |code: &str| -> u64 {
            let all = told.iter().map(|notice| serde_json::from_str::<Value>(&notice.message).unwrap());
            all.filter(|event| event["eventCode"] == code).map(|event| event["occurrences"].as_u64().unwrap_or(1)).sum()
        };
        assert_eq!([count("switchboard_down"), count("logged_in"), count("shutting_down")], [20, 1, 1], "{fault:?}");
    }
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_twelve_metrics_are_in_cloudwatch_under_five_dimensions() {
    let (moto, harness) = (Moto::start(), Harness::start());
    let access = moto.user("bot", &allow(&["cloudwatch:PutMetricData"])).await;
    let (counters, origin) = (Arc::new(Counters::default()), origin());
    let store = CloudWatch::new(&aws(&access), REGION, NAMESPACE);
    let measuring = Metrics::new(counters.clone(), origin.clone(), now_micros).start(store);
    let events = Events::logged_by(origin.clone());
    let bot = Bot::start(Options { counters, events, ..harness.options() }).await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    alice.send(&room, &text("one")).await.unwrap();
    bot.saved(2).await;
    bot.stop().await.unwrap();
    measuring.finish(PATIENCE).await;
    let dimensions = [
        ("ID", BOT),
        ("Device", origin.device()),
        ("Product", "WickrPro_Production"),
        ("BotType", "compliance"),
        ("Network", origin.network()),
    ];
    for metric in &METRICS {
        let measured = moto.metric("WickrIO", metric.name, &dimensions).await.unwrap();
        let expected = match metric.name {
            "Messages_Rx" | "Messages_Saved" => 2.0,
            "Logins" => 1.0,
            _ => 0.0,
        };
        assert_eq!((measured.sum, measured.samples), (expected, 1.0), "{}", metric.name);
    }
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_request_of_kept_minutes_is_taken_with_their_own_times() {
    let moto = Moto::start();
    let store = CloudWatch::new(&aws(&moto.operator()), REGION, NAMESPACE);
    let minutes = i64::try_from(retaind::report::metrics::INTERVALS_SENT_MAX).unwrap();
    let begin = now_secs() - minutes * 60;
    let figures = |name| {
        (0..minutes).map(move |minute| Figure {
            name,
            unit: FigureUnit::Bytes,
            value: 1 << 40,
            at_secs: begin + minute * 60,
        })
    };
    let all: Vec<Figure> = METRICS.iter().flat_map(|metric| figures(metric.name)).collect();
    assert!(all.len() <= 1000);
    store.put(&[("ID", BOT)], &all).await.unwrap();
    let measured = moto.metric("WickrIO", "Files_Saved_Bytes", &[("ID", BOT)]).await.unwrap();
    // each minute is a point of its own: none has two values
    let expected = f64::from(u32::try_from(minutes).unwrap());
    assert_eq!((measured.samples, measured.maximum), (expected, 1_099_511_627_776.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_names_the_action_and_the_operator_can_mend_it() {
    let moto = Moto::start();
    let topic = moto.topic("events").await;
    let access = moto.user("bot", &allow(&["s3:PutObject"])).await;
    // the region is the topic's
    let sns = Sns::new(&aws(&access), "eu-north-1", &topic.arn);
    let denied = sns.publish("{}", BOT, "1").await.unwrap_err();
    assert!(denied.to_string().contains("`sns:Publish`") && denied.to_string().contains(&topic.arn), "{denied}");
    assert_eq!(denied.fault(), fault::Fault::Configuration);
    let cloudwatch = CloudWatch::new(&aws(&access), REGION, NAMESPACE);
    let figure = Figure { name: "Logins", unit: FigureUnit::Count, value: 1, at_secs: now_secs() };
    let denied = cloudwatch.put(&[], &[figure]).await.unwrap_err();
    assert!(denied.to_string().contains("`cloudwatch:PutMetricData`"), "{denied}");
    assert_eq!(denied.fault(), fault::Fault::Configuration);

    // the guide's two actions and nothing more
    moto.set_policy("bot", &allow(&["sns:Publish", "cloudwatch:PutMetricData"])).await;
    // the stand-in counts forms with blanks as forged, so there are none here
    sns.publish("{}", BOT, "1").await.unwrap();
    cloudwatch.put(&[], &[figure]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_topic_gets_a_group_and_an_id() {
    let moto = Moto::start();
    let sns = aws_sdk_sns::Client::new(&moto.operator().config());
    let made = sns.create_topic().name("events.fifo").attributes("FifoTopic", "true").send().await.unwrap();
    // without them moto refuses, as AWS does
    let topic = Sns::new(&aws(&moto.operator()), REGION, made.topic_arn.unwrap());
    topic.publish("{}", "bot of ünits", "0123456789abcdef-1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_log_in_is_told_by_its_kind() {
    let harness = Harness::start();
    let run = async |change: &dyn Fn(Options) -> Options| {
        let (events, heard) = heard();
        let options = change(Options { events, ..harness.options() });
        let counters = options.counters.clone();
        fails(options).await;
        (heard.codes().await, counters.login_failures.get())
    };
    let wrong = |options: Options| Options {
        passwords: harness.passwords("a wrong one"),
        state: options.state.with_extension("new"),
        ..options
    };
    assert_eq!(run(&wrong).await, (vec!["provisioning_bad_password".into(), "shutting_down".into()], 1));
    harness.bot().await.stop().await.unwrap();
    let wrong = |options: Options| Options { passwords: harness.passwords("a wrong one"), ..options };
    assert_eq!(run(&wrong).await.0, ["failedlogin_bad_credentials", "shutting_down"]);
    let other = |options: Options| Options { user: "other_bot".to_owned(), ..options };
    assert_eq!(run(&other).await.0, ["failedlogin_database_exists", "shutting_down"]);
    harness.network.admin(|admin| admin.set_user_standing(&user(BOT), Standing::Suspended)).unwrap();
    assert_eq!(run(&|options| options).await, (vec!["failedlogin_suspended".into(), "shutting_down".into()], 1));
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_is_suspended_at_work_says_so_before_it_ends() {
    let harness = Harness::start();
    let (events, mut heard) = heard();
    let (_rotate, asked) = mpsc::channel(1);
    let controls = Controls { stop: CancellationToken::new(), rotate: asked, ready: None };
    let options = Options { events, ..harness.options() };
    let running = tokio::spawn(bot::run(options, controls));
    assert_eq!(heard.next().await["eventCode"], "device_added");
    assert_eq!(heard.next().await["eventCode"], "logged_in");
    harness.network.admin(|admin| admin.set_user_standing(&user(BOT), Standing::Suspended)).unwrap();
    let event = heard.next().await;
    assert_eq!((&event["eventCode"], &event["severity"]), (&"account_suspended".into(), &"critical".into()));
    assert_eq!(heard.next().await["eventCode"], "shutting_down");
    running.await.unwrap().unwrap_err();
    assert_eq!(heard.all().await, [] as [Value; 0]);
    harness.stop().await;
}

/// Takes the second application message out of the network's store, and spoils the last.
fn tamper(network: &Path) {
    let database = Connection::open(network.join("network.sqlite")).unwrap();
    database.busy_timeout(PATIENCE).unwrap();
    let mut ids = database.prepare("SELECT id FROM messages WHERE kind = 1 ORDER BY id").unwrap();
    let ids: Vec<i64> = ids.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    database.execute("DELETE FROM messages WHERE id = ?", [ids[1]]).unwrap();
    let last = ids[ids.len() - 1];
    let mut payload: Vec<u8> =
        database.query_row("SELECT payload FROM messages WHERE id = ?", [last], |row| row.get(0)).unwrap();
    *payload.last_mut().unwrap() ^= 1;
    database.execute("UPDATE messages SET payload = ? WHERE id = ?", params![payload, last]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_and_a_message_that_cannot_be_read_are_told_without_content() {
    let harness = Harness::start();
    let bot = harness.bot().await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    bot.saved(1).await;
    bot.stop().await.unwrap();
    for word in ["whisper", "whisper", "whisper", "whisper"] {
        alice.send(&room, &text(word)).await.unwrap();
    }
    tamper(&harness.path().join("network"));
    let (events, heard) = heard();
    let bot = Bot::start(Options { events, ..harness.options() }).await;
    // 2, the hole at 3, 4, and 5 with its ciphertext
    bot.saved(4).await;
    bot.stop().await.unwrap();
    let mut told = Vec::new();
    for event in heard.all().await {
        assert!(!event.to_string().contains("whisper"));
        told.push((event["eventCode"].as_str().unwrap().to_owned(), event["message"].as_str().unwrap().to_owned()));
    }
    // once more for the connection on which the bot asks whether the message is really missing
    let logged_in = told.iter().filter(|(code, _)| code == "logged_in").count();
    assert_eq!(logged_in, 2);
    told.retain(|(code, _)| code != "logged_in");
    let codes: Vec<&str> = told.iter().map(|(code, _)| code.as_str()).collect();
    assert_eq!(codes, ["message_gap", "undecryptable_message", "shutting_down"]);
    assert_eq!(told[0].1, format!("Messages 3 to 3 of conversation {room} were not delivered by the network"));
    harness.stop().await;
}
