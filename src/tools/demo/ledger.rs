//! What the network has accepted: exactly this must be in the archive.
//!
//! Every place of every conversation is written down with the type that its record must have, also those of commits and
//! proposals. Who sends writes it down, so it knows nothing of what the bot does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::ProgressBar;

use crate::replay::{Observer, Sent, SentWhat};
use retaind_archive::record::MSGTYPE_KEY_EVENT;
use retaind_protocol::content::kind;
use retaind_protocol::ids::{ConversationId, MessageId};

/// A place in a conversation: its id, and the `seq` there.
pub(super) type Place = (ConversationId, u64);

/// What the record of a place must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    /// Its type.
    pub msgtype: u32,
    /// Its id; `None` = the sender gave none.
    pub message: Option<MessageId>,
    /// What it says, if it is a text.
    pub text: Option<String>,
    /// The file it brings.
    pub file: Option<ExpectedFile>,
}

/// A file that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ExpectedFile {
    /// Length of the file, in bytes.
    pub size: u64,
    /// SHA-256 of them.
    pub sha256: [u8; 32],
}

impl Expected {
    /// A record without a message of somebody's: a handshake.
    pub(crate) fn handshake(msgtype: u32) -> Self {
        Self { msgtype, message: None, text: None, file: None }
    }
}

/// Everything that was accepted.
#[derive(Debug, Clone, Default)]
pub(super) struct Accepted {
    /// By place.
    pub places: BTreeMap<Place, Expected>,
    /// Places that the network gave away a second time.
    pub twice: Vec<Place>,
}

/// Where senders write it down.
#[derive(Clone)]
pub(super) struct Ledger {
    accepted: Arc<Mutex<Accepted>>,
    bar: ProgressBar,
}

impl Ledger {
    /// Nothing yet; `bar` moves with every message.
    pub(crate) fn new(bar: ProgressBar) -> Self {
        Self { accepted: Arc::default(), bar }
    }

    /// The network has accepted something at `place`.
    pub(crate) fn accepted(&self, place: Place, expected: Expected) {
        self.bar.inc(1);
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        if accepted.places.insert(place, expected).is_some() {
            accepted.twice.push(place);
        }
    }

    /// All so far.
    pub(crate) fn all(&self) -> Accepted {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes down what a replay sends.
    pub(crate) fn observer(&self) -> Observer {
        let ledger = self.clone();
        Arc::new(move |sent: &Sent<'_>| {
            let expected = match &sent.what {
                // the bot comes by the Welcome of the first commit
                SentWhat::Created { .. } => Expected::handshake(MSGTYPE_KEY_EVENT),
                SentWhat::Members { .. } => Expected::handshake(kind::MEMBERS_MODIFIED),
                SentWhat::RoomCreated { message, .. } => {
                    Expected { message: Some(*message), ..Expected::handshake(kind::ROOM_CREATED) }
                }
                SentWhat::Text { message, text, .. } => Expected {
                    message: Some(*message),
                    text: Some((*text).to_owned()),
                    ..Expected::handshake(kind::TEXT)
                },
            };
            ledger.accepted((sent.conversation, sent.seq), expected);
        })
    }
}
