//! The MLS side of a device, without disk and network: bytes in, bytes and states out.
//!
//! An [`Engine`] is one device's keys; a [`Session`] is its state in one conversation. What MLS wants stored goes
//! through a `Mailbox`: a session's new state stays in memory until its owner takes it with [`Session::save`] and
//! stores it, in a transaction of the owner's choice. So the bot can commit the states of a whole batch together with the
//! records they belong to, and a crash leaves either both or neither.
//!
//! A state has two parts: the secrets (small, new with every message) and the ratchet tree (large in large rooms,
//! new with every commit only). They are stored apart so that a text in a room of a thousand members does not write
//! the tree again.
//!
//! Invariant: a session processes the messages of its conversation in order of `seq`, and the network accepts only
//! messages of the current epoch. So no past epoch is kept: what was deleted cannot be stolen.
//!
//! Invariant: what is not authentic changes nothing. A member may send a ciphertext that names the next key of another member;
//! it is refused, and the true message that comes after it finds that key.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use mls_rs::client_builder::{
    BaseConfig, WithCryptoProvider, WithGroupStateStorage, WithIdentityProvider, WithKeyPackageRepo, WithMlsRules,
};
use mls_rs::error::MlsError;
use mls_rs::extension::built_in::ExternalSendersExt;
use mls_rs::extension::recommended::LastResortKeyPackageExt;
use mls_rs::group::proposal::Proposal;
use mls_rs::group::{CommitEffect, ContentType, ExportedTree, Group, NewEpoch, ProposalSender, ReceivedMessage};
use mls_rs::identity::SigningIdentity;
use mls_rs::mls_rs_codec::{MlsDecode, MlsEncode};
use mls_rs::mls_rules::{CommitOptions, DefaultMlsRules, EncryptionOptions};
use mls_rs::{
    CipherSuite, CipherSuiteProvider, Client, CryptoProvider, ExtensionList, MlsMessage, MlsMessageDescription,
};
use mls_rs_core::crypto::SignatureSecretKey;
use mls_rs_crypto_awslc::AwsLcCryptoProvider;
use zeroize::Zeroizing;

pub use self::error::EngineError;
use self::error::guarded;
use self::mailbox::Mailbox;
pub use self::mailbox::{KeyPackages, NotRead};
use super::deferred::{Desk, Provider};
use retaind_protocol::credential::{Identity, Verifier, signing_identity};
use retaind_protocol::ids::{ConversationId, DeviceId};
use retaind_protocol::shape;

mod error;
mod mailbox;

/// Fewer messages than this are not worth a copy of the state and a thread.
const DEFER_MESSAGES_MIN: usize = 8;

type Config = WithMlsRules<
    DefaultMlsRules,
    WithIdentityProvider<
        Verifier,
        WithCryptoProvider<Provider, WithGroupStateStorage<Mailbox, WithKeyPackageRepo<Mailbox, BaseConfig>>>,
    >,
>;

/// A key package that was just made.
pub struct NewKeyPackage {
    /// Reference of the package: store `secret` under it.
    pub reference: Vec<u8>,
    /// Private part, to be stored sealed.
    pub secret: Zeroizing<Vec<u8>>,
    /// MLS message to publish.
    pub message: Vec<u8>,
}

/// A session's state as it is stored.
pub struct StoredSession {
    /// Secrets and everything else that changes with each message. To be stored sealed.
    pub secrets: Zeroizing<Vec<u8>>,
    /// The ratchet tree; `None` if it is the stored one.
    pub tree: Option<Vec<u8>>,
    /// References of one-time key packages that were used up, to be deleted in the same transaction.
    pub used_key_packages: Vec<Vec<u8>>,
}

/// A fresh signature key pair of `suite`: secret and public bytes.
pub fn generate_signature_key(suite: u16) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), EngineError> {
    let (secret, public) = provider(suite)?.signature_key_generate().map_err(|_| EngineError::Suite(suite))?;
    Ok((Zeroizing::new(secret.as_bytes().to_vec()), public.as_bytes().to_vec()))
}

/// Signs `data` with a signature key of `suite`.
pub fn sign(suite: u16, secret: &[u8], data: &[u8]) -> Result<Vec<u8>, EngineError> {
    provider(suite)?.sign(&SignatureSecretKey::new_slice(secret), data).map_err(|_| EngineError::Suite(suite))
}

/// Does this program speak `suite`?
pub(crate) fn suite_is_supported(suite: u16) -> bool {
    provider(suite).is_ok()
}

fn provider(suite: u16) -> Result<impl CipherSuiteProvider, EngineError> {
    AwsLcCryptoProvider::new().cipher_suite_provider(CipherSuite::new(suite)).ok_or(EngineError::Suite(suite))
}

/// One device's keys, ready to create, join and load conversations. One a thread: sessions of one engine share a mailbox.
pub struct Engine {
    client: Arc<Client<Config>>,
    mailbox: Mailbox,
    verifier: Verifier,
    own: Identity,
    desk: Desk,
}

impl Engine {
    /// An engine for the device with this `credential` (encoded) and signature `secret` of `suite`.
    pub fn new(
        suite: u16,
        credential: &[u8],
        secret: &[u8],
        verifier: Verifier,
        key_packages: Arc<dyn KeyPackages>,
    ) -> Result<Self, EngineError> {
        let own = verifier.verify(credential)?;
        let mailbox = Mailbox { slots: Arc::default(), key_packages };
        let desk = Desk::default();
        let rules = DefaultMlsRules::new()
            .with_commit_options(CommitOptions::new().with_ratchet_tree_extension(true))
            .with_encryption_options(EncryptionOptions::new(false, Default::default()));
        let client = Client::builder()
            .key_package_repo(mailbox.clone())
            .group_state_storage(mailbox.clone())
            .crypto_provider(Provider::new(desk.clone()))
            .identity_provider(verifier.clone())
            .mls_rules(rules)
            .signing_identity(
                signing_identity(credential.to_vec(), &own.signature_key),
                SignatureSecretKey::new_slice(secret),
                CipherSuite::new(suite),
            )
            .build();
        Ok(Self { client: Arc::new(client), mailbox, verifier, own, desk })
    }

    /// Identity of this device.
    pub fn own(&self) -> &Identity {
        &self.own
    }

    /// Makes a key package; a last-resort one may be used more than once.
    pub fn key_package(&self, usage: KeyPackageUse) -> Result<NewKeyPackage, EngineError> {
        let mut extensions = ExtensionList::new();
        match usage {
            KeyPackageUse::LastResort => extensions.set_from(LastResortKeyPackageExt).map_err(MlsError::from)?,
            KeyPackageUse::Once => {}
        }
        let message = self.client.generate_key_package_message(extensions, ExtensionList::new(), None)?.to_bytes()?;
        let (reference, secret) = self
            .mailbox
            .with(|slots| slots.new_packages.pop())
            .ok_or(EngineError::Unexpected("a key package without its private part"))?;
        Ok(NewKeyPackage { reference, secret, message })
    }

    /// Starts a conversation with this device alone in it. `external_sender` is the network's (MLS-encoded).
    /// Returns the session and the GroupInfo of epoch 0 for the network.
    pub fn create(
        &self,
        conversation: &ConversationId,
        external_sender: &[u8],
    ) -> Result<(Session, Vec<u8>), EngineError> {
        let sender = SigningIdentity::mls_decode(&mut &*external_sender)?;
        let mut context = ExtensionList::new();
        context.set_from(ExternalSendersExt::new(vec![sender])).map_err(MlsError::from)?;
        let group =
            self.client.create_group_with_id(conversation.as_bytes().to_vec(), context, ExtensionList::new(), None)?;
        let info = group.group_info_message(true)?.to_bytes()?;
        Ok((self.session(group)?, info))
    }

    /// Joins by a Welcome. The used key package is listed by the next [`Session::save`].
    pub fn join(&self, welcome: &[u8]) -> Result<Session, EngineError> {
        let message = parse(welcome)?;
        guarded(|| {
            // the library would unpack the tree before it checks whose it is
            let info = self.client.examine_welcome_message(&message)?;
            for extension in info.extensions().iter().filter(|e| e.extension_type.raw_value() == shape::RATCHET_TREE) {
                shape::check_tree(&extension.extension_data).map_err(EngineError::Shape)?;
            }
            let (group, _) = self.client.join_group(None, &message, None)?;
            self.session(group)
        })
    }

    /// Restores a stored session.
    pub fn load(
        &self,
        conversation: &ConversationId,
        secrets: Zeroizing<Vec<u8>>,
        tree: &[u8],
    ) -> Result<Session, EngineError> {
        let group = guarded(|| {
            load(&self.client, &self.mailbox, conversation, secrets.clone(), ExportedTree::from_bytes(tree)?)
        })?;
        let mut session = self.session(group)?;
        session.tree_stored = true;
        session.saved = Some(secrets);
        Ok(session)
    }

    fn session(&self, group: Group<Config>) -> Result<Session, EngineError> {
        Ok(Session {
            conversation: ConversationId::from_bytes(group.group_id())?,
            group,
            client: self.client.clone(),
            verifier: self.verifier.clone(),
            mailbox: self.mailbox.clone(),
            desk: self.desk.clone(),
            tree_stored: false,
            saved: None,
            used_key_packages: Vec::new(),
        })
    }
}

/// How often a key package may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPackageUse {
    /// By one Welcome.
    Once,
    /// By any number of Welcomes, when no other package is left.
    LastResort,
}

/// This device in one conversation.
pub struct Session {
    conversation: ConversationId,
    group: Group<Config>,
    verifier: Verifier,
    mailbox: Mailbox,
    desk: Desk,
    client: Arc<Client<Config>>,
    tree_stored: bool,
    /// The secrets as they are now, unless they have to be exported first.
    saved: Option<Zeroizing<Vec<u8>>>,
    /// Not yet returned by [`Self::save`].
    used_key_packages: Vec<Vec<u8>>,
}

fn parse(message: &[u8]) -> Result<MlsMessage, EngineError> {
    shape::check(message).map_err(EngineError::Shape)?;
    Ok(MlsMessage::from_bytes(message)?)
}

fn is_ciphertext(message: &MlsMessage) -> bool {
    matches!(message.description(), MlsMessageDescription::PrivateProtocolMessage { .. })
}

fn load(
    client: &Client<Config>,
    mailbox: &Mailbox,
    conversation: &ConversationId,
    secrets: Zeroizing<Vec<u8>>,
    tree: ExportedTree<'_>,
) -> Result<Group<Config>, EngineError> {
    mailbox.with(|slots| slots.states.insert(conversation.as_bytes().to_vec(), secrets));
    Ok(client.load_group_with_ratchet_tree(conversation.as_bytes(), tree)?)
}

/// A commit that was made here and awaits the network's answer.
pub struct PendingCommit {
    /// MLS public message.
    pub commit: Vec<u8>,
    /// MLS Welcome; empty if no device is added.
    pub welcome: Vec<u8>,
}

/// What kind of message was received.
#[derive(Debug)]
pub enum Received {
    /// An application message.
    Application {
        /// Who sent it, as MLS authenticates.
        sender: Identity,
        /// Encoded content.
        data: Vec<u8>,
    },
    /// A new epoch.
    Commit {
        /// The committer.
        committer: Identity,
        /// Devices that were added.
        added: Vec<Identity>,
        /// Devices that were removed.
        removed: Vec<Identity>,
        /// Is this device one of them?
        own: Membership,
        /// The new epoch.
        epoch: u64,
    },
    /// Something proposed for a later commit.
    Proposal {
        /// The proposer; `None`: the network.
        sender: Option<Identity>,
        /// What it proposes.
        proposal: Proposed,
        /// The epoch in which it was made.
        epoch: u64,
    },
}

/// Does this device belong to the conversation?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// It is a member.
    Member,
    /// It was removed: the session has ended.
    Removed,
}

/// What a proposal asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposed {
    /// To add this device.
    Add(Identity),
    /// To remove this device.
    Remove(Identity),
    /// Anything else.
    Other,
}

impl Session {
    /// Id of the conversation.
    pub fn conversation(&self) -> &ConversationId {
        &self.conversation
    }

    /// The current epoch.
    pub fn epoch(&self) -> u64 {
        self.group.current_epoch()
    }

    /// SHA-256 of the encoded `GroupContext`: what the network compares with the group that it tracks.
    pub fn context(&self) -> Result<Vec<u8>, EngineError> {
        Ok(digest(&SHA256, &self.group.context().mls_encode_to_vec()?).as_ref().to_vec())
    }

    /// All devices that are members now, in order of their leaves.
    pub fn members(&self) -> Result<Vec<Identity>, EngineError> {
        let roster = self.group.roster();
        let members: Result<Vec<_>, _> =
            roster.member_identities_iter().map(|identity| self.verifier.identity_of(identity)).collect();
        Ok(members?)
    }

    /// Are there proposals that a commit should include before anything else is sent?
    pub fn has_proposals(&self) -> bool {
        self.group.commit_required() || !self.group.get_cached_proposals().is_empty()
    }

    /// Processes the next handshake or application message of the conversation. Own application messages must
    /// not come here (their keys are used up); own commits must: this is how a pending commit takes effect.
    /// A message that MLS refuses leaves the session as it was.
    pub fn receive(&mut self, message: &[u8]) -> Result<Received, EngineError> {
        let message = parse(message)?;
        let before = self.before()?;
        let epoch = self.epoch();
        match self.process(message) {
            Ok(message) => self.tell(epoch, message),
            Err(error) => {
                self.go_back(before);
                Err(error)
            }
        }
    }

    /// Processes consecutive messages as [`Self::receive`] does each, verifying their signatures on all cores.
    pub fn receive_many(&mut self, messages: &[&[u8]]) -> Vec<Result<Received, EngineError>> {
        // after a commit among them there would be no way back to before it
        let parsed: Vec<_> = messages.iter().filter_map(|message| parse(message).ok().filter(is_ciphertext)).collect();
        if parsed.len() < messages.len() {
            return self.receive_each(messages);
        }
        let Ok(before) = self.before() else { return self.receive_each(messages) };
        let suite = Provider::new(self.desk.clone()).cipher_suite_provider(self.group.cipher_suite());
        let suite = suite.filter(|_| messages.len() >= DEFER_MESSAGES_MIN);
        if suite.is_some() {
            self.desk.defer();
        }
        let epoch = self.epoch();
        let received: Result<Vec<_>, EngineError> = parsed
            .into_iter()
            .map(|message| {
                let message = self.process(message)?;
                Ok(self.tell(epoch, message))
            })
            .collect();
        let are_good = suite.is_none_or(|suite| self.desk.collect().verify(&suite));
        match received {
            Ok(received) if are_good => received,
            // one of the signatures is not good: discard all of this; one by one shows whose
            Ok(_) | Err(_) => {
                self.go_back(before);
                self.receive_each(messages)
            }
        }
    }

    fn receive_each(&mut self, messages: &[&[u8]]) -> Vec<Result<Received, EngineError>> {
        messages.iter().map(|message| self.receive(message)).collect()
    }

    /// A snapshot of the session, as it would be stored, to return to. A refused message uses up keys, or has
    /// begun to change others; it has never changed the tree, which MLS replaces when it takes a commit.
    fn before(&mut self) -> Result<Zeroizing<Vec<u8>>, EngineError> {
        match self.saved.take() {
            Some(secrets) => Ok(secrets),
            None => self.write(),
        }
    }

    fn go_back(&mut self, before: Zeroizing<Vec<u8>>) {
        let tree = self.group.export_tree();
        match load(&self.client, &self.mailbox, &self.conversation, before.clone(), tree) {
            Ok(group) => {
                self.group = group;
                self.saved = Some(before);
            }
            Err(error) => {
                // what the refused message has used up stays used; all else is as it was
                tracing::error!(conversation = %self.conversation, %error, "keys of a refused message are lost");
            }
        }
    }

    /// Lets MLS process a message. After an error the state may be unusable: MLS takes the key that a message names
    /// before it checks whether the message is authentic, so that a forged one would use up the key of a true one.
    fn process(&mut self, message: MlsMessage) -> Result<ReceivedMessage, EngineError> {
        if let MlsMessageDescription::PrivateProtocolMessage { content_type, .. } = message.description()
            && content_type != ContentType::Application
        {
            // the network cannot see its effect: members would follow it and the network would not
            return Err(EngineError::Unexpected("an encrypted handshake"));
        }
        self.saved = None;
        guarded(|| Ok(self.group.process_incoming_message(message)?))
    }

    /// Describes a message that MLS has processed in `epoch`. The state is that of all members now, even if this
    /// fails: there is no way back.
    fn tell(&mut self, epoch: u64, message: ReceivedMessage) -> Result<Received, EngineError> {
        match message {
            ReceivedMessage::ApplicationMessage(application) => Ok(Received::Application {
                sender: self.member(application.sender_index)?,
                data: application.data().to_vec(),
            }),
            ReceivedMessage::Commit(commit) => {
                self.tree_stored = false;
                let (new, own) = match commit.effect {
                    CommitEffect::NewEpoch(new) => (new, Membership::Member),
                    CommitEffect::Removed { new_epoch, .. } => (new_epoch, Membership::Removed),
                    CommitEffect::ReInit(_) => return Err(EngineError::Unexpected("a re-initialisation")),
                };
                let committer = self.identity_in(&new, commit.committer)?;
                let (added, removed) = self.changes(&new)?;
                Ok(Received::Commit { committer, added, removed, own, epoch: new.epoch })
            }
            ReceivedMessage::Proposal(proposal) => {
                let sender = match proposal.sender {
                    ProposalSender::Member(index) => Some(self.member(index)?),
                    ProposalSender::External(_) => None,
                    ProposalSender::NewMember => return Err(EngineError::Unexpected("a stranger's proposal")),
                };
                let proposal = if let Proposal::Add(add) = &proposal.proposal {
                    Proposed::Add(self.verifier.identity_of(add.signing_identity())?)
                } else if let Proposal::Remove(remove) = &proposal.proposal {
                    Proposed::Remove(self.member(remove.to_remove())?)
                } else {
                    Proposed::Other
                };
                Ok(Received::Proposal { sender, proposal, epoch })
            }
            ReceivedMessage::GroupInfo(_) => Err(EngineError::Unexpected("a group info")),
            ReceivedMessage::Welcome => Err(EngineError::Unexpected("a second welcome")),
            ReceivedMessage::KeyPackage(_) => Err(EngineError::Unexpected("a key package")),
        }
    }

    /// Encrypts content for the current epoch. The session must be saved before the result leaves the device: a key
    /// that is used twice reveals both messages.
    pub fn encrypt(&mut self, content: &[u8]) -> Result<Vec<u8>, EngineError> {
        self.saved = None;
        Ok(self.group.encrypt_application_message(content, Vec::new())?.to_bytes()?)
    }

    /// Makes a commit of all proposals and these changes. It takes effect when it is received back.
    pub fn commit(&mut self, add: &[Vec<u8>], remove: &[DeviceId]) -> Result<PendingCommit, EngineError> {
        self.clear_pending_commit();
        let mut indexes = Vec::new();
        for device in remove {
            let found = self.group.roster().members_iter().find_map(|member| {
                let identity = self.verifier.identity_of(member.signing_identity()).ok()?;
                (identity.device == *device).then_some(member.index())
            });
            indexes.push(found.ok_or(EngineError::NoSender)?);
        }
        let mut builder = self.group.commit_builder();
        for package in add {
            builder = builder.add_member(parse(package)?)?;
        }
        for index in indexes {
            builder = builder.remove_member(index)?;
        }
        let output = builder.build()?;
        let welcome = match output.welcome_messages() {
            [] => Vec::new(),
            [welcome] => welcome.to_bytes()?,
            _ => return Err(EngineError::Unexpected("a commit with several welcomes")),
        };
        Ok(PendingCommit { commit: output.commit_message().to_bytes()?, welcome })
    }

    /// Drops a commit that the network did not accept.
    pub fn clear_pending_commit(&mut self) {
        self.saved = None;
        self.group.clear_pending_commit();
    }

    /// Proposes that this device be removed; another member has to commit it.
    pub fn propose_leave(&mut self) -> Result<Vec<u8>, EngineError> {
        self.saved = None;
        let own = self.group.current_member_index();
        Ok(self.group.propose_remove(own, Vec::new())?.to_bytes()?)
    }

    /// Exports the state, to be stored.
    pub fn save(&mut self) -> Result<StoredSession, EngineError> {
        let secrets = match self.saved.take() {
            Some(secrets) => secrets,
            None => self.write()?,
        };
        self.saved = Some(secrets.clone());
        let tree = if self.tree_stored { None } else { Some(self.group.export_tree().to_bytes()?) };
        self.tree_stored = true;
        Ok(StoredSession { secrets, tree, used_key_packages: std::mem::take(&mut self.used_key_packages) })
    }

    /// The secrets as they are now.
    fn write(&mut self) -> Result<Zeroizing<Vec<u8>>, EngineError> {
        self.group.write_to_storage_without_ratchet_tree()?;
        let (secrets, used) = self.mailbox.with(|slots| {
            (slots.states.remove(self.conversation.as_bytes()), std::mem::take(&mut slots.used_packages))
        });
        self.used_key_packages.extend(used);
        secrets.ok_or(EngineError::Unexpected("a state that was not written"))
    }

    fn member(&self, index: u32) -> Result<Identity, EngineError> {
        let member = self.group.member_at_index(index).ok_or(EngineError::NoSender)?;
        Ok(self.verifier.identity_of(member.signing_identity())?)
    }

    fn identity_in(&self, new: &NewEpoch, index: u32) -> Result<Identity, EngineError> {
        let member = new.prior_state.member_at_index(index).ok_or(EngineError::NoSender)?;
        Ok(self.verifier.identity_of(member.signing_identity())?)
    }

    fn changes(&self, new: &NewEpoch) -> Result<(Vec<Identity>, Vec<Identity>), EngineError> {
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for info in &new.applied_proposals {
            if let Proposal::Add(add) = &info.proposal {
                added.push(self.verifier.identity_of(add.signing_identity())?);
            } else if let Proposal::Remove(remove) = &info.proposal {
                removed.push(self.identity_in(new, remove.to_remove())?);
            }
        }
        Ok((added, removed))
    }
}
