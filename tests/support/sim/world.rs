//! One seed: a bot lives, is harmed, dies and lives again until all that was said is acknowledged; then the oracle judges.
//!
//! Everything that happens is drawn from the seed, in one thread: who does the next step, what becomes of each call of the disk,
//! when the power goes. So a seed that fails does so again, step by step.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use retaind::bot::commit::Directories;
use retaind::bot::evidence::Settings;
use retaind::bot::segment::{Basename, RotationLimits};
use retaind::bot::ship::{Destination, LocalDestination};
use rusqlite::{Connection, OpenFlags};
use tokio::runtime::{Builder, Runtime};

use super::bot::{Bot, Ended, Reports, Setting};
use super::bucket::Bucket;
use super::disk::{Broken, Call, Fate, Harm, Much, SimDisk};
use super::evidence;
use super::left::Left;
use super::network::{Network, SimBlobs};
use super::stages::Kind;
use super::trace;
use super::vfs::Mounted;
use crate::support::clock::HandClock;
use crate::support::oracle::{Obligations, Verdict};
use crate::support::traffic::Dice;

/// 2023-08-04 19:10:58 UTC
const NOON_MICROS: i64 = 1_691_176_258_000_000;
/// Steps of the eventful part of a life.
const STEPS: u64 = 700;
/// A bot that has not come to its end after so many steps in which nothing went wrong never will.
const CALM_STEPS_MAX: u64 = 1_000;
/// Starts that may fail one after the other while things go wrong.
const STARTS_MAX: u64 = 64;

/// Makes other streams of a seed's.
const READS: u64 = 0x7265_6164_206f_6e21;
const ROT: u64 = 0x6120_666c_6970_7065;
/// Why a damaged file is parked.
const NOT_THE_CONTENT: &str = "the length that was committed, but not the content";
/// A disk of one life in so many loses bits,
const ROTS_ONE_OF: u64 = 3;
/// and does so in one of so many steps.
const FLIPS_ONE_OF: u64 = 40;

/// How a bot was built wrongly, to see whether the oracle notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// As it is.
    Right,
    /// In its dealings with the disk.
    Disk(Broken),
    /// It acknowledges what is decrypted.
    AcknowledgesFirst,
    /// It ships what it reads, whatever was committed.
    BelievesTheDisk,
}

impl Build {
    /// All that are wrong.
    pub const WRONG: [Self; 6] = [
        Self::AcknowledgesFirst,
        Self::BelievesTheDisk,
        Self::Disk(Broken::NoSync),
        Self::Disk(Broken::ShortWrites),
        Self::Disk(Broken::NoSyncOfNames),
        Self::Disk(Broken::NoSyncOfState),
    ];
}

/// What goes wrong.
pub enum Trouble {
    /// Whatever the seed says.
    Everything,
    /// Nothing but this, at this call of the disk (1 = the first after the first start).
    At(u64, Harm),
    /// Nothing but this, at this call of the network's connection.
    Cut(u64, Cut),
    /// Nothing.
    None,
    /// Nothing; the calls of the disk are written down.
    Recorded(Arc<Mutex<Vec<Call>>>),
}

/// What becomes of one call of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cut {
    /// It ends before the call has got through.
    Before,
    /// It ends after it, without an answer.
    After,
    /// It delivers the same twice.
    Twice,
    /// It leaves a delivery out.
    LeftOut,
    /// The bot is killed there.
    Killed,
}

impl Cut {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Before, Self::After, Self::Twice, Self::LeftOut, Self::Killed];
}

/// How a life went.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Life {
    /// What the oracle says.
    pub verdict: Verdict,
    /// Why it did not come to an end, if so.
    pub stuck: Option<String>,
    /// Obligations.
    pub owed: u64,
    /// Times that the bot was started.
    pub starts: u64,
    /// Losses of power, kills, errors of the disk, connections that ended.
    pub power: u64,
    pub kills: u64,
    pub errors: u64,
    pub cuts: u64,
    /// Bits of files at rest that flipped.
    pub flips: u64,
    /// Calls of the disk, and of the connection, after the first start.
    pub disk_calls: u64,
    pub network_calls: u64,
    /// What was left behind where it should not be.
    pub left: Vec<String>,
}

impl Life {
    /// Is every obligation met, nothing left behind, and did it end?
    pub fn is_whole(&self) -> bool {
        self.verdict.is_whole() && self.stuck.is_none() && self.left.is_empty()
    }
}

impl std::fmt::Display for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; stuck: {:?}; left behind: {:?}", self.verdict, self.stuck, self.left)
    }
}

struct World {
    dice: Dice,
    disk: SimDisk,
    mounted: Mounted,
    clock: Arc<HandClock>,
    network: Network,
    blobs: Arc<SimBlobs>,
    bucket: Bucket,
    setting: Setting,
    ships_to_bucket: bool,
    runtime: Runtime,
    bot: Option<Bot>,
    build: Build,
    trouble: Trouble,
    obligations: Obligations,
    rot: Option<Rot>,
    life: Life,
}

/// A disk that damages sealed files while they wait. Its own stream: what else a seed says stays what it was.
struct Rot {
    dice: Dice,
    /// Files that are damaged, with the bit and what they were before.
    damaged: BTreeMap<PathBuf, (u64, Vec<u8>)>,
}

impl Rot {
    /// The disks of some seeds do so, and of those only where the files go elsewhere: what stays here is not read again.
    fn of(seed: u64, ships_to_bucket: bool) -> Option<Self> {
        let mut dice = Dice(seed ^ ROT);
        let rots = dice.below(ROTS_ONE_OF) == 0 && ships_to_bucket;
        rots.then(|| Self { dice, damaged: BTreeMap::new() })
    }
}

/// Lives the life of `seed`.
pub fn live(seed: u64, trouble: Trouble, build: Build) -> Life {
    live_of(Kind::Mls, seed, trouble, build)
}

/// Lives it with this source.
pub fn live_of(kind: Kind, seed: u64, trouble: Trouble, build: Build) -> Life {
    let mut world = World::new(kind, seed, trouble, build);
    if let Err(stuck) = world.live() {
        world.life.stuck = Some(stuck);
    }
    world.end()
}

impl World {
    fn new(kind: Kind, seed: u64, trouble: Trouble, build: Build) -> Self {
        let recording = kind.recording();
        let mut dice = Dice(seed);
        let disk = SimDisk::default();
        let mounted = Mounted::new(disk.clone());
        disk.put(&mounted.root().join("state/bot.db"), recording.state.clone());
        match build {
            Build::Disk(broken) => disk.break_bot(broken),
            Build::Right | Build::AcknowledgesFirst | Build::BelievesTheDisk => {}
        }
        let clock = HandClock::at(NOON_MICROS);
        let bucket = Bucket::new(disk.clone(), seed);
        if build == Build::BelievesTheDisk {
            bucket.believe_the_disk();
        }
        let ships_to_bucket = dice.below(3) > 0;
        let destination: Arc<dyn Destination> = if ships_to_bucket {
            Arc::new(bucket.clone())
        } else {
            Arc::new(LocalDestination::new(Arc::new(disk.clone())))
        };
        let blobs = Arc::new(SimBlobs::new(recording.clone()));
        let setting = Setting {
            kind,
            state: mounted.database("state/bot.db"),
            state_file: mounted.root().join("state/bot.db"),
            vault: recording.vault(),
            directories: Directories {
                messages: mounted.root().join("messages"),
                basename: Basename::new("m").unwrap(),
                files: mounted.root().join("files"),
            },
            evidence: Settings {
                directory: mounted.root().join("_evidence"),
                interval: Some(Duration::from_secs(45)),
                checkpoints: Duration::from_secs(90),
                origin: None,
            },
            policy: RotationLimits {
                size_max: 1000 + dice.below(20_000),
                age_max: [None, Some(Duration::from_secs(60))][usize::try_from(dice.below(2)).unwrap()],
                first_number: 1,
            },
            workers: 1 + usize::try_from(dice.below(3)).unwrap(),
            disk: Arc::new(disk.clone()),
            clock: clock.clone(),
            destination,
            blobs: blobs.clone(),
            reports: Arc::new(Reports::default()),
        };
        let obligations = Obligations::default();
        for conversation in &recording.conversations {
            let id = conversation.id.parse().unwrap();
            for (place, seq) in conversation.places.iter().zip(1..) {
                obligations.owe_digest(id, seq, place.owed.as_slice().try_into().unwrap());
            }
        }
        Self {
            network: Network::new(recording),
            runtime: Builder::new_current_thread().enable_time().start_paused(true).build().unwrap(),
            life: Life { owed: obligations.len(), ..Life::default() },
            bot: None,
            rot: Rot::of(seed, ships_to_bucket),
            dice,
            disk,
            mounted,
            clock,
            blobs,
            bucket,
            setting,
            ships_to_bucket,
            build,
            trouble,
            obligations,
        }
    }

    fn live(&mut self) -> Result<(), String> {
        self.start(1)?;
        let before = self.disk.calls();
        match &self.trouble {
            Trouble::Everything => {
                let one_of = 300 + self.dice.below(4000);
                self.disk.set_fate(Some(fate(self.dice.below(u64::MAX), one_of)));
                self.bucket.fail_one_of(4 + self.dice.below(20));
                self.eventful()?;
                self.disk.set_fate(None);
                self.disk.set_room(None);
                self.bucket.fail_one_of(0);
            }
            Trouble::At(call, harm) => {
                let (call, harm) = (before + call, *harm);
                self.disk.set_fate(Some(Box::new(move |number, _| (number == call).then_some(harm))));
            }
            Trouble::Recorded(calls) => {
                let calls = calls.clone();
                self.disk.set_fate(Some(Box::new(move |_, call| {
                    calls.lock().unwrap().push(call);
                    None
                })));
            }
            Trouble::Cut(..) | Trouble::None => {}
        }
        self.network.accept_all();
        self.calm()?;
        self.life.disk_calls = self.disk.calls() - before;
        Ok(())
    }

    /// Starts the bot; what goes wrong meanwhile ends it, and it starts again.
    fn start(&mut self, most: u64) -> Result<(), String> {
        let mut said = String::new();
        for _ in 0..most {
            self.life.starts += 1;
            match Bot::start(self.setting.clone()) {
                Ok(bot) => {
                    self.bot = Some(bot);
                    return Ok(());
                }
                Err(error) => {
                    said = chain(&*error);
                    trace(&format!("does not start: {said}"));
                    self.after_death();
                    // somebody makes room
                    if self.dice.below(4) == 0 {
                        self.disk.set_room(None);
                    }
                }
            }
        }
        Err(format!("the bot does not start: {said}"))
    }

    /// What happens to the machine when the bot has ended: nothing, or its power is lost.
    fn after_death(&mut self) {
        self.bot = None;
        self.network.cut();
        if self.disk.is_off() || (matches!(self.trouble, Trouble::Everything) && self.dice.below(4) == 0) {
            self.life.power += 1;
            trace("power lost");
            let dice = &mut self.dice;
            self.disk.lose_power(&mut || dice.below(u64::MAX));
        } else {
            self.life.errors += 1;
            self.disk.go_on();
        }
    }

    /// Killed: no destructor gets anything done.
    fn kill(&mut self) {
        trace("killed");
        self.life.kills += 1;
        self.disk.stop();
        self.bot = None;
        self.network.cut();
        self.disk.go_on();
    }

    /// One step that ends the bot if it fails.
    fn step(&mut self, step: impl FnOnce(&mut Self, &mut Bot) -> Result<(), Ended>) -> Result<(), String> {
        let Some(mut bot) = self.bot.take() else { return Ok(()) };
        let stepped = step(self, &mut bot);
        match stepped.and_then(|()| if self.disk.is_off() { Err("the power is off".into()) } else { Ok(()) }) {
            Ok(()) => {
                self.bot = Some(bot);
                Ok(())
            }
            Err(error) => {
                trace(&format!("ended: {}", chain(&*error)));
                // some of them go on for a while: what is ready is committed, as when a stage fails
                if self.dice.below(2) == 0 {
                    let _ = bot.drain();
                }
                // a process that ends does not get to clean up after a power cut
                if !self.disk.is_off() && self.dice.below(2) == 0 {
                    self.disk.stop();
                    drop(bot);
                    self.disk.go_on();
                } else {
                    drop(bot);
                }
                self.after_death();
                self.start(STARTS_MAX)
            }
        }
    }

    fn eventful(&mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            self.rot();
            match self.dice.below(100) {
                0..=17 => {
                    self.network.accept(&mut self.dice);
                }
                18 => self.kill_and_start()?,
                19 => self.power_cut_and_start()?,
                20 => {
                    self.life.cuts += 1;
                    self.network.cut();
                }
                21 => {
                    let seconds = Duration::from_secs(self.dice.below(200));
                    if self.dice.below(3) == 0 { self.clock.set_back(seconds) } else { self.clock.advance(seconds) }
                }
                22 => self.network.leave_out(&mut self.dice),
                23 => {
                    if let Some(late) = self.network.deliver_late(&mut self.dice) {
                        self.step(|_, bot| bot.take(late))?;
                    }
                }
                24 | 25 => {
                    if let Some(again) = self.network.deliver_again(&mut self.dice) {
                        self.step(|_, bot| bot.take(again))?;
                    }
                }
                26 => {
                    // the disk is full for a while
                    let room = if self.dice.below(3) == 0 { Some(self.dice.below(60_000)) } else { None };
                    self.disk.set_room(room);
                }
                27 => self.blobs.fail(self.dice.below(4)),
                28 => self.stop_and_start()?,
                29 => self.step(|_, bot| bot.rotate())?,
                30..=32 => self.step(|_, bot| bot.tick())?,
                33..=35 => self.step(|world, bot| bot.ship(&world.runtime))?,
                36..=40 => self.acknowledge()?,
                41..=59 => self.deliver()?,
                _ => self.work()?,
            }
        }
        Ok(())
    }

    /// A bit of a sealed file may flip, wherever the file is on its way to the bucket.
    fn rot(&mut self) {
        let Some(rot) = &mut self.rot else { return };
        if rot.dice.below(FLIPS_ONE_OF) > 0 {
            return;
        }
        let sealed: Vec<(PathBuf, Vec<u8>)> =
            sealed(&self.disk, &self.setting.directories).filter(|(path, _)| !rot.damaged.contains_key(path)).collect();
        if sealed.is_empty() {
            return;
        }
        let (path, bytes) = &sealed[usize::try_from(rot.dice.below(sealed.len() as u64)).unwrap()];
        let bit = rot.dice.below(8 * bytes.len().max(1) as u64);
        if self.disk.flip(path, bit) {
            trace(&format!("bit {bit} of {} flips", path.display()));
            self.life.flips += 1;
            rot.damaged.insert(path.clone(), (bit, bytes.clone()));
        }
    }

    /// What was damaged while it waited is no object; it is here, parked and reported. Then it is restored from a copy.
    fn damage_is_noticed(&mut self) -> Result<(), String> {
        let Some(rot) = self.rot.take().filter(|rot| !rot.damaged.is_empty()) else { return Ok(()) };
        self.step(|world, bot| bot.ship(&world.runtime))?;
        let (objects, here, waiting) = (self.bucket.objects(), self.disk.files(), waiting(&self.setting.state));
        for (path, (bit, sound)) in rot.damaged {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_stored = objects.get(&name).map(|object| object.bytes == sound);
            let parked =
                waiting.iter().any(|item| item.starts_with(&format!("{name}: ")) && item.contains(NOT_THE_CONTENT));
            match (is_stored, here.contains_key(&path)) {
                (Some(false), _) => return Err(format!("{name} was stored with a flipped bit")),
                // the bit flipped in a copy that was still to be removed
                (Some(true), false) => {}
                // as before, or another try has met the damage
                (_, true) if parked && self.setting.reports.has(&path) => {
                    assert!(self.disk.flip(&path, bit), "{name} was written to");
                }
                (is_stored, here) => {
                    return Err(format!("{name}, damaged: stored {is_stored:?}, here {here}, waiting {waiting:?}"));
                }
            }
        }
        Ok(())
    }

    /// The bot goes about its work, in whatever order.
    fn work(&mut self) -> Result<(), String> {
        let (what, much) = (self.dice.below(4), 1 + usize::try_from(self.dice.below(20)).unwrap());
        self.step(|world, bot| match what {
            0 => bot.decrypt(usize::try_from(world.dice.below(8)).unwrap(), much).map(drop),
            1 => {
                bot.pass();
                Ok(())
            }
            2 => bot.fetch(&world.runtime, &mut world.dice).map(drop),
            _ => {
                if world.build == Build::AcknowledgesFirst {
                    bot.acknowledge_too_early();
                    return Ok(());
                }
                bot.commit(much).map(drop)
            }
        })?;
        if self.build == Build::AcknowledgesFirst && self.dice.below(3) == 0 {
            self.step(|_, bot| bot.commit(much).map(drop))?;
        }
        Ok(())
    }

    /// One call of the connection; what becomes of it may have been decided.
    fn passes(&mut self) -> Option<Cut> {
        self.life.network_calls += 1;
        match self.trouble {
            Trouble::Cut(call, cut) if call == self.life.network_calls => Some(cut),
            _ => None,
        }
    }

    fn connect(&mut self) -> Result<(), String> {
        let cut = self.passes();
        if cut == Some(Cut::Before) {
            return Ok(());
        }
        self.step(|world, bot| bot.connect(&mut world.network))?;
        match cut {
            Some(Cut::After) => self.network.cut(),
            Some(Cut::Killed) => self.kill_and_start()?,
            Some(Cut::Before | Cut::Twice | Cut::LeftOut) | None => {}
        }
        Ok(())
    }

    /// The next delivery, if the bot wants one, or a new connection.
    fn deliver(&mut self) -> Result<(), String> {
        if self.bot.as_ref().is_some_and(Bot::wants_connection) {
            self.network.cut();
        }
        if !self.network.is_connected() {
            return self.connect();
        }
        let cut = self.passes();
        match cut {
            Some(Cut::Before) => {
                self.network.cut();
                return Ok(());
            }
            Some(Cut::LeftOut) => self.network.leave_out(&mut self.dice),
            Some(Cut::After | Cut::Twice | Cut::Killed) | None => {}
        }
        let Some(delivery) = self.network.deliver(&mut self.dice) else { return Ok(()) };
        self.step(|_, bot| bot.take(delivery.clone()))?;
        match cut {
            Some(Cut::After) => self.network.cut(),
            Some(Cut::Twice) => self.step(|_, bot| bot.take(delivery))?,
            Some(Cut::Killed) => self.kill_and_start()?,
            Some(Cut::Before | Cut::LeftOut) | None => {}
        }
        Ok(())
    }

    fn acknowledge(&mut self) -> Result<(), String> {
        let Some(bot) = self.bot.as_mut().filter(|bot| self.network.is_connected() && !bot.pending.is_empty()) else {
            return Ok(());
        };
        let pending = std::mem::take(&mut bot.pending);
        let everything = matches!(self.trouble, Trouble::Everything);
        let cut = match self.passes() {
            None if everything && self.dice.below(12) == 0 => {
                Some([Cut::Before, Cut::After, Cut::Killed][usize::try_from(self.dice.below(3)).unwrap()])
            }
            cut => cut,
        };
        if cut != Some(Cut::Before) {
            self.network.acknowledge(&pending);
        }
        match cut {
            Some(Cut::Before | Cut::After) => {
                self.life.cuts += 1;
                self.network.cut();
                // what was not answered is told again
                if let Some(bot) = &mut self.bot {
                    bot.pending = pending;
                }
            }
            Some(Cut::Killed) => self.kill_and_start()?,
            Some(Cut::Twice) => self.network.acknowledge(&pending),
            Some(Cut::LeftOut) | None => {}
        }
        Ok(())
    }

    fn kill_and_start(&mut self) -> Result<(), String> {
        self.kill();
        self.start(STARTS_MAX)
    }

    fn power_cut_and_start(&mut self) -> Result<(), String> {
        self.disk.stop();
        self.after_death();
        self.start(STARTS_MAX)
    }

    /// As after SIGTERM.
    fn stop_and_start(&mut self) -> Result<(), String> {
        self.step(|_, bot| bot.drain())?;
        self.acknowledge()?;
        self.step(|world, bot| bot.ship(&world.runtime))?;
        self.bot = None;
        self.network.cut();
        self.start(STARTS_MAX)
    }

    /// Nothing goes wrong any more (but for one thing that was decided before): everything is archived and acknowledged.
    fn calm(&mut self) -> Result<(), String> {
        let mut steps = 0;
        while !self.network.is_done() || self.bot.as_ref().is_none_or(|bot| !bot.is_idle()) {
            steps += 1;
            if steps > CALM_STEPS_MAX {
                return Err("not everything is acknowledged".to_owned());
            }
            for _ in 0..8 {
                self.deliver()?;
            }
            for worker in 0..self.setting.workers {
                self.step(|_, bot| bot.decrypt(worker, 16).map(drop))?;
            }
            self.step(|world, bot| {
                while bot.pass() {}
                bot.fetch(&world.runtime, &mut world.dice).map(drop)
            })?;
            self.step(|_, bot| bot.commit(8).map(drop))?;
            if steps % 7 == 0 {
                self.step(|world, bot| bot.ship(&world.runtime))?;
            }
            if steps % 29 == 0 {
                self.stop_and_start()?;
            }
            self.acknowledge()?;
        }
        // what is acknowledged is safe from here on
        self.power_cut_and_start()?;
        self.damage_is_noticed()?;
        // twice: what a fault in the first one ends is put right by the second
        for _ in 0..2 {
            self.stop_and_start()?;
        }
        // the last start has made evidence, too
        for _ in 0..2 {
            self.step(|world, bot| bot.ship(&world.runtime))?;
        }
        Ok(())
    }

    fn end(mut self) -> Life {
        self.disk.set_fate(None);
        self.bot = None;
        let archive = Left::of(&self.setting, &self.disk, &self.bucket);
        self.life.verdict = self.obligations.judge(&archive);
        let mut left = archive.unfinished.clone();
        left.extend(self.disk.overwritten().iter().map(|path| format!("overwritten: {}", path.display())));
        if self.life.stuck.is_none() {
            left.extend(waiting(&self.setting.state).into_iter().map(|item| format!("in the ship queue: {item}")));
        }
        left.extend(evidence::complaints(&archive.evidence, &archive.messages));
        if self.ships_to_bucket {
            left.extend(archive.here.iter().map(|name| format!("still on the disk: {name}")));
        }
        self.life.left = left;
        drop(self.mounted);
        self.life
    }
}

/// Message files with their final names, and attachments with theirs.
fn sealed<'a>(disk: &SimDisk, directories: &'a Directories) -> impl Iterator<Item = (PathBuf, Vec<u8>)> + use<'a> {
    let open = directories.messages.join(format!("{}.txt", directories.basename.as_str()));
    disk.files().into_iter().filter(move |(path, _)| {
        let directory = path.parent();
        let is_ours = directory == Some(&directories.messages) || directory == Some(&directories.files);
        is_ours && *path != open && !path.file_name().unwrap().to_string_lossy().starts_with('.')
    })
}

/// What is in the ship queue of a state.
fn waiting(state: &Path) -> Vec<String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let state = Connection::open_with_flags(state, flags).unwrap();
    let mut statement = state.prepare("SELECT name || coalesce(': ' || parked, '') FROM ship").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// One of so many calls goes wrong; on some disks rather when they are synced. Reads of the bot's own files came later than
/// the others, and draw from a stream of their own: what befalls the others stays what it was for each seed.
fn fate(seed: u64, one_of: u64) -> Fate {
    let (mut dice, mut of_reads) = (Dice(seed), Dice(seed ^ READS));
    let syncs_fail = dice.below(3) == 0;
    Box::new(move |_, call: Call| {
        let dice = if call == Call::ReadOn { &mut of_reads } else { &mut dice };
        let one_of = match call {
            Call::Sync | Call::SyncNames if syncs_fail => 1 + one_of / 16,
            _ => one_of,
        };
        if dice.below(one_of) > 0 {
            return None;
        }
        let much = [Much::Nothing, Much::Half, Much::All][usize::try_from(dice.below(3)).unwrap()];
        if dice.below(2) == 0 {
            return Some(Harm::Off(much));
        }
        let errors = call.errors();
        let (much, kind) = errors[usize::try_from(dice.below(errors.len() as u64)).unwrap()];
        Some(Harm::Error(much, kind))
    })
}
