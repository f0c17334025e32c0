//! The file that a content announces, though the content is refused or of a later version: what can be fetched and opened
//! with what the message holds is in the hands of every member, so it belongs into the archive too.

use prost::Message;
use zeroize::Zeroize;

use super::kind;
use crate::attachment::AttachmentKey;

/// What is needed to fetch a file. Everything else in the message is a claim about it.
#[derive(Debug)]
pub struct AnnouncedFile {
    /// Id of its blob.
    pub blob: [u8; 32],
    /// Its key.
    pub key: AttachmentKey,
    /// Bytes of plaintext, according to the sender.
    pub size: u64,
    /// Its name, as far as it is text.
    pub name: String,
}

/// The envelope of `schema`, as a reader sees it that takes what it can get.
#[derive(Clone, PartialEq, Message)]
struct LooseEnvelope {
    #[prost(uint32, tag = "2")]
    kind: u32,
    #[prost(bytes = "vec", tag = "3")]
    body: Vec<u8>,
}

/// A file, likewise.
#[derive(Clone, PartialEq, Message)]
struct LooseFile {
    #[prost(bytes = "vec", tag = "1")]
    blob: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
    #[prost(uint64, tag = "3")]
    size: u64,
    #[prost(bytes = "vec", tag = "5")]
    name: Vec<u8>,
}

impl AnnouncedFile {
    /// In a plaintext that [`Content::decode`](super::Content::decode) refuses.
    pub fn in_plaintext(plaintext: &[u8]) -> Option<Self> {
        let LooseEnvelope { kind, mut body } = LooseEnvelope::decode(plaintext).ok()?;
        let file = Self::in_body(kind, &body);
        body.zeroize();
        file
    }

    /// In a body of `kind` that this version does not know.
    pub fn in_body(kind: u32, body: &[u8]) -> Option<Self> {
        if kind != kind::FILE {
            return None;
        }
        let mut loose = LooseFile::decode(body).ok()?;
        let (blob, key) = (loose.blob.as_slice().try_into(), AttachmentKey::from_bytes(&loose.key));
        loose.key.zeroize();
        let name = String::from_utf8_lossy(&loose.name).into_owned();
        Some(Self { blob: blob.ok()?, key: key.ok()?, size: loose.size, name })
    }
}
