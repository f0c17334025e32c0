//! What `retaind client` prints: one line an event, as text or as JSON.
//!
//! Text that others wrote is shown with what could command the terminal, or deceive a reader, escaped.
//! Keys, and the ids of blobs, are not shown.

use std::io::{self, Write};

use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};

use retaind_core::text::{self, is_deceptive};
use retaind_device::conversations::{Event, What};
use retaind_device::mls::{Proposed, Received};
use retaind_protocol::content::{
    Body, CallPhase, DeletionScope, LiveLocation, Pin, Position, ReactionChange, RoomState, SavedItem,
};
use retaind_protocol::credential::Identity;
use retaind_protocol::ids::{ConversationId, MessageId};

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Where lines go.
pub(crate) struct Screen<'a> {
    /// Standard output, or a test's buffer.
    pub out: &'a mut (dyn Write + Send),
    /// How they look.
    pub form: Form,
}

impl Screen<'_> {
    /// One line: `name`, then the fields.
    pub(crate) fn line(&mut self, name: &str, fields: Value) -> io::Result<()> {
        let Value::Object(mut fields) = fields else { return Ok(()) };
        match self.form {
            Form::Json => {
                fields.insert("event".to_owned(), Value::from(name));
                let json = Value::Object(fields).to_string();
                self.out.write_all(&text::line(json.as_bytes()))?;
                writeln!(self.out)?;
            }
            Form::Text => {
                write!(self.out, "{name}")?;
                for (field, value) in &fields {
                    write!(self.out, " {field}={}", plain(value))?;
                }
                writeln!(self.out)?;
            }
        }
        self.out.flush()
    }

    /// A message that was sent.
    pub(crate) fn sent(
        &mut self,
        conversation: &ConversationId,
        message: &MessageId,
        seq: u64,
        kind: u32,
    ) -> io::Result<()> {
        let fields = json!({
            "conversation": conversation.as_str(), "message_id": message.to_string(), "seq": seq, "msgtype": kind,
        });
        self.line("sent", fields)
    }

    /// Something that arrived.
    pub(crate) fn event(&mut self, event: &Event) -> io::Result<()> {
        let (name, mut fields) = match &event.what {
            What::Joined(members) => ("joined", Map::from_iter([("members".to_owned(), users(members))])),
            What::Message { sender, content } => {
                let mut fields = body(&content.body);
                fields.insert("sender".to_owned(), sender.user.as_str().into());
                fields.insert("device".to_owned(), sender.device.to_string().into());
                fields.insert("message_id".to_owned(), content.message_id.to_string().into());
                fields.insert("sent_at_micros".to_owned(), content.sent_at_micros.into());
                fields.insert("msgtype".to_owned(), content.body.kind().into());
                if let Some(ttl) = content.ttl {
                    fields.insert("ttl".to_owned(), ttl.into());
                }
                if content.bor > 0 {
                    fields.insert("bor".to_owned(), content.bor.into());
                }
                ("message", fields)
            }
            What::Handshake(received) => handshake(received),
            What::Unreadable(why) => ("unreadable", Map::from_iter([("reason".to_owned(), why.as_str().into())])),
        };
        fields.insert("conversation".to_owned(), event.conversation.as_str().into());
        fields.insert("seq".to_owned(), event.seq.into());
        fields.insert("accepted_at_micros".to_owned(), event.accepted_at_micros.into());
        self.line(name, Value::Object(fields))
    }
}

/// A value in a line of text: words as they are, everything else quoted and escaped.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text)
            if !text.is_empty() && text.chars().all(|c| !c.is_whitespace() && !is_deceptive(c) && c != '"') =>
        {
            text.clone()
        }
        Value::String(text) => {
            let escaped: String = text
                .chars()
                .flat_map(|c| match c {
                    '"' | '\\' => c.escape_default().collect::<Vec<_>>(),
                    c if is_deceptive(c) => c.escape_default().collect(),
                    c => vec![c],
                })
                .collect();
            format!("\"{escaped}\"")
        }
        Value::Array(values) => format!("[{}]", values.iter().map(plain).collect::<Vec<_>>().join(",")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

fn users(identities: &[Identity]) -> Value {
    identities.iter().map(|identity| Value::from(identity.user.as_str())).collect()
}

fn handshake(received: &Received) -> (&'static str, Map<String, Value>) {
    let fields = match received {
        Received::Commit { committer, added, removed, own, epoch } => json!({
            "committer": committer.user.as_str(), "added": users(added), "removed": users(removed),
            "own": format!("{own:?}").to_lowercase(), "epoch": epoch,
        }),
        Received::Proposal { sender, proposal, epoch } => {
            let (what, user) = match proposal {
                Proposed::Add(who) => ("add", Some(who.user.as_str())),
                Proposed::Remove(who) => ("remove", Some(who.user.as_str())),
                Proposed::Other => ("other", None),
            };
            let sender = sender.as_ref().map(|sender| sender.user.as_str());
            json!({ "sender": sender, "proposal": what, "user": user, "epoch": epoch })
        }
        Received::Application { .. } => json!({}),
    };
    let name = match received {
        Received::Commit { .. } => "changed",
        Received::Proposal { .. } => "proposed",
        Received::Application { .. } => "message",
    };
    (name, object(fields))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

fn names(users: &[retaind_protocol::ids::UserName]) -> Value {
    users.iter().map(|user| Value::from(user.as_str())).collect()
}

/// What a message says.
fn body(body: &Body) -> Map<String, Value> {
    object(match body {
        Body::Text(text) => json!({ "text": text.text, "links": text.links }),
        Body::Verification(verification) => {
            json!({ "step": verification.step.number(), "key": HEXLOWER.encode(&verification.key) })
        }
        Body::RoomCreated(state) | Body::RoomModified(state) => room(state),
        Body::SavedItem(state, item) => {
            let mut fields = object(room(state));
            fields.insert("item".to_owned(), saved(item));
            Value::Object(fields)
        }
        Body::MembersModified(change) => json!({ "added": names(&change.added), "removed": names(&change.deleted) }),
        Body::UserLeft(users) => json!({ "removed": names(users) }),
        Body::RoomDeleted | Body::AttributeSync => json!({}),
        Body::Deleted(deletion) => {
            json!({ "target": deletion.target.to_string(), "recall": deletion.scope == DeletionScope::Everyone })
        }
        Body::Attributes(attributes) => {
            let starred = attributes.iter().map(|a| json!({ "message": a.message.to_string(), "starred": a.starred }));
            json!({ "attributes": starred.collect::<Value>() })
        }
        Body::Pinned(pin) => json!({ "pinned": *pin == Pin::Pinned }),
        Body::File(file) => json!({
            "name": file.name, "size": file.size, "sha256": HEXLOWER.encode(&file.sha256),
            "guid": HEXLOWER.encode(&file.guid),
        }),
        Body::Call(call) => match &call.phase {
            CallPhase::Start(route) => json!({ "call": "start", "meeting": call.meeting_id, "uri": route.uri }),
            CallPhase::Invite { route, start, .. } => {
                json!({ "call": "invite", "meeting": call.meeting_id, "uri": route.uri, "start": start.to_string() })
            }
            CallPhase::End { start, outcome, duration_secs } => json!({
                "call": "end", "meeting": call.meeting_id, "start": start.to_string(), "status": outcome.number(),
                "duration": duration_secs,
            }),
        },
        Body::Location(Position { latitude, longitude }) => json!({ "latitude": latitude, "longitude": longitude }),
        Body::EditText(edit) => json!({ "original": edit.original.to_string(), "text": edit.text }),
        Body::EditLocation(LiveLocation { position, shared_until_secs }) => {
            json!({ "latitude": position.latitude, "longitude": position.longitude, "until": shared_until_secs })
        }
        Body::Reaction(reaction) => json!({
            "original": reaction.original.to_string(), "reaction": reaction.reaction,
            "added": reaction.change == ReactionChange::Added,
        }),
        Body::ReadReceipt(receipt) => {
            json!({ "message_sent_at_micros": receipt.message_sent_at_micros, "read_at": receipt.read_at_secs })
        }
        Body::Unknown { version, bytes, .. } => json!({ "version": version, "bytes": bytes.len() }),
    })
}

fn room(state: &RoomState) -> Value {
    json!({
        "changemask": state.changemask, "title": state.title, "description": state.description,
        "masters": names(&state.masters), "members": names(&state.members), "room_ttl": state.ttl_secs,
        "room_bor": state.bor_secs,
    })
}

fn saved(item: &SavedItem) -> Value {
    json!({
        "sha256": HEXLOWER.encode(&item.sha256), "guid": HEXLOWER.encode(&item.guid), "target": item.target,
        "name": item.name, "path": item.path, "by": item.modified_by.as_str(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_cannot_command_the_terminal() {
        let mut out = Vec::new();
        let mut screen = Screen { out: &mut out, form: Form::Text };
        screen.line("message", json!({ "text": "\u{1b}[2J a \"b\" 🙂", "word": "plain", "n": 3 })).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert_eq!(line, "message n=3 text=\"\\u{1b}[2J a \\\"b\\\" 🙂\" word=plain\n");
        let mut out = Vec::new();
        let mut screen = Screen { out: &mut out, form: Form::Text };
        screen.line("message", json!({ "text": "invoice\u{202e}fdp.exe", "user": "a\u{9b}31m" })).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert_eq!(line, "message text=\"invoice\\u{202e}fdp.exe\" user=\"a\\u{9b}31m\"\n");
        let mut out = Vec::new();
        Screen { out: &mut out, form: Form::Json }.line("message", json!({ "text": "a\u{202e}b" })).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "{\"event\":\"message\",\"text\":\"a\\u202eb\"}\n");
    }

    #[test]
    fn a_line_of_json_names_its_event() {
        let mut out = Vec::new();
        Screen { out: &mut out, form: Form::Json }.line("sent", json!({ "seq": 1 })).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "{\"event\":\"sent\",\"seq\":1}\n");
    }
}
