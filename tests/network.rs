//! What the network promises: order, exactly once, kept until acknowledged, retention when it is on.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

use std::path::Path;

use retaind::device::mls::{Proposed, Received};
use retaind::network::{Admin, Network, NetworkError, Options, Standing};
use retaind::protocol::ids::ConversationId;
use retaind::protocol::limits::BLOB_RANGE_BYTES_MAX;
use retaind::protocol::wire::*;

use crate::support::raw::{BOT, PATIENCE, Raw, Served, accepted, application, random, refusal, user};

fn seqs(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().map(|delivery| delivery.seq).collect()
}

fn database(folder: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(folder.join("network.sqlite")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_member_gets_every_message_once_in_order_without_gap() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let (alice, mut bob) = (served.device("alice").await, served.device("bob").await);
    bob.subscribe(100).await;
    let mut session = alice.create(&["bob"]).await;
    let id = *session.conversation();
    for n in 0..50 {
        assert_eq!(alice.send(&mut session, &format!("message {n}")).await.unwrap(), n + 2);
    }
    let welcome = bob.pushed().await;
    assert_eq!((welcome.seq, welcome.kind()), (1, DeliveryKind::Welcome));
    assert_eq!((welcome.sender_user.as_str(), welcome.conversation.as_str()), ("alice", id.as_str()));
    assert_eq!(welcome.sender_device, alice.identity.device.as_bytes());
    let mut joined = bob.engine.join(&welcome.payload).unwrap();
    for n in 0..50 {
        let delivery = bob.pushed().await;
        assert_eq!((delivery.seq, delivery.kind()), (n + 2, DeliveryKind::Application));
        let Received::Application { data, .. } = joined.receive(&delivery.payload).unwrap() else { panic!() };
        assert_eq!(data, format!("message {n}").into_bytes());
    }
    // the sender's own are there for it too, the first as the commit that it made
    let own = alice.fetch(&id, 0).await.unwrap();
    assert_eq!(seqs(&own.deliveries), (1..=51).collect::<Vec<_>>());
    assert_eq!(own.deliveries[0].kind(), DeliveryKind::Handshake);
    assert_eq!((own.through_seq, own.head_seq), (51, 51));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_sent_at_once_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let (alice, _bob) = (served.device("alice").await, served.device("bob").await);
    let mut session = alice.create(&["bob"]).await;
    let sends: Vec<_> = (0..100).map(|n| application(&mut session, &n.to_string())).collect();
    let calls = sends.into_iter().map(|send| accepted(&alice.connection, Request::SendApplication(send)));
    let accepted: Vec<u64> = futures_util::future::join_all(calls).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(accepted, (2..102).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_never_doubles_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let (mut alice, bob) = (served.device("alice").await, served.device("bob").await);
    let (mut session, create) = alice.draft(&["bob"]).await;
    for _ in 0..2 {
        let again = Request::CreateConversation(create.clone());
        assert_eq!(accepted(&alice.connection, again).await.unwrap(), 1);
    }
    session.receive(&create.commit).unwrap();
    let send = application(&mut session, "once");
    let repeated = Request::SendApplication(send);
    assert_eq!(accepted(&alice.connection, repeated.clone()).await.unwrap(), 2);
    let pending = session.commit(&[], &[]).unwrap();
    let commit = Request::SendHandshake(SendHandshake {
        send_id: random::<16>().to_vec(),
        message: pending.commit,
        welcome: Vec::new(),
    });
    assert_eq!(accepted(&alice.connection, commit.clone()).await.unwrap(), 3);
    // also on another connection, also when the epoch has passed, also after a restart
    served.stop().await;
    let served = Served::start(folder.path()).await;
    alice.login(&served.endpoint).await.unwrap();
    assert_eq!(accepted(&alice.connection, repeated).await.unwrap(), 2);
    assert_eq!(accepted(&alice.connection, commit).await.unwrap(), 3);
    let mut bob = bob;
    bob.login(&served.endpoint).await.unwrap();
    assert_eq!(seqs(&bob.fetch(session.conversation(), 0).await.unwrap().deliveries), [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_queues_cursors_and_groups() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let network_id = served.network.network_id().to_owned();
    let (mut alice, mut bob) = (served.device("alice").await, served.device("bob").await);
    let carol = served.device("carol").await;
    let mut session = alice.create(&["bob"]).await;
    let id = *session.conversation();
    for text in ["two", "three", "four"] {
        alice.send(&mut session, text).await.unwrap();
    }
    bob.acknowledge(&id, 2).await;
    served.stop().await;

    let served = Served::start(folder.path()).await;
    assert_eq!(served.network.network_id(), network_id);
    alice.login(&served.endpoint).await.unwrap();
    bob.login(&served.endpoint).await.unwrap();
    bob.subscribe(100).await;
    assert_eq!((bob.pushed().await.seq, bob.pushed().await.seq), (3, 4));
    // the group is known well enough to check a commit of a member and to add another
    let package = alice.packages(&["carol"]).await;
    assert_eq!(alice.commit(&mut session, &package, &[]).await.unwrap(), 5);
    assert_eq!(bob.pushed().await.seq, 5);
    let list = bob.connection.call(Request::ListConversations(ListConversations::default())).await.unwrap();
    let Answer::Conversations(list) = list else { panic!() };
    let state = ConversationState { conversation: id.to_string(), acknowledged_seq: 2, head_seq: 5 };
    assert_eq!((list.conversations, list.more), (vec![state], false));
    drop(carol);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_holds_back_until_acknowledged_and_nothing_is_pushed_twice() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let (alice, mut bob) = (served.device("alice").await, served.device("bob").await);
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(alice.create(&["bob"]).await);
    }
    for session in &mut sessions {
        for n in 0..20 {
            alice.send(session, &n.to_string()).await.unwrap();
        }
    }
    bob.subscribe(7).await;
    let mut next: std::collections::HashMap<String, u64> = Default::default();
    let mut unacknowledged = 0;
    for n in 0..63 {
        let delivery = bob.pushed().await;
        unacknowledged += 1;
        assert!(unacknowledged <= 7, "the window was passed at message {n}");
        let expected = next.entry(delivery.conversation.clone()).or_insert(1);
        assert_eq!(delivery.seq, *expected);
        *expected += 1;
        if unacknowledged == 7 {
            for (conversation, next) in &next {
                bob.acknowledge(&conversation.parse().unwrap(), next - 1).await;
            }
            unacknowledged = 0;
        }
    }
    assert!(next.values().all(|next| *next == 22), "{next:?}");
    // acknowledging what does not exist yet does not skip it
    let id = *sessions[0].conversation();
    bob.acknowledge(&id, 1000).await;
    alice.send(&mut sessions[0], "after").await.unwrap();
    assert_eq!(bob.pushed().await.seq, 22);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_is_stuck_does_not_hold_up_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let (alice, mut bob) = (served.device("alice").await, served.device("bob").await);
    let mut stuck = alice.create(&["bob"]).await;
    let sends: Vec<_> = (0..1200).map(|n| application(&mut stuck, &n.to_string())).collect();
    for chunk in sends.chunks(200) {
        let calls = chunk.iter().map(|send| accepted(&alice.connection, Request::SendApplication(send.clone())));
        futures_util::future::join_all(calls).await.into_iter().for_each(|accepted| assert!(accepted.is_ok()));
    }
    bob.subscribe(4000).await;
    for seq in 1..=1024 {
        assert_eq!(bob.pushed().await.seq, seq);
    }
    let other = alice.create(&["bob"]).await;
    assert_eq!(bob.pushed().await.conversation, other.conversation().as_str());
    bob.acknowledge(stuck.conversation(), 1024).await;
    assert_eq!(bob.pushed().await.seq, 1025);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_everybody_acknowledged_is_deleted_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let (alice, bob) = (served.device("alice").await, served.device("bob").await);
    let mut session = alice.create(&["bob"]).await;
    let id = *session.conversation();
    for n in 0..9 {
        alice.send(&mut session, &n.to_string()).await.unwrap();
    }
    alice.acknowledge(&id, 10).await;
    bob.acknowledge(&id, 6).await;
    let db = database(folder.path());
    let kept = || -> i64 { db.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).unwrap() };
    let purged = async {
        while kept() != 4 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, purged).await.unwrap();
    assert_eq!(seqs(&bob.fetch(&id, 6).await.unwrap().deliveries), [7, 8, 9, 10]);
    assert_eq!(alice.send(&mut session, "next").await.unwrap(), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_device_gets_the_commit_that_removed_it_and_nothing_later() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let (alice, mut bob) = (served.device("alice").await, served.device("bob").await);
    let mut session = alice.create(&["bob"]).await;
    let id = *session.conversation();
    bob.subscribe(100).await;
    assert_eq!(bob.pushed().await.seq, 1);
    let mut joined = bob.join(&id).await;
    assert_eq!(alice.commit(&mut session, &[], &[&bob]).await.unwrap(), 2);
    assert_eq!(alice.send(&mut session, "secret").await.unwrap(), 3);
    assert_eq!(bob.pushed().await.seq, 2);
    let read = bob.fetch(&id, 0).await.unwrap();
    assert_eq!((seqs(&read.deliveries), read.through_seq, read.head_seq), (vec![1, 2], 2, 2));
    assert_eq!(refusal(bob.send(&mut joined, "still here?").await), RefusalCode::NotMember);
    // added again: it goes on with a welcome at the place of the commit
    let package = alice.packages(&["bob"]).await;
    assert_eq!(alice.commit(&mut session, &package, &[]).await.unwrap(), 4);
    let welcome = bob.pushed().await;
    assert_eq!((welcome.seq, welcome.kind()), (4, DeliveryKind::Welcome));
    assert_eq!(seqs(&bob.fetch(&id, 0).await.unwrap().deliveries), [1, 2, 4]);
    bob.acknowledge(&id, 4).await;
    alice.send(&mut session, "welcome back").await.unwrap();
    assert_eq!(bob.pushed().await.seq, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_key_package_is_given_out_once_then_the_last_resort_with_a_mark() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let (alice, bob) = (served.device("alice").await, served.device("bob").await);
    let mut given = Vec::new();
    for n in 0..6 {
        let claimed = alice.claim(&["bob"]).await.unwrap().remove(0);
        assert_eq!(
            (claimed.last_resort, claimed.device.as_slice()),
            (n >= 4, bob.identity.device.as_bytes().as_slice())
        );
        given.push(claimed.key_package);
    }
    assert_eq!(given[4], given[5]);
    given.dedup();
    assert_eq!(given.len(), 5);
    // a request that is refused uses up nothing
    let bob = bob.publish(1).await;
    assert_eq!(refusal(alice.claim(&["bob", "nobody"]).await), RefusalCode::NotFound);
    let count = bob.connection.call(Request::CountKeyPackages(CountKeyPackages {})).await.unwrap();
    assert_eq!(count, Answer::KeyPackageCount(KeyPackageCount { one_time: 1, last_resort: true }));
}

async fn state(alice: &Raw, blob: &[u8]) -> BlobState {
    let Answer::BlobState(state) =
        alice.connection.call(Request::BlobStat(BlobStat { blob: blob.to_vec() })).await.unwrap()
    else {
        panic!()
    };
    state
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_was_interrupted_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let (mut alice, bob) = (served.device("alice").await, served.device("bob").await);
    let size = 2 * BLOB_RANGE_BYTES_MAX + 17;
    let content: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
    let created = alice.connection.call(Request::BlobCreate(BlobCreate { size: size as u64 })).await.unwrap();
    let Answer::BlobCreated(BlobCreated { blob }) = created else { panic!() };
    let put = |offset: usize| {
        let bytes = content[offset..size.min(offset + BLOB_RANGE_BYTES_MAX)].to_vec();
        Request::BlobPut(BlobPut { blob: blob.clone(), offset: offset as u64, bytes })
    };
    alice.connection.call(put(0)).await.unwrap();
    alice.login(&served.endpoint).await.unwrap();
    let received = state(&alice, &blob).await.received as usize;
    assert_eq!(received, BLOB_RANGE_BYTES_MAX);
    // neither before its time, nor by somebody else, nor out of order
    let get = BlobGet { blob: blob.clone(), offset: 5, length: 10 };
    assert_eq!(refusal(bob.connection.call(Request::BlobGet(get.clone())).await), RefusalCode::NotFound);
    assert_eq!(refusal(bob.connection.call(put(received)).await), RefusalCode::NotYourDevice);
    let finish = Request::BlobFinish(BlobFinish { blob: blob.clone() });
    assert_eq!(refusal(alice.connection.call(finish.clone()).await), RefusalCode::Invalid);
    let Answer::BlobState(out_of_order) = alice.connection.call(put(2 * BLOB_RANGE_BYTES_MAX)).await.unwrap() else {
        panic!()
    };
    assert_eq!(out_of_order.received as usize, received);
    for offset in [received, 2 * received] {
        alice.connection.call(put(offset)).await.unwrap();
    }
    for _ in 0..2 {
        alice.connection.call_done(finish.clone()).await.unwrap();
    }
    let Answer::BlobRange(range) = bob.connection.call(Request::BlobGet(get)).await.unwrap() else { panic!() };
    assert_eq!((range.bytes.as_slice(), range.size), (&content[5..15], size as u64));
    let end = BlobGet { blob: blob.clone(), offset: size as u64 - 3, length: 10 };
    let Answer::BlobRange(range) = bob.connection.call(Request::BlobGet(end)).await.unwrap() else { panic!() };
    assert_eq!(range.bytes, &content[size - 3..]);
    assert_eq!(state(&alice, &blob).await, BlobState { received: size as u64, size: size as u64, finished: true });
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_switched_on_later_brings_the_bot_into_every_conversation() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let (mut alice, _bob) = (served.device("alice").await, served.device("bob").await);
    alice.subscribe(100).await;
    let mut session = alice.create(&["bob"]).await;
    let id = *session.conversation();
    assert_eq!(alice.pushed().await.seq, 1);
    let mut bot = served.bot().await;
    bot.subscribe(100).await;
    served.network.admin(|admin| admin.set_retention(&[user(BOT)])).unwrap();
    let notice = alice.notice().await;
    assert_eq!((notice.text.as_str(), notice.retention_users), ("Data Retention Turned On", vec![BOT.to_owned()]));
    assert_eq!(refusal(alice.send(&mut session, "unseen").await), RefusalCode::BotMissing);
    // the network proposes, in the conversation's order
    let proposal = alice.pushed().await;
    assert_eq!((proposal.seq, proposal.kind(), proposal.sender_device.len()), (2, DeliveryKind::Handshake, 0));
    let Received::Proposal { sender: None, proposal: Proposed::Add(added), .. } =
        session.receive(&proposal.payload).unwrap()
    else {
        panic!()
    };
    assert_eq!(added.device, bot.identity.device);
    assert_eq!(alice.commit(&mut session, &[], &[]).await.unwrap(), 3);
    assert_eq!(alice.send(&mut session, "seen").await.unwrap(), 4);
    let welcome = bot.pushed().await;
    assert_eq!((welcome.seq, welcome.kind()), (3, DeliveryKind::Welcome));
    let mut joined = bot.engine.join(&welcome.payload).unwrap();
    let Received::Application { data, .. } = joined.receive(&bot.pushed().await.payload).unwrap() else { panic!() };
    assert_eq!((data.as_slice(), joined.conversation()), (b"seen".as_slice(), &id));
    // a conversation of before is watched over from now on
    assert_eq!(refusal(alice.commit(&mut session, &[], &[&bot]).await), RefusalCode::BotMissing);
    session.clear_pending_commit();
    served.network.admin(|admin| admin.set_retention(&[])).unwrap();
    let notice = alice.notice().await;
    assert_eq!((notice.text.as_str(), notice.retention_users.len()), ("Data Retention Turned Off", 0));
    assert_eq!(alice.commit(&mut session, &[], &[&bot]).await.unwrap(), 5);
    assert_eq!(alice.send(&mut session, "unwatched").await.unwrap(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_comes_late_is_proposed_when_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let (mut alice, _bob) = (served.device("alice").await, served.device("bob").await);
    let mut session = alice.create(&["bob"]).await;
    served.network.admin(|admin| admin.ensure_bot(&user(BOT), crate::support::raw::BOT_PASSWORD)).unwrap();
    served.network.admin(|admin| admin.set_retention(&[user(BOT)])).unwrap();
    assert_eq!(refusal(alice.send(&mut session, "nobody would keep it").await), RefusalCode::BotMissing);
    alice.subscribe(100).await;
    assert_eq!(alice.pushed().await.seq, 1);
    let _bot = served.bot().await;
    let proposal = alice.pushed().await;
    session.receive(&proposal.payload).unwrap();
    alice.commit(&mut session, &[], &[]).await.unwrap();
    assert_eq!(alice.send(&mut session, "kept").await.unwrap(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_of_another_process_is_heard_while_the_network_runs() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let mut admin = Admin::open(folder.path()).unwrap();
    let alice = served.device("alice").await;
    let mut bob = served.device("bob").await;
    let mut session = alice.create(&["bob"]).await;
    admin.set_device_standing(&bob.identity.device, Standing::Suspended).unwrap();
    bob.ended().await;
    assert_eq!(refusal(bob.login(&served.endpoint).await), RefusalCode::Suspended);
    // what is sent meanwhile waits for it
    alice.send(&mut session, "for later").await.unwrap();
    admin.set_device_standing(&bob.identity.device, Standing::Active).unwrap();
    bob.login(&served.endpoint).await.unwrap();
    assert_eq!(seqs(&bob.fetch(session.conversation(), 0).await.unwrap().deliveries), [1, 2]);
    let invite = admin.invite(&user("carol"), retaind::protocol::credential::Role::Guest, None).unwrap();
    let register = Register { invite_code: invite.code, ..Register::default() };
    let carol = Raw::register(&invite.endpoint, register).await.unwrap();
    assert_eq!(carol.identity.role, retaind::protocol::credential::Role::Guest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_has_one_network_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let network = Network::open(Options::new(folder.path())).unwrap();
    assert!(matches!(Network::open(Options::new(folder.path())), Err(NetworkError::Locked(_))));
    drop(network);
    let mut options = Options::new(folder.path());
    options.network_id = Some("another".into());
    assert!(matches!(Network::open(options), Err(NetworkError::NetworkId { .. })));
    Network::open(Options::new(folder.path())).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_never_was_there_finds_everything_later() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let (alice, mut bob) = (served.device("alice").await, served.device("bob").await);
    let mut ids: Vec<ConversationId> = Vec::new();
    for _ in 0..20 {
        let mut session = alice.create(&["bob"]).await;
        alice.send(&mut session, "later").await.unwrap();
        ids.push(*session.conversation());
    }
    let (connection, pushes) = retaind::device::connection::Connection::open(&served.endpoint, 4096).await.unwrap();
    let login = crate::support::raw::login(&connection, &bob.identity, &bob.secret);
    connection.call_done(Request::Login(login)).await.unwrap();
    (bob.connection, bob.pushes) = (connection, pushes);
    bob.subscribe(1000).await;
    let mut got = Vec::new();
    for _ in 0..40 {
        let delivery = bob.pushed().await;
        got.push((delivery.conversation, delivery.seq));
    }
    got.sort();
    let mut expected: Vec<_> = ids.iter().flat_map(|id| [(id.to_string(), 1), (id.to_string(), 2)]).collect();
    expected.sort();
    assert_eq!(got, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_administers_a_network_that_is_being_served() {
    use std::io::Write;
    use std::process::{Command, Stdio};

    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("network");
    let retaind = |arguments: &[&str], input: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_retaind"))
            .arg("network")
            .arg(arguments[0])
            .args(["--directory", directory.to_str().unwrap()])
            .args(&arguments[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, _, error) = retaind(&["users"], "");
    assert_eq!(code, Some(78));
    assert!(error.contains("holds no network"), "{error}");
    assert!(!directory.exists());

    let served = Served::start(&directory).await;
    let alice = served.device("alice").await;
    let (code, out, error) = retaind(&["invite", "bob", "--hours", "1"], "");
    assert_eq!(code, Some(0), "{error}");
    let invite: retaind::protocol::endpoint::Invite = out.parse().unwrap();
    assert_eq!(invite.endpoint, served.endpoint);
    let register = Register { invite_code: invite.code, ..Register::default() };
    let bob = Raw::register(&invite.endpoint, register).await.unwrap().publish(1).await;
    assert_eq!(retaind(&["bot", BOT], "short\n").0, Some(78));
    assert_eq!(retaind(&["retention", "on", BOT], "").0, Some(78), "no such bot yet");
    assert_eq!(retaind(&["bot", BOT], &format!("{}\n", crate::support::raw::BOT_PASSWORD)).0, Some(0));
    let mut session = alice.create(&["bob"]).await;
    assert_eq!(retaind(&["retention", "on", BOT], "").0, Some(0));
    assert_eq!(refusal(alice.send(&mut session, "unwatched").await), RefusalCode::BotMissing);
    assert_eq!(retaind(&["retention", "off"], "").0, Some(0));
    let device = bob.identity.device.to_string();
    assert_eq!(retaind(&["suspend", "alice", "--device", &device], "").0, Some(78), "it is bob's");
    assert_eq!(retaind(&["suspend", "bob", "--device", &device], "").0, Some(0));
    let (_, out, _) = retaind(&["users"], "");
    assert!(out.contains(&format!("bob user active\n  {device} suspended\n")), "{out}");
    assert!(out.contains(&format!("{BOT} bot active\n")), "{out}");
    // a second server is told that there is one
    let (code, _, error) = retaind(&["serve", "--listen", "127.0.0.1:0"], "");
    assert_eq!(code, Some(75));
    assert!(error.contains("in use by another network process"), "{error}");
}
