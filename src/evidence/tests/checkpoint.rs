//! Notes: one form, any number of signatures.

use proptest::prelude::*;

use super::*;
use crate::checkpoint::*;

fn note() -> String {
    Checkpoint { origin: NAME.to_owned(), size: 12, root: [9; 32] }.sign(NAME, &signing_key()).unwrap()
}

#[test]
fn lines_of_other_keys_are_kept_and_passed_over() {
    let mut two = SignedNote::parse(&note()).unwrap();
    two.sign("witness.example.com", &other_key()).unwrap();
    // an algorithm that is not known: a time of 8 bytes before the signature
    two.signatures.push(NoteSignature { name: "later".to_owned(), id: [4; 4], signature: vec![5; 72] });
    let read = SignedNote::parse(&two.to_text()).unwrap();
    assert_eq!(read, two);
    assert!(read.verify(&signing_key().vkey(NAME).unwrap()));
    assert!(read.verify(&other_key().vkey("witness.example.com").unwrap()));
    assert!(!read.verify(&other_key().vkey(NAME).unwrap()), "a key under another's name");
    assert!(!read.verify(&signing_key().vkey("witness.example.com").unwrap()));
}

#[test]
fn whatever_is_signed_is_part_of_the_signature() {
    let key = signing_key().vkey(NAME).unwrap();
    for (from, to) in [("\n12\n", "\n13\n"), ("CQkJ", "CQkK"), ("compliance_12345678_bot.12345678\n12", "other\n12")] {
        let changed = note().replacen(from, to, 1);
        assert_ne!(changed, note());
        assert!(!SignedNote::parse(&changed).unwrap().verify(&key), "{changed}");
    }
}

#[test]
fn other_forms_are_refused() {
    let text = note();
    let signature = text.lines().nth(4).unwrap().to_owned() + "\n";
    for wrong in [
        String::new(),
        text.trim_end().to_owned(),
        text.replace("\n\n", "\n"),
        text.replace("\n\n", "\nextension\n\n"),
        text.replace("\n12\n", "\n012\n"),
        text.replace("\n12\n", "\n+12\n"),
        text.replace("\n12\n", "\n99999999999999999999\n"),
        text.replace("\n12\n", "\n12\r\n"),
        text.replace("— ", "- "),
        text.replace('=', ""),
        text.clone() + "\n",
        text.clone() + "text\n",
        text.clone() + &signature.repeat(SIGNATURES_MAX),
        text.replace(&signature, ""),
        text.replace(&signature, "— name AAAAAA==\n"),
        text.replace(&signature, "— na+me AAAAAAAA\n"),
        "x".repeat(NOTE_BYTES_MAX + 1),
    ] {
        assert!(SignedNote::parse(&wrong).is_err(), "{wrong}");
    }
    assert!(SignedNote::parse(&(text.clone() + &signature.repeat(SIGNATURES_MAX - 1))).is_ok());
    let nameless = Checkpoint { origin: "a b".to_owned(), size: 0, root: [0; 32] };
    assert!(nameless.sign("a", &signing_key()).is_err() && nameless.sign("a b", &signing_key()).is_err());
}

proptest! {
    #[test]
    fn any_text_is_a_note_or_refused(text: String, at: prop::sample::Index, byte: u8) {
        prop_assert!(SignedNote::parse(&text).is_err());
        let mut bytes = note().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(note) = String::from_utf8(bytes.clone()).map_err(|_| ()).and_then(|text| SignedNote::parse(&text).map_err(|_| ())) {
            prop_assert_eq!(note.to_text().into_bytes(), bytes);
        }
    }
}
