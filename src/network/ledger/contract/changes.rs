//! Changes, as the writer's thread carries them out: what was decided, on this ledger.

use std::sync::Arc;

use super::wrong::{Defect, with_defect};
use super::*;
use crate::Standing;
use crate::change::{Change, Outcome};
use crate::delivery::blobs::BlobId;
use crate::delivery::entry::Joined;
use crate::delivery::groups::Ciphertext;
use crate::directory::invites::CodeHash;
use crate::directory::register::Claim;
use crate::directory::{DeviceRow, accounts};
use crate::error::Refusal;
use crate::execute::{Executed, Executor};
use crate::keys::Keys;
use crate::ledger::{LedgerError, Origin};
use crate::limits::Allowances;
use crate::quotas::Quotas;
use retaind_core::limit::Refusals;
use retaind_protocol::wire::{Accepted, Answer, Cursor, RefusalCode};
use retaind_state::vault::Vault;

/// A network's writer without its thread.
pub(super) struct Scene<'a> {
    pub(super) ledger: &'a dyn Ledger,
    pub(super) connection: Box<dyn LedgerWriter>,
    pub(super) keys: Keys,
    clock: fn() -> Moment,
    pub(super) executor: Executor,
    pub(super) refusals: Arc<Refusals>,
}

impl<'a> Scene<'a> {
    pub(super) fn on(ledger: &'a dyn Ledger) -> Self {
        Self::at(ledger, || NOW)
    }

    pub(super) fn at(ledger: &'a dyn Ledger, clock: fn() -> Moment) -> Self {
        let mut connection = writer(ledger);
        let vault = Vault::of_key(&[7; 32]).unwrap();
        let keys = Keys::load(&mut *connection, &vault, Some("local"), &[SUITE]).unwrap();
        let refusals = Arc::<Refusals>::default();
        let quotas = Quotas::new(Allowances::default(), Arc::clone(&refusals));
        Self { ledger, connection, keys, clock, executor: Executor::new(clock, quotas), refusals }
    }

    /// With nothing in memory, as after a crash.
    pub(super) fn restart(self) -> Self {
        let Self { ledger, clock, .. } = self;
        Self::at(ledger, clock)
    }

    pub(super) fn try_execute(&mut self, changes: Vec<Change>) -> Result<Executed, LedgerError> {
        self.executor.execute(&mut *self.connection, &self.keys, changes)
    }

    pub(super) fn execute(&mut self, changes: Vec<Change>) -> Executed {
        self.try_execute(changes).unwrap()
    }

    pub(super) fn one(&mut self, change: Change) -> Result<Outcome, Refusal> {
        let mut executed = self.execute(vec![change]);
        assert_eq!(executed.outcomes.len(), 1);
        executed.outcomes.remove(0)
    }

    pub(super) fn commit<T>(&mut self, work: impl FnOnce(&mut dyn Batch) -> T) -> T {
        commit(&mut *self.connection, work)
    }

    /// The device of that name with this signature key, registered by an invite.
    pub(super) fn register(&mut self, user: &str, role: Role, signature_key: &[u8]) -> (DeviceRow, Vec<u8>) {
        let code = CodeHash::of(&format!("for {user}"));
        self.commit(|batch| {
            accounts::ensure_user(batch, &name(user), role).unwrap();
            batch.insert_invite(&code, &name(user), None).unwrap();
        });
        let signature_key = signature_key.to_vec();
        let change = Change::Register { claim: Claim::Invite(code), suite: SUITE, signature_key };
        let Ok(Outcome::Registered { device, credential }) = self.one(change) else { panic!("not registered") };
        (device, credential)
    }

    pub(super) fn user(&mut self, user: &str) -> DeviceRow {
        self.register(user, Role::Normal, user.as_bytes()).0
    }

    /// Alice, Bob and their conversation in epoch 1.
    pub(super) fn with_room(ledger: &'a dyn Ledger) -> (Self, DeviceRow, DeviceRow, i64) {
        let mut scene = Self::on(ledger);
        let (alice, bob) = (scene.user("alice"), scene.user("bob"));
        let row = scene.commit(|batch| start(batch, room(), &[alice.row, bob.row]));
        (scene, alice, bob, row)
    }
}

pub(super) fn room() -> ConversationId {
    conversation(b'a')
}

pub(super) fn text(device: &DeviceRow, number: u16, epoch: u64) -> Change {
    let message = Ciphertext { conversation: room(), epoch, bytes: number.to_be_bytes().to_vec() };
    let send_id = send_id(number).as_bytes().to_vec();
    Change::Application { device: device.clone(), send_id, message, blobs: Vec::new() }
}

#[track_caller]
pub(super) fn seq(outcome: &Result<Outcome, Refusal>) -> u64 {
    match outcome {
        Ok(Outcome::Answer(Answer::Accepted(Accepted { seq }))) => *seq,
        other => panic!("not accepted: {other:?}"),
    }
}

#[track_caller]
pub(super) fn code(outcome: &Result<Outcome, Refusal>) -> RefusalCode {
    match outcome {
        Ok(other) => panic!("not refused: {other:?}"),
        Err(refusal) => refusal.code,
    }
}

pub(super) fn the_same_message_again_is_the_same_message(ledger: &dyn Ledger) {
    let (mut scene, alice, bob, row) = Scene::with_room(ledger);
    let executed = scene.execute(vec![text(&alice, 1, 1), text(&alice, 1, 1), text(&bob, 1, 1)]);
    assert_eq!(executed.outcomes.iter().map(seq).collect::<Vec<_>>(), [2, 2, 3]);
    assert_eq!(executed.effects.moved, [(row, 2), (row, 3)]);
    assert_eq!(seq(&scene.one(text(&alice, 1, 1))), 2);
    let mut scene = scene.restart();
    assert_eq!(seq(&scene.one(text(&alice, 1, 1))), 2);
    // whatever has changed since: the answer may have been lost before it did
    scene.commit(|batch| {
        let leave = Turnover { id: room(), epoch: 2, welcome: b"", joining: Vec::new(), leaving: vec![alice.row] };
        turn_over(batch, row, leave);
    });
    assert_eq!(seq(&scene.one(text(&alice, 1, 1))), 2);
    assert_eq!(code(&scene.one(text(&alice, 2, 2))), RefusalCode::NotMember);
    assert_eq!(seqs(&read(ledger, &room(), bob.row)), [1, 2, 3, 4]);
}

pub(super) fn what_is_refused_takes_nothing_with_it(ledger: &dyn Ledger) {
    let (mut scene, alice, bob, row) = Scene::with_room(ledger);
    scene.commit(|batch| {
        let later = NOW.after(std::time::Duration::from_secs(60));
        batch.insert_key_packages(bob.row, &[package(b"once", later)], None).unwrap();
    });
    let claim = |users: &[&str]| Change::ClaimKeyPackages {
        device: alice.clone(),
        users: users.iter().map(|user| (*user).to_owned()).collect(),
        suite: SUITE,
    };
    let executed = scene.execute(vec![
        text(&alice, 1, 1),
        text(&alice, 2, 0),
        // takes Bob's package before it finds that there is no such user
        claim(&["bob", "nobody"]),
        text(&bob, 3, 1),
        claim(&["bob"]),
    ]);
    let [one, stale, none, two, claimed] = executed.outcomes.as_slice() else { panic!() };
    assert_eq!((seq(one), seq(two)), (2, 3));
    assert_eq!((code(stale), code(none)), (RefusalCode::StaleEpoch, RefusalCode::NotFound));
    let Ok(Outcome::Answer(Answer::ClaimedKeyPackages(claimed))) = claimed else { panic!() };
    assert_eq!((claimed.packages.len(), claimed.packages[0].last_resort), (1, false));
    assert_eq!(executed.effects.moved, [(row, 2), (row, 3)]);
    let deliveries = read(ledger, &room(), alice.row);
    assert_eq!(seqs(&deliveries), [1, 2, 3]);
    assert_eq!([&deliveries[1].payload, &deliveries[2].payload], [&[0, 1], &[0, 3]]);
}

pub(super) fn a_failed_batch_changes_nothing_and_the_next_one_everything(ledger: &dyn Ledger) {
    let (mut scene, alice, bob, row) = Scene::with_room(ledger);
    let changes = || vec![text(&alice, 1, 1), text(&bob, 2, 1), text(&alice, 3, 1)];
    for defect in [Defect::FailsToBegin, Defect::FailsToWrite(3), Defect::FailsToRelease, Defect::FailsToCommit] {
        let mut failing = with_defect(writer(ledger), defect);
        let failed = scene.executor.execute(&mut *failing, &scene.keys, changes());
        assert_eq!(failed.unwrap_err().to_string(), "no disk");
        assert_eq!(seqs(&read(ledger, &room(), bob.row)), [1]);
        assert_eq!(ledger.reader().unwrap().view().unwrap().sent(alice.row, send_id(1)).unwrap(), None);
    }
    let executed = scene.execute(changes());
    assert_eq!(executed.outcomes.iter().map(seq).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(executed.effects.moved, [(row, 2), (row, 3), (row, 4)]);
}

pub(super) fn a_registration_answered_twice_is_one_device(ledger: &dyn Ledger) {
    let mut scene = Scene::on(ledger);
    let (alice, credential) = scene.register("alice", Role::Normal, b"key");
    let again = |key: &[u8]| Change::Register {
        claim: Claim::Invite(CodeHash::of("for alice")),
        suite: SUITE,
        signature_key: key.to_vec(),
    };
    let mut scene = scene.restart();
    let executed = scene.execute(vec![again(b"key"), again(b"another key"), again(b"key")]);
    for place in [0, 2] {
        let Ok(Outcome::Registered { device, credential: same }) = &executed.outcomes[place] else { panic!() };
        assert_eq!((device, same), (&alice, &credential));
    }
    assert_eq!(code(&executed.outcomes[1]), RefusalCode::Invite);
    let unknown = Change::Register {
        claim: Claim::Invite(CodeHash::of("of nobody")),
        suite: SUITE,
        signature_key: b"key of nobody".to_vec(),
    };
    assert_eq!(code(&scene.one(unknown)), RefusalCode::Invite);
    let devices = ledger.reader().unwrap().view().unwrap().devices_of("alice").unwrap();
    assert_eq!(devices, [alice]);
}

pub(super) fn a_password_registers_until_it_is_changed(ledger: &dyn Ledger) {
    let mut scene = Scene::on(ledger);
    scene.commit(|batch| {
        batch.insert_user(&name("bot"), Role::Bot).unwrap();
        batch.set_password("bot", "hash", Origin::Administrator).unwrap();
    });
    let register = |hash: &str, key: &[u8]| Change::Register {
        claim: Claim::Password { user: name("bot"), hash: hash.to_owned() },
        suite: SUITE,
        signature_key: key.to_vec(),
    };
    let Ok(Outcome::Registered { device, .. }) = scene.one(register("hash", b"one")) else { panic!() };
    let change = Change::SetPassword { device: device.clone(), hash: "its own".to_owned() };
    let executed = scene.execute(vec![change, register("hash", b"two"), register("its own", b"one")]);
    assert!(executed.outcomes[0].is_ok());
    assert_eq!(code(&executed.outcomes[1]), RefusalCode::Password);
    let Ok(Outcome::Registered { device: same, .. }) = &executed.outcomes[2] else { panic!() };
    assert_eq!(same, &device);
    let alice = scene.user("alice");
    let none = Change::SetPassword { device: alice, hash: "hers".to_owned() };
    assert_eq!(code(&scene.one(none)), RefusalCode::Invalid);
}

pub(super) fn what_another_process_changed_holds_for_the_next_batch(ledger: &dyn Ledger) {
    let (mut scene, alice, bob, _) = Scene::with_room(ledger);
    assert_eq!(seq(&scene.one(text(&alice, 1, 1))), 2);
    let mut operator = writer(ledger);
    commit(&mut *operator, |batch| accounts::set_user_standing(batch, &name("alice"), Standing::Suspended).unwrap());
    let executed = scene.execute(vec![text(&alice, 2, 1), text(&bob, 3, 1)]);
    assert_eq!((code(&executed.outcomes[0]), seq(&executed.outcomes[1])), (RefusalCode::Suspended, 3));
    commit(&mut *operator, |batch| {
        accounts::set_user_standing(batch, &name("alice"), Standing::Active).unwrap();
        accounts::ensure_user(batch, &name("bot"), Role::Bot).unwrap();
        accounts::set_retention(batch, &[name("bot")]).unwrap();
    });
    // a bot without a device, then one that is not in the conversation: registered in the same batch
    let code_of_bot = CodeHash::of("for the bot");
    commit(&mut *operator, |batch| batch.insert_invite(&code_of_bot, &name("bot"), None).unwrap());
    let register = Change::Register { claim: Claim::Invite(code_of_bot), suite: SUITE, signature_key: b"bot".to_vec() };
    let executed = scene.execute(vec![text(&alice, 4, 1), register, text(&alice, 5, 1)]);
    let refused = |place: usize| executed.outcomes[place].as_ref().unwrap_err();
    assert_eq!([refused(0).code, refused(2).code], [RefusalCode::BotMissing; 2]);
    assert!(refused(0).message.contains("has no active device"), "{}", refused(0).message);
    assert!(refused(2).message.contains("is not in this conversation"), "{}", refused(2).message);
}

pub(super) fn connections_hear_what_moved(ledger: &dyn Ledger) {
    let (mut scene, alice, bob, row) = Scene::with_room(ledger);
    let carol = scene.user("carol");
    let effects = scene.execute(vec![text(&alice, 1, 1), text(&bob, 2, 7), text(&bob, 3, 1)]).effects;
    assert_eq!((effects.moved, effects.joined, effects.left), (vec![(row, 2), (row, 3)], vec![], vec![]));
    // an entry that admits and dismisses, as a commit's is
    let mut effects = crate::delivery::entry::Effects::default();
    let joining = vec![Joining { device: carol.row, welcomed: true }];
    let turnover = Turnover { id: room(), epoch: 2, welcome: b"welcome", joining, leaving: vec![bob.row] };
    let kind = DeliveryKind::Handshake;
    let entry =
        Entry { seq: 4, kind, accepted_at: NOW, payload: b"", sender: None, tree: None, turnover: Some(turnover) };
    effects.record(row, &entry);
    let joined = Joined { device: carol.row, conversation: row, id: room().to_string(), from_seq: 4, welcomed: true };
    assert_eq!((effects.moved, effects.joined, effects.left), (vec![(row, 4)], vec![joined], vec![(bob.row, row, 4)]));
}

pub(super) fn what_everybody_acknowledged_is_purged(ledger: &dyn Ledger) {
    let (mut scene, alice, bob, _) = Scene::with_room(ledger);
    let acknowledge = |device: &DeviceRow, seq| Change::Acknowledge {
        device: device.clone(),
        cursors: vec![Cursor { conversation: room().to_string(), seq }],
    };
    let changes = vec![text(&alice, 1, 1), text(&alice, 2, 1), acknowledge(&alice, 3), acknowledge(&bob, 2)];
    assert!(scene.execute(changes).outcomes.iter().all(Result::is_ok));
    let purged = |scene: &mut Scene<'_>| match scene.one(Change::Purge) {
        Ok(Outcome::Purged(deleted)) => deleted.messages,
        other => panic!("{other:?}"),
    };
    assert_eq!(purged(&mut scene), 2);
    assert_eq!(seqs(&read(ledger, &room(), bob.row)), [3]);
    // what a crash has made the writer forget is found in turn
    assert!(scene.one(acknowledge(&bob, 3)).is_ok());
    let mut scene = scene.restart();
    assert_eq!((purged(&mut scene), purged(&mut scene)), (1, 0));
    let wrong = Change::Acknowledge { device: bob, cursors: vec![Cursor { conversation: "room".into(), seq: 1 }] };
    assert_eq!(code(&scene.one(wrong)), RefusalCode::Invalid);
}

pub(super) fn uploads_have_a_limit(ledger: &dyn Ledger) {
    let mut scene = Scene::on(ledger);
    let alice = scene.user("alice");
    let begin = |size| Change::BlobCreate { device: alice.clone(), blob: BlobId::fresh().unwrap(), size };
    let executed = scene.execute((0..65).map(|_| begin(1)).collect());
    assert!(executed.outcomes[..64].iter().all(Result::is_ok));
    assert_eq!(code(&executed.outcomes[64]), RefusalCode::Limit);
    let Ok(Outcome::Answer(Answer::BlobCreated(created))) = &executed.outcomes[0] else { panic!() };
    let blob = BlobId::parse(&created.blob).unwrap();
    assert_eq!(code(&scene.one(begin(u64::MAX))), RefusalCode::Limit);
    let finish = Change::BlobFinish { device: alice.clone(), blob };
    let executed = scene.execute(vec![finish, begin(1)]);
    assert!(executed.outcomes.iter().all(Result::is_ok));
}
