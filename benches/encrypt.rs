//! The archive's two ways through AES-256-GCM, at once and as a stream, beside the one-shot calls of `aes-gcm` and AWS-LC: one
//! core, the same bytes, one run.
//!
//! Each figure is the best of several rounds, the rounds of all taken in turn, so that a noisy neighbour meets all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::indexing_slicing, missing_docs)]
#![allow(
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    clippy::let_underscore_must_use,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    reason = "these rules are for the product"
)]

use std::hint::black_box;
use std::time::Instant;

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce as LcNonce, UnboundKey};
use retaind::archive::encrypt::cipher::{AT_ONCE_BYTES_MAX, MessageSealer};
use retaind::archive::encrypt::gcm::GcmSealer;

const BYTES: usize = 64 * 1024 * 1024;
/// Pieces of a stream.
const PIECE_BYTES: usize = 1024 * 1024;
const ROUNDS: usize = 12;
const KEY: [u8; 32] = [7; 32];
const IV: [u8; 12] = [1; 12];
const AAD: [u8; 2] = [0, 0x73];

/// Encrypts a buffer in place, and gives the tags of its messages.
type Seal<'a> = &'a dyn Fn(&mut [u8]) -> Vec<[u8; 16]>;

fn main() {
    let at_once_bytes = usize::try_from(AT_ONCE_BYTES_MAX).expect("fits into memory");
    let one_shot = Aes256Gcm::new(&KEY.into());
    let aws_lc = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEY).expect("a key"));
    let stream = |message: &mut [u8]| {
        let mut sealer = GcmSealer::new(&KEY, &IV, &AAD);
        message.chunks_mut(PIECE_BYTES).for_each(|piece| sealer.update(piece).expect("encrypted"));
        sealer.finish()
    };
    let at_once = |message: &mut [u8]| {
        let mut sealer = MessageSealer::new(&KEY, &IV, &AAD, u64::try_from(message.len()).expect("a length"));
        sealer.update(message).expect("encrypted");
        sealer.finish()
    };
    let by_aes_gcm = |message: &mut [u8]| {
        let tag = one_shot.encrypt_inout_detached(&Nonce::from(IV), &AAD, message.into());
        tag.expect("encrypted").into()
    };
    let by_aws_lc = |message: &mut [u8]| {
        let tag = aws_lc.seal_in_place_separate_tag(LcNonce::assume_unique_for_key(IV), Aad::from(AAD), message);
        tag.expect("encrypted").as_ref().try_into().expect("16 bytes")
    };
    let messages_of = |bytes: usize, seal: &dyn Fn(&mut [u8]) -> [u8; 16], buffer: &mut [u8]| -> Vec<[u8; 16]> {
        buffer.chunks_mut(bytes).map(seal).collect()
    };
    measure(
        "messages of 8 MiB",
        &[
            ("at once", &|buffer| messages_of(at_once_bytes, &at_once, buffer)),
            ("as a stream, pieces of 1 MiB", &|buffer| messages_of(at_once_bytes, &stream, buffer)),
        ],
    );
    measure(
        "one message of 64 MiB",
        &[
            ("as a stream, pieces of 1 MiB", &|buffer| vec![stream(buffer)]),
            ("`aes-gcm`, one shot", &|buffer| vec![by_aes_gcm(buffer)]),
            ("AWS-LC, one shot", &|buffer| vec![by_aws_lc(buffer)]),
        ],
    );
}

/// Prints the best rate of each in GB/s, and the first one's ratio to it.
fn measure(what: &str, ways: &[(&str, Seal<'_>)]) {
    let (mut buffer, mut best) = (vec![0; BYTES], vec![0.0f64; ways.len()]);
    for _ in 0..ROUNDS {
        let mut tags = Vec::new();
        for ((_, seal), best) in ways.iter().zip(&mut best) {
            buffer.fill(0x5a);
            let start = Instant::now();
            tags.push(seal(black_box(&mut buffer)));
            *best = best.max(BYTES as f64 / start.elapsed().as_secs_f64() / 1e9);
        }
        assert!(tags.windows(2).all(|pair| pair[0] == pair[1]), "they do not agree");
    }
    println!("{what}:");
    for ((name, _), rate) in ways.iter().zip(&best) {
        println!("  {name:<30} {rate:5.2} GB/s; {} / this: {:.2}", ways[0].0, best[0] / rate);
    }
}
