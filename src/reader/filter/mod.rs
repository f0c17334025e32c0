//! Which records: the options of all commands, and what of the archive must be known before a record can be judged.
//!
//! A [`Filter`] is the options, checked. A [`Survey`] is what one pass over the archive finds out for it: who was a member when,
//! which conversations have a title, which messages were edited into a match, recalled or reacted to. [`Survey::matches`] then
//! judges a record by itself, in any order.

mod args;
mod error;
mod file;
mod survey;
mod text;
mod time;

#[cfg(test)]
mod tests;

use std::fs;

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub use self::args::{FilterArgs, Has, Role};
pub use self::error::FilterError;
use self::file::FileMatch;
pub use self::file::{FileFacts, content_type};
pub use self::survey::{Survey, SurveyError};
pub use self::text::{TextMatch, nfc};
pub use self::time::{Edge, moment_of, zone};
use crate::people::{Name, People};
use crate::record::{Body, Clock, ConversationKind, Kind, Record};

/// Largest file of `@file`, in bytes: a million names.
const NAMES_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TypeChoice {
    Number(u32),
    Named(Kind),
}

/// The options, checked.
#[derive(Debug)]
pub struct Filter {
    people: People,
    persons: Vec<Name>,
    person_given: bool,
    role: Role,
    conversations: Vec<String>,
    title: Option<regex::Regex>,
    kinds: Vec<ConversationKind>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    zone: TimeZone,
    clock: Clock,
    backdated: bool,
    types: Vec<TypeChoice>,
    text: TextMatch,
    has: Vec<Has>,
    file: FileMatch,
    guest: bool,
    sender_network: Option<String>,
    device: Option<String>,
}

impl Filter {
    /// Checks the options, and reads the lists that they name.
    pub fn new(args: &FilterArgs) -> Result<Self, FilterError> {
        let zone = zone(if args.tz.is_empty() { "UTC" } else { &args.tz })?;
        let edge = |text: &Option<String>, edge| text.as_deref().map(|text| moment_of(text, &zone, edge)).transpose();
        let (from, to) = (edge(&args.from, Edge::From)?, edge(&args.to, Edge::To)?);
        if from.zip(to).is_some_and(|(from, to)| from >= to) {
            let given = |text: &Option<String>| text.clone().unwrap_or_default();
            return Err(FilterError::Span { from: given(&args.from), to: given(&args.to) });
        }
        let people = args.people.as_deref().map(|path| People::read(path, &zone)).transpose()?.unwrap_or_default();
        let mut persons = Vec::new();
        for given in &args.person {
            for name in listed(given)? {
                persons.extend(people.names(&name));
            }
        }
        let choice = |text: &String| match text.parse() {
            Ok(number) => Ok(TypeChoice::Number(number)),
            Err(_) => text.parse().map(TypeChoice::Named).map_err(FilterError::Type),
        };
        if args.conversation.iter().any(String::is_empty) {
            return Err(FilterError::Empty { option: "conversation" });
        }
        Ok(Self {
            person_given: !args.person.is_empty(),
            people,
            persons,
            role: args.role,
            conversations: args.conversation.clone(),
            title: args.title_regex.as_deref().map(title_pattern).transpose()?,
            kinds: args.kind.clone(),
            from,
            to,
            clock: args.time,
            backdated: args.backdated,
            types: args.types.iter().map(choice).collect::<Result<_, _>>()?,
            text: TextMatch::of(args)?,
            has: args.has.clone(),
            file: FileMatch::of(args)?,
            guest: args.guest,
            sender_network: args.sender_network.clone(),
            device: args.device.clone(),
            zone,
        })
    }

    /// Does it choose everything?
    pub fn is_empty(&self) -> bool {
        !self.person_given
            && self.conversations.is_empty()
            && self.title.is_none()
            && self.kinds.is_empty()
            && self.from.is_none()
            && self.to.is_none()
            && !self.backdated
            && self.types.is_empty()
            && self.text.is_empty()
            && self.has.is_empty()
            && self.file.is_empty()
            && !self.guest
            && self.sender_network.is_none()
            && self.device.is_none()
    }

    /// The zone of dates and local times.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The clock of its span.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// People with several names, display names and addresses.
    pub fn people(&self) -> &People {
        &self.people
    }

    /// From when on, included, and up to when, not included.
    pub fn span(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        (self.from, self.to)
    }

    /// The names of all persons that were asked for.
    pub fn persons(&self) -> impl Iterator<Item = &str> {
        self.persons.iter().map(|name| name.user.as_str())
    }

    /// All conditions that a record can be judged by without knowing others.
    fn holds_alone(&self, record: &Record) -> bool {
        let is_type = |choice: &TypeChoice| match choice {
            TypeChoice::Number(number) => *number == record.msgtype,
            TypeChoice::Named(kind) => *kind == record.kind(),
        };
        let is =
            |wanted: &Option<String>, has: Option<&str>| wanted.as_deref().is_none_or(|wanted| has == Some(wanted));
        let in_span = || {
            let Some(at) = record.at(self.clock) else { return false };
            self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at < to)
        };
        (self.kinds.is_empty() || self.kinds.contains(&record.conversation_kind()))
            && (self.types.is_empty() || self.types.iter().any(is_type))
            && (!self.guest || record.is_guest())
            && (!self.backdated || record.is_backdated())
            && is(&self.sender_network, record.sender_network_id.as_deref())
            && is(&self.device, record.device.as_deref())
            && (self.from.is_none() && self.to.is_none() || in_span())
    }
}

/// A name, or those of `@file`, one a line.
fn listed(given: &str) -> Result<Vec<String>, FilterError> {
    let Some(path) = given.strip_prefix('@') else { return Ok(vec![given.to_owned()]) };
    let reading = |source| FilterError::File { path: path.to_owned(), source };
    let bytes = fs::metadata(path).map_err(reading)?.len();
    if bytes > NAMES_BYTES_MAX {
        return Err(FilterError::TooLarge { path: path.to_owned(), bytes, limit: NAMES_BYTES_MAX });
    }
    let text = fs::read_to_string(path).map_err(reading)?;
    let names = text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|name| !name.is_empty());
    Ok(names.map(str::to_owned).collect())
}

fn title_pattern(pattern: &str) -> Result<regex::Regex, FilterError> {
    text::pattern(&nfc(pattern), &FilterArgs::default())
}

/// What people see of a record, as far as words can be looked for in it.
pub fn texts(record: &Record) -> Vec<&str> {
    fn links<'a>(text: Option<&'a str>, links: &'a [String]) -> Vec<&'a str> {
        text.into_iter().chain(links.iter().map(String::as_str)).collect()
    }
    match &record.body {
        Body::Text(text) => links(Some(&text.text), &text.links),
        Body::Edit(edit) => links(edit.text.as_deref(), &edit.links),
        Body::Create(room) | Body::Modify(room) => {
            [&room.title, &room.description].into_iter().flatten().map(String::as_str).collect()
        }
        Body::SavedItem(room, item) => room.title.as_deref().into_iter().chain([item.name.as_str()]).collect(),
        Body::File(file) => file.name.as_deref().into_iter().collect(),
        Body::KeyVerification(_)
        | Body::Members { .. }
        | Body::Left(_)
        | Body::DeleteRoom
        | Body::Deletion { .. }
        | Body::Stars(_)
        | Body::StarSync
        | Body::Pin(_)
        | Body::State(_)
        | Body::Call(_)
        | Body::Location(_)
        | Body::LiveLocation { .. }
        | Body::Reaction { .. }
        | Body::Read { .. }
        | Body::Unreadable(_)
        | Body::Hole { .. }
        | Body::Unknown => Vec::new(),
    }
}
