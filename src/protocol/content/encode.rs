//! From closed types to bytes: canonical protocol buffers, fields in order, defaults omitted.

use std::mem;

use prost::Message;
use zeroize::{Zeroize, Zeroizing};

use super::schema::{self, Envelope};
use super::*;

impl Content {
    /// The bytes that MLS encrypts. They hold the keys of attachments: wipe them once they are sent.
    ///
    /// # Errors
    /// The errors with which [`Content::decode`] would refuse them.
    pub fn encode(&self) -> Result<Vec<u8>, ContentError> {
        let (version, mut body) = if let Body::Unknown { version, bytes, .. } = &self.body {
            (*version, Zeroizing::new(bytes.clone()))
        } else {
            (CONTENT_VERSION, encode_body(&self.body))
        };
        let mut envelope = Envelope {
            version,
            kind: self.body.kind(),
            body: mem::take(&mut *body),
            message_id: self.message_id.as_bytes().to_vec(),
            sent_at_micros: self.sent_at_micros,
            ttl: self.ttl,
            bor: self.bor,
        };
        let bytes = envelope.encode_to_vec();
        envelope.body.zeroize();
        Self::decode(&bytes)?;
        Ok(bytes)
    }
}

/// The canonical encoding of a body; an unknown one keeps its bytes.
pub(super) fn encode_body(body: &Body) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(match body {
        Body::Text(Text { text, links }) => schema::Text { text: text.clone(), links: links.clone() }.encode_to_vec(),
        Body::Verification(Verification { step, key }) => {
            schema::Verification { step: u32::from(step.number()), key: key.clone() }.encode_to_vec()
        }
        Body::RoomCreated(room) | Body::RoomModified(room) => open_room(room, None).encode_to_vec(),
        Body::SavedItem(room, item) => open_room(room, Some(open_saved_item(item))).encode_to_vec(),
        Body::MembersModified(MemberChange { added, deleted }) => {
            schema::Members { added: open_users(added), deleted: open_users(deleted) }.encode_to_vec()
        }
        Body::UserLeft(users) => schema::Members { added: Vec::new(), deleted: open_users(users) }.encode_to_vec(),
        Body::RoomDeleted | Body::AttributeSync => Vec::new(),
        Body::Deleted(Deletion { target, scope }) => {
            schema::Deletion { target: target.as_bytes().to_vec(), everyone: *scope == DeletionScope::Everyone }
                .encode_to_vec()
        }
        Body::Attributes(attributes) => {
            let attribute = |a: &Attribute| schema::Attribute { message: id(a.message), starred: a.starred };
            schema::Attributes { attributes: attributes.iter().map(attribute).collect() }.encode_to_vec()
        }
        Body::Pinned(pin) => schema::Pinned { pinned: *pin == Pin::Pinned }.encode_to_vec(),
        Body::File(file) => open_file(file).encode_to_vec(),
        Body::Call(call) => open_call(call).encode_to_vec(),
        Body::Location(Position { latitude, longitude }) => {
            schema::Location { latitude: *latitude, longitude: *longitude }.encode_to_vec()
        }
        Body::EditText(TextEdit { original, text }) => {
            schema::Edit { what: 1, original: id(*original), text: text.clone(), ..Default::default() }.encode_to_vec()
        }
        Body::EditLocation(LiveLocation { position, shared_until_secs }) => schema::Edit {
            what: 2,
            latitude: position.latitude,
            longitude: position.longitude,
            shared_until_secs: *shared_until_secs,
            ..Default::default()
        }
        .encode_to_vec(),
        Body::Reaction(Reaction { original, reaction, change }) => schema::Reaction {
            original: id(*original),
            reaction: reaction.clone(),
            added: *change == ReactionChange::Added,
        }
        .encode_to_vec(),
        Body::ReadReceipt(ReadReceipt { message_sent_at_micros, read_at_secs }) => {
            let (message_sent_at_micros, read_at_secs) = (*message_sent_at_micros, *read_at_secs);
            schema::ReadReceipt { message_sent_at_micros, read_at_secs }.encode_to_vec()
        }
        Body::Unknown { bytes, .. } => bytes.clone(),
    })
}

fn id(message: MessageId) -> Vec<u8> {
    message.as_bytes().to_vec()
}

fn open_users(users: &[UserName]) -> Vec<String> {
    users.iter().map(|user| user.as_str().to_owned()).collect()
}

fn open_room(room: &RoomState, saved_item: Option<schema::SavedItem>) -> schema::Room {
    schema::Room {
        changemask: room.changemask,
        title: room.title.clone(),
        description: room.description.clone(),
        masters: open_users(&room.masters),
        members: open_users(&room.members),
        ttl_secs: room.ttl_secs,
        bor_secs: room.bor_secs,
        saved_item,
    }
}

fn open_saved_item(item: &SavedItem) -> schema::SavedItem {
    schema::SavedItem {
        sha256: item.sha256.to_vec(),
        guid: item.guid.to_vec(),
        domain: item.domain.clone(),
        key: item.key.expose().to_vec(),
        action: match item.action {
            SavedItemAction::Create => 1,
            SavedItemAction::Upload => 2,
            SavedItemAction::Save => 3,
            SavedItemAction::Rename => 4,
            SavedItemAction::Move => 5,
            SavedItemAction::Delete => 6,
        },
        target: item.target.clone(),
        name: item.name.clone(),
        path: item.path.clone(),
        modified_by: item.modified_by.as_str().to_owned(),
        modified_at_secs: item.modified_at_secs,
    }
}

fn open_file(file: &Attachment) -> schema::File {
    let (kind, voice_memo_secs) = match file.kind {
        AttachmentKind::File => (0, 0),
        AttachmentKind::Screenshot => (1, 0),
        AttachmentKind::VoiceMemo { seconds } => (2, seconds),
    };
    schema::File {
        blob: file.blob.to_vec(),
        key: file.key.expose().to_vec(),
        size: file.size,
        sha256: file.sha256.to_vec(),
        name: file.name.clone(),
        guid: file.guid.to_vec(),
        kind,
        voice_memo_secs,
    }
}

fn open_call(call: &Call) -> schema::Call {
    let route = |phase: u32, route: &CallRoute| schema::Call {
        phase,
        uri: route.uri.clone(),
        uri_ipv6: route.uri_ipv6.clone(),
        participants: route.participants.iter().map(|hash| hash.0.to_vec()).collect(),
        ..Default::default()
    };
    let raw = match &call.phase {
        CallPhase::Start(start) => route(1, start),
        CallPhase::Invite { route: to, invite, start } => {
            schema::Call { invite: id(*invite), start: id(*start), ..route(2, to) }
        }
        CallPhase::End { start, outcome, duration_secs } => schema::Call {
            phase: 3,
            start: id(*start),
            outcome: u32::from(outcome.number()),
            duration_secs: *duration_secs,
            ..Default::default()
        },
    };
    schema::Call { meeting_id: call.meeting_id, version: call.version, version_check: call.version_check, ..raw }
}
