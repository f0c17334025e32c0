//! Every decision on rows made up by hand: no database, no group, no clock.

use std::iter;

use super::*;

const NOW: Moment = Moment::of_micros(1_700_000_000_000_000);
const CONVERSATION: ConversationRow = ConversationRow { row: 5, suite: 7, epoch: 3, head_seq: 41, reported: false };

fn id() -> ConversationId {
    ConversationId::from_bytes(&[b'a'; 64]).unwrap()
}

fn device(row: u8) -> DeviceRow {
    DeviceRow {
        row: row.into(),
        device: DeviceId::new([row; 16]),
        user: format!("user {row}"),
        suite: 7,
        signature_key: vec![row],
        suspended: false,
    }
}

fn ids(rows: &[u8]) -> HashSet<DeviceId> {
    rows.iter().map(|row| device(*row).device).collect()
}

fn sending(device: &DeviceRow) -> Sending<'_> {
    Sending { device, send_id: SendId::parse(&[9; 16]).unwrap(), at: NOW }
}

fn with_bot(row: u8) -> RetentionPolicy {
    RetentionPolicy {
        required: vec![device(row)],
        retention_users: vec![format!("user {row}")],
        ..RetentionPolicy::default()
    }
}

fn message(epoch: u64) -> Ciphertext {
    Ciphertext { conversation: id(), epoch, bytes: b"sealed".to_vec() }
}

fn a_commit<'a>(added: &[DeviceRow], removed: &[i64], members: &[u8]) -> Commit<'a> {
    Commit {
        id: id(),
        payload: b"commit",
        welcome: if added.is_empty() { b"" } else { b"welcome" },
        tree: b"tree".to_vec(),
        epoch: 4,
        added: added.iter().map(|device| (device.device, Some(device.clone()))).collect(),
        removed: removed.to_vec(),
        members: ids(members),
    }
}

#[track_caller]
fn code<T: std::fmt::Debug>(decided: Result<T, Refusal>) -> RefusalCode {
    decided.unwrap_err().code
}

fn here() -> Current {
    current(&id(), Some(CONVERSATION), true, 3).unwrap()
}

#[test]
fn a_device_learns_first_what_it_must_do_first() {
    assert_eq!(code(current(&id(), None, false, 9)), RefusalCode::NotFound);
    assert_eq!(code(current(&id(), Some(CONVERSATION), false, 9)), RefusalCode::NotMember);
    let stale = current(&id(), Some(CONVERSATION), true, 2).unwrap_err();
    assert_eq!(stale.code, RefusalCode::StaleEpoch);
    assert_eq!(stale.message, "the conversation is in epoch 3, the message of 2: read what is new");
    // a message ahead of the conversation is as wrong as one behind it
    assert_eq!(code(current(&id(), Some(CONVERSATION), true, 4)), RefusalCode::StaleEpoch);
    assert_eq!(here().conversation(), &CONVERSATION);
}

#[test]
fn a_suspended_device_may_do_nothing() {
    let policy = RetentionPolicy { suspended: [1].into(), ..RetentionPolicy::default() };
    assert_eq!(code(active(&policy, &device(1))), RefusalCode::Suspended);
    active(&policy, &device(2)).unwrap();
}

#[test]
fn an_application_message_takes_the_next_place_and_changes_nothing_else() {
    let (alice, message) = (device(1), message(3));
    let sending = sending(&alice);
    let entry = application(&RetentionPolicy::default(), &here(), Retained::Yes, &sending, &message).unwrap();
    let expected = Entry {
        seq: 42,
        kind: DeliveryKind::Application,
        accepted_at: NOW,
        payload: b"sealed",
        sender: Some((1, sending.send_id)),
        tree: None,
        turnover: None,
    };
    assert_eq!(entry, expected);
}

#[test]
fn nothing_is_sent_where_the_bot_does_not_read() {
    let (alice, message) = (device(1), message(3));
    let sending = sending(&alice);
    let decide = |policy: &RetentionPolicy, retained| application(policy, &here(), retained, &sending, &message);
    assert_eq!(code(decide(&with_bot(8), Retained::No)), RefusalCode::BotMissing);
    assert_eq!(code(decide(&with_bot(8), Retained::Lost)), RefusalCode::BotMissing);
    assert_eq!(code(decide(&with_bot(8), Retained::Behind)), RefusalCode::BotBehind);
    decide(&with_bot(8), Retained::Yes).unwrap();
    // a bot without an active device reads nowhere, whoever else does
    let unready = RetentionPolicy { unready: Some("archive_bot".into()), ..with_bot(8) };
    let refusal = decide(&unready, Retained::Yes).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::BotMissing);
    assert!(refusal.message.contains("`archive_bot` has no active device"), "{}", refusal.message);
}

#[test]
fn a_commit_admits_and_dismisses_at_its_own_place() {
    let alice = device(1);
    let entry =
        commit(&RetentionPolicy::default(), &[], &here(), &sending(&alice), a_commit(&[device(2)], &[3], &[1, 2]))
            .unwrap();
    assert_eq!((entry.seq, entry.kind, entry.tree.as_deref()), (42, DeliveryKind::Handshake, Some(b"tree".as_slice())));
    let turnover = Turnover {
        id: id(),
        epoch: 4,
        welcome: b"welcome",
        joining: vec![Joining { device: 2, welcomed: true }],
        leaving: vec![3],
    };
    assert_eq!(entry.turnover, Some(turnover));
}

#[test]
fn whoever_starts_a_conversation_is_in_it_from_its_first_message() {
    let alice = device(1);
    let vacant = vacant(&id(), &id(), HandshakeKind::Commit, None).unwrap();
    let entry =
        creation(&RetentionPolicy::default(), &vacant, &sending(&alice), a_commit(&[device(2)], &[], &[1, 2])).unwrap();
    assert_eq!(entry.seq, 1);
    let joining = [Joining { device: 1, welcomed: false }, Joining { device: 2, welcomed: true }];
    assert_eq!(entry.turnover.unwrap().joining, joining);
}

#[test]
fn a_conversation_starts_with_its_own_commit_under_a_free_id() {
    let other = ConversationId::from_bytes(&[b'b'; 64]).unwrap();
    assert_eq!(code(vacant(&id(), &id(), HandshakeKind::Proposal, None)), RefusalCode::Invalid);
    assert_eq!(code(vacant(&id(), &other, HandshakeKind::Commit, None)), RefusalCode::Invalid);
    let taken = vacant(&id(), &id(), HandshakeKind::Commit, Some(CONVERSATION));
    assert_eq!(taken.unwrap_err().message, "there is a conversation of this id: choose another at random");
}

#[test]
fn only_active_devices_of_this_network_are_added() {
    let alice = device(1);
    let suspended = DeviceRow { suspended: true, ..device(2) };
    let decide = |commit_of| commit(&RetentionPolicy::default(), &[], &here(), &sending(&alice), commit_of);
    assert_eq!(code(decide(a_commit(&[suspended], &[], &[1, 2]))), RefusalCode::Suspended);
    let unknown = Commit { added: vec![(device(2).device, None)], ..a_commit(&[device(2)], &[], &[1, 2]) };
    assert_eq!(code(decide(unknown)), RefusalCode::NotFound);
}

#[test]
fn no_commit_leaves_a_conversation_without_the_bot() {
    let alice = device(1);
    let decide = |policy: &RetentionPolicy, members: &[u8]| {
        commit(policy, &[], &here(), &sending(&alice), a_commit(&[], &[], members))
    };
    assert_eq!(code(decide(&with_bot(8), &[1, 2])), RefusalCode::BotMissing);
    decide(&with_bot(8), &[1, 2, 8]).unwrap();
    // every device of every bot
    let two = RetentionPolicy { required: vec![device(7), device(8)], ..with_bot(8) };
    assert_eq!(code(decide(&two, &[1, 2, 8])), RefusalCode::BotMissing);
    let unready = RetentionPolicy { unready: Some("archive_bot".into()), ..RetentionPolicy::default() };
    assert_eq!(code(decide(&unready, &[1, 2])), RefusalCode::BotMissing);
    // the bot is asked for before it is asked who is added
    let suspended = DeviceRow { suspended: true, ..device(2) };
    // the bot that cannot follow may be left out, and only that one
    let without =
        |lost: &[i64]| commit(&with_bot(8), lost, &here(), &sending(&alice), a_commit(&[], &[8], &[1, 2])).map(drop);
    without(&[8]).unwrap();
    assert_eq!(code(without(&[7])), RefusalCode::BotMissing);
    let both_wrong = commit(&with_bot(8), &[], &here(), &sending(&alice), a_commit(&[suspended], &[], &[1, 2]));
    assert_eq!(code(both_wrong), RefusalCode::BotMissing);
}

#[test]
fn nobody_proposes_the_bot_away() {
    let alice = device(1);
    let decide = |removes: Option<u8>| {
        let removes = removes.map(|row| device(row).device);
        proposal(&with_bot(8), &here(), &sending(&alice), removes.as_ref(), b"proposal", b"tree".to_vec())
    };
    assert_eq!(code(decide(Some(8))), RefusalCode::BotMissing);
    for removes in [Some(2), None] {
        let entry = decide(removes).unwrap();
        assert_eq!((entry.seq, entry.turnover, entry.tree), (42, None, Some(b"tree".to_vec())));
    }
    without_welcome(b"").unwrap();
    assert_eq!(code(without_welcome(b"welcome")), RefusalCode::Invalid);
}

#[test]
fn the_network_proposes_in_its_own_name() {
    let entry = own_proposal(&CONVERSATION, NOW, b"add", b"tree".to_vec());
    assert_eq!((entry.seq, entry.sender, entry.turnover), (42, None, None));
}

#[test]
fn an_acknowledgement_with_one_wrong_cursor_is_none() {
    let right = Cursor { conversation: id().to_string(), seq: 7 };
    assert_eq!(cursors(std::slice::from_ref(&right)).unwrap(), [(id(), 7)]);
    let wrong = Cursor { conversation: "room".into(), seq: 7 };
    assert_eq!(code(cursors(&[right, wrong])), RefusalCode::Invalid);
}

#[test]
fn the_name_of_a_message_is_sixteen_bytes() {
    for length in (0..16).chain(iter::once(17)) {
        assert_eq!(code(SendId::parse(&vec![0; length])), RefusalCode::Invalid);
    }
    assert_eq!(SendId::parse(&[4; 16]).unwrap().as_bytes(), &[4; 16]);
}
