//! What the format promises, against a second implementation's bytes and against an attacker's.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "a test's own numbers are small")]

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;

const CHUNK: usize = ATTACHMENT_CHUNK_BYTES;
/// Blocks and tags of a small stream are easier to flip one by one.
const SMALL: &[u8] = b"retaind";

fn fixed_key() -> AttachmentKey {
    AttachmentKey::from_bytes(&std::array::from_fn::<u8, 32, _>(|i| i as u8)).unwrap()
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i % 251) as u8).collect()
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

/// The blob under the fixed key, as one block each.
fn blocks(plaintext: &[u8]) -> Vec<Vec<u8>> {
    let mut encryptor = Encryptor::with_key(fixed_key(), plaintext.len() as u64).unwrap();
    let layout = encryptor.layout();
    let blocks = (0..layout.blocks())
        .map(|index| {
            let chunk = layout.chunk_range(index).unwrap();
            let mut block = Vec::new();
            encryptor.seal_chunk(index, &plaintext[chunk.start as usize..chunk.end as usize], &mut block).unwrap();
            let range = layout.block_range(index).unwrap();
            assert_eq!(block.len() as u64, range.end - range.start);
            block
        })
        .collect();
    assert_eq!(encryptor.finish().unwrap().sha256().as_slice(), sha256(plaintext));
    blocks
}

fn open(blocks: &[Vec<u8>], plaintext: &[u8]) -> Result<Vec<u8>, AttachmentError> {
    let mut decryptor = Decryptor::new(&fixed_key(), plaintext.len() as u64)?;
    let mut out = Vec::new();
    for block in blocks {
        decryptor.open_block(block, &mut out)?;
    }
    let verified = decryptor.finish(&sha256(plaintext))?;
    assert_eq!(verified.plaintext_size(), out.len() as u64);
    Ok(out)
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// Bytes made by an independent program (Python `cryptography`, OpenSSL's GCM) from the page's description.
#[test]
fn the_format_is_what_it_was() {
    assert_eq!(hex(&blocks(b"").concat()), "52544101000400000000000000000000b87d295bf58ddfae185b6edf9a5d6b4d");
    assert_eq!(
        hex(&blocks(SMALL).concat()),
        "5254410100040000000000000000000767b3cb9d2d9a54eb0eed8580a744215f2effd1a861d254"
    );
    let blob = blocks(&pattern(CHUNK + 1)).concat();
    assert_eq!(hex(&sha256(&blob)), "62e7693e0de3e74a8e91c911aa33fed1c0ef48fc8995894b468b83f8675ff65d");
}

#[test]
fn sizes_around_a_chunk_come_back_and_the_layout_covers_the_blob() {
    for bytes in [0, 1, 15, 16, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1, 5 * CHUNK + 7] {
        let plaintext = pattern(bytes);
        let blob = blocks(&plaintext);
        let layout = Layout::new(bytes as u64).unwrap();
        assert_eq!(blob.len(), bytes.div_ceil(CHUNK).max(1));
        assert_eq!(layout.ciphertext_size(), blob.concat().len() as u64);
        let mut offset = 0;
        for index in 0..layout.blocks() {
            let range = layout.block_range(index).unwrap();
            assert_eq!(range.start, offset);
            offset = range.end;
        }
        assert_eq!(offset, layout.ciphertext_size());
        assert_eq!(layout.block_range(layout.blocks()), None);
        assert_eq!(open(&blob, &plaintext).unwrap(), plaintext);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn any_file_passes_in_pieces_of_any_length(
        chunks in 0usize..4, near in 0usize..64, seed: u8, pieces in prop::collection::vec(1usize..700_000, 1..8),
    ) {
        let bytes = (chunks * CHUNK + near).saturating_sub(32);
        let plaintext: Vec<u8> = pattern(bytes).iter().map(|b| b ^ seed).collect();
        let mut reader = EncryptingReader::new(plaintext.as_slice(), bytes as u64).unwrap();
        let mut blob = Vec::new();
        while reader.next_block(&mut blob).unwrap().is_some() {}
        let sealed = reader.finish().unwrap();
        let decryptor = Decryptor::new(sealed.key(), sealed.plaintext_size()).unwrap();
        let mut writer = DecryptingWriter::new(Vec::new(), decryptor);
        let mut rest = blob.as_slice();
        for piece in pieces.iter().cycle() {
            let (head, tail) = rest.split_at((*piece).min(rest.len()));
            writer.write(head).unwrap();
            rest = tail;
            if rest.is_empty() { break }
        }
        prop_assert_eq!(writer.next_range(), None);
        let (out, verified) = writer.finish(sealed.sha256()).unwrap();
        let (_, sha256, size) = sealed.into_parts();
        prop_assert_eq!((verified.sha256(), verified.plaintext_size()), (&sha256, size));
        prop_assert!(out == plaintext);
    }

    #[test]
    fn no_bytes_whatever_are_opened_or_crash_the_decoder(blob in prop::collection::vec(any::<u8>(), 0..600), size in 0u64..600) {
        let mut decryptor = Decryptor::new(&fixed_key(), size).unwrap();
        let mut out = Vec::new();
        prop_assert!(decryptor.open_block(&blob, &mut out).is_err());
        prop_assert!(out.is_empty());
        let mut writer = DecryptingWriter::new(Vec::new(), decryptor);
        writer.write(&blob).ok();
        prop_assert!(writer.finish(&[0; 32]).is_err());
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let [blob] = blocks(SMALL).try_into().unwrap();
    for bit in 0..blob.len() * 8 {
        let mut flipped: Vec<u8> = blob.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let error = open(&[flipped], SMALL).unwrap_err();
        match bit / 8 {
            0..=2 => assert!(matches!(error, AttachmentError::Header), "{error}"),
            3 => assert!(matches!(error, AttachmentError::Version { .. }), "{error}"),
            4..=15 => assert!(matches!(error, AttachmentError::Mismatch), "{error}"),
            _ => assert!(matches!(error, AttachmentError::Authentication { index: 0 }), "{error}"),
        }
    }
}

#[test]
fn a_cut_blob_is_refused_at_every_boundary() {
    let plaintext = pattern(3 * CHUNK);
    let whole = blocks(&plaintext);
    for have in 0..whole.len() {
        let error = open(&whole[..have], &plaintext).unwrap_err();
        assert!(matches!(error, AttachmentError::Truncated { blocks: 3, .. }), "{error}");
        // The same cut with a message that claims the shorter file: the header and the last flag tell.
        let shorter = Decryptor::new(&fixed_key(), (have * CHUNK) as u64).unwrap();
        let mut writer = DecryptingWriter::new(Vec::new(), shorter);
        let error = writer.write(&whole[..have].concat()).and_then(|()| {
            let (_, _) = writer.finish(&sha256(&plaintext[..have * CHUNK]))?;
            Ok(())
        });
        assert!(error.is_err());
    }
    let mut cut = whole.clone();
    cut[2].pop();
    assert!(matches!(open(&cut, &plaintext), Err(AttachmentError::Length { index: 2, .. })));
}

#[test]
fn exchanged_repeated_and_extra_blocks_are_refused() {
    let plaintext = pattern(4 * CHUNK);
    let whole = blocks(&plaintext);
    let mut swapped = whole.clone();
    swapped.swap(1, 2);
    assert!(matches!(open(&swapped, &plaintext), Err(AttachmentError::Authentication { index: 1 })));
    let mut repeated = whole.clone();
    repeated[2] = whole[1].clone();
    assert!(matches!(open(&repeated, &plaintext), Err(AttachmentError::Authentication { index: 2 })));
    let mut early_end = whole.clone();
    early_end[1] = whole[3].clone();
    assert!(matches!(open(&early_end, &plaintext), Err(AttachmentError::Authentication { index: 1 })));
    let mut extra = whole.clone();
    extra.push(whole[3].clone());
    assert!(matches!(open(&extra, &plaintext), Err(AttachmentError::Trailing)));
    let mut writer = DecryptingWriter::new(Vec::new(), Decryptor::new(&fixed_key(), 7).unwrap());
    writer.write(&blocks(SMALL).concat()).unwrap();
    assert!(matches!(writer.write(&[0]), Err(AttachmentError::Trailing)));
}

#[test]
fn a_block_of_another_attachment_is_refused() {
    let plaintext = pattern(2 * CHUNK);
    let mut mixed = blocks(&plaintext);
    let mut foreign = EncryptingReader::new(plaintext.as_slice(), plaintext.len() as u64).unwrap();
    foreign.next_block(&mut Vec::new()).unwrap();
    mixed[1].clear();
    foreign.next_block(&mut mixed[1]).unwrap();
    assert!(matches!(open(&mixed, &plaintext), Err(AttachmentError::Authentication { index: 1 })));
    // Same key, another size: the header is part of every chunk.
    let mut longer = blocks(&pattern(2 * CHUNK + 1));
    longer.truncate(2);
    longer[0] = blocks(&plaintext)[0].clone();
    assert!(matches!(open(&longer, &plaintext), Err(AttachmentError::Authentication { index: 1 })));
}

#[test]
fn another_file_than_announced_is_refused_at_the_end() {
    let mut decryptor = Decryptor::new(&fixed_key(), SMALL.len() as u64).unwrap();
    decryptor.open_block(&blocks(SMALL)[0], &mut Vec::new()).unwrap();
    assert!(matches!(decryptor.finish(&sha256(b"another")), Err(AttachmentError::Digest)));
    let mut decryptor = Decryptor::new(&fixed_key(), SMALL.len() as u64).unwrap();
    decryptor.open_block(&blocks(SMALL)[0], &mut Vec::new()).unwrap();
    assert!(matches!(decryptor.finish(&[]), Err(AttachmentError::Digest)));
}

#[test]
fn a_nonce_never_meets_two_plaintexts() {
    let plaintext = pattern(2 * CHUNK);
    let mut encryptor = Encryptor::new(plaintext.len() as u64).unwrap();
    let mut out = b"before".to_vec();
    encryptor.seal_chunk(0, &plaintext[..CHUNK], &mut out).unwrap();
    let once = out.clone();
    let mut changed = plaintext[..CHUNK].to_vec();
    changed[100] ^= 1;
    assert!(matches!(encryptor.seal_chunk(0, &changed, &mut out), Err(AttachmentError::Changed { index: 0 })));
    assert!(out == once);
    assert!(matches!(
        encryptor.seal_chunk(2, &changed, &mut out),
        Err(AttachmentError::OutOfOrder { expected: 1, found: 2 })
    ));
    assert!(matches!(encryptor.finish(), Err(AttachmentError::Truncated { have: 1, blocks: 2 })));
    // Two attachments of the same bytes have nothing in common but the header.
    let blob = || {
        let mut blob = Vec::new();
        EncryptingReader::new(SMALL, 7).unwrap().next_block(&mut blob).unwrap();
        blob
    };
    let (one, other) = (blob(), blob());
    assert_eq!(one[..HEADER_BYTES], other[..HEADER_BYTES]);
    assert_ne!(one[HEADER_BYTES..], other[HEADER_BYTES..]);
}

#[test]
fn a_file_that_shrinks_or_grows_while_sent_is_refused() {
    let mut shrunk = EncryptingReader::new(&SMALL[..6], 7).unwrap();
    assert!(matches!(
        shrunk.next_block(&mut Vec::new()),
        Err(AttachmentError::Length { index: 0, expected: 7, found: 6 })
    ));
    let mut grown = EncryptingReader::new(&b"retaind!"[..], 7).unwrap();
    grown.next_block(&mut Vec::new()).unwrap();
    assert!(matches!(grown.finish(), Err(AttachmentError::Changed { .. })));
}

#[test]
fn a_block_damaged_on_the_way_is_fetched_anew() {
    let plaintext = pattern(CHUNK + 3);
    let all = blocks(&plaintext).concat();
    let mut writer = DecryptingWriter::new(Vec::new(), Decryptor::new(&fixed_key(), plaintext.len() as u64).unwrap());
    let mut damaged = all.clone();
    *damaged.last_mut().unwrap() ^= 1;
    writer.write(&damaged[..CHUNK + 40]).unwrap();
    assert!(matches!(writer.write(&damaged[CHUNK + 40..]), Err(AttachmentError::Authentication { index: 1 })));
    let range = writer.next_range().unwrap();
    assert_eq!(range.start as usize, CHUNK + 32);
    writer.write(&all[range.start as usize..]).unwrap();
    let (out, _) = writer.finish(&sha256(&plaintext)).unwrap();
    assert!(out == plaintext);
}

/// A disk with room for some bytes.
struct Full(usize);

impl io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_did_not_reach_the_disk_is_never_verified() {
    let mut writer = DecryptingWriter::new(Full(6), Decryptor::new(&fixed_key(), 7).unwrap());
    assert!(matches!(writer.write(&blocks(SMALL).concat()), Err(AttachmentError::Write(_))));
    assert!(matches!(writer.finish(&sha256(SMALL)), Err(AttachmentError::Write(_))));
}

#[test]
fn the_counter_cannot_wrap() {
    let largest = Layout::new(ATTACHMENT_BYTES_MAX).unwrap();
    assert_eq!(u64::from(largest.blocks()), ATTACHMENT_BYTES_MAX / CHUNK as u64);
    assert!(largest.is_last(largest.blocks() - 1) && !largest.is_last(u32::MAX));
    assert_eq!(largest.block_range(u32::MAX), None);
    for bytes in [ATTACHMENT_BYTES_MAX + 1, u64::MAX] {
        assert!(matches!(Layout::new(bytes), Err(AttachmentError::TooLarge { .. })));
        assert!(matches!(Decryptor::new(&fixed_key(), bytes), Err(AttachmentError::TooLarge { .. })));
    }
}

#[test]
fn a_key_is_32_bytes_and_is_not_printed() {
    assert!(matches!(AttachmentKey::from_bytes(&[7; 31]), Err(AttachmentError::Key { bytes: 31 })));
    assert_eq!(format!("{:?}", AttachmentKey::from_bytes(&[7; 32]).unwrap()), "AttachmentKey(..)");
    assert_ne!(AttachmentKey::generate().unwrap().expose(), AttachmentKey::generate().unwrap().expose());
}
