//! A device with real keys, for promises about tracked groups.

use mls_rs::client_builder::{BaseConfig, WithCryptoProvider, WithIdentityProvider, WithMlsRules};
use mls_rs::extension::built_in::ExternalSendersExt;
use mls_rs::mls_rs_codec::MlsEncode;
use mls_rs::mls_rules::{CommitOptions, DefaultMlsRules, EncryptionOptions};
use mls_rs::{CipherSuite, CipherSuiteProvider, Client, CryptoProvider, ExtensionList, MlsMessage};
use mls_rs_crypto_awslc::AwsLcCryptoProvider;

use super::changes::Scene;
use super::*;
use crate::change::Change;
use crate::delivery::groups::{Ciphertext, Handshake};
use crate::directory::DeviceRow;
use retaind_protocol::credential::{Verifier, signing_identity};

type Config =
    WithMlsRules<DefaultMlsRules, WithIdentityProvider<Verifier, WithCryptoProvider<AwsLcCryptoProvider, BaseConfig>>>;

pub(super) struct Member {
    pub(super) row: DeviceRow,
    client: Client<Config>,
}

/// The member's view of its conversation.
pub(super) struct Group(mls_rs::Group<Config>);

impl Member {
    /// Registers a device of this user.
    pub(super) fn register(scene: &mut Scene<'_>, user: &str, role: Role) -> Self {
        let suite = CipherSuite::from(SUITE);
        let crypto = AwsLcCryptoProvider::new();
        let (secret, public) = crypto.cipher_suite_provider(suite).unwrap().signature_key_generate().unwrap();
        let (row, credential) = scene.register(user, role, public.as_bytes());
        let rules = DefaultMlsRules::new()
            .with_commit_options(CommitOptions::new().with_ratchet_tree_extension(true))
            .with_encryption_options(EncryptionOptions::new(false, Default::default()));
        let client = Client::builder()
            .crypto_provider(crypto)
            .identity_provider(scene.keys.verifier.clone())
            .mls_rules(rules)
            .signing_identity(signing_identity(credential, public.as_bytes()), secret, suite)
            .build();
        Self { row, client }
    }

    pub(super) fn package(&self) -> Vec<u8> {
        let package = self.client.generate_key_package_message(ExtensionList::new(), ExtensionList::new(), None);
        package.unwrap().to_bytes().unwrap()
    }

    /// A conversation with the device of this package, and what starts it.
    pub(super) fn create(&self, scene: &Scene<'_>, id: ConversationId, package: &[u8]) -> (Group, Change) {
        let mut context = ExtensionList::new();
        context.set_from(ExternalSendersExt::new(vec![scene.keys.suites[0].sender.clone()])).unwrap();
        let created = self.client.create_group_with_id(id.as_bytes().to_vec(), context, ExtensionList::new(), None);
        let mut group = Group(created.unwrap());
        let group_info = group.0.group_info_message(true).unwrap().to_bytes().unwrap();
        let (commit, welcome) = group.commit(&[package]);
        let (device, send_id) = (self.row.clone(), send_id(0).as_bytes().to_vec());
        let commit = Box::new(Handshake::parse(commit).unwrap());
        (group, Change::Create { device, send_id, group_info, commit, welcome })
    }

    /// This commit, as its `number`th message.
    pub(super) fn handshake(&self, number: u16, message: &[u8], welcome: &[u8]) -> Change {
        Change::Handshake {
            device: self.row.clone(),
            send_id: send_id(number).as_bytes().to_vec(),
            handshake: Box::new(Handshake::parse(message.to_vec()).unwrap()),
            welcome: welcome.to_vec(),
        }
    }
}

impl Member {
    /// A text, as its `number`th message.
    pub(super) fn application(&self, number: u16, group: &mut Group) -> Change {
        let message = group.0.encrypt_application_message(b"text", Vec::new()).unwrap().to_bytes().unwrap();
        Change::Application {
            device: self.row.clone(),
            send_id: send_id(number).as_bytes().to_vec(),
            message: Ciphertext::parse(message).unwrap(),
            blobs: Vec::new(),
        }
    }
}

impl Group {
    /// SHA-256 of the group's context.
    pub(super) fn context(&self) -> Vec<u8> {
        let context = self.0.context().mls_encode_to_vec().unwrap();
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &context).as_ref().to_vec()
    }

    /// A commit that adds these, with its welcome. It is in force when it was applied.
    pub(super) fn commit(&mut self, packages: &[&[u8]]) -> (Vec<u8>, Vec<u8>) {
        self.0.clear_pending_commit();
        let mut builder = self.0.commit_builder();
        for package in packages {
            builder = builder.add_member(MlsMessage::from_bytes(package).unwrap()).unwrap();
        }
        let output = builder.build().unwrap();
        let welcome = output.welcome_messages().first().map(|welcome| welcome.to_bytes().unwrap());
        (output.commit_message().to_bytes().unwrap(), welcome.unwrap_or_default())
    }

    /// The network has accepted the commit.
    pub(super) fn apply(&mut self) {
        self.0.apply_pending_commit().unwrap();
    }

    /// Somebody else's message.
    pub(super) fn receive(&mut self, message: &[u8]) {
        self.0.process_incoming_message(MlsMessage::from_bytes(message).unwrap()).unwrap();
    }

    pub(super) fn members(&self) -> usize {
        self.0.roster().members_iter().count()
    }
}
