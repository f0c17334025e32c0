//! Batches, savepoints and views.

use super::*;
use crate::error::{ChangeError, Refusal};
use crate::ledger::{LedgerError, attempt};

/// Writes something of every sort.
fn some_of_everything(batch: &mut dyn Batch) {
    batch.set_setting("name", b"value").unwrap();
    let alice = device(batch, "alice");
    batch.insert_key_packages(alice, &[package(b"once", LATER)], Some(&package(b"last", LATER))).unwrap();
    let row = start(batch, conversation(b'a'), &[alice]);
    write(batch, row, Some((alice, send_id(1))), b"hello");
    batch.acknowledge(alice, &[(conversation(b'a'), 1)]).unwrap();
    batch.set_retention(&[name("alice")]).unwrap();
    batch.raise_policy_version().unwrap();
}

const LATER: Moment = Moment::of_micros(NOW.micros() + 3_600_000_000);

#[track_caller]
fn has_everything(ledger: &dyn Ledger) {
    let mut reader = ledger.reader().unwrap();
    let view = reader.view().unwrap();
    assert_eq!(view.setting("name").unwrap().as_deref(), Some(b"value".as_slice()));
    assert_eq!(view.retention_users().unwrap(), ["alice"]);
    assert_eq!(view.policy_version().unwrap(), 1);
    let alice = view.devices_of("alice").unwrap().remove(0).row;
    let count = view.count_key_packages(alice, NOW).unwrap();
    assert_eq!((count.one_time, count.last_resort), (1, true));
    let row = view.conversation(&conversation(b'a')).unwrap().unwrap();
    assert_eq!((row.suite, row.epoch, row.head_seq), (SUITE, 1, 2));
    assert_eq!(view.tree(row.row).unwrap().as_deref(), Some(b"tree of epoch 1".as_slice()));
    assert_eq!(view.sent(alice, send_id(1)).unwrap(), Some(2));
    let unread = read(ledger, &conversation(b'a'), alice);
    assert_eq!((seqs(&unread), unread[0].payload.as_slice()), (vec![2], b"hello".as_slice()));
}

#[track_caller]
fn has_nothing(ledger: &dyn Ledger) {
    let mut reader = ledger.reader().unwrap();
    let view = reader.view().unwrap();
    assert_eq!(view.setting("name").unwrap(), None);
    assert_eq!(view.users().unwrap(), []);
    assert_eq!(view.policy_version().unwrap(), 0);
    assert_eq!(view.devices_of("alice").unwrap(), []);
    assert_eq!(view.conversation(&conversation(b'a')).unwrap(), None);
    assert_eq!(view.conversations_after(0, 10).unwrap(), [0; 0]);
}

pub(super) fn what_was_committed_is_there_for_whoever_opens_it_next(ledger: &dyn Ledger) {
    commit(&mut *writer(ledger), some_of_everything);
    has_everything(ledger);
    let mut again = writer(ledger);
    commit(&mut *again, |_| ());
    drop(again);
    has_everything(ledger);
}

pub(super) fn a_batch_that_is_not_committed_never_was(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let mut batch = connection.begin(&[]).unwrap();
    some_of_everything(&mut *batch);
    batch.undo().unwrap();
    has_nothing(ledger);
    let mut batch = connection.begin(&[]).unwrap();
    some_of_everything(&mut *batch);
    drop(batch);
    has_nothing(ledger);
    // and a connection that is gone in the middle of one
    let mut batch = connection.begin(&[]).unwrap();
    some_of_everything(&mut *batch);
    drop(batch);
    drop(connection);
    has_nothing(ledger);
    commit(&mut *writer(ledger), some_of_everything);
    has_everything(ledger);
}

pub(super) fn nobody_sees_a_batch_before_its_commit(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let mut batch = connection.begin(&[]).unwrap();
    some_of_everything(&mut *batch);
    has_nothing(ledger);
    batch.commit().unwrap();
    has_everything(ledger);
}

pub(super) fn a_view_is_of_one_instant(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let mut reader = ledger.reader().unwrap();
    let view = reader.view().unwrap();
    assert_eq!(view.setting("name").unwrap(), None);
    commit(&mut *connection, some_of_everything);
    assert_eq!(view.setting("name").unwrap(), None);
    assert_eq!(view.users().unwrap(), []);
    drop(view);
    assert!(reader.view().unwrap().setting("name").unwrap().is_some());
    // whoever changes can look as well
    assert!(connection.view().unwrap().setting("name").unwrap().is_some());
}

pub(super) fn a_batch_reads_what_it_has_written(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    commit(&mut *connection, |batch| {
        let alice = device(batch, "alice");
        assert_eq!(batch.devices_of("alice").unwrap()[0].row, alice);
        let row = start(batch, conversation(b'a'), &[alice]);
        assert!(batch.is_member(row, alice).unwrap());
        for number in 0..20 {
            let seq = write(batch, row, Some((alice, send_id(number))), b"text");
            assert_eq!(batch.sent(alice, send_id(number)).unwrap(), Some(seq));
            assert_eq!(batch.conversation(&conversation(b'a')).unwrap().unwrap().head_seq, seq);
        }
        batch.acknowledge(alice, &[(conversation(b'a'), 7)]).unwrap();
        assert_eq!(batch.stints(row, alice).unwrap()[0].acked_seq, 7);
        batch.set_setting("name", b"one").unwrap();
        batch.set_setting("name", b"two").unwrap();
        assert_eq!(batch.setting("name").unwrap().unwrap(), b"two");
    });
}

fn refused() -> ChangeError {
    Refusal::invalid("of this test").into()
}

pub(super) fn a_refused_change_undoes_itself_only(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let mut batch = connection.begin(&[]).unwrap();
    let alice = attempt(&mut *batch, |batch| Ok(device(batch, "alice"))).unwrap().unwrap();
    let row = attempt(&mut *batch, |batch| Ok(start(batch, conversation(b'a'), &[alice]))).unwrap().unwrap();
    batch.insert_key_packages(alice, &[package(b"once", LATER)], None).unwrap();
    for number in 1..4 {
        let kept = attempt(&mut *batch, |batch| Ok(write(batch, row, Some((alice, send_id(number))), b"kept")));
        assert_eq!(kept.unwrap().unwrap(), u64::from(number) + 1);
        let refusal = attempt(&mut *batch, |batch| -> Result<(), ChangeError> {
            let seq = write(batch, row, Some((alice, send_id(100 + number))), b"refused");
            turn_over(batch, row, leave(conversation(b'a'), alice));
            batch.acknowledge(alice, &[(conversation(b'a'), seq)])?;
            assert!(batch.take_key_package(alice, NOW)?.is_some());
            batch.set_user_standing(&name("alice"), crate::Standing::Suspended)?;
            batch.raise_policy_version()?;
            device(batch, "mallory");
            Err(refused())
        });
        assert_eq!(refusal.unwrap(), Err(Refusal::invalid("of this test")));
    }
    batch.commit().unwrap();

    let mut reader = ledger.reader().unwrap();
    let view = reader.view().unwrap();
    assert_eq!(view.user("mallory").unwrap(), None);
    assert_eq!(view.policy_version().unwrap(), 0);
    assert!(view.suspended_devices().unwrap().is_empty());
    assert_eq!(view.count_key_packages(alice, NOW).unwrap().one_time, 1);
    assert_eq!(view.conversation_at(row).unwrap().unwrap().epoch, 1);
    assert_eq!(view.tree(row).unwrap().as_deref(), Some(b"tree of epoch 1".as_slice()));
    for number in 1..4 {
        assert_eq!(view.sent(alice, send_id(number)).unwrap(), Some(u64::from(number) + 1));
        assert_eq!(view.sent(alice, send_id(100 + number)).unwrap(), None);
    }
    let deliveries = read(ledger, &conversation(b'a'), alice);
    assert_eq!(seqs(&deliveries), [1, 2, 3, 4]);
    assert!(deliveries[1..].iter().all(|delivery| delivery.payload == b"kept"));
}

fn leave(id: ConversationId, device: i64) -> Turnover<'static> {
    Turnover { id, epoch: 9, welcome: b"", joining: Vec::new(), leaving: vec![device] }
}

pub(super) fn an_error_is_the_end_of_its_batch_only(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let mut batch = connection.begin(&[]).unwrap();
    some_of_everything(&mut *batch);
    let failed = attempt(&mut *batch, |_| -> Result<(), ChangeError> { Err(LedgerError::new("no disk").into()) });
    assert_eq!(failed.unwrap_err().to_string(), "no disk");
    drop(batch);
    has_nothing(ledger);
    // one of the ledger's own: a signature key is one device's
    let mut batch = connection.begin(&[]).unwrap();
    some_of_everything(&mut *batch);
    let id = DeviceId::new([77; 16]);
    let twin = NewDevice {
        device: &id,
        user: "alice",
        suite: SUITE,
        signature_key: b"key 0 of alice",
        credential: b"credential",
        registered_at: NOW,
    };
    let failed = batch.insert_device(&twin).and_then(|_| batch.commit());
    failed.unwrap_err();
    has_nothing(ledger);
    commit(&mut *connection, some_of_everything);
    has_everything(ledger);
}

pub(super) fn batches_of_two_writers_come_one_after_another(ledger: &dyn Ledger) {
    let (mut one, mut other) = (writer(ledger), writer(ledger));
    let row = commit(&mut *one, |batch| {
        let alice = device(batch, "alice");
        start(batch, conversation(b'a'), &[alice])
    });
    std::thread::scope(|scope| {
        for connection in [&mut one, &mut other] {
            scope.spawn(move || {
                for _ in 0..20 {
                    commit(&mut **connection, |batch| {
                        say(batch, row, b"text");
                        batch.raise_policy_version().unwrap();
                    });
                }
            });
        }
    });
    let mut reader = ledger.reader().unwrap();
    let view = reader.view().unwrap();
    assert_eq!(view.conversation_at(row).unwrap().unwrap().head_seq, 41);
    assert_eq!(view.policy_version().unwrap(), 40);
}
