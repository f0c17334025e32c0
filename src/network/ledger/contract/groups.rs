//! Tracked groups, with real MLS: what was accepted is what the next message is checked against.

use super::changes::{Scene, code, seq};
use super::member::{Group, Member};
use super::wrong::{Defect, with_defect};
use super::*;
use crate::change::{Change, Outcome};
use crate::delivery::accept::Proposed;
use crate::directory::accounts;
use crate::directory::key_packages;
use retaind_protocol::wire::RefusalCode;

pub(super) fn id() -> ConversationId {
    conversation(b'a')
}

/// Alice and Bob, and a conversation that Alice has started with Bob.
pub(super) fn started(ledger: &dyn Ledger) -> (Scene<'_>, Member, Member, Group) {
    let mut scene = Scene::at(ledger, Moment::now);
    let alice = Member::register(&mut scene, "alice", Role::Normal);
    let bob = Member::register(&mut scene, "bob", Role::Normal);
    let (mut group, create) = alice.create(&scene, id(), &bob.package());
    let executed = scene.execute(vec![create]);
    assert_eq!(seq(&executed.outcomes[0]), 1);
    let joined = executed.effects.joined.iter().map(|joined| (joined.device, joined.from_seq, joined.welcomed));
    assert_eq!(joined.collect::<Vec<_>>(), [(alice.row.row, 1, false), (bob.row.row, 1, true)]);
    group.apply();
    (scene, alice, bob, group)
}

pub(super) fn epoch(ledger: &dyn Ledger) -> u64 {
    ledger.reader().unwrap().view().unwrap().conversation(&id()).unwrap().unwrap().epoch
}

pub(super) fn a_group_goes_on_after_a_restart(ledger: &dyn Ledger) {
    let (scene, alice, _, mut group) = started(ledger);
    let mut scene = scene.restart();
    for number in 1..4 {
        let (commit, _) = group.commit(&[]);
        assert_eq!(seq(&scene.one(alice.handshake(number, &commit, b""))), u64::from(number) + 1);
        group.apply();
        assert_eq!(epoch(ledger), u64::from(number) + 1);
        // sent again, it was accepted already; under another name it is of an epoch that is over
        assert_eq!(seq(&scene.one(alice.handshake(number, &commit, b""))), u64::from(number) + 1);
        assert_eq!(code(&scene.one(alice.handshake(number + 100, &commit, b""))), RefusalCode::StaleEpoch);
        if number == 2 {
            scene = scene.restart();
        }
    }
}

pub(super) fn a_refused_commit_leaves_the_group_as_it_was(ledger: &dyn Ledger) {
    let (mut scene, alice, bob, mut group) = started(ledger);
    let carol = Member::register(&mut scene, "carol", Role::Normal);
    // accepted as MLS, and refused for whom it adds
    let (suspended, welcome) = group.commit(&[&carol.package()]);
    let suspend = |scene: &mut Scene<'_>, standing| {
        scene.commit(|batch| accounts::set_user_standing(batch, &name("carol"), standing).unwrap());
    };
    suspend(&mut scene, crate::Standing::Suspended);
    let (good, _) = group.commit(&[]);
    let executed = scene.execute(vec![
        alice.handshake(1, &suspended, &welcome),
        alice.handshake(2, &suspended, b""),
        alice.handshake(3, &good, b""),
    ]);
    assert_eq!(
        [code(&executed.outcomes[0]), code(&executed.outcomes[1])],
        [RefusalCode::Suspended, RefusalCode::Invalid]
    );
    assert_eq!((seq(&executed.outcomes[2]), epoch(ledger)), (2, 2));
    assert_eq!((executed.effects.moved.len(), executed.effects.joined.len()), (1, 0));
    group.apply();
    // a batch that failed after its commit was accepted
    suspend(&mut scene, crate::Standing::Active);
    let (commit, welcome) = group.commit(&[&carol.package()]);
    for defect in [Defect::FailsToWrite(2), Defect::FailsToCommit] {
        let connection = std::mem::replace(&mut scene.connection, with_defect(writer(ledger), defect));
        let again = vec![alice.handshake(4, &commit, &welcome), bob.handshake(1, &commit, &welcome)];
        let acknowledge = Change::Acknowledge { device: alice.row.clone(), cursors: Vec::new() };
        scene.try_execute(again.into_iter().chain([acknowledge]).collect()).unwrap_err();
        scene.connection = connection;
        assert_eq!(epoch(ledger), 2);
    }
    assert_eq!(seq(&scene.one(alice.handshake(4, &commit, &welcome))), 3);
    assert_eq!(epoch(ledger), 3);
    assert_eq!(seqs(&read(ledger, &id(), carol.row.row)), [3]);
}

pub(super) fn a_bot_is_proposed_once(ledger: &dyn Ledger) {
    let (mut scene, alice, bob, mut group) = started(ledger);
    let bot = Member::register(&mut scene, "archive_bot", Role::Bot);
    scene.commit(|batch| accounts::set_retention(batch, &[name("archive_bot")]).unwrap());
    let row = ledger.reader().unwrap().view().unwrap().conversation(&id()).unwrap().unwrap().row;
    let propose = |scene: &mut Scene<'_>| match scene.one(Change::ProposeBots { conversations: vec![row, 1000] }) {
        Ok(Outcome::Proposed(proposed)) => proposed,
        other => panic!("{other:?}"),
    };
    assert_eq!(propose(&mut scene), Proposed::NoKeyPackage);
    let package = key_packages::check(&scene.keys, &bot.row, bot.package(), Moment::now()).unwrap();
    let device = bot.row.clone();
    scene.one(Change::PublishKeyPackages { device, one_time: vec![package], last_resort: None }).unwrap();
    assert_eq!(propose(&mut scene), Proposed::Complete);
    assert_eq!(propose(&mut scene), Proposed::Complete);
    let mut scene = scene.restart();
    assert_eq!(propose(&mut scene), Proposed::Complete);
    let deliveries = read(ledger, &id(), bob.row.row);
    assert_eq!(seqs(&deliveries), [1, 2]);
    // the network's own, and nobody's
    assert_eq!((deliveries[1].kind(), deliveries[1].sender_user.as_str()), (DeliveryKind::Handshake, ""));

    // a commit of before the proposal leaves the bot out; the one with it brings it in
    let (without, _) = group.commit(&[]);
    assert_eq!(code(&scene.one(alice.handshake(1, &without, b""))), RefusalCode::BotMissing);
    group.receive(&deliveries[1].payload);
    let (with, welcome) = group.commit(&[]);
    assert_eq!(seq(&scene.one(alice.handshake(2, &with, &welcome))), 3);
    group.apply();
    assert_eq!(group.members(), 3);
    assert_eq!(seqs(&read(ledger, &id(), bot.row.row)), [3]);
}

pub(super) fn writers_that_share_a_ledger_share_its_groups(ledger: &dyn Ledger) {
    let (mut one, alice, _, mut group) = started(ledger);
    let mut other = Scene::at(ledger, Moment::now);
    one.connection = with_defect(writer(ledger), Defect::IsShared);
    other.connection = with_defect(writer(ledger), Defect::IsShared);
    for (number, scene) in [(1, &mut one), (2, &mut other)] {
        let (commit, _) = group.commit(&[]);
        assert_eq!(seq(&scene.one(alice.handshake(number, &commit, b""))), u64::from(number) + 1);
        group.apply();
    }
    // the group that the first one remembers is two epochs old
    let (commit, _) = group.commit(&[]);
    assert_eq!(seq(&one.one(alice.handshake(3, &commit, b""))), 4);
    assert_eq!(epoch(ledger), 4);
}
