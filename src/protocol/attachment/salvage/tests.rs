//! Blobs that lie, in any pieces.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "a test's own numbers are small")]

use aws_lc_rs::digest::{SHA256, digest};
use proptest::prelude::*;

use super::super::EncryptingReader;
use super::*;

const CHUNK: usize = ATTACHMENT_CHUNK_BYTES;
const BLOCK: usize = CHUNK + TAG_BYTES;

fn sealed(plaintext: &[u8]) -> (Vec<u8>, AttachmentKey) {
    let mut reader = EncryptingReader::new(plaintext, plaintext.len() as u64).unwrap();
    let mut blob = Vec::new();
    while reader.next_block(&mut blob).unwrap().is_some() {}
    let key = reader.finish().unwrap().key().duplicate();
    (blob, key)
}

/// What is opened, and why not more, if the network says `said` and the message `claimed`.
fn salvaged(
    blob: &[u8],
    key: &AttachmentKey,
    said: u64,
    claimed: u64,
    piece: usize,
) -> (Vec<u8>, Option<AttachmentError>) {
    let mut salvager = Salvager::new(Vec::new(), key, said, claimed).unwrap();
    blob.chunks(piece).for_each(|bytes| salvager.write(bytes).unwrap());
    let (out, Salvaged { opened, blob_sha256, fault }) = salvager.finish().unwrap();
    assert_eq!((opened.size(), opened.sha256().as_slice()), (out.len() as u64, digest(&SHA256, &out).as_ref()));
    assert_eq!(blob_sha256.as_slice(), digest(&SHA256, blob).as_ref());
    (out, fault)
}

#[test]
fn whatever_size_is_claimed_all_of_the_file_opens() {
    for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 777] {
        let plaintext: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let (blob, key) = sealed(&plaintext);
        for claimed in [0, 1, length as u64, length as u64 + 1, CHUNK as u64, 1 << 34, u64::MAX] {
            let (out, fault) = salvaged(&blob, &key, blob.len() as u64, claimed, 100_000);
            assert!(out == plaintext && fault.is_none(), "{length} as {claimed}: {} {fault:?}", out.len());
        }
    }
}

#[test]
fn what_is_cut_or_padded_opens_up_to_there() {
    let plaintext: Vec<u8> = (0..2 * CHUNK + 777).map(|at| (at % 251) as u8).collect();
    let (blob, key) = sealed(&plaintext);
    let claimed = plaintext.len() as u64;
    for (length, opened) in [(0, 0), (7, 0), (BLOCK, 0), (HEADER_BYTES + BLOCK, CHUNK), (blob.len() - 1, 2 * CHUNK)] {
        let (out, fault) = salvaged(&blob[..length], &key, length as u64, claimed, 9999);
        assert_eq!(out.len(), opened, "{length}");
        assert!(out == plaintext[..opened] && fault.is_some());
        // the network says that it has more than it gives
        let (out, fault) = salvaged(&blob[..length], &key, u64::MAX, claimed, 9999);
        assert!(out == plaintext[..opened] && fault.is_some());
    }
    for more in [1, 15, 100, BLOCK] {
        let padded = [blob.clone(), vec![7; more]].concat();
        let (out, fault) = salvaged(&padded, &key, padded.len() as u64, 5, 9999);
        assert!(
            out == plaintext && matches!(fault, Some(AttachmentError::Trailing)),
            "{more}: {} {fault:?}",
            out.len()
        );
    }
    let (out, fault) = salvaged(&blob, &AttachmentKey::generate().unwrap(), blob.len() as u64, claimed, 9999);
    assert!(out.is_empty() && matches!(fault, Some(AttachmentError::Authentication { index: 0 })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn any_bytes_under_any_claims_open_nothing_and_crash_nothing(
        blob in prop::collection::vec(any::<u8>(), 0..600), said: u64, claimed: u64, piece in 1usize..700,
    ) {
        let key = AttachmentKey::generate().unwrap();
        for said in [blob.len() as u64, said] {
            let (out, fault) = salvaged(&blob, &key, said, claimed, piece);
            prop_assert!(out.is_empty() && fault.is_some());
        }
    }
}
