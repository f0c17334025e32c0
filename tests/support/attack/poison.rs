//! Messages that are meant to end the archive of everybody, or to go past it. All by members of a conversation, whose client
//! does what it likes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use mls_rs::client_builder::{BaseConfig, WithCryptoProvider, WithIdentityProvider};
use mls_rs::extension::ExtensionType;
use mls_rs::{CipherSuite, Client, Extension, ExtensionList};
use mls_rs_core::crypto::SignatureSecretKey;
use mls_rs_crypto_awslc::AwsLcCryptoProvider;
use retaind::device::connection::ConnectionError;
use retaind::device::mls::Session;
use retaind::protocol::credential::{Verifier, signing_identity};
use retaind::protocol::ids::ConversationId;
use retaind::protocol::wire::{DeliveryKind, RefusalCode, Request, SendApplication};

use crate::support::raw::{Raw, SUITE, accepted, random, verifier};
use crate::support::text;

/// Of no meaning to anybody.
const PRIVATE: ExtensionType = ExtensionType::new(0xF1A7);

type Config = WithIdentityProvider<Verifier, WithCryptoProvider<AwsLcCryptoProvider, BaseConfig>>;

/// A key package of this device whose leaf carries a private extension of so many bytes.
pub fn heavy_key_package(raw: &Raw, bytes: usize) -> Vec<u8> {
    let client: Client<Config> = Client::builder()
        .crypto_provider(AwsLcCryptoProvider::new())
        .identity_provider(verifier(&raw.connection))
        .extension_type(PRIVATE)
        .signing_identity(
            signing_identity(raw.credential.clone(), &raw.identity.signature_key),
            SignatureSecretKey::new_slice(&raw.secret),
            CipherSuite::new(SUITE),
        )
        .build();
    let mut leaf = ExtensionList::new();
    leaf.set(Extension::new(PRIVATE, vec![7; bytes]));
    client.generate_key_package_message(ExtensionList::new(), leaf, None).unwrap().to_bytes().unwrap()
}

/// An Add proposal of this key package, by its shape: that is checked before its signature.
pub fn proposal_of(session: &mut Session, package: &[u8]) -> Vec<u8> {
    let leave = session.propose_leave().unwrap();
    // content type, type of the proposal, and the leaf to remove
    let remove = [2, 0, 3, 0, 0, 0, 0];
    let at = leave.windows(remove.len()).position(|window| window == remove).unwrap();
    [&leave[..=at], &[0, 1], &package[4..], &leave[at + remove.len()..]].concat()
}

/// A commit whose membership tag is wrong. The network cannot check it: it has no key of the conversation. The attacker's own
/// session takes it as it was.
pub async fn commit_with_a_wrong_tag(raw: &Raw, session: &mut Session) -> Result<u64, ConnectionError> {
    let pending = session.commit(&[], &[]).unwrap();
    let mut forged = pending.commit.clone();
    *forged.last_mut().unwrap() ^= 1;
    let seq = raw.handshake(&forged, &pending.welcome).await?;
    session.receive(&pending.commit).unwrap();
    Ok(seq)
}

/// A message so many generations ahead of the last one: whoever follows the standard keeps a thousand keys at most.
pub async fn skip(raw: &Raw, session: &mut Session, generations: usize) -> Result<u64, ConnectionError> {
    for _ in 1..generations {
        session.encrypt(b"never sent").unwrap();
    }
    say(raw, session, "far ahead").await
}

/// Sends a text, as an honest device would.
pub async fn say(raw: &Raw, session: &mut Session, words: &str) -> Result<u64, ConnectionError> {
    let message = session.encrypt(&text(words).encode().unwrap()).unwrap();
    let send = SendApplication { send_id: random::<16>().to_vec(), message, blobs: vec![] };
    accepted(&raw.connection, Request::SendApplication(send)).await
}

/// Sends until the network refuses. Returns what it refused with; the number that it took may be any.
pub async fn send_until_refused(raw: &Raw, session: &mut Session) -> RefusalCode {
    for _ in 0..10_000 {
        if let Err(error) = say(raw, session, "unseen").await {
            return error.refusal().unwrap();
        }
        tokio::task::yield_now().await;
    }
    panic!("the network takes everything");
}

/// Reads what others have sent after `seq`, and the network's proposals; returns the newest place.
pub async fn read(raw: &Raw, session: &mut Session, id: &ConversationId, after: u64) -> u64 {
    let read = raw.fetch(id, after).await.unwrap();
    for delivery in &read.deliveries {
        if delivery.kind() == DeliveryKind::Handshake && delivery.sender_device != raw.identity.device.as_bytes() {
            session.receive(&delivery.payload).unwrap();
        }
    }
    read.through_seq
}

/// Commits what the network proposes until it takes messages again. Returns the place of a text.
pub async fn obey(raw: &Raw, session: &mut Session, id: &ConversationId, mut seen: u64, words: &str) -> u64 {
    for _ in 0..100_000 {
        if session.has_proposals() {
            match raw.commit(session, &[], &[]).await {
                Ok(seq) => seen = seen.max(seq),
                // there is another proposal, which the commit did not take
                Err(_) => seen = read(raw, session, id, seen).await,
            }
            continue;
        }
        match say(raw, session, words).await {
            Ok(seq) => return seq,
            Err(error) => match error.refusal().unwrap() {
                RefusalCode::BotMissing | RefusalCode::StaleEpoch => seen = read(raw, session, id, seen).await,
                RefusalCode::BotBehind => {}
                RefusalCode::NotRead => {
                    raw.commit(session, &[], &[]).await.unwrap();
                }
                other => panic!("{other:?}"),
            },
        }
        tokio::task::yield_now().await;
    }
    panic!("the conversation does not come back");
}
