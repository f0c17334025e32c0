//! What the format promises, against an independent program's bytes and against an attacker's.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "a test's own numbers are small")]

mod checkpoint;
mod entry;
mod key;
mod names;
mod tree;
mod vector;

use data_encoding::HEXLOWER;

use crate::key::SigningKey;

const NAME: &str = "compliance_12345678_bot.12345678";

fn hex<const N: usize>(text: &str) -> [u8; N] {
    HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap()
}

/// Seed 00 01 … 1f.
fn signing_key() -> SigningKey {
    SigningKey::from_seed(&std::array::from_fn(|at| at as u8)).unwrap()
}

fn other_key() -> SigningKey {
    SigningKey::from_seed(&[7; 32]).unwrap()
}
