//! What is missing in conversations: places that no record has, declared holes, and places that more than one record has.
//!
//! The first and the last place of a conversation say nothing about what was before and after. Only conversations are chosen by the
//! filter here: whoever leaves out records would find them missing.

use std::collections::BTreeMap;

use super::Listing;
use crate::command::{Error, Exit};
use crate::membership::Moment;
use crate::output::Sheet;
use crate::record::Body;

/// Ranges of places, merged.
#[derive(Debug, Default)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds `from` to `to`, both included. The result is what of it was there already.
    pub(super) fn add(&mut self, from: u64, to: u64) -> Vec<(u64, u64)> {
        let mut doubled = Vec::new();
        let (mut first, mut last) = (from, to);
        // those that begin at or before the end, up to one that ends well before the beginning
        while let Some((begin, end)) = self.0.range(..=to.saturating_add(1)).next_back().map(|(b, e)| (*b, *e))
            && end.saturating_add(1) >= from
        {
            let (low, high) = (begin.max(from), end.min(to));
            if low <= high {
                doubled.push((low, high));
            }
            first = first.min(begin);
            last = last.max(end);
            self.0.remove(&begin);
        }
        self.0.insert(first, last);
        doubled
    }

    /// What is between the ranges.
    pub(super) fn between(&self) -> Vec<(u64, u64)> {
        let next = self.0.keys().skip(1);
        self.0.values().zip(next).map(|(end, begin)| (end.saturating_add(1), begin.saturating_sub(1))).collect()
    }
}

#[derive(Debug, Default)]
struct Conversation {
    ranges: Ranges,
    holes: Vec<(u64, u64)>,
    doubled: Vec<(u64, u64)>,
}

const COLUMNS: [&str; 6] = ["conversation", "title", "what", "from_seq", "to_seq", "messages"];

pub(super) fn list(listing: &mut Listing<'_, '_>) -> Result<Exit, Error> {
    let survey = listing.survey;
    let mut conversations: BTreeMap<String, Conversation> = BTreeMap::new();
    listing.every(|_, record| {
        let Some(seq) = record.seq.filter(|_| survey.conversation_matches(record)) else { return };
        let network = record.network_id.as_deref().unwrap_or_default();
        let conversation = conversations.entry(format!("{}\0{network}", record.conversation)).or_default();
        let mut span = (seq, seq);
        if let Body::Hole { from_seq, to_seq, .. } = &record.body
            && from_seq <= to_seq
        {
            span = (*from_seq, *to_seq);
            conversation.holes.push(span);
        }
        let (from, to) = span;
        conversation.doubled.extend(conversation.ranges.add(from, to));
    })?;
    let membership = survey.membership();
    let mut sheet = Sheet::new(&mut *listing.run.out, listing.format, &COLUMNS)?;
    let mut exit = Exit::Done;
    for (id, conversation) in &conversations {
        let id = id.split('\0').next().unwrap_or(id);
        let title = membership.shown_title(id, Moment::MAX);
        let found = [
            ("gap", conversation.ranges.between()),
            ("hole", conversation.holes.clone()),
            ("doubled", conversation.doubled.clone()),
        ];
        for (what, spans) in found {
            for (from, to) in spans {
                exit = Exit::Findings;
                let messages = to.saturating_sub(from).saturating_add(1);
                sheet.row(&[id.into(), title.clone().into(), what.into(), from.into(), to.into(), messages.into()])?;
            }
        }
    }
    sheet.finish()?;
    Ok(exit)
}
