//! The stream against NIST's submission, against `aes-gcm`, and against whoever alters it.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "a test's own numbers are small")]

use aes::cipher::StreamCipherSeek;
use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;

fn hex<const BYTES: usize>(text: &str) -> [u8; BYTES] {
    bytes(text).try_into().unwrap()
}

fn bytes(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// Ciphertext and tag, the plaintext cut where `cuts` say.
fn seal(key: &[u8; 32], iv: &[u8; 12], aad: &[u8], plaintext: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut sealer = GcmSealer::new(key, iv, aad);
    let mut body = plaintext.to_vec();
    for_each_piece(&mut body, cuts, |piece| sealer.update(piece).unwrap());
    body.extend(sealer.finish());
    body
}

fn open(key: &[u8; 32], iv: &[u8; 12], aad: &[u8], body: &[u8], cuts: &[usize]) -> Result<Vec<u8>, NotAuthentic> {
    let (ciphertext, tag) = body.split_last_chunk().unwrap();
    let mut opener = GcmOpener::new(key, iv, aad);
    let mut plaintext = ciphertext.to_vec();
    for_each_piece(&mut plaintext, cuts, |piece| opener.update(piece).unwrap());
    opener.verify(tag).map(|()| plaintext)
}

/// `cuts`: lengths of pieces, the rest is the last one. Lengths of 0 are pieces, too.
fn for_each_piece(mut rest: &mut [u8], cuts: &[usize], mut apply: impl FnMut(&mut [u8])) {
    for cut in cuts {
        let (piece, behind) = rest.split_at_mut((*cut).min(rest.len()));
        apply(piece);
        rest = behind;
    }
    apply(rest);
}

fn one_shot(key: &[u8; 32], iv: &[u8; 12], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    use aes_gcm::KeyInit;
    Aes256Gcm::new(key.into()).encrypt(&Nonce::from(*iv), Payload { msg: plaintext, aad }).unwrap()
}

/// Test cases 13 to 16 of McGrew and Viega, "The Galois/Counter Mode of Operation", as submitted to NIST.
#[test]
fn the_published_vectors_come_out() {
    let key = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
    let plaintext = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
                     1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255";
    let ciphertext = "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
                      8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad";
    let zero = "00".repeat(32);
    let (iv0, iv) = ("00".repeat(12), "cafebabefacedbaddecaf888".to_owned());
    let short = 60 * 2;
    let cases: [[&str; 6]; 4] = [
        [&zero, &iv0, "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"],
        [&zero, &iv0, "", &"00".repeat(16), "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"],
        [key, &iv, "", plaintext, ciphertext, "b094dac5d93471bdec1a502270e3cc6c"],
        [
            key,
            &iv,
            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            &plaintext[..short],
            &ciphertext[..short],
            "76fc6ece0f4e1768cddf8853bb2d551b",
        ],
    ];
    for [key, iv, aad, plaintext, ciphertext, tag] in cases {
        let (key, iv, aad) = (hex(key), hex(iv), bytes(aad));
        let body = seal(&key, &iv, &aad, &bytes(plaintext), &[]);
        assert_eq!(HEXLOWER.encode(&body), format!("{ciphertext}{tag}"));
        assert_eq!(open(&key, &iv, &aad, &body, &[]).unwrap(), bytes(plaintext));
    }
}

#[test]
fn every_way_to_cut_a_message_in_three_gives_the_same_bytes() {
    let (key, iv, aad) = ([1; 32], [2; 12], [3; 21]);
    let plaintext: Vec<u8> = (0..67).collect();
    let body = one_shot(&key, &iv, &aad, &plaintext);
    for first in 0..=plaintext.len() {
        for second in 0..=plaintext.len() - first {
            let cuts = [first, second];
            assert_eq!(seal(&key, &iv, &aad, &plaintext, &cuts), body, "{cuts:?}");
            assert_eq!(open(&key, &iv, &aad, &body, &cuts).unwrap(), plaintext, "{cuts:?}");
        }
    }
    let one_by_one = [1; 67];
    assert_eq!(seal(&key, &iv, &aad, &plaintext, &one_by_one), body);
    assert_eq!(open(&key, &iv, &aad, &body, &one_by_one).unwrap(), plaintext);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn any_message_in_any_pieces_is_what_aes_gcm_makes_in_one(
        key: [u8; 32], iv: [u8; 12], aad in prop::collection::vec(any::<u8>(), 0..70),
        // around nothing, a block, a stride and several
        near in prop::sample::select(vec![0usize, 64, STRIDE_BYTES, 3 * STRIDE_BYTES]), over in 0usize..64, seed: u8,
        cuts in prop::collection::vec(0usize..2 * STRIDE_BYTES, 0..8),
        small in prop::collection::vec(0usize..40, 0..8),
    ) {
        let plaintext: Vec<u8> = (0..(near + over).saturating_sub(32)).map(|i| (i % 251) as u8 ^ seed).collect();
        let body = one_shot(&key, &iv, &aad, &plaintext);
        let cuts = [small, cuts].concat();
        prop_assert_eq!(&seal(&key, &iv, &aad, &plaintext, &cuts), &body);
        prop_assert_eq!(&open(&key, &iv, &aad, &body, &cuts).unwrap(), &plaintext);
    }
}

#[test]
fn a_message_with_one_other_bit_or_cut_or_key_is_refused() {
    let (key, iv, aad) = ([1; 32], [2; 12], [3; 2]);
    let body = seal(&key, &iv, &aad, b"a message of several blocks, and something", &[]);
    for bit in 0..body.len() * 8 {
        let mut altered = body.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&key, &iv, &aad, &altered, &[]), Err(NotAuthentic), "bit {bit}");
    }
    for cut in TAG_BYTES..body.len() {
        assert_eq!(open(&key, &iv, &aad, &body[..cut], &[]), Err(NotAuthentic), "{cut} bytes");
    }
    assert_eq!(open(&key, &iv, &aad, &[body.as_slice(), &[0]].concat(), &[]), Err(NotAuthentic));
    assert_eq!(open(&[0; 32], &iv, &aad, &body, &[]), Err(NotAuthentic));
    assert_eq!(open(&key, &[0; 12], &aad, &body, &[]), Err(NotAuthentic));
    for aad in [&[][..], &[3], &[3, 3, 0], &[3, 4]] {
        assert_eq!(open(&key, &iv, aad, &body, &[]), Err(NotAuthentic));
    }
}

/// The last blocks of the longest message, without the 64 GiB before them.
#[test]
fn the_counter_reaches_the_standards_last_block_and_never_the_mask_again() {
    let (key, iv) = ([1; 32], [2; 12]);
    let last_two = GCM_BYTES_MAX - 32;
    let mut sealer = GcmSealer::new(&key, &iv, &[]);
    sealer.0.bytes = last_two;
    // the mask's block comes first
    sealer.0.ctr.seek(last_two + 16);
    let mut piece = [0u8; 33];
    assert_eq!(sealer.update(&mut piece), Err(TooLong));
    assert_eq!(piece, [0; 33], "a refused piece was touched");
    sealer.update(&mut piece[..31]).unwrap();
    sealer.update(&mut piece[31..32]).unwrap();
    assert_eq!(sealer.update(&mut piece[32..]), Err(TooLong));
    sealer.update(&mut []).unwrap();

    let aes = Aes256Enc::new(&key.into());
    for (ciphertext, counter) in piece.chunks(16).zip([u32::MAX - 1, u32::MAX]) {
        let mut block = [0u8; 16];
        block[..12].copy_from_slice(&iv);
        block[12..].copy_from_slice(&counter.to_be_bytes());
        aes.encrypt_block((&mut block).into());
        assert_eq!(ciphertext, &block[..ciphertext.len()]);
    }

    let mut opener = GcmOpener::new(&key, &iv, &[]);
    opener.0.bytes = GCM_BYTES_MAX;
    assert_eq!(opener.update(&mut [0]), Err(TooLong));
}
