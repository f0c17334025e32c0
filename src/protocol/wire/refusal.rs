//! The reasons for which the network refuses a request.

use prost::Enumeration;

/// Why the network refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum RefusalCode {
    /// Not set.
    Unspecified = 0,
    /// The request is not well-formed or not allowed in this state of the connection; repeating cannot help.
    Invalid = 1,
    /// Unknown wire version.
    Version = 2,
    /// Invite code unknown, used or expired.
    Invite = 3,
    /// Bot account or password wrong.
    Password = 4,
    /// The device is not logged in, or its proof is wrong.
    Unauthenticated = 5,
    /// The device acts for another device.
    NotYourDevice = 6,
    /// The device is not (or no longer) a member of the conversation.
    NotMember = 7,
    /// The user or device is suspended.
    Suspended = 8,
    /// The conversation has moved on: read what is new, then try again.
    StaleEpoch = 9,
    /// Data retention is on and the bot is not in the conversation: commit the network's proposal, then try again.
    BotMissing = 10,
    /// No such user, device, conversation or blob.
    NotFound = 11,
    /// A limit is exceeded; the message names it.
    Limit = 12,
    /// The network has a failure of its own (disk full, …): try again later.
    Unavailable = 13,
    /// The retention bot has not reached this epoch yet: try again in a moment.
    BotBehind = 14,
    /// The retention bot could not read what this device sent in this epoch: commit, then send with the new keys.
    NotRead = 15,
}
