//! Each attack in full: as much of it as one process can do in a given time.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use retaind::protocol::wire::{RefusalCode, Request, SendApplication};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout_at};

use super::connections::{ask_and_read_nothing, begin_frame, logged_in};
use super::members::{drain_key_packages, flood_with_blobs, upload};
use super::neighbours::half_requests;
use super::poison::{commit_with_a_wrong_tag, heavy_key_package, proposal_of, skip};
use super::strangers::{guess, hellos_unread, idle_sockets, plain_text};
use super::target::Target;
use crate::support::raw::{BOT, Raw, accepted, random};
use crate::support::text;

const MIB: usize = 1 << 20;
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What can be done to the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Attack {
    Hellos,
    Sockets,
    Nonsense,
    Passwords,
    Frames,
    Unread,
    Connections,
    Blobs,
    KeyPackages,
    Conversations,
    Leaves,
    Commits,
    Skips,
    Unreadable,
    Probes,
}

impl Attack {
    /// In a row of the table.
    pub fn title(self) -> &'static str {
        match self {
            Self::Hellos => "a stranger says hello without end on 32 connections and reads nothing",
            Self::Sockets => "1,200 idle sockets of one address, each replaced when it ends",
            Self::Nonsense => "connections that say something that is not TLS, 64 at a time",
            Self::Passwords => "guesses of the bot's password, 16 at a time",
            Self::Frames => "100 connections of one device, each with 15 of 16 MiB of a frame",
            Self::Unread => "40 connections of one device that ask for 64 MiB each and read nothing",
            Self::Connections => "3,000 connections of one device at a time",
            Self::Blobs => "attachments of 1 MiB that nobody wants, by users with ever more devices",
            Self::KeyPackages => "key packages of the bot, named 4,096 times a request",
            Self::Conversations => "conversations without end, by users with ever more devices",
            Self::Leaves => "proposals with a leaf of 15 MB",
            Self::Commits => "commits that the bot cannot follow, each in a conversation of its own",
            Self::Skips => "senders that skip 2,000 keys",
            Self::Unreadable => "messages that nobody can decrypt",
            Self::Probes => "half-sent requests to the health endpoint, 200 at a time",
        }
    }

    /// Does it until then; returns what was done, in numbers.
    pub async fn run(self, target: &Target, until: Instant) -> String {
        match self {
            Self::Hellos => {
                let sent = many(32, async || until_then(until, || hellos_unread(&target.endpoint, until)).await).await;
                format!("{sent} hellos")
            }
            Self::Sockets => format!("{} sockets", sockets(target, until).await),
            Self::Nonsense => {
                let one = || async {
                    plain_text(&target.endpoint, 1).await;
                    1
                };
                format!("{} connections", many(64, async || until_then(until, one).await).await)
            }
            Self::Passwords => passwords(target, until).await,
            Self::Frames => frames(target, until).await,
            Self::Unread => unread(target, until).await,
            Self::Connections => connections(target, until).await,
            Self::Blobs => blobs(target, until).await,
            Self::KeyPackages => key_packages(target, until).await,
            Self::Conversations => conversations(target, until).await,
            Self::Leaves => leaves(target, until).await,
            Self::Commits => commits(target, until).await,
            Self::Skips => skips(target, until).await,
            Self::Unreadable => unreadable(target, until).await,
            Self::Probes => {
                let once = || async {
                    let begun = half_requests(&target.health, 50).await;
                    let ends = begun.into_iter().map(|mut stream| async move {
                        let mut rest = Vec::new();
                        stream.read_to_end(&mut rest).await.ok();
                    });
                    timeout_at(until, join_all(ends)).await.ok();
                    50
                };
                format!("{} requests", many(4, async || until_then(until, once).await).await)
            }
        }
    }
}

/// The sum of what so many do at the same time.
async fn many(tasks: usize, work: impl AsyncFn() -> u64) -> u64 {
    join_all((0..tasks).map(|_| work())).await.into_iter().sum()
}

/// Does it again and again; what is at work then is given up. Returns the sum.
async fn until_then<F: Future<Output = u64>>(until: Instant, work: impl Fn() -> F) -> u64 {
    let mut sum = 0;
    while Instant::now() < until {
        sum += timeout_at(until, work()).await.unwrap_or(0);
        // one that fails at once must not keep this process from everything else
        tokio::task::yield_now().await;
    }
    sum
}

async fn sockets(target: &Target, until: Instant) -> u64 {
    let one = || async {
        let Ok(mut idle) = timeout_at(until, idle_sockets(&target.endpoint, HERE, 1)).await else { return 0 };
        let mut rest = Vec::new();
        timeout_at(until, idle[0].read_to_end(&mut rest)).await.ok();
        1
    };
    many(1200, async || until_then(until, one).await).await
}

async fn passwords(target: &Target, until: Instant) -> String {
    let checked = AtomicU64::new(0);
    let one = || async {
        let code = guess(&target.endpoint, BOT, "a wrong guess").await;
        checked.fetch_add(u64::from(code == RefusalCode::Password), Ordering::Relaxed);
        1
    };
    let tried = many(16, async || until_then(until, one).await).await;
    format!("{tried} guesses, {} of them checked", checked.into_inner())
}

async fn frames(target: &Target, until: Instant) -> String {
    let mallory = target.raw(&target.new_user()).await;
    let one = || async {
        let Some(mut stream) = logged_in(&target.endpoint, &mallory).await else { return 0 };
        let taken = begin_frame(&mut stream, 16 << 20, 15 * MIB).await;
        hold(&mut stream, until).await;
        taken as u64
    };
    let sent = many(100, async || until_then(until, one).await).await;
    format!("{} MiB begun", sent >> 20)
}

async fn unread(target: &Target, until: Instant) -> String {
    let mallory = target.raw(&target.new_user()).await;
    let blob = upload(&mallory, MIB).await.unwrap();
    let one = || async {
        let Some(mut stream) = logged_in(&target.endpoint, &mallory).await else { return 0 };
        ask_and_read_nothing(&mut stream, &blob, 64).await;
        // not even the end is read: a receive buffer is all that is taken
        tokio::time::sleep_until(until.min(Instant::now() + Duration::from_secs(10))).await;
        64
    };
    let asked = many(40, async || until_then(until, one).await).await;
    format!("{asked} MiB asked for")
}

async fn connections(target: &Target, until: Instant) -> String {
    let mallory = target.raw(&target.new_user()).await;
    let opened = AtomicU64::new(0);
    let one = || async {
        let Some(mut stream) = logged_in(&target.endpoint, &mallory).await else { return 0 };
        opened.fetch_add(1, Ordering::Relaxed);
        hold(&mut stream, until).await;
        1
    };
    many(3000, async || until_then(until, one).await).await;
    format!("{} connections", opened.into_inner())
}

/// Keeps it until the network ends it.
async fn hold(stream: &mut (impl AsyncReadExt + Unpin), until: Instant) {
    let mut rest = [0; 64];
    let over = async { while !matches!(stream.read(&mut rest).await, Ok(0) | Err(_)) {} };
    timeout_at(until, over).await.ok();
}

/// Devices of users who are new whenever the last one is of no use any more.
async fn ever_more(target: &Target, until: Instant, attack: impl AsyncFn(&Raw) -> u64) -> (u64, u64) {
    let (mut sum, mut devices) = (0, 0);
    let mut name = String::new();
    while Instant::now() < until {
        // two devices each
        if devices % 2 == 0 {
            name = target.new_user();
        }
        let device = target.raw(&name).await;
        devices += 1;
        sum += timeout_at(until, attack(&device)).await.unwrap_or(0);
    }
    (sum, devices)
}

async fn blobs(target: &Target, until: Instant) -> String {
    let taken = AtomicU64::new(0);
    let attack = async |device: &Raw| loop {
        let (one, refused) = flood_with_blobs(device, MIB, 1).await;
        taken.fetch_add(one as u64, Ordering::Relaxed);
        if refused.is_some() {
            return 0;
        }
    };
    let (_, devices) = ever_more(target, until, attack).await;
    format!("{} MiB taken of {devices} devices", taken.into_inner())
}

async fn key_packages(target: &Target, until: Instant) -> String {
    let mallory = target.raw(&target.new_user()).await;
    let got = AtomicU64::new(0);
    let one = || async {
        got.fetch_add(drain_key_packages(&mallory, BOT, 4096, 1).await as u64, Ordering::Relaxed);
        1
    };
    let asked = many(4, async || until_then(until, one).await).await;
    format!("{asked} requests, {} one-time key packages", got.into_inner())
}

async fn conversations(target: &Target, until: Instant) -> String {
    let made = AtomicU64::new(0);
    let attack = async |device: &Raw| loop {
        let (_, create) = device.draft(&[BOT]).await;
        match accepted(&device.connection, Request::CreateConversation(create)).await {
            Ok(_) => made.fetch_add(1, Ordering::Relaxed),
            Err(_) => return 0,
        };
    };
    let (_, devices) = ever_more(target, until, attack).await;
    format!("{} conversations of {devices} devices", made.into_inner())
}

async fn leaves(target: &Target, until: Instant) -> String {
    let name = target.new_user();
    let (mallory, other) = (target.raw(&name).await, target.raw(&name).await);
    let heavy = heavy_key_package(&other, 15_000_000);
    let mut session = mallory.create(&[BOT]).await;
    let proposal = proposal_of(&mut session, &heavy);
    let (mut sent, mut taken) = (0, 0);
    while Instant::now() < until {
        sent += 1;
        taken += u64::from(mallory.handshake(&proposal, &[]).await.is_ok());
    }
    format!("{sent} proposals, {taken} taken")
}

/// Conversations with the bot, one after another, each left when `attack` is done with it.
async fn one_after_another(
    target: &Target,
    until: Instant,
    attack: impl AsyncFn(&Raw, &mut retaind::device::mls::Session),
) -> u64 {
    let count = AtomicU64::new(0);
    ever_more(target, until, async |device| {
        for _ in 0..500 {
            let (mut session, create) = device.draft(&[BOT]).await;
            let commit = create.commit.clone();
            if accepted(&device.connection, Request::CreateConversation(create)).await.is_err() {
                break;
            }
            session.receive(&commit).unwrap();
            attack(device, &mut session).await;
            count.fetch_add(1, Ordering::Relaxed);
        }
        0
    })
    .await;
    count.into_inner()
}

async fn commits(target: &Target, until: Instant) -> String {
    let said = AtomicU64::new(0);
    let poisoned = one_after_another(target, until, async |device, session| {
        if commit_with_a_wrong_tag(device, session).await.is_err() {
            return;
        }
        for _ in 0..200 {
            let message = session.encrypt(&text("unseen").encode().unwrap()).unwrap();
            let send = SendApplication { send_id: random::<16>().to_vec(), message, blobs: vec![] };
            if accepted(&device.connection, Request::SendApplication(send)).await.is_err() {
                break;
            }
            said.fetch_add(1, Ordering::Relaxed);
        }
    });
    let poisoned = poisoned.await;
    format!("{poisoned} conversations, {} messages after the commits", said.into_inner())
}

async fn skips(target: &Target, until: Instant) -> String {
    let said = AtomicU64::new(0);
    let conversations = one_after_another(target, until, async |device, session| {
        while skip(device, session, 2000).await.is_ok() {
            said.fetch_add(1, Ordering::Relaxed);
        }
    });
    let conversations = conversations.await;
    format!("{conversations} conversations, {} messages taken", said.into_inner())
}

async fn unreadable(target: &Target, until: Instant) -> String {
    let sent = Arc::new(AtomicU64::new(0));
    one_after_another(target, until, async |device, session| {
        for _ in 0..10_000 {
            let mut message = session.encrypt(b"damaged").unwrap();
            *message.last_mut().unwrap() ^= 1;
            let send = SendApplication { send_id: random::<16>().to_vec(), message, blobs: vec![] };
            match accepted(&device.connection, Request::SendApplication(send)).await {
                Ok(_) => {
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                // new keys, and on it goes
                Err(error) if error.refusal() == Some(RefusalCode::NotRead) => {
                    if device.commit(session, &[], &[]).await.is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    })
    .await;
    format!("{} messages", sent.load(Ordering::Relaxed))
}
