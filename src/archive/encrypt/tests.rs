//! The envelope against the official clients' values, and against whoever may write to the bucket.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "a test's own numbers are small")]

use data_encoding::{BASE64, HEXLOWER};
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::derive::Derived;
use super::format::name;
use super::gcm::GCM_BYTES_MAX;
use super::seal::Nonce;
use super::*;
use crate::data_key::{DataKey, PlainKey};
use retaind_core::fault::{Fault, Faulty};

type Metadata = Vec<(&'static str, String)>;

const FORMATS: [Format; 2] = [Format::V3, Format::V2];
const TEXT: &[u8] = b"what was said on the third floor";

fn plain() -> PlainKey {
    PlainKey::new(Zeroizing::new((0..32).collect())).unwrap()
}

fn data_key(format: Format) -> DataKey {
    DataKey::new(plain(), b"wrapped by KMS".to_vec(), format.encryption_context()).unwrap()
}

/// Message id and IV of the published vector.
fn nonce() -> Nonce {
    Nonce { id: std::array::from_fn(|i| 0x40 + i as u8), iv: [9; 12] }
}

fn sealed_by(mut sealer: Sealer, plaintext: &[u8]) -> (Metadata, Vec<u8>) {
    let metadata = sealer.metadata();
    let mut body = plaintext.to_vec();
    for piece in body.chunks_mut(7) {
        sealer.update(piece).unwrap();
    }
    body.extend(sealer.finish().unwrap());
    assert_eq!(body.len() as u64, sealed_len(plaintext.len() as u64));
    (metadata, body)
}

fn sealed(format: Format, plaintext: &[u8]) -> (Metadata, Vec<u8>) {
    sealed_by(Sealer::new(format, data_key(format), plaintext.len() as u64).unwrap(), plaintext)
}

fn parse(metadata: &Metadata) -> Result<Envelope, OpenError> {
    Envelope::parse(metadata.iter().map(|(name, value)| (*name, value.as_str())))
}

fn open(metadata: &Metadata, body: &[u8], key: PlainKey) -> Result<Vec<u8>, OpenError> {
    let mut opener = Opener::new(&parse(metadata)?, key, body.len() as u64)?;
    let (ciphertext, tag) = body.split_last_chunk().unwrap();
    let (mut ciphertext, mut plaintext) = (ciphertext.to_vec(), Vec::new());
    for piece in ciphertext.chunks_mut(5) {
        plaintext.extend_from_slice(opener.update(piece)?);
    }
    let opened = opener.finish(tag)?;
    plaintext.extend_from_slice(opened.rest());
    assert_eq!(opened.plaintext_len(), plaintext.len() as u64);
    Ok(plaintext)
}

fn with(metadata: &Metadata, name: &'static str, value: &str) -> Metadata {
    let mut changed = without(metadata, name);
    changed.push((name, value.to_owned()));
    changed
}

fn without(metadata: &Metadata, name: &str) -> Metadata {
    metadata.iter().filter(|(other, _)| *other != name).cloned().collect()
}

fn value<'m>(metadata: &'m Metadata, name: &str) -> &'m str {
    &metadata.iter().find(|(other, _)| *other == name).unwrap().1
}

/// Values that the official client (amazon-s3-encryption-client-python 4.0.0) reads: data key 00..1f, message id 40..5b.
#[test]
fn format_v3_is_that_of_the_official_client() {
    let derived = Derived::new(&plain(), &nonce().id).unwrap();
    assert_eq!(
        HEXLOWER.encode(derived.content_key.as_slice()),
        "35f108bd2c11d0a8334d2c5d6e7dacb51d477b00723a49466ef1dff41ff45d52"
    );
    assert_eq!(HEXLOWER.encode(&derived.commitment), "0e7419e5cfb7c60d57a748d87c03278749350c9bb4c973f4f40831f4");

    for (plaintext, expected) in [
        (&b""[..], "1957e31f3fbe220acba1a68965e5d1c9"),
        (b"hello compliance\n", "bb02266c49ad084e7e6dfd28c53cac613c56fa10cc9fd860cca9cb5d9864d7df4b"),
    ] {
        let sealer = Sealer::with_nonce(Format::V3, data_key(Format::V3), plaintext.len() as u64, &nonce()).unwrap();
        let (metadata, body) = sealed_by(sealer, plaintext);
        assert_eq!(HEXLOWER.encode(&body), expected);
        let expected = [
            ("x-amz-c", "115"),
            ("x-amz-w", "12"),
            ("x-amz-3", "d3JhcHBlZCBieSBLTVM="),
            ("x-amz-i", "QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaWw=="),
            ("x-amz-d", "DnQZ5c+3xg1Xp0jYfAMnh0k1DJu0yXP09Agx9A=="),
            ("x-amz-t", r#"{"aws:x-amz-cek-alg":"115"}"#),
        ];
        assert_eq!(metadata, expected.map(|(name, value)| (name, value.to_owned())));
    }
}

/// The body by an independent program (Python `cryptography`).
#[test]
fn format_v2_is_kms_context_of_the_older_clients() {
    let plaintext = b"hello archive v2\n";
    let sealer = Sealer::with_nonce(Format::V2, data_key(Format::V2), plaintext.len() as u64, &nonce()).unwrap();
    let (metadata, body) = sealed_by(sealer, plaintext);
    assert_eq!(HEXLOWER.encode(&body), "db7d6457e8bf22d6b261598fceb6cdfd330b32f9aaa49e000f5882aab28f2ed1ae");
    let expected = [
        ("x-amz-key-v2", "d3JhcHBlZCBieSBLTVM="),
        ("x-amz-iv", "CQkJCQkJCQkJCQkJ"),
        ("x-amz-matdesc", r#"{"aws:x-amz-cek-alg":"AES/GCM/NoPadding"}"#),
        ("x-amz-wrap-alg", "kms+context"),
        ("x-amz-cek-alg", "AES/GCM/NoPadding"),
        ("x-amz-tag-len", "128"),
        ("x-amz-unencrypted-content-length", "17"),
    ];
    assert_eq!(metadata, expected.map(|(name, value)| (name, value.to_owned())));
}

#[test]
fn what_was_sealed_opens_and_its_metadata_say_what_kms_must_be_asked() {
    for format in FORMATS {
        for plaintext in [b"".as_slice(), b"1", b"exactly a block!", TEXT] {
            let (metadata, body) = sealed(format, plaintext);
            let envelope = parse(&metadata).unwrap();
            assert_eq!(envelope.format(), format);
            assert_eq!(envelope.wrapped_key(), b"wrapped by KMS");
            assert_eq!(envelope.encryption_context(), format.encryption_context());
            let (key, value) = format.encryption_context();
            assert_eq!(format.context_json(), format!("{{\"{key}\":\"{value}\"}}"));
            assert_eq!(open(&metadata, &body, plain()).unwrap(), plaintext);
            assert_eq!(plaintext_len(body.len() as u64), Some(plaintext.len() as u64));
        }
    }
    assert_eq!(plaintext_len(15), None);
    assert_ne!(Format::V3.encryption_context(), Format::V2.encryption_context());
}

#[test]
fn two_objects_never_share_a_message_id_or_iv() {
    for (format, fresh) in [(Format::V3, name::ID), (Format::V2, name::V2_IV)] {
        let (first, second) = (sealed(format, TEXT), sealed(format, TEXT));
        assert_ne!(value(&first.0, fresh), value(&second.0, fresh));
        assert_ne!(first.1, second.1);
    }
}

#[test]
fn the_largest_wrapped_key_leaves_room_in_the_metadata_of_s3() {
    for format in FORMATS {
        let key = DataKey::new(plain(), vec![0xff; 1024], format.encryption_context()).unwrap();
        let metadata = Sealer::new(format, key, GCM_BYTES_MAX).unwrap().metadata();
        let bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(bytes < 1700, "{format}: {bytes}");
        assert!(metadata.iter().all(|(_, value)| value.is_ascii()));
        assert!(parse(&metadata).is_ok());
    }
}

#[test]
fn a_data_key_of_the_other_format_is_refused_before_anything_is_encrypted() {
    for (format, other) in [(Format::V3, Format::V2), (Format::V2, Format::V3)] {
        let error = Sealer::new(format, data_key(other), 1).err().unwrap();
        assert_eq!((&error, error.fault()), (&EncryptError::OtherContext { format }, Fault::Stop));
    }
}

#[test]
fn an_object_of_another_length_than_was_said_gets_no_tag() {
    for format in FORMATS {
        let mut sealer = Sealer::new(format, data_key(format), 10).unwrap();
        let mut piece = *b"0123456789a";
        let longer = EncryptError::Length { expected: 10, found: 11 };
        assert_eq!(sealer.update(&mut piece), Err(longer.clone()));
        assert_eq!(&piece, b"0123456789a", "a refused piece was touched");
        sealer.update(&mut piece[..9]).unwrap();
        assert_eq!(sealer.update(&mut piece[9..]), Err(longer));
        assert_eq!(sealer.finish(), Err(EncryptError::Length { expected: 10, found: 9 }));

        let too_large = Sealer::new(format, data_key(format), GCM_BYTES_MAX + 1).err();
        assert_eq!(too_large, Some(EncryptError::TooLarge { bytes: GCM_BYTES_MAX + 1 }));
    }
}

#[test]
fn a_body_with_one_other_bit_or_cut_or_longer_is_not_authentic() {
    for format in FORMATS {
        let (metadata, body) = sealed(format, TEXT);
        // a length beside a body that was cut would be noticed before its tag
        let metadata = without(&metadata, name::PLAINTEXT_LEN);
        for bit in 0..body.len() * 8 {
            let mut altered = body.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&metadata, &altered, plain()), Err(OpenError::NotAuthentic), "{format}, bit {bit}");
        }
        for cut in 16..body.len() {
            assert_eq!(open(&metadata, &body[..cut], plain()), Err(OpenError::NotAuthentic), "{format}, {cut} bytes");
        }
        assert_eq!(open(&metadata, &[body.as_slice(), &[0]].concat(), plain()), Err(OpenError::NotAuthentic));
    }
}

#[test]
fn lengths_that_contradict_each_other_are_refused() {
    let (metadata, body) = sealed(Format::V2, TEXT);
    for cut in [15, body.len() - 1] {
        let error = Opener::new(&parse(&metadata).unwrap(), plain(), cut as u64).err();
        assert!(matches!(error, Some(OpenError::BodyLength { .. })), "{error:?}");
    }
    let error = Opener::new(&parse(&metadata).unwrap(), plain(), GCM_BYTES_MAX + 17).err();
    assert!(matches!(error, Some(OpenError::BodyLength { .. })), "{error:?}");

    let (metadata, body) = sealed(Format::V3, TEXT);
    let (ciphertext, tag) = body.split_last_chunk().unwrap();
    let opener = || Opener::new(&parse(&metadata).unwrap(), plain(), body.len() as u64).unwrap();
    let expected = TEXT.len() as u64;
    assert_eq!(opener().plaintext_len(), expected);
    assert_eq!(opener().finish(tag), Err(OpenError::Length { expected, found: 0 }));
    assert_eq!(opener().update(&mut body.clone()), Err(OpenError::Length { expected, found: expected + 16 }));
    let mut right = opener();
    right.update(&mut ciphertext.to_vec()).unwrap();
    assert!(right.finish(tag).is_ok());
}

#[test]
fn another_data_key_or_commitment_is_refused_before_the_first_byte() {
    let (metadata, body) = sealed(Format::V3, TEXT);
    let refused = |metadata: &Metadata, key| Opener::new(&parse(metadata).unwrap(), key, body.len() as u64).err();
    let other = || PlainKey::new(Zeroizing::new(vec![0; 32])).unwrap();
    assert_eq!(refused(&metadata, other()), Some(OpenError::Commitment));
    for fresh in [name::ID, name::COMMITMENT] {
        let right = BASE64.decode(value(&metadata, fresh).as_bytes()).unwrap();
        for bit in 0..right.len() * 8 {
            let mut altered = right.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            let altered = with(&metadata, fresh, &BASE64.encode(&altered));
            assert_eq!(refused(&altered, plain()), Some(OpenError::Commitment), "{fresh}, bit {bit}");
        }
    }
    assert_eq!(refused(&metadata, plain()), None);

    // V2 has no commitment: the tag must do
    let (metadata, body) = sealed(Format::V2, TEXT);
    assert_eq!(open(&metadata, &body, other()), Err(OpenError::NotAuthentic));
    let altered = with(&metadata, name::V2_IV, &BASE64.encode(&[1; 12]));
    assert_eq!(open(&altered, &body, plain()), Err(OpenError::NotAuthentic));
}

#[test]
fn parts_of_two_formats_are_refused_whichever_came_first() {
    let (v3, _) = sealed(Format::V3, TEXT);
    let (v2, _) = sealed(Format::V2, TEXT);
    let older = v2.iter().filter(|(name, _)| *name != name::PLAINTEXT_LEN).cloned();
    for (other, text) in older.chain([(name::V1_KEY, "AAAA".to_owned())]) {
        assert_eq!(parse(&with(&v3, other, &text)), Err(OpenError::Mixed { v3: name::KEY, other }));
    }
    for (name, text) in &v3 {
        let mixed = parse(&with(&v2, name, text)).unwrap_err();
        assert!(matches!(mixed, OpenError::Mixed { .. }), "{name}: {mixed}");
    }
    assert_eq!(parse(&with(&v2, name::V1_KEY, "AAAA")), Err(OpenError::V1));
    assert_eq!(parse(&vec![(name::V1_KEY, "AAAA".to_owned())]), Err(OpenError::V1));
    assert_eq!(parse(&[v2, v3].concat()), Err(OpenError::Mixed { v3: name::KEY, other: name::V2_KEY }));
}

#[test]
fn an_envelope_without_its_key_is_not_taken_for_an_object_in_clear() {
    for format in FORMATS {
        let (metadata, _) = sealed(format, TEXT);
        let without_key = without(&without(&metadata, name::KEY), name::V2_KEY);
        assert_eq!(parse(&without_key), Err(OpenError::KeyElsewhere));
        assert_eq!(parse(&with(&metadata, name::INSTRUCTIONS, "")), Err(OpenError::KeyElsewhere));
    }
    assert_eq!(parse(&vec![]), Err(OpenError::NotEncrypted));
    assert_eq!(parse(&vec![("wickrio-type", "message".to_owned())]), Err(OpenError::NotEncrypted));
}

#[test]
fn every_part_of_an_envelope_is_needed_and_known() {
    for format in FORMATS {
        let (metadata, body) = sealed(format, TEXT);
        for (name, right) in &metadata {
            if *name != name::PLAINTEXT_LEN {
                let missing = parse(&without(&metadata, name)).unwrap_err();
                assert!(matches!(missing, OpenError::Missing { .. } | OpenError::KeyElsewhere), "{name}: {missing}");
            }
            let longer = format!("{right}{right}");
            let long = "A".repeat(2049);
            for wrong in ["", " ", "\0", "é", "AAA", "116", "02", &longer, &format!("x{right}"), &long] {
                // a number of bytes is one until it meets the body
                let opened = open(&with(&metadata, name, wrong), &body, plain());
                assert!(opened.is_err(), "`{name}` = `{wrong}`");
            }
            let mut twice = metadata.clone();
            twice.push((*name, right.clone()));
            assert_eq!(parse(&twice), Err(OpenError::Twice { name }));
        }
    }
}

#[test]
fn an_encryption_context_of_somebody_elses_is_refused() {
    let (metadata, _) = sealed(Format::V3, TEXT);
    let context = |json| parse(&with(&metadata, name::CONTEXT, json));
    assert!(context("{ \"aws:x-amz-cek-alg\" : \"115\" }").is_ok());
    for json in [
        "{}",
        "[]",
        "115",
        r#"{"aws:x-amz-cek-alg":"AES/GCM/NoPadding"}"#,
        r#"{"aws:x-amz-cek-alg":115}"#,
        r#"{"aws:x-amz-cek-alg":"115","department":"fraud"}"#,
        r#"{"aws:x-amz-cek-alg":"115"}{}"#,
        r#"{"aws:x-amz-cek-alg":{"a":"115"}}"#,
    ] {
        assert!(context(json).is_err(), "{json}");
    }
    let deep = "[".repeat(2048);
    assert!(context(&deep).is_err());
}

#[test]
fn names_count_in_any_case_and_those_of_others_are_passed_over() {
    for format in FORMATS {
        let (metadata, body) = sealed(format, TEXT);
        let shouted: Vec<(String, String)> =
            metadata.iter().map(|(name, value)| (name.to_ascii_uppercase(), value.clone())).collect();
        let others = [("wickrio-type", "file"), ("x-amz-meta-x-amz-key", "AAAA")];
        let given = shouted.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(others);
        assert_eq!(Envelope::parse(given), parse(&metadata));
        assert!(open(&metadata, &body, plain()).is_ok());
    }
}

proptest! {
    #[test]
    fn no_metadata_make_the_reader_panic(
        format in prop::sample::select(FORMATS.to_vec()),
        changes in prop::collection::vec((0usize..9, ".{0,40}"), 0..4), len in 0u64..100,
    ) {
        let (mut metadata, _) = sealed(format, TEXT);
        for (index, text) in changes {
            if let Some((_, value)) = metadata.get_mut(index) {
                *value = text;
            }
        }
        if let Ok(envelope) = parse(&metadata) {
            drop(Opener::new(&envelope, plain(), len));
        }
    }
}

#[test]
fn formats_are_named_as_in_the_setting_and_v3_is_the_default() {
    for format in FORMATS {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    assert_eq!(Format::default(), Format::V3);
    for wrong in ["", "V3", "v1", "3", "v3 "] {
        assert_eq!(wrong.parse::<Format>(), Err(UnknownFormat));
    }
}
