//! Limits that somebody outside can meet, and how often each was met.
//!
//! A room declares its limits as constants and lists them in its `LIMITS`; the list of all rooms is the table in
//! docs/limits.md. What is refused because of a limit is counted under its name, and never costs a line of the log.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Stable, in snake case: the label of its counter.
    pub name: &'static str,
    /// How much is allowed; the default where an operator may set it.
    pub value: u64,
    /// Of the value, in the plural: `connections of one address`, `bytes`, `seconds`.
    pub unit: &'static str,
    /// What would happen without it.
    pub why: &'static str,
    /// The variable that sets it, if one does.
    pub variable: Option<&'static str>,
}

impl Limit {
    /// A count of things in memory as a value.
    pub const fn value_of(count: usize) -> u64 {
        // no target has more than 64 bits
        count as u64
    }

    /// The value as a count of things in memory.
    pub const fn count(&self) -> usize {
        // a target whose `usize` is smaller than the value gets less, never more
        if self.value > usize::MAX as u64 { usize::MAX } else { self.value as usize }
    }
}

/// How often each limit was met since the start.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<BTreeMap<&'static str, u64>>);

impl Refusals {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on these are among the [`totals`](Self::totals), though nothing was refused.
    pub fn expect(&self, limits: &[Limit]) {
        let mut counts = self.lock();
        for limit in limits {
            counts.entry(limit.name).or_default();
        }
    }

    /// Something was refused, or ended, because of the limit.
    pub fn count(&self, limit: &Limit) {
        let mut counts = self.lock();
        let count = counts.entry(limit.name).or_default();
        *count = count.saturating_add(1);
    }

    /// Because of this limit.
    pub fn of(&self, limit: &Limit) -> u64 {
        self.lock().get(limit.name).copied().unwrap_or_default()
    }

    /// What was counted since the last call with the same `before`: names and how much more, in the order of the names.
    pub fn grown(&self, before: &mut BTreeMap<&'static str, u64>) -> Vec<(&'static str, u64)> {
        let now = self.lock().clone();
        let more = |(name, count): (&&'static str, &u64)| {
            let more = count.saturating_sub(before.get(name).copied().unwrap_or_default());
            (more > 0).then_some((*name, more))
        };
        let grown = now.iter().filter_map(more).collect();
        *before = now;
        grown
    }

    /// Names of limits and their counts, in the order of the names.
    pub fn totals(&self) -> Vec<(&'static str, u64)> {
        self.lock().iter().map(|(name, count)| (*name, *count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: Limit = Limit { name: "places", value: 3, unit: "chairs", why: "the room is small", variable: None };
    const TIME: Limit = Limit { name: "a_time", ..PLACES };

    #[test]
    fn refusals_are_counted_by_name_and_expected_ones_begin_at_zero() {
        let refusals = Refusals::default();
        refusals.count(&PLACES);
        refusals.count(&PLACES);
        refusals.expect(&[PLACES, TIME]);
        assert_eq!(refusals.totals(), [("a_time", 0), ("places", 2)]);
        assert_eq!((refusals.of(&PLACES), refusals.of(&TIME)), (2, 0));
        let mut before = BTreeMap::new();
        assert_eq!(refusals.grown(&mut before), [("places", 2)]);
        refusals.count(&TIME);
        assert_eq!(refusals.grown(&mut before), [("a_time", 1)]);
        assert_eq!(refusals.grown(&mut before), []);
    }
}
