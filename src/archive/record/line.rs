//! From a decrypted message to the shape of its record.

use data_encoding::{BASE64, HEXLOWER, HEXUPPER};

use super::shapes::*;
use super::time;
use super::{FileOutcome, KeyAction, MSGTYPE_KEY_EVENT, Record, RecordBody, SenderType, Unreadable};
use retaind_protocol::content::{
    Body, Call, CallPhase, CallRoute, Content, DeletionScope, Pin, ReactionChange, RoomState, Salvage, SavedItem,
    SavedItemAction, kind, salvage, without_keys,
};
use retaind_protocol::ids::UserName;

impl<'a> Line<'a> {
    pub(super) fn of(record: &'a Record<'a>) -> Self {
        let context = &record.context;
        let mut line = Self {
            device: context.device.map(|device| device.to_string()).unwrap_or_default(),
            message_id: context.message_id.to_string(),
            msg_ts: time::decimal(context.sent_at_micros),
            msgtype: record.msgtype(),
            network_id: context.network_id,
            received_iso: time::millis(context.received_micros),
            receiver: context.receiver.map(UserName::as_str),
            sender: context.sender.map(UserName::as_str).unwrap_or_default(),
            sender_network_id: context.sender_network_id,
            sender_type: match context.sender_type {
                SenderType::Normal => "normal",
                SenderType::Guest => "guest",
            },
            seq: context.seq,
            time: time::minutes(context.sent_at_micros),
            time_iso: time::millis(context.sent_at_micros),
            vgroupid: context.conversation.as_str(),
            ..Self::default()
        };
        match &record.body {
            RecordBody::Content { content, file } => line.add_content(content, *file),
            RecordBody::Membership { added, deleted } => line.control = Some(Control::members(added, deleted)),
            RecordBody::Left { user } => line.control = Some(Control::left(std::slice::from_ref(*user))),
            RecordBody::KeyEvent { action, epoch } => line.control = Some(Control::key_event(*action, *epoch)),
            RecordBody::Unreadable(unreadable) => line.add_unreadable(unreadable),
            RecordBody::UnreadableFile { message, file } => {
                line.add_unreadable(message);
                line.file = Some(File::found(file));
            }
            RecordBody::Hole { from_seq, to_seq } => {
                line.reason = Some(format!(
                    "the network delivered nothing for seq `{from_seq}` to `{to_seq}` of this conversation"
                ));
                line.hole = Some(Hole { fromseq: *from_seq, toseq: *to_seq });
            }
        }
        line
    }

    fn add_content(&mut self, content: &'a Content, file: Option<&'a FileOutcome>) {
        self.bor = content.bor;
        self.ttl = content.ttl.map(|secs| time::millis(time::micros_of(secs)));
        let control = Control { msgtype: content.body.kind(), ..Control::default() };
        match &content.body {
            Body::Text(text) => {
                self.message = Some(&text.text);
                if !text.links.is_empty() {
                    self.links = Some(text.links.iter().map(|url| Link { url }).collect());
                }
            }
            Body::Verification(verification) => {
                self.keyverify = Some(KeyVerify {
                    msgtype: verification.step.number(),
                    verifiedkey: HEXLOWER.encode(&verification.key),
                });
            }
            Body::RoomCreated(room) | Body::RoomModified(room) => self.control = Some(control.room(room)),
            Body::SavedItem(room, item) => {
                self.control = Some(Control { filevaultinfo: Some(FileVaultInfo::of(item)), ..control.room(room) });
            }
            Body::MembersModified(change) => self.control = Some(Control::members(&change.added, &change.deleted)),
            Body::UserLeft(users) => self.control = Some(Control::left(users)),
            Body::RoomDeleted => {}
            Body::Deleted(deletion) => {
                self.control = Some(Control {
                    isrecall: Some(match deletion.scope {
                        DeletionScope::Everyone => true,
                        DeletionScope::Own => false,
                    }),
                    msgid: Some(deletion.target.to_string()),
                    ..control
                });
            }
            Body::Attributes(attributes) => {
                let attributes = attributes
                    .iter()
                    .map(|a| AttributeObject { isstarred: a.starred, msgid: a.message.to_string() })
                    .collect();
                self.control = Some(Control { attributes: Some(attributes), ..control });
            }
            Body::AttributeSync => self.control = Some(control),
            Body::Pinned(pin) => {
                let pinned = match pin {
                    Pin::Pinned => true,
                    Pin::Unpinned => false,
                };
                self.control = Some(Control { pinned: Some(pinned), ..control });
            }
            Body::File(attachment) => self.file = Some(File::of(attachment, file, self.sender, &self.time)),
            Body::Call(call) => self.call = Some(CallObject::of(call)),
            Body::Location(at) => self.location = Some(Location { latitude: at.latitude, longitude: at.longitude }),
            Body::EditText(edit) => {
                self.edit = Some(Edit {
                    originalmessageid: Some(edit.original.to_string()),
                    text: Some(&edit.text),
                    what: "text",
                    ..Edit::default()
                });
            }
            Body::EditLocation(live) => {
                self.edit = Some(Edit {
                    latitude: Some(live.position.latitude),
                    longitude: Some(live.position.longitude),
                    shareexpiriation: Some(live.shared_until_secs.unwrap_or(-1).to_string()),
                    what: "location",
                    ..Edit::default()
                });
            }
            Body::Reaction(reaction) => {
                self.edit = Some(Edit {
                    originalmessageid: Some(reaction.original.to_string()),
                    react_added: Some(match reaction.change {
                        ReactionChange::Added => true,
                        ReactionChange::Removed => false,
                    }),
                    reaction: Some(&reaction.reaction),
                    what: "reaction",
                    ..Edit::default()
                });
            }
            Body::ReadReceipt(receipt) => {
                let (secs, micros) = time::split(receipt.message_sent_at_micros);
                self.readreceipt = Some(ReadReceipt {
                    message_timestamp_secs: secs.to_string(),
                    message_timestamp_usecs: micros.to_string(),
                    read_receipt_timestamp: receipt.read_at_secs.to_string(),
                    status: "READ",
                });
            }
            Body::Unknown { kind, version, bytes } => {
                self.reason = Some(format!(
                    "content of kind `{kind}` and version `{version}` holds what this version of the bot cannot read"
                ));
                self.content = Some(ContentObject {
                    body: Some(BASE64.encode(&without_keys(*kind, bytes))),
                    kind: Some(*kind),
                    version: Some(*version),
                    ..ContentObject::default()
                });
                self.file = file.map(File::found);
            }
        }
    }

    fn add_unreadable(&mut self, unreadable: &Unreadable<'a>) {
        let Unreadable { reason, ciphertext, plaintext } = unreadable;
        self.reason = Some((*reason).to_owned());
        self.ciphertext = Some(CiphertextObject {
            file: ciphertext.file,
            sha256: HEXLOWER.encode(&ciphertext.sha256),
            size: ciphertext.size,
        });
        self.content = plaintext.map(|plaintext| {
            let Salvage { kind, plaintext } = salvage(plaintext);
            ContentObject { kind, plaintext: Some(BASE64.encode(&plaintext)), ..ContentObject::default() }
        });
    }
}

impl<'a> Control<'a> {
    fn room(self, room: &'a RoomState) -> Self {
        Self {
            bor: Some(room.bor_secs),
            changemask: Some(room.changemask),
            description: Some(&room.description),
            masters: Some(Users(&room.masters)),
            members: Some(Users(&room.members)),
            title: Some(&room.title),
            ttl: Some(room.ttl_secs),
            ..self
        }
    }

    fn members(added: &'a [UserName], deleted: &'a [UserName]) -> Self {
        let listed = |users: &'a [UserName]| (!users.is_empty()).then_some(Users(users));
        Self {
            addedusers: listed(added),
            deletedusers: listed(deleted),
            msgtype: kind::MEMBERS_MODIFIED,
            ..Self::default()
        }
    }

    fn left(users: &'a [UserName]) -> Self {
        Self { deletedusers: Some(Users(users)), msgtype: kind::USER_LEFT, ..Self::default() }
    }

    fn key_event(action: KeyAction<'a>, epoch: u64) -> Self {
        let (action, members) = match action {
            KeyAction::Joined { members } => ("joined", Some(Users(members))),
            KeyAction::KeyUpdate => ("keyupdate", None),
            KeyAction::Proposal => ("proposal", None),
            KeyAction::Retention => ("retention", None),
        };
        Self { action: Some(action), epoch: Some(epoch), members, msgtype: MSGTYPE_KEY_EVENT, ..Self::default() }
    }
}

impl<'a> FileVaultInfo<'a> {
    fn of(item: &'a SavedItem) -> Self {
        Self {
            domain: &item.domain,
            filehash: HEXLOWER.encode(&item.sha256),
            filemgtaction: FileManagementAction {
                action: match item.action {
                    SavedItemAction::Create => "create",
                    SavedItemAction::Upload => "upload",
                    SavedItemAction::Save => "save",
                    SavedItemAction::Rename => "rename",
                    SavedItemAction::Move => "move",
                    SavedItemAction::Delete => "delete",
                },
                modifiedbyuser: item.modified_by.as_str(),
                modifiedtimestamp: time::seconds(item.modified_at_secs),
                name: &item.name,
                path: &item.path,
                target: &item.target,
            },
            // upper case here and lower case for files, as published
            guid: hyphenated(&HEXUPPER.encode(&item.guid)),
        }
    }
}

impl<'a> CallObject<'a> {
    fn of(call: &'a Call) -> Self {
        let object = Self {
            meetingid: call.meeting_id,
            version: call.version,
            versioncheck: call.version_check,
            ..Self::default()
        };
        match &call.phase {
            CallPhase::Start(route) => object.on(route),
            CallPhase::Invite { route, invite, start } => {
                Self { invitemsgid: Some(invite.to_string()), startmsgid: Some(start.to_string()), ..object.on(route) }
            }
            CallPhase::End { start, outcome, duration_secs } => Self {
                duration: Some(*duration_secs),
                startmsgid: Some(start.to_string()),
                status: outcome.number(),
                ..object
            },
        }
    }

    fn on(self, route: &'a CallRoute) -> Self {
        Self {
            calluri: Some(&route.uri),
            calluriipv6: Some(&route.uri_ipv6),
            participants: Some(route.participants.iter().map(|hash| HEXLOWER.encode(&hash.0)).collect()),
            ..self
        }
    }
}

/// 32 hex digits as 8-4-4-4-12.
pub(super) fn hyphenated(hex: &str) -> String {
    let mut text = String::with_capacity(36);
    for (at, digit) in hex.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}
