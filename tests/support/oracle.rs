//! The oracle: every message that the network has accepted is an obligation (conversation, seq, SHA-256 of what was said),
//! and an archive has to meet all of them: nothing missing, doubled, altered, out of order, torn or strayed, each attachment
//! byte for byte.
//!
//! One checker for replays, random traffic, killed processes and simulations; [`Archive`] is what it reads. It is tested
//! itself by bots that are built wrongly (`tests/faults/simulation.rs`).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{Context, SHA256, digest};
use data_encoding::HEXLOWER;
use retaind::protocol::ids::{ConversationId, UserName};
use retaind::replay::{Observer, Sent, SentWhat};
use serde::Deserialize;
use serde_json::Value;

use super::message_files;

/// What a message says, as its sender meant it and as its record has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The bot was added.
    Joined,
    /// A room was made.
    RoomCreated,
    /// A text.
    Text { sender: String, text: String },
    /// Members came and went, by name.
    Members { added: Vec<String>, removed: Vec<String> },
    /// A file, with the SHA-256 of its bytes in hex.
    File { sender: String, name: String, sha256: String },
    /// A file that the network does not have (any more), or not as it was announced.
    MissingFile { sender: String, name: String },
    /// What cannot be decrypted, with the SHA-256 of the ciphertext in hex.
    Unreadable { sha256: String },
    /// Any other kind, with its `edit` or `control` as JSON, keys sorted.
    Other { msgtype: u32, sender: String, what: String },
}

impl Said {
    /// SHA-256 of all that was said.
    pub fn digest(&self) -> [u8; 32] {
        digest(&SHA256, format!("{self:?}").as_bytes()).as_ref().try_into().unwrap()
    }

    /// A text.
    pub fn text(sender: &UserName, text: &str) -> Self {
        Self::Text { sender: sender.to_string(), text: text.to_owned() }
    }

    /// Users who came and went.
    pub fn members(added: &[UserName], removed: &[UserName]) -> Self {
        let names = |users: &[UserName]| {
            let mut names: Vec<String> = users.iter().map(UserName::to_string).collect();
            names.sort_unstable();
            names
        };
        Self::Members { added: names(added), removed: names(removed) }
    }
}

/// Digests by place, by conversation.
type Owed = HashMap<ConversationId, BTreeMap<u64, [u8; 32]>>;

/// All that is owed.
#[derive(Clone, Default)]
pub struct Obligations(Arc<Mutex<Owed>>);

/// What an archive holds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Records.
    pub records: u64,
    /// Texts among them.
    pub texts: u64,
    /// Membership records among them.
    pub membership: u64,
    /// Attachments that are there.
    pub attachments: u64,
    /// Bytes of message files.
    pub bytes: u64,
}

/// How an obligation, or the archive, is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    /// Accepted and acknowledged, and not there.
    Missing,
    /// There twice.
    Doubled,
    /// There, and not what was said; or an attachment that is not the one that was sent.
    Altered,
    /// Behind a message that came later.
    Misplaced,
    /// A line that is none, or half of one.
    Torn,
    /// A record that nobody owes, or a file without a record.
    Stray,
}

/// What the checker found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What there is.
    pub kept: Kept,
    /// What is wrong, and where.
    pub broken: Vec<(Broken, String)>,
}

impl Verdict {
    /// Is every obligation met?
    pub fn is_whole(&self) -> bool {
        self.broken.is_empty()
    }

    /// How many are broken in this way.
    pub fn count(&self, how: Broken) -> usize {
        self.broken.iter().filter(|(broken, _)| *broken == how).count()
    }

    fn add(&mut self, how: Broken, what: impl fmt::Display) {
        self.broken.push((how, what.to_string()));
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broken", self.broken.len())?;
        self.broken.iter().take(5).try_for_each(|(how, what)| write!(f, "; {how:?}: {what}"))
    }
}

/// What a bot has left behind.
pub trait Archive {
    /// The message files with their names, in the order of their numbers, the open one last.
    fn message_files(&self) -> Vec<(String, Box<dyn BufRead + '_>)>;
    /// Names in the directory of attachments.
    fn file_names(&self) -> BTreeSet<String>;
    /// One of them.
    fn file(&self, name: &str) -> Box<dyn Read + '_>;
}

/// Directories of a real disk.
pub struct Directories {
    messages: PathBuf,
    files: PathBuf,
}

impl Directories {
    /// Of message files and of attachments.
    pub fn new(messages: &Path, files: &Path) -> Self {
        Self { messages: messages.to_owned(), files: files.to_owned() }
    }
}

impl Archive for Directories {
    fn message_files(&self) -> Vec<(String, Box<dyn BufRead + '_>)> {
        let open = |path: PathBuf| -> (String, Box<dyn BufRead>) {
            (path.display().to_string(), Box::new(BufReader::new(File::open(&path).unwrap())))
        };
        message_files(&self.messages).into_iter().map(open).collect()
    }
    fn file_names(&self) -> BTreeSet<String> {
        super::traffic::names(&self.files)
    }
    fn file(&self, name: &str) -> Box<dyn Read + '_> {
        Box::new(File::open(self.files.join(name)).unwrap())
    }
}

#[derive(Deserialize)]
struct Line {
    vgroupid: String,
    seq: u64,
    msgtype: u32,
    sender: String,
    message: Option<String>,
    control: Option<Value>,
    file: Option<Value>,
    ciphertext: Option<Value>,
    hole: Option<Value>,
    edit: Option<Value>,
}

fn text_of(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn listed(control: Option<&Value>, key: &str) -> Vec<String> {
    let users = control.and_then(|control| control[key].as_array()).cloned().unwrap_or_default();
    users.iter().map(|user| user.as_str().unwrap_or_default().to_owned()).collect()
}

impl Line {
    fn said(&self) -> Said {
        let (sender, control) = (self.sender.clone(), self.control.as_ref());
        match (self.msgtype, &self.file, &self.ciphertext) {
            (0, _, Some(ciphertext)) => Said::Unreadable { sha256: text_of(ciphertext, "sha256") },
            (1000, ..) => Said::Text { sender, text: self.message.clone().unwrap_or_default() },
            (4001, ..) => Said::RoomCreated,
            (4002, ..) => {
                Said::Members { added: listed(control, "addedusers"), removed: listed(control, "deletedusers") }
            }
            (4900, ..) if control.is_some_and(|control| control["action"] == "joined") => Said::Joined,
            (6000, Some(file), _) if file["status"] == "saved" => {
                Said::File { sender, name: text_of(file, "filename"), sha256: text_of(file, "filehash") }
            }
            (6000, Some(file), _) => Said::MissingFile { sender, name: text_of(file, "filename") },
            (msgtype, ..) => {
                let what = self.edit.as_ref().or(control).map(Value::to_string).unwrap_or_default();
                Said::Other { msgtype, sender, what }
            }
        }
    }

    /// The files beside it, with the SHA-256 of their bytes in hex.
    fn beside(&self) -> Vec<(String, String)> {
        let file = self.file.as_ref();
        let saved = file.filter(|file| file["status"] == "saved");
        let saved = saved.map(|file| (text_of(file, "localfilename"), text_of(file, "filehash")));
        let kept = ["ciphertext", "decrypted"].into_iter().filter_map(|part| file?.get(part));
        let kept = kept.chain(&self.ciphertext).map(|kept| (text_of(kept, "file"), text_of(kept, "sha256")));
        saved.into_iter().chain(kept).collect()
    }
}

fn sha256_of(mut bytes: impl Read) -> String {
    let mut context = Context::new(&SHA256);
    let mut piece = vec![0; 64 * 1024];
    loop {
        match bytes.read(&mut piece).unwrap() {
            0 => return HEXLOWER.encode(context.finish().as_ref()),
            read => context.update(&piece[..read]),
        }
    }
}

impl Obligations {
    /// One more message was accepted.
    pub fn owe(&self, conversation: ConversationId, seq: u64, said: &Said) {
        let before = self.0.lock().unwrap().entry(conversation).or_default().insert(seq, said.digest());
        assert!(before.is_none(), "two messages were accepted at place {seq} of {conversation}");
    }

    /// The digest is known, not what was said.
    pub fn owe_digest(&self, conversation: ConversationId, seq: u64, digest: [u8; 32]) {
        self.0.lock().unwrap().entry(conversation).or_default().insert(seq, digest);
    }

    /// Writes down what a replay tells.
    pub fn observer(&self) -> Observer {
        let owed = self.clone();
        Arc::new(move |sent: &Sent<'_>| {
            let said = match sent.what {
                SentWhat::Created { .. } => Said::Joined,
                SentWhat::RoomCreated { .. } => Said::RoomCreated,
                SentWhat::Text { user, text, .. } => Said::text(user, text),
                SentWhat::Members { added, removed, .. } => Said::members(added, removed),
            };
            owed.owe(sent.conversation, sent.seq, &said);
        })
    }

    /// How many records are owed.
    pub fn len(&self) -> u64 {
        self.0.lock().unwrap().values().map(|one| one.len() as u64).sum()
    }

    /// Reads the archive from its first line to its last and compares.
    pub fn judge(&self, archive: &dyn Archive) -> Verdict {
        let mut owed = self.0.lock().unwrap().clone();
        let mut last: HashMap<ConversationId, u64> = HashMap::new();
        let (mut verdict, mut beside) = (Verdict::default(), BTreeSet::new());
        let names = archive.file_names();
        for (name, mut reader) in archive.message_files() {
            let mut bytes = Vec::new();
            while reader.read_until(b'\n', &mut bytes).unwrap() > 0 {
                let parsed = bytes.strip_suffix(b"\n").map(serde_json::from_slice::<Line>);
                verdict.kept.bytes += bytes.len() as u64;
                let Some(Ok(line)) = parsed else {
                    verdict.add(Broken::Torn, format!("{name}: {}", String::from_utf8_lossy(&bytes)));
                    bytes.clear();
                    continue;
                };
                bytes.clear();
                let conversation: ConversationId = line.vgroupid.parse().unwrap();
                let place = format!("{conversation} {}", line.seq);
                if line.hole.is_some() {
                    // what is owed there stays missing
                    verdict.add(Broken::Stray, format!("{place}: a hole"));
                    continue;
                }
                verdict.record(&line, &place, &mut owed, last.insert(conversation, line.seq).unwrap_or(0));
                for (file, sha256) in line.beside() {
                    if !names.contains(&file) {
                        verdict.add(Broken::Missing, format!("{place}: file `{file}`"));
                    } else if sha256_of(archive.file(&file)) != sha256 {
                        verdict.add(Broken::Altered, format!("{place}: file `{file}`"));
                    } else {
                        verdict.kept.attachments += 1;
                    }
                    beside.insert(file);
                }
            }
        }
        for (conversation, places) in &owed {
            places.keys().for_each(|seq| verdict.add(Broken::Missing, format!("{conversation} {seq}")));
        }
        names.difference(&beside).for_each(|name| verdict.add(Broken::Stray, format!("file `{name}`")));
        verdict
    }

    /// The archive in these directories meets all obligations; otherwise panics with what it does not.
    pub fn check(&self, messages: &Path, files: &Path) -> Kept {
        let verdict = self.judge(&Directories::new(messages, files));
        assert!(verdict.is_whole(), "{verdict}");
        verdict.kept
    }
}

impl Verdict {
    fn record(&mut self, line: &Line, place: &str, owed: &mut Owed, previous: u64) {
        let said = line.said();
        self.kept.records += 1;
        self.kept.texts += u64::from(line.msgtype == 1000);
        self.kept.membership += u64::from(line.msgtype == 4002);
        let places = line.vgroupid.parse().ok().and_then(|conversation: ConversationId| owed.get_mut(&conversation));
        match places.and_then(|places| places.remove(&line.seq)) {
            Some(digest) if digest == said.digest() => {}
            Some(_) => self.add(Broken::Altered, format!("{place}: {said:?}")),
            None if line.seq <= previous => return self.add(Broken::Doubled, place),
            None => return self.add(Broken::Stray, format!("{place}: {said:?}")),
        }
        if line.seq < previous {
            self.add(Broken::Misplaced, place);
        }
    }
}
