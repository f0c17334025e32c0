//! Which slices there are, and their parts.
//!
//! Two passes over the timeline, which gives items in the same order each time: the first counts how many items each part of each
//! slice has, the second fills the parts and hands each over when it has them all. Held are the parts that are being filled: one
//! or two where times go forward as messages do, up to a conversation where they are a sender's claims (`--time sent`).

use std::collections::BTreeMap;

use jiff::civil::Date;
use retaind_core::text::is_deceptive;
use retaind_reader::record::{Body, Record};
use retaind_reader::timeline::{Direction, Grouping, Item, Order, Timeline};

use crate::args::Slicing;
use crate::attachment::Attachment;
use crate::error::Error;
use crate::slice::{Context, Slice, participants, title};

/// Most events of a part: RSMF's readers advise at most 10,000.
pub(crate) const EVENTS_MAX: u64 = 8_000;
/// Most bytes of the records of a part, so that it fits memory.
const RECORD_BYTES_MAX: u64 = 64 << 20;
/// Most bytes of the files of a part, unless one alone has more: RSMF's readers refuse 2 GB.
const FILE_BYTES_MAX: u64 = 1_500_000_000;
/// Characters of a conversation's id in names of files.
const ID_CHARS: usize = 12;

/// Conversation, by the order of their first appearance, and day.
type Key = (usize, Option<Date>);

/// Events, bytes of records, bytes of files.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    events: u64,
    records: u64,
    files: u64,
}

impl Weight {
    fn of(item: &Item, context: &Context<'_>) -> Self {
        let mut weight = Self::default();
        for member in item.members() {
            let users = if let Body::Members { added, removed } = &member.record.body {
                added.len().saturating_add(removed.len())
            } else {
                1
            };
            let is_under = item.modifiers.iter().any(|modifier| modifier.place == member.place);
            let events = if is_under { 0 } else { u64::try_from(users.max(1)).unwrap_or(u64::MAX) };
            weight.events = weight.events.saturating_add(events);
            weight.records = weight.records.saturating_add(u64::from(member.place.bytes));
            for file in Attachment::of(&member.record, context.survey.archive()) {
                weight.files = weight.files.saturating_add(file.bytes);
            }
        }
        weight
    }

    fn plus(self, other: Self) -> Self {
        Self {
            events: self.events.saturating_add(other.events),
            records: self.records.saturating_add(other.records),
            files: self.files.saturating_add(other.files),
        }
    }

    fn is_too_much(self) -> bool {
        self.events > EVENTS_MAX || self.records > RECORD_BYTES_MAX || self.files > FILE_BYTES_MAX
    }
}

/// A slice while the plan is made: items of its parts.
#[derive(Debug, Default)]
struct Parts {
    items: Vec<usize>,
    last: Weight,
}

#[derive(Debug, Default)]
struct Keys {
    conversations: BTreeMap<(String, String), usize>,
}

impl Keys {
    fn of(&mut self, record: &Record, slicing: Slicing, context: &Context<'_>) -> Key {
        let network = record.network_id.clone().unwrap_or_default();
        let next = self.conversations.len();
        let conversation = *self.conversations.entry((network, record.conversation.clone())).or_insert(next);
        let day = match slicing {
            Slicing::ConversationDay => context.at(record).map(|at| at.to_zoned(context.zone.clone()).date()),
            Slicing::Conversation => None,
        };
        (conversation, day)
    }
}

/// Every slice, its number and the number of items of each part.
#[derive(Debug)]
pub(crate) struct Plan {
    slices: BTreeMap<Key, (usize, Vec<usize>)>,
    slicing: Slicing,
}

impl Plan {
    /// The first pass. It also takes note of the names of all users.
    pub(crate) fn of(context: &mut Context<'_>, slicing: Slicing) -> Result<Self, Error> {
        let mut slices: BTreeMap<Key, Parts> = BTreeMap::new();
        let mut keys = Keys::default();
        for item in timeline(context)? {
            let item = item?;
            let record = &item.message.record;
            let slice = slices.entry(keys.of(record, slicing, context)).or_default();
            let weight = Weight::of(&item, context);
            let sum = slice.last.plus(weight);
            match slice.items.last_mut() {
                Some(items) if !sum.is_too_much() => {
                    *items = items.saturating_add(1);
                    slice.last = sum;
                }
                Some(_) | None => {
                    slice.items.push(1);
                    slice.last = weight;
                }
            }
            for member in item.members().map(|member| &member.record) {
                context.people.know(&member.sender);
                member.receiver.iter().for_each(|user| context.people.know(user));
            }
        }
        let conversations: Vec<String> = context.survey.membership().conversations().map(str::to_owned).collect();
        for conversation in conversations {
            for user in context.survey.membership().ever(&conversation) {
                context.people.know(user);
            }
        }
        let numbered = slices.into_iter().enumerate();
        let slices = numbered.map(|(at, (key, parts))| (key, (at.saturating_add(1), parts.items))).collect();
        Ok(Self { slices, slicing })
    }

    /// Slices, and parts of slices.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.slices.len(), self.slices.values().map(|(_, parts)| parts.len()).sum())
    }

    /// The second pass: each part, complete.
    pub(crate) fn fill(
        &self,
        context: &Context<'_>,
        mut take: impl FnMut(Slice<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut open: BTreeMap<Key, (usize, Vec<Item>)> = BTreeMap::new();
        let mut keys = Keys::default();
        for item in timeline(context)? {
            let item = item?;
            let key = keys.of(&item.message.record, self.slicing, context);
            let Some((number, parts)) = self.slices.get(&key) else { continue };
            let (part, items) = open.entry(key).or_default();
            items.push(item);
            if parts.get(*part) != Some(&items.len()) {
                continue;
            }
            let items = std::mem::take(items);
            *part = part.saturating_add(1);
            let (at, last) = (*part, *part == parts.len());
            if last {
                open.remove(&key);
            }
            take(slice(context, *number, key.1, (at, parts.len()), items))?;
        }
        // what the second pass did not find again is not written, which the ledger will say
        Ok(())
    }
}

fn timeline<'a>(context: &Context<'a>) -> Result<Timeline<'a>, Error> {
    Ok(Timeline::of(context.survey, Order::Conversation, Direction::Forward, Grouping::Modifiers, |_| {})?)
}

fn slice<'a>(
    context: &'a Context<'a>,
    number: usize,
    day: Option<Date>,
    (part, parts): (usize, usize),
    items: Vec<Item>,
) -> Slice<'a> {
    let first = items.first().map(|item| &item.message.record);
    let conversation = first.map(|record| record.conversation.clone()).unwrap_or_default();
    let network = first.and_then(|record| record.network_id.clone()).unwrap_or_default();
    let participants = participants(context, &conversation, &network, &items);
    let title = title(context, &conversation, &items, &participants);
    let mut attachments = BTreeMap::new();
    for member in items.iter().flat_map(Item::members) {
        let files = Attachment::of(&member.record, context.survey.archive());
        if !files.is_empty() {
            attachments.insert((member.place.file, member.place.line), files);
        }
    }
    let id: String = conversation.chars().filter(char::is_ascii_alphanumeric).take(ID_CHARS).collect();
    let dated = day.map(|day| format!("{day}_")).unwrap_or_default();
    let parted = if parts > 1 { format!("_{part}of{parts}") } else { String::new() };
    let name = format!("{number:06}_{dated}{id}{parted}");
    Slice { context, name, conversation, network, title, day, part, parts, items, participants, attachments }
}

/// A title or name in one line, without what deceives.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if is_deceptive(c) { ' ' } else { c }).collect::<String>().trim().to_owned()
}
