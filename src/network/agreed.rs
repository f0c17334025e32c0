//! The limits of [`retaind_protocol::limits`] that the network holds its devices to, and those of its own requests, as rows of
//! the table. The protocol has the numbers, since both sides must agree on them, and knows nothing of tables and counters.

use retaind_core::limit::Limit;
use retaind_protocol::limits;

use crate::error::Refusal;
use crate::requests::HANDSHAKE_BYTES_MAX;
use retaind_protocol::shape::ShapeError;

/// All of them, for the table in docs/limits.md and the counters.
pub const AGREED: &[Limit] = &[
    FRAME,
    FRAME_OF_STRANGER,
    CIPHERTEXT,
    HANDSHAKE,
    GROUP_INFO,
    PROPOSALS,
    PROPOSALS_BYTES,
    SESSION,
    LEAF,
    EXTENSIONS,
    KEY_PACKAGE,
    KEY_PACKAGES,
    CLAIM_USERS,
    CURSORS,
    BLOB_RANGE,
    PASSWORD,
    DEVICES_OF_USER,
];

const fn of(name: &'static str, value: usize, unit: &'static str, why: &'static str) -> Limit {
    Limit { name, value: Limit::value_of(value), unit, why, variable: None }
}

pub(crate) const FRAME: Limit =
    of("frame", limits::FRAME_BYTES_MAX, "bytes of a frame", "a device makes the network hold a whole frame");
pub(crate) const FRAME_OF_STRANGER: Limit = of(
    "frame_of_stranger",
    limits::FRAME_BYTES_MAX_BEFORE_LOGIN,
    "bytes of a frame before log-in",
    "a stranger makes the network hold a whole frame",
);
pub(crate) const CIPHERTEXT: Limit = of(
    "ciphertext",
    limits::CIPHERTEXT_BYTES_MAX,
    "bytes of an encrypted message",
    "every device of the conversation holds it in memory; larger things are sent as files",
);
pub(crate) const HANDSHAKE: Limit = of(
    "handshake",
    HANDSHAKE_BYTES_MAX,
    "bytes of a handshake or welcome",
    "it must fit a frame again when it is delivered, with the names around it",
);
pub(crate) const GROUP_INFO: Limit = of(
    "group_info",
    crate::delivery::groups::GROUP_INFO_BYTES_MAX,
    "bytes of the group info of a new conversation",
    "the network keeps what it says for as long as the conversation exists",
);
pub(crate) const PROPOSALS: Limit = of(
    "proposals",
    limits::PROPOSALS_MAX,
    "proposals that wait for a commit",
    "every member keeps them until it comes",
);
pub(crate) const PROPOSALS_BYTES: Limit = of(
    "proposals_bytes",
    limits::PROPOSALS_BYTES_MAX,
    "bytes of proposals that wait for a commit",
    "every member keeps them until it comes",
);
pub(crate) const SESSION: Limit = of(
    "session",
    limits::SESSION_BYTES_MAX,
    "bytes of a conversation's state",
    "every member keeps it, and a bot that cannot would leave the conversation unarchived",
);
pub(crate) const LEAF: Limit =
    of("leaf", limits::LEAF_BYTES_MAX, "bytes of a leaf in a handshake", "every member keeps it for good");
pub(crate) const EXTENSIONS: Limit = of(
    "extensions",
    limits::EXTENSIONS_BYTES_MAX,
    "bytes of a list of extensions, or of a proposal of no known kind",
    "every member keeps what a handshake brings",
);
pub(crate) const KEY_PACKAGE: Limit =
    of("key_package", limits::KEY_PACKAGE_BYTES_MAX, "bytes of a key package", "the network keeps it until it is used");
pub(crate) const KEY_PACKAGES: Limit = of(
    "key_packages",
    limits::KEY_PACKAGES_MAX,
    "one-time key packages of a device",
    "the network keeps them until they are used",
);
pub(crate) const CLAIM_USERS: Limit = of(
    "claim_users",
    limits::CLAIM_USERS_MAX,
    "users of one claim of key packages",
    "their key packages are one answer and one transaction",
);
pub(crate) const CURSORS: Limit = of(
    "cursors",
    limits::LIST_ITEMS_MAX,
    "places acknowledged in one request",
    "they are one transaction, which the others wait for",
);
pub(crate) const BLOB_RANGE: Limit = of(
    "blob_range",
    limits::BLOB_RANGE_BYTES_MAX,
    "bytes of a file read or written by one request",
    "the network holds the range in memory",
);
pub(crate) const PASSWORD: Limit =
    of("password", limits::PASSWORD_BYTES_MAX, "bytes of a password", "all of it goes through a slow hash");
pub(crate) const DEVICES_OF_USER: Limit = of(
    "devices_of_user",
    limits::DEVICES_OF_USER_MAX,
    "devices of a user",
    "each of them is a member of every conversation of its user",
);

/// Why an MLS message is not unpacked: beyond a limit of bytes, or not built as it must be.
pub(crate) fn unpacked(error: &ShapeError) -> Refusal {
    let message = format!("not an MLS message to be unpacked: {error}");
    match error {
        ShapeError::Part { part: "leaf", .. } => Refusal::over(&LEAF, message),
        ShapeError::Part { part: "key package", .. } => Refusal::over(&KEY_PACKAGE, message),
        ShapeError::Part { .. } => Refusal::over(&EXTENSIONS, message),
        ShapeError::Grammar | ShapeError::Items | ShapeError::Extensions => Refusal::invalid(message),
    }
}
