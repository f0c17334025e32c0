//! What a device is delivered, and how it says what it has.

use prost::{Enumeration, Message};

/// Reads messages of one conversation. Answered by [`Deliveries`].
#[derive(Clone, PartialEq, Message)]
pub struct Fetch {
    /// Id of the conversation, 64 ASCII bytes.
    #[prost(string, tag = "1")]
    pub conversation: String,
    /// Only messages with a greater `seq`.
    #[prost(uint64, tag = "2")]
    pub after_seq: u64,
    /// Leave application messages out: for a device that only sends.
    #[prost(bool, tag = "3")]
    pub handshakes_only: bool,
    /// Most payload bytes of the answer, which has at least one message.
    #[prost(uint32, tag = "4")]
    pub bytes_max: u32,
}

/// Answer to [`Fetch`].
#[derive(Clone, PartialEq, Message)]
pub struct Deliveries {
    /// The messages, in order of `seq`.
    #[prost(message, repeated, tag = "1")]
    pub deliveries: Vec<Delivery>,
    /// Highest `seq` that this answer covers: messages up to it that are not listed were left out on request.
    #[prost(uint64, tag = "2")]
    pub through_seq: u64,
    /// Newest `seq` of the conversation.
    #[prost(uint64, tag = "3")]
    pub head_seq: u64,
}

/// One message of a conversation for this device.
#[derive(Clone, PartialEq, Message)]
pub struct Delivery {
    /// Id of the conversation, 64 ASCII bytes.
    #[prost(string, tag = "1")]
    pub conversation: String,
    /// Place in the conversation, from 1, without gaps.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// Kind of `payload`.
    #[prost(enumeration = "DeliveryKind", tag = "3")]
    pub kind: i32,
    /// Device that sent it (16 bytes), empty for the network itself. Named by the network, not authenticated by MLS.
    #[prost(bytes = "vec", tag = "4")]
    pub sender_device: Vec<u8>,
    /// User of that device.
    #[prost(string, tag = "5")]
    pub sender_user: String,
    /// When the network accepted it, microseconds since 1970, UTC.
    #[prost(int64, tag = "6")]
    pub accepted_at_micros: i64,
    /// The MLS message.
    #[prost(bytes = "vec", tag = "7")]
    pub payload: Vec<u8>,
}

/// Kind of a delivery's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum DeliveryKind {
    /// Not set: refused by every reader.
    Unspecified = 0,
    /// MLS private message.
    Application = 1,
    /// MLS public message: commit or proposal.
    Handshake = 2,
    /// MLS Welcome: in place of the commit that added this device.
    Welcome = 3,
}

/// Lists the conversations that this device is a member of or still has messages of. Answered by [`Conversations`].
#[derive(Clone, PartialEq, Message)]
pub struct ListConversations {
    /// Lists only ids greater than this one (for the next page); empty = from the start.
    #[prost(string, tag = "1")]
    pub after: String,
}

/// Answer to [`ListConversations`]: one page.
#[derive(Clone, PartialEq, Message)]
pub struct Conversations {
    /// The conversations, in order of id.
    #[prost(message, repeated, tag = "1")]
    pub conversations: Vec<ConversationState>,
    /// Whether there is another page.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

/// The network's state of a conversation for this device.
#[derive(Clone, PartialEq, Message)]
pub struct ConversationState {
    /// Id of the conversation, 64 ASCII bytes.
    #[prost(string, tag = "1")]
    pub conversation: String,
    /// Highest acknowledged `seq` of this device.
    #[prost(uint64, tag = "2")]
    pub acknowledged_seq: u64,
    /// Newest `seq` of the conversation.
    #[prost(uint64, tag = "3")]
    pub head_seq: u64,
}

/// From now on every message of every conversation is pushed, starting after what was acknowledged. Answered by [`Done`](super::Done).
#[derive(Clone, PartialEq, Message)]
pub struct Subscribe {
    /// Most unacknowledged messages in flight.
    #[prost(uint32, tag = "1")]
    pub window_messages: u32,
    /// Most unacknowledged payload bytes in flight (one message may exceed it).
    #[prost(uint64, tag = "2")]
    pub window_bytes: u64,
}

/// The device has stored these: the network need not keep them for it. Answered by [`Done`](super::Done).
#[derive(Clone, PartialEq, Message)]
pub struct Acknowledge {
    /// Cursors, one for each conversation.
    #[prost(message, repeated, tag = "1")]
    pub cursors: Vec<Cursor>,
}

/// All messages of a conversation up to and including `seq`.
#[derive(Clone, PartialEq, Message)]
pub struct Cursor {
    /// Id of the conversation, 64 ASCII bytes.
    #[prost(string, tag = "1")]
    pub conversation: String,
    /// Highest `seq` that is acknowledged.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
}
