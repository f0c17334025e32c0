use std::convert::Infallible;

use retaind_protocol::ids::ConversationKind;

use super::*;

fn room(n: u8) -> ConversationId {
    ConversationId::from_random(ConversationKind::Room, [n; 32])
}

/// One run that dies with this in hand; says whether the delivery was condemned in it.
fn dies(home: &Path, conversation: ConversationId, first: u64, last: u64) -> bool {
    let hands = Hands::open(home);
    let mut hand = hands.hand(1);
    hand.take(conversation, first, last);
    hand.condemns(&conversation, first).is_some()
}

#[test]
fn a_delivery_in_hand_at_three_deaths_in_a_row_is_condemned_until_the_state_is_past_it() {
    let home = tempfile::tempdir().unwrap();
    assert!(!dies(home.path(), room(1), 1, 20));
    assert!(!dies(home.path(), room(1), 4, 4));
    assert!(!dies(home.path(), room(1), 4, 4));
    for _ in 0..3 {
        let hands = Hands::open(home.path());
        let hand = hands.hand(0);
        assert!(hand.is_suspect(&room(1)) && !hand.is_suspect(&room(2)));
        assert!(hand.condemns(&room(1), 4).is_some_and(|why| why.contains("3 times in a row with message 4")));
        assert!(hand.condemns(&room(1), 3).is_none() && hand.condemns(&room(1), 5).is_none());
        // it is set apart, and killed before that is durable
        hand.passed(&room(1), 4);
        assert!(!hand.is_suspect(&room(1)));
    }
    for (cursor, suspect) in [(Some(3), true), (None, true), (Some(4), false)] {
        let hands = Hands::open(home.path());
        hands.forget_passed(|_| Ok::<_, Infallible>(cursor)).unwrap();
        assert_eq!(hands.hand(0).is_suspect(&room(1)), suspect, "{cursor:?}");
    }
    assert_eq!(format::decode(&std::fs::read(home.path().join(FILE)).unwrap()).unwrap().suspects, []);
}

#[test]
fn what_is_passed_or_outlived_counts_from_the_start() {
    let home = tempfile::tempdir().unwrap();
    for between in ["passed", "another death", "an end"] {
        for n in 0..10 {
            dies(home.path(), room(1), 4, 4);
            dies(home.path(), room(1), 4, 4);
            let hands = Hands::open(home.path());
            assert!(hands.hand(0).condemns(&room(1), 4).is_none());
            match between {
                "passed" => hands.hand(0).passed(&room(1), 4),
                // of another one each time: two that take turns are both to blame
                "another death" => hands.hand(0).take(room(100 + n), 1, 1),
                _ => {
                    // it may take its time
                    hands.hand(0).passed(&room(1), 3);
                    hands.end();
                    let hands = Hands::open(home.path());
                    assert!(hands.hand(0).is_suspect(&room(1)) && hands.hand(0).condemns(&room(1), 4).is_none());
                    hands.hand(0).passed(&room(1), 4);
                }
            }
        }
    }
}

#[test]
fn an_orderly_end_leaves_nothing_behind() {
    let home = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        let hands = Hands::open(home.path());
        let mut hand = hands.hand(0);
        assert!(hands.among_others().is_none(), "no suspect, no lock");
        hand.take(room(1), 1, 9);
        hand.take(room(2), 1, 1);
        hand.rest();
        hands.end();
    }
    let bytes = std::fs::read(home.path().join(FILE)).unwrap();
    let found = format::decode(&bytes).unwrap();
    assert_eq!(found, Found { run: Run::Ended, in_hand: vec![], suspects: vec![], damaged: 0 });
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_cannot_be_read_or_written_keeps_nobody_from_starting() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(FILE);
    for damaged in [vec![], vec![0; 100], vec![0; FILE_BYTES], vec![0xff; FILE_BYTES + 1], b"{}".to_vec()] {
        std::fs::write(&path, damaged).unwrap();
        assert!(!Hands::open(home.path()).hand(0).is_suspect(&room(1)));
        assert!(format::decode(&std::fs::read(&path).unwrap()).is_ok(), "it is made again");
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let hands = Hands::open(home.path());
    let mut hand = hands.hand(0);
    hand.take(room(1), 1, 1);
    hand.rest();
    hands.end();
    assert!(Hands::open(&home.path().join("gone")).file.is_none());
}

#[test]
fn a_worker_that_has_no_place_in_the_file_works_without() {
    let home = tempfile::tempdir().unwrap();
    let hands = Hands::open(home.path());
    let mut hand = hands.hand(format::MARKS_MAX);
    hand.take(room(1), 1, 1);
    assert!(!Hands::open(home.path()).hand(0).is_suspect(&room(1)));
    hand.rest();
}

#[test]
fn while_there_is_a_suspect_it_is_handled_alone() {
    let home = tempfile::tempdir().unwrap();
    dies(home.path(), room(1), 4, 4);
    let hands = Hands::open(home.path());
    let other = hands.among_others();
    assert!(other.is_some() && hands.alone.try_write().is_err());
    drop(other);
    let alone = hands.alone();
    assert!(hands.alone.try_read().is_err());
    drop(alone);
    hands.hand(0).passed(&room(1), 4);
    assert!(hands.among_others().is_none());
}

#[test]
fn after_a_death_opening_a_session_is_noted_and_only_then() {
    let home = tempfile::tempdir().unwrap();
    let opens = || {
        let hands = Hands::open(home.path());
        hands.hand(0).take_to_open(room(1), 2, 5);
        hands
    };
    opens().end();
    opens();
    assert!(!opens().hand(0).is_suspect(&room(1)), "the first death leaves no mark");
    assert!(opens().hand(0).is_suspect(&room(1)));
}
