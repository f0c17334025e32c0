//! What the network refuses, and that it says why.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

use std::net::TcpListener;

use futures_util::{SinkExt, StreamExt};
use prost::Message;
use retaind::device::connection::{Connection, ConnectionError};
use retaind::device::mls::{self, KeyPackageUse};
use retaind::network::{Network, Options, Standing};
use retaind::protocol::endpoint::Endpoint;
use retaind::protocol::ids::{ConversationId, ConversationKind};
use retaind::protocol::limits::{FRAME_BYTES_MAX, FRAME_BYTES_MAX_BEFORE_LOGIN};
use retaind::protocol::wire::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::version;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::support::raw::{
    BOT, BOT_PASSWORD, PATIENCE, Raw, SUITE, Served, application, complete, login, random, refusal, tls, user,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_makes_one_device() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let invite = served.network.admin(|admin| {
        admin.invite_to(&served.endpoint, &user("alice"), retaind::protocol::credential::Role::Normal, None)
    });
    let register = Register { invite_code: invite.unwrap().code, ..Register::default() };
    let (connection, _pushes) = Connection::open(&served.endpoint, 1).await.unwrap();
    let (secret, public) = mls::generate_signature_key(SUITE).unwrap();
    let recorded = complete(&connection, register.clone(), &secret, &public);
    let first = connection.call(Request::Register(recorded.clone())).await.unwrap();

    // the recorded request on another connection: its proof is over another nonce
    let (connection, _pushes) = Connection::open(&served.endpoint, 1).await.unwrap();
    assert_eq!(refusal(connection.call(Request::Register(recorded)).await), RefusalCode::Unauthenticated);
    // another key with the same code
    assert_eq!(refusal(Raw::register(&served.endpoint, register.clone()).await), RefusalCode::Invite);
    // whoever holds the key may ask for the lost answer, and gets the same device
    let (connection, _pushes) = Connection::open(&served.endpoint, 1).await.unwrap();
    let again = complete(&connection, register, &secret, &public);
    assert_eq!(connection.call(Request::Register(again)).await.unwrap(), first);
    assert_eq!(served.network.admin(|admin| admin.users()).unwrap()[0].devices.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_or_expired_invite_and_a_wrong_password_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let guess = Register { invite_code: "guess".into(), ..Register::default() };
    assert_eq!(refusal(Raw::register(&served.endpoint, guess).await), RefusalCode::Invite);
    let role = retaind::protocol::credential::Role::Normal;
    let invite = served
        .network
        .admin(|admin| admin.invite_to(&served.endpoint, &user("late"), role, Some(std::time::Duration::ZERO)))
        .unwrap();
    let expired = Register { invite_code: invite.code, ..Register::default() };
    assert_eq!(refusal(Raw::register(&served.endpoint, expired).await), RefusalCode::Invite);
    served.network.admin(|admin| admin.ensure_bot(&user(BOT), BOT_PASSWORD)).unwrap();
    for (bot_user, bot_password) in [(BOT, "a wrong password"), ("nobody", BOT_PASSWORD), ("a user", BOT_PASSWORD)] {
        let wrong = Register { bot_user: bot_user.into(), bot_password: bot_password.into(), ..Register::default() };
        assert_eq!(refusal(Raw::register(&served.endpoint, wrong).await), RefusalCode::Password);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_cannot_log_in_as_another() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let (alice, bob) = (served.device("alice").await, served.device("bob").await);
    let (connection, _pushes) = Connection::open(&served.endpoint, 1).await.unwrap();
    let as_bob = login(&connection, &bob.identity, &alice.secret);
    assert_eq!(refusal(connection.call(Request::Login(as_bob)).await), RefusalCode::Unauthenticated);
    // a right log-in of another connection is worth nothing on this one
    let recorded = login(&bob.connection, &bob.identity, &bob.secret);
    assert_eq!(refusal(connection.call(Request::Login(recorded)).await), RefusalCode::Unauthenticated);
    let unasked = Request::ListConversations(ListConversations::default());
    assert_eq!(refusal(connection.call(unasked).await), RefusalCode::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_cannot_publish_or_commit_for_another() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let (alice, bob) = (served.device("alice").await, served.device("bob").await);
    let foreign = PublishKeyPackages { one_time: vec![bob.key_package(KeyPackageUse::Once)], last_resort: Vec::new() };
    let publish = Request::PublishKeyPackages(foreign);
    assert_eq!(refusal(alice.connection.call(publish).await), RefusalCode::NotYourDevice);

    // bob's commit, leave and new conversation, sent over alice's connection
    let mut session = alice.create(&["bob"]).await;
    let id = *session.conversation();
    let mut joined = bob.join(&id).await;
    let commit = joined.commit(&[], &[]).unwrap().commit;
    assert_eq!(refusal(alice.handshake(&commit, &[]).await), RefusalCode::NotYourDevice);
    joined.clear_pending_commit();
    let leave = joined.propose_leave().unwrap();
    assert_eq!(refusal(alice.handshake(&leave, &[]).await), RefusalCode::NotYourDevice);
    let (_, create) = bob.draft(&["alice"]).await;
    let create = Request::CreateConversation(create);
    assert_eq!(refusal(alice.connection.call(create).await), RefusalCode::NotYourDevice);
    // and nothing of it happened
    assert_eq!(alice.send(&mut session, "still the first epoch").await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_to_a_conversation_can_neither_read_nor_send() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let (alice, _bob) = (served.device("alice").await, served.device("bob").await);
    let eve = served.device("eve").await;
    let mut session = alice.create(&["bob"]).await;
    let id = *session.conversation();
    assert_eq!(refusal(eve.fetch(&id, 0).await), RefusalCode::NotMember);
    let send = Request::SendApplication(application(&mut session, "forwarded"));
    assert_eq!(refusal(eve.connection.call(send).await), RefusalCode::NotMember);
    let commit = session.commit(&[], &[]).unwrap().commit;
    assert_eq!(refusal(eve.handshake(&commit, &[]).await), RefusalCode::NotMember);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_device_is_cut_off_and_its_messages_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let (mut alice, bob) = (served.device("alice").await, served.device("bob").await);
    let mut session = alice.create(&["bob"]).await;
    served.network.admin(|admin| admin.set_user_standing(&user("alice"), Standing::Suspended)).unwrap();
    alice.ended().await;
    assert_eq!(refusal(alice.login(&served.endpoint).await), RefusalCode::Suspended);
    assert_eq!(refusal(bob.claim(&["alice"]).await), RefusalCode::NotFound);
    served.network.admin(|admin| admin.set_user_standing(&user("alice"), Standing::Active)).unwrap();
    alice.login(&served.endpoint).await.unwrap();
    assert_eq!(alice.send(&mut session, "back").await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_epoch_nothing_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let (alice, bob) = (served.device("alice").await, served.device("bob").await);
    let mut session = alice.create(&["bob"]).await;
    let mut joined = bob.join(session.conversation()).await;
    let commit = joined.commit(&[], &[]).unwrap().commit;
    assert_eq!(alice.commit(&mut session, &[], &[]).await.unwrap(), 2);
    assert_eq!(refusal(bob.handshake(&commit, &[]).await), RefusalCode::StaleEpoch);
    assert_eq!(refusal(bob.send(&mut joined, "late").await), RefusalCode::StaleEpoch);
    let read = bob.fetch(session.conversation(), 1).await.unwrap();
    joined.clear_pending_commit();
    joined.receive(&read.deliveries[0].payload).unwrap();
    assert_eq!(bob.send(&mut joined, "in time").await.unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_retention_is_on_no_conversation_is_without_the_bot() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let (alice, bob) = (served.device("alice").await, served.device("bob").await);
    let bot = served.bot().await;
    served.network.admin(|admin| admin.set_retention(&[user(BOT)])).unwrap();
    let (_, without) = alice.draft(&["bob"]).await;
    let without = Request::CreateConversation(without);
    assert_eq!(refusal(alice.connection.call(without).await), RefusalCode::BotMissing);
    let mut session = alice.create(&["bob", BOT]).await;
    assert_eq!(alice.send(&mut session, "kept").await.unwrap(), 2);
    assert_eq!(refusal(alice.commit(&mut session, &[], &[&bot]).await), RefusalCode::BotMissing);
    session.clear_pending_commit();
    // not even by a proposal, not even its own
    let mut joined = bot.join(session.conversation()).await;
    let leave = joined.propose_leave().unwrap();
    assert_eq!(refusal(bot.handshake(&leave, &[]).await), RefusalCode::BotMissing);
    let mut other = bob.join(session.conversation()).await;
    let leave = other.propose_leave().unwrap();
    assert_eq!(bob.handshake(&leave, &[]).await.unwrap(), 3);
    // a bot without an active device retains nothing
    served.network.admin(|admin| admin.set_user_standing(&user(BOT), Standing::Suspended)).unwrap();
    assert_eq!(refusal(alice.send(&mut session, "lost?").await), RefusalCode::BotMissing);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_the_network_could_not_watch_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let (alice, _bob) = (served.device("alice").await, served.device("bob").await);
    let mut session = alice.create(&["bob"]).await;
    let taken = alice.create(&["bob"]).await;
    let (_, mut create) = alice.draft(&["bob"]).await;
    // no welcome for those who are added
    let welcome = std::mem::take(&mut create.welcome);
    let refused = alice.connection.call(Request::CreateConversation(create.clone())).await;
    assert_eq!(refusal(refused), RefusalCode::Invalid);
    // a welcome for nobody
    let commit = session.commit(&[], &[]).unwrap().commit;
    assert_eq!(refusal(alice.handshake(&commit, &welcome).await), RefusalCode::Invalid);
    session.clear_pending_commit();
    // another external sender than the network
    let other = tempfile::tempdir().unwrap();
    let other = Served::start(other.path()).await;
    let (foreign, _pushes) = Connection::open(&other.endpoint, 1).await.unwrap();
    let id = ConversationId::from_random(ConversationKind::Room, random());
    let (mut session, group_info) = alice.engine.create(&id, &foreign.info().external_senders[0]).unwrap();
    let commit = session.commit(&[], &[]).unwrap().commit;
    let foreign = CreateConversation { send_id: random::<16>().to_vec(), group_info, commit, welcome: Vec::new() };
    let refused = alice.connection.call(Request::CreateConversation(foreign)).await;
    assert_eq!(refusal(refused), RefusalCode::Invalid);
    // an id that is taken
    let (mut again, group_info) =
        alice.engine.create(taken.conversation(), &alice.connection.info().external_senders[0]).unwrap();
    let commit = again.commit(&[], &[]).unwrap().commit;
    let taken = CreateConversation { send_id: random::<16>().to_vec(), group_info, commit, welcome: Vec::new() };
    let refused = alice.connection.call(Request::CreateConversation(taken)).await;
    assert_eq!(refusal(refused), RefusalCode::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_answered_and_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let (alice, _bob) = (served.device("alice").await, served.device("bob").await);
    let mut session = alice.create(&["bob"]).await;
    let mut message = application(&mut session, "damaged").message;
    message.truncate(20);
    let send = |message, send_id| Request::SendApplication(SendApplication { send_id, message, blobs: vec![] });
    let id = || random::<16>().to_vec();
    assert_eq!(refusal(alice.connection.call(send(message, id())).await), RefusalCode::Invalid);
    assert_eq!(refusal(alice.connection.call(send(Vec::new(), id())).await), RefusalCode::Invalid);
    let whole = application(&mut session, "whole").message;
    assert_eq!(refusal(alice.connection.call(send(whole, vec![1])).await), RefusalCode::Invalid);
    let commit = session.commit(&[], &[]).unwrap().commit;
    assert_eq!(refusal(alice.connection.call(send(commit, id())).await), RefusalCode::Invalid);
    session.clear_pending_commit();
    let unknown = Fetch { conversation: "0".repeat(64), ..Fetch::default() };
    assert_eq!(refusal(alice.connection.call(Request::Fetch(unknown)).await), RefusalCode::NotFound);
    let blob = BlobGet { blob: vec![0; 32], offset: 0, length: 1 };
    assert_eq!(refusal(alice.connection.call(Request::BlobGet(blob)).await), RefusalCode::NotFound);
    assert_eq!(
        refusal(alice.connection.call(Request::BlobCreate(BlobCreate { size: u64::MAX })).await),
        RefusalCode::Limit
    );
    let version = Request::Hello(Hello { version: 2 });
    assert_eq!(refusal(alice.connection.call(version).await), RefusalCode::Invalid);
    assert_eq!(alice.send(&mut session, "and goes on").await.unwrap(), 2);
}

async fn refused_frame(stream: TlsStream<TcpStream>, head: u32) -> Refused {
    let (mut read, mut write) = tokio::io::split(stream);
    write.write_all(&head.to_be_bytes()).await.unwrap();
    write.flush().await.unwrap();
    let mut frames = tokio_util::codec::FramedRead::new(&mut read, LengthDelimitedCodec::new());
    let answer = tokio::time::timeout(PATIENCE, frames.next()).await.unwrap().unwrap().unwrap();
    let Some(Answer::Refused(refused)) = ServerFrame::decode(answer).unwrap().answer else { panic!() };
    // and then the connection is over
    assert!(tokio::time::timeout(PATIENCE, frames.next()).await.unwrap().is_none_or(|frame| frame.is_err()));
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_too_large_are_refused_before_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let stranger = tls(&served.endpoint, &[&version::TLS13]).await.unwrap();
    let refused = refused_frame(stranger, FRAME_BYTES_MAX_BEFORE_LOGIN as u32 + 1).await;
    assert_eq!(refused.code(), RefusalCode::Limit);
    assert!(refused.message.contains(&FRAME_BYTES_MAX_BEFORE_LOGIN.to_string()), "{}", refused.message);

    let alice = served.device("alice").await;
    let stream = tls(&served.endpoint, &[&version::TLS13]).await.unwrap();
    let mut framed = Framed::new(stream, LengthDelimitedCodec::new());
    let hello = ClientFrame { id: 1, request: Some(Request::Hello(Hello { version: WIRE_VERSION })) };
    framed.send(hello.encode_to_vec().as_slice()).await.unwrap();
    let answer = ServerFrame::decode(framed.next().await.unwrap().unwrap()).unwrap();
    let Some(Answer::NetworkInfo(info)) = answer.answer else { panic!() };
    let device = alice.identity.device.as_bytes();
    let statement = [LOGIN_LABEL, info.network_id.as_bytes(), &info.nonce, device].concat();
    let proof = mls::sign(SUITE, &alice.secret, &statement).unwrap();
    let login = Request::Login(Login { device: device.to_vec(), proof });
    framed.send(ClientFrame { id: 2, request: Some(login) }.encode_to_vec().as_slice()).await.unwrap();
    assert_eq!(ServerFrame::decode(framed.next().await.unwrap().unwrap()).unwrap().answer, Some(Answer::Done(Done {})));
    let refused = refused_frame(framed.into_inner(), FRAME_BYTES_MAX as u32 + 1).await;
    assert_eq!(refused.code(), RefusalCode::Limit);
    assert_eq!((served.refusal("frame_of_stranger"), served.refusal("frame")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_version_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    let stream = tls(&served.endpoint, &[&version::TLS13]).await.unwrap();
    let mut framed = Framed::new(stream, LengthDelimitedCodec::new());
    let hello = ClientFrame { id: 1, request: Some(Request::Hello(Hello { version: 99 })) };
    framed.send(hello.encode_to_vec().as_slice()).await.unwrap();
    let answer = ServerFrame::decode(framed.next().await.unwrap().unwrap()).unwrap();
    let Some(Answer::Refused(refused)) = answer.answer else { panic!() };
    assert_eq!(refused.code(), RefusalCode::Version);
    assert!(framed.next().await.is_none_or(|frame| frame.is_err()));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_1_3_and_the_right_authority_nobody_talks() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).await;
    // in the clear
    let mut tcp = TcpStream::connect(&served.endpoint.address).await.unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // an alert or a reset, but no word of the protocol
    let _reset = tokio::time::timeout(PATIENCE, tcp.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.len() <= 7, "{answer:?}");
    // an old version
    assert!(tls(&served.endpoint, &[&version::TLS12]).await.is_err());
    // a network that is not the one that was named
    let other = tempfile::tempdir().unwrap();
    let other = Network::open(Options::new(other.path())).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ca_der = other.endpoint(listener.local_addr().unwrap()).ca_der;
    let impostor = Endpoint { ca_der, ..served.endpoint.clone() };
    assert!(matches!(Connection::open(&impostor, 1).await, Err(ConnectionError::Tls { .. })));
    let misnamed = Endpoint { server_name: "example.org".into(), ..served.endpoint.clone() };
    assert!(matches!(Connection::open(&misnamed, 1).await, Err(ConnectionError::Tls { .. })));
    // and the network goes on
    Connection::open(&served.endpoint, 1).await.unwrap();
}
