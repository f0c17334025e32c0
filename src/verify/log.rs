//! One log: are all entries there, whole, in place, signed and chained.
//!
//! Entries are read once, in order. Genuine ones that are in another's place are kept until the end, and fill the place that is
//! theirs: then an exchange of two is one finding, and nothing follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use retaind_evidence::entry::{
    Body, Covers, ENTRY_BYTES_MAX, Entry, EntryError, Genesis, GenesisBecause, LogId, Stored, previous_hash,
};
use retaind_evidence::names;
use retaind_evidence::tree::{Hash, leaf_hash};
use serde::Deserialize as _;
use serde_json::Value;

use crate::finding::{Code, Finding, Findings};
use crate::keys::{KeyRing, Trust};
use crate::source::{Source, read};

/// Missing entries that are listed one by one. More are one finding with their number: a name far above the others must not make
/// a list without end.
const MISSING_LISTED_MAX: u64 = 10_000;

/// What is kept of an entry.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) leaf_hash: Hash,
    digest: Hash,
    previous: Option<Hash>,
    covers: Option<Covers>,
    /// The finding about it, if it is not as it should be.
    pub(crate) damage: Option<usize>,
}

/// A log as it was found.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) id: LogId,
    /// By number.
    pub(crate) links: BTreeMap<u64, Link>,
    /// Entries from 0 to the newest that is genuine.
    pub(crate) size: u64,
    pub(crate) ring: KeyRing,
    pub(crate) genesis: Option<Genesis>,
    pub(crate) bot: String,
    /// Whether it ended with an entry that says so.
    pub(crate) is_ended: bool,
    pub(crate) newest: Option<Timestamp>,
}

impl Log {
    /// Covered from and to.
    pub(crate) fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let (first, last) = (self.links.first_key_value()?.1, self.links.last_key_value()?.1);
        Some((first.covers?.from, last.covers?.to))
    }
}

/// What the entries say, as they are read. The finding is about the entry itself.
pub(crate) trait Take {
    /// An entry whose leaf could be read.
    fn take(&mut self, entry: Entry, damage: Option<usize>);
}

/// A genuine entry under a name that is not its own.
struct Stray {
    path: String,
    name: u64,
    number: u64,
    stored: Stored,
}

struct Reader<'a> {
    source: &'a dyn Source,
    findings: &'a mut Findings,
    to: &'a mut dyn Take,
    log: Log,
    strays: Vec<Stray>,
    /// Names with a finding, whose entry may be lost.
    spoilt: BTreeSet<u64>,
}

/// Reads the entries of `id`, whose numbers and paths are `paths`.
pub(crate) fn read_log(
    source: &dyn Source,
    id: LogId,
    paths: &BTreeMap<u64, String>,
    trust: &Trust,
    findings: &mut Findings,
    to: &mut dyn Take,
) -> Log {
    let log = Log {
        id,
        links: BTreeMap::new(),
        size: 0,
        ring: KeyRing::new(trust, None),
        genesis: None,
        bot: String::new(),
        is_ended: false,
        newest: None,
    };
    let mut reader = Reader { source, findings, to, log, strays: Vec::new(), spoilt: BTreeSet::new() };
    reader.begin(paths, trust);
    for (number, path) in paths {
        reader.entry(*number, path);
    }
    reader.place_strays();
    reader.find_end();
    reader.list_missing(paths);
    reader.follow_chain();
    reader.log
}

impl Reader<'_> {
    /// Which keys sign the log: its genesis says so, wherever it is, if it is signed by one of them.
    fn begin(&mut self, paths: &BTreeMap<u64, String>, trust: &Trust) {
        let first = paths.get(&0).and_then(|path| read(self.source, path, ENTRY_BYTES_MAX).ok());
        if let Some(parsed) = first.and_then(|bytes| Entry::parse(&bytes).ok())
            && let Body::Genesis(genesis) = parsed.entry.body
        {
            let ring = KeyRing::new(trust, Some(&genesis.vkeys));
            if ring.judge(0, &parsed.leaf, &parsed.signatures).is_ok() {
                self.log.ring = ring;
            }
        }
    }

    fn add(&mut self, number: u64, finding: Finding) -> usize {
        self.spoilt.insert(number);
        let log = self.log.id;
        self.findings.add(finding.of(log, number))
    }

    fn entry(&mut self, name: u64, path: &str) {
        let bytes = match read(self.source, path, ENTRY_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) => {
                let code =
                    if error.kind() == io::ErrorKind::FileTooLarge { Code::NotCanonical } else { Code::Unreadable };
                self.add(name, Finding::new(code, path).instead("an entry", error.to_string()));
                return;
            }
        };
        let stored = match Stored::parse(&bytes) {
            Ok(stored) => stored,
            Err(error) => {
                self.add(name, Finding::new(Code::NotCanonical, path).instead("an entry", chain(&error)));
                return;
            }
        };
        let number = stored.evidence.get("number").and_then(Value::as_u64);
        let log = stored.evidence.get("log").and_then(Value::as_str);
        if log != Some(self.log.id.to_string().as_str()) {
            let code = match self.log.ring.judge(number.unwrap_or(name), &stored.leaf, &stored.signatures) {
                Ok(()) => Code::Replayed,
                Err(code) => code,
            };
            let found = format!("an entry of the log `{}`", log.unwrap_or("without an id"));
            self.add(name, Finding::new(code, path).instead(format!("an entry of the log `{}`", self.log.id), found));
            return;
        }
        match (number, self.log.ring.judge(number.unwrap_or(name), &stored.leaf, &stored.signatures)) {
            (Some(number), Ok(())) if number != name => {
                self.strays.push(Stray { path: path.to_owned(), name, number, stored });
            }
            (Some(number), Err(code)) if number != name => {
                let finding = Finding::new(code, path);
                self.add(name, finding.instead(format!("entry {name}"), format!("entry {number}")));
            }
            (Some(_), Ok(())) => self.keep(name, path, &stored, None),
            (Some(_), Err(code)) => {
                let keys: Vec<&str> = stored.signatures.iter().map(|signature| signature.key.as_str()).collect();
                let finding = Finding::new(code, path).instead("a signature of a trusted key", keys.join(", "));
                let damage = self.add(name, finding);
                self.keep(name, path, &stored, Some(damage));
            }
            (None, _) => {
                self.add(name, Finding::new(Code::NotCanonical, path).instead("a number", "none"));
            }
        }
    }

    /// An entry under its own number.
    fn keep(&mut self, number: u64, path: &str, stored: &Stored, damage: Option<usize>) {
        let entry = Entry::from_value(&stored.evidence);
        let unknown = match &entry {
            Ok(_) => None,
            Err(error @ EntryError::Unsupported { .. }) => Some((Code::Unsupported, chain(error))),
            Err(
                error @ (EntryError::NotCanonical(_)
                | EntryError::LineFeed
                | EntryError::Malformed { .. }
                | EntryError::Unsorted(_)),
            ) => Some((Code::NotCanonical, chain(error))),
        };
        let of_shape = match unknown {
            Some((code, error)) if damage.is_none() => {
                Some(self.add(number, Finding::new(code, path).instead("an entry of a known shape", error)))
            }
            Some(_) | None => damage,
        };
        // a type that is not known is a leaf like the others
        let previous = stored.evidence.get("previous").and_then(Value::as_str).unwrap_or_default();
        let link = Link {
            leaf_hash: leaf_hash(&stored.leaf),
            digest: previous_hash(&stored.leaf),
            previous: HEXLOWER.decode(previous.as_bytes()).ok().and_then(|hash| hash.try_into().ok()),
            covers: stored.evidence.get("covers").and_then(|covers| Covers::deserialize(covers).ok()),
            damage: of_shape,
        };
        self.log.links.insert(number, link);
        let Ok(entry) = entry else { return };
        if damage.is_none() {
            self.heed(number, path, &entry, stored);
        }
        self.to.take(entry, damage);
    }

    /// What a genuine entry says about the log itself.
    fn heed(&mut self, number: u64, path: &str, entry: &Entry, stored: &Stored) {
        if self.log.newest.is_none_or(|newest| newest < entry.made_at) {
            self.log.newest = Some(entry.made_at);
        }
        self.log.bot.clone_from(&entry.bot.name);
        let restored = |what: &str| Finding::new(Code::Restored, path).instead("one log without a break", what);
        match &entry.body {
            Body::Genesis(genesis) => {
                if genesis.because == GenesisBecause::StateOlder {
                    self.findings
                        .add(restored("a log that begins because the state was older").of(self.log.id, number));
                }
                self.log.genesis = Some(genesis.clone());
            }
            Body::Key(change) => {
                if let Err(code) = self.log.ring.change(number, change, &stored.leaf, &stored.signatures) {
                    self.add(number, Finding::new(code, path).instead("a signature of the new key as well", "none"));
                }
            }
            Body::Restore(_) => {
                self.findings.add(restored("the end of a log whose state was older").of(self.log.id, number));
                self.log.is_ended = true;
            }
            Body::Close(_) => self.log.is_ended = true,
            Body::Segment(_) | Body::Receipt(_) | Body::Interval(_) | Body::Pause(_) | Body::Notice(_) => {}
        }
    }

    fn place_strays(&mut self) {
        let strays = std::mem::take(&mut self.strays);
        let places: BTreeMap<u64, u64> = strays.iter().map(|stray| (stray.name, stray.number)).collect();
        for stray in &strays {
            let Stray { path, name, number, stored } = stray;
            let found = format!("entry {number}");
            let right = names::entry(&self.log.id, *name);
            let finding = |code| Finding::new(code, path).instead(format!("entry {name}"), found.clone());
            let digest = previous_hash(&stored.leaf);
            match self.log.links.get(number) {
                Some(link) if link.damage.is_none() && link.digest != digest => {
                    self.add(*name, finding(Code::Fork));
                }
                Some(_) => {
                    self.add(*name, finding(Code::Replayed));
                }
                None => {
                    self.keep(*number, &right, stored, None);
                    // its partner reports the exchange
                    let is_partner_first = places.get(number) == Some(name) && number < name;
                    if !is_partner_first {
                        let log = self.log.id;
                        let object = if places.get(number) == Some(name) {
                            format!("{path}, {}", names::entry(&log, *number))
                        } else {
                            path.clone()
                        };
                        let mut finding = finding(Code::Reordered).of(log, *name);
                        finding.object = object;
                        self.findings.add(finding);
                    }
                }
            }
        }
    }

    /// The newest genuine entry, and those above it that have only their signature wrong.
    fn find_end(&mut self) {
        let genuine = self.log.links.iter().rev().find(|(_, link)| link.damage.is_none());
        let mut size = genuine.map_or(0, |(number, _)| number.saturating_add(1));
        while self.log.links.contains_key(&size) || self.spoilt.contains(&size) {
            size = size.saturating_add(1);
        }
        self.log.size = size;
    }

    fn list_missing(&mut self, paths: &BTreeMap<u64, String>) {
        let log = self.log.id;
        let mut next = 0;
        let mut listed = 0;
        let present: BTreeSet<u64> =
            self.log.links.keys().chain(&self.spoilt).copied().filter(|number| *number < self.log.size).collect();
        let mut gaps = Vec::new();
        for number in present {
            if next < number {
                gaps.push((next, number));
            }
            next = number.saturating_add(1);
        }
        for (from, to) in gaps {
            for number in from..to {
                // a stray in its place has a finding that says so
                if paths.contains_key(&number) {
                    continue;
                }
                listed += 1;
                if listed > MISSING_LISTED_MAX {
                    let rest =
                        Finding::new(Code::MissingEntry, format!("entries {number} to {}", to.saturating_sub(1)));
                    self.findings.add(rest.of(log, number).instead("entries", "nothing"));
                    break;
                }
                let finding = Finding::new(Code::MissingEntry, names::entry(&log, number));
                self.findings.add(finding.of(log, number).instead("an entry", "nothing"));
            }
        }
    }

    /// Each entry names the one before, and begins where it ended.
    fn follow_chain(&mut self) {
        let mut before: Option<(u64, &Link)> = None;
        let mut found = Vec::new();
        for (number, link) in &self.log.links {
            let (previous, ended) = match before {
                None if *number == 0 => (Some(Hash::default()), None),
                Some((at, link)) if at.checked_add(1) == Some(*number) && link.damage.is_none() => {
                    (Some(link.digest), link.covers.map(|covers| covers.to))
                }
                None | Some(_) => (None, None),
            };
            let path = || names::entry(&self.log.id, *number);
            if link.damage.is_none() {
                if previous.is_some_and(|previous| Some(previous) != link.previous) {
                    found.push(
                        Finding::new(Code::Fork, path())
                            .of(self.log.id, *number)
                            .instead("`previous` names the entry before", "it names another, and both are genuine"),
                    );
                }
                if let (Some(ended), Some(covers)) = (ended, link.covers)
                    && ended != covers.from
                {
                    let finding = Finding::new(Code::UnattestedTime, path()).of(self.log.id, *number);
                    found.push(finding.instead(format!("from {ended}"), format!("from {}", covers.from)));
                }
            }
            before = Some((*number, link));
        }
        for finding in found {
            self.findings.add(finding);
        }
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
