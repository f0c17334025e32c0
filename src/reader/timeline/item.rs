//! A message with what changed it.

use super::key::Slot;
use crate::record::{Body, Change, Kind, Record};
use crate::source::Place;

/// A record in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Where it lies.
    pub place: Place,
    /// The record.
    pub record: Record,
    /// Does the filter want it by itself? A modifier is also there because its message is wanted.
    pub is_wanted: bool,
    /// May it be another message's as well?
    pub is_ambiguous: bool,
    /// Is there a different record of the same network, conversation and `seq`?
    pub is_conflict: bool,
    pub(super) slot: Slot,
}

/// A version of a message's text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Version<'a> {
    /// The text.
    pub text: &'a str,
    /// The record that has it.
    pub of: &'a Member,
}

/// A message and its modifiers in the order in which they came; or a record that is no message; or a modifier that stands alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The message.
    pub message: Member,
    /// Others of the same place, which differ: each is a conflict.
    pub conflicts: Vec<Member>,
    /// Edits, reactions, recalls, deletions, receipts, stars.
    pub modifiers: Vec<Member>,
    /// Is it a modifier whose message is not in the archive or not wanted?
    pub is_outside: bool,
}

/// A reaction that was not taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaction<'a> {
    /// The sign.
    pub reaction: &'a str,
    /// Whose, in the order in which they reacted.
    pub users: Vec<&'a str>,
}

impl Item {
    pub(super) fn of(message: Member, others: Vec<Member>, first: Slot) -> Self {
        let (modifiers, conflicts) = others.into_iter().partition(|member| member.slot.is_modifier);
        Self { message, conflicts, modifiers, is_outside: first.is_outside }
    }

    /// Every version of its text, the original first. Only the message's own sender can change it.
    pub fn versions(&self) -> Vec<Version<'_>> {
        let mut versions = Vec::new();
        if let Body::Text(text) = &self.message.record.body {
            versions.push(Version { text: &text.text, of: &self.message });
        }
        for of in &self.modifiers {
            if let Body::Edit(edit) = &of.record.body
                && let Some(text) = &edit.text
                && of.record.sender == self.message.record.sender
            {
                versions.push(Version { text, of });
            }
        }
        versions
    }

    /// The record that recalled it for everybody.
    pub fn recall(&self) -> Option<&Member> {
        self.modifiers.iter().find(|member| member.record.kind() == Kind::Recall)
    }

    /// Reactions that were not taken back, each with its users.
    pub fn reactions(&self) -> Vec<Reaction<'_>> {
        let mut reactions: Vec<Reaction<'_>> = Vec::new();
        for member in &self.modifiers {
            let Body::Reaction { reaction: sign, change, .. } = &member.record.body else { continue };
            let user = member.record.sender.as_str();
            let at = reactions.iter_mut().find(|reaction| reaction.reaction == sign);
            match (change, at) {
                (Change::Added, Some(reaction)) if reaction.users.contains(&user) => {}
                (Change::Added, Some(reaction)) => reaction.users.push(user),
                (Change::Added, None) => reactions.push(Reaction { reaction: sign, users: vec![user] }),
                (Change::Removed, Some(reaction)) => reaction.users.retain(|of| *of != user),
                (Change::Removed, None) => {}
            }
        }
        reactions.retain(|reaction| !reaction.users.is_empty());
        reactions
    }

    /// All its records: the message, its conflicts, its modifiers.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(&self.message).chain(&self.conflicts).chain(&self.modifiers)
    }
}
