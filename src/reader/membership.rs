//! Who was a member of a conversation at a moment, and what it was called.
//!
//! From the records that no single device can invent: 4900 `joined`, 4002, 4003. The lists of 4001 and 4004 are what their
//! sender's device believes, and count only where a conversation has nothing else (lines of the closed bot).
//!
//! A leave is a 4003 and, later, the 4002 that carries it out. Until then the leaver's device can still read, so the membership
//! ends with the 4002; with the 4003 if none follows. Both records are inside the membership that they begin or end: whoever
//! is removed by message 7 is a member at 7, and not at 8.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use memchr::memmem::Finder;

use crate::record::{Body, Record};
use crate::source::{Archive, BadLine, Piece, Place, SourceError};

/// Most users whom a title made of names names.
const TITLE_NAMES_MAX: usize = 5;
/// Line numbers below a file's number in a [`Moment`].
const LINE_BITS: u32 = 40;
/// Moments from here on are places. No conversation has so many messages.
const PLACES_FROM: Moment = 1 << LINE_BITS;

/// What every record of a change has, and texts have only with back-slashes.
pub(crate) const CONTROL: &[u8] = b"\"control\"";

/// Where in its conversation something is: its `seq`, or its place in the archive for lines that have none.
pub type Moment = u64;

/// The moment of a record.
pub fn moment(record: &Record, place: Place) -> Moment {
    let file = u64::from(place.file).saturating_add(1);
    record.seq.unwrap_or_else(|| (file << LINE_BITS).saturating_add(place.line))
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    Joined(Vec<String>),
    Changed {
        added: Vec<String>,
        removed: Vec<String>,
    },
    Leaving(Vec<String>),
    /// By the sender's list.
    Claimed(Vec<String>),
}

/// From and to, both included.
type Span = (Moment, Moment);

/// One conversation.
#[derive(Debug, Default)]
struct Conversation {
    events: BTreeMap<Moment, Event>,
    titles: BTreeMap<Moment, String>,
    spans: BTreeMap<String, Vec<Span>>,
}

/// Members and titles of every conversation of an archive. Its memory grows with the changes of members only.
#[derive(Debug, Default)]
pub struct Membership {
    conversations: HashMap<String, Conversation>,
}

impl Membership {
    /// Reads the archive's control records, and no others: lines are parsed only if they have a `control` object.
    pub fn of(archive: &Archive) -> Result<(Self, Vec<BadLine>), SourceError> {
        let mut membership = Self::default();
        let mut bad = Vec::new();
        let control = [Finder::new(CONTROL)];
        for file in archive.indexes() {
            let mut pieces = archive.pieces(file)?;
            while let Some(piece) = pieces.next_piece()? {
                let Piece::Block(block) = piece else { continue };
                for (place, line) in block.lines_with(&control) {
                    match Record::parse(line) {
                        Ok(record) => membership.add(&record, place),
                        Err(fault) => bad.push(BadLine { place, fault }),
                    }
                }
            }
        }
        membership.settle();
        Ok((membership, bad))
    }

    /// Takes note of a record, in any order; other records than changes are passed over. Call [`Self::settle`] after the last.
    pub fn add(&mut self, record: &Record, place: Place) {
        let (event, title) = match &record.body {
            Body::State(state) if state.action == "joined" => (Some(Event::Joined(state.members.clone())), None),
            Body::Members { added, removed } => {
                (Some(Event::Changed { added: added.clone(), removed: removed.clone() }), None)
            }
            Body::Left(users) => (Some(Event::Leaving(users.clone())), None),
            Body::Create(room) => (Some(Event::Claimed(room.members.clone())), room.title.clone()),
            Body::Modify(room) | Body::SavedItem(room, _) => (None, room.title.clone()),
            Body::State(_)
            | Body::Text(_)
            | Body::KeyVerification(_)
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
            | Body::Unknown => return,
        };
        let at = moment(record, place);
        let conversation = self.conversations.entry(record.conversation.clone()).or_default();
        if let Some(event) = event {
            conversation.events.insert(at, event);
        }
        if let Some(title) = title.filter(|title| !title.is_empty()) {
            conversation.titles.insert(at, title);
        }
    }

    /// Works out from when to when each user was a member.
    pub fn settle(&mut self) {
        for conversation in self.conversations.values_mut() {
            conversation.settle();
        }
    }

    /// The conversations with a change of members or a title.
    pub fn conversations(&self) -> impl Iterator<Item = &str> {
        self.conversations.keys().map(String::as_str)
    }

    /// Was `user` a member at this moment?
    pub fn is_member(&self, conversation: &str, user: &str, at: Moment) -> bool {
        let spans = self.conversations.get(conversation).and_then(|conversation| conversation.spans.get(user));
        spans.is_some_and(|spans| spans.iter().any(|(from, to)| (*from..=*to).contains(&at)))
    }

    /// Members at this moment, in order of their names.
    pub fn members(&self, conversation: &str, at: Moment) -> Vec<&str> {
        let Some(conversation) = self.conversations.get(conversation) else { return Vec::new() };
        let is_in = |spans: &[Span]| spans.iter().any(|(from, to)| (*from..=*to).contains(&at));
        conversation.spans.iter().filter(|(_, spans)| is_in(spans)).map(|(user, _)| user.as_str()).collect()
    }

    /// Everybody who ever was a member, in order of their names.
    pub fn ever(&self, conversation: &str) -> Vec<&str> {
        let spans = self.conversations.get(conversation).map(|conversation| &conversation.spans);
        spans.into_iter().flatten().map(|(user, _)| user.as_str()).collect()
    }

    /// From when to when a user was a member, both included; `u64::MAX`: still is.
    pub fn spans(&self, conversation: &str, user: &str) -> &[(Moment, Moment)] {
        let spans = self.conversations.get(conversation).and_then(|conversation| conversation.spans.get(user));
        spans.map_or(&[], Vec::as_slice)
    }

    /// The last title at or before this moment.
    pub fn title(&self, conversation: &str, at: Moment) -> Option<&str> {
        let titles = &self.conversations.get(conversation)?.titles;
        titles.range(..=at).next_back().map(|(_, title)| title.as_str())
    }

    /// Every title with the moment from which it was the title.
    pub fn titles(&self, conversation: &str) -> Vec<(Moment, &str)> {
        let titles = self.conversations.get(conversation).map(|conversation| &conversation.titles);
        titles.into_iter().flatten().map(|(at, title)| (*at, title.as_str())).collect()
    }

    /// The title, or the members' names where there is none: both of a direct conversation, else five and `+n`.
    pub fn shown_title(&self, conversation: &str, at: Moment) -> String {
        if let Some(title) = self.title(conversation, at) {
            return title.to_owned();
        }
        let names = self.members(conversation, at);
        let shown = names.get(..TITLE_NAMES_MAX).unwrap_or(&names).join(", ");
        match names.len().saturating_sub(TITLE_NAMES_MAX) {
            0 => shown,
            more => format!("{shown} +{more}"),
        }
    }

    /// Who could see a record: members at its moment, its sender and its receiver, in order of their names.
    pub fn could_see<'a>(&'a self, record: &'a Record, place: Place) -> Vec<&'a str> {
        let members = self.members(&record.conversation, moment(record, place));
        let named = std::iter::once(record.sender.as_str()).chain(record.receiver.as_deref());
        let all: BTreeSet<&str> = members.into_iter().chain(named.filter(|name| !name.is_empty())).collect();
        all.into_iter().collect()
    }

    /// Conversations that have this id, begin with it, or ever had a title for which `is_title` holds.
    pub fn titled(&self, is_title: impl Fn(&str) -> bool) -> BTreeSet<&str> {
        let has = |conversation: &Conversation| conversation.titles.values().any(|title| is_title(title));
        self.conversations.iter().filter(|(_, of)| has(of)).map(|(id, _)| id.as_str()).collect()
    }
}

impl Conversation {
    fn settle(&mut self) {
        let is_verified = |event: &Event| match event {
            Event::Joined(_) | Event::Changed { .. } => true,
            Event::Leaving(_) | Event::Claimed(_) => false,
        };
        let joined = self.events.values().any(|event| matches!(event, Event::Joined(_)));
        let has_seq = self.events.keys().all(|at| *at < PLACES_FROM);
        let verified_only = joined || has_seq && self.events.values().any(is_verified);
        let mut open: BTreeMap<&str, Moment> = BTreeMap::new();
        let mut spans: BTreeMap<String, Vec<Span>> = BTreeMap::new();
        // who said that they leave, and when
        let mut leaving: BTreeMap<&str, Moment> = BTreeMap::new();
        let mut close = |open: &mut BTreeMap<&str, Moment>, user: &str, to: Moment| {
            if let Some(from) = open.remove(user) {
                spans.entry(user.to_owned()).or_default().push((from, to));
            }
        };
        for (at, event) in &self.events {
            match event {
                Event::Claimed(_) if verified_only => {}
                // all of them, and nobody else
                Event::Joined(members) | Event::Claimed(members) => {
                    let gone: Vec<&str> =
                        open.keys().copied().filter(|user| !members.iter().any(|member| member == user)).collect();
                    for user in gone {
                        close(&mut open, user, leaving.remove(user).unwrap_or(at.saturating_sub(1)));
                    }
                    for user in members {
                        open.entry(user).or_insert(*at);
                    }
                }
                Event::Changed { added, removed } => {
                    for user in removed {
                        leaving.remove(user.as_str());
                        // the record names its removed users even where nothing says since when they were members
                        open.entry(user).or_insert(*at);
                        close(&mut open, user, *at);
                    }
                    for user in added {
                        leaving.remove(user.as_str());
                        open.entry(user).or_insert(*at);
                    }
                }
                Event::Leaving(users) => {
                    for user in users {
                        open.entry(user).or_insert(*at);
                        leaving.insert(user, *at);
                    }
                }
            }
        }
        for (user, at) in leaving {
            close(&mut open, user, at);
        }
        let rest: Vec<&str> = open.keys().copied().collect();
        for user in rest {
            close(&mut open, user, Moment::MAX);
        }
        self.spans = spans;
    }
}

#[cfg(test)]
mod tests;
