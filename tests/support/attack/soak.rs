//! Full load for a long time, with two hostile members and an S3 that fails in every way.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use retaind::device::conversations::Device;
use retaind::protocol::ids::{ConversationId, ConversationKind};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::full::Attack;
use super::target::{Sample, Sampler, Target};
use crate::support::aws::cloud::{BUCKET, Cloud};
use crate::support::aws::fault::{Fault, On, Times};
use crate::support::text;

const SENDERS: usize = 4;
const GROUPS_OF_SENDER: usize = 8;
/// So small that files are shipped all the time.
const FILE_KIB: u64 = 4096;
/// An attack of a member's before the next one of its own.
const TURN: Duration = Duration::from_secs(20);
const FIRST_MEMBER: [Attack; 4] = [Attack::Frames, Attack::Unreadable, Attack::Blobs, Attack::Skips];
const SECOND_MEMBER: [Attack; 4] = [Attack::Unread, Attack::Commits, Attack::Connections, Attack::KeyPackages];
/// Between two troubles of S3, and how long one lasts that does not end by itself.
const CALM: Duration = Duration::from_secs(3);
const OUTAGE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_secs(1);
const COLLECT_EVERY: Duration = Duration::from_secs(5);
const SETTLES_WITHIN: Duration = Duration::from_secs(600);

/// What a place holds: the number of its text.
type Places = HashMap<(ConversationId, u64), u64>;

/// What came of it.
#[derive(Debug)]
pub struct Soaked {
    pub seconds: f64,
    pub accepted: usize,
    pub missing: usize,
    pub doubled: usize,
    /// Least and most in each quarter of the time.
    pub quarters: Vec<(Sample, Sample)>,
    /// What each hostile member did, turn by turn.
    pub attacks: Vec<String>,
    /// Requests that S3 failed.
    pub troubles: usize,
    pub log_bytes: u64,
    pub exit: Option<i32>,
}

/// How much more a later quarter may have at its worst than the second one; the first is for warming up.
const GROWTH_BYTES_MAX: u64 = 32 << 20;
const GROWTH_MAX: u64 = 16;

impl Soaked {
    /// Is the last quarter like the second?
    pub fn is_flat(&self) -> bool {
        let [_, (_, second), .., (_, last)] = self.quarters[..] else { return false };
        last.bytes <= second.bytes + GROWTH_BYTES_MAX
            && last.threads <= second.threads + GROWTH_MAX
            && last.descriptors <= second.descriptors + GROWTH_MAX
    }
}

/// Soaks the program at `path` for so long.
pub async fn soak(path: &Path, time: Duration) -> Soaked {
    let cloud = Arc::new(Cloud::start().await);
    let mut environment: Vec<(String, String)> =
        cloud.variables().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    environment.push(("WICKRIO_COMP_FILESIZE".to_owned(), FILE_KIB.to_string()));
    let target = Target::start(path, &environment).await;
    let (stop, stop_collecting) = (CancellationToken::new(), CancellationToken::new());

    let mut senders = JoinSet::new();
    for number in 0..SENDERS {
        let device = target.device(&format!("sender{number}")).await;
        senders.spawn(send(device, stop.clone()));
    }
    let archived = Arc::new(Mutex::new(Archived::default()));
    let collecting = tokio::spawn(collect(cloud.clone(), archived.clone(), stop_collecting.clone()));
    let troubling = tokio::spawn(trouble(cloud.clone(), stop.clone()));

    let started = Instant::now();
    let sampler = Sampler::start(target.pid(), LOOK_EVERY);
    let until = started + time;
    let (first, second) = tokio::join!(turns(&target, &FIRST_MEMBER, until), turns(&target, &SECOND_MEMBER, until));
    let seconds = started.elapsed().as_secs_f64();
    let samples = sampler.samples();
    drop(sampler);
    stop.cancel();
    let mut owed = Places::new();
    while let Some(sent) = senders.join_next().await {
        owed.extend(sent.unwrap());
    }
    let troubles = troubling.await.unwrap();
    target.settles(SETTLES_WITHIN).await;
    let log_bytes = target.logged();
    let (exit, _home) = target.ends().await;
    stop_collecting.cancel();
    collecting.await.unwrap();
    let Archived { places, doubled } = std::mem::take(&mut *archived.lock().unwrap());
    let missing = owed.iter().filter(|(place, number)| places.get(place) != Some(number)).count();
    let quarters = samples.chunks(samples.len().div_ceil(4).max(1)).map(span).collect();
    let attacks = [first, second].concat();
    Soaked { seconds, accepted: owed.len(), missing, doubled, quarters, attacks, troubles, log_bytes, exit }
}

fn span(samples: &[Sample]) -> (Sample, Sample) {
    let of = |choose: fn(u64, u64) -> u64| {
        samples.iter().copied().reduce(|one, other| Sample {
            bytes: choose(one.bytes, other.bytes),
            threads: choose(one.threads, other.threads),
            descriptors: choose(one.descriptors, other.descriptors),
        })
    };
    (of(u64::min).unwrap_or_default(), of(u64::max).unwrap_or_default())
}

/// One attack after another.
async fn turns(target: &Target, attacks: &[Attack], until: Instant) -> Vec<String> {
    let mut did = Vec::new();
    for attack in attacks.iter().cycle() {
        let now = Instant::now();
        if now >= until {
            break;
        }
        // an attacker whose connection the network cuts panics
        let turn = AssertUnwindSafe(attack.run(target, until.min(now + TURN))).catch_unwind().await;
        did.push(format!("{attack:?}: {}", turn.unwrap_or_else(|_| "cut off".to_owned())));
    }
    did
}

/// Sends as fast as it is accepted.
async fn send(mut device: Device, stop: CancellationToken) -> Places {
    let mut groups = Vec::new();
    for _ in 0..GROUPS_OF_SENDER {
        groups.push(device.create(ConversationKind::Group, &[]).await.unwrap());
    }
    let padding = "x".repeat(500);
    let mut accepted = Places::new();
    for number in 0u64.. {
        if stop.is_cancelled() {
            break;
        }
        let group = groups[usize::try_from(number).unwrap() % groups.len()];
        let seq = device.send(&group, &text(&format!("{number} {padding}"))).await.unwrap();
        accepted.insert((group, seq), number);
    }
    accepted
}

/// One kind of trouble after another.
async fn trouble(cloud: Arc<Cloud>, stop: CancellationToken) -> usize {
    let kinds = [
        (Times::First(3), Fault::SlowDown),
        (Times::First(3), Fault::Internal),
        (Times::First(2), Fault::ResetInBody),
        (Times::First(2), Fault::LoseAnswer),
        (Times::First(1), Fault::ExpiredToken),
        (Times::UntilHealed, Fault::Hang),
        (Times::UntilHealed, Fault::Internal),
    ];
    let mut struck = 0;
    for (times, fault) in kinds.iter().cycle() {
        let trouble = cloud.proxy.trouble(On::service("s3"), *times, *fault);
        let over = timeout(OUTAGE, stop.cancelled()).await.is_ok();
        trouble.heal();
        struck += trouble.struck() as usize;
        if over || timeout(CALM, stop.cancelled()).await.is_ok() {
            break;
        }
    }
    struck
}

/// What was found in the bucket.
#[derive(Debug, Default)]
struct Archived {
    places: Places,
    doubled: usize,
}

/// Reads what comes into the bucket, and takes it away: the stand-in keeps it in memory.
async fn collect(cloud: Arc<Cloud>, archived: Arc<Mutex<Archived>>, stop: CancellationToken) {
    // one that comes again was made before an answer that was lost, and taken away here
    let mut taken = HashSet::new();
    loop {
        // once more after the end
        let over = timeout(COLLECT_EVERY, stop.cancelled()).await.is_ok();
        let s3 = cloud.moto.s3();
        let mut listed = s3.list_objects_v2().bucket(BUCKET).into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = listed.next().await {
            keys.extend(page.unwrap().contents().iter().filter_map(|object| object.key().map(str::to_owned)));
        }
        for key in keys {
            if key.contains("receivedMessages_") && taken.insert(key.clone()) {
                let object = s3.get_object().bucket(BUCKET).key(&key).send().await.unwrap();
                let bytes = object.body.collect().await.unwrap().into_bytes();
                let mut archived = archived.lock().unwrap();
                for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                    archived.take(&serde_json::from_slice(line).unwrap());
                }
            }
            s3.delete_object().bucket(BUCKET).key(&key).send().await.unwrap();
        }
        if over {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
}

impl Archived {
    fn take(&mut self, record: &Value) {
        let Some(number) = record["message"].as_str().and_then(|words| words.split(' ').next()?.parse().ok()) else {
            return;
        };
        let Ok(conversation) = record["vgroupid"].as_str().unwrap().parse::<ConversationId>() else { return };
        let before = self.places.insert((conversation, record["seq"].as_u64().unwrap()), number);
        self.doubled += usize::from(before.is_some());
    }
}
