//! Every limit of the protocol, with its unit last and the reason beside it.
//!
//! A limit that both sides must agree on is here and nowhere else.

/// Largest frame between device and network. A commit that creates a group of some thousand members,
/// with its ratchet tree, is the largest thing sent in one piece; everything larger is streamed.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Largest frame before log-in: a stranger may make the network hold this much, no more.
pub const FRAME_BYTES_MAX_BEFORE_LOGIN: usize = 64 * 1024;

/// Largest encoded message content. A text of 1 MiB with every byte escaped still fits a record.
pub const CONTENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Largest MLS ciphertext of one application message: content, padding (up to a quarter) and framing.
pub const CIPHERTEXT_BYTES_MAX: usize = CONTENT_BYTES_MAX + CONTENT_BYTES_MAX / 4 + 64 * 1024;

/// Largest attachment, in bytes of plaintext.
pub const ATTACHMENT_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;

/// Plaintext bytes of one chunk of an attachment stream. Memory of sender, network and bot is a few of these.
pub const ATTACHMENT_CHUNK_BYTES: usize = 256 * 1024;

/// Largest range of a blob that one request may read or write.
pub const BLOB_RANGE_BYTES_MAX: usize = 1024 * 1024;

/// Most blobs that one message may name: a message has one attachment today.
pub const BLOBS_OF_MESSAGE_MAX: usize = 16;

/// Shortest password of a bot account: initial passwords are as short as this in the guide's own start lines.
pub const PASSWORD_CHARS_MIN: usize = 8;

/// Longest password of a bot account.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Longest user name. The guide's names are e-mail addresses; 254 is their longest.
pub const USER_NAME_BYTES_MAX: usize = 254;

/// Longest file name kept in a message. Longer than any file system allows.
pub const FILE_NAME_BYTES_MAX: usize = 4096;

/// Largest leaf of a conversation's tree: a credential, three keys, and room for extensions. Every member keeps every
/// leaf for good, so this times the number of devices is what a conversation can make each of them keep.
pub const LEAF_BYTES_MAX: usize = 8 * 1024;

/// Largest key package: a leaf, a key and a signature.
pub const KEY_PACKAGE_BYTES_MAX: usize = 16 * 1024;

/// Largest list of extensions, the ratchet tree apart, which is bounded by its leaves.
pub const EXTENSIONS_BYTES_MAX: usize = 16 * 1024;

/// Proposals that may wait for a commit in one epoch, and their bytes: every member keeps them until it comes.
pub const PROPOSALS_MAX: usize = 1024;

/// See [`PROPOSALS_MAX`]: each of them may be an ordinary one.
pub const PROPOSALS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Largest state of a conversation, its secrets and its tree each, that a device keeps: far above what a frame's worth of
/// members needs, and far below what a row of the state may hold.
pub const SESSION_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most one-time key packages that a device may have on the network at once.
pub const KEY_PACKAGES_MAX: usize = 1000;

/// Most users whose key packages one request may claim.
pub const CLAIM_USERS_MAX: usize = 4096;

/// Most devices of one user.
pub const DEVICES_OF_USER_MAX: usize = 32;

/// Most unacknowledged messages of one conversation that the network pushes to a device, so that a
/// conversation that waits for an attachment cannot fill the window of all others.
pub const PUSH_MESSAGES_PER_CONVERSATION_MAX: usize = 1024;

/// Deepest and widest things that the decoders accept in lists: members, links, participants, attributes.
pub const LIST_ITEMS_MAX: usize = 65_536;
