//! A large network: 20,000 users, and one of them in 10,000 conversations. Network, bot and devices are in this process.
//!
//! `cargo bench --bench crowd [-- USERS CONVERSATIONS]`.
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
use tokio::sync::Semaphore;

#[path = "../tests/support/mod.rs"]
mod support;

use support::attack::target::Sample;
use support::bot::network_without_quotas;
use support::raw::Raw;
use support::{Harness, text};

/// Devices that register at a time.
const AT_A_TIME: usize = 8;
const LATENCY_MESSAGES: usize = 200;
const LATENCY_EVERY: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() {
    let arguments: Vec<usize> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .map(|number| number.parse().expect("a number"))
        .collect();
    let (users, conversations) = match arguments[..] {
        [users, conversations] => (users, conversations),
        _ => (20_000, 10_000),
    };
    let harness = Arc::new(network_without_quotas());
    let bot = harness.bot().await;
    let mut sender = harness.device("sender").await;
    let group = sender.create(ConversationKind::Group, &[]).await.expect("created");
    bot.saved(1).await;
    latency("in a network of two", &harness, &bot, &mut sender, &group).await;

    let start = Instant::now();
    let permits = Arc::new(Semaphore::new(AT_A_TIME));
    let mut registering = tokio::task::JoinSet::new();
    for number in 0..users {
        let (permits, harness) = (permits.clone(), harness.clone());
        registering.spawn(async move {
            let _permit = permits.acquire_owned().await.expect("open");
            // away again as soon as it is there
            drop(Raw::on(&harness, &format!("user{number}")).await);
        });
    }
    registering.join_all().await;
    let took = start.elapsed().as_secs_f64();
    println!("{users} users with a device and key packages in {took:.0} s, {:.0}/s; {}", users as f64 / took, memory());
    latency(&format!("with {users} users"), &harness, &bot, &mut sender, &group).await;

    let mut member = harness.device("member").await;
    let saved = bot.counters.messages_saved.get();
    let start = Instant::now();
    let mut all = Vec::new();
    for _ in 0..conversations {
        all.push(member.create(ConversationKind::Group, &[]).await.expect("created"));
    }
    bot.saved(saved + conversations as u64).await;
    let took = start.elapsed().as_secs_f64();
    println!(
        "one member begins {conversations} conversations in {took:.0} s, {:.0}/s, the bot in each; {}",
        conversations as f64 / took,
        memory()
    );
    let start = Instant::now();
    for conversation in &all {
        member.send(conversation, &text("one in each")).await.expect("sent");
    }
    bot.saved(saved + 2 * conversations as u64).await;
    let took = start.elapsed().as_secs_f64();
    println!("one message in each of them: {:.0}/s to durable; {}", conversations as f64 / took, memory());
    latency(&format!("with {conversations} conversations"), &harness, &bot, &mut sender, &group).await;

    bot.stop().await.expect("stopped");
    let start = Instant::now();
    let bot = harness.bot().await;
    println!("a bot in {} conversations starts in {:.2} s", conversations + 1, start.elapsed().as_secs_f64());
    let start = Instant::now();
    let listed = member.conversations().await.expect("listed").len();
    println!("the member lists {listed} conversations in {:.2} s", start.elapsed().as_secs_f64());
    bot.stop().await.expect("stopped");
}

fn memory() -> String {
    let bytes = Sample::of(std::process::id()).map_or(0, |sample| sample.bytes);
    format!("{} MiB of everything together", bytes >> 20)
}

/// From the call that sends to the record on stable storage.
async fn latency(when: &str, harness: &Harness, bot: &support::Bot, sender: &mut Device, group: &ConversationId) {
    while harness.unacknowledged() > 0 {
        tokio::time::sleep(LATENCY_EVERY).await;
    }
    let mut times = Vec::new();
    let mut tick = tokio::time::interval(LATENCY_EVERY);
    for number in 0..LATENCY_MESSAGES as u64 {
        tick.tick().await;
        let (start, saved) = (Instant::now(), bot.counters.messages_saved.get());
        sender.send(group, &text(&number.to_string())).await.expect("sent");
        bot.saved(saved + 1).await;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    println!("{when}: from sending to durable p50 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.99));
}
