//! Something of every kind that a message can be, but files: those need a blob on the network.
#![allow(clippy::unwrap_used)]

use retaind::protocol::attachment::AttachmentKey;
use retaind::protocol::content::{
    Attribute, Body, Call, CallOutcome, CallPhase, CallRoute, Deletion, DeletionScope, LiveLocation, MemberChange, Pin,
    Position, Reaction, ReactionChange, ReadReceipt, RoomState, SavedItem, SavedItemAction, Text, TextEdit, UserHash,
    Verification, VerificationStep, changemask,
};
use retaind::protocol::ids::{MessageId, UserName};

/// Emoji with joiners and skin tones, both directions, combining marks, every control character, separators, the ends
/// of Unicode.
pub fn wild() -> String {
    let controls: String = (0..=0x9f).filter_map(char::from_u32).collect();
    format!(
        "👩🏽‍🚀🇨🇭 שלום \u{202e}مرحبا\u{202c} e\u{301} \u{feff}\u{2028}\u{2029} \"\\/ \u{fffd}\u{ffff}\u{10ffff} {controls}"
    )
}

fn users(names: &[&str]) -> Vec<UserName> {
    names.iter().map(|name| UserName::new(*name).unwrap()).collect()
}

fn room(changemask: u32) -> RoomState {
    RoomState {
        changemask,
        title: wild(),
        description: "a room".into(),
        masters: users(&["alice"]),
        members: users(&["alice", "bob"]),
        ttl_secs: 2_592_000,
        bor_secs: 60,
    }
}

fn saved_item(action: SavedItemAction) -> Body {
    let item = SavedItem {
        sha256: [0x4e; 32],
        guid: [0xd0; 16],
        domain: "files.example.com".into(),
        key: AttachmentKey::from_bytes(b"ThisKeyMustNeverReachTheArchive!").unwrap(),
        action,
        target: "file".into(),
        name: wild(),
        path: "/shared/..".into(),
        modified_by: users(&["alice"]).remove(0),
        modified_at_secs: 1_782_121_424,
    };
    Body::SavedItem(room(changemask::SAVED_ITEMS), Box::new(item))
}

/// All of them; the same each time.
pub fn bodies() -> Vec<Body> {
    let id = MessageId::new([0x84; 16]);
    let mut all = vec![
        Body::Text(Text { text: String::new(), links: vec![] }),
        Body::Text(Text { text: wild(), links: vec!["https://example.com/?q=\u{202e}".into(), String::new()] }),
    ];
    all.extend(
        [
            VerificationStep::Request,
            VerificationStep::ResponseAndRequest,
            VerificationStep::Accept,
            VerificationStep::Reject,
            VerificationStep::NotNow,
        ]
        .map(|step| Body::Verification(Verification { step, key: vec![4, 1, 0xff] })),
    );
    all.extend([
        Body::RoomCreated(room(changemask::TITLE | changemask::MASTERS)),
        Body::MembersModified(MemberChange { added: users(&["carol"]), deleted: users(&["dave"]) }),
        Body::UserLeft(users(&["alice"])),
        Body::RoomModified(room(changemask::TTL | changemask::BURN_ON_READ)),
        Body::RoomDeleted,
        Body::Deleted(Deletion { target: id, scope: DeletionScope::Own }),
        Body::Deleted(Deletion { target: id, scope: DeletionScope::Everyone }),
        Body::Attributes(vec![Attribute { message: id, starred: true }, Attribute { message: id, starred: false }]),
        Body::AttributeSync,
        Body::Pinned(Pin::Pinned),
        Body::Pinned(Pin::Unpinned),
    ]);
    all.extend(
        [
            SavedItemAction::Create,
            SavedItemAction::Upload,
            SavedItemAction::Save,
            SavedItemAction::Rename,
            SavedItemAction::Move,
            SavedItemAction::Delete,
        ]
        .map(saved_item),
    );
    let route = || CallRoute {
        uri: "192.0.2.1:16450".into(),
        uri_ipv6: "[2001:db8::1]:16450".into(),
        participants: vec![UserHash([7; 32])],
    };
    let end = |outcome| CallPhase::End { start: id, outcome, duration_secs: 38 };
    all.extend(
        [
            CallPhase::Start(route()),
            CallPhase::Invite { route: route(), invite: id, start: id },
            end(CallOutcome::Completed),
            end(CallOutcome::Missed),
            end(CallOutcome::Cancelled),
        ]
        .map(|phase| Body::Call(Call { meeting_id: u64::MAX, version: 2, version_check: true, phase })),
    );
    let position = Position { latitude: 40.750_178_994_355_06, longitude: -180.0 };
    all.extend([
        Body::Location(position),
        Body::EditText(TextEdit { original: id, text: wild() }),
        Body::EditLocation(LiveLocation { position, shared_until_secs: Some(1_780_509_208) }),
        Body::EditLocation(LiveLocation { position, shared_until_secs: None }),
        Body::Reaction(Reaction { original: id, reaction: "👍".into(), change: ReactionChange::Added }),
        Body::Reaction(Reaction { original: id, reaction: wild(), change: ReactionChange::Removed }),
        Body::ReadReceipt(ReadReceipt { message_sent_at_micros: 1_780_503_683_000_042, read_at_secs: 1 }),
        Body::Unknown { kind: 12_345, version: 1, bytes: b"a kind of the future".to_vec() },
        Body::Unknown { kind: 1000, version: 2, bytes: b"\x0a\x02hi\x7a\x01!".to_vec() },
        Body::Unknown { kind: u32::MAX, version: u32::MAX, bytes: vec![] },
    ]);
    all
}
