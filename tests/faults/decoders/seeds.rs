//! What the corpora begin with: inputs by the program's own encoders, hostile ones by hand, and those too large to be kept.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use data_encoding::BASE64URL_NOPAD;
use flate2::Compression;
use flate2::write::GzEncoder;
use mls_rs::extension::ExtensionType;
use mls_rs::mls_rs_codec::MlsEncode;
use mls_rs::mls_rules::{CommitOptions, DefaultMlsRules};
use mls_rs::{CipherSuite, Client, Extension, ExtensionList, MlsMessage};
use mls_rs_core::crypto::SignatureSecretKey;
use mls_rs_crypto_awslc::AwsLcCryptoProvider;
use prost::Message;
use retaind::archive::encrypt::Format;
use retaind::device::mls::{Engine, EngineError, KeyPackageUse, KeyPackages, NotRead, generate_signature_key};
use retaind::device::store::{StoredBeginning, StoredIdentity};
use retaind::protocol::attachment::AttachmentKey;
use retaind::protocol::content::{Attachment, AttachmentKind, Body, Content};
use retaind::protocol::credential::{AuthenticationKey, CredentialBody, Identity, Role, Verifier, signing_identity};
use retaind::protocol::endpoint::{Endpoint, Invite};
use retaind::protocol::ids::{ConversationId, DeviceId, MessageId, UserName};
use retaind::protocol::limits::{CONTENT_BYTES_MAX, FRAME_BYTES_MAX};
use retaind::protocol::shape::{self, ShapeError};
use retaind::protocol::wire::*;
use retaind::state::vault::Vault;
use zeroize::Zeroizing;

use super::gate::corpus_folder;
use super::mls::{Fixture, GOOD_TEXTS, NETWORK, SUITE, conversation, good_text};
use super::outside::sealed;
use super::protocol::{LooseEnvelope, LooseFile};
use crate::support::bodies::bodies;

/// Inputs by decoder: names and bytes.
#[derive(Default)]
struct Kept(HashMap<&'static str, Vec<(String, Vec<u8>)>>);

impl Kept {
    fn add(&mut self, decoder: &'static str, sort: &str, inputs: impl IntoIterator<Item = Vec<u8>>) {
        let kept = self.0.entry(decoder).or_default();
        for input in inputs {
            let number = kept.iter().filter(|(name, _)| name.starts_with(sort)).count();
            kept.push((format!("{sort}-{number:02}"), input));
        }
    }

    fn valid(&mut self, decoder: &'static str, inputs: impl IntoIterator<Item = Vec<u8>>) {
        self.add(decoder, "valid", inputs);
    }

    fn hostile(&mut self, decoder: &'static str, inputs: impl IntoIterator<Item = Vec<u8>>) {
        self.add(decoder, "hostile", inputs);
    }
}

/// Writes all that the program can make by itself; what fuzzing has found stays.
#[test]
fn valid_and_hostile_inputs_are_made_anew_when_they_are_blessed() {
    if std::env::var_os("RETAIND_BLESS").is_none_or(|value| value != "1") {
        return;
    }
    let mut kept = Kept::default();
    frames(&mut kept);
    contents(&mut kept);
    names(&mut kept);
    let fixture = conversations(&mut kept);
    fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/decoders/fixture/device.bin"), fixture.write())
        .unwrap();
    disk(&mut kept);
    settings(&mut kept);
    outside(&mut kept);
    for decoder in super::DECODERS {
        kept.hostile(decoder.name, [vec![], vec![0], vec![0xff; 64]]);
    }
    for (decoder, inputs) in kept.0 {
        let folder = corpus_folder(decoder);
        fs::create_dir_all(&folder).unwrap();
        for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap()) {
            let name = entry.file_name().into_string().unwrap();
            if name.starts_with("valid-") || name.starts_with("hostile-") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        for (name, input) in inputs {
            fs::write(folder.join(name), input).unwrap();
        }
    }
}

fn client(request: Request) -> Vec<u8> {
    ClientFrame { id: 7, request: Some(request) }.encode_to_vec()
}

fn server(id: u64, answer: Answer) -> Vec<u8> {
    ServerFrame { id, answer: Some(answer) }.encode_to_vec()
}

fn delivery() -> Delivery {
    Delivery {
        conversation: conversation().to_string(),
        seq: 3,
        kind: DeliveryKind::Application.into(),
        sender_device: vec![7; 16],
        sender_user: "alice@example.com".into(),
        accepted_at_micros: -1,
        payload: vec![0, 1, 0, 2],
    }
}

fn frames(kept: &mut Kept) {
    let (id, blob) = (conversation().to_string(), vec![3; 32]);
    let cursor = Cursor { conversation: id.clone(), seq: u64::MAX };
    let requests = [
        Request::Hello(Hello { version: 1 }),
        Request::Register(Register {
            invite_code: "code".into(),
            bot_user: "bot".into(),
            bot_password: "a password".into(),
            cipher_suite: 7,
            signature_key: vec![4; 97],
            proof: vec![5; 96],
        }),
        Request::Login(Login { device: vec![1; 16], proof: vec![2; 96] }),
        Request::PublishKeyPackages(PublishKeyPackages { one_time: vec![vec![1; 9], vec![]], last_resort: vec![2] }),
        Request::ClaimKeyPackages(ClaimKeyPackages { users: vec!["alice".into(), "bob".into()], cipher_suite: 7 }),
        Request::CreateConversation(CreateConversation {
            send_id: vec![1; 16],
            group_info: vec![2; 8],
            commit: vec![3; 8],
            welcome: vec![4; 8],
        }),
        Request::SendApplication(SendApplication { send_id: vec![1; 16], message: vec![0, 1, 0, 2], blobs: vec![] }),
        Request::Fetch(Fetch { conversation: id.clone(), after_seq: 9, handshakes_only: true, bytes_max: u32::MAX }),
        Request::Subscribe(Subscribe { window_messages: 1000, window_bytes: u64::MAX }),
        Request::Acknowledge(Acknowledge { cursors: vec![cursor.clone(), cursor] }),
        Request::BlobPut(BlobPut { blob: blob.clone(), offset: 1 << 40, bytes: vec![0; 20] }),
        Request::BlobGet(BlobGet { blob, offset: 0, length: 1 << 20 }),
        Request::ReadAccount(ReadAccount {}),
    ];
    kept.valid("client_frame", requests.map(client));
    let state = ConversationState { conversation: id, acknowledged_seq: 1, head_seq: 2 };
    let one = ClaimedKeyPackage { user: "a".into(), device: vec![1; 16], key_package: vec![2; 9], last_resort: true };
    let answers = [
        Answer::Refused(Refused { code: RefusalCode::Limit.into(), message: "too much".into() }),
        Answer::NetworkInfo(NetworkInfo {
            network_id: NETWORK.into(),
            authentication_key: vec![4; 97],
            cipher_suites: vec![7, 5],
            external_senders: vec![vec![1; 20], vec![2; 20]],
            retention_users: vec!["bot".into()],
            nonce: vec![9; 32],
            strict_retention: true,
            authorities: vec![],
        }),
        Answer::Registered(Registered { user: "bot".into(), device: vec![1; 16], credential: vec![2; 30] }),
        Answer::ClaimedKeyPackages(ClaimedKeyPackages { packages: vec![one.clone(), one] }),
        Answer::Accepted(Accepted { seq: 4 }),
        Answer::Deliveries(Deliveries { deliveries: vec![delivery(), delivery()], through_seq: 3, head_seq: 9 }),
        Answer::Conversations(Conversations { conversations: vec![state.clone(), state], more: true }),
        Answer::BlobRange(BlobRange { bytes: vec![1; 20], size: 1 << 34 }),
        Answer::Account(Account { initial_password: true }),
    ];
    kept.valid("server_frame", answers.map(|answer| server(7, answer)));
    let text = "Data Retention Turned On".to_owned();
    let notice = Notice { retention_users: vec!["bot".into()], text, strict_retention: true, key_packages_low: false };
    kept.valid("server_frame", [server(0, Answer::Delivery(delivery())), server(0, Answer::Notice(notice))]);
    let nested = b"\x73".repeat(60).into_iter().chain(b"\x74".repeat(60)).collect::<Vec<u8>>();
    let hostile = [
        // an unknown group in groups, a length that is longer than the frame, a number without end, a field of another type
        nested,
        b"\x08\x07\x52\xff\xff\xff\xff\x0f\x0a".to_vec(),
        b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        b"\x50\x01".to_vec(),
        // the same request twice is one with both
        [client(Request::Hello(Hello { version: 1 })), client(Request::Hello(Hello { version: 2 }))].concat(),
    ];
    kept.hostile("client_frame", hostile.clone());
    kept.hostile("server_frame", hostile);
    let framed = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let one = framed(&client(Request::Hello(Hello { version: 1 })));
    kept.valid("frame_codec", [[vec![0], one.clone()].concat(), [vec![14], one.clone(), one.clone()].concat()]);
    kept.hostile("frame_codec", [b"\x00\xff\xff\xff\xff".to_vec(), b"\x01\x01\x00\x00\x00rest".to_vec(), one]);
}

fn content(body: Body) -> Vec<u8> {
    let message_id = MessageId::new([0x84; 16]);
    Content { message_id, sent_at_micros: 1_780_503_683_000_042, ttl: Some(-1), bor: 9, body }.encode().unwrap()
}

fn file(name: &str) -> Body {
    Body::File(Attachment {
        blob: [1; 32],
        key: AttachmentKey::from_bytes(b"ThisKeyMustNeverReachTheArchive!").unwrap(),
        size: 10,
        sha256: [2; 32],
        name: name.into(),
        guid: [3; 16],
        kind: AttachmentKind::VoiceMemo { seconds: 4 },
    })
}

fn contents(kept: &mut Kept) {
    let mut all: Vec<Vec<u8>> = bodies().into_iter().map(content).collect();
    all.push(content(file("../../\u{202e}fdp.exe")));
    kept.valid("content", all.clone());
    let key = LooseFile { key: b"ThisKeyMustNeverReachTheArchive!".to_vec() }.encode_to_vec();
    let loose = LooseEnvelope { kind: 6000, body: key.clone() }.encode_to_vec();
    // the file's kind, in more bits than a kind has
    let long_kind = [b"\x10\xf0\xae\x80\x80\x10\x1a".to_vec(), vec![key.len() as u8], key.clone()].concat();
    let hostile = [
        loose.clone(),
        long_kind,
        // groups before it, around nothing, and one that claims another kind
        [b"\x7b\x7c".to_vec(), loose.clone()].concat(),
        [loose.clone(), b"\x7b\x10\xe8\x07\x7c".to_vec()].concat(),
        // cut off within the key
        loose[..20].to_vec(),
        [content(bodies().remove(0)), content(bodies().remove(1))].concat(),
        content(Body::Unknown { kind: 6000, version: 2, bytes: key }),
        content(Body::Unknown { kind: 4004, version: 2, bytes: b"\x42\x04\x22\x02kk".to_vec() }),
    ];
    kept.hostile("content", hostile.clone());
    kept.valid("salvage", all.iter().rev().take(3).cloned());
    kept.hostile("salvage", hostile);
    kept.hostile(
        "attachment_blob",
        [
            [&10u64.to_be_bytes()[..], b"RTA\x01\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0a", &[0; 26]].concat(),
            [&u64::MAX.to_be_bytes()[..], b"RTA\x01"].concat(),
            [&(16u64 << 30).to_be_bytes()[..], &[0; 300]].concat(),
        ],
    );
    let whole = [[0, 0xff, 0xff, 0xff]; 3].concat();
    kept.valid("attachment_script", [whole.clone(), [[1u8, 0, 0, 0].to_vec(), whole.clone()].concat()]);
    kept.hostile(
        "attachment_script",
        [
            // an altered chunk is passed over: the rest is read, and nothing is proved
            [[1u8, 1, 0, 0].to_vec(), whole.clone()].concat(),
            [[2u8, 9, 9, 9].to_vec(), whole.clone()].concat(),
            [[3u8, 1, 1, 1], [0, 0, 1, 1], [2, 0x40, 0, 0], [0, 0x40, 0, 0]].concat(),
            [whole, vec![0, 0, 0, 9]].concat(),
        ],
    );
}

fn names(kept: &mut Kept) {
    let id = conversation();
    let texts = [id.as_str(), "alice@example.com", "0123456789abcdef0123456789abcdef", "\u{202e}\u{feff}name"];
    kept.valid("names", texts.map(|text| text.as_bytes().to_vec()));
    kept.hostile("names", [b"S".repeat(64), "a\u{a0}b".into(), b"G0123".to_vec(), vec![0x80; 64], b"ab\0c".to_vec()]);
    let at = Endpoint { address: "127.0.0.1:4433".into(), server_name: "retaind".into(), ca_der: vec![0x30; 300] };
    kept.valid("invite", [Invite { endpoint: at, code: "a-code".into() }.to_string().into_bytes()]);
    let long = format!("rti1_{}", BASE64URL_NOPAD.encode(b"\x0a\xff\xff\xff\xff\x0f"));
    kept.hostile("invite", [b"rti1_".to_vec(), long.into_bytes(), b" rti1_AAAA\n".to_vec()]);
    let at = 1_691_176_258_000i64.to_be_bytes();
    let name = |name: &str| [&at, name.as_bytes()].concat();
    kept.valid("file_name", ["report.pdf", "日本語.pdf", "a b.c"].map(name));
    kept.hostile(
        "file_name",
        ["", "..", "../../etc/passwd", "C:\\x", "gpj.\u{202e}exe", "a. . .", "\0\n\u{2028}"].map(name),
    );
    kept.hostile("file_name", [name(&"ü".repeat(200)), name(&format!("{}.{}", ".".repeat(300), "x".repeat(31)))]);
    kept.hostile("file_name", [[&i64::MIN.to_be_bytes()[..], b"a"].concat()]);
    kept.valid("segment_directory", [
        b"\n\x09$_20230804T191058.000Z_00000042.txt\n\x03$_recovered_00000003.txt\n\x05$.txt\n\x04.$.00000009.part\n\x01b".to_vec(),
        b"43\n\x09$_20230804T191058.000Z_00000042.txt\n\x08$.txt\n\x04.$.00000044.part".to_vec(),
    ]);
    kept.hostile(
        "segment_directory",
        [
            b"\n\x09$_20230804T191058.000Z_999999999999.txt\n\x01.$.999999999999.part".to_vec(),
            b"7\n\x09$_20230804T191058.000Z_00000042.txt".to_vec(),
            b"7\n\x01$.txt".to_vec(),
            b"\n\x01$_\xff\xfe_00000001.txt\n\x01$_recovered_00000001.txt\n\x01$_20230804T191058.000Z_00000001.txt"
                .to_vec(),
        ],
    );
    let line = r#"{"at":"2004-12-25T09:14:00Z","room":"a","sender":"x y%","kind":"text","text":"hi"}"#;
    let rename = r#"{"at":"2004-12-25T09:14:00Z","room":"b","sender":"x","kind":"rename","text":"y"}"#;
    let lines = format!("{line}\n{line}\n{rename}\n").into_bytes();
    kept.valid("conversation_file", [lines.clone(), gzipped(&lines)]);
    kept.hostile(
        "conversation_file",
        [
            format!("{line}\n{rename}\n{line}\n").into_bytes(),
            gzipped(&lines)[..40].to_vec(),
            gzipped(&vec![b'['; 100_000]),
            line.replace("2004", "-262144").into_bytes(),
            b"[".repeat(500),
        ],
    );
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[derive(Default)]
struct Packages(Mutex<HashMap<Vec<u8>, Zeroizing<Vec<u8>>>>);

impl KeyPackages for Packages {
    fn secret(&self, reference: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, NotRead> {
        Ok(self.0.lock().unwrap().get(reference).cloned())
    }
}

struct Device {
    engine: Engine,
    packages: Arc<Packages>,
    credential: Vec<u8>,
    secret: Vec<u8>,
}

fn identity(user: &str, role: Role, device: u8, signature_key: &[u8]) -> Identity {
    Identity {
        network_id: NETWORK.into(),
        user: UserName::new(user).unwrap(),
        device: DeviceId::new([device; 16]),
        signature_key: signature_key.to_vec(),
        role,
    }
}

impl Device {
    fn new(authority: &AuthenticationKey, user: &str, role: Role, number: u8) -> Self {
        let (secret, public) = generate_signature_key(SUITE).unwrap();
        let credential = authority.sign(&identity(user, role, number, &public)).unwrap();
        let packages = Arc::new(Packages::default());
        let verifier = Verifier::new(NETWORK, authority.public_key());
        let engine = Engine::new(SUITE, &credential, &secret, verifier, packages.clone()).unwrap();
        Self { engine, packages, credential, secret: secret.to_vec() }
    }

    /// Reference, private part and message.
    fn package(&self, usage: KeyPackageUse) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let package = self.engine.key_package(usage).unwrap();
        self.packages.0.lock().unwrap().insert(package.reference.clone(), package.secret.clone());
        (package.reference, package.secret.to_vec(), package.message)
    }
}

/// A conversation of alice, bob and the device that is stored.
fn conversations(kept: &mut Kept) -> Fixture {
    let authority = AuthenticationKey::generate().unwrap();
    let [alice, bob, carol, ours] =
        [("alice", Role::Normal), ("bob", Role::Guest), ("carol", Role::Normal), ("bot", Role::Bot)]
            .map(|(user, role)| (user, role, user.bytes().fold(0, u8::wrapping_add)))
            .map(|(user, role, number)| Device::new(&authority, user, role, number));
    let (_, public) = generate_signature_key(SUITE).unwrap();
    let network = authority.sign(&identity("network", Role::Network, 0, &public)).unwrap();
    let external = signing_identity(network, &public).mls_encode_to_vec().unwrap();

    let (mut session, group_info) = alice.engine.create(&conversation(), &external).unwrap();
    let added = [bob.package(KeyPackageUse::Once).2, ours.package(KeyPackageUse::Once).2];
    let pending = session.commit(&added, &[]).unwrap();
    session.receive(&pending.commit).unwrap();
    let mut bobs = bob.engine.join(&pending.welcome).unwrap();
    let stored = ours.engine.join(&pending.welcome).unwrap().save().unwrap();
    let good: Vec<Vec<u8>> = (0..GOOD_TEXTS).map(|index| session.encrypt(&good_text(index)).unwrap()).collect();
    let texts = [session.encrypt(&content(bodies().remove(1))).unwrap(), bobs.encrypt(b"not a content").unwrap()];
    let leave = bobs.propose_leave().unwrap();
    let update = session.commit(&[], &[]).unwrap().commit;
    let remove = session.commit(&[], &[bob.engine.own().device]).unwrap().commit;
    let add = session.commit(&[carol.package(KeyPackageUse::LastResort).2], &[]).unwrap();
    let messages = [texts.to_vec(), vec![leave, update, remove]].concat();
    kept.valid("mls_message", messages.clone());
    // a key package in it has a life time: it is not valid for ever
    kept.hostile("mls_message", [add.commit.clone(), add.welcome, pending.commit.clone(), group_info.clone()]);
    kept.valid("mls_batch", texts);
    kept.hostile("mls_batch", messages[2..].to_vec());
    let (reference, package, message) = ours.package(KeyPackageUse::LastResort);
    let other = ConversationId::from_bytes(&[b'6'; 64]).unwrap();
    let (mut session, _) = alice.engine.create(&other, &external).unwrap();
    let welcome = session.commit(&[message], &[]).unwrap().welcome;
    kept.hostile("mls_welcome", [welcome.clone(), pending.welcome.clone(), group_info.clone()]);
    let packages = [carol.package(KeyPackageUse::Once).2, carol.package(KeyPackageUse::LastResort).2];
    kept.hostile("mls_key_package", packages.clone());
    kept.hostile("mls_group_info", [group_info.clone(), pending.commit.clone()]);
    kept.valid("mls_shape", [welcome, pending.welcome, group_info, pending.commit, add.commit, packages[0].clone()]);
    kept.valid("mls_shape", messages);
    kept.hostile(
        "mls_shape",
        [b"\0\x01\0\x03\0\x07\x80".to_vec(), b"\0\x01\0\x04\0\x01\0\x07\0".to_vec(), b"\0\x01\0\x09".to_vec()],
    );
    let body = |user: &str, role: Role| {
        CredentialBody {
            network_id: NETWORK.into(),
            user: user.into(),
            device: vec![1; 16],
            signature_key: vec![4; 97],
            role: role.into(),
        }
        .encode_to_vec()
    };
    kept.valid(
        "credential",
        [[vec![0], ours.credential.clone()].concat(), [vec![1], body("alice", Role::Guest)].concat()],
    );
    kept.hostile(
        "credential",
        [[vec![1], body("a b", Role::Bot)].concat(), [vec![1], body("a", Role::Unspecified)].concat()],
    );
    Fixture {
        authority: authority.pkcs8().to_vec(),
        credential: ours.credential,
        secret: ours.secret,
        state: stored.secrets.to_vec(),
        tree: stored.tree.unwrap(),
        reference,
        package,
        good,
    }
}

fn disk(kept: &mut Kept) {
    let header = Vault::create(b"a password for tests").unwrap().1.encode();
    kept.hostile("vault_header", [header[..header.len() - 1].to_vec(), [header.clone(), vec![0x40, 1]].concat()]);
    // asks for 4 TiB
    kept.hostile("vault_header", [b"\x08\x01\x10\xff\xff\xff\xff\x0f\x18\x02\x20\x01".to_vec()]);
    kept.valid("vault_header", [header]);
    kept.valid("vault_value", [vec![0; 141], vec![]]);
    kept.hostile(
        "vault_value",
        [vec![1; 41], [vec![0; 25], vec![1]].concat(), [vec![0; 140], vec![1]].concat(), vec![2]],
    );
    let identity = StoredIdentity {
        address: "127.0.0.1:4433".into(),
        server_name: "retaind".into(),
        ca_der: vec![0x30; 99],
        network_id: NETWORK.into(),
        authentication_key: vec![4; 97],
        cipher_suite: 7,
        credential: vec![10; 50],
    };
    let beginning =
        StoredBeginning { network_id: NETWORK.into(), cipher_suite: 7, public_key: vec![4; 97], claim: vec![8; 32] };
    kept.valid("stored_rows", [identity.encode_to_vec()]);
    kept.hostile(
        "stored_rows",
        [beginning.encode_to_vec(), b"\x0a\xff\xff\xff\xff\x0f".to_vec(), b"\x0a\x02\xff\xfe".to_vec()],
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bot.db");
    let sql = "PRAGMA page_size=512;
        CREATE TABLE ship (id INTEGER PRIMARY KEY, path TEXT, length INTEGER, parked TEXT);
        CREATE TABLE ship_stored (item INTEGER PRIMARY KEY);
        INSERT INTO ship VALUES (1, '/messages/a.txt', 7, NULL);
        INSERT INTO ship VALUES (2, '/messages/b.txt', 9, 'why');";
    rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let state = fs::read(&path).unwrap();
    kept.hostile("state_file", [state[..512].to_vec(), state[..700].to_vec(), b"SQLite format 3\0".to_vec()]);
    kept.valid("state_file", [state]);
    kept.valid(
        "starts_file",
        [br#"{"failed_in_a_row":3,"last_failed_millis":1700000000000,"pause_millis":4000}"#.to_vec()],
    );
    kept.valid("in_hand_file", super::device::in_hand_files());
    kept.hostile("starts_file", [
        br#"{"failed_in_a_row":4294967295,"last_failed_millis":9223372036854775807,"pause_millis":18446744073709551615}"#.to_vec(),
        br#"{"failed_in_a_row":1,"last_failed_millis":-9223372036854775808,"pause_millis":1}"#.to_vec(),
        b"[".repeat(300),
    ]);
}

fn environment(entries: &[&str]) -> Vec<u8> {
    let bot = "WICKRIO_BOT_NAME=compliance_1234567890_bot";
    std::iter::once(&bot).chain(entries).flat_map(|entry| [entry.as_bytes(), b"\0"].concat()).collect()
}

fn settings(kept: &mut Kept) {
    let example = include_str!("../../../config/env/retaind.env");
    // the example has a comment before most: all of them, with values, are an environment as well
    let all: Vec<&str> =
        example.lines().filter_map(|line| line.trim_start_matches("# ").split_once('=').map(|_| line)).collect();
    let all: Vec<&str> = all
        .iter()
        .map(|line| line.trim_start_matches("# "))
        .filter(|line| {
            line.split_once('=')
                .is_some_and(|(name, _)| name.bytes().all(|b| b.is_ascii_uppercase() || b"_0123456789".contains(&b)))
        })
        .collect();
    let password = "WICKRIO_BOT_PASSWORD=7h1s-1s-s3cr3t";
    kept.valid(
        "environment",
        [
            environment(&[password]),
            environment(&[
                "WICKRIO_BOT_PASSWORD_FILE=7h1s-1s-s3cr3t\n",
                "WICKRIO_COMP_TIMEROTATE=10",
                "RETAIND_LOGS=off",
            ]),
            environment(&[
                password,
                "WICKRIO_S3_BUCKET_NAME=bucket",
                "WICKRIO_S3_REGION=us-east-1",
                "RETAIND_LISTEN=[::1]:0",
            ]),
        ],
    );
    kept.hostile(
        "environment",
        [
            environment(&all),
            environment(&[password, "WICKRIO_BOT_PASSWORD_FILE=another"]),
            environment(&[
                "WICKRIO_COMP_FILESIZE=18446744073709551615",
                "RETAIND_DISK_LOW=+1",
                "WICKRIO_COMP_BASENAME=../a",
            ]),
            environment(&[
                "RETAIND_NETWORK=[::1]:99999",
                "RETAIND_NETWORK_CA=x",
                "WICKRIO_COMP_MESGDEST=\u{202e}",
                "RETAIND_HEALTH=:",
            ]),
            environment(&[
                "WICKRIO_KMS_MSTRKEY_ARN=arn:aws:kms:::key/",
                "AWS_SNS_TOPIC_ARN=arn:aws:sns:a:1:2",
                "RETAIND_IMAGE=a@:b",
            ]),
            environment(&["WICKRIO_BOT_PASWORD=x", "wickrio_s3=1", "RETAIND_TYPO_FILE=1", "RUST_LOG=[{]=,"]),
            [environment(&[]), b"WICKRIO_COMP_MESGDEST=\xff\xfe\0\xff=1\0=\0".to_vec()].concat(),
        ],
    );
    let secret = |json: &str| json.as_bytes().to_vec();
    kept.valid("secret_json", [
        secret(r#"{"password":"7h1s-1s-s3cr3t"}"#),
        secret(r#" {"password":"7h1s-1s-s3cr3t","s3_bucket_name":"bucket","s3_region":"us-east-1","unknown":[{"a":null}]}"#),
    ]);
    kept.hostile(
        "secret_json",
        [
            secret("7h1s-1s-s3cr3t"),
            secret(r#"{"password":"7h1s-1s-s3cr3t","password":"b"}"#),
            secret(r#"{"password":["7h1s-1s-s3cr3t"]}"#),
            secret(r#"{"password":"7h1s-1s-s3cr3t""#),
            secret(r#"{"password":"\ud8007h1s-1s-s3cr3t"}"#),
            secret(&format!("{{\"a\":{}", "[".repeat(300))),
            secret(&format!("{{\"{}\":1}}", "s3_bucket_nam".repeat(40))),
        ],
    );
    let pem = |der: &[u8]| {
        let text = data_encoding::BASE64.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n").into_bytes()
    };
    kept.valid("certificate", [include_bytes!("../corpus/certificate/valid-00").to_vec()]);
    kept.hostile(
        "certificate",
        [
            [pem(&[0x30; 9]), pem(&[0x30; 9])].concat(),
            b"-----BEGIN CERTIFICATE-----\n".to_vec(),
            b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n".to_vec(),
            b"-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n".to_vec(),
            b"-----BEGIN ".repeat(50),
        ],
    );
    let line = |words: &[&str]| words.join("\0").into_bytes();
    let id = conversation().to_string();
    kept.valid(
        "arguments",
        [
            line(&["run"]),
            line(&["client", "--state", "/tmp/x", "direct", "alice@example.com", "text", "--bor", "5"]),
            line(&["client", "location", &id, "--", "-89.9", "180"]),
            line(&["network", "serve", "--help"])
                .split_at(0)
                .0
                .iter()
                .copied()
                .chain(b"check".iter().copied())
                .collect(),
        ],
    );
    kept.hostile(
        "arguments",
        [
            line(&["client", "send", &id]),
            line(&["client", "edit", "nonsense", "0123", ""]),
            line(&["client", "location", &id, "NaN", "inf", "--until", "99999999999999999999"]),
            line(&["--version"]),
            line(&["network", "\u{202e}"]),
            b"client\0direct\0\xff\xfe\0a".to_vec(),
        ],
    );
}

fn outside(kept: &mut Kept) {
    let metadata = |format| -> Vec<u8> {
        sealed(format).0.into_iter().flat_map(|(name, value)| format!("{name}:{value}\n").into_bytes()).collect()
    };
    let (v3, v2) = (metadata(Format::V3), metadata(Format::V2));
    kept.hostile(
        "s3_metadata",
        [
            [v3.clone(), v2.clone()].concat(),
            [v3.clone(), v3.clone()].concat(),
            [v3.clone(), b"x-amz-unencrypted-content-length:-1\n".to_vec()].concat(),
            b"x-amz-key:AAAA\nx-amz-iv:AAAA\n".to_vec(),
            String::from_utf8(v3.clone())
                .unwrap()
                .replace("\"115\"}", &format!("\"115\",\"a\":{}", "[".repeat(300)))
                .into_bytes(),
        ],
    );
    kept.valid("s3_metadata", [v3, v2]);
    kept.valid("s3_body", [vec![2], vec![3], vec![0xff]]);
    kept.hostile("s3_body", [[vec![2], vec![0; 400], vec![1]].concat(), vec![0; 17], [vec![1], vec![7; 100]].concat()]);
    let aws = |status: u16, texts: &str| [&status.to_be_bytes(), texts.as_bytes()].concat();
    kept.valid(
        "aws_error",
        [
            aws(303, "AccessDenied\0User is not authorized"),
            aws(201, "PermanentRedirect\0\0eu-west-1"),
            aws(403, "SlowDown"),
        ],
    );
    kept.hostile(
        "aws_error",
        [
            aws(300, "Code\nwith a line\0Message\r\nwith another\0"),
            aws(300, &format!("{}\0{}\0{}", "C".repeat(3000), "ü\u{1b}[2J".repeat(600), "r".repeat(3000))),
            aws(899, "\0\0"),
        ],
    );
    let answer = |what: u8, text: &str| [&[what], text.as_bytes()].concat();
    kept.valid(
        "registry_answer",
        [
            answer(0, r#"{"name":"a","tags":["1.2","1.3","latest"]}"#),
            answer(0, r#"{"tags":null}"#),
            answer(1, r#"{"access_token":"abc","token":null}"#),
            answer(2, r#"</v2/a/tags/list?last=x&n=1000>; rel="next""#),
            answer(
                3,
                r#"Bearer realm="https://auth.example.com/token",service="registry",scope="repository:a:pull,push""#,
            ),
        ],
    );
    kept.hostile(
        "registry_answer",
        [
            answer(0, &"[".repeat(300)),
            answer(0, r#"{"tags":[1]}"#),
            answer(1, "{\"token\":\"a\\r\\nHost: b\"}"),
            answer(2, "<a>,<b;rel=next"),
            answer(3, "Bearer realm=\"a"),
            answer(3, "Bearer ====,,,\"\"=\"=\""),
        ],
    );
    kept.valid(
        "image",
        ["retaind", "localhost:5000/a/b", "public.ecr.aws/x/y", "v5.116.13.01"].map(|text| text.as_bytes().to_vec()),
    );
    kept.hostile(
        "image",
        ["a//b", "../a", "[::1]:5000/x", "1.99999999999999999999", "1.+1", "a.b:c:d/e"]
            .map(|text| text.as_bytes().to_vec()),
    );
    kept.valid(
        "health_request",
        [
            b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            b"HEAD /livez HTTP/1.0\r\n\r\n".to_vec(),
            b"GET /metrics?x=%00 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n".to_vec(),
        ],
    );
    kept.hostile(
        "health_request",
        [
            b"POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n".to_vec(),
            b"GET /livez HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n".to_vec(),
            [b"GET /".to_vec(), vec![b'a'; 9000], b" HTTP/1.1\r\n\r\n".to_vec()].concat(),
            [b"GET /livez HTTP/1.1\r\n".to_vec(), b"a: b\r\n".repeat(100), b"\r\n".to_vec()].concat(),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            b"GET /livez HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc".to_vec(),
        ],
    );
    kept.valid("health_answer", [br#"{"ready":false,"reasons":[{"code":"a","text":"b"}],"version":"1","lag_messages":18446744073709551615,"unshipped_files":null,"unshipped_bytes":1,"parked_files":0,"oldest_unshipped_age_seconds":null,"disk_free_bytes":[{"directory":"state","bytes":null}]}"#.to_vec()]);
    kept.hostile("health_answer", [b"{\"reasons\":".to_vec(), b"[".repeat(300), br#"{"ready":"yes"}"#.to_vec()]);
}

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A field of a message, with its length.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    [vec![number << 3 | 2], varint(value.len()), value.to_vec()].concat()
}

fn long_field(number: usize, value: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(value.len()), value.to_vec()].concat()
}

/// A vector of MLS.
fn vector(value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(value.len()).unwrap() | 0x8000_0000;
    [&length.to_be_bytes(), value].concat()
}

/// `unit` again and again, with room for what is around it.
fn filled(unit: &[u8], bytes: usize) -> Vec<u8> {
    unit.repeat((bytes - 200) / unit.len())
}

/// Small on the wire, large in memory: as long as an input may be.
pub fn large(decoder: &str) -> Vec<Vec<u8>> {
    let id = b"\x08\x07".to_vec();
    let empty_items = |number: u8| filled(&[number << 3 | 2, 0], FRAME_BYTES_MAX);
    let frame = |number: usize, list: &[u8]| [id.clone(), long_field(number, list)].concat();
    let tree = |nodes: &[u8]| {
        let tree = vector(nodes);
        let context = [b"\0\x01\0\x07\0\0\0\0\0\0\0\0\0\0\0".to_vec(), vector(b"")].concat();
        let extensions = vector(&[b"\0\x02".to_vec(), vector(&tree)].concat());
        [b"\0\x01\0\x04".to_vec(), context, extensions, vec![0, 0, 0, 0, 0, 0]].concat()
    };
    let public = |content: &[u8]| {
        let head = [b"\0\x01\0\x01".to_vec(), vector(&[b'5'; 64]), vec![0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]];
        [head.concat(), content.to_vec(), vec![0; 8]].concat()
    };
    let extensions: Vec<u8> = (0u16..60_000).flat_map(|kind| [kind.to_be_bytes().to_vec(), vec![0]].concat()).collect();
    let mls = || {
        let welcome = |secrets: &[u8]| [b"\0\x01\0\x03\0\x07".to_vec(), vector(secrets), vec![0]].concat();
        vec![
            tree(&filled(&[0], FRAME_BYTES_MAX)),
            tree(&filled(&[1, 2, 0, 0, 0], FRAME_BYTES_MAX)),
            welcome(&filled(&[0, 0, 0], FRAME_BYTES_MAX)),
            public(&[vec![3], vector(&filled(&[2, 0], FRAME_BYTES_MAX)), vec![0]].concat()),
            public(&[b"\x02\0\x07".to_vec(), vector(&extensions)].concat()),
        ]
    };
    match decoder {
        "client_frame" => vec![
            frame(7, &empty_items(1)),
            frame(5, &empty_items(1)),
            frame(14, &empty_items(1)),
            filled(&[0x72, 0], FRAME_BYTES_MAX),
            filled(&[0x7b], FRAME_BYTES_MAX),
        ],
        "server_frame" => vec![
            frame(9, &empty_items(1)),
            frame(10, &empty_items(1)),
            frame(7, &empty_items(1)),
            frame(3, &empty_items(4)),
            frame(3, &field(3, &filled(&[7], FRAME_BYTES_MAX))),
            filled(&[0x7b, 0x7c], FRAME_BYTES_MAX),
        ],
        "content" | "salvage" => [1000, 4002, 4012, 7000]
            .iter()
            .zip([2u8, 1, 1, 7])
            .map(|(kind, list)| {
                let body = filled(&[list << 3 | 2, 0], CONTENT_BYTES_MAX);
                [vec![8, 1, 0x10], varint(*kind), long_field(3, &body), field(4, &[7; 16])].concat()
            })
            .chain([filled(&[0x7b], CONTENT_BYTES_MAX)])
            .collect(),
        "mls_shape" | "mls_message" | "mls_welcome" => mls(),
        "conversation_file" => vec![gzipped(&vec![b' '; 40 << 20]), gzipped(&vec![b'\n'; 1 << 20])],
        "secret_json" => vec![
            [&b"{"[..], &b"\"\":\"\",".repeat(9000), b"\"\":0}"].concat(),
            [&b"{\""[..], &vec![b's'; 60_000], b"\":0}"].concat(),
        ],
        "registry_answer" => vec![[&b"\0{\"tags\":["[..], &b"\"\",".repeat(15_000), b"\"\"]}"].concat()],
        _ => vec![],
    }
}

/// Alice's, for a device that joins by it: it says nothing that is false, but its tree has `places` empty places.
fn welcome_with_tree(authority: &AuthenticationKey, package: &[u8], places: usize) -> Vec<u8> {
    let (secret, public) = generate_signature_key(SUITE).unwrap();
    let credential = authority.sign(&identity("alice", Role::Normal, 9, &public)).unwrap();
    let client = Client::builder()
        .identity_provider(Verifier::new(NETWORK, authority.public_key()))
        .crypto_provider(AwsLcCryptoProvider::new())
        .mls_rules(DefaultMlsRules::new().with_commit_options(CommitOptions::new().with_ratchet_tree_extension(false)))
        .signing_identity(
            signing_identity(credential, &public),
            SignatureSecretKey::new_slice(&secret),
            CipherSuite::new(SUITE),
        )
        .build();
    let id = conversation().as_bytes().to_vec();
    let mut group = client.create_group_with_id(id, ExtensionList::new(), ExtensionList::new(), None).unwrap();
    let mut extensions = ExtensionList::new();
    extensions.set(Extension::new(ExtensionType::RATCHET_TREE, vector(&vec![0; places])));
    let builder = group.commit_builder().add_member(MlsMessage::from_bytes(package).unwrap()).unwrap();
    let commit = builder.set_group_info_ext(extensions).build().unwrap();
    commit.welcome_messages()[0].to_bytes().unwrap()
}

#[test]
fn a_welcome_with_a_tree_of_empty_places_is_refused_before_they_are_made() {
    let authority = AuthenticationKey::generate().unwrap();
    let bot = Device::new(&authority, "bot", Role::Bot, 1);
    let join = |places| {
        let package = bot.package(KeyPackageUse::Once).2;
        bot.engine.join(&welcome_with_tree(&authority, &package, places)).map(drop).unwrap_err()
    };
    assert!(matches!(join(shape::ITEMS_MAX + 1), EngineError::Shape(ShapeError::Items)));
    // fewer are left to MLS, which does not believe in them
    assert!(matches!(join(3), EngineError::Mls(_)));
}
