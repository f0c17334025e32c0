//! A device of another make: everything that MLS asks of it is done by OpenMLS, nothing by this program's library.
//!
//! It speaks the network's default suite (7: P-384, AES-256-GCM). OpenMLS knows that suite, and RustCrypto has all its
//! primitives; only OpenMLS's own provider does not offer it. So [`Crypto`] says "supported" and leaves the work to
//! RustCrypto: protocol *and* primitives are other code than what they are tested against.

#![allow(clippy::unwrap_used, clippy::panic)]

use openmls::prelude::tls_codec::{DeserializeBytes, SecretVLBytes};
use openmls::prelude::*;
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::{MemoryStorage, RustCrypto};

pub const SUITE: Ciphersuite = Ciphersuite::MLS_256_DHKEMP384_AES256GCM_SHA384_P384;

/// RustCrypto, with suite 7 among the supported.
#[derive(Default)]
pub struct Crypto(RustCrypto);

impl OpenMlsCrypto for Crypto {
    fn supports(&self, suite: Ciphersuite) -> Result<(), CryptoError> {
        if suite == SUITE { Ok(()) } else { Err(CryptoError::UnsupportedCiphersuite) }
    }

    fn supported_ciphersuites(&self) -> Vec<Ciphersuite> {
        vec![SUITE]
    }

    fn hkdf_extract(&self, hash: HashType, salt: &[u8], ikm: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        self.0.hkdf_extract(hash, salt, ikm)
    }

    fn hmac(&self, hash: HashType, key: &[u8], message: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        self.0.hmac(hash, key, message)
    }

    fn hkdf_expand(&self, hash: HashType, prk: &[u8], info: &[u8], len: usize) -> Result<SecretVLBytes, CryptoError> {
        self.0.hkdf_expand(hash, prk, info, len)
    }

    fn hash(&self, hash: HashType, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.0.hash(hash, data)
    }

    fn aead_encrypt(
        &self,
        aead: AeadType,
        key: &[u8],
        data: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        self.0.aead_encrypt(aead, key, data, nonce, aad)
    }

    fn aead_decrypt(
        &self,
        aead: AeadType,
        key: &[u8],
        sealed: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        self.0.aead_decrypt(aead, key, sealed, nonce, aad)
    }

    fn signature_key_gen(&self, scheme: SignatureScheme) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        self.0.signature_key_gen(scheme)
    }

    fn verify_signature(
        &self,
        scheme: SignatureScheme,
        data: &[u8],
        key: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        self.0.verify_signature(scheme, data, key, signature)
    }

    fn sign(&self, scheme: SignatureScheme, data: &[u8], key: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.0.sign(scheme, data, key)
    }

    fn hpke_seal(
        &self,
        config: HpkeConfig,
        key: &[u8],
        info: &[u8],
        aad: &[u8],
        data: &[u8],
    ) -> Result<HpkeCiphertext, CryptoError> {
        self.0.hpke_seal(config, key, info, aad, data)
    }

    fn hpke_open(
        &self,
        config: HpkeConfig,
        sealed: &HpkeCiphertext,
        key: &[u8],
        info: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        self.0.hpke_open(config, sealed, key, info, aad)
    }

    fn hpke_setup_sender_and_export(
        &self,
        config: HpkeConfig,
        key: &[u8],
        info: &[u8],
        context: &[u8],
        len: usize,
    ) -> Result<(KemOutput, ExporterSecret), CryptoError> {
        self.0.hpke_setup_sender_and_export(config, key, info, context, len)
    }

    fn hpke_setup_receiver_and_export(
        &self,
        config: HpkeConfig,
        enc: &[u8],
        key: &[u8],
        info: &[u8],
        context: &[u8],
        len: usize,
    ) -> Result<ExporterSecret, CryptoError> {
        self.0.hpke_setup_receiver_and_export(config, enc, key, info, context, len)
    }

    fn derive_hpke_keypair(&self, config: HpkeConfig, ikm: &[u8]) -> Result<HpkeKeyPair, CryptoError> {
        self.0.derive_hpke_keypair(config, ikm)
    }
}

#[derive(Default)]
struct Provider {
    crypto: Crypto,
    storage: MemoryStorage,
}

impl OpenMlsProvider for Provider {
    type CryptoProvider = Crypto;
    type RandProvider = RustCrypto;
    type StorageProvider = MemoryStorage;

    fn storage(&self) -> &MemoryStorage {
        &self.storage
    }

    fn crypto(&self) -> &Crypto {
        &self.crypto
    }

    fn rand(&self) -> &RustCrypto {
        &self.crypto.0
    }
}

/// A signature key that the network has yet to vouch for.
pub struct Keys {
    provider: Provider,
    secret: Vec<u8>,
    pub public: Vec<u8>,
}

impl Keys {
    pub fn generate() -> Self {
        let provider = Provider::default();
        let (secret, public) = provider.crypto.signature_key_gen(SUITE.signature_algorithm()).unwrap();
        Self { provider, secret, public }
    }

    pub fn sign(&self, data: &[u8]) -> Vec<u8> {
        self.provider.crypto.sign(SUITE.signature_algorithm(), data, &self.secret).unwrap()
    }

    /// The device, with the network's credential (as it is sent).
    pub fn vouched_for(self, credential: &[u8]) -> OpenMlsDevice {
        let signer = SignatureKeyPair::from_raw(SUITE.signature_algorithm(), self.secret.clone(), self.public.clone());
        let credential = BasicCredential::new(credential.to_vec()).into();
        let credential = CredentialWithKey { credential, signature_key: self.public.clone().into() };
        OpenMlsDevice { keys: self, signer, credential }
    }
}

/// A device with its keys.
pub struct OpenMlsDevice {
    keys: Keys,
    signer: SignatureKeyPair,
    credential: CredentialWithKey,
}

/// How often a key package may be used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Use {
    Once,
    LastResort,
}

/// What a received message was. People are the credentials (as they are sent) of their leaves.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    Application {
        sender: Vec<u8>,
        data: Vec<u8>,
    },
    Commit {
        added: Vec<Vec<u8>>,
        removed: Vec<Vec<u8>>,
        still_member: bool,
    },
    Proposal,
    /// An application message of this device: its keys are used up.
    Own,
}

/// A commit that takes effect when it is read back.
pub struct Pending {
    pub commit: Vec<u8>,
    /// Empty when nobody is added.
    pub welcome: Vec<u8>,
}

impl OpenMlsDevice {
    pub fn sign(&self, data: &[u8]) -> Vec<u8> {
        self.keys.sign(data)
    }

    pub fn key_package(&self, usage: Use) -> Vec<u8> {
        let mut builder = KeyPackage::builder().leaf_node_capabilities(Capabilities::new(
            None,
            Some(&[SUITE]),
            None,
            None,
            Some(&[CredentialType::Basic]),
        ));
        if usage == Use::LastResort {
            builder = builder.mark_as_last_resort();
        }
        let bundle = builder.build(SUITE, &self.keys.provider, &self.signer, self.credential.clone()).unwrap();
        MlsMessageOut::from(bundle.into_key_package()).to_bytes().unwrap()
    }

    /// Joins by a Welcome that has the ratchet tree inside.
    pub fn join(&self, welcome: &[u8]) -> Conversation<'_> {
        let MlsMessageBodyIn::Welcome(welcome) = parse(welcome).extract() else { panic!("not a welcome") };
        // handshakes are public messages, so that the network can enforce membership; past epochs are not kept
        let config = MlsGroupJoinConfig::builder()
            .wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
            .use_ratchet_tree_extension(true)
            .build();
        let staged = StagedWelcome::new_from_welcome(&self.keys.provider, &config, welcome, None).unwrap();
        Conversation { device: self, group: staged.into_group(&self.keys.provider).unwrap() }
    }
}

/// A device in a conversation.
pub struct Conversation<'a> {
    device: &'a OpenMlsDevice,
    group: MlsGroup,
}

impl Conversation<'_> {
    pub fn id(&self) -> &[u8] {
        self.group.group_id().as_slice()
    }

    pub fn epoch(&self) -> u64 {
        self.group.epoch().as_u64()
    }

    /// Credentials of all members, in order of their leaves.
    pub fn members(&self) -> Vec<Vec<u8>> {
        self.group.members().map(|member| identity(&member.credential)).collect()
    }

    /// Credentials that the conversation's external senders present.
    pub fn external_senders(&self) -> Vec<Vec<u8>> {
        use openmls::prelude::tls_codec::Serialize;
        let senders = self.group.extensions().external_senders().cloned().unwrap_or_default();
        senders.iter().map(|sender| sender.tls_serialize_detached().unwrap()).collect()
    }

    pub fn encrypt(&mut self, data: &[u8]) -> Vec<u8> {
        let message = self.group.create_message(&self.device.keys.provider, &self.device.signer, data).unwrap();
        message.to_bytes().unwrap()
    }

    pub fn is_commit(&self, message: &[u8]) -> bool {
        parse(message).try_into_protocol_message().unwrap().content_type() == ContentType::Commit
    }

    /// Takes the next message of the conversation, one's own commits included.
    pub fn receive(&mut self, message: &[u8]) -> Seen {
        let provider = &self.device.keys.provider;
        let message = parse(message).try_into_protocol_message().unwrap();
        let processed = self.group.process_message(provider, message).unwrap();
        let sender = identity(processed.credential());
        match processed.into_content() {
            ProcessedMessageContent::ApplicationMessage(message) => {
                Seen::Application { sender, data: message.into_bytes() }
            }
            ProcessedMessageContent::ProposalMessage(proposal) => {
                self.group.store_pending_proposal(provider.storage(), *proposal).unwrap();
                Seen::Proposal
            }
            ProcessedMessageContent::StagedCommitMessage(staged) => {
                let seen = self.seen(&staged);
                self.group.merge_staged_commit(provider, *staged).unwrap();
                seen
            }
            ProcessedMessageContent::OwnPendingCommit => {
                let seen = self.seen(self.group.pending_commit().unwrap());
                self.group.merge_pending_commit(provider).unwrap();
                seen
            }
            ProcessedMessageContent::OwnPrivateMessage => Seen::Own,
            other => panic!("{other:?} has no place here"),
        }
    }

    fn seen(&self, commit: &StagedCommit) -> Seen {
        let added =
            commit.add_proposals().map(|add| identity(add.add_proposal().key_package().leaf_node().credential()));
        let removed = commit
            .remove_proposals()
            .map(|remove| identity(self.group.member(remove.remove_proposal().removed()).unwrap()));
        Seen::Commit { added: added.collect(), removed: removed.collect(), still_member: !commit.self_removed() }
    }

    /// New keys of one's own leaf, and whatever was proposed.
    pub fn update(&mut self) -> Pending {
        let (provider, signer) = (&self.device.keys.provider, &self.device.signer);
        let bundle = self.group.self_update(provider, signer, LeafNodeParameters::default()).unwrap();
        let (commit, welcome, _) = bundle.into_messages();
        pending(&commit, welcome.as_ref())
    }

    /// Adds the devices of these key packages, and whatever was proposed.
    pub fn add(&mut self, key_packages: &[Vec<u8>]) -> Pending {
        let (provider, signer) = (&self.device.keys.provider, &self.device.signer);
        let packages: Vec<_> = key_packages
            .iter()
            .map(|package| {
                let MlsMessageBodyIn::KeyPackage(package) = parse(package).extract() else {
                    panic!("not a key package")
                };
                package.validate(&provider.crypto, ProtocolVersion::Mls10).unwrap()
            })
            .collect();
        let (commit, welcome, _) = self.group.add_members(provider, signer, &packages).unwrap();
        pending(&commit, Some(&welcome))
    }

    /// Removes the device with this credential, and whatever was proposed.
    pub fn remove(&mut self, credential: &[u8]) -> Pending {
        let (provider, signer) = (&self.device.keys.provider, &self.device.signer);
        let leaf = self.group.members().find(|member| identity(&member.credential) == credential).unwrap().index;
        let (commit, welcome, _) = self.group.remove_members(provider, signer, &[leaf]).unwrap();
        pending(&commit, welcome.as_ref())
    }

    /// Forgets a commit that the network did not take.
    pub fn forget_pending(&mut self) {
        self.group.clear_pending_commit(&self.device.keys.provider.storage).unwrap();
    }

    /// Proposes to be removed.
    pub fn propose_leave(&mut self) -> Vec<u8> {
        self.group.leave_group(&self.device.keys.provider, &self.device.signer).unwrap().to_bytes().unwrap()
    }
}

fn pending(commit: &MlsMessageOut, welcome: Option<&MlsMessageOut>) -> Pending {
    Pending {
        commit: commit.to_bytes().unwrap(),
        welcome: welcome.map(|welcome| welcome.to_bytes().unwrap()).unwrap_or_default(),
    }
}

fn identity(credential: &Credential) -> Vec<u8> {
    BasicCredential::try_from(credential.clone()).unwrap().identity().to_vec()
}

fn parse(bytes: &[u8]) -> MlsMessageIn {
    MlsMessageIn::tls_deserialize_exact_bytes(bytes).unwrap()
}
