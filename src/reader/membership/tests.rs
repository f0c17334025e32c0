use serde_json::{Value, json};

use super::*;
use crate::samples::{DIRECT, ROOM, Sample, joined, members, record, text, titled};

fn membership(lines: &[Value]) -> Membership {
    let sample = Sample::of(&[lines.to_vec()]);
    let (membership, bad) = Membership::of(&sample.archive()).unwrap();
    assert!(bad.is_empty());
    membership
}

fn left(seq: u64, user: &str) -> Value {
    record(ROOM, seq, user, 4003, json!({"control": {"deletedusers": [user], "msgtype": 4003}}))
}

#[test]
fn members_are_those_that_joined_and_were_not_removed() {
    let membership = membership(&[
        joined(ROOM, 3, &["alice", "bob"]),
        text(ROOM, 4, "alice", "\"control\" is only a word here"),
        members(ROOM, 5, &["carol"], &[]),
        members(ROOM, 7, &[], &["bob"]),
        members(ROOM, 9, &["bob"], &["carol"]),
    ]);
    let at = |moment| membership.members(ROOM, moment).join(" ");
    let seen: Vec<String> = (2..=10).map(at).collect();
    let expected = [
        "",
        "alice bob",
        "alice bob",
        "alice bob carol",
        "alice bob carol",
        "alice bob carol",
        "alice carol",
        "alice bob carol",
        "alice bob",
    ];
    assert_eq!(seen, expected);
    assert_eq!(membership.spans(ROOM, "bob"), [(3, 7), (9, u64::MAX)]);
    assert_eq!(membership.ever(ROOM), ["alice", "bob", "carol"]);
    assert!(membership.members(DIRECT, 3).is_empty());
}

#[test]
fn a_leave_is_one_and_ends_with_its_commit() {
    let both = membership(&[joined(ROOM, 1, &["alice", "bob"]), left(5, "bob"), members(ROOM, 7, &[], &["bob"])]);
    assert_eq!(both.spans(ROOM, "bob"), [(1, 7)]);
    let only_said = membership(&[joined(ROOM, 1, &["alice", "bob"]), left(5, "bob")]);
    assert_eq!(only_said.spans(ROOM, "bob"), [(1, 5)]);
    let unknown = membership(&[left(5, "mallory")]);
    assert_eq!(unknown.spans(ROOM, "mallory"), [(5, 5)]);
}

#[test]
fn a_list_of_a_sender_counts_only_where_there_is_nothing_else() {
    let control = json!({"members": ["alice", "mallory"], "masters": [], "title": "A", "msgtype": 4001});
    let created = record(ROOM, 2, "alice", 4001, json!({"control": control}));
    let with_joined = membership(&[joined(ROOM, 1, &["alice", "bob"]), created.clone()]);
    assert_eq!(with_joined.members(ROOM, 3), ["alice", "bob"]);
    let mut foreign = created;
    foreign.as_object_mut().unwrap().remove("seq");
    let mut added = members(ROOM, 3, &["bob"], &[]);
    added.as_object_mut().unwrap().remove("seq");
    let foreign = membership(&[foreign, added]);
    assert_eq!(foreign.members(ROOM, PLACES_FROM + 1), ["alice", "mallory"]);
    assert_eq!(
        foreign.members(ROOM, PLACES_FROM + 2),
        ["alice", "bob", "mallory"],
        "lines without `seq` count by their place"
    );
}

#[test]
fn a_bot_that_joins_again_knows_who_is_gone() {
    let membership = membership(&[joined(ROOM, 1, &["alice", "bob"]), joined(ROOM, 9, &["alice", "carol"])]);
    assert_eq!(membership.spans(ROOM, "bob"), [(1, 8)]);
    assert_eq!(membership.spans(ROOM, "alice"), [(1, u64::MAX)]);
}

#[test]
fn a_title_is_the_last_one_before_and_else_made_of_names() {
    let membership = membership(&[
        joined(ROOM, 1, &["a", "b", "c", "d", "e", "f", "g"]),
        titled(ROOM, 4, "First"),
        titled(ROOM, 8, "Second"),
    ]);
    let at = |moment| membership.shown_title(ROOM, moment);
    assert_eq!([at(3), at(4), at(7), at(8)], ["a, b, c, d, e +2", "First", "First", "Second"]);
    assert_eq!(membership.titles(ROOM), [(4, "First"), (8, "Second")]);
    assert_eq!(membership.titled(|title| title == "First").len(), 1);
}

#[test]
fn members_do_not_depend_on_the_order_of_files() {
    let (early, late) = (joined(ROOM, 1, &["alice", "bob"]), members(ROOM, 7, &[], &["bob"]));
    let sample = Sample::of(&[vec![late], vec![early]]);
    let (membership, _) = Membership::of(&sample.archive()).unwrap();
    assert_eq!(membership.spans(ROOM, "bob"), [(1, 7)]);
}

#[test]
fn a_control_record_that_cannot_be_read_is_named() {
    let sample = Sample::of_lines(&[vec![r#"{"control":1,"msgtype":4002,"vgroupid":"x"}"#]]);
    let (_, bad) = Membership::of(&sample.archive()).unwrap();
    assert_eq!(bad.len(), 1);
    assert_eq!(bad[0].place.line, 1);
}
