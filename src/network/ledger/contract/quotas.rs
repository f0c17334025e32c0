//! How much a device may ask for.

use std::time::Duration;

use super::changes::{Scene, code};
use super::member::Member;
use super::*;
use crate::change::{Change, Outcome};
use crate::delivery::entry::Taken;
use crate::directory::DeviceRow;
use crate::directory::key_packages::Use;
use crate::limits::{CLAIMS_AN_HOUR, CLAIMS_OF_TARGET, CONVERSATIONS_OF_DEVICE};
use retaind_protocol::limits::CLAIM_USERS_MAX;
use retaind_protocol::wire::{Answer, ClaimedKeyPackage, RefusalCode};

const LATER: Moment = Moment::of_micros(NOW.micros() + 3_600_000_000);

fn claim(device: &DeviceRow, users: &[&str]) -> Change {
    let users = users.iter().map(|user| (*user).to_owned()).collect();
    Change::ClaimKeyPackages { device: device.clone(), users, suite: SUITE }
}

fn claimed(scene: &mut Scene<'_>, change: Change) -> Vec<ClaimedKeyPackage> {
    let Ok(Outcome::Answer(Answer::ClaimedKeyPackages(claimed))) = scene.one(change) else { panic!() };
    claimed.packages
}

/// So many one-time packages of the device, and a last-resort one.
fn publish(scene: &mut Scene<'_>, device: &DeviceRow, one_time: u8) {
    let packages: Vec<_> = (0..one_time).map(|number| package(&[number], LATER)).collect();
    scene.commit(|batch| batch.insert_key_packages(device.row, &packages, Some(&package(b"last", LATER))).unwrap());
}

fn left(ledger: &dyn Ledger, device: &DeviceRow) -> u32 {
    ledger.reader().unwrap().view().unwrap().count_key_packages(device.row, NOW).unwrap().one_time
}

pub(super) fn a_name_counts_once_in_a_claim(ledger: &dyn Ledger) {
    let mut scene = Scene::on(ledger);
    let [alice, bob] = ["alice", "bob"].map(|user| scene.user(user));
    publish(&mut scene, &bob, 100);
    let packages = claimed(&mut scene, claim(&alice, &["bob"; CLAIM_USERS_MAX]));
    assert_eq!((packages.len(), left(ledger, &bob)), (1, 99));
}

pub(super) fn nobody_uses_up_what_another_has_left(ledger: &dyn Ledger) {
    let mut scene = Scene::on(ledger);
    let [mallory, alice, bob] = ["mallory", "alice", "bob"].map(|user| scene.user(user));
    publish(&mut scene, &bob, 100);
    let most = u32::try_from(CLAIMS_OF_TARGET.value).unwrap();
    for number in 0..200 {
        let packages = claimed(&mut scene, claim(&mallory, &["bob"]));
        assert_eq!((packages.len(), packages[0].last_resort), (1, number >= most));
    }
    assert_eq!(left(ledger, &bob), 100 - most);
    assert!(scene.refusals.of(&CLAIMS_OF_TARGET) > 100);
    // others have what is left
    assert!(!claimed(&mut scene, claim(&alice, &["bob"]))[0].last_resort);
    let asked = u64::from(200_u32);
    let mut refused = None;
    for _ in asked..=CLAIMS_AN_HOUR.value {
        refused = scene.one(claim(&mallory, &["bob"])).err();
    }
    assert_eq!(refused.unwrap().code, RefusalCode::Limit);
    assert_eq!(scene.refusals.of(&CLAIMS_AN_HOUR), 1);
}

pub(super) fn a_bot_that_runs_out_is_noted(ledger: &dyn Ledger) {
    let mut scene = Scene::on(ledger);
    let alice = scene.user("alice");
    let (bot, _) = scene.register("bot", Role::Bot, b"bot");
    publish(&mut scene, &bot, 2);
    // as long as it is no retention bot nobody counts
    let quiet = scene.execute(vec![claim(&alice, &["bot"])]);
    assert_eq!(quiet.effects.taken, []);
    scene.commit(|batch| {
        batch.set_retention(&[name("bot")]).unwrap();
        batch.raise_policy_version().unwrap();
    });
    let refused = claim(&alice, &["bot", "nobody"]);
    let executed = scene.execute(vec![refused, claim(&alice, &["bot"]), claim(&alice, &["bot"])]);
    let taken = |used| Taken { device: bot.row, user: "bot".into(), used, left: 0 };
    assert_eq!(executed.effects.taken, [taken(Use::Once), taken(Use::LastResort)]);
}

pub(super) fn conversations_have_a_rate(ledger: &dyn Ledger) {
    // the packages are real ones, of today
    let mut scene = Scene::at(ledger, Moment::now);
    let alice = Member::register(&mut scene, "alice", Role::Normal);
    let package = Member::register(&mut scene, "bob", Role::Normal).package();
    let create = |scene: &Scene<'_>, id| alice.create(scene, conversation(id), &package).1;
    let first = create(&scene, b'a');
    assert!(scene.one(first).is_ok());
    let now = Moment::now();
    while scene.executor.admits(&alice.row, now) {}
    let next = create(&scene, b'b');
    scene.executor.has_room(0);
    // a full disk is no conversation
    assert_eq!(code(&scene.one(next)), RefusalCode::Unavailable);
    scene.executor.has_room(u64::MAX);
    assert_eq!(scene.refusals.of(&CONVERSATIONS_OF_DEVICE), 1);
    assert!(!scene.executor.admits(&alice.row, now));
    assert!(scene.executor.admits(&alice.row, now.after(Duration::from_secs(60))));
}
