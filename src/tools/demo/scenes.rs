//! What the recorded conversation does not have: four devices use everything else that people can do.
//!
//! A direct conversation, a group and a room; between them every type of message but those that no device sends. What is
//! said are lines of the recorded conversation, one after the other. The users are not in the recording, so that the two
//! can go on side by side without waiting for each other's key packages.
//!
//! Everybody reads all before saying something, as a person's device does.

use std::fs;
use std::iter::Cycle;
use std::path::Path;
use std::sync::Arc;
use std::vec;

use super::audit::measured;
use super::ledger::{Expected, Ledger};
use retaind_archive::record::MSGTYPE_KEY_EVENT;
use retaind_core::clock::{Clock, SystemClock};
use retaind_device::account::{self, Proof};
use retaind_device::blob;
use retaind_device::conversations::{Device, Reading, random};
use retaind_device::store::{STEPS, Store};
use retaind_network::Network;
use retaind_process::Failure;
use retaind_protocol::attachment::AttachmentKey;
use retaind_protocol::content::{
    AttachmentKind, Attribute, Body, Call, CallOutcome, CallPhase, CallRoute, Content, Deletion, DeletionScope,
    LiveLocation, Pin, Position, Reaction, ReactionChange, ReadReceipt, RoomState, SavedItem, SavedItemAction, Text,
    TextEdit, UserHash, Verification, VerificationStep, changemask, kind,
};
use retaind_protocol::credential::Role;
use retaind_protocol::endpoint::Endpoint;
use retaind_protocol::ids::{ConversationId, ConversationKind, MessageId, UserName};
use retaind_state::vault::Vault;

/// Who plays: nicknames of the corpus that are not in the recording.
pub(super) const PLAYERS: [&str; 4] = ["Seveas", "crimsun", "jrib", "soundray"];
/// One-time key packages of a player: it is added to three conversations.
const KEY_PACKAGES: usize = 4;
/// More than three ranges of an attachment, and not a whole number of its chunks.
const LARGE_FILE_BYTES: usize = 3 * 1024 * 1024 + 1;
/// The observatory of Greenwich.
const PLACE: Position = Position { latitude: 51.477_811, longitude: -0.001_475 };
const SECOND_MICROS: i64 = 1_000_000;

/// All that the scenes need.
pub(super) struct Scenes<'a> {
    network: &'a Network,
    endpoint: &'a Endpoint,
    /// Shared: to derive a key from a password is slow on purpose.
    vault: Arc<Vault>,
    ledger: &'a Ledger,
    /// Where the files are that are sent.
    outbox: &'a Path,
    recording: &'a [u8],
    lines: Cycle<vec::IntoIter<String>>,
}

/// A message that was accepted.
struct Said {
    id: MessageId,
    sent_at_micros: i64,
}

impl<'a> Scenes<'a> {
    /// On `network`, with words from `lines`.
    pub(crate) fn new(
        network: &'a Network,
        endpoint: &'a Endpoint,
        ledger: &'a Ledger,
        outbox: &'a Path,
        recording: &'a [u8],
        lines: Vec<String>,
    ) -> Result<Self, Failure> {
        let password: [u8; 32] = random().map_err(Failure::internal)?;
        let (vault, _) = Vault::create(&password).map_err(Failure::internal)?;
        let lines = lines.into_iter().cycle();
        Ok(Self { network, endpoint, vault: Arc::new(vault), ledger, outbox, recording, lines })
    }

    /// Plays all of them.
    pub(crate) async fn play(mut self) -> Result<(), Failure> {
        let [one, two, three, four] = PLAYERS;
        let (mut one, mut two) = (self.enter(one).await?, self.enter(two).await?);
        let (mut three, mut four) = (self.enter(three).await?, self.enter(four).await?);
        self.direct(&mut one, &mut two).await?;
        self.group(&mut one, &mut two, &mut three).await?;
        self.room(&mut one, &mut two, &mut three, &mut four).await
    }

    /// Two people compare keys, talk, correct themselves, call each other and say where they are.
    async fn direct(&mut self, one: &mut Device, two: &mut Device) -> Result<(), Failure> {
        let direct = self.create(one, ConversationKind::Direct, &[&*two]).await?;
        let verify =
            |step, of: &Device| Body::Verification(Verification { step, key: of.identity().signature_key.to_vec() });
        let step = verify(VerificationStep::Request, one);
        self.send(one, &direct, step).await?;
        let step = verify(VerificationStep::ResponseAndRequest, two);
        self.send(two, &direct, step).await?;
        let step = verify(VerificationStep::Accept, one);
        self.send(one, &direct, step).await?;

        let first = self.say(one, &direct).await?;
        let read = ReadReceipt { message_sent_at_micros: first.sent_at_micros, read_at_secs: now() / SECOND_MICROS };
        self.send(two, &direct, Body::ReadReceipt(read)).await?;
        self.say(two, &direct).await?;
        let text = self.line();
        self.send(one, &direct, Body::EditText(TextEdit { original: first.id, text })).await?;
        self.react(two, &direct, &first, ReactionChange::Added).await?;
        for starred in [true, false] {
            self.send(two, &direct, Body::Attributes(vec![Attribute { message: first.id, starred }])).await?;
        }

        let call = |phase| Body::Call(Call { meeting_id: 1, version: 2, version_check: true, phase });
        let participants = [&*one, &*two].map(|device| UserHash::of(&device.identity().user)).to_vec();
        let route = CallRoute { uri: "192.0.2.1:16450".to_owned(), uri_ipv6: String::new(), participants };
        let start = self.send(one, &direct, call(CallPhase::Start(route))).await?;
        let end = CallPhase::End { start: start.id, outcome: CallOutcome::Completed, duration_secs: 38 };
        self.send(two, &direct, call(end)).await?;

        self.send(two, &direct, Body::Location(PLACE)).await?;
        for shared_until_secs in [Some(now() / SECOND_MICROS + 900), None] {
            let moved = LiveLocation { position: PLACE, shared_until_secs };
            self.send(two, &direct, Body::EditLocation(moved)).await?;
        }
        Ok(())
    }

    /// Three people send files, react, and take something back.
    async fn group(&mut self, one: &mut Device, two: &mut Device, three: &mut Device) -> Result<(), Failure> {
        let group = self.create(one, ConversationKind::Group, &[&*two, &*three]).await?;
        let first = self.say(one, &group).await?;
        self.say(two, &group).await?;
        let said = self.lines.clone().take(100).collect::<Vec<_>>().join("\n");
        self.send_file(three, &group, "gesprächs notiz 📎.txt", said.as_bytes()).await?;
        // two files of one name, from two people
        self.send_file(two, &group, "gesprächs notiz 📎.txt", self.recording).await?;
        self.send_file(one, &group, "empty.txt", &[]).await?;
        let large: Vec<u8> = self.recording.iter().copied().cycle().take(LARGE_FILE_BYTES).collect();
        self.send_file(two, &group, "large.jsonl", &large).await?;
        for change in [ReactionChange::Added, ReactionChange::Removed] {
            self.react(three, &group, &first, change).await?;
        }
        let mistake = self.say(three, &group).await?;
        for scope in [DeletionScope::Everyone, DeletionScope::Own] {
            self.send(three, &group, Body::Deleted(Deletion { target: mistake.id, scope })).await?;
        }
        Ok(())
    }

    /// A room's life: made, renamed, people come and go, a file is kept in it, it is deleted.
    async fn room(
        &mut self,
        one: &mut Device,
        two: &mut Device,
        three: &mut Device,
        four: &mut Device,
    ) -> Result<(), Failure> {
        let room = self.create(one, ConversationKind::Room, &[&*two, &*three]).await?;
        let [master, second, third] = [&*one, &*two, &*three].map(|device| device.identity().user.clone());
        let state = |changemask, title: &str| RoomState {
            changemask,
            title: title.to_owned(),
            description: String::new(),
            masters: vec![master.clone()],
            members: vec![master.clone(), second.clone(), third.clone()],
            ttl_secs: 0,
            bor_secs: 0,
        };
        let made = state(changemask::MASTERS | changemask::TITLE, "ubuntu");
        let renamed = state(changemask::TITLE, "ubuntu-offtopic");
        let kept = state(changemask::SAVED_ITEMS, "ubuntu-offtopic");
        self.send(one, &room, Body::RoomCreated(made)).await?;
        self.say(two, &room).await?;
        self.change(one, &room, &[&*four], &[]).await?;
        self.say(four, &room).await?;
        self.send(one, &room, Body::RoomModified(renamed)).await?;
        let item = self.saved_item(one)?;
        self.send(one, &room, Body::SavedItem(kept, Box::new(item))).await?;
        for pin in [Pin::Pinned, Pin::Unpinned] {
            self.send(three, &room, Body::Pinned(pin)).await?;
        }
        self.change(one, &room, &[], &[&*three]).await?;

        // to leave is a proposal: the next commit, somebody else's, makes it so
        sync(two, &room).await?;
        let seq = two.leave(&room).await.map_err(Failure::internal)?;
        self.ledger.accepted((room, seq), Expected::handshake(kind::USER_LEFT));
        self.change(one, &room, &[], &[]).await?;
        // and a commit that changes nothing but the keys
        sync(four, &room).await?;
        let seq = self.commit(four, &room, &[], &[]).await?;
        self.ledger.accepted((room, seq), Expected::handshake(MSGTYPE_KEY_EVENT));

        self.send(four, &room, Body::AttributeSync).await?;
        self.say(four, &room).await?;
        self.send(one, &room, Body::RoomDeleted).await?;
        Ok(())
    }

    /// A device of a new user.
    async fn enter(&self, name: &str) -> Result<Device, Failure> {
        let user = UserName::new(name).map_err(Failure::internal)?;
        let invite = self
            .network
            .admin(|admin| admin.invite_to(self.endpoint, &user, Role::Normal, None))
            .map_err(Failure::internal)?;
        let store = Store::in_memory(self.vault.clone(), STEPS).map_err(Failure::internal)?;
        let account = account::register(store, &invite.endpoint, Proof::Invite(&invite.code), 0).await;
        let account = account.map_err(Failure::internal)?;
        Device::start_with_key_packages(account, KEY_PACKAGES).await.map_err(Failure::internal)
    }

    async fn create(
        &self,
        device: &mut Device,
        kind: ConversationKind,
        others: &[&Device],
    ) -> Result<ConversationId, Failure> {
        let users: Vec<UserName> = others.iter().map(|other| other.identity().user.clone()).collect();
        let conversation = device.create(kind, &users).await.map_err(Failure::internal)?;
        // the bot comes by the Welcome of the first commit
        self.ledger.accepted((conversation, 1), Expected::handshake(MSGTYPE_KEY_EVENT));
        Ok(conversation)
    }

    /// A commit that changes who is in the conversation.
    async fn change(
        &self,
        device: &mut Device,
        conversation: &ConversationId,
        add: &[&Device],
        remove: &[&Device],
    ) -> Result<(), Failure> {
        let seq = self.commit(device, conversation, add, remove).await?;
        self.ledger.accepted((*conversation, seq), Expected::handshake(kind::MEMBERS_MODIFIED));
        Ok(())
    }

    async fn commit(
        &self,
        device: &mut Device,
        conversation: &ConversationId,
        add: &[&Device],
        remove: &[&Device],
    ) -> Result<u64, Failure> {
        let names = |devices: &[&Device]| -> Vec<UserName> {
            devices.iter().map(|device| device.identity().user.clone()).collect()
        };
        let changed = device.change(conversation, &names(add), &names(remove), Reading::All, &mut Vec::new()).await;
        changed.map_err(Failure::internal)
    }

    /// The next line of the recording.
    fn line(&mut self) -> String {
        self.lines.next().unwrap_or_default()
    }

    async fn say(&mut self, device: &mut Device, conversation: &ConversationId) -> Result<Said, Failure> {
        let text = self.line();
        self.send(device, conversation, Body::Text(Text { text, links: Vec::new() })).await
    }

    async fn react(
        &self,
        device: &mut Device,
        conversation: &ConversationId,
        to: &Said,
        change: ReactionChange,
    ) -> Result<(), Failure> {
        let reaction = Reaction { original: to.id, reaction: "👍".to_owned(), change };
        self.send(device, conversation, Body::Reaction(reaction)).await.map(drop)
    }

    async fn send_file(
        &self,
        device: &mut Device,
        conversation: &ConversationId,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        let path = self.outbox.join(device.identity().user.as_str()).join(name);
        let folder = path.parent().unwrap_or(self.outbox);
        fs::create_dir_all(folder).and_then(|()| fs::write(&path, bytes)).map_err(|error| {
            Failure::temporary(format!("file `{}` that is to be sent cannot be written: {error}", path.display()))
        })?;
        let uploaded = blob::upload(device.connection(), &path, AttachmentKind::File).await;
        let body = Body::File(uploaded.map_err(Failure::internal)?);
        let file = Some(measured(bytes));
        self.send_as(device, conversation, body, |expected| Expected { file, ..expected }).await.map(drop)
    }

    async fn send(&self, device: &mut Device, conversation: &ConversationId, body: Body) -> Result<Said, Failure> {
        self.send_as(device, conversation, body, |expected| expected).await
    }

    async fn send_as(
        &self,
        device: &mut Device,
        conversation: &ConversationId,
        body: Body,
        expect: impl FnOnce(Expected) -> Expected,
    ) -> Result<Said, Failure> {
        sync(device, conversation).await?;
        let id = MessageId::new(random().map_err(Failure::internal)?);
        let sent_at_micros = now();
        let text = if let Body::Text(text) = &body { Some(text.text.clone()) } else { None };
        let expected = Expected { message: Some(id), text, ..Expected::handshake(body.kind()) };
        let content = Content { message_id: id, sent_at_micros, ttl: None, bor: 0, body };
        let seq = device.send(conversation, &content).await.map_err(Failure::internal)?;
        self.ledger.accepted((*conversation, seq), expect(expected));
        Ok(Said { id, sent_at_micros })
    }

    /// A file that is kept in the room for good.
    fn saved_item(&self, by: &Device) -> Result<SavedItem, Failure> {
        Ok(SavedItem {
            sha256: measured(self.recording).sha256,
            guid: random().map_err(Failure::internal)?,
            domain: self.endpoint.server_name.clone(),
            key: AttachmentKey::generate().map_err(Failure::internal)?,
            action: SavedItemAction::Upload,
            target: "file".to_owned(),
            name: "conversation.jsonl".to_owned(),
            path: "/".to_owned(),
            modified_by: by.identity().user.clone(),
            modified_at_secs: now() / SECOND_MICROS,
        })
    }
}

/// Reads everything that is new, the Welcome too.
async fn sync(device: &mut Device, conversation: &ConversationId) -> Result<(), Failure> {
    device.sync(conversation, Reading::All).await.map(drop).map_err(Failure::internal)
}

fn now() -> i64 {
    SystemClock.now_micros()
}
