//! What a replay owes to the archive: one record for every accepted message, at its place, saying the same.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use retaind::protocol::ids::{ConversationId, UserName};
use retaind::replay::{Observer, Sent, SentWhat};
use serde::Deserialize;
use serde_json::Value;

use super::message_files;

/// One accepted message, as short as it can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owed {
    Joined,
    RoomCreated,
    Text { sender: u64, text: [u8; 32] },
    Members { added: Vec<String>, removed: Vec<String> },
}

/// Everything that was accepted.
#[derive(Clone, Default)]
pub struct Obligations(Arc<Mutex<HashMap<ConversationId, BTreeMap<u64, Owed>>>>);

/// What an archive held, once it was found to be right.
#[derive(Debug, Default, Clone, Copy)]
pub struct Kept {
    /// Records.
    pub records: u64,
    /// Texts among them.
    pub texts: u64,
    /// Membership records among them.
    pub membership: u64,
    /// Bytes of message files.
    pub bytes: u64,
}

#[derive(Deserialize)]
struct Line {
    vgroupid: String,
    seq: u64,
    msgtype: u32,
    sender: String,
    message: Option<String>,
    control: Option<Value>,
}

fn hash(text: &str) -> [u8; 32] {
    digest(&SHA256, text.as_bytes()).as_ref().try_into().unwrap()
}

fn short(text: &str) -> u64 {
    u64::from_be_bytes(hash(text)[..8].try_into().unwrap())
}

fn names(users: &[UserName]) -> Vec<String> {
    let mut names: Vec<String> = users.iter().map(UserName::to_string).collect();
    names.sort_unstable();
    names
}

fn listed(control: &Option<Value>, key: &str) -> Vec<String> {
    let users = control.as_ref().and_then(|control| control[key].as_array()).cloned().unwrap_or_default();
    users.iter().map(|user| user.as_str().unwrap().to_owned()).collect()
}

impl Obligations {
    /// Writes down what a replay tells.
    pub fn observer(&self) -> Observer {
        let owed = self.0.clone();
        Arc::new(move |sent: &Sent<'_>| {
            let what = match sent.what {
                SentWhat::Created { .. } => Owed::Joined,
                SentWhat::RoomCreated { .. } => Owed::RoomCreated,
                SentWhat::Text { user, text, .. } => Owed::Text { sender: short(user.as_str()), text: hash(text) },
                SentWhat::Members { added, removed, .. } => {
                    Owed::Members { added: names(added), removed: names(removed) }
                }
            };
            let before = owed.lock().unwrap().entry(sent.conversation).or_default().insert(sent.seq, what);
            assert!(before.is_none(), "two messages were accepted at place {} of {}", sent.seq, sent.conversation);
        })
    }

    /// How many records are owed.
    pub fn len(&self) -> u64 {
        self.0.lock().unwrap().values().map(|one| one.len() as u64).sum()
    }

    /// Reads the archive from its first line to its last. Panics at the first thing that is missing, doubled, altered,
    /// torn or out of order; otherwise says what there was.
    pub fn check(&self, messages: &Path) -> Kept {
        let mut owed = self.0.lock().unwrap().clone();
        let mut last: HashMap<ConversationId, u64> = HashMap::new();
        let mut kept = Kept::default();
        for file in message_files(messages) {
            let mut reader = BufReader::new(File::open(&file).unwrap());
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap() > 0 {
                assert!(line.ends_with('\n'), "torn line in {file:?}");
                let record: Line = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{file:?}: {e}: {line}"));
                let conversation: ConversationId = record.vgroupid.parse().unwrap();
                let previous = last.insert(conversation, record.seq).unwrap_or(0);
                assert_eq!(record.seq, previous + 1, "{conversation}: a place is missing, doubled or out of order");
                let found = match record.msgtype {
                    1000 => {
                        Owed::Text { sender: short(&record.sender), text: hash(record.message.as_deref().unwrap()) }
                    }
                    4001 => Owed::RoomCreated,
                    4002 => Owed::Members {
                        added: listed(&record.control, "addedusers"),
                        removed: listed(&record.control, "deletedusers"),
                    },
                    4900 => Owed::Joined,
                    other => panic!("{conversation} {}: a record of type {other}: {line}", record.seq),
                };
                let expected = owed.get_mut(&conversation).and_then(|places| places.remove(&record.seq));
                assert_eq!(Some(&found), expected.as_ref(), "{conversation} {}", record.seq);
                kept.records += 1;
                kept.texts += u64::from(record.msgtype == 1000);
                kept.membership += u64::from(record.msgtype == 4002);
                kept.bytes += line.len() as u64;
                line.clear();
            }
        }
        let missing: usize = owed.values().map(BTreeMap::len).sum();
        assert_eq!(missing, 0, "accepted, but not in the archive");
        kept
    }
}
