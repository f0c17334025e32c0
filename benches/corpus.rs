//! The whole corpus through MLS devices, network and bot, and every record of the archive compared.
//!
//! `cargo bench --bench corpus -- FILE.jsonl.gz [ROOMS]`; takes long, because every nickname is a device with keys of its
//! own and every join is a commit that the members verify.
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

use std::future::ready;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use retaind::protocol::credential::Role;
use retaind::protocol::ids::UserName;
use retaind::replay::{Corpus, Options, replay};

#[path = "../tests/support/mod.rs"]
mod support;

use support::Harness;
use support::oracle::Obligations;

const PARALLEL: usize = 8;
const REPORT_EVERY: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(file) = arguments.next() else {
        println!("corpus: no file given, nothing measured");
        return;
    };
    let rooms: Option<usize> = arguments.next().map(|rooms| rooms.parse().expect("ROOMS is a number"));
    let corpus = cut(PathBuf::from(file), rooms);
    let events = corpus.events().expect("the corpus can be read");
    let harness = Harness::start();
    let bot = harness.bot().await;
    let obligations = Obligations::default();
    let (network, endpoint) = (harness.network.clone(), harness.endpoint.clone());
    let invites =
        move |user: UserName| ready(network.admin(|admin| admin.invite_to(&endpoint, &user, Role::Normal, None)));
    let options = Options { parallel: NonZeroUsize::new(PARALLEL).unwrap(), ..Options::default() };
    let start = Instant::now();
    let (told, counters) = (obligations.clone(), bot.counters.clone());
    let progress = tokio::spawn(async move {
        loop {
            tokio::time::sleep(REPORT_EVERY).await;
            let (sent, saved) = (told.len(), counters.messages_saved.get());
            println!("{:>6.0} s: {sent} accepted of about {events}, {saved} archived", start.elapsed().as_secs_f64());
        }
    });
    let report = replay(&corpus, options, invites, obligations.observer()).await.expect("the replay");
    bot.saved(obligations.len()).await;
    let elapsed = start.elapsed();
    progress.abort();
    bot.stop().await.expect("the bot");
    let kept = obligations.check(&harness.messages(), &harness.files());
    println!(
        "{} events of {} rooms, {} devices: {} records archived and compared ({} texts, {} membership changes, {} MiB) in {:.0} s",
        events,
        report.rooms.len(),
        report.devices,
        kept.records,
        kept.texts,
        kept.membership,
        kept.bytes / (1024 * 1024),
        elapsed.as_secs_f64()
    );
    println!("left out as redundant: {:?}", report.redundant());
    let peak = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = peak.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM unknown").to_owned();
    println!("memory of devices, network and bot together: {peak}");
    harness.stop().await;
}

/// The first rooms only, if asked.
fn cut(file: PathBuf, rooms: Option<usize>) -> Corpus {
    let Some(rooms) = rooms else { return Corpus::File(file) };
    let bytes = std::fs::read(&file).expect("the corpus");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(&bytes[..]), &mut text).expect("gzip");
    let mut seen = Vec::new();
    let mut kept = String::new();
    for line in text.lines() {
        let room: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let room = room["room"].as_str().expect("room").to_owned();
        if seen.last() != Some(&room) {
            if seen.len() == rooms {
                break;
            }
            seen.push(room);
        }
        kept.push_str(line);
        kept.push('\n');
    }
    Corpus::Bytes(Arc::from(kept.into_bytes()))
}
