//! What bots report, and what follows from it, with real MLS.

use super::changes::{Scene, code, seq};
use super::groups::{epoch, id, started};
use super::member::{Group, Member};
use super::*;
use crate::change::Change;
use crate::delivery::report::Standing;
use crate::directory::{accounts, key_packages};
use retaind_protocol::wire::{Follows, Lost, RefusalCode, Reported, Unread};

pub(super) fn standings_are_kept_and_found(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let (bot, rows) = commit(&mut *connection, |batch| {
        let bot = device(batch, "bot");
        (bot, [b'a', b'b', b'c'].map(|first| start(batch, conversation(first), &[bot])))
    });
    let lost = |since| Standing { lost_since: Some(since), epoch: 1 };
    commit(&mut *connection, |batch| {
        batch.set_standing(rows[0], bot, lost(7)).unwrap();
        batch.set_standing(rows[1], bot, Standing { lost_since: None, epoch: 4 }).unwrap();
        batch.set_standing(rows[2], bot, lost(9)).unwrap();
        batch.set_unread(rows[1], bot, 3).unwrap();
        batch.set_unread(rows[1], bot, 4).unwrap();
    });
    drop(connection);
    let mut reader = ledger.reader().unwrap();
    let view = reader.view().unwrap();
    assert_eq!(view.standing(rows[0], bot).unwrap(), Some(lost(7)));
    assert_eq!(view.standing(rows[1], bot).unwrap(), Some(Standing { lost_since: None, epoch: 4 }));
    assert_eq!(view.standing(rows[1], bot + 1).unwrap(), None);
    assert_eq!((view.unread_in(rows[1], bot).unwrap(), view.unread_in(rows[0], bot).unwrap()), (Some(4), None));
    assert_eq!(view.lost_after(0, 10).unwrap(), [rows[0], rows[2]]);
    assert_eq!(view.lost_after(rows[0], 10).unwrap(), [rows[2]]);
    assert_eq!(view.lost_after(0, 1).unwrap(), [rows[0]]);
    assert!(rows.iter().all(|row| view.conversation_at(*row).unwrap().unwrap().reported));
    drop(view);
    drop(reader);
    let mut connection = writer(ledger);
    commit(&mut *connection, |batch| {
        batch.set_standing(rows[0], bot, Standing { lost_since: None, epoch: 5 }).unwrap();
        let silent = start(batch, conversation(b'd'), &[bot]);
        assert!(!batch.conversation_at(silent).unwrap().unwrap().reported);
    });
    assert_eq!(connection.view().unwrap().lost_after(0, 10).unwrap(), [rows[2]]);
}

/// A conversation of Alice, Bob and the bot, with retention on.
fn retained(ledger: &dyn Ledger) -> (Scene<'_>, Member, Member, Group) {
    let (mut scene, alice, _, mut group) = started(ledger);
    let bot = Member::register(&mut scene, "archive_bot", Role::Bot);
    publish(&mut scene, &bot);
    publish(&mut scene, &bot);
    scene.commit(|batch| accounts::set_retention(batch, &[name("archive_bot")]).unwrap());
    let row = ledger.reader().unwrap().view().unwrap().conversation(&id()).unwrap().unwrap().row;
    scene.one(Change::ProposeBots { conversations: vec![row] }).unwrap();
    commit_proposals(ledger, &mut scene, &alice, &mut group, 100);
    (scene, alice, bot, group)
}

fn publish(scene: &mut Scene<'_>, bot: &Member) {
    let package = key_packages::check(&scene.keys, &bot.row, bot.package(), Moment::now()).unwrap();
    let device = bot.row.clone();
    scene.one(Change::PublishKeyPackages { device, one_time: vec![package], last_resort: None }).unwrap();
}

/// Alice reads the newest message, a proposal, and commits it. Returns the place of the commit.
fn commit_proposals(ledger: &dyn Ledger, scene: &mut Scene<'_>, alice: &Member, group: &mut Group, number: u16) -> u64 {
    let newest = read(ledger, &id(), alice.row.row).pop().unwrap();
    group.receive(&newest.payload);
    let (commit, welcome) = group.commit(&[]);
    let place = seq(&scene.one(alice.handshake(number, &commit, &welcome)));
    group.apply();
    place
}

fn report(scene: &mut Scene<'_>, bot: &Member, reported: Reported) -> Result<(), RefusalCode> {
    let change = Change::Report { device: bot.row.clone(), conversation: id(), reported };
    scene.one(change).map(drop).map_err(|refusal| refusal.code)
}

pub(super) fn where_a_bot_cannot_follow_nobody_speaks(ledger: &dyn Ledger) {
    let (mut scene, alice, bot, mut group) = retained(ledger);
    assert_eq!(report(&mut scene, &alice, Reported::Lost(Lost { seq: 4 })), Err(RefusalCode::NotYourDevice));
    let place = seq(&scene.one(alice.application(1, &mut group)));
    // what was lost before the bot came does not concern it
    report(&mut scene, &bot, Reported::Lost(Lost { seq: 1 })).unwrap();
    seq(&scene.one(alice.application(2, &mut group)));
    report(&mut scene, &bot, Reported::Lost(Lost { seq: place })).unwrap();
    assert_eq!(code(&scene.one(alice.application(3, &mut group))), RefusalCode::BotMissing);
    // told again, it proposes nothing again, also after a restart
    let mut scene = scene.restart();
    let proposed = read(ledger, &id(), alice.row.row).len();
    report(&mut scene, &bot, Reported::Lost(Lost { seq: place })).unwrap();
    assert_eq!(read(ledger, &id(), alice.row.row).len(), proposed);
    // a commit that does not take the proposal changes nothing: it is proposed again
    let (without, _) = group.commit(&[]);
    seq(&scene.one(alice.handshake(10, &without, b"")));
    group.apply();
    assert_eq!(code(&scene.one(alice.application(4, &mut group))), RefusalCode::BotMissing);
    commit_proposals(ledger, &mut scene, &alice, &mut group, 11);
    assert_eq!(group.members(), 2);
    assert_eq!(code(&scene.one(alice.application(5, &mut group))), RefusalCode::BotMissing);
    let back = commit_proposals(ledger, &mut scene, &alice, &mut group, 12);
    assert_eq!((group.members(), seqs(&read(ledger, &id(), bot.row.row)).last().copied()), (3, Some(back)));
    // it is back, and not heard before it says that it is in this very group
    assert_eq!(code(&scene.one(alice.application(6, &mut group))), RefusalCode::BotBehind);
    let follows = |epoch, context: Vec<u8>| Reported::Follows(Follows { epoch, context });
    let now = epoch(ledger);
    assert_eq!(report(&mut scene, &bot, follows(now - 1, group.context())), Err(RefusalCode::StaleEpoch));
    assert_eq!(report(&mut scene, &bot, follows(now, vec![0; 32])), Err(RefusalCode::Invalid));
    assert_eq!(code(&scene.one(alice.application(7, &mut group))), RefusalCode::BotBehind);
    report(&mut scene, &bot, follows(now, group.context())).unwrap();
    seq(&scene.one(alice.application(8, &mut group)));
}

pub(super) fn a_device_that_is_not_read_commits_before_it_speaks(ledger: &dyn Ledger) {
    let (mut scene, alice, bot, mut group) = retained(ledger);
    let unread = |epoch| Reported::Unread(Unread { device: alice.row.device.as_bytes().to_vec(), epoch });
    let now = epoch(ledger);
    report(&mut scene, &bot, unread(now - 1)).unwrap();
    seq(&scene.one(alice.application(1, &mut group)));
    report(&mut scene, &bot, unread(now)).unwrap();
    assert_eq!(code(&scene.one(alice.application(2, &mut group))), RefusalCode::NotRead);
    let (commit, _) = group.commit(&[]);
    seq(&scene.one(alice.handshake(3, &commit, b"")));
    group.apply();
    seq(&scene.one(alice.application(4, &mut group)));
}

pub(super) fn strict_retention_waits_for_the_bot(ledger: &dyn Ledger) {
    let (mut scene, alice, bot, mut group) = retained(ledger);
    seq(&scene.one(alice.application(1, &mut group)));
    scene.commit(|batch| accounts::set_strict(batch, true).unwrap());
    // an epoch that had begun goes on
    seq(&scene.one(alice.application(2, &mut group)));
    let follows = |group: &Group| Reported::Follows(Follows { epoch: epoch(ledger), context: group.context() });
    let (commit, _) = group.commit(&[]);
    seq(&scene.one(alice.handshake(4, &commit, b"")));
    group.apply();
    assert_eq!(code(&scene.one(alice.application(5, &mut group))), RefusalCode::BotBehind);
    report(&mut scene, &bot, follows(&group)).unwrap();
    seq(&scene.one(alice.application(6, &mut group)));
    scene.commit(|batch| accounts::set_strict(batch, false).unwrap());
    let (commit, _) = group.commit(&[]);
    seq(&scene.one(alice.handshake(7, &commit, b"")));
    group.apply();
    seq(&scene.one(alice.application(8, &mut group)));
}
