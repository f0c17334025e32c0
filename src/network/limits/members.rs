//! What devices and users may have.

use std::time::Duration;

use retaind_core::limit::Limit;

const GIB: u64 = 1 << 30;

/// In store, of one user with all devices.
pub(crate) const BLOB_BYTES_OF_USER: Limit = Limit {
    name: "blob_bytes_of_user",
    value: 64 * GIB,
    unit: "bytes",
    why: "one user must not fill the disk of all others and of the archive",
    variable: Some("RETAIND_BLOB_QUOTA"),
};

/// In store, of one device: half of what its user may have, so that one stolen device does not use up all of it.
pub(crate) const BLOB_BYTES_OF_DEVICE: Limit = Limit {
    name: "blob_bytes_of_device",
    value: BLOB_BYTES_OF_USER.value / 2,
    unit: "bytes",
    why: "one device must not take all that its user may store",
    variable: Some("RETAIND_BLOB_QUOTA"),
};

/// In store, of one user with all devices, however small.
pub(crate) const BLOBS_OF_USER: Limit = Limit {
    name: "blobs_of_user",
    value: 65_536,
    unit: "attachments",
    why: "each is a file and a row, also an empty one",
    variable: None,
};

/// Begun by one user with all devices.
pub(crate) const BLOB_BYTES_AN_HOUR: Limit = Limit {
    name: "blob_bytes_an_hour",
    value: 32 * GIB,
    unit: "bytes an hour",
    why: "the disk must have time to be emptied; one attachment of the largest size must fit",
    variable: None,
};

/// Of one device.
pub(crate) const UNFINISHED_UPLOADS: Limit = Limit {
    name: "unfinished_uploads",
    value: 64,
    unit: "uploads of a device",
    why: "what is begun and not finished occupies the disk and is of no use to anybody",
    variable: None,
};

/// After which an upload that is not finished is deleted.
pub(crate) const UNFINISHED_UPLOAD_SECONDS: Limit = Limit {
    name: "unfinished_upload_seconds",
    value: 24 * 60 * 60,
    unit: "seconds",
    why: "a device that has not finished by then will not, or begins again",
    variable: None,
};

/// After which a blob is deleted that no unread message of a retention bot needs.
pub(crate) const BLOB_DAYS: Limit = Limit {
    name: "blob_days",
    value: 30,
    unit: "days",
    why: "a member that never comes back would keep every attachment for ever",
    variable: Some("RETAIND_BLOB_DAYS"),
};

/// Free space below which no blob is taken.
pub(crate) const DISK_FOR_BLOBS: Limit = Limit {
    name: "disk_for_blobs",
    value: GIB,
    unit: "bytes free",
    why: "the archive shares the disk, and must have its last room",
    variable: Some("RETAIND_DISK_LOW"),
};

/// How many times the room for messages that for blobs is.
pub(crate) const MESSAGES_OF_BLOBS: u64 = 64;

/// Free space below which no message is taken: a 64th of [`DISK_FOR_BLOBS`]. The bot takes none below an eighth; in between they wait
/// here.
pub(crate) const DISK_FOR_MESSAGES: Limit = Limit {
    name: "disk_for_messages",
    value: DISK_FOR_BLOBS.value / MESSAGES_OF_BLOBS,
    unit: "bytes free",
    why: "the last room is for what is under way: a disk that is full to the last byte stops the bot",
    variable: Some("RETAIND_DISK_LOW"),
};

/// Users named in claims of key packages by one device.
pub(crate) const CLAIMS_AN_HOUR: Limit = Limit {
    name: "claims_an_hour",
    value: 16_384,
    unit: "users an hour of a device",
    why: "each claim takes a key package of each of the user's devices; four of the largest conversations fit",
    variable: None,
};

/// One-time key packages of one device that another one gets; beyond them it gets the last-resort one.
pub(crate) const CLAIMS_OF_TARGET: Limit = Limit {
    name: "claims_of_target",
    value: 32,
    unit: "key packages an hour of one device for another",
    why: "one device must not use up what another has left for everybody",
    variable: None,
};

/// One-time key packages that a retention bot leaves with its network; what is counted is its last-resort one, given out when
/// they have run out.
pub(crate) const BOT_KEY_PACKAGES: Limit = Limit {
    name: "bot_key_packages",
    value: 100,
    unit: "one-time key packages of a bot",
    why: "without one the bot is added by its last-resort key package, whose key opens more than one welcome",
    variable: None,
};

/// Begun by one device.
pub(crate) const CONVERSATIONS_OF_DEVICE: Limit = Limit {
    name: "conversations_of_device",
    value: 1_000,
    unit: "new conversations an hour",
    why: "each is kept by the network and by the bot for good",
    variable: None,
};

/// Begun by one user with all devices.
pub(crate) const CONVERSATIONS_OF_USER: Limit = Limit {
    name: "conversations_of_user",
    value: 2_000,
    unit: "new conversations an hour",
    why: "each is kept by the network and by the bot for good",
    variable: None,
};

/// What may be set: by an operator, as far as a variable is named, and by tests.
#[derive(Debug, Clone)]
pub struct Allowances {
    /// Bytes that a user may have in store; a device half of it.
    pub blob_quota_bytes: u64,
    /// When a blob is old.
    pub blob_age: Duration,
    /// When an upload that is not finished is given up.
    pub unfinished_age: Duration,
    /// How long a blob is kept at least that everybody has: its device may be naming it in another conversation.
    pub settled_age: Duration,
    /// How long to wait after all blobs were looked at.
    pub blobs_looked_at_every: Duration,
    /// Free bytes below which no blob is taken, and below a 64th of which no message; 0 = no such limit.
    pub disk_low_bytes: u64,
    /// Bytes of blobs that a user may begin in an hour.
    pub blob_bytes_an_hour: u64,
    /// Conversations that a device may begin in an hour; its user twice as many.
    pub conversations_an_hour: u64,
    /// One-time key packages of a device that another one gets in an hour.
    pub claims_of_target: u64,
}

impl Default for Allowances {
    fn default() -> Self {
        Self {
            blob_quota_bytes: BLOB_BYTES_OF_USER.value,
            blob_age: Duration::from_secs(BLOB_DAYS.value * 24 * 60 * 60),
            unfinished_age: Duration::from_secs(UNFINISHED_UPLOAD_SECONDS.value),
            settled_age: Duration::from_secs(10 * 60),
            blobs_looked_at_every: Duration::from_secs(60),
            disk_low_bytes: DISK_FOR_BLOBS.value,
            blob_bytes_an_hour: BLOB_BYTES_AN_HOUR.value,
            conversations_an_hour: CONVERSATIONS_OF_DEVICE.value,
            claims_of_target: CLAIMS_OF_TARGET.value,
        }
    }
}
