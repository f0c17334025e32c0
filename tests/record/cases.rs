//! What is said in the golden files of records.

use super::lies::{lies, sender};
use data_encoding::HEXLOWER;
use retaind::archive::record::{
    Ciphertext, FileOutcome, KeyAction, Record, RecordBody, RecordContext, SenderType, Unreadable, handshake_message_id,
};
use retaind::protocol::attachment::AttachmentKey;
use retaind::protocol::content::{
    Attachment, AttachmentKind, Attribute, Body, Call, CallOutcome, CallPhase, CallRoute, Content, Deletion,
    DeletionScope, LiveLocation, MemberChange, Pin, Position, Reaction, ReactionChange, ReadReceipt, RoomState,
    SavedItem, SavedItemAction, Text, TextEdit, UserHash, Verification, VerificationStep, changemask,
};
use retaind::protocol::ids::{ConversationId, MessageId, UserName};

/// Of every attachment here: no record may hold it in any form.
pub(super) const KEY: [u8; 32] = *b"ThisKeyMustNeverReachTheArchive!";
pub(super) const BLOB: [u8; 32] = *b"WhoKnowsThisMayReadTheCiphertext";

/// Who says something, where and when.
pub(super) struct Scene {
    sender: UserName,
    sender_type: SenderType,
    receiver: Option<UserName>,
    conversation: ConversationId,
    message_id: MessageId,
    sent_at_micros: i64,
    ttl: Option<i64>,
    bor: u32,
}

impl Scene {
    pub(super) fn record(&self, body: RecordBody<'_>) -> String {
        let context = RecordContext {
            network_id: "40317842",
            sender_network_id: "40317842",
            sender: Some(&self.sender),
            sender_type: self.sender_type,
            device: Some("5f0c1d2e3b4a59687786a5b4c3d2e1f0".parse().unwrap()),
            receiver: self.receiver.as_ref(),
            conversation: self.conversation,
            seq: 17,
            received_micros: self.sent_at_micros.saturating_add(250_000),
            message_id: self.message_id,
            sent_at_micros: self.sent_at_micros,
        };
        line(Record { context, body })
    }

    /// Sends `body` as a device does, reads it as the bot does.
    pub(super) fn content(&self, body: Body) -> Content {
        let Self { message_id, sent_at_micros, ttl, bor, .. } = *self;
        Content::decode(&Content { message_id, sent_at_micros, ttl, bor, body }.encode().unwrap()).unwrap()
    }

    pub(super) fn said(&self, body: Body) -> String {
        self.record(RecordBody::Content { content: &self.content(body), file: None })
    }

    pub(super) fn filed(&self, file: Attachment, outcome: &FileOutcome) -> String {
        self.record(RecordBody::Content { content: &self.content(Body::File(file)), file: Some(outcome) })
    }
}

fn line(record: Record<'_>) -> String {
    let mut out = b"before".to_vec();
    record.append_line(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let line = text.strip_prefix("before").unwrap();
    assert!(line.ends_with("}\n") && line.matches('\n').count() == 1);
    line.to_owned()
}

fn user(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

fn users(names: &[&str]) -> Vec<UserName> {
    names.iter().map(|name| user(name)).collect()
}

fn id(hex: &str) -> MessageId {
    hex.parse().unwrap()
}

pub(super) fn direct(message_id: &str, secs: i64, vgroupid: &str) -> Scene {
    let receiver = Some(user("user001@example.com"));
    Scene { receiver, sender: user("user002@example.com"), ..room(message_id, secs, vgroupid) }
}

fn room(message_id: &str, secs: i64, vgroupid: &str) -> Scene {
    Scene {
        sender: user("user002"),
        sender_type: SenderType::Normal,
        receiver: None,
        conversation: vgroupid.parse().unwrap(),
        message_id: id(message_id),
        sent_at_micros: secs * 1_000_000,
        ttl: None,
        bor: 0,
    }
}

fn a_direct() -> Scene {
    direct("a526085032fa11ee9a74053bb1017859", 1_691_176_258, DIRECT)
}

pub(super) fn a_room() -> Scene {
    room("e2c5115032fb11ee9a74053bb1017859", 1_691_176_791, ROOM)
}

pub(super) const DIRECT: &str = "7ad65d17b945d7672190ecab6902fdd06eff162b91adfcda23df3b2ff95875e8";
pub(super) const ROOM: &str = "S19a8782d9a0441d5e13f15b6789f00bc2f9b8231aa364a2eb3a8269dce2ac21";
const CREATED: &str = "S58a15186365d2125a9b417e71b99bcb29e3770078e157e953cfbe28443eb750";
const KEPT_ROOM: &str = "S243f2ec645d3961bdd531f51f3244205d292b8d0fbd41802827746271d31d41";
pub(super) const GROUP: &str = "G19a8782d9a0441d5e13f15b6789f00bc2f9b8231aa364a2eb3a8269dce2ac21";

pub(super) fn text(text: &str) -> Body {
    Body::Text(Text { text: text.into(), links: vec![] })
}

pub(super) fn attachment(name: &str, kind: AttachmentKind) -> Attachment {
    Attachment {
        blob: BLOB,
        key: AttachmentKey::from_bytes(&KEY).unwrap(),
        size: 123_456,
        sha256: [0x5a; 32],
        name: name.into(),
        guid: HEXLOWER.decode(b"068ed9edd6e44f41984fb82f74b16fde").unwrap().try_into().unwrap(),
        kind,
    }
}

fn saved(local_name: &str) -> FileOutcome {
    FileOutcome::Saved { local_name: local_name.into(), sha256: [0x5a; 32], size: 123_456 }
}

fn created_room() -> RoomState {
    RoomState {
        changemask: changemask::MASTERS
            | changemask::TTL
            | changemask::TITLE
            | changemask::DESCRIPTION
            | changemask::BURN_ON_READ,
        title: "Creating a room".into(),
        description: String::new(),
        masters: users(&["user001", "user002"]),
        members: users(&["user001", "user002", "user003"]),
        ttl_secs: 2_592_000,
        bor_secs: 0,
    }
}

fn saved_item(action: SavedItemAction) -> Body {
    let room = RoomState {
        changemask: changemask::SAVED_ITEMS,
        title: "Project Files".into(),
        masters: users(&["user002", "user001"]),
        members: users(&["user002", "user001"]),
        ..created_room()
    };
    let item = SavedItem {
        sha256: [0x4e; 32],
        guid: HEXLOWER.decode(b"d094f14704904a149a656f23c896a8b4").unwrap().try_into().unwrap(),
        domain: "messaging.wickr.us-gov-west-1.amazonaws.com".into(),
        key: AttachmentKey::from_bytes(&KEY).unwrap(),
        action,
        target: "file".into(),
        name: "report.pdf".into(),
        path: "/shared".into(),
        modified_by: user("user001"),
        modified_at_secs: 1_782_121_424,
    };
    Body::SavedItem(room, Box::new(item))
}

fn a_call(phase: CallPhase) -> Body {
    Body::Call(Call { meeting_id: 0, version: 2, version_check: true, phase })
}

fn route() -> CallRoute {
    let hash = |hex: &str| UserHash(HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap());
    CallRoute {
        uri: "35.94.128.212:16450".into(),
        uri_ipv6: "[2600:1f14:e22:9c02::c8]:16450".into(),
        participants: vec![
            hash("8995950dad747c24fd7c9e2da68edeb6c2c0ac6cb96d405c0c4c58e09ff46969"),
            hash("ae182b20ce36a94c613af5a2964bbd616de662d3f8487dc39fa9400e739a3049"),
        ],
    }
}

fn caller() -> Scene {
    Scene { receiver: Some(user("user001")), ..room("4d421aa08be811eaaf7a493af2765a5b", 1_588_364_043, CALL_GROUP) }
}

const CALL_GROUP: &str = "4ebf561eb2214c4e6f924d09e37bf80b6f9b85cb96b72badb03753d9ed26f7f4";

/// Every golden file: its name and what must stand in it.
pub(super) fn goldens() -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    all.extend(texts());
    all.extend(controls());
    all.extend([files(), lies()].concat());
    all.extend(calls_and_places());
    all.extend(edits());
    all.extend(ours());
    all
}

fn texts() -> Vec<(&'static str, String)> {
    let keys = |step| {
        direct("6054031032fc11ee9a74053bb1017859", 1_691_177_002, VERIFIED_GROUP).said(Body::Verification(
            Verification { step, key: HEXLOWER.decode(b"00040115f7ba8af2b6f2e2e7f8e61cf61d750f25aff2df").unwrap() },
        ))
    };
    let all_steps = [
        VerificationStep::Request,
        VerificationStep::ResponseAndRequest,
        VerificationStep::Reject,
        VerificationStep::NotNow,
    ];
    let links = Body::Text(Text {
        text: "the weather: https://weather.com/weather/today".into(),
        links: vec!["https://weather.com/weather/today".into()],
    });
    let far = [i64::MIN, -1, i64::MAX].map(|sent_at_micros| Scene { sent_at_micros, ..a_room() }.said(text("when?")));
    vec![
        ("1000-direct", a_direct().said(text("test message"))),
        (
            "1000-room",
            Scene { sender: user("user002@example.com"), ..a_room() }.said(text("test message in a secure room")),
        ),
        ("1000-group", Scene { conversation: GROUP.parse().unwrap(), ..a_room() }.said(text("no title here"))),
        ("1000-guest", Scene { sender_type: SenderType::Guest, ..a_room() }.said(text("let me in"))),
        ("1000-links", a_direct().said(links)),
        ("1000-ttl-bor", Scene { ttl: Some(1_693_768_258), bor: 30, ..a_direct() }.said(text("burns"))),
        ("1000-unicode", a_room().said(text(UNICODE))),
        ("1000-hostile-times", far.concat()),
        ("1000-empty", a_room().said(text(""))),
        ("3000-accept", keys(VerificationStep::Accept)),
        ("3000-other-steps", all_steps.map(keys).concat()),
    ]
}

const VERIFIED_GROUP: &str = "31767dd6dc31cd5d87579e2694b041116d31ae1750cbcec8e957d237c7fe0591";

/// Emoji with joiners and skin tones, right-to-left text and marks, every control character, quotes, line separators.
pub(super) const UNICODE: &str = "👩🏽‍🚀 שלום עולם \u{202e}مرحبا\u{202c} e\u{301} \u{feff}\u{2028}\u{2029}\u{85} \"\\/ \
    \0\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}\u{8}\t\n\u{b}\u{c}\r\u{e}\u{f}\
    \u{10}\u{11}\u{12}\u{13}\u{14}\u{15}\u{16}\u{17}\u{18}\u{19}\u{1a}\u{1b}\u{1c}\u{1d}\u{1e}\u{1f}\u{7f} \u{10ffff}";

fn controls() -> Vec<(&'static str, String)> {
    let creator = room("be452b00f89711e883588d1e7a946847", 1_544_019_125, CREATED);
    let keeper =
        Scene { sender: user("user001"), ..room("c3cb62e08dff11eab641a549111a64cb", 1_588_594_022, KEPT_ROOM) };
    let renamed = RoomState { changemask: changemask::TITLE, title: "Renamed room".into(), ..created_room() };
    let change = |added: &[&str], deleted: &[&str]| {
        Body::MembersModified(MemberChange { added: users(added), deleted: users(deleted) })
    };
    let deletion = |scope| Body::Deleted(Deletion { target: id("4ab537d0f85d11e88c2225680208f9ff"), scope });
    let stars = vec![
        Attribute { message: id("93cf81608bbd11ea9a16b7554e31eed2"), starred: true },
        Attribute { message: id("4ab537d0f85d11e88c2225680208f9ff"), starred: false },
    ];
    let other_actions = [
        SavedItemAction::Create,
        SavedItemAction::Upload,
        SavedItemAction::Rename,
        SavedItemAction::Move,
        SavedItemAction::Delete,
    ];
    vec![
        ("4001-create-room", creator.said(Body::RoomCreated(created_room()))),
        ("4002-content", creator.said(change(&["user003"], &[]))),
        ("4002-content-deleted", creator.said(change(&[], &["user003"]))),
        ("4003-content", creator.said(Body::UserLeft(users(&["user002"])))),
        ("4004-modify-room", creator.said(Body::RoomModified(renamed))),
        ("4004-saved-item", keeper.said(saved_item(SavedItemAction::Save))),
        ("4004-saved-item-others", other_actions.map(|action| keeper.said(saved_item(action))).concat()),
        ("4005-delete-room", creator.said(Body::RoomDeleted)),
        ("4011-recall", a_room().said(deletion(DeletionScope::Everyone))),
        ("4011-delete", a_room().said(deletion(DeletionScope::Own))),
        ("4012-attributes", a_direct().said(Body::Attributes(stars))),
        ("4013-attribute-sync", a_direct().said(Body::AttributeSync)),
        ("4014-pinned", a_room().said(Body::Pinned(Pin::Pinned))),
        ("4014-unpinned", a_room().said(Body::Pinned(Pin::Unpinned))),
    ]
}

fn files() -> Vec<(&'static str, String)> {
    let report = || attachment("quarterly-report.pdf", AttachmentKind::File);
    let missing = FileOutcome::Missing { reason: "its SHA-256 is not the one that the sender gave".into() };
    let hostile = attachment("../../etc/pass\u{0}wd \"\u{202e}gpj.exe", AttachmentKind::File);
    vec![
        ("6000-saved", sender().filed(report(), &saved("compliance-output-file-quarterly-report.pdf"))),
        ("6000-missing", sender().filed(report(), &missing)),
        ("6000-not-fetched", sender().said(Body::File(report()))),
        (
            "6000-screenshot",
            sender().filed(
                attachment("Screenshot 1.png", AttachmentKind::Screenshot),
                &saved("attachment_20230804191544000_Screenshot 1.png"),
            ),
        ),
        (
            "6000-voice-memo",
            sender().filed(
                attachment("memo.m4a", AttachmentKind::VoiceMemo { seconds: 42 }),
                &saved("attachment_20230804191544000_memo.m4a"),
            ),
        ),
        ("6000-hostile-name", sender().filed(hostile, &saved("attachment_20230804191544000_passwd gpj.exe"))),
    ]
}

fn calls_and_places() -> Vec<(&'static str, String)> {
    let start = id("72c9a3b08bea11eab9078f7ca8a1b909");
    let invite = CallPhase::Invite { route: route(), invite: id("7f21c4a08bea11eab9078f7ca8a1b909"), start };
    let end = |outcome, duration_secs| {
        let phase = CallPhase::End { start, outcome, duration_secs };
        caller().said(Body::Call(Call { meeting_id: 1, version: 2, version_check: true, phase }))
    };
    let here = Position { latitude: 40.750_178_994_355_06, longitude: -74.994_498_030_341_05 };
    let corners = [(90.0, 180.0), (-90.0, -180.0), (0.0, 0.0), (5e-324, -1e-7)]
        .map(|(latitude, longitude)| a_room().said(Body::Location(Position { latitude, longitude })));
    vec![
        ("7000-start", caller().said(a_call(CallPhase::Start(route())))),
        ("7000-invite", caller().said(a_call(invite))),
        ("7000-end", end(CallOutcome::Completed, 38)),
        ("7000-missed", end(CallOutcome::Missed, 0)),
        ("7000-cancelled", end(CallOutcome::Cancelled, 0)),
        ("8000-location", a_direct().said(Body::Location(here))),
        ("8000-ends-of-the-earth", corners.concat()),
    ]
}

fn edits() -> Vec<(&'static str, String)> {
    let original = id("84da42d05f6811f19b07b1408476c2f4");
    let position = Position { latitude: 40.755_629_888_216_255, longitude: -73.986_117_118_882_6 };
    let live = |shared_until_secs| a_direct().said(Body::EditLocation(LiveLocation { position, shared_until_secs }));
    let reaction = |change| a_room().said(Body::Reaction(Reaction { original, reaction: "👍".into(), change }));
    let receipt = |message_sent_at_micros| {
        a_direct().said(Body::ReadReceipt(ReadReceipt { message_sent_at_micros, read_at_secs: 1_780_503_700 }))
    };
    vec![
        ("9000-text", a_room().said(Body::EditText(TextEdit { original, text: "corrected message text".into() }))),
        ("9000-location", live(Some(1_780_509_208))),
        ("9000-location-stopped", live(None)),
        ("9100-added", reaction(ReactionChange::Added)),
        ("9100-removed", reaction(ReactionChange::Removed)),
        ("9200-read", receipt(1_780_503_683_000_000)),
        ("9200-read-micros", receipt(1_780_503_683_000_042)),
    ]
}

fn ours() -> Vec<(&'static str, String)> {
    let committer = || Scene { message_id: handshake_message_id(&ROOM.parse().unwrap(), 17), ..a_room() };
    let (one, two) = (users(&["user003"]), users(&["user004", "user005"]));
    let members = users(&["user001", "user002", "user003"]);
    let change = |added, deleted| committer().record(RecordBody::Membership { added, deleted });
    let keys = |action| committer().record(RecordBody::KeyEvent { action, epoch: 9 });
    let unreadable = |reason, file, plaintext| {
        let ciphertext = Ciphertext { size: 742, sha256: [0xc7; 32], file };
        committer().record(RecordBody::Unreadable(Unreadable { reason, ciphertext, plaintext }))
    };
    let unknown = |kind, version, bytes: &[u8]| {
        Scene { bor: 5, ttl: Some(0), ..a_room() }.said(Body::Unknown { kind, version, bytes: bytes.to_vec() })
    };
    let nowhere: Vec<u8> = {
        let nowhere = Position { latitude: 45.0, longitude: 0.0 };
        let mut bytes = a_room_content(Body::Location(nowhere)).encode().unwrap();
        let at = bytes.windows(8).position(|w| w == 45f64.to_le_bytes()).unwrap();
        bytes[at..at + 8].copy_from_slice(&f64::NAN.to_le_bytes());
        bytes
    };
    let refused = Content::decode(&nowhere).unwrap_err().to_string();
    let file = newer_file();
    let hole = RecordContext {
        network_id: "40317842",
        sender_network_id: "40317842",
        sender: None,
        sender_type: SenderType::Normal,
        device: None,
        receiver: None,
        conversation: ROOM.parse().unwrap(),
        seq: 5,
        received_micros: 1_691_176_791_250_000,
        message_id: handshake_message_id(&ROOM.parse().unwrap(), 5),
        sent_at_micros: 1_691_176_791_250_000,
    };
    vec![
        ("4002-added", change(&one, &[])),
        ("4002-deleted", change(&[], &one)),
        ("4002-both", change(&two, &one)),
        (
            "4003-left",
            Scene { sender: user("user003"), ..committer() }.record(RecordBody::Left { user: &user("user003") }),
        ),
        ("4900-joined", keys(KeyAction::Joined { members: &members })),
        ("4900-keyupdate", keys(KeyAction::KeyUpdate)),
        ("4900-proposal", keys(KeyAction::Proposal)),
        (
            "4900-retention",
            line(Record {
                context: RecordContext { seq: 1, ..hole },
                body: RecordBody::KeyEvent { action: KeyAction::Retention, epoch: 1 },
            }),
        ),
        (
            "0-unreadable",
            unreadable("message could not be decrypted: key of generation `7` is used up", Some(KEPT), None),
        ),
        ("0-refused", unreadable(&refused, None, Some(nowhere.as_slice()))),
        ("0-hole", line(Record { context: hole, body: RecordBody::Hole { from_seq: 5, to_seq: 7 } })),
        ("0-unknown-kind", unknown(12_345, 1, b"from the future")),
        ("0-unknown-version", unknown(1000, 2, b"\x0a\x02hi\x7a\x01!")),
        ("0-unknown-file", unknown(6000, 2, &file)),
    ]
}

const KEPT: &str = "ciphertext_20230804191951250_S19a8782_17.bin";

fn a_room_content(body: Body) -> Content {
    let Scene { message_id, sent_at_micros, ttl, bor, .. } = a_room();
    Content { message_id, sent_at_micros, ttl, bor, body }
}

/// The body of a file as a later version might write it: ours, and a field more.
pub(super) fn newer_file() -> Vec<u8> {
    let ours = a_room_content(Body::File(attachment("later.pdf", AttachmentKind::File))).encode().unwrap();
    // the envelope starts with version (2 bytes), kind (3) and the body's key and length (3)
    let start = ours.windows(2).position(|w| w == [0x0a, 32]).unwrap();
    let end = ours.windows(2).rposition(|w| w == [0x22, 16]).unwrap();
    let mut body = ours[start..end].to_vec();
    assert!(body.windows(32).any(|w| w == KEY), "the newer file has the key where it is today");
    body.extend([0x7a, 1, b'!']);
    body
}
