//! `retaind demo`: the whole of it at work, in one process, some seconds and a folder of its own.
//!
//! A network and a bot start on embedded defaults. A recorded conversation is replayed by a device for each of its people,
//! and four more devices use what the recording does not have ([`scenes`]), all over TLS on loopback. Then the bot is
//! stopped as SIGTERM does, and what its files hold is compared with what the network had accepted ([`ledger`], [`audit`]).
//!
//! It fails if anything differs. The environment changes nothing, so that it shows the same wherever it runs; only the
//! folder's place may be given. Devices live in memory: afterwards nobody can decrypt what the folder's network holds.

mod audit;
mod ledger;
mod place;
mod scenes;
mod show;

use std::io::{self, IsTerminal, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use data_encoding::HEXLOWER;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use self::audit::{Archive, compare};
use self::ledger::Ledger;
use self::place::Place;
use self::scenes::{PLAYERS, Scenes};
use self::show::Style;
use crate::replay::{self, Corpus, What, replay};
use retaind_bot::commit::Directories;
use retaind_bot::disk::RealDisk;
use retaind_bot::evidence;
use retaind_bot::passwords::{Keeper, Maker, NotKept, Passwords, Source};
use retaind_bot::run::{self as bot, Controls, Shipping};
use retaind_bot::segment::{Basename, RotationLimits};
use retaind_bot::ship::Shipped;
use retaind_bot::watchdog;
use retaind_config::network::Retention;
use retaind_core::clock::SystemClock;
use retaind_device::conversations::random;
use retaind_process::Failure;
use retaind_process::embedded::Embedded;
use retaind_process::lifecycle::{self, Signalled};
use retaind_process::{runtime, workers};
use retaind_protocol::credential::{Identity, Role};
use retaind_protocol::ids::UserName;
use retaind_report::counters::Counters;
use retaind_report::events::Events;
use retaind_report::logs::{self, Format, Stream};
use retaind_source_mls::Mls;
use retaind_task as task;

/// What is replayed; where it comes from is told in `README.md` beside it.
const RECORDING: &[u8] = include_bytes!("demo/conversation.jsonl");
const NETWORK_ID: &str = "12345678";
const BOT: &str = "compliance_12345678_bot";
/// Base name of message files, as the bot's default.
const BASENAME: &str = "receivedMessages";
/// The bot's default as well: 1,000,000,000 KiB.
const MESSAGE_FILE_BYTES_MAX: u64 = 1_000_000_000 * 1024;
/// Only what is wrong is logged, beside what the demo prints.
const LOG_FILTER: &str = "warn";
/// How long the bot may take for what is left once everything is sent. It is some milliseconds behind; after this it is
/// stopped all the same, and what is missing is told.
const BEHIND_MAX: Duration = Duration::from_secs(60);
/// Never within a demo: its one head is signed at its end.
const CHECKPOINTS: Duration = Duration::from_secs(3600);

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Where it works: a directory that is empty or does not exist; a fresh one for temporary files if not given. It is kept
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

/// What was played.
struct Performance {
    devices: u64,
    conversations: usize,
    took: Duration,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let place = Place::make(arguments.directory.as_deref())?;
    logs::start(Stream::Error, LOG_FILTER, Format::Text, None).map_err(Failure::configuration)?;
    let signals = lifecycle::listen().map_err(Failure::internal)?;
    let mut out = io::stdout();
    let style = if out.is_terminal() { Style::Terminal } else { Style::Plain };
    show::beginning(&mut out, &place).map_err(Failure::temporary)?;

    let bar = ProgressBar::new_spinner();
    // a bar that cannot be styled is a plain one
    if let Ok(plain) = ProgressStyle::with_template("{spinner} {pos} messages sent") {
        bar.set_style(plain);
    }
    let ledger = Ledger::new(bar.clone());
    let performed = runtime()?.block_on(perform(&place, &ledger, signals));
    bar.finish_and_clear();
    let performance = performed?;

    let archive = Archive::read(&place.messages, &place.attachments).map_err(Failure::internal)?;
    let comparison = compare(&ledger.all(), &archive);
    show::ending(&mut out, style, &place, &performance, &comparison, &archive.message_files)
        .map_err(Failure::temporary)?;
    comparison.differences.verdict().map_err(Failure::internal)?;
    writeln!(out, "\nEvery message that was sent is archived, once, as it was sent.").map_err(Failure::temporary)
}

/// A demonstration starts once: nobody needs its bot's password.
struct Forgotten;

impl Keeper for Forgotten {
    fn keep<'a>(&'a self, _: &'a str, _: Maker) -> BoxFuture<'a, Result<(), NotKept>> {
        std::future::ready(Ok(())).boxed()
    }
}

/// Starts network and bot, plays, and stops them.
async fn perform(place: &Place, ledger: &Ledger, signals: Signalled) -> Result<Performance, Failure> {
    let started = Instant::now();
    let secret: [u8; 16] = random().map_err(Failure::internal)?;
    let password = Zeroizing::new(HEXLOWER.encode(&secret));
    let user = UserName::new(BOT).map_err(Failure::internal)?;
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Failure::temporary)?;
    let mut options = retaind_network::Options::new(&place.network);
    options.network_id = Some(NETWORK_ID.to_owned());
    let embedded = Embedded::open(options, listener, &user, &password, Retention::On)?;
    let (network, endpoint) = (embedded.network().clone(), embedded.endpoint());
    let counters = Arc::new(Counters::default());
    let (ready, is_ready) = oneshot::channel();
    let options = bot::Options {
        user: BOT.to_owned(),
        passwords: Arc::new(Passwords {
            given: password,
            source: Source::Configured,
            chosen: None,
            keeper: Arc::new(Forgotten),
        }),
        state: place.state.join("bot.db"),
        directories: Directories {
            messages: place.messages.clone(),
            basename: Basename::new(BASENAME).map_err(Failure::internal)?,
            files: place.attachments.clone(),
        },
        policy: RotationLimits { size_max: MESSAGE_FILE_BYTES_MAX, age_max: None, first_number: 1 },
        evidence: Some(evidence::Settings {
            directory: place.evidence.clone(),
            interval: None,
            checkpoints: CHECKPOINTS,
            origin: None,
        }),
        source: Box::new(Mls { ready: Some(ready), ..Mls::new(endpoint.clone(), workers()) }),
        disk: Arc::new(RealDisk),
        shipping: Shipping::local(Arc::new(RealDisk)),
        clock: Arc::new(SystemClock),
        counters: counters.clone(),
        events: Events::only_logged(),
        watchdog: watchdog::Settings::default(),
    };
    let stop = signals.stop.child_token();
    let controls = Controls { stop: stop.clone(), rotate: signals.rotate };
    let mut running = task::spawn("bot", embedded.run_bot(options, controls));

    let ended = |ended: Result<Result<Shipped, Failure>, tokio::task::JoinError>| ended.map_err(Failure::internal)?;
    let playing = async {
        let devices = play(is_ready, &network, &endpoint, place, ledger).await?;
        // a bot that is too slow is stopped all the same: the comparison tells what is missing
        let sent = ledger.all().places.len() as u64;
        tokio::time::timeout(BEHIND_MAX, counters.messages_saved.reaches(sent)).await.ok();
        Ok(devices)
    };
    let devices = tokio::select! {
        early = &mut running => {
            ended(early)?;
            return Err(Failure::temporary("the demo was interrupted, its folder is kept"));
        }
        played = playing => played,
    };
    stop.cancel();
    let stopped = ended(running.await);
    let devices = devices?;
    stopped?;
    let mut conversations: Vec<_> = ledger.all().places.into_keys().map(|(conversation, _)| conversation).collect();
    conversations.dedup();
    Ok(Performance { devices, conversations: conversations.len(), took: started.elapsed() })
}

/// Sends everything; returns how many devices did.
async fn play(
    is_ready: oneshot::Receiver<Identity>,
    network: &Arc<retaind_network::Network>,
    endpoint: &retaind_protocol::endpoint::Endpoint,
    place: &Place,
    ledger: &Ledger,
) -> Result<u64, Failure> {
    if is_ready.await.is_err() {
        // the bot has failed, and its task is about to tell why
        std::future::pending::<()>().await;
    }
    let recording = Corpus::Bytes(RECORDING.into());
    let scenes = Scenes::new(network, endpoint, ledger, &place.outbox, RECORDING, texts(&recording)?)?;
    let invites = {
        let (network, endpoint) = (network.clone(), endpoint.clone());
        move |user: UserName| {
            std::future::ready(network.admin(|admin| admin.invite_to(&endpoint, &user, Role::Normal, None)))
        }
    };
    let replaying = async {
        let options = replay::Options::default();
        replay(&recording, options, invites, ledger.observer()).await.map_err(Failure::internal)
    };
    let (report, ()) = tokio::try_join!(replaying, scenes.play())?;
    Ok(report.devices.saturating_add(PLAYERS.len() as u64))
}

/// All texts, in order.
fn texts(recording: &Corpus) -> Result<Vec<String>, Failure> {
    let mut rooms = recording.rooms().map_err(Failure::internal)?;
    let mut texts = Vec::new();
    while let Some(room) = rooms.next_room().map_err(Failure::internal)? {
        texts.extend(room.events.into_iter().filter_map(|event| match event.what {
            What::Text(text) => Some(text),
            What::Join | What::Leave | What::Rename(_) => None,
        }));
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_players_are_not_in_the_recording() {
        let mut rooms = Corpus::Bytes(RECORDING.into()).rooms().unwrap();
        while let Some(room) = rooms.next_room().unwrap() {
            let names: Vec<String> = room.users().iter().map(|user| user.as_str().to_owned()).collect();
            assert!(!PLAYERS.iter().any(|player| names.iter().any(|name| name == player)), "{names:?}");
        }
    }
}
