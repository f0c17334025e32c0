mod text;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::queue::{EVENTS_WAITING_MAX, TEXTS_MAX};
use super::*;
use retaind_aws::{AwsError, Call};
use retaind_protocol::ids::{ConversationId, ConversationKind};

/// 2022-10-12T13:05:39.
const NOW_MICROS: i64 = 1_665_579_939_000_000;

fn conversation() -> ConversationId {
    ConversationId::from_random(ConversationKind::Room, [0xab; 32])
}

fn origin() -> Arc<Origin> {
    let image = Image { name: "wickr/bot-compliance-cloud".into(), tag: "5.116.13.01".into() };
    let origin = Origin::new("compliance_1234567890_bot", image, PRODUCT);
    origin.identify("0123456789abcdef0123456789abcdef", "1234567890");
    Arc::new(origin)
}

fn away() -> AwsError {
    AwsError::Away { call: Call::new("sns:Publish", "topic"), message: "timeout".into() }
}

/// Answers as it is told, and passes on what it took.
struct Topic {
    answers: Mutex<VecDeque<Result<(), AwsError>>>,
    took: mpsc::UnboundedSender<(Instant, Notification)>,
    open: Arc<Semaphore>,
}

impl Publish for Topic {
    async fn publish(&self, notification: &Notification) -> Result<(), AwsError> {
        let _open = self.open.acquire().await.unwrap();
        self.answers.lock().unwrap().pop_front().unwrap_or(Ok(()))?;
        self.took.send((Instant::now(), notification.clone())).unwrap();
        Ok(())
    }
}

struct Stage {
    events: Events,
    sending: Sending,
    took: mpsc::UnboundedReceiver<(Instant, Notification)>,
    open: Arc<Semaphore>,
}

/// `permits` 0: a topic that never answers.
fn stage(permits: usize, answers: Vec<Result<(), AwsError>>) -> Stage {
    let (events, sender) = Events::new(origin(), || NOW_MICROS);
    let (told, took) = mpsc::unbounded_channel();
    let open = Arc::new(Semaphore::new(permits));
    let topic = Topic { answers: Mutex::new(answers.into()), took: told, open: open.clone() };
    Stage { events, sending: sender.start(topic), took, open }
}

impl Stage {
    async fn next(&mut self) -> (Instant, Value) {
        let (at, notification) = self.took.recv().await.unwrap();
        (at, serde_json::from_str(&notification.text).unwrap())
    }

    /// Ends it and gives (code, occurrences) of all that it told.
    async fn rest(mut self) -> Vec<(String, u64)> {
        assert_eq!(self.sending.finish(Duration::from_secs(3600)).await, 0);
        let mut rest = Vec::new();
        while let Ok((_, notification)) = self.took.try_recv() {
            let json: Value = serde_json::from_str(&notification.text).unwrap();
            rest.push((json["eventCode"].as_str().unwrap().to_owned(), json["occurrences"].as_u64().unwrap_or(1)));
        }
        rest
    }
}

fn gap(from: u64) -> Event {
    Event::MessageGap { conversation: conversation(), from, to: from }
}

/// Every event with its severity, code and text; a new one does not compile until it is here.
fn all() -> Vec<(Event, &'static str, &'static str, String)> {
    let room = conversation();
    let events = vec![
        Event::LoggedIn,
        Event::ShuttingDown,
        Event::DeviceAdded,
        Event::EvidenceKey { vkey: "bot.12+8e53fc2f+AQOh".into() },
        Event::EvidenceCheckpoint { entries: 2, note: "bot.12\n2\ndCt/\n\n— bot.12 jlP8\n".into() },
        Event::UpdatesAvailable { versions: vec!["5.116.10.01".into()] },
        Event::BadCredentials,
        Event::UserNotFound,
        Event::LoginSuspended,
        Event::AllLoginsFailed,
        Event::NewUserOldDatabase,
        Event::UserEnded,
        Event::ConfiguredPasswordBad,
        Event::ConfigurationUnreadable,
        Event::AccountSuspended { code: 8, reason: "unpaid".into() },
        Event::DeviceSuspended,
        Event::SwitchBoardDown { minutes: 15 },
        Event::PipelineStalled { stage: "commit", minutes: 5 },
        Event::S3Failed { file: "receivedMessages_1.txt".into(), error: "AccessDenied".into() },
        Event::ShipStalled { minutes: 15, error: "HTTP 501".into() },
        Event::UnknownFallbackKey { conversation: room, seq: 4 },
        Event::MessageGap { conversation: room, from: 5, to: 9 },
        Event::Undecryptable { conversation: room, seq: 4, reason: "no keys".into() },
        Event::ConversationLost { conversation: room, seq: 4, reason: "no keys".into() },
        Event::MoreUndecryptable { conversation: room, count: 17 },
        Event::MoreOfAKind { code: "conversation_lost", count: 17 },
        Event::LastResortKeyPackage,
        Event::DiskNearlyFull { directory: "/tmp/bot".into(), free_bytes: 1024 },
        Event::EvidenceChainBroken { what: "manifest 7".into() },
        Event::LogInsRefused { count: 40 },
        Event::EventsDropped { count: 3 },
    ];
    let told = |event: Event| {
        let (severity, code, text) = match &event {
            Event::LoggedIn => ("normal", "logged_in", "Logged in".to_owned()),
            Event::ShuttingDown => ("normal", "shutting_down", "Shutting down".into()),
            Event::DeviceAdded => ("normal", "device_added", "A device has been added to this account!".into()),
            Event::EvidenceKey { .. } => {
                ("normal", "evidence_key", "Evidence is signed with the key bot.12+8e53fc2f+AQOh".into())
            }
            Event::EvidenceCheckpoint { .. } => (
                "normal",
                "evidence_checkpoint",
                "Evidence has 2 entries: bot.12 2 dCt/ — bot.12 jlP8".into(),
            ),
            Event::UpdatesAvailable { .. } => ("normal", "updates_available", "There are updates available".into()),
            Event::BadCredentials => {
                ("critical", "failedlogin_bad_credentials", "Bad credentials. Check the password.".into())
            }
            Event::UserNotFound => ("critical", "failedlogin_user_not_found", "User not found.".into()),
            Event::LoginSuspended => ("critical", "failedlogin_suspended", "Account or device is suspended.".into()),
            Event::AllLoginsFailed => ("critical", "failedlogin_all_failed", "All logins failed.".into()),
            Event::NewUserOldDatabase => {
                ("critical", "failedlogin_database_exists", "New user but database already exists.".into())
            }
            Event::UserEnded => ("critical", "provisioning_user_ended", "User ended the command.".into()),
            Event::ConfiguredPasswordBad => {
                ("critical", "provisioning_bad_password", "Bad password in the configuration file.".into())
            }
            Event::ConfigurationUnreadable => {
                ("critical", "provisioning_configuration_unreadable", "Cannot read the configuration file.".into())
            }
            Event::AccountSuspended { .. } => (
                "critical",
                "account_suspended",
                "WickrIOClientMain::slotAdminUserSuspend: code(8): reason: unpaid".into(),
            ),
            Event::DeviceSuspended => ("critical", "device_suspended", "Device is suspended.".into()),
            Event::SwitchBoardDown { .. } => {
                ("critical", "switchboard_down", "SwitchBoard system has been down for more than 15 minutes".into())
            }
            Event::PipelineStalled { .. } => (
                "critical",
                "pipeline_stalled",
                "Nothing has been archived for more than 5 minutes: stage commit does not move".into(),
            ),
            Event::S3Failed { .. } => (
                "critical",
                "s3_failed",
                "Failed to put file receivedMessages_1.txt to S3 bucket. Error: AccessDenied".into(),
            ),
            Event::ShipStalled { .. } => (
                "critical",
                "ship_stalled",
                "No file has been shipped for 15 minutes although files wait. Last error: HTTP 501".into(),
            ),
            Event::UnknownFallbackKey { .. } => (
                "critical",
                "unknown_fallback_key",
                "SERVER SUBMITTED FALLBACK KEY: not an active fallback key known to the client".into(),
            ),
            Event::MessageGap { .. } => (
                "critical",
                "message_gap",
                format!("Messages 5 to 9 of conversation {room} were not delivered by the network"),
            ),
            Event::Undecryptable { .. } => (
                "critical",
                "undecryptable_message",
                format!("A message of conversation {room} cannot be read, its ciphertext is kept: no keys"),
            ),
            Event::ConversationLost { .. } => (
                "critical",
                "conversation_lost",
                format!("Conversation {room} cannot be followed since message 4, ciphertexts are kept: no keys"),
            ),
            Event::MoreUndecryptable { .. } => (
                "critical",
                "undecryptable_messages",
                format!("17 more messages of conversation {room} cannot be read, their ciphertexts are kept"),
            ),
            Event::MoreOfAKind { .. } => ("critical", "more_events", MORE.into()),
            Event::LastResortKeyPackage => (
                "critical",
                "last_resort_key_package",
                "One-time key packages of the bot have run out, its last-resort one is given out: somebody may be using them up".into(),
            ),
            Event::DiskNearlyFull { .. } => {
                ("critical", "disk_nearly_full", "Disk is nearly full: 1024 bytes are left for /tmp/bot".into())
            }
            Event::EvidenceChainBroken { .. } => {
                ("critical", "evidence_chain_broken", "Evidence chain is broken: manifest 7".into())
            }
            Event::LogInsRefused { .. } => (
                "critical",
                "log_ins_refused",
                "40 log-ins were refused by the network within a minute: somebody may be guessing passwords".into(),
            ),
            Event::EventsDropped { .. } => (
                "critical",
                "events_dropped",
                "3 earlier events could not be told while SNS was away: see the log".into(),
            ),
        };
        (event, severity, code, text)
    };
    events.into_iter().map(told).collect()
}

const MORE: &str = "17 more events `conversation_lost` within 10 minutes, of more conversations than are told of one by one: somebody may be causing them";

#[test]
fn every_event_is_exactly_this_json() {
    let all = all();
    let codes: std::collections::BTreeSet<&str> = all.iter().map(|(_, _, code, _)| *code).collect();
    assert_eq!(codes.len(), all.len(), "codes are unique");
    for (event, severity, code, text) in all {
        let has_versions = matches!(event, Event::UpdatesAvailable { .. });
        let versions = if has_versions { r#","versions":["5.116.10.01"]"# } else { "" };
        let expected = format!(
            r#"{{"complianceBot":"compliance_1234567890_bot","dateTime":"2022-10-12T13:05:39","device":"0123456789abcdef0123456789abcdef","dockerImage":"wickr/bot-compliance-cloud","dockerTag":"5.116.13.01","eventCode":"{code}","message":"{text}","notificationType":"Bot Event","severity":"{severity}"{versions}}}"#
        );
        assert_eq!(notification::text(&Pending::new(event, NOW_MICROS), &origin()), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_of_a_storm_is_told_at_once_and_the_others_as_one_when_its_window_closes() {
    let start = Instant::now();
    let mut stage = stage(1, vec![]);
    for _ in 0..1000 {
        stage.events.raise(Event::BadCredentials);
    }
    let (at, first) = stage.next().await;
    assert_eq!((at, first.get("occurrences")), (start, None));
    let (at, others) = stage.next().await;
    assert_eq!((at - start, &others["occurrences"]), (WINDOW, &Value::from(999)));
    // it goes on in the next window, ends, and starts again
    stage.events.raise(Event::BadCredentials);
    let (at, again) = stage.next().await;
    assert_eq!((at - start, &again["occurrences"]), (2 * WINDOW, &Value::from(1)));
    tokio::time::sleep(2 * WINDOW).await;
    stage.events.raise(Event::BadCredentials);
    let (at, again) = stage.next().await;
    assert_eq!((at, again.get("occurrences")), (Instant::now(), None));
    assert_eq!(stage.rest().await, []);
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_different_texts_is_told_by_some_and_a_number() {
    let stage = stage(1, vec![]);
    for place in 0..500 {
        stage.events.raise(gap(place));
    }
    let told = stage.rest().await;
    assert_eq!(told.len(), TEXTS_MAX + 1);
    assert_eq!(told.iter().map(|(_, count)| count).sum::<u64>(), 500);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_never_answers_stops_nobody_and_costs_the_oldest_normal_events_first() {
    let mut stage = stage(0, vec![]);
    // in hand: it waits for the topic
    stage.events.raise(Event::DeviceAdded);
    tokio::task::yield_now().await;
    let raised = u64::try_from(EVENTS_WAITING_MAX).unwrap();
    stage.events.raise(Event::LoggedIn);
    stage.events.raise(Event::UserEnded);
    for minutes in 0..raised {
        tokio::time::advance(WINDOW * 2).await;
        stage.events.raise(Event::SwitchBoardDown { minutes });
    }
    stage.open.add_permits(1);
    let (_, json) = stage.next().await;
    assert_eq!(json["eventCode"], "device_added");
    let (_, json) = stage.next().await;
    assert_eq!(json["eventCode"], "events_dropped");
    assert!(json["message"].as_str().unwrap().starts_with("2 earlier events"), "{json}");
    // the normal one first; then, for want of others, the oldest critical one
    let rest = stage.rest().await;
    assert_eq!(rest.len(), EVENTS_WAITING_MAX);
    assert!(rest.iter().all(|(code, _)| code == "switchboard_down"));
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_fails_is_tried_again_with_the_same_id_and_order_is_kept() {
    let mut stage = stage(1, (0..10).map(|_| Err(away())).collect());
    stage.events.raise(Event::DeviceAdded);
    stage.events.raise(Event::LoggedIn);
    let mut ids = Vec::new();
    for code in ["device_added", "logged_in"] {
        let (_, notification) = stage.took.recv().await.unwrap();
        assert!(notification.text.contains(code));
        assert_eq!(notification.group, "compliance_1234567890_bot");
        ids.push(notification.id);
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_storms_are_told_and_shutting_down_comes_last() {
    let stage = stage(1, vec![Err(away()), Err(away())]);
    for _ in 0..5 {
        stage.events.raise(Event::LoggedIn);
    }
    stage.events.raise(Event::ShuttingDown);
    let own = |code: &str, count| (code.to_owned(), count);
    assert_eq!(stage.rest().await, [own("logged_in", 1), own("logged_in", 4), own("shutting_down", 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_topic_does_not_keep_the_bot_from_ending() {
    let stage = stage(0, vec![]);
    stage.events.raise(Event::LoggedIn);
    stage.events.raise(Event::LoggedIn);
    stage.events.raise(Event::ShuttingDown);
    let start = Instant::now();
    assert_eq!(stage.sending.finish(Duration::from_secs(3)).await, 3);
    assert_eq!(start.elapsed(), Duration::from_secs(3));
    // nobody listens any more, and nobody minds
    stage.events.raise(Event::LoggedIn);
}

#[test]
fn events_are_raised_from_any_thread_and_without_a_runtime() {
    let (events, _sender) = Events::new(origin(), || NOW_MICROS);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let events = events.clone();
            std::thread::spawn(move || (0..1000).for_each(|place| events.raise(gap(place))))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(events.outlet().unwrap().len(), 4000);
    Events::only_logged().raise(Event::LoggedIn);
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::LoggedIn),
        Just(Event::UserNotFound),
        (0u64..30).prop_map(gap),
        (0u64..2000).prop_map(|minutes| Event::SwitchBoardDown { minutes }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_event_is_told_once_counted_or_said_to_be_dropped(
        steps in prop::collection::vec((any_event(), 0u64..90, 0usize..3), 0..3000)
    ) {
        let mut queue = super::queue::Queue::default();
        let mut now = Instant::now();
        let mut told = 0u64;
        let raised = u64::try_from(steps.len()).unwrap();
        for (event, seconds, takes) in steps {
            now += Duration::from_secs(seconds);
            queue.put(Pending::new(event, NOW_MICROS), now);
            for _ in 0..takes / 2 {
                told += queue.take(now, NOW_MICROS).map_or(0, |(_, weight)| weight);
            }
        }
        prop_assert_eq!(queue.len() + told, raised);
        queue.close_all_windows();
        let mut notifications = 0;
        while let Some((_, weight)) = queue.take(now, NOW_MICROS) {
            told += weight;
            notifications += 1;
        }
        prop_assert_eq!(told, raised);
        prop_assert!(notifications <= EVENTS_WAITING_MAX + 1);
    }
}
