//! Blobs: which messages name them, who has how many, and when they go.

use std::time::Duration;

use super::changes::{Scene, code, room, text};
use super::delivery::{ROOM, joins, leaves};
use super::*;
use crate::change::{Change, Outcome};
use crate::delivery::blobs::{Amount, BlobId, BlobRow, Named, OldBlob, Stored, Upload};
use crate::directory::DeviceRow;
use crate::limits::{Allowances, BLOB_BYTES_OF_DEVICE, MESSAGES_OF_BLOBS};
use retaind_protocol::wire::{Answer, Cursor, RefusalCode};

const LATER: Moment = Moment::of_micros(NOW.micros() + 1_000_000);

/// A finished blob of the device, begun `seconds` before now.
fn blob(batch: &mut dyn Batch, device: i64, size: u64, seconds: u64) -> BlobId {
    let blob = BlobId::fresh().unwrap();
    let row = BlobRow { device, size, finished: false };
    batch.insert_blob(&blob, row, NOW.before(Duration::from_secs(seconds))).unwrap();
    batch.finish_blob(&blob, device).unwrap();
    blob
}

fn all(batch: &dyn Batch, upload: Upload) -> Vec<(BlobId, Named)> {
    let old = batch.old_blobs(upload, LATER, None, 100).unwrap();
    old.into_iter().map(|old| (old.blob, old.named)).collect()
}

/// Everybody of these has everything.
fn acknowledge(batch: &mut dyn Batch, devices: &[i64], row: i64) {
    for device in devices {
        batch.acknowledge(*device, &[(conversation(ROOM), u64::MAX)]).unwrap();
    }
    batch.purge(&[row], 1000).unwrap();
}

pub(super) fn what_a_device_has_in_store_is_counted(ledger: &dyn Ledger) {
    commit(&mut *writer(ledger), |batch| {
        let [one, two, bob] = ["alice", "alice", "bob"].map(|user| device(batch, user));
        assert_eq!(batch.stored(one).unwrap(), Stored::default());
        let (first, _) = (blob(batch, one, 5, 0), blob(batch, one, 7, 0));
        blob(batch, two, 100, 0);
        let amount = |blobs, bytes| Amount { blobs, bytes };
        assert_eq!(batch.stored(one).unwrap(), Stored { device: amount(2, 12), user: amount(3, 112) });
        assert_eq!(batch.stored(bob).unwrap(), Stored::default());
        batch.delete_blob(&first).unwrap();
        batch.delete_blob(&first).unwrap();
        assert_eq!(batch.blob(&first).unwrap(), None);
        assert_eq!(batch.stored(two).unwrap(), Stored { device: amount(1, 100), user: amount(2, 107) });
    });
}

pub(super) fn a_blob_is_settled_with_the_last_message_that_names_it(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let (alice, bob, row, named, unfinished) = commit(&mut *connection, |batch| {
        let [alice, bob] = ["alice", "bob"].map(|user| device(batch, user));
        let row = start(batch, conversation(ROOM), &[alice, bob]);
        let named = blob(batch, alice, 1, 0);
        let unfinished = BlobId::fresh().unwrap();
        batch.insert_blob(&unfinished, BlobRow { device: alice, size: 1, finished: false }, NOW).unwrap();
        for _ in 0..2 {
            let seq = say(batch, row, b"file");
            batch.name_blob(&named, alice, row, seq).unwrap();
            batch.name_blob(&named, alice, row, seq).unwrap();
            batch.name_blob(&unfinished, alice, row, seq).unwrap();
            batch.name_blob(&BlobId::fresh().unwrap(), alice, row, seq).unwrap();
        }
        (alice, bob, row, named, unfinished)
    });
    commit(&mut *connection, |batch| {
        acknowledge(batch, &[alice], row);
        // of two messages that name it one is not needed any more
        batch.acknowledge(bob, &[(conversation(ROOM), 2)]).unwrap();
        batch.purge(&[row], 1000).unwrap();
        assert_eq!((all(batch, Upload::Settled), all(batch, Upload::Finished).len()), (vec![], 1));
        acknowledge(batch, &[bob], row);
        assert_eq!(all(batch, Upload::Settled), [(named, Named::Nowhere)]);
        assert_eq!(all(batch, Upload::Finished), []);
        assert_eq!(all(batch, Upload::Unfinished), [(unfinished, Named::Nowhere)]);
        // forwarded in time: it is needed again
        let seq = say(batch, row, b"again");
        batch.name_blob(&named, alice, row, seq).unwrap();
        assert_eq!((all(batch, Upload::Settled), all(batch, Upload::Finished).len()), (vec![], 1));
    });
}

pub(super) fn nobody_else_settles_a_blob(ledger: &dyn Ledger) {
    commit(&mut *writer(ledger), |batch| {
        let [alice, mallory] = ["alice", "mallory"].map(|user| device(batch, user));
        let row = start(batch, conversation(ROOM), &[mallory]);
        let of_alice = blob(batch, alice, 1, 0);
        let seq = say(batch, row, b"not mine");
        batch.name_blob(&of_alice, mallory, row, seq).unwrap();
        acknowledge(batch, &[mallory], row);
        assert_eq!(all(batch, Upload::Settled), []);
        assert_eq!(all(batch, Upload::Finished), [(of_alice, Named::Nowhere)]);
    });
}

pub(super) fn old_blobs_are_found_in_order(ledger: &dyn Ledger) {
    commit(&mut *writer(ledger), |batch| {
        let alice = device(batch, "alice");
        let [new, oldest, older] = [1, 9, 5].map(|seconds| blob(batch, alice, 1, seconds));
        let old = |after, most| {
            let before = NOW.before(Duration::from_secs(1));
            batch.old_blobs(Upload::Finished, before, after, most).unwrap()
        };
        let found =
            |blob, seconds| OldBlob { blob, begun_at: NOW.before(Duration::from_secs(seconds)), named: Named::Nowhere };
        assert_eq!(old(None, 100), [found(oldest, 9), found(older, 5)]);
        assert_eq!(old(None, 1), [found(oldest, 9)]);
        assert_eq!(old(Some((found(oldest, 9).begun_at, oldest)), 100), [found(older, 5)]);
        assert_eq!(all(batch, Upload::Finished).len(), 3);
        assert_eq!(all(batch, Upload::Unfinished), []);
        assert!(batch.blob(&new).unwrap().unwrap().finished);
    });
}

pub(super) fn what_a_bot_has_still_to_read_is_told(ledger: &dyn Ledger) {
    commit(&mut *writer(ledger), |batch| {
        let [alice, bot, early] = ["alice", "bot", "bot"].map(|user| device(batch, user));
        let row = start(batch, conversation(ROOM), &[alice, bot]);
        let file = blob(batch, alice, 1, 0);
        let seq = say(batch, row, b"file");
        batch.name_blob(&file, alice, row, seq).unwrap();
        // no bot, nothing to be kept for one
        assert_eq!(all(batch, Upload::Finished), [(file, Named::Retained)]);
        assert_eq!(batch.unretained_since().unwrap(), None);
        batch.set_retention(&[name("bot")]).unwrap();
        assert_eq!(all(batch, Upload::Finished), [(file, Named::Unretained)]);
        assert_eq!(batch.unretained_since().unwrap(), Some(NOW));
        // a device of the bot that came after the message does not need it
        turn_over(batch, row, joins(conversation(ROOM), 2, &[early]));
        batch.acknowledge(bot, &[(conversation(ROOM), seq)]).unwrap();
        assert_eq!(all(batch, Upload::Finished), [(file, Named::Retained)]);
        assert_eq!(batch.unretained_since().unwrap(), Some(NOW));
        for device in [bot, early] {
            batch.acknowledge(device, &[(conversation(ROOM), u64::MAX)]).unwrap();
        }
        assert_eq!(batch.unretained_since().unwrap(), None);
        // a bot that was removed has read what came before as little as any other
        let seq = say(batch, row, b"file again");
        batch.name_blob(&file, alice, row, seq).unwrap();
        turn_over(batch, row, leaves(conversation(ROOM), 3, bot));
        say(batch, row, b"later");
        assert_eq!(all(batch, Upload::Finished), [(file, Named::Unretained)]);
        for device in [bot, early] {
            batch.acknowledge(device, &[(conversation(ROOM), u64::MAX)]).unwrap();
        }
        assert_eq!(all(batch, Upload::Finished), [(file, Named::Retained)]);
    });
}

/// With these allowances, and a clock that is `days` ahead.
fn later(scene: Scene<'_>, days: u32) -> Scene<'_> {
    let clock: fn() -> Moment = match days {
        0 => || NOW,
        1 => || NOW.after(Duration::from_secs(25 * 60 * 60)),
        _ => || NOW.after(Duration::from_secs(40 * 24 * 60 * 60)),
    };
    Scene::at(scene.ledger, clock)
}

fn begin(device: &DeviceRow, size: u64) -> Change {
    Change::BlobCreate { device: device.clone(), blob: BlobId::fresh().unwrap(), size }
}

fn begun(scene: &mut Scene<'_>, device: &DeviceRow) -> BlobId {
    let Ok(Outcome::Answer(Answer::BlobCreated(created))) = scene.one(begin(device, 9)) else { panic!() };
    let blob = BlobId::parse(&created.blob).unwrap();
    scene.one(Change::BlobFinish { device: device.clone(), blob }).unwrap();
    blob
}

/// Blobs that are deleted until all were looked at.
fn deleted(scene: &mut Scene<'_>) -> Vec<BlobId> {
    let mut all = Vec::new();
    for _ in 0..4 {
        let Ok(Outcome::Purged(deleted)) = scene.one(Change::Purge) else { panic!() };
        all.extend(deleted.blobs);
    }
    all
}

pub(super) fn a_blob_goes_when_everybody_has_it_or_when_it_is_old(ledger: &dyn Ledger) {
    let (mut scene, alice, bob, _) = Scene::with_room(ledger);
    let [named, forgotten] = [(); 2].map(|()| begun(&mut scene, &alice));
    let Ok(Outcome::Answer(_)) = scene.one(begin(&alice, 9)) else { panic!() };
    let Change::Application { device, send_id, message, .. } = text(&alice, 1, 1) else { panic!() };
    let message = Change::Application { device, send_id, message, blobs: vec![named] };
    let acknowledge = |device: &DeviceRow| Change::Acknowledge {
        device: device.clone(),
        cursors: vec![Cursor { conversation: room().to_string(), seq: 2 }],
    };
    let executed = scene.execute(vec![message, acknowledge(&alice)]);
    assert!(executed.outcomes.iter().all(Result::is_ok));
    let mut scene = later(scene, 1);
    // the upload that was never finished
    assert_eq!(deleted(&mut scene).len(), 1);
    scene.one(acknowledge(&bob)).unwrap();
    let mut scene = later(scene, 1);
    assert_eq!(deleted(&mut scene), [named]);
    let mut scene = later(scene, 40);
    assert_eq!(deleted(&mut scene), [forgotten]);
}

pub(super) fn uploads_have_quotas(ledger: &dyn Ledger) {
    let mut scene = Scene::on(ledger);
    let alice = scene.user("alice");
    let size = 1 << 34;
    let executed = scene.execute(vec![begin(&alice, size), begin(&alice, size), begin(&alice, 1)]);
    assert!(executed.outcomes[..2].iter().all(Result::is_ok));
    assert_eq!(code(&executed.outcomes[2]), RefusalCode::Limit);
    assert_eq!(scene.refusals.of(&BLOB_BYTES_OF_DEVICE), 1);
    let bob = scene.user("bob");
    assert!(scene.one(begin(&bob, 1)).is_ok());
    let low = Allowances::default().disk_low_bytes;
    scene.executor.has_room(low + 5);
    assert_eq!(code(&scene.one(begin(&bob, 6))), RefusalCode::Unavailable);
    assert!(scene.one(begin(&bob, 5)).is_ok());
}

pub(super) fn without_room_no_message_is_taken_and_every_acknowledgement(ledger: &dyn Ledger) {
    let (mut scene, alice, bob, _) = Scene::with_room(ledger);
    let low = Allowances::default().disk_low_bytes;
    scene.executor.has_room(low / MESSAGES_OF_BLOBS);
    assert!(scene.one(text(&alice, 1, 1)).is_ok());
    scene.executor.has_room(low / MESSAGES_OF_BLOBS - 1);
    assert_eq!(code(&scene.one(text(&alice, 2, 1))), RefusalCode::Unavailable);
    let cursors = vec![Cursor { conversation: room().to_string(), seq: 2 }];
    for device in [alice, bob] {
        assert!(scene.one(Change::Acknowledge { device, cursors: cursors.clone() }).is_ok());
    }
    assert!(scene.one(Change::Purge).is_ok());
}
