//! Archives as the bot writes them: two conversations, attachments, a hole-free log of all the usual entries, two heads.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;
use retaind_evidence::checkpoint::{Checkpoint, SignedNote};
use retaind_evidence::entry::*;
use retaind_evidence::key::{SigningKey, Vkey};
use retaind_evidence::names;
use retaind_evidence::tree::{Hash, Tree, sha256};
use tempfile::TempDir;

pub(super) const NAME: &str = "compliance_bot.12345678";
pub(super) const CONVERSATIONS: [&str; 2] = ["aaaa", "bbbb"];
/// Lines of a message file.
const RECORDS: u64 = 6;

pub(super) fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_849_200 + seconds).unwrap()
}

/// An archive on disk, and the writer that goes on with it.
pub(super) struct Archive {
    pub(super) root: TempDir,
    pub(super) log: LogId,
    pub(super) key: SigningKey,
    pub(super) vkey: Vkey,
    pub(super) head: SignedNote,
    pub(super) tree: Tree,
    previous: Hash,
    clock: i64,
    segments: u64,
    seqs: BTreeMap<&'static str, u64>,
}

/// Where the archive's files are.
#[derive(Clone, Copy)]
pub(super) enum Layout {
    Flat,
    Folders,
}

pub(super) fn segment_name(number: u64) -> String {
    format!("receivedMessages_20261128T0700{number:02}.000Z_{number}.txt")
}

pub(super) fn attachment_name(number: u64) -> String {
    format!("attachment_2026112807000{number}000_a.pdf")
}

impl Archive {
    /// Without entries.
    pub(super) fn empty(seed: u8) -> Self {
        let key = SigningKey::from_seed(&[seed; 32]).unwrap();
        let vkey = key.vkey(NAME).unwrap();
        let head = SignedNote {
            checkpoint: Checkpoint { origin: NAME.to_owned(), size: 0, root: [0; 32] },
            signatures: Vec::new(),
        };
        let mut archive = Self {
            root: tempfile::tempdir().unwrap(),
            log: LogId([seed; 16]),
            key,
            vkey,
            head,
            tree: Tree::new(),
            previous: [0; 32],
            clock: 0,
            segments: 0,
            seqs: BTreeMap::new(),
        };
        archive.write(&names::key(&archive.vkey.key_id()), format!("{}\n", archive.vkey).as_bytes());
        archive.genesis(GenesisBecause::FirstStart, None);
        archive
    }

    /// genesis, 3 segments, receipt, interval, head of 6, pause, 3 segments, notice, head of 11, segment, head of 12.
    pub(super) fn usual(layout: Layout) -> Self {
        let mut archive = Self::empty(1);
        (0..3).for_each(|_| archive.segment());
        archive.receipt();
        archive.interval();
        archive.checkpoint();
        archive.pause();
        (0..3).for_each(|_| archive.segment());
        archive.entry(Body::Notice(Notice { code: NoticeCode::Settings, about: "RETAIND_ROTATE".to_owned() }));
        archive.checkpoint();
        archive.segment();
        archive.checkpoint();
        if matches!(layout, Layout::Folders) {
            for folder in ["messages", "attachments"] {
                fs::create_dir(archive.root.path().join(folder)).unwrap();
            }
            for number in 1..=archive.segments {
                archive.rename(&segment_name(number), &format!("messages/{}", segment_name(number)));
                archive.rename(&attachment_name(number), &format!("attachments/{}", attachment_name(number)));
            }
        }
        archive
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub(super) fn write(&self, path: &str, bytes: &[u8]) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), bytes).unwrap();
    }

    pub(super) fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.path(path)).unwrap()
    }

    pub(super) fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::create_dir_all(self.path(to).parent().unwrap()).unwrap();
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(super) fn copy(&self, from: &str, to: &str) {
        self.write(to, &self.read(from));
    }

    pub(super) fn exchange(&self, one: &str, other: &str) {
        let (first, second) = (self.read(one), self.read(other));
        self.write(one, &second);
        self.write(other, &first);
    }

    pub(super) fn change(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.read(path);
        change(&mut bytes);
        self.write(path, &bytes);
    }

    pub(super) fn entry_path(&self, number: u64) -> String {
        names::entry(&self.log, number)
    }

    pub(super) fn checkpoint_path(&self, size: u64) -> String {
        names::checkpoint(&self.log, size)
    }

    pub(super) fn genesis(&mut self, because: GenesisBecause, previous_log: Option<PreviousLog>) {
        self.entry(Body::Genesis(Genesis {
            vkeys: vec![self.vkey.to_string()],
            previous_log,
            because,
            segments_before: Vec::new(),
            settings: [("RETAIND_EVIDENCE_INTERVAL".to_owned(), "60".to_owned())].into(),
        }));
    }

    pub(super) fn entry(&mut self, body: Body) {
        let key = SigningKey::from_seed(&self.key.seed()).unwrap();
        self.entry_signed_by(body, &[&key]);
    }

    pub(super) fn entry_signed_by(&mut self, body: Body, keys: &[&SigningKey]) {
        let from = time(self.clock);
        if self.tree.size() > 0 {
            self.clock += 60;
        }
        let bot = Bot {
            name: "compliance_bot".to_owned(),
            device: "5f0c".to_owned(),
            network_id: "12345678".to_owned(),
            version: "0.1.0".to_owned(),
        };
        let (number, to) = (self.tree.size(), time(self.clock));
        let covers = Covers { from, to };
        let leaf = Entry { log: self.log, number, previous: self.previous, made_at: to, covers, bot, body }.leaf();
        let ids: Vec<String> = keys.iter().map(|key| key.vkey(NAME).unwrap().key_id()).collect();
        let keys: Vec<(&str, &SigningKey)> = ids.iter().map(String::as_str).zip(keys.iter().copied()).collect();
        self.write(&self.entry_path(number), &sign(&leaf, &keys));
        self.previous = previous_hash(&leaf);
        self.tree.push(&leaf);
    }

    /// An empty log of another id and this key.
    pub(super) fn start_again(&mut self, key: SigningKey) {
        (self.tree, self.previous, self.clock) = (Tree::new(), [0; 32], 0);
        self.use_key(key);
    }

    /// Signs with it from now on.
    pub(super) fn use_key(&mut self, key: SigningKey) {
        self.vkey = key.vkey(NAME).unwrap();
        self.key = key;
    }

    /// The conversation goes on with messages that are not archived.
    pub(super) fn skip(&mut self, conversation: &'static str, messages: u64) {
        *self.seqs.entry(conversation).or_insert(1) += messages;
    }

    /// Nothing is attested for this long.
    pub(super) fn be_silent(&mut self, seconds: i64) {
        self.clock += seconds;
    }

    /// A message file and one attachment.
    pub(super) fn segment(&mut self) {
        self.segment_with(&[]);
    }

    /// The same, with messages that the network did not deliver in the first conversation before the others.
    pub(super) fn segment_with(&mut self, holes: &[u64]) {
        self.segments += 1;
        let number = self.segments;
        let (name, file) = (segment_name(number), attachment_name(number));
        let content = format!("attachment {number}, {}", "x".repeat(100));
        self.write(&file, content.as_bytes());
        let (mut bytes, mut tree, mut conversations) = (Vec::new(), Tree::new(), Vec::new());
        for id in CONVERSATIONS {
            let seq = self.seqs.entry(id).or_insert(1);
            let first = *seq;
            let skipped: &[u64] = if id == CONVERSATIONS[0] { holes } else { &[] };
            *seq += skipped.len() as u64;
            for at in 0..RECORDS / 2 {
                let record = serde_json::json!({
                    "message": format!("message {seq} of {id} in {number}"),
                    "msgtype": 1000,
                    "seq": *seq + at,
                    "vgroupid": id,
                });
                let line = serde_json::to_string(&record).unwrap();
                tree.push(line.as_bytes());
                bytes.extend(line.bytes().chain([b'\n']));
            }
            *seq += RECORDS / 2;
            let first = first + skipped.len() as u64;
            conversations.push(ConversationRange {
                id: id.to_owned(),
                first: Count(first - skipped.len() as u64),
                last: Count(*seq - 1),
                records: Count(RECORDS / 2),
                holes: skipped.iter().map(|_| [Count(first - 1), Count(first - 1)]).collect(),
            });
        }
        self.write(&name, &bytes);
        let file = FileRef {
            name: file,
            bytes: Count(content.len() as u64),
            sha256: sha256(content.as_bytes()),
            kind: FileKind::Attachment,
            conversation: CONVERSATIONS[0].to_owned(),
            seq: Count(1),
        };
        self.entry(Body::Segment(Segment {
            name,
            number: Count(number),
            bytes: Count(bytes.len() as u64),
            records: Count(RECORDS),
            sha256: sha256(&bytes),
            records_root: tree.root(),
            sealed_by: SealedBy::Size,
            first_received: Some(time(self.clock)),
            last_received: Some(time(self.clock + 1)),
            first_accepted: None,
            last_accepted: None,
            types: [("1000".to_owned(), Count(RECORDS))].into(),
            unreadable: Count(0),
            holes: Count(holes.len() as u64),
            files_missing: Count(0),
            conversations,
            files: vec![file],
        }));
    }

    fn receipt(&mut self) {
        let objects = (1..=self.segments).map(|number| {
            let bytes = self.read(&segment_name(number));
            Object {
                name: segment_name(number),
                bytes: Count(bytes.len() as u64),
                sha256: sha256(&bytes),
                plain_sha256: Some(sha256(&bytes)),
                encryption: Encryption::None,
                bucket: "archive".to_owned(),
                key: segment_name(number),
                version: None,
                lock: None,
                stored_at: time(self.clock),
            }
        });
        let objects = objects.collect();
        self.entry(Body::Receipt(Receipt { objects }));
    }

    pub(super) fn interval(&mut self) {
        self.interval_of(None);
    }

    pub(super) fn open_interval(&mut self, open: OpenFile) {
        self.interval_of(Some(open));
    }

    fn interval_of(&mut self, open: Option<OpenFile>) {
        self.entry(Body::Interval(Interval {
            records: Count(0),
            open,
            connected_seconds: Some(Count(60)),
            conversations: Count(2),
            heads_root: [0; 32],
        }));
    }

    fn pause(&mut self) {
        let (from, to) = (time(self.clock), time(self.clock + 60));
        self.entry(Body::Pause(Pause { from, to, ended: Ended::Orderly, first_seq_after: BTreeMap::new() }));
    }

    pub(super) fn note(&self) -> Checkpoint {
        Checkpoint { origin: NAME.to_owned(), size: self.tree.size(), root: self.tree.root() }
    }

    pub(super) fn checkpoint(&mut self) {
        let text = self.note().sign(NAME, &self.key).unwrap();
        self.write(&self.checkpoint_path(self.tree.size()), text.as_bytes());
        self.head = SignedNote::parse(&text).unwrap();
    }
}
