//! Both ways beside each other, beside `aes-gcm` itself, and against whoever alters what they made.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "a test's own numbers are small")]

use aes_gcm::aead::{Aead, Payload};
use proptest::prelude::*;

use super::*;

const PART: usize = AT_ONCE_BYTES_MAX as usize;
const KEY: [u8; 32] = [1; 32];
const IV: [u8; 12] = [2; 12];
const AAD: [u8; 2] = [0, 0x73];

fn plaintext(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i % 251) as u8 ^ (i >> 13) as u8).collect()
}

fn by_aes_gcm(plaintext: &[u8]) -> Vec<u8> {
    let cipher = Aes256Gcm::new(&KEY.into());
    cipher.encrypt(&IV.into(), Payload { msg: plaintext, aad: &AAD }).unwrap()
}

fn by_the_stream(plaintext: &[u8]) -> Vec<u8> {
    let (mut sealer, mut body) = (GcmSealer::new(&KEY, &IV, &AAD), plaintext.to_vec());
    sealer.update(&mut body).unwrap();
    body.extend(sealer.finish());
    body
}

fn sealer(bytes: usize) -> MessageSealer {
    MessageSealer::new(&KEY, &IV, &AAD, bytes as u64)
}

fn opener(bytes: usize) -> MessageOpener {
    MessageOpener::new(&KEY, &IV, &AAD, bytes as u64)
}

/// Cut where `cuts` say; the rest is the last piece.
fn pieces<'b>(mut rest: &'b mut [u8], cuts: &[usize]) -> Vec<&'b mut [u8]> {
    let mut pieces = Vec::new();
    for cut in cuts {
        let (piece, behind) = rest.split_at_mut((*cut).min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    pieces
}

fn sealed(plaintext: &[u8], cuts: &[usize]) -> Vec<u8> {
    let (mut sealer, mut body) = (sealer(plaintext.len()), plaintext.to_vec());
    pieces(&mut body, cuts).into_iter().for_each(|piece| sealer.update(piece).unwrap());
    body.extend(sealer.finish());
    body
}

/// What came before the proof, and what came with it.
fn opened(body: &[u8], cuts: &[usize]) -> (Vec<u8>, Result<Vec<u8>, NotAuthentic>) {
    let (ciphertext, tag) = body.split_last_chunk().unwrap();
    let (mut opener, mut ciphertext, mut before) = (opener(ciphertext.len()), ciphertext.to_vec(), Vec::new());
    for piece in pieces(&mut ciphertext, cuts) {
        before.extend_from_slice(opener.update(piece).unwrap());
    }
    (before, opener.verify(tag))
}

#[test]
fn at_every_border_both_ways_make_the_same_bytes() {
    let around = |border: usize| border - 17..=border + 17;
    for bytes in (0..=80).chain(around(8 * 1024)).chain(around(PART)) {
        let plaintext = plaintext(bytes);
        let body = by_aes_gcm(&plaintext);
        assert!(by_the_stream(&plaintext) == body, "stream, {bytes} bytes");

        let (mut whole, mut whole_body) = (sealer(bytes), plaintext.clone());
        whole.update(&mut whole_body).unwrap();
        assert_eq!(matches!(whole.0, Sealing::AtOnce(_)), bytes <= PART, "{bytes} bytes");
        whole_body.extend(whole.finish());
        assert!(whole_body == body, "one piece, {bytes} bytes");
        assert!(sealed(&plaintext, &[bytes / 2]) == body, "two pieces, {bytes} bytes");

        let (before, rest) = opened(&body, &[bytes / 3]);
        let rest = rest.unwrap();
        let (at_once, streamed) = if bytes <= PART { (rest, before) } else { (before, rest) };
        assert!(at_once == plaintext && streamed.is_empty(), "{bytes} bytes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn any_message_in_any_pieces_is_what_aes_gcm_makes_in_one(
        bytes in 0usize..40_000, cuts in prop::collection::vec(0usize..20_000, 0..4),
        small in prop::collection::vec(0usize..40, 0..8),
    ) {
        let (plaintext, cuts) = (plaintext(bytes), [small, cuts].concat());
        let body = by_aes_gcm(&plaintext);
        prop_assert_eq!(&sealed(&plaintext, &cuts), &body);
        prop_assert_eq!(&sealed(&plaintext, &[]), &body);
        prop_assert_eq!(opened(&body, &cuts), (Vec::new(), Ok(plaintext)));
    }
}

#[test]
fn nothing_of_an_altered_message_is_given_out_unless_it_is_too_long_for_memory() {
    let body = by_aes_gcm(&plaintext(100));
    for bit in 0..body.len() * 8 {
        let mut altered = body.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(opened(&altered, &[50]), (Vec::new(), Err(NotAuthentic)), "bit {bit}");
    }
    for bytes in [PART, PART + 1] {
        let plaintext = plaintext(bytes);
        let mut altered = by_aes_gcm(&plaintext);
        *altered.last_mut().unwrap() ^= 1;
        let (before, proof) = opened(&altered, &[PART / 2]);
        assert_eq!(proof, Err(NotAuthentic));
        assert!(if bytes <= PART { before.is_empty() } else { before == plaintext });
    }
}

#[test]
fn a_refused_message_stays_ciphertext_in_memory() {
    let body = by_aes_gcm(&plaintext(1000));
    let (ciphertext, tag) = body.split_last_chunk().unwrap();
    let (mut buffer, mut wrong) = (ciphertext.to_vec(), *tag);
    wrong[0] ^= 1;
    let message = Message::new(&KEY, &IV, &AAD, 1000);
    assert_eq!(message.open(&mut buffer, &wrong), Err(NotAuthentic));
    assert_eq!(buffer, ciphertext);
    message.open(&mut buffer, tag).unwrap();
    assert_eq!(buffer, plaintext(1000));
}

#[test]
fn more_than_was_said_is_refused_untouched() {
    let (mut sealer, mut piece) = (sealer(10), plaintext(10));
    sealer.update(&mut piece).unwrap();
    sealer.update(&mut []).unwrap();
    let mut more = [7];
    assert_eq!((sealer.update(&mut more), more), (Err(TooLong), [7]));

    let mut opener = opener(10);
    let (mut part, mut more) = (vec![0; PART], [7]);
    assert_eq!(opener.update(&mut part), Ok(&[][..]));
    assert_eq!(opener.update(&mut more), Err(TooLong));
}

#[test]
fn an_empty_message_needs_no_piece() {
    let body = by_aes_gcm(&[]);
    assert_eq!(sealer(0).finish(), *body);
    assert_eq!(sealed(&[], &[]), body);
    assert_eq!(opener(0).verify(body.first_chunk().unwrap()), Ok(Vec::new()));
    assert_eq!(opener(0).verify(&[0; 16]), Err(NotAuthentic));
}
