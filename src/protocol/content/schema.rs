//! How content is encoded: protocol buffers. These types are open and hold anything; `decode` makes the closed ones of
//! them. Field numbers are never reused. None of them has `Debug` output.

use prost::Message;
use zeroize::Zeroize;

/// The envelope of every body. Frozen: additions become part of a body.
#[derive(Message)]
pub(super) struct Envelope {
    /// Version of the body's schema, from 1.
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// `msgtype` of the body.
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    /// The body, encoded according to its kind.
    #[prost(bytes = "vec", tag = "3")]
    pub body: Vec<u8>,
    /// Id of the message, 16 bytes.
    #[prost(bytes = "vec", tag = "4")]
    pub message_id: Vec<u8>,
    #[prost(int64, tag = "5")]
    pub sent_at_micros: i64,
    #[prost(int64, optional, tag = "6")]
    pub ttl: Option<i64>,
    #[prost(uint32, tag = "7")]
    pub bor: u32,
}

#[derive(Message)]
pub(super) struct Text {
    #[prost(string, tag = "1")]
    pub text: String,
    #[prost(string, repeated, tag = "2")]
    pub links: Vec<String>,
}

#[derive(Message)]
pub(super) struct Verification {
    /// As in records.
    #[prost(uint32, tag = "1")]
    pub step: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub key: Vec<u8>,
}

/// Kinds 4001 and 4004.
#[derive(Message)]
pub(super) struct Room {
    #[prost(uint32, tag = "1")]
    pub changemask: u32,
    #[prost(string, tag = "2")]
    pub title: String,
    #[prost(string, tag = "3")]
    pub description: String,
    #[prost(string, repeated, tag = "4")]
    pub masters: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    pub members: Vec<String>,
    #[prost(uint64, tag = "6")]
    pub ttl_secs: u64,
    #[prost(uint32, tag = "7")]
    pub bor_secs: u32,
    /// Kind 4004 with the bit for saved items, only.
    #[prost(message, optional, tag = "8")]
    pub saved_item: Option<SavedItem>,
}

#[derive(Message)]
pub(super) struct SavedItem {
    #[prost(bytes = "vec", tag = "1")]
    pub sha256: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub guid: Vec<u8>,
    #[prost(string, tag = "3")]
    pub domain: String,
    #[prost(bytes = "vec", tag = "4")]
    pub key: Vec<u8>,
    /// 1 create, 2 upload, 3 save, 4 rename, 5 move, 6 delete.
    #[prost(uint32, tag = "5")]
    pub action: u32,
    #[prost(string, tag = "6")]
    pub target: String,
    #[prost(string, tag = "7")]
    pub name: String,
    #[prost(string, tag = "8")]
    pub path: String,
    #[prost(string, tag = "9")]
    pub modified_by: String,
    #[prost(int64, tag = "10")]
    pub modified_at_secs: i64,
}

impl Drop for SavedItem {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// Kinds 4002 and 4003 (`deleted` only).
#[derive(Message)]
pub(super) struct Members {
    #[prost(string, repeated, tag = "1")]
    pub added: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub deleted: Vec<String>,
}

/// Kinds 4005 and 4013.
#[derive(Message)]
pub(super) struct Empty {}

#[derive(Message)]
pub(super) struct Deletion {
    #[prost(bytes = "vec", tag = "1")]
    pub target: Vec<u8>,
    #[prost(bool, tag = "2")]
    pub everyone: bool,
}

#[derive(Message)]
pub(super) struct Attributes {
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<Attribute>,
}

#[derive(Message)]
pub(super) struct Attribute {
    #[prost(bytes = "vec", tag = "1")]
    pub message: Vec<u8>,
    #[prost(bool, tag = "2")]
    pub starred: bool,
}

#[derive(Message)]
pub(super) struct Pinned {
    #[prost(bool, tag = "1")]
    pub pinned: bool,
}

#[derive(Message)]
pub(super) struct File {
    #[prost(bytes = "vec", tag = "1")]
    pub blob: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub key: Vec<u8>,
    #[prost(uint64, tag = "3")]
    pub size: u64,
    #[prost(bytes = "vec", tag = "4")]
    pub sha256: Vec<u8>,
    #[prost(string, tag = "5")]
    pub name: String,
    #[prost(bytes = "vec", tag = "6")]
    pub guid: Vec<u8>,
    /// 0 file, 1 screenshot, 2 voice memo.
    #[prost(uint32, tag = "7")]
    pub kind: u32,
    #[prost(uint32, tag = "8")]
    pub voice_memo_secs: u32,
}

impl Drop for File {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

#[derive(Message)]
pub(super) struct Call {
    /// 1 start, 2 invite, 3 end.
    #[prost(uint32, tag = "1")]
    pub phase: u32,
    #[prost(uint64, tag = "2")]
    pub meeting_id: u64,
    #[prost(uint32, tag = "3")]
    pub version: u32,
    #[prost(bool, tag = "4")]
    pub version_check: bool,
    /// In start and invite.
    #[prost(string, tag = "5")]
    pub uri: String,
    /// In start and invite.
    #[prost(string, tag = "6")]
    pub uri_ipv6: String,
    /// In start and invite; 32 bytes each.
    #[prost(bytes = "vec", repeated, tag = "7")]
    pub participants: Vec<Vec<u8>>,
    /// In invite.
    #[prost(bytes = "vec", tag = "8")]
    pub invite: Vec<u8>,
    /// In invite and end.
    #[prost(bytes = "vec", tag = "9")]
    pub start: Vec<u8>,
    /// In end; as in records: 1 completed, 2 missed, 3 cancelled.
    #[prost(uint32, tag = "10")]
    pub outcome: u32,
    /// In end.
    #[prost(uint64, tag = "11")]
    pub duration_secs: u64,
}

#[derive(Message)]
pub(super) struct Location {
    #[prost(double, tag = "1")]
    pub latitude: f64,
    #[prost(double, tag = "2")]
    pub longitude: f64,
}

#[derive(Message)]
pub(super) struct Edit {
    /// 1 text, 2 location.
    #[prost(uint32, tag = "1")]
    pub what: u32,
    /// Of a text.
    #[prost(bytes = "vec", tag = "2")]
    pub original: Vec<u8>,
    /// Of a text.
    #[prost(string, tag = "3")]
    pub text: String,
    /// Of a location.
    #[prost(double, tag = "4")]
    pub latitude: f64,
    /// Of a location.
    #[prost(double, tag = "5")]
    pub longitude: f64,
    /// Of a location; absent = stopped.
    #[prost(int64, optional, tag = "6")]
    pub shared_until_secs: Option<i64>,
}

#[derive(Message)]
pub(super) struct Reaction {
    #[prost(bytes = "vec", tag = "1")]
    pub original: Vec<u8>,
    #[prost(string, tag = "2")]
    pub reaction: String,
    #[prost(bool, tag = "3")]
    pub added: bool,
}

#[derive(Message)]
pub(super) struct ReadReceipt {
    #[prost(int64, tag = "1")]
    pub message_sent_at_micros: i64,
    #[prost(int64, tag = "2")]
    pub read_at_secs: i64,
}
