//! Attachments that are not what their messages say: sealed, claimed, named and encoded by hand.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use prost::Message;
use retaind::device::mls::Session;
use retaind::protocol::limits::{ATTACHMENT_CHUNK_BYTES, BLOB_RANGE_BYTES_MAX};
use retaind::protocol::wire::{Answer, BlobCreate, BlobFinish, BlobPut, Request};

use crate::support::archive::noise;
use crate::support::raw::{Raw, random};

/// Plaintext of one chunk.
pub const CHUNK: usize = ATTACHMENT_CHUNK_BYTES;
const BLOCK: usize = CHUNK + 16;
const HEADER: usize = 16;

/// The envelope of a content, with a field of nobody's.
#[derive(Clone, PartialEq, Message)]
pub struct Envelope {
    #[prost(uint32, tag = "1")]
    pub version: u32,
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    #[prost(bytes = "vec", tag = "3")]
    pub body: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub message_id: Vec<u8>,
    #[prost(int64, tag = "5")]
    pub sent_at_micros: i64,
    #[prost(uint32, tag = "15")]
    pub more: u32,
}

/// A file in a content, with a field of nobody's. Its name need not be text.
#[derive(Clone, PartialEq, Message)]
pub struct File {
    #[prost(bytes = "vec", tag = "1")]
    pub blob: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub key: Vec<u8>,
    #[prost(uint64, tag = "3")]
    pub size: u64,
    #[prost(bytes = "vec", tag = "4")]
    pub sha256: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    pub name: Vec<u8>,
    #[prost(bytes = "vec", tag = "6")]
    pub guid: Vec<u8>,
    #[prost(uint32, tag = "7")]
    pub kind: u32,
    #[prost(uint32, tag = "15")]
    pub more: u32,
}

/// What the archive has to have of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owed {
    /// All of the file.
    Whole,
    /// All of the ciphertext, and the first bytes of the file.
    Ciphertext { decrypted: usize },
    /// The network never had it.
    Nothing,
    /// There is no key to fetch it for.
    NotEvenAFile,
}

/// One lie.
pub struct Lie {
    pub what: &'static str,
    pub plaintext: Vec<u8>,
    pub blob: Vec<u8>,
    pub is_uploaded: Uploaded,
    pub file: File,
    pub envelope: Envelope,
    pub owed: Owed,
    /// Does the content itself pass?
    pub msgtype: u32,
}

/// How far the blob gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uploaded {
    Wholly,
    NotFinished,
    Never,
    /// It is the blob of the lie before.
    Before,
}

/// Which chunk says that it is the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marked {
    Last,
    None,
    All,
}

pub fn header(size: u64) -> [u8; HEADER] {
    let mut header = *b"RTA\x01\x00\x04\x00\x00\0\0\0\0\0\0\0\0";
    header[8..].copy_from_slice(&size.to_be_bytes());
    header
}

/// A blob as whoever has the key can make it.
pub fn seal(plaintext: &[u8], key: &[u8; 32], header: [u8; HEADER], marked: Marked) -> Vec<u8> {
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    let chunks: Vec<&[u8]> = plaintext.chunks(CHUNK).collect();
    let mut blob = header.to_vec();
    for (index, chunk) in chunks.iter().enumerate() {
        let is_last = match marked {
            Marked::Last => index + 1 == chunks.len(),
            Marked::None => false,
            Marked::All => true,
        };
        let mut nonce = [0u8; NONCE_LEN];
        nonce[7..11].copy_from_slice(&u32::try_from(index).unwrap().to_be_bytes());
        nonce[11] = u8::from(is_last);
        let mut sealed = chunk.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        cipher.seal_in_place_append_tag(nonce, Aad::from(header), &mut sealed).unwrap();
        blob.append(&mut sealed);
    }
    blob
}

fn honest(what: &'static str) -> Lie {
    let plaintext = noise(2 * CHUNK + 777);
    let (key, size) = (random::<32>(), plaintext.len() as u64);
    let file = File {
        blob: Vec::new(),
        key: key.to_vec(),
        size,
        sha256: digest(&SHA256, &plaintext).as_ref().to_vec(),
        name: b"report.pdf".to_vec(),
        guid: vec![7; 16],
        kind: 0,
        more: 0,
    };
    let message_id = random::<16>().to_vec();
    let envelope = Envelope { version: 1, kind: 6000, body: Vec::new(), message_id, sent_at_micros: 1, more: 0 };
    let blob = seal(&plaintext, &key, header(size), Marked::Last);
    Lie { what, plaintext, blob, is_uploaded: Uploaded::Wholly, file, envelope, owed: Owed::Whole, msgtype: 6000 }
}

fn lie(what: &'static str, change: impl FnOnce(&mut Lie)) -> Lie {
    let mut lie = honest(what);
    change(&mut lie);
    lie
}

fn refused(what: &'static str, change: impl FnOnce(&mut Lie)) -> Lie {
    Lie { msgtype: 0, ..lie(what, change) }
}

fn resealed(what: &'static str, stated: [u8; HEADER], marked: Marked, owed: Owed) -> Lie {
    let key = |lie: &Lie| lie.file.key.as_slice().try_into().unwrap();
    lie(what, |lie| (lie.blob, lie.owed) = (seal(&lie.plaintext, &key(lie), stated, marked), owed))
}

/// Every way to lie about a file that we know of.
pub fn lies() -> Vec<Lie> {
    [of_claims(), of_blobs(), of_contents()].into_iter().flatten().collect()
}

/// In what the message claims.
fn of_claims() -> Vec<Lie> {
    vec![
        lie("nothing", |_| {}),
        lie("the hash", |lie| lie.file.sha256[31] ^= 1),
        lie("one byte more", |lie| lie.file.size += 1),
        lie("one byte less", |lie| lie.file.size -= 1),
        lie("no bytes", |lie| lie.file.size = 0),
        lie("one chunk", |lie| lie.file.size = CHUNK as u64),
        lie("the largest file", |lie| lie.file.size = 1 << 34),
        lie("hash and size", |lie| (lie.file.size, lie.file.sha256) = (5, vec![0; 32])),
        lie("the key", |lie| (lie.file.key, lie.owed) = (random::<32>().to_vec(), Owed::Ciphertext { decrypted: 0 })),
        lie("a path", |lie| lie.file.name = b"../../etc/passwd".to_vec()),
        lie("a name of ours", |lie| lie.file.name = b".00.part".to_vec()),
        lie("a name that reads backwards", |lie| lie.file.name = "a\u{202e}fdp.exe".into()),
        lie("no name", |lie| lie.file.name = Vec::new()),
    ]
}

/// In the blob.
fn of_blobs() -> Vec<Lie> {
    let ciphertext = |decrypted| Owed::Ciphertext { decrypted };
    vec![
        resealed("a header of another size", header(5), Marked::Last, Owed::Whole),
        resealed("no header of ours", *b"PK\x03\x04 and so on..", Marked::Last, Owed::Whole),
        lie("a header that was altered", |lie| lie.blob[15] ^= 1),
        resealed("no chunk is the last", header(2 * CHUNK as u64 + 777), Marked::None, ciphertext(2 * CHUNK + 777)),
        resealed("every chunk is the last", header(2 * CHUNK as u64 + 777), Marked::All, ciphertext(2 * CHUNK + 777)),
        lie("the tag of the first chunk", |lie| {
            lie.blob[HEADER + BLOCK - 1] ^= 1;
            lie.owed = ciphertext(0);
        }),
        lie("a chunk in the middle", |lie| {
            lie.blob[HEADER + BLOCK + 9] ^= 1;
            lie.owed = ciphertext(CHUNK);
        }),
        lie("the last tag", |lie| {
            *lie.blob.last_mut().unwrap() ^= 1;
            lie.owed = ciphertext(2 * CHUNK);
        }),
        lie("two chunks that changed places", |lie| {
            lie.blob[HEADER..HEADER + 2 * BLOCK].rotate_left(BLOCK);
            lie.owed = ciphertext(0);
        }),
        lie("cut in a chunk", |lie| {
            lie.blob.pop();
            lie.owed = ciphertext(2 * CHUNK);
        }),
        lie("cut after a chunk", |lie| {
            lie.blob.truncate(HEADER + 2 * BLOCK);
            lie.owed = ciphertext(2 * CHUNK);
        }),
        lie("bytes after the file", |lie| {
            lie.blob.extend(noise(100));
            lie.owed = ciphertext(2 * CHUNK + 777);
        }),
        lie("noise", |lie| (lie.blob, lie.owed) = (noise(4096), ciphertext(0))),
        lie("an empty blob", |lie| (lie.blob, lie.owed) = (Vec::new(), ciphertext(0))),
        lie("a blob that there is not", |lie| (lie.is_uploaded, lie.owed) = (Uploaded::Never, Owed::Nothing)),
        lie("a blob that is not finished", |lie| (lie.is_uploaded, lie.owed) = (Uploaded::NotFinished, Owed::Nothing)),
        lie("nothing, and again", |_| {}),
        lie("another key for the blob before", |lie| {
            (lie.is_uploaded, lie.owed) = (Uploaded::Before, ciphertext(0));
        }),
    ]
}

/// In the content, so that it cannot be read as one.
fn of_contents() -> Vec<Lie> {
    vec![
        refused("16 EiB", |lie| lie.file.size = u64::MAX),
        refused("one byte more than the largest file", |lie| lie.file.size = (1 << 34) + 1),
        refused("a name longer than names are", |lie| lie.file.name = vec![b'x'; 5000]),
        refused("a name that is no text", |lie| lie.file.name = vec![0xff; 9]),
        refused("a hash of 31 bytes", |lie| lie.file.sha256.truncate(31)),
        refused("an id of 3 bytes", |lie| lie.file.guid.truncate(3)),
        refused("a kind that there is not", |lie| lie.file.kind = 9),
        refused("a field that there is not", |lie| lie.file.more = 1),
        refused("a version that there is not yet", |lie| lie.envelope.version = 2),
        refused("an envelope with more in it", |lie| lie.envelope.more = 1),
        refused("no version", |lie| lie.envelope.version = 0),
        refused("no message id", |lie| lie.envelope.message_id.clear()),
        refused("a key of 31 bytes", |lie| {
            lie.file.key.pop();
            lie.owed = Owed::NotEvenAFile;
        }),
    ]
}

/// Uploads what there is to upload and sends the message. Returns its place; `before`: the blob of the lie before.
pub async fn tell(raw: &Raw, session: &mut Session, lie: &mut Lie, before: &[u8]) -> u64 {
    lie.file.blob = match lie.is_uploaded {
        Uploaded::Wholly | Uploaded::NotFinished => upload(raw, &lie.blob, lie.is_uploaded).await,
        Uploaded::Never => random::<32>().to_vec(),
        Uploaded::Before => before.to_vec(),
    };
    let body = lie.file.encode_to_vec();
    let content = Envelope { body, ..lie.envelope.clone() }.encode_to_vec();
    raw.throw(&session.encrypt(&content).unwrap()).await
}

async fn upload(raw: &Raw, bytes: &[u8], how_far: Uploaded) -> Vec<u8> {
    let create = Request::BlobCreate(BlobCreate { size: bytes.len() as u64 });
    let Answer::BlobCreated(created) = raw.connection.call(create).await.unwrap() else { panic!() };
    let blob = created.blob;
    for (number, range) in bytes.chunks(BLOB_RANGE_BYTES_MAX).enumerate() {
        let offset = (number * BLOB_RANGE_BYTES_MAX) as u64;
        let put = Request::BlobPut(BlobPut { blob: blob.clone(), offset, bytes: range.to_vec() });
        raw.connection.call(put).await.unwrap();
    }
    if how_far == Uploaded::Wholly {
        raw.connection.call_done(Request::BlobFinish(BlobFinish { blob: blob.clone() })).await.unwrap();
    }
    blob
}
