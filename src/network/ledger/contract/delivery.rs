//! Conversations, messages, cursors and uploads.

use super::*;
use crate::delivery::blobs::{BlobId, BlobRow};
use crate::ledger::SENDS_REMEMBERED;

pub(super) const ROOM: u8 = b'a';

pub(super) fn joins(id: ConversationId, epoch: u64, devices: &[i64]) -> Turnover<'static> {
    let joining = devices.iter().map(|device| Joining { device: *device, welcomed: true }).collect();
    Turnover { id, epoch, welcome: b"welcome back", joining, leaving: Vec::new() }
}

pub(super) fn leaves(id: ConversationId, epoch: u64, device: i64) -> Turnover<'static> {
    Turnover { id, epoch, welcome: b"", joining: Vec::new(), leaving: vec![device] }
}

pub(super) fn places_have_no_gaps(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let ids = [conversation(b'a'), conversation(b'b'), conversation(b'c')];
    let (alice, rows) = commit(&mut *connection, |batch| {
        let alice = device(batch, "alice");
        (alice, ids.map(|id| start(batch, id, &[alice])))
    });
    for round in 0..7_u8 {
        commit(&mut *connection, |batch| {
            // in turn, and some more often than others
            for (place, row) in rows.iter().enumerate() {
                for _ in 0..=place {
                    let number = u16::try_from(next(batch, *row) * 4).unwrap() + u16::try_from(place).unwrap();
                    write(batch, *row, Some((alice, send_id(number))), &[round]);
                }
            }
        });
        connection = writer(ledger);
    }
    for (place, id) in ids.iter().enumerate() {
        let messages = 7 * (place as u64 + 1);
        let deliveries = read(ledger, id, alice);
        assert_eq!(seqs(&deliveries), (1..=messages + 1).collect::<Vec<_>>());
        for delivery in &deliveries[1..] {
            assert_eq!(u64::from(delivery.payload[0]), (delivery.seq - 2) / (place as u64 + 1));
            assert_eq!(delivery.conversation, id.as_str());
            assert_eq!(delivery.kind(), DeliveryKind::Application);
            assert_eq!(delivery.accepted_at_micros, NOW.micros());
            assert_eq!((delivery.sender_user.as_str(), delivery.sender_device.len()), ("alice", 16));
        }
        // the commit was the network's own
        assert_eq!((deliveries[0].kind(), deliveries[0].sender_user.as_str()), (DeliveryKind::Handshake, ""));
    }
}

pub(super) fn a_message_is_known_by_its_sender_s_name_for_it(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let (alice, bob) = commit(&mut *connection, |batch| {
        let (alice, bob) = (device(batch, "alice"), device(batch, "bob"));
        let room = start(batch, conversation(ROOM), &[alice, bob]);
        let other = start(batch, conversation(b'b'), &[alice, bob]);
        write(batch, room, Some((alice, send_id(1))), b"one");
        write(batch, other, Some((alice, send_id(2))), b"two");
        write(batch, other, Some((bob, send_id(1))), b"three");
        (alice, bob)
    });
    let mut reader = ledger.reader().unwrap();
    let view = reader.view().unwrap();
    let sent = |device, number| view.sent(device, send_id(number)).unwrap();
    assert_eq!([sent(alice, 1), sent(alice, 2), sent(alice, 3)], [Some(2), Some(2), None]);
    assert_eq!([sent(bob, 1), sent(bob, 2)], [Some(3), None]);
}

pub(super) fn a_thousand_sends_of_a_device_are_remembered(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let sends = u16::try_from(SENDS_REMEMBERED).unwrap();
    let (alice, bob) = commit(&mut *connection, |batch| {
        let (alice, bob) = (device(batch, "alice"), device(batch, "bob"));
        let row = start(batch, conversation(ROOM), &[alice, bob]);
        write(batch, row, Some((bob, send_id(1))), b"of long ago");
        for number in 0..sends + 300 {
            write(batch, row, Some((alice, send_id(number))), b"text");
        }
        (alice, bob)
    });
    let mut reader = ledger.reader().unwrap();
    let view = reader.view().unwrap();
    for number in 300..sends + 300 {
        assert_eq!(view.sent(alice, send_id(number)).unwrap(), Some(u64::from(number) + 3));
    }
    // what another device sends makes nobody forget
    assert_eq!(view.sent(bob, send_id(1)).unwrap(), Some(2));
}

pub(super) fn cursors_go_forward_and_never_too_far(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let id = conversation(ROOM);
    let (alice, bob, row) = commit(&mut *connection, |batch| {
        let [alice, bob] = ["alice", "bob"].map(|user| device(batch, user));
        let row = start(batch, id, &[alice, bob]);
        chat(batch, row, 4);
        (alice, bob, row)
    });
    let mut acknowledge = |device, seq| {
        let moved = commit(&mut *connection, |batch| batch.acknowledge(device, &[(id, seq)]).unwrap());
        assert_eq!(moved, [row]);
        stints(ledger, row, device)[0].acked_seq
    };
    assert_eq!(acknowledge(alice, 3), 3);
    assert_eq!(acknowledge(alice, 2), 3);
    assert_eq!(acknowledge(alice, 0), 3);
    assert_eq!(acknowledge(alice, 3), 3);
    assert_eq!(acknowledge(alice, 1000), 5);
    assert_eq!(acknowledge(alice, u64::MAX), 5);
    assert_eq!(stints(ledger, row, bob)[0].acked_seq, 0);
    // after it was removed: up to the removal, whatever comes later
    commit(&mut *connection, |batch| {
        turn_over(batch, row, leaves(id, 2, bob));
        say(batch, row, b"later");
        batch.acknowledge(bob, &[(id, 7)]).unwrap();
    });
    assert_eq!(stints(ledger, row, bob)[0].acked_seq, 6);
    // there is nothing to be moved where nothing is
    let nowhere = commit(&mut *connection, |batch| batch.acknowledge(bob, &[(conversation(b'f'), 7)]).unwrap());
    assert_eq!(nowhere, [0; 0]);
}

/// Places that a member from the start, which has acknowledged nothing, still finds.
fn kept(ledger: &dyn Ledger, row: i64) -> Vec<u64> {
    let id = conversation(ROOM);
    let stint = Stint { from_seq: 1, until_seq: None, acked_seq: 0, welcomed: false };
    let wanted = Wanted { conversation: row, id: id.as_str(), stint: &stint, after: 0, head: 1000 };
    seqs(&ledger.reader().unwrap().view().unwrap().read(wanted, Select::All, ALL).unwrap().deliveries)
}

pub(super) fn a_purge_deletes_what_everybody_has_and_no_more(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let id = conversation(ROOM);
    let (alice, bob, row) = commit(&mut *connection, |batch| {
        let [alice, bob] = ["alice", "bob"].map(|user| device(batch, user));
        let row = start(batch, id, &[alice, bob]);
        chat(batch, row, 5);
        (alice, bob, row)
    });
    let mut acknowledge = |device, seq| {
        commit(&mut *connection, |batch| {
            batch.acknowledge(device, &[(id, seq)]).unwrap();
            let purged = batch.purge(&[row], 100).unwrap();
            assert_eq!(purged.unfinished, [0; 0]);
            purged.messages
        })
    };
    assert_eq!(acknowledge(alice, 5), 0);
    assert_eq!(kept(ledger, row), [1, 2, 3, 4, 5, 6]);
    assert_eq!(acknowledge(bob, 3), 3);
    assert_eq!(kept(ledger, row), [4, 5, 6]);
    assert_eq!(seqs(&read(ledger, &id, bob)), [4, 5, 6]);
    assert_eq!(acknowledge(bob, 6), 2);
    assert_eq!(kept(ledger, row), [6]);
    assert_eq!(acknowledge(alice, 6), 1);
    assert_eq!(acknowledge(alice, 6), 0);
    // places go on where they were
    let seq = commit(&mut *connection, |batch| say(batch, row, b"new"));
    assert_eq!((seq, kept(ledger, row)), (7, vec![7]));
    assert_eq!(seqs(&read(ledger, &id, alice)), [7]);
}

pub(super) fn a_purge_ends_where_it_must(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let id = conversation(ROOM);
    let (row, other) = commit(&mut *connection, |batch| {
        let alice = device(batch, "alice");
        let rows = [id, conversation(b'b')].map(|id| start(batch, id, &[alice]));
        rows.iter().for_each(|row| chat(batch, *row, 9));
        batch.acknowledge(alice, &[(id, 10), (conversation(b'b'), 10)]).unwrap();
        (rows[0], rows[1])
    });
    let mut purge = |most| commit(&mut *connection, |batch| batch.purge(&[row, other], most).unwrap());
    let first = purge(4);
    assert_eq!((first.messages, first.unfinished), (4, vec![row, other]));
    assert_eq!(kept(ledger, row), [5, 6, 7, 8, 9, 10]);
    let second = purge(8);
    assert_eq!((second.messages, second.unfinished), (8, vec![other]));
    let last = purge(100);
    assert_eq!((last.messages, last.unfinished), (8, vec![]));
    assert_eq!(purge(100).messages, 0);
}

pub(super) fn memberships_that_are_over_are_deleted(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let id = conversation(ROOM);
    let (alice, bob, row) = commit(&mut *connection, |batch| {
        let [alice, bob] = ["alice", "bob"].map(|user| device(batch, user));
        let row = start(batch, id, &[alice, bob]);
        turn_over(batch, row, leaves(id, 2, bob));
        say(batch, row, b"later");
        batch.acknowledge(alice, &[(id, 3)]).unwrap();
        assert_eq!(batch.purge(&[row], 100).unwrap().messages, 0);
        (alice, bob, row)
    });
    // it has not been told yet that it is no member any more
    assert_eq!(seqs(&read(ledger, &id, bob)), [1, 2]);
    let purged = commit(&mut *connection, |batch| {
        batch.acknowledge(bob, &[(id, 2)]).unwrap();
        batch.purge(&[row], 100).unwrap().messages
    });
    assert_eq!((purged, stints(ledger, row, bob)), (3, vec![]));
    assert_eq!(stints(ledger, row, alice).len(), 1);
    // a conversation that all have left, and have all of
    let purged = commit(&mut *connection, |batch| {
        turn_over(batch, row, leaves(id, 3, alice));
        batch.acknowledge(alice, &[(id, 4)]).unwrap();
        batch.purge(&[row], 100).unwrap().messages
    });
    assert_eq!((purged, kept(ledger, row)), (1, vec![]));
}

pub(super) fn the_group_is_the_one_of_the_last_entry_with_one(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let id = conversation(ROOM);
    let (row, bare) = commit(&mut *connection, |batch| {
        let alice = device(batch, "alice");
        (start(batch, id, &[alice]), batch.insert_conversation(&conversation(b'b'), SUITE).unwrap())
    });
    let tree = |row| ledger.reader().unwrap().view().unwrap().tree(row).unwrap();
    assert_eq!(tree(row).unwrap(), b"tree of epoch 1");
    assert_eq!(tree(bare), None);
    commit(&mut *connection, |batch| say(batch, row, b"text"));
    assert_eq!(tree(row).unwrap(), b"tree of epoch 1");
    commit(&mut *connection, |batch| {
        turn_over(batch, row, joins(id, 2, &[]));
        turn_over(batch, row, joins(id, 3, &[]));
    });
    assert_eq!(tree(row).unwrap(), b"tree of epoch 3");
    // a proposal changes the group, but not the epoch
    commit(&mut *connection, |batch| {
        let seq = next(batch, row);
        let tree = Some(b"tree with a proposal".to_vec());
        let kind = DeliveryKind::Handshake;
        let entry = Entry { seq, kind, accepted_at: NOW, payload: b"add", sender: None, tree, turnover: None };
        batch.append(row, &entry).unwrap();
    });
    assert_eq!(tree(row).unwrap(), b"tree with a proposal");
    assert_eq!(ledger.reader().unwrap().view().unwrap().conversation_at(row).unwrap().unwrap().epoch, 3);
}

pub(super) fn conversations_that_lack_a_device_are_found(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let ids = [b'a', b'b', b'c', b'd'].map(conversation);
    let (rows, [bot, second]) = commit(&mut *connection, |batch| {
        let [alice, bot, second] = ["alice", "bot", "second bot"].map(|user| device(batch, &user.replace(' ', "_")));
        let both = start(batch, ids[0], &[alice, bot, second]);
        let one = start(batch, ids[1], &[alice, bot]);
        let none = start(batch, ids[2], &[alice]);
        let left = start(batch, ids[3], &[alice]);
        turn_over(batch, left, leaves(ids[3], 2, alice));
        ([both, one, none, left], [bot, second])
    });
    let mut reader = ledger.reader().unwrap();
    let view = reader.view().unwrap();
    let [both, one, none, left] = rows;
    assert_eq!(view.lacking(&[bot], 0, left).unwrap(), (vec![none], Some(left)));
    assert_eq!(view.lacking(&[bot, second], 0, left).unwrap(), (vec![one, none], Some(left)));
    assert_eq!(view.lacking(&[bot, second], one, left).unwrap().0, [none]);
    assert_eq!(view.lacking(&[bot, second], 0, one).unwrap().0, [one]);
    assert_eq!(view.lacking(&[bot, second], 0, both).unwrap().0, [0; 0]);
}

pub(super) fn uploads_are_kept_and_counted(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let [one, two] = [BlobId::fresh().unwrap(), BlobId::fresh().unwrap()];
    let begun = BlobRow { device: 3, size: 5 << 30, finished: false };
    commit(&mut *connection, |batch| {
        batch.insert_blob(&one, begun, NOW).unwrap();
        batch.insert_blob(&two, BlobRow { device: 4, ..begun }, NOW).unwrap();
    });
    let found = |blob| ledger.reader().unwrap().view().unwrap().blob(&blob).unwrap();
    let unfinished = |device| ledger.reader().unwrap().view().unwrap().unfinished_blobs(device).unwrap();
    assert_eq!((found(one), unfinished(3), unfinished(4)), (Some(begun), 1, 1));
    // not by another device's word
    commit(&mut *connection, |batch| batch.finish_blob(&one, 4).unwrap());
    assert_eq!(found(one), Some(begun));
    commit(&mut *connection, |batch| batch.finish_blob(&one, 3).unwrap());
    commit(&mut *connection, |batch| batch.finish_blob(&one, 3).unwrap());
    assert_eq!((found(one), unfinished(3)), (Some(BlobRow { finished: true, ..begun }), 0));
    assert_eq!(found(BlobId::fresh().unwrap()), None);
}
