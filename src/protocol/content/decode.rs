//! From the bytes of a peer to closed types.

use std::mem;

use prost::Message;
use zeroize::Zeroizing;

use super::encode::encode_body;
use super::schema::{self, Envelope};
use super::{
    Attachment, AttachmentKind, Attribute, Body, CONTENT_VERSION, Call, CallOutcome, CallPhase, CallRoute, Content,
    ContentError, Deletion, DeletionScope, LiveLocation, MemberChange, Pin, Position, Reaction, ReactionChange,
    ReadReceipt, RoomState, SavedItem, SavedItemAction, Text, TextEdit, UserHash, Verification, VerificationStep,
    changemask, kind,
};
use crate::attachment::AttachmentKey;
use crate::fields;
use crate::ids::{MessageId, UserName};
use crate::limits::{ATTACHMENT_BYTES_MAX, CONTENT_BYTES_MAX, FILE_NAME_BYTES_MAX, LIST_ITEMS_MAX};

/// Most fields of one body, items of its lists included: counted before anything is allocated for them.
pub(super) const FIELDS_MAX: usize = LIST_ITEMS_MAX;

/// Longest public key in a verification; the longest of the suites in use has 133 bytes.
const VERIFIED_KEY_BYTES_MAX: usize = 1024;

impl Content {
    /// Decodes what a peer sent.
    ///
    /// # Errors
    /// See [`ContentError`]; then only the bytes themselves can be recorded.
    pub fn decode(bytes: &[u8]) -> Result<Self, ContentError> {
        if bytes.len() > CONTENT_BYTES_MAX {
            return Err(ContentError::TooLarge { bytes: bytes.len() });
        }
        let mut envelope = Envelope::decode(bytes).map_err(|_| ContentError::Envelope("it does not decode"))?;
        let exact = envelope.encoded_len() == bytes.len();
        let body = Zeroizing::new(mem::take(&mut envelope.body));
        if !exact {
            return Err(ContentError::Envelope("it has fields that are unknown or repeated"));
        }
        if envelope.version == 0 || envelope.kind == 0 {
            return Err(ContentError::Envelope("it lacks version or kind"));
        }
        Ok(Self {
            message_id: MessageId::from_bytes(&envelope.message_id)
                .map_err(|_| ContentError::Envelope("its message id has not 16 bytes"))?,
            sent_at_micros: envelope.sent_at_micros,
            ttl: envelope.ttl,
            bor: envelope.bor,
            body: decode_body(envelope.version, envelope.kind, body)?,
        })
    }
}

fn decode_body(version: u32, kind: u32, mut bytes: Zeroizing<Vec<u8>>) -> Result<Body, ContentError> {
    let known = if version > CONTENT_VERSION { None } else { decode_known(kind, &bytes)? };
    match known {
        // canonical encoding is the shortest: if ours is as long, it has lost nothing of what was sent
        Some(body) if encode_body(&body).len() == bytes.len() => Ok(body),
        Some(_) | None => Ok(Body::Unknown { kind, version, bytes: mem::take(&mut *bytes) }),
    }
}

fn decode_known(kind: u32, bytes: &[u8]) -> Result<Option<Body>, ContentError> {
    let reader = Reader { kind };
    Ok(Some(match kind {
        kind::TEXT => {
            let schema::Text { text, links } = reader.read(bytes)?;
            Body::Text(Text { text, links })
        }
        kind::VERIFICATION => Body::Verification(reader.verification(reader.read(bytes)?)?),
        kind::ROOM_CREATED => Body::RoomCreated(reader.room(reader.read(bytes)?)?),
        kind::MEMBERS_MODIFIED => {
            let schema::Members { added, deleted } = reader.read(bytes)?;
            Body::MembersModified(MemberChange {
                added: reader.users("added", added)?,
                deleted: reader.users("deleted", deleted)?,
            })
        }
        kind::USER_LEFT => {
            let schema::Members { added: _, deleted } = reader.read(bytes)?;
            Body::UserLeft(reader.users("deleted", deleted)?)
        }
        kind::ROOM_MODIFIED => reader.room_modified(reader.read(bytes)?)?,
        kind::ROOM_DELETED => {
            let schema::Empty {} = reader.read(bytes)?;
            Body::RoomDeleted
        }
        kind::DELETED => {
            let schema::Deletion { target, everyone } = reader.read(bytes)?;
            let scope = if everyone { DeletionScope::Everyone } else { DeletionScope::Own };
            Body::Deleted(Deletion { target: reader.message("target", &target)?, scope })
        }
        kind::ATTRIBUTES => {
            let schema::Attributes { attributes } = reader.read(bytes)?;
            let attribute = |a: schema::Attribute| {
                Ok(Attribute { message: reader.message("message", &a.message)?, starred: a.starred })
            };
            Body::Attributes(attributes.into_iter().map(attribute).collect::<Result<_, _>>()?)
        }
        kind::ATTRIBUTE_SYNC => {
            let schema::Empty {} = reader.read(bytes)?;
            Body::AttributeSync
        }
        kind::PINNED => {
            let schema::Pinned { pinned } = reader.read(bytes)?;
            Body::Pinned(if pinned { Pin::Pinned } else { Pin::Unpinned })
        }
        kind::FILE => Body::File(reader.file(reader.read(bytes)?)?),
        kind::CALL => Body::Call(reader.call(reader.read(bytes)?)?),
        kind::LOCATION => {
            let schema::Location { latitude, longitude } = reader.read(bytes)?;
            Body::Location(reader.position(latitude, longitude)?)
        }
        kind::EDIT => reader.edit(reader.read(bytes)?)?,
        kind::REACTION => {
            let schema::Reaction { original, reaction, added } = reader.read(bytes)?;
            let change = if added { ReactionChange::Added } else { ReactionChange::Removed };
            Body::Reaction(Reaction { original: reader.message("original", &original)?, reaction, change })
        }
        kind::READ_RECEIPT => {
            let schema::ReadReceipt { message_sent_at_micros, read_at_secs } = reader.read(bytes)?;
            Body::ReadReceipt(ReadReceipt {
                message_sent_at_micros: reader.not_negative("message_sent_at_micros", message_sent_at_micros)?,
                read_at_secs: reader.not_negative("read_at_secs", read_at_secs)?,
            })
        }
        _ => return Ok(None),
    }))
}

/// Makes the closed body of one kind.
#[derive(Clone, Copy)]
struct Reader {
    kind: u32,
}

impl Reader {
    fn read<S: Message + Default>(self, bytes: &[u8]) -> Result<S, ContentError> {
        let malformed = ContentError::Malformed { kind: self.kind };
        match fields::count(bytes) {
            None => return Err(malformed),
            Some(fields) if fields > FIELDS_MAX => return Err(ContentError::TooManyItems { kind: self.kind }),
            Some(_) => {}
        }
        S::decode(bytes).map_err(|_| malformed)
    }

    fn fault(self, field: &'static str, fault: &'static str) -> ContentError {
        ContentError::Field { kind: self.kind, field, fault }
    }

    fn user(self, field: &'static str, name: String) -> Result<UserName, ContentError> {
        UserName::new(name).map_err(|_| self.fault(field, "is not a user name"))
    }

    fn users(self, field: &'static str, names: Vec<String>) -> Result<Vec<UserName>, ContentError> {
        names.into_iter().map(|name| self.user(field, name)).collect()
    }

    fn message(self, field: &'static str, bytes: &[u8]) -> Result<MessageId, ContentError> {
        MessageId::from_bytes(bytes).map_err(|_| self.fault(field, "is not a message id of 16 bytes"))
    }

    fn bytes<const N: usize>(self, field: &'static str, bytes: &[u8]) -> Result<[u8; N], ContentError> {
        bytes.try_into().map_err(|_| self.fault(field, "has a wrong length"))
    }

    fn key(self, field: &'static str, bytes: &[u8]) -> Result<AttachmentKey, ContentError> {
        AttachmentKey::from_bytes(bytes).map_err(|_| self.fault(field, "is not a key of 32 bytes"))
    }

    fn not_negative(self, field: &'static str, value: i64) -> Result<i64, ContentError> {
        if value < 0 { Err(self.fault(field, "is negative")) } else { Ok(value) }
    }

    fn position(self, latitude: f64, longitude: f64) -> Result<Position, ContentError> {
        // NaN is in no range
        if !(-90.0..=90.0).contains(&latitude) {
            return Err(self.fault("latitude", "is not between -90 and 90 degrees"));
        }
        if !(-180.0..=180.0).contains(&longitude) {
            return Err(self.fault("longitude", "is not between -180 and 180 degrees"));
        }
        Ok(Position { latitude, longitude })
    }

    fn verification(self, raw: schema::Verification) -> Result<Verification, ContentError> {
        let step = match raw.step {
            1 => VerificationStep::Request,
            2 => VerificationStep::ResponseAndRequest,
            3 => VerificationStep::Accept,
            4 => VerificationStep::Reject,
            5 => VerificationStep::NotNow,
            _ => return Err(self.fault("step", "is not a step of verification, 1 to 5")),
        };
        if raw.key.len() > VERIFIED_KEY_BYTES_MAX {
            return Err(self.fault("key", "is longer than any public key"));
        }
        Ok(Verification { step, key: raw.key })
    }

    fn room(self, raw: schema::Room) -> Result<RoomState, ContentError> {
        Ok(RoomState {
            changemask: raw.changemask,
            title: raw.title,
            description: raw.description,
            masters: self.users("masters", raw.masters)?,
            members: self.users("members", raw.members)?,
            ttl_secs: raw.ttl_secs,
            bor_secs: raw.bor_secs,
        })
    }

    fn room_modified(self, mut raw: schema::Room) -> Result<Body, ContentError> {
        let item = raw.saved_item.take();
        let room = self.room(raw)?;
        match (item, room.changemask & changemask::SAVED_ITEMS != 0) {
            (None, false) => Ok(Body::RoomModified(room)),
            (Some(item), true) => Ok(Body::SavedItem(room, Box::new(self.saved_item(item)?))),
            (Some(_), false) => Err(self.fault("saved_item", "is there, but not in the change mask")),
            (None, true) => Err(self.fault("saved_item", "is in the change mask, but not there")),
        }
    }

    fn saved_item(self, mut raw: schema::SavedItem) -> Result<SavedItem, ContentError> {
        let action = match raw.action {
            1 => SavedItemAction::Create,
            2 => SavedItemAction::Upload,
            3 => SavedItemAction::Save,
            4 => SavedItemAction::Rename,
            5 => SavedItemAction::Move,
            6 => SavedItemAction::Delete,
            _ => return Err(self.fault("action", "is not an action on a saved item, 1 to 6")),
        };
        Ok(SavedItem {
            sha256: self.bytes("sha256", &raw.sha256)?,
            guid: self.bytes("guid", &raw.guid)?,
            domain: mem::take(&mut raw.domain),
            key: self.key("key", &raw.key)?,
            action,
            target: mem::take(&mut raw.target),
            name: mem::take(&mut raw.name),
            path: mem::take(&mut raw.path),
            modified_by: self.user("modified_by", mem::take(&mut raw.modified_by))?,
            modified_at_secs: raw.modified_at_secs,
        })
    }

    fn file(self, mut raw: schema::File) -> Result<Attachment, ContentError> {
        if raw.size > ATTACHMENT_BYTES_MAX {
            return Err(self.fault("size", "is larger than the largest attachment"));
        }
        if raw.name.len() > FILE_NAME_BYTES_MAX {
            return Err(self.fault("name", "is longer than a file name can be"));
        }
        let kind = match raw.kind {
            0 => AttachmentKind::File,
            1 => AttachmentKind::Screenshot,
            2 => AttachmentKind::VoiceMemo { seconds: raw.voice_memo_secs },
            _ => return Err(self.fault("kind", "is not a kind of file, 0 to 2")),
        };
        Ok(Attachment {
            blob: self.bytes("blob", &raw.blob)?,
            key: self.key("key", &raw.key)?,
            size: raw.size,
            sha256: self.bytes("sha256", &raw.sha256)?,
            name: mem::take(&mut raw.name),
            guid: self.bytes("guid", &raw.guid)?,
            kind,
        })
    }

    fn call(self, raw: schema::Call) -> Result<Call, ContentError> {
        let (meeting_id, version, version_check) = (raw.meeting_id, raw.version, raw.version_check);
        let phase = match raw.phase {
            1 => CallPhase::Start(self.route(raw)?),
            2 => CallPhase::Invite {
                invite: self.message("invite", &raw.invite)?,
                start: self.message("start", &raw.start)?,
                route: self.route(raw)?,
            },
            3 => CallPhase::End {
                start: self.message("start", &raw.start)?,
                outcome: match raw.outcome {
                    1 => CallOutcome::Completed,
                    2 => CallOutcome::Missed,
                    3 => CallOutcome::Cancelled,
                    _ => return Err(self.fault("outcome", "is not an outcome of a call, 1 to 3")),
                },
                duration_secs: raw.duration_secs,
            },
            _ => return Err(self.fault("phase", "is not a phase of a call, 1 to 3")),
        };
        Ok(Call { meeting_id, version, version_check, phase })
    }

    fn route(self, raw: schema::Call) -> Result<CallRoute, ContentError> {
        let hash = |bytes: Vec<u8>| self.bytes("participants", &bytes).map(UserHash);
        let participants = raw.participants.into_iter().map(hash).collect::<Result<_, _>>()?;
        Ok(CallRoute { uri: raw.uri, uri_ipv6: raw.uri_ipv6, participants })
    }

    fn edit(self, raw: schema::Edit) -> Result<Body, ContentError> {
        match raw.what {
            1 => Ok(Body::EditText(TextEdit { original: self.message("original", &raw.original)?, text: raw.text })),
            2 => Ok(Body::EditLocation(LiveLocation {
                position: self.position(raw.latitude, raw.longitude)?,
                shared_until_secs: raw
                    .shared_until_secs
                    .map(|secs| self.not_negative("shared_until_secs", secs))
                    .transpose()?,
            })),
            _ => Err(self.fault("what", "is not something that can be edited, 1 or 2")),
        }
    }
}
