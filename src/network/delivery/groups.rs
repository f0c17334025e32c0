//! The public half of each conversation: who is in it and in which epoch it is, tracked as MLS observers do.
//!
//! The rules of membership are here and pure: a group and a message go in, a new group and what changed come out, or a
//! refusal. Nothing is stored here but a bounded cache of loaded groups; [`super::accept`] stores.
//!
//! What an observer cannot check (RFC 9420): confirmation tag, membership tag, and whether a path secret decrypts.
//! A member can therefore break its own conversation with a commit that others cannot process. They say so; the network
//! cannot know.

use std::collections::HashSet;

use mls_rs::error::MlsError;
use mls_rs::extension::built_in::ExternalSendersExt;
use mls_rs::external_client::{ExternalGroup, ExternalReceivedMessage};
use mls_rs::group::proposal::Proposal;
use mls_rs::group::{CommitEffect, ContentType, Sender};
use mls_rs::mls_rs_codec::{MlsEncode, MlsSize as _};
use mls_rs::{KeyPackage, MlsMessage, MlsMessageDescription};

use crate::agreed;
use crate::clock::Moment;
use crate::error::Refusal;
use crate::keys::{Keys, MlsConfig, Suite};
use retaind_protocol::credential::Identity;
use retaind_protocol::ids::{ConversationId, DeviceId};
use retaind_protocol::limits::{CIPHERTEXT_BYTES_MAX, PROPOSALS_BYTES_MAX, PROPOSALS_MAX};
use retaind_protocol::shape;
use retaind_protocol::wire::RefusalCode;

pub(crate) use self::cache::{Groups, encode};

mod cache;

pub(crate) type Group = ExternalGroup<MlsConfig>;

/// Longest GroupInfo of a new conversation: one leaf of some KiB, and room for extensions.
pub(crate) const GROUP_INFO_BYTES_MAX: usize = 64 * 1024;

/// A commit or proposal whose framing was read.
#[derive(Debug)]
pub(crate) struct Handshake {
    pub(crate) conversation: ConversationId,
    pub(crate) epoch: u64,
    pub(crate) content: HandshakeKind,
    pub(crate) leaf: u32,
    pub(crate) message: MlsMessage,
    pub(crate) bytes: Vec<u8>,
}

/// Which of the two public messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandshakeKind {
    Commit,
    Proposal,
}

impl Handshake {
    /// Reads the framing; signature and epoch are checked later, against the group.
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self, Refusal> {
        let message = decode(&bytes)?;
        let MlsMessageDescription::PublicProtocolMessage { group_id, epoch_id, content_type, sender, .. } =
            message.description()
        else {
            return Err(Refusal::invalid(
                "a handshake must be an MLS public message, so that membership can be enforced",
            ));
        };
        let content = match content_type {
            ContentType::Commit => HandshakeKind::Commit,
            ContentType::Proposal => HandshakeKind::Proposal,
            ContentType::Application => return Err(Refusal::invalid("an application message must be encrypted")),
        };
        let Sender::Member(leaf) = sender else {
            return Err(Refusal::new(RefusalCode::NotYourDevice, "only members send commits and proposals"));
        };
        let (conversation, epoch) = (conversation_id(group_id)?, epoch_id);
        Ok(Self { conversation, epoch, content, leaf, message, bytes })
    }
}

/// A ciphertext whose framing was read.
#[derive(Debug)]
pub(crate) struct Ciphertext {
    pub(crate) conversation: ConversationId,
    pub(crate) epoch: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Ciphertext {
    /// Reads the framing.
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self, Refusal> {
        if bytes.len() > CIPHERTEXT_BYTES_MAX {
            let message = format!("message of {} bytes: at most {CIPHERTEXT_BYTES_MAX} are allowed", bytes.len());
            return Err(Refusal::over(&agreed::CIPHERTEXT, message));
        }
        let message = decode(&bytes)?;
        let MlsMessageDescription::PrivateProtocolMessage { group_id, epoch_id, content_type } = message.description()
        else {
            return Err(Refusal::invalid("an application message must be an MLS private message"));
        };
        if content_type != ContentType::Application {
            return Err(Refusal::invalid("commits and proposals must be public, so that membership can be enforced"));
        }
        Ok(Self { conversation: conversation_id(group_id)?, epoch: epoch_id, bytes })
    }
}

fn decode(bytes: &[u8]) -> Result<MlsMessage, Refusal> {
    shape::check(bytes).map_err(|error| agreed::unpacked(&error))?;
    MlsMessage::from_bytes(bytes).map_err(|error| Refusal::invalid(format!("not an MLS message: {error}")))
}

fn conversation_id(group_id: &[u8]) -> Result<ConversationId, Refusal> {
    ConversationId::from_bytes(group_id).map_err(|error| Refusal::invalid(error.to_string()))
}

/// What a commit did.
pub(crate) struct NextEpoch {
    pub(crate) group: Group,
    pub(crate) added: Vec<DeviceId>,
    pub(crate) removed: Vec<DeviceId>,
    /// Everybody who is in it now.
    pub(crate) members: HashSet<DeviceId>,
}

/// Starts to track a conversation: `group_info` is of epoch 0 and `creator` alone in it.
pub(crate) fn observe(
    keys: &Keys,
    group_info: &[u8],
    creator: &DeviceId,
    now: Moment,
) -> Result<(ConversationId, Group), Refusal> {
    if group_info.len() > GROUP_INFO_BYTES_MAX {
        let message = format!("`group_info` of {} bytes: at most {GROUP_INFO_BYTES_MAX} are allowed", group_info.len());
        return Err(Refusal::over(&agreed::GROUP_INFO, message));
    }
    let message = decode(group_info)?;
    let Some(context) = message.as_group_info().map(|info| info.group_context()) else {
        return Err(Refusal::invalid("`group_info` is not an MLS GroupInfo"));
    };
    let conversation = conversation_id(context.group_id())?;
    let number = u16::from(context.cipher_suite());
    let Some(suite) = keys.suite(u32::from(number)) else {
        return Err(Refusal::invalid(format!("cipher suite `{number}` is not allowed in this network")));
    };
    if context.epoch() != 0 {
        return Err(Refusal::invalid("a new conversation starts at epoch 0"));
    }
    let group = suite
        .observer
        .observe_group(message, None, Some(now.mls()))
        .map_err(|error| Refusal::invalid(format!("`group_info` is not valid: {error}")))?;
    check_external_sender(&group, suite)?;
    let members = members(keys, &group)?;
    if members.len() != 1 || !members.contains(creator) {
        return Err(Refusal::new(RefusalCode::NotYourDevice, "a new conversation starts with its creator alone"));
    }
    Ok((conversation, group))
}

/// Applies a commit of `device` to a copy of `group`.
#[expect(clippy::wildcard_enum_match_arm, reason = "the kinds of MLS grow; what is not named here is not allowed")]
pub(crate) fn commit(
    keys: &Keys,
    group: &Group,
    handshake: Handshake,
    welcome: &[u8],
    device: &DeviceId,
    now: Moment,
) -> Result<NextEpoch, Refusal> {
    check_sender(keys, group, handshake.leaf, device)?;
    for proposal in handshake.message.proposals_by_value() {
        check_kind(proposal)?;
    }
    let suite = suite_of(keys, group)?;
    let mut next = group.clone();
    let received = next
        .process_incoming_message_with_time(handshake.message, now.mls())
        .map_err(|error| refused_commit(&error))?;
    let ExternalReceivedMessage::Commit(description) = received else {
        return Err(Refusal::invalid("this is not a commit"));
    };
    let CommitEffect::NewEpoch(epoch) = description.effect else {
        return Err(Refusal::invalid("a conversation cannot be re-initialized"));
    };
    check_external_sender(&next, suite)?;
    let (mut added, mut removed, mut packages) = (Vec::new(), Vec::new(), HashSet::new());
    for applied in epoch.applied_proposals() {
        match &applied.proposal {
            Proposal::Add(add) => {
                added.push(identity(keys, add.signing_identity())?.device);
                let reference = add
                    .key_package()
                    .to_reference(&suite.crypto)
                    .map_err(|error| Refusal::invalid(format!("an added key package is not valid: {error}")))?;
                packages.insert(reference.to_vec());
            }
            Proposal::Remove(remove) => {
                let gone = group
                    .roster()
                    .member_with_index(remove.to_remove())
                    .map_err(|_| Refusal::invalid("the commit removes a leaf that is empty"))?;
                removed.push(identity(keys, gone.signing_identity())?.device);
            }
            Proposal::Update(_) => {}
            other => check_kind(other)?,
        }
    }
    if added.iter().any(|added| removed.contains(added)) {
        return Err(Refusal::invalid("one commit removes and adds the same device: make two of it"));
    }
    check_welcome(welcome, &packages)?;
    let members = members(keys, &next)?;
    Ok(NextEpoch { group: next, added, removed, members })
}

/// Takes a proposal of `device` into a copy of `group`. Returns the device that it would remove, if any.
#[expect(clippy::wildcard_enum_match_arm, reason = "the kinds of MLS grow; what is not named here is not allowed")]
pub(crate) fn propose(
    keys: &Keys,
    group: &Group,
    handshake: Handshake,
    device: &DeviceId,
    now: Moment,
) -> Result<(Group, Option<DeviceId>), Refusal> {
    check_sender(keys, group, handshake.leaf, device)?;
    if group.get_cached_proposals().len() >= PROPOSALS_MAX {
        let message = format!("{PROPOSALS_MAX} proposals wait for a commit in this conversation: commit them first");
        return Err(Refusal::over(&agreed::PROPOSALS, message));
    }
    let suite = suite_of(keys, group)?;
    let mut next = group.clone();
    let received = next
        .process_incoming_message_with_time(handshake.message, now.mls())
        .map_err(|error| Refusal::invalid(format!("the proposal is not valid: {error}")))?;
    let ExternalReceivedMessage::Proposal(description) = received else {
        return Err(Refusal::invalid("this is not a proposal"));
    };
    let waiting = next.get_cached_proposals().iter().map(|cached| cached.proposal().mls_encoded_len()).sum::<usize>();
    if waiting > PROPOSALS_BYTES_MAX {
        let message = format!(
            "proposals of more than {PROPOSALS_BYTES_MAX} bytes would wait for a commit: commit those that wait first"
        );
        return Err(Refusal::over(&agreed::PROPOSALS_BYTES, message));
    }
    let removes = match &description.proposal {
        Proposal::Remove(remove) => {
            let gone = group
                .roster()
                .member_with_index(remove.to_remove())
                .map_err(|_| Refusal::invalid("the proposal removes a leaf that is empty"))?;
            Some(identity(keys, gone.signing_identity())?.device)
        }
        Proposal::Add(add) => {
            as_message(add.key_package())
                .and_then(|package| suite.observer.validate_key_package(package, Some(now.mls())))
                .map_err(|error| Refusal::invalid(format!("the proposed key package is not valid: {error}")))?;
            if members(keys, group)?.contains(&identity(keys, add.signing_identity())?.device) {
                return Err(Refusal::invalid("the proposed device is a member already"));
            }
            None
        }
        Proposal::Update(update) => {
            if identity(keys, update.signing_identity())?.device != *device {
                return Err(Refusal::new(RefusalCode::NotYourDevice, "the proposed leaf is of another device"));
            }
            None
        }
        other => {
            check_kind(other)?;
            None
        }
    };
    Ok((next, removes))
}

/// RFC 9420 §6: version 1, wire format 5, then the key package.
fn as_message(package: &KeyPackage) -> Result<MlsMessage, MlsError> {
    MlsMessage::from_bytes(&[&[0, 1, 0, 5], package.mls_encode_to_vec()?.as_slice()].concat())
}

/// The network's own proposal to add a device. `group` keeps it for the commit that takes it.
pub(crate) fn propose_add(group: &mut Group, key_package: &[u8]) -> Result<Vec<u8>, MlsError> {
    group.propose_add(MlsMessage::from_bytes(key_package)?, Vec::new())?.to_bytes()
}

/// The network's own proposal to remove the member at `leaf`, kept as [`propose_add`] keeps its own.
pub(crate) fn propose_remove(group: &mut Group, leaf: u32) -> Result<Vec<u8>, MlsError> {
    group.propose_remove(leaf, Vec::new())?.to_bytes()
}

/// The leaf of a device.
pub(crate) fn leaf_of(keys: &Keys, group: &Group, device: &DeviceId) -> Option<u32> {
    let found = group
        .roster()
        .members_iter()
        .find(|member| identity(keys, member.signing_identity()).is_ok_and(|identity| identity.device == *device));
    found.map(|member| member.index())
}

/// Does a proposal to remove that leaf wait already?
#[expect(clippy::wildcard_enum_match_arm, reason = "the kinds of MLS grow; what is not named here is not allowed")]
pub(crate) fn is_removal_proposed(group: &Group, leaf: u32) -> bool {
    group.get_cached_proposals().iter().any(|cached| match cached.proposal() {
        Proposal::Remove(remove) => remove.to_remove() == leaf,
        _ => false,
    })
}

/// Does a proposal to add that device wait already?
#[expect(clippy::wildcard_enum_match_arm, reason = "the kinds of MLS grow; what is not named here is not allowed")]
pub(crate) fn is_proposed(keys: &Keys, group: &Group, device: &DeviceId) -> bool {
    group.get_cached_proposals().iter().any(|cached| match cached.proposal() {
        Proposal::Add(add) => identity(keys, add.signing_identity()).is_ok_and(|added| added.device == *device),
        _ => false,
    })
}

/// Devices of all leaves.
pub(crate) fn members(keys: &Keys, group: &Group) -> Result<HashSet<DeviceId>, Refusal> {
    group.roster().member_identities_iter().map(|leaf| Ok(identity(keys, leaf)?.device)).collect()
}

fn identity(keys: &Keys, leaf: &mls_rs::identity::SigningIdentity) -> Result<Identity, Refusal> {
    keys.verifier.identity_of(leaf).map_err(|error| Refusal::invalid(error.to_string()))
}

fn suite_of<'a>(keys: &'a Keys, group: &Group) -> Result<&'a Suite, Refusal> {
    let number = u16::from(group.group_context().cipher_suite());
    keys.suite(u32::from(number)).ok_or_else(|| Refusal::invalid(format!("cipher suite `{number}` is not allowed")))
}

fn check_sender(keys: &Keys, group: &Group, leaf: u32, device: &DeviceId) -> Result<(), Refusal> {
    let not_yours = || Refusal::new(RefusalCode::NotYourDevice, "the message is signed for another device's leaf");
    let member = group.roster().member_with_index(leaf).map_err(|_| not_yours())?;
    if identity(keys, member.signing_identity())?.device == *device { Ok(()) } else { Err(not_yours()) }
}

/// Pre-shared keys could shut the bot out, re-initialization and external joins would leave the network's rules.
#[expect(clippy::wildcard_enum_match_arm, reason = "the kinds of MLS grow; what is not named here is not allowed")]
fn check_kind(proposal: &Proposal) -> Result<(), Refusal> {
    match proposal {
        Proposal::Add(_) | Proposal::Update(_) | Proposal::Remove(_) | Proposal::GroupContextExtensions(_) => Ok(()),
        _ => Err(Refusal::invalid("only adds, updates, removals and context extensions are allowed in this network")),
    }
}

fn check_external_sender(group: &Group, suite: &Suite) -> Result<(), Refusal> {
    let senders = group.group_context().extensions().get_as::<ExternalSendersExt>().ok().flatten();
    match senders {
        Some(senders) if senders.allowed_senders() == [suite.sender.clone()] => Ok(()),
        Some(_) | None => {
            Err(Refusal::invalid("the conversation must name the network, and only it, as external sender"))
        }
    }
}

fn check_welcome(welcome: &[u8], packages: &HashSet<Vec<u8>>) -> Result<(), Refusal> {
    if welcome.is_empty() || packages.is_empty() {
        return match (welcome.is_empty(), packages.is_empty()) {
            (true, true) => Ok(()),
            (true, false) => Err(Refusal::invalid("the commit adds devices but no welcome for them came along")),
            (false, _) => Err(Refusal::invalid("a welcome came along although the commit adds nobody")),
        };
    }
    let message = decode(welcome)?;
    let for_whom: HashSet<Vec<u8>> =
        message.welcome_key_package_references().into_iter().map(|reference| reference.to_vec()).collect();
    if for_whom == *packages {
        Ok(())
    } else {
        Err(Refusal::invalid("the welcome is for other devices than the commit adds"))
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the errors of MLS are many, and a device needs to know of two")]
fn refused_commit(error: &MlsError) -> Refusal {
    match error {
        MlsError::InvalidEpoch => {
            Refusal::new(RefusalCode::StaleEpoch, "the conversation has moved on: read what is new")
        }
        MlsError::ProposalNotFound => {
            Refusal::new(RefusalCode::StaleEpoch, "the commit takes a proposal that is not here: read what is new")
        }
        other => Refusal::invalid(format!("the commit is not valid: {other}")),
    }
}
