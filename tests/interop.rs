//! MLS is an open standard: a device of another make (OpenMLS) is a member like any other.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mls_rs::mls_rs_codec::MlsEncode;
use retaind::device::connection::Connection;
use retaind::device::conversations::{Reading, What, random};
use retaind::device::mls::{
    Engine, KeyPackageUse, KeyPackages, Membership, NotRead, Proposed, Received, generate_signature_key,
};
use retaind::device::pushes::{Push, Pushes};
use retaind::protocol::content::Content;
use retaind::protocol::credential::{AuthenticationKey, Identity, Role, Verifier, signing_identity};
use retaind::protocol::ids::{ConversationId, ConversationKind, DeviceId, UserName};
use retaind::protocol::wire::*;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::support::openmls_device::{self, Keys, OpenMlsDevice, Pending, Seen, Use};
use crate::support::raw::accepted;
use crate::support::{BOT, Harness, text, user};

const SUITE: u16 = 7;
const NETWORK: &str = "12345678";
/// Longer than the network takes to propose; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Secrets(Mutex<HashMap<Vec<u8>, Zeroizing<Vec<u8>>>>);

impl KeyPackages for Secrets {
    fn secret(&self, reference: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, NotRead> {
        Ok(self.0.lock().unwrap().get(reference).cloned())
    }
}

/// Who vouches, and for whom: a network without a network.
struct Authority {
    key: AuthenticationKey,
    verifier: Verifier,
    people: u8,
}

impl Authority {
    fn new() -> Self {
        let key = AuthenticationKey::generate().unwrap();
        let verifier = Verifier::new(NETWORK, key.public_key());
        Self { key, verifier, people: 0 }
    }

    fn vouch(&mut self, user: &str, role: Role, signature_key: &[u8]) -> Vec<u8> {
        self.people += 1;
        let identity = Identity {
            network_id: NETWORK.to_owned(),
            user: UserName::new(user).unwrap(),
            device: DeviceId::new([self.people; 16]),
            signature_key: signature_key.to_vec(),
            role,
        };
        self.key.sign(&identity).unwrap()
    }

    /// MLS-encoded.
    fn external_sender(&mut self) -> Vec<u8> {
        let (_, public) = generate_signature_key(SUITE).unwrap();
        let credential = self.vouch("network", Role::Network, &public);
        signing_identity(credential, &public).mls_encode_to_vec().unwrap()
    }

    fn openmls(&mut self, user: &str) -> (OpenMlsDevice, Vec<u8>) {
        let keys = Keys::generate();
        let credential = self.vouch(user, Role::Normal, &keys.public);
        (keys.vouched_for(&credential), credential)
    }

    fn mls_rs(&mut self, user: &str) -> (Engine, Arc<Secrets>, Vec<u8>) {
        let (secret, public) = generate_signature_key(SUITE).unwrap();
        let credential = self.vouch(user, Role::Normal, &public);
        let secrets = Arc::new(Secrets::default());
        let engine = Engine::new(SUITE, &credential, &secret, self.verifier.clone(), secrets.clone()).unwrap();
        (engine, secrets, credential)
    }
}

/// An mls-rs key package, its private part put where the engine finds it.
fn key_package(engine: &Engine, secrets: &Secrets, usage: KeyPackageUse) -> Vec<u8> {
    let package = engine.key_package(usage).unwrap();
    secrets.0.lock().unwrap().insert(package.reference, package.secret);
    package.message
}

fn text_of(received: Received) -> (String, Vec<u8>) {
    match received {
        Received::Application { sender, data } => (sender.user.to_string(), data),
        other => panic!("{other:?} is not a text"),
    }
}

fn users(identities: &[Identity]) -> Vec<&str> {
    identities.iter().map(|identity| identity.user.as_str()).collect()
}

#[test]
fn openmls_and_mls_rs_change_one_conversation_together() {
    let mut authority = Authority::new();
    let external_sender = authority.external_sender();
    let (alice_engine, _, alice_credential) = authority.mls_rs("alice");
    let (bob_device, bob_credential) = authority.openmls("bob");
    let (carol_engine, carol_secrets, carol_credential) = authority.mls_rs("carol");
    let (dave_device, dave_credential) = authority.openmls("dave");

    // mls-rs creates the conversation and adds OpenMLS, by a last-resort key package
    let id = ConversationId::from_random(ConversationKind::Room, [7; 32]);
    let (mut alice, _) = alice_engine.create(&id, &external_sender).unwrap();
    let pending = alice.commit(&[bob_device.key_package(Use::LastResort)], &[]).unwrap();
    alice.receive(&pending.commit).unwrap();
    let mut bob = bob_device.join(&pending.welcome);
    assert_eq!(bob.id(), id.as_bytes());
    assert_eq!(bob.members(), [alice_credential.clone(), bob_credential.clone()]);
    assert_eq!(bob.external_senders(), [external_sender]);

    // both read each other, in the order of sending, more than once an epoch
    for round in 0..3u8 {
        let text = vec![round; 1000];
        assert_eq!(text_of(alice.receive(&bob.encrypt(&text)).unwrap()), ("bob".to_owned(), text.clone()));
        let text = alice.encrypt(&text).unwrap();
        assert_eq!(bob.receive(&text), Seen::Application { sender: alice_credential.clone(), data: vec![round; 1000] });
    }

    // OpenMLS makes new keys; the commit takes effect when it is read back
    let update = bob.update();
    match alice.receive(&update.commit).unwrap() {
        Received::Commit { committer, added, removed, own: Membership::Member, epoch: 2 } => {
            assert_eq!((committer.user.as_str(), added.len(), removed.len()), ("bob", 0, 0));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bob.epoch(), 1);
    assert_eq!(bob.receive(&update.commit), Seen::Commit { added: vec![], removed: vec![], still_member: true });
    assert_eq!(bob.epoch(), 2);

    // OpenMLS adds one device of each make in one commit; mls-rs joins by OpenMLS's Welcome
    let packages =
        [key_package(&carol_engine, &carol_secrets, KeyPackageUse::Once), dave_device.key_package(Use::Once)];
    let both = bob.add(&packages);
    match alice.receive(&both.commit).unwrap() {
        Received::Commit { added, removed, .. } => {
            assert_eq!((users(&added), users(&removed)), (vec!["carol", "dave"], vec![]));
        }
        other => panic!("{other:?}"),
    }
    let added = vec![carol_credential.clone(), dave_credential.clone()];
    assert_eq!(bob.receive(&both.commit), Seen::Commit { added, removed: vec![], still_member: true });
    let mut carol = carol_engine.join(&both.welcome).unwrap();
    let mut dave = dave_device.join(&both.welcome);
    assert_eq!(users(&carol.members().unwrap()), ["alice", "bob", "carol", "dave"]);
    let everybody = [&alice_credential, &bob_credential, &carol_credential, &dave_credential];
    assert_eq!(dave.members(), everybody.map(Clone::clone));

    // the state goes to storage and comes back between two messages of the other make
    let stored = carol.save().unwrap();
    let text = dave.encrypt(b"before");
    let mut carol = carol_engine.load(&id, stored.secrets, &stored.tree.unwrap()).unwrap();
    for reader in [&mut alice, &mut carol] {
        assert_eq!(text_of(reader.receive(&text).unwrap()), ("dave".to_owned(), b"before".to_vec()));
    }
    bob.receive(&text);

    // OpenMLS removes its like
    let removal = bob.remove(&dave_credential);
    for member in [&mut alice, &mut carol] {
        match member.receive(&removal.commit).unwrap() {
            Received::Commit { added, removed, .. } => {
                assert_eq!((users(&added), users(&removed)), (vec![], vec!["dave"]));
            }
            other => panic!("{other:?}"),
        }
    }
    bob.receive(&removal.commit);
    assert_eq!(
        dave.receive(&removal.commit),
        Seen::Commit { added: vec![], removed: vec![dave_credential], still_member: false }
    );

    // OpenMLS asks to leave; mls-rs commits it
    let leave = bob.propose_leave();
    for member in [&mut alice, &mut carol] {
        match member.receive(&leave).unwrap() {
            Received::Proposal { sender: Some(sender), proposal: Proposed::Remove(leaver), .. } => {
                assert_eq!((sender.user.as_str(), leaver.user.as_str()), ("bob", "bob"));
            }
            other => panic!("{other:?}"),
        }
        assert!(member.has_proposals());
    }
    let farewell = alice.commit(&[], &[]).unwrap();
    for member in [&mut alice, &mut carol] {
        match member.receive(&farewell.commit).unwrap() {
            Received::Commit { removed, .. } => assert_eq!(users(&removed), ["bob"]),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        bob.receive(&farewell.commit),
        Seen::Commit { added: vec![], removed: vec![bob_credential], still_member: false }
    );
    let text = carol.encrypt(b"among ourselves").unwrap();
    assert_eq!(text_of(alice.receive(&text).unwrap()), ("carol".to_owned(), b"among ourselves".to_vec()));
}

/// An OpenMLS device on the network: it speaks the wire protocol itself.
struct Foreign {
    connection: Connection,
    pushes: Pushes,
    device: OpenMlsDevice,
    identity: Identity,
    credential: Vec<u8>,
}

impl Foreign {
    /// Registers by an invite, publishes key packages, then comes back on a new connection.
    async fn register(harness: &Harness, name: &str) -> Self {
        let invite = harness.invite(name);
        let (connection, _) = Connection::open(&invite.endpoint, 0).await.unwrap();
        let info = connection.info().clone();
        let keys = Keys::generate();
        let register = Register {
            invite_code: invite.code,
            cipher_suite: SUITE.into(),
            signature_key: keys.public.clone(),
            proof: keys.sign(&[REGISTER_LABEL, &info.nonce, &keys.public].concat()),
            ..Register::default()
        };
        let Answer::Registered(registered) = connection.call(Request::Register(register)).await.unwrap() else {
            panic!("not registered")
        };
        let identity =
            Verifier::new(&info.network_id, &info.authentication_key).verify(&registered.credential).unwrap();
        let device = keys.vouched_for(&registered.credential);
        let publish = PublishKeyPackages {
            one_time: vec![device.key_package(Use::Once), device.key_package(Use::Once)],
            last_resort: device.key_package(Use::LastResort),
        };
        connection.call_done(Request::PublishKeyPackages(publish)).await.unwrap();
        drop(connection);

        let (connection, pushes) = Connection::open(&invite.endpoint, 64).await.unwrap();
        let info = connection.info();
        let proven = [LOGIN_LABEL, info.network_id.as_bytes(), &info.nonce, identity.device.as_bytes()].concat();
        let login = Login { device: identity.device.as_bytes().to_vec(), proof: device.sign(&proven) };
        connection.call_done(Request::Login(login)).await.unwrap();
        Self { connection, pushes, device, identity, credential: registered.credential }
    }

    async fn fetch(&self, conversation: &str, after_seq: u64) -> Vec<Delivery> {
        let fetch =
            Fetch { conversation: conversation.to_owned(), after_seq, handshakes_only: false, bytes_max: 1 << 20 };
        let Answer::Deliveries(answer) = self.connection.call(Request::Fetch(fetch)).await.unwrap() else {
            panic!("not deliveries")
        };
        assert!(answer.deliveries.last().is_none_or(|last| last.seq == answer.head_seq));
        answer.deliveries
    }

    /// Joins the only conversation that somebody has added this device to.
    async fn join(&self) -> Member<'_> {
        let list = Request::ListConversations(ListConversations::default());
        let Answer::Conversations(list) = self.connection.call(list).await.unwrap() else { panic!("not a list") };
        let [ConversationState { conversation: id, .. }] = &list.conversations[..] else { panic!("{list:?}") };
        let deliveries = self.fetch(id, 0).await;
        assert_eq!(deliveries[0].kind(), DeliveryKind::Welcome);
        let conversation = self.device.join(&deliveries[0].payload);
        assert_eq!(conversation.id(), id.as_bytes());
        Member { foreign: self, id: id.clone(), cursor: deliveries[0].seq, conversation }
    }

    async fn claim(&self, name: &str) -> Vec<Vec<u8>> {
        let claim = ClaimKeyPackages { users: vec![name.to_owned()], cipher_suite: SUITE.into() };
        let Answer::ClaimedKeyPackages(claimed) = self.connection.call(Request::ClaimKeyPackages(claim)).await.unwrap()
        else {
            panic!("no key packages")
        };
        claimed.packages.into_iter().map(|package| package.key_package).collect()
    }
}

/// An OpenMLS device in a conversation of the network.
struct Member<'a> {
    foreign: &'a Foreign,
    id: String,
    cursor: u64,
    conversation: openmls_device::Conversation<'a>,
}

impl Member<'_> {
    /// Reads what is new, in order; a hole fails.
    async fn read(&mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        for delivery in self.foreign.fetch(&self.id, self.cursor).await {
            assert_eq!(delivery.seq, self.cursor + 1);
            self.cursor = delivery.seq;
            let own = delivery.sender_device == self.foreign.identity.device.as_bytes();
            // one's own proposals are known, and so are one's own texts
            let again = own && self.conversation.is_commit(&delivery.payload);
            if !own || again {
                seen.push(self.conversation.receive(&delivery.payload));
            }
        }
        seen
    }

    async fn try_send(&mut self, data: &[u8]) -> Result<u64, RefusalCode> {
        let message = self.conversation.encrypt(data);
        let send = SendApplication { send_id: random::<16>().unwrap().to_vec(), message, ..Default::default() };
        let sent = accepted(&self.foreign.connection, Request::SendApplication(send)).await;
        sent.map_err(|error| error.refusal().unwrap())
    }

    async fn send(&mut self, content: &Content) -> u64 {
        self.try_send(&content.encode().unwrap()).await.unwrap()
    }

    async fn try_handshake(&self, message: Vec<u8>, welcome: Vec<u8>) -> Result<u64, RefusalCode> {
        let send = SendHandshake { send_id: random::<16>().unwrap().to_vec(), message, welcome };
        let sent = accepted(&self.foreign.connection, Request::SendHandshake(send)).await;
        sent.map_err(|error| error.refusal().unwrap())
    }

    /// Sends a commit and reads it back, which lets it take effect.
    async fn commit(&mut self, Pending { commit, welcome }: Pending) -> u64 {
        let seq = self.try_handshake(commit, welcome).await.unwrap();
        let seen = self.read().await;
        assert!(matches!(seen.last(), Some(Seen::Commit { still_member: true, .. })), "{seen:?}");
        seq
    }
}

/// What a member of this program's library has read: texts by name, everything else by its kind.
fn heard(events: Vec<retaind::device::conversations::Event>) -> Vec<String> {
    let told = events.into_iter().map(|event| match event.what {
        What::Message { sender, content } => match content.body {
            retaind::protocol::content::Body::Text(text) => format!("{}: {}", sender.user, text.text),
            _ => panic!("nobody sent this"),
        },
        What::Joined(_) => "joined".to_owned(),
        What::Handshake(Received::Commit { .. }) => "commit".to_owned(),
        What::Handshake(Received::Proposal { .. }) => "proposal".to_owned(),
        What::Handshake(Received::Application { .. }) => panic!("not a handshake"),
        What::Unreadable(why) => panic!("unreadable: {why}"),
    });
    told.collect()
}

/// The record as a row: place, sender, and what it says.
fn row(record: &Value) -> Value {
    let what = match record["msgtype"].as_u64().unwrap() {
        1000 => record["message"].clone(),
        _ => record["control"].clone(),
    };
    json!([record["seq"], record["msgtype"], record["sender"], what])
}

const UNUSUAL: &str = "naïve \u{1f9d1}\u{200d}\u{1f680} שלום \"quoted\" \\ \n\t\r \u{7f}\u{0} <b>&amp; end";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_an_openmls_device_are_archived() {
    let harness = Harness::start();
    let bot = harness.bot().await;
    let mut alice = harness.device("alice").await;
    let mut carol = harness.device("carol").await;
    let _dave = harness.device("dave").await;
    let foreign = Foreign::register(&harness, "bob").await;

    // mls-rs makes the room and adds OpenMLS
    let room = alice.create(ConversationKind::Room, &[user("bob")]).await.unwrap();
    let mut bob = foreign.join().await;
    assert_eq!((bob.id.as_str(), bob.cursor, bob.conversation.epoch()), (room.as_str(), 1, 1));
    assert_eq!(bob.conversation.members().len(), 3);
    let first = text(UNUSUAL);
    assert_eq!(bob.send(&first).await, 2);
    assert_eq!(heard(alice.sync(&room, Reading::All).await.unwrap()), [format!("bob: {UNUSUAL}")]);
    let reply = text("read you");
    assert_eq!(alice.send(&room, &reply).await.unwrap(), 3);
    let sender = alice.identity().clone();
    match &bob.read().await[..] {
        [Seen::Application { sender: credential, data }] => {
            assert_eq!(Content::decode(data).unwrap(), reply);
            let verifier = {
                let info = foreign.connection.info();
                Verifier::new(&info.network_id, &info.authentication_key)
            };
            assert_eq!(verifier.verify(credential).unwrap(), sender);
        }
        other => panic!("{other:?}"),
    }

    // OpenMLS renews its keys, adds a user and removes it
    let update = bob.conversation.update();
    assert_eq!(bob.commit(update).await, 4);
    assert_eq!(bob.send(&text("with new keys")).await, 5);
    let addition = bob.conversation.add(&foreign.claim("carol").await);
    assert_eq!(bob.commit(addition).await, 6);
    assert_eq!(heard(carol.sync(&room, Reading::All).await.unwrap()), ["joined"]);
    assert_eq!(carol.send(&room, &text("by your Welcome")).await.unwrap(), 7);
    assert_eq!(bob.read().await.len(), 1);
    assert_eq!(bob.send(&text("")).await, 8);
    assert_eq!(heard(carol.sync(&room, Reading::All).await.unwrap()), ["bob: "]);
    let leaves = bob.conversation.members();
    let removal = bob.conversation.remove(leaves.last().unwrap());
    assert_eq!(bob.commit(removal).await, 9);

    // somebody else's commit comes first: OpenMLS has to read it before it may commit or send
    alice.change(&room, &[user("dave")], &[], Reading::All, &mut Vec::new()).await.unwrap();
    let late = bob.conversation.update();
    assert_eq!(bob.try_handshake(late.commit, late.welcome).await, Err(RefusalCode::StaleEpoch));
    bob.conversation.forget_pending();
    assert_eq!(bob.try_send(b"too late").await, Err(RefusalCode::StaleEpoch));
    assert!(matches!(&bob.read().await[..], [Seen::Commit { added, .. }] if added.len() == 1));
    assert_eq!(bob.send(&text("in time")).await, 11);
    // no content at all: whatever arrives is a record
    assert_eq!(bob.try_send(&[0xff; 7]).await, Ok(12));

    // OpenMLS asks to leave, mls-rs sees to it with its next text
    let leave = bob.conversation.propose_leave();
    assert_eq!(bob.try_handshake(leave, Vec::new()).await, Ok(13));
    alice.sync(&room, Reading::All).await.unwrap();
    assert_eq!(alice.send(&room, &text("gone")).await.unwrap(), 15);
    let gone = Seen::Commit { added: vec![], removed: vec![foreign.credential.clone()], still_member: false };
    assert_eq!(bob.read().await, [gone]);

    bot.saved(15).await;
    assert_eq!(bot.counters.messages_failed.get(), 1);
    bot.stop().await.unwrap();
    let records = harness.records();
    assert!(records.iter().all(|record| record["vgroupid"] == room.as_str()));
    let expected = json!([
        [1, 4900, "alice", {"action": "joined", "epoch": 1, "members": ["alice", "bob"], "msgtype": 4900}],
        [2, 1000, "bob", UNUSUAL],
        [3, 1000, "alice", "read you"],
        [4, 4900, "bob", {"action": "keyupdate", "epoch": 2, "msgtype": 4900}],
        [5, 1000, "bob", "with new keys"],
        [6, 4002, "bob", {"addedusers": ["carol"], "msgtype": 4002}],
        [7, 1000, "carol", "by your Welcome"],
        [8, 1000, "bob", ""],
        [9, 4002, "bob", {"deletedusers": ["carol"], "msgtype": 4002}],
        [10, 4002, "alice", {"addedusers": ["dave"], "msgtype": 4002}],
        [11, 1000, "bob", "in time"],
        [12, 0, "bob", null],
        [13, 4003, "bob", {"deletedusers": ["bob"], "msgtype": 4003}],
        [14, 4002, "alice", {"deletedusers": ["bob"], "msgtype": 4002}],
        [15, 1000, "alice", "gone"],
    ]);
    assert_eq!(Value::Array(records.iter().map(row).collect()), expected);
    assert_eq!(records[1]["device"], foreign.identity.device.to_string());
    assert_eq!(records[1]["message_id"], first.message_id.to_string());
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_openmls_device_brings_the_bot_in_when_retention_is_turned_on() {
    let harness = Harness::start_without_retention(|options| options);
    let bot = harness.bot().await;
    let mut alice = harness.device("alice").await;
    let mut foreign = Foreign::register(&harness, "bob").await;
    let subscribe = Subscribe { window_messages: 64, window_bytes: 1 << 20 };
    foreign.connection.call_done(Request::Subscribe(subscribe)).await.unwrap();
    let room = alice.create(ConversationKind::Room, &[user("bob")]).await.unwrap();
    let mut pushes = std::mem::replace(&mut foreign.pushes, Pushes::ended());
    let mut bob = foreign.join().await;
    assert_eq!(bob.send(&text("nobody keeps this")).await, 2);
    assert_eq!(alice.sync(&room, Reading::All).await.unwrap().len(), 1);

    // the network proposes, as a sender that is no member
    harness.network.admin(|admin| admin.set_retention(&[user(BOT)])).unwrap();
    let proposed = async {
        loop {
            match pushes.recv().await.unwrap() {
                Push::Delivery(delivery) if delivery.seq == 3 => return delivery,
                Push::Delivery(_) | Push::Notice(_) => {}
            }
        }
    };
    let proposal = tokio::time::timeout(PATIENCE, proposed).await.unwrap();
    assert!(proposal.sender_device.is_empty());
    assert_eq!(bob.try_send(b"without the bot").await, Err(RefusalCode::BotMissing));
    assert_eq!(bob.read().await, [Seen::Proposal]);

    // whatever OpenMLS commits next brings the bot in
    let commit = bob.conversation.update();
    assert!(!commit.welcome.is_empty());
    assert_eq!(bob.commit(commit).await, 4);
    assert_eq!(bob.send(&text("the bot keeps this")).await, 5);
    assert_eq!(
        heard(alice.sync(&room, Reading::All).await.unwrap()),
        ["proposal", "commit", "bob: the bot keeps this"]
    );
    assert_eq!(alice.send(&room, &text("and this")).await.unwrap(), 6);

    bot.saved(3).await;
    bot.stop().await.unwrap();
    let expected = json!([
        [4, 4900, "bob", {"action": "joined", "epoch": 2, "members": ["alice", "bob"], "msgtype": 4900}],
        [5, 1000, "bob", "the bot keeps this"],
        [6, 1000, "alice", "and this"],
    ]);
    assert_eq!(Value::Array(harness.records().iter().map(row).collect()), expected);
    harness.stop().await;
}
