//! The bot's data path from delivery to durable acknowledgement, over real TLS, the network in the same process.
//!
//! `cargo bench --bench pipeline [-- CONVERSATIONS MESSAGES | latency | drain]`. All ratios are against the raw cost of one signature
//! verification and one AES-256-GCM open a message on all cores, measured in the same run.
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
use std::time::{Duration, Instant};

use retaind::device::conversations::Device;
use retaind::protocol::ids::{ConversationId, ConversationKind};
use tokio::sync::Mutex;

#[path = "raw.rs"]
mod raw;
#[path = "../tests/support/mod.rs"]
mod support;

use support::bot::network_without_quotas;
use support::{Harness, text};

/// Devices that share the sending.
const SENDERS: usize = 8;
const TEXT_BYTES: usize = 1024;
const RAW_TIME: Duration = Duration::from_secs(3);
const LATENCY_MESSAGES: usize = 200;
const LATENCY_EVERY: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |text: &String| text.parse::<usize>().expect("a number");
    let (cases, with_latency) = match &arguments[..] {
        [conversations, messages] => (vec![(number(conversations), number(messages))], false),
        [word] if word == "latency" => (vec![], true),
        [word] if word == "drain" => return drain().await,
        _ => (vec![(1, 20_000), (100, 20_000), (10_000, 20_000)], true),
    };
    let cores = std::thread::available_parallelism().unwrap().get();
    for (conversations, messages) in cases {
        throughput(conversations, messages, cores).await;
    }
    if with_latency {
        latency().await;
    }
}

/// A network that keeps so many messages for a bot that is away: their number, and that of the conversations.
async fn waiting(conversations: usize, messages: usize) -> (Harness, usize, usize) {
    let harness = network_without_quotas();
    let bot = harness.bot().await;
    let mut senders = Vec::new();
    for number in 0..SENDERS.min(conversations) {
        let device = harness.device(&format!("sender{number}")).await;
        senders.push((Arc::new(Mutex::new(device)), Vec::<ConversationId>::new()));
    }
    let share = conversations / senders.len();
    let mut making = tokio::task::JoinSet::new();
    for (device, _) in &senders {
        let device = device.clone();
        making.spawn(async move {
            let mut made = Vec::new();
            for _ in 0..share {
                made.push(device.lock().await.create(ConversationKind::Group, &[]).await.expect("created"));
            }
            (device, made)
        });
    }
    senders = making.join_all().await;
    let made: usize = senders.iter().map(|(_, made)| made.len()).sum();
    bot.saved(made as u64).await;
    bot.stop().await.expect("stopped");

    let each = messages / senders.len();
    let mut sending = tokio::task::JoinSet::new();
    for (device, conversations) in senders {
        sending.spawn(send(device, conversations, each));
    }
    let sent: usize = sending.join_all().await.into_iter().sum();
    (harness, sent, made)
}

/// From the order to stop until the bot has ended, its stages full of what is still coming in.
async fn drain() {
    let (harness, sent, made) = waiting(100, 20_000).await;
    let mut times = Vec::new();
    for part in 1..=5u64 {
        let bot = harness.bot().await;
        bot.saved(2_000).await;
        let start = Instant::now();
        bot.stop().await.expect("stopped");
        times.push(start.elapsed().as_secs_f64() * 1000.0);
        let left = harness.unacknowledged();
        assert!(left > 0, "{part}: nothing was on its way any more");
    }
    times.sort_unstable_by(f64::total_cmp);
    println!("{made} conversations, {sent} texts waiting: stops of a full pipeline take {times:.0?} ms");
    harness.stop().await;
}

async fn throughput(conversations: usize, messages: usize, cores: usize) {
    let (harness, sent, made) = waiting(conversations, messages).await;
    let raw = raw::messages_per_second(cores, RAW_TIME);
    let start = Instant::now();
    let bot = harness.bot().await;
    let ready = start.elapsed();
    bot.saved(sent as u64).await;
    let took = start.elapsed() - ready;
    bot.stop().await.expect("stopped");
    let rate = sent as f64 / took.as_secs_f64();
    println!(
        "{made} conversations: {sent} texts of {TEXT_BYTES} B in {:.2} s = {rate:.0}/s; raw {raw:.0}/s on {cores} cores; ratio {:.2}; start-up {:.2} s",
        took.as_secs_f64(),
        rate / raw,
        ready.as_secs_f64()
    );
    harness.stop().await;
}

async fn send(device: Arc<Mutex<Device>>, conversations: Vec<ConversationId>, messages: usize) -> usize {
    let body = "x".repeat(TEXT_BYTES);
    let mut device = device.lock().await;
    for number in 0..messages {
        let conversation = &conversations[number % conversations.len()];
        device.send(conversation, &text(&body)).await.expect("sent");
    }
    messages
}

/// From the call that sends to the record on stable storage, ten messages a second.
async fn latency() {
    let harness = Harness::start();
    let bot = harness.bot().await;
    let mut sender = harness.device("sender").await;
    let conversation = sender.create(ConversationKind::Group, &[]).await.expect("created");
    bot.saved(1).await;
    let body = "x".repeat(TEXT_BYTES);
    let mut times = Vec::new();
    let mut tick = tokio::time::interval(LATENCY_EVERY);
    for number in 0..LATENCY_MESSAGES {
        tick.tick().await;
        let start = Instant::now();
        sender.send(&conversation, &text(&body)).await.expect("sent");
        bot.saved(number as u64 + 2).await;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    println!("latency at 10 messages a second: p50 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.99));
    bot.stop().await.expect("stopped");
    harness.stop().await;
}
