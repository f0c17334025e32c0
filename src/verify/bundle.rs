//! A proof of single records or files: the files of `prove`, and their verification.
//!
//! A directory with `proof.json`, and beside it the entries, checkpoints, keys and the proved lines and files, which it names.
//! Nothing else of the archive is needed, or in it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use retaind_evidence::checkpoint::{NOTE_BYTES_MAX, SignedNote};
use retaind_evidence::entry::Entry;
use retaind_evidence::entry::{Body, ENTRY_BYTES_MAX, Parsed};
use retaind_evidence::key::Vkey;
use retaind_evidence::tree::{Hash, PROOF_HASHES_MAX, leaf_hash, sha256, verify_inclusion};
use serde::{Deserialize, Serialize};

use crate::args::{Error, Requirement};
use crate::expected::Totals;
use crate::finding::{Code, Finding, Findings};
use crate::judge::Options;
use crate::keys::{KeyRing, Trust};
use crate::report::{Assurance, FORMAT, Report, Span, Subject, Verdict, time};

/// Of a proof.
pub(crate) const PROOF_FORMAT: &str = "retaind-proof/1";
/// The file that makes a directory a proof.
pub(crate) const PROOF: &str = "proof.json";
/// Of the keys.
pub(crate) const KEYS: &str = "keys";
/// Longest `proof.json` that is read: it has room for 10,000 items.
const PROOF_BYTES_MAX: u64 = 64 * 1024 * 1024;
const KEYS_MAX: usize = 1000;

/// `proof.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Proof {
    pub(crate) format: String,
    pub(crate) items: Vec<Item>,
}

/// One thing that is proved.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Item {
    /// Names of files of the proof.
    pub(crate) entry: String,
    pub(crate) checkpoint: String,
    /// From the entry to the checkpoint's root.
    pub(crate) entry_path: Vec<String>,
    pub(crate) proved: Proved,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Proved {
    /// A whole file.
    File { name: String, file: String },
    /// A line of a message file.
    Record { file: String, index: u64, path: Vec<String> },
}

pub(crate) fn is_bundle(path: &Path) -> bool {
    path.join(PROOF).is_file()
}

struct Bundle<'a> {
    at: &'a Path,
    ring: KeyRing,
    findings: Findings,
    notes: BTreeMap<String, Option<SignedNote>>,
    totals: Totals,
}

pub(crate) fn verify(at: &Path, options: &Options, now: Timestamp, by: &str) -> Result<Report, Error> {
    let wrong = |why: String| Error::Bundle { at: at.display().to_string(), why };
    let bytes = read(at, PROOF, PROOF_BYTES_MAX).map_err(|error| wrong(error.to_string()))?;
    let proof: Proof = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    if proof.format != PROOF_FORMAT {
        return Err(wrong(format!("its format is not `{PROOF_FORMAT}`")));
    }
    let trust = if options.keys.is_empty() {
        Trust::SelfAsserted(own_keys(at).map_err(|error| wrong(error.to_string()))?)
    } else {
        Trust::Given(options.keys.clone())
    };
    let (ring, findings) = (KeyRing::new(&trust, None), Findings::default());
    let mut bundle = Bundle { at, ring, findings, notes: BTreeMap::new(), totals: Totals::default() };
    if proof.items.is_empty() {
        bundle.findings.add(Finding::new(Code::MissingEntry, PROOF).instead("something proved", "nothing"));
    }
    for item in &proof.items {
        bundle.item(item);
    }
    let mut is_anchored = !options.heads.is_empty();
    for head in &options.heads {
        let is_here = bundle.notes.values().flatten().any(|note| note.checkpoint == head.note.checkpoint);
        is_anchored &= is_here;
    }
    let assurance = Assurance {
        key: match trust {
            Trust::Given(_) => "given",
            Trust::SelfAsserted(_) => "self-asserted",
        },
        head: if is_anchored { "given" } else { "none" },
        plaintext: "all",
        network: "no",
    };
    for requirement in &options.require {
        let is_absent = match requirement {
            Requirement::Key => assurance.key != "given",
            Requirement::Head => !is_anchored,
            Requirement::Network => true,
            Requirement::Fresh | Requirement::Plaintext => false,
        };
        if is_absent {
            let finding = Finding::new(Code::Required, format!("requirement {}", requirement.as_str()));
            bundle.findings.add(finding.instead(requirement.as_str(), "absent"));
        }
    }
    let findings = bundle.findings.sorted();
    Ok(Report {
        format: FORMAT,
        verdict: Verdict::of(&findings),
        assurance,
        subject: Subject::Proof,
        source: vec![at.display().to_string()],
        at: time(now),
        by: by.to_owned(),
        range: Span { from: None, to: None },
        logs: Vec::new(),
        totals: bundle.totals,
        ignored: 0,
        findings,
        seconds: 0,
    })
}

/// A file of the proof: its name has no path, so that a proof reads nothing outside it.
fn read(at: &Path, name: &str, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(place(at, name)?)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    let is_short = u64::try_from(bytes.len()).is_ok_and(|length| length <= limit);
    if is_short {
        Ok(bytes)
    } else {
        Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {limit} bytes")))
    }
}

pub(crate) fn place(at: &Path, name: &str) -> io::Result<PathBuf> {
    let is_plain = !name.is_empty() && !name.contains(['/', '\\', '\0']) && name != "." && name != "..";
    let path = at.join(name);
    let is_file = is_plain && fs::symlink_metadata(&path).is_ok_and(|found| found.is_file());
    if is_file { Ok(path) } else { Err(io::Error::new(io::ErrorKind::NotFound, "no such file in the proof")) }
}

fn own_keys(at: &Path) -> io::Result<Vec<Vkey>> {
    let mut keys = Vec::new();
    for entry in fs::read_dir(at.join(KEYS))?.take(KEYS_MAX) {
        let text = read(&at.join(KEYS), &entry?.file_name().to_string_lossy(), 1024)?;
        keys.extend(std::str::from_utf8(&text).ok().and_then(|text| Vkey::parse(text.trim_end()).ok()));
    }
    Ok(keys)
}

fn path_of(hashes: &[String]) -> Option<Vec<Hash>> {
    if hashes.len() > PROOF_HASHES_MAX {
        return None;
    }
    hashes.iter().map(|hash| HEXLOWER.decode(hash.as_bytes()).ok()?.try_into().ok()).collect()
}

impl Bundle<'_> {
    fn item(&mut self, item: &Item) {
        let limit = u64::try_from(ENTRY_BYTES_MAX).unwrap_or(u64::MAX);
        let parsed = read(self.at, &item.entry, limit).map_err(|error| error.to_string());
        let parsed = match parsed.and_then(|bytes| Entry::parse(&bytes).map_err(|error| error.to_string())) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.findings.add(Finding::new(Code::NotCanonical, &item.entry).instead("an entry", error));
                return;
            }
        };
        if let Err(code) = self.ring.judge(parsed.entry.number, &parsed.leaf, &parsed.signatures) {
            self.findings.add(Finding::new(code, &item.entry).instead("a signature of a trusted key", "none"));
        }
        self.head(item, &parsed);
        self.proved(item, &parsed);
    }

    fn head(&mut self, item: &Item, parsed: &Parsed) {
        if !self.notes.contains_key(&item.checkpoint) {
            let note = self.note(&item.checkpoint);
            self.notes.insert(item.checkpoint.clone(), note);
        }
        let Some(Some(note)) = self.notes.get(&item.checkpoint) else { return };
        let (size, root) = (note.checkpoint.size, note.checkpoint.root);
        let is_in = path_of(&item.entry_path)
            .is_some_and(|path| verify_inclusion(&root, size, parsed.entry.number, &leaf_hash(&parsed.leaf), &path));
        if !is_in {
            let finding = Finding::new(Code::Fork, &item.entry);
            self.findings.add(
                finding.instead(format!("entry {} below the head", parsed.entry.number), "a proof of something else"),
            );
        }
    }

    fn note(&mut self, name: &str) -> Option<SignedNote> {
        let limit = u64::try_from(NOTE_BYTES_MAX).unwrap_or(u64::MAX);
        let text = read(self.at, name, limit).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        match SignedNote::parse(&text) {
            Ok(note) => {
                if let Err(code) = self.ring.judge_note(&note) {
                    self.findings.add(Finding::new(code, name).instead("a signature of a trusted key", "none"));
                }
                Some(note)
            }
            Err(error) => {
                self.findings.add(Finding::new(Code::NotCanonical, name).instead("a checkpoint", error.to_string()));
                None
            }
        }
    }

    fn proved(&mut self, item: &Item, parsed: &Parsed) {
        let Body::Segment(segment) = &parsed.entry.body else {
            self.findings.add(Finding::new(Code::NotCanonical, &item.entry).instead("a segment", "another type"));
            return;
        };
        let (object, is_right) = match &item.proved {
            Proved::File { name, file } => {
                let hashed = HEXLOWER.encode(&sha256(name.as_bytes()));
                let attached = segment.files.iter().find(|known| known.name == *name || known.name == hashed);
                let expected = attached.map(|known| known.sha256);
                let expected = expected.or_else(|| (segment.name == *name).then_some(segment.sha256));
                self.totals.attachments += 1;
                (file, expected.is_some() && hash_file(self.at, file).ok() == expected)
            }
            Proved::Record { file, index, path } => {
                self.totals.records += 1;
                let line = read(self.at, file, PROOF_BYTES_MAX).unwrap_or_default();
                let line = line.strip_suffix(b"\n").unwrap_or_default();
                let (root, records) = (&segment.records_root, segment.records.0);
                let is_in =
                    path_of(path).is_some_and(|path| verify_inclusion(root, records, *index, &leaf_hash(line), &path));
                (file, is_in)
            }
        };
        if !is_right {
            let finding = Finding::new(Code::Modified, object).of(parsed.entry.log, parsed.entry.number);
            self.findings.add(finding.instead("what the entry vouches for", "something else"));
        }
    }
}

fn hash_file(at: &Path, name: &str) -> io::Result<Hash> {
    let mut file = File::open(place(at, name)?)?;
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let mut block = vec![0; 256 * 1024];
    loop {
        let count = file.read(&mut block)?;
        if count == 0 {
            return Ok(context.finish().as_ref().try_into().unwrap_or_default());
        }
        context.update(block.get(..count).unwrap_or_default());
    }
}
