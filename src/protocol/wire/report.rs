//! What a retention bot says about the conversations that it is to archive: the network cannot see whether the bot can read
//! them, and lets nobody speak where it cannot.

use prost::{Message, Oneof};

/// From a retention bot, about a conversation of which it is a member. Answered by [`Done`](super::Done); repeating it is
/// harmless.
#[derive(Clone, PartialEq, Message)]
pub struct Report {
    /// Id of the conversation, 64 ASCII bytes.
    #[prost(string, tag = "1")]
    pub conversation: String,
    /// How the bot stands to it.
    #[prost(oneof = "Reported", tags = "2,3,4")]
    pub reported: Option<Reported>,
}

/// How a retention bot stands to a conversation.
#[derive(Clone, PartialEq, Oneof)]
#[expect(missing_docs, reason = "each variant is documented at the type that it holds")]
pub enum Reported {
    #[prost(message, tag = "2")]
    Lost(Lost),
    #[prost(message, tag = "3")]
    Unread(Unread),
    #[prost(message, tag = "4")]
    Follows(Follows),
}

/// The bot could not process a handshake, or a Welcome: it can read nothing from there on. The network accepts no messages
/// there, and proposes to remove the bot and to add it again.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Lost {
    /// The first message that the bot cannot follow.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
}

/// The bot cannot read what a device sends. The network accepts no messages of that device before the next epoch, in which
/// keys are fresh.
#[derive(Clone, PartialEq, Message)]
pub struct Unread {
    /// Id of the device, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub device: Vec<u8>,
    /// The epoch of the message.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
}

/// The bot has reached an epoch, and keeps its keys on stable storage.
#[derive(Clone, PartialEq, Message)]
pub struct Follows {
    /// The epoch.
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    /// SHA-256 of the encoded MLS `GroupContext`: members, keys and history as the bot has them. Another one than the
    /// network's means that the bot was led into another conversation of the same name.
    #[prost(bytes = "vec", tag = "2")]
    pub context: Vec<u8>,
}
