//! Limits of this source that somebody outside can meet.

use retaind_core::limit::Limit;
use retaind_protocol::limits::{ATTACHMENT_BYTES_MAX, CONTENT_BYTES_MAX};

/// All of them, for the table in docs/limits.md and the counters.
pub const LIMITS: &[Limit] = &[KEPT_CIPHERTEXT, CONTENT];

/// Kept of an attachment that cannot be decrypted.
pub const KEPT_CIPHERTEXT: Limit = Limit {
    name: "kept_ciphertext",
    // the largest attachment with its tags
    value: ATTACHMENT_BYTES_MAX + ATTACHMENT_BYTES_MAX / 1024 + 64 * 1024,
    unit: "bytes of an attachment that cannot be decrypted",
    why: "a network that never ends a blob would fill the disk; it takes no longer one from a device",
    variable: None,
};

/// Of one content. A longer one is recorded as unreadable, whole.
pub(crate) const CONTENT: Limit = Limit {
    name: "content",
    value: Limit::value_of(CONTENT_BYTES_MAX),
    unit: "bytes of a decrypted message",
    why: "it is one line of the archive, which readers hold in memory",
    variable: None,
};
