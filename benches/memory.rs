//! Memory of the bot's own process: idle, with a 2 GiB attachment, after 200,000 messages.
//!
//! `cargo bench --bench memory [-- GIB MESSAGES]`. The bot is the real program; network and devices are in this process.
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

use std::fs::File;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use retaind::device::blob::upload;
use retaind::protocol::content::{AttachmentKind, Body};
use retaind::protocol::ids::ConversationKind;

#[path = "../tests/support/mod.rs"]
mod support;

use support::{BOT, Harness, PASSWORD, content, message_files, text};

const POLL: Duration = Duration::from_millis(20);
const POLL_SLOW: Duration = Duration::from_secs(1);
const SENDERS: usize = 16;

#[tokio::main]
async fn main() {
    let arguments: Vec<u64> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .map(|n| n.parse().expect("a number"))
        .collect();
    let (gib, messages) = match arguments[..] {
        [gib, messages] => (gib, messages),
        _ => (2, 200_000),
    };
    let harness = Harness::start();
    let folder = harness.path().to_owned();
    std::fs::write(folder.join("ca.pem"), std::fs::read(folder.join("network/network-ca.pem")).unwrap()).unwrap();
    let mut bot = start(&harness);
    wait(POLL, || {
        let users = harness.network.admin(|admin| admin.users()).unwrap();
        users.iter().any(|user| user.user == BOT && !user.devices.is_empty())
    })
    .await;
    let mut sender = loop {
        // the bot's key packages come a moment after its device
        let mut device = harness.device("sender").await;
        if let Ok(room) = device.create(ConversationKind::Room, &[]).await {
            break (device, room);
        }
    };
    let (device, room) = (&mut sender.0, sender.1);
    device.send(&room, &text("first")).await.unwrap();
    wait(POLL, || archived(&harness) >= 2).await;
    let idle = resident(&bot);

    let path = folder.join("large.bin");
    let mut file = File::create(&path).unwrap();
    let block = vec![7u8; 1 << 20];
    for _ in 0..gib * 1024 {
        file.write_all(&block).unwrap();
    }
    drop(file);
    let attachment = upload(device.connection(), &path, AttachmentKind::File).await.unwrap();
    let start_of_file = Instant::now();
    device.send(&room, &content(Body::File(attachment))).await.unwrap();
    let mut peak = idle;
    wait(POLL, || {
        peak = peak.max(resident(&bot));
        archived(&harness) >= 3
    })
    .await;
    let took = start_of_file.elapsed().as_secs_f64();
    println!(
        "attachment of {gib} GiB in {took:.1} s: idle {} MiB, peak {} MiB, {} MiB over idle",
        idle / 1024,
        peak / 1024,
        (peak - idle) / 1024
    );

    let half = messages / 2;
    let mut rates = Vec::new();
    for part in 0..2u64 {
        let mut sending = tokio::task::JoinSet::new();
        for number in 0..SENDERS {
            let mut device = harness.device(&format!("s{part}_{number}")).await;
            let each = half / SENDERS as u64;
            sending.spawn(async move {
                let room = device.create(ConversationKind::Room, &[]).await.unwrap();
                for number in 0..each {
                    device
                        .send(&room, &text(&format!("message {number} of some words, as people write them")))
                        .await
                        .unwrap();
                }
            });
        }
        sending.join_all().await;
        let expected = 3 + (part + 1) * (half / SENDERS as u64 * SENDERS as u64 + SENDERS as u64);
        wait(POLL_SLOW, || archived(&harness) >= expected).await;
        rates.push(resident(&bot));
    }
    println!(
        "after {} messages {} MiB, after {messages} {} MiB: growth {:.1} %",
        half,
        rates[0] / 1024,
        rates[1] / 1024,
        (rates[1] as f64 / rates[0] as f64 - 1.0) * 100.0
    );
    bot.kill().unwrap();
    bot.wait().unwrap();
    harness.stop().await;
}

fn start(harness: &Harness) -> Child {
    Command::new(env!("CARGO_BIN_EXE_retaind"))
        .arg("run")
        .env_clear()
        .env("WICKRIO_BOT_NAME", BOT)
        .env("WICKRIO_BOT_PASSWORD", PASSWORD)
        .env("WICKRIO_ROTATE_PASSWORD", "another correct horse")
        .env("RETAIND_STATE", harness.path().join("state"))
        .env("RETAIND_LOGS", harness.path().join("logs"))
        .env("RETAIND_HEALTH", "off")
        .env("WICKRIO_COMP_MESGDEST", harness.messages())
        .env("WICKRIO_COMP_FILEDEST", harness.files())
        .env("RETAIND_NETWORK", &harness.endpoint.address)
        .env("RETAIND_NETWORK_CA", harness.path().join("ca.pem"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Resident memory in KiB.
fn resident(bot: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", bot.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Records in the archive.
fn archived(harness: &Harness) -> u64 {
    if !harness.messages().is_dir() {
        return 0;
    }
    message_files(&harness.messages())
        .iter()
        .map(|file| std::fs::read(file).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count() as u64))
        .sum()
}

async fn wait(every: Duration, mut until: impl FnMut() -> bool) {
    while !until() {
        tokio::time::sleep(every).await;
    }
}
