//! MLS messages of others, as a device's engine and the network's observer take them.
//!
//! The device is a real one, stored in `fixture/`: its credential, its state in a conversation with alice and bob, and key packages
//! for which Welcomes are in the corpus. So the corpus can hold messages that this device reads.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use mls_rs::extension::built_in::{ExternalSendersExt, RatchetTreeExt};
use mls_rs::external_client::ExternalClient;
use mls_rs::time::MlsTime;
use mls_rs::{CipherSuite, MlsMessage};
use mls_rs_crypto_awslc::AwsLcCryptoProvider;
use prost::Message;
use retaind::device::mls::{Engine, KeyPackages, NotRead, Received, Session};
use retaind::protocol::credential::{AuthenticationKey, CREDENTIAL_BYTES_MAX, SignedCredential, Verifier};
use retaind::protocol::ids::ConversationId;
use retaind::protocol::shape::{self, ShapeError};
use zeroize::Zeroizing;

use super::Fate;

pub const SUITE: u16 = 7;
pub const NETWORK: &str = "12345678";
/// Texts of alice that are never in the corpus: they tell whether the session still works.
pub const GOOD_TEXTS: usize = 8;

/// What the stored device is made of: its parts in one file, each with its length in four bytes before it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Fixture {
    /// The network's authentication key, PKCS#8.
    pub authority: Vec<u8>,
    pub credential: Vec<u8>,
    pub secret: Vec<u8>,
    pub state: Vec<u8>,
    pub tree: Vec<u8>,
    /// Reference and private part of the key package that the Welcome in the corpus uses.
    pub reference: Vec<u8>,
    pub package: Vec<u8>,
    /// [`GOOD_TEXTS`] messages.
    pub good: Vec<Vec<u8>>,
}

impl Fixture {
    pub fn write(&self) -> Vec<u8> {
        let Self { authority, credential, secret, state, tree, reference, package, good } = self;
        let parts = [authority, credential, secret, state, tree, reference, package].into_iter().chain(good);
        parts.flat_map(|part| [&u32::try_from(part.len()).unwrap().to_be_bytes(), part.as_slice()].concat()).collect()
    }

    fn read(mut bytes: &[u8]) -> Self {
        let mut parts = Vec::new();
        while let Some((length, rest)) = bytes.split_first_chunk() {
            let (part, rest) = rest.split_at(usize::try_from(u32::from_be_bytes(*length)).unwrap());
            parts.push(part.to_vec());
            bytes = rest;
        }
        let good = parts.split_off(7);
        let [authority, credential, secret, state, tree, reference, package] = parts.try_into().unwrap();
        Self { authority, credential, secret, state, tree, reference, package, good }
    }
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| Fixture::read(include_bytes!("fixture/device.bin")));

static VERIFIER: LazyLock<Verifier> =
    LazyLock::new(|| Verifier::new(NETWORK, AuthenticationKey::from_pkcs8(&FIXTURE.authority).unwrap().public_key()));

/// Private parts of key packages.
pub struct Secrets(pub HashMap<Vec<u8>, Vec<u8>>);

impl KeyPackages for Secrets {
    fn secret(&self, reference: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, NotRead> {
        Ok(self.0.get(reference).cloned().map(Zeroizing::new))
    }
}

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let secrets = Secrets([(FIXTURE.reference.clone(), FIXTURE.package.clone())].into());
    Engine::new(SUITE, &FIXTURE.credential, &FIXTURE.secret, VERIFIER.clone(), Arc::new(secrets)).unwrap()
});

pub fn conversation() -> ConversationId {
    ConversationId::from_bytes(&[b'5'; 64]).unwrap()
}

fn session() -> Session {
    ENGINE.load(&conversation(), Zeroizing::new(FIXTURE.state.clone()), &FIXTURE.tree).unwrap()
}

pub fn good_text(index: usize) -> Vec<u8> {
    format!("good text {index}").into_bytes()
}

fn is_good_text(received: &Received, index: usize) -> bool {
    matches!(received, Received::Application { sender, data } if sender.user.as_str() == "alice" && *data == good_text(index))
}

/// Refused before it is unpacked is nothing that the library would take, unless it is too much.
pub fn shape(bytes: &[u8]) -> Fate {
    let checked = shape::check(bytes);
    match checked {
        Ok(()) => {
            // what it costs is seen by who counts memory
            let _ = MlsMessage::from_bytes(bytes);
        }
        Err(ShapeError::Grammar) if bytes.len() < 64 * 1024 => {
            let taken = MlsMessage::from_bytes(bytes).ok();
            let whole = taken.filter(|message| message.to_bytes().is_ok_and(|again| again == bytes));
            assert!(!whole.is_some_and(|message| can_be_used(&message, bytes)), "the library takes what was refused");
        }
        Err(ShapeError::Grammar | ShapeError::Items | ShapeError::Extensions | ShapeError::Part { .. }) => {}
    }
    Fate::of(&checked)
}

/// The library leaves what is in extensions for later. Does it take that as well? `false` also where that cannot be told.
fn can_be_used(message: &MlsMessage, bytes: &[u8]) -> bool {
    match message.as_group_info() {
        Some(info) => {
            let lists = [info.extensions(), info.group_context().extensions()];
            let leaf_extensions_are_seen =
                lists.iter().all(|list| list.get_as::<RatchetTreeExt>().is_ok_and(|tree| tree.is_none()));
            leaf_extensions_are_seen && lists.iter().all(|list| list.get_as::<ExternalSendersExt>().is_ok())
        }
        None => !bytes.windows(2).any(|pair| pair == [0, 2] || pair == [0, 5]),
    }
}

/// What is refused changes nothing: alice's next text is read.
pub fn message(bytes: &[u8]) -> Fate {
    let mut session = session();
    let epoch = session.epoch();
    let received = session.receive(bytes);
    if received.is_err() {
        assert_eq!(session.epoch(), epoch);
        let good = session.receive(&FIXTURE.good[0]);
        assert!(good.is_ok_and(|good| is_good_text(&good, 0)), "a good text is not read after what was refused");
    }
    session.members().unwrap();
    session.save().unwrap();
    Fate::of(&received)
}

/// In the midst of a batch that is verified at once, one that is refused is refused alone.
pub fn batch(bytes: &[u8]) -> Fate {
    let mut session = session();
    let mut messages: Vec<&[u8]> = FIXTURE.good.iter().map(Vec::as_slice).collect();
    messages.insert(3, bytes);
    let mut received = session.receive_many(&messages);
    assert_eq!(received.len(), messages.len());
    let ours = received.remove(3);
    let epoch_is_over = matches!(ours, Ok(Received::Commit { .. }));
    for (index, good) in received.iter().enumerate().take(if epoch_is_over { 3 } else { GOOD_TEXTS }) {
        assert!(good.as_ref().is_ok_and(|good| is_good_text(good, index)), "text {index} was lost");
    }
    Fate::of(&ours)
}

pub fn welcome(bytes: &[u8]) -> Fate {
    let joined = ENGINE.join(bytes);
    if let Ok(session) = &joined {
        session.members().unwrap();
    }
    Fate::of(&joined)
}

/// Adding a stranger's key package leaves the session usable, whatever it is.
pub fn key_package(bytes: &[u8]) -> Fate {
    let mut session = session();
    let commit = session.commit(&[bytes.to_vec()], &[]);
    session.clear_pending_commit();
    assert!(session.receive(&FIXTURE.good[0]).is_ok_and(|good| is_good_text(&good, 0)));
    Fate::of(&commit)
}

/// As the network takes the first word of a conversation. (The limit of its length is the network's.)
pub fn group_info(bytes: &[u8]) -> Fate {
    if shape::check(bytes).is_err() {
        return Fate::Refused;
    }
    let Ok(message) = MlsMessage::from_bytes(bytes) else { return Fate::Refused };
    let observer = ExternalClient::builder()
        .identity_provider(VERIFIER.clone())
        .crypto_provider(AwsLcCryptoProvider::new())
        .build();
    let suite = message.as_group_info().map(|info| info.group_context().cipher_suite());
    if suite != Some(CipherSuite::new(SUITE)) {
        return Fate::Refused;
    }
    Fate::of(&observer.observe_group(message, None, Some(MlsTime::now())))
}

/// First byte even: an encoded credential. Odd: a body that this network has signed, whatever it says.
pub fn credential(bytes: &[u8]) -> Fate {
    static SIGNER: LazyLock<EcdsaKeyPair> =
        LazyLock::new(|| EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &FIXTURE.authority).unwrap());
    let (&first, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let encoded = if first & 1 == 0 {
        rest.to_vec()
    } else {
        let signed = [b"retaind credential v1", rest].concat();
        let signature = SIGNER.sign(&SystemRandom::new(), &signed).unwrap();
        SignedCredential { body: rest.to_vec(), signature: signature.as_ref().to_vec() }.encode_to_vec()
    };
    let verified = VERIFIER.verify(&encoded);
    if let Ok(identity) = &verified {
        assert!(encoded.len() <= CREDENTIAL_BYTES_MAX);
        assert_eq!(identity.network_id, NETWORK);
        // vouched for again, it says the same
        let again = AuthenticationKey::from_pkcs8(&FIXTURE.authority).unwrap().sign(identity).unwrap();
        assert!(again.len() > CREDENTIAL_BYTES_MAX || VERIFIER.verify(&again).as_ref() == Ok(identity));
    }
    Fate::of(&verified)
}
