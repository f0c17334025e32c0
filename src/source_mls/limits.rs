//! Limits of this source that somebody outside can meet.

use retaind_core::limit::Limit;
use retaind_protocol::limits::ATTACHMENT_BYTES_MAX;

/// All of them, for the table in docs/limits.md and the counters.
pub const LIMITS: &[Limit] = &[KEPT_CIPHERTEXT];

/// Kept of an attachment that cannot be decrypted.
pub const KEPT_CIPHERTEXT: Limit = Limit {
    name: "kept_ciphertext",
    // the largest attachment with its tags
    value: ATTACHMENT_BYTES_MAX + ATTACHMENT_BYTES_MAX / 1024 + 64 * 1024,
    unit: "bytes of one attachment that cannot be decrypted",
    why: "a network that never ends a blob would fill the disk; it takes no longer one from a device",
    variable: None,
};
