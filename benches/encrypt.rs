//! The archive's stream cipher beside the one-shot calls of `aes-gcm` and AWS-LC: one core, the same bytes, one run.
//!
//! Each figure is the best of several rounds, the rounds of the three taken in turn, so that a noisy neighbour meets all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::indexing_slicing, missing_docs)]

use std::hint::black_box;
use std::time::Instant;

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce as LcNonce, UnboundKey};
use retaind::archive::encrypt::gcm::GcmSealer;

const BYTES: usize = 64 * 1024 * 1024;
/// As the ship stage reads a file.
const PIECE_BYTES: usize = 1024 * 1024;
const ROUNDS: usize = 12;
const KEY: [u8; 32] = [7; 32];
const IV: [u8; 12] = [1; 12];
const AAD: [u8; 2] = [0, 0x73];

fn main() {
    let mut buffer = vec![0x5a; BYTES];
    let one_shot = Aes256Gcm::new(&KEY.into());
    let aws_lc = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEY).expect("a key"));
    let mut stream_best: f64 = 0.0;
    let mut one_shot_best: f64 = 0.0;
    let mut aws_lc_best: f64 = 0.0;
    for _ in 0..ROUNDS {
        let [streamed, shot, lc] = [
            best(&mut stream_best, &mut buffer, &|buffer| {
                let mut sealer = GcmSealer::new(&KEY, &IV, &AAD);
                for piece in buffer.chunks_mut(PIECE_BYTES) {
                    sealer.update(piece).expect("encrypted");
                }
                sealer.finish()
            }),
            best(&mut one_shot_best, &mut buffer, &|buffer| {
                let tag = one_shot.encrypt_inout_detached(&Nonce::from(IV), &AAD, buffer.into());
                tag.expect("encrypted").into()
            }),
            best(&mut aws_lc_best, &mut buffer, &|buffer| {
                let tag = aws_lc.seal_in_place_separate_tag(LcNonce::assume_unique_for_key(IV), Aad::from(AAD), buffer);
                tag.expect("encrypted").as_ref().try_into().expect("16 bytes")
            }),
        ];
        assert!(streamed == shot && shot == lc, "the three do not agree");
    }
    println!("stream, pieces of 1 MiB: {stream_best:.2} GB/s");
    println!("aes-gcm, one shot:       {one_shot_best:.2} GB/s; stream / this: {:.2}", stream_best / one_shot_best);
    println!("AWS-LC, one shot:        {aws_lc_best:.2} GB/s; stream / this: {:.2}", stream_best / aws_lc_best);
}

/// Encrypts the same bytes, and keeps the best rate in GB/s.
fn best(rate: &mut f64, buffer: &mut [u8], seal: &dyn Fn(&mut [u8]) -> [u8; 16]) -> [u8; 16] {
    buffer.fill(0x5a);
    let start = Instant::now();
    let tag = seal(black_box(buffer));
    *rate = rate.max(BYTES as f64 / start.elapsed().as_secs_f64() / 1e9);
    tag
}
