//! What can be asked of the network's writer, and what it answers.

use super::audit::FailedLogIns;
use super::delivery::accept::Proposed;
use super::delivery::blobs::BlobId;
use super::delivery::groups::{Ciphertext, Handshake};
use super::delivery::purge::Deleted;
use super::directory::DeviceRow;
use super::directory::key_packages::Checked;
use super::directory::register::Claim;
use retaind_protocol::ids::ConversationId;
use retaind_protocol::wire::{Accepted, Answer, Cursor, Done, Reported};

/// What is to be changed.
pub(crate) enum Change {
    Register { claim: Claim, suite: u16, signature_key: Vec<u8> },
    PublishKeyPackages { device: DeviceRow, one_time: Vec<Checked>, last_resort: Option<Checked> },
    ClaimKeyPackages { device: DeviceRow, users: Vec<String>, suite: u16 },
    Create { device: DeviceRow, send_id: Vec<u8>, group_info: Vec<u8>, commit: Box<Handshake>, welcome: Vec<u8> },
    Handshake { device: DeviceRow, send_id: Vec<u8>, handshake: Box<Handshake>, welcome: Vec<u8> },
    Application { device: DeviceRow, send_id: Vec<u8>, message: Ciphertext, blobs: Vec<BlobId> },
    Acknowledge { device: DeviceRow, cursors: Vec<Cursor> },
    BlobCreate { device: DeviceRow, blob: BlobId, size: u64 },
    BlobFinish { device: DeviceRow, blob: BlobId },
    Report { device: DeviceRow, conversation: ConversationId, reported: Reported },
    ProposeBots { conversations: Vec<i64> },
    Purge,
    NoteFailedLogIns { rows: Vec<FailedLogIns> },
    SetPassword { device: DeviceRow, hash: String },
}

impl Change {
    /// The device that asks for it; none for what the network does itself and for registrations.
    pub(crate) fn device(&self) -> Option<&DeviceRow> {
        match self {
            Self::PublishKeyPackages { device, .. }
            | Self::ClaimKeyPackages { device, .. }
            | Self::Create { device, .. }
            | Self::Handshake { device, .. }
            | Self::Application { device, .. }
            | Self::Acknowledge { device, .. }
            | Self::Report { device, .. }
            | Self::BlobCreate { device, .. }
            | Self::BlobFinish { device, .. }
            | Self::SetPassword { device, .. } => Some(device),
            Self::Register { .. } | Self::ProposeBots { .. } | Self::NoteFailedLogIns { .. } | Self::Purge => None,
        }
    }

    /// Payload bytes that it carries: bounds a batch.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Create { group_info, commit, welcome, .. } => group_info.len() + commit.bytes.len() + welcome.len(),
            Self::Handshake { handshake, welcome, .. } => handshake.bytes.len() + welcome.len(),
            Self::Application { message, .. } => message.bytes.len(),
            Self::Register { .. }
            | Self::PublishKeyPackages { .. }
            | Self::ClaimKeyPackages { .. }
            | Self::Acknowledge { .. }
            | Self::Report { .. }
            | Self::BlobCreate { .. }
            | Self::BlobFinish { .. }
            | Self::ProposeBots { .. }
            | Self::NoteFailedLogIns { .. }
            | Self::SetPassword { .. }
            | Self::Purge => 0,
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    Answer(Answer),
    Registered { device: DeviceRow, credential: Vec<u8> },
    Proposed(Proposed),
    Purged(Deleted),
}

impl Outcome {
    pub(crate) fn accepted(seq: u64) -> Self {
        Self::Answer(Answer::Accepted(Accepted { seq }))
    }

    pub(crate) fn done() -> Self {
        Self::Answer(Answer::Done(Done {}))
    }
}
