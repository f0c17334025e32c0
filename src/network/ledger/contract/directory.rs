//! Users, devices, invites, key packages and settings.

use std::collections::HashSet;
use std::time::Duration;

use super::*;
use crate::Standing;
use crate::directory::invites::CodeHash;
use crate::directory::key_packages::Use;
use crate::directory::{RetentionPolicy, UserRow};
use crate::ledger::{Origin, SenderRow};

fn later(secs: u64) -> Moment {
    NOW.after(Duration::from_secs(secs))
}

pub(super) fn settings_are_kept(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let sender = SenderRow { secret: b"secret".to_vec(), identity: b"identity".to_vec() };
    commit(&mut *connection, |batch| {
        batch.set_setting("endpoint", b"one").unwrap();
        batch.set_setting("empty", b"").unwrap();
        batch.insert_sender(7, &sender).unwrap();
    });
    commit(&mut *connection, |batch| batch.set_setting("endpoint", b"two").unwrap());
    let mut reader = ledger.reader().unwrap();
    let view = reader.view().unwrap();
    let setting = |key| view.setting(key).unwrap();
    assert_eq!([setting("endpoint"), setting("empty"), setting("other")], [Some(b"two".to_vec()), Some(vec![]), None]);
    assert_eq!((view.sender(7).unwrap(), view.sender(5).unwrap()), (Some(sender), None));
}

pub(super) fn users_are_kept_as_they_were_made(ledger: &dyn Ledger) {
    commit(&mut *writer(ledger), |batch| {
        for (user, role) in [("zoe", Role::Guest), ("alice", Role::Normal), ("archive_bot", Role::Bot)] {
            batch.insert_user(&name(user), role).unwrap();
        }
    });
    let mut reader = ledger.reader().unwrap();
    let view = reader.view().unwrap();
    let row = |user: &str, role| UserRow {
        user: user.to_owned(),
        role,
        suspended: false,
        retention: false,
        password: None,
        initial_password: false,
    };
    let users = [row("alice", Role::Normal), row("archive_bot", Role::Bot), row("zoe", Role::Guest)];
    assert_eq!(view.users().unwrap(), users);
    assert_eq!(view.user("zoe").unwrap(), Some(row("zoe", Role::Guest)));
    // names are what they are, to the letter
    assert_eq!((view.user("Zoe").unwrap(), view.user("").unwrap()), (None, None));
}

pub(super) fn a_password_has_its_origin(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    commit(&mut *connection, |batch| batch.insert_user(&name("bot"), Role::Bot).unwrap());
    let mut set = |hash: &str, origin| {
        commit(&mut *connection, |batch| batch.set_password("bot", hash, origin).unwrap());
        let row = ledger.reader().unwrap().view().unwrap().user("bot").unwrap().unwrap();
        (row.password.unwrap(), row.initial_password)
    };
    assert_eq!(set("one", Origin::Administrator), ("one".to_owned(), true));
    assert_eq!(set("two", Origin::Bot), ("two".to_owned(), false));
    assert_eq!(set("three", Origin::Administrator), ("three".to_owned(), true));
}

pub(super) fn suspension_and_retention_are_found(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let (bot, spare, alice) = commit(&mut *connection, |batch| {
        let alice = device(batch, "alice");
        (device(batch, "bot"), device(batch, "bot"), alice)
    });
    let policy = || RetentionPolicy::load(&*ledger.reader().unwrap().view().unwrap()).unwrap();
    let rows = |policy: &RetentionPolicy| policy.required.iter().map(|device| device.row).collect::<Vec<_>>();
    commit(&mut *connection, |batch| batch.set_retention(&[name("bot")]).unwrap());
    assert_eq!((policy().retention_users, rows(&policy())), (vec!["bot".to_owned()], vec![bot, spare]));

    let id = ledger.reader().unwrap().view().unwrap().devices_of("bot").unwrap()[1].device;
    let found = commit(&mut *connection, |batch| {
        [
            batch.set_device_standing(&id, Standing::Suspended).unwrap(),
            batch.set_user_standing(&name("alice"), Standing::Suspended).unwrap(),
            batch.set_device_standing(&DeviceId::new([99; 16]), Standing::Suspended).unwrap(),
            batch.set_user_standing(&name("nobody"), Standing::Suspended).unwrap(),
        ]
    });
    assert_eq!(found, [true, true, false, false]);
    assert_eq!((policy().suspended, rows(&policy())), (HashSet::from([spare, alice]), vec![bot]));
    assert_eq!(policy().unready, None);
    let device = |id| ledger.reader().unwrap().view().unwrap().device(&id).unwrap().unwrap();
    assert!(device(id).suspended);

    commit(&mut *connection, |batch| assert!(batch.set_user_standing(&name("bot"), Standing::Suspended).unwrap()));
    assert_eq!((policy().unready.as_deref(), rows(&policy())), (Some("bot"), vec![]));
    commit(&mut *connection, |batch| {
        batch.set_user_standing(&name("bot"), Standing::Active).unwrap();
        batch.set_retention(&[name("alice")]).unwrap();
    });
    // a device that was suspended for itself stays so
    assert!(device(id).suspended);
    assert_eq!(
        (policy().retention_users, policy().suspended),
        (vec!["alice".to_owned()], HashSet::from([spare, alice]))
    );
    commit(&mut *connection, |batch| batch.set_retention(&[]).unwrap());
    assert_eq!(policy().retention_users, [""; 0]);
}

pub(super) fn devices_have_numbers_of_their_own(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let rows = commit(&mut *connection, |batch| ["alice", "bob", "alice", "alice"].map(|user| device(batch, user)));
    assert_eq!(rows.iter().collect::<HashSet<_>>().len(), 4);
    let mut reader = ledger.reader().unwrap();
    let view = reader.view().unwrap();
    let of_alice = view.devices_of("alice").unwrap();
    assert_eq!(of_alice.iter().map(|device| device.row).collect::<Vec<_>>(), [rows[0], rows[2], rows[3]]);
    assert_eq!(of_alice[1].signature_key, b"key 1 of alice");
    assert_eq!((of_alice[1].suite, of_alice[1].user.as_str(), of_alice[1].suspended), (SUITE, "alice", false));
    assert_eq!(view.device(&of_alice[1].device).unwrap().as_ref(), Some(&of_alice[1]));
    assert_eq!(view.device(&DeviceId::new([99; 16])).unwrap(), None);
    assert_eq!(view.credential(rows[1]).unwrap(), b"credential");
    assert!(view.has_signature_key(b"key 0 of bob").unwrap());
    assert!(!view.has_signature_key(b"key 1 of bob").unwrap());
    assert_eq!(view.devices_of("nobody").unwrap(), []);
}

pub(super) fn an_invite_is_found_with_its_device(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let [one, two] = ["one", "two"].map(CodeHash::of);
    commit(&mut *connection, |batch| {
        batch.insert_invite(&one, &name("alice"), None).unwrap();
        batch.insert_invite(&two, &name("bob"), Some(later(60))).unwrap();
    });
    commit(&mut *connection, |batch| batch.use_invite(&two, 5).unwrap());
    let invite = |code| ledger.reader().unwrap().view().unwrap().invite(&code).unwrap();
    let (first, second) = (invite(one).unwrap(), invite(two).unwrap());
    assert_eq!((first.user.as_str(), first.expires, first.device), ("alice", None, None));
    assert_eq!((second.user.as_str(), second.expires, second.device), ("bob", Some(later(60)), Some(5)));
    assert_eq!(invite(CodeHash::of("three")), None);
}

pub(super) fn a_one_time_package_goes_out_once(ledger: &dyn Ledger) {
    let (mut one, mut other) = (writer(ledger), writer(ledger));
    let alice = commit(&mut *one, |batch| {
        let (alice, bob) = (device(batch, "alice"), device(batch, "bob"));
        let packages = [b"1", b"2", b"3", b"4"].map(|bytes| package(bytes, later(60)));
        batch.insert_key_packages(alice, &packages, None).unwrap();
        batch.insert_key_packages(bob, &[package(b"of bob", later(60))], None).unwrap();
        alice
    });
    let mut given = Vec::new();
    for turn in 0..5 {
        let connection = if turn % 2 == 0 { &mut one } else { &mut other };
        given.extend(commit(&mut **connection, |batch| batch.take_key_package(alice, NOW).unwrap()));
    }
    let expected = [b"1", b"2", b"3", b"4"].map(|bytes| (bytes.to_vec(), Use::Once));
    assert_eq!(given, expected);
    // what a batch has taken that is not committed was not given
    commit(&mut *one, |batch| batch.insert_key_packages(alice, &[package(b"5", later(60))], None).unwrap());
    let mut batch = one.begin(&[]).unwrap();
    assert!(batch.take_key_package(alice, NOW).unwrap().is_some());
    assert_eq!(batch.take_key_package(alice, NOW).unwrap(), None);
    batch.undo().unwrap();
    let again = commit(&mut *other, |batch| batch.take_key_package(alice, NOW).unwrap());
    assert_eq!(again, Some((b"5".to_vec(), Use::Once)));
}

pub(super) fn the_last_resort_stays_and_there_is_one(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let alice = commit(&mut *connection, |batch| {
        let alice = device(batch, "alice");
        batch.insert_key_packages(alice, &[package(b"once", later(60))], Some(&package(b"last", later(60)))).unwrap();
        alice
    });
    let mut take = |publish: Option<&[u8]>| {
        commit(&mut *connection, |batch| {
            if let Some(bytes) = publish {
                batch.insert_key_packages(alice, &[], Some(&package(bytes, later(60)))).unwrap();
            }
            batch.take_key_package(alice, NOW).unwrap().unwrap()
        })
    };
    assert_eq!(take(None), (b"once".to_vec(), Use::Once));
    assert_eq!(take(None), (b"last".to_vec(), Use::LastResort));
    assert_eq!(take(None), (b"last".to_vec(), Use::LastResort));
    assert_eq!(take(Some(b"newer")), (b"newer".to_vec(), Use::LastResort));
    let count = ledger.reader().unwrap().view().unwrap().count_key_packages(alice, NOW).unwrap();
    assert_eq!((count.one_time, count.last_resort), (0, true));
}

pub(super) fn expired_packages_are_not_given(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let alice = commit(&mut *connection, |batch| {
        let alice = device(batch, "alice");
        let packages = [package(b"short", later(60)), package(b"long", later(600))];
        batch.insert_key_packages(alice, &packages, Some(&package(b"last", later(300)))).unwrap();
        alice
    });
    let count = |now| {
        let count = ledger.reader().unwrap().view().unwrap().count_key_packages(alice, now).unwrap();
        (count.one_time, count.last_resort)
    };
    assert_eq!([count(NOW), count(later(60)), count(later(300))], [(2, true), (1, true), (1, false)]);
    let mut take = |now| commit(&mut *connection, |batch| batch.take_key_package(alice, now).unwrap());
    assert_eq!(take(later(60)), Some((b"long".to_vec(), Use::Once)));
    assert_eq!(take(later(60)), Some((b"last".to_vec(), Use::LastResort)));
    assert_eq!(take(later(300)), None);
}

pub(super) fn secrets_are_replaced_for_good(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let sender = SenderRow { secret: b"plain".to_vec(), identity: b"identity".to_vec() };
    commit(&mut *connection, |batch| batch.insert_sender(SUITE, &sender).unwrap());
    connection
        .shred(&mut |batch| {
            batch.replace_sender_secret(SUITE, b"sealed")?;
            Ok(batch.replace_sender_secret(SUITE + 1, b"of no key")?)
        })
        .unwrap();
    let found = |suite| ledger.reader().unwrap().view().unwrap().sender(suite).unwrap();
    assert_eq!(found(SUITE), Some(SenderRow { secret: b"sealed".to_vec(), ..sender }));
    assert_eq!(found(SUITE + 1), None);
    // and it goes on as before
    commit(&mut *connection, |batch| batch.set_setting("name", b"value").unwrap());
}

pub(super) fn the_last_resort_can_be_had_alone(ledger: &dyn Ledger) {
    commit(&mut *writer(ledger), |batch| {
        let [alice, bob] = ["alice", "bob"].map(|user| device(batch, user));
        batch.insert_key_packages(alice, &[package(b"once", later(60))], Some(&package(b"last", later(60)))).unwrap();
        for _ in 0..2 {
            assert_eq!(batch.last_resort_key_package(alice, NOW).unwrap(), Some(b"last".to_vec()));
        }
        assert_eq!(batch.last_resort_key_package(alice, later(60)).unwrap(), None);
        assert_eq!(batch.last_resort_key_package(bob, NOW).unwrap(), None);
        assert_eq!(batch.count_key_packages(alice, NOW).unwrap().one_time, 1);
    });
}

pub(super) fn a_retired_device_holds_nothing_back(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let id = conversation(b'a');
    let (alice, bob, row) = commit(&mut *connection, |batch| {
        let (alice, bob) = (device(batch, "alice"), device(batch, "bob"));
        for device in [alice, bob] {
            batch
                .insert_key_packages(device, &[package(b"once", later(60))], Some(&package(b"last", later(60))))
                .unwrap();
        }
        let row = start(batch, id, &[alice, bob]);
        batch.acknowledge(alice, &[(id, 1)]).unwrap();
        assert_eq!(batch.purge(&[row], 10).unwrap().messages, 0);
        (alice, bob, row)
    });
    commit(&mut *connection, |batch| {
        let gone = batch.devices_of("bob").unwrap()[0].device;
        batch.retire_device(&gone).unwrap();
        assert_eq!(batch.purge(&[row], 10).unwrap().messages, 1);
    });
    let mut reader = ledger.reader().unwrap();
    let view = reader.view().unwrap();
    let packages = [alice, bob].map(|device| view.count_key_packages(device, NOW).unwrap());
    assert_eq!(packages.map(|count| (count.one_time, count.last_resort)), [(1, true), (0, false)]);
    assert_eq!(view.memberships(bob).unwrap().len(), 0);
    assert_eq!(view.memberships(alice).unwrap().len(), 1);
    // the credential that it was given is out: nobody else is ever that device
    assert_eq!(view.devices_of("bob").unwrap()[0].row, bob);
}

pub(super) fn every_raised_version_is_another(ledger: &dyn Ledger) {
    let (mut one, mut other) = (writer(ledger), writer(ledger));
    let mut seen = HashSet::from([ledger.reader().unwrap().view().unwrap().policy_version().unwrap()]);
    for turn in 0..3 {
        let connection = if turn % 2 == 0 { &mut one } else { &mut other };
        commit(&mut **connection, |batch| batch.raise_policy_version().unwrap());
        assert!(seen.insert(ledger.reader().unwrap().view().unwrap().policy_version().unwrap()));
    }
    commit(&mut *other, |batch| {
        batch.raise_policy_version().unwrap();
        assert!(seen.insert(batch.policy_version().unwrap()));
        batch.raise_policy_version().unwrap();
        assert!(seen.insert(batch.policy_version().unwrap()));
    });
}
