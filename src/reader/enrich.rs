//! A record with what the reader knows besides: title, participants, state, source.
//!
//! Fields of the reader begin with `_` and are added at the end of the line, which otherwise stays as it is, byte for byte.

use serde_json::{Value, json};

use crate::filter::{Has, Survey};
use crate::membership::moment;
use crate::record::{Kind, Record};
use crate::source::Place;
use crate::timeline::Item;

/// What became of a record, in words of one kind each: `edited`, `recalled`, `reacted`, `missing`, `unreadable`, `backdated`, `conflict`.
pub fn states(record: &Record, survey: &Survey<'_>, is_conflict: bool) -> Vec<&'static str> {
    let kind = record.kind();
    let is_message = !crate::timeline::is_modifier(record);
    let mut states = Vec::new();
    let mut add = |is: bool, state| {
        if is {
            states.push(state);
        }
    };
    add(is_message && survey.has(record, Has::Edit), "edited");
    add(is_message && survey.has(record, Has::Recall), "recalled");
    add(is_message && survey.has(record, Has::Reaction), "reacted");
    add(record.file().is_some_and(|file| !file.is_saved()), "missing");
    add(matches!(kind, Kind::Unreadable | Kind::Hole), "unreadable");
    add(record.is_backdated(), "backdated");
    add(is_conflict, "conflict");
    states
}

/// The line with further fields.
pub fn with_fields(raw: &str, fields: &[(&str, Value)]) -> String {
    // a record is an object, and has a field at least
    let line = raw.trim_end();
    let mut line = line.strip_suffix('}').unwrap_or(line).to_owned();
    for (name, value) in fields {
        line.push_str(&format!(",\"{name}\":{value}"));
    }
    line.push('}');
    line
}

/// The fields of `--enrich`.
pub fn fields(record: &Record, place: Place, survey: &Survey<'_>, is_conflict: bool) -> Vec<(&'static str, Value)> {
    let membership = survey.membership();
    let file = survey.archive().file(place).map_or("", |file| &file.name);
    vec![
        ("_title", membership.shown_title(&record.conversation, moment(record, place)).into()),
        ("_participants", membership.could_see(record, place).into()),
        ("_state", states(record, survey, is_conflict).into()),
        ("_source", json!({"file": file, "line": place.line})),
    ]
}

/// A message with its modifiers as one object: lines stay as they are.
pub fn item(item: &Item, survey: &Survey<'_>, is_enriched: bool) -> String {
    let shown = |member: &crate::timeline::Member| {
        let mut extra = if is_enriched {
            fields(&member.record, member.place, survey, member.is_conflict)
        } else if member.is_conflict {
            vec![("_conflict", Value::Bool(true))]
        } else {
            Vec::new()
        };
        if member.is_ambiguous {
            extra.push(("_ambiguous", Value::Bool(true)));
        }
        if extra.is_empty() { member.record.raw.trim_end().to_owned() } else { with_fields(&member.record.raw, &extra) }
    };
    let list = |members: &[crate::timeline::Member]| members.iter().map(shown).collect::<Vec<_>>().join(",");
    let at = |record: &Record| record.at(survey.filter().clock()).map(|at| at.to_string());
    let versions: Vec<Value> = item
        .versions()
        .iter()
        .map(|version| json!({"at": at(&version.of.record), "seq": version.of.record.seq, "text": version.text}))
        .collect();
    let reactions: Vec<Value> = item
        .reactions()
        .iter()
        .map(|reaction| json!({"reaction": reaction.reaction, "users": reaction.users}))
        .collect();
    let recalled = item.recall().map(|by| json!({"at": at(&by.record), "by": by.record.sender}));
    let expires = item.message.record.expires.map(|at| at.to_string());
    format!(
        "{{\"message\":{},\"conflicts\":[{}],\"modifiers\":[{}],\"versions\":{},\"reactions\":{},\"recalled\":{},\"expires\":{},\"outside\":{}}}",
        shown(&item.message),
        list(&item.conflicts),
        list(&item.modifiers),
        Value::from(versions),
        Value::from(reactions),
        Value::from(recalled),
        Value::from(expires),
        item.is_outside,
    )
}
