//! Keys, and the one form of their text.

use super::*;
use crate::key::{KeyError, Vkey, is_name};

#[test]
fn a_key_verifies_what_it_signed_and_nothing_else() {
    let key = SigningKey::generate().unwrap();
    let again = SigningKey::from_seed(&key.seed()).unwrap();
    let (vkey, signature) = (key.vkey("a").unwrap(), key.sign(b"message"));
    assert_eq!((again.public(), again.sign(b"message")), (key.public(), signature));
    assert!(vkey.verify(b"message", &signature));
    assert!(!vkey.verify(b"massage", &signature) && !other_key().vkey("a").unwrap().verify(b"message", &signature));
    for bit in 0..signature.len() * 8 {
        let mut wrong = signature;
        wrong[bit / 8] ^= 1 << (bit % 8);
        assert!(!vkey.verify(b"message", &wrong), "{bit}");
    }
    assert!(!vkey.verify(b"message", &signature[..63]) && !vkey.verify(b"message", &[]));
}

#[test]
fn a_key_has_one_text() {
    let text = signing_key().vkey(NAME).unwrap().to_string();
    // the last part may have a `+` too
    let [name, id, key] = text.splitn(3, '+').collect::<Vec<_>>().try_into().unwrap();
    let name_and_id = format!("{name}+{id}");
    for (wrong, error) in [
        (String::new(), KeyError::Shape),
        (name.to_owned(), KeyError::Shape),
        (name_and_id.clone(), KeyError::Shape),
        (format!("+{id}+{key}"), KeyError::Name),
        (format!("a b+{id}+{key}"), KeyError::Name),
        (format!("a\u{a0}b+{id}+{key}"), KeyError::Name),
        (format!("{text}\n"), KeyError::Base64),
        (format!("{text}="), KeyError::Base64),
        (format!("{name_and_id}+{key}+{key}"), KeyError::Base64),
        (format!("{name_and_id}+{}", &key[..40]), KeyError::Base64),
        (format!("{name_and_id}+"), KeyError::Base64),
        (format!("{name_and_id}+Ag{}", &key[2..]), KeyError::Algorithm(2)),
    ] {
        assert_eq!(Vkey::parse(&wrong), Err(error), "{wrong}");
    }
    for wrong in [format!("{name}+8E53FC2F+{key}"), format!("x{text}"), format!("{name}+8e53fc2+{key}")] {
        assert!(matches!(Vkey::parse(&wrong), Err(KeyError::Id { .. })), "{wrong}");
    }
}

#[test]
fn base64_with_bits_after_its_end_is_refused() {
    // 33 bytes leave none; 34 do
    let note = crate::checkpoint::Checkpoint { origin: NAME.to_owned(), size: 0, root: [0; 32] };
    let text = note.sign(NAME, &signing_key()).unwrap();
    assert!(crate::checkpoint::SignedNote::parse(&text).is_ok());
    assert!(crate::checkpoint::SignedNote::parse(&text.replace("AAA=\n", "AAB=\n")).is_err());
}

#[test]
fn a_name_fits_a_note() {
    assert!(is_name("records.example.com/log-é"));
    let long = "n".repeat(257);
    for wrong in ["", "a b", "a+b", "a\nb", "a\u{2003}b", "a\u{7f}", long.as_str()] {
        assert!(!is_name(wrong), "{wrong:?}");
    }
}
