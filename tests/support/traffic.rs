//! A device that sends whatever comes to its mind into several conversations; all of it is owed by the archive.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use retaind::core::fault::Faulty as _;
use retaind::device::blob;
use retaind::device::conversations::{Device, Reading};
use retaind::protocol::content::{AttachmentKind, Body};
use retaind::protocol::ids::{ConversationId, ConversationKind};
use tokio::sync::mpsc;

use super::oracle::{Obligations, Said};
use super::program::CANARY;
use super::{content, message_files, text, user};

/// Repeatable randomness: splitmix64.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// A device with something to say. `bob` and `carol` must be registered.
pub struct Traffic {
    device: Device,
    dice: Dice,
    upload: PathBuf,
    conversations: Vec<ConversationId>,
    carol_is_in: bool,
    number: u64,
    obligations: Obligations,
}

impl Traffic {
    /// Begins a room, a group and a direct conversation.
    pub async fn begin(mut device: Device, seed: u64, scratch: &Path) -> Self {
        let mut conversations = Vec::new();
        for kind in [ConversationKind::Room, ConversationKind::Group, ConversationKind::Direct] {
            conversations.push(device.create(kind, &[user("bob")]).await.unwrap());
        }
        let obligations = Obligations::default();
        conversations.iter().for_each(|id| obligations.owe(*id, 1, &Said::Joined));
        let upload = scratch.join("upload");
        std::fs::create_dir(&upload).unwrap();
        Self { device, dice: Dice(seed), upload, conversations, carol_is_in: false, number: 0, obligations }
    }

    /// Begins one more conversation, which the bot will join.
    pub async fn begin_another(&mut self, kind: ConversationKind) {
        let conversation = self.device.create(kind, &[user("bob")]).await.unwrap();
        self.conversations.push(conversation);
        self.obligations.owe(conversation, 1, &Said::Joined);
    }

    /// Sends as many messages as it is told to, each time it is told, until nobody tells any more.
    pub async fn run(mut self, mut turns: mpsc::UnboundedReceiver<u64>) -> Self {
        while let Some(messages) = turns.recv().await {
            self.say(messages).await;
        }
        self
    }

    /// Sends this many messages.
    pub async fn say(&mut self, messages: u64) {
        for _ in 0..messages {
            self.number += 1;
            match self.dice.below(20) {
                0..=2 => self.file().await,
                3 => self.member().await,
                _ => self.text().await,
            }
        }
    }

    /// Sends this many texts.
    pub async fn texts(&mut self, messages: u64) {
        for _ in 0..messages {
            self.number += 1;
            self.text().await;
        }
    }

    fn conversation(&mut self) -> ConversationId {
        let index = usize::try_from(self.dice.below(self.conversations.len() as u64)).unwrap();
        self.conversations[index]
    }

    fn sender(&self) -> String {
        self.device.identity().user.to_string()
    }

    async fn text(&mut self) {
        let padding = "\u{1f600} \u{1}é".repeat(usize::try_from(self.dice.below(40)).unwrap());
        let words = format!("{CANARY} {} {padding}", self.number);
        let conversation = self.conversation();
        let seq = self.device.send(&conversation, &text(&words)).await.unwrap();
        self.obligations.owe(conversation, seq, &Said::Text { sender: self.sender(), text: words });
    }

    /// Sends a file.
    pub async fn file(&mut self) {
        // all have the same time, and many the same name
        let name = format!("file {}.bin", self.dice.below(3));
        let size = match self.dice.below(8) {
            0 => 0,
            1..=5 => self.dice.below(20_000),
            _ => self.dice.below(400_000),
        };
        let mut bytes = Vec::new();
        while bytes.len() < usize::try_from(size).unwrap() {
            bytes.extend(self.dice.below(u64::MAX).to_le_bytes());
        }
        let path = self.upload.join(&name);
        std::fs::write(&path, &bytes).unwrap();
        let attachment = loop {
            match blob::upload(self.device.connection(), &path, AttachmentKind::File).await {
                Ok(attachment) => break attachment,
                // the network is away: a device that is patient waits for it
                Err(blob::BlobError::Connection(error)) if error.is_temporary() => {
                    self.device.reconnect().await.unwrap();
                }
                Err(error) => panic!("{error}"),
            }
        };
        let conversation = self.conversation();
        let seq = self.device.send(&conversation, &content(Body::File(attachment))).await.unwrap();
        let said = Said::File { sender: self.sender(), name, sha256: sha256(&bytes) };
        self.obligations.owe(conversation, seq, &said);
    }

    /// Adds a member to the room, or removes it again.
    pub async fn member(&mut self) {
        let conversation = self.conversations[0];
        let carol = [user("carol")];
        let (add, remove): (&[_], &[_]) = if self.carol_is_in { (&[], &carol) } else { (&carol, &[]) };
        self.carol_is_in = !self.carol_is_in;
        let changed = self.device.change(&conversation, add, remove, Reading::All, &mut Vec::new()).await;
        self.obligations.owe(conversation, changed.unwrap(), &Said::members(add, remove));
    }

    /// How many records there must be in all: what was sent, and the bot's joining.
    pub fn places(&self) -> usize {
        usize::try_from(self.obligations.len()).unwrap()
    }

    /// What the archive owes, to be judged elsewhere.
    pub fn obligations(&self) -> &Obligations {
        &self.obligations
    }

    /// Everything that was sent is in the archive once, in order and whole, and nothing else is.
    pub fn is_archived(&self, messages: &Path, files: &Path) {
        self.obligations.check(messages, files);
    }
}

/// All message files are sealed, none is larger than `size_max` but for a single record, and no number is left out.
pub fn is_sealed(messages: &Path, size_max: u64) {
    let numbers: Vec<u64> = message_files(messages)
        .iter()
        .map(|path| {
            let bytes = std::fs::read(path).unwrap();
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
            assert!(lines > 0 && (bytes.len() as u64 <= size_max || lines == 1), "{path:?}");
            let (_, number) = path.file_stem().unwrap().to_str().unwrap().rsplit_once('_').unwrap();
            number.parse().unwrap()
        })
        .collect();
    assert_eq!(names(messages).len(), numbers.len(), "something is unfinished: {:?}", names(messages));
    for pair in numbers.windows(2) {
        assert_eq!(pair[0] + 1, pair[1], "numbers of message files");
    }
}

pub fn names(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // it is there where the directory is a volume of its own
    names.filter(|name| name != "_evidence").collect()
}

pub fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}
