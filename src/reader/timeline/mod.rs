//! Records in order, and what changes a message under that message.
//!
//! One pass over the archive writes a key for each record that is wanted and for each edit, reaction, recall, deletion, receipt and
//! star. The keys are sorted in a temporary file, so that a modifier finds its message in whatever segment that lies, and the
//! records are then read back in order. Memory holds the names of conversations and one message with its modifiers.
//!
//! - A modifier whose message is not wanted, or not in the archive, stands alone and is marked [`Item::is_outside`].
//! - A receipt names its message by the time of sending alone. Where two messages have one time, it is under both, and marked
//!   [`Member::is_ambiguous`]; so is any modifier of an id that two messages have.
//! - A modifier of a modifier (a recalled reaction, say) stands alone.
//! - Records that are byte-equal are one. Different ones with the same network, conversation and `seq` are all there, marked
//!   [`Member::is_conflict`].

mod item;
mod key;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

pub use self::item::{Item, Member, Reaction, Version};
use self::key::{Link, Slot};
use crate::filter::Survey;
use crate::membership::moment;
use crate::record::{Body, Kind, Record};
use crate::sort::{Sorted, Sorter};
use crate::source::{BadLine, Entry, SourceError};

/// Messages of one id, or of one time, that a modifier is put under; of more, the first ones. It keeps a sender who gives the same
/// id to all messages from making the timeline as large as their square.
const MESSAGES_MAX: usize = 16;

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Order {
    /// Conversations as they first appear, each in the order of its messages
    #[default]
    Conversation,
    /// By the time of `--time`
    Time,
}

/// Which end comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// The oldest first.
    #[default]
    Forward,
    /// The newest first; modifiers stay in the order in which they came.
    Backward,
}

/// Whether modifiers are put under their message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grouping {
    /// Each record by itself.
    #[default]
    Single,
    /// Modifiers under their message.
    Modifiers,
}

/// Is it a record that changes or marks a message, which it names?
pub fn is_modifier(record: &Record) -> bool {
    matches!(record.kind(), Kind::Edit | Kind::Reaction | Kind::Recall | Kind::Delete | Kind::Star | Kind::Read)
}

/// The wanted records of an archive in order.
#[derive(Debug)]
pub struct Timeline<'a> {
    survey: &'a Survey<'a>,
    slots: Sorted<{ Slot::BYTES }>,
    /// Read ahead: the first slot of the next item.
    next: Option<Slot>,
    bad: Vec<BadLine>,
    /// Wanted records, doubled ones counted twice.
    records: u64,
}

#[derive(Debug, Default)]
struct Conversations(HashMap<String, u32>);

impl Conversations {
    fn number(&mut self, network: Option<&str>, conversation: &str) -> u32 {
        // an id is unique in its network only
        let name = format!("{}/{conversation}", network.unwrap_or_default());
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        *self.0.entry(name).or_insert(next)
    }
}

impl<'a> Timeline<'a> {
    /// Reads the archive once. `seen` is called with the bytes of each line as it passes, for progress.
    pub fn of(
        survey: &'a Survey<'a>,
        order: Order,
        direction: Direction,
        grouping: Grouping,
        mut seen: impl FnMut(u64),
    ) -> Result<Self, SourceError> {
        let (archive, clock) = (survey.archive(), survey.filter().clock());
        let mut links = Sorter::<{ Link::BYTES }>::new(archive.work());
        let mut slots = Sorter::<{ Slot::BYTES }>::new(archive.work());
        let mut conversations = Conversations::default();
        let (mut bad, mut records) = (Vec::new(), 0_u64);
        for entry in archive.entries() {
            let (place, record) = match entry? {
                Entry::Record(place, record) => (place, record),
                Entry::Bad(line) => {
                    bad.push(line);
                    continue;
                }
            };
            seen(u64::from(place.bytes).saturating_add(1));
            let wanted = survey.matches(&record, place);
            records = records.saturating_add(u64::from(wanted));
            let time = match order {
                Order::Conversation => 0,
                Order::Time => key::ordered(record.at(clock)),
            };
            let conversation = conversations.number(record.network_id.as_deref(), &record.conversation);
            let slot = Slot::alone(time, conversation, moment(&record, place), place, wanted);
            let slot = match direction {
                Direction::Forward => slot,
                Direction::Backward => slot.reversed(),
            };
            match grouping {
                Grouping::Single if wanted => slots.push(slot.encode())?,
                Grouping::Single => {}
                Grouping::Modifiers => link(&record, slot, &mut links, &mut slots)?,
            }
        }
        join(links.finish()?, &mut slots)?;
        let mut timeline = Self { survey, slots: slots.finish()?, next: None, bad, records };
        timeline.next = timeline.next_slot()?;
        Ok(timeline)
    }

    /// Lines that are not records.
    pub fn bad_lines(&self) -> &[BadLine] {
        &self.bad
    }

    /// Wanted records of the archive, those that are there twice counted twice.
    pub fn records(&self) -> u64 {
        self.records
    }

    fn next_slot(&mut self) -> Result<Option<Slot>, SourceError> {
        Ok(self.slots.next_key()?.map(Slot::decode))
    }

    /// The next message with its modifiers, or record.
    pub fn next_item(&mut self) -> Result<Option<Item>, SourceError> {
        let Some(first) = self.next.take() else { return Ok(None) };
        let mut message = self.read(first)?;
        let mut others: Vec<Member> = Vec::new();
        loop {
            self.next = self.next_slot()?;
            let Some(slot) = self.next.filter(|slot| slot.is_with(&first)) else { break };
            let mut member = self.read(slot)?;
            let is_same = |other: &&mut Member| other.slot.is_same_record(&slot);
            let before = others.iter_mut().rev().take_while(is_same);
            let mut before: Vec<&mut Member> = before.chain(std::iter::once(&mut message).filter(is_same)).collect();
            // there twice, or a record with two stars of one message
            if before.iter().any(|other| other.record.raw == member.record.raw) {
                continue;
            }
            member.is_conflict = !before.is_empty();
            before.iter_mut().for_each(|other| other.is_conflict = true);
            others.push(member);
        }
        Ok(Some(Item::of(message, others, first)))
    }

    fn read(&self, slot: Slot) -> Result<Member, SourceError> {
        let record = self.survey.archive().record(slot.place)?;
        Ok(Member {
            place: slot.place,
            record,
            is_wanted: slot.is_wanted,
            is_ambiguous: slot.is_ambiguous,
            is_conflict: false,
            slot,
        })
    }
}

impl Iterator for Timeline<'_> {
    type Item = Result<Item, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_item().transpose()
    }
}

/// Writes what a record is to others: the place of its id and its time of sending, or the id or time that it names.
fn link(
    record: &Record,
    slot: Slot,
    links: &mut Sorter<{ Link::BYTES }>,
    slots: &mut Sorter<{ Slot::BYTES }>,
) -> Result<(), SourceError> {
    if let Body::Read { sent_at: Some(sent_at), .. } = &record.body {
        return links.push(Link::modifier(key::time_id(*sent_at), slot).encode());
    }
    if is_modifier(record) {
        let targets = record.targets();
        for target in &targets {
            links.push(Link::modifier(key::message_id(target), slot).encode())?;
        }
        return if targets.is_empty() && slot.is_wanted { slots.push(slot.encode()) } else { Ok(()) };
    }
    if !slot.is_wanted {
        return Ok(());
    }
    slots.push(slot.encode())?;
    if !record.message_id.is_empty() {
        links.push(Link::message(key::message_id(&record.message_id), slot).encode())?;
    }
    let is_read =
        matches!(record.kind(), Kind::Text | Kind::File | Kind::Location | Kind::Call | Kind::KeyVerification);
    match record.msg_ts {
        Some(sent) if is_read => links.push(Link::message(key::time_id(sent), slot).encode()),
        Some(_) | None => Ok(()),
    }
}

/// Gives each modifier the place of its message.
fn join(mut links: Sorted<{ Link::BYTES }>, slots: &mut Sorter<{ Slot::BYTES }>) -> Result<(), SourceError> {
    // messages of one id in one conversation: one, unless somebody gave two the same
    let mut messages: Vec<Link> = Vec::new();
    while let Some(link) = links.next_key()?.map(Link::decode) {
        if messages.first().is_some_and(|message| !message.is_same_target(&link)) {
            messages.clear();
        }
        if !link.is_modifier {
            // one that is in the archive twice is one; and no more are kept than are used
            if messages.len() <= MESSAGES_MAX
                && messages.last().is_none_or(|message| message.slot.moment != link.slot.moment)
            {
                messages.push(link);
            }
            continue;
        }
        for message in messages.iter().take(MESSAGES_MAX) {
            slots.push(link.slot.under(&message.slot, messages.len() > 1).encode())?;
        }
        if messages.is_empty() && link.slot.is_wanted {
            slots.push(Slot { is_outside: true, ..link.slot }.encode())?;
        }
    }
    Ok(())
}
