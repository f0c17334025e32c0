//! Whether the messages of each conversation are all there.

use std::collections::{BTreeMap, BTreeSet};

use retaind_evidence::entry::{ConversationRange, LogId};

use crate::finding::{Code, Finding, Findings};

/// One stretch of a conversation, of one log. Stretches that follow each other are kept as one.
#[derive(Debug, Clone)]
struct Stretch {
    log: LogId,
    /// Of the entry that began it.
    entry: u64,
    first: u64,
    last: u64,
    damage: Option<usize>,
}

/// The ranges of all conversations, merged as they come, so that memory does not grow with the number of entries.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    stretches: BTreeMap<String, Vec<Stretch>>,
    holes: Vec<(LogId, u64, String, u64, u64)>,
}

impl Ranges {
    pub(crate) fn add(&mut self, log: LogId, entry: u64, damage: Option<usize>, range: &ConversationRange) {
        let (first, last) = (range.first.0, range.last.0);
        for [from, to] in &range.holes {
            self.holes.push((log, entry, range.id.clone(), from.0, to.0));
        }
        let stretches = self.stretches.entry(range.id.clone()).or_default();
        let follows = stretches.iter_mut().rev().find(|stretch| stretch.log == log).filter(|stretch| {
            // a message whose records are in two files ends one and begins the next
            let next = stretch.last.saturating_add(1);
            (first == next || first == stretch.last) && last >= stretch.last && stretch.damage == damage
        });
        match follows {
            Some(stretch) => stretch.last = last,
            None => stretches.push(Stretch { log, entry, first, last, damage }),
        }
    }

    pub(crate) fn conversations(&self) -> u64 {
        u64::try_from(self.stretches.len()).unwrap_or(u64::MAX)
    }

    /// Gaps, overlaps and recorded holes. `declared`: findings by which the bot explains an overlap.
    pub(crate) fn judge(
        mut self,
        removed_from: &BTreeSet<String>,
        takers: &[usize],
        declared: &[usize],
        findings: &mut Findings,
    ) {
        for (log, entry, conversation, from, to) in &self.holes {
            let finding = Finding::new(Code::Hole, conversation).of(*log, *entry);
            findings.add(finding.instead(format!("messages {from} to {to}"), "nothing from the network"));
        }
        for (conversation, stretches) in &mut self.stretches {
            stretches.sort_by_key(|stretch| (stretch.first, stretch.last));
            let mut stretches = stretches.iter();
            let Some(begin) = stretches.next() else { continue };
            let (mut last, mut before) = (begin.last, begin);
            for stretch in stretches {
                let causes = || stretch.damage.iter().chain(&before.damage).copied().collect::<Vec<_>>();
                let at = Finding::new(Code::Gap, conversation).of(stretch.log, stretch.entry);
                if stretch.first > last.saturating_add(1) {
                    let to = stretch.first.saturating_sub(1);
                    let mut finding = at.instead(format!("messages {} to {to}", last.saturating_add(1)), "nothing");
                    if removed_from.contains(conversation) {
                        finding.code = Code::Hole;
                        (finding.severity, finding.says) =
                            (Code::Hole.severity(), "the bot was not in the conversation");
                    }
                    findings.add(finding.because(takers.iter().copied().chain(causes())));
                } else if stretch.first <= last {
                    let mut finding = at.instead(
                        format!("messages from {} on", last.saturating_add(1)),
                        format!("messages from {} on, again", stretch.first),
                    );
                    finding.code = Code::RolledBackState;
                    (finding.severity, finding.says) = (finding.code.severity(), finding.code.says());
                    findings.add(finding.because(declared.iter().copied().chain(causes())));
                }
                if stretch.last >= last {
                    (last, before) = (stretch.last, stretch);
                }
            }
        }
    }
}
