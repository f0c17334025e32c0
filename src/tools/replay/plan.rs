//! What to do for the events of a room: who is there from the start, who says what, who comes and goes.
//!
//! Pure. A log starts in the middle of a conversation and misses things, so a plan is made of the whole room: whoever
//! acts before having joined was there from the start. What contradicts the membership so far is left out or corrected,
//! and counted.

use std::collections::HashSet;

use super::corpus::{Event, Room, What};
use retaind_protocol::ids::UserName;

/// Users who are added by one commit: their key packages fit a frame.
const ADDED_AT_ONCE_MAX: usize = 1000;

/// Which membership changes share a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// None: a commit an event.
    Exact,
    /// Those without a text in between. Fewer commits, fewer records.
    Consecutive,
}

/// A room, ready to be played.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its name in the corpus.
    pub room: String,
    /// Everybody who is named in it.
    pub users: Vec<UserName>,
    /// Members from the start; the first one creates the room. Not empty.
    pub initial: Vec<UserName>,
    /// When the room's first event was logged.
    pub begins_at_micros: i64,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// What the log said too much.
    pub redundant: Redundant,
}

/// One message or commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A member, who is not alone by then, says something.
    Text {
        /// As logged, microseconds since 1970 UTC.
        at_micros: i64,
        /// The sender.
        user: UserName,
        /// The words.
        text: String,
    },
    /// A commit. A member stays who can make it.
    Members {
        /// As logged, of the first event.
        at_micros: i64,
        /// Who comes; not members before.
        added: Vec<UserName>,
        /// Who goes; members before.
        removed: Vec<UserName>,
    },
}

/// Events that contradict the membership so far, and what was made of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Redundant {
    /// Joins of members: left out.
    pub joins_of_members: u64,
    /// Leaves of people who were not there: left out.
    pub leaves_of_absent: u64,
    /// Renames of people who were not there: the new name joins, if it is not there already.
    pub renames_of_absent: u64,
    /// Renames to the name of a member: the old name leaves.
    pub renames_to_members: u64,
    /// Texts of people who were not there any more: they join first.
    pub texts_of_absent: u64,
    /// Leaves of the only member: left out, because nobody would be left to commit them.
    pub leaves_of_last: u64,
}

impl Redundant {
    /// Adds another room's.
    pub fn add(&mut self, other: &Self) {
        self.joins_of_members += other.joins_of_members;
        self.leaves_of_absent += other.leaves_of_absent;
        self.renames_of_absent += other.renames_of_absent;
        self.renames_to_members += other.renames_to_members;
        self.texts_of_absent += other.texts_of_absent;
        self.leaves_of_last += other.leaves_of_last;
    }
}

/// Plans a room.
pub(crate) fn plan(room: Room, grouping: Grouping) -> Plan {
    let mut users: Vec<UserName> = room.users().into_iter().collect();
    users.sort_unstable();
    let mut initial = initial(&room.events);
    let begins_at_micros = room.events.first().map(|event| event.at_micros).unwrap_or_default();
    // beyond what one commit can add, they come right after the room is made
    let late = initial.split_off(initial.len().min(ADDED_AT_ONCE_MAX));
    let mut planner = Planner {
        grouping,
        members: initial.iter().cloned().collect(),
        group: Group::default(),
        steps: Vec::new(),
        redundant: Redundant::default(),
    };
    for user in late {
        planner.change(begins_at_micros, Some(user), None);
        if planner.group.added.len() >= ADDED_AT_ONCE_MAX {
            planner.flush();
        }
    }
    planner.flush();
    for event in room.events {
        planner.event(event);
    }
    planner.flush();
    let Planner { steps, redundant, .. } = planner;
    Plan { room: room.name, users, initial, begins_at_micros, steps, redundant }
}

/// Whoever acts before joining (or before somebody else took the name), in order; if there is nobody, whoever joins
/// first makes the room.
fn initial(events: &[Event]) -> Vec<UserName> {
    let mut known = HashSet::new();
    let mut initial = Vec::new();
    for event in events {
        let new = known.insert(&event.user);
        match &event.what {
            What::Join => {}
            What::Text(_) | What::Leave | What::Rename(_) if new => initial.push(event.user.clone()),
            What::Text(_) | What::Leave | What::Rename(_) => {}
        }
        if let What::Rename(to) = &event.what {
            known.insert(to);
        }
    }
    if initial.is_empty() {
        initial.extend(events.first().map(|event| event.user.clone()));
    }
    initial
}

#[derive(Default)]
struct Group {
    at_micros: i64,
    added: Vec<UserName>,
    removed: Vec<UserName>,
    /// Members before the group.
    before: usize,
}

struct Planner {
    grouping: Grouping,
    members: HashSet<UserName>,
    group: Group,
    steps: Vec<Step>,
    redundant: Redundant,
}

impl Planner {
    fn event(&mut self, Event { at_micros, user, what }: Event) {
        let here = self.members.contains(&user);
        match what {
            What::Text(text) => {
                if !here {
                    self.redundant.texts_of_absent += 1;
                    self.change(at_micros, Some(user.clone()), None);
                }
                self.flush();
                self.steps.push(Step::Text { at_micros, user, text });
            }
            What::Join if here => self.redundant.joins_of_members += 1,
            What::Join => self.change(at_micros, Some(user), None),
            What::Leave if !here => self.redundant.leaves_of_absent += 1,
            What::Leave if self.members.len() == 1 => self.redundant.leaves_of_last += 1,
            What::Leave => self.change(at_micros, None, Some(user)),
            What::Rename(to) => {
                let there = self.members.contains(&to);
                match (here, there) {
                    // also a rename to the same name
                    (true, true) => {
                        self.redundant.renames_to_members += 1;
                        if to != user {
                            self.change(at_micros, None, Some(user));
                        }
                    }
                    (true, false) => self.change(at_micros, Some(to), Some(user)),
                    (false, there) => {
                        self.redundant.renames_of_absent += 1;
                        if !there {
                            self.change(at_micros, Some(to), None);
                        }
                    }
                }
            }
        }
        if self.grouping == Grouping::Exact {
            self.flush();
        }
    }

    fn change(&mut self, at_micros: i64, added: Option<UserName>, removed: Option<UserName>) {
        // a commit names everybody once, and somebody who was there before must be left to make it
        let named = |user: &UserName| self.group.added.contains(user) || self.group.removed.contains(user);
        let again = added.as_ref().is_some_and(named) || removed.as_ref().is_some_and(named);
        let last = removed.is_some() && self.group.before <= self.group.removed.len() + 1;
        if again || last {
            self.flush();
        }
        if added.is_some() && removed.is_some() && self.members.len() == 1 {
            // alone: the new name has to be there before the old one can go
            self.change(at_micros, added, None);
            self.flush();
            return self.change(at_micros, None, removed);
        }
        if self.group.added.is_empty() && self.group.removed.is_empty() {
            self.group.at_micros = at_micros;
            self.group.before = self.members.len();
        }
        if let Some(user) = removed {
            self.members.remove(&user);
            self.group.removed.push(user);
        }
        if let Some(user) = added {
            self.members.insert(user.clone());
            self.group.added.push(user);
        }
    }

    fn flush(&mut self) {
        let Group { at_micros, added, removed, .. } = std::mem::take(&mut self.group);
        if !(added.is_empty() && removed.is_empty()) {
            self.steps.push(Step::Members { at_micros, added, removed });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserName {
        UserName::new(name).unwrap()
    }

    /// `a: text`, `a+`, `a-`, `a>b`.
    fn planned(grouping: Grouping, script: &str) -> Plan {
        let event = |line: &str| {
            let (name, what) = line.split_at(1);
            let what = match what.split_at(1) {
                ("+", _) => What::Join,
                ("-", _) => What::Leave,
                (">", to) => What::Rename(user(to)),
                (_, text) => What::Text(text.to_owned()),
            };
            Event { at_micros: 0, user: user(name), what }
        };
        plan(Room { name: "r".into(), events: script.split_whitespace().map(event).collect() }, grouping)
    }

    fn script(plan: &Plan) -> String {
        let names = |users: &[UserName]| users.iter().map(UserName::as_str).collect::<String>();
        let step = |step: &Step| match step {
            Step::Text { user, text, .. } => format!("{user}:{text}"),
            Step::Members { added, removed, .. } => format!("+{}-{}", names(added), names(removed)),
        };
        let steps: Vec<_> = plan.steps.iter().map(step).collect();
        format!("{} | {}", names(&plan.initial), steps.join(" "))
    }

    #[test]
    fn whoever_acts_before_joining_was_there_from_the_start() {
        let plan = planned(Grouping::Exact, "a:1 b+ b:2 c- d>e e:3 d:4");
        assert_eq!(script(&plan), "acd | a:1 +b- b:2 +-c +e-d e:3 +d- d:4");
        assert_eq!(plan.redundant, Redundant { texts_of_absent: 1, ..Redundant::default() });
    }

    #[test]
    fn what_contradicts_the_membership_is_counted_and_mended() {
        let plan = planned(Grouping::Exact, "a:1 b:2 a+ c+ c- c- b>a b>d b>d a>a");
        assert_eq!(script(&plan), "ab | a:1 b:2 +c- +-c +-b +d-");
        let expected = Redundant {
            joins_of_members: 1,
            leaves_of_absent: 1,
            renames_to_members: 2,
            renames_of_absent: 2,
            ..Redundant::default()
        };
        assert_eq!(plan.redundant, expected);
    }

    #[test]
    fn somebody_is_always_left_to_commit() {
        let plan = planned(Grouping::Consecutive, "a:1 a- a>b b:2 c+ b- c-");
        assert_eq!(script(&plan), "a | a:1 +b- +-a b:2 +c- +-b");
        assert_eq!(plan.redundant.leaves_of_last, 2);
    }

    #[test]
    fn a_room_of_joins_alone_has_a_founder() {
        assert_eq!(script(&planned(Grouping::Exact, "a+ b+")), "a | +b-");
    }

    #[test]
    fn consecutive_changes_share_a_commit_until_a_text_or_a_name_comes_again() {
        let plan = planned(Grouping::Consecutive, "a:1 b:1 c+ d+ b- c- e+ a:2 f+");
        assert_eq!(script(&plan), "ab | a:1 b:1 +cd-b +e-c a:2 +f-");
    }
}
