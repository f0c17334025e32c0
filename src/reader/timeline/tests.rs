use serde_json::{Value, json};

use super::*;
use crate::filter::{Filter, FilterArgs};
use crate::samples::{DIRECT, Dice, ROOM, Sample, edit, id, reaction, recall, receipt, record, text};

fn items(sample: &Sample, args: &FilterArgs, order: Order, grouping: Grouping) -> Vec<Item> {
    let (archive, filter) = (sample.archive(), Filter::new(args).unwrap());
    let survey = Survey::of(&archive, &filter).unwrap();
    let timeline = Timeline::of(&survey, order, Direction::Forward, grouping, |_| {}).unwrap();
    assert!(timeline.bad_lines().is_empty());
    timeline.map(Result::unwrap).collect()
}

fn grouped(segments: &[Vec<Value>], args: &FilterArgs) -> Vec<Item> {
    items(&Sample::of(segments), args, Order::Conversation, Grouping::Modifiers)
}

fn seqs(item: &Item) -> Vec<u64> {
    item.members().map(|member| member.record.seq.unwrap()).collect()
}

#[test]
fn edits_reactions_recalls_and_receipts_follow_their_message_into_another_segment() {
    let first = vec![
        text(ROOM, 1, "alice", "teh text"),
        text(ROOM, 2, "bob", "other"),
        edit(ROOM, 3, "alice", 1, "the text"),
        reaction(ROOM, 4, "bob", 1, true),
    ];
    let second = vec![
        receipt(ROOM, 5, "bob", 1),
        edit(ROOM, 6, "alice", 1, "the final text"),
        reaction(ROOM, 7, "carol", 1, true),
        reaction(ROOM, 8, "bob", 1, false),
        edit(ROOM, 9, "mallory", 1, "never said"),
        recall(ROOM, 10, "alice", 1),
        text(ROOM, 11, "bob", "last"),
    ];
    let items = grouped(&[first, second], &FilterArgs::default());
    let shape: Vec<Vec<u64>> = items.iter().map(seqs).collect();
    assert_eq!(shape, [vec![1, 3, 4, 5, 6, 7, 8, 9, 10], vec![2], vec![11]]);
    let versions: Vec<&str> = items[0].versions().iter().map(|version| version.text).collect();
    assert_eq!(versions, ["teh text", "the text", "the final text"], "only its sender's");
    let users: Vec<Vec<&str>> = items[0].reactions().into_iter().map(|reaction| reaction.users).collect();
    assert_eq!(users, [vec!["carol"]]);
    assert_eq!(items[0].recall().unwrap().record.sender, "alice");
    assert!(items[1].recall().is_none() && items.iter().all(|item| !item.is_outside));
}

#[test]
fn a_modifier_in_an_earlier_segment_than_its_message_finds_it() {
    let items =
        grouped(&[vec![edit(ROOM, 3, "alice", 1, "b")], vec![text(ROOM, 1, "alice", "a")]], &FilterArgs::default());
    assert_eq!(items.iter().map(seqs).collect::<Vec<_>>(), [[1, 3]]);
}

#[test]
fn a_modifier_whose_message_is_not_wanted_stands_alone_and_is_marked() {
    let lines = vec![
        text(ROOM, 1, "alice", "a"),
        text(ROOM, 2, "bob", "b"),
        edit(ROOM, 3, "alice", 1, "edited a"),
        edit(ROOM, 4, "bob", 2, "c"),
        edit(ROOM, 5, "bob", 99, "edited nothing here"),
    ];
    let of_edits = FilterArgs { types: vec!["edit".to_owned()], ..FilterArgs::default() };
    let items = grouped(std::slice::from_ref(&lines), &of_edits);
    assert_eq!(items.iter().map(seqs).collect::<Vec<_>>(), [[3], [4], [5]]);
    assert!(items.iter().all(|item| item.is_outside));
    // and a wanted message brings its modifiers, wanted or not
    let of_texts = FilterArgs { types: vec!["text".to_owned()], ..FilterArgs::default() };
    let items = grouped(&[lines], &of_texts);
    assert_eq!(items.iter().map(seqs).collect::<Vec<_>>(), [[1, 3], [2, 4]]);
    assert!(!items[0].modifiers[0].is_wanted && items[0].message.is_wanted);
}

#[test]
fn two_messages_of_one_time_share_a_receipt_that_is_marked() {
    let same = json!({"message": "at once", "msg_ts": "1780000060.000000"});
    let lines = vec![
        record(ROOM, 1, "alice", 1000, same.clone()),
        record(ROOM, 2, "alice", 1000, same),
        receipt(ROOM, 3, "bob", 1),
    ];
    let items = grouped(&[lines], &FilterArgs::default());
    assert_eq!(items.iter().map(seqs).collect::<Vec<_>>(), [[1, 3], [2, 3]]);
    assert!(items.iter().all(|item| item.modifiers[0].is_ambiguous));
}

#[test]
fn stars_are_under_each_message_that_they_name_and_ids_are_of_one_conversation() {
    let attributes = json!([{"isstarred": true, "msgid": id(ROOM, 1)}, {"isstarred": true, "msgid": id(ROOM, 2)},
        {"isstarred": false, "msgid": id(ROOM, 1)}]);
    let mut stranger = text(DIRECT, 1, "bob", "another conversation");
    stranger["message_id"] = json!(id(ROOM, 1));
    let lines = vec![
        text(ROOM, 1, "alice", "a"),
        text(ROOM, 2, "alice", "b"),
        stranger,
        record(ROOM, 3, "bob", 4012, json!({"control": {"attributes": attributes, "msgtype": 4012}})),
    ];
    let items = grouped(&[lines], &FilterArgs::default());
    assert_eq!(items.iter().map(seqs).collect::<Vec<_>>(), [vec![1, 3], vec![2, 3], vec![1]]);
}

#[test]
fn doubled_records_are_one_and_different_ones_are_conflicts() {
    let message = text(ROOM, 1, "alice", "a");
    let other = text(ROOM, 2, "alice", "b");
    let changed = text(ROOM, 2, "alice", "changed");
    let change = edit(ROOM, 3, "alice", 1, "c");
    let mut elsewhere = text(ROOM, 1, "alice", "another network");
    elsewhere["network_id"] = json!("999");
    let segments =
        [vec![message.clone(), other.clone(), change.clone()], vec![change, changed, other, message, elsewhere]];
    for grouping in [Grouping::Single, Grouping::Modifiers] {
        let items = items(&Sample::of(&segments), &FilterArgs::default(), Order::Conversation, grouping);
        let all: Vec<(u64, bool)> = items
            .iter()
            .flat_map(Item::members)
            .map(|member| (member.record.seq.unwrap(), member.is_conflict))
            .collect();
        let expected = match grouping {
            Grouping::Single => vec![(1, false), (2, true), (2, true), (3, false), (1, false)],
            Grouping::Modifiers => vec![(1, false), (3, false), (2, true), (2, true), (1, false)],
        };
        assert_eq!(all, expected, "{grouping:?}");
    }
}

#[test]
fn by_time_conversations_mix_and_modifiers_stay_with_their_message() {
    let lines = vec![
        text(ROOM, 1, "alice", "a"),
        text(ROOM, 30, "alice", "c"),
        text(DIRECT, 20, "bob", "b"),
        edit(ROOM, 40, "alice", 1, "A"),
    ];
    let sample = Sample::of(&[lines]);
    let single = items(&sample, &FilterArgs::default(), Order::Time, Grouping::Single);
    assert_eq!(single.iter().flat_map(seqs).collect::<Vec<_>>(), [1, 20, 30, 40]);
    let grouped = items(&sample, &FilterArgs::default(), Order::Time, Grouping::Modifiers);
    assert_eq!(grouped.iter().map(seqs).collect::<Vec<_>>(), [vec![1, 40], vec![20], vec![30]]);
}

#[test]
fn every_wanted_record_is_in_the_timeline_exactly_once() {
    for seed in 0..40 {
        let mut dice = Dice(seed);
        let mut segments = vec![Vec::new(), Vec::new(), Vec::new()];
        for seq in 1..60 {
            let (sender, target) = (*dice.pick(&["alice", "bob"]), 1 + dice.below(70));
            let line = match dice.below(6) {
                0 => edit(ROOM, seq, sender, target, "e"),
                1 => reaction(ROOM, seq, sender, target, true),
                2 => recall(ROOM, seq, sender, target),
                3 => receipt(ROOM, seq, sender, target),
                _ => {
                    let conversation: &&str = dice.pick(&[ROOM, DIRECT]);
                    text(conversation, seq, sender, "t")
                }
            };
            segments[usize::try_from(dice.below(3)).unwrap()].push(line);
        }
        let mut found: Vec<u64> = grouped(&segments, &FilterArgs::default()).iter().flat_map(seqs).collect();
        found.sort_unstable();
        assert_eq!(found, (1..60).collect::<Vec<u64>>(), "seed {seed}");
    }
}

#[test]
fn one_id_for_all_messages_does_not_make_the_square_of_them() {
    let same = |line: Value| {
        let mut line = line;
        line["message_id"] = json!(id(ROOM, 1));
        line
    };
    let messages = (1..=200).map(|seq| same(text(ROOM, seq, "alice", "x")));
    let edits = (201..=400).map(|seq| edit(ROOM, seq, "alice", 1, "y"));
    let items = grouped(&[messages.chain(edits).collect()], &FilterArgs::default());
    let counts: Vec<usize> = items.iter().map(|item| item.modifiers.len()).collect();
    assert_eq!((counts.len(), counts.iter().sum::<usize>()), (200, 200 * MESSAGES_MAX));
    assert!(items[0].modifiers.iter().all(|modifier| modifier.is_ambiguous));
}
