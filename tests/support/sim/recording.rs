//! What simulated bots receive: a recording of real devices on a real network, made once, kept in `tests/faults/recording.bin`,
//! so that a seed does the same everywhere and for ever.
//!
//! It holds the bot's state as it was when it had registered, all that the network delivered to it since (MLS messages, some of
//! them damaged afterwards), the blobs (one of them damaged, one of them left out), and for each message the digest of what
//! must be archived. `RETAIND_BLESS=1 cargo nextest run recording` makes it again; seeds mean other lives then.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use prost::Message;
use retaind::device::account::{self, Proof};
use retaind::device::conversations::{Device, Reading};
use retaind::device::store::{STEPS, Store};
use retaind::protocol::content::{AttachmentKind, Body, Deletion, DeletionScope, Reaction, ReactionChange, TextEdit};
use retaind::protocol::ids::{ConversationId, ConversationKind};
use retaind::protocol::wire::{Delivery, DeliveryKind};
use retaind::state::vault::{Vault, VaultHeader};
use rusqlite::Connection;

use crate::support::oracle::Said;
use crate::support::source_model as model;
use crate::support::traffic::{Dice, sha256};
use crate::support::{BOT, Harness, PASSWORD, content, text, user};

/// Where it is.
pub const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/recording.bin");
const KEY_PACKAGES: usize = 8;
const PASSWORD_OF_STATE: &[u8] = b"a password for simulations";
const ROUNDS: u64 = 100;

/// A recording, as it is kept.
#[derive(Clone, PartialEq, Message)]
pub struct Recording {
    /// The file of the bot's state.
    #[prost(bytes = "vec", tag = "1")]
    pub state: Vec<u8>,
    /// What opens it, with [`PASSWORD_OF_STATE`].
    #[prost(bytes = "vec", tag = "2")]
    pub vault: Vec<u8>,
    /// What was delivered.
    #[prost(message, repeated, tag = "3")]
    pub conversations: Vec<Conversation>,
    /// Attachments as the network has them.
    #[prost(message, repeated, tag = "4")]
    pub blobs: Vec<Blob>,
}

/// One conversation, from its first place on.
#[derive(Clone, PartialEq, Message)]
pub struct Conversation {
    /// Its id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Its places, without a gap.
    #[prost(message, repeated, tag = "2")]
    pub places: Vec<Place>,
}

/// One message.
#[derive(Clone, PartialEq, Message)]
pub struct Place {
    /// As it was delivered.
    #[prost(message, required, tag = "1")]
    pub delivery: Delivery,
    /// Digest of what its record has to say.
    #[prost(bytes = "vec", tag = "2")]
    pub owed: Vec<u8>,
}

/// One attachment.
#[derive(Clone, PartialEq, Message)]
pub struct Blob {
    /// Its id.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// Its ciphertext.
    #[prost(bytes = "vec", tag = "2")]
    pub bytes: Vec<u8>,
}

impl Recording {
    /// The one that is kept.
    pub fn kept() -> Arc<Self> {
        static KEPT: OnceLock<Arc<Recording>> = OnceLock::new();
        let read = || {
            let mut recording = Self::decode(std::fs::read(PATH).unwrap().as_slice()).unwrap();
            recording.state = recording.state_brought_up();
            Arc::new(recording)
        };
        KEPT.get_or_init(read).clone()
    }

    /// The state in today's version: a start on the simulated disk finds nothing to bring up, of which it keeps copies elsewhere.
    fn state_brought_up(&self) -> Vec<u8> {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("recorded.db");
        std::fs::write(&path, &self.state).unwrap();
        drop(Store::open_unlocked(&path, self.vault(), STEPS).unwrap());
        std::fs::read(&path).unwrap()
    }

    /// The kept one as hostile members would have made it: a Welcome that cannot be used, a commit with a wrong tag, a message
    /// that would have members keep too much. From there on all of that conversation is ciphertext; the others are as they were.
    pub fn poisoned() -> Arc<Self> {
        static MADE: OnceLock<Arc<Recording>> = OnceLock::new();
        MADE.get_or_init(|| {
            let mut recording = Self::clone(&Self::kept());
            let wrong_tag = |payload: &mut Vec<u8>| *payload.last_mut().unwrap() ^= 1;
            recording.poison(0, DeliveryKind::Handshake, wrong_tag);
            recording.poison(2, DeliveryKind::Welcome, wrong_tag);
            recording.poison(3, DeliveryKind::Application, |payload| *payload = heavy_proposal());
            Arc::new(recording)
        })
        .clone()
    }

    /// Poisons the first message of this kind that is not the first of all; of a Welcome the first.
    fn poison(&mut self, conversation: usize, kind: DeliveryKind, change: impl Fn(&mut Vec<u8>)) {
        let places = &mut self.conversations[conversation].places;
        let at = places.iter().position(|place| place.delivery.kind == kind as i32).unwrap();
        change(&mut places[at].delivery.payload);
        if kind == DeliveryKind::Application {
            places[at].delivery.kind = DeliveryKind::Handshake as i32;
        }
        for place in &mut places[at..] {
            place.owed = Said::Unreadable { sha256: sha256(&place.delivery.payload) }.digest().to_vec();
        }
    }

    /// What the model of a source receives, and its state before: made by each process, the same each time.
    pub fn of_model() -> Arc<Self> {
        static MADE: OnceLock<Arc<Recording>> = OnceLock::new();
        MADE.get_or_init(|| Arc::new(Self::make_of_model())).clone()
    }

    fn make_of_model() -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("recorded.db");
        let Self { vault, .. } = &*Self::kept();
        drop(Store::open_unlocked(&path, Self::kept().vault(), model::STEPS).unwrap());
        let state = std::fs::read(&path).unwrap();
        let mut dice = Dice(42);
        let mut conversations: Vec<Conversation> = (0..4)
            .map(|number| Conversation { id: model::conversation(number).to_string(), places: Vec::new() })
            .collect();
        for number in 0..ROUNDS {
            let Conversation { id, places } = &mut conversations[usize::try_from(dice.below(4)).unwrap()];
            let sender = "alice".to_owned();
            let (payload, said) = if dice.below(5) == 0 {
                let (name, size) = (format!("file {}.bin", dice.below(3)), dice.below(3000));
                let bytes: Vec<u8> = (0..size).map(|_| u8::try_from(dice.below(256)).unwrap()).collect();
                (model::file(&name, &bytes), Said::File { sender, name, sha256: sha256(&bytes) })
            } else {
                let words = format!("{number} {}", "déjà vu\n".repeat(usize::try_from(dice.below(30)).unwrap()));
                (model::text(&words), Said::Text { sender, text: words })
            };
            let delivery = model::delivery(&id.parse().unwrap(), places.len() as u64 + 1, payload);
            places.push(Place { delivery, owed: said.digest().to_vec() });
        }
        Self { state, vault: vault.clone(), conversations, blobs: Vec::new() }
    }

    /// What opens the state; once a process, because to derive a key is slow on purpose.
    pub fn vault(&self) -> Arc<Vault> {
        static VAULT: OnceLock<Arc<Vault>> = OnceLock::new();
        let unlock = || Arc::new(Vault::unlock(PASSWORD_OF_STATE, &VaultHeader::decode(&self.vault).unwrap()).unwrap());
        VAULT.get_or_init(unlock).clone()
    }

    /// How many messages there are.
    pub fn places(&self) -> usize {
        self.conversations.iter().map(|conversation| conversation.places.len()).sum()
    }

    /// Makes one.
    pub async fn make() -> Self {
        let harness = Harness::start();
        let path = harness.path().join("recorded.db");
        let store = Store::open(&path, PASSWORD_OF_STATE, STEPS).unwrap();
        let account = account::register(store, &harness.endpoint, Proof::Bot(BOT, PASSWORD), 4096).await.unwrap();
        let engine = account.engine(account.store.clone()).unwrap();
        account.replenish_key_packages(&engine, KEY_PACKAGES).await.unwrap();
        let mut talk = Talk::begin(&harness).await;
        for _ in 0..ROUNDS {
            talk.go_on(harness.path()).await;
        }
        let mut bot = Device::start_with_key_packages(account, 0).await.unwrap();
        bot.subscribe(4096, 1 << 30).await.unwrap();
        let mut delivered: HashMap<String, Vec<Delivery>> = HashMap::new();
        for _ in 0..talk.said.values().map(Vec::len).sum::<usize>() {
            let Some(retaind::device::pushes::Push::Delivery(delivery)) = bot.pushes().recv().await else {
                panic!("the network hung up");
            };
            delivered.entry(delivery.conversation.clone()).or_default().push(delivery);
        }
        drop((bot, engine));
        let mut conversations = Vec::new();
        for id in &talk.conversations {
            let deliveries = delivered.remove(&id.to_string()).unwrap();
            let said = talk.said.remove(id).unwrap();
            let places = deliveries.into_iter().zip(said).enumerate();
            conversations.push(Conversation {
                id: id.to_string(),
                places: places.map(|(index, (delivery, said))| place(index, delivery, said)).collect(),
            });
        }
        let blobs = talk.blobs(&harness);
        let vault: Vec<u8> = {
            let state = Connection::open(&path).unwrap();
            state.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
            state.query_row("SELECT value FROM meta WHERE name='vault'", [], |row| row.get(0)).unwrap()
        };
        let state = std::fs::read(&path).unwrap();
        harness.stop().await;
        Self { state, vault, conversations, blobs }
    }
}

/// Some texts are damaged on their way.
fn place(index: usize, mut delivery: Delivery, mut said: Said) -> Place {
    assert_eq!(delivery.seq, index as u64 + 1);
    if matches!(said, Said::Text { .. }) && index % 13 == 7 {
        assert_eq!(delivery.kind, DeliveryKind::Application as i32);
        let last = delivery.payload.len() - 3;
        delivery.payload[last] ^= 0x10;
        said = Said::Unreadable { sha256: sha256(&delivery.payload) };
    }
    Place { delivery, owed: said.digest().to_vec() }
}

/// Alice talks to bob and carol, and remembers what was said.
struct Talk {
    alice: Device,
    _others: [Device; 2],
    dice: Dice,
    conversations: Vec<ConversationId>,
    said: HashMap<ConversationId, Vec<Said>>,
    carol_is_in: bool,
    files: Vec<[u8; 32]>,
}

/// The one of the files that the network loses, and the one that it damages.
const LOST: usize = 3;
const DAMAGED: usize = 5;

impl Talk {
    async fn begin(harness: &Harness) -> Self {
        let others = [harness.device("bob").await, harness.device("carol").await];
        let mut alice = harness.device("alice").await;
        let mut conversations = Vec::new();
        for kind in [ConversationKind::Room, ConversationKind::Group, ConversationKind::Direct, ConversationKind::Room]
        {
            conversations.push(alice.create(kind, &[user("bob")]).await.unwrap());
        }
        let said = conversations.iter().map(|id| (*id, vec![Said::Joined])).collect();
        Self { alice, _others: others, dice: Dice(42), conversations, said, carol_is_in: false, files: Vec::new() }
    }

    async fn go_on(&mut self, scratch: &Path) {
        let conversation = self.conversations[usize::try_from(self.dice.below(4)).unwrap()];
        let sender = "alice".to_owned();
        let other = |msgtype, what: serde_json::Value| Said::Other {
            msgtype,
            sender: "alice".to_owned(),
            what: what.to_string(),
        };
        let about = text("what is edited");
        let (body, said) = match self.dice.below(16) {
            0..=2 => return self.file(conversation, scratch).await,
            3 => return self.member().await,
            4 => {
                let edit = serde_json::json!({
                    "originalmessageid": about.message_id.to_string(), "text": "corrected", "type": "text"
                });
                let body = Body::EditText(TextEdit { original: about.message_id, text: "corrected".to_owned() });
                (body, other(9000, edit))
            }
            5 => {
                let edit = serde_json::json!({
                    "originalmessageid": about.message_id.to_string(), "reaction": "👍", "reactAdded": true,
                    "type": "reaction"
                });
                let body = Body::Reaction(Reaction {
                    original: about.message_id,
                    reaction: "👍".to_owned(),
                    change: ReactionChange::Added,
                });
                (body, other(9100, edit))
            }
            6 => {
                let control = serde_json::json!({
                    "isrecall": true, "msgid": about.message_id.to_string(), "msgtype": 4011
                });
                let body = Body::Deleted(Deletion { target: about.message_id, scope: DeletionScope::Everyone });
                (body, other(4011, control))
            }
            _ => {
                let words = "déjà vu \u{1f600}\n".repeat(usize::try_from(self.dice.below(30)).unwrap());
                let words = format!("{} {words}", self.dice.below(u64::MAX));
                (text(&words).body, Said::Text { sender, text: words })
            }
        };
        self.alice.send(&conversation, &content(body)).await.unwrap();
        self.said.get_mut(&conversation).unwrap().push(said);
    }

    async fn file(&mut self, conversation: ConversationId, scratch: &Path) {
        let size = if self.files.len() == 4 { 70_000 } else { self.dice.below(3000) };
        let bytes: Vec<u8> = (0..size).map(|_| u8::try_from(self.dice.below(256)).unwrap()).collect();
        let name = format!("file {}.bin", self.dice.below(3));
        let path = scratch.join(&name);
        std::fs::write(&path, &bytes).unwrap();
        let attachment =
            retaind::device::blob::upload(self.alice.connection(), &path, AttachmentKind::File).await.unwrap();
        let sender = "alice".to_owned();
        let said = match self.files.len() {
            LOST | DAMAGED => Said::MissingFile { sender, name },
            _ => Said::File { sender, name, sha256: sha256(&bytes) },
        };
        self.files.push(attachment.blob);
        self.alice.send(&conversation, &content(Body::File(attachment))).await.unwrap();
        self.said.get_mut(&conversation).unwrap().push(said);
    }

    async fn member(&mut self) {
        let carol = [user("carol")];
        let (add, remove): (&[_], &[_]) = if self.carol_is_in { (&[], &carol) } else { (&carol, &[]) };
        self.carol_is_in = !self.carol_is_in;
        let conversation = self.conversations[0];
        self.alice.change(&conversation, add, remove, Reading::All, &mut Vec::new()).await.unwrap();
        self.said.get_mut(&conversation).unwrap().push(Said::members(add, remove));
    }

    fn blobs(&self, harness: &Harness) -> Vec<Blob> {
        let all = self.files.iter().enumerate().filter(|(index, _)| *index != LOST);
        all.map(|(index, id)| {
            let mut bytes = std::fs::read(harness.blob(id)).unwrap();
            if index == DAMAGED {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            Blob { id: id.to_vec(), bytes }
        })
        .collect()
    }
}

/// A handshake with a leaf of half a megabyte.
fn heavy_proposal() -> Vec<u8> {
    let mut message = vec![0, 1, 0, 1, 0];
    message.extend([0; 8]);
    // a member's Add of a key package, all of it one field of half a megabyte
    message.extend([1, 0, 0, 0, 0, 0, 2, 0, 1, 0, 1, 0, 7, 0x80, 8, 0, 0]);
    message.resize(message.len() + (1 << 19), 7);
    message
}
