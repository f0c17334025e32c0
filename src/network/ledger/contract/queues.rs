//! What a device finds: its memberships and the messages that are for it.

use super::delivery::{ROOM, joins, leaves};
use super::*;
use retaind_protocol::wire::ConversationState;

pub(super) fn a_member_gets_what_is_for_it_and_no_more(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let id = conversation(ROOM);
    let (alice, bob, carol, row) = commit(&mut *connection, |batch| {
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|user| device(batch, user));
        let row = start(batch, id, &[alice, bob]);
        say(batch, row, b"before carol");
        turn_over(batch, row, joins(id, 2, &[carol]));
        say(batch, row, b"with all");
        turn_over(batch, row, leaves(id, 3, bob));
        say(batch, row, b"without bob");
        (alice, bob, carol, row)
    });
    assert_eq!(seqs(&read(ledger, &id, alice)), [1, 2, 3, 4, 5, 6]);
    assert_eq!(seqs(&read(ledger, &id, bob)), [1, 2, 3, 4, 5]);
    let of_carol = read(ledger, &id, carol);
    assert_eq!(seqs(&of_carol), [3, 4, 5, 6]);
    // whoever is added gets the welcome where the others get the commit
    assert_eq!(
        (of_carol[0].kind(), of_carol[0].payload.as_slice()),
        (DeliveryKind::Welcome, b"welcome back".as_slice())
    );
    assert_eq!(read(ledger, &id, alice)[2].kind(), DeliveryKind::Handshake);
    assert_eq!(read(ledger, &id, bob)[0].payload, b"welcome");

    let mut reader = ledger.reader().unwrap();
    let view = reader.view().unwrap();
    let members = [alice, bob, carol].map(|device| view.is_member(row, device).unwrap());
    assert_eq!(members, [true, false, true]);
    let memberships = view.memberships(bob).unwrap();
    assert_eq!((memberships.len(), memberships[0].conversation, memberships[0].id.as_str()), (1, row, id.as_str()));
    assert_eq!(memberships[0].head_seq, 6);
    assert_eq!(memberships[0].stints, [Stint { from_seq: 1, until_seq: Some(5), acked_seq: 0, welcomed: true }]);
    assert_eq!(
        view.stints(row, carol).unwrap(),
        [Stint { from_seq: 3, until_seq: None, acked_seq: 2, welcomed: true }]
    );
}

pub(super) fn a_device_that_comes_back_has_two_stints(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let id = conversation(ROOM);
    let (bob, row) = commit(&mut *connection, |batch| {
        let [alice, bob] = ["alice", "bob"].map(|user| device(batch, user));
        let row = start(batch, id, &[alice, bob]);
        turn_over(batch, row, leaves(id, 2, bob));
        say(batch, row, b"not for bob");
        turn_over(batch, row, joins(id, 3, &[bob]));
        say(batch, row, b"for bob again");
        (bob, row)
    });
    assert_eq!(seqs(&read(ledger, &id, bob)), [1, 2, 4, 5]);
    let first = Stint { from_seq: 1, until_seq: Some(2), acked_seq: 0, welcomed: true };
    let second = Stint { from_seq: 4, until_seq: None, acked_seq: 3, welcomed: true };
    assert_eq!(stints(ledger, row, bob), [first, second]);
    assert!(ledger.reader().unwrap().view().unwrap().is_member(row, bob).unwrap());
}

pub(super) fn a_reader_takes_what_it_has_room_for(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let id = conversation(ROOM);
    let (row, alice) = commit(&mut *connection, |batch| {
        let alice = device(batch, "alice");
        let row = start(batch, id, &[alice]);
        for _ in 0..9 {
            say(batch, row, &[0; 100]);
        }
        (row, alice)
    });
    let mut reader = ledger.reader().unwrap();
    let view = reader.view().unwrap();
    let stint = view.stints(row, alice).unwrap()[0];
    let read = |after, head, messages, bytes| {
        let wanted = Wanted { conversation: row, id: id.as_str(), stint: &stint, after, head };
        let read = view.read(wanted, Select::All, Budget { messages, bytes }).unwrap();
        (seqs(&read.deliveries), read.through_seq)
    };
    assert_eq!(read(0, 10, 3, 1 << 20), (vec![1, 2, 3], 3));
    assert_eq!(read(3, 10, 100, 250), (vec![4, 5], 5));
    // what is too large for the room is read all the same, or nobody would ever get on
    assert_eq!(read(5, 10, 100, 1), (vec![6], 6));
    assert_eq!(read(6, 8, 100, 1 << 20), (vec![7, 8], 8));
    assert_eq!(read(10, 10, 100, 1 << 20), (vec![], 10));
}

pub(super) fn handshakes_can_be_read_alone(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    let id = conversation(ROOM);
    let (row, alice) = commit(&mut *connection, |batch| {
        let [alice, bob] = ["alice", "bob"].map(|user| device(batch, user));
        let row = start(batch, id, &[alice]);
        say(batch, row, b"one");
        say(batch, row, b"two");
        turn_over(batch, row, joins(id, 2, &[bob]));
        say(batch, row, b"three");
        (row, alice)
    });
    let mut reader = ledger.reader().unwrap();
    let view = reader.view().unwrap();
    let stint = view.stints(row, alice).unwrap()[0];
    let wanted = Wanted { conversation: row, id: id.as_str(), stint: &stint, after: 0, head: 5 };
    let read = view.read(wanted, Select::HandshakesOnly, ALL).unwrap();
    // what was passed over was passed over on purpose
    assert_eq!((seqs(&read.deliveries), read.through_seq), (vec![1, 4], 5));
}

pub(super) fn conversations_are_listed_page_by_page(ledger: &dyn Ledger) {
    let mut connection = writer(ledger);
    // made in another order than they are listed in
    let ids = [b'c', b'a', b'd', b'b'].map(conversation);
    let (alice, rows) = commit(&mut *connection, |batch| {
        let [alice, bob] = ["alice", "bob"].map(|user| device(batch, user));
        let rows = ids.map(|id| start(batch, id, &[alice, bob]));
        say(batch, rows[1], b"text");
        batch.acknowledge(alice, &[(ids[1], 1)]).unwrap();
        turn_over(batch, rows[2], leaves(ids[2], 2, alice));
        say(batch, rows[2], b"not for alice");
        (alice, rows)
    });
    let mut reader = ledger.reader().unwrap();
    let view = reader.view().unwrap();
    let state = |first, acknowledged_seq, head_seq| ConversationState {
        conversation: conversation(first).to_string(),
        acknowledged_seq,
        head_seq,
    };
    let states = |after: &str, most| view.states(alice, after, most).unwrap();
    assert_eq!(states("", 2), [state(b'a', 1, 2), state(b'b', 0, 1)]);
    // what comes after a removal is not told, not even that it is there
    assert_eq!(states(conversation(b'b').as_str(), 2), [state(b'c', 0, 1), state(b'd', 0, 2)]);
    assert_eq!(states(conversation(b'd').as_str(), 2), []);

    let mut all = rows;
    all.sort_unstable();
    assert_eq!(view.conversations_after(0, 3).unwrap(), all[..3]);
    assert_eq!(view.conversations_after(all[2], 3).unwrap(), all[3..]);
    assert_eq!(view.memberships(alice).unwrap().len(), 4);
}
