//! Bytes made by an independent program (Python `cryptography`, `rfc8785`) from the format's description.

use data_encoding::{BASE64, HEXLOWER};

use super::*;
use crate::canonical;
use crate::checkpoint::{Checkpoint, SignedNote};
use crate::entry::{Stored, previous_hash, sign, signed_bytes};
use crate::key::Vkey;
use crate::tree::{Tree, sha256};

const VKEY: &str = "compliance_12345678_bot.12345678+8e53fc2f+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
const LEAVES: [&str; 2] = [
    r#"{"covers":{"from":"2026-11-28T07:00:00.000000Z","to":"2026-11-28T07:00:00.000000Z"},"format":"retaind-evidence/1","log":"000102030405060708090a0b0c0d0e0f","number":0,"previous":"0000000000000000000000000000000000000000000000000000000000000000","type":"genesis"}"#,
    r#"{"covers":{"from":"2026-11-28T07:00:00.000000Z","to":"2026-11-28T07:15:00.000000Z"},"format":"retaind-evidence/1","log":"000102030405060708090a0b0c0d0e0f","number":1,"previous":"f7eb8906af01e15628389e13ee2677e1edd703d095fb7fa74314c8d8a12f23af","segment":{"bytes":24,"records":3,"records_root":"a79bd40194b6654d46059e1580a2157b3bf25e7eeb833c8924398c9add3856ea","sha256":"ba2a4233843ce1c6737be63c04305f885dbf5253d1cb4423a44b0c5bf708cb99"},"type":"segment"}"#,
];
const SHA256: [&str; 2] = [
    "f7eb8906af01e15628389e13ee2677e1edd703d095fb7fa74314c8d8a12f23af",
    "a311a92f3bf9806612186f8aff8211947731d359ec483504ebdf506cd2f84781",
];
const SIGNATURES: [&str; 2] = [
    "W5fTfS3BbWGIR6UHKarlxbVclrleV56dEte16ERYKFGKz5n3/3yL6e90o/4JWLzKcAi3roeTelxYMFLHpotxCA==",
    "Mpu6O+SIYCXxuvKWMaaqoR4JtFrVxgnmIk7ZfwXPYLmlYBRAuJBQnabiLSpT7IxiCu/Scw3b+wDZ+4Ap0rqSCw==",
];
const NOTE: &str = "compliance_12345678_bot.12345678\n2\ndCt/SbuhuuELQqmYhpvjvXkXC8x1s894U3VwlkHHXnU=\n\n\
    — compliance_12345678_bot.12345678 jlP8LyweS/6gYwbARiwFTakcSkxZiM6R4ks3ACbKRR7fbhLII5mTb40JrDjHAZnbYXFjlVg9cChOrcRyTh5B+XyRpwM=\n";

#[test]
fn the_key_is_written_as_it_was() {
    let key = signing_key();
    assert_eq!(key.public(), hex("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"));
    let vkey = key.vkey(NAME).unwrap();
    assert_eq!((vkey.to_string().as_str(), vkey.key_id().as_str()), (VKEY, "8e53fc2f"));
    assert_eq!(Vkey::parse(VKEY).unwrap(), vkey);
}

#[test]
fn a_segment_has_the_root_that_it_had() {
    let file = "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n";
    assert_eq!(sha256(file.as_bytes()), hex("ba2a4233843ce1c6737be63c04305f885dbf5253d1cb4423a44b0c5bf708cb99"));
    let mut lines = Tree::new();
    file.lines().for_each(|line| lines.push(line.as_bytes()));
    assert_eq!(lines.root(), hex("a79bd40194b6654d46059e1580a2157b3bf25e7eeb833c8924398c9add3856ea"));
}

#[test]
fn entries_are_signed_as_they_were() {
    let (key, vkey) = (signing_key(), Vkey::parse(VKEY).unwrap());
    for ((leaf, hash), signature) in LEAVES.iter().zip(SHA256).zip(SIGNATURES) {
        let leaf = leaf.as_bytes();
        assert_eq!(canonical::to_bytes(&canonical::parse(leaf, 4096).unwrap()), leaf);
        assert_eq!(HEXLOWER.encode(&previous_hash(leaf)), hash);
        assert_eq!(BASE64.encode(&key.sign(&signed_bytes(leaf))), signature);
        let stored = sign(leaf, &[("8e53fc2f", &key)]);
        let text = std::str::from_utf8(leaf).unwrap();
        let expected = format!(
            "{{\"evidence\":{text},\"signatures\":[{{\"algorithm\":\"ed25519\",\"key\":\"8e53fc2f\",\"signature\":\"{signature}\"}}]}}\n"
        );
        assert_eq!(stored, expected.as_bytes());
        let parsed = Stored::parse(&stored).unwrap();
        assert_eq!(parsed.leaf, leaf);
        assert!(parsed.signatures[0].is_of(&vkey, leaf));
    }
}

#[test]
fn the_checkpoint_is_the_note_that_it_was() {
    let mut tree = Tree::new();
    LEAVES.iter().for_each(|leaf| tree.push(leaf.as_bytes()));
    let checkpoint = Checkpoint { origin: NAME.to_owned(), size: tree.size(), root: tree.root() };
    assert_eq!(checkpoint.sign(NAME, &signing_key()).unwrap(), NOTE);
    let note = SignedNote::parse(NOTE).unwrap();
    assert_eq!(note.checkpoint, checkpoint);
    assert!(note.verify(&Vkey::parse(VKEY).unwrap()));
}
