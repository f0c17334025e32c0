//! Every content that can be made comes back equal; hostile bytes are refused or kept, never half understood.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use prost::Message;

use super::schema::Envelope;
use super::*;
use crate::attachment::AttachmentKey;
use crate::limits::LIST_ITEMS_MAX;

fn users() -> impl Strategy<Value = Vec<UserName>> {
    vec("[a-zé日|._@\\[\\]-]{1,40}".prop_map(|name| UserName::new(name).unwrap()), 0..5)
}

fn id() -> impl Strategy<Value = MessageId> {
    any::<[u8; 16]>().prop_map(MessageId::new)
}

fn key() -> impl Strategy<Value = [u8; 32]> {
    any::<[u8; 32]>()
}

fn position() -> impl Strategy<Value = Position> {
    (-90.0..=90.0, -180.0..=180.0).prop_map(|(latitude, longitude)| Position { latitude, longitude })
}

fn room() -> impl Strategy<Value = RoomState> {
    (any::<u32>(), any::<String>(), any::<String>(), users(), users(), any::<u64>(), any::<u32>()).prop_map(
        |(changemask, title, description, masters, members, ttl_secs, bor_secs)| RoomState {
            changemask: changemask & !changemask::SAVED_ITEMS,
            title,
            description,
            masters,
            members,
            ttl_secs,
            bor_secs,
        },
    )
}

fn saved_item() -> impl Strategy<Value = Body> {
    let action = prop_oneof![
        Just(SavedItemAction::Create),
        Just(SavedItemAction::Upload),
        Just(SavedItemAction::Save),
        Just(SavedItemAction::Rename),
        Just(SavedItemAction::Move),
        Just(SavedItemAction::Delete),
    ];
    (room(), key(), any::<[u8; 16]>(), any::<[String; 4]>(), key(), action, any::<i64>()).prop_map(
        |(mut room, sha256, guid, [domain, target, name, path], key, action, modified_at_secs)| {
            room.changemask |= changemask::SAVED_ITEMS;
            let key = AttachmentKey::from_bytes(&key).unwrap();
            let modified_by = UserName::new("user001").unwrap();
            let item =
                SavedItem { sha256, guid, domain, key, action, target, name, path, modified_by, modified_at_secs };
            Body::SavedItem(room, Box::new(item))
        },
    )
}

fn file() -> impl Strategy<Value = Body> {
    let kind = prop_oneof![
        Just(AttachmentKind::File),
        Just(AttachmentKind::Screenshot),
        any::<u32>().prop_map(|seconds| AttachmentKind::VoiceMemo { seconds }),
    ];
    (key(), key(), 0..1_u64 << 34, key(), any::<String>(), any::<[u8; 16]>(), kind).prop_map(
        |(blob, key, size, sha256, name, guid, kind)| {
            Body::File(Attachment {
                blob,
                key: AttachmentKey::from_bytes(&key).unwrap(),
                size,
                sha256,
                name,
                guid,
                kind,
            })
        },
    )
}

fn call() -> impl Strategy<Value = Body> {
    let route = || {
        (any::<String>(), any::<String>(), vec(key().prop_map(UserHash), 0..4))
            .prop_map(|(uri, uri_ipv6, participants)| CallRoute { uri, uri_ipv6, participants })
    };
    let outcome = prop_oneof![Just(CallOutcome::Completed), Just(CallOutcome::Missed), Just(CallOutcome::Cancelled)];
    let phase = prop_oneof![
        route().prop_map(CallPhase::Start),
        (route(), id(), id()).prop_map(|(route, invite, start)| CallPhase::Invite { route, invite, start }),
        (id(), outcome, any::<u64>()).prop_map(|(start, outcome, duration_secs)| CallPhase::End {
            start,
            outcome,
            duration_secs
        }),
    ];
    (any::<u64>(), any::<u32>(), any::<bool>(), phase).prop_map(|(meeting_id, version, version_check, phase)| {
        Body::Call(Call { meeting_id, version, version_check, phase })
    })
}

fn verification() -> impl Strategy<Value = Body> {
    let step = prop_oneof![
        Just(VerificationStep::Request),
        Just(VerificationStep::ResponseAndRequest),
        Just(VerificationStep::Accept),
        Just(VerificationStep::Reject),
        Just(VerificationStep::NotNow),
    ];
    (step, vec(any::<u8>(), 0..200)).prop_map(|(step, key)| Body::Verification(Verification { step, key }))
}

fn body() -> impl Strategy<Value = Body> {
    let change = prop_oneof![Just(ReactionChange::Added), Just(ReactionChange::Removed)];
    prop_oneof![
        (any::<String>(), vec(any::<String>(), 0..4)).prop_map(|(text, links)| Body::Text(Text { text, links })),
        verification(),
        room().prop_map(Body::RoomCreated),
        (users(), users()).prop_map(|(added, deleted)| Body::MembersModified(MemberChange { added, deleted })),
        users().prop_map(Body::UserLeft),
        room().prop_map(Body::RoomModified),
        saved_item(),
        Just(()).prop_map(|()| Body::RoomDeleted),
        (id(), prop_oneof![Just(DeletionScope::Own), Just(DeletionScope::Everyone)])
            .prop_map(|(target, scope)| Body::Deleted(Deletion { target, scope })),
        vec((id(), any::<bool>()).prop_map(|(message, starred)| Attribute { message, starred }), 0..4)
            .prop_map(Body::Attributes),
        Just(()).prop_map(|()| Body::AttributeSync),
        prop_oneof![Just(Pin::Pinned), Just(Pin::Unpinned)].prop_map(Body::Pinned),
        file(),
        call(),
        position().prop_map(Body::Location),
        (id(), any::<String>()).prop_map(|(original, text)| Body::EditText(TextEdit { original, text })),
        (position(), proptest::option::of(0..=i64::MAX)).prop_map(|(position, shared_until_secs)| {
            Body::EditLocation(LiveLocation { position, shared_until_secs })
        }),
        (id(), any::<String>(), change).prop_map(|(original, reaction, change)| Body::Reaction(Reaction {
            original,
            reaction,
            change
        })),
        (0..=i64::MAX, 0..=i64::MAX).prop_map(|(message_sent_at_micros, read_at_secs)| {
            Body::ReadReceipt(ReadReceipt { message_sent_at_micros, read_at_secs })
        }),
        (10_000..u32::MAX, 1..u32::MAX, vec(any::<u8>(), 0..100)).prop_map(|(kind, version, bytes)| Body::Unknown {
            kind,
            version,
            bytes
        }),
        (2..u32::MAX, vec(any::<u8>(), 0..100)).prop_map(|(version, bytes)| Body::Unknown {
            kind: kind::TEXT,
            version,
            bytes
        }),
    ]
}

fn content() -> impl Strategy<Value = Content> {
    (id(), any::<i64>(), any::<Option<i64>>(), any::<u32>(), body())
        .prop_map(|(message_id, sent_at_micros, ttl, bor, body)| Content { message_id, sent_at_micros, ttl, bor, body })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn every_content_comes_back_equal(content in content()) {
        let bytes = content.encode().unwrap();
        let back = Content::decode(&bytes).unwrap();
        prop_assert!(back == content, "kind {} did not come back equal", content.body.kind());
    }

    #[test]
    fn any_bytes_are_refused_or_come_back_whole(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(content) = Content::decode(&bytes) {
            prop_assert_eq!(content.encode().unwrap().len(), bytes.len());
        }
        salvage(&bytes);
    }

    #[test]
    fn a_flipped_bit_is_refused_or_read_but_never_a_panic(content in content(), at: prop::sample::Index, bit in 0u8..8) {
        let mut bytes = content.encode().unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        if let Ok(content) = Content::decode(&bytes) {
            prop_assert_eq!(content.encode().unwrap().len(), bytes.len());
        }
        salvage(&bytes);
    }

    #[test]
    fn a_body_of_any_kind_with_any_bytes_is_refused_or_kept(
        kind in prop::sample::select(KINDS.as_slice()),
        body in vec(any::<u8>(), 0..100),
    ) {
        if let Ok(content) = Content::decode(&envelope(1, kind, body.clone())) {
            let is_another = matches!(&content.body, Body::Unknown { bytes, .. } if *bytes != body);
            prop_assert!(!is_another);
            prop_assert_eq!(super::encode::encode_body(&content.body).len(), body.len());
        }
        without_keys(kind, &body);
    }
}

const KINDS: [u32; 17] =
    [1000, 3000, 4001, 4002, 4003, 4004, 4005, 4011, 4012, 4013, 4014, 6000, 7000, 8000, 9000, 9100, 9200];

fn envelope(version: u32, kind: u32, body: Vec<u8>) -> Vec<u8> {
    Envelope { version, kind, body, message_id: vec![7; 16], sent_at_micros: 0, ttl: None, bor: 0 }.encode_to_vec()
}

fn of(body: Body) -> Content {
    Content { message_id: MessageId::new([7; 16]), sent_at_micros: 0, ttl: None, bor: 0, body }
}

fn refusal(kind: u32, body: impl Message) -> ContentError {
    match Content::decode(&envelope(1, kind, body.encode_to_vec())) {
        Ok(content) => panic!("{content:?} was not refused"),
        Err(error) => error,
    }
}

fn field(kind: u32, field: &'static str, fault: &'static str) -> ContentError {
    ContentError::Field { kind, field, fault }
}

fn file_with(change: impl FnOnce(&mut schema::File)) -> schema::File {
    let mut file = schema::File::default();
    file.blob = vec![1; 32];
    file.key = vec![0xee; 32];
    file.sha256 = vec![2; 32];
    file.guid = vec![3; 16];
    file.size = 3;
    change(&mut file);
    file
}

#[test]
fn a_place_that_is_not_on_earth_is_refused() {
    for latitude in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 90.1, -1e300] {
        let error = field(8000, "latitude", "is not between -90 and 90 degrees");
        assert_eq!(refusal(8000, schema::Location { latitude, longitude: 0.0 }), error);
    }
    for longitude in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 180.1] {
        let error = field(8000, "longitude", "is not between -180 and 180 degrees");
        assert_eq!(refusal(8000, schema::Location { latitude: 0.0, longitude }), error);
        let live = schema::Edit { what: 2, longitude, ..Default::default() };
        assert_eq!(refusal(9000, live), field(9000, "longitude", "is not between -180 and 180 degrees"));
    }
}

#[test]
fn what_others_would_refuse_cannot_be_sent() {
    let nowhere = of(Body::Location(Position { latitude: f64::NAN, longitude: 0.0 }));
    assert_eq!(nowhere.encode(), Err(field(8000, "latitude", "is not between -90 and 90 degrees")));
    let huge = of(Body::Text(Text { text: "x".repeat(CONTENT_BYTES_MAX), links: vec![] }));
    assert!(matches!(huge.encode(), Err(ContentError::TooLarge { .. })));
}

#[test]
fn fields_that_do_not_hold_what_they_name_are_refused() {
    let cases = [
        (refusal(6000, file_with(|file| file.key = vec![1; 31])), field(6000, "key", "is not a key of 32 bytes")),
        (refusal(6000, file_with(|file| file.sha256 = vec![])), field(6000, "sha256", "has a wrong length")),
        (
            refusal(6000, file_with(|file| file.size = u64::MAX)),
            field(6000, "size", "is larger than the largest attachment"),
        ),
        (
            refusal(6000, file_with(|file| file.name = "n".repeat(4097))),
            field(6000, "name", "is longer than a file name can be"),
        ),
        (
            refusal(4002, schema::Members { added: vec!["two words".into()], deleted: vec![] }),
            field(4002, "added", "is not a user name"),
        ),
        (
            refusal(9200, schema::ReadReceipt { message_sent_at_micros: -1, read_at_secs: 0 }),
            field(9200, "message_sent_at_micros", "is negative"),
        ),
        (
            refusal(3000, schema::Verification { step: 6, key: vec![] }),
            field(3000, "step", "is not a step of verification, 1 to 5"),
        ),
        (
            refusal(4004, schema::Room { changemask: changemask::SAVED_ITEMS, ..Default::default() }),
            field(4004, "saved_item", "is in the change mask, but not there"),
        ),
        (refusal(7000, schema::Call::default()), field(7000, "phase", "is not a phase of a call, 1 to 3")),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
}

#[test]
fn more_items_than_a_list_may_have_are_refused_before_they_are_allocated() {
    // an empty name takes two bytes: the largest content holds two million of them
    let names = [0x0a, 0].repeat(LIST_ITEMS_MAX + 1);
    assert_eq!(Content::decode(&envelope(1, 4002, names)).err(), Some(ContentError::TooManyItems { kind: 4002 }));
}

#[test]
fn text_that_is_not_unicode_is_refused() {
    let latin1 = vec![0x0a, 1, 0xe9];
    assert_eq!(Content::decode(&envelope(1, 1000, latin1)).err(), Some(ContentError::Malformed { kind: 1000 }));
}

#[test]
fn what_comes_after_this_version_is_kept_whole() {
    let newer_kind = envelope(1, 5555, vec![1, 2, 3]);
    let newer_text = envelope(2, 1000, vec![0x0a, 1, b'x']);
    for (bytes, expected) in [
        (newer_kind, Body::Unknown { kind: 5555, version: 1, bytes: vec![1, 2, 3] }),
        (newer_text, Body::Unknown { kind: 1000, version: 2, bytes: vec![0x0a, 1, b'x'] }),
    ] {
        let content = Content::decode(&bytes).unwrap();
        assert!(content.body == expected);
        assert_eq!(content.encode().unwrap(), bytes);
    }
}

#[test]
fn a_text_with_a_field_that_nobody_knows_is_kept_whole_and_not_shortened() {
    let mut body = schema::Text { text: "x".into(), links: vec![] }.encode_to_vec();
    body.extend([0x78, 1]);
    let content = Content::decode(&envelope(1, 1000, body.clone())).unwrap();
    assert!(content.body == Body::Unknown { kind: 1000, version: 1, bytes: body });
}

#[test]
fn a_field_that_belongs_to_another_phase_is_not_dropped_in_silence() {
    let stray =
        schema::Call { phase: 3, outcome: 1, start: vec![1; 16], uri: "10.0.0.1:1".into(), ..Default::default() };
    let body = stray.encode_to_vec();
    let content = Content::decode(&envelope(1, 7000, body.clone())).unwrap();
    assert!(content.body == Body::Unknown { kind: 7000, version: 1, bytes: body });
}

#[test]
fn an_envelope_that_says_more_or_less_than_an_envelope_is_refused() {
    let mut more = envelope(1, 1000, vec![]);
    more.extend([0x40, 1]);
    let mut twice = envelope(1, 1000, vec![]);
    twice.extend(envelope(1, 4005, vec![]));
    for bytes in [vec![], vec![0xff; 64], more, twice, envelope(0, 1000, vec![]), envelope(1, 0, vec![])] {
        assert!(matches!(Content::decode(&bytes), Err(ContentError::Envelope(_))));
    }
    let short_id = Envelope { version: 1, kind: 1000, message_id: vec![1; 15], ..Default::default() }.encode_to_vec();
    assert!(matches!(Content::decode(&short_id), Err(ContentError::Envelope(_))));
}

#[test]
fn content_of_more_than_the_largest_size_is_refused_unread() {
    let bytes = vec![0; CONTENT_BYTES_MAX + 1];
    assert_eq!(Content::decode(&bytes).err(), Some(ContentError::TooLarge { bytes: CONTENT_BYTES_MAX + 1 }));
}

#[test]
fn what_is_kept_of_a_refused_file_does_not_hold_its_key() {
    let body = file_with(|file| file.sha256 = vec![]).encode_to_vec();
    let bytes = envelope(1, 6000, body);
    assert!(bytes.windows(32).any(|w| w == [0xee; 32]));
    let kept = salvage(&bytes);
    assert_eq!(kept.kind, Some(6000));
    assert_eq!(kept.plaintext.len(), bytes.len());
    assert!(!kept.plaintext.contains(&0xee));
    // also when something unreadable follows, inside or outside
    let mut torn = bytes.clone();
    torn.extend([0x07; 3]);
    assert!(!salvage(&torn).plaintext.contains(&0xee));
}

#[test]
fn what_is_kept_of_a_newer_file_or_saved_item_does_not_hold_its_key() {
    let mut file = file_with(|_| ()).encode_to_vec();
    file.extend([0x7a, 1, b'x']);
    let kept = without_keys(6000, &file);
    assert!(!kept.contains(&0xee) && kept.ends_with(&[0x7a, 1, b'x']));
    let mut item = schema::SavedItem::default();
    item.key = vec![0xee; 32];
    item.name = "plan".into();
    let room = schema::Room { title: "Room".into(), saved_item: Some(item), ..Default::default() }.encode_to_vec();
    let kept = without_keys(4004, &room);
    assert!(!kept.contains(&0xee) && kept.windows(4).any(|w| w == b"plan"));
}

#[test]
fn nothing_that_was_said_is_printed_for_debugging() {
    let text = of(Body::Text(Text { text: "secret plan".into(), links: vec!["https://secret".into()] }));
    assert_eq!(format!("{text:?}"), "Content { message_id: 07070707070707070707070707070707, body: Body(1000), .. }");
    let bytes = envelope(1, 6000, file_with(|_| ()).encode_to_vec());
    let Body::File(file) = Content::decode(&bytes).unwrap().body else { panic!("not a file") };
    assert_eq!(format!("{file:?}"), "Attachment { size: 3, .. }");
}
