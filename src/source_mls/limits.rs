//! Limits of this source that somebody outside can meet.

use retaind_core::limit::Limit;
use retaind_device::account::AccountError;
use retaind_device::connection::ConnectionError;
use retaind_device::limits::NETWORK_ANSWER_SECONDS;
use retaind_protocol::limits::{ATTACHMENT_BYTES_MAX, CONTENT_BYTES_MAX};
use retaind_report::counters::Counters;

/// Counts a log-in that the network did not answer in time.
pub(crate) fn count_time_out(error: &AccountError, counters: &Counters) {
    if let AccountError::Connection(ConnectionError::Timeout { .. }) = error {
        counters.refusals.count(&NETWORK_ANSWER_SECONDS);
    }
}

/// All of them, for the table in docs/limits.md and the counters.
pub const LIMITS: &[Limit] = &[KEPT_CIPHERTEXT, KEPT_OF_CONVERSATION, KEPT_MESSAGES, CONTENT, DEATHS, SILENCE_SECONDS];

/// Kept of an attachment that cannot be decrypted.
pub const KEPT_CIPHERTEXT: Limit = Limit {
    name: "kept_ciphertext",
    // the largest attachment with its tags
    value: ATTACHMENT_BYTES_MAX + ATTACHMENT_BYTES_MAX / 1024 + 64 * 1024,
    unit: "bytes of an attachment that cannot be decrypted",
    why: "a network that never ends a blob would fill the disk; it takes no longer one from a device",
    variable: None,
};

/// Of one lost conversation, in the state.
pub(crate) const KEPT_OF_CONVERSATION: Limit = Limit {
    name: "kept_of_conversation",
    value: 16 * 1024 * 1024,
    unit: "bytes of messages of a conversation that cannot be followed, in the state, to be tried again",
    why: "one conversation must not take the room of all; the archive has the ciphertexts beyond it",
    variable: None,
};

/// Of all lost conversations, in the state.
pub const KEPT_MESSAGES: Limit = Limit {
    name: "kept_messages",
    value: 256 * 1024 * 1024,
    unit: "bytes of messages of all conversations that cannot be followed, in the state, to be tried again",
    why: "members can make conversations that cannot be followed; the archive has the ciphertexts beyond it",
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

/// Of the process, in a row, with the same message in hand.
pub(crate) const DEATHS: Limit = Limit {
    name: "deaths",
    value: 3,
    unit: "deaths of the process in a row with the same message in hand",
    why: "a message that ends the process would end the archive of everybody; its conversation is set apart",
    variable: None,
};

/// After a question that comes as long after anything else was heard.
pub(crate) const SILENCE_SECONDS: Limit = Limit {
    name: "silence_seconds",
    value: 20,
    unit: "seconds of silence after a question, which comes 20 seconds after the last answer",
    why: "a host that vanishes does not close its connections; the bot opens another",
    variable: None,
};
