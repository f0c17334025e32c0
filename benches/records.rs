//! Record formatting and segment append alone: one thread, no network, no encryption.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::indexing_slicing, missing_docs)]
#![allow(
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    clippy::let_underscore_must_use,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    reason = "these rules are for the product"
)]

use std::sync::Arc;
use std::time::Instant;

use retaind::archive::record::{Record, RecordBody, RecordContext, SenderType};
use retaind::bot::disk::{Disk, RealDisk};
use retaind::bot::segment::{Basename, Place, Recovery, RotationLimits, Segments};
use retaind::device::store::STEPS;
use retaind::protocol::content::{Body, Content, Text};
use retaind::protocol::ids::{ConversationId, ConversationKind, DeviceId, MessageId, UserName};
use retaind::state::vault::Vault;
use retaind::state::{Committed, Store, StoreError};

const RECORDS: u64 = 200_000;
const TEXT_BYTES: usize = 1024;
/// Records between two syncs: a batch of the bot under load.
const BATCH: u64 = 1000;

fn main() {
    let sender = UserName::new("user002@example.com").expect("a name");
    let content = Content {
        message_id: MessageId::new([7; 16]),
        sent_at_micros: 1_691_176_258_000_000,
        ttl: None,
        bor: 0,
        body: Body::Text(Text { text: "a text of some words ".repeat(TEXT_BYTES / 21), links: Vec::new() }),
    };
    let record = |seq| Record {
        context: RecordContext {
            network_id: "12345678",
            sender_network_id: "12345678",
            sender: Some(&sender),
            sender_type: SenderType::Normal,
            device: Some(DeviceId::new([3; 16])),
            receiver: None,
            conversation: ConversationId::from_random(ConversationKind::Room, [9; 32]),
            seq,
            received_micros: 1_691_176_258_000_000,
            message_id: content.message_id,
            sent_at_micros: content.sent_at_micros,
        },
        body: RecordBody::Content { content: &content, file: None },
    };

    let mut line = Vec::new();
    let start = Instant::now();
    let mut bytes = 0;
    for seq in 1..=RECORDS {
        line.clear();
        record(seq).append_line(&mut line).expect("formatted");
        bytes += line.len();
    }
    report("format", start, bytes);

    let folder = tempfile::tempdir().expect("a folder");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let place = Place { dir: folder.path().to_owned(), basename: Basename::new("bench").expect("a name") };
    let policy = RotationLimits { size_max: 64 * 1024 * 1024, age_max: None, first_number: 1 };
    let recovery = Segments::recover(disk, place, policy, &[]).expect("recovered");
    let vault = Vault::create(b"a password").expect("a vault").0;
    let mut state = Store::in_memory(Arc::new(vault), STEPS).expect("a state");
    let mut segments = Recovery::begin(committed(&mut state, recovery));
    let start = Instant::now();
    for seq in 1..=RECORDS {
        segments.append(&line, 1_691_176_258_000_000).expect("appended");
        if seq % BATCH == 0 {
            let synced = segments.sync().expect("synced");
            let _ = segments.settle(&committed(&mut state, synced)).expect("settled");
        }
    }
    report("append, chain, sync every 1000, rotate every 64 MiB", start, line.len() * RECORDS as usize);
}

fn report(what: &str, start: Instant, bytes: usize) {
    let seconds = start.elapsed().as_secs_f64();
    println!("{what}: {:.0} records/s, {:.0} MB/s", RECORDS as f64 / seconds, bytes as f64 / seconds / 1e6);
}

/// Without the state's own tables: its share is not what is measured here.
fn committed<T>(state: &mut Store, value: T) -> Committed<T> {
    state.transaction::<_, StoreError>(|_| Ok(value)).expect("committed")
}
