//! Heads: every signed one is the root over the beginning of its log.

use std::collections::{BTreeMap, BTreeSet};

use retaind_evidence::checkpoint::{NOTE_BYTES_MAX, SignedNote};
use retaind_evidence::entry::LogId;
use retaind_evidence::tree::{Hash, Tree};

use crate::finding::{Code, Finding, Findings};
use crate::log::Log;
use crate::source::{Source, read};

/// A head whose signature is good.
#[derive(Debug, Clone)]
struct Anchor {
    object: String,
    size: u64,
    root: Hash,
}

/// What the heads of one log said.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    /// Number of good ones, and of those that could not be compared because entries before them are damaged.
    pub(crate) good: u64,
    pub(crate) not_compared: u64,
}

/// Roots of the first `sizes` entries. Absent where an entry before is missing; the flag says that one is damaged.
fn roots(log: &Log, sizes: &BTreeSet<u64>) -> BTreeMap<u64, (Hash, bool)> {
    let mut tree = Tree::new();
    let mut is_damaged = false;
    let mut roots = BTreeMap::new();
    if sizes.contains(&0) {
        roots.insert(0, (tree.root(), false));
    }
    for (number, link) in &log.links {
        if *number != tree.size() {
            break;
        }
        is_damaged |= link.damage.is_some();
        tree.push_hash(link.leaf_hash);
        if sizes.contains(&tree.size()) {
            roots.insert(tree.size(), (tree.root(), is_damaged));
        }
    }
    roots
}

/// Whether the root over the first `size` entries is another one, although all of them are genuine.
pub(crate) fn is_other(log: &Log, size: u64, root: &Hash) -> bool {
    roots(log, &[size].into()).get(&size).is_some_and(|(found, is_damaged)| !is_damaged && found != root)
}

/// Judges the checkpoints of a log that are in the archive.
pub(crate) fn judge_checkpoints(
    source: &dyn Source,
    log: &Log,
    paths: &BTreeMap<u64, String>,
    findings: &mut Findings,
) -> Heads {
    let mut anchors = Vec::new();
    for (name, path) in paths {
        let add = |findings: &mut Findings, code, expected: &str, found: String| {
            let mut finding = Finding::new(code, path).instead(expected, found);
            finding.log = Some(log.id);
            findings.add(finding);
        };
        let text = match read(source, path, NOTE_BYTES_MAX).map(String::from_utf8) {
            Ok(Ok(text)) => text,
            Ok(Err(_)) => {
                add(findings, Code::NotCanonical, "a signed note", "no text".to_owned());
                continue;
            }
            Err(error) => {
                add(findings, Code::Unreadable, "a signed note", error.to_string());
                continue;
            }
        };
        match SignedNote::parse(&text) {
            Err(_) if text.ends_with("\n\n") => {
                add(findings, Code::Downgrade, "a signature", "none".to_owned());
            }
            Err(error) => add(findings, Code::NotCanonical, "a signed note", error.to_string()),
            Ok(note) => match log.ring.judge_note(&note) {
                Err(code) => add(findings, code, "a signature of a trusted key", signers(&note)),
                Ok(()) if note.checkpoint.size != *name => {
                    let found = format!("the head of {} entries", note.checkpoint.size);
                    add(findings, Code::Replayed, &format!("the head of {name} entries"), found);
                }
                Ok(()) => {
                    let (size, root) = (note.checkpoint.size, note.checkpoint.root);
                    anchors.push(Anchor { object: path.clone(), size, root });
                }
            },
        }
    }
    compare(log, &anchors, findings)
}

fn signers(note: &SignedNote) -> String {
    let names: Vec<&str> = note.signatures.iter().map(|line| line.name.as_str()).collect();
    names.join(", ")
}

fn compare(log: &Log, anchors: &[Anchor], findings: &mut Findings) -> Heads {
    let roots = roots(log, &anchors.iter().map(|anchor| anchor.size).collect());
    let mut heads = Heads::default();
    for anchor in anchors.iter().filter(|anchor| anchor.size <= log.size) {
        match roots.get(&anchor.size) {
            Some((root, _)) if *root == anchor.root => heads.good += 1,
            // the damaged entries have findings of their own, and are why it differs
            Some((_, true)) | None => heads.not_compared += 1,
            Some((_, false)) => add_fork(log, anchor, findings),
        }
    }
    if let Some(largest) = anchors.iter().max_by_key(|anchor| anchor.size).filter(|anchor| anchor.size > log.size) {
        add_cut(log, largest, findings);
    }
    heads
}

fn add_fork(log: &Log, anchor: &Anchor, findings: &mut Findings) {
    let mut finding = Finding::new(Code::Fork, &anchor.object);
    finding.log = Some(log.id);
    findings.add(finding.instead(
        format!("the root over the first {} entries", anchor.size),
        "another root, although all of them are genuine",
    ));
}

fn add_cut(log: &Log, anchor: &Anchor, findings: &mut Findings) {
    let mut finding = Finding::new(Code::TailCut, &anchor.object);
    finding.log = Some(log.id);
    findings.add(finding.instead(format!("{} entries", anchor.size), format!("{} entries", log.size)));
}

/// A head that the caller has from elsewhere.
#[derive(Debug, Clone)]
pub struct GivenHead {
    /// How a report names it.
    pub object: String,
    /// The note.
    pub note: SignedNote,
}

/// Judges a head from elsewhere: one of the logs whose key signed it begins with it. The number of its log, if one does.
pub(crate) fn judge_given(given: &GivenHead, logs: &[Log], findings: &mut Findings) -> Option<LogId> {
    let checkpoint = &given.note.checkpoint;
    let anchor = Anchor { object: given.object.clone(), size: checkpoint.size, root: checkpoint.root };
    let mut worst = Code::WrongKey;
    let mut of_key = Vec::new();
    for log in logs {
        match log.ring.judge_note(&given.note) {
            Ok(()) => of_key.push(log),
            Err(Code::BadSignature) => worst = Code::BadSignature,
            Err(_) => {}
        }
    }
    if of_key.is_empty() {
        findings
            .add(Finding::new(worst, &given.object).instead("a signature of a log that is here", signers(&given.note)));
        return None;
    }
    let mut is_damaged = None;
    for log in &of_key {
        match roots(log, &[anchor.size].into()).get(&anchor.size) {
            Some((root, _)) if *root == anchor.root => return Some(log.id),
            Some((_, true)) => is_damaged = Some(log.id),
            None if anchor.size <= log.size => is_damaged = Some(log.id),
            Some((_, false)) | None => {}
        }
    }
    // entries before it are damaged, which has findings of its own
    if is_damaged.is_some() {
        return is_damaged;
    }
    let longest = of_key.iter().max_by_key(|log| log.size)?;
    if longest.size < anchor.size {
        // one finding a log is enough: the archive may have reported it by a checkpoint of its own
        add_cut(longest, &anchor, findings);
    } else {
        add_fork(longest, &anchor, findings);
    }
    Some(longest.id)
}
