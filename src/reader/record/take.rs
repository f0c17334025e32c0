//! From the JSON of a line to what the record is about.

use super::body::{
    Body, Call, Change, Edit, File, Kept, KeyVerification, Position, Room, SavedItem, Scope, Star, State, Text,
    Unreadable,
};
use super::line::{
    AttributeObject, CallObject, Control, EditObject, FileObject, KeptObject, Line, LinkObject, Scalar, VaultObject,
};
use super::time;

impl Body {
    /// Takes it out of a line. The error names the object that is missing.
    pub(super) fn take(line: &mut Line, sender: &str) -> Result<Self, &'static str> {
        let control = line.control.take();
        Ok(match line.msgtype {
            0 => match line.hole.take() {
                Some(hole) => Self::Hole {
                    from_seq: hole.fromseq,
                    to_seq: hole.toseq,
                    reason: line.reason.take().unwrap_or_default(),
                },
                None => Self::Unreadable(Unreadable {
                    reason: line.reason.take().unwrap_or_default(),
                    ciphertext: line.ciphertext.take().map(Kept::of),
                    claimed_type: line.content.take().and_then(|content| content.kind),
                    file: line.file.take().map(File::of),
                }),
            },
            1000 => Self::Text(Text { text: line.message.take().ok_or("message")?, links: urls(line.links.take()) }),
            3000 => {
                let verification = line.keyverify.take().ok_or("keyverify")?;
                Self::KeyVerification(KeyVerification {
                    step: verification.msgtype.unwrap_or_default(),
                    key: verification.verifiedkey.unwrap_or_default(),
                })
            }
            4001 => Self::Create(Room::of(control.ok_or("control")?)),
            4002 => {
                let control = control.ok_or("control")?;
                Self::Members {
                    added: control.addedusers.unwrap_or_default(),
                    removed: control.deletedusers.unwrap_or_default(),
                }
            }
            4003 => {
                let named = control.and_then(|control| control.deletedusers).filter(|users| !users.is_empty());
                Self::Left(named.unwrap_or_else(|| vec![sender.to_owned()]))
            }
            4004 => {
                let mut control = control.ok_or("control")?;
                match control.filevaultinfo.take() {
                    Some(vault) => Self::SavedItem(Room::of(control), SavedItem::of(vault)),
                    None => Self::Modify(Room::of(control)),
                }
            }
            4005 => Self::DeleteRoom,
            4011 => {
                let control = control.ok_or("control")?;
                let scope = if control.isrecall.unwrap_or(false) { Scope::Everyone } else { Scope::Own };
                Self::Deletion { target: control.msgid.or(control.message_id).ok_or("control.msgid")?, scope }
            }
            4012 => {
                let attributes = control.and_then(|control| control.attributes).ok_or("control.attributes")?;
                let star = |attribute: AttributeObject| {
                    Some(Star { target: attribute.msgid?, change: Change::of(attribute.isstarred) })
                };
                Self::Stars(attributes.into_iter().filter_map(star).collect())
            }
            4013 => Self::StarSync,
            4014 => Self::Pin(Change::of(control.and_then(|control| control.pinned))),
            4900 => {
                let control = control.ok_or("control")?;
                Self::State(State {
                    action: control.action.unwrap_or_default(),
                    epoch: control.epoch,
                    members: control.members.unwrap_or_default(),
                })
            }
            6000 => Self::File(File::of(line.file.take().ok_or("file")?)),
            7000 => Self::Call(Call::of(line.call.take().ok_or("call")?)),
            8000 => {
                let at = line.location.take().ok_or("location")?;
                Self::Location(Position { latitude: at.latitude, longitude: at.longitude })
            }
            9000 => Self::edit(line.edit.take().ok_or("edit")?),
            9100 => {
                let edit = line.edit.take().ok_or("edit")?;
                Self::Reaction {
                    target: edit.originalmessageid.ok_or("edit.originalmessageid")?,
                    reaction: edit.reaction.unwrap_or_default(),
                    change: Change::of(edit.react_added),
                }
            }
            9200 => {
                let receipt = line.readreceipt.take().ok_or("readreceipt")?;
                let number = |field: &Option<Scalar>| field.as_ref().and_then(Scalar::number);
                let micros = number(&receipt.message_timestamp_usecs).unwrap_or_default();
                Self::Read {
                    sent_at: number(&receipt.message_timestamp_secs).map(|secs| time::from_parts(secs, micros)),
                    read_at: number(&receipt.read_receipt_timestamp).map(|secs| time::from_parts(secs, 0)),
                    status: receipt.status.unwrap_or_default(),
                }
            }
            _ => Self::Unknown,
        })
    }

    fn edit(edit: EditObject) -> Self {
        if edit.what.as_deref() != Some("location") {
            return Self::Edit(Edit { target: edit.originalmessageid, text: edit.text, links: urls(edit.links) });
        }
        let position = edit.latitude.zip(edit.longitude).map(|(latitude, longitude)| Position { latitude, longitude });
        let until = edit.shareexpiriation.as_ref().and_then(Scalar::number).filter(|secs| *secs >= 0);
        Self::LiveLocation { position, until: until.map(|secs| time::from_parts(secs, 0)) }
    }
}

fn urls(links: Option<Vec<LinkObject>>) -> Vec<String> {
    links.unwrap_or_default().into_iter().filter_map(|link| link.url).collect()
}

impl Kept {
    fn of(kept: KeptObject) -> Self {
        Self { name: kept.file, sha256: kept.sha256, size: kept.size }
    }
}

impl Room {
    fn of(control: Control) -> Self {
        Self {
            title: control.title,
            description: control.description,
            masters: control.masters.unwrap_or_default(),
            members: control.members.unwrap_or_default(),
            changemask: control.changemask.unwrap_or_default(),
            ttl_secs: control.ttl.as_ref().and_then(Scalar::number),
            bor_secs: control.bor.as_ref().and_then(Scalar::number),
        }
    }
}

impl SavedItem {
    fn of(vault: VaultObject) -> Self {
        let action = vault.filemgtaction.unwrap_or_default();
        Self {
            action: action.action.unwrap_or_default(),
            target: action.target.unwrap_or_default(),
            name: action.name.unwrap_or_default(),
            path: action.path.unwrap_or_default(),
            user: action.modifiedbyuser.unwrap_or_default(),
            at: action.modifiedtimestamp.unwrap_or_default(),
            hash: vault.filehash,
            guid: vault.guid,
            local_name: vault.localfilename,
            status: vault.status,
            reason: vault.reason,
        }
    }
}

impl File {
    fn of(file: FileObject) -> Self {
        Self {
            name: file.filename,
            local_name: file.localfilename,
            size: file.filesize,
            hash: file.filehash,
            guid: file.guid,
            status: file.status,
            reason: file.reason,
            ciphertext: file.ciphertext.map(Kept::of),
            decrypted: file.decrypted.map(Kept::of),
            uploaded_by: file.uploadedbyuser,
            uploaded_at: file.uploadedtimestamp,
            is_screenshot: file.isscreenshot.unwrap_or(false),
            is_voice_memo: file.isvoicememo.unwrap_or(false),
            voice_memo_secs: file.voicememoduration.as_ref().and_then(Scalar::number),
        }
    }
}

impl Call {
    fn of(call: CallObject) -> Self {
        Self {
            status: call.status,
            duration_secs: call.duration.as_ref().and_then(Scalar::number),
            participants: call.participants.unwrap_or_default(),
            meeting: call.meetingid.as_ref().map(Scalar::text),
            start: call.startmsgid,
            invite: call.invitemsgid,
            uri: call.calluri,
            uri_v6: call.calluriipv6,
        }
    }
}
