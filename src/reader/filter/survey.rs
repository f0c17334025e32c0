//! What must be known of the archive before a record can be judged.

use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use memchr::memmem::Finder;
use retaind_core::fault::{Fault, Faulty};

use super::{Filter, FilterError, Has, Role, nfc, texts};
use crate::membership::{CONTROL, Membership, moment};
use crate::people::Name;
use crate::record::{Body, Kind, Record};
use crate::source::{Archive, BadLine, Piece, Place, SourceError};

/// Shortest beginning of an id that stands for a conversation.
const PREFIX_CHARS_MIN: usize = 8;
/// Ids that an ambiguous beginning is answered with.
const IDS_SHOWN: usize = 3;

/// The archive cannot be surveyed.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// It cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The filter asks for what it does not have.
    #[error(transparent)]
    Filter(#[from] FilterError),
}

impl Faulty for SurveyError {
    fn fault(&self) -> Fault {
        match self {
            Self::Source(error) => error.fault(),
            Self::Filter(error) => error.fault(),
        }
    }
}

/// What is noted besides members and titles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notes {
    /// What the filter asks for.
    Asked,
    /// Whatever happened to a message.
    All,
}

/// Messages by a hash of conversation and id, 16 bytes each. Its keys are of this process, so that nobody can make two ids collide.
#[derive(Debug, Default)]
struct Messages {
    hashes: HashSet<u128>,
    keys: (RandomState, RandomState),
}

impl Messages {
    fn hash(&self, parts: &[&str]) -> u128 {
        (u128::from(self.keys.0.hash_one(parts)) << u64::BITS) | u128::from(self.keys.1.hash_one(parts))
    }

    fn insert(&mut self, parts: &[&str]) {
        self.hashes.insert(self.hash(parts));
    }

    fn contains(&self, parts: &[&str]) -> bool {
        !self.hashes.is_empty() && self.hashes.contains(&self.hash(parts))
    }
}

/// What one pass over an archive found out for a filter.
#[derive(Debug)]
pub struct Survey<'a> {
    filter: &'a Filter,
    archive: &'a Archive,
    membership: Membership,
    conversations: Option<BTreeSet<String>>,
    /// Messages with an edit by their own sender that matches the text; by sender as well.
    edited_to_match: Messages,
    edited: Messages,
    recalled: Messages,
    reacted: Messages,
    bad: Vec<BadLine>,
}

impl<'a> Survey<'a> {
    /// Reads control records for members and titles, and edits, recalls and reactions if the filter asks for them.
    pub fn of(archive: &'a Archive, filter: &'a Filter) -> Result<Self, SurveyError> {
        Self::noting(archive, filter, Notes::Asked)
    }

    /// The same, and knows of every message whether it was edited, recalled or reacted to.
    pub fn with_states(archive: &'a Archive, filter: &'a Filter) -> Result<Self, SurveyError> {
        Self::noting(archive, filter, Notes::All)
    }

    fn noting(archive: &'a Archive, filter: &'a Filter, notes: Notes) -> Result<Self, SurveyError> {
        let mut survey = Self {
            filter,
            archive,
            membership: Membership::default(),
            conversations: None,
            edited_to_match: Messages::default(),
            edited: Messages::default(),
            recalled: Messages::default(),
            reacted: Messages::default(),
            bad: Vec::new(),
        };
        let wants = |has| filter.has.contains(&has);
        let is_noting = notes == Notes::All
            || !filter.text.is_empty()
            || wants(Has::Edit)
            || wants(Has::Recall)
            || wants(Has::Reaction);
        // recalls have the first object, edits and reactions the second
        let objects = [Finder::new(CONTROL), Finder::new(b"\"edit\"")];
        let objects = objects.get(..if is_noting { 2 } else { 1 }).unwrap_or(&objects);
        for file in archive.indexes() {
            let mut pieces = archive.pieces(file)?;
            while let Some(piece) = pieces.next_piece()? {
                let Piece::Block(block) = piece else { continue };
                for (place, line) in block.lines_with(objects) {
                    match Record::parse(line) {
                        Ok(record) => {
                            survey.membership.add(&record, place);
                            if is_noting {
                                survey.note(&record);
                            }
                        }
                        Err(fault) => survey.bad.push(BadLine { place, fault }),
                    }
                }
            }
        }
        survey.membership.settle();
        survey.conversations = survey.resolve()?;
        Ok(survey)
    }

    /// Takes note of an edit, a recall or a reaction.
    fn note(&mut self, record: &Record) {
        let set = match record.kind() {
            Kind::Edit => &mut self.edited,
            Kind::Reaction => &mut self.reacted,
            Kind::Recall => &mut self.recalled,
            Kind::Text
            | Kind::KeyVerification
            | Kind::Create
            | Kind::Members
            | Kind::Left
            | Kind::Modify
            | Kind::SavedItem
            | Kind::DeleteRoom
            | Kind::Delete
            | Kind::Star
            | Kind::StarSync
            | Kind::Pin
            | Kind::State
            | Kind::File
            | Kind::Call
            | Kind::Location
            | Kind::LiveLocation
            | Kind::Read
            | Kind::Unreadable
            | Kind::Hole
            | Kind::Unknown => return,
        };
        for target in record.targets() {
            set.insert(&[&record.conversation, target]);
        }
        if let Body::Edit(edit) = &record.body
            && let Some(target) = &edit.target
            && !self.filter.text.is_empty()
            && self.filter.text.holds(&texts(record))
        {
            self.edited_to_match.insert(&[&record.conversation, target, &record.sender]);
        }
    }

    /// The conversations that the filter names; none if it names none.
    fn resolve(&self) -> Result<Option<BTreeSet<String>>, SurveyError> {
        let mut wanted: Option<BTreeSet<String>> = None;
        if let Some(pattern) = &self.filter.title {
            let titled = self.membership.titled(|title| pattern.is_match(&nfc(title)));
            wanted = Some(titled.into_iter().map(str::to_owned).collect());
        }
        let mut named = BTreeSet::new();
        for given in &self.filter.conversations {
            named.extend(self.named(given)?);
        }
        if !self.filter.conversations.is_empty() {
            wanted = Some(match wanted {
                Some(titled) => titled.intersection(&named).cloned().collect(),
                None => named,
            });
        }
        Ok(wanted)
    }

    fn named(&self, given: &str) -> Result<BTreeSet<String>, SurveyError> {
        let is_id = given.len() >= PREFIX_CHARS_MIN && given.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let ids = if is_id { self.beginning_with(given)? } else { BTreeSet::new() };
        if ids.contains(given) {
            return Ok(BTreeSet::from([given.to_owned()]));
        }
        let title = nfc(given);
        let titled = self.membership.titled(|is| nfc(is) == title);
        if ids.len() > 1 {
            let shown: Vec<&str> = ids.iter().take(IDS_SHOWN).map(String::as_str).collect();
            return Err(FilterError::Ambiguous { given: given.to_owned(), ids: shown.join(", ") }.into());
        }
        let found: BTreeSet<String> = ids.into_iter().chain(titled.into_iter().map(str::to_owned)).collect();
        if found.is_empty() {
            return Err(FilterError::NoConversation { given: given.to_owned() }.into());
        }
        Ok(found)
    }

    /// Every id in the archive that begins so.
    fn beginning_with(&self, prefix: &str) -> Result<BTreeSet<String>, SourceError> {
        let mut ids = BTreeSet::new();
        let finder = [Finder::new(prefix.as_bytes())];
        for file in self.archive.indexes() {
            let mut pieces = self.archive.pieces(file)?;
            while let Some(piece) = pieces.next_piece()? {
                let Piece::Block(block) = piece else { continue };
                for (_, line) in block.lines_with(&finder) {
                    let is_known = |id: &String| Finder::new(id.as_bytes()).find(line).is_some();
                    // the id is in each line of the conversation: one is enough, but another id may begin so as well
                    if ids.iter().any(is_known) {
                        continue;
                    }
                    let record = Record::parse(line).ok();
                    ids.extend(record.map(|record| record.conversation).filter(|id| id.starts_with(prefix)));
                }
            }
        }
        Ok(ids)
    }

    /// Does the record match the whole filter?
    pub fn matches(&self, record: &Record, place: Place) -> bool {
        let filter = self.filter;
        filter.holds_alone(record)
            && self.conversations.as_ref().is_none_or(|wanted| wanted.contains(&record.conversation))
            && filter.has.iter().all(|has| self.has(record, *has))
            && (filter.text.is_empty() || self.text_matches(record))
            && (!filter.person_given || filter.persons.iter().any(|name| self.is_involved(record, place, name)))
            && (filter.file.is_empty() || filter.file.holds(record, self.archive))
    }

    fn text_matches(&self, record: &Record) -> bool {
        self.filter.text.holds(&texts(record))
            || self.edited_to_match.contains(&[&record.conversation, &record.message_id, &record.sender])
    }

    /// Is its conversation wanted?
    pub fn conversation_matches(&self, record: &Record) -> bool {
        self.conversations.as_ref().is_none_or(|wanted| wanted.contains(&record.conversation))
            && (self.filter.kinds.is_empty() || self.filter.kinds.contains(&record.conversation_kind()))
    }

    /// Does the record have it? Of edits, recalls and reactions only what was noted is known.
    pub fn has(&self, record: &Record, has: Has) -> bool {
        let is_in = |set: &Messages| set.contains(&[&record.conversation, &record.message_id]);
        let kind = record.kind();
        match has {
            Has::Attachment => super::FileFacts::of(record).is_some(),
            Has::Link => match &record.body {
                Body::Text(text) => !text.links.is_empty(),
                Body::Edit(edit) => !edit.links.is_empty(),
                Body::KeyVerification(_)
                | Body::Create(_)
                | Body::Members { .. }
                | Body::Left(_)
                | Body::Modify(_)
                | Body::SavedItem(..)
                | Body::DeleteRoom
                | Body::Deletion { .. }
                | Body::Stars(_)
                | Body::StarSync
                | Body::Pin(_)
                | Body::State(_)
                | Body::File(_)
                | Body::Call(_)
                | Body::Location(_)
                | Body::LiveLocation { .. }
                | Body::Reaction { .. }
                | Body::Read { .. }
                | Body::Unreadable(_)
                | Body::Hole { .. }
                | Body::Unknown => false,
            },
            Has::Edit => kind == Kind::Edit || is_in(&self.edited),
            Has::Recall => kind == Kind::Recall || is_in(&self.recalled),
            Has::Reaction => kind == Kind::Reaction || is_in(&self.reacted),
            Has::Hole => kind == Kind::Hole,
            Has::Unreadable => kind == Kind::Unreadable,
        }
    }

    fn is_involved(&self, record: &Record, place: Place, name: &Name) -> bool {
        let user = name.user.as_str();
        let author = || record.sender == user;
        let receiver = || record.receiver.as_deref() == Some(user);
        let member = || self.membership.is_member(&record.conversation, user, moment(record, place));
        let mentioned = || record.mentioned().contains(&user) || self.is_in_call(record, user);
        let is = match self.filter.role {
            Role::Any => author() || receiver() || mentioned() || member(),
            Role::Author => author(),
            Role::Receiver => receiver(),
            Role::Member => member(),
            Role::Mentioned => mentioned(),
        };
        is && name.is_at(record.at(self.filter.clock))
    }

    fn is_in_call(&self, record: &Record, user: &str) -> bool {
        let Some(participants) = record.call_participants() else { return false };
        let hash = crate::people::hash_of(user);
        participants.iter().any(|participant| participant.eq_ignore_ascii_case(&hash))
    }

    /// What a raw line must contain to match, unless it has an escape `\u`; none if any line may match.
    pub fn needle(&self) -> Option<&str> {
        if self.edited_to_match.hashes.is_empty()
            && let Some(needle) = self.filter.text.needle()
        {
            return Some(needle);
        }
        let conversations = self.conversations.as_ref()?;
        conversations.first().filter(|_| conversations.len() == 1).map(String::as_str)
    }

    /// Who was a member when, and what conversations were called.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The archive.
    pub fn archive(&self) -> &'a Archive {
        self.archive
    }

    /// The filter.
    pub fn filter(&self) -> &'a Filter {
        self.filter
    }

    /// Lines that look like control records and cannot be read.
    pub fn bad_lines(&self) -> &[BadLine] {
        &self.bad
    }
}
