//! What can be kept of content that was not understood: all of it, except the keys of attachments.
//!
//! The numbers of fields never change, so that the key of a file is in the same place in versions to come. Its bytes
//! are overwritten with zeros; so is the rest of a body that carries keys and cannot be walked over to its end.
//! In kinds that this version does not know nothing is overwritten: what is a key there is unknown.

use super::kind;
use crate::fields;

/// Number of the field with the kind, in the envelope.
const KIND: usize = 2;
/// Number of the field with the body, in the envelope.
const BODY: usize = 3;
/// A kind has 32 bits.
const KIND_BITS: usize = 0xffff_ffff;

/// What is known of a plaintext that [`Content::decode`](super::Content::decode) refuses.
pub struct Salvage {
    /// `msgtype` in it, if one can be found.
    pub kind: Option<u32>,
    /// The whole plaintext, without keys.
    pub plaintext: Vec<u8>,
}

/// Keeps a refused plaintext: decrypted once, it can never be decrypted again.
pub fn salvage(plaintext: &[u8]) -> Salvage {
    let mut plaintext = plaintext.to_vec();
    let kind = claimed_kind(&plaintext);
    match kind {
        Some(kind::FILE) => wipe(&mut plaintext, &[BODY, 2]),
        Some(kind::ROOM_MODIFIED) => wipe(&mut plaintext, &[BODY, 8, 4]),
        Some(_) | None => {}
    }
    Salvage { kind, plaintext }
}

/// The body of a [`Body::Unknown`](super::Body::Unknown) of `kind`, without keys.
pub fn without_keys(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    match kind {
        kind::FILE => wipe(&mut body, &[2]),
        kind::ROOM_MODIFIED => wipe(&mut body, &[8, 4]),
        _ => {}
    }
    body
}

fn claimed_kind(mut bytes: &[u8]) -> Option<u32> {
    let mut kind = None;
    while let Some(field) = fields::first(bytes) {
        let (head, rest) = bytes.split_at_checked(field.end)?;
        if field.number == KIND {
            let value = head.get(field.start..).and_then(|value| prost::decode_length_delimiter(value).ok());
            // as decoders do: the lower half of a longer number
            kind = value.and_then(|kind| u32::try_from(kind & KIND_BITS).ok());
        }
        bytes = rest;
    }
    kind
}

/// Overwrites the fields at `path` (field numbers, outermost first), and bytes that cannot be walked over.
fn wipe(bytes: &mut [u8], path: &[usize]) {
    let Some((number, deeper)) = path.split_first() else {
        bytes.fill(0);
        return;
    };
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some(field) = fields::first(rest) else {
            rest.fill(0);
            return;
        };
        let Some((head, after)) = rest.split_at_mut_checked(field.end) else { return };
        if let Some(value) = head.get_mut(field.start..).filter(|_| field.number == *number) {
            wipe(value, deeper);
        }
        rest = after;
    }
}
