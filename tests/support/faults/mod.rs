//! Faults that real processes meet, as many as one wants: the tests of the gate take a few, a campaign takes all.
//!
//! Nothing here knows where the program is: it is a parameter. What is found wrong is not a panic but a line in [`Figures`].

pub mod bot;
pub mod calls;
pub mod cutter;
pub mod storm;
pub mod sweep;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;

/// What was tried, and what became of it.
#[derive(Debug, Default, Clone)]
pub struct Figures {
    /// Lives of the program that a fault met, or was to meet.
    pub runs: u64,
    /// Faults that struck.
    pub faults: u64,
    /// Faults whose place the program did not come to in that run.
    pub not_met: u64,
    /// Records that were owed, each compared with the archive.
    pub obligations: u64,
    /// Each promise that was broken, and by what.
    pub broken: Vec<String>,
    /// Faults that struck, by kind.
    pub by_kind: BTreeMap<String, u64>,
    /// How the program ended after them: exit code and error, and how often.
    pub ends: BTreeMap<String, u64>,
}

impl Figures {
    /// Counts a fault that struck.
    pub fn struck(&mut self, kind: &str) {
        self.faults += 1;
        *self.by_kind.entry(kind.to_owned()).or_default() += 1;
    }

    /// Adds what another lane found.
    pub fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.faults += other.faults;
        self.not_met += other.not_met;
        self.obligations += other.obligations;
        self.broken.extend(other.broken);
        for (kind, times) in other.by_kind {
            *self.by_kind.entry(kind).or_default() += times;
        }
        for (end, times) in other.ends {
            *self.ends.entry(end).or_default() += times;
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, faults, not_met, obligations, broken, .. } = self;
        let broken = broken.len();
        write!(f, "{runs} runs, {faults} faults ({not_met} not met), {obligations} obligations, {broken} broken")
    }
}

/// Who is told how far it is.
pub type Progress<'a> = &'a (dyn Fn(&Figures) + Send + Sync);

/// What a check that failed has said.
pub fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}
