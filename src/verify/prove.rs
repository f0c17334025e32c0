//! The command `prove`: one record or file, with what proves it, and nothing else of anybody's.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use data_encoding::HEXLOWER;
use retaind_evidence::checkpoint::{NOTE_BYTES_MAX, SignedNote};
use retaind_evidence::entry::{Body, ENTRY_BYTES_MAX, Entry, LogId, Segment, Stored};
use retaind_evidence::names::Name;
use retaind_evidence::tree::{Hash, leaf_hash, prove_inclusion, sha256};
use serde_json::Value;

use crate::bundle::{Item, KEYS, PROOF, PROOF_FORMAT, Proof, Proved};
use crate::deep;
use crate::source::{Directories, Listed, Source, read};

const README: &str = "\
This directory proves that single records or files are, byte for byte, those that a retention bot sealed.

To check it, offline, with a key that you have from the organisation and not from here:

    retaind archive verify DIRECTORY --key '<name>+<id>+<key>'

What is here: `proof.json` names the parts of each proof; `line-*.json` are records; `entry-*.json` are the signed entries of the
bot's log, which hold the hashes of message files, of their lines and of attached files; `checkpoint-*` are signed heads of the log;
`keys` are its public keys. By hand: the lines' and the entries' hashes are leaves of RFC 6962 trees, and `proof.json` has the
audit paths to `records_root` in the entry and to the root in the checkpoint.
";

/// Make a proof of single records or files, to be handed over without the rest of the archive
#[derive(Debug, Clone, Args)]
pub struct ProveArgs {
    /// The archive's directory. Several are one archive
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<PathBuf>,
    /// Directory of the entries, if it is not `_evidence` in a SOURCE
    #[arg(long, value_name = "DIR")]
    pub evidence: Vec<PathBuf>,
    /// A record: conversation and number in it
    #[arg(long, value_name = "VGROUPID:SEQ", required_unless_present = "file")]
    pub record: Vec<String>,
    /// A message file, attachment or ciphertext by its name
    #[arg(long, value_name = "NAME")]
    pub file: Vec<String>,
    /// Directory to make the proof in. It must not exist
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// Of `--record`.
    #[error("`--record {0}` is not a conversation and a number with a colon between them")]
    Record(String),
    /// Nothing in the log has it.
    #[error("no entry of the archive's log names `{0}`")]
    Unknown(String),
    /// The log knows the file, and it is not here.
    #[error("`{0}` is not in the archive, or has other bytes than its entry says: run `verify`")]
    Gone(String),
    /// No head yet.
    #[error("no checkpoint in the archive covers entry {0} yet: wait for the next one")]
    NoHead(u64),
    /// An entry before it is missing.
    #[error("entries before the checkpoint are missing or damaged: run `verify`")]
    Damaged,
    /// The archive cannot be read.
    #[error("the archive cannot be read")]
    Source(#[source] io::Error),
    /// The proof cannot be written.
    #[error("the proof cannot be written to `{to}`: the directory must not exist")]
    Output {
        /// Where.
        to: String,
        /// The system's reason.
        source: io::Error,
    },
    /// No JSON form.
    #[error("the proof has no JSON form")]
    Json(#[source] serde_json::Error),
}

impl ProveError {
    /// The program's exit code.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Record(_) => 78,
            Self::Unknown(_) | Self::Gone(_) | Self::NoHead(_) | Self::Damaged => 1,
            Self::Source(_) => 75,
            Self::Output { .. } | Self::Json(_) => 70,
        }
    }
}

/// What is asked for.
enum Wanted {
    Record { conversation: String, seq: u64 },
    File(String),
}

/// A wanted thing and the segment that has it.
struct Found {
    wanted: usize,
    log: LogId,
    number: u64,
    segment: Segment,
}

struct Prover<'a> {
    source: &'a dyn Source,
    files: BTreeMap<String, String>,
    leaves: BTreeMap<LogId, Vec<Hash>>,
    entries: BTreeMap<(LogId, u64), String>,
    notes: BTreeMap<(LogId, u64), String>,
    keys: Vec<String>,
}

/// Runs the command. What was written is said on `err`.
///
/// # Errors
/// There is no proof: [`ProveError::exit_code`] says which code the program ends with.
pub fn run_prove(args: &ProveArgs, err: &mut dyn Write) -> Result<u8, ProveError> {
    let source = Directories::new(&args.sources, &args.evidence);
    let mut prover = Prover::new(&source, source.list().map_err(ProveError::Source)?);
    let mut wanted = Vec::new();
    for record in &args.record {
        let wrong = || ProveError::Record(record.clone());
        let (conversation, seq) = record.rsplit_once(':').ok_or_else(wrong)?;
        wanted.push(Wanted::Record { conversation: conversation.to_owned(), seq: seq.parse().map_err(|_| wrong())? });
    }
    wanted.extend(args.file.iter().cloned().map(Wanted::File));
    let found = prover.find(&wanted)?;
    let output = |source| ProveError::Output { to: args.out.display().to_string(), source };
    fs::create_dir(&args.out).map_err(output)?;
    let mut proof = Proof { format: PROOF_FORMAT.to_owned(), items: Vec::new() };
    for one in &found {
        if let Some(wanted) = wanted.get(one.wanted) {
            prover.prove(wanted, one, &args.out, &mut proof)?;
        }
    }
    for (at, wanted) in wanted.iter().enumerate() {
        if !found.iter().any(|one| one.wanted == at) {
            return Err(ProveError::Unknown(wanted.to_string()));
        }
    }
    prover.write_keys(&args.out).map_err(output)?;
    let json = serde_json::to_vec_pretty(&proof).map_err(ProveError::Json)?;
    fs::write(args.out.join(PROOF), json).map_err(output)?;
    fs::write(args.out.join("README.txt"), README).map_err(output)?;
    writeln!(err, "proof of {} items written to `{}`", proof.items.len(), args.out.display()).map_err(output)?;
    Ok(0)
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Record { conversation, seq } => write!(f, "{conversation}:{seq}"),
            Self::File(name) => f.write_str(name),
        }
    }
}

impl Wanted {
    fn is_in(&self, segment: &Segment) -> bool {
        match self {
            Self::Record { conversation, seq } => segment
                .conversations
                .iter()
                .any(|range| range.id == *conversation && (range.first.0..=range.last.0).contains(seq)),
            Self::File(name) => {
                let hashed = HEXLOWER.encode(&sha256(name.as_bytes()));
                segment.name == *name || segment.files.iter().any(|file| file.name == *name || file.name == hashed)
            }
        }
    }
}

impl<'a> Prover<'a> {
    fn new(source: &'a dyn Source, listed: Vec<Listed>) -> Self {
        let mut prover = Self {
            source,
            files: BTreeMap::new(),
            leaves: BTreeMap::new(),
            entries: BTreeMap::new(),
            notes: BTreeMap::new(),
            keys: Vec::new(),
        };
        for Listed { path, .. } in listed {
            match Name::parse(&path) {
                Some(Name::Entry { log, number }) => drop(prover.entries.insert((log, number), path)),
                Some(Name::Checkpoint { log, size }) => drop(prover.notes.insert((log, size), path)),
                Some(Name::Key { .. }) => prover.keys.push(path),
                Some(Name::TimeStamp { .. } | Name::Custody) => {}
                None => {
                    let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
                    prover.files.entry(name).or_insert(path);
                }
            }
        }
        prover
    }

    /// Reads every entry once: the leaves of the trees, and the segments that have what is wanted.
    fn find(&mut self, wanted: &[Wanted]) -> Result<Vec<Found>, ProveError> {
        let mut found = Vec::new();
        for ((log, number), path) in &self.entries {
            let bytes = read(self.source, path, ENTRY_BYTES_MAX).map_err(ProveError::Source)?;
            let stored = Stored::parse(&bytes).map_err(|_| ProveError::Damaged)?;
            let leaves = self.leaves.entry(*log).or_default();
            if u64::try_from(leaves.len()) != Ok(*number) {
                return Err(ProveError::Damaged);
            }
            leaves.push(leaf_hash(&stored.leaf));
            if let Ok(Entry { body: Body::Segment(segment), .. }) = Entry::from_value(&stored.evidence) {
                let has = wanted.iter().enumerate().filter(|(_, wanted)| wanted.is_in(&segment)).map(|(at, _)| at);
                found.extend(has.map(|wanted| Found { wanted, log: *log, number: *number, segment: segment.clone() }));
            }
        }
        Ok(found)
    }

    /// The newest checkpoint that covers an entry.
    fn head(&self, log: LogId, number: u64) -> Result<(SignedNote, Vec<u8>), ProveError> {
        for ((_, _), path) in self.notes.range((log, number.saturating_add(1))..=(log, u64::MAX)).rev() {
            let bytes = read(self.source, path, NOTE_BYTES_MAX).map_err(ProveError::Source)?;
            let note = std::str::from_utf8(&bytes).ok().and_then(|text| SignedNote::parse(text).ok());
            if let Some(note) = note.filter(|note| note.checkpoint.size > number) {
                return Ok((note, bytes));
            }
        }
        Err(ProveError::NoHead(number))
    }

    fn prove(&self, wanted: &Wanted, found: &Found, out: &Path, proof: &mut Proof) -> Result<(), ProveError> {
        let output = |source| ProveError::Output { to: out.display().to_string(), source };
        let (log, number) = (found.log, found.number);
        let (note, note_bytes) = self.head(log, number)?;
        let size = usize::try_from(note.checkpoint.size).map_err(|_| ProveError::Damaged)?;
        let leaves = self.leaves.get(&log).and_then(|leaves| leaves.get(..size)).ok_or(ProveError::Damaged)?;
        let entry_path = hex(&prove_inclusion(leaves, number));
        let stored = self.entries.get(&(log, number)).ok_or(ProveError::Damaged)?;
        let stored = read(self.source, stored, ENTRY_BYTES_MAX).map_err(ProveError::Source)?;
        let (entry, checkpoint) = (format!("entry-{log}-{number}.json"), format!("checkpoint-{log}-{size}"));
        fs::write(out.join(&entry), stored).map_err(output)?;
        fs::write(out.join(&checkpoint), note_bytes).map_err(output)?;
        for proved in self.proved(wanted, found, out, proof.items.len())? {
            let (entry, checkpoint, entry_path) = (entry.clone(), checkpoint.clone(), entry_path.clone());
            proof.items.push(Item { entry, checkpoint, entry_path, proved });
        }
        Ok(())
    }

    /// Copies what is wanted, and gives the proof of it below the entry.
    fn proved(&self, wanted: &Wanted, found: &Found, out: &Path, first: usize) -> Result<Vec<Proved>, ProveError> {
        let output = |source| ProveError::Output { to: out.display().to_string(), source };
        let open = |name: &str| {
            let path = self.files.get(name).ok_or_else(|| ProveError::Gone(name.to_owned()))?;
            self.source.open(path).map_err(ProveError::Source)
        };
        match wanted {
            Wanted::File(name) => {
                let file = format!("file-{first}-{name}");
                let mut copy = fs::File::create_new(out.join(&file)).map_err(output)?;
                io::copy(&mut open(name)?, &mut copy).map_err(output)?;
                Ok(vec![Proved::File { name: name.clone(), file }])
            }
            Wanted::Record { conversation, seq } => {
                let (mut leaves, mut lines) = (Vec::new(), Vec::new());
                deep::lines(open(&found.segment.name)?, |line| {
                    if is_record(line, conversation, *seq) {
                        lines.push((leaves.len(), line.to_vec()));
                    }
                    leaves.push(leaf_hash(line));
                })
                .map_err(ProveError::Source)?;
                if retaind_evidence::tree::root(&leaves) != found.segment.records_root {
                    return Err(ProveError::Gone(found.segment.name.clone()));
                }
                let mut proved = Vec::new();
                for (at, (index, mut line)) in lines.into_iter().enumerate() {
                    let file = format!("line-{}.json", first.saturating_add(at));
                    let index = u64::try_from(index).unwrap_or(u64::MAX);
                    line.push(b'\n');
                    fs::write(out.join(&file), line).map_err(output)?;
                    proved.push(Proved::Record { file, index, path: hex(&prove_inclusion(&leaves, index)) });
                }
                Ok(proved)
            }
        }
    }

    fn write_keys(&self, out: &Path) -> io::Result<()> {
        fs::create_dir(out.join(KEYS))?;
        for path in &self.keys {
            let name = path.rsplit('/').next().unwrap_or(path);
            fs::write(out.join(KEYS).join(name), read(self.source, path, 1024)?)?;
        }
        Ok(())
    }
}

fn hex(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| HEXLOWER.encode(hash)).collect()
}

fn is_record(line: &[u8], conversation: &str, seq: u64) -> bool {
    serde_json::from_slice::<Value>(line).is_ok_and(|record| {
        record.get("vgroupid").and_then(Value::as_str) == Some(conversation)
            && record.get("seq").and_then(Value::as_u64) == Some(seq)
    })
}
