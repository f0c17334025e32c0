//! Frames, contents, attachments, names: what devices and the network share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::str::FromStr;
use std::sync::LazyLock;

use bytes::BytesMut;
use prost::Message;
use retaind::archive::record::{Ciphertext, FileOutcome, Record, RecordBody, RecordContext, SenderType, Unreadable};
use retaind::protocol::attachment::{AttachmentError, AttachmentKey, DecryptingWriter, Decryptor, EncryptingReader};
use retaind::protocol::content::{Content, salvage};
use retaind::protocol::endpoint::Invite;
use retaind::protocol::ids::{ConversationId, DeviceId, MessageId, UserName};
use retaind::protocol::limits::{
    BLOB_RANGE_BYTES_MAX, CONTENT_BYTES_MAX, FRAME_BYTES_MAX, FRAME_BYTES_MAX_BEFORE_LOGIN, USER_NAME_BYTES_MAX,
};
use retaind::protocol::wire::{ClientFrame, ServerFrame};
use tokio_util::codec::{Decoder, LengthDelimitedCodec};

use super::Fate;

/// What comes out, encoded, comes out the same.
fn round_trip<M: Message + Default + PartialEq>(message: &M, read: impl Fn(&[u8]) -> Option<M>) {
    let encoded = message.encode_to_vec();
    assert!(read(&encoded).as_ref() == Some(message), "what was encoded decodes to something else");
}

pub fn client_frame(bytes: &[u8]) -> Fate {
    let read = ClientFrame::read(bytes);
    if let Ok(frame) = &read {
        round_trip(frame, |bytes| ClientFrame::read(bytes).ok());
    }
    Fate::of(&read)
}

pub fn server_frame(bytes: &[u8]) -> Fate {
    let read = ServerFrame::read(bytes);
    if let Ok(frame) = &read {
        round_trip(frame, |bytes| ServerFrame::read(bytes).ok());
    }
    Fate::of(&read)
}

/// As both ends have it, before and after log-in; the stream comes in pieces as its first byte says.
pub fn frame_codec(bytes: &[u8]) -> Fate {
    let (&first, stream) = bytes.split_first().unwrap_or((&0, &[]));
    let max = if first & 1 == 0 { FRAME_BYTES_MAX_BEFORE_LOGIN } else { FRAME_BYTES_MAX };
    let mut codec = LengthDelimitedCodec::builder().max_frame_length(max).new_codec();
    let (mut buffer, mut frames, mut fate) = (BytesMut::new(), 0usize, Fate::Refused);
    for piece in stream.chunks(usize::from(first >> 1) + 1) {
        buffer.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(frame)) => {
                    assert!(frame.len() <= max);
                    frames += frame.len() + 4;
                    fate = Fate::Taken;
                }
                Ok(None) => break,
                // the connection is closed
                Err(_) => return Fate::Refused,
            }
        }
    }
    assert!(frames <= stream.len());
    fate
}

pub fn content(bytes: &[u8]) -> Fate {
    let read = Content::decode(bytes);
    if let Ok(content) = &read {
        let encoded = content.encode().unwrap();
        assert!(encoded.len() <= CONTENT_BYTES_MAX);
        assert!(Content::decode(&encoded).as_ref() == Ok(content), "what was encoded decodes to something else");
        let missing = FileOutcome::Missing { reason: "not fetched".into() };
        record(RecordBody::Content { content, file: Some(&missing) }, content.message_id, content.sent_at_micros);
    }
    Fate::of(&read)
}

/// The envelope and the two bodies that hold keys, as a reader sees them that takes what it can get.
#[derive(Clone, PartialEq, Message)]
pub struct LooseEnvelope {
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    #[prost(bytes = "vec", tag = "3")]
    pub body: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct LooseFile {
    #[prost(bytes = "vec", tag = "2")]
    pub key: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct LooseItem {
    #[prost(bytes = "vec", tag = "4")]
    pub key: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct LooseRoom {
    #[prost(message, optional, tag = "8")]
    pub item: Option<LooseItem>,
}

/// The key that such a reader finds.
fn loose_key(plaintext: &[u8]) -> Option<Vec<u8>> {
    let envelope = LooseEnvelope::decode(plaintext).ok()?;
    match envelope.kind {
        6000 => Some(LooseFile::decode(envelope.body.as_slice()).ok()?.key),
        4004 => Some(LooseRoom::decode(envelope.body.as_slice()).ok()?.item?.key),
        _ => None,
    }
}

/// What is kept of a plaintext that was refused holds no key that anybody could find in it.
pub fn salvaged(bytes: &[u8]) -> Fate {
    let kept = salvage(bytes);
    assert_eq!(kept.plaintext.len(), bytes.len());
    let key = loose_key(&kept.plaintext);
    assert!(key.is_none_or(|key| key.iter().all(|byte| *byte == 0)), "a key was kept");
    let unreadable = Unreadable {
        reason: "no content",
        ciphertext: Ciphertext { size: 0, sha256: [0; 32], file: None },
        plaintext: Some(bytes),
    };
    record(RecordBody::Unreadable(unreadable), MessageId::new([0; 16]), 0);
    if kept.kind.is_some() { Fate::Taken } else { Fate::Refused }
}

/// A record is one line, and JSON.
fn record(body: RecordBody<'_>, message_id: MessageId, sent_at_micros: i64) {
    let context = RecordContext {
        network_id: "12345678",
        sender_network_id: "12345678",
        sender: None,
        sender_type: SenderType::Normal,
        device: None,
        receiver: None,
        conversation: ConversationId::from_bytes(&[b'a'; 64]).unwrap(),
        seq: 1,
        received_micros: 0,
        message_id,
        sent_at_micros,
    };
    let mut line = Vec::new();
    Record { context, body }.append_line(&mut line).unwrap();
    assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1), "a record is one line");
    serde_json::from_slice::<serde::de::IgnoredAny>(&line).unwrap();
}

/// Size of the plaintext in eight bytes, then the blob, under a key that nobody has sealed anything with.
pub fn attachment_blob(bytes: &[u8]) -> Fate {
    let Some((size, blob)) = bytes.split_first_chunk::<8>() else { return Fate::Refused };
    let key = AttachmentKey::from_bytes(&[7; 32]).unwrap();
    let Ok(decryptor) = Decryptor::new(&key, u64::from_be_bytes(*size)) else { return Fate::Refused };
    let mut writer = DecryptingWriter::new(Vec::new(), decryptor);
    for piece in blob.chunks(1000) {
        match writer.write(piece) {
            Ok(()) => {}
            Err(_) => assert!(writer.next_range().is_none_or(|range| range.end - range.start <= RANGE_BYTES_MAX)),
        }
    }
    assert!(writer.finish(&[0; 32]).is_err(), "a blob that nobody sealed was taken");
    Fate::Refused
}

const RANGE_BYTES_MAX: u64 = BLOB_RANGE_BYTES_MAX as u64;
/// Two whole chunks and a part.
const PLAINTEXT_BYTES: usize = 2 * 256 * 1024 + 777;

/// A true attachment.
struct Sealed {
    plaintext: Vec<u8>,
    blob: Vec<u8>,
    key: [u8; 32],
    sha256: [u8; 32],
}

static SEALED: LazyLock<Sealed> = LazyLock::new(|| {
    let plaintext: Vec<u8> = (0..PLAINTEXT_BYTES).map(|i| (i * 31 / 8) as u8).collect();
    let mut reader = EncryptingReader::new(plaintext.as_slice(), plaintext.len() as u64).unwrap();
    let (mut blob, mut block) = (Vec::new(), Vec::new());
    while reader.next_block(&mut block).unwrap().is_some() {
        blob.append(&mut block);
    }
    let (key, sha256, _) = reader.finish().unwrap().into_parts();
    Sealed { plaintext, blob, key: *key.expose(), sha256 }
});

/// A true blob, delivered as a script of four bytes a step says: pieces of it, altered pieces, pieces from another place.
/// Whatever happens, only all of the true file is proved.
pub fn attachment_script(bytes: &[u8]) -> Fate {
    let Sealed { plaintext, blob, key, sha256 } = &*SEALED;
    let decryptor = Decryptor::new(&AttachmentKey::from_bytes(key).unwrap(), plaintext.len() as u64).unwrap();
    let (steps, _) = bytes.as_chunks::<4>();
    let mut writer = DecryptingWriter::new(Vec::new(), decryptor);
    for [what, high, middle, low] in steps {
        let amount = usize::from(*high) << 12 | usize::from(*middle) << 4 | usize::from(*low);
        let Some(range) = writer.next_range() else { break };
        let next = range.start as usize;
        let piece = match what % 4 {
            // the next bytes
            0 | 1 => blob[next..(next + amount).min(blob.len())].to_vec(),
            // one of them altered
            2 => {
                let mut piece = blob[next..(next + amount).min(blob.len())].to_vec();
                if let Some(last) = piece.last_mut() {
                    *last ^= 0x40;
                }
                piece
            }
            // from another place
            _ => blob[amount.min(blob.len())..].iter().take(amount).copied().collect(),
        };
        match writer.write(&piece) {
            Ok(()) | Err(AttachmentError::Authentication { .. } | AttachmentError::Trailing) => {}
            Err(_) => assert_eq!(next, range.start as usize),
        }
    }
    match writer.finish(sha256) {
        Ok((target, verified)) => {
            assert_eq!(verified.plaintext_size(), plaintext.len() as u64);
            assert!(target == *plaintext, "another file was proved");
            Fate::Taken
        }
        Err(_) => Fate::Refused,
    }
}

/// What is a name comes back as it was written.
pub fn names(bytes: &[u8]) -> Fate {
    let mut fates = vec![];
    if let Ok(id) = ConversationId::from_bytes(bytes) {
        assert_eq!(id.as_str().as_bytes(), bytes);
        assert_eq!(ConversationId::from_str(id.as_str()), Ok(id));
        fates.push(());
    }
    if let Ok(id) = MessageId::from_bytes(bytes) {
        assert_eq!(id.to_string().parse(), Ok(id));
        fates.push(());
    }
    if let Ok(id) = DeviceId::from_bytes(bytes) {
        assert_eq!(id.to_string().parse(), Ok(id));
        fates.push(());
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(id) = text.parse::<MessageId>() {
            assert_eq!(id.to_string(), text);
            fates.push(());
        }
        if let Ok(user) = UserName::new(text) {
            assert_eq!(user.as_str(), text);
            assert!((1..=USER_NAME_BYTES_MAX).contains(&text.len()));
            assert!(!text.contains(|c: char| c.is_control() || c.is_whitespace()));
            fates.push(());
        }
    }
    if fates.is_empty() { Fate::Refused } else { Fate::Taken }
}

pub fn invite(bytes: &[u8]) -> Fate {
    let Ok(text) = std::str::from_utf8(bytes) else { return Fate::Refused };
    let invite = text.parse::<Invite>();
    if let Ok(invite) = &invite {
        assert_eq!(invite.to_string().parse().as_ref(), Ok(invite));
    }
    Fate::of(&invite)
}
