//! A slice: one conversation and one local day, or a part of it, with who was there and what it was called.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use retaind_reader::filter::Survey;
use retaind_reader::membership::moment;
use retaind_reader::people::People;
use retaind_reader::record::{Body, Clock, ConversationKind, Record};
use retaind_reader::timeline::{Item, Member};

use crate::attachment::Attachment;
use crate::table::{Fate, Format, Reason, Wishes, fate};

/// What all slices of an export have in common.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub survey: &'a Survey<'a>,
    pub zone: TimeZone,
    /// As it was given.
    pub zone_name: String,
    pub clock: Clock,
    /// With every name that the archive has, so that calls can be resolved.
    pub people: People,
    pub wishes: Wishes,
    pub matter: Option<String>,
    /// The only person of the query.
    pub custodian: Option<String>,
}

impl Context<'_> {
    /// A record's time by the clock of the query.
    pub(crate) fn at(&self, record: &Record) -> Option<Timestamp> {
        record.at(self.clock)
    }

    /// Display name of a user, or the user name.
    pub(crate) fn display<'b>(&'b self, user: &'b str) -> &'b str {
        if user.is_empty() { "the network" } else { self.people.display(user).unwrap_or(user) }
    }
}

/// Somebody who was in the conversation, or wrote in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Participant {
    /// User name; empty for the network itself.
    pub user: String,
    pub display: String,
    /// An e-mail address, real or made.
    pub address: String,
    pub is_guest: bool,
    /// A member when the slice begins.
    pub at_start: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Slice<'a> {
    pub context: &'a Context<'a>,
    /// Stem of the names of its files: ASCII letters, digits, `-`, `_`.
    pub name: String,
    pub conversation: String,
    pub network: String,
    pub title: String,
    pub day: Option<Date>,
    /// From 1.
    pub part: usize,
    pub parts: usize,
    pub items: Vec<Item>,
    /// In order of user names.
    pub participants: Vec<Participant>,
    /// Files by the place of their record.
    pub attachments: BTreeMap<(u32, u64), Vec<Attachment>>,
}

/// An entry of a format: a message with what changed it, or something by itself.
#[derive(Debug)]
pub(crate) struct Entry<'s> {
    pub member: &'s Member,
    /// Its modifiers that the format takes; none of a conflicting record.
    pub modifiers: Vec<&'s Member>,
    /// The item that it is of, for its versions and reactions; none of a record that is not its first.
    pub item: Option<&'s Item>,
    /// A modifier whose message is not in the slice.
    pub is_outside: bool,
}

impl Entry<'_> {
    /// The record.
    pub(crate) fn record(&self) -> &Record {
        &self.member.record
    }
}

/// What a format takes of a slice.
#[derive(Debug, Default)]
pub(crate) struct Selection<'s> {
    pub entries: Vec<Entry<'s>>,
    pub excluded: Vec<(&'s Member, Reason)>,
}

impl Slice<'_> {
    /// Direct, group or room.
    pub(crate) fn kind(&self) -> ConversationKind {
        ConversationKind::of(&self.conversation)
    }

    /// What a format takes of it, by the table.
    pub(crate) fn select(&self, format: Format) -> Selection<'_> {
        let mut selection = Selection::default();
        let fate = |member: &Member| fate(&member.record, format, self.context.wishes);
        for item in &self.items {
            let mut modifiers = Vec::new();
            let mut alone: Vec<&Member> = Vec::new();
            let message = fate(&item.message);
            for modifier in &item.modifiers {
                match (fate(modifier), message) {
                    (Fate::Excluded(reason), _) => selection.excluded.push((modifier, reason)),
                    (Fate::Entry | Fate::Property, Fate::Excluded(_)) => alone.push(modifier),
                    (Fate::Entry | Fate::Property, Fate::Entry | Fate::Property) => modifiers.push(modifier),
                }
            }
            match message {
                Fate::Excluded(reason) => selection.excluded.push((&item.message, reason)),
                Fate::Entry | Fate::Property => selection.entries.push(Entry {
                    member: &item.message,
                    modifiers,
                    item: Some(item),
                    is_outside: item.is_outside,
                }),
            }
            for member in &item.conflicts {
                match fate(member) {
                    Fate::Excluded(reason) => selection.excluded.push((member, reason)),
                    Fate::Entry | Fate::Property => {
                        selection.entries.push(Entry { member, modifiers: Vec::new(), item: None, is_outside: false });
                    }
                }
            }
            let alone =
                alone.into_iter().map(|member| Entry { member, modifiers: Vec::new(), item: None, is_outside: true });
            selection.entries.extend(alone);
        }
        selection
    }

    /// Files of a record.
    pub(crate) fn attachments(&self, member: &Member) -> &[Attachment] {
        self.attachments.get(&(member.place.file, member.place.line)).map_or(&[], Vec::as_slice)
    }

    /// Earliest and latest time of its records.
    pub(crate) fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let times = || self.items.iter().filter_map(|item| self.context.at(&item.message.record));
        times().min().zip(times().max())
    }

    /// The participant of a user name.
    pub(crate) fn participant(&self, user: &str) -> Option<&Participant> {
        let at = self.participants.binary_search_by(|participant| participant.user.as_str().cmp(user));
        self.participants.get(at.ok()?)
    }

    /// `2026-06-01`, or `undated`; the whole span where the slice is a conversation.
    pub(crate) fn day_shown(&self) -> String {
        let local = |at: Timestamp| at.to_zoned(self.context.zone.clone()).date().to_string();
        match (self.day, self.span()) {
            (Some(day), _) => day.to_string(),
            (None, Some((first, last))) if local(first) == local(last) => local(first),
            (None, Some((first, last))) => format!("{} to {}", local(first), local(last)),
            (None, None) => "undated".to_owned(),
        }
    }
}

/// Who is in a slice: members at its start, who joined in it, and who wrote in it.
pub(crate) fn participants(
    context: &Context<'_>,
    conversation: &str,
    network: &str,
    items: &[Item],
) -> Vec<Participant> {
    let membership = context.survey.membership();
    let start = items.iter().map(|item| moment(&item.message.record, item.message.place)).min().unwrap_or_default();
    let at_start: BTreeSet<&str> = membership.members(conversation, start).into_iter().collect();
    let mut users: BTreeMap<&str, bool> = at_start.iter().map(|user| (*user, false)).collect();
    for member in items.iter().flat_map(Item::members) {
        let record = &member.record;
        let is_guest = users.entry(&record.sender).or_default();
        *is_guest |= record.is_guest();
        let joined: &[String] = match &record.body {
            Body::Members { added, .. } => added,
            Body::State(state) if state.action == "joined" => &state.members,
            Body::Left(left) => left,
            Body::State(_)
            | Body::Text(_)
            | Body::KeyVerification(_)
            | Body::Create(_)
            | Body::Modify(_)
            | Body::SavedItem(..)
            | Body::DeleteRoom
            | Body::Deletion { .. }
            | Body::Stars(_)
            | Body::StarSync
            | Body::Pin(_)
            | Body::File(_)
            | Body::Call(_)
            | Body::Location(_)
            | Body::Edit(_)
            | Body::LiveLocation { .. }
            | Body::Reaction { .. }
            | Body::Read { .. }
            | Body::Unreadable(_)
            | Body::Hole { .. }
            | Body::Unknown => &[],
        };
        let removed: &[String] = if let Body::Members { removed, .. } = &record.body { removed } else { &[] };
        for user in joined.iter().chain(removed).chain(record.receiver.as_ref()) {
            users.entry(user).or_default();
        }
    }
    let of = |(user, is_guest): (&str, bool)| Participant {
        user: user.to_owned(),
        display: context.display(user).to_owned(),
        address: address(&context.people, user, network),
        is_guest,
        at_start: at_start.contains(user),
    };
    users.into_iter().map(of).collect()
}

/// A mail address: the one of `--people`, the user name if it is one, else one that no mail server has.
pub(crate) fn address(people: &People, user: &str, network: &str) -> String {
    if let Some(email) =
        people.person(user).and_then(|person| person.email.as_deref()).filter(|email| is_address(email))
    {
        return email.to_owned();
    }
    if is_address(user) {
        return user.to_owned();
    }
    let local = if user.is_empty() { "network".to_owned() } else { percent_encoded(user) };
    let network: String = network.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{local}@{}.invalid", if network.is_empty() { "unknown" } else { &network })
}

/// Of a form that needs no quotes in a header.
fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let is_part = |part: &str, others: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with('.')
            && !part.contains("..")
            && part.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
    };
    is_part(local, "!#$%&'*+-/=?^_`{|}~.") && is_part(domain, "-.") && text.len() <= 254
}

/// RFC 3986: all but letters, digits, `-`, `_` and `~` as `%` and two hex digits. Dots too, which an address restricts.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&data_encoding::HEXUPPER.encode(&[byte]));
        }
    }
    encoded
}

/// Its title, or the names of those who are in it.
pub(crate) fn title(context: &Context<'_>, conversation: &str, items: &[Item], participants: &[Participant]) -> String {
    let last = items.iter().map(|item| moment(&item.message.record, item.message.place)).max().unwrap_or_default();
    let shown = context.survey.membership().shown_title(conversation, last);
    if !shown.is_empty() {
        return shown;
    }
    let names: Vec<&str> =
        participants.iter().filter(|one| !one.user.is_empty()).map(|one| one.display.as_str()).collect();
    match names.get(..NAMES_MAX) {
        Some(first) if names.len() > NAMES_MAX => {
            format!("{} +{}", first.join(", "), names.len().saturating_sub(NAMES_MAX))
        }
        Some(_) | None => names.join(", "),
    }
}

/// Most names of a title that is made of them.
const NAMES_MAX: usize = 5;
