//! A record in words, for people: tables, and transcripts of exports.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::people::People;
use crate::record::{Body, Change, Position, Record, Room, Scope};

/// `2026-06-01 10:00:02`, local; with the offset where it is not UTC.
pub fn local(at: Option<Timestamp>, zone: &TimeZone) -> String {
    let Some(at) = at else { return String::new() };
    let zoned = at.to_zoned(zone.clone());
    let offset = if *zone == TimeZone::UTC { "" } else { "%:z" };
    zoned.strftime(&format!("%Y-%m-%d %H:%M:%S{offset}")).to_string()
}

/// `2026-06-01`, local.
pub fn day(at: Option<Timestamp>, zone: &TimeZone) -> String {
    at.map(|at| at.to_zoned(zone.clone()).date().to_string()).unwrap_or_default()
}

fn place(position: &Position) -> String {
    format!("{}, {}", position.latitude, position.longitude)
}

fn listed(users: &[String]) -> String {
    users.join(", ")
}

fn room(room: &Room) -> String {
    let mut words = String::new();
    let mut add = |name: &str, value: String| {
        // a string takes any text
        write!(words, "; {name}: {value}").unwrap_or_default();
    };
    if let Some(title) = &room.title {
        add("title", title.clone());
    }
    if let Some(description) = room.description.as_ref().filter(|text| !text.is_empty()) {
        add("description", description.clone());
    }
    if !room.masters.is_empty() {
        add("moderators", listed(&room.masters));
    }
    if let Some(secs) = room.ttl_secs {
        add("messages expire after", format!("{secs} s"));
    }
    if let Some(secs) = room.bor_secs.filter(|secs| *secs != 0) {
        add("burn on read after", format!("{secs} s"));
    }
    words
}

/// What happened, without who and when. `people` gives names to the participants of calls.
pub fn words(record: &Record, people: &People) -> String {
    match &record.body {
        Body::Text(text) => text.text.clone(),
        Body::Edit(edit) => match &edit.text {
            Some(text) => format!("edited: {text}"),
            None => format!("added a preview: {}", edit.links.join(" ")),
        },
        Body::File(file) => {
            let name = file.name.as_deref().or(file.local_name.as_deref()).unwrap_or("unnamed");
            let size = file.size.map(|bytes| format!(", {bytes} bytes")).unwrap_or_default();
            let status = if file.is_saved() {
                String::new()
            } else {
                let reason = file.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                format!(" [{}{reason}]", file.status.as_deref().unwrap_or("not archived"))
            };
            let hash = file.hash.as_ref().map(|hash| format!(", SHA-256 {hash}")).unwrap_or_default();
            format!("file {name}{size}{hash}{status}")
        }
        Body::KeyVerification(verification) => match verification.step {
            1 => "asked to compare keys".to_owned(),
            2 => "answered and asked to compare keys".to_owned(),
            3 => "accepted the key".to_owned(),
            4 => "rejected the key".to_owned(),
            5 => "put off comparing keys".to_owned(),
            other => format!("step {other} of comparing keys"),
        },
        Body::Create(state) => format!("created the room{}", room(state)),
        Body::Modify(state) => format!("changed the room{}", room(state)),
        Body::SavedItem(_, item) => {
            format!("saved items: {} {} {} in {}", item.action, item.target, item.name, item.path)
        }
        Body::Members { added, removed } => {
            let named = [("added ", added), ("removed ", removed)];
            let parts = named.iter().filter(|(_, users)| !users.is_empty());
            parts.map(|(what, users)| format!("{what}{}", listed(users))).collect::<Vec<_>>().join("; ")
        }
        Body::Left(users) => format!("left: {}", listed(users)),
        Body::DeleteRoom => "deleted the room".to_owned(),
        Body::Deletion { scope: Scope::Everyone, .. } => "recalled for everybody".to_owned(),
        Body::Deletion { scope: Scope::Own, .. } => "deleted on own devices".to_owned(),
        Body::Stars(stars) => {
            let change = |star: &crate::record::Star| match star.change {
                Change::Added => "starred",
                Change::Removed => "unstarred",
            };
            stars.iter().map(change).collect::<Vec<_>>().join(", ")
        }
        Body::StarSync => "asked for starred messages".to_owned(),
        Body::Pin(Change::Added) => "pinned the conversation".to_owned(),
        Body::Pin(Change::Removed) => "unpinned the conversation".to_owned(),
        Body::State(state) => {
            let members =
                if state.members.is_empty() { String::new() } else { format!(": {}", listed(&state.members)) };
            format!("{}{members}", state.action)
        }
        Body::Call(call) => {
            let what = match call.status {
                Some(0) => "call started",
                Some(1) => "call ended",
                Some(2) => "call missed",
                Some(3) => "call cancelled",
                Some(_) | None => "call",
            };
            let after = call.duration_secs.map(|secs| format!(" after {secs} s")).unwrap_or_default();
            let name = |hash: &String| people.by_hash(hash).unwrap_or(hash).to_owned();
            let with: Vec<String> = call.participants.iter().map(name).collect();
            let with = if with.is_empty() { String::new() } else { format!(", participants: {}", with.join(", ")) };
            format!("{what}{after}{with}")
        }
        Body::Location(position) => format!("location {}", place(position)),
        Body::LiveLocation { position, until } => {
            let at = position.as_ref().map(|position| format!(" {}", place(position))).unwrap_or_default();
            let until = until.map_or_else(|| ", stopped".to_owned(), |until| format!(" until {until}"));
            format!("live location{at}{until}")
        }
        Body::Reaction { reaction, change: Change::Added, .. } => format!("reacted {reaction}"),
        Body::Reaction { reaction, change: Change::Removed, .. } => format!("took back {reaction}"),
        Body::Read { .. } => "read".to_owned(),
        Body::Unreadable(unreadable) => format!("[unreadable] {}", unreadable.reason),
        Body::Hole { from_seq, to_seq, .. } => {
            let count = to_seq.saturating_sub(*from_seq).saturating_add(1);
            format!("[hole] {count} messages ({from_seq}-{to_seq}) were not delivered")
        }
        Body::Unknown => format!("[type {} is not known]", record.msgtype),
    }
}
