//! The protocol between a device and the network.
//!
//! One TLS connection a device. Each direction is a sequence of frames: four bytes of length (big endian,
//! at most [`FRAME_BYTES_MAX`](super::limits::FRAME_BYTES_MAX)), then one [`ClientFrame`] or [`ServerFrame`].
//! A request carries an `id` that its answer repeats; answers may come in another order than the requests.
//! A server frame with `id` 0 is pushed: a [`Delivery`] or a [`Notice`].
//!
//! Invariants of the network that devices rely on:
//! - `seq` of a conversation starts at 1 and has no gap: every accepted handshake or application message is one.
//! - An application message or commit is accepted only in the conversation's current epoch. A device that is
//!   behind gets [`RefusalCode::StaleEpoch`], reads what it missed and tries again. So a device that reads a conversation in
//!   order can always decrypt: no past epoch is ever needed.
//! - A request that changes something carries a `send_id` chosen at random by the device. Repeated with the
//!   same `send_id`, it gives the same answer and changes nothing: a lost answer never doubles a message.
//! - What was accepted is on stable storage before the answer is sent, and is kept for a device until that
//!   device has acknowledged it.
//!
//! [`ClientFrame::read`] and [`ServerFrame::read`] are the only way from bytes to frames. They count the items of a frame's
//! lists before they decode it: two bytes of a list can be a structure of a hundred.
//!
//! Not here: any plaintext. The network sees membership, sizes and times.

use prost::{DecodeError, Message, Oneof};
use thiserror::Error;

pub use self::delivery::{
    Acknowledge, ConversationState, Conversations, Cursor, Deliveries, Delivery, DeliveryKind, Fetch,
    ListConversations, Subscribe,
};
pub use self::refusal::RefusalCode;
pub use self::report::{Follows, Lost, Report, Reported, Unread};

use super::fields;
use super::limits::LIST_ITEMS_MAX;

mod delivery;
mod refusal;
mod report;

/// Version of this protocol; a network refuses what it does not know.
pub const WIRE_VERSION: u32 = 1;

/// What is signed at registration: this label, the network's nonce, the signature public key.
pub const REGISTER_LABEL: &[u8] = b"retaind register v1";
/// What is signed at log-in: this label, the network id, the network's nonce, the device id.
pub const LOGIN_LABEL: &[u8] = b"retaind login v1";

/// From a device to the network.
#[derive(Clone, PartialEq, Message)]
pub struct ClientFrame {
    /// Id of the request, repeated in the answer; never 0.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The request.
    #[prost(oneof = "Request", tags = "2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22")]
    pub request: Option<Request>,
}

/// From the network to a device.
#[derive(Clone, PartialEq, Message)]
pub struct ServerFrame {
    /// Id of the request that is answered; 0 for a push.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The answer or push.
    #[prost(oneof = "Answer", tags = "2,3,4,5,6,7,8,9,10,11,12,13,15,16,17")]
    pub answer: Option<Answer>,
}

/// Why bytes are not a frame.
#[derive(Debug, Error, Clone, PartialEq)]
pub enum FrameError {
    /// The bytes do not follow the schema.
    #[error("frame does not decode: {0}")]
    Malformed(DecodeError),
    /// The bytes are no message of any schema.
    #[error("frame does not decode: it is not made of fields")]
    NoFields,
    /// The lists have more than [`LIST_ITEMS_MAX`] items.
    #[error("frame has {found} fields and list items, at most {LIST_ITEMS_MAX} are allowed: send it in parts")]
    TooManyItems {
        /// Number of items.
        found: usize,
    },
}

/// Lists are one level down, in the request or answer.
fn check_items(bytes: &[u8]) -> Result<(), FrameError> {
    match fields::count_inner(bytes) {
        None => Err(FrameError::NoFields),
        Some(found) if found > LIST_ITEMS_MAX => Err(FrameError::TooManyItems { found }),
        Some(_) => Ok(()),
    }
}

impl ClientFrame {
    /// Reads the bytes of a device. Their memory is bounded by the frame's length and [`LIST_ITEMS_MAX`].
    ///
    /// # Errors
    /// See [`FrameError`].
    pub fn read(bytes: &[u8]) -> Result<Self, FrameError> {
        check_items(bytes)?;
        Self::decode(bytes).map_err(FrameError::Malformed)
    }
}

impl ServerFrame {
    /// Reads the bytes of the network, as [`ClientFrame::read`] does.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub fn read(bytes: &[u8]) -> Result<Self, FrameError> {
        check_items(bytes)?;
        Self::decode(bytes).map_err(FrameError::Malformed)
    }
}

/// All requests of a device.
#[derive(Clone, PartialEq, Oneof)]
#[expect(missing_docs, reason = "each variant is documented at the type that it holds")]
pub enum Request {
    #[prost(message, tag = "2")]
    Hello(Hello),
    #[prost(message, tag = "3")]
    Register(Register),
    #[prost(message, tag = "4")]
    Login(Login),
    #[prost(message, tag = "5")]
    PublishKeyPackages(PublishKeyPackages),
    #[prost(message, tag = "6")]
    CountKeyPackages(CountKeyPackages),
    #[prost(message, tag = "7")]
    ClaimKeyPackages(ClaimKeyPackages),
    #[prost(message, tag = "8")]
    CreateConversation(CreateConversation),
    #[prost(message, tag = "9")]
    SendHandshake(SendHandshake),
    #[prost(message, tag = "10")]
    SendApplication(SendApplication),
    #[prost(message, tag = "11")]
    Fetch(Fetch),
    #[prost(message, tag = "12")]
    ListConversations(ListConversations),
    #[prost(message, tag = "13")]
    Subscribe(Subscribe),
    #[prost(message, tag = "14")]
    Acknowledge(Acknowledge),
    #[prost(message, tag = "15")]
    BlobCreate(BlobCreate),
    #[prost(message, tag = "16")]
    BlobPut(BlobPut),
    #[prost(message, tag = "17")]
    BlobFinish(BlobFinish),
    #[prost(message, tag = "18")]
    BlobGet(BlobGet),
    #[prost(message, tag = "19")]
    BlobStat(BlobStat),
    #[prost(message, tag = "20")]
    ReadAccount(ReadAccount),
    #[prost(message, tag = "21")]
    ChangePassword(ChangePassword),
    #[prost(message, tag = "22")]
    Report(Report),
}

/// All answers and pushes of the network.
#[derive(Clone, PartialEq, Oneof)]
#[expect(missing_docs, reason = "each variant is documented at the type that it holds")]
pub enum Answer {
    #[prost(message, tag = "2")]
    Refused(Refused),
    #[prost(message, tag = "3")]
    NetworkInfo(NetworkInfo),
    #[prost(message, tag = "4")]
    Registered(Registered),
    #[prost(message, tag = "5")]
    Done(Done),
    #[prost(message, tag = "6")]
    KeyPackageCount(KeyPackageCount),
    #[prost(message, tag = "7")]
    ClaimedKeyPackages(ClaimedKeyPackages),
    #[prost(message, tag = "8")]
    Accepted(Accepted),
    #[prost(message, tag = "9")]
    Deliveries(Deliveries),
    #[prost(message, tag = "10")]
    Conversations(Conversations),
    #[prost(message, tag = "11")]
    BlobCreated(BlobCreated),
    #[prost(message, tag = "12")]
    BlobRange(BlobRange),
    #[prost(message, tag = "13")]
    BlobState(BlobState),
    #[prost(message, tag = "15")]
    Delivery(Delivery),
    #[prost(message, tag = "16")]
    Notice(Notice),
    #[prost(message, tag = "17")]
    Account(Account),
}

/// First request on a connection.
#[derive(Clone, PartialEq, Message)]
pub struct Hello {
    /// [`WIRE_VERSION`] of the device.
    #[prost(uint32, tag = "1")]
    pub version: u32,
}

/// The network's description of itself; answer to [`Hello`].
#[derive(Clone, PartialEq, Message)]
pub struct NetworkInfo {
    /// Name of the network, for example `12345678`.
    #[prost(string, tag = "1")]
    pub network_id: String,
    /// Authentication key: uncompressed P-384 point. Every credential of the network is signed by it.
    #[prost(bytes = "vec", tag = "2")]
    pub authentication_key: Vec<u8>,
    /// MLS cipher suites that conversations may have; the first is the default.
    #[prost(uint32, repeated, tag = "3")]
    pub cipher_suites: Vec<u32>,
    /// The network's external senders, one for each of `cipher_suites` in the same order (MLS-encoded
    /// `SigningIdentity`). Every conversation's group context must name the one of its suite.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub external_senders: Vec<Vec<u8>>,
    /// Users (bots) that must be members of every conversation; empty while data retention is off.
    #[prost(string, repeated, tag = "5")]
    pub retention_users: Vec<String>,
    /// 32 random bytes, to be signed at registration and log-in on this connection.
    #[prost(bytes = "vec", tag = "6")]
    pub nonce: Vec<u8>,
    /// Whether messages of a new epoch are accepted only after every retention bot has reported that it
    /// [`Follows`] there.
    #[prost(bool, tag = "7")]
    pub strict_retention: bool,
    /// Authorities (DER) of the network's own certificate, the present one first, then the one that takes over next. A device
    /// trusts these from now on; empty where the operator's own certificate is used.
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub authorities: Vec<Vec<u8>>,
}

/// Makes a new device of a user (with an invite code) or of a bot account (with its password).
#[derive(Clone, PartialEq, Message)]
pub struct Register {
    /// Single-use code of an invite; empty for a bot account.
    #[prost(string, tag = "1")]
    pub invite_code: String,
    /// Name of the bot account; empty with an invite.
    #[prost(string, tag = "2")]
    pub bot_user: String,
    /// Password of the bot account.
    #[prost(string, tag = "3")]
    pub bot_password: String,
    /// MLS cipher suite of the device's keys.
    #[prost(uint32, tag = "4")]
    pub cipher_suite: u32,
    /// Signature public key of the device, as the suite encodes it.
    #[prost(bytes = "vec", tag = "5")]
    pub signature_key: Vec<u8>,
    /// Signature by that key over [`REGISTER_LABEL`], nonce, `signature_key`: proof of possession.
    #[prost(bytes = "vec", tag = "6")]
    pub proof: Vec<u8>,
}

/// The new device and its credential; answer to [`Register`]. The connection is logged in from then on.
#[derive(Clone, PartialEq, Message)]
pub struct Registered {
    /// User to which the device belongs.
    #[prost(string, tag = "1")]
    pub user: String,
    /// Id of the device, 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub device: Vec<u8>,
    /// Encoded [`SignedCredential`](super::credential::SignedCredential).
    #[prost(bytes = "vec", tag = "3")]
    pub credential: Vec<u8>,
}

/// Logs a device in on this connection. Answered by [`Done`].
#[derive(Clone, PartialEq, Message)]
pub struct Login {
    /// Id of the device, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub device: Vec<u8>,
    /// Signature over [`LOGIN_LABEL`], network id, nonce, device id.
    #[prost(bytes = "vec", tag = "2")]
    pub proof: Vec<u8>,
}

/// Asks for the state of this device's account. Answered by [`Account`].
#[derive(Clone, PartialEq, Message)]
pub struct ReadAccount {}

/// Answer to [`ReadAccount`].
#[derive(Clone, PartialEq, Message)]
pub struct Account {
    /// Is the account's password still the one that an administrator gave it?
    #[prost(bool, tag = "1")]
    pub initial_password: bool,
}

/// Gives this device's bot account another password; the old one becomes invalid. Answered by [`Done`].
#[derive(Clone, PartialEq, Message)]
pub struct ChangePassword {
    /// At least [`PASSWORD_CHARS_MIN`](super::limits::PASSWORD_CHARS_MIN) characters.
    #[prost(string, tag = "1")]
    pub password: String,
}

/// Adds key packages (MLS messages) of this device. Answered by [`Done`].
#[derive(Clone, PartialEq, Message)]
pub struct PublishKeyPackages {
    /// Key packages, each of which is given out once.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub one_time: Vec<Vec<u8>>,
    /// Replaces the last-resort package, which is given out when no one-time package is left; empty = keep.
    #[prost(bytes = "vec", tag = "2")]
    pub last_resort: Vec<u8>,
}

/// Asks how many one-time packages of this device are left. Answered by [`KeyPackageCount`].
#[derive(Clone, PartialEq, Message)]
pub struct CountKeyPackages {}

/// Answer to [`CountKeyPackages`].
#[derive(Clone, PartialEq, Message)]
pub struct KeyPackageCount {
    /// Number of one-time packages not yet given out.
    #[prost(uint32, tag = "1")]
    pub one_time: u32,
    /// Is there a last-resort package?
    #[prost(bool, tag = "2")]
    pub last_resort: bool,
}

/// Asks for one key package of each active device of these users. Answered by [`ClaimedKeyPackages`].
#[derive(Clone, PartialEq, Message)]
pub struct ClaimKeyPackages {
    /// User names.
    #[prost(string, repeated, tag = "1")]
    pub users: Vec<String>,
    /// MLS cipher suite.
    #[prost(uint32, tag = "2")]
    pub cipher_suite: u32,
}

/// Answer to [`ClaimKeyPackages`]; if one user has no usable device, the whole request is refused.
#[derive(Clone, PartialEq, Message)]
pub struct ClaimedKeyPackages {
    /// One for each device.
    #[prost(message, repeated, tag = "1")]
    pub packages: Vec<ClaimedKeyPackage>,
}

/// A key package to add a device with.
#[derive(Clone, PartialEq, Message)]
pub struct ClaimedKeyPackage {
    /// User of the device.
    #[prost(string, tag = "1")]
    pub user: String,
    /// Id of the device, 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub device: Vec<u8>,
    /// The key package, an MLS message.
    #[prost(bytes = "vec", tag = "3")]
    pub key_package: Vec<u8>,
    /// Is it the last-resort package, which others may hold too?
    #[prost(bool, tag = "4")]
    pub last_resort: bool,
}

/// Starts a conversation. Answered by [`Accepted`] with the `seq` of the commit (1).
#[derive(Clone, PartialEq, Message)]
pub struct CreateConversation {
    /// 16 random bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub send_id: Vec<u8>,
    /// MLS GroupInfo of epoch 0 with the ratchet tree: the creator alone.
    #[prost(bytes = "vec", tag = "2")]
    pub group_info: Vec<u8>,
    /// MLS commit (public message) of epoch 0 that adds the first members.
    #[prost(bytes = "vec", tag = "3")]
    pub commit: Vec<u8>,
    /// MLS Welcome for them.
    #[prost(bytes = "vec", tag = "4")]
    pub welcome: Vec<u8>,
}

/// Sends a commit or proposal (MLS public message). Answered by [`Accepted`].
#[derive(Clone, PartialEq, Message)]
pub struct SendHandshake {
    /// 16 random bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub send_id: Vec<u8>,
    /// MLS public message; names its conversation as group id.
    #[prost(bytes = "vec", tag = "2")]
    pub message: Vec<u8>,
    /// MLS Welcome, when members are added; else empty.
    #[prost(bytes = "vec", tag = "3")]
    pub welcome: Vec<u8>,
}

/// Sends an application message (MLS private message). Answered by [`Accepted`].
#[derive(Clone, PartialEq, Message)]
pub struct SendApplication {
    /// 16 random bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub send_id: Vec<u8>,
    /// MLS private message; names its conversation as group id, and its epoch.
    #[prost(bytes = "vec", tag = "2")]
    pub message: Vec<u8>,
    /// Ids of the blobs that the message names, at most [`BLOBS_OF_MESSAGE_MAX`](super::limits::BLOBS_OF_MESSAGE_MAX): each is
    /// kept until every member has acknowledged the message. One that no message names here goes when it is old.
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub blobs: Vec<Vec<u8>>,
}

/// Accepted and on stable storage.
#[derive(Clone, PartialEq, Message)]
pub struct Accepted {
    /// Place in the conversation.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
}

/// Starts a blob: the ciphertext of an attachment. Answered by [`BlobCreated`].
#[derive(Clone, PartialEq, Message)]
pub struct BlobCreate {
    /// Length of the whole blob in bytes.
    #[prost(uint64, tag = "1")]
    pub size: u64,
}

/// Answer to [`BlobCreate`].
#[derive(Clone, PartialEq, Message)]
pub struct BlobCreated {
    /// Id of the blob, 32 random bytes: its holder may read the blob.
    #[prost(bytes = "vec", tag = "1")]
    pub blob: Vec<u8>,
}

/// Writes a range; ranges come in order. Answered by [`BlobState`].
#[derive(Clone, PartialEq, Message)]
pub struct BlobPut {
    /// Id of the blob, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub blob: Vec<u8>,
    /// Offset of the range in bytes: the number of bytes that the network already has.
    #[prost(uint64, tag = "2")]
    pub offset: u64,
    /// The bytes, at most [`BLOB_RANGE_BYTES_MAX`](super::limits::BLOB_RANGE_BYTES_MAX).
    #[prost(bytes = "vec", tag = "3")]
    pub bytes: Vec<u8>,
}

/// Ends an upload: makes the blob durable and readable. Answered by [`Done`].
#[derive(Clone, PartialEq, Message)]
pub struct BlobFinish {
    /// Id of the blob, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub blob: Vec<u8>,
}

/// Reads a range of a finished blob. Answered by [`BlobRange`].
#[derive(Clone, PartialEq, Message)]
pub struct BlobGet {
    /// Id of the blob, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub blob: Vec<u8>,
    /// Offset of the range in bytes.
    #[prost(uint64, tag = "2")]
    pub offset: u64,
    /// Length of the range in bytes, at most [`BLOB_RANGE_BYTES_MAX`](super::limits::BLOB_RANGE_BYTES_MAX).
    #[prost(uint32, tag = "3")]
    pub length: u32,
}

/// Answer to [`BlobGet`].
#[derive(Clone, PartialEq, Message)]
pub struct BlobRange {
    /// The bytes; fewer than requested only at the end.
    #[prost(bytes = "vec", tag = "1")]
    pub bytes: Vec<u8>,
    /// Length of the whole blob in bytes.
    #[prost(uint64, tag = "2")]
    pub size: u64,
}

/// Asks how far an upload is, to continue it. Answered by [`BlobState`].
#[derive(Clone, PartialEq, Message)]
pub struct BlobStat {
    /// Id of the blob, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub blob: Vec<u8>,
}

/// Answer to [`BlobPut`] and [`BlobStat`].
#[derive(Clone, PartialEq, Message)]
pub struct BlobState {
    /// Number of bytes that the network has.
    #[prost(uint64, tag = "1")]
    pub received: u64,
    /// Length of the whole blob in bytes.
    #[prost(uint64, tag = "2")]
    pub size: u64,
    /// Whether it may be read.
    #[prost(bool, tag = "3")]
    pub finished: bool,
}

/// Done, and on stable storage where it changed something.
#[derive(Clone, PartialEq, Message)]
pub struct Done {}

/// Something for all devices to know at once; pushed.
#[derive(Clone, PartialEq, Message)]
pub struct Notice {
    /// Users (bots) that must be members of every conversation; empty = data retention is now off.
    #[prost(string, repeated, tag = "1")]
    pub retention_users: Vec<String>,
    /// Text for people: `Data Retention Turned On` or `Data Retention Turned Off`.
    #[prost(string, tag = "2")]
    pub text: String,
    /// See [`NetworkInfo::strict_retention`].
    #[prost(bool, tag = "3")]
    pub strict_retention: bool,
    /// To this device alone: it has few one-time key packages left here, or none. The rest is empty then.
    #[prost(bool, tag = "4")]
    pub key_packages_low: bool,
}

/// The network refuses a request.
#[derive(Clone, PartialEq, Message)]
pub struct Refused {
    /// The reason, for a program.
    #[prost(enumeration = "RefusalCode", tag = "1")]
    pub code: i32,
    /// The reason, for a person: names the object, the limit and the remedy; never another user's secrets.
    #[prost(string, tag = "2")]
    pub message: String,
}
