//! What the evidence of a simulated archive has to say once all is over, judged without the product's verifier.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest::{SHA256, digest};
use retaind::evidence::checkpoint::SignedNote;
use retaind::evidence::entry::{Body, Entry, Segment, previous_hash};
use retaind::evidence::key::Vkey;
use retaind::evidence::names::Name;
use retaind::evidence::tree::{Tree, root};

/// All evidence by its name in an archive, and all message files with their content.
pub fn complaints(evidence: &BTreeMap<String, Vec<u8>>, messages: &[(String, Vec<u8>)]) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut entries, mut heads, mut keys) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (name, bytes) in evidence {
        match Name::parse(name) {
            Some(Name::Entry { log, number }) => drop(entries.insert((log, number), bytes)),
            Some(Name::Checkpoint { log, size }) => heads.push((log, size, bytes)),
            Some(Name::Key { .. }) => match Vkey::parse(String::from_utf8_lossy(bytes).trim_end()) {
                Ok(key) => keys.push(key),
                Err(error) => wrong.push(format!("evidence: `{name}`: {error}")),
            },
            Some(Name::TimeStamp { .. } | Name::Custody) | None => wrong.push(format!("evidence: unexpected `{name}`")),
        }
    }
    let logs: BTreeSet<_> = entries.keys().map(|(log, _)| *log).collect();
    if logs.len() != 1 {
        wrong.push(format!("evidence: {} logs of one state", logs.len()));
        return wrong;
    }
    let (mut leaves, mut previous, mut covered) = (Vec::new(), [0u8; 32], None);
    let mut segments: BTreeMap<String, Segment> = BTreeMap::new();
    for (expected, ((_, number), bytes)) in (0..).zip(&entries) {
        if *number != expected {
            wrong.push(format!("evidence: entry {expected} is missing before {number}"));
            return wrong;
        }
        let parsed = match Entry::parse(bytes) {
            Ok(parsed) => parsed,
            Err(error) => {
                wrong.push(format!("evidence: entry {number}: {error}"));
                return wrong;
            }
        };
        let signed = parsed.signatures.iter().any(|one| keys.iter().any(|key| one.is_of(key, &parsed.leaf)));
        let Entry { covers, previous: link, body, .. } = &parsed.entry;
        if !signed || *link != previous || covered.is_some_and(|to| to != covers.from) {
            wrong.push(format!("evidence: entry {number} is not signed, chained or next to the one before"));
        }
        if (*number == 0) != matches!(body, Body::Genesis(_)) {
            wrong.push(format!("evidence: entry {number} is of the wrong type"));
        }
        if let Body::Segment(segment) = body
            && segments.insert(segment.name.clone(), segment.clone()).is_some()
        {
            wrong.push(format!("evidence: `{}` was attested twice", segment.name));
        }
        (previous, covered) = (previous_hash(&parsed.leaf), Some(covers.to));
        leaves.push(retaind::evidence::tree::leaf_hash(&parsed.leaf));
    }
    for (_, size, bytes) in heads {
        let Ok(note) = SignedNote::parse(&String::from_utf8_lossy(bytes)) else {
            wrong.push(format!("evidence: the head of {size} entries is no note"));
            continue;
        };
        let known = leaves.get(..usize::try_from(size).unwrap());
        let right = known.is_some_and(|leaves| root(leaves) == note.checkpoint.root && note.checkpoint.size == size);
        if !right || !keys.iter().any(|key| note.verify(key)) {
            wrong.push(format!("evidence: the head of {size} entries is not of this log"));
        }
    }
    for (name, bytes) in messages {
        let Some(segment) = segments.remove(name) else {
            wrong.push(format!("evidence: no entry for `{name}`"));
            continue;
        };
        let mut lines = Tree::new();
        bytes.split_inclusive(|byte| *byte == b'\n').for_each(|line| lines.push(&line[..line.len() - 1]));
        let same = segment.sha256 == digest(&SHA256, bytes).as_ref()
            && segment.bytes.0 == bytes.len() as u64
            && segment.records.0 == lines.size()
            && segment.records_root == lines.root();
        if !same {
            wrong.push(format!("evidence: `{name}` is not what its entry says"));
        }
    }
    wrong.extend(segments.keys().map(|name| format!("evidence: `{name}` has an entry and is gone")));
    wrong
}
