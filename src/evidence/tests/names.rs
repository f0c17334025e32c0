//! Paths, both ways.

use proptest::prelude::*;

use crate::entry::LogId;
use crate::names::{self, Name};

#[test]
fn paths_are_as_documented() {
    let log = LogId(std::array::from_fn(|at| at as u8));
    for (name, path) in [
        (Name::Entry { log, number: 7 }, "_evidence/000102030405060708090a0b0c0d0e0f/000000000007.json"),
        (Name::Checkpoint { log, size: 8 }, "_evidence/000102030405060708090a0b0c0d0e0f/checkpoint/000000000008"),
        (Name::TimeStamp { log, size: 8 }, "_evidence/000102030405060708090a0b0c0d0e0f/checkpoint/000000000008.tsr"),
        (Name::Key { id: "8e53fc2f".to_owned() }, "_evidence/keys/8e53fc2f"),
    ] {
        assert_eq!(name.path().as_deref(), Some(path));
        assert_eq!(Name::parse(path), Some(name));
    }
    assert_eq!(names::entry(&log, 7), "_evidence/000102030405060708090a0b0c0d0e0f/000000000007.json");
    let custody = "_evidence/custody/000102030405060708090a0b0c0d0e0f/000000000000.json";
    assert_eq!(Name::parse(custody), Some(Name::Custody));
}

#[test]
fn other_paths_name_nothing() {
    let log = "_evidence/000102030405060708090a0b0c0d0e0f";
    for path in [
        "".to_owned(),
        "_evidence".to_owned(),
        "_evidence/custody".to_owned(),
        format!("{log}/7.json"),
        format!("{log}/000000000007"),
        format!("{log}/0000000000007.json"),
        format!("{log}/+00000000007.json"),
        format!("{log}/checkpoint/000000000007.json"),
        format!("{log}/checkpoint/000000000007/x"),
        format!("{log}/other/000000000007"),
        "_evidence/000102030405060708090A0B0C0D0E0F/000000000007.json".to_owned(),
        "_evidence/keys/8E53FC2F".to_owned(),
        "_evidence/keys/8e53fc2f/x".to_owned(),
        "evidence/keys/8e53fc2f".to_owned(),
    ] {
        assert_eq!(Name::parse(&path), None, "{path}");
    }
}

proptest! {
    #[test]
    fn every_number_has_one_path(log: [u8; 16], number: u64, text: String) {
        let log = LogId(log);
        prop_assert_eq!(Name::parse(&names::entry(&log, number)), Some(Name::Entry { log, number }));
        prop_assert_eq!(Name::parse(&names::checkpoint(&log, number)), Some(Name::Checkpoint { log, size: number }));
        prop_assert_eq!(Name::parse(&format!("_evidence/{text}")).and_then(|name| name.path()), None);
    }
}
