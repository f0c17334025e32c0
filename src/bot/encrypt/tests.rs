//! The envelope against the official clients' values, and against whoever may write to the bucket.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions)]

use data_encoding::{BASE64, HEXLOWER};
use zeroize::Zeroizing;

use super::derive::Derived;
use super::format::name;
use super::gcm::GCM_BYTES_MAX;
use super::seal::Nonce;
use super::*;
use crate::aws::data_key::{DataKey, PlainKey};
use crate::bot::disk::Handling;

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
    let mut plaintext = ciphertext.to_vec();
    for piece in plaintext.chunks_mut(5) {
        opener.update(piece)?;
    }
    let opened = opener.finish(tag)?;
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
        (b"hello archive v3\n", "bb02266c49ad084e7e6dfd28c53cac613c56fa10cc9fd860cca9cb5d9864d7df4b"),
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
