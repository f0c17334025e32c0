use super::*;
use crate::filter::zone;

const FILE: &str = "user,display,email,from,to,alias_of\n\
    alice,Alice A.,alice@example.com,,,\n\
    al, ,,2026-01-01,2026-03-31,alice\n\
    bob,\"B, Bob\",,,,\n";

fn people() -> People {
    People::parse(FILE.as_bytes(), "people.csv", &zone("Europe/Berlin").unwrap()).unwrap()
}

#[test]
fn a_person_has_every_name_for_as_long_as_it_was_theirs() {
    let people = people();
    for given in ["alice", "ALICE@example.com", "Alice A.", "al"] {
        let names = people.names(given);
        let users: Vec<&str> = names.iter().map(|name| name.user.as_str()).collect();
        assert!(users.contains(&"alice") && users.contains(&"al"), "{given}: {users:?}");
    }
    let names = people.names("alice");
    let al = names.iter().find(|name| name.user == "al").unwrap();
    assert_eq!(al.from.unwrap().to_string(), "2025-12-31T23:00:00Z");
    assert_eq!(al.to.unwrap().to_string(), "2026-03-31T22:00:00Z", "the whole last day, summer time");
    assert!(al.is_at(None) && !al.is_at(al.to) && al.is_at(al.from));
    assert_eq!(people.names("nobody"), [Name::always("nobody")]);
}

#[test]
fn display_names_and_hashes_are_resolved() {
    let people = people();
    assert_eq!(people.display("al"), Some("Alice A."));
    assert_eq!(people.display("bob"), Some("B, Bob"));
    assert_eq!(people.person("alice").unwrap().email.as_deref(), Some("alice@example.com"));
    assert_eq!(people.by_hash(&hash_of("bob").to_uppercase()), Some("bob"));
    assert_eq!(hash_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

#[test]
fn a_file_that_is_no_list_of_people_is_refused() {
    let zone = zone("UTC").unwrap();
    assert!(matches!(People::parse(b"name\nalice\n", "p.csv", &zone), Err(FilterError::People { .. })));
    let dated = b"user,from\nalice,soon\n";
    assert!(matches!(People::parse(dated, "p.csv", &zone), Err(FilterError::Time { .. })));
    assert_eq!(People::parse(b"user\nalice\n", "p.csv", &zone).unwrap().names("alice").len(), 1);
}
